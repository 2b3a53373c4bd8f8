"""Packing the panels of B while others are computed with.

Where rows of B are contiguous, the loop over k of a tile copies some of them beside its sums (`tile.Copy`): they come
from far, but nothing waits for them.  Elsewhere pieces are packed between two tiles.
"""

from __future__ import annotations

from typing import Any

from payback.native import ir
from payback.native.codegen.emit import BIT, Emitter, llvm_type
from payback.native.lower.products.blocked.choice import Plan
from payback.native.lower.products.blocked.packing import PIECE, least, most
from payback.native.lower.products.blocked.tile import FAR, ROUND, Copy, prefetch


class Ahead:
    """Packs the next panel of B beside the tiles of this one, or piece by piece between them.

    B may be far away, and its lines may push each other out of the caches (a stride of a power of two): so few of them
    are fetched, and packed one tile later.
    """

    def __init__(self, e: Emitter, plan: Plan, packs: Any, columns: Any, k: Any, source: Any, strides: Any, into: Any):
        """`columns` of the panel, 0 if there is nothing to do."""
        self.e, self.plan, self.kind = e, plan, llvm_type(plan.dtype)
        self.packs, self.columns, self.k, self.into = packs, columns, k, into
        self.source, self.strides = source, strides
        b = e.b
        pieces = b.udiv(b.add(k, e.int(PIECE - 1)), e.int(PIECE))
        self.pieces = b.select(b.icmp_signed(">", columns, e.int(0)), pieces, e.int(0))
        self.beside = b.icmp_signed("==", columns, e.int(plan.width)) if plan.copied else ir.Constant(BIT, 0)
        self.rounds = b.lshr(k, e.int(ROUND.bit_length() - 1))  # rows that a tile copies: one in each round of its loop

    def _at(self, piece: ir.Value) -> ir.Value:
        return self.e.at(self.source, self.e.b.mul(self.e.b.mul(piece, self.e.int(PIECE)), self.strides[0]), self.kind)

    def each(self, tiles: ir.Value) -> ir.Value:
        """Pieces that are packed before each of so many tiles."""
        e, b = self.e, self.e.b
        each = b.udiv(b.add(self.pieces, b.sub(tiles, e.int(1))), tiles)
        return b.select(self.beside, e.int(0), each)

    def copy(self, tile: ir.Value, panel: ir.Value, spare: ir.Value) -> Copy | None:
        """What tile number `tile` copies; once all is done, the first row of this panel to where nobody reads it.

        A loop with less to do then would be better, but LLVM keeps sums in memory where a tile has two loops.
        """
        e, b, nought = self.e, self.e.b, self.e.int(0)
        if not self.plan.copied:
            return None
        first = b.mul(tile, self.rounds)
        active = b.and_(self.beside, b.icmp_signed("<=", b.add(first, self.rounds), self.k))
        source = e.at(self.source, b.mul(first, self.strides[0]), self.kind)
        into = e.at(self.into, b.mul(first, e.int(self.plan.width)), self.kind)
        return Copy(
            b.select(active, source, panel), b.select(active, self.strides[0], nought),
            b.select(active, into, spare), b.select(active, e.int(self.plan.width), nought),
        )  # fmt: skip

    def rest(self, tiles: ir.Value, each: ir.Value) -> None:
        """Pack what so many tiles have left."""
        e, b = self.e, self.e.b
        copied = b.mul(least(e, tiles, b.udiv(self.k, most(e, self.rounds, e.int(1)))), self.rounds)
        done = b.select(self.beside, b.udiv(copied, e.int(PIECE)), b.mul(tiles, each))
        self.pack(done, self.k)

    def fetch_rows(self) -> None:
        """Bring the first rows to the second cache: those behind them are fetched as they are copied."""
        e, b = self.e, self.e.b
        if not self.plan.copied:
            return
        with e.loop(0, b.select(self.beside, e.int(FAR), e.int(0))) as row:
            line = e.at(self.source, b.mul(row, self.strides[0]), self.kind)
            for last in range(64 // self.plan.dtype.itemsize - 1, self.plan.width, 64 // self.plan.dtype.itemsize):
                prefetch(e, e.at(line, last, self.kind), write=False, cache=2)

    def fetch(self, start: Any, stop: Any) -> None:
        """Bring the columns of pieces that will be packed soon to the second cache: the first one is full."""
        e, b = self.e, self.e.b
        if self.plan.copied:
            return
        with e.loop(start, least(e, stop, self.pieces)) as piece:
            source = self._at(piece)
            for column in range(self.plan.width):
                line = e.at(source, b.mul(e.int(column), self.strides[1]), self.kind)
                for last in range(64 // self.plan.dtype.itemsize - 1, PIECE, 64 // self.plan.dtype.itemsize):
                    prefetch(e, e.at(line, last, self.kind), write=False, cache=2)

    def pack(self, start: Any, stop: Any) -> None:
        e, b = self.e, self.e.b
        with e.loop(start, least(e, stop, self.pieces)) as piece:
            done = b.mul(piece, e.int(PIECE))
            depth = least(e, e.int(PIECE), b.sub(self.k, done))
            into = e.at(self.into, b.mul(done, e.int(self.plan.width)), self.kind)
            b.call(self.packs, [self.columns, depth, self._at(piece), *self.strides, into])
