"""Determinants of many matrices at once that are too large for minors: products of pivots, each lane a matrix.

Logarithms of pivots are added up, so that no product leaves the range.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import Emitter, constant, lanes_of
from payback.native.lower import elementary, pointwise
from payback.native.lower.kernel import Arguments
from payback.native.lower.linalg.minors import places_of
from payback.native.lower.linalg.side_by_side import eliminated, read
from payback.native.lower.linalg.systems import given
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.packing import least

LARGEST = 8  # rows


class Pivots(NamedTuple):
    """Determinants, or signs and logarithms; 1 where a pivot is not finite: then LAPACK says what comes of it.

    args: a, the results (signs), logarithms, count, which is no less than a vector has lanes.
    """

    code: str
    n: int
    logarithm: bool
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b, n = Arguments(e, function), e.b, self.n
        a, made, logarithms = args.pointer(), args.pointer(), args.pointer()
        count = args.int()
        kind = pointwise.register_type(self.code)
        lanes = lanes_of(kind)
        last = b.sub(count, e.int(lanes))
        with e.loop(0, count, lanes) as start:
            number = least(e, start, last)  # the last ones again, where fewer are left
            entries = read(e, e.at(a, b.mul(number, e.int(n * n)), kind), kind, n * n, lanes)
            rows = [entries[i * n : (i + 1) * n] for i in range(n)]
            exchanged = eliminated(e, rows, singular=True)
            factors = [rows[p][p] for p in range(n)]
            if self.logarithm:
                logs = [elementary.emit(e, "log", e.intrinsic("fabs", pivot)) for pivot in factors]
                total = logs[0]
                for each in logs[1:]:
                    total = b.fadd(total, each)
                e.store(total, logarithms, number)
                one, zero = (constant(entries[0].type, value) for value in (1.0, 0.0))
                signs = [e.intrinsic("copysign", one, pivot) for pivot in factors]
                factors = [
                    b.select(b.fcmp_ordered("==", pivot, zero), zero, sign)
                    for pivot, sign in zip(factors, signs, strict=True)
                ]
            found = factors[0]
            for factor in factors[1:]:
                found = b.fmul(found, factor)
            for there in exchanged:
                found = b.select(there, b.fneg(found), found)
            e.store(found, made, number)
        b.ret(e.int(0))


def lower_determinants(planner: Any, node: Node) -> bool:
    """det and slogdet, of no fewer matrices than lanes"""
    (a,) = node.args
    count, code = prod(a.aval.shape[:-2]), code_of(a.aval.dtype)
    if code not in ("f4", "f8") or count < lanes_of(pointwise.register_type(code)):
        return False
    matrices = given(planner, a, LARGEST)
    if matrices is None:
        return False
    made = places_of(planner, node, matrices)
    key = Pivots(code, matrices.shape[-1], node.op.name == "slogdet")
    planner.command(key, [matrices, made[0], made[-1]], [count], [matrices], made, node.op.name)
    return True
