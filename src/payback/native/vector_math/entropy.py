"""x·log y and its relatives, as `scipy.special` has them: xlogy, xlog1py, entr, rel_entr, logit.

The logarithm of a quotient is that of the rounded quotient plus what the rounding has lost of it.
"""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.exponential import log, log1p, log_of_product, normalized, significand
from payback.native.vector_math.lanes import Lanes, Maths


def _log_of_quotient(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    """log(x/y) for positive finite numbers: also where the quotient itself is out of range."""
    (x, x_shift), (y, y_shift) = normalized(m, x), normalized(m, y)
    (a, over), (b, under) = (significand(m, z) for z in (x, y))
    over, under = over + 1.0, under + 1.0
    inverse = 1.0 / under
    quotient = over * inverse
    lost = m.fma(-quotient, under, over) * inverse
    return log_of_product(m, quotient, lost / quotient, (a + x_shift) - (b + y_shift))


def xlogy(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    return m.select((x == 0.0) & ~m.is_nan(y), 0.0, x * log(m, y))


def xlog1py(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    return m.select((x == 0.0) & ~m.is_nan(y), 0.0, x * log1p(m, y))


def entr(m: Maths, x: Lanes) -> Lanes:
    """−x·log x, 0 at 0 and −∞ below."""
    return m.select(x < 0.0, -math.inf, m.select(x == 0.0, 0.0, -(x * log(m, x))))


def rel_entr(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    """x·log(x/y), 0 at x = 0 and ∞ where a number is negative or y = 0."""
    inside = (x > 0.0) & (y > 0.0)
    y_is_far = m.select(x < math.inf, -math.inf, math.nan)
    far = m.select(y < math.inf, x, y_is_far)
    made = m.select((x < math.inf) & (y < math.inf), x * _log_of_quotient(m, x, y), far)
    made = m.select(inside, made, m.select((x == 0.0) & (y >= 0.0), 0.0, math.inf))
    return m.select(m.is_nan(x, y), math.nan, made)


def logit(m: Maths, x: Lanes) -> Lanes:
    """log(x/(1 − x)) = n·ln 2 + 2·artanh((x·2⁻ⁿ − (1 − x))/(x·2⁻ⁿ + (1 − x))): n such that it is artanh of ≤ 1/5."""
    rest, rest_low = m.fast_two_sum(m.number(1.0), -x)
    scaled, shift = normalized(m, x)
    half = 1 << (m.mantissa - 1)
    apart = (m.bits(scaled) - m.bits(rest) + (half + (m.bias << m.mantissa))) >> m.mantissa  # n, and the bias more
    n = m.converted(apart, m.bias) + shift
    scaled = m.float(m.bits(scaled) - ((apart - m.bias) << m.mantissa))
    s = ((scaled - rest) - rest_low) / (scaled + rest)
    z = s * s
    first, second = c.LN2[m.width]
    y = m.mad(n, first, m.mad(2.0, s, m.mad(z * s, m.polynomial(z, c.LOG_OF_RATIO), n * second)))
    edge = m.select(x == 0.0, -math.inf, m.select(x == 1.0, math.inf, math.nan))
    return m.select((x > 0.0) & (x < 1.0), y, edge)
