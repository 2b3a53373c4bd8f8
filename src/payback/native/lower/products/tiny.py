"""Products of few columns and short sums, alone or a batch of them: all but the rows known when code is emitted.

There are no edges, and what is read of B is held in registers.  Rows that are left over are done with a tile that
begins earlier.  Sums are those of `gemm`: one product after another from 0.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import INT32, Emitter, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, admitted
from payback.native.lower.products.blocked.packing import least, turned_at_once, turned_part
from payback.native.lower.products.blocked.place import Place, lane_mask, masked_load
from payback.native.lower.products.blocked.tile import has_masked_loads, registers
from payback.native.lower.products.small_tile import Tile, Vector, across

DEEPEST, WIDEST = 16, 32  # products of a sum, and columns
ENOUGH = 64  # rows of a single product that is worth a kernel of its own
SUMS = 8  # of a tile, side by side: they hide the latency of one


class Tiny(NamedTuple):
    """A kernel with the arguments of `Product`.

    columns  of B and C; those of C are contiguous along rows
    rows     of a tile; A has that many, and no more if it is `whole`
    strides  of A, of B and of C, for rows and columns
    down     run as Cᵀ = Bᵀ·Aᵀ: rows and so on are those of that
    batch    axes of many products; `first`: which of them is the outermost loop
    split    whether threads share that, or the rows of a single product
    """

    code: str
    columns: int
    rows: int
    whole: bool
    k: int
    strides: tuple[int, ...]
    down: bool
    batch: int
    first: int
    after: Any
    split: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, of_b, c, _ = (args.pointer() for _ in range(4))
        others = [args.pointer() for _ in self.after.operands] if self.after else []
        m, n = args.ints(11)[:2]
        axes = [args.ints(4) for _ in range(self.batch)]
        extra = self.after.arguments(args, others) if self.after else []
        if self.batch:
            axes.insert(0, axes.pop(self.first))
        if self.down:
            m, a, of_b = n, of_b, a
            axes = [[extent, of_a, of_b, of_c] for extent, of_b, of_a, of_c in axes]
        kind = pointwise.register_type(self.code)

        def run(axis: int, pointers: list[ir.Value]) -> None:
            if axis == self.batch:
                self._product(e, kind, m, args, extra, *pointers)
                return
            extent, *strides = axes[axis]
            start, stop = args.share(extent, 1) if self.split and not axis else (e.int(0), extent)
            with e.loop(start, stop) as i:
                run(axis + 1, [e.at(p, b.mul(i, s), kind) for p, s in zip(pointers, strides, strict=True)])

        run(0, [a, of_b, c])
        b.ret(e.int(0))

    def _product(
        self, e: Emitter, kind: ir.Type, m: ir.Value, args: Arguments, extra: Any, a: ir.Value, of_b: ir.Value,
        c: ir.Value,
    ) -> None:  # fmt: skip
        a0, a1, b0, b1, c0, c1 = self.strides
        vectors = across(kind, self.columns, True)
        lines = None  # rows of B, if registers hold them
        if self.columns > 1 and b1 != 1:
            lines = list(zip(*[self._turned(e, kind, of_b, vector) for vector in vectors], strict=True))
        elif self.k * len(vectors) <= registers() // 2:
            lines = [tuple(vector.load(e, of_b, k * b0, kind) for vector in vectors) for k in range(self.k)]

        def tile_at(row: ir.Value) -> None:
            tile = Tile(e, kind, self.rows, self.k, (a, a0, a1), vectors)
            sums, top = tile.zeros() * self.rows, e.at(a, e.b.mul(row, e.int(a0)), kind)
            for k in range(self.k):
                line = lines[k] if lines else [vector.load(e, of_b, k * b0, kind) for vector in vectors]
                sums = tile.added(sums, list(line), top, k)
            places = []
            known: dict[Any, ir.Value] = {}
            for r, vector in product(range(self.rows), vectors):
                offset = (vector.start, r) if self.down else (r, vector.start)
                first = (e.int(0), row) if self.down else (row, e.int(0))
                places.append(Place(e, kind, vector.lanes, *first, vector.count, self.down, offset, known))
            if self.after:
                for lanes in dict.fromkeys(place.lanes for place in places):
                    some = [i for i, place in enumerate(places) if place.lanes == lanes]
                    made = self.after.emit([places[i] for i in some], [sums[i] for i in some], extra)
                    for i, value in zip(some, made, strict=True):
                        sums[i] = value
            for place, value in zip(places, sums, strict=True):
                place.store(value, c, *((c1, c0) if self.down else (c0, c1)))

        if self.whole:
            tile_at(e.int(0))
            return
        shared = self.split and not self.batch
        start, stop = args.share(m, self.rows) if shared else (e.int(0), m)
        last = e.b.sub(m, e.int(self.rows))
        with e.loop(start, stop, self.rows) as i:
            tile_at(least(e, i, last))

    def _turned(self, e: Emitter, kind: ir.Type, of_b: ir.Value, vector: Vector) -> list[ir.Value]:
        """Rows of B where these are not contiguous: its columns are turned if they are, else read one by one."""
        b0, b1 = self.strides[2:4]
        count, lanes = vector.count or vector.lanes, vector.lanes
        piece = turned_at_once(kind, lanes)
        short = min(piece, self.k)
        nothing = ir.Constant(ir.VectorType(kind, piece), None)
        lines: list[ir.Value] = []
        if b0 == 1 and lanes > 1 and (short == piece or has_masked_loads()):
            there = lane_mask(e, short, kind, piece)
            for first in range(0, self.k, piece):
                start = min(first, self.k - short)

                def load(row: int, count_of_row: int, start: int = start) -> ir.Value:
                    if row >= count:
                        return nothing
                    at = (vector.start + row) * b1 + start
                    if short == piece:
                        return e.load(of_b, at, kind, count_of_row)
                    return masked_load(e, e.at(of_b, at, kind), kind, piece, there)

                lines += turned_part(e, kind, load, lanes)[first - start : short]
            return lines
        for k in range(self.k):
            line = ir.Constant(ir.VectorType(kind, lanes), None)
            for lane in range(count):
                value = e.load(of_b, (vector.start + lane) * b1 + k * b0, kind)
                line = e.b.insert_element(line, value, ir.Constant(INT32, lane)) if lanes > 1 else value
            lines.append(line)
        return lines


def tiny(made: set[Any], code: str, numbers: tuple[int, ...], batch: int, after: Any, split: bool) -> Tiny | None:
    """The kernel for a product of few columns and short sums.

    made: kernels of such a kind.  numbers: as in `Product`.
    """
    m, n, k, a0, a1, b0, b1, c0, c1 = numbers[:9]
    axes = numbers[11::4]
    down = (n == 1 and m > 1) or (c1 != 1 and c0 == 1)
    strides = (a0, a1, b0, b1, c0, c1)
    if down:
        m, n, strides = n, m, (b1, b0, a1, a0, c1, c0)
    fits = 0 < k <= DEEPEST and 0 < n <= WIDEST and m >= (1 if batch else ENOUGH) and (strides[5] == 1 or n == 1)
    kind = pointwise.register_type(code)
    if not fits or 0 in axes or lanes_of(kind) < 2 or len(across(kind, n, True)) > SUMS:
        return None
    rows = SUMS // len(across(kind, n, True))
    if batch:  # tiles of about as many rows
        rows = -(-m // -(-m // rows))
    first = axes.index(max(axes)) if batch else 0
    return admitted(made, Tiny(code, n, rows, batch > 0 and rows == m, k, strides, down, batch, first, after, split))
