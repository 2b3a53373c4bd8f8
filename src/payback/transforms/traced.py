"""One trace of a compiled function: the graph for one kind of arguments, its program, and the fast way into that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.errors import UnsupportedError
from payback.ir.aval import Aval, aval_of
from payback.ir.collector import uncollected
from payback.ir.graph import Graph
from payback.ir.later import later
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.trace.array import Traced, Variable
from payback.trace.assignment.memory_order import steps_of
from payback.trace.assignment.views import argument, is_written, without_axes
from payback.trace.assignment.views import is_number as is_no_array
from payback.trace.body import enclosed, finished, fresh, is_number, node_of
from payback.trace.dispatch import here
from payback.trace.plain_arrays import strides_of, watching
from payback.trace.refusals.leaks import check, close
from payback.trace.scalars.number import opened, recorded
from payback.trace.shared import standing
from payback.trace.shim.shim import call, tracing
from payback.trace.tree import leaves, paths, rebuilder, unflatten
from payback.transforms.donation import matched
from payback.transforms.strides import by_rows, orders, turned
from payback.transforms.surroundings import Around

Function = Callable[..., Any]


class Kind(NamedTuple):
    """What decides which graph is run: the aval, and how an array lies in memory (see `views.py`).

    writable: whether it has no axes and is yet an array, not one of NumPy's numbers
    """

    aval: Any
    strides: tuple[int, ...] | None
    writable: bool = False

    def __str__(self) -> str:
        return f"{self.aval}{'' if self.strides is None else f' by {self.strides}'}"

    @classmethod
    def of(cls, leaf: Any) -> Kind:
        if isinstance(leaf, Traced):
            return cls(Aval(*leaf.node.aval), steps_of(leaf.node), not leaf.shape and not is_no_array(leaf))
        return cls(aval_of(leaf), strides_of(leaf), type(leaf) is np.ndarray and not leaf.ndim)


def _given(node: Node, kind: Kind) -> Traced:
    return without_axes(Traced(node)) if kind.writable else argument(opened(node))


class Trace:
    """One graph of a compiled function.

    body: takes the dynamic leaves of the arguments, then what the function uses from around it.
    outside: the arrays around it that it reads anew at each call; variables: whose nodes it reads so, with what
    kind they are; captured: other traced values around it.
    masks: plain masks that decided shapes, with their contents then.
    without_axes: which of what the body takes are arrays although they have no axes.
    spread: which of the dynamic leaves are arrays that do not lie by rows, and how they lie; orders: see `strides.py`.
    written: which of the dynamic leaves the function writes into.
    settled: whether another trace would be the same.
    objects: what is read from the objects among the arguments.
    """

    settled = True
    objects: Sequence[Around] = ()

    def __init__(
        self, f: Function, tree: Any, values: list[Any], dynamic: list[bool], native: bool = False,
        offered: Sequence[bool] = (), variables: Sequence[Variable] = (),
    ):  # fmt: skip
        """variables: those that it may read as inputs, so that it cannot look at their numbers."""
        dynamic_paths = [path for path, on in zip(paths(tree), dynamic, strict=True) if on]
        kinds = [Kind.of(leaf) for leaf, on in zip(values, dynamic, strict=True) if on]
        inputs = [fresh(kind.aval, kind.strides, path) for kind, path in zip(kinds, dynamic_paths, strict=True)]
        self.spread = [(k, kind.strides) for k, kind in enumerate(kinds) if kind.strides is not None]
        following = iter(zip(inputs, kinds, strict=True))
        stands = [fresh(*Kind.of(variable)[:2], variable.name or "a variable") for variable in variables]
        with watching() as watched, recorded(_recorder() if native else None), standing(variables, stands):
            given = [_given(*next(following)) if on else leaf for leaf, on in zip(values, dynamic, strict=True)]
            traced = [leaf for leaf, on in zip(given, dynamic, strict=True) if on]
            args, kwargs = unflatten(tree, iter(given))
            self._result = finished(call(f, args, kwargs))
            outputs = [node_of(leaf) for leaf in leaves(self._result) if is_number(leaf)]
        self.written = [k for k, (x, node) in enumerate(zip(traced, inputs, strict=True)) if is_written(x, node)]
        if self.written and not outputs:
            raise UnsupportedError(f"the function writes into {dynamic_paths[self.written[0]]} and returns nothing",
                                   why="its arguments are copies here, so all that it does would be lost",
                                   fix="return what it writes")  # fmt: skip
        fixed = watched.constants()
        arrays = [(array, node) for array, node in watched.inputs() if node not in fixed]
        close(inputs, ended=True)
        close(stands)
        read = set(ancestors(outputs, floor=min(node.id for node in stands))) if stands else set()
        used = [(variable, node) for variable, node in zip(variables, stands, strict=True) if node in read]
        self.variables = [(variable, Kind.of(variable)) for variable, _ in used]
        own = [*inputs, *(node for _, node in arrays), *(node for _, node in used)]
        self.outside = [array for array, _ in arrays]
        self.without_axes = {k for k, kind in enumerate([*kinds, *map(Kind.of, self.outside)]) if kind.writable}
        self.body, self.captured = enclosed(own, outputs, fixed)
        if self.captured and not tracing():
            check(outputs, own)
        self.masks = watched.lasting_masks()
        self.donated: dict[int, int] = {}
        if any(offered):
            inside = [give for give, on in zip(offered, dynamic, strict=True) if on]
            self.donated = matched(self.body.graph.inputs, self.body.graph.outputs, inside)
        self.orders: dict[int, tuple[int, ...]] = {}
        self.program: Any = None  # machine code, made at the first call
        self.entry: Any = None  # a fast way into it for plain positional arguments
        self.rebuild: Callable[[list[Any]], Any] = self.rebuilt

    def compiled(self, plain: bool) -> Any:
        """The machine code.  plain: whether the arguments are arrays and numbers, or containers of them."""
        if self.program is None:
            _representable(self.body.graph)
            self._compile(plain)
        return self.program

    @uncollected()
    def _compile(self, plain: bool) -> None:
        from payback.native.running.entry import entry, kernels
        from payback.native.running.reuse import program_again

        graph, beside = self.body.graph, kernels() if plain else ()
        taped = any(node.op.name == "call" and hasattr(node.params["body"], "replayed") for node in graph.nodes)
        self.program = _DIRECT(graph) if taped else None
        if self.program is None:
            self.orders = {} if self.donated else orders(self.spread, graph.inputs)
            graph = turned(graph, self.orders) if self.orders else graph
            self.program = program_again(graph, self.donated, beside)
        if plain:
            self.entry = entry(self.program, self.without_axes, self.donated)
            self.rebuild = _rebuilder(self._result, self.rebuilt)

    def rebuilt(self, found: list[Any]) -> Any:
        """A container like the function's result; what is no number in it stays as it was."""
        following = iter(found)
        parts = [next(following) if is_number(leaf) else leaf for leaf in leaves(self._result)]
        return unflatten(self._result, iter(parts))


_DIRECT = later("native.tape.bodies", "direct")


def _representable(graph: Graph) -> None:
    """Raises UnsupportedError for numbers that machine code here has no registers for."""
    for node in (*graph.inputs, *graph.nodes):
        if node.aval.dtype.kind == "f" and node.aval.dtype.itemsize > 8:
            place = position(node.where)
            raise UnsupportedError(f"{node.aval.dtype} is not compiled to machine code",
                                   where=str(place) if place else here(), why="it has registers for float64 at most",
                                   fix="give float64, or leave pb.compile away")  # fmt: skip


def _recorder() -> Any:
    """What keeps the scalars of a program in columns, for there may be millions."""
    from payback.native.tape.recorder import recorder

    return recorder()


def _rebuilder(result: Any, slow: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """How a list of leaves becomes a container like the result, quickly for the usual ones."""
    if is_number(result):
        return lambda found: found[0]
    if type(result) is tuple and all(is_number(part) for part in result):
        return tuple
    pair = type(result) is tuple and len(result) == 2 and is_number(result[0]) and type(result[1]) is tuple
    if pair and all(is_number(part) for part in result[1]):  # a value and a gradient by several arguments
        return lambda found: (found[0], tuple(found[1:]))
    if all(is_number(leaf) for leaf in leaves(result)):
        make = rebuilder(result)
        return lambda found: make(iter(found))
    return slow


class _Beside:
    """The arrays that a trace reads from around its function, for the fast way, and the masks that must not change."""

    def __init__(self, trace: Trace):
        self.arrays = trace.outside
        self.masks = [(mask, was.shape, was.tobytes()) for mask, was in trace.masks]

    def after(self, flat: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The arguments and these arrays, by rows; None where a mask is another one by now."""
        for mask, shape, was in self.masks:
            if mask.shape != shape or mask.tobytes() != was:
                return None
        return (*flat, *[array if array.flags.c_contiguous else array.copy() for array in self.arrays])


def quickly(trace: Trace, around: Around, take: Any) -> Callable[[Any], Any]:
    """The fast way for plain arguments: the result, or None where something is not as it was.

    take: takes containers of arguments apart, and looks at what is static among them.
    """
    entry, rebuild, objects = trace.entry, trace.rebuild, trace.objects
    unchanged = around.unchanged if not objects else lambda: all(each.unchanged() for each in (around, *objects))
    spread, after = trace.spread, _Beside(trace).after if trace.outside or trace.masks else None

    def call(args: tuple[Any, ...]) -> Any:
        found = entry(args) if unchanged() else None
        return None if found is None else rebuild(found)

    def open_and_call(args: Any) -> Any:
        flat = args if take is None else take(args)
        if flat is not None and spread:
            flat = by_rows(flat, spread, trace.orders)
        if flat is not None and after is not None:
            flat = after(flat)
        found = entry(flat) if flat is not None and unchanged() else None
        return None if found is None else rebuild(found)

    return call if take is None and after is None and not spread else open_and_call
