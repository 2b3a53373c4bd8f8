"""Small systems of equations, inverses and determinants, one matrix after another.

Elimination with partial pivoting, as LAPACK's getf2 (Golub & Van Loan, Matrix Computations, algorithm 3.4.1).  NumPy
takes microseconds to begin, in which a 4×4 system is solved many times; matrices of more rows are LAPACK's.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import Emitter, constant
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.pointwise import code_of
from payback.native.planning.layout import View

LARGEST = 16  # rows
FEW, NARROW = 8, 4  # rows of matrices whose inverse, or more columns of solutions, are found here


class Systems(NamedTuple):
    """x = a⁻¹·b, or with `inverse` a⁻¹; 1 where a pivot is zero or not finite: then LAPACK says what comes of it.

    args: a, b (a where inverse), x, count, columns of b.
    """

    code: str
    n: int
    inverse: bool
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b, n = Arguments(e, function), e.b, self.n
        a, of_b, x = (args.pointer() for _ in range(3))
        count, k = args.ints(2)
        kind = pointwise.register_type(self.code)
        square = b.alloca(ir.ArrayType(kind, n * n))
        with e.loop(0, count) as number:
            start, size = b.mul(number, e.int(n * n)), b.mul(e.int(n), k)
            with e.loop(0, n * n) as i:
                e.store(e.load(a, b.add(start, i), kind), square, i)
            result = e.at(x, b.mul(number, size), kind)
            with e.loop(0, size) as i:
                if self.inverse:
                    diagonal = b.icmp_signed("==", b.srem(i, e.int(n + 1)), e.int(0))
                    value = b.select(diagonal, constant(kind, 1.0), constant(kind, 0.0))
                else:
                    value = e.load(of_b, b.add(b.mul(number, size), i), kind)
                e.store(value, result, i)
            with e.loop(0, n) as p:
                _, pivot = _pivot(e, kind, square, n, p)
                above = b.fcmp_ordered(">", pivot, constant(kind, 0.0))
                below = b.fcmp_ordered("<", pivot, constant(kind, float("inf")))
                with b.if_then(b.not_(b.and_(above, below))):
                    b.ret(e.int(1))
                at = _swapped(e, kind, square, n, p)
                with b.if_then(b.icmp_signed("!=", at, p)):
                    _exchange(e, kind, result, k, p, at)
                _eliminate(e, kind, square, n, p, (result, k))
            with e.loop(0, n) as back:
                p = b.sub(e.int(n - 1), back)
                pivot = e.load(square, b.mul(p, e.int(n + 1)), kind)
                with e.loop(0, k) as j:
                    place = b.add(b.mul(p, k), j)

                    def less(c: ir.Value, total: list[ir.Value], p: Any = p, j: Any = j) -> list[ir.Value]:
                        factor = e.load(square, b.add(b.mul(p, e.int(n)), c), kind)
                        other = e.load(result, b.add(b.mul(c, k), j), kind)
                        return [b.fsub(total[0], b.fmul(factor, other))]

                    (rest,) = fold(e, b.add(p, e.int(1)), e.int(n), 1, [e.load(result, place, kind)], less)
                    e.store(b.fdiv(rest, pivot), result, place)
        b.ret(e.int(0))


class Determinants(NamedTuple):
    """args: a, the determinants, count."""

    code: str
    n: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b, n = Arguments(e, function), e.b, self.n
        a, made = args.pointer(), args.pointer()
        count = args.int()
        kind = pointwise.register_type(self.code)
        square = b.alloca(ir.ArrayType(kind, n * n))
        with e.loop(0, count) as number:
            start = b.mul(number, e.int(n * n))
            with e.loop(0, n * n) as i:
                e.store(e.load(a, b.add(start, i), kind), square, i)

            def step(p: ir.Value, so_far: list[ir.Value]) -> list[ir.Value]:
                at = _swapped(e, kind, square, n, p)
                pivot = e.load(square, b.mul(p, e.int(n + 1)), kind)
                with b.if_then(b.fcmp_unordered("!=", pivot, constant(kind, 0.0))):
                    _eliminate(e, kind, square, n, p)
                product = b.fmul(so_far[0], pivot)
                return [b.select(b.icmp_signed("==", at, p), product, b.fneg(product))]

            (found,) = fold(e, 0, n, 1, [constant(kind, 1.0)], step)
            e.store(found, made, number)
        b.ret(e.int(0))


def _pivot(e: Emitter, kind: ir.Type, square: ir.Value, n: int, p: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The row of the largest entry below the diagonal of a column, the first of them, and its size."""
    b = e.b

    def larger(r: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
        size = e.intrinsic("fabs", e.load(square, b.add(b.mul(r, e.int(n)), p), kind))
        more = b.fcmp_ordered(">", size, best[1])
        return [b.select(more, r, best[0]), b.select(more, size, best[1])]

    first = e.intrinsic("fabs", e.load(square, b.mul(p, e.int(n + 1)), kind))
    at, size = fold(e, b.add(p, e.int(1)), e.int(n), 1, [p, first], larger)
    return at, size


def _swapped(e: Emitter, kind: ir.Type, square: ir.Value, n: int, p: ir.Value) -> ir.Value:
    """The pivot's row, which is exchanged with row p."""
    at, _ = _pivot(e, kind, square, n, p)
    with e.b.if_then(e.b.icmp_signed("!=", at, p)):
        _exchange(e, kind, square, e.int(n), p, at)
    return at


def _exchange(e: Emitter, kind: ir.Type, rows: ir.Value, width: ir.Value, p: ir.Value, q: ir.Value) -> None:
    b = e.b
    with e.loop(0, width) as j:
        first, second = b.add(b.mul(p, width), j), b.add(b.mul(q, width), j)
        x, y = e.load(rows, first, kind), e.load(rows, second, kind)
        e.store(y, rows, first)
        e.store(x, rows, second)


def _eliminate(
    e: Emitter, kind: ir.Type, square: ir.Value, n: int, p: ir.Value, beside: tuple[ir.Value, ir.Value] | None = None
) -> None:  # fmt: skip
    """Multiples of row p taken from those below it, in the matrix and in (rows, width) beside it."""
    b = e.b
    following = b.add(p, e.int(1))
    pivot = e.load(square, b.mul(p, e.int(n + 1)), kind)
    with e.loop(following, n) as r:
        factor = b.fdiv(e.load(square, b.add(b.mul(r, e.int(n)), p), kind), pivot)
        for rows, width, start in ((square, e.int(n), following), *([(*beside, e.int(0))] if beside else [])):
            with e.loop(start, width) as j:
                place = b.add(b.mul(r, width), j)
                above = e.load(rows, b.add(b.mul(p, width), j), kind)
                e.store(b.fsub(e.load(rows, place, kind), b.fmul(factor, above)), rows, place)


def given(planner: Any, node: Node, largest: int) -> View | None:
    """The matrices, one after another; None where they are not for these kernels."""
    known = code_of(node.aval.dtype) in ("f4", "f8") and 0 < node.aval.shape[-1] <= largest
    return _in_order(planner, node) if known else None


def _in_order(planner: Any, node: Node) -> View:
    return planner.contiguous(planner.view(node), node.aval.dtype)


def lower_solve(planner: Any, node: Node) -> bool:
    a, b = (arg.aval for arg in node.args)
    if b.dtype != a.dtype or len(b.shape) != len(a.shape) or b.shape[:-1] != a.shape[:-1]:
        return False
    matrices = given(planner, node.args[0], LARGEST if b.shape[-1] <= NARROW else FEW)
    if matrices is None:
        return False
    right = _in_order(planner, node.args[1])
    return _system(planner, node, matrices, right, b.shape[-1], inverse=False)


def lower_inv(planner: Any, node: Node) -> bool:
    matrices = given(planner, node.args[0], FEW)
    return matrices is not None and _system(planner, node, matrices, matrices, node.aval.shape[-1], inverse=True)


def _system(planner: Any, node: Node, a: View, b: View, columns: int, inverse: bool) -> bool:
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    key = Systems(code_of(node.aval.dtype), a.shape[-1], inverse)
    planner.command(key, [a, b, target], [prod(a.shape[:-2]), columns], [a, b], [target], node.op.name)
    return True


def lower_det(planner: Any, node: Node) -> bool:
    matrices = given(planner, node.args[0], LARGEST)
    if matrices is None:
        return False
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    key = Determinants(code_of(node.aval.dtype), matrices.shape[-1])
    planner.command(key, [matrices, target], [prod(matrices.shape[:-2])], [matrices], [target], node.op.name)
    return True
