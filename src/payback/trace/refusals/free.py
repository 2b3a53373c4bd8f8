"""Traced values that have no derivative to lose: whole numbers, conditions, and what is made of stopped values alone.

Code that takes bare numbers may have theirs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from payback.ir.node import Node
from payback.ir.where import caller
from payback.ops.row import CONST, TABLE

_STOPPED = TABLE["stop_gradient"]
_IDENTITY = TABLE["identity"]  # also the leaf of a gradient inside a gradient
_FAR = 1000  # nodes: what is asked of texts and numbers in a loop must not cost the length of the whole program

_rounded: ContextVar[list[tuple[Any, Any]] | None] = ContextVar("rounded", default=None)


@contextlib.contextmanager
def rounding() -> Iterator[list[tuple[Node, Any]]]:
    """At the end of the block: of which values the program has had a bare whole number or truth value, and where."""
    told: list[tuple[Any, Any]] = []
    taken: list[tuple[Node, Any]] = []
    token = _rounded.set(told)
    try:
        yield taken
    finally:
        _rounded.reset(token)
        taken += [(x if isinstance(x, Node) else x.node, where) for x, where in told]


def noted(x: Any) -> None:
    """Take down that the program has a bare value of x, a node or a number that needs none yet: constant in pieces."""
    taken = _rounded.get()
    if taken is not None:
        taken.append((x, caller()))


def rounded(x: Any) -> Any:
    """x's value, where `int(x)` and the like give a bare whole number: constant in pieces, it loses no derivative."""
    noted(x.node)
    return x.value


def whole(x: Any) -> Any:
    """x's value, which is noted where it is a whole number or a condition."""
    return rounded(x) if x.dtype.kind in "biu" else x.value


def free(x: Any) -> bool:
    """Whether no derivative leads from a traced value to what somebody may differentiate by."""
    node: Node = x.node
    if node.op is _STOPPED or node.aval.dtype.kind != "f":
        return True
    stack, seen = [node], {node}
    while stack:
        node = stack.pop()
        if node.op is _STOPPED or node.op is CONST:
            continue
        if not node.args or node.op is _IDENTITY or len(seen) > _FAR:
            return False
        for slot, arg in enumerate(node.args):
            if slot not in node.op.no_edge and arg not in seen:
                seen.add(arg)
                stack.append(arg)
    return True
