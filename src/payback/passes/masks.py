"""Masks that change nothing: those that hold everywhere, and those of payments whose other entries are zero anyway."""

from __future__ import annotations

import numpy as np

from payback.ir.node import Node
from payback.ops.row import CONST, TABLE

_TRUTHS = frozenset({"logical_and", "logical_or"})


def everywhere(node: Node) -> bool | None:
    """Whether a condition holds at every entry (True), at none (False), or is not known to be one of these."""
    while node.op.name in ("broadcast", "reshape", "cast"):
        (node,) = node.args
    if node.op is not CONST or node.value is None:
        return None
    value = np.asarray(node.value)
    if not value.size:
        return None
    first = bool(value.flat[0])
    if any(value.strides):  # else it is one number, spread
        value = value != 0
        first = bool(value.all())
        return first if first or not value.any() else None
    return first


def without_mask(node: Node, args: tuple[Node, ...]) -> Node | None:
    """What select(mask, x, y) is without its mask; what `and` and `or` are where one side is known everywhere."""
    if node.op.name in _TRUTHS:
        return _truth(node, args)
    mask, high, low = args
    known = everywhere(mask)
    if known is not None:
        chosen = high if known else low
        return chosen if chosen.aval == node.aval else None
    if high.op.name == "scatter" and high.aval == node.aval and node.aval.dtype.kind == "f" and _is_zero(low):
        return high if _holds_where_paid(mask, high) else None
    return None


def _truth(node: Node, args: tuple[Node, ...]) -> Node | None:
    decides = node.op.name == "logical_or"
    for arg, other in (args, args[::-1]):
        known = everywhere(arg) if arg.aval.dtype == np.bool_ else None
        if known is None:
            continue
        chosen = arg if known is decides else other
        if chosen.aval.dtype != node.aval.dtype:
            continue
        if chosen.aval.shape == node.aval.shape:
            return chosen
        params = {"shape": node.aval.shape}
        return Node(TABLE["broadcast"], (chosen,), params, None, node.where, node.aval)
    return None


def _is_zero(node: Node) -> bool:
    value = node.value if node.op is CONST else None
    return value is not None and np.shape(value) == () and value == 0 and not np.signbit(value)


def _holds_where_paid(mask: Node, total: Node) -> bool:
    """Whether a mask is known to hold wherever payments go: other entries are the zero that they began as."""
    if mask.op is not CONST or mask.value is None or any(total.params["counts"]):
        return False
    paid = np.zeros(total.aval.shape, np.bool_)
    for template in total.params["templates"]:
        paid[template] = True
    return bool((np.asarray(mask.value) >= paid).all())
