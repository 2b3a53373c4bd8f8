"""Products of short sums with long rows: rows of the result are written from end to end, a few at a time.

Tiles would write some bytes of many rows each, and wait for memory at each of them.  Sums are those of `gemm`:
one product after another from 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, Emitter, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, admitted
from payback.native.lower.products.blocked.choice import unit
from payback.native.lower.products.blocked.packing import SLACK, least, pack_b
from payback.native.lower.products.blocked.place import Place, lane_mask, masked_load
from payback.native.lower.products.blocked.tile import multiply_add, registers

DEEPEST = 16  # products of a sum
ROWS, VECTORS = 4, 2  # of a tile
LONG = 8  # vectors of a row, at least
WORTH_PACKING = 8  # rows for whose sake B is packed
FAR = 1 << 17  # bytes of the result: what does not stay in the first caches


class Streams(NamedTuple):
    """A kernel with the arguments of `Product`.

    k       products of a sum
    rows    of a tile; A has that many
    b_unit  which stride of B is 1; if it is not "column" B is packed
    split   what threads share: "rows" or "columns", if they do
    """

    code: str
    k: int
    rows: int
    b_unit: str
    after: Any
    split: str

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, of_b, c, scratch = (args.pointer() for _ in range(4))
        others = [args.pointer() for _ in self.after.operands] if self.after else []
        m, n, _, a0, a1, b0, b1, c0, _, _, size = args.ints(11)
        extra = self.after.arguments(args, others) if self.after else []
        kind = pointwise.register_type(self.code)
        lanes = lanes_of(kind)
        width = VECTORS * lanes
        parts = [e.int(0), m, e.int(0), n]
        if self.split == "rows":
            parts[:2] = args.share(m, self.rows)
        elif self.split == "columns":
            parts[2:] = args.share(n, width)
        top, bottom, left, right = parts
        step, line = e.int(1), b0  # from column to column and from row to row of what is read of B
        if self.b_unit != "column":
            if self.split:
                scratch = e.at(scratch, b.mul(args.team()[0], size), BYTE)
            step, line = e.int(self.k), e.int(width)
            with e.loop(left, right, width) as j:
                count = least(e, b.sub(right, j), e.int(width))
                into = e.at(scratch, b.mul(b.sub(j, left), step), kind)
                source = e.at(of_b, b.mul(j, b1), kind)
                b.call(pack_b(e, kind, VECTORS, self.b_unit), [count, e.int(self.k), source, b0, b1, into])
            of_b = e.at(scratch, b.mul(b.sub(e.int(0), left), step), kind)
        held = self.rows * self.k <= registers() // 2
        last = b.sub(m, e.int(self.rows))
        with e.loop(top, bottom, self.rows) as i:
            row = b.freeze(least(e, i, last))
            starts = [b.freeze(e.at(a, b.mul(b.add(row, e.int(r)), a0), kind)) for r in range(self.rows)]
            columns = [b.mul(e.int(k), a1) for k in range(self.k)]

            def factor(r: int, k: int) -> ir.Value:
                return e.splat(e.load(starts[r], columns[k], kind), lanes)

            factors = [[factor(r, k) for k in range(self.k)] for r in range(self.rows)] if held else None

            def tile(panel: ir.Value, j: ir.Value, vectors: int, count: ir.Value | None = None) -> None:
                at = e.at(of_b, b.add(b.mul(panel, step), b.sub(j, panel)), kind)
                mask = None if count is None else lane_mask(e, count, kind, lanes)
                sums = [ir.Constant(ir.VectorType(kind, lanes), None)] * (self.rows * vectors)
                for k in range(self.k):
                    here = e.at(at, b.mul(e.int(k), line), kind)
                    if mask is None or self.b_unit != "column":
                        values = [e.load(here, v * lanes, kind, lanes) for v in range(vectors)]
                    else:
                        values = [masked_load(e, here, kind, lanes, mask)]
                    for r in range(self.rows):
                        x = factors[r][k] if factors else factor(r, k)
                        for v, value in enumerate(values):
                            sums[r * vectors + v] = multiply_add(e, x, value, sums[r * vectors + v])
                known: dict[Any, ir.Value] = {}
                places = [
                    Place(e, kind, lanes, row, j, count, False, (r, v * lanes), known)
                    for r in range(self.rows) for v in range(vectors)
                ]  # fmt: skip
                if self.after:
                    sums = self.after.emit(places, sums, extra)
                for place, value in zip(places, sums, strict=True):
                    place.store(value, c, c0, 1)

            whole = b.add(left, b.and_(b.sub(right, left), e.int(-width)))
            with e.loop(left, whole, width) as j:
                tile(j, j, VECTORS)
            with e.loop(whole, right, lanes) as j:
                tile(whole, j, 1, least(e, b.sub(right, j), e.int(lanes)))
        b.ret(e.int(0))

    def scratch(self, n: int) -> int:
        """Bytes for packed B, of each thread: a multiple of 64."""
        kind = pointwise.register_type(self.code)
        width = VECTORS * lanes_of(kind)
        packed = -(-n // width) * width * self.k * itemsize(kind) + SLACK if self.b_unit != "column" else 0
        return -(-packed // 64) * 64


def streams(made: set[Any], code: str, numbers: tuple[int, ...], after: Any, split: bool) -> Streams | None:
    """The kernel for a product of short sums with long rows.

    made: kernels of such a kind.  numbers: as in `Product`.
    """
    m, n, k, _, _, b0, b1, _, c1 = numbers[:9]
    kind = pointwise.register_type(code)
    if not 0 < k <= DEEPEST or not m or c1 != 1 or n < LONG * lanes_of(kind):
        return None
    of_b = unit((b0, b1), k, n)
    if m * n * itemsize(kind) < FAR or (of_b != "column" and m < WORTH_PACKING):
        return None
    shared = ("rows" if m >= n else "columns") if split else ""
    return admitted(made, Streams(code, k, min(m, ROWS), of_b, after, shared))
