"""From a graph to commands: what is computed together in one loop nest, and where it is stored.

Pointwise nodes wait.  A node that cannot wait (a reduction, a product, a result) calls for what it needs: the waiting
nodes of its own shape are computed inside its loops, whatever else needs them later is stored on the way, and what has
another shape comes first, in a nest of its own.  So a value that several kernels read is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import Avals
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors, by_id
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.small import with_product
from payback.native.planning import alongside as carry
from payback.native.planning import even, layout, nests
from payback.native.planning.commands import Command, Scalar, scalar_constant
from payback.native.planning.groups import GROUP, REDUCES, VIEWS, Groups
from payback.native.planning.layout import Buffer, View
from payback.native.planning.numbers import Numbers, Views
from payback.native.planning.pieces import is_pieced

ON_NUMPY = "on NumPy"
SPLIT = ("branch", "scan", "loop")  # rows whose bodies are programs, run between two pieces of the one they stand in
SMALL_RESULT = 512  # entries of a result up to which calling a kernel costs as much as computing them


class Planner(Groups):
    """Commands for a graph.

    views     where each node's value lies, once it does
    commands  in order
    hooks     lowering of the rows that are no nests: name -> f(planner, node), returning False where it cannot
    """

    def __init__(self, graph: Graph, hooks: dict[str, Callable[[Planner, Node], bool]], threads: int = 1):
        self.graph, self.hooks = graph, hooks
        self.views = Views()
        self.scalars: dict[Node, Scalar] = {}
        self.commands: list[Command] = []
        self.users: dict[Node, list[Node]] = {}
        self.waiting: dict[Node, None] = {}
        self.input_buffers: list[Buffer] = []
        self.constants: list[Buffer] = []
        self.outputs: list[View] = []
        self.placed_by: dict[tuple[View, int], View] = {}
        self.early: set[Node] | None = None
        self.threads = threads  # the most that may share a kernel: it takes memory for each
        self.gone: set[Node] = set()  # computed in a nest, needed by nothing else
        self.repeated = False  # a loop runs this very often: it may have kernels of its own
        self.inside = False  # they may be written into that loop
        self.small: set[Any] = set()  # such kernels
        self.looped: set[Any] = set()
        self.known_small: dict[Any, Any] = {}  # answers of `small.small`
        self.afters: dict[Any, Any] = {}  # one object for equal epilogues
        self.rearranged: dict[Node, list[View]] = {}  # operands of products in other orders, by their own axes
        self.factored: dict[Any, Any] = {}  # factors of matrices that several rows are computed from
        self.known_constants: dict[Any, View] = {}  # tables that kernels read
        self.pieced: set[Node] = set()  # put together from what lies in memory, and read there: see `pieces`
        self.homes: dict[Node, View] = {}  # where a value is to lie: as part of another one
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
        self.numbers = Numbers(self.waiting)
        self.pieced = {node for node in self.graph.nodes if is_pieced(self, node)}
        for node in reversed(self.graph.nodes):  # a whole before its parts
            if node.op.name == "concatenate" and node not in self.pieced:
                self._settle(node)
            elif node.op.name == "stack":
                carry.settle(self, node)
        # what a step is given and records is copied first: then its own place is free for what it becomes
        given = set(self.graph.inputs) if self.repeated else ()
        before_all = {
            place: self.copy(self.views[node], node.aval.dtype, "output")
            for place, node in enumerate(self.graph.outputs) if node in given and node.aval.size > SMALL_RESULT
        }  # fmt: skip
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
        copies = before_all | (self.small_results() if self.repeated else {})
        for node in sorted(self.wanted, key=by_id, reverse=True):
            self.need(node)
        taken: set[Buffer] = set()
        for place, node in enumerate(self.graph.outputs):
            view = copies.get(place) or self.view(node)
            if view.buffer.kind != "output" or not view.whole or view.buffer in taken:
                view = self.copy(view, node.aval.dtype, "output")
            taken.add(view.buffer)
            self.outputs.append(view)

    def small_results(self) -> dict[int, View]:
        """Small results of one shape are made in as few nests as can be, for each costs as much as its entries.

        Results that are inputs, or that stand there twice, are copied on the way; returns the copies, by their places.
        """
        alike: dict[layout.Shape, list[tuple[int, Node]]] = {}
        for place, node in enumerate(self.graph.outputs):
            if node.aval.size <= SMALL_RESULT:
                alike.setdefault(node.aval.shape, []).append((place, node))
        copies: dict[int, View] = {}
        for shape, results in alike.items():
            if len(results) > 1:
                self._results_together(shape, results, copies)
        return copies

    def _results_together(self, shape: layout.Shape, results: list[tuple[int, Node]], copies: dict[int, View]) -> None:
        self.require([node for _, node in results], shape)
        while results:
            roots: list[Node] = []
            sinks: list[tuple[Any, ...]] = []
            rest = []
            for place, node in results:
                known = node in self.scalars
                if known or (sinks and len(self.members([*roots, node], shape, ())) + len(sinks) > GROUP):
                    rest += [] if known else [(place, node)]
                    continue
                twice = node in roots
                if twice or node not in self.waiting:
                    view = self.views.get(node)
                    if not twice and view is not None and view.buffer.kind == "output" and view.whole:
                        continue  # it is there
                    copies[place] = self.new(None, node.aval.dtype, shape, "output")
                    sinks.append(("store", copies[place], len(roots)))
                roots.append(node)
            if not roots:
                return
            self.group(roots, shape, sinks)
            results = rest

    def _waits(self, node: Node) -> bool:
        """Whether a node can be computed inside another's loops, or is a view or a constant."""
        shown = node.op.name in VIEWS or node.op.name == "index" or node in self.pieced
        return node.op.value is None or shown or node in self.waiting

    def _settle(self, node: Node) -> None:
        """Parts of a vector that a kernel of their own makes are made in their places."""
        if len(node.aval.shape) != 1:
            self._settle_nested(node)
            return
        target = self.homes.get(node) or self.new(node, node.aval.dtype, node.aval.shape, "arena")
        self.homes[node] = target
        start = 0
        for part in node.args:
            maker = part
            while maker.op.name in ("reshape", "identity"):
                maker = maker.args[0]
            own = maker.op.name in ("contract", "concatenate") or (maker.op.name in REDUCES and self.reducible(maker))
            if own and maker.aval.dtype == node.aval.dtype and maker not in self.wanted and maker not in self.homes:
                shape = maker.aval.shape
                self.homes[maker] = View(target.buffer, target.offset + start, shape, layout.contiguous(shape))
            start += part.aval.size

    def _settle_nested(self, node: Node) -> None:
        """What is put together along another axis first is put together in its place."""
        axis, start = node.params["axis"], 0
        for part in node.args:
            nested = part.op.name == "concatenate" and part.aval.dtype == node.aval.dtype
            if nested and part not in self.wanted and part not in self.homes:
                target = self.homes.get(node) or self.new(node, node.aval.dtype, node.aval.shape, "arena")
                self.homes[node] = target
                offset = target.offset + start * target.strides[axis]
                self.homes[part] = View(target.buffer, offset, part.aval.shape, target.strides)
            start += part.aval.shape[axis]

    def prepare(self, node: Node) -> None:
        name = node.op.name
        if node.op.value is None:
            scalar = scalar_constant(node)
            if scalar is not None:
                self.scalars[node] = scalar
            else:
                array = np.ascontiguousarray(node.value, node.aval.dtype.newbyteorder("="))
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
            if not with_product(self, node):
                self.reduce(node)
            return
        hook = self.hooks.get(name)
        if hook is None or not hook(self, node):
            self.interpret(node)

    # --- values -------------------------------------------------------------------------------------------

    def allocate(self, node: Node | None, dtype: np.dtype[Any], shape: layout.Shape, across: bool = False) -> View:
        """A new buffer; that of a result is the caller's.  across: its last axis is walked first."""
        view = self.homes.get(node) if node is not None else None
        if view is None or view.shape != shape or view.buffer.dtype != dtype:
            view = self.new(node, dtype, shape, "arena")
            if across and view.buffer.kind == "arena":
                turned = layout.whole(view.buffer, (shape[-1], *shape[:-1]))
                view = layout.transposed(turned, (*range(1, len(shape)), 0))
        if node is not None:
            self.views[node] = view
        return view

    def placed(self, node: Node, instrs: Sequence[tuple[Any, ...]], shape: layout.Shape, across: bool) -> View:
        """A place for a nest's result, which lies as most of what the nest reads does.  across: see `allocate`."""
        read = [i[1] for i in instrs if i[0] == "load"]
        way, own = nests.usual(shape, read), tuple(range(len(shape)))
        across = across and shape[-1] <= nests.short_sum(instrs, sum(view.strides[-1] == 1 for view in read))
        if across or way == own or node in self.wanted or node in self.homes:
            return self.allocate(node, node.aval.dtype, shape, across=across)
        turned = self.new(None, node.aval.dtype, tuple(shape[axis] for axis in way), "arena")
        view = self.views[node] = layout.transposed(turned, tuple(map(way.index, own)))
        return view

    def new(self, node: Node | None, dtype: np.dtype[Any], shape: layout.Shape, kind: str) -> View:
        if node is not None and node in self.wanted:
            kind = "output"
        return layout.whole(Buffer(kind, dtype, prod(shape)), shape)

    def view(self, node: Node) -> View:
        """Where the node's value lies; computed now if it is not yet."""
        assert node not in self.gone, f"{node!r} was computed and not kept"
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
        """Have the node computed, and what it needs before it.

        A number that stands on the stack may be computed together with what it was wanted for, by a nest of numbers
        that are at hand; nothing needs it then.
        """
        stack = [node]
        while stack:
            top = stack[-1]
            if top in self.views or top in self.scalars or top in self.gone:
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
            contents = even.known(node.args[1:])
            made = None if contents is None else even.view(source, params["template"], contents)
            if made is None:
                self.interpret(node)
                return
        assert made is not None
        self.views[node] = made

    def copy(self, view: View, dtype: np.dtype[Any], kind: str = "arena") -> View:
        target = layout.whole(Buffer(kind, dtype, prod(view.shape)), view.shape)
        self.nest([("load", view, code_of(dtype))], [code_of(dtype)], [("store", target, 0)], view.shape, "copy")
        return target

    def contiguous(self, view: View, dtype: np.dtype[Any]) -> View:
        """The same entries by rows, without gaps: the view itself where it lies so."""
        return view if view.whole else self.copy(view, dtype)

    def command(
        self, kernel: Any, operands: Sequence[View], numbers: Sequence[int], reads: Sequence[View],
        writes: Sequence[View], text: str, flops: int = 0,
    ) -> None:  # fmt: skip
        self.commands.append(Command(kernel, operands, numbers, reads, writes, None, text, flops))

    def write(
        self, node: Node, part: Node, shape: layout.Shape, sink: tuple[Any, ...], text: str,
        extra: Sequence[View] = (),
    ) -> None:  # fmt: skip
        """An argument of `node`, computed and sunk where the node wants it."""
        if part.aval.shape == shape:
            self.require([part], shape)
        else:
            self.need(part)
        self.group([part], shape, [sink], extra, text=text, sinking=[node])

    def interpret(self, node: Node) -> None:
        """The program is split here: this node runs on the interpreter's rule."""
        reads = [self.view(arg) for arg in node.args if arg.op.value is not None or arg.value is None]
        results = [node]
        if isinstance(node.aval, Avals):
            results = self.users.get(node, [])
            self.gone.add(node)
        targets = [self.allocate(part, part.aval.dtype, part.aval.shape) for part in results]
        taped = hasattr(node.params.get("body"), "replayed")
        how = "on a tape" if taped else "by programs of its own" if node.op.name in SPLIT else ON_NUMPY
        self.commands.append(Command(None, [], [], reads, targets, node, f"{node.op.name} {how}"))

    def nest(
        self, instrs: Sequence[tuple[Any, ...]], codes: Sequence[str], sinks: Sequence[tuple[Any, ...]],
        shape: layout.Shape, text: str, axes: layout.Shape | None = None, form: layout.Shape | None = None,
    ) -> None:  # fmt: skip
        """A command for instrs and sinks that name their views; see `nests.nest`."""
        self.commands += nests.nest(instrs, codes, sinks, shape, text, axes, self.inside, form)
