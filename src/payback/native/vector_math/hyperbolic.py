"""tanh by e⁻²ˣ, sinh and cosh by eˣ in two words, and their inverses by log(1 + x) of two words."""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.exponential import exp_words, log1p_of_words
from payback.native.vector_math.lanes import Lanes, Maths


def tanh(m: Maths, x: Lanes) -> Lanes:
    """(1 − z)/(1 + z) with z = e⁻²ˣ = 2ⁱ·(1 − 2t), for |x|: half of 1 ∓ z is (½ ∓ ½·2ⁱ) ± 2ⁱ·t, the brackets exact."""
    size = m.at_most(m.abs(x), m.choose(22.0, 10.0))
    n, i = m.nearest_multiple(size, -2.0 * c.LOG2_E[m.width][0], m.bias)
    r = m.mad(n, 0.5 * c.LN2_WORDS[m.width][0], size)  # what ln 2 is more counts for nothing beside 2ⁱ
    series = {m.goal: [(-2.0) ** (k + 1) * value for k, value in enumerate(c.EXP[m.goal])]}
    t, scale = m.mad(r * r, m.polynomial(r, series), r), m.exponent(i)
    less, more = m.mad(scale, -0.5, m.number(0.5)), m.mad(scale, 0.5, m.number(0.5))
    over, under = m.mad(t, scale, less), m.mad(-t, scale, more)
    y = over / under
    if m.double:  # what three roundings have lost; 1/under is about 1.2 where it matters
        lost = m.mad(t, scale, less - over) + m.mad(-y, under, over)
        y = m.mad(m.mad(-y, m.mad(-t, scale, more - under), lost), 1.2, y)
    return m.copysign(y, x)


def _both_exponentials(m: Maths, size: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """i, high, low, other: e^size = 2ⁱ·(high + low) and e^−size = 2ⁱ·other."""
    i, high, low = exp_words(m, m.at_most(size, m.choose(712.0, 91.0)))
    inverse = 1.0 / high
    inverse = m.mad(-low * inverse, inverse, inverse)
    few = m.select(size < 40.0, m.power_of_two(-2 * i), 0.0)  # beyond, e^−size is lost in e^size
    return i, high, low, inverse * few


def sinh(m: Maths, x: Lanes) -> Lanes:
    size = m.abs(x)
    i, high, low, other = _both_exponentials(m, size)
    total, rest = m.fast_two_sum(high, -other)
    large = m.scaled(total + (rest + low), i - 1)
    z = size * size
    small = m.mad(z * size, m.polynomial(z, c.SINH), size)
    return m.copysign(m.select(size < 1.0, small, large), x)


def cosh(m: Maths, x: Lanes) -> Lanes:
    i, high, low, other = _both_exponentials(m, m.abs(x))
    total, rest = m.two_sum(high, other)
    return m.scaled(total + (rest + low), i - 1)


def _log_of_1_and(m: Maths, size: Lanes, x: Lanes, x_low: Lanes) -> Lanes:
    """log(1 + x + x_low), but log(2·size) where size is so large that this is the same."""
    large = size > m.choose(2.0**28, 2.0**13)
    almost, lost = m.fast_two_sum(size, m.number(-1.0))
    x, x_low = m.select(large, almost, x), m.select(large, lost, x_low)
    return log1p_of_words(m, x, x_low, m.select(large, 1.0, 0.0))


def arcsinh(m: Maths, x: Lanes) -> Lanes:
    """log(1 + |x| + x²/(1 + √(1 + x²)))."""
    size = m.abs(x)
    z = size * size
    total, rest = m.fast_two_sum(size, z / (1.0 + m.sqrt(1.0 + z)))
    y = m.copysign(_log_of_1_and(m, size, total, rest), x)
    return m.select(size < math.inf, y, x)


def arccosh(m: Maths, x: Lanes) -> Lanes:
    """log(1 + t + √(t·(t + 2))) with t = x − 1."""
    t = x - 1.0
    square, square_low = m.two_product(t, t)
    z, z_low = m.two_sum(2.0 * t, square)
    root = m.sqrt(z)
    root_low = m.select(root > 0.0, (m.fma(-root, root, z) + (z_low + square_low)) * (0.5 / root), 0.0)
    total, rest = m.two_sum(t, root)
    y = _log_of_1_and(m, x, total, rest + root_low)
    return m.select(x >= 1.0, m.select(x < math.inf, y, x), math.nan)


def arctanh(m: Maths, x: Lanes) -> Lanes:
    """½·log(1 + 2x/(1 − x)), for |x|."""
    size = m.abs(x)
    under, under_low = m.fast_two_sum(m.number(1.0), -size)
    inverse, double = 1.0 / under, 2.0 * size
    q = double * inverse
    q_low = m.mad(-q, under_low, m.fma(-q, under, double)) * inverse
    y = 0.5 * log1p_of_words(m, q, q_low)
    edge = m.select(size == 1.0, math.inf, math.nan)
    return m.copysign(m.select(size < 1.0, y, edge), x)
