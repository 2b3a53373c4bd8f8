"""Small products of a training: shapes known when code is emitted, so that there are no edges.

What is left over at the end of rows or columns is done with a tile that begins earlier: some entries are computed
twice, to the same bits.  Sums are those of `contraction`: one product after another from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.emit import Emitter, constant, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.packing import least, pack_b, turned
from payback.native.place import Place
from payback.native.plan import K_BLOCK, Plan
from payback.native.tile import multiply_add, registers

LINE = 64  # bytes: vectors that lie across two lines of the cache take two reads
WIDEST = 64  # columns
MOST = 24  # such kernels in a program: each is compiled for one shape
MOST_DOWN = 3  # columns of a product that is run as its transpose
FIRST_CACHE = 1 << 15  # bytes
SHALLOW = 12  # fewer products at a time are not worth the loads and stores of their sums
AT_ONCE = 4  # products of a sum that are one round of the loop over them


class Small(NamedTuple):
    """A kernel with the arguments of `Product`, and with `sums` another one after scratch: where these go.

    columns  of B and C, both contiguous along rows
    turned   B is contiguous along columns: it is "packed" first, or its "squares" become vectors of rows as read
    rows     of a tile; A has that many
    vectors  of a tile, side by side
    k        products in a sum
    strides  of A, of B and of C, for rows and columns
    down     run as Cᵀ = Bᵀ·Aᵀ: a few columns, which are the rows of one tile; "rows" and so on are those of that
    sums     whether the columns of B are added up, too: what a bias has as its gradient
    depth    products of a sum that are made at a time and added to what C holds: for rows of A and B that would push
             each other out of the first cache; 0: all of them
    """

    code: str
    columns: int
    rows: int
    vectors: int
    turned: str
    after: Any
    k: int
    strides: tuple[int, ...]
    down: bool = False
    sums: bool = False
    depth: int = 0

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, of_b, c, scratch = (args.pointer() for _ in range(4))
        below = args.pointer() if self.sums else None
        others = [args.pointer() for _ in self.after.operands] if self.after else []
        m = args.ints(11)[0]
        extra = self.after.arguments(args, others) if self.after else []
        kind = pointwise.register_type(self.code)
        a0, a1, b0, b1, c0, c1 = self.strides
        lanes, starts = self.across

        def finish(row: ir.Value, group: list[int], sums: list[ir.Value]) -> None:
            known: dict[Any, ir.Value] = {}
            offsets = [(start, r) if self.down else (r, start) for r in range(self.rows) for start in group]
            places = [Place(e, kind, lanes, row, e.int(0), None, self.down, offset, known) for offset in offsets]
            values = sums[: len(places)]
            if self.after:
                values = self.after.emit(places, values, extra)
            for place, value in zip(places, values, strict=True):
                place.store(value, c, c0, c1)

        groups = [(group, [start - group[0] for start in group]) for group in parted(starts, self.vectors)]
        if self.down or self.turned == "squares":  # all rows are one tile
            for group, offsets in groups:
                if self.down:
                    tile = _Tile(e, kind, lanes, self.rows, self.k, (of_b, b1, b0), [o * a0 for o in offsets])
                    panel = e.at(a, group[0] * a0, kind)
                    finish(e.int(0), group, tile.turned(panel, a0) if self.turned else tile.plain(panel, a1))
                else:
                    tile = _Tile(e, kind, lanes, self.rows, self.k, (a, a0, a1), [o * b1 for o in offsets])
                    finish(e.int(0), group, tile.turned(e.at(of_b, group[0] * b1, kind), b1))
            b.ret(e.int(0))
            return
        last = b.sub(m, e.int(self.rows))

        def down(done: int, some: list[tuple[list[int], list[int]]], panel: Any, step: int, a: Any = a) -> None:
            with e.loop(done, m, self.rows) as i:
                row = least(e, i, last)
                top = e.at(a, b.mul(row, e.int(a0)), kind)
                for group, offsets in some:
                    tile = _Tile(e, kind, lanes, self.rows, self.depth or self.k, (top, a0, a1), offsets)
                    held = self._held(tile, e.at(c, b.mul(row, e.int(c0)), kind), group) if self.depth else None
                    finish(row, group, tile.plain(panel(group), step, held))

        if self.turned:
            width = self.vectors * lanes
            for group, offsets in groups:
                count = min(width, self.columns - group[0])
                strides = e.int(b0), e.int(b1)
                packed = [e.int(count), e.int(self.k), e.at(of_b, group[0] * b1, kind), *strides, scratch]
                b.call(pack_b(e, kind, self.vectors, "row"), packed)
                down(0, [(group, offsets)], lambda group: scratch, width)
            b.ret(e.int(0))
            return
        with contextmanager(self._deep)(e, m, c, below) as k0:
            a, of_b = (e.at(x, b.mul(k0, e.int(s)), kind) if self.depth else x for x, s in ((a, a1), (of_b, b0)))

            def panel(group: list[int]) -> ir.Value:
                return e.at(of_b, group[0] * b1, kind)

            if below is not None:  # on the way of the first tile
                for group, offsets in groups:
                    tile = _Tile(e, kind, lanes, self.rows, self.depth or self.k, (a, a0, a1), offsets)
                    sums = tile.zeros() * self.rows + tile.zeros(-0.0)  # −0 + x is x for every x
                    if self.depth:
                        sums = self._held(tile, c, group) + [e.load(below, start, kind, lanes) for start in group]
                    sums = tile.plain(panel(group), b0, sums)
                    finish(e.int(0), group, sums)
                    for start, total in zip(group, sums[-len(group) :], strict=True):
                        e.store(total, below, start)
            # all vectors of a row before the next one, if B stays in the first cache meanwhile
            near = (self.depth or self.k) * self.columns * itemsize(kind) <= FIRST_CACHE
            for some in [groups] if near else [[group] for group in groups]:
                down(self.rows if below is not None else 0, some, panel, b0, a)
        b.ret(e.int(0))

    def _deep(self, e: Emitter, m: ir.Value, c: ir.Value, below: ir.Value | None) -> Iterator[Any]:
        """Around the products of all tiles: `depth` of each sum at a time."""
        if not self.depth:
            yield None
            return
        lanes, starts = self.across
        kind = pointwise.register_type(self.code)
        with e.loop(0, m) as i:
            row = e.at(c, e.b.mul(i, e.int(self.strides[4])), kind)
            for start in starts:
                e.store(constant(ir.VectorType(kind, lanes), 0.0), row, start)
        for start in starts if below is not None else ():
            e.store(constant(ir.VectorType(kind, lanes), -0.0), below, start)
        with e.loop(0, self.k, self.depth) as k0:
            yield k0

    def _held(self, tile: _Tile, c: ir.Value, group: list[int]) -> list[ir.Value]:
        """What C holds where a tile is."""
        places = [r * self.strides[4] + start for r in range(self.rows) for start in group]
        return [tile.e.load(c, place, tile.kind, tile.lanes) for place in places]

    @property
    def across(self) -> tuple[int, list[int]]:
        """Lanes of a vector, and where vectors begin: the last one earlier than after the one before it."""
        lanes = lanes_of(pointwise.register_type(self.code))
        while lanes > self.columns:
            lanes //= 2
        starts = list(range(0, self.columns - lanes + 1, lanes))
        return lanes, starts + [self.columns - lanes] * (self.columns % lanes > 0)


class _Tile(NamedTuple):
    """Sums of a tile, row by row.

    a        where its first row is, and how far rows and columns are apart
    offsets  of its vectors in B
    """

    e: Emitter
    kind: ir.Type
    lanes: int
    rows: int
    k: int
    a: tuple[ir.Value, int, int]
    offsets: list[int]

    def added(self, sums: list[ir.Value], vectors: list[ir.Value], at: ir.Value, k: int) -> list[ir.Value]:
        """The products of a row of B added, whose factors are in column k from `at` on in A."""
        e, (_, row, column), made = self.e, self.a, []
        for r in range(self.rows):
            value = e.splat(e.load(at, r * row + k * column, self.kind), self.lanes)
            made += [multiply_add(e, value, v, sums[r * len(vectors) + j]) for j, v in enumerate(vectors)]
        return made

    def across(self, sums: list[ir.Value], load: Any, at: ir.Value, k: int) -> list[ir.Value]:
        """The same, vector by vector: of these there are more than rows, and registers hold but the fewer of both."""
        e, (_, row, column), made = self.e, self.a, list(sums)
        values = [e.splat(e.load(at, r * row + k * column, self.kind), self.lanes) for r in range(self.rows)]
        n = len(self.offsets)
        for j in range(n):
            vector = load(j)
            for r, value in enumerate(values):
                made[r * n + j] = multiply_add(e, value, vector, made[r * n + j])
            if len(sums) > self.rows * n:
                made[self.rows * n + j] = e.b.fadd(made[self.rows * n + j], vector)
        return made

    def zeros(self, value: float = 0.0) -> list[ir.Value]:
        return [self.number(value)] * len(self.offsets)

    def number(self, value: float) -> ir.Value:
        return constant(self.kind if self.lanes == 1 else ir.VectorType(self.kind, self.lanes), value)

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
                    return e.load(at, k * step + self.offsets[j], self.kind, self.lanes)

                if self.rows < len(self.offsets):
                    sums = self.across(sums, load, beside, k)
                    continue
                vectors = [load(j) for j in range(len(self.offsets))]
                inner = self.rows * len(vectors)
                totals = [b.fadd(total, v) for total, v in zip(sums[inner:], vectors, strict=False)]
                sums = self.added(sums[:inner], vectors, beside, k) + totals
            return sums

        sums = self.zeros() * self.rows if sums is None else sums
        even = self.k // AT_ONCE * AT_ONCE if self.k > 2 * AT_ONCE else 0
        if even:
            sums = fold(e, 0, even, AT_ONCE, sums, lambda i, sums: several(AT_ONCE, i, sums))
        return several(self.k - even, e.int(even), sums)

    def turned(self, panel: ir.Value, apart: int) -> list[ir.Value]:
        """Rows of B are made from squares of its columns, which are contiguous and so far apart."""
        e, b, lanes = self.e, self.e.b, self.lanes
        a, _, column = self.a

        def square(start: ir.Value, sums: list[ir.Value], skipped: int = 0) -> list[ir.Value]:
            beside = e.at(a, b.mul(start, e.int(column)), self.kind)
            squares = []
            for offset in self.offsets:
                corner = e.at(panel, b.add(start, e.int(offset)), self.kind)

                def load(row: int, first: int, count: int, corner: ir.Value = corner) -> ir.Value:
                    return e.load(corner, row * apart + first, self.kind, count)

                squares.append(turned(e, self.kind, load))
            for k in range(skipped, lanes):
                sums = self.added(sums, [columns[k] for columns in squares], beside, k)
            return sums

        even = self.k // lanes * lanes
        sums = fold(e, 0, even, lanes, self.zeros() * self.rows, square)
        if even < self.k:  # a square that begins earlier; what is known of it is not added again
            sums = square(e.int(self.k - lanes), sums, lanes - (self.k - even))
        return sums


def small(planner: Any, run: Any, code: str, after: Any, start: int) -> Small | None:
    """The kernel for a product of a training that is small enough, in which threads have no part.

    run: how the product is run otherwise, see `product.Run`.  start: where B begins, in elements.
    """
    if not planner.repeated:
        return None
    asked = id(run), id(after), start % LINE
    known = planner.known_small.get(asked)
    if known is None:  # equal layers ask for the same; the answer keeps alive what is told by its identity
        made = _small(planner, run.how, code, *run.sizes, after, run.numbers[3:9], start)
        known = planner.known_small[asked] = made, run, after
    return known[0]  # type: ignore[no-any-return]


def with_sums(planner: Any, key: Small) -> Small:
    """The kernel that adds up the columns of B, too."""
    made, _ = planner.known_small.setdefault(id(key), (key._replace(sums=True), key))
    return made  # type: ignore[no-any-return]


def _small(
    planner: Any, how: Plan, code: str, m: int, n: int, k: int, after: Any, strides: tuple[int, ...], start: int
) -> Small | None:  # fmt: skip
    """strides: of A, B and C."""
    kind = pointwise.register_type(code)
    lanes = lanes_of(kind)
    if how.pack_a or not 0 < k <= K_BLOCK or m == 0 or n == 0 or registers() < 16:
        return None
    if how.down:
        turned = "" if strides[0] == 1 else "squares" if strides[1] == 1 and k >= lanes else None
        if not lanes <= m <= 2 * WIDEST or n > MOST_DOWN or turned is None:
            return None
        rows, vectors = n, max(8 // n, 1)
        key = Small(code, m, rows, min(vectors, -(-m // lanes)), turned, after, k, strides, True)
    else:
        turned = "" if how.b_unit == "column" else "squares" if how.turned else "packed"
        if not how.c_unit or n > WIDEST or (turned and (how.b_unit != "row" or n < lanes)):
            return None
        if turned == "squares" and k < lanes:
            return None
        straight = turned or all(x * itemsize(kind) % LINE == 0 for x in (start, strides[2]))
        rows, vectors = tile(m, -(-n // lanes), straight)
        # nothing may be added twice, and rows of A be rows in memory
        even = not turned and after is None and m % rows == 0 and n % lanes == 0 and strides[0] == 1
        depth = fitting(k, m, n, itemsize(kind)) if even else 0
        key = Small(code, n, rows, vectors, turned, after, k, strides, depth=depth)
    if key not in planner.small and len(planner.small) >= MOST:
        return None
    planner.small.add(key)
    return key


def sums_beside(planner: Any, node: Node, key: Small) -> Node | None:
    """The sum of the columns of B that the kernel can make as well: it reads all of them, in the same order."""
    if key.after or key.turned or key.down:
        return None
    for source in node.args:
        for user in planner.users[source]:
            if _sums_columns(planner, user) and _summed_over(node, source):
                return user
    return None


def with_product(planner: Any, node: Node) -> bool:
    """Have the columns of a matrix added up by a product that reads it, if there is one to come."""
    if not planner.repeated or not _sums_columns(planner, node):
        return False
    source = node.args[0]
    for user in planner.users[source]:
        free = user not in planner.views and user not in planner.gone
        early = planner.early is None or user in planner.early
        if user.op.name == "contract" and free and early and _summed_over(user, source):
            if all(arg in planner.views for arg in user.args):
                planner.finish(user)
            if node in planner.views:
                return True
    return False


def _sums_columns(planner: Any, node: Node) -> bool:
    source = node.args[0].aval if node.op.name == "sum" else None
    if source is None or len(source.shape) != 2 or node.params["axes"] != (0,) or source.dtype != node.aval.dtype:
        return False
    there = node.args[0] in planner.views and node not in planner.views and node not in planner.gone
    return there and planner.reducible(node) and (planner.early is None or node in planner.early)


def _summed_over(node: Node, source: Node) -> bool:
    """Whether a product is Aᵀ·B and `source` is B: its columns are those of the result, its rows are summed over."""
    left, right, out = node.params["spec"]
    return node.args[1] is source is not node.args[0] and len(left) == 2 and out == left[1] + right[1] and (
        left[0] == right[0]
    )  # fmt: skip


def tile(m: int, across: int, straight: bool) -> tuple[int, int]:
    """Rows and vectors of a tile for m rows of `across` vectors: 8 sums side by side hide the latency of one.

    straight: no vector of B lies across two lines.  Then few rows are best: they are read lane by lane.

    >>> tile(64, 4, True), tile(64, 4, False), tile(1, 8, False)
    ((2, 4), (4, 2), (1, 8))
    """
    if m < 4:
        return m, min(across, 8 // m)
    if straight and across % 4 == 0:
        return 2, 4
    return (min(m, 8), 1) if across == 1 else (4 if m % 4 == 0 else min(m, 6), 2)


def parted(starts: list[int], most: int) -> list[list[int]]:
    """Vectors in groups of about as many, `most` at most.

    >>> parted([0, 4, 8, 12, 16, 20, 24], 3)
    [[0, 4, 8], [12, 16], [20, 24]]
    """
    groups, left = [], list(starts)
    for count in range(-(-len(starts) // most), 0, -1):
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
