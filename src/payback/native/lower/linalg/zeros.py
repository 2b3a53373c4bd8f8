"""What is known to be zero in a matrix, from what made it."""

from __future__ import annotations

import numpy as np

from payback.ir.node import Node
from payback.ops.row import CONST

OTHER = {"lower": "upper", "upper": "lower", "": ""}


def swaps(node: Node) -> bool:
    """Whether a node is the transpose of each of some matrices."""
    if node.op.name != "transpose":
        return False
    n = len(node.aval.shape)
    return bool(node.params["axes"] == (*range(n - 2), n - 1, n - 2))


def original_of(node: Node) -> tuple[Node, bool]:
    """What a matrix is the transpose of, and whether it is."""
    turned = False
    while swaps(node):
        node, turned = node.args[0], not turned
    return node, turned


def half_of(node: Node) -> str:
    """Which half of a matrix holds all that is not zero, as far as what made it tells: "lower", "upper" or ""."""
    name = node.op.name
    if swaps(node):
        return OTHER[half_of(node.args[0])]
    if name == "cholesky":
        return "upper" if node.params["upper"] else "lower"
    if name == "part" and node.args[0].op.name == "qr":
        return "upper" if node.params["k"] == 1 else ""
    if name in ("inv", "neg", "identity"):
        return half_of(node.args[0])
    if name == "mul":  # by known numbers
        arrays = [arg for arg in node.args if arg.op is not CONST]
        known = [arg for arg in node.args if arg.op is CONST]
        if len(arrays) == 1 and arrays[0].aval.shape == node.aval.shape and np.isfinite(known[0].value).all():
            return half_of(arrays[0])
    return kept_half(node) if name == "select" else ""


def kept_half(node: Node) -> str:
    """The half that a choice between entries and zero keeps."""
    condition, high, low = node.args
    if condition.op is not CONST or np.shape(condition.value) != node.aval.shape or len(node.aval.shape) != 2:
        return ""
    chosen = np.asarray(condition.value)
    if low.op is CONST and not np.any(low.value):
        pass
    elif high.op is CONST and not np.any(high.value):
        chosen = ~chosen
    else:
        return ""
    return "lower" if not np.triu(chosen, 1).any() else "upper" if not np.tril(chosen, -1).any() else ""
