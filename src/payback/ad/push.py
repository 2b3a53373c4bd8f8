"""Forward mode: tangents pushed along a graph, from the leaves up, each edge used once.

The same rows as the sweep: a pointwise row's partial multiplies the tangent; a linear row applies itself to it; a
reduction sums partial × tangent.  A tangent that is zero because nothing leads there carries a mask, as an adjoint
does, so that it stays zero where a partial is infinite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient, Masked, no_derivative
from payback.ad.squares import Roots
from payback.ad.sweep import live_nodes
from payback.ir.node import Node
from payback.ops.index import payment_positions
from payback.ops.namespace import Select
from payback.ops.reduce import spread
from payback.ops.several import PART


def push(gradient: Gradient, reached: list[Node], tangents: Mapping[Node, Any]) -> dict[Node, Any]:
    """The tangent of every node that depends on the given ones along edges with a derivative.

    reached: the nodes to go through, ascending; tangents: of the leaves, in the namespace of `gradient`.
    A node that no path leads to is not in the result.
    """
    order, live = live_nodes(reached, set(tangents))
    dots = dict(tangents)
    roots = Roots(order if gradient.on_graph else ())
    for node in order:
        if node in dots:
            continue
        if roots.factors and roots.twice(node):
            found = roots.pushed(gradient, node, dots)
            if found is not None:
                dots[node] = found
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
    if row is PART:
        dot = dots[0][params["k"]]
        return Masked(dot.condition, dot.high) if type(dot) is Select else dot
    args = [gradient.operand(arg) for arg in node.args]
    if row.kind == "own":
        if row.jvp is None:
            raise no_derivative(node, "forward")
        if row.masked != "both":
            dots = {slot: gradient.dense(dot) for slot, dot in dots.items()}
        return row.jvp(m, dots, args, gradient.operand(node), **params)
    if row.kind == "pointwise":
        parts = [
            gradient.times(dot, row.partials[slot](m, *args, gradient.operand(node))) for slot, dot in dots.items()
        ]
        return _total(gradient, node, [part for part in parts if part is not None])
    if row.kind == "reduction":
        y = spread(m, gradient.operand(node), m.shape(args[0]), **params)
        paid = gradient.times(dots[0], row.partials[0](m, args[0], y, params["axes"]))
        moved = m.sum(gradient.dense(paid), axes=params["axes"], keepdims=params["keepdims"])
        return _summed(gradient, node, dots[0], moved) if type(dots[0]) is Masked else moved
    plain = {slot: gradient.dense(dot) for slot, dot in dots.items()}
    if row.name == "contract":  # linear in each argument by itself
        parts = [
            row.value(m, *(dot if i == slot else arg for i, arg in enumerate(args)), **params)
            for slot, dot in plain.items()
        ]
        return _total(gradient, node, parts)
    # linear in its floating arguments together; what has no tangent stands still
    moved = row.value(m, *_beside(gradient, node, plain, np.zeros), **params)
    if row.name == "scatter":
        return moved if _is_owed(node) else Masked(_reached(gradient, node, dots), moved)
    if (row.name in _JOINS and len(dots) < len(node.args)) or any(type(dot) is Masked for dot in dots.values()):
        return _carried(gradient, node, dots, moved)
    return moved


def _carried(gradient: Gradient, node: Node, dots: dict[int, Any], moved: Any) -> Any:
    """What a linear row made of tangents, with their masks.  What stands still beside them, a constant, has none."""
    m, row, params = gradient.m, node.op, node.params
    masks = {slot: gradient.whole_mask(dot, node.args[slot]) for slot, dot in dots.items() if type(dot) is Masked}
    if row.name == "cast":
        return Masked(masks[0], moved)
    if row.name in _JOINS:
        for slot in dots.keys() - masks.keys():
            masks[slot] = gradient.constant(np.ones(node.args[slot].shape, np.bool_)[()])
    if row.name in _MOVES and len(masks) == len(dots):
        return Masked(row.value(m, *_beside(gradient, node, masks, _nowhere), **params), moved)
    if row.name in ("sum", "mean"):
        return _summed(gradient, node, dots[0], moved)
    if row.name in _RUNNING:
        ones = m.where(masks[0], 1.0, gradient.constant(np.zeros((), node.aval.dtype)[()]))
        return Masked(m.gt(row.value(m, ones, *map(gradient.operand, node.args[1:]), **params), 0.0), moved)
    return moved


def _summed(gradient: Gradient, node: Node, dot: Masked, moved: Any) -> Masked:
    """What a reduction made of a tangent: it stands still where all that it reduces does."""
    m, params = gradient.m, node.params
    mask = gradient.whole_mask(dot, node.args[0])
    return Masked(m.gt(m.sum(mask, axes=params["axes"], keepdims=params["keepdims"]), 0), moved)


def _reached(gradient: Gradient, node: Node, dots: dict[int, Any]) -> Any:
    """The entries that something is added to which moves: an empty bin of a histogram stands still."""
    params, masks = node.params, [gradient.operand(arg) for arg in node.args]
    for slot in payment_positions(params["counts"]):
        dot, arg = dots.get(slot), node.args[slot]
        masks[slot] = (
            gradient.whole_mask(dot, arg) if type(dot) is Masked
            else gradient.constant(np.full(arg.shape, dot is not None, np.bool_)[()])
        )  # fmt: skip
    return gradient.m.scatter(*masks, **{**params, "dtype": np.dtype(np.bool_)})


def _is_owed(node: Node) -> bool:
    """Whether a sweep made it: what is owed has its own masks."""
    return node.where is not None and len(node.where) > 2


_RUNNING = ("cumsum", "reduceat")
_JOINS = ("concatenate", "stack")
_MOVES = ("index", "reshape", "transpose", "broadcast", *_JOINS)


def _nowhere(shape: tuple[int, ...], dtype: Any) -> Any:
    return np.zeros(shape, np.bool_)


def _beside(gradient: Gradient, node: Node, given: dict[int, Any], zeros: Any) -> list[Any]:
    """The given values of floating arguments, zeros for the other ones; an index or a mask stays what it is."""
    found = []
    for slot, arg in enumerate(node.args):
        aval = arg.aval
        if slot in given:
            found.append(given[slot])
        elif aval.dtype.kind == "f":
            found.append(gradient.constant(zeros(aval.shape, aval.dtype)[()]))
        else:
            found.append(gradient.operand(arg))
    return found


def _total(gradient: Gradient, node: Node, parts: list[Any]) -> Any:
    """The sum of the parts in the node's shape, masked if all of them are."""
    if not parts:
        return None
    m = gradient.m
    total = parts[0].value if len(parts) == 1 and type(parts[0]) is Masked else gradient.dense(parts[0])
    for part in parts[1:]:
        total = total + gradient.dense(part)
    if m.shape(total) != node.shape:
        return m.broadcast(gradient.dense(parts[0]) if len(parts) == 1 else total, shape=node.shape)
    if not all(type(part) is Masked for part in parts):
        return total
    masks = [gradient.whole_mask(part, node) for part in parts]
    return Masked(masks[0] if len(masks) == 1 else m.any(masks), total)
