"""Contractions: matrix products by `gemm`, with what follows them done before the result is stored."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import prod
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, Emitter, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.arranged import PAY, Spec, arranged, price_of
from payback.native.lower.products.blocked import gemm
from payback.native.lower.products.blocked.choice import K_BLOCK, Plan, plan
from payback.native.lower.products.epilogue import After
from payback.native.lower.products.looped import looped
from payback.native.lower.products.narrow import Few, narrow
from payback.native.lower.products.paid import alone, by_columns, place, windows
from payback.native.lower.products.plain_loops import Contraction
from payback.native.lower.products.shape import Shape, shape_of
from payback.native.lower.products.skinny import skinny
from payback.native.lower.products.small import Small, small, sums_beside, with_sums
from payback.native.planning import layout
from payback.native.planning.commands import Command, number_of
from payback.native.planning.layout import Buffer, View
from payback.native.planning.nests import nest
from payback.native.planning.sooner import kept

# What follows a sum of more products than these is no faster in the product's kernel than in one of its own, which
# finds the result in a cache; and each epilogue costs a tenth of a second of compilation.
SHORT = 64
WORTH_SHARING = 1_000_000  # operations of a product that threads share
MANY = 8  # products of a batch that are shared as they are, each made by one thread
TINY = 128  # operations of a product that is done number by number
MATRICES = ("f4", "f8")  # what has products of matrices
FAR = 1 << 20  # bytes of a result: tiles that store in two such arrays touch too many pages at a time
LONGEST = 14  # operations after a product in one kernel: they are repeated for every register of its tile


class Product(NamedTuple):
    """args: a, b, c, scratch, then m, n, k, strides of a, b and c over rows and columns, columns of a block, bytes of
    scratch, then for each batch axis its extent and the strides of a, b, c; then each operand's strides; factors."""

    plan: Plan
    ways: tuple[Any, ...]  # what the plan does not compare
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
        extra = self.after.arguments(args, others) if self.after else []
        kind = pointwise.register_type(code_of(self.plan.dtype))
        scratch, team = pointers[3], None
        whole = self.split and self.plan.split == "batch"
        if self.split:
            thread, count = args.team()
            scratch = e.at(scratch, b.mul(thread, size), BYTE)
            team = None if whole else gemm.Team(thread, count)

        def run(axis: int, offsets: list[ir.Value]) -> None:
            if axis < self.batch:
                extent, *strides = axes[axis]
                start = e.int(0)
                if whole and axis == 0:
                    start, extent = args.share(extent, 1)
                with e.loop(start, extent) as i:
                    run(axis + 1, [b.add(o, b.mul(i, s)) for o, s in zip(offsets, strides, strict=True)])
                return
            a, bb, c = (e.at(pointer, offset, kind) for pointer, offset in zip(pointers, offsets, strict=False))
            gemm.call(
                e, self.plan, m, n, k, (a, a0, a1), (bb, b0, b1), (c, c0, c1), scratch=scratch,
                block_columns=columns, team=team, epilogue=self.after.epilogue() if self.after else None, extra=extra,
            )  # fmt: skip

        run(0, [e.int(0)] * 3)
        b.ret(e.int(0))


class Run(NamedTuple):
    """How a product of one shape is run."""

    how: Plan
    sizes: tuple[int, int, int]
    shared: bool
    scratch: int  # bytes for each thread
    numbers: tuple[int, ...]


@lru_cache(1 << 12)
def _run(
    dtype: np.dtype[Any], in_band: bool, spec: tuple[str, str, str], *views: tuple[layout.Shape, layout.Shape]
) -> Run:
    found = shape_of(spec, *views)
    m, n, k = (found.size(kind) for kind in "mnk")
    strides = [(found.stride(0, "m"), found.stride(0, "k")), (found.stride(1, "k"), found.stride(1, "n")),
               (found.stride(2, "m"), found.stride(2, "n"))]  # fmt: skip
    how = plan(dtype, m, n, k, *strides, in_band=in_band)
    shared = 2 * prod(found.extents) >= WORTH_SHARING
    if shared and (parts := _parts(found, how)) != how.split:
        shared, how = bool(parts), replace(how, split=parts, rest=None)
    if not shared:
        how = replace(how, split="rows", rest=how.rest and replace(how.rest, split="rows"))
    size = how.scratch(m, n, k)
    numbers = [m, n, k, *strides[0], *strides[1], *strides[2], how.block_columns(k), size]
    for axis in (*found.of("b"), *found.of("r")):
        numbers += [found.extents[axis], *[move[axis] for move in found.moves]]
    return Run(how, (m, n, k), shared, size, tuple(numbers))


def _parts(found: Shape, how: Plan) -> str:
    """What threads share, if what each of them writes is its own; "" where it is not."""
    mine = found.own
    if "b" in mine and found.extents[found.of("b")[0]] >= MANY:
        return "batch"
    kinds = {"rows": "mn"[how.down], "columns": "nm"[how.down]}
    return next((split for split in (how.split, *kinds) if kinds[split] in mine), "")


@lru_cache(1 << 12)
def _facts(
    dtype: np.dtype[Any], in_band: bool, spec: tuple[str, str, str], *views: tuple[layout.Shape, layout.Shape]
) -> tuple[Shape, int, Run | None]:
    """A contraction's shape, its flops, and how it is run if it is a product of matrices."""
    found = shape_of(spec, *views, code_of(dtype) in MATRICES)
    run = _run(dtype, in_band, spec, *views) if is_matrix(found, code_of(dtype)) else None
    return found, 2 * prod(found.extents), run


@lru_cache(1 << 12)
def _may_follow(dtype: np.dtype[Any], spec: tuple[str, str, str], shape: layout.Shape, *views: Any) -> bool:
    """Whether something can be computed right after the entries of a contraction's result.

    Where both axes of the result come from one argument they are merged, and what follows has no such axis.
    """
    found = shape_of(spec, *views, (shape, layout.contiguous(shape)))
    rows_and_columns = (found.size("m"), found.size("n")) == shape
    plain = is_matrix(found, code_of(dtype)) and "b" not in found.tags and "r" not in found.tags
    return plain and rows_and_columns and found.size("k") <= SHORT


def flops_of(spec: tuple[str, str, str], a: layout.Shape, b: layout.Shape) -> int:
    return 2 * prod((dict(zip(spec[0], a, strict=True)) | dict(zip(spec[1], b, strict=True))).values())


class Source(NamedTuple):
    """What a contraction was lowered from.

    operands  a, b and the result: views over the letters of `spec`
    others    (view over the result, whether it is written) of what the epilogue `after` reads and writes; `extra`: its
              numbers
    threads   the most that may share it
    """

    spec: tuple[str, str, str]
    operands: tuple[View, View, View]
    after: After | None
    others: tuple[tuple[View, bool], ...]
    extra: tuple[int, ...]
    text: str
    threads: int

    @property
    def forms(self) -> tuple[tuple[layout.Shape, layout.Shape], ...]:
        return tuple((view.shape, view.strides) for view in self.operands)

    def commands(self, planner: Any = None, few: Few | None = None, plus: bool = False) -> list[Command]:
        """planner: takes kernels of `small` where it may; few: takes those of `narrow`.  plus: the products are added
        to what is there.  The last one is the product; before it the result is emptied where its sums are made in
        parts."""
        target = self.operands[2]
        code = code_of(target.buffer.dtype)
        facts = _facts(target.buffer.dtype, few is not None, self.spec, *self.forms)
        found, _, run = facts
        made: list[Command] = []
        loops = self._loops(planner, few, plus, *facts) if plus or "r" in found.tags else None
        if run is not None and not plus and (loops.plus if loops else "r" in found.tags):
            made = nest([("number", "-0.0", code)], [code], [("store", target, 0)], target.shape, "start")
            plus = True
        made.append(self._command(planner, few, plus, loops, *facts))
        for command in made:
            command.source = self
        return made

    def _loops(self, planner: Any, few: Few | None, plus: bool, found: Shape, flops: int, run: Run | None) -> Any:
        """The kernel for a product that loops stand around."""
        if run is None or self.after is not None or few is not None or planner is None:
            return None
        code = code_of(self.operands[2].buffer.dtype)
        return looped(planner.looped, code, run.numbers, found.tags, found.own, flops, plus, run.shared)

    def _command(
        self, planner: Any, few: Few | None, plus: bool, key: Any, found: Shape, flops: int, run: Run | None
    ) -> Command:  # fmt: skip
        a, b, target = self.operands
        code = code_of(target.buffer.dtype)
        views = (b, a) if found.turned else (a, b)
        if run is None or (self.after is None and not plus and is_tiny(planner, flops) and "r" not in found.tags):
            assert not plus
            lanes = lanes_of(pointwise.register_type(code)) if code in ("f4", "f8", "f2", "i8", "i4") else 1
            at = found.tags.rfind("n")
            unit = at >= 0 and found.moves[1][at] == found.moves[2][at] == 1
            loops = Contraction(code, *[found.tags.count(kind) for kind in "bmnk"], unit, lanes)
            numbers = [*found.extents, *found.moves[0], *found.moves[1], *found.moves[2]]
            return self._made(loops, [*views, target], numbers, views, [target], flops)
        how, (m, n, k), shared, size, of_product = run
        batch = found.tags.count("b") + found.tags.count("r")
        size = 0 if key else size
        if planner is not None and not shared and batch == 0:
            key = small(planner, run, code, self.after, views[1].offset)
            size = key.scratch if key else size
        if few is not None and not shared:
            narrower = narrow(few, how, code, m, n, k, self.after, batch, plus)
            size = max(size, narrower.scratch(k) if narrower else 0)
            key = narrower
        if key is None and not plus and "r" not in found.tags and (few is None or not shared):
            made = None if few is not None or planner is None else planner.small
            # large gradients of a training come in stripes; what has something done with it is none
            large = planner is not None and (not planner.repeated or self.after is not None)
            other = skinny(code, self.after, batch, of_product, few, made, large, shared)
            if other is not None:
                key, of_product, size, exchanged = other
                views = views[::-1] if exchanged else views
        if key is None and batch and (key := self._loops(planner, few, plus, found, flops, run)) is not None:
            size = 0
        if key is None:
            if plus:
                how = replace(how, accumulate=True, rest=how.rest and replace(how.rest, accumulate=True))
            if self.after is not None:
                how = replace(how, rest=None)
            if self.after is not None and k <= K_BLOCK:  # a function of its own, which need not add up blocks
                how = replace(how, blocked=False)
            key = Product(how, how.ways, batch, self.after, shared)
        rooms = self.threads if getattr(key, "split", shared) else 1
        scratch = layout.whole(Buffer("arena", np.dtype(np.uint8), size * rooms), (size,))
        read = [view for view, store in self.others if not store]
        written = [view for view, store in self.others if store]
        return self._made(key, [*views, target, scratch, *[view for view, _ in self.others]],
                          [*of_product, *self.extra], [*views, *read], [target, scratch, *written], flops)  # fmt: skip

    def _made(self, kernel: Any, operands: Any, numbers: Any, reads: Any, writes: Any, flops: int) -> Command:
        return Command(kernel, operands, numbers, reads, writes, None, self.text, flops)


def is_matrix(found: Shape, code: str) -> bool:
    """Whether a contraction is a product of matrices, which has fast kernels."""
    return code in MATRICES and found.plain


def is_tiny(planner: Any, flops: int) -> bool:
    """Whether a product is best done number by number, in the same order: where it may be part of a loop's code."""
    return planner is not None and planner.inside and 0 < flops <= TINY


def lower_contract(planner: Any, node: Node) -> bool:
    """A command for a contraction, and with it the waiting nodes that can be done before its result is stored."""
    code = code_of(node.aval.dtype)
    if code == "f2" and not pointwise.half_is_native():
        return False
    spec = node.params["spec"]
    a, b = (planner.view(arg) for arg in node.args)
    text = f"contract {','.join(spec[:2])}->{spec[2]}"
    if code in MATRICES and _paid(planner, node, spec, a, b, text):
        return True
    if code in MATRICES:
        spec, a, b = _arranged(planner, node, a, b)
    tiny = is_tiny(planner, flops_of(spec, a.shape, b.shape))
    fuse = not tiny and _may_follow(node.aval.dtype, spec, node.aval.shape, (a.shape, a.strides), (b.shape, b.strides))
    fused = planner.followers(node, LONGEST) if fuse else []
    if node.aval.size * node.aval.dtype.itemsize >= FAR and kept(planner, fused) > 1:
        fused = []
    after, target, others, extra, text = _after(planner, node, fused, text)
    source = Source(spec, (a, b, target), after, tuple(others), tuple(extra), text, planner.threads)
    *first, command = source.commands(planner)
    below = sums_beside(planner, node, command.kernel) if type(command.kernel) is Small else None
    if below is not None:
        total = planner.allocate(below, below.aval.dtype, below.aval.shape)
        command = Command(
            with_sums(planner, command.kernel), [*command.operands[:4], total, *command.operands[4:]], command.numbers,
            command.reads, [*command.writes[:2], total, *command.writes[2:]], None, f"{text}+sum", command.flops,
        )  # fmt: skip
    planner.commands += [*first, command]
    return True


def _arranged(planner: Any, node: Node, a: View, b: View) -> tuple[Spec, View, View]:
    """The operands as they are, as they were copied for another product, or copied so that this one is quick."""
    old, aval = node.params["spec"], node.aval
    known = [[view, *planner.rearranged.get(arg, ())] for view, arg in zip((a, b), node.args, strict=True)]
    lanes = lanes_of(pointwise.register_type(code_of(aval.dtype)))
    ways = [(*arranged(old, *views, aval.shape, shape_of, lanes), views) for views in product(*known)]
    _, spec, copied, (a, b) = min(ways, key=itemgetter(0))
    made = []
    for view, arg, before, now, again in zip((a, b), node.args, old, spec, copied, strict=False):
        if again:
            view = planner.copy(layout.transposed(view, tuple(map(before.index, now))), aval.dtype)
            planner.rearranged.setdefault(arg, []).append(layout.transposed(view, tuple(map(now.index, before))))
        made.append(view)
    return spec, *made


def _paid(planner: Any, node: Node, spec: Spec, a: View, b: View, text: str) -> bool:
    """Commands for a product whose entries are added to what is paid, if that can be done; else False."""
    steps = windows(planner, node)
    if steps is None:
        return False
    total = steps[-1]
    dtype, code, shape = total.aval.dtype, code_of(total.aval.dtype), total.aval.shape
    lies = place(steps, layout.whole(Buffer("arena", dtype, total.aval.size), shape))
    if lies is None:
        return False
    lying = lies.shape, lies.strides
    form = shape_of(spec, (a.shape, a.strides), (b.shape, b.strides), lying)
    written = shape_of(spec, (a.shape, a.strides), (b.shape, b.strides), (lies.shape, layout.contiguous(lies.shape)))
    if price_of(form) > price_of(written) + PAY * node.aval.size:
        return False
    if not _adds_apart(form):
        return False
    if form.stride(1, "n") != 1 and form.size("b") >= MANY:  # it would be packed for each of so many products
        other, view = by_columns(spec, a, b, form.turned, lies)
        copied = view.shape, layout.contiguous(view.shape)
        forms = (copied, (b.shape, b.strides)) if form.turned else ((a.shape, a.strides), copied)
        if _adds_apart(shape_of(other, *forms, lying)):
            copy = planner.copy(view, view.buffer.dtype)
            spec, a, b = (other, copy, b) if form.turned else (other, a, copy)
    target = planner.allocate(total, dtype, shape)
    planner.gone |= {node, *steps[:-1]}
    planner.nest([("lit", code, "0.0")], [code], [("store", target, 0)], shape, "zeros")
    lies = place(steps, target)
    assert lies is not None
    source = Source(spec, (a, b, lies), None, (), (), f"{text} paid to windows", planner.threads)
    (command,) = source.commands(planner, plus=True)
    command.source = None  # some rows of it would be another sum
    planner.commands.append(command)
    return True


def _adds_apart(form: Shape) -> bool:
    """Whether it is a product of matrices whose entries are added to different ones."""
    axes = [axis for kind in "mn" for axis in form.of(kind)]
    extents, strides = [form.extents[axis] for axis in axes], [form.moves[2][axis] for axis in axes]
    return form.plain and all(alone(k, extents, strides) for k in range(len(axes)))


def _after(planner: Any, node: Node, fused: list[Node], text: str) -> Any:
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
        ways = [{0: "z", 1: "u"}.get(stride, "s") for stride in (across, down)]
        operands.append((code_of(view.buffer.dtype), *ways))
        numbers.extend(stride for stride, way in zip((across, down), ways, strict=True) if way == "s")
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
        if member in planner.wanted or not inside.issuperset(planner.users.get(member, ()))
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
    after = planner.afters.setdefault(after, after)
    return after, target, others, [*numbers, *factors], "+".join([text, *dict.fromkeys(n.op.name for n in fused)])
