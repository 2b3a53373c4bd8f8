"""Contractions: plain loops for every form, k ascending in one fused multiply-add after another."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from llvmlite import ir

from payback.ir.node import Node
from payback.native import layout
from payback.native.emit import Emitter, constant, lanes_of
from payback.native.layout import View
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold, load, store
from payback.native.lower.pointwise import code_of


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


def lower_contract(planner: Any, node: Node) -> bool:
    """A command for a contraction of any form."""
    a, b = node.args
    code = code_of(node.aval.dtype)
    if code == "f2" and not pointwise.half_is_native():
        return False
    spec = node.params["spec"]
    views = [planner.view(a), planner.view(b)]
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    left, right, out = spec
    extent = dict(zip(left, views[0].shape, strict=True)) | dict(zip(right, views[1].shape, strict=True))

    def strides(view: View, letters: str) -> dict[str, int]:
        return dict(zip(letters, view.strides, strict=True))

    moves = [strides(views[0], left), strides(views[1], right), strides(target, out)]
    kinds = {
        "b": [c for c in out if c in left and c in right],
        "m": [c for c in out if c in left and c not in right],
        "n": [c for c in out if c in right and c not in left],
        "k": [c for c in left if c not in out],
    }
    # columns are what c is contiguous in
    last = out[-1:] and out[-1]
    if last in kinds["m"] and not (kinds["n"] and extent[last] == 1):
        moves[0], moves[1] = moves[1], moves[0]
        views.reverse()
        kinds["m"], kinds["n"] = kinds["n"], kinds["m"]
    letters = "".join("".join(kinds[kind]) for kind in "bmnk")
    tags = "".join(kind * len(kinds[kind]) for kind in "bmnk")
    shape = tuple(extent[c] for c in letters)
    extents, axes, tags = layout.collapsed(shape, [tuple(m.get(c, 0) for c in letters) for m in moves], tags)
    lanes = lanes_of(pointwise.register_type(code)) if code in ("f4", "f8", "f2", "i8", "i4") else 1
    at = tags.rfind("n")
    unit = at >= 0 and axes[1][at] == axes[2][at] == 1
    key = Contraction(code, *[tags.count(kind) for kind in "bmnk"], unit, lanes)
    numbers = [*extents, *axes[0], *axes[1], *axes[2]]
    operands = [*views, target]
    flops = 2 * prod(shape)
    planner.command(key, operands, numbers, views, [target], f"contract {','.join(spec[:2])}->{spec[2]}", flops)
    return True
