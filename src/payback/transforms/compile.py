"""`compile`: a function traced once for each kind of arguments, and run as a graph from then on."""

from __future__ import annotations

import contextlib
import functools
import operator
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from payback import native as machine
from payback.errors import InputError, PaybackError
from payback.ir.node import Node
from payback.ops.append import snapshot
from payback.run.interpreter import quietly
from payback.trace.array import Traced
from payback.trace.body import node_of, run_node
from payback.trace.operators import where_of_caller
from payback.trace.plain_arrays import native, now
from payback.trace.tree import is_leaf, leaves, opener, paths, structure, told
from payback.transforms.argnums import leaf_names
from payback.transforms.donation import Donation, prepare, settle
from payback.transforms.retracing import Read
from payback.transforms.shared_memory import note_written
from payback.transforms.strides import by_rows
from payback.transforms.surroundings import Around, variables_of
from payback.transforms.traced import Kind, Trace, quickly

Function = Callable[..., Any]
Positions = int | Sequence[int]
Names = str | int | Sequence[str | int]


_MANY = 16  # graphs that differ in one whole number alone: then one is told


class CompiledFunction:
    """What `compile` returns: call it as the function that it was made of."""

    def __init__(self, f: Function, static: tuple[int, ...], native: bool, donate: Any = ()):
        functools.update_wrapper(self, f)
        self.donation = Donation(f, donate, static) if donate != () else None
        self.native = native
        self._fast: Callable[[Any], Any] | None = None  # the last trace's, for plain arguments
        self._named = False  # whether that is for calls with names: of [args, kwargs], no tuple as args are
        self._last: Trace | None = None
        self.f, self.static, self._donate = f, frozenset(static), donate
        self._traces: dict[Any, Trace] = {}
        self._around: Around | None = None
        self._looks = False  # whether it looks at the numbers of variables around it
        self.reasons: list[str] = []
        self._warned = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fast is not None and self._named is bool(kwargs):
            quick = self._fast([args, kwargs] if kwargs else args)
            if quick is not None:
                return quick
        tree = (args, kwargs)
        values = [native(now(leaf)) for leaf in leaves(tree)]
        dynamic = self._dynamic(args, values)
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
            self._fast = quickly(trace, around_it, take) if around_it else None
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

    def __reduce__(self) -> Any:
        """In another process, or in a copy: by its name as a module's function, or made anew; graphs stay here."""
        with contextlib.suppress(AttributeError, KeyError):
            name: str = vars(self)["__qualname__"]
            if operator.attrgetter(name)(sys.modules[self.__module__]) is self:
                return name
        made = {"static_argnums": sorted(self.static), "donate": self._donate, "native": None if self.native else False}
        return functools.partial(compile, **made), (self.f,)

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

    def _dynamic(self, args: tuple[Any, ...], values: list[Any]) -> list[bool]:
        dynamic = [isinstance(leaf, (float, np.ndarray, np.generic, Traced)) for leaf in values]
        for place in self._said_static(args):
            dynamic[place] = False
        return dynamic

    def _said_static(self, args: tuple[Any, ...]) -> list[int]:
        """The places of the leaves of `static_argnums`."""
        places: list[int] = []
        at = 0
        for position, arg in enumerate(args if self.static else ()):
            count = len(leaves(arg))
            if position in self.static or position - len(args) in self.static:
                places += range(at, at + count)
            at += count
        return places

    def _trace(self, tree: Any, values: list[Any], dynamic: list[bool], offered: Sequence[bool] = ()) -> Trace:
        key = (
            structure(tree),
            tuple(Kind.of(leaf) if on else told(leaf) for leaf, on in zip(values, dynamic, strict=True)),
        )
        try:
            known = self._traces.get(key)
        except (TypeError, ValueError):  # of a memoryview that can be written into ValueError
            named = zip(leaf_names(self.f, *tree), values, dynamic, strict=True)
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
        other = known is not None and any(Kind.of(variable) != kind for variable, kind in known.variables)
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
        if len(self._traces) >= _MANY and not self._warned:
            self._warn_of_counters(tree, key)
        if before.is_changed():
            trace.settled = False
            for made in self._traces.values():  # they may read it too
                made.settled = made.settled and trace.settled
        now_read = Read(self.f, self._looks, None, fixed)
        self._around, trace.objects = now_read.around, now_read.objects
        return trace

    def _warn_of_counters(self, tree: Any, key: Any) -> None:
        """A step's number or a seed that nobody has said is static makes each call wait for a graph of its own."""
        said = self._said_static(tree[0])
        for k, (name, leaf) in enumerate(zip(leaf_names(self.f, *tree), leaves(tree), strict=True)):
            alike = [(other[0], other[1][:k], other[1][k + 1 :]) == (key[0], key[1][:k], key[1][k + 1 :])
                     for other in self._traces]  # fmt: skip
            if type(leaf) is int and k not in said and sum(alike) >= _MANY:
                self._warned = True
                called = getattr(self.f, "__name__", "a function")
                warnings.warn(
                    f"{called} is compiled, and its argument {name} has been {sum(alike)} whole numbers: each made "
                    f"a graph, for a whole number is static. Give float({name}) or np.asarray({name}) if it is computed"
                    " with, or name it in static_argnums if that is meant",
                    RuntimeWarning, stacklevel=4,
                )  # fmt: skip
                return

    def _traced(self, tree: Any, values: list[Any], dynamic: list[bool], offered: Sequence[bool]) -> Trace:
        variables = [] if self._looks else variables_of(self.f)
        if variables:
            with contextlib.suppress(PaybackError):
                return Trace(self.f, tree, values, dynamic, self.native, offered, variables)
        trace = Trace(self.f, tree, values, dynamic, self.native, offered)
        self._looks = bool(variables) or self._looks
        return trace


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


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except (TypeError, ValueError):
        return False
    return True


@overload
def compile(
    f: Function, *, static_argnums: Positions = (), donate: Names = (), native: bool | None = None
) -> CompiledFunction: ...
@overload
def compile(
    f: None = None, *, static_argnums: Positions = (), donate: Names = (), native: bool | None = None
) -> Callable[[Function], CompiledFunction]: ...


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
    and run on the interpreter, until a trace changes nothing that the code reads (counting calls and keeping a log
    is no reading); for ever if it draws random numbers or goes on with an iterator.
    Arrays (by shape and dtype) and Python floats are dynamic; all other leaves of the arguments are static, and so are
    the arguments of `static_argnums`: for each of their values there is a graph of its own.

    What f uses from around it is never stale: what a name of its closure, defaults or module (or of a function it may
    call) stands for, attributes of modules, classes and objects that are read by name, what containers hold, an array
    that was written into, and a mask that has changed make a new graph (`compiled.reasons` says why).  Looked at are
    columns, frames and fitted estimators (pandas, polars, scikit-learn), options of argparse, series and curves of
    NumPy and SciPy; not looked at are other libraries' objects, and files.  To that end arrays are compared with a copy
    at each call: what is large, or changes often, is better an argument, or read-only.  A `pb.variable` is read anew at
    each call; only where f looks at its number (it is called once more to find out) a new value makes a new graph.
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
