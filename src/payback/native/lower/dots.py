"""Rows of a matrix by one vector, in bands of rows: several rows at a time, whose sums are added across together."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT32, Emitter, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.products.packing import least
from payback.native.products.tile import fetch, multiply_add, registers

ROWS = 8  # at a time, or as many as a vector has lanes
UNROLLED = 16  # vectors of a row up to which there is no loop
LONGEST = 512  # entries of a row


class Dots(NamedTuple):
    """A kernel with the arguments of `Product`: B holds the rows, each contiguous and so long; A is the vector.

    ahead  lines of other memory that are fetched beside each row, as in `Narrow`
    """

    code: str
    length: int
    ahead: int = 0

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        vector, rows, result, _ = (args.pointer() for _ in range(4))
        _, n, _, _, step, _, stride, _, _, _, _ = args.ints(11)
        ahead = (args.pointer(), args.int()) if self.ahead else None
        kind = pointwise.register_type(self.code)
        lanes = lanes_of(kind)
        count = max(ROWS, lanes)
        own = self._contiguous(e, kind, vector, step)
        with e.loop(0, n, count) as i:
            first = least(e, i, b.sub(n, e.int(count)))  # the last ones again, where fewer are left
            if ahead is not None:
                for r in range(count):
                    fetch(e, e.at(ahead[0], b.mul(b.add(first, e.int(r)), ahead[1]), BYTE), self.ahead)
            places = [e.at(rows, b.mul(b.add(first, e.int(r)), stride), kind) for r in range(count)]
            sums = self._sums(e, kind, own, places)
            for start in range(0, count, lanes):
                across = _across(e, sums[start : start + lanes], lanes)
                e.store(across, result, b.add(first, e.int(start)))
        b.ret(e.int(0))

    def _contiguous(self, e: Emitter, kind: ir.Type, vector: ir.Value, step: ir.Value) -> ir.Value:
        """The vector in memory of the kernel's own: entries one after another."""
        own = e.b.alloca(ir.ArrayType(kind, self.length))
        with e.loop(0, self.length) as i:
            e.store(e.load(vector, e.b.mul(i, step), kind), own, i)
        return own

    def _sums(self, e: Emitter, kind: ir.Type, vector: ir.Value, rows: list[ir.Value]) -> list[ir.Value]:
        lanes = lanes_of(kind)
        whole, rest = self.length - self.length % lanes, self.length % lanes

        def add(at: Any, sums: list[ir.Value], there: int = 0) -> list[ir.Value]:
            factor = _without(e, e.load(vector, at, kind, lanes), there)
            return [
                multiply_add(e, _without(e, e.load(row, at, kind, lanes), there), factor, total)
                for row, total in zip(rows, sums, strict=True)
            ]

        sums = [ir.Constant(ir.VectorType(kind, lanes), None)] * len(rows)
        if whole <= UNROLLED * lanes:
            for at in range(0, whole, lanes):
                sums = add(at, sums)
        else:
            sums = fold(e, 0, whole, lanes, sums, add)
        return add(self.length - lanes, sums, lanes - rest) if rest else sums


def _without(e: Emitter, value: ir.Value, count: int) -> ir.Value:
    """The first lanes, which were added already, as zeros."""
    if not count:
        return value
    lanes = value.type.count
    order = [lanes + lane if lane < count else lane for lane in range(lanes)]
    return e.b.shuffle_vector(value, ir.Constant(value.type, None), ir.Constant(ir.VectorType(INT32, lanes), order))


def _across(e: Emitter, vectors: list[ir.Value], lanes: int) -> ir.Value:
    """The sums of the lanes of so many vectors as one vector: halves are added, those of two vectors side by side."""
    width = lanes
    while width > 1:
        half, count = width // 2, len(vectors) // 2
        low = [block * width + lane for block in range(lanes // width) for lane in range(half)]
        orders = [
            [of + at + shift for block in range(lanes // width) for of in (0, lanes)
             for at in low[block * half : (block + 1) * half]]
            for shift in (0, half)
        ]  # fmt: skip
        masks = [ir.Constant(ir.VectorType(INT32, lanes), order) for order in orders]
        vectors = [
            e.b.fadd(*(e.b.shuffle_vector(x, y, mask) for mask in masks))
            for x, y in zip(vectors[:count], vectors[count:], strict=True)
        ]
        width = half
    return vectors[0]


def dots(few: Any, code: str, after: Any, batch: int, plus: bool, numbers: tuple[int, ...]) -> Dots | None:
    """The kernel for such a product in a band; numbers: as in `Product`."""
    m, n, k, _, _, b0, _, _, c1 = numbers[:9]
    lanes = lanes_of(pointwise.register_type(code))
    rows = max(ROWS, lanes)
    if after is not None or batch or plus or (m, b0, c1) != (1, 1, 1) or registers() < 2 * rows:
        return None
    return few.take(Dots(code, k)) if n >= rows and lanes <= k <= LONGEST else None
