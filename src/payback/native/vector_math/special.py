"""erf, erfc, erfcx and erfinv, and the normal distribution's ndtr, log_ndtr and ndtri.

A polynomial up to 1 (erf) or ½, beyond exp(−x²)·G(t)/(1 + 2x) with t = (x − 3)/(x + 3).
"""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.exponential import LOWEST, decay, exp_words, log_of_product, wide_log
from payback.native.vector_math.lanes import Lanes, Maths, rounded_single


def _scaled(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """exp(x²)·erfc(x) in two words, ½ ≤ x < ∞."""
    t = (x - 3.0) / (x + 3.0)
    first, *rest = (0.5 * value for value in c.ERFC[m.width])
    slope = m.polynomial(t, {m.goal: rest})
    under, under_low = m.fast_two_sum(x, m.number(0.5))
    inverse = 1.0 / under
    value, value_low = m.fast_two_sum(m.number(first), t * slope)
    if not m.double:
        value_low = value_low + (first - rounded_single(first))
    q = value * inverse
    return q, (m.fma(-q, under, value) + m.mad(-q, under_low, value_low)) * inverse


def _tail(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """erfc(x) in two words, x ≥ ½."""
    x = m.at_least(m.at_most(x, m.choose(28.0, 11.0)), 0.5)
    square, square_low = m.two_product(x, x)
    return _times(m, decay(m, -square, -square_low), _scaled(m, x))


def _times(m: Maths, a: tuple[Lanes, Lanes], b: tuple[Lanes, Lanes]) -> tuple[Lanes, Lanes]:
    product, low = m.two_product(a[0], b[0])
    return product, low + m.mad(a[0], b[1], a[1] * b[0])


def _excess(m: Maths, x: Lanes) -> Lanes:
    """erf(x) − x, |x| ≤ 1."""
    return x * m.polynomial(x * x, c.ERF)


def _erf_single(m: Maths, x: Lanes) -> Lanes:
    """In float32 alone: 1 − exp(−y) with y = x·(1 + S(x)) by a polynomial S, for |x|."""
    size = m.at_most(m.abs(x), 4.0)
    y = m.mad(size, m.polynomial(size, c.LOG_ERFC), size)
    n, i = m.nearest_multiple(y, -c.LOG2_E[32][0], m.bias)
    r = m.mad(n, -c.LN2_WORDS[32][0], -y)  # what ln 2 is more counts for nothing beside 2ⁱ
    t, scale = m.mad(r * r, m.polynomial(r, c.EXP), r), m.exponent(i)
    return m.copysign(m.mad(-t, scale, 1.0 - scale), x)


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


def erfcx(m: Maths, x: Lanes) -> Lanes:
    """exp(x²)·erfc(x); for negative numbers 2·exp(x²) less that of −x."""
    size = m.abs(x)
    high, low = _scaled(m, m.at_least(m.select(size < math.inf, size, 1.0), 0.5))
    middle = (x < 0.5) & (x > -0.5)
    small = m.select(middle, x, 0.0)
    near, near_low = m.two_sum(m.number(1.0), -small)
    factor = m.select(middle, near, 2.0), m.select(middle, near_low - _excess(m, small), 0.0)
    below = m.at_most(size, m.choose(27.0, 9.5))
    square, square_low = m.two_product(below, below)
    i, *power = exp_words(m, square, square_low)
    product, product_low = _times(m, (power[0], power[1]), factor)
    total, error = m.two_sum(m.scaled(product, i), m.select(middle, 0.0, -high))
    left = m.select(total < math.inf, total + (error + (m.scaled(product_low, i) - m.select(middle, 0.0, low))), total)
    return m.select(x < 0.5, left, m.select(x < math.inf, high + low, 1.0 / x))


def _normal(m: Maths, x: Lanes) -> tuple[Lanes, tuple[Lanes, Lanes], tuple[Lanes, Lanes], tuple[Lanes, Lanes]]:
    """Of the normal distribution: whether |x| < √½, Φ(x) there, x²/2, and Φ(−|x|)·exp(x²/2) elsewhere; in two words."""
    size = m.abs(x)
    first, second = c.ROOT_HALF[m.width]
    s, s_low = m.two_product(size, first)
    s_low = m.mad(size, second, s_low)
    middle = s < 0.5
    small, small_low = (m.select(middle, m.copysign(1.0, x) * word, 0.0) for word in (s, s_low))
    high, low = m.fast_two_sum(m.number(0.5), 0.5 * small)
    near = m.fast_two_sum(high, m.mad(0.5, small_low + _excess(m, small), low))
    q, q_low = _scaled(m, m.at_least(m.at_most(s, m.choose(2.0**1000, 2.0**100)), 0.5))
    q_low = m.mad(s_low, m.mad(2.0 * s, q, -2.0 / math.sqrt(math.pi)), q_low)
    return middle, near, m.two_product(0.5 * size, size), (0.5 * q, 0.5 * q_low)


def ndtr(m: Maths, x: Lanes) -> Lanes:
    """½·erfc(−x/√2)."""
    middle, near, (half, half_low), scaled = _normal(m, m.at_least(m.at_most(x, 40.0), m.choose(-40.0, -15.0)))
    p, p_low = _times(m, decay(m, -half, -half_low), scaled)
    total, rest = m.fast_two_sum(m.number(1.0), -p)
    far = m.select(x > 0.0, total + (rest - p_low), p + p_low)
    return m.select(m.is_nan(x), x, m.select(middle, near[0] + near[1], far))


def log_ndtr(m: Maths, x: Lanes) -> Lanes:
    """log Φ(x): of 1 − Φ(−x), or log(Φ(x)·exp(x²/2)) − x²/2."""
    middle, near, (half, half_low), scaled = _normal(m, m.at_most(x, 40.0))
    p, p_low = _times(m, decay(m, -half, m.select(half < -LOWEST[m.width], -half_low, 0.0)), scaled)
    total, rest = m.fast_two_sum(m.number(1.0), -p)
    right, left = x > 0.0, ~middle & (x < 0.0)
    value = m.select(middle, near[0], m.select(right, total, scaled[0]))
    missing = m.select(middle, near[1], m.select(right, rest - p_low, scaled[1]))
    log = log_of_product(m, value, missing / value)
    far = m.select(half < math.inf, (log - half_low) - half, -math.inf)
    return m.select(m.is_nan(x), x, -m.abs(m.select(left, far, log)))


def _quantile(m: Maths, u: Lanes, q: Lanes, u_low: Lanes | None = None) -> tuple[Lanes, Lanes]:
    """Φ⁻¹(½ + u + u_low) in two words, with q = ½ − |u + u_low|.

    u·(√2π + …) up to 0.35, else r − H(r) with r = √(−2·log q).
    """
    middle = m.abs(u) < 0.35
    near = m.select(middle, u, 0.0)
    first, second = c.ROOT_2PI[m.width]
    high, low = m.two_product(near, first)
    square = near * near
    series = m.polynomial(square, c.QUANTILE)
    low = m.mad(near, m.mad(square, series, second), low)
    if u_low is not None:
        low = m.mad(u_low, m.mad(3.0 * square, series, first), low)
    log, log_low = wide_log(m, m.at_most(q, 0.25))
    double, double_low = -2.0 * log, -2.0 * log_low
    r = m.sqrt(double)
    r_low = (m.fma(-r, r, double) + double_low) * (0.5 / r)
    t = ((r - 4.0) + r_low) / m.mad(m.sqrt(r), 4.0, r + 4.0)  # (s − 2)/(s + 2) with s = √r
    first, *others = c.QUANTILE_TAIL[m.width]
    far, far_low = m.fast_two_sum(r, m.number(-first))
    if not m.double:
        far_low = far_low - (first - rounded_single(first))
    far, error = m.two_sum(far, -t * m.polynomial(t, {m.goal: others}))
    far, far_low = m.copysign(far, u), m.copysign(1.0, u) * (far_low + error + r_low)
    return m.select(middle, high, far), m.select(middle, low, far_low)


def ndtri(m: Maths, x: Lanes) -> Lanes:
    """The inverse of ndtr."""
    u, u_low = m.two_sum(x, m.number(-0.5))
    high, low = _quantile(m, u, m.select(x < 0.5, x, 1.0 - x), u_low)
    edge = m.select(x == 0.0, -math.inf, m.select(x == 1.0, math.inf, math.nan))
    return m.select((x > 0.0) & (x < 1.0), high + low, edge)


def erfinv(m: Maths, x: Lanes) -> Lanes:
    size = m.abs(x)
    high, low = _quantile(m, 0.5 * x, 0.5 - 0.5 * size)
    first, second = c.ROOT_HALF[m.width]
    y = m.mad(high, first, m.mad(high, second, low * first))
    y = m.select(size < m.choose(2.0**-60, 2.0**-30), x * (0.5 * math.sqrt(math.pi)), y)
    edge = m.select(size == 1.0, m.copysign(math.inf, x), math.nan)
    return m.select(size < 1.0, m.select(x == 0.0, 0.0, y), edge)  # 0 at −0 as in SciPy
