"""A traced function: its inputs, its outputs, and the nodes between them in order."""

from __future__ import annotations

from collections.abc import Sequence

from payback.ir.node import Node, by_id


class Graph:
    """The nodes that the outputs need, in topological order; what they do not need is not in it.

    inputs   nodes without arguments, in the order in which values are given
    outputs  nodes; the same node may stand twice
    nodes    all that is computed or constant, ascending id, inputs left out
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]):
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        seen = set(self.inputs)
        found = []
        stack = list(self.outputs)
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                found.append(node)
                stack += node.args
        found.sort(key=by_id)
        self.nodes = tuple(found)

    def __str__(self) -> str:
        lines = [f"inputs  {', '.join(f'%{n.id}: {n.aval}' for n in self.inputs)}"]
        for node in self.nodes:
            params = "".join(f" {key}={value!r}" for key, value in node.params.items())
            constant = f" {node.value!r}" if node.op.name == "const" and node.aval.size == 1 else ""
            lines.append(
                f"%{node.id}: {node.aval} = {node.op.name} {' '.join(f'%{a.id}' for a in node.args)}{constant}{params}"
            )
        return "\n".join([*lines, f"outputs {', '.join(f'%{n.id}' for n in self.outputs)}"])
