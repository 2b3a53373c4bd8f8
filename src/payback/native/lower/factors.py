"""Kernels of dense linear algebra: panels of factors, triangles, exchanges of rows, determinants.

What a blocked factorization does between its products (Golub & Van Loan, Matrix Computations, §3.2.11 and §4.2.9).  A
panel is held by columns, so that vectors run down them; a pivot's row is found as LAPACK finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.native import ir
from payback.native.emit import INT, Emitter, constant, lanes_of
from payback.native.lower import elementary, pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.packing import least, most, turned
from payback.native.place import lane_mask, masked_load, store_first
from payback.native.tile import multiply_add, registers

INNER = 4  # columns whose multiples are taken from those to their right together
TURNS = 2  # columns from which they are taken together


class Columns:
    """A panel in memory, column after column: entry (i, c) at c·length + i; rows up to `length` may be touched."""

    def __init__(self, e: Emitter, code: str, pointer: ir.Value, length: ir.Value):
        self.e, self.kind = e, pointwise.register_type(code)
        self.lanes = lanes_of(self.kind)
        self.pointer, self.length = pointer, length

    def column(self, c: Any) -> ir.Value:
        c = self.e.int(c) if isinstance(c, int) else c
        return self.e.at(self.pointer, self.e.b.mul(c, self.length), self.kind)

    def entry(self, i: ir.Value, c: ir.Value) -> ir.Value:
        return self.e.load(self.column(c), i, self.kind)

    def begin(self, row: ir.Value) -> ir.Value:
        """The first row of the vector that a row is in."""
        return self.e.b.and_(row, self.e.int(-self.lanes))

    def read(self, source: ir.Value, stride: ir.Value, rows: ir.Value, columns: ir.Value) -> None:
        """From rows of a matrix; rows from the last one to the next vector become zeros."""
        e, b = self.e, self.e.b
        with e.loop(0, columns) as c, e.loop(self.begin(rows), rows, self.lanes) as i:
            e.store(constant(ir.VectorType(self.kind, self.lanes), 0.0), self.column(c), i)
        self._turned(rows, columns, lambda i, c: e.at(source, b.add(b.mul(i, stride), c), self.kind), stride,
                     lambda c, i: e.at(self.column(c), i, self.kind), self.length)  # fmt: skip

    def write(self, target: ir.Value, stride: ir.Value, rows: ir.Value, columns: ir.Value) -> None:
        """To rows of a matrix."""
        e, b = self.e, self.e.b
        self._turned(columns, rows, lambda c, i: e.at(self.column(c), i, self.kind), self.length,
                     lambda i, c: e.at(target, b.add(b.mul(i, stride), c), self.kind), stride)  # fmt: skip

    def _turned(self, rows: ir.Value, columns: ir.Value, source: Any, step: ir.Value, target: Any, to: ir.Value) -> None:
        """target(c, i) = source(i, c), by squares; `step` and `to` lie between lines of the two."""
        e, b, lanes, kind = self.e, self.e.b, self.lanes, self.kind
        even, across = self.begin(rows), self.begin(columns)
        with e.loop(0, even, lanes) as i, e.loop(0, across, lanes) as c:
            corner, into = source(i, c), target(c, i)

            def load(row: int, start: int, size: int, corner: Any = corner) -> ir.Value:
                return e.load(corner, b.add(b.mul(step, e.int(row)), e.int(start)), kind, size)

            for k, value in enumerate(turned(e, kind, load)):
                e.store(value, into, b.mul(to, e.int(k)))
        for first, end in ((e.int(0), even), (even, rows)):
            with e.loop(first, end) as i, e.loop(across if end is even else e.int(0), columns) as c:
                e.store(e.load(source(i, c), 0, kind), target(c, i), 0)

    def subtract(self, factors: Sequence[ir.Value], first: ir.Value, rows: ir.Value, left: Any, times: Any) -> None:
        """Column c of the panel loses Σ factors·numbers for c from `left[0]` on; times(c): the numbers."""
        e, b = self.e, self.e.b
        start, stop = left
        paired = b.sub(stop, b.srem(b.sub(stop, start), e.int(TURNS))) if TURNS > 1 else stop
        paired = most(e, paired, start)
        for low, high, some in ((start, paired, TURNS), (paired, stop, 1)):
            with e.loop(low, high, some) as c0:
                columns = [b.add(c0, e.int(k)) for k in range(some)]
                numbers = [[e.splat(b.fneg(u), self.lanes) for u in times(c)] for c in columns]
                places = [self.column(c) for c in columns]
                with e.loop(first, rows, self.lanes) as i:
                    values = [e.load(factor, i, self.kind, self.lanes) for factor in factors]
                    for place, of_column in zip(places, numbers, strict=True):
                        total = e.load(place, i, self.kind, self.lanes)
                        for value, number in zip(values, of_column, strict=True):
                            total = multiply_add(e, value, number, total)
                        e.store(total, place, i)


class Pivoted(NamedTuple):
    """Columns p … p + w of a square matrix as factors with partial pivoting; other columns have their rows exchanged.

    args: matrices, panels (w + INNER columns of `length`), pivots (whole numbers), count, n, p, w, length, panels'
    bytes.  Below the first w rows a panel is left as the negative of the factor; where threads share the matrices
    (`split`), each has a panel of its own.  A column of zeros is left as it is.
    """

    code: str
    split: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, panels, pivots = (args.pointer() for _ in range(3))
        count, n, p, w, length, size = args.ints(6)
        kind = pointwise.register_type(self.code)
        thread, start, stop = e.int(0), e.int(0), count
        if self.split:
            thread, _ = args.team()
            start, stop = args.share(count, 1)
        rows, begin = b.sub(n, p), b.mul(p, b.add(n, e.int(1)))
        with e.loop(start, stop) as number:
            matrix = e.at(a, b.mul(number, b.mul(n, n)), kind)
            mine = e.at(panels, b.mul(thread if self.split else number, size), ir.IntType(8))
            panel = Columns(e, self.code, mine, length)
            corner = e.at(matrix, begin, kind)
            panel.read(corner, n, rows, w)
            block = e.at(matrix, b.mul(p, n), kind)
            order = e.at(pivots, b.add(b.mul(number, n), p), INT)

            def one(j: ir.Value, panel: Any = panel, block: Any = block, order: Any = order, first: Any = None) -> None:
                at = self._search(e, panel, j, rows)
                e.store(b.add(at, p), order, j)
                with b.if_then(b.icmp_signed("!=", at, j)):
                    with e.loop(0, b.add(w, e.int(INNER))) as c:
                        place = panel.column(c)
                        x, y = e.load(place, j, kind), e.load(place, at, kind)
                        e.store(y, place, j)
                        e.store(x, place, at)
                    exchange(e, kind, block, n, j, at, n)
                pivot = panel.entry(j, j)
                scale = b.select(b.fcmp_ordered("==", pivot, constant(kind, 0.0)), constant(kind, 0.0),
                                 b.fdiv(constant(kind, 1.0), pivot))  # fmt: skip
                factor, here = panel.column(b.add(w, b.sub(j, first))), panel.column(j)
                many = e.splat(scale, panel.lanes)
                nought = constant(many.type, 0.0)
                with e.loop(panel.begin(first), rows, panel.lanes) as i:
                    value = e.load(here, i, kind, panel.lanes)
                    above = lane_mask(e, b.add(b.sub(j, i), e.int(1)), kind, panel.lanes)
                    multiple = b.fmul(value, many)
                    e.store(b.select(above, nought, multiple), factor, i)
                    e.store(b.select(above, value, multiple), here, i)

            with e.loop(0, w, INNER) as j0:
                end = least(e, b.add(j0, e.int(INNER)), w)
                with e.loop(j0, end) as j:
                    one(j, first=j0)
                    panel.subtract(
                        [panel.column(b.add(w, b.sub(j, j0)))], panel.begin(j), rows, (b.add(j, e.int(1)), end),
                        lambda c, j=j, panel=panel: [panel.entry(j, c)],
                    )  # fmt: skip

                def upper(c: ir.Value, j0: Any = j0, panel: Any = panel) -> list[ir.Value]:
                    found: list[ir.Value] = []
                    for k in range(INNER):
                        row = b.add(j0, e.int(k))
                        value = panel.entry(row, c)
                        for q, above in enumerate(found):
                            value = multiply_add(e, panel.entry(row, b.add(j0, e.int(q))), b.fneg(above), value)
                        found.append(value)
                    return found

                panel.subtract([panel.column(b.add(w, e.int(k))) for k in range(INNER)], panel.begin(j0), rows,
                               (end, w), upper)  # fmt: skip
            panel.write(corner, n, rows, w)
            with e.loop(0, w) as c, e.loop(w, rows, panel.lanes) as i:
                e.store(b.fneg(e.load(panel.column(c), i, kind, panel.lanes)), panel.column(c), i)
        b.ret(e.int(0))

    def _search(self, e: Emitter, panel: Columns, j: ir.Value, rows: ir.Value) -> ir.Value:
        """The first row of the largest entry from the diagonal on."""
        b, kind, lanes = e.b, panel.kind, panel.lanes
        here, vector = panel.column(j), ir.VectorType(panel.kind, lanes)
        number = ir.VectorType(INT, lanes)
        steps = ir.Constant(number, list(range(lanes)))

        def larger(i: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
            size = e.intrinsic("fabs", e.load(here, i, kind, lanes))
            left = lane_mask(e, b.sub(j, i), kind, lanes)
            size = b.select(left, constant(vector, -1.0), size)
            more = b.fcmp_ordered(">", size, best[1])
            return [b.select(more, e.splat(i, lanes), best[0]), b.select(more, size, best[1])]

        initial = [e.splat(panel.begin(j), lanes), constant(vector, -1.0)]
        at, size = fold(e, panel.begin(j), rows, lanes, initial, larger)
        at = b.add(at, steps)
        best = [j, constant(kind, -0.5)]
        for lane in range(lanes):
            place, value = (b.extract_element(x, ir.Constant(ir.IntType(32), lane)) for x in (at, size))
            tie = b.and_(b.fcmp_ordered("==", value, best[1]), b.icmp_signed("<", place, best[0]))
            more = b.or_(b.fcmp_ordered(">", value, best[1]), tie)
            best = [b.select(more, place, best[0]), b.select(more, value, best[1])]
        return best[0]


class Cholesky(NamedTuple):
    """Columns p … p + w of lower factors, zeros above them; 1 where a matrix is not positive definite.

    args: matrices, factors, products (rows × w, subtracted first), panels (w columns of `length`), count, n, p, w,
    length, panels' bytes; `first`: nothing is subtracted.
    """

    code: str
    first: bool
    split: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, made, products, panels = (args.pointer() for _ in range(4))
        count, n, p, w, length, size = args.ints(6)
        kind = pointwise.register_type(self.code)
        thread, start, stop = e.int(0), e.int(0), count
        if self.split:
            thread, _ = args.team()
            start, stop = args.share(count, 1)
        rows, begin = b.sub(n, p), b.mul(p, b.add(n, e.int(1)))
        with e.loop(start, stop) as number:
            square = b.mul(number, b.mul(n, n))
            panel = Columns(e, self.code, e.at(panels, b.mul(thread, size), ir.IntType(8)), length)
            source, target = (e.at(x, b.add(square, begin), kind) for x in (a, made))
            if not self.first:
                product = e.at(products, b.mul(number, b.mul(rows, w)), kind)
                _difference(e, panel, source, n, product, w, target, rows)
                source = target
            panel.read(source, n, rows, w)
            with e.loop(0, w, INNER) as j0:
                end = least(e, b.add(j0, e.int(INNER)), w)
                with e.loop(j0, end) as j:
                    pivot, here = panel.entry(j, j), panel.column(j)
                    good = b.and_(b.fcmp_ordered(">", pivot, constant(kind, 0.0)),
                                  b.fcmp_ordered("<", pivot, constant(kind, float("inf"))))  # fmt: skip
                    with b.if_then(b.not_(good), likely=False):
                        b.ret(e.int(1))
                    root = e.intrinsic("sqrt", pivot)
                    scale = e.splat(b.fdiv(constant(kind, 1.0), root), panel.lanes)
                    with e.loop(panel.begin(j), rows, panel.lanes) as i:
                        e.store(b.fmul(e.load(here, i, kind, panel.lanes), scale), here, i)
                    e.store(root, here, j)
                    panel.subtract([here], panel.begin(j), rows, (b.add(j, e.int(1)), end),
                                   lambda c, j=j, panel=panel: [panel.entry(c, j)])  # fmt: skip
                lefts = [b.add(j0, e.int(k)) for k in range(INNER)]
                panel.subtract([panel.column(j) for j in lefts], panel.begin(j0), rows, (end, w),
                               lambda c, lefts=lefts, panel=panel: [panel.entry(c, j) for j in lefts])  # fmt: skip
            with e.loop(1, w) as c, e.loop(0, c) as i:
                e.store(constant(kind, 0.0), panel.column(c), i)
            panel.write(target, n, rows, w)
            beyond = b.add(p, w)
            with e.loop(p, beyond) as i:
                line = e.at(made, b.add(square, b.mul(i, n)), kind)
                with e.loop(beyond, n) as c:
                    e.store(constant(kind, 0.0), line, c)
        b.ret(e.int(0))


def _difference(
    e: Emitter, panel: Columns, a: ir.Value, stride: ir.Value, product: ir.Value, w: ir.Value, target: ir.Value,
    rows: ir.Value,
) -> None:  # fmt: skip
    """target = a − product, w columns of some rows."""
    b, kind, lanes = e.b, panel.kind, panel.lanes
    even = b.and_(w, e.int(-lanes))
    with e.loop(0, rows) as i:
        line, other = b.mul(i, stride), b.mul(i, w)
        for start, stop, some in ((e.int(0), even, lanes), (even, w, 1)):
            with e.loop(start, stop, some) as c:
                place = b.add(line, c)
                value = b.fsub(e.load(a, place, kind, some), e.load(product, b.add(other, c), kind, some))
                e.store(value, target, place)


def exchange(e: Emitter, kind: ir.Type, rows: ir.Value, stride: ir.Value, p: ir.Value, q: ir.Value, width: ir.Value) -> None:
    """Two rows change their places."""
    b, lanes = e.b, lanes_of(kind)
    first, second = (e.at(rows, b.mul(x, stride), kind) for x in (p, q))
    even = b.and_(width, e.int(-lanes))
    for start, stop, some in ((e.int(0), even, lanes), (even, width, 1)):
        with e.loop(start, stop, some) as j:
            x, y = e.load(first, j, kind, some), e.load(second, j, kind, some)
            e.store(y, first, j)
            e.store(x, second, j)


class Exchanges(NamedTuple):
    """Rows of x change places as pivots say, in their order or backwards; args: x, pivots, count, n, columns."""

    code: str
    backwards: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        x, pivots = args.pointer(), args.pointer()
        count, n, k = args.ints(3)
        kind = pointwise.register_type(self.code)
        with e.loop(0, count) as number:
            rows = e.at(x, b.mul(number, b.mul(n, k)), kind)
            with e.loop(0, n) as i:
                j = b.sub(b.sub(n, e.int(1)), i) if self.backwards else i
                at = e.load(pivots, b.add(b.mul(number, n), j), INT)
                with b.if_then(b.icmp_signed("!=", at, j)):
                    exchange(e, kind, rows, k, j, at, k)
        b.ret(e.int(0))


class Regular(NamedTuple):
    """1 if an entry on a diagonal is zero or not finite, or its reciprocal is; args: matrices, count, n."""

    code: str

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
        lanes, vectors = lanes_of(kind), registers() // 8
        begin, end, start, stop = e.int(0), count, e.int(0), k
        if self.split == "columns":
            start, stop = args.share(k, vectors * lanes)
        elif self.split:
            begin, end = args.share(count, 1)
        with e.loop(begin, end) as number:
            square, rows = (
                e.at(p, b.mul(number, step), kind) for p, step in ((t, t_next), (x, x_next))
            )
            other = e.at(products, b.mul(number, of_next), kind)
            width = b.sub(stop, start)
            even = b.add(start, b.sub(width, b.srem(width, e.int(vectors * lanes))))

            def entry(i: ir.Value, q: ir.Value, square: Any = square) -> ir.Value:
                return e.load(square, b.add(b.mul(i, t_row), b.mul(q, t_column)), kind)

            def block(i: ir.Value, height: int, column: ir.Value, many: int, left: Any, rows=rows, other=other) -> None:
                """Rows i … i + height; their order is that in which they are found."""
                masks = None if left is None else lane_mask(e, left, kind, lanes)

                def load(place: ir.Value, at: ir.Value, v: int) -> ir.Value:
                    address = e.at(e.at(place, at, kind), v * lanes, kind)
                    return e.load(address, 0, kind, lanes) if masks is None else masked_load(
                        e, address, kind, lanes, masks)  # fmt: skip

                numbers = [b.add(i, e.int(r)) if self.lower else b.sub(i, e.int(r)) for r in range(height)]
                totals = []
                for row in numbers:
                    at = b.add(b.mul(row, x_row), column)
                    values = [load(rows, at, v) for v in range(many)]
                    if not self.first:
                        place = b.add(b.mul(row, of_row), column)
                        values = [b.fsub(value, load(other, place, v)) for v, value in enumerate(values)]
                    totals += values

                def less(q: ir.Value, so_far: list[ir.Value]) -> list[ir.Value]:
                    at = b.add(b.mul(q, x_row), column)
                    known = [load(rows, at, v) for v in range(many)]
                    made = []
                    for r, row in enumerate(numbers):
                        number = e.splat(b.fneg(entry(row, q)), lanes)
                        made += [multiply_add(e, number, known[v], so_far[r * many + v]) for v in range(many)]
                    return made

                if self.lower:
                    totals = fold(e, 0, i, 1, totals, less)
                else:
                    totals = fold(e, b.add(i, e.int(1)), w, 1, totals, less)
                for r, row in enumerate(numbers):
                    mine = totals[r * many : (r + 1) * many]
                    for q in range(r):
                        number = e.splat(b.fneg(entry(row, numbers[q])), lanes)
                        mine = [multiply_add(e, number, totals[q * many + v], mine[v]) for v in range(many)]
                    if not self.unit:
                        scale = e.splat(b.fdiv(constant(kind, 1.0), entry(row, row)), lanes)
                        mine = [b.fmul(value, scale) for value in mine]
                    totals[r * many : (r + 1) * many] = mine
                    for v, value in enumerate(mine):
                        place = e.at(e.at(rows, b.add(b.mul(row, x_row), column), kind), v * lanes, kind)
                        if left is None:
                            e.store(value, place, 0)
                        else:
                            _store_some(e, value, place, left)

            def columns(column: ir.Value, many: int, left: Any, block: Any = block) -> None:
                last = b.sub(w, e.int(1))
                whole = b.and_(w, e.int(-4))
                with e.loop(0, whole, 4) as i:
                    block(i if self.lower else b.sub(last, i), 4, column, many, left)
                with e.loop(whole, w) as i:
                    block(i if self.lower else b.sub(last, i), 1, column, many, left)

            with e.loop(start, even, vectors * lanes) as column:
                columns(column, vectors, None)
            with e.loop(even, stop, lanes) as column:
                columns(column, 1, least(e, b.sub(stop, column), e.int(lanes)))
        b.ret(e.int(0))


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
                half = b.ashr(exponent, e.int(1))  # in two steps, for neither half leaves the range before the whole does
                value = mantissa
                for part in (half, b.sub(exponent, half)):
                    part = most(e, least(e, part, e.int(bias)), e.int(1 - bias))
                    part = part if bits == 64 else b.trunc(part, whole)
                    value = b.fmul(value, b.bitcast(b.shl(b.add(part, whole(bias)), whole(digits)), kind))
                e.store(value, signs, number)
        b.ret(e.int(0))
