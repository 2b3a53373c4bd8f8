"""Products with loops around them in one kernel, as convolutions are: all but the loops' extents known in code.

The innermost sums stay in registers from one product to the next, K_BLOCK of them at most; longer ones are made in
parts that are added to what is there, in ascending order.  Rows are cut into tiles of about as many, so there are no
edges; columns that do not fill a vector are one of fewer lanes, which takes half of the time of a whole one's.
"""

from __future__ import annotations

from math import gcd, prod
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import Emitter, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, admitted, fold
from payback.native.lower.products.blocked.choice import K_BLOCK, SETS, WAYS
from payback.native.lower.products.blocked.place import pieces, store_first
from payback.native.lower.products.blocked.tile import has_masked_loads, multiply_add, registers
from payback.native.lower.products.small_tile import Vector

WORTH = 200_000  # operations that are worth a kernel of their own
MOST = 64  # such kernels in a program: each takes 20 ms to compile, three for each convolution of another shape
HIGHEST, WIDEST = 16, 4  # rows and vectors of a tile
ROUND = 4  # products of a sum that are one round of the loop over them
LATENCY = 8  # sums side by side that hide it
BEGIN = 12  # cycles of a tile beside its products and sums


class Looped(NamedTuple):
    """A kernel with the arguments of `Product`: axes of a batch come first, then those of sums.

    sizes    m, n, k of the products; strides: of A for rows and sums, of B for sums, of C for rows; columns are unit
    tile     rows and vectors
    inner    axes of sums that stay in registers: extents, and how far they move A and B; the first comes in parts
    part     how much of that at a time
    batch    number of axes of a batch; outer: of sums that are walked around all of it
    plus     whether sums are added to what C holds
    split    what threads share: "b", the first axis of a batch, "m", tiles of rows, or ""
    """

    code: str
    sizes: tuple[int, int, int]
    strides: tuple[int, int, int, int]
    tile: tuple[int, int]
    inner: tuple[tuple[int, int, int], ...]
    part: int
    batch: int
    outer: int
    plus: bool
    split: str

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        pointers = [args.pointer() for _ in range(4)][:3]
        args.ints(11)
        axes = [args.ints(4) for _ in range(self.batch + self.outer)]
        kind = pointwise.register_type(self.code)

        def run(left: list[int | None], pointers: list[ir.Value], to: Any = None) -> None:
            if not left:
                self._product(e, kind, args, to, *pointers)
            elif left[0] is None:
                extent = self.inner[0][0]
                with e.loop(0, extent, self.part) as start:
                    stop = b.add(start, e.int(self.part))
                    if extent % self.part:
                        stop = b.select(b.icmp_signed("<", stop, e.int(extent)), stop, e.int(extent))
                    run(left[1:], pointers, (start, stop))
            else:
                extent, *strides = axes[left[0]]
                shared = self.split == "b" and left[0] == 0
                start, stop = args.share(extent, 1) if shared else (e.int(0), extent)
                with e.loop(start, stop) as i:
                    run(left[1:], [e.at(p, b.mul(i, s), kind) for p, s in zip(pointers, strides, strict=True)], to)

        sums: list[int | None] = [*range(self.batch, self.batch + self.outer)]
        # many sums of few entries, as of a weight: a part of them stays in the first cache for all entries
        order = [*sums, None, *range(self.batch)] if sums else [*range(self.batch), None]
        run(order, pointers)
        b.ret(e.int(0))

    def _product(
        self, e: Emitter, kind: ir.Type, args: Arguments, to: tuple[ir.Value, ir.Value], a: ir.Value, of_b: ir.Value,
        c: ir.Value,
    ) -> None:  # fmt: skip
        """to: of the first axis of sums, from where to where."""
        b, (m, _, _), (a0, _, _, c0) = e.b, self.sizes, self.strides
        tiles, high = cut(m, self.tile[0])
        whole = tiles - (tiles * high - m)  # the others have a row less

        def tile(rows: int, first: ir.Value, group: list[Vector], of_b: ir.Value, c: ir.Value) -> None:
            of_a = e.at(a, b.mul(first, e.int(a0)), kind)

            def along(axis: int, pointers: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
                if axis == len(self.inner):
                    return self._sums(e, kind, rows, group, *pointers, sums)
                extent, *moves = self.inner[axis]

                def several(i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                    moved = [e.at(p, b.mul(i, e.int(s)), kind) for p, s in zip(pointers, moves, strict=True)]
                    return along(axis + 1, moved, sums)

                if axis == 0 and self.part == 1:
                    return several(to[0], sums)
                return fold(e, *(to if axis == 0 else (0, extent)), 1, sums, several)

            sums = along(0, [of_a, of_b], [vector.of(kind, 0.0) for vector in group] * rows)
            at = e.at(c, b.mul(first, e.int(c0)), kind)
            for number, value in enumerate(sums):
                row, vector = divmod(number, len(group))
                self._store(e, kind, value, at, row * c0, group[vector])

        def columns(group: list[Vector], of_b: ir.Value, c: ir.Value) -> None:
            lowest, highest = args.share(e.int(tiles), 1) if self.split == "m" else (e.int(0), e.int(tiles))
            for rows, begin, end in ((high, 0, whole), (high - 1, whole, tiles)):
                if begin == end:
                    continue
                with e.loop(*_within(e, lowest, highest, begin, end)) as i:
                    first = b.mul(i, e.int(rows))
                    tile(rows, b.add(first, e.int(begin)) if begin else first, group, of_b, c)

        vectors = across(kind, self.sizes[1])
        lanes = lanes_of(kind)
        full = sum(vector.lanes == lanes and vector.count is None for vector in vectors) // self.tile[1]
        step = self.tile[1] * lanes
        if full:
            with e.loop(0, full * step, step) as j:
                columns(vectors[: self.tile[1]], e.at(of_b, j, kind), e.at(c, j, kind))
        if rest := vectors[full * self.tile[1] :]:
            columns(rest, of_b, c)

    def _sums(
        self, e: Emitter, kind: ir.Type, rows: int, group: list[Vector], a: ir.Value, of_b: ir.Value,
        sums: list[ir.Value],
    ) -> list[ir.Value]:  # fmt: skip
        """The products of one step along the last axis of sums added, row by row."""
        b, k = e.b, self.sizes[2]
        a0, a1, b0, _ = self.strides

        def several(count: int, i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            beside, line = e.at(a, b.mul(i, e.int(a1)), kind), e.at(of_b, b.mul(i, e.int(b0)), kind)
            for at in range(count):
                values = [vector.load(e, line, at * b0, kind) for vector in group]
                made = []
                for row in range(rows):
                    x = e.load(beside, row * a0 + at * a1, kind)
                    for number, (vector, value) in enumerate(zip(group, values, strict=True)):
                        total = sums[row * len(group) + number]
                        made.append(multiply_add(e, e.splat(x, vector.lanes), value, total))
                sums = made
            return sums

        even = k // ROUND * ROUND if k > 2 * ROUND else 0
        if even:
            sums = fold(e, 0, even, ROUND, sums, lambda i, sums: several(ROUND, i, sums))
        return several(k - even, e.int(even), sums)

    def _store(self, e: Emitter, kind: ir.Type, value: ir.Value, c: ir.Value, row: int, vector: Vector) -> None:
        if self.plus:
            value = e.b.fadd(vector.load(e, c, row, kind), value)
        if vector.count is None:
            e.store(value, c, row + vector.start)
        else:
            store_first(e, value, e.at(c, row + vector.start, kind), e.int(vector.count))


def _within(e: Emitter, lowest: ir.Value, highest: ir.Value, begin: int, end: int) -> tuple[ir.Value, ir.Value]:
    """The part of a range that lies in another."""
    b, low, high = e.b, e.int(begin), e.int(end)
    start = b.select(b.icmp_signed(">", lowest, low), lowest, low)
    return start, b.select(b.icmp_signed("<", highest, high), highest, high)


def across(kind: ir.Type, columns: int) -> list[Vector]:
    """The vectors of a row: whole ones, and for what is left one of as few lanes as hold it; none of them twice."""
    lanes = lanes_of(kind)
    made = [Vector(start, lanes) for start in range(0, columns - lanes + 1, lanes)]
    start, rest = columns // lanes * lanes, columns % lanes
    if not rest:
        return made
    least = 1 << (rest - 1).bit_length()
    if least == rest or has_masked_loads():
        return [*made, Vector(start, least, None if least == rest else rest)]
    return made + [Vector(start + first, count) for first, count in pieces(rest)]


def cut(rows: int, most: int) -> tuple[int, int]:
    """Into how many tiles rows are cut, and how many the first ones have; the others have one less.

    >>> cut(32, 14), cut(28, 14), cut(7, 14)
    ((3, 11), (2, 14), (1, 7))
    """
    tiles = -(-rows // most)
    return tiles, -(-rows // tiles)


def kept(extents: list[int], k: int) -> tuple[int, int]:
    """How many of the last axes of sums of k products stay in registers, and how much of the first of them at a time.

    >>> kept([3], 24), kept([3], 144), kept([16, 32], 32), kept([8, 3], 3), kept([], 64)
    ((1, 3), (1, 2), (1, 8), (2, 8), (0, 1))
    """
    count, part = 0, 1
    for extent in reversed(extents):
        if count and part < extents[len(extents) - count]:
            break
        most = max(K_BLOCK // k, 1)
        if count and most == 1:
            break
        count += 1
        part = -(-extent // -(-extent // most))
        k *= extent
    return count, part


def _tile(kind: ir.Type, m: int, n: int, steps: int, plus: bool, near: int) -> tuple[int, int]:
    """Rows and vectors of a tile; steps: products of a sum before it is stored; near: rows that do not push each other
    out of the first cache."""
    vectors, size = across(kind, n), lanes_of(kind)
    whole = sum(vector.lanes == size for vector in vectors)

    def cycles(rows: int, group: list[Vector]) -> float:
        busy = sum(1.0 if vector.lanes * itemsize(kind) == 64 else 0.5 for vector in group)  # of a load, or a product
        each = max(rows * busy, rows / 2 + busy, LATENCY / 2)
        return steps * each + BEGIN + rows * busy * (3 if plus else 1)

    def price(way: tuple[int, int]) -> float:
        most, side = way
        full = whole // side
        groups = [vectors[:side]] * full + [vectors[full * side :]]
        tiles, high = cut(m, most)
        whole_tiles = tiles - (tiles * high - m)
        return sum(
            whole_tiles * cycles(high, group) + (tiles - whole_tiles) * cycles(high - 1, group)
            for group in groups
            if group
        )

    ways = []
    for side in range(1, min(len(vectors), WIDEST) + 1):
        spare = registers() - side - (2 if registers() < 32 else 1)  # factors from memory, or one in a register
        groups = [side, len(vectors) - whole // side * side]
        most = max(groups)
        ways += [(rows, side) for rows in range(1, min(HIGHEST, (spare - most + side) // most, m, near) + 1)]
    return min(ways, key=lambda way: (price(way), -way[0]))


def fits(m: int, n: int, k: int, b1: int, c1: int, flops: int) -> bool:
    """Whether products in loops, so large together, may be such a kernel's; b1, c1: how far columns are apart."""
    return flops >= WORTH and 1 < k <= K_BLOCK and min(m, n) > 1 and b1 == 1 == c1


def looped(
    made: set[Any] | None, code: str, numbers: tuple[int, ...], tags: str, alone: str, flops: int, plus: bool,
    shared: bool,
) -> Looped | None:  # fmt: skip
    """The kernel for a product that loops stand around; numbers: as in `Product`.

    made: kernels of one shape in a program.  tags: of its axes; alone: which of them nobody else writes to, of which
    threads can share one.
    """
    m, n, k, a0, a1, b0, b1, c0, c1 = numbers[:9]
    batch, sums = tags.count("b"), tags.count("r")
    kind = pointwise.register_type(code)
    if made is None or not batch + sums or lanes_of(kind) < 2 or registers() < 16:
        return None
    if not fits(m, n, k, b1, c1, flops):
        return None
    axes = [numbers[11 + 4 * i : 15 + 4 * i] for i in range(batch + sums)]
    count, part = kept([axis[0] for axis in axes[batch:]], k)
    inner = tuple((extent, move_a, move_b) for extent, move_a, move_b, _ in axes[len(axes) - count :]) or ((1, 0, 0),)
    plus = plus or part < inner[0][0] or count < sums
    size = itemsize(kind)
    near = (WAYS - 2) * SETS // gcd(a0 * size, SETS) if a1 == 1 else HIGHEST
    tile = _tile(kind, m, n, part * prod(axis[0] for axis in inner[1:]) * k, plus, max(near, 1))
    split = ""
    if shared:
        ways = [kind for kind in ("b" * (axes[0][0] >= 8), "m" * (cut(m, tile[0])[0] > 1), "b") if kind]
        split = next((way for way in ways if way in alone and (way != "b" or batch)), "")
        if not split:
            return None
    key = Looped(code, (m, n, k), (a0, a1, b0, c0), tile, inner, part, batch, sums - count, plus, split)  # fmt: skip
    return admitted(made, key, MOST)
