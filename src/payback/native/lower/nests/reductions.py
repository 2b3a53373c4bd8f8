"""The reductions of a loop nest: rows that are summed, and columns that are.

A sum is a fixed tree: partial sums of at most a chunk's entries, in the dtype, are added up in float64, always in the
same order, whichever way the loops go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from payback.native import ir
from payback.native.lower import pointwise
from payback.native.lower.across import across_together
from payback.native.lower.kernel import fold
from payback.native.lower.nests.stages import AT_ONCE, VECTORS
from payback.native.lower.nests.totals import Totals
from payback.native.lower.products.blocked.place import lane_mask
from payback.native.lower.products.blocked.tile import registers
from payback.native.vector_math import FORMULAS

ROW_CHUNK, COLUMN_CHUNK, SHORT_ROWS = 4096, 512, 1024  # entries of a row, of a column, and of several short rows
LIGHT, LONG = 6, 40  # a body of so few operations is repeated for several accumulators, and one of so many seldom
ABREAST = 512  # columns whose sums lie in the first cache, beside the rows that are added to them


class Reductions(Totals):
    """Loops around the body that sum rows or columns."""

    def _outer(self, axis: int, end: int, offsets: list[ir.Value], body: Callable[[list[ir.Value]], None]) -> None:
        if axis == end:
            body(offsets)
            return
        start, stop = self.e.int(0), self.extents[axis]
        if axis == 0 and self.key.split and self.key.outer:  # a reduced axis is every thread's: they share columns then
            start, stop = self.args.share(stop, 1)
        with self.e.loop(start, stop) as i:
            self._outer(axis + 1, end, self.moved(offsets, axis, i), body)

    def _kept(self, axis: int, offsets: list[ir.Value]) -> None:
        if self.key.together:
            self._outer(0, self.key.outer - self.key.together, offsets, self._together)
            return
        self._outer(0, self.key.outer, offsets, self._columns if self.key.inner == "k" else self._row)

    def _chunks(self, n: ir.Value, size: Any, body: Callable[[ir.Value, ir.Value], None]) -> None:
        b = self.e.b
        with self.e.loop(0, n, size) as start:
            end = b.add(start, self.e.int(size) if isinstance(size, int) else size)
            body(start, b.select(b.icmp_signed("<", end, n), end, n))

    def _row(self, offsets: list[ir.Value]) -> None:
        """The inner axis is reduced (or there is none but reduced axes of extent 1)."""
        key = self.key
        self._open(1, 1)

        def row(offsets: list[ir.Value]) -> None:
            self.hold(1, offsets)
            if key.lanes > 1:
                self.hold(key.vector, offsets)
            if not key.inner:
                values = self.evaluate(offsets, 1)
                self.sink(values, offsets, 1)
                for sink in self.reductions:
                    self._flush(sink, 1, 0, values[sink[2]])
                return
            self._chunks(self.extents[-1], ROW_CHUNK, lambda start, end: self._row_part(offsets, start, end))

        loops = key.outer + key.reduced
        self._outer(key.outer, loops - key.onward, offsets, self._rows_onward if key.onward else row)
        self._close(offsets, 1, 1)

    def _rows_onward(self, offsets: list[ir.Value]) -> None:
        """Short rows: sums by lanes go on from one row to the next, until they have a chunk's entries."""
        key, e, b = self.key, self.e, self.e.b
        last, n = key.outer + key.reduced - 1, self.extents[-1]
        with b.goto_entry_block():
            together = b.udiv(e.int(SHORT_ROWS), n)

        def row(r: ir.Value, vectors: list[ir.Value]) -> list[ir.Value]:
            here = self.moved(offsets, last, r)
            self.hold(1, here)
            self.hold(key.lanes, here)
            return self._row_vectors(here, e.int(0), n, vectors)[1]

        def rows(start: ir.Value, end: ir.Value) -> None:
            vectors = fold(e, start, end, 1, self._units(key.lanes), row)
            for sink, vector in zip(self.reductions, vectors, strict=True):
                self._flush(sink, 1, 0, self._across(sink, vector))

        self._chunks(self.extents[last], together, rows)

    def _row_part(self, offsets: list[ir.Value], start: ir.Value, end: ir.Value) -> None:
        e, lanes, many = self.e, self.key.lanes, len(self.reductions)
        if self.key.staged:
            start, *vectors = self._in_stages(offsets, start, end, self._units(lanes) + self._units(self.key.vector))
            pairs = vectors[:many], vectors[many:]
            pairs = pairs[0], fold(e, start, end, self.key.vector, pairs[1],
                                   lambda i, so_far: self._rest(offsets, i, end, so_far))  # fmt: skip
            for sink, *parts in zip(self.reductions, *pairs, strict=True):
                joined = self.joined(sink, self.code(sink), *[self._across(sink, vector) for vector in parts])
                self._flush(sink, 1, 0, joined)
            return
        singles = self._units(1)
        if lanes > 1:
            start, vectors = self._row_vectors(offsets, start, end)
            singles = [self._across(sink, vector) for sink, vector in zip(self.reductions, vectors, strict=True)]
        if lanes == 1 or not self.may_mask():
            singles = fold(e, start, end, 1, singles, self._row_body(offsets, 1))
        for sink, part in zip(self.reductions, singles, strict=True):
            self._flush(sink, 1, 0, part)

    def _row_body(self, offsets: list[ir.Value], lanes: int) -> Callable[[ir.Value, list[ir.Value]], list[ir.Value]]:
        """What is added at a place of a row, to as many accumulators as there are."""
        e, many = self.e, len(self.reductions)

        def body(i: ir.Value, accumulators: list[ir.Value]) -> list[ir.Value]:
            if lanes > 1:
                self.fetch(i)
            made: list[ir.Value] = []
            for k in range(len(accumulators) // many):
                here = self.along(offsets, e.b.add(i, e.int(k * lanes)) if k else i)
                values = self.evaluate(here, lanes)
                self.sink(values, here, lanes)
                made += self._parts(values, accumulators[k * many : (k + 1) * many])
            return made

        return body

    def _row_vectors(
        self, offsets: list[ir.Value], start: ir.Value, end: ir.Value, before: list[ir.Value] | None = None
    ) -> tuple[ir.Value, list[ir.Value]]:
        """A row's sums by lanes, and those of rows before it; and where they end: at the last whole vector, or with the
        row where that is masked."""
        e, b, lanes, many = self.e, self.e.b, self.key.lanes, len(self.reductions)
        copies = 1 if before is not None or len(self.key.instrs) > LIGHT else 4
        vectors, body = before or self._units(lanes), self._row_body(offsets, lanes)
        if self.key.single:
            return start, self._rest(offsets, start, end, vectors)
        if copies > 1:
            length = b.and_(b.sub(end, start), e.int(-lanes * copies))
            position = b.add(start, length)
            all_of_them = fold(e, start, position, lanes * copies, vectors * copies, body)
            start, vectors = position, []
            quads = [all_of_them[k::many] for k in range(many)]
            for sink, (a0, a1, a2, a3) in zip(self.reductions, quads, strict=True):
                joined = partial(self.joined, sink, self.code(sink))
                vectors.append(joined(joined(a0, a1), joined(a2, a3)))
        last = b.add(start, b.and_(b.sub(end, start), e.int(-lanes)))
        vectors = fold(e, start, last, lanes, vectors, body)
        if self.may_mask():
            vectors = fold(e, last, end, lanes, vectors, lambda i, so_far: self._rest(offsets, i, end, so_far))
        return last, vectors

    def _together(self, offsets: list[ir.Value]) -> None:
        """As many rows as a vector has lanes: their sums by lanes are added across together, in the order of one.

        They are counted through two loops where few are in the inner one and sums lie side by side all the same.
        """
        key, e, b, lanes = self.key, self.e, self.e.b, self.key.lanes
        last, two = key.outer - 1, key.together > 1
        start, stop = e.int(0), self.extents[last]
        if two:
            stop = b.mul(stop, self.extents[last - 1])
        if key.split and last == key.together - 1:
            start, stop = self.args.share(stop, lanes)
        kinds = [pointwise.register_type(self.code(sink)) for sink in self.reductions]
        with b.goto_entry_block():
            rooms = [b.alloca(ir.ArrayType(kind, lanes * lanes)) for kind in kinds]

        def place(number: ir.Value) -> list[ir.Value]:
            """A row by its number: how often the loops have gone round."""
            if not two:
                return [number]
            around = b.udiv(number, self.extents[last])
            return [around, b.sub(number, b.mul(around, self.extents[last]))]

        def row_of(at: list[ir.Value]) -> list[ir.Value]:
            found = offsets
            for axis, i in enumerate(at, last + 1 - len(at)):
                found = self.moved(found, axis, i)
            return found

        def next_of(at: list[ir.Value]) -> list[ir.Value]:
            inner = b.add(at[-1], e.int(1))
            if not two:
                return [inner]
            ends = b.icmp_signed("==", inner, self.extents[last])
            return [b.select(ends, b.add(at[0], e.int(1)), at[0]), b.select(ends, e.int(0), inner)]

        with e.loop(start, stop, lanes) as first:
            left = b.sub(stop, first)
            count = b.select(b.icmp_signed("<", left, e.int(lanes)), left, e.int(lanes))
            begin = place(first)

            def add(r: ir.Value, at: list[ir.Value]) -> list[ir.Value]:
                row = row_of(at)
                self.hold(1, row)
                self.hold(lanes, row)
                for room, vector in zip(rooms, self._row_vectors(row, e.int(0), self.extents[-1])[1], strict=True):
                    e.store(vector, room, b.mul(r, e.int(lanes)))
                return next_of(at)

            fold(e, 0, count, 1, begin, add)
            here = row_of(begin)
            self.count = count
            for sink, room, kind in zip(self.reductions, rooms, kinds, strict=True):
                vectors = [e.load(room, r * lanes, kind, lanes) for r in range(lanes)]
                total = across_together(e, vectors, lanes, partial(self.joined, sink, self.code(sink)))
                if self.wide(sink) != self.code(sink):
                    total = b.fpext(total, pointwise.register_type(self.wide(sink), lanes))
                self._end(sink, total, here, lanes)
            self.count = None

    def _in_stages(
        self, offsets: list[ir.Value], start: ir.Value, end: ir.Value, totals: list[ir.Value]
    ) -> list[ir.Value]:
        """Whole vectors, group by group: where they end, and totals of several at once and of single ones."""
        key, e, b = self.key, self.e, self.e.b
        lanes, many = key.vector, len(self.reductions)

        def record(i: ir.Value) -> list[ir.Value]:
            here = self.along(offsets, i)
            values = self.evaluate(here, lanes)
            self.sink(values, here, lanes)
            return [values[sink[2]] for sink in self.reductions]

        stages = self.stages(lanes, record)
        if not stages.fits:
            return self._in_one_piece(offsets, start, end, totals)
        last = b.add(start, b.and_(b.sub(end, start), e.int(-lanes)))

        def group(i: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
            left = b.udiv(b.sub(last, i), e.int(lanes))
            count = b.select(b.icmp_signed("<", left, e.int(VECTORS)), left, e.int(VECTORS))
            here = self.along(offsets, i)
            stages.run(i, count, lambda number, j: self.beside(i, here, len(stages.cuts), number, j))
            if not many:
                return []

            def added(width: int) -> Callable[[ir.Value, list[ir.Value]], list[ir.Value]]:
                return lambda j, so_far: self._parts_of([stages.result(x, j, width) for x in stages.wanted], so_far)

            whole = b.and_(count, e.int(-AT_ONCE))
            wide = fold(e, 0, whole, AT_ONCE, totals[:many], added(key.lanes))
            return wide + fold(e, whole, count, 1, totals[many:], added(lanes))

        return [last, *fold(e, start, last, VECTORS * lanes, totals, group)]

    def _in_one_piece(
        self, offsets: list[ir.Value], start: ir.Value, end: ir.Value, totals: list[ir.Value]
    ) -> list[ir.Value]:
        """The same, several vectors at once: where too much would live from one stage to another."""
        e, b, many = self.e, self.e.b, len(self.reductions)
        self.hold(self.key.lanes, offsets)
        made = []

        def whole(i: ir.Value, totals: list[ir.Value], lanes: int) -> list[ir.Value]:
            self.fetch(i)
            here = self.along(offsets, i)
            values = self.evaluate(here, lanes)
            self.sink(values, here, lanes)
            return self._parts(values, totals)

        with self.written_in("whole"):  # a call would put all that lives beside it in memory
            for lanes, so_far in ((self.key.lanes, totals[:many]), (self.key.vector, totals[many:])):
                last = b.add(start, b.and_(b.sub(end, start), e.int(-lanes)))
                made += fold(e, start, last, lanes, so_far, partial(whole, lanes=lanes))
                start = last
        return [start, *made]

    def _rest(
        self, offsets: list[ir.Value], i: ir.Value, end: ir.Value, accumulators: list[ir.Value]
    ) -> list[ir.Value]:
        """What is left of a row, as a vector some of whose lanes do not exist."""
        e, lanes = self.e, self.key.vector
        here, self.count = self.along(offsets, i), e.b.sub(end, i)
        values = self.evaluate(here, lanes)
        self.sink(values, here, lanes)
        made = []
        for sink, total, unit in zip(self.reductions, accumulators, self._units(lanes), strict=True):
            code = self.code(sink)
            there = lane_mask(e, self.count, pointwise.register_type(code), lanes)
            made.append(self.joined(sink, code, total, e.b.select(there, values[sink[2]], unit)))
        self.count = None
        return made

    def _columns(self, offsets: list[ir.Value]) -> None:
        """The inner axis is kept: several vectors of columns at a time go down the reduced axes."""
        e, b, lanes = self.e, self.e.b, self.key.lanes
        n, done = self.extents[-1], e.int(0)
        if self.key.split and not self.key.outer:
            done, n = self.args.share(n, 4 * lanes)
        if self.key.by_rows:
            with e.loop(done, n, ABREAST) as j:
                self._rows(self.along(offsets, j), b.sub(n, j))
            return
        # a strip of whole lines of the cache, which would be fetched anew for each part of them
        for width in self._widths() if lanes > 1 else ():
            end = b.add(done, b.and_(b.sub(n, done), e.int(-(lanes * width))))
            with e.loop(done, end, lanes * width) as j:
                self._strip(self.along(offsets, j), lanes, width)
            done = end
        masked = lanes > 1 and self.may_mask()
        with e.loop(done, n, lanes if masked else 1) as j:
            self.count = b.sub(n, j) if masked else None
            self._strip(self.along(offsets, j), lanes if masked else 1, 1)
            self.count = None

    def _widths(self) -> tuple[int, ...]:
        """Vectors of a strip: side by side they read more of each row's page; their sums take half of the registers."""
        instrs, most = self.key.instrs, registers() // (2 * len(self.reductions))
        slow = len(instrs) > LONG or any(instr[0] in FORMULAS for instr in instrs)
        choice = ((8, 4, 1), (4, 1), (2, 1))[slow + (len(instrs) > LIGHT) :]
        return next((widths for widths in choice if widths[0] <= most), choice[-1])

    def _strip(self, offsets: list[ir.Value], lanes: int, width: int) -> None:
        key, e, many = self.key, self.e, len(self.reductions)
        last = key.outer + key.reduced - 1
        self._open(lanes, width)

        def down(offsets: list[ir.Value]) -> None:
            def part(start: ir.Value, end: ir.Value) -> None:
                def body(i: ir.Value, accumulators: list[ir.Value]) -> list[ir.Value]:
                    made: list[ir.Value] = []
                    row = self.moved(offsets, last, i)
                    for column in range(width):
                        here = self.along(row, e.int(column * lanes)) if column else row
                        self.hold_anew(lanes, here)
                        values = self.evaluate(here, lanes)
                        self.sink(values, here, lanes)
                        made += self._parts(values, accumulators[column * many : (column + 1) * many])
                    return made

                parts = fold(e, start, end, 1, self._units(lanes) * width, body)
                for column in range(width):
                    for k, sink in enumerate(self.reductions):
                        self._flush(sink, lanes, column, parts[column * many + k])

            self._chunks(self.extents[last], COLUMN_CHUNK, part)

        self._outer(key.outer, last, offsets, down)
        self._close(offsets, lanes, width)

    def _rows(self, offsets: list[ir.Value], left: ir.Value) -> None:
        """Row after row, which is how memory has them: the sums of a chunk of `left` columns or less lie in a cache."""
        key, e, b, lanes = self.key, self.e, self.e.b, self.key.lanes
        last = key.outer + key.reduced - 1
        left = b.select(b.icmp_signed("<", left, e.int(ABREAST)), left, e.int(ABREAST))
        whole = b.and_(left, e.int(-lanes))
        with b.goto_entry_block():
            parts, totals = (
                [b.alloca(ir.ArrayType(pointwise.register_type(code(sink)), ABREAST)) for sink in self.reductions]
                for code in (self.code, self.wide)
            )

        def vectors(body: Callable[[ir.Value], None]) -> None:
            with e.loop(0, whole, lanes) as j:
                body(j)
            with e.loop(whole, left, lanes) as j:  # once, or not at all
                self.count = b.sub(left, j)
                body(j)
                self.count = None

        def begin(rooms: list[ir.Value], code: Callable[[Any], str]) -> None:
            for sink, room in zip(self.reductions, rooms, strict=True):
                kind = pointwise.register_type(code(sink), lanes)
                vectors(lambda j: e.store(self.unit(sink, kind), room, j))  # noqa: B023

        def add(rows: list[list[ir.Value]], j: ir.Value) -> None:
            kinds = [pointwise.register_type(self.code(sink)) for sink in self.reductions]
            so_far = [e.load(room, j, kind, lanes) for room, kind in zip(parts, kinds, strict=True)]
            for row in rows:
                here = self.along(row, j)
                self.hold_anew(lanes, here)
                values = self.evaluate(here, lanes)
                self.sink(values, here, lanes)
                so_far = self._parts(values, so_far)
            for room, value in zip(parts, so_far, strict=True):
                e.store(value, room, j)

        def flush(j: ir.Value) -> None:
            for sink, part, total in zip(self.reductions, parts, totals, strict=True):
                wide = self.wide(sink)
                value = e.load(part, j, pointwise.register_type(self.code(sink)), lanes)
                if wide != self.code(sink):
                    value = b.fpext(value, pointwise.register_type(wide, lanes))
                so_far = e.load(total, j, pointwise.register_type(wide), lanes)
                e.store(self.joined(sink, wide, so_far, value), total, j)

        def down(offsets: list[ir.Value]) -> None:
            def chunk(start: ir.Value, end: ir.Value) -> None:
                begin(parts, self.code)
                for count in (4, 1) if len(key.instrs) <= LIGHT else (1,):
                    stop = b.add(start, b.and_(b.sub(end, start), e.int(-count)))
                    with e.loop(start, stop, count) as i:
                        rows = [self.moved(offsets, last, b.add(i, e.int(k))) for k in range(count)]
                        vectors(lambda j: add(rows, j))  # noqa: B023
                    start = stop
                vectors(flush)

            self._chunks(self.extents[last], COLUMN_CHUNK, chunk)

        def close(j: ir.Value) -> None:
            for sink, total in zip(self.reductions, totals, strict=True):
                value = e.load(total, j, pointwise.register_type(self.wide(sink)), lanes)
                self._end(sink, value, self.along(offsets, j), lanes)

        begin(totals, self.wide)
        self._outer(key.outer, last, offsets, down)
        vectors(close)
