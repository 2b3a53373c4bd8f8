"""Common subexpressions: what is computed twice from the same arguments is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.passes.rewrite import Change, Rule, rewrite

LARGEST = 1 << 14  # bytes of a constant that is compared with others


def _key(node: Node, args: tuple[Node, ...]) -> Any:
    if node.op.value is None:
        value = node.value
        if value is None:
            return None
        if isinstance(value, np.ndarray):
            if value.nbytes > LARGEST:
                return None
            return ("const", node.aval, value.tobytes())
        return ("const", node.aval, type(value), np.float64(value).tobytes() if type(value) is float else value)
    params = tuple((key, repr(value)) for key, value in sorted(node.params.items())) if node.params else ()
    return (node.op.name, node.aval, params, *[arg.id for arg in args])


def cse(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with each value computed once.  Rows are pure functions, random bits too (their key is an argument)."""
    log: list[Change] = []
    return rewrite(graph, once(log)), log


def once(log: list[Change]) -> Rule:
    """The rule of `cse`, for one graph."""
    found: dict[Any, Node] = {}

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        key = _key(node, args)
        if key is None:
            return None
        earlier = found.get(key)
        if earlier is not None:
            log.append(Change(node, earlier, "computed before"))
            return earlier
        made = node
        if node.op.value is not None and args != node.args:
            made = Node(node.op, args, node.params, None, node.where, node.aval)
        found[key] = made
        return made

    return rule


def dce(graph: Graph) -> tuple[Graph, list[Node]]:
    """The graph without the nodes that no output needs, and a list of those."""
    made = Graph(graph.inputs, graph.outputs)
    left = set(made.nodes)
    return made, [node for node in graph.nodes if node not in left]
