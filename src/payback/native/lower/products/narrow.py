"""Products of few columns in bands of rows: columns known when code is emitted, so that there are no edges.

What is left over at the end of rows or columns is done with a tile that begins earlier, or, where sums are added to
what is there, with one that adds nothing twice.  Sums are those of `gemm`: one product after another from 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT32, Emitter, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.products.blocked.choice import K_BLOCK, Plan
from payback.native.lower.products.blocked.packing import SLACK, least, pack_b
from payback.native.lower.products.blocked.place import Place
from payback.native.lower.products.blocked.tile import fetch, multiply_add, registers

WIDEST = 64  # columns
ROOM = 14  # registers for sums and factors
MOST = 24  # such kernels in a program


class Narrow(NamedTuple):
    """A kernel with the arguments of `Product`.

    columns  of B and C, both contiguous along rows; turned: B is contiguous along columns and is packed first
    rows     of a tile; A has that many
    vectors  of a tile, side by side
    batch    axes of many products; plus: the sums are added to what C holds
    ahead    lines of other memory that are fetched beside each row of B, for who comes next: where it is and how far
             it moves come last
    """

    code: str
    columns: int
    rows: int
    vectors: int
    turned: bool
    after: Any
    batch: int = 0
    plus: bool = False
    ahead: int = 0

    @property
    def lanes(self) -> int:
        """Of a vector, which is no longer than a row."""
        return min(lanes_of(pointwise.register_type(self.code)), 1 << self.columns.bit_length() - 1)

    def scratch(self, k: int) -> int:
        """Bytes for a panel of B."""
        kind = pointwise.register_type(self.code)
        return k * self.vectors * self.lanes * itemsize(kind) + SLACK if self.turned else 0

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, of_b, c, scratch = (args.pointer() for _ in range(4))
        others = [args.pointer() for _ in self.after.operands] if self.after else []
        m, _, k, a0, a1, b0, b1, c0, _, _, _ = args.ints(11)
        axes = [args.ints(4) for _ in range(self.batch)]
        extra = self.after.arguments(args, others) if self.after else []
        ahead = (args.pointer(), args.int()) if self.ahead else None
        kind = pointwise.register_type(self.code)
        lanes = self.lanes
        epilogue = self.after.epilogue() if self.after else None
        last = b.sub(m, e.int(self.rows))
        starts = list(range(0, self.columns - lanes + 1, lanes))
        if self.columns % lanes:
            starts.append(self.columns - lanes)

        def product(a: ir.Value, of_b: ir.Value, c: ir.Value) -> None:
            for first in range(0, len(starts), self.vectors):
                group = starts[first : first + self.vectors]
                panel, step, width = e.at(of_b, group[0], kind), b0, self.vectors * lanes
                if self.turned:
                    source = e.at(of_b, b.mul(b1, e.int(group[0])), kind)
                    count = min(width, self.columns - group[0])
                    b.call(pack_b(e, kind, self.vectors, "row"), [e.int(count), k, source, b0, b1, scratch])
                    panel, step = scratch, e.int(width)
                offsets = [start - group[0] for start in group]

                def tile(row: ir.Value, rows: int) -> None:
                    at = e.at(a, b.mul(row, a0), kind)
                    fetched = ahead if first == 0 else None  # noqa: B023  used here
                    sums = self._sums(e, kind, k, at, a0, a1, panel, step, offsets, rows, fetched)  # noqa: B023
                    known: dict[Any, ir.Value] = {}
                    for r in range(rows):
                        for v, start in enumerate(group):  # noqa: B023
                            value = sums[r * len(group) + v]  # noqa: B023
                            place = Place(e, kind, lanes, row, e.int(0), None, False, (r, start), known)
                            if self.plus:
                                value = b.fadd(place.load(c, c0, 1), self._new(e, value, start))
                            if epilogue:
                                value = epilogue.emit(place, value, extra)
                            place.store(value, c, c0, 1)

                if not self.plus:
                    with e.loop(0, m, self.rows) as i:
                        tile(least(e, i, last), self.rows)
                    continue
                whole = b.sub(m, b.srem(m, e.int(self.rows)))  # nothing is added twice
                rest = [(whole, m, 1)] if self.rows > 1 else []
                for start, stop, rows in ((e.int(0), whole, self.rows), *rest):
                    with e.loop(start, stop, rows) as i:
                        tile(i, rows)

        def run(axis: int, pointers: list[ir.Value]) -> None:
            if axis == self.batch:
                product(*pointers)
                return
            extent, *strides = axes[axis]
            with e.loop(0, extent) as i:
                run(axis + 1, [e.at(p, b.mul(i, s), kind) for p, s in zip(pointers, strides, strict=True)])

        run(0, [a, of_b, c])
        b.ret(e.int(0))

    def _new(self, e: Emitter, value: ir.Value, start: int) -> ir.Value:
        """Sums that are not yet added: the last vector begins earlier, among those of the one before it."""
        lanes = value.type.count
        there = lanes - self.columns % lanes if start % lanes else 0
        if not there:
            return value
        nothing = ir.Constant(value.type, [-0.0] * lanes)
        order = [lane if lane >= there else lanes + lane for lane in range(lanes)]
        return e.b.shuffle_vector(value, nothing, ir.Constant(ir.VectorType(INT32, lanes), order))

    def _sums(
        self, e: Emitter, kind: ir.Type, k: ir.Value, a: ir.Value, a_row: ir.Value, a_column: ir.Value, panel: ir.Value,
        step: ir.Value, offsets: list[int], count: int, ahead: tuple[ir.Value, ir.Value] | None,
    ) -> list[ir.Value]:  # fmt: skip
        """The sums of a tile, row by row."""
        b, lanes = e.b, self.lanes
        rows = [e.at(a, b.mul(a_row, e.int(r)), kind) for r in range(count)]
        nothing = ir.Constant(ir.VectorType(kind, lanes), None)

        def body(i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            along, at = b.mul(i, a_column), e.at(panel, b.mul(i, step), kind)
            if ahead is not None:
                fetch(e, e.at(ahead[0], b.mul(i, ahead[1]), BYTE), self.ahead)
            vectors = [e.load(at, offset, kind, lanes) for offset in offsets]
            made = []
            for r, row in enumerate(rows):
                value = e.splat(e.load(row, along, kind), lanes)
                made += [multiply_add(e, value, v, sums[r * len(offsets) + j]) for j, v in enumerate(vectors)]
            return made

        return fold(e, 0, k, 1, [nothing] * (count * len(offsets)), body)


class Few:
    """Which of these kernels a program has: there may be but a few, each is compiled for one number of columns."""

    def __init__(self) -> None:
        self.made: set[Any] = set()

    def take(self, key: Any) -> Any:
        """The kernel, or None where there are too many."""
        if key not in self.made and len(self.made) >= MOST:
            return None
        self.made.add(key)
        return key


def narrow(
    few: Few, how: Plan, code: str, m: int, n: int, k: int, after: Any, batch: int, plus: bool
) -> Narrow | None:  # fmt: skip
    """The kernel for a product of few columns in a band; threads have no part in it."""
    kind = pointwise.register_type(code)
    lanes = lanes_of(kind)
    if how.down or how.turned or how.pack_a or not how.c_unit or not 1 < n <= WIDEST:
        return None
    if not 0 < k <= K_BLOCK or m == 0 or registers() < 16 or batch > 1:
        return None
    turned = how.b_unit != "column"
    if turned and (how.b_unit != "row" or n < lanes):
        return None
    lanes = min(lanes, 1 << n.bit_length() - 1)
    rows, vectors = tile(m, -(-n // lanes), turned)
    key = Narrow(code, n, rows, vectors, turned, after, batch, plus)
    made: Narrow | None = few.take(key)
    return made


def tile(m: int, across: int, packed: bool) -> tuple[int, int]:
    """Rows and vectors of a tile for m rows of `across` vectors: 8 sums and more side by side, few reads for each.

    >>> tile(64, 4, True), tile(64, 3, False), tile(64, 5, False), tile(64, 5, True), tile(1, 13, False)
    ((2, 4), (4, 3), (2, 5), (4, 2), (1, 13))
    """
    if m < 4:  # as many sums as there is room for beside the factors: each passage reads all lines of B
        most = (ROOM - m) // m if not packed else 4
        groups = -(-across // most)
        return m, -(-across // groups)
    if across == 3:
        return 4, 3
    if packed and across % 4 == 0:
        return 2, 4
    if across == 5 and not packed:  # there is room for 4 vectors that are packed
        return 2, 5
    return (min(m, 8), 1) if across == 1 else (4 if m % 4 == 0 else min(m, 6), 2)
