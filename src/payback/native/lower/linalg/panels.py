"""Kernels of dense linear algebra: panels of factors, and exchanges of rows.

What a blocked factorization does between its products (Golub & Van Loan, Matrix Computations, §3.2.11 and §4.2.9).  A
panel is held by columns, so that vectors run down them; a pivot's row is found as LAPACK finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, INT32, POINTER, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.products.blocked.packing import function, least, most, turned
from payback.native.lower.products.blocked.place import lane_mask
from payback.native.lower.products.blocked.tile import multiply_add

INNER = 4  # columns whose multiples are taken from those to their right together
TURNS = 2  # columns from which they are taken together


def length_of(e: Emitter | None, rows: Any, lanes: int) -> Any:
    """Of a panel's columns, in code or (e None) now: an odd number of vectors, so that they do not push each other out
    of the first cache."""
    if e is None:
        return (-(-rows // lanes) | 1) * lanes
    b = e.b
    return b.mul(b.or_(b.udiv(b.add(rows, e.int(lanes - 1)), e.int(lanes)), e.int(1)), e.int(lanes))


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

    def _turned(
        self, rows: ir.Value, columns: ir.Value, source: Any, step: ir.Value, target: Any, to: ir.Value
    ) -> None:
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
        factorized = pivoted(e, self.code)
        with e.loop(start, stop) as number:
            matrix = e.at(a, b.mul(number, b.mul(n, n)), kind)
            mine = e.at(panels, b.mul(thread if self.split else number, size), BYTE)
            order = e.at(pivots, b.mul(number, n), INT)
            b.call(factorized, [matrix, n, n, p, w, mine, length, order])
        b.ret(e.int(0))


def pivoted(e: Emitter, code: str) -> ir.Function:
    """`void pivoted(matrix, row stride, n, p, w, panel, length, pivots)`: what `Pivoted` does to one matrix."""
    name = f"payback.pivoted.{code}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, [POINTER, INT, INT, INT, INT, POINTER, INT, POINTER])
    matrix, stride, n, p, w, memory, length, pivots = made.args
    b = e.b
    panel = Columns(e, code, memory, length)
    kind, lanes = panel.kind, panel.lanes
    rows, block, order = b.sub(n, p), e.at(matrix, b.mul(p, stride), kind), e.at(pivots, p, INT)
    corner = e.at(block, p, kind)
    panel.read(corner, stride, rows, w)

    def one(j: ir.Value, first: ir.Value) -> None:
        """A pivot is found, and its column becomes factors: in its place, and beside the panel with zeros above."""
        at = _search(e, panel, j, rows)
        e.store(b.add(at, p), order, j)
        with b.if_then(b.icmp_signed("!=", at, j)):
            with e.loop(0, b.add(w, e.int(INNER))) as c:
                place = panel.column(c)
                x, y = e.load(place, j, kind), e.load(place, at, kind)
                e.store(y, place, j)
                e.store(x, place, at)
            exchange(e, kind, block, stride, j, at, n)
        pivot, nought = panel.entry(j, j), constant(kind, 0.0)
        scale = b.fdiv(constant(kind, 1.0), pivot)
        many = e.splat(b.select(b.fcmp_ordered("==", pivot, nought), nought, scale), lanes)
        factor, here = panel.column(b.add(w, b.sub(j, first))), panel.column(j)
        with e.loop(panel.begin(first), rows, lanes) as i:
            value = e.load(here, i, kind, lanes)
            above = lane_mask(e, b.add(b.sub(j, i), e.int(1)), kind, lanes)
            multiple = b.fmul(value, many)
            e.store(b.select(above, constant(many.type, 0.0), multiple), factor, i)
            e.store(b.select(above, value, multiple), here, i)

    with e.loop(0, w, INNER) as j0:
        end = least(e, b.add(j0, e.int(INNER)), w)
        with e.loop(j0, end) as j:
            one(j, j0)
            beside = panel.column(b.add(w, b.sub(j, j0)))
            left = b.add(j, e.int(1)), end
            panel.subtract([beside], panel.begin(j), rows, left, lambda c, j=j: [panel.entry(j, c)])

        def upper(c: ir.Value, j0: Any = j0) -> list[ir.Value]:
            """Entries of the upper factor, from the first pivot's row down."""
            found: list[ir.Value] = []
            for k in range(INNER):
                row = b.add(j0, e.int(k))
                value = panel.entry(row, c)
                for q, above in enumerate(found):
                    value = multiply_add(e, panel.entry(row, b.add(j0, e.int(q))), b.fneg(above), value)
                found.append(value)
            return found

        beside_all = [panel.column(b.add(w, e.int(k))) for k in range(INNER)]
        panel.subtract(beside_all, panel.begin(j0), rows, (end, w), upper)
    panel.write(corner, stride, rows, w)
    with e.loop(0, w) as c, e.loop(w, rows, lanes) as i:
        e.store(b.fneg(e.load(panel.column(c), i, kind, lanes)), panel.column(c), i)
    b.ret_void()
    return made


def _search(e: Emitter, panel: Columns, j: ir.Value, rows: ir.Value) -> ir.Value:
    """The first row of the largest entry of a column from the diagonal on."""
    b, kind, lanes = e.b, panel.kind, panel.lanes
    here, vector = panel.column(j), ir.VectorType(panel.kind, lanes)
    steps = ir.Constant(ir.VectorType(INT, lanes), list(range(lanes)))

    def larger(i: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
        size = e.intrinsic("fabs", e.load(here, i, kind, lanes))
        size = b.select(lane_mask(e, b.sub(j, i), kind, lanes), constant(vector, -1.0), size)
        more = b.fcmp_ordered(">", size, best[1])
        return [b.select(more, e.splat(i, lanes), best[0]), b.select(more, size, best[1])]

    initial = [e.splat(panel.begin(j), lanes), constant(vector, -1.0)]
    at, size = fold(e, panel.begin(j), rows, lanes, initial, larger)
    at = b.add(at, steps)
    best = [j, constant(kind, -0.5)]
    for lane in range(lanes):
        place, value = (b.extract_element(x, ir.Constant(INT32, lane)) for x in (at, size))
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
    stops = True

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
            panel = Columns(e, self.code, e.at(panels, b.mul(thread, size), BYTE), length)
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


def exchange(
    e: Emitter, kind: ir.Type, rows: ir.Value, stride: ir.Value, p: ir.Value, q: ir.Value, width: ir.Value
) -> None:
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
