"""The interpreter: a graph run node by node with NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.ops.namespace import Values
from payback.run.blas import OneThread

Hook = Callable[[Node, Any], None]


class Quietly:
    """How graphs are run: without floating-point warnings, and BLAS on one thread."""

    __slots__ = ("_blas", "_errors")  # no generators: small graphs take microseconds

    def __enter__(self) -> None:
        self._errors, self._blas = np.errstate(all="ignore"), OneThread()
        self._errors.__enter__()
        self._blas.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._blas.__exit__(*raised)
        self._errors.__exit__(*raised)


def quietly() -> Quietly:
    return Quietly()


class Interpreter:
    """A graph made ready to run: slots instead of nodes, values dropped after their last use.

    BLAS has one thread while it runs, so that the bits do not depend on the machine's cores.  Floating-point warnings
    are off; NaN and infinities travel as IEEE says.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        place = {node: i for i, node in enumerate((*graph.inputs, *graph.nodes))}
        last_use: dict[Node, int] = {}
        constants = [node for node in graph.nodes if node.op.value is None]  # a captured variable counts as one
        steps = [node for node in graph.nodes if node.op.value is not None]
        for i, node in enumerate(steps):
            for arg in node.args:
                last_use[arg] = i
        kept = {*graph.outputs, *constants}
        self._template: list[Any] = [None] * len(place)
        for node in constants:
            if node.value is None:
                raise TypeError(f"{node!r} has no value and is not among the inputs")
            self._template[place[node]] = node.value
        self._steps = []
        for i, node in enumerate(steps):
            dead = tuple({place[arg] for arg in node.args if last_use[arg] == i and arg not in kept})
            self._steps.append(
                (node.op.value, tuple(place[arg] for arg in node.args), node.params, place[node], dead, node)
            )
        self._outputs = tuple(place[node] for node in graph.outputs)
        self._inputs = len(graph.inputs)

    def __call__(self, *inputs: Any, hook: Hook | None = None) -> tuple[Any, ...]:
        """The outputs' values.  `hook(node, value)` is called after every node.

        Raises TypeError when the number of inputs is not the graph's.
        """
        if len(inputs) != self._inputs:
            raise TypeError(f"the graph has {self._inputs} inputs, {len(inputs)} were given")
        with quietly():
            return self.run(inputs, hook)

    def run(self, inputs: Sequence[Any], hook: Hook | None = None) -> tuple[Any, ...]:
        """The same inside another run: the settings of the floating-point unit and of BLAS are the caller's."""
        values = self._template.copy()
        values[: len(inputs)] = inputs
        for rule, args, params, target, dead, node in self._steps:
            value = rule(Values, *[values[i] for i in args], **params)
            values[target] = value
            if hook is not None:
                hook(node, value)
            for i in dead:
                values[i] = None
        return tuple(values[i] for i in self._outputs)


def run(graph: Graph, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The graph's outputs on these inputs, once."""
    return Interpreter(graph)(*inputs)
