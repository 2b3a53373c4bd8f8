"""Contractions: matrix products by `contraction`, with what follows them done before the result is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from payback.ir.node import Node
from payback.native import contraction, layout
from payback.native.commands import number_of
from payback.native.emit import BYTE, INT, POINTER, Emitter, lanes_of
from payback.native.layout import Buffer, View
from payback.native.lower import pointwise
from payback.native.lower.contract import Contraction
from payback.native.lower.kernel import Arguments
from payback.native.lower.pointwise import code_of
from payback.native.lower.small import small
from payback.native.place import Place
from payback.native.plan import Plan, plan

# What follows a sum of more products than these is no faster in the product's kernel than in one of its own, which
# finds the result in a cache; and each epilogue costs a tenth of a second of compilation.
SHORT = 64
WORTH_SHARING = 1_000_000  # operations of a product that threads share
LONGEST = 14  # operations after a product in one kernel: they are repeated for every register of its tile


class After(NamedTuple):
    """What is done with a product's entries; as in `Nest`, and ("product",) is the entry itself.

    operands  (code, "u" | "z" | "s": along a row, "z" | "s": from row to row) of the arrays that are read and written
    stores    (operand, x)
    result    the x that is stored in C
    """

    instrs: tuple[tuple[Any, ...], ...]
    operands: tuple[tuple[str, str, str], ...]
    stores: tuple[tuple[int, int], ...]
    result: int
    factors: int

    def epilogue(self) -> contraction.Epilogue:
        kinds: list[ir.Type] = []
        for _, across, down in self.operands:
            kinds += [POINTER] + [INT] * (across == "s") + [INT] * (down == "s")
        name = hashlib.sha256(repr(self).encode()).hexdigest()[:16]
        return contraction.Epilogue(name, (*kinds, *[INT] * self.factors), self._emit)

    def _emit(self, place: Place, value: ir.Value, extra: Sequence[ir.Value]) -> ir.Value:
        e, given = place.e, iter(extra)
        arrays = []
        for _, across, down in self.operands:
            pointer = next(given)
            column = next(given) if across == "s" else int(across == "u")
            row = next(given) if down == "s" else 0
            arrays.append((pointer, row, column))
        factors = list(given)
        values: list[ir.Value] = []
        for instr in self.instrs:
            if instr[0] == "product":
                made = value
            elif instr[0] == "load":
                made = place.load(*arrays[instr[1]])
            elif instr[0] == "lit":
                made = pointwise.literal(instr[1], instr[2], place.lanes)
            elif instr[0] == "arg":
                kind = pointwise.register_type(instr[1])
                bits = factors[instr[2]]
                made = e.splat(
                    e.b.bitcast(bits if instr[1] == "f8" else e.b.trunc(bits, ir.IntType(32)), kind), place.lanes
                )
            else:
                made = pointwise.emit(e, instr[0], instr[1], [values[x] for x in instr[2:]])
            values.append(made)
        for operand, x in self.stores:
            place.store(pointwise.to_memory(e, values[x], self.operands[operand][0]), *arrays[operand])
        return values[self.result]


class Product(NamedTuple):
    """args: a, b, c, scratch, then m, n, k, strides of a, b and c over rows and columns, columns of a block, bytes of
    scratch, then for each batch axis its extent and the strides of a, b, c; then each operand's strides; factors."""

    plan: Plan
    ways: tuple[str, str, str]  # what the plan does not compare
    batch: int
    after: After | None
    split: bool  # whether threads share it

    @property
    def family(self) -> str:
        """Kernels that have functions in common."""
        return f"{self.plan.dtype}.{self.plan.rows}x{self.plan.vectors}"

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        pointers = [args.pointer() for _ in range(4)]
        others = [args.pointer() for _ in self.after.operands] if self.after else []
        m, n, k, a0, a1, b0, b1, c0, c1, columns, size = args.ints(11)
        axes = [args.ints(4) for _ in range(self.batch)]
        extra: list[ir.Value] = []
        if self.after:
            for pointer, (_, across, down) in zip(others, self.after.operands, strict=True):
                extra += [pointer, *args.ints((across == "s") + (down == "s"))]
            extra += args.ints(self.after.factors)
        kind = pointwise.register_type(code_of(self.plan.dtype))
        scratch, team = pointers[3], None
        if self.split:
            thread, count = args.team()
            scratch = e.at(scratch, b.mul(thread, size), BYTE)
            team = contraction.Team(thread, count)

        def run(axis: int, offsets: list[ir.Value]) -> None:
            if axis < self.batch:
                extent, *strides = axes[axis]
                with e.loop(0, extent) as i:
                    run(axis + 1, [b.add(o, b.mul(i, s)) for o, s in zip(offsets, strides, strict=True)])
                return
            a, bb, c = (e.at(pointer, offset, kind) for pointer, offset in zip(pointers, offsets, strict=False))
            contraction.call(
                e, self.plan, m, n, k, (a, a0, a1), (bb, b0, b1), (c, c0, c1), scratch=scratch,
                block_columns=columns, team=team, epilogue=self.after.epilogue() if self.after else None, extra=extra,
            )  # fmt: skip

        run(0, [e.int(0)] * 3)
        b.ret(e.int(0))


class Shape(NamedTuple):
    """A contraction by kinds of axes: letters, extents and strides (of a, b, c) for batch, m, n, k."""

    views: tuple[View, View]
    tags: str
    extents: list[int]
    moves: list[list[int]]

    def of(self, kind: str) -> list[int]:
        return [i for i, tag in enumerate(self.tags) if tag == kind]


def shape_of(spec: tuple[str, str, str], a: View, b: View, target: View) -> Shape:
    """The axes sorted and merged; rows and columns are exchanged where the result is contiguous along rows."""
    left, right, out = spec
    extent = dict(zip(left, a.shape, strict=True)) | dict(zip(right, b.shape, strict=True))
    views = [a, b]
    moves = [dict(zip(letters, view.strides, strict=True)) for letters, view in ((left, a), (right, b), (out, target))]
    kinds = {
        "b": [c for c in out if c in left and c in right],
        "m": [c for c in out if c in left and c not in right],
        "n": [c for c in out if c in right and c not in left],
        "k": [c for c in left if c not in out],
    }
    if out and out[-1] in kinds["m"]:
        moves[0], moves[1] = moves[1], moves[0]
        views.reverse()
        kinds["m"], kinds["n"] = kinds["n"], kinds["m"]
    letters = "".join("".join(kinds[kind]) for kind in "bmnk")
    tags = "".join(kind * len(kinds[kind]) for kind in "bmnk")
    lengths = tuple(extent[c] for c in letters)
    extents, axes, tags = layout.collapsed(lengths, [tuple(m.get(c, 0) for c in letters) for m in moves], tags)
    return Shape((views[0], views[1]), tags, extents, axes)


def lower_contract(planner: Any, node: Node) -> bool:
    """A command for a contraction, and with it the waiting nodes that can be done before its result is stored."""
    dtype, code = node.aval.dtype, code_of(node.aval.dtype)
    if code == "f2" and not pointwise.half_is_native():
        return False
    spec = node.params["spec"]
    a, b = (planner.view(arg) for arg in node.args)
    sketch = layout.whole(Buffer("arena", dtype, node.aval.size), node.aval.shape)
    found = shape_of(spec, a, b, sketch)
    text = f"contract {','.join(spec[:2])}->{spec[2]}"
    flops = 2 * prod(found.extents)
    if code not in ("f4", "f8") or any(found.tags.count(kind) > 1 for kind in "mnk"):
        target = planner.allocate(node, dtype, node.aval.shape)
        lanes = lanes_of(pointwise.register_type(code)) if code in ("f4", "f8", "f2", "i8", "i4") else 1
        at = found.tags.rfind("n")
        unit = at >= 0 and found.moves[1][at] == found.moves[2][at] == 1
        key = Contraction(code, *[found.tags.count(kind) for kind in "bmnk"], unit, lanes)
        numbers = [*found.extents, *found.moves[0], *found.moves[1], *found.moves[2]]
        planner.command(key, [*found.views, target], numbers, found.views, [target], text, flops)
        return True
    m, n, inner = (prod(found.extents[i] for i in found.of(kind)) for kind in "mnk")
    # Where both axes of the result come from one argument they are merged, and what follows has no such axis.
    fuse = (m, n) == node.aval.shape and found.tags.count("b") == 0 and inner <= SHORT
    fused = planner.followers(node, LONGEST) if fuse else []
    _product(planner, node, found, fused, text, flops)
    return True


def _product(planner: Any, node: Node, found: Shape, fused: list[Node], text: str, flops: int) -> None:
    dtype = node.aval.dtype
    rows, columns, inner = (found.of(kind) for kind in "mnk")
    m, n, k = (prod(found.extents[i] for i in axes) for axes in (rows, columns, inner))

    def stride(which: int, axes: list[int]) -> int:
        return found.moves[which][axes[0]] if axes else 1

    strides = [(stride(0, rows), stride(0, inner)), (stride(1, inner), stride(1, columns)),
               (stride(2, rows), stride(2, columns))]  # fmt: skip
    how = plan(dtype, m, n, k, *strides)
    shared = flops >= WORTH_SHARING and how.split != "sums"
    if not shared:
        how = replace(how, split="rows")
    after, target, others, extra, text = _after(planner, node, fused, found, text)
    size = how.scratch(m, n, k)  # for each thread
    scratch = layout.whole(Buffer("arena", np.dtype(np.uint8), size * (planner.threads if shared else 1)), (size,))
    key: Any = None
    if not shared and found.tags.count("b") == 0:
        key = small(planner, how, code_of(dtype), m, n, k, after, (found.views[1].offset, strides[1][0]))
    if key is None:
        key = Product(how, (how.a_unit, how.b_unit, how.split), found.tags.count("b"), after, shared)
    numbers = [m, n, k, *strides[0], *strides[1], *strides[2], how.block_columns(k), size]
    for axis in found.of("b"):
        numbers += [found.extents[axis], *[move[axis] for move in found.moves]]
    reads = [*found.views, *[view for view, store in others if not store]]
    writes = [target, scratch, *[view for view, store in others if store]]
    planner.command(key, [*found.views, target, scratch, *[view for view, _ in others]], [*numbers, *extra], reads,
                    writes, text, flops)  # fmt: skip


def _after(planner: Any, node: Node, fused: list[Node], found: Shape, text: str) -> Any:
    """The epilogue for the fused nodes: (key, C, [(view, is written)], numbers, text)."""
    if not fused:
        return None, planner.allocate(node, node.aval.dtype, node.aval.shape), [], [], text
    shape = node.aval.shape
    instrs: list[tuple[Any, ...]] = [("product",)]
    at: dict[Any, int] = {node: 0}
    others: list[tuple[View, bool]] = []
    factors: list[int] = []
    operands: list[tuple[str, str, str]] = []
    numbers: list[int] = []

    def array(view: View, store: bool) -> int:
        down, across = view.strides
        way = {0: "z", 1: "u"}.get(across, "s")
        operands.append((code_of(view.buffer.dtype), way, "s" if down else "z"))
        numbers.extend(([across] if way == "s" else []) + ([down] if down else []))
        others.append((view, store))
        return len(operands) - 1

    def operand(arg: Node) -> int:
        if arg in at:
            return at[arg]
        if arg in planner.scalars:
            scalar = planner.scalars[arg]
            at[arg] = len(instrs)
            instrs.append(number_of(scalar, factors))
        else:
            view = layout.spread(planner.view(arg), shape)
            at[arg] = len(instrs)
            instrs.append(("load", array(view, False)))
        return at[arg]

    for member in fused:
        args = [operand(arg) for arg in member.args]
        if member.op.name == "stop_gradient":
            at[member] = args[0]
            continue
        at[member] = len(instrs)
        instrs.append((member.op.name, planner.operand_code(member), *args))
    inside = {node, *fused}
    kept = [
        member for member in (node, *fused)
        if member in planner.wanted or any(user not in inside for user in planner.users.get(member, ()))
    ]  # fmt: skip
    for member in fused:
        planner.waiting.pop(member, None)
    planner.gone |= inside - set(kept)
    last = kept[-1]
    target = planner.allocate(last, last.aval.dtype, shape)
    stores = []
    for member in kept[:-1]:
        stores.append((array(planner.allocate(member, member.aval.dtype, shape), True), at[member]))
    after = After(tuple(instrs), tuple(operands), tuple(stores), at[last], len(factors))
    return after, target, others, [*numbers, *factors], "+".join([text, *dict.fromkeys(n.op.name for n in fused)])
