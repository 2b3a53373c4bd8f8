"""`compile`: a function traced once for each kind of arguments, and run as a graph from then on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.ir.aval import aval_of
from payback.ir.node import Node
from payback.ops.append import snapshot
from payback.run.interpreter import quietly
from payback.trace.array import Traced, where_of_caller
from payback.trace.arrays import now, watching
from payback.trace.body import enclosed, fresh, is_number, node_of, run_node
from payback.trace.shim import call
from payback.trace.tree import leaves, paths, structure, unflatten
from payback.transforms.around import Around

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
            self._result = call(f, args, kwargs)
            outputs = [node_of(leaf) for leaf in leaves(self._result) if is_number(leaf)]
        arrays = watched.arrays.values()
        self.outside = [array for array, _ in arrays]
        self.body, self.captured = enclosed([*inputs, *(node for _, node in arrays)], outputs)
        self.masks = watched.masks

    def rebuilt(self, found: list[Any]) -> Any:
        """A container like the function's result; what is no number in it stays as it was."""
        following = iter(found)
        parts = [next(following) if is_number(leaf) else leaf for leaf in leaves(self._result)]
        return unflatten(self._result, iter(parts))


class CompiledFunction:
    """What `compile` returns: call it as the function that it was made of."""

    def __init__(self, f: Function, static: tuple[int, ...], donate: tuple[int, ...]):
        functools.update_wrapper(self, f)
        self.f, self.static, self.donate = f, frozenset(static), donate
        self._traces: dict[Any, Trace] = {}
        self._around: Around | None = None
        self.reasons: list[str] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tree = (args, kwargs)
        values = [now(leaf) for leaf in leaves(tree)]
        dynamic = self._dynamic(args, kwargs, values)
        trace = self._trace(tree, values, dynamic)
        given = [leaf for leaf, on in zip(values, dynamic, strict=True) if on]
        around = (*trace.outside, *trace.captured)
        if trace.captured or any(isinstance(leaf, Traced) for leaf in given):
            nodes = [x if isinstance(x, Node) else node_of(x) for x in (*given, *around)]
            return trace.rebuilt(run_node("call", nodes, where_of_caller(2), body=trace.body))
        with quietly():
            found = trace.body.run((*[_bare(x) for x in given], *around))
        taken = {id(x) for x in (*given, *around)}
        return trace.rebuilt([_own(x, taken) for x in found])

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
        changed = self._around.changes() if self._around is not None else []
        if changed:
            self._traces.clear()
        stale = known is not None and any(not np.array_equal(mask, was) for mask, was in known.masks)
        if known is not None and not changed and not stale and not known.captured:
            return known
        reason = (
            ", ".join(changed) if changed
            else "a mask around it has changed" if stale
            else "it uses traced values from around it" if known is not None
            else f"arguments of a new kind: {', '.join(str(part) for part in key[1])}" if self._traces or self.reasons
            else "first call"
        )  # fmt: skip
        if self.reasons[-1:] != [reason]:
            self.reasons.append(reason)
        trace = self._traces[key] = Trace(self.f, tree, values, dynamic)
        self._around = Around(self.f)  # now, for what the function itself has changed is no news
        return trace


def _aval(leaf: Any) -> Any:
    return leaf.node.aval if isinstance(leaf, Traced) else aval_of(leaf)


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
    except TypeError:
        return False
    return True


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

    What f uses from around it is never stale: a name of its closure, defaults or module (or of a function that it
    calls) that was given another value, an array behind such a name that was written into, and a mask that has changed
    make a new graph (`compiled.reasons` says why).  To that end such arrays are compared with a copy at each call: what
    is large, or changes often, is better an argument.
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
