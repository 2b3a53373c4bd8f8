"""What is computed again rather than written to memory and read from there."""

from __future__ import annotations

from typing import Any

from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.native.planning.layout import Buffer

AGAIN = ("add", "sub", "mul", "neg", "abs")  # cheaper than a pass over memory
FEW = 4  # such operations, at most
LARGE, TWO = 1 << 15, 2.1  # entries of an array that is not kept for its own sake; those read instead, for each


def is_cheaper(planner: Any, node: Node) -> bool:
    """Whether a value is better computed again: from one array like it in memory, or from small ones.

    Differences of all pairs are of the second kind: two lists of points are read, and all pairs would be written.
    """
    if node in planner.wanted or node.aval.shape == ():
        return False
    if node.op.name == "index":  # rows of a small table: read there once more, they need not be written
        there, source = all(arg in planner.views for arg in node.args), node.args[0].aval
        return there and 2 * source.size <= node.aval.size and _by_rows(node.params["template"], source)
    if node.op.name not in AGAIN:
        return False
    arrays = {arg for arg in node.args if arg not in planner.scalars}
    if len(arrays) == 1 and all(
        arg in planner.views and (arg.aval.shape, arg.aval.dtype) == (node.aval.shape, node.aval.dtype)
        for arg in arrays
    ):
        return True
    read = _read(planner, node)
    if read is None:
        return False
    size, entries = node.aval.size, sum(buffer.size for buffer in read)
    if 2 * entries <= size:
        return True
    # two arrays are read for one that would be written and read, where all leave the caches
    return size >= LARGE and entries <= TWO * size and all(_reads_along(user) for user in planner.users.get(node, ()))


def _by_rows(template: tuple[Any, ...], source: Aval) -> bool:
    """Whether an index leaves the last axis whole: single entries are found one by one, which takes longer."""
    return len(template) < len(source.shape) or template[-1] == slice(None)


def _reads_along(user: Node) -> bool:
    """Whether a node can be computed in a nest that computes what it reads."""
    return user.op.kind == "pointwise" or user.op.name in ("sum", "mean", "max", "min")


def _read(planner: Any, node: Node) -> set[Buffer] | None:
    """What a few cheap operations on arrays in memory read; None where it is more than that."""
    read: set[Buffer] = set()
    seen, stack = {node}, [node]
    while stack:
        for arg in stack.pop().args:
            if arg.aval.dtype != node.aval.dtype or len(seen) > FEW:
                return None
            if arg in planner.views:
                read.add(planner.views[arg].buffer)
            elif planner.inline(arg, node.aval.shape) and arg.op.name in AGAIN:
                if arg not in seen:
                    seen.add(arg)
                    stack.append(arg)
            elif arg not in planner.scalars:
                return None
    return read
