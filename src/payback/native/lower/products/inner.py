"""Products of few rows whose sums are long and lie in one run on both sides: inner products of rows, some at a time.

Sums are made lane by lane and added across; in another order than those of `gemm`, and as exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, Emitter, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.across import across_together
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.products.blocked.packing import SLACK, least
from payback.native.lower.products.blocked.place import take
from payback.native.lower.products.blocked.tile import multiply_add, registers

MOST = 8  # rows
WORTH_COPYING = 4  # vectors of columns for whose sake rows are copied
LONG = 4  # vectors of a sum, at least
SUMS = 8  # side by side, at least: they hide the latency of one
PART = 4096  # products of a sum before they are added to the others


class Inner(NamedTuple):
    """A kernel with the arguments of `Product`.

    rows     of A, of a tile: parts of about as many
    columns  of B, of a tile: each contiguous
    count    of parts
    packed   whether A's rows are copied first, so that they are contiguous
    split    whether threads share the columns
    """

    code: str
    rows: int
    columns: int
    packed: bool
    split: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, of_b, c, scratch = (args.pointer() for _ in range(4))
        m, n, k, a0, a1, _, b1, c0, c1, _, size = args.ints(11)
        kind = pointwise.register_type(self.code)
        if self.packed:
            if self.split:
                scratch = e.at(scratch, b.mul(args.team()[0], size), BYTE)
            with e.loop(0, k) as i, e.loop(0, m) as row:
                value = e.load(a, b.add(b.mul(row, a0), b.mul(i, a1)), kind)
                e.store(value, scratch, b.add(b.mul(row, k), i))
            a, a0 = scratch, k
        start, stop = args.share(n, self.columns) if self.split else (e.int(0), n)
        last, lowest = b.sub(n, e.int(self.columns)), b.sub(m, e.int(self.rows))
        with e.loop(start, stop, self.columns) as j:
            column = least(e, j, last)  # the last ones again, where fewer are left
            lines = [e.at(of_b, b.mul(b.add(column, e.int(v)), b1), kind) for v in range(self.columns)]
            with e.loop(0, m, self.rows) as i:
                row = least(e, i, lowest)
                factors = [e.at(a, b.mul(b.add(row, e.int(r)), a0), kind) for r in range(self.rows)]
                self._store(e, self._sums(e, kind, factors, lines, k), c, (row, column), (c0, c1))
        b.ret(e.int(0))

    def _sums(
        self, e: Emitter, kind: ir.Type, rows: list[ir.Value], lines: list[ir.Value], k: ir.Value
    ) -> list[ir.Value]:
        """The sums of a tile, row by row, in vectors that are yet to be added across."""
        b, lanes, count = e.b, lanes_of(kind), len(rows) * len(lines)
        side = -(-SUMS // count)  # vectors of each row at a time
        zeros = [ir.Constant(ir.VectorType(kind, lanes), None)] * count

        def add(at: ir.Value, sums: list[ir.Value], mask: ir.Value | None = None) -> list[ir.Value]:
            def read(pointer: ir.Value) -> ir.Value:
                value = e.load(pointer, at, kind, lanes)
                return value if mask is None else b.select(mask, value, zeros[0])

            values, made = [read(line) for line in lines], []
            for r, row in enumerate(rows):
                x = read(row)
                made += [
                    multiply_add(e, x, y, total)
                    for y, total in zip(values, sums[r * len(lines) : (r + 1) * len(lines)], strict=True)
                ]
            return made

        def several(at: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            made = []
            for s in range(side):
                made += add(b.add(at, e.int(s * lanes)) if s else at, sums[s * count : (s + 1) * count])
            return made

        def part(first: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
            end = least(e, b.add(first, e.int(PART)), whole)
            middle = b.add(first, b.and_(b.sub(end, first), e.int(-side * lanes))) if side > 1 else end
            sums = fold(e, first, middle, side * lanes, zeros * side, several)
            while len(sums) > count:
                half = len(sums) // 2
                sums = [b.fadd(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
            if side > 1:
                sums = fold(e, middle, end, lanes, sums, add)
            return [b.fadd(total, x) for total, x in zip(totals, sums, strict=True)]

        whole = b.and_(b.sub(k, e.int(1)), e.int(-lanes))
        totals = fold(e, 0, whole, PART, zeros, part)
        last = b.sub(k, e.int(lanes))  # the first lanes of the last vector may have been added already
        numbers = ir.Constant(ir.VectorType(INT, lanes), [INT(lane) for lane in range(lanes)])
        return add(last, totals, b.icmp_signed(">=", b.add(numbers, e.splat(last, lanes)), e.splat(whole, lanes)))

    def _store(self, e: Emitter, sums: list[ir.Value], c: ir.Value, at: Any, strides: Any) -> None:
        b, lanes = e.b, sums[0].type.count
        corner = e.at(c, b.add(b.mul(at[0], strides[0]), b.mul(at[1], strides[1])), sums[0].type.element)
        sums += [ir.Constant(sums[0].type, None)] * (-len(sums) % lanes)
        for first in range(0, self.rows * self.columns, lanes):
            across = across_together(e, sums[first : first + lanes], lanes, e.b.fadd)
            for number in range(first, min(first + lanes, self.rows * self.columns)):
                r, v = divmod(number, self.columns)
                place = b.add(b.mul(e.int(r), strides[0]), b.mul(e.int(v), strides[1]))
                e.store(take(e, across, number - first, 1), corner, place)

    def scratch(self, m: int, k: int) -> int:
        """Bytes for rows of A, of each thread: a multiple of 64."""
        size = m * k * itemsize(pointwise.register_type(self.code)) + SLACK if self.packed else 0
        return -(-size // 64) * 64


def inner(code: str, numbers: tuple[int, ...], split: bool) -> Inner | None:
    """The kernel for a product of few rows, with columns of B that are contiguous; numbers: as in `Product`."""
    m, n, k, _, a1, b0, _, _, _ = numbers[:9]
    lanes = lanes_of(pointwise.register_type(code))
    if not 0 < m <= MOST or not n or b0 != 1 or k < LONG * lanes or lanes == 1:
        return None
    if a1 != 1 and n < WORTH_COPYING * lanes:
        return None
    most = registers() // 2
    rows = -(-m // -(-m // (most // 2)))
    columns = 1 << (min(most // rows, SUMS, n).bit_length() - 1)
    return Inner(code, rows, columns, a1 != 1, split)
