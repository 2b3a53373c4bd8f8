"""A matrix by one vector: of rows that are contiguous, several sums at a time, which are added across together; of
columns, several rows at a time, each by its factor, added to what there is."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, INT32, Emitter, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.across import across_together
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.products.blocked.packing import least
from payback.native.lower.products.blocked.tile import fetch, multiply_add, registers

ROWS = 8  # at a time, or as many as a vector has lanes
UNROLLED = 16  # vectors of a row up to which there is no loop
LONGEST = 512  # entries of a row
CACHE = 1 << 20  # bytes of rows that stay in a second cache
COLUMNS, BLOCK, LINE = 8, 256, 4  # vectors of columns: from which on rows are added up; at a time; that threads share


class Dots(NamedTuple):
    """A kernel with the arguments of `Product`: B holds the rows, each contiguous and so long; A is the vector.

    length  of a row; 0: it is known when the program runs, and the vector is contiguous
    lanes   of a vector, which is no longer than a row
    ahead   lines of other memory that are fetched beside each row, as in `Narrow`
    split   whether threads share the rows, or the first axis of a batch
    far     whether they come from memory: one after another then, which is what processors fetch ahead
    batch   axes of many products
    """

    code: str
    length: int
    lanes: int
    ahead: int = 0
    split: bool = False
    far: bool = False
    batch: int = 0

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        vector, rows, result, _ = (args.pointer() for _ in range(4))
        _, n, k, _, step, _, stride, _, _, _, _ = args.ints(11)
        axes = [args.ints(4) for _ in range(self.batch)]
        ahead = (args.pointer(), args.int()) if self.ahead else None
        kind = pointwise.register_type(self.code)

        def run(axis: int, vector: ir.Value, rows: ir.Value, result: ir.Value) -> None:
            if axis < self.batch:
                extent, *moves = axes[axis]
                start, stop = args.share(extent, 1) if self.split and not axis else (e.int(0), extent)
                with e.loop(start, stop) as i:
                    there = zip((vector, rows, result), moves, strict=True)
                    run(axis + 1, *[e.at(pointer, b.mul(i, move), kind) for pointer, move in there])
                return
            start, stop = e.int(0), n
            if self.split and not self.batch:
                start, stop = args.share(n, max(ROWS, self.lanes))
            self._product(e, kind, (start, stop, n, k), vector, step, rows, stride, result, ahead)

        run(0, vector, rows, result)
        b.ret(e.int(0))

    def _product(
        self, e: Emitter, kind: ir.Type, sizes: tuple[ir.Value, ...], vector: ir.Value, step: ir.Value, rows: ir.Value,
        stride: ir.Value, result: ir.Value, ahead: Any,
    ) -> None:  # fmt: skip
        b, lanes, (start, stop, n, k) = e.b, self.lanes, sizes
        count = max(ROWS, lanes)
        own = self._contiguous(e, kind, vector, step) if self.length else vector
        with e.loop(start, stop, count) as i:
            first = least(e, i, b.sub(n, e.int(count)))  # the last ones again, where fewer are left
            if ahead is not None:
                for r in range(count):
                    fetch(e, e.at(ahead[0], b.mul(b.add(first, e.int(r)), ahead[1]), BYTE), self.ahead)
            places = [e.at(rows, b.mul(b.add(first, e.int(r)), stride), kind) for r in range(count)]
            if self.length:
                sums = self._sums(e, kind, own, places)
            else:  # of a few rows the addresses are in registers
                several = 1 if self.far else ROWS
                groups = [places[r : r + several] for r in range(0, count, several)]
                sums = [total for group in groups for total in self._long_sums(e, kind, own, group, k)]
            for start in range(0, count, lanes):
                across = across_together(e, sums[start : start + lanes], lanes, e.b.fadd)
                e.store(across, result, b.add(first, e.int(start)))

    def _contiguous(self, e: Emitter, kind: ir.Type, vector: ir.Value, step: ir.Value) -> ir.Value:
        """The vector in memory of the kernel's own: entries one after another."""
        own = e.b.alloca(ir.ArrayType(kind, self.length))
        with e.loop(0, self.length) as i:
            e.store(e.load(vector, e.b.mul(i, step), kind), own, i)
        return own

    def _sums(self, e: Emitter, kind: ir.Type, vector: ir.Value, rows: list[ir.Value]) -> list[ir.Value]:
        """Of one row after another, as in `far`."""
        lanes = self.lanes
        whole, rest = self.length - self.length % lanes, self.length % lanes

        def add(row: ir.Value, at: Any, total: ir.Value, there: int = 0) -> ir.Value:
            factor, value = (_without(e, e.load(each, at, kind, lanes), there) for each in (vector, row))
            return multiply_add(e, value, factor, total)

        sums = []
        for row in rows:
            total = ir.Constant(ir.VectorType(kind, lanes), None)
            if whole <= UNROLLED * lanes:
                for at in range(0, whole, lanes):
                    total = add(row, at, total)
            else:
                (total,) = fold(e, 0, whole, lanes, [total], lambda at, one, row=row: [add(row, at, one[0])])
            sums.append(add(row, self.length - lanes, total, lanes - rest) if rest else total)
        return sums

    def _long_sums(
        self, e: Emitter, kind: ir.Type, vector: ir.Value, rows: list[ir.Value], length: ir.Value
    ) -> list[ir.Value]:
        b, lanes = e.b, self.lanes

        def add(at: ir.Value, sums: list[ir.Value], mask: ir.Value | None = None) -> list[ir.Value]:
            def read(pointer: ir.Value) -> ir.Value:
                value = e.load(pointer, at, kind, lanes)
                return value if mask is None else b.select(mask, value, ir.Constant(value.type, None))

            factor = read(vector)
            return [multiply_add(e, read(row), factor, total) for row, total in zip(rows, sums, strict=True)]

        sums = [ir.Constant(ir.VectorType(kind, lanes), None)] * len(rows)
        whole = b.and_(b.sub(length, e.int(1)), e.int(-lanes))
        sums = fold(e, 0, whole, lanes, sums, add)
        last = b.sub(length, e.int(lanes))  # the first lanes of the last vector may have been added already
        numbers = ir.Constant(ir.VectorType(INT, lanes), [INT(lane) for lane in range(lanes)])
        return add(last, sums, b.icmp_signed(">=", b.add(numbers, e.splat(last, lanes)), e.splat(whole, lanes)))


def _without(e: Emitter, value: ir.Value, count: int) -> ir.Value:
    """The first lanes, which were added already, as zeros."""
    if not count:
        return value
    lanes = value.type.count
    order = [lanes + lane if lane < count else lane for lane in range(lanes)]
    return e.b.shuffle_vector(value, ir.Constant(value.type, None), ir.Constant(ir.VectorType(INT32, lanes), order))


class Combined(NamedTuple):
    """A kernel with the arguments of `Product`: B holds rows, each contiguous, A the factors, and C their sum.

    Some columns at a time, so that C stays in the first cache; split: whether threads share the columns.
    """

    code: str
    split: bool = False

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        factors, rows, result, _ = (args.pointer() for _ in range(4))
        _, n, k, _, step, stride, _, _, _, _, _ = args.ints(11)
        kind = pointwise.register_type(self.code)
        lanes = lanes_of(kind)
        start, stop = args.share(n, LINE * lanes) if self.split else (e.int(0), n)
        several = b.and_(k, e.int(-ROWS))

        def add(begin: ir.Value, end: ir.Value, first: ir.Value, count: int) -> None:
            """So many rows to the columns from begin to end."""
            numbers = [b.add(first, e.int(r)) for r in range(count)]
            by = [e.load(factors, b.mul(row, step), kind) for row in numbers]
            places = [e.at(rows, b.mul(row, stride), kind) for row in numbers]

            def columns(low: ir.Value, high: ir.Value, wide: int) -> None:
                spread = [e.splat(factor, wide) for factor in by]
                with e.loop(low, high, wide) as j:
                    total = b.fmul(e.load(places[0], j, kind, wide), spread[0])
                    for place, factor in zip(places[1:], spread[1:], strict=True):
                        total = multiply_add(e, e.load(place, j, kind, wide), factor, total)
                    e.store(b.fadd(e.load(result, j, kind, wide), total), result, j)

            whole = b.add(begin, b.and_(b.sub(end, begin), e.int(-lanes)))
            columns(begin, whole, lanes)
            columns(whole, end, 1)

        with e.loop(start, stop, BLOCK * lanes) as begin:
            end = least(e, b.add(begin, e.int(BLOCK * lanes)), stop)
            with e.loop(begin, end) as j:
                e.store(ir.Constant(kind, -0.0), result, j)
            with e.loop(0, several, ROWS) as row:
                add(begin, end, row, ROWS)
            with e.loop(several, k) as row:
                add(begin, end, row, 1)
        b.ret(e.int(0))


def by_vector(
    code: str, after: Any, batch: int, plus: bool, numbers: tuple[int, ...], few: Any, split: bool
) -> Dots | Combined | None:
    """The kernel for a product with a vector; numbers: as in `Product`.  few: takes one for rows so long, in a band."""
    m, n, k, _, a1, b0, b1, _, c1 = numbers[:9]
    if after is not None or plus or (m, c1) != (1, 1) or not n or not k or (batch and few is not None):
        return None
    wide = lanes_of(pointwise.register_type(code))
    if few is None and not batch and b1 == 1 and n >= COLUMNS * wide and k >= ROWS:
        return Combined(code, split)
    lanes = min(wide, 1 << k.bit_length() - 1)
    rows = max(ROWS, lanes)
    if b0 != 1 or n < rows or lanes == 1 or registers() < 2 * rows:
        return None
    if few is not None:
        made: Dots | None = few.take(Dots(code, k, lanes)) if k <= LONGEST else None
        return made
    far = n * k * itemsize(pointwise.register_type(code)) > CACHE
    return Dots(code, 0, lanes, split=split, far=far, batch=batch) if a1 == 1 else None
