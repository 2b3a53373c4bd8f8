"""exp, log and what is made of them: bases 2 and 10, expm1, log1p.

exp: x = n·ln 2 + r with |r| ≤ ½·ln 2 (Cody and Waite), eʳ by a polynomial, times 2ⁿ in two exact steps so that
subnormal numbers are rounded once.  log: x = 2ᵏ·(1 + f) with 1 + f between √½ and √2; log(1 + f) = 2·artanh s with
s = f/(2 + f) is arranged as f − (f²/2 − s·(f²/2 + …)), the way of fdlibm, so that the leading term is exact.
"""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.lanes import Lanes, Maths

# Beyond them exp overflows, or is less than half of the smallest subnormal number.
HIGHEST = {32: 89.0, 64: 710.0}
LOWEST = {32: -104.0, 64: -746.0}


def reduced(m: Maths, x: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """n as a number and as an integer, and x − n·ln 2 in two words."""
    high, low = c.LN2[m.width]
    n, i = m.nearest_multiple(x, c.LOG2_E[m.width][0], 0)
    first = m.mad(n, -high, x)  # exact: the product is, and the difference is a smaller multiple of the same unit
    r = m.mad(n, -low, first)
    return n, i, r, m.mad(n, -low, first - r)


def exp(m: Maths, x: Lanes) -> Lanes:
    x = within_range(m, x)
    first, second = c.LN2[m.width]
    n, i = m.nearest_multiple(x, c.LOG2_E[m.width][0], 2 * m.bias)
    r = m.mad(n, -second, m.mad(n, -first, x))
    t = m.mad(r * r, m.polynomial(r, c.EXP), r)
    half = i >> 1
    scale = m.exponent(half)
    return m.mad(t, scale, scale) * m.exponent(i - half)


def within_range(m: Maths, x: Lanes) -> Lanes:
    return m.at_least(m.at_most(x, HIGHEST[m.width]), LOWEST[m.width])


def exp_words(m: Maths, x: Lanes, x_low: Lanes | None = None) -> tuple[Lanes, Lanes, Lanes]:
    """exp(x + x_low) as 2ⁱ·(high + low): i, high, low."""
    _, i, r, r_low = reduced(m, x)
    if x_low is not None:
        r, r_low = m.fast_two_sum(r, r_low + x_low)
    high, low = m.fast_two_sum(m.number(1.0), r)
    return i, *m.fast_two_sum(high, low + m.mad(r * r, m.polynomial(r, c.EXP), r_low))


def exp2(m: Maths, x: Lanes) -> Lanes:
    x = m.at_least(m.at_most(x, m.bias + 1.0), -1.0 - m.bias - m.mantissa)
    n, i = m.nearest(x)
    r = x - n
    high, low = m.fast_two_sum(m.number(1.0), r * math.log(2.0))
    return m.scaled(high + m.mad(r * r, m.polynomial(r, c.EXP2), low), i)


def half_expm1_words(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """(eˣ − 1)/2 in two words."""
    _, i, r, r_low = reduced(m, x)
    scale = m.power_of_two(i - 1)
    tail = m.mad(r * r, m.polynomial(r, c.EXP), r_low)
    whole = scale - 0.5  # 0, or larger than what is added
    high, low = m.fast_two_sum(whole, scale * r)
    lost = (scale - whole) - 0.5
    return m.fast_two_sum(high, m.mad(scale, tail, low + lost))


def expm1(m: Maths, x: Lanes) -> Lanes:
    high, low = half_expm1_words(m, m.at_least(m.at_most(x, HIGHEST[m.width]), m.choose(-40.0, -20.0)))
    tiny = m.abs(x) < m.choose(2.0**-60, 2.0**-30)  # subnormal numbers and −0 too
    return m.select(tiny, x, 2.0 * (high + low))


def significand(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """k as a number and f with x = 2ᵏ·(1 + f), 1 + f between √½ and √2, for normal x > 0."""
    root = m.choose(0x3FE6A09E667F3BCD, 0x3F3504F3)
    shifted = m.bits(x) + ((m.bias << m.mantissa) - root)  # by a multiple of the exponent's unit more: not below 0
    inside = m.float((shifted & ((1 << m.mantissa) - 1)) + root)
    return m.converted(shifted >> m.mantissa, m.bias), inside - 1.0


def normalized(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """A subnormal number scaled up, and by how much it was: 0, or minus the exponent."""
    small = x < m.smallest
    up = float(m.mantissa + 1)
    return m.select(small, x * 2.0**up, x), m.select(small, m.number(-up), m.number(0.0))


def log_series(m: Maths, f: Lanes) -> tuple[Lanes, Lanes]:
    """f²/2, and s·(f²/2 + R): log(1 + f) = f − (f²/2 − s·(f²/2 + R))."""
    s = f / (f + 2.0)
    z = s * s
    half = 0.5 * f * f
    return half, s * m.mad(z, m.polynomial(z, c.LOG), half)


def guarded_log(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    """y, but ∞ at ∞, −∞ at 0 and NaN below."""
    edge = m.select(x == 0.0, -math.inf, math.nan)
    return m.select(x > 0.0, m.select(x < math.inf, y, x), edge)


def log(m: Maths, x: Lanes) -> Lanes:
    scaled, shift = normalized(m, x)
    n, f = significand(m, scaled)
    n = n + shift
    high, low = c.LN2[m.width]
    half, series = log_series(m, f)
    return guarded_log(m, x, m.mad(n, high, f - (half - m.mad(n, low, series))))


def log_words(m: Maths, f: Lanes) -> tuple[Lanes, Lanes]:
    """log(1 + f) in two words, for 1 + f between √½ and √2: some eight bits more than one."""
    half, series = log_series(m, f)
    high, low = m.fast_two_sum(f, -half)
    return m.fast_two_sum(high, (low + series) - 0.5 * m.fma(f, f, -2.0 * half))


def wide_log(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """log x in two words, for finite x > 0."""
    scaled, shift = normalized(m, x)
    n, f = significand(m, scaled)
    n = n + shift
    high, low = log_words(m, f)
    first, second = c.LN2[m.width]
    high, error = m.fast_two_sum(n * first, high)
    return m.fast_two_sum(high, m.mad(n, second, error + low))


def log_of_product(m: Maths, x: Lanes, more: Lanes, powers: Lanes | float = 0.0) -> Lanes:
    """log(x·(1 + more)·2^powers) for normal x > 0 and a tiny `more`: what the rounding of x has lost."""
    n, f = significand(m, x)
    n = n + powers
    half, series = log_series(m, f)
    high, low = c.LN2[m.width]
    return m.mad(n, high, f - (half - (m.mad(n, low, series) + more)))


def _log_in_base(m: Maths, x: Lanes, factor: tuple[float, float], step: tuple[float, float] | None) -> Lanes:
    """log x · factor with step = ln 2 · factor, both in two words (no step: 1)."""
    scaled, shift = normalized(m, x)
    n, f = significand(m, scaled)
    n = n + shift
    high, low = log_words(m, f)
    product, rest = m.two_product(high, factor[0])
    rest = m.mad(high, factor[1], m.mad(low, factor[0], rest))
    whole = n if step is None else n * step[0]
    rest = rest if step is None else m.mad(n, step[1], rest)
    total, error = m.two_sum(whole, product)
    return guarded_log(m, x, total + (error + rest))


def log2(m: Maths, x: Lanes) -> Lanes:
    return _log_in_base(m, x, c.LOG2_E[m.width], None)


def log10(m: Maths, x: Lanes) -> Lanes:
    return _log_in_base(m, x, c.LOG10_E[m.width], c.LOG10_2[m.width])


def log1p_of_words(m: Maths, x: Lanes, x_low: Lanes | None = None, more: Lanes | None = None) -> Lanes:
    """log(1 + x + x_low) + more·ln 2 for −1 < 1 + x < ∞, without the special cases."""
    n, f, rest = _log1p_terms(m, x, x_low, more)
    return m.mad(n, c.LN2[m.width][0], f - rest)


def _log1p_terms(m: Maths, x: Lanes, x_low: Lanes | None, more: Lanes | None) -> tuple[Lanes, Lanes, Lanes]:
    """n, f, rest: the logarithm is n·(first word of ln 2) + f − rest."""
    u, lost = m.two_sum(m.number(1.0), x)
    if x_low is not None:
        lost = lost + x_low
    n, f = significand(m, u)
    exact = n == 0.0  # then f is x itself
    f = m.select(exact, x, f)
    missing = m.select(exact, x_low if x_low is not None else m.number(0.0), lost)
    half, series = log_series(m, f)
    n = n if more is None else n + more
    return n, f, half - (m.mad(n, c.LN2[m.width][1], series) + missing / u)


def log1p(m: Maths, x: Lanes) -> Lanes:
    y = m.select(m.abs(x) < m.choose(2.0**-54, 2.0**-25), x, log1p_of_words(m, x))
    edge = m.select(x == -1.0, -math.inf, math.nan)
    return m.select(x > -1.0, m.select(x < math.inf, y, x), edge)


def decay(m: Maths, x: Lanes, x_low: Lanes | None = None) -> tuple[Lanes, Lanes]:
    """exp(x + x_low) in two words, for x ≤ 0."""
    i, high, low = exp_words(m, m.at_least(x, LOWEST[m.width]), x_low)
    return m.scaled(high, i), m.scaled(low, i)
