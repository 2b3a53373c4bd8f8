"""Making a graph anew: the frame of every pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from payback.ir.graph import Graph
from payback.ir.node import Node

# (node, its new arguments) -> what takes its place; None: the same row on the new arguments
Rule = Callable[[Node, tuple[Node, ...]], Node | None]


class Change(NamedTuple):
    """One line of a pass's log: the node, what became of it, and why."""

    node: Node
    became: Node
    why: str

    def __str__(self) -> str:
        return f"%{self.node.id} {self.node.op.name} → %{self.became.id} {self.became.op.name}: {self.why}"


def rewrite(graph: Graph, rule: Rule, *rows: str, new: dict[Node, Node] | None = None) -> Graph:
    """The graph with every node passed through the rule, arguments first; what nothing needs any more is gone.

    rows: the only ones that the rule would change, by their names.  new: is told what has become of each node.
    Constants and inputs stay the nodes that they are.  Every `where` is kept.
    """
    new = {} if new is None else new
    new.update(zip(graph.inputs, graph.inputs, strict=True))
    changed = False
    of = new.__getitem__
    for node in graph.nodes:
        if not changed and rows and node.op.name not in rows:
            new[node] = node
            continue
        args = tuple(map(of, node.args))
        made = rule(node, args)
        if made is None:
            made = node
            if changed and node.op.value is not None:  # ids ascend: whatever follows a new node is new
                made = Node(node.op, args, node.params, None, node.where, node.aval)
        if made is not node:
            changed = True
        new[node] = made
    return Graph(graph.inputs, [new[node] for node in graph.outputs]) if changed else graph
