"""Small products of a training: shapes known when code is emitted, so that there are no edges.

What is left over at the end of rows or columns is done with a tile that begins earlier: some entries are computed
twice, to the same bits.  Sums are those of `gemm`: one product after another from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import Emitter, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments
from payback.native.lower.products.blocked.choice import K_BLOCK, Plan
from payback.native.lower.products.blocked.packing import SLACK, least, turned
from payback.native.lower.products.blocked.place import Place
from payback.native.lower.products.blocked.tile import registers
from payback.native.lower.products.small_tile import FIRST_CACHE, Tile, Vector, across, fitting, parted, tile

LINE = 64  # bytes: vectors that lie across two lines of the cache take two reads
WIDEST = 64  # columns, but four times as many where there are so FEW products
FEW = 50_000
MOST = 24  # such kernels in a program: each is compiled for one shape
MOST_DOWN = 7  # columns of a product that is run as its transpose
MOST_SQUARES = 2  # of one where squares of A are transposed for that


class Small(NamedTuple):
    """A kernel with the arguments of `Product`, and with `sums` another one after scratch: where these go.

    columns  of B and C, both contiguous along rows
    turned   B is contiguous along columns: it is "packed" by rows, or its "squares" become vectors of rows as read
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

        def finish(row: ir.Value, group: list[Vector], sums: list[ir.Value]) -> None:
            known: dict[Any, ir.Value] = {}
            found: dict[int, list[tuple[Place, ir.Value]]] = {}  # vectors of equal lanes are done together
            for (r, vector), value in zip(product(range(self.rows), group), sums, strict=False):
                offset = (vector.start, r) if self.down else (r, vector.start)
                place = Place(e, kind, vector.lanes, row, e.int(0), vector.count, self.down, offset, known)
                found.setdefault(vector.lanes, []).append((place, value))
            for pairs in found.values():
                places, values = [place for place, _ in pairs], [value for _, value in pairs]
                if self.after:
                    values = self.after.emit(places, values, extra)
                for place, value in zip(places, values, strict=True):
                    place.store(value, c, c0, c1)

        groups = parted(self.across, self.vectors)
        if self.down:  # all rows are one tile
            for group in groups:
                tile = Tile(e, kind, self.rows, self.k, (of_b, b1, b0), group, a0)
                finish(e.int(0), group, tile.turned(a) if self.turned else tile.plain(a, a1))
            b.ret(e.int(0))
            return
        if self.turned == "squares":
            for group in groups:
                finish(e.int(0), group, Tile(e, kind, self.rows, self.k, (a, a0, a1), group, b1).turned(of_b))
            b.ret(e.int(0))
            return
        last = b.sub(m, e.int(self.rows))
        with contextmanager(self._deep)(e, m, c, below) as k0:
            if self.depth:
                a, of_b = e.at(a, b.mul(k0, e.int(a1)), kind), e.at(of_b, b.mul(k0, e.int(b0)), kind)

            def tile_at(a: ir.Value, group: list[Vector]) -> Tile:
                return Tile(e, kind, self.rows, self.depth or self.k, (a, a0, a1), group)

            if below is not None:  # on the way of the first tile
                for group in groups:
                    tile = tile_at(a, group)
                    sums = tile.zeros() * self.rows + tile.zeros(-0.0)  # −0 + x is x for every x
                    if self.depth:
                        sums = self._held(tile, c) + [vector.load(e, below, 0, kind) for vector in group]
                    sums = tile.plain(of_b, b0, sums)
                    finish(e.int(0), group, sums)
                    for vector, total in zip(group, sums[-len(group) :], strict=True):
                        place = Place(e, kind, vector.lanes, e.int(0), e.int(vector.start), vector.count)
                        place.store(total, below, 0, 1)
            # all vectors of a row before the next one, if B stays in the first cache meanwhile
            near = (self.depth or self.k) * self.columns * itemsize(kind) <= FIRST_CACHE
            for some in [groups] if near else [[group] for group in groups]:
                panel, step = of_b, b0
                if self.turned:
                    self._pack(e, of_b, some[0][0].start, some[-1][-1].stop, scratch)
                    panel, step = scratch, self.panel
                with e.loop(self.rows if below is not None else 0, m, self.rows) as i:
                    row = least(e, i, last)
                    top = e.at(a, b.mul(row, e.int(a0)), kind)
                    for group in some:
                        tile = tile_at(top, group)
                        held = self._held(tile, e.at(c, b.mul(row, e.int(c0)), kind)) if self.depth else None
                        finish(row, group, tile.plain(panel, step, held))
        b.ret(e.int(0))

    def _pack(self, e: Emitter, of_b: ir.Value, start: int, stop: int, into: ir.Value) -> None:
        """Some columns of B, which are contiguous, by rows: squares are transposed, the last ones begin earlier."""
        kind, b1 = pointwise.register_type(self.code), self.strides[3]
        side = lanes_of(kind)
        while side > min(stop - start, self.k):
            side //= 2
        with e.loop(start, stop, side) as j, e.loop(0, self.k, side) as i:
            column, row = least(e, j, e.int(stop - side)), least(e, i, e.int(self.k - side))
            corner = e.at(of_b, e.b.add(e.b.mul(column, e.int(b1)), row), kind)
            to = e.at(into, e.b.add(e.b.mul(row, e.int(self.panel)), column), kind)

            def load(column: int, first: int, count: int) -> ir.Value:
                return e.load(corner, column * b1 + first, kind, count)

            for k, line in enumerate(turned(e, kind, load, side)):
                e.store(line, to, k * self.panel)

    @property
    def panel(self) -> int:
        """Numbers from one row of packed B to the next."""
        lanes = lanes_of(pointwise.register_type(self.code))
        return -(-self.columns // lanes) * lanes

    @property
    def scratch(self) -> int:
        """Bytes for packed B."""
        kind = pointwise.register_type(self.code)
        return self.k * self.panel * itemsize(kind) + SLACK if self.turned == "packed" else 0

    def _deep(self, e: Emitter, m: ir.Value, c: ir.Value, below: ir.Value | None) -> Iterator[Any]:
        """Around the products of all tiles: `depth` of each sum at a time."""
        if not self.depth:
            yield None
            return
        kind = pointwise.register_type(self.code)
        with e.loop(0, m) as i:
            row = e.at(c, e.b.mul(i, e.int(self.strides[4])), kind)
            for vector in self.across:
                e.store(vector.of(kind, 0.0), row, vector.start)
        for vector in self.across if below is not None else ():
            e.store(vector.of(kind, -0.0), below, vector.start)
        with e.loop(0, self.k, self.depth) as k0:
            yield k0

    def _held(self, tile: Tile, c: ir.Value) -> list[ir.Value]:
        """What C holds where a tile is."""
        rows = range(0, self.rows * self.strides[4], self.strides[4])
        return [vector.load(tile.e, c, row, tile.kind) for row in rows for vector in tile.vectors]

    @property
    def across(self) -> list[Vector]:
        kind = pointwise.register_type(self.code)
        if self.turned != "squares":
            return across(kind, self.columns, not self.down)
        lanes = lanes_of(kind)
        return [Vector(min(start, self.columns - lanes), lanes) for start in range(0, self.columns, lanes)]


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
    return known[0]


def with_sums(planner: Any, key: Small) -> Small:
    """The kernel that adds up the columns of B, too."""
    made, _ = planner.known_small.setdefault(id(key), (key._replace(sums=True), key))
    return made


def _small(
    planner: Any, how: Plan, code: str, m: int, n: int, k: int, after: Any, strides: tuple[int, ...], start: int
) -> Small | None:  # fmt: skip
    """strides: of A, B and C."""
    kind = pointwise.register_type(code)
    lanes = lanes_of(kind)
    if how.pack_a or not 0 < k <= K_BLOCK or m == 0 or n == 0 or registers() < 16:
        return None
    a0, a1, b0, b1, _, c1 = strides
    narrow = n <= (MOST_DOWN if a0 == 1 else MOST_SQUARES if a1 == 1 and k >= lanes else 0)
    if how.down and narrow and (a0 == 1 or m >= lanes):
        if m > 4 * WIDEST:
            return None
        vectors = min(max(8 // n, 1), len(across(kind, m, False)))
        key = Small(code, m, n, vectors, "" if a0 == 1 else "squares", after, k, strides, True)
    else:
        turned = "" if b1 == 1 or n == 1 else "squares" if how.turned and min(k, n) >= lanes else "packed"
        if turned == "squares" and m == a1 == 1 and after is None:  # rows by one vector: see `matrix_vector`
            return None
        wide = n > (WIDEST if m * n * k > FEW else 4 * WIDEST)
        if wide or (c1 != 1 and n > 1) or (turned and b0 != 1 and k > 1):
            return None
        straight = bool(turned) or all(x * itemsize(kind) % LINE == 0 for x in (start, b0))
        rows, vectors = tile(m, k, across(kind, n, True), straight, kind)
        if turned == "squares":  # all rows are one tile
            rows, vectors = m, min(-(-n // lanes), max(8 // m, 1))
        # nothing may be added twice, and rows of A be rows in memory
        even = not turned and after is None and m % rows == 0 and n % lanes == 0 and a0 == 1
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
