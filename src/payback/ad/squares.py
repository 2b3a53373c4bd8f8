"""Squares of |x|, of norms and of hypot, on graphs: differentiated as the smooth functions of x that they are.

At x = 0 the derivative of |x| is taken as 0, and so is that of |x|² then, rightly; but the slope 2·|x|·sign x, written
down and differentiated once more, would be 2·sign² x = 0 where the truth is 2.  So what n² is owed is paid to n as a
`Square` of its own, and goes down through what n is made of to x, which is paid 2·x times that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from payback.ir.node import Node
from payback.ops.row import CONST

if TYPE_CHECKING:
    from payback.ad.algebra import Gradient

_ROOTS = ("abs", "norm", "hypot")  # each the root of a sum of squares
_MOVES = ("neg", "reshape", "transpose", "broadcast", "index", "cast")
_FAR = 8  # how far below a square its root is looked for


class Square:
    """What the square of a node is owed, and besides what the node itself is (None: nothing)."""

    __slots__ = ("node", "owed", "plain")

    def __init__(self, node: Node, owed: Any, plain: Any = None):
        self.node, self.owed, self.plain = node, owed, plain


def is_square(node: Node) -> bool:
    """Whether a node is an even power of something that has a smooth square."""
    if node.op.name == "mul":
        one, other = node.args
        alike = one is other or (one.op is other.op and one.args == other.args and one.params == other.params)
        return alike and _has_smooth_square(one)
    if node.op.name != "power":
        return False
    base, exponent = node.args
    if exponent.op is not CONST or exponent.shape or not (exponent.value >= 2 and exponent.value % 2 == 0):
        return False
    return _has_smooth_square(base)


def _has_smooth_square(node: Node, far: int = _FAR) -> bool:
    name, args = node.op.name, node.args
    if name in _ROOTS:
        return True
    if not far or not args:
        return False
    if name == "mul" and _has_smooth_square(args[1], far - 1):
        return True
    return (name in _MOVES or name in ("mul", "div")) and _has_smooth_square(args[0], far - 1)


def begun(gradient: Gradient, node: Node, slot: int, bar: Any) -> Square | None:
    """What an even power pays; of n·n both factors at once."""
    return None if slot else Square(node.args[0], _times_rest(gradient, node, bar))


def _times_rest(gradient: Gradient, node: Node, of_square: Any) -> Any:
    """n²ᵏ is (n²)ᵏ, whose slope by n² is k·n²ᵏ⁻²."""
    if node.op.name == "mul" or node.args[1].value == 2:
        return of_square
    exponent = float(node.args[1].value)
    base = gradient.operand(node.args[0])
    return gradient.times(of_square, gradient.m.power(base, exponent - 2.0) * (exponent / 2.0))


def passed_on(gradient: Gradient, node: Node, slot: int, square: Square) -> Any:
    """What a node pays the argument in that slot of what its square, and it itself, are owed."""
    payments = [_of_square(gradient, node, slot, square.owed)]
    if square.plain is not None:
        payments.append(gradient.pull(node, slot, square.plain))
    payments = [paid for paid in payments if paid is not None]
    return gradient.added(node.args[slot], payments) if payments else None


def _of_square(gradient: Gradient, node: Node, slot: int, owed: Any) -> Any:
    name, arg = node.op.name, node.args[slot]
    x = gradient.operand(arg)
    if name == "norm":
        owed = gradient.spread_bar(node, owed, arg.shape)
    if name in _ROOTS:
        return gradient.fitted(gradient.times(owed, x * 2.0), arg)
    if name == "neg":
        return Square(arg, owed)
    if name in _MOVES:
        return Square(arg, gradient.pull(node, slot, owed))
    return _factor(gradient, node, slot, owed)


def _factor(gradient: Gradient, node: Node, slot: int, owed: Any) -> Any:
    """What a factor of a product is paid of what the square of the product is owed, or of a quotient."""
    m, arg, other = gradient.m, node.args[slot], gradient.operand(node.args[1 - slot])
    if _is_factor(node, slot):
        if node.op.name == "mul" and _has_smooth_square(node.args[1 - slot]):  # a square again, for higher orders
            return Square(arg, gradient.fitted(gradient.times(owed, other * other), arg))
        by = other if node.op.name == "mul" else m.div(1.0, other)
        return Square(arg, gradient.fitted(gradient.times(gradient.times(owed, by), by), arg))
    return gradient.fitted(gradient.times(owed, _slope(gradient, node, slot) * (other * other)), arg)


def _is_factor(node: Node, slot: int) -> bool:
    """Whether that argument itself has a smooth square."""
    return not (slot and node.op.name == "div") and _has_smooth_square(node.args[slot])


def _slope(gradient: Gradient, node: Node, slot: int) -> Any:
    """Of the square of x or of 1/x, for a factor without a square of its own; the other factor's is a node again."""
    x = gradient.operand(node.args[slot])
    if node.op.name == "mul":
        return x * 2.0
    by = gradient.m.div(1.0, x)
    return by * by * by * -2.0


def pushed(gradient: Gradient, node: Node, dots: Mapping[Node, Any]) -> Any:
    """The tangent of an even power, of those of all nodes below it."""
    found = _tangent(gradient, node.args[0], dots)
    return None if found is None else _times_rest(gradient, node, found)


def _tangent(gradient: Gradient, node: Node, dots: Mapping[Node, Any]) -> Any:
    """The tangent of the square of a node."""
    m, name = gradient.m, node.op.name
    if node not in dots:
        return None
    if name in _ROOTS:
        parts = [gradient.operand(arg) * 2.0 * gradient.dense(dots[arg]) for arg in node.args if arg in dots]
        if name == "norm":
            return m.sum(parts[0], **node.params)
        total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return m.broadcast(total, shape=node.shape)
    if name == "neg":
        return _tangent(gradient, node.args[0], dots)
    if name in _MOVES:
        moved = _tangent(gradient, node.args[0], dots)
        return node.op.value(m, moved, *map(gradient.operand, node.args[1:]), **node.params)  # type: ignore[misc]
    total = None
    for slot, arg in enumerate(node.args):
        if arg not in dots:
            continue
        other = gradient.operand(node.args[1 - slot])
        if _is_factor(node, slot):
            by = other if name == "mul" else m.div(1.0, other)
            part = _tangent(gradient, arg, dots) * by * by
        else:
            part = gradient.dense(dots[arg]) * (_slope(gradient, node, slot) * (other * other))
        total = part if total is None else total + part
    return m.broadcast(total, shape=node.shape)
