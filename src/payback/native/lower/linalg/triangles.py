"""Kernels for triangles, diagonals and determinants, between the products of linear algebra."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from payback.native import ir
from payback.native.codegen.emit import INT, POINTER, Emitter, constant, lanes_of
from payback.native.lower import elementary, pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.products.blocked.packing import function, least, most
from payback.native.lower.products.blocked.place import lane_mask, masked_load, store_first
from payback.native.lower.products.blocked.tile import multiply_add, registers


class Regular(NamedTuple):
    """1 if an entry on a diagonal is zero or not finite, or its reciprocal is; args: matrices, count, n."""

    code: str
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a = args.pointer()
        count, n = args.ints(2)
        kind = pointwise.register_type(self.code)
        least_size = float(np.finfo(self.code).tiny)
        with e.loop(0, count) as number, e.loop(0, n) as i:
            at = b.add(b.mul(number, b.mul(n, n)), b.mul(i, b.add(n, e.int(1))))
            size = e.intrinsic("fabs", e.load(a, at, kind))
            good = b.and_(b.fcmp_ordered(">=", size, constant(kind, least_size)),
                          b.fcmp_ordered("<=", size, constant(kind, 1.0 / least_size)))  # fmt: skip
            with b.if_then(b.not_(good), likely=False):
                b.ret(e.int(1))
        b.ret(e.int(0))


class Identity(NamedTuple):
    """args: the matrices, count, n."""

    code: str

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a = args.pointer()
        count, n = args.ints(2)
        kind, square = pointwise.register_type(self.code), b.mul(n, n)
        lanes = lanes_of(kind)
        total = b.mul(count, square)
        even = b.and_(total, e.int(-lanes))
        for start, stop, some in ((e.int(0), even, lanes), (even, total, 1)):
            with e.loop(start, stop, some) as i:
                e.store(e.splat(constant(kind, 0.0), some), a, i)
        with e.loop(0, count) as number, e.loop(0, n) as i:
            e.store(constant(kind, 1.0), a, b.add(b.mul(number, square), b.mul(i, b.add(n, e.int(1)))))
        b.ret(e.int(0))


class Triangle(NamedTuple):
    """x = t⁻¹·(x − products) for a triangle t of w rows and k columns of x; `first`: nothing is subtracted.

    args: t, x, products (w × k), count, w, k, then strides of rows, of columns and of matrices: of t three, of x and
    of products of rows and of matrices.  `split`: what threads share, "columns", "matrices" or nothing.
    """

    code: str
    lower: bool
    unit: bool
    first: bool
    split: str

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        t, x, products = (args.pointer() for _ in range(3))
        count, w, k, t_row, t_column, t_next, x_row, x_next, of_row, of_next = args.ints(10)
        kind = pointwise.register_type(self.code)
        begin, end, start, stop = e.int(0), count, e.int(0), k
        if self.split == "columns":
            start, stop = args.share(k, at_once(kind) * lanes_of(kind))
        elif self.split:
            begin, end = args.share(count, 1)
        solved = triangle(e, self.code, self.lower, self.unit, self.first)
        with e.loop(begin, end) as number:
            steps = (t, t_next), (x, x_next), (products, of_next)
            square, rows, other = (e.at(place, b.mul(number, step), kind) for place, step in steps)
            b.call(solved, [square, t_row, t_column, rows, x_row, other, of_row, w, start, stop])
        b.ret(e.int(0))


def at_once(kind: ir.Type) -> int:
    """Vectors of columns that a triangle is solved for together, four rows at a time."""
    return registers() // 8


def triangle(e: Emitter, code: str, lower: bool, unit: bool, first: bool) -> ir.Function:
    """`void triangle(t, row stride, column stride, x, row stride, products, row stride, w, start, stop)`.

    What `Triangle` does, in columns from start to stop.
    """
    name = f"payback.triangle.{code}.{lower}.{unit}.{first}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, [POINTER, INT, INT, POINTER, INT, POINTER, INT, INT, INT, INT])
    t, t_row, t_column, x, x_row, products, of_row, w, start, stop = made.args
    b, kind = e.b, pointwise.register_type(code)
    lanes, vectors = lanes_of(kind), at_once(kind)

    def entry(i: ir.Value, q: ir.Value) -> ir.Value:
        return e.load(t, b.add(b.mul(i, t_row), b.mul(q, t_column)), kind)

    def block(numbers: list[ir.Value], column: ir.Value, many: int, left: Any) -> None:
        """So many vectors of some rows, which are found in this order."""
        mask = None if left is None else lane_mask(e, left, kind, lanes)

        def load(place: ir.Value, row: ir.Value, step: ir.Value, v: int) -> ir.Value:
            address = e.at(e.at(place, b.add(b.mul(row, step), column), kind), v * lanes, kind)
            if mask is None:
                return e.load(address, 0, kind, lanes)
            return masked_load(e, address, kind, lanes, mask)

        totals = []
        for row in numbers:
            values = [load(x, row, x_row, v) for v in range(many)]
            if not first:
                values = [b.fsub(value, load(products, row, of_row, v)) for v, value in enumerate(values)]
            totals += values

        def less(q: ir.Value, so_far: list[ir.Value]) -> list[ir.Value]:
            known, found = [load(x, q, x_row, v) for v in range(many)], []
            for r, row in enumerate(numbers):
                factor = e.splat(b.fneg(entry(row, q)), lanes)
                found += [multiply_add(e, factor, known[v], so_far[r * many + v]) for v in range(many)]
            return found

        before = (e.int(0), numbers[0]) if lower else (b.add(numbers[0], e.int(1)), w)
        totals = fold(e, *before, 1, totals, less)
        for r, row in enumerate(numbers):
            mine = totals[r * many : (r + 1) * many]
            for q in range(r):
                factor = e.splat(b.fneg(entry(row, numbers[q])), lanes)
                mine = [multiply_add(e, factor, totals[q * many + v], mine[v]) for v in range(many)]
            if not unit:
                scale = e.splat(b.fdiv(constant(kind, 1.0), entry(row, row)), lanes)
                mine = [b.fmul(value, scale) for value in mine]
            totals[r * many : (r + 1) * many] = mine
            line = e.at(x, b.add(b.mul(row, x_row), column), kind)
            for v, value in enumerate(mine):
                if left is None:
                    e.store(value, line, v * lanes)
                else:
                    _store_some(e, value, line, left)

    def columns(column: ir.Value, many: int, left: Any) -> None:
        last, whole = b.sub(w, e.int(1)), b.and_(w, e.int(-4))
        for begin, end, height in ((e.int(0), whole, 4), (whole, w, 1)):
            with e.loop(begin, end, height) as i:
                places = [b.add(i, e.int(r)) for r in range(height)]
                block(places if lower else [b.sub(last, place) for place in places], column, many, left)

    width = b.sub(stop, start)
    even = b.add(start, b.sub(width, b.srem(width, e.int(vectors * lanes))))
    with e.loop(start, even, vectors * lanes) as column:
        columns(column, vectors, None)
    with e.loop(even, stop, lanes) as column:
        columns(column, 1, least(e, b.sub(stop, column), e.int(lanes)))
    b.ret_void()
    return made


def _store_some(e: Emitter, value: ir.Value, place: ir.Value, count: ir.Value) -> None:
    with e.b.if_else(e.b.icmp_signed("==", count, e.int(value.type.count))) as (yes, no):
        with yes:
            e.store(value, place, 0)
        with no:
            store_first(e, value, place, count)


class Determinant(NamedTuple):
    """By factors: the determinants, or with `logarithm` their signs and the logarithms of their sizes.

    The product of the pivots is kept as mantissa and exponent, so it neither overflows nor rounds more than n times.
    1 where it is not finite.  args: factors, pivots, signs (determinants), logarithms, count, n.
    """

    code: str
    logarithm: bool
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, pivots, signs, made = (args.pointer() for _ in range(4))
        count, n = args.ints(2)
        kind = pointwise.register_type(self.code)
        bits, digits, bias = (64, 52, 1023) if self.code == "f8" else (32, 23, 127)
        whole = ir.IntType(bits)
        one, zero = constant(kind, 1.0), constant(kind, 0.0)
        with e.loop(0, count) as number:
            square = e.at(a, b.mul(number, b.mul(n, n)), kind)

            def step(i: ir.Value, so_far: list[ir.Value], square: Any = square, number: Any = number) -> list[ir.Value]:
                mantissa, exponent = so_far
                product = b.fmul(mantissa, e.load(square, b.mul(i, b.add(n, e.int(1))), kind))
                moved = b.icmp_signed("!=", e.load(pivots, b.add(b.mul(number, n), i), INT), i)
                product = b.select(moved, b.fneg(product), product)
                pattern = b.bitcast(product, whole)
                power = b.and_(b.lshr(pattern, whole(digits)), whole(2 * bias + 1))
                normal = b.and_(b.icmp_signed("!=", power, whole(0)), b.icmp_signed("!=", power, whole(2 * bias + 1)))
                rest = b.and_(pattern, whole(~((2 * bias + 1) << digits)))
                unit = b.bitcast(b.or_(rest, whole(bias << digits)), kind)
                power = b.sub(power, whole(bias))
                power = power if bits == 64 else b.sext(power, INT)
                return [b.select(normal, unit, product), b.select(normal, b.add(exponent, power), exponent)]

            mantissa, exponent = fold(e, 0, n, 1, [one, e.int(0)], step)
            size = e.intrinsic("fabs", mantissa)
            with b.if_then(b.not_(b.fcmp_ordered("<", size, constant(kind, float("inf")))), likely=False):
                b.ret(e.int(1))
            power = b.sitofp(exponent, kind)
            empty = b.fcmp_ordered("==", size, zero)
            if self.logarithm:
                sign = b.select(b.fcmp_ordered("<", mantissa, zero), constant(kind, -1.0), one)
                e.store(b.select(empty, zero, sign), signs, number)
                log = elementary.emit(e, "log", b.select(empty, one, size))
                total = multiply_add(e, power, constant(kind, float(np.log(2.0))), log)
                e.store(b.select(empty, constant(kind, -float("inf")), total), made, number)
            else:
                half = b.ashr(
                    exponent, e.int(1)
                )  # in two steps, for neither half leaves the range before the whole does
                value = mantissa
                for part in (half, b.sub(exponent, half)):
                    part = most(e, least(e, part, e.int(bias)), e.int(1 - bias))
                    part = part if bits == 64 else b.trunc(part, whole)
                    value = b.fmul(value, b.bitcast(b.shl(b.add(part, whole(bias)), whole(digits)), kind))
                e.store(value, signs, number)
        b.ret(e.int(0))


class Scaled(NamedTuple):
    """Inverses become cofactors: each matrix times its determinant; 1 where that is out of range, or nearly.

    args: matrices, determinants, count, entries of a matrix.
    """

    code: str
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, numbers = args.pointer(), args.pointer()
        count, size = args.ints(2)
        kind, info = pointwise.register_type(self.code), np.finfo(self.code)
        lanes = lanes_of(kind)
        with e.loop(0, count) as number:
            factor = e.load(numbers, number, kind)
            magnitude = e.intrinsic("fabs", factor)
            good = b.and_(b.fcmp_ordered(">=", magnitude, constant(kind, float(info.tiny / info.eps))),
                          b.fcmp_ordered("<=", magnitude, constant(kind, float(info.max))))  # fmt: skip
            with b.if_then(b.not_(good), likely=False):
                b.ret(e.int(1))
            matrix, even = e.at(a, b.mul(number, size), kind), b.and_(size, e.int(-lanes))
            for start, stop, some in ((e.int(0), even, lanes), (even, size, 1)):
                with e.loop(start, stop, some) as i:
                    e.store(b.fmul(e.load(matrix, i, kind, some), e.splat(factor, some)), matrix, i)
        b.ret(e.int(0))
