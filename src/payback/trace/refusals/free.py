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

_rounded: ContextVar[list[tuple[Node, Any]] | None] = ContextVar("rounded", default=None)


@contextlib.contextmanager
def rounding() -> Iterator[list[tuple[Node, Any]]]:
    """In the block, a list takes down each traced value of which the program has a bare whole number, and where."""
    taken: list[tuple[Node, Any]] = []
    token = _rounded.set(taken)
    try:
        yield taken
    finally:
        _rounded.reset(token)


def rounded(x: Any) -> Any:
    """x's value, where `int(x)` and the like give a bare whole number: constant in pieces, it loses no derivative."""
    taken = _rounded.get()
    if taken is not None:
        taken.append((x.node, caller()))
    return x.value


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
