"""erf and erfc: a polynomial up to 1 (erf) or ½ (erfc), beyond exp(−x²)·G(t)/(1 + 2x) with t = (x − 3)/(x + 3)."""

from __future__ import annotations

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.exponential import decay, exp
from payback.native.vector_math.lanes import Lanes, Maths, in_double


def _tail(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """erfc(x) in two words, x ≥ ½."""
    x = m.at_least(m.at_most(x, 28.0), 0.5)
    t = (x - 3.0) / (x + 3.0)
    first, *rest = c.ERFC[m.goal]
    slope = m.polynomial(t, {m.goal: rest})
    under, under_low = m.fast_two_sum(m.number(1.0), 2.0 * x) if m.goal == 32 else m.two_sum(m.number(1.0), 2.0 * x)
    inverse = 1.0 / under
    if m.goal == 32:
        square = x * x
        high, low = decay(m, -square)
        return high * (m.mad(t, slope, first) * inverse), m.number(0.0)
    value, value_low = m.fast_two_sum(m.number(first), t * slope)
    q = value * inverse
    q_low = (m.fma(-q, under, value) + m.mad(-q, under_low, value_low)) * inverse
    square, square_low = m.two_product(x, x)
    high, low = decay(m, -square, -square_low)
    product, product_low = m.two_product(high, q)
    return product, product_low + m.mad(high, q_low, low * q)


def _excess(m: Maths, x: Lanes) -> Lanes:
    """erf(x) − x, |x| ≤ 1."""
    return x * m.polynomial(x * x, c.ERF)


def _erf_single(m: Maths, x: Lanes) -> Lanes:
    """In float32 alone: from 1 on as 1 − e^Q with a polynomial Q, whose error counts for little."""
    size = m.abs(x)
    small = m.select(size < 1.0, x, 0.0)
    y = 1.0 - exp(m, m.polynomial(m.at_least(m.at_most(size, 4.0), 1.0), c.LOG_ERFC))
    y = m.select(size < 1.0, small + _excess(m, small), m.copysign(y, x))
    return m.select(m.is_nan(x) | (x == 0.0), x, y)


def erf(m: Maths, x: Lanes) -> Lanes:
    if not m.double:
        return _erf_single(m, x)
    size = m.abs(x)
    small = m.select(size < 1.0, x, 0.0)
    high, low = _tail(m, size)
    total, rest = m.fast_two_sum(m.number(1.0), -high)
    large = m.copysign(total + (rest - low), x)
    y = m.select(size < 1.0, small + _excess(m, small), large)
    return m.select(m.is_nan(x) | (x == 0.0), x, y)


@in_double
def erfc(m: Maths, x: Lanes) -> Lanes:
    size = m.abs(x)
    middle = (x < 0.5) & (x > -1.0)
    small = m.select(middle, x, 0.0)
    near, near_low = m.two_sum(m.number(1.0), -small)
    high, low = _tail(m, size)
    total, rest = m.fast_two_sum(m.number(2.0), -high)
    far = m.select(x < 0.0, total + (rest - low), high + low)
    y = m.select(middle, near + (near_low - _excess(m, small)), far)
    return m.select(m.is_nan(x), x, y)
