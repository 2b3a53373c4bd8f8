"""`compile`: a function traced once for each kind of arguments, and run as a graph from then on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.ir.aval import aval_of
from payback.ir.node import Node
from payback.ops.append import snapshot
from payback.run.interpreter import quietly
from payback.trace.array import Traced, where_of_caller
from payback.trace.arrays import now, watching
from payback.trace.body import enclosed, fresh, node_of, run_node
from payback.trace.shim import call
from payback.trace.tree import leaves, paths, structure, unflatten

Function = Callable[..., Any]


class Trace:
    """One graph of a compiled function.

    body: takes the dynamic leaves of the arguments, then what the function uses from around it.
    outside: the arrays around it that it reads anew at each call; captured: traced values around it.
    masks: plain masks that decided shapes, with their contents then.
    """

    def __init__(self, f: Function, tree: Any, values: list[Any], dynamic: list[bool]):
        inputs = [fresh(_aval(leaf), path) for leaf, path, on in zip(values, paths(tree), dynamic, strict=True) if on]
        following = iter(inputs)
        opened = [Traced(next(following)) if on else leaf for leaf, on in zip(values, dynamic, strict=True)]
        args, kwargs = unflatten(tree, iter(opened))
        with watching() as watched:
            self.result = call(f, args, kwargs)
        self.body, captured = enclosed(inputs, [node_of(leaf) for leaf in leaves(self.result)])
        arrays = {node: array for array, node in watched.arrays.values()}
        self.outside = [arrays.get(node) for node in captured]
        self.captured = [node for node in captured if node not in arrays]
        self.around = captured
        self.masks = watched.masks

    def surroundings(self) -> list[Any]:
        """For each further input the array as it is now, or the node."""
        return [node if array is None else array for node, array in zip(self.around, self.outside, strict=True)]


class CompiledFunction:
    """What `compile` returns: call it as the function that it was made of."""

    def __init__(self, f: Function, static: tuple[int, ...], donate: tuple[int, ...]):
        functools.update_wrapper(self, f)
        self.f, self.static, self.donate = f, frozenset(static), donate
        self._traces: dict[Any, Trace] = {}
        self._watched = _names(f)
        self.reasons: list[str] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tree = (args, kwargs)
        values = [now(leaf) for leaf in leaves(tree)]
        dynamic = self._dynamic(args, kwargs, values)
        trace = self._trace(tree, values, dynamic)
        given = [leaf for leaf, on in zip(values, dynamic, strict=True) if on]
        around = trace.surroundings()
        if trace.captured or any(isinstance(leaf, Traced) for leaf in given):
            nodes = [x if isinstance(x, Node) else node_of(x) for x in (*given, *around)]
            return unflatten(trace.result, iter(run_node("call", nodes, where_of_caller(2), body=trace.body)))
        with quietly():
            found = trace.body.run((*[_bare(x) for x in given], *around))
        return unflatten(trace.result, iter([_own(x) for x in found]))

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

    def _trace(self, tree: Any, values: list[Any], dynamic: list[bool]) -> Trace:
        key = (
            structure(tree),
            tuple(_aval(leaf) if on else (type(leaf), leaf) for leaf, on in zip(values, dynamic, strict=True)),
        )
        try:
            known = self._traces.get(key)
        except TypeError:
            path, leaf = next(
                (p, v) for p, v, on in zip(paths(tree), values, dynamic, strict=True) if not on and not _hashable(v)
            )
            raise InputError(f"the argument {path} is a {type(leaf).__name__} that cannot be hashed",
                             why="what is no number or array decides which graph is run",
                             fix="make it hashable, or give it in a closure") from None  # fmt: skip
        changed = [name for name, look, was in self._watched if look() is not was]
        if changed:
            self._watched = _names(self.f)
            self._traces.clear()
        stale = known is not None and any(not np.array_equal(mask, was) for mask, was in known.masks)
        if known is not None and not changed and not stale and not known.captured:
            return known
        reason = (
            f"{', '.join(changed)} was given another value" if changed
            else "a mask around it has changed" if stale
            else "it uses traced values from around it" if known is not None
            else f"arguments of a new kind: {', '.join(str(part) for part in key[1])}" if self._traces or self.reasons
            else "first call"
        )  # fmt: skip
        self.reasons.append(reason)
        trace = self._traces[key] = Trace(self.f, tree, values, dynamic)
        return trace


def _aval(leaf: Any) -> Any:
    return leaf.node.aval if isinstance(leaf, Traced) else aval_of(leaf)


def _bare(leaf: Any) -> Any:
    snapshot(leaf[:0] if isinstance(leaf, np.ndarray) and leaf.ndim else leaf)  # raises for what has no graph
    return leaf


def _own(value: Any) -> Any:
    """A result as its receiver may keep it: never a view of an argument or a constant."""
    if type(value) is np.ndarray and value.ndim and not (value.base is None and value.flags.writeable):
        return value.copy()
    return value[()] if type(value) is np.ndarray and not value.ndim else value


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


_KEPT = (ModuleType, type, FunctionType, BuiltinFunctionType, np.ufunc)


def _names(f: Function) -> list[tuple[str, Callable[[], Any], Any]]:
    """What the function reads from its closure and its module, each with how to look at it again."""
    while isinstance(f, functools.partial):
        f = f.func
    f = getattr(f, "__func__", f)
    if not isinstance(f, FunctionType):
        return []
    found: list[tuple[str, Callable[[], Any], Any]] = []
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):

        def content(cell: Any = cell) -> Any:
            try:
                return cell.cell_contents
            except ValueError:
                return None

        found.append((name, content, content()))
    space = f.__globals__
    for name in dict.fromkeys(_global_names(f.__code__)):
        if name in space and not isinstance(space[name], _KEPT):
            found.append((name, functools.partial(space.get, name), space[name]))
    return found


def _global_names(code: CodeType) -> list[str]:
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _global_names(part)]
    return [*code.co_names, *inner]


def compile(
    f: Function | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    donate_argnums: int | Sequence[int] = (),
    native: bool | None = None,
) -> Any:
    """The same function, traced once for each kind of arguments and run as a graph from then on.

    f: is called with shapes only: it may not look at a number (use np.where or `pb.cond`), and what it does besides
    computing (prints, draws) happens at the first call alone.
    Arrays (by shape and dtype) and Python floats are dynamic; all other leaves of the arguments are static, and so are
    the arguments of `static_argnums`: for each of their values there is a graph of its own.

    What f uses from around it is never stale: arrays are read anew at each call; a name of its closure or module that
    was given another value, or a mask whose contents changed, makes a new graph (`compiled.reasons` says why).
    The transforms go outside and inside: `compile(grad(f))` and `grad(compile(f))` both work.
    Raises TraceError where f looks at a number.

    >>> import numpy as np, payback as pb
    >>> step = pb.compile(lambda x, rate: x - rate * pb.grad(lambda x: (x * x).sum())(x))
    >>> step(np.array([1.0, 2.0]), 0.25)
    array([0.5, 1. ])
    """
    if f is None:
        return functools.partial(compile, static_argnums=static_argnums, donate_argnums=donate_argnums, native=native)
    static, donate = ((x,) if isinstance(x, int) else tuple(x) for x in (static_argnums, donate_argnums))
    return CompiledFunction(f, static, donate)
