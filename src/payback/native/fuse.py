"""From a graph to commands: what is computed together in one loop nest, and where it is stored.

Pointwise nodes wait.  A node that cannot wait (a reduction, a product, a result) calls for what it needs: the waiting
nodes of its own shape are computed inside its loops, whatever else needs them later is stored on the way, and what has
another shape comes first, in a nest of its own.  So a value that several kernels read is made once.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import BOOL, Avals
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors, by_id
from payback.native import layout
from payback.native.emit import lanes_of
from payback.native.layout import Buffer, View
from payback.native.lower import pointwise
from payback.native.lower.nest import Nest
from payback.native.lower.pointwise import code_of

_MASKS = ("logical_and", "logical_or", "logical_not", "gt", "ge", "lt", "le", "eq", "ne")
GROUP = 160  # nodes in one nest at most
VIEWS = ("broadcast", "reshape", "transpose", "identity")
REDUCES = ("sum", "mean", "max", "min")
_PLAIN = {"0.0", "-0.0", "1.0", "-1.0", "0.5", "2.0", "inf", "-inf", "nan"}  # numbers that are part of the code


class Command:
    """One call: of a kernel with operands and numbers, or (kernel None) of a row's rule on NumPy arrays.

    reads, writes  views; of a nest, by operand
    numbers        what follows the operands in `args`
    """

    __slots__ = ("flops", "kernel", "node", "numbers", "operands", "reads", "text", "writes")

    def __init__(
        self, kernel: Any, operands: Sequence[View], numbers: Sequence[int], reads: Sequence[View],
        writes: Sequence[View], node: Node | None = None, text: str = "", flops: int = 0,
    ):  # fmt: skip
        self.kernel, self.operands, self.numbers = kernel, tuple(operands), tuple(numbers)
        self.reads, self.writes, self.node, self.text, self.flops = tuple(reads), tuple(writes), node, text, flops


    @property
    def bytes(self) -> int:
        """About what a nest moves through memory."""
        return sum(view.buffer.bytes for view in self.operands)

    def replace(self, old: Buffer, new: Buffer) -> None:
        """Use another buffer in place of one."""

        def swapped(views: Sequence[View]) -> tuple[View, ...]:
            return tuple(v._replace(buffer=new) if v.buffer is old else v for v in views)

        self.operands, self.reads, self.writes = (swapped(v) for v in (self.operands, self.reads, self.writes))


class Scalar:
    """A number that is the same at every entry: a literal, or an array whose entries are all equal."""

    __slots__ = ("code", "value")

    def __init__(self, code: str, value: Any):
        self.code, self.value = code, value


def scalar_constant(node: Node) -> Scalar | None:
    value, dtype = node.value, node.aval.dtype
    if isinstance(value, np.ndarray) and value.ndim:
        if value.size == 0:
            return None
        first = value[(0,) * value.ndim]
        bits = np.ascontiguousarray(value).view(np.uint8).reshape(value.size, -1) if value.size <= 1 << 16 or (
            0 in value.strides) else None  # fmt: skip
        if bits is None or (bits != bits[0]).any():
            return None
        value = first
    return Scalar(code_of(dtype), dtype.type(value))


class Planner:
    """Commands for a graph.

    views     where each node's value lies, once it does
    commands  in order
    hooks     lowering of the rows that are no nests: name -> f(planner, node), returning False where it cannot
    """

    def __init__(self, graph: Graph, hooks: dict[str, Callable[[Planner, Node], bool]], threads: int = 1):
        self.graph, self.hooks = graph, hooks
        self.views: dict[Node, View] = {}
        self.scalars: dict[Node, Scalar] = {}
        self.commands: list[Command] = []
        self.users: dict[Node, list[Node]] = {}
        self.waiting: dict[Node, None] = {}
        self.input_buffers: list[Buffer] = []
        self.constants: list[Buffer] = []
        self.outputs: list[View] = []
        self.checked: set[tuple[Buffer, int]] = set()
        self.early: set[Node] | None = None
        self.threads = threads  # the most that may share a kernel: it takes memory for each
        self.gone: set[Node] = set()  # computed in a nest, needed by nothing else
        for node in graph.nodes:
            for arg in node.args:
                self.users.setdefault(arg, []).append(node)
        self.wanted = dict.fromkeys(graph.outputs)
        for node in graph.inputs:
            buffer = Buffer("input", node.aval.dtype, node.aval.size)
            self.input_buffers.append(buffer)
            self.views[node] = layout.whole(buffer, node.aval.shape)

    # --- the walk -----------------------------------------------------------------------------------------

    def plan(self, first: Sequence[Node] = (), between: Callable[[Planner], None] | None = None) -> None:
        """All commands.  first: nodes that are computed, with what they need, before `between` is called."""
        for node in self.graph.nodes:
            self.prepare(node)
        ends = [node for node in self.graph.nodes if not self._waits(node)]
        before = set(ancestors(first))
        self.early = before if first else None  # what may be computed by now
        for node in ends:
            if node in before:
                self.finish(node)
        for node in first:
            self.need(node)
        if between is not None:
            between(self)
        self.early = None
        for node in ends:
            self.finish(node)
        for node in sorted(self.wanted, key=by_id, reverse=True):
            self.need(node)
        taken: set[Buffer] = set()
        for node in self.graph.outputs:
            view = self.view(node)
            if view.buffer.kind != "output" or not view.whole or view.buffer in taken:
                view = self.copy(view, node.aval.dtype, "output")
            taken.add(view.buffer)
            self.outputs.append(view)

    def _waits(self, node: Node) -> bool:
        """Whether a node can be computed inside another's loops, or is a view or a constant."""
        return node.op.value is None or node.op.name in VIEWS or node.op.name == "index" or self.fusible(node)

    def prepare(self, node: Node) -> None:
        name = node.op.name
        if node.op.value is None:
            scalar = scalar_constant(node)
            if scalar is not None:
                self.scalars[node] = scalar
            else:
                array = np.ascontiguousarray(node.value)
                buffer = Buffer("const", array.dtype, array.size, array)
                self.constants.append(buffer)
                self.views[node] = layout.whole(buffer, array.shape)
        elif name in VIEWS and node.args[0] in self.scalars:
            self.scalars[node] = self.scalars[node.args[0]]
        elif self.fusible(node):
            self.waiting[node] = None

    def finish(self, node: Node) -> None:
        """A node that is neither view nor waiting: its command now."""
        if node in self.views or node in self.scalars or node in self.gone:
            return
        name = node.op.name
        if name == "part":  # its row computes all results at once
            if node.args[0] not in self.gone:
                self.finish(node.args[0])
            return
        if name in REDUCES and self.reducible(node):
            self.reduce(node)
            return
        hook = self.hooks.get(name)
        if hook is None or not hook(self, node):
            self.interpret(node)

    # --- values -------------------------------------------------------------------------------------------

    def allocate(self, node: Node | None, dtype: np.dtype[Any], shape: layout.Shape, kind: str = "arena") -> View:
        """A new buffer; that of a result is the caller's."""
        if node is not None and node in self.wanted:
            kind = "output"
        buffer = Buffer(kind, dtype, prod(shape))
        view = layout.whole(buffer, shape)
        if node is not None:
            self.views[node] = view
        return view

    def view(self, node: Node) -> View:
        """Where the node's value lies; computed now if it is not yet."""
        self.need(node)
        view = self.views.get(node)
        if view is None:  # a number as an array
            scalar = self.scalars[node]
            shape, dtype = node.aval.shape, node.aval.dtype
            buffer = Buffer("const", dtype, 1, np.full(1, scalar.value, dtype))
            self.constants.append(buffer)
            view = self.views[node] = View(buffer, 0, shape, (0,) * len(shape))
        return view

    def need(self, node: Node) -> None:
        """Have the node computed, and what it needs before it."""
        stack = [node]
        while stack:
            top = stack[-1]
            assert top not in self.gone, f"{top!r} was computed and not kept"
            if top in self.views or top in self.scalars:
                stack.pop()
                continue
            if top in self.waiting:
                missing = self.missing(top)
                if missing:
                    stack += missing
                else:
                    stack.pop()
                    self.group([top], top.aval.shape)
                continue
            if top.op.name in VIEWS or top.op.name == "index":
                missing = [arg for arg in top.args if arg not in self.views and arg not in self.scalars]
                if missing:
                    stack += missing
                else:
                    stack.pop()
                    self.make_view(top)
                continue
            missing = [a for a in top.args if a not in self.views and a not in self.scalars and a not in self.waiting]
            if missing:
                stack += missing
            else:
                stack.pop()
                self.finish(top)

    def make_view(self, node: Node) -> None:
        name, params = node.op.name, node.params
        source = self.view(node.args[0])
        made: View | None
        if name == "broadcast":
            made = layout.spread(source, params["shape"])
        elif name == "transpose":
            made = layout.transposed(source, params["axes"])
        elif name == "reshape":
            made = layout.reshaped(source, node.aval.shape)
            if made is None:
                made = layout.reshaped(self.copy(source, node.aval.dtype), node.aval.shape)
        elif name == "identity":
            made = source
        else:
            places = layout.indexed(source, params["template"], [])
            if places is None:
                self.interpret(node)
                return
            made = View(source.buffer, places.offset, places.shape, places.strides)
        assert made is not None
        self.views[node] = made

    def copy(self, view: View, dtype: np.dtype[Any], kind: str = "arena") -> View:
        target = layout.whole(Buffer(kind, dtype, prod(view.shape)), view.shape)
        self.nest([("load", view, code_of(dtype))], [code_of(dtype)], [("store", target, 0)], view.shape, "copy")
        return target

    def command(
        self, kernel: Any, operands: Sequence[View], numbers: Sequence[int], reads: Sequence[View],
        writes: Sequence[View], text: str, flops: int = 0,
    ) -> None:  # fmt: skip
        self.commands.append(Command(kernel, operands, numbers, reads, writes, None, text, flops))

    def write(
        self, node: Node, part: Node, shape: layout.Shape, sink: tuple[Any, ...], text: str,
        extra: Sequence[tuple[Any, ...]] = (),
    ) -> None:  # fmt: skip
        """An argument of `node`, computed and sunk where the node wants it."""
        if part.aval.shape == shape:
            self.require([part], shape)
        else:
            self.need(part)
        self.group([part], shape, [sink], extra, text=text, sinking=node)

    def interpret(self, node: Node) -> None:
        """The program is split here: this node runs on the interpreter's rule."""
        reads = [self.view(arg) for arg in node.args if arg.op.value is not None or arg.value is None]
        results = [node]
        if isinstance(node.aval, Avals):
            results = self.users.get(node, [])
            self.gone.add(node)
        targets = [self.allocate(part, part.aval.dtype, part.aval.shape) for part in results]
        self.commands.append(Command(None, [], [], reads, targets, node, f"{node.op.name} on NumPy"))

    # --- waiting nodes ------------------------------------------------------------------------------------

    def fusible(self, node: Node) -> bool:
        name, args, aval = node.op.name, node.args, node.aval
        if node.op.value is None:
            return False
        if aval.weak and aval.dtype.kind == "i":  # Python's whole numbers have no end
            return False
        codes = [code_of(arg.aval.dtype) for arg in args]
        if "f2" in (*codes, code_of(aval.dtype)) and not pointwise.half_is_native():
            return False
        if any(a.op.value is None and a.aval.weak and a.aval.dtype.kind == "i" and abs(a.value) > 2**53 for a in args):
            return False
        if name == "cast":
            return True
        if name == "index":
            return any(isinstance(part, layout.Place) for part in node.params["template"]) and self._fancy(node)
        return node.op.kind == "pointwise" and name != "identity" and pointwise.can(name, self.operand_code(node))

    def _fancy(self, node: Node) -> bool:
        source, *arrays = node.args
        if any(a.aval.dtype.kind not in "iu" or a.aval.weak for a in arrays):
            return False
        view = layout.whole(Buffer("arena", source.aval.dtype, source.aval.size), source.aval.shape)
        return layout.indexed(view, node.params["template"], [a.aval.shape for a in arrays]) is not None

    def operand_code(self, node: Node) -> str:
        """The dtype that a pointwise row computes in."""
        name, result = node.op.name, code_of(node.aval.dtype)
        codes = {code_of(arg.aval.dtype) for arg in node.args[1 if name == "select" else 0 :]}
        if name.startswith("logical"):
            return "b1"
        if result != "b1" or name == "select":
            return result
        if len(codes) == 1:
            return codes.pop()
        return "f8" if any(c[0] == "f" for c in codes) else "i8"

    def inline(self, node: Node, shape: layout.Shape) -> bool:
        return node in self.waiting and node.aval.shape == shape

    def missing(self, root: Node) -> list[Node]:
        """What the nest of a waiting node reads and nobody has computed yet."""
        shape, seen, stack, found = root.aval.shape, {root}, [root], {}
        while stack:
            node = stack.pop()
            for slot, arg in enumerate(node.args):
                if arg in seen or arg in self.views or arg in self.scalars:
                    continue
                if self.inline(arg, shape) and not (node.op.name == "index" and slot == 0) and len(seen) < GROUP:
                    seen.add(arg)
                    stack.append(arg)
                else:
                    found[arg] = None
        return list(found)

    def members(self, roots: Sequence[Node], shape: layout.Shape, sinking: Node | None) -> list[Node]:
        """The waiting nodes that the nest of these roots computes, in order."""
        seen = dict.fromkeys(root for root in roots if self.inline(root, shape))
        stack = list(seen)
        while stack:
            for arg in stack.pop().args:
                if arg not in seen and self.inline(arg, shape):
                    seen[arg] = None
                    stack.append(arg)
        if shape == ():  # numbers that are at hand are computed together
            for node in self.waiting:
                if node not in seen and node.aval.shape == () and all(
                    arg in seen or (arg in self.views and arg is not sinking) or arg in self.scalars for arg in node.args
                ):  # fmt: skip
                    seen[node] = None
                    if len(seen) > GROUP:
                        break
        return sorted(seen, key=by_id)

    def require(self, nodes: Sequence[Node], shape: layout.Shape) -> None:
        """All that a nest over `shape` with these roots reads lies in memory."""
        for node in nodes:
            if self.inline(node, shape):
                while missing := self.missing(node):
                    for arg in missing:
                        self.need(arg)
                    if not self.inline(node, shape):
                        break
            else:
                self.need(node)

    def group(
        self,
        roots: Sequence[Node],
        shape: layout.Shape,
        sinks: Sequence[tuple[Any, ...]] = (),
        extra: Sequence[tuple[Any, ...]] = (),
        axes: layout.Shape | None = None,
        text: str = "",
        sinking: Node | None = None,
    ) -> None:
        """One nest for the roots and what waits for them.

        sinks: (kind, view over `shape`, number of its root, …) beside the stores of what others need; they stand for
        the node `sinking`.  extra: (view, code) of the index arrays that sinks refer to by number.
        """
        members = self.members(roots, shape, sinking)
        inside = set(members)
        instrs: list[tuple[Any, ...]] = []
        codes: list[str] = []
        number: dict[Any, int] = {}

        def add(instr: tuple[Any, ...], code: str) -> int:
            key = (instr, code)
            if key not in number:
                number[key] = len(instrs)
                instrs.append(instr)
                codes.append(code)
            return number[key]

        def operand(node: Node, code: str | None = None) -> int:
            have = code_of(node.aval.dtype)
            if node in inside:
                at = number[node]
            elif node in self.scalars:
                scalar = self.scalars[node]
                at, have = add(("number", _text(scalar), scalar.code), scalar.code), scalar.code
            else:
                at = add(("load", layout.spread(self.view(node), shape), have), have)
            return at if code is None or code == have else add(("cast", have, code, at), code)

        for node in members:
            name, code = node.op.name, code_of(node.aval.dtype)
            if name == "cast":
                number[node] = operand(node.args[0], code)
            elif name == "index":
                number[node] = self._gather(node, add, operand, shape)
            else:
                inner = self.operand_code(node)
                args = [operand(arg, "b1" if name == "select" and slot == 0 else inner)
                        for slot, arg in enumerate(node.args)]  # fmt: skip
                number[node] = args[0] if name == "stop_gradient" else add((name, inner, *args), code)
        ends = [operand(root) for root in roots]
        loads = []
        for view, code in extra:
            at = add(("load", view, code), code)
            loads.append(at if code == "i8" else add(("cast", code, "i8", at), "i8"))
        made: list[tuple[Any, ...]] = []
        for kind, view, root, *more in sinks:
            if kind in ("sum", "max", "min"):
                made.append((kind, view, operand(roots[root], more[0]), *more))
            else:
                made.append((kind, view, ends[root], *[(loads[k], extent, stride) for k, extent, stride in more]))
        for node in members:
            self.waiting.pop(node, None)
        for node in members:
            others = [user for user in self.users.get(node, ()) if user not in inside]
            if sinks and node in roots and others.count(sinking) == 1:  # an argument given twice is read again
                others = [user for user in others if user is not sinking]
            if not others and node not in self.wanted:
                self.gone.add(node)
            else:
                made.append(("store", self.allocate(node, node.aval.dtype, shape), number[node]))
        self.nest(instrs, codes, made, shape, text or "+".join(dict.fromkeys(n.op.name for n in members)), axes)

    def _gather(self, node: Node, add: Any, operand: Any, shape: layout.Shape) -> int:
        source, *arrays = node.args
        code, view = code_of(node.aval.dtype), self.view(source)
        places = layout.indexed(view, node.params["template"], [a.aval.shape for a in arrays])
        assert places is not None
        indices = []
        for k, extent, stride in places.arrays:
            self.check(arrays[k], extent)
            there = layout.View(*self.along(self.view(arrays[k]), places))
            have = code_of(arrays[k].aval.dtype)
            at = add(("load", there, have), have)
            indices.append((at if have == "i8" else add(("cast", have, "i8", at), "i8"), extent, stride))
        moved = View(view.buffer, places.offset, places.shape, places.strides)
        return add(("gather", moved, code, *indices), code)

    def followers(self, node: Node, most: int) -> list[Node]:
        """Waiting nodes that can be computed right after an entry of `node`, in order: bias, activation, mask.

        They read nothing else but floating arrays that lie in memory, and numbers.
        """
        shape, dtype = node.aval.shape, node.aval.dtype
        inside = {node}
        made: list[Node] = []
        heap = [(user.id, user) for user in dict.fromkeys(self.users.get(node, ()))]
        heapq.heapify(heap)
        while heap and len(made) < most:
            _, user = heapq.heappop(heap)
            if user in inside or not self._follows(user, shape, dtype):
                continue
            own = [arg for arg in user.args if arg not in inside]
            ready = [arg for arg in own if self._at_hand(arg, shape, dtype)]
            rest = [arg for arg in own if arg not in ready]
            # a mask that is computed from what lies in memory comes along
            if not all(self._follows(arg, shape, dtype) and all(x in inside or self._at_hand(x, shape, dtype)
                                                                 for x in arg.args) for arg in rest):  # fmt: skip
                continue
            for new in (*dict.fromkeys(rest), user):
                inside.add(new)
                made.append(new)
                for further in self.users.get(new, ()):
                    heapq.heappush(heap, (further.id, further))
        while made and made[-1].aval.dtype != dtype:  # C holds the last one's values
            made.pop()
        return made if self._is_chain(node, made) else []

    def _is_chain(self, node: Node, made: list[Node]) -> bool:
        """Whether others need but the end of a chain of nodes and steps on the way to it; not the product itself."""
        kept = [x for x in made if x in self.wanted or any(user not in made for user in self.users.get(x, ()))]
        if not made or node in self.wanted or any(user not in made for user in self.users.get(node, ())):
            return False
        before = set(ancestors([made[-1]], floor=node.id))
        return all(x in before for x in kept)

    def _follows(self, node: Node, shape: layout.Shape, dtype: np.dtype[Any]) -> bool:
        if node not in self.waiting or node.aval.shape != shape or node.op.kind != "pointwise":
            return False
        if self.early is not None and node not in self.early:
            return False
        codes = {arg.aval.dtype for arg in node.args} | {node.aval.dtype}
        return codes <= {dtype, BOOL} and not (self.operand_code(node) == "b1" and node.op.name not in _MASKS)

    def _at_hand(self, node: Node, shape: layout.Shape, dtype: np.dtype[Any]) -> bool:
        if node in self.scalars:
            return True
        if node.op.name in VIEWS and node not in self.views and node.args[0] in self.views:
            self.need(node)
        return node in self.views and node.aval.dtype == dtype and len(node.aval.shape) <= len(shape)

    def along(self, view: View, places: layout.Places) -> View:
        """An index array over the axes of the result."""
        common = places.shape[places.first : places.first + places.count]
        across = layout.spread(view, common)
        rest = len(places.shape) - places.first - places.count
        return View(view.buffer, view.offset, places.shape, (0,) * places.first + across.strides + (0,) * rest)

    def check(self, array: Node, extent: int) -> None:
        """A command that stops the program where an index is out of bounds; what is known now is looked at now."""
        view = self.view(array)
        if view.buffer.kind == "const":
            values = view.buffer.array
            if values.size == 0 or (values.min() >= -extent and values.max() < extent):
                return
        if (view.buffer, extent) not in self.checked and prod(view.shape):
            from payback.native.lower.guard import InBounds

            self.checked.add((view.buffer, extent))
            if not view.whole:
                view = self.copy(view, array.aval.dtype)
            kernel = InBounds(code_of(array.aval.dtype))
            self.commands.append(Command(kernel, [view], [prod(view.shape), extent], [view], [], None, "check indices"))

    # --- reductions ---------------------------------------------------------------------------------------

    def reducible(self, node: Node) -> bool:
        x, axes = node.args[0].aval, node.params["axes"]
        if x.weak or ("f" == x.dtype.kind and x.dtype.itemsize == 2 and not pointwise.half_is_native()):
            return False
        return node.op.name not in ("max", "min") or prod(x.shape[a] for a in axes) > 0

    def reduce(self, node: Node) -> None:
        source, axes, shape = node.args[0], node.params["axes"], node.args[0].aval.shape
        self.require([source], shape)
        name = node.op.name
        wide = code_of(node.aval.dtype) if name in ("sum", "mean") else code_of(source.aval.dtype)
        target = self.allocate(node, node.aval.dtype, node.aval.shape)
        kept = iter(layout.contiguous(tuple(n for a, n in enumerate(shape) if a not in axes)))
        strides = tuple(0 if a in axes else next(kept) for a in range(len(shape)))
        count = prod(shape[a] for a in axes)
        finish = ("div", float(count)) if name == "mean" else ()
        kind = "sum" if name == "mean" else name
        sink = (kind, View(target.buffer, 0, shape, strides), 0, wide, finish)
        self.group([source], shape, [sink], axes=axes, text=name, sinking=node)

    # --- the nest -----------------------------------------------------------------------------------------

    def nest(
        self,
        instrs: Sequence[tuple[Any, ...]],
        codes: Sequence[str],
        sinks: Sequence[tuple[Any, ...]],
        shape: layout.Shape,
        text: str,
        axes: layout.Shape | None = None,
    ) -> None:
        """A command for instrs and sinks that name their views: what is equal in form becomes one kernel."""
        if not sinks:
            return
        views: list[View] = []
        kinds: list[str] = []

        def place(view: View, code: str) -> int:
            views.append(view)
            kinds.append(code)
            return len(views) - 1

        factors: list[int] = []
        body: list[tuple[Any, ...]] = []
        indices: list[tuple[int, int]] = []
        for instr in instrs:
            if instr[0] == "load":
                body.append(("load", place(instr[1], instr[2])))
            elif instr[0] == "gather":
                body.append(("gather", place(instr[1], instr[2]), *[at for at, _, _ in instr[3:]]))
                indices += [(extent, stride) for _, extent, stride in instr[3:]]
            elif instr[0] == "number":
                body.append(_number(instr[1], instr[2], factors))
            else:
                body.append(instr)
        ends: list[tuple[Any, ...]] = []
        for kind, view, at, *more in sinks:
            where = place(view, code_of(view.buffer.dtype))
            if kind in ("sum", "max", "min"):
                finish = ()
                if more[1]:
                    factors.append(_bits("f8" if codes[at] == "f8" else "f4", more[1][1]))
                    finish = ("div", len(factors) - 1)
                ends.append((kind, where, at, finish))
            else:
                ends.append((kind, where, at, *[k for k, _, _ in more]))
                indices += [(extent, stride) for _, extent, stride in more]
        letters = "".join("r" if axes is not None and a in axes else "k" for a in range(len(shape)))
        extents, moves, letters = layout.collapsed(shape, [v.strides for v in views], letters)
        if axes is not None and letters and "r" not in letters:
            extents, moves, letters = [1, *extents], [[0, *move] for move in moves], "r" + letters
        second: list[tuple[Any, ...]] = []
        parts = _parts(extents[0]) if letters == "r" and "f2" not in codes else 1
        if parts > 1:  # a long sum, in parts that threads can share; always the same ones
            step = extents[0] // parts
            extents, letters = [parts, step], "kr"
            moves = [[move[0] * step, move[0]] for move in moves]
            for place_, end in enumerate(ends):
                if end[0] in ("sum", "max", "min"):
                    code, total = codes[end[2]], views[end[1]]
                    views[end[1]] = layout.whole(Buffer("arena", np.dtype(code), parts), (parts,))
                    moves[end[1]] = [1, 0]
                    second.append((end[0], views[end[1]], code, total, sinks[place_][4]))
                    ends[place_] = (*end[:3], ())
        inner = letters[-1:]
        order = [i for i, x in enumerate(letters[:-1]) if x == "k"] + [i for i, x in enumerate(letters[:-1]) if x == "r"]
        ways = tuple(
            (code, {0: "z", 1: "u"}.get(move[-1], "s") if inner else "z") for code, move in zip(kinds, moves, strict=True)
        )
        empty = axes is not None and prod(shape[a] for a in axes) == 0
        key = Nest(tuple(body), ways, tuple(ends), tuple(codes), letters[:-1].count("k"), letters[:-1].count("r"),
                   inner, _lanes(codes, extents[-1]) if inner else 1, empty,
                   _worth_sharing(letters, extents, order, ends))  # fmt: skip
        numbers = [extents[i] for i in order] + extents[-1:]
        for move in moves:
            numbers += [move[i] for i in order]
        numbers += [move[-1] for (_, how), move in zip(ways, moves, strict=True) if how == "s"]
        for extent, stride in indices:
            numbers += [extent, stride]
        numbers += factors
        stored = {end[1] for end in ends}
        adding = {end[1] for end in ends if end[0] in ("plus", "scatter")}
        self.commands.append(
            Command(
                key, views, numbers,
                [v for k, v in enumerate(views) if k not in stored or k in adding],
                [v for k, v in enumerate(views) if k in stored], None, text,
            )  # fmt: skip
        )
        for kind, part, code, total, finish in second:
            target = View(total.buffer, total.offset, (parts,), (0,))
            self.nest([("load", part, code)], [code], [(kind, target, 0, code, finish)], (parts,), f"{text} of parts", (0,))


def _lanes(codes: Sequence[str], extent: int) -> int:
    """Lanes of a nest's vectors: those of its smallest floating numbers; none where the inner axis is too short."""
    sizes = [4 if code in ("f4", "f2") else 8 for code in codes if code in ("f4", "f2", "f8")]
    lanes = lanes_of(pointwise.register_type("f4" if 4 in sizes or not sizes else "f8"))
    return lanes if extent >= lanes else 1


def _parts(entries: int) -> int:
    """Into how many equal parts a long sum is cut."""
    if entries < 1 << 15:
        return 1
    return next((parts for parts in range(64, 1, -1) if entries % parts == 0 and entries // parts >= 2048), 1)


def _worth_sharing(letters: str, extents: list[int], order: list[int], ends: Sequence[tuple[Any, ...]]) -> bool:
    """Whether a nest is large, and its first loop can be cut: no two threads would write one place."""
    if prod(extents) < 1 << 14 or any(end[0] in ("scatter", "plus") for end in ends):
        return False
    if order:
        return letters[order[0]] == "k" and extents[order[0]] >= 8
    return letters == "k"


def _text(scalar: Scalar) -> str:
    return repr(float(scalar.value)) if scalar.code[0] == "f" else str(int(scalar.value))


def number_of(scalar: Scalar, factors: list[int]) -> tuple[Any, ...]:
    """The instr for a number: written into the code, or a factor that the code is given."""
    return _number(_text(scalar), scalar.code, factors)


def _number(text: str, code: str, factors: list[int]) -> tuple[Any, ...]:
    if code[0] != "f" or text in _PLAIN:
        return ("lit", code, text)
    factors.append(_bits(code, float(text)))
    return ("arg", code, len(factors) - 1)


def _bits(code: str, value: float) -> int:
    if code == "f8":
        return struct.unpack("<q", struct.pack("<d", value))[0]
    return struct.unpack("<i", struct.pack("<f", value))[0]
