"""Determinants and cofactors of matrices of up to four rows, by minors: nothing is divided, so singular matrices are no
exception.  As many matrices at a time as a vector has lanes; no lane's bits depend on it.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import Emitter, constant, lanes_of
from payback.native.lower import elementary, pointwise
from payback.native.lower.kernel import Arguments
from payback.native.lower.linalg.factored import arena
from payback.native.lower.linalg.side_by_side import every, read, write
from payback.native.lower.linalg.systems import given
from payback.native.lower.pointwise import code_of
from payback.native.planning.layout import View

LARGEST = 4  # rows


class Minors(NamedTuple):
    """what: "det", "slogdet" or "cofactor".  Of slogdet 1 where products of entries may leave the range.

    args: a, the results (signs), logarithms, count.
    """

    code: str
    n: int
    what: str

    @property
    def stops(self) -> bool:
        return self.what == "slogdet"

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b, n = Arguments(e, function), e.b, self.n
        a, made, logarithms = args.pointer(), args.pointer(), args.pointer()
        count = args.int()
        kind = pointwise.register_type(self.code)
        lanes = lanes_of(kind)
        even = b.and_(count, e.int(-lanes))
        for start, stop, some in ((e.int(0), even, lanes), (even, count, 1)):
            with e.loop(start, stop, some) as number:
                entries = read(e, e.at(a, b.mul(number, e.int(n * n)), kind), kind, n * n, some)
                rows = [entries[i * n : (i + 1) * n] for i in range(n)]
                if self.what == "cofactor":
                    cofactors = [_cofactor(e, rows, i, j) for i in range(n) for j in range(n)]
                    write(e, e.at(made, b.mul(number, e.int(n * n)), kind), kind, cofactors)
                    continue
                found = _determinant(e, rows, list(range(n)), list(range(n)))
                if self.what == "slogdet":
                    found = self._logarithm(e, rows, found, logarithms, number)
                e.store(found, made, number)
        b.ret(e.int(0))

    def _logarithm(
        self, e: Emitter, rows: list[list[ir.Value]], found: ir.Value, into: ir.Value, number: ir.Value
    ) -> ir.Value:
        """The signs; logarithms are stored."""
        b, n, info = e.b, self.n, np.finfo(self.code)
        sizes = [[e.intrinsic("fabs", x) for x in row] for row in rows]
        size = _determinant(e, sizes, list(range(n)), list(range(n)), b.fadd)
        one, zero = constant(found.type, 1.0), constant(found.type, 0.0)
        least = one  # of the entries that are not zero: if it is not small, a size of zero has not left the range
        for x in (x for row in sizes for x in row):
            x = b.select(b.fcmp_ordered("==", x, zero), one, x)
            least = b.select(b.fcmp_ordered("<", x, least), x, least)
        limit = float(info.tiny / info.eps)
        large = b.fcmp_ordered(">=", size, constant(found.type, limit))
        large = b.or_(large, b.fcmp_ordered(">=", least, constant(found.type, limit ** (1 / n))))
        good = b.and_(large, b.fcmp_ordered("<=", size, constant(found.type, float(info.max))))
        with b.if_then(b.not_(every(e, good)), likely=False):
            b.ret(e.int(1))
        e.store(elementary.emit(e, "log", e.intrinsic("fabs", found)), into, number)
        return b.select(b.fcmp_ordered("==", found, zero), zero, e.intrinsic("copysign", one, found))


def _determinant(e: Emitter, values: Any, rows: list[int], columns: list[int], less: Any = None) -> ir.Value:
    """Along the first row; what several of them need is computed once."""
    b, total = e.b, None
    for k, column in enumerate(columns):
        term = values[rows[0]][column]
        if len(rows) > 1:
            rest = _determinant(e, values, rows[1:], [c for c in columns if c != column], less)
            term = b.fmul(term, rest)
        total = term if total is None else (less or b.fsub)(total, term) if k % 2 else b.fadd(total, term)
    return total


def _cofactor(e: Emitter, values: list[list[ir.Value]], i: int, j: int) -> ir.Value:
    rows, columns = ([x for x in range(len(values)) if x != skipped] for skipped in (i, j))
    if not rows:
        return constant(values[0][0].type, 1.0)
    found = _determinant(e, values, rows, columns)
    return e.b.fneg(found) if (i + j) % 2 else found


def lower_minors(planner: Any, node: Node) -> bool:
    """det, slogdet and cofactor"""
    matrices = given(planner, node.args[0], LARGEST)
    if matrices is None:
        return False
    made, what = places_of(planner, node, matrices), node.op.name
    key = Minors(code_of(matrices.buffer.dtype), matrices.shape[-1], what)
    planner.command(key, [matrices, made[0], made[-1]], [prod(matrices.shape[:-2])], [matrices], made, what)
    return True


def places_of(planner: Any, node: Node, matrices: View) -> list[View]:
    """Where results go: signs and logarithms of slogdet, in parts that others take."""
    dtype, lead = matrices.buffer.dtype, matrices.shape[:-2]
    if node.op.name != "slogdet":
        return [planner.allocate(node, dtype, node.aval.shape)]
    made: list[Any] = [None, None]
    for part in planner.users.get(node, []):
        made[part.params["k"]] = planner.allocate(part, dtype, lead)
    planner.gone.add(node)
    return [arena(dtype, *lead) if x is None else x for x in made]
