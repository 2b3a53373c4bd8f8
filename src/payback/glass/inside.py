"""Calls, branches and loops taken apart: the same computation without bodies, every step of a scan a piece of it.

What a body computes inside is then as visible as anything else: paths lead through it, lines are named in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.ad.sweep import live_nodes, reach
from payback.errors import InputError
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.ops.append import append, const
from payback.ops.row import CONST, TABLE
from payback.ops.several import PART

CALLS = frozenset({"call"})  # of functions that were compiled, or are computed again in the backward pass
BODIES = frozenset({"call", "branch", "scan"})
MOST = 1_000_000  # nodes


class Opened:
    """The nodes of a computation after its bodies were opened.

    top     its result
    of      what stands for a node of the original; one of several results: by (node, k)

    values: also open what no derivative leads through.  custom: also functions whose derivative is given, which is then
    lost: only the values are right.  bodies: which are opened.
    """

    def __init__(
        self, top: Node, leaves: Sequence[Node], most: int = MOST, values: bool = False, custom: bool = False,
        bodies: frozenset[str] = BODIES,
    ):  # fmt: skip
        self.of: dict[Any, Node] = {}
        self._bodies = bodies | {"custom"} if custom else bodies  # whose derivative is not their body's
        self.most, self._made = most, 0
        if values:  # also what no derivative leads through
            order = ancestors([top])
        else:
            floor = min((leaf.id for leaf in leaves), default=0)
            order, _ = live_nodes(reach([top], floor, leaves), set(leaves))
        if any(node.op.name in self._bodies for node in order):
            for node in order:
                self._open(node)
        self.top = self.of.get(top, top)

    def _open(self, node: Node) -> None:
        if node.op.name in self._bodies:
            args = [self.of.get(arg, arg) for arg in node.args]
            for k, made in enumerate(getattr(self, f"_{node.op.name}")(node, args, **node.params)):
                self.of[node, k] = made
        elif node.op is PART and (node.args[0], node.params["k"]) in self.of:
            self.of[node] = self.of[node.args[0], node.params["k"]]
        elif any(arg in self.of for arg in node.args):
            args = [self.of.get(arg, arg) for arg in node.args]
            self.of[node] = self._append(node.op, args, node.params, node.where)

    def _append(self, row: Any, args: Sequence[Node], params: dict[str, Any], where: Any) -> Node:
        self._made += 1
        if self._made > self.most:
            raise InputError(f"there are more than {self.most:,} operations in the loops",
                             where=position(where), why="every step is told apart",
                             fix="explain fewer steps; blame by term, cost and paths tell no steps apart")  # fmt: skip
        with np.errstate(all="ignore"):
            return append(row, tuple(args), params, where)

    def _graph(self, graph: Graph, given: Sequence[Node], where: Any) -> list[Node]:
        """The results of a body on these inputs."""
        found: dict[Any, Node] = dict(zip(graph.inputs, given, strict=True))
        for node in graph.nodes:
            if node.op is CONST or not node.args:
                found[node] = node
                continue
            if node.op is PART and (node.args[0], node.params["k"]) in found:
                found[node] = found[node.args[0], node.params["k"]]
                continue
            args = [found.get(arg, arg) for arg in node.args]
            if node.op.name in self._bodies:
                for k, made in enumerate(getattr(self, f"_{node.op.name}")(node, args, **node.params)):
                    found[node, k] = made
            else:
                found[node] = self._append(node.op, args, node.params, node.where or where)
        return [found[node] for node in graph.outputs]

    def _call(self, node: Node, args: list[Node], body: Any) -> list[Node]:
        return self._graph(body.graph, args, node.where)

    def _custom(self, node: Node, args: list[Node], body: Any, **_: Any) -> list[Node]:
        return self._graph(body.graph, args, node.where)

    def _branch(self, node: Node, args: list[Node], high: Any, low: Any) -> list[Node]:
        return self._graph((high if args[0].value else low).graph, args[1:], node.where)

    def _scan(
        self, node: Node, args: list[Node], body: Any, constants: int, carried: int, length: int, backwards: bool
    ) -> list[Node]:
        fixed, state = args[:constants], args[constants : constants + carried]
        sequences = args[constants + carried :]
        before: list[list[Node]] = [[] for _ in range(carried)]
        made: list[list[Node]] = [[] for _ in body.gives[carried:]]
        for i in reversed(range(length)) if backwards else range(length):
            for kept, value in zip(before, state, strict=True):
                kept.append(value)
            here = [self._append(TABLE["index"], (xs,), {"template": (i,)}, None) for xs in sequences]  # in no program
            results = self._graph(body.graph, [*fixed, *state, *here], node.where)
            state = results[:carried]
            for kept, value in zip(made, results[carried:], strict=True):
                kept.append(value)
        stacked = [self._stacked(node, values, aval, backwards)
                   for values, aval in zip([*made, *before], node.aval[carried:], strict=True)]  # fmt: skip
        return [*state, *stacked]

    def _stacked(self, node: Node, values: list[Node], aval: Any, backwards: bool) -> Node:
        if not values:
            return const(np.zeros(aval.shape, aval.dtype))
        values = values[::-1] if backwards else values
        return self._append(TABLE["stack"], values, {"axis": 0}, node.where)
