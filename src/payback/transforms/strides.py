"""How the arguments of a compiled function lie in memory: machine code takes arrays by rows.

An array whose axes are only in another order (of Fortran, a transpose) is by rows with them turned: the graph turns
them back, and nothing is copied.  Any other (columns, every second entry) is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.ops.row import TABLE
from payback.trace.body import fresh, rebuilt
from payback.trace.plain_arrays import strides_of

Spread = Sequence[tuple[int, tuple[int, ...]]]  # which arguments do not lie by rows, and their strides
Order = tuple[int, ...]  # of axes


def orders(spread: Spread, inputs: Sequence[Node]) -> dict[int, Order]:
    """Of those that are by rows with their axes in another order, that order."""
    found = {}
    for k, strides in spread:
        shape = inputs[k].aval.shape
        order = tuple(sorted(range(len(shape)), key=lambda axis: -strides[axis]))
        step, even = 1, len(shape) > 1
        for axis in reversed(order):
            even = even and (strides[axis] == step or shape[axis] == 1)
            step *= shape[axis]
        if even and step:
            found[k] = order
    return found


def turned(graph: Graph, of: Mapping[int, Order]) -> Graph:
    """The graph for arguments whose axes are in these orders."""
    inputs, given = list(graph.inputs), {}
    for k, order in of.items():
        old = inputs[k]
        inputs[k] = fresh(Aval(tuple(old.aval.shape[axis] for axis in order), old.aval.dtype))
        back = {"axes": tuple(map(order.index, range(len(order))))}
        given[old] = Node(TABLE["transpose"], (inputs[k],), back, None, old.where, old.aval)
    return Graph(inputs, rebuilt(graph.outputs, given))


def by_rows(flat: Sequence[Any], spread: Spread, of: Mapping[int, Order]) -> tuple[Any, ...] | None:
    """The arguments by rows, of `spread` those in `of` with their axes turned, the others as copies; None where one of
    them lies otherwise."""
    made = list(flat)
    for k, strides in spread:
        if k >= len(made) or type(made[k]) is not np.ndarray or strides_of(made[k]) != strides:
            return None
        made[k] = made[k].transpose(of[k]) if k in of else made[k].copy()
    return tuple(made)
