"""Pointwise primitives: a book of formulas.

A partial is a function of the arguments and the result `y`, as on the edges of the article's graph.
`m.select` in a partial means: the sweep multiplies the case that applies, and only that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ir.aval import BOOL, Aval, broadcast_shapes
from payback.ops.dtypes import result_dtype, weak_result
from payback.ops.namespace import opposite
from payback.ops.row import Row, Rule, first, minus_one, one, result, second

NAN = float("nan")


def pointwise(name: str, value: Rule, partials: list[Rule | None], numeric: str = "same", **facts: str) -> Row:
    def shape(*avals: Aval) -> Aval:
        if all(a.weak for a in avals):
            return weak_result(row, tuple(a.dtype.kind for a in avals))
        first = avals[0].shape
        extents = first if all(a.shape == first for a in avals) else broadcast_shapes(*[a.shape for a in avals])
        return Aval(extents, BOOL if numeric == "bool" else result_dtype(row, avals))

    row = Row(name, "pointwise", value, shape=shape, partials=partials, numeric=numeric, **facts)
    return row


def _share(m: Any, wins: Any, ties: Any) -> Any:
    """What one of two is paid that has not lost: all, a half, or NaN where one of them is NaN."""
    return m.select(wins, 1.0, m.select(ties, 0.5, NAN))


def _winner(m: Any, wins: Any, loses: Any, ties: Callable[[], Any]) -> Any:
    """What one of two is paid: nothing if it has lost, else see `_share`."""
    if opposite(wins, loses):
        return m.select(wins, 1.0, None)  # what it comes to below, sooner
    return m.select(loses, None, _share(m, wins, ties()))


def _unless_nan(m: Any, y: Any, taken: Any) -> Any:
    if type(y) is np.ndarray and np.count_nonzero(y == y) == y.size:  # what it comes to below, sooner
        return m.select(taken, 1.0, None)
    return m.select(m.ne(y, y), NAN, m.select(taken, 1.0, None))


def _base_slope(m: Any, a: Any, b: Any, y: Any) -> Any:
    """b·a**(b−1), also at b = 0, where its own derivative by b is 1/a; nothing where 1/a is infinite, or no number."""
    rest, flat = m.power(a, b - 1), b == 0
    slope = b * rest
    if type(flat) in (bool, np.bool_) and not flat:
        return slope  # what it comes to below, sooner
    return m.select(flat, m.select(m.abs(rest) < np.inf, slope, None), slope)


def _log_of_zero(m: Any, a: Any, b: Any) -> Any:
    """a**b·log a at a = 0: nothing for b > 1, nor for smaller positive ones, but then with a derivative by a: −∞."""
    slope = -m.power(a, b * (1.0 - 2.0**-23))  # 0**0.99… for b = 1: its slope is infinite
    return m.select(b > 1, None, m.select(b > 0, slope, NAN * (a + b)))


_SLOPE = 2.0 * math.sqrt(2.0 / math.pi)
_BEND = _SLOPE * 0.044715


def _near_normal(m: Any, x: Any) -> tuple[Any, Any]:
    """u whose sigmoid is near the normal distribution's Φ(x), and x, held where that is 0 or 1 in any precision."""
    x = m.maximum(m.minimum(x, 50.0), -50.0)
    return x * (_SLOPE + (_BEND * x) * x), x  # whole numbers are floats before they are squared


def _silu_slope(m: Any, x: Any, y: Any) -> Any:
    s = m.sigmoid(x)
    return s + m.minimum(x, 1e4) * (s * m.sigmoid(-x))  # which is 0 there, in any precision: no 0·∞


def _gelu_slope(m: Any, x: Any, y: Any) -> Any:
    u, x = _near_normal(m, x)
    s = m.sigmoid(u)
    return s + x * (s * (m.sigmoid(-u) * (_SLOPE + ((3.0 * _BEND) * x) * x)))


# fmt: off
#         name       value                                  partials, one per argument
pointwise("identity", lambda m, x: x, [one], math="1")
pointwise("stop_gradient", lambda m, x: x, [None], math="0: it passes nothing on")

pointwise("add", lambda m, a, b: a + b, [one, one], math="1, 1")
pointwise("sub", lambda m, a, b: a - b, [one, minus_one], math="1, −1")
pointwise("mul", lambda m, a, b: a * b, [second, first], math="b, a")
pointwise("div", lambda m, a, b: m.div(a, b), [lambda m, a, b, y: m.div(1.0, b), lambda m, a, b, y: m.div(-y, b)],
          "float", math="1/b, −y/b", domain="b ≠ 0")
pointwise("neg", lambda m, x: -x, [minus_one], math="−1")
pointwise("power", lambda m, a, b: m.power(a, b),
          [_base_slope,
           lambda m, a, b, y: m.select(a == 0, _log_of_zero(m, a, b), y * m.log(a))],
          math="b·a**(b−1), y·log a", domain="a > 0, or b a whole number", kink="0**0 along b")

pointwise("exp", lambda m, x: m.exp(x), [result], "float", math="y")
pointwise("expm1", lambda m, x: m.expm1(x), [lambda m, x, y: m.exp(x)], "float", math="exp x")
pointwise("log", lambda m, x: m.log(x), [lambda m, x, y: m.div(1.0, x)], "float", math="1/x", domain="x > 0")
pointwise("log1p", lambda m, x: m.log1p(x), [lambda m, x, y: m.div(1.0, 1.0 + x)], "float",
          math="1/(1+x)", domain="x > −1")
pointwise("sqrt", lambda m, x: m.sqrt(x), [lambda m, x, y: m.div(0.5, y)], "float", math="1/(2y)", domain="x > 0")
pointwise("sin", lambda m, x: m.sin(x), [lambda m, x, y: m.cos(x)], "float", math="cos x")
pointwise("cos", lambda m, x: m.cos(x), [lambda m, x, y: -m.sin(x)], "float", math="−sin x")
pointwise("tanh", lambda m, x: m.tanh(x), [lambda m, x, y: (1.0 - y) * (1.0 + y)], "float",
          math="1 − y²", flat="large |x|")
pointwise("sigmoid", lambda m, x: m.sigmoid(x), [lambda m, x, y: y * m.sigmoid(-x)], "float",
          math="y·(1 − y)", flat="large |x|")
pointwise("softplus", lambda m, x: m.softplus(x), [lambda m, x, y: m.sigmoid(x)], "float",
          math="sigmoid x", flat="x ≪ 0")
pointwise("silu", lambda m, x: x * m.sigmoid(x), [_silu_slope], "float",
          math="sigmoid x + y·sigmoid −x", flat="x ≪ 0")
pointwise("gelu", lambda m, x: x * m.sigmoid(_near_normal(m, x)[0]), [_gelu_slope], "float",
          math="sigmoid u + y·u′·sigmoid −u, u = √(8/π)·(x + 0.044715·x³)", flat="x ≪ 0")

pointwise("abs", lambda m, x: m.abs(x), [lambda m, x, y: m.sign(x)], math="sign x", kink="x = 0, taken as 0")
pointwise("sign", lambda m, x: m.sign(x), [None], math="0: constant in pieces")
# sign x is 1 where x > 0, and NaN at a NaN: a zero there would hide it
pointwise("relu", lambda m, x: m.relu(x), [lambda m, x, y: m.select(x <= 0, None, m.sign(x))], math="1 if x > 0 else 0",
          kink="x = 0, taken as 0", flat="x < 0")
pointwise("maximum", lambda m, a, b: m.maximum(a, b),
          [lambda m, a, b, y: _winner(m, a > b, a < b, lambda: a == b),
           lambda m, a, b, y: _winner(m, b > a, b < a, lambda: a == b)],
          math="1 for the larger", kink="a = b, each ½")
pointwise("minimum", lambda m, a, b: m.minimum(a, b),
          [lambda m, a, b, y: _winner(m, a < b, a > b, lambda: a == b),
           lambda m, a, b, y: _winner(m, b < a, b > a, lambda: a == b)],
          math="1 for the smaller", kink="a = b, each ½")
pointwise("clip", lambda m, x, low, high: m.clip(x, low, high),
          [lambda m, x, low, high, y: _unless_nan(m, y, m.logical_and(x >= low, x <= high)),
           lambda m, x, low, high, y: _unless_nan(m, y, m.logical_and(x < low, low <= high)),
           lambda m, x, low, high, y: _unless_nan(m, y, m.logical_or(high < low, x > high))],
          math="1 for the one that is taken", kink="x = low, x = high: x is taken", flat="x outside")
pointwise("select", lambda m, c, a, b: m.where(c, a, b),
          [None, lambda m, c, a, b, y: m.select(c, 1.0, None), lambda m, c, a, b, y: m.select(c, None, 1.0)],
          math="1 for the one that is taken")

# fmt: on


def _comparison(name: str) -> None:
    def value(m: Any, a: Any, b: Any) -> Any:
        return getattr(m, name)(a, b)

    pointwise(name, value, [None, None], "bool", math="0: constant in pieces")


for _name in ("gt", "ge", "lt", "le", "eq", "ne"):
    _comparison(_name)
pointwise("logical_and", lambda m, a, b: m.logical_and(a, b), [None, None], "bool", math="no derivative")
pointwise("logical_or", lambda m, a, b: m.logical_or(a, b), [None, None], "bool", math="no derivative")
pointwise("logical_not", lambda m, x: m.logical_not(x), [None], "bool", math="no derivative")
