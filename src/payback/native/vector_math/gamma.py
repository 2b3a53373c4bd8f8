"""The logarithm of the gamma function and its derivatives: gammaln, digamma, trigamma.

From 3 on (trigamma: from 2 on) by Stirling's series, whose rest is a polynomial in 1/x²; below, moved to [1, 2] by
Γ(x + 1) = x·Γ(x), with a polynomial that has the zeros there as factors.  Negative numbers are reflected, behind a
branch.  Near the zeros among those the error is one in units of the two terms that cancel, as it is in SciPy.
"""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.exponential import log, log_series, significand, wide_log
from payback.native.vector_math.lanes import Lanes, Maths, rounded_single

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def _moved(m: Maths, z: Lanes, size: Lanes, more: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """For z = size − more + 1, without error from there: whether z < 3, r − 1, s and a factor.

    r = z + 1, z or z − 1 lies in [1, 2], and Γ(z) is Γ(r) times the factor to the power of s, which is −1, 0 or 1.
    Where z is large, the factor is z.
    """
    less, large, small = z < 1.0, z > 2.0, z < 3.0
    sign = m.select(less, -1.0, m.select(large, 1.0, 0.0))
    moved = size - (sign + more)
    return small, moved, sign, m.select(small, m.select(less, z, m.select(large, moved + 1.0, 1.0)), z)


def gammaln(m: Maths, x: Lanes) -> Lanes:
    """log |Γ(x)| = ½·(r − 1)·(r − 2)·(1 + …) + s·log(factor), or (x − ½)·(log x − 1) + ½·log 2π − ½ + …/x."""
    z = m.abs(x)
    small, moved, sign, factor = _moved(m, z, z, m.number(1.0))
    log_high, log_low = wide_log(m, factor)
    log_high, less = m.fast_two_sum(log_high, m.select(small, 0.0, -1.0))
    log_low = log_low + less
    weight = m.select(small, sign, z - 0.5)
    main, rest = m.two_product(weight, log_high)
    rest = m.mad(weight, log_low, rest)
    product, product_low = m.two_product(moved, moved - 1.0)
    near = m.mad(product, m.polynomial(moved - 0.5, c.GAMMALN), 0.5 * product_low)
    inverse = 1.0 / z
    far = inverse * m.polynomial(inverse * inverse, c.GAMMALN_TAIL)
    total, error = m.two_sum(main, m.select(small, 0.5 * product, HALF_LOG_2PI - 0.5))
    y = total + (error + (rest + m.select(small, near, far)))
    y = m.select(x == 0.0, math.inf, m.select(main < math.inf, y, main))

    def reflected() -> Lanes:  # Γ(x)·Γ(−x) = −π/(x·sin πx)
        turned = x - m.rint(x)
        size, square = m.abs(turned), turned * turned
        sine = m.mad(size * square, m.polynomial(square, c.SINE), size)
        made = m.select(sine == 0.0, math.inf, -log(m, z * sine) - y)
        made = m.select(z < m.choose(2.0**-60, 2.0**-30), y, made)
        return m.select(x == -math.inf, x, made)  # SciPy's

    return m.where_any(x < 0.0, reflected, y)


def digamma(m: Maths, x: Lanes) -> Lanes:
    """(r − x₀)·(1 + …) + s/factor, where x₀ is the zero; or log x − 1/(2x) − …/x²."""
    negative, size = x < 0.0, m.abs(x)
    z = m.select(negative, 1.0 + size, size)
    small, moved, sign, factor = _moved(m, z, size, m.select(negative, 0.0, 1.0))
    inverse = 1.0 / factor
    first, second = c.DIGAMMA_ZERO[m.width]
    apart, apart_low = m.two_sum(moved, m.number(-first))
    apart_low = apart_low - second
    series = m.polynomial(moved - 0.5, c.DIGAMMA)
    total, error = m.two_sum(sign * inverse, apart)
    error = m.mad(sign * inverse, m.fma(-inverse, factor, 1.0), error)
    near = total + (error + m.mad(apart, series, m.mad(apart_low, series, apart_low)))
    n, f = significand(m, z)
    half, log_part = log_series(m, f)
    first, second = c.LN2[m.width]
    square = inverse * inverse
    rest = m.mad(square, m.polynomial(square, c.DIGAMMA_TAIL), 0.5 * inverse)
    far = m.mad(n, first, f - ((half + rest) - m.mad(n, second, log_part)))
    y = m.select(small, near, m.select(z < math.inf, far, z))

    def reflected() -> Lanes:  # ψ(x) = ψ(1 − x) − π/tan πx
        turned = x - m.rint(x)
        twice, square, pole = 2.0 * m.abs(turned), turned * turned, 1.0 / turned
        falling = (1.0 - twice) * (1.0 + twice)
        quotient = falling * pole
        rest = m.mad(quotient, square * m.polynomial(square, c.COT), m.fma(-quotient, turned, falling) * pole)
        total, error = m.two_sum(-quotient, y)
        return m.select(turned == 0.0, math.nan, total + (error - rest))

    tiny = m.abs(x) < m.choose(2.0**-60, 2.0**-30)
    return m.select(tiny, -1.0 / x, m.where_any(x < 0.0, reflected, y))


def trigamma(m: Maths, x: Lanes) -> Lanes:
    """1/x² + 1/(x + 1)² + ψ′(x + 2), and 1/x + 1/(2x²) + …/x³ where that is."""
    negative = x < 0.0
    z = m.select(negative, 1.0 - x, x)
    small = z < 2.0
    inverse = 1.0 / m.select(small, z + 2.0, z)
    square = inverse * inverse
    far = square * m.mad(inverse, m.polynomial(square, c.TRIGAMMA_TAIL), 0.5)
    first, second = 1.0 / z, 1.0 / (z + 1.0)
    high, low = m.two_product(first, first)
    low = m.mad(high, 2.0 * m.fma(-first, z, 1.0), low)
    total, error = m.fast_two_sum(high, inverse)
    other = second * second
    other = m.mad(2.0 * other, m.mad(-second, z, 1.0 - second), other)
    near = total + (error + (other + (low + far)))
    near = m.select(high < math.inf, near, high)
    y = m.select(small, near, inverse + far)

    def reflected() -> Lanes:  # ψ′(x) = (π/sin πx)² − ψ′(1 − x)
        turned = x - m.rint(x)
        square, square_low = m.two_product(turned, turned)
        first, *others = c.SINE[m.width]
        p, p_low = m.fast_two_sum(m.number(first), square * m.polynomial(square, {m.goal: others}))
        p_low = p_low if m.double else p_low + (first - rounded_single(first))
        bent, bent_low = m.two_product(square, p)
        bent, low = m.fast_two_sum(m.number(1.0), bent)  # sin πx/(πx)
        sine, rest = m.two_product(turned, bent)
        rest = m.mad(turned, low + (bent_low + m.mad(square, p_low, square_low * p)), rest)
        pole = 1.0 / sine
        missing = m.mad(-pole, rest, m.fma(-pole, sine, 1.0))
        high, low = m.two_product(pole, pole)
        made = high + (m.mad(high, 2.0 * missing, low) - y)
        return m.select((high == math.inf) | (x == -math.inf), math.inf, made)

    return m.where_any(x < 0.0, reflected, y)
