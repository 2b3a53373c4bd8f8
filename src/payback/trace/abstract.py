"""Tracing a function without numbers: shapes and dtypes in, a graph out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from payback.errors import TraceError
from payback.ir.aval import WEAK_DTYPES, Aval, aval_of
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.ops.append import const
from payback.ops.row import INPUT
from payback.run.interpreter import Interpreter
from payback.trace.array import Traced
from payback.trace.refusals.leaks import check, close
from payback.trace.shim.shim import call
from payback.trace.tree import leaves, paths, same_structure, unflatten


class TracedFunction:
    """A function as a graph, for arguments of one structure and fixed shapes; calling it runs the graph.

    graph      its inputs are the leaves of the arguments, in order
    arguments  the examples that it was traced with
    run        what runs it: the interpreter, unless a compiler puts something else there
    """

    def __init__(self, graph: Graph, arguments: tuple[Any, ...], result: Any):
        self.graph, self.arguments, self._result = graph, arguments, result

    @cached_property
    def run(self) -> Callable[..., tuple[Any, ...]]:
        return Interpreter(self.graph)

    def __call__(self, *arguments: Any) -> Any:
        """The result for arguments of the same structure, shapes and dtypes.  Raises TypeError for another one."""
        if not same_structure(self.arguments, arguments):
            raise TypeError(f"traced for arguments {paths(self.arguments)}, called with {paths(arguments)}")
        return unflatten(self._result, iter(self.run(*leaves(arguments))))


def trace(f: Callable[..., Any], *arguments: Any) -> TracedFunction:
    """The graph of `f` for arguments like these: arrays, Python numbers (which stay weak), or bare `Aval`s.

    Every leaf of the arguments becomes an input.  Raises TraceError where `f` looks at a number.
    """
    inputs = []
    for leaf, path in zip(leaves(arguments), paths(arguments), strict=True):
        if not isinstance(leaf, (Aval, np.ndarray, np.generic)) and type(leaf) not in WEAK_DTYPES:
            raise TraceError(
                f"{path} is a {type(leaf).__name__}", why="only numbers and arrays can be inputs of a graph"
            )
        inputs.append(Node(INPUT, (), {"name": path}, None, None, leaf if isinstance(leaf, Aval) else aval_of(leaf)))
    result = call(f, unflatten(arguments, iter([Traced(node) for node in inputs])), {})
    close(inputs)
    outputs = [leaf.node if isinstance(leaf, Traced) else const(leaf) for leaf in leaves(result)]
    check(outputs, inputs)
    return TracedFunction(Graph(inputs, outputs), arguments, result)
