"""A function that is called on many arguments of few kinds, traced once for each kind.

The update of each parameter of a network is such a function.  Copying a node costs a tenth of appending it again, and
what does not depend on the arguments that differ is the same node everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from payback.ir.node import Node
from payback.trace.array import Traced
from payback.trace.body import rebuilt
from payback.trace.tree import leaves, structure, unflatten


class Repeated:
    """`f` for one trace.  f computes from its arguments alone, in one way for all of the same shapes and dtypes."""

    def __init__(self, f: Callable[..., Any]):
        self.f = f
        self._known: dict[Any, tuple[list[Node], list[Node], Any]] = {}

    def __call__(self, *args: Any) -> Any:
        nodes = [leaf.node if type(leaf) is Traced else None for leaf in leaves(args)]
        given = [node for node in nodes if node is not None and node.value is None]
        if len(given) < len(nodes):  # numbers, or values at hand: f may look at them
            return self.f(*args)
        key = (structure(args), tuple(node.aval for node in given))
        if key in self._known:
            old, made, result = self._known[key]
            copied = rebuilt(made, dict(zip(old, given, strict=True)))
            return unflatten(result, iter([Traced(node) for node in copied]))
        result = self.f(*args)
        made = [leaf.node for leaf in leaves(result) if type(leaf) is Traced]
        if len(set(given)) == len(given) and len(made) == len(leaves(result)):
            self._known[key] = given, made, result
        return result
