"""Register tiles of small products, whose shapes are known when code is emitted: which vectors, and their sums."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import Emitter, constant, is_double_pumped, itemsize, lanes_of
from payback.native.lower.kernel import fold
from payback.native.lower.products.blocked.packing import turned
from payback.native.lower.products.blocked.place import lane_mask, masked_load, take
from payback.native.lower.products.blocked.tile import has_masked_loads, multiply_add, registers

FIRST_CACHE = 1 << 15  # bytes
SHALLOW = 12  # fewer products at a time are not worth the loads and stores of their sums
AT_ONCE = 4  # products of a sum that are one round of the loop over them
TALLEST = 8  # rows of a tile: what follows is done with all of its vectors side by side
BEGIN = 20  # cycles of a tile beside its products


class Vector(NamedTuple):
    """Some columns side by side: where they begin, lanes, and how many of these exist if not all of them do."""

    start: int
    lanes: int
    count: int | None = None

    @property
    def stop(self) -> int:
        return self.start + (self.count or self.lanes)

    def of(self, kind: ir.Type, value: float) -> ir.Value:
        """The number in all lanes."""
        return constant(kind if self.lanes == 1 else ir.VectorType(kind, self.lanes), value)

    def load(self, e: Emitter, pointer: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
        """It from a row in memory whose columns begin so many entries further."""
        place = offset + self.start
        if self.count is None:
            return e.load(pointer, place, kind, self.lanes)
        there = lane_mask(e, self.count, kind, self.lanes)
        return masked_load(e, e.at(pointer, place, kind), kind, self.lanes, there)


class Tile(NamedTuple):
    """Sums of a tile, row by row.

    a        where its first row is, and how far rows and columns are apart
    vectors  of the tile; apart: how far columns of B are apart
    """

    e: Emitter
    kind: ir.Type
    rows: int
    k: int
    a: tuple[ir.Value, int, int]
    vectors: list[Vector]
    apart: int = 1

    def spread(self, at: ir.Value, k: int, r: int) -> list[ir.Value]:
        """What a row of A has in column k from `at` on, in all lanes of each vector."""
        e, (_, row, column) = self.e, self.a
        most = max(vector.lanes for vector in self.vectors)
        value = e.splat(e.load(at, r * row + k * column, self.kind), most)
        return [value if most == 1 else take(e, value, 0, vector.lanes) for vector in self.vectors]

    def added(self, sums: list[ir.Value], values: list[ir.Value], at: ir.Value, k: int) -> list[ir.Value]:
        """The products of a row of B added, whose factors are in column k from `at` on in A."""
        made = []
        for r in range(self.rows):
            for j, (x, value) in enumerate(zip(self.spread(at, k, r), values, strict=True)):
                made.append(multiply_add(self.e, x, value, sums[r * len(values) + j]))
        return made

    def across(self, sums: list[ir.Value], load: Any, at: ir.Value, k: int) -> list[ir.Value]:
        """The same, vector by vector: of these there are more than rows, and registers hold but the fewer of both."""
        e, made = self.e, list(sums)
        spread = [self.spread(at, k, r) for r in range(self.rows)]
        n = len(self.vectors)
        for j in range(n):
            vector = load(j)
            for r, values in enumerate(spread):
                made[r * n + j] = multiply_add(e, values[j], vector, made[r * n + j])
            if len(sums) > self.rows * n:
                made[self.rows * n + j] = e.b.fadd(made[self.rows * n + j], vector)
        return made

    def zeros(self, value: float = 0.0) -> list[ir.Value]:
        return [vector.of(self.kind, value) for vector in self.vectors]

    def plain(self, panel: ir.Value, step: int, sums: list[ir.Value] | None = None) -> list[ir.Value]:
        """Vectors of B lie in memory, its rows so far apart.

        sums: what is added to; behind a tile's come those of the columns of B.
        """
        e, b = self.e, self.e.b
        a, _, column = self.a

        def several(count: int, i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            at, beside = e.at(panel, b.mul(i, e.int(step)), self.kind), e.at(a, b.mul(i, e.int(column)), self.kind)
            for k in range(count):

                def load(j: int, k: int = k) -> ir.Value:
                    return self.vectors[j].load(e, at, k * step, self.kind)

                if self.rows < len(self.vectors):
                    sums = self.across(sums, load, beside, k)
                    continue
                values = [load(j) for j in range(len(self.vectors))]
                inner = self.rows * len(values)
                totals = [b.fadd(total, v) for total, v in zip(sums[inner:], values, strict=False)]
                sums = self.added(sums[:inner], values, beside, k) + totals
            return sums

        sums = self.zeros() * self.rows if sums is None else sums
        even = self.k // AT_ONCE * AT_ONCE if self.k > 2 * AT_ONCE else 0
        if even:
            sums = fold(e, 0, even, AT_ONCE, sums, lambda i, sums: several(AT_ONCE, i, sums))
        return several(self.k - even, e.int(even), sums)

    def turned(self, panel: ir.Value) -> list[ir.Value]:
        """Rows of B are made from squares of its columns, which are contiguous; vectors are whole."""
        e, b, lanes = self.e, self.e.b, lanes_of(self.kind)
        a, _, column = self.a

        def square(start: ir.Value, sums: list[ir.Value], skipped: int = 0) -> list[ir.Value]:
            beside = e.at(a, b.mul(start, e.int(column)), self.kind)
            squares = []
            for vector in self.vectors:
                corner = e.at(panel, b.add(start, e.int(vector.start * self.apart)), self.kind)

                def load(row: int, first: int, count: int, corner: ir.Value = corner) -> ir.Value:
                    return e.load(corner, row * self.apart + first, self.kind, count)

                squares.append(turned(e, self.kind, load))
            for k in range(skipped, lanes):
                sums = self.added(sums, [columns[k] for columns in squares], beside, k)
            return sums

        even = self.k // lanes * lanes
        sums = fold(e, 0, even, lanes, self.zeros() * self.rows, square)
        if even < self.k:  # a square that begins earlier; what is known of it is not added again
            sums = square(e.int(self.k - lanes), sums, lanes - (self.k - even))
        return sums


def across(kind: ir.Type, columns: int, whole: bool) -> list[Vector]:
    """The vectors of a row.

    What is left over is a vector of less lanes that begins earlier: an instruction on 64 bytes may take as long as two
    on 32.  Fewer columns than a vector's are one, some of whose lanes do not exist, if those that do are `whole` rows
    in memory; else two of less lanes.
    """
    lanes = lanes_of(kind)
    if columns < lanes and whole and has_masked_loads():
        lanes = _power(columns)
        return [Vector(0, lanes, columns if columns < lanes else None)]
    while lanes > columns:
        lanes //= 2
    if is_double_pumped() and 0 < columns % lanes <= lanes // 2 and lanes < columns < 3 * lanes:
        lanes //= 2  # three beside each other are as quick as one and a half of the whole, which read A for both
    made = [Vector(start, lanes) for start in range(0, columns - lanes + 1, lanes)]
    rest = _power(columns % lanes) if columns % lanes else 0
    return made + ([Vector(columns - rest, rest)] if rest else [])


def _power(n: int) -> int:
    """The least power of two that is not less."""
    return 1 << (n - 1).bit_length()


def tile(m: int, k: int, vectors: list[Vector], straight: bool, kind: ir.Type) -> tuple[int, int]:
    """Rows and vectors of a tile for m rows of these vectors, which are sums of k products.

    8 sums side by side hide the latency of one.  straight: no vector of B lies across two lines.  Then few rows are
    best: they are read lane by lane.
    """
    count = len(vectors)
    if m < 4:
        return m, min(count, 8 // m)
    side = 3 if vectors[0].lanes < lanes_of(kind) else 2
    if count > side == 2:
        return (2, 4) if straight and count % 4 == 0 else (4 if m % 4 == 0 else min(m, 6), 2)
    vectors = vectors[: -(-count // -(-count // side))]
    count = len(vectors)
    busy = [1.0 if vector.lanes * itemsize(kind) == 64 else 0.5 for vector in vectors]  # cycles of an instruction
    most = min(m, (registers() - count - 2) // count, TALLEST)

    def cycles(rows: int) -> float:
        read = rows * max(busy) + sum(busy) * (1 if straight else 2)
        return -(-m // rows) * (k * max(4.0, rows * sum(busy), read) + BEGIN)

    return min(range(1, most + 1), key=lambda rows: (cycles(rows), -(-m // rows) * rows)), count


def parted(vectors: list[Any], most: int) -> list[list[Any]]:
    """Vectors in groups of about as many, `most` at most.

    >>> parted([0, 4, 8, 12, 16, 20, 24], 3)
    [[0, 4, 8], [12, 16], [20, 24]]
    """
    groups, left = [], list(vectors)
    for count in range(-(-len(vectors) // most), 0, -1):
        size = -(-len(left) // count)
        groups.append(left[:size])
        left = left[size:]
    return groups


def fitting(k: int, m: int, n: int, size: int) -> int:
    """Into what equal parts sums of k products are cut, so that as many rows of m and n numbers fit; 0: they are not.

    >>> fitting(100, 64, 64, 8), fitting(64, 32, 32, 8), fitting(97, 64, 64, 8)
    (25, 0, 0)
    """
    most = 4 * FIRST_CACHE // 5 // ((m + n) * size)  # the sums' own places pass through it, too
    if k * (m + n) * size <= FIRST_CACHE:
        return 0
    return next((part for part in range(min(most, k // 2), SHALLOW - 1, -1) if k % part == 0), 0)
