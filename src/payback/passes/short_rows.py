"""Rows of a few entries: what is the same all along such a row is written out along it, where that is little.

Points of many curves, (100, 50, 2), by one number a point, (50, 1): with the number there twice all is one row of a
hundred, and without it vectors would hold two entries.
"""

from __future__ import annotations

from payback.ir.aval import Aval
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.ops.row import TABLE
from payback.passes.rewrite import Change, rewrite

LONGEST = 8  # entries of a row that is short
LARGE, TIMES = 1 << 10, 4  # entries of a result, and how many times those of what is written out, for it to be worth it


def short_rows(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with such arguments of pointwise rows repeated; every number is the same."""
    log: list[Change] = []
    if not any(any(_is_repeated(node, arg) for arg in node.args) for node in graph.nodes):
        return graph, log
    summed = _summed(graph)
    repeated: dict[tuple[Node, int], Node] = {}

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node in summed:  # short rows that are made for their sums are done column by column
            return None
        found = [_is_repeated(node, arg) for arg in args]
        if not any(found):
            return None
        count = node.aval.shape[-1]
        for arg in (arg for arg, yes in zip(args, found, strict=True) if yes):
            if (arg, count) not in repeated:
                aval = Aval((*arg.aval.shape[:-1], count), arg.aval.dtype)
                repeated[arg, count] = Node(TABLE["concatenate"], (arg,) * count, {"axis": len(aval.shape) - 1}, None,
                                            node.where, aval)  # fmt: skip
        changed = tuple(repeated[arg, count] if yes else arg for arg, yes in zip(args, found, strict=True))
        made = Node(node.op, changed, node.params, None, node.where, node.aval)
        log.append(Change(node, made, f"what is the same in each row of {count} is written out"))
        return made

    return rewrite(graph, rule), log


def _is_repeated(node: Node, arg: Node) -> bool:
    """Whether an argument is the same all along short rows, and small beside the result."""
    shape, own = node.aval.shape, arg.aval.shape
    if node.op.kind != "pointwise" or len(own) < 2 or own[-1] != 1 or own[-2] != shape[-2] or node.aval.size < LARGE:
        return False
    return own[-2] > 1 < shape[-1] <= LONGEST and arg.aval.size * shape[-1] * TIMES <= node.aval.size


def _summed(graph: Graph) -> set[Node]:
    """Whose rows are added up, perhaps after other pointwise rows of the same shape."""
    summed = set[Node]()
    for node in reversed(graph.nodes):
        if "keepdims" in node.params and node.aval.size > 1:
            last = len(node.args[0].aval.shape) - 1
            axes = node.params.get("axes") or (node.params.get("axis"),)
            summed.update(node.args if last in axes else ())
        elif node.op.kind == "pointwise" and node in summed:
            summed.update(arg for arg in node.args if arg.aval.shape == node.aval.shape)
    return summed
