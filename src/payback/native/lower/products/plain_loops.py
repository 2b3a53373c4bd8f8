"""Contractions in plain loops, for every form and dtype: k ascending in one fused multiply-add after another.

Matrices of float32 and float64 do not come here but to `product.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import Emitter, constant
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold, load, store


class Contraction(NamedTuple):
    """c[batch, m, n] = Σ_k a[batch, m, k]·b[batch, k, n]; numbers of axes of each kind; n's last axis in vectors.

    unit: whether b and c move by one along n's last axis.
    args: a, b, c, extents (batch, m, n, k), strides of a, b, c over (batch, m, n, k).
    """

    code: str
    batch: int
    m: int
    n: int
    k: int
    unit: bool
    lanes: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args = Arguments(e, function)
        pointers = [args.pointer() for _ in range(3)]
        count = self.batch + self.m + self.n + self.k
        extents = args.ints(count)
        strides = [args.ints(count) for _ in range(3)]
        _Loops(self, e, pointers, extents, strides).run()
        e.b.ret(e.int(0))


class _Loops:
    def __init__(self, key: Contraction, e: Emitter, pointers: Any, extents: Any, strides: Any):
        self.key, self.e, self.pointers, self.extents, self.strides = key, e, pointers, extents, strides
        self.last = key.batch + key.m + key.n - 1

    def moved(self, offsets: list[ir.Value], axis: int, i: ir.Value) -> list[ir.Value]:
        b = self.e.b
        return [b.add(offset, b.mul(i, s[axis])) for offset, s in zip(offsets, self.strides, strict=True)]

    def run(self, axis: int = 0, offsets: list[ir.Value] | None = None) -> None:
        e, key = self.e, self.key
        offsets = offsets or [e.int(0)] * 3
        if key.n == 0 and axis > self.last:
            self.entry(offsets, 1)
        elif axis < self.last or key.n == 0:
            with e.loop(0, self.extents[axis]) as i:
                self.run(axis + 1, self.moved(offsets, axis, i))
        else:
            n, main = self.extents[axis], e.int(0)
            if key.unit and key.lanes > 1:
                main = e.b.and_(n, e.int(-key.lanes))
                with e.loop(0, main, key.lanes) as j:
                    self.entry(self.moved(offsets, axis, j), key.lanes)
            with e.loop(main, n) as j:
                self.entry(self.moved(offsets, axis, j), 1)

    def entry(self, offsets: list[ir.Value], lanes: int) -> None:
        """One entry of c, or a vector of them."""
        e, code = self.e, self.key.code
        kind = pointwise.register_type(code, lanes)

        def products(axis: int, offsets: list[ir.Value], total: ir.Value) -> ir.Value:
            if axis == len(self.extents):
                x = e.splat(load(e, self.pointers[0], offsets[0], code), lanes)
                y = load(e, self.pointers[1], offsets[1], code, lanes)
                if code[0] == "f":
                    return e.fma(x, y, total)
                return pointwise.emit(e, "add", code, [total, pointwise.emit(e, "mul", code, [x, y])])
            return fold(
                e, 0, self.extents[axis], 1, [total],
                lambda i, totals: [products(axis + 1, self.moved(offsets, axis, i), totals[0])],
            )[0]  # fmt: skip

        zero = constant(kind, 0.0 if code[0] == "f" else 0)
        store(e, products(self.last + 1, offsets, zero), self.pointers[2], offsets[2], code)
