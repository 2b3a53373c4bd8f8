"""`custom_gradient(plain=True)`: a function that takes bare numbers, and so may call any library.

Its value and what it pays are nodes of the graph that are run on plain arrays; all else is as for any custom gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, InputError, TraceError
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import append, apply
from payback.ops.row import TABLE
from payback.trace.array import Traced
from payback.trace.body import Body, fresh
from payback.trace.operators import where_of_caller
from payback.trace.plain_arrays import now
from payback.trace.shim.shim import untraced
from payback.trace.tree import is_leaf, leaves, same_structure, unflatten

Function = Callable[..., Any]


class Call:
    """One call of a plain function: its arguments, of which some leaves are traced, and what it gave the last time."""

    def __init__(self, f: Function, name: str, args: tuple[Any, ...]):
        self.f, self.name, self.args = f, name, args
        self.slots = [isinstance(now(leaf), Traced) for leaf in leaves(args)]
        self.last: tuple[Sequence[Any], Any, Any] | None = None

    def arguments(self, values: Sequence[Any]) -> tuple[Any, ...]:
        given = iter(values)
        whole = [next(given) if traced else leaf for traced, leaf in zip(self.slots, leaves(self.args), strict=True)]
        return unflatten(self.args, iter(whole))

    def run(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """(result, pull) for these values: those of the last time, if it was for the same."""
        last = self.last
        if last is None or not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(last[0], values, strict=True)):
            kept = [np.array(x) if isinstance(x, np.ndarray) else x for x in values]
            with untraced():
                out = self.f(*self.arguments(values))
            if not isinstance(out, tuple) or len(out) != 2 or not callable(out[1]):
                raise DifferentiationError(f"{self.name} returns {kind_of(out)}", where=line_of(self.f),
                                           why="a function with a custom gradient returns (result, pull)")  # fmt: skip
            if any(isinstance(leaf, Traced) for leaf in leaves(out[0])):
                raise DifferentiationError(f"{self.name} uses a traced value that is not an argument",
                                           where=line_of(self.f), why="its derivative would be lost",
                                           fix="give it as an argument")  # fmt: skip
            self.last = last = (kept, *out)
        return last[1], last[2]

    def result(self, *values: Any) -> list[Any]:
        return leaves(self.run(values)[0])

    def paid(self, *values: Any) -> list[Any]:
        """What the floating traced leaves are owed, from (*arguments, *bars)."""
        own = values[: sum(self.slots)]
        result, pull = self.run(own)
        bars = iter(values[len(own) :])
        bar = unflatten(result, iter([next(bars) if _is_floating(leaf) else None for leaf in leaves(result)]))
        with untraced():
            found = pull(bar)
        args = self.arguments(own)
        if len(args) == 1 and not (isinstance(found, tuple) and len(found) == 1 and is_leaf(args[0])):
            found = (found,)
        if not isinstance(found, tuple) or not same_structure(args, found):
            count = f"{len(args)} argument{'s' if len(args) > 1 else ''}"
            raise DifferentiationError(f"the pull of {self.name} returns gradients of another structure than its "
                                       f"{count}", where=line_of(self.f))  # fmt: skip
        triples = zip(leaves(args), leaves(found), self.slots, strict=True)
        answers = [(leaf, gradient) for leaf, gradient, traced in triples if traced and _is_floating(leaf)]
        for leaf, gradient in answers:
            if np.shape(gradient) != np.shape(leaf):
                raise DifferentiationError(f"the pull of {self.name} returns a gradient of shape {np.shape(gradient)}",
                                           where=line_of(self.f), why=f"the argument has {np.shape(leaf)}")  # fmt: skip
        return [gradient for _, gradient in answers]


def kind_of(out: Any) -> str:
    """What a function has returned, for errors."""
    if isinstance(out, tuple):
        return f"a tuple of {len(out)}"
    if isinstance(out, Traced):
        return f"an array of shape {out.shape}" if out.shape else "a number"
    return "nothing" if out is None else f"a {type(out).__name__}"


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, float) or getattr(getattr(leaf, "dtype", None), "kind", "") == "f"


def line_of(f: Function) -> str | None:
    """Where a function is written, for errors; None for one that is not Python's."""
    code = getattr(f, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno} in {f.__name__}" if code else None


def _node(inputs: Sequence[Node], where: Any, **params: Any) -> list[Node]:
    node = apply(TABLE["foreign"], inputs, where, params)
    return [append(TABLE["part"], (node,), {"k": k}, where) for k in range(len(params["avals"]))]


def with_plain_numbers(f: Function, name: str, like: Function | None, emit: Callable[..., list[Any]]) -> Function:
    """The function for `custom_gradient`; emit(given, outputs, where, body, pull): its node's results."""

    @functools.wraps(f)
    def called(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(now(leaf), Traced) for leaf in leaves(kwargs)):
            raise InputError(f"{name} was given a traced value by keyword", where=line_of(f),
                             why="its pull pays the arguments that are given by position")  # fmt: skip
        call = Call(functools.partial(f, **kwargs) if kwargs else f, name, args)
        given = [now(leaf).node for leaf in leaves(args) if isinstance(now(leaf), Traced)]
        where = where_of_caller(2)
        if all(node.value is not None for node in given):
            example = call.run([node.value for node in given])[0]
        elif like is not None:
            example = like(*call.arguments([np.ones(node.shape, node.aval.dtype)[()] for node in given]))
        else:
            raise TraceError(f"what {name} returns is not known while a function is compiled",
                             where=position(where),
                             why="it takes plain numbers, and without them its shapes are not known",
                             fix="give like=, a function of the same arguments that returns an array like the "
                             "result")  # fmt: skip
        if not given:
            return example
        avals = tuple(Aval(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves(example))
        inputs = [fresh(node.aval) for node in given]
        body = Body(inputs, _node(inputs, where, function=call.result, avals=avals, label=name))
        bars = [fresh(aval) for aval in avals if aval.dtype.kind == "f"]
        owed = tuple(node.aval._replace(weak=False) for node in given if node.aval.dtype.kind == "f")
        paid = _node([*inputs, *bars], where, function=call.paid, avals=owed, label=name)
        floating = [node.aval for node in given if node.aval.dtype.kind == "f"]
        answers = [append(TABLE["cast"], (node,), {"dtype": aval.dtype, "weak": True}, where) if aval.weak else node
                   for node, aval in zip(paid, floating, strict=True)]  # fmt: skip
        pull = Body([*inputs, *[fresh(aval) for aval in avals], *bars], answers)
        outputs = _node(given, where, function=call.result, avals=avals, label=name)
        return unflatten(example, iter(emit(given, outputs, where, body=body, pull=pull)))

    return called
