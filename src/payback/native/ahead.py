"""Packing the panels of B while others are computed with."""

from __future__ import annotations

from typing import Any

from payback.native import ir
from payback.native.emit import Emitter, llvm_type
from payback.native.packing import PIECE, least
from payback.native.plan import Plan
from payback.native.tile import prefetch


class Ahead:
    """Packs the next panel of B, piece by piece, between the tiles of this one.

    B may be far away, and its lines may push each other out of the caches (a stride of a power of two): so few of them
    are fetched, and packed one tile later.
    """

    def __init__(self, e: Emitter, plan: Plan, packs: Any, columns: Any, k: Any, source: Any, strides: Any, into: Any):
        """`columns` of the panel, 0 if there is nothing to do."""
        self.e, self.plan, self.kind = e, plan, llvm_type(plan.dtype)
        self.packs, self.columns, self.k, self.into = packs, columns, k, into
        self.source, self.strides = source, strides
        pieces = e.b.udiv(e.b.add(k, e.int(PIECE - 1)), e.int(PIECE))
        self.pieces = e.b.select(e.b.icmp_signed(">", columns, e.int(0)), pieces, e.int(0))

    def _at(self, piece: ir.Value) -> ir.Value:
        return self.e.at(self.source, self.e.b.mul(self.e.b.mul(piece, self.e.int(PIECE)), self.strides[0]), self.kind)

    def fetch(self, start: Any, stop: Any) -> None:
        """Bring the lines of pieces that will be packed soon into the first cache."""
        e, b, width, of_line = self.e, self.e.b, self.plan.width, 64 // self.plan.dtype.itemsize
        with e.loop(start, least(e, stop, self.pieces)) as piece:
            source, across = self._at(piece), b.icmp_signed("==", self.strides[1], e.int(1))
            with b.if_else(across) as (rows, columns):
                for way, count, length, stride in ((rows, PIECE, width, 0), (columns, width, PIECE, 1)):
                    with way:
                        for line in range(count):
                            of_line_ = e.at(source, b.mul(e.int(line), self.strides[stride]), self.kind)
                            for last in range(of_line - 1, length, of_line):
                                prefetch(e, e.at(of_line_, last, self.kind), write=False)

    def pack(self, start: Any, stop: Any) -> None:
        e, b = self.e, self.e.b
        with e.loop(start, least(e, stop, self.pieces)) as piece:
            done = b.mul(piece, e.int(PIECE))
            depth = least(e, e.int(PIECE), b.sub(self.k, done))
            into = e.at(self.into, b.mul(done, e.int(self.plan.width)), self.kind)
            b.call(self.packs, [self.columns, depth, self._at(piece), *self.strides, into])
