"""Why an operand is 0, where that has made something infinite: it is too small for a number, or divided by infinity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ir.node import Node
from payback.ops.namespace import Values

_MOVES = frozenset({"index", "reshape", "transpose", "broadcast", "cast", "identity"})
_BECOMES = frozenset({"exp", "exp2", "mul", "div", "power", "sigmoid"})  # 0 though none of its operands is


def vanished(node: Node, index: tuple[int, ...], text: Callable[[Node], str]) -> str:
    """What made an operand of a pointwise node 0 at that entry; empty where it is not 0, or was 0 by rights."""
    for arg in node.args:
        at = _entry(arg, node.shape, index)
        if (
            np.asarray(arg.value).dtype.kind == "f"
            and np.asarray(arg.value)[at] == 0
            and (told := _told(arg, at, text))
        ):
            return told
    return ""


def _told(node: Node, at: tuple[int, ...], text: Callable[[Node], str]) -> str:
    while node.op.name in _MOVES:
        node, at = _source(node, at)
    if node.op.name not in _BECOMES:
        return ""
    numbers = [np.asarray(arg.value)[_entry(arg, node.shape, at)] for arg in node.args]
    if node.op.name == "div" and np.isinf(numbers[1]):
        return f"it is 0 because {text(node.args[1])} is infinite"
    if all(np.isfinite(number) and number != 0 for number in numbers):
        least = float(np.finfo(node.aval.dtype).smallest_subnormal)
        return f"{text(node)} is 0 by underflow: it is nearer to 0 than any {node.aval.dtype}, {least:.3g}"
    for arg, number in zip(node.args, numbers, strict=True):
        if number == 0 and (found := _told(arg, _entry(arg, node.shape, at), text)):
            return found
    return ""


def _source(node: Node, at: tuple[int, ...]) -> tuple[Node, tuple[int, ...]]:
    """Where the entry of a node that only moves entries comes from: the same move of the entries' numbers."""
    arg, *others = node.args
    numbers: Any = np.arange(arg.aval.size).reshape(arg.shape)
    if node.op.name not in ("cast", "identity"):
        numbers = node.op.value(Values, numbers, *[other.value for other in others], **node.params)
    return arg, tuple(int(i) for i in np.unravel_index(int(np.asarray(numbers)[at]), arg.shape))


def _entry(arg: Node, shape: tuple[int, ...], index: tuple[int, ...]) -> tuple[int, ...]:
    """The entry of an operand that an entry of a pointwise result is made of."""
    offset = len(shape) - len(arg.shape)
    return tuple(0 if extent == 1 else index[offset + k] for k, extent in enumerate(arg.shape))
