"""`compile`: a function traced once for each kind of arguments, and run as a graph from then on."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback import native as machine
from payback.errors import InputError, PaybackError, UnsupportedError
from payback.ir.aval import Aval, aval_of
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.ops.append import snapshot
from payback.run.interpreter import quietly
from payback.trace.array import Traced, Variable
from payback.trace.arrays import native, now, strides_of, watching
from payback.trace.assignment.memory_order import steps_of
from payback.trace.assignment.views import argument, is_written, without_axes
from payback.trace.assignment.views import is_number as is_no_array
from payback.trace.body import enclosed, finished, fresh, is_number, node_of, run_node
from payback.trace.dispatch import here
from payback.trace.operators import where_of_caller
from payback.trace.refusals.leaks import check, close
from payback.trace.scalars.number import opened, recorded
from payback.trace.shared import standing
from payback.trace.shim.shim import call, tracing
from payback.trace.tree import is_leaf, leaves, opener, paths, rebuilder, structure, unflatten
from payback.transforms.again import Read, same, same_graph
from payback.transforms.apart import note_written
from payback.transforms.around import Around, variables_of
from payback.transforms.donation import Donation, matched, prepare, settle
from payback.transforms.lying import by_rows, orders, turned

Function = Callable[..., Any]


class Trace:
    """One graph of a compiled function.

    body: takes the dynamic leaves of the arguments, then what the function uses from around it.
    outside: the arrays around it that it reads anew at each call; variables: whose nodes it reads so, with what
    kind they are; captured: other traced values around it.
    masks: plain masks that decided shapes, with their contents then.
    without_axes: which of what the body takes are arrays although they have no axes.
    spread: which of the dynamic leaves are arrays that do not lie by rows, and how they lie; orders: see `lying.py`.
    written: which of the dynamic leaves the function writes into.
    settled: whether another trace would be the same; until then `held` has what the arrays around it held.
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
        kinds = [_kind(leaf) for leaf, on in zip(values, dynamic, strict=True) if on]
        inputs = [fresh(kind.aval, kind.strides, path) for kind, path in zip(kinds, dynamic_paths, strict=True)]
        self.spread = [(k, kind.strides) for k, kind in enumerate(kinds) if kind.strides is not None]
        following = iter(zip(inputs, kinds, strict=True))
        stands = [fresh(*_kind(variable)[:2], variable.name or "a variable") for variable in variables]
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
        close([*inputs, *stands])
        read = set(ancestors(outputs, floor=min(node.id for node in stands))) if stands else set()
        used = [(variable, node) for variable, node in zip(variables, stands, strict=True) if node in read]
        self.variables = [(variable, _kind(variable)) for variable, _ in used]
        own = [*inputs, *(node for _, node in arrays), *(node for _, node in used)]
        self.outside = [array for array, _ in arrays]
        self.held: list[Any] = [was for _, was, node in watched.seen if node not in fixed]
        self.without_axes = {k for k, kind in enumerate([*kinds, *map(_kind, self.outside)]) if kind.writable}
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
            from payback.native.running.entry import entry, kernels
            from payback.native.running.reuse import program_again
            from payback.native.tape.bodies import direct

            graph, beside = self.body.graph, kernels() if plain else ()
            self.program = direct(graph)
            if self.program is None:
                self.orders = {} if self.donated else orders(self.spread, graph.inputs)
                graph = turned(graph, self.orders) if self.orders else graph
                self.program = program_again(graph, self.donated, beside)
            if plain:
                self.entry = entry(self.program, self.without_axes, self.donated)
                self.rebuild = _rebuilder(self._result, self.rebuilt)
        return self.program

    def same_as(self, other: Trace) -> bool:
        """Whether it computes what another trace of the function does."""
        kinds = [
            (trace.held, trace.masks, structure(trace._result), [x for x in leaves(trace._result) if not is_number(x)])
            for trace in (self, other)
        ]
        return same(*kinds) and same_graph(self.body.graph, other.body.graph)

    def rebuilt(self, found: list[Any]) -> Any:
        """A container like the function's result; what is no number in it stays as it was."""
        following = iter(found)
        parts = [next(following) if is_number(leaf) else leaf for leaf in leaves(self._result)]
        return unflatten(self._result, iter(parts))


def _representable(graph: Graph) -> None:
    """Raises UnsupportedError for numbers that machine code here has no registers for."""
    for node in (*graph.inputs, *graph.nodes):
        if node.aval.dtype.kind == "f" and node.aval.dtype.itemsize > 8:
            place = position(node.where)
            raise UnsupportedError(f"{node.aval.dtype} is not compiled to machine code",
                                   where=str(place) if place else here(), why="it has registers for float64 at most",
                                   fix="give float64, or leave pb.compile away")  # fmt: skip


class CompiledFunction:
    """What `compile` returns: call it as the function that it was made of."""

    def __init__(self, f: Function, static: tuple[int, ...], native: bool, donate: Any = ()):
        functools.update_wrapper(self, f)
        self.donation = Donation(f, donate, static) if donate != () else None
        self.native = native
        self._fast: Callable[[Any], Any] | None = None  # the last trace's, for plain arguments
        self._named = False  # whether that is for calls with names: of [args, kwargs], no tuple as args are
        self._last: Trace | None = None
        self.f, self.static = f, frozenset(static)
        self._traces: dict[Any, Trace] = {}
        self._around: Around | None = None
        self._looks = False  # whether it looks at the numbers of variables around it
        self.reasons: list[str] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fast is not None and self._named is bool(kwargs):
            quick = self._fast([args, kwargs] if kwargs else args)
            if quick is not None:
                return quick
        tree = (args, kwargs)
        values = [native(now(leaf)) for leaf in leaves(tree)]
        dynamic = self._dynamic(args, kwargs, values)
        offered = self.donation.leaves_of(args, kwargs) if self.donation is not None else ()
        trace = self._trace(tree, values, dynamic, offered)
        given = [leaf for leaf, on in zip(values, dynamic, strict=True) if on]
        if trace.written:
            note_written([given[k] for k in trace.written], given)
        around = (*trace.outside, *(variable.node for variable, _ in trace.variables), *trace.captured)
        if trace.captured or trace.variables or any(isinstance(leaf, Traced) for leaf in given):
            nodes = [x if isinstance(x, Node) else node_of(x) for x in (*given, *around)]
            return trace.rebuilt(run_node("call", nodes, where_of_caller(2), body=trace.body))
        given = [_bare(x) for x in given]
        self._last = trace
        if trace.donated:
            prepare(trace.donated, given, around)
        if self.native and trace.settled:
            nested = bool(kwargs) or not all(dynamic) or any(not is_leaf(arg) for arg in args)
            take = opener([args, kwargs] if kwargs else args, dynamic) if nested else None
            plain = (not trace.written or len(given) == 1) and len(around) == len(trace.outside)
            plain = plain and (take is not None or not nested)
            program = trace.compiled(plain)
            found = program(*(by_rows(given, trace.spread, trace.orders) or given), *around)
            around_it = self._around if plain and trace.entry else None
            self._fast = _quickly(trace, around_it, take) if around_it else None
            self._named = bool(kwargs)
        else:
            with quietly():
                found = trace.body.run((*given, *around))
        if trace.donated:
            found = list(found)
            settle(trace.donated, given, found)
        written = set(trace.donated.values())
        taken = {id(x) for k, x in enumerate((*given, *around)) if k not in written}
        return trace.rebuilt([_own(x, taken) for x in found])

    def explain_compilation(self) -> str:
        """What the last call's program consists of: passes, kernels, memory, operations, time by kernel.

        The times are the least of some runs on made-up numbers, by a driver that reads the clock around every
        kernel; it is compiled for this alone, and the program itself stays as it is.
        """
        return self._program().explain()

    @property
    def llvm(self) -> str:
        """The LLVM IR of the last call's program."""
        return self._program().llvm()

    def _program(self) -> Any:
        if self._last is None or not self.native:
            raise InputError("there is no machine code yet", why="it is made at the first call" if self.native
                             else "this function runs on the interpreter", fix="call the function first")  # fmt: skip
        return self._last.compiled(False)

    def _dynamic(self, args: tuple[Any, ...], kwargs: dict[str, Any], values: list[Any]) -> list[bool]:
        dynamic = [isinstance(leaf, (float, np.ndarray, np.generic, Traced)) for leaf in values]
        if self.static:
            at = 0
            for position, arg in enumerate(args):
                count = len(leaves(arg))
                if position in self.static or position - len(args) in self.static:
                    dynamic[at : at + count] = [False] * count
                at += count
        return dynamic

    def _trace(self, tree: Any, values: list[Any], dynamic: list[bool], offered: Sequence[bool] = ()) -> Trace:
        key = (
            structure(tree),
            tuple(_kind(leaf) if on else (type(leaf), leaf) for leaf, on in zip(values, dynamic, strict=True)),
        )
        try:
            known = self._traces.get(key)
        except (TypeError, ValueError):  # of a memoryview that can be written into ValueError
            named = zip(paths(tree), values, dynamic, strict=True)
            what = next((f"the argument {path} is a {type(leaf).__name__}" for path, leaf, on in named
                         if not on and not _hashable(leaf)), "a static field of an argument is something")  # fmt: skip
            raise InputError(f"{what} that cannot be hashed",
                             why="what is no number or array decides which graph is run",
                             fix="make it hashable, or give it in a closure") from None  # fmt: skip
        changed = self._around.changes() if self._around is not None else []
        if changed:
            self._traces.clear()
            self._fast = None
        stale = known is not None and any(not np.array_equal(mask, was) for mask, was in known.masks)
        other = known is not None and any(_kind(variable) != kind for variable, kind in known.variables)
        inside = [] if known is None else [change for around in known.objects for change in around.changes()]
        if known is not None and known.settled and not (changed or inside or stale or other or known.captured):
            return known
        reason = (
            ", ".join(changed + inside) if changed or inside
            else "it changes what it reads around it" if known is not None and not known.settled
            else "a mask around it has changed" if stale
            else "a variable around it is of another kind" if other
            else "it uses traced values from around it" if known is not None
            else f"arguments of a new kind: {', '.join(str(part) for part in key[1])}" if self._traces or self.reasons
            else "first call"
        )  # fmt: skip
        if self.reasons[-1:] != [reason]:
            self.reasons.append(reason)
        for leaf, on in zip(values, dynamic, strict=True):
            if on and not isinstance(leaf, Traced):
                _bare(leaf)  # sooner than NumPy meets it, which tells no place
        fixed = [(path, x) for path, x, on in zip(paths(tree), values, dynamic, strict=True) if not on]
        before = Read(self.f, self._looks, None if changed else self._around, fixed)
        trace = self._traces[key] = self._traced(tree, values, dynamic, offered)
        if before.is_changed():
            trace.settled = known is not None and not known.settled and trace.same_as(known)
            for made in self._traces.values():  # they may read it too
                made.settled = made.settled and trace.settled
        now_read = Read(self.f, self._looks, None, fixed)
        self._around, trace.objects = now_read.around, now_read.objects
        return trace

    def _traced(self, tree: Any, values: list[Any], dynamic: list[bool], offered: Sequence[bool]) -> Trace:
        variables = [] if self._looks else variables_of(self.f)
        if variables:
            with contextlib.suppress(PaybackError):
                return Trace(self.f, tree, values, dynamic, self.native, offered, variables)
        trace = Trace(self.f, tree, values, dynamic, self.native, offered)
        self._looks = bool(variables) or self._looks
        return trace


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


def _recorder() -> Any:
    """What keeps the scalars of a program in columns, for there may be millions."""
    from payback.native.tape.bodies import recorder

    return recorder()


class _Kind(NamedTuple):
    """What decides which graph is run: the aval, and how an array lies in memory (see `views.py`).

    writable: whether it has no axes and is yet an array, not one of NumPy's numbers
    """

    aval: Any
    strides: tuple[int, ...] | None
    writable: bool = False

    def __str__(self) -> str:
        return f"{self.aval}{'' if self.strides is None else f' by {self.strides}'}"


def _kind(leaf: Any) -> _Kind:
    if isinstance(leaf, Traced):
        return _Kind(Aval(*leaf.node.aval), steps_of(leaf.node), not leaf.shape and not is_no_array(leaf))
    return _Kind(aval_of(leaf), strides_of(leaf), type(leaf) is np.ndarray and not leaf.ndim)


def _given(node: Node, kind: _Kind) -> Traced:
    return without_axes(Traced(node)) if kind.writable else argument(opened(node))


def _bare(leaf: Any) -> Any:
    snapshot(leaf[:0] if isinstance(leaf, np.ndarray) and leaf.ndim else leaf)  # raises for what has no graph
    return leaf


def _own(value: Any, taken: set[int]) -> Any:
    """A result as its receiver may keep it: never an argument, a constant or another result, nor a view of one."""
    if type(value) is np.ndarray and value.ndim:
        if value.base is not None or not value.flags.writeable or id(value) in taken:
            return value.copy()
        taken.add(id(value))
        return value
    return value[()] if type(value) is np.ndarray and not value.ndim else value


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


def _quickly(trace: Trace, around: Around, take: Any) -> Callable[[Any], Any]:
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


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except (TypeError, ValueError):
        return False
    return True


def compile(
    f: Function | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    donate: str | int | Sequence[str | int] = (),
    native: bool | None = None,
) -> Any:
    """The same function, traced once for each kind of arguments and run as a graph from then on.

    f: is called with shapes only: it may not look at a number (use np.where or `pb.cond`), and what it does besides
    computing (prints, reads a clock) happens when it is traced alone, so mostly once.  Where it changes what it reads
    from around it itself (a counter, an attribute, an array, a generator of random numbers), it is traced at each call
    and run on the interpreter, until a trace is the same as the one before.
    Arrays (by shape and dtype) and Python floats are dynamic; all other leaves of the arguments are static, and so are
    the arguments of `static_argnums`: for each of their values there is a graph of its own.

    What f uses from around it is never stale: what a name of its closure, defaults or module (or of a function it may
    call) stands for, attributes of modules, classes and objects that are read by name, what containers hold, an array
    that was written into, and a mask that has changed make a new graph (`compiled.reasons` says why).  Not looked at
    is what libraries keep in objects of theirs.  To that end arrays are compared with a copy at each call: what is
    large, or changes often, is better an argument, or read-only.  A `pb.variable` is read anew at each call; only where
    f looks at its number (it is called once more to find out) a new value makes a new graph.
    donate: names or positions of arguments whose arrays the caller gives up: each is for the first result of its shape
    and dtype, in order, which is written into it and *is* it (`new is old`): what it held is gone, and arrays that show
    its memory see the new values.  An array that is read-only, a view, not C-contiguous, or overlaps another array of
    the call is left as it is.  Results are the same with and without.  Inside a transform nothing is donated.
    native: True: machine code, or InputError where there is no compiler; False: the interpreter; None: what there is.
    Machine code gives what the interpreter gives, sums, products and elementary functions to rounding.

    The transforms go outside and inside: `compile(grad(f))` and `grad(compile(f))` both work.
    Raises TraceError where f looks at a number.

    >>> import numpy as np, payback as pb
    >>> step = pb.compile(lambda x, rate: x - rate * pb.grad(lambda x: (x * x).sum())(x))
    >>> step(np.array([1.0, 2.0]), 0.25)
    array([0.5, 1. ])
    """
    if f is None:
        return functools.partial(compile, static_argnums=static_argnums, donate=donate, native=native)
    static = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    if native and not machine.available():
        raise InputError("native=True", where="pb.compile", why="there is no compiler here, or PAYBACK_NATIVE is 0",
                         fix="install llvmlite, or leave native out to run on the interpreter")  # fmt: skip
    return CompiledFunction(f, static, machine.available() if native is None else native, donate)
