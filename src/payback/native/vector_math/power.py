"""power, cbrt and hypot."""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.exponential import normalized, significand
from payback.native.vector_math.lanes import Lanes, Maths, in_double

FAR = 2.0**66  # powers beyond are 0, 1 or ∞


def log2_words(m: Maths, x: Lanes) -> tuple[Lanes, Lanes]:
    """log₂ x in two words, relatively to 2⁻⁶⁴, for finite x > 0.

    log(1 + f) = s·(2 + z·(⅔ + z·P(z))) with s = f/(2 + f), z = s²; all but P in two words.
    """
    scaled, shift = normalized(m, x)
    n, f = significand(m, scaled)
    n = n + shift
    under, under_low = m.fast_two_sum(m.number(2.0), f)
    inverse = 1.0 / under
    s = f * inverse
    s_low = m.mad(-s, under_low, m.fma(-s, under, f)) * inverse
    z, z_low = m.two_product(s, s)
    z_low = m.mad(2.0 * s, s_low, z_low)
    factor, factor_low = c.TWO_THIRDS[m.width]
    inner, inner_low = m.fast_two_sum(m.number(factor), z * m.polynomial(z, c.LOG_TAIL))
    inner_low = inner_low + factor_low
    square, square_low = m.two_product(z, inner)
    square_low = m.mad(z, inner_low, m.mad(z_low, inner, square_low))
    outer, outer_low = m.fast_two_sum(m.number(2.0), square)
    outer_low = outer_low + square_low
    log, log_low = m.two_product(s, outer)
    log_low = m.mad(s, outer_low, m.mad(s_low, outer, log_low))
    factor, factor_low = c.LOG2_E[m.width]
    part, part_low = m.two_product(log, factor)
    part_low = m.mad(log, factor_low, m.mad(log_low, factor, part_low))
    high, low = m.two_sum(n, part)
    return m.fast_two_sum(high, low + part_low)


def _log2_short(m: Maths, x: Lanes) -> Lanes:
    """log₂ x in float64, to 2⁻³⁶: enough for a power in float32.  x was a float32 number, so it is not subnormal."""
    n, f = significand(m, x)
    s = f / (f + 2.0)
    z = s * s
    log = s * m.mad(z, m.mad(z, m.polynomial(z, c.LOG_TAIL), 2.0 / 3.0), 2.0)
    return m.mad(log, 1.0 / math.log(2.0), n)


def _bounded(m: Maths, x: Lanes, limit: float) -> Lanes:
    return m.at_least(m.at_most(x, limit), -limit)


def _power_of_size(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    """2^(y·log₂ x) for x ≥ 0: anything where y = 0 or an operand is NaN."""
    log, log_low = log2_words(m, x)
    log = m.select(x == 0.0, -math.inf, m.select(x == math.inf, math.inf, log))
    y = _bounded(m, y, FAR)
    exponent, low = m.two_product(y, log)
    low = m.select(m.abs(exponent) < 1100.0, m.mad(y, log_low, low), 0.0)
    exponent = _bounded(m, exponent, 1100.0)
    n, i = m.nearest(exponent)
    r, low = m.fast_two_sum(exponent - n, low)
    factor, factor_low = c.LN2_WORDS[m.width]
    part, part_low = m.two_product(r, factor)
    part_low = m.mad(r, factor_low, m.mad(low, factor, part_low))
    high, rest = m.fast_two_sum(m.number(1.0), part)
    return m.scaled(high + (rest + m.mad(r * r, m.polynomial(r, c.EXP2), part_low)), i)


def _power_of_size_single(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    """The same in float64 for float32, where one word is plenty."""
    wide = m.doubled()
    w = wide.extended(x)
    log = wide.select(x == 0.0, -math.inf, wide.select(x == math.inf, math.inf, _log2_short(wide, w)))
    exponent = _bounded(wide, _bounded(wide, wide.extended(y), FAR) * log, 300.0)
    n, i = wide.nearest(exponent)
    r = exponent - n
    value = wide.mad(r * r, wide.polynomial(r, c.EXP2), wide.mad(r, math.log(2.0), 1.0))
    return m.shortened(value * wide.power_of_two(i))


def power(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    """As in C99: 1 where x = 1 or y = 0, the sign of x for odd y, NaN for a negative number to a broken power."""
    size = m.abs(x)
    result = (_power_of_size if m.double else _power_of_size_single)(m, size, y)
    whole, half = m.rint(y) == y, 0.5 * y
    odd = whole & (m.rint(half) != half)
    result = m.select(m.negative(x) & odd, -result, result)
    no_number = (x < 0.0) & (x > -math.inf) & ~whole
    result = m.select(no_number | m.is_nan(x, y), math.nan, result)
    return m.select((x == 1.0) | (y == 0.0) | ((x == -1.0) & (m.abs(y) == math.inf)), 1.0, result)


@in_double
def cbrt(m: Maths, x: Lanes) -> Lanes:
    """x = 2^(3q)·b with b between 1 and 8: ∛b by a polynomial, a step of Halley's and one of Newton's method."""
    size = m.abs(x)
    scaled, shift = normalized(m, size)
    bits = m.bits(scaled)
    exponent = m.converted((bits >> m.mantissa) - m.bias) + shift
    fraction = m.float((bits & ((1 << m.mantissa) - 1)) | (m.bias << m.mantissa))
    q = m.floor((exponent + 0.5) * (1.0 / 3.0))
    left = m.mad(q, -3.0, exponent)
    first, second = left == 0.0, left == 1.0
    b = fraction * m.select(first, 1.0, m.select(second, 2.0, 4.0))
    turn = m.select(first, 1.0, m.select(second, c.CBRT_2[64][0], c.CBRT_4[64][0]))
    *rest, top = c.CBRT[64]
    guess = m.number(top)
    for coefficient in reversed(rest):
        guess = m.mad(guess, fraction, coefficient)
    t = guess * turn
    cube = t * t * t
    t = t * ((cube + 2.0 * b) / (2.0 * cube + b))
    if m.goal == 64:
        square, square_low = m.two_product(t, t)
        t = t - m.mad(square_low, t, m.fma(square, t, -b)) / (3.0 * square)
    y = m.copysign(t * m.power_of_two(m.nearest(q)[1]), x)
    return m.select((size > 0.0) & (size < math.inf), y, x)


@in_double
def hypot(m: Maths, x: Lanes, y: Lanes) -> Lanes:
    """√(x² + y²), the squares in two words; scaled where they would overflow or vanish."""
    a, b = m.abs(x), m.abs(y)
    large, small = m.select(a < b, b, a), m.select(a < b, a, b)
    infinite = (a == math.inf) | (b == math.inf)
    if m.goal == 32:
        return m.select(infinite, math.inf, m.sqrt(m.mad(large, large, small * small)))
    up, down = large < 2.0**-450, large > 2.0**500
    scale, back = (m.select(up, u, m.select(down, d, 1.0)) for u, d in ((2.0**600, 2.0**-600), (2.0**-600, 2.0**600)))
    large, small = large * scale, small * scale
    square, square_low = m.two_product(large, large)
    other, other_low = m.two_product(small, small)
    total, rest = m.fast_two_sum(square, other)
    root = m.sqrt(total)
    missing = m.fma(-root, root, total) + (rest + (square_low + other_low))
    root = m.select(root > 0.0, m.mad(missing, 0.5 / root, root), root)
    return m.select(infinite, math.inf, root * back)
