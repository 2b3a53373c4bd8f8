"""More pointwise primitives: trigonometric and hyperbolic functions and their inverses, other bases, roundings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from payback.ops.pointwise import pointwise

LN2, LN10 = math.log(2.0), math.log(10.0)
INF = math.inf


def share_of(m: Any, a: Any, b: Any, scale: float) -> Any:
    """exp a/(exp a + exp b) of scaled numbers; two equal infinities, whose difference is NaN, share evenly."""
    difference = a - b
    if type(difference) is np.ndarray and np.count_nonzero(difference == difference) == difference.size:
        return m.sigmoid(difference if scale == 1.0 else difference * scale)  # what it comes to below, sooner
    even = m.logical_and(m.ne(difference, difference), m.eq(a, b))
    return m.where(even, 0.5, m.sigmoid(difference if scale == 1.0 else difference * scale))


def level_far_out(m: Any, square: Any, slope: Any) -> Any:
    """A slope that falls like x², or faster, as a constant 0 where x² is infinite: its own derivative is 0·∞ there."""
    return m.where(square == INF, 0.0, slope)


def _arctan_slope(m: Any, x: Any, y: Any) -> Any:
    square = x * x
    return level_far_out(m, square, m.div(1.0, 1.0 + square))


def _unit(m: Any, a: Any, b: Any, length: Any) -> Any:
    """a/√(a² + b²); a side that is infinite alone is all of the length."""
    alone = m.logical_and(length == INF, m.abs(b) < INF)
    return m.where(alone, m.sign(a), m.div(a, length))


def _side(m: Any, a: Any, b: Any, y: Any) -> Any:
    return m.select(y == 0, None, _unit(m, a, b, y))


def _turn(m: Any, a: Any, b: Any) -> Any:
    length = m.hypot(a, b)
    return m.div(_unit(m, a, b, length), length)


# fmt: off
#         name       value                              partials, one per argument
pointwise("tan", lambda m, x: m.tan(x), [lambda m, x, y: 1.0 + y * y], "float", math="1 + y²", domain="cos x ≠ 0")
pointwise("arcsin", lambda m, x: m.arcsin(x), [lambda m, x, y: m.div(1.0, m.sqrt((1.0 - x) * (1.0 + x)))], "float",
          math="1/√(1 − x²)", domain="|x| < 1")
pointwise("arccos", lambda m, x: m.arccos(x), [lambda m, x, y: m.div(-1.0, m.sqrt((1.0 - x) * (1.0 + x)))], "float",
          math="−1/√(1 − x²)", domain="|x| < 1")
pointwise("arctan", lambda m, x: m.arctan(x), [_arctan_slope], "float", math="1/(1 + x²)", flat="large |x|")
pointwise("arctan2", lambda m, a, b: m.arctan2(a, b),
          [lambda m, a, b, y: _turn(m, b, a), lambda m, a, b, y: _turn(m, -a, b)], "float",
          math="b/(a² + b²), −a/(a² + b²)", domain="not a = b = 0")
pointwise("hypot", lambda m, a, b: m.hypot(a, b),
          [lambda m, a, b, y: _side(m, a, b, y), lambda m, a, b, y: _side(m, b, a, y)], "float",
          math="a/y, b/y", kink="a = b = 0, taken as 0")

pointwise("sinh", lambda m, x: m.sinh(x), [lambda m, x, y: m.cosh(x)], "float", math="cosh x")
pointwise("cosh", lambda m, x: m.cosh(x), [lambda m, x, y: m.sinh(x)], "float", math="sinh x")
pointwise("arcsinh", lambda m, x: m.arcsinh(x), [lambda m, x, y: m.div(1.0, m.hypot(x, 1.0))], "float",
          math="1/√(x² + 1)")
pointwise("arccosh", lambda m, x: m.arccosh(x),
          [lambda m, x, y: m.div(m.div(1.0, m.sqrt(x - 1.0)), m.sqrt(x + 1.0))], "float",
          math="1/√(x² − 1)", domain="x > 1")
pointwise("arctanh", lambda m, x: m.arctanh(x), [lambda m, x, y: m.div(1.0, (1.0 - x) * (1.0 + x))], "float",
          math="1/(1 − x²)", domain="|x| < 1")

pointwise("exp2", lambda m, x: m.exp2(x), [lambda m, x, y: y * LN2], "float", math="y·ln 2")
pointwise("log2", lambda m, x: m.log2(x), [lambda m, x, y: m.div(1.0 / LN2, x)], "float",
          math="1/(x·ln 2)", domain="x > 0")
pointwise("log10", lambda m, x: m.log10(x), [lambda m, x, y: m.div(1.0 / LN10, x)], "float",
          math="1/(x·ln 10)", domain="x > 0")
pointwise("cbrt", lambda m, x: m.cbrt(x), [lambda m, x, y: m.div(m.div(1.0 / 3.0, y), y)], "float",
          math="1/(3y²)", domain="x ≠ 0")
pointwise("logaddexp", lambda m, a, b: m.logaddexp(a, b),
          [lambda m, a, b, y: share_of(m, a, b, 1.0), lambda m, a, b, y: share_of(m, b, a, 1.0)],
          "float", math="sigmoid(a − b), sigmoid(b − a)")

pointwise("deg2rad", lambda m, x: m.deg2rad(x), [lambda m, x, y: math.pi / 180.0], "float", math="π/180")
pointwise("rad2deg", lambda m, x: m.rad2deg(x), [lambda m, x, y: 180.0 / math.pi], "float", math="180/π")

# how often b went into a, as the result has it: a/b may be rounded up to a whole number, 1.0 % 0.1 is 0.1 short of one
pointwise("mod", lambda m, a, b: m.mod(a, b), [lambda m, a, b, y: 1.0, lambda m, a, b, y: -m.rint(m.div(a - y, b))],
          math="1, −⌊a/b⌋", kink="a a multiple of b", domain="b ≠ 0")
pointwise("floor_divide", lambda m, a, b: m.floor_divide(a, b), [None, None], math="0: constant in pieces")
pointwise("floor", lambda m, x: m.floor(x), [None], math="0: constant in pieces")
pointwise("ceil", lambda m, x: m.ceil(x), [None], math="0: constant in pieces")
pointwise("trunc", lambda m, x: m.trunc(x), [None], math="0: constant in pieces")
pointwise("rint", lambda m, x: m.rint(x), [None], math="0: constant in pieces")
# fmt: on
