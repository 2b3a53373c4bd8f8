"""Forward mode: tangents pushed along a graph, from the leaves up, each edge used once.

The same rows as the sweep: a pointwise row's partial multiplies the tangent; a linear row applies itself to it; a
reduction sums partial × tangent.  Masks need no carrying here, since what is not taken is chosen away at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.sweep import live_nodes
from payback.ir.node import Node
from payback.ops.reduce import spread


def push(gradient: Gradient, reached: list[Node], tangents: Mapping[Node, Any]) -> dict[Node, Any]:
    """The tangent of every node that depends on the given ones along edges with a derivative.

    reached: the nodes to go through, ascending; tangents: of the leaves, in the namespace of `gradient`.
    A node that no path leads to is not in the result.
    """
    order, live = live_nodes(reached, set(tangents))
    dots = dict(tangents)
    for node in order:
        if node in dots:
            continue
        slots = [slot for slot, arg in enumerate(node.args) if arg in live and slot not in node.op.no_edge]
        found = _pushed(gradient, node, {slot: dots[node.args[slot]] for slot in slots if node.args[slot] in dots})
        if found is not None:
            dots[node] = found
    return dots


def _pushed(gradient: Gradient, node: Node, dots: dict[int, Any]) -> Any:
    """What the tangents of a node's arguments make of its own; None: nothing reaches it."""
    m, row, params = gradient.m, node.op, node.params
    if not dots:
        return None
    args = [gradient.operand(arg) for arg in node.args]
    if row.kind == "pointwise":
        parts = [
            gradient.times(dot, row.partials[slot](m, *args, gradient.operand(node))) for slot, dot in dots.items()
        ]
        return _total(gradient, node, [part for part in parts if part is not None])
    if row.kind == "reduction":
        y = spread(m, gradient.operand(node), m.shape(args[0]), **params)
        paid = gradient.dense(gradient.times(dots[0], row.partials[0](m, args[0], y, params["axes"])))
        return m.sum(paid, axes=params["axes"], keepdims=params["keepdims"])
    if row.name == "contract":  # linear in each argument by itself
        parts = [
            row.value(m, *(dot if i == slot else arg for i, arg in enumerate(args)), **params)
            for slot, dot in dots.items()
        ]
        return _total(gradient, node, parts)
    # linear in its floating arguments together; what has no tangent stands still
    moved = [
        dots.get(slot, _still(gradient, arg, value))
        for slot, (arg, value) in enumerate(zip(node.args, args, strict=True))
    ]
    return row.value(m, *moved, **params)


def _still(gradient: Gradient, arg: Node, value: Any) -> Any:
    """A zero tangent for a floating argument; an index or a mask stays what it is."""
    aval = arg.aval
    return gradient.constant(np.zeros(aval.shape, aval.dtype)[()]) if aval.dtype.kind == "f" else value


def _total(gradient: Gradient, node: Node, parts: list[Any]) -> Any:
    if not parts:
        return None
    total = gradient.dense(parts[0])
    for part in parts[1:]:
        total = total + gradient.dense(part)
    m = gradient.m
    return total if m.shape(total) == node.shape else m.broadcast(total, shape=node.shape)
