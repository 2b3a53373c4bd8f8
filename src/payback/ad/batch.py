"""Batching: a graph for one sample becomes a graph for many, each node once.

What depends on no batched input is computed once, not for each sample.  A pointwise row broadcasts; every other row has
a rule (`Row.batch`: `ops/batching.py`, `ops/control/batching.py`), and a row without one is run by a scan over the
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from payback.ir.aval import Aval, Avals
from payback.ir.graph import Graph
from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import append
from payback.ops.batching import Several, align, along_axis, lead, leading, reduction, to_front
from payback.ops.recording import Recording, Term
from payback.ops.row import INPUT, TABLE
from payback.ops.several import PART

_RULES = {"leading": leading, "axis": along_axis}


class Batch:
    """What a rule is given: the namespace of the batched graph, and how many samples there are."""

    def __init__(self, m: Recording, size: int, body: Callable[..., Any]):
        self.m, self.size, self.body = m, size, body

    def graph(
        self, graph: Graph, operands: Sequence[Any], on: Sequence[bool], force: Sequence[bool] = ()
    ) -> tuple[list[Any], tuple[bool, ...]]:
        """The outputs for these inputs, and which of them are batched (those that `force` says in any case).

        on: which inputs have a batch, as their first axis.
        """
        found: dict[Node, tuple[Any, Any]] = dict(zip(graph.inputs, zip(operands, on, strict=True), strict=True))
        last = {arg: node for node in graph.nodes for arg in node.args}
        kept = set(graph.outputs)
        for node in graph.nodes:
            found[node] = self.node(node, [found[arg] for arg in node.args])
            for arg in node.args:
                if last[arg] is node and arg not in kept:
                    found.pop(arg, None)
        made, flags = [], []
        for k, node in enumerate(graph.outputs):
            term, there = found[node]
            if k < len(force) and force[k]:
                term, there = lead(self.m, term, there, node.aval.shape, self.size), True
            made.append(term)
            flags.append(bool(there))
        return made, tuple(flags)

    def node(self, node: Node, operands: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """A node's batched twin, and whether it is one; for several results the axes of `Several`, in their order."""
        m, row = self.m, node.op
        m.origin = node.where
        if row is PART:
            return self._part(node, operands[0])
        args = [term for term, _ in operands]
        on = tuple(there is True for _, there in operands)
        if not any(on):
            return self._once(node, args), False
        made = None
        if row.kind == "pointwise":
            made = self._pointwise(node, args, on)
        else:
            rule = row.batch if callable(row.batch) else _RULES.get(row.batch)
            if rule is None and row.kind == "reduction":
                rule = reduction
            if rule is not None:
                made = rule(self, node, args, on)
        if made is None:
            made = self._scanned(node, args, on)
        if type(made) is Several:
            return made.term, made.axes
        if type(made) is list:
            return made, (True,) * len(made)
        return (made, (0,) * len(node.aval)) if isinstance(node.aval, Avals) else (made, True)

    def _part(self, node: Node, several: tuple[Any, Any]) -> tuple[Any, Any]:
        m, k = self.m, node.params["k"]
        term, axes = several
        if type(term) is list:
            return term[k], axes[k]
        if axes is False or axes[k] is None:
            return m.part(term, k=k), False
        return to_front(m, m.part(term, k=k), axes[k]), True

    def _once(self, node: Node, args: list[Any]) -> Any:
        """What is the same for all samples."""
        nodes = tuple(term.node for term in args)
        if all(new is old for new, old in zip(nodes, node.args, strict=True)):
            return Term(node, self.m)
        return Term(append(node.op, nodes, node.params, node.where), self.m)

    def _pointwise(self, node: Node, args: list[Any], on: tuple[bool, ...]) -> Any:
        m = self.m
        shapes = [arg.aval.shape for arg in node.args]
        rank = max(map(len, shapes))
        aligned = [align(m, x, shape, rank) if there else x for x, shape, there in zip(args, shapes, on, strict=True)]
        return m.apply(node.op.name, *aligned)

    def _scanned(self, node: Node, args: list[Any], on: tuple[bool, ...]) -> Any:
        """The row as it is, on one sample after another."""
        avals = [arg.aval._replace(weak=False) if there else arg.aval
                 for arg, there in zip(node.args, on, strict=True)]  # fmt: skip
        inputs = [Node(INPUT, (), NO_PARAMS, None, None, aval) for aval in avals]
        one = Node(node.op, tuple(inputs), node.params, None, node.where, node.aval)
        outputs = [one]
        if isinstance(node.aval, Avals):
            outputs = [append(PART, (one,), {"k": k}, node.where) for k in range(len(node.aval))]
        outputs = [_strong(output) for output in outputs]
        order = sorted(range(len(args)), key=on.__getitem__)  # what is the same for all samples comes first
        ran = self.m.scan(
            *[args[slot] for slot in order],
            body=self.body([inputs[slot] for slot in order], outputs),
            constants=len(args) - sum(on),
            carried=0,
            length=self.size,
            backwards=False,
        )
        return ran if isinstance(node.aval, Avals) else self.m.part(ran, k=0)


def _strong(node: Node) -> Node:
    aval: Aval = node.aval
    return append(TABLE["cast"], (node,), {"dtype": aval.dtype, "weak": False}, node.where) if aval.weak else node
