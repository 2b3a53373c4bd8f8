"""sin, cos, tan and their inverses.

x = j·π/2 + r with |r| ≤ π/4, r in two words.  Up to 2²⁰ by three words of π/2 (Cody and Waite): a fused x − j·(first
word) is exact, since it is a small multiple of the unit that both have.  Beyond, `reduction` takes over.
"""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.lanes import Lanes, Maths, in_double
from payback.native.vector_math.reduction import far_reduced

FAR, SQRT2 = 2.0**20, math.sqrt(2.0)


def quarter_turns(m: Maths, x: Lanes, apart: bool = True) -> tuple[Lanes, Lanes, Lanes]:
    """j as an integer (right in its low bits), and x − j·π/2 in two words; float64 only.

    apart: whether the second is at most half an ulp of the first.  Else it may be more where that is tiny, and the
    first is there sooner: for sums that end in adding both.
    """
    first, second, third = c.HALF_PI[64]
    n, j = m.nearest_multiple(x, 2.0 / math.pi, 0)
    near = m.fma(n, -first, x)
    part, part_low = m.two_product(n, second)
    r, r_low = m.two_sum(near, -part)
    r_low = m.mad(n, -third, r_low - part_low)
    if apart:
        r, r_low = m.fast_two_sum(r, r_low)
    far = m.abs(x) > FAR
    return far_reduced(m, x, far, (j, r, r_low))


def sin_near_zero(m: Maths, r: Lanes, r_low: Lanes) -> tuple[Lanes, Lanes]:
    """sin(r + r_low) in two words, |r| ≤ π/4."""
    z = r * r
    return r, m.mad(z * r, m.polynomial(z, c.SIN), m.mad(-0.5 * z, r_low, r_low))


def cos_near_zero(m: Maths, r: Lanes, r_low: Lanes) -> tuple[Lanes, Lanes]:
    z = r * r
    high, low = m.fast_two_sum(m.number(1.0), -0.5 * z)
    return high, m.mad(z * z, m.polynomial(z, c.COS), m.mad(-r, r_low, low))  # r²/2 may be wrong by 2⁻⁵⁵


def _turned(m: Maths, x: Lanes, quarters: int) -> Lanes:
    """sin(x + quarters·π/2)."""
    if not m.double:
        return _turned_single(m, x, quarters)
    j, r, r_low = quarter_turns(m, x, apart=False)
    j = j + quarters
    sine, cosine = (high + low for high, low in (sin_near_zero(m, r, r_low), cos_near_zero(m, r, r_low)))
    y = m.select((j & 1) == 0, sine, cosine)
    return m.float(m.bits(y) ^ ((j & 2) << 62))


def _turned_single(m: Maths, x: Lanes, quarters: int) -> Lanes:
    """The same in float64: x = (2k + quarters)·π/2 + r with |r| ≤ π/2."""
    wide = m.doubled()
    w = wide.extended(x)
    first, second, _ = c.HALF_PI[64]
    n, k = wide.nearest(wide.mad(w, 1.0 / math.pi, -0.5 * quarters))
    turns = 2.0 * n + float(quarters)
    r = wide.mad(turns, -second, wide.fma(turns, -first, w))
    k, r, _ = far_reduced(wide, w, wide.abs(w) > FAR, (k, r, r), quarters)
    z = r * r
    y = wide.mad(z * r, wide.polynomial(z, c.SIN_OF_HALF_TURN), r)
    y = wide.float(wide.bits(y) ^ ((k + quarters) << 63))
    return m.shortened(y)


def sin(m: Maths, x: Lanes) -> Lanes:
    return m.select(x == 0.0, x, _turned(m, x, 0))


def cos(m: Maths, x: Lanes) -> Lanes:
    return _turned(m, x, 1)


@in_double
def tan(m: Maths, x: Lanes) -> Lanes:
    """The quotient of sine and cosine, each in two words."""
    j, r, r_low = quarter_turns(m, x)
    sine, cosine = sin_near_zero(m, r, r_low), cos_near_zero(m, r, r_low)
    even = (j & 1) == 0
    if m.goal == 32:
        (sine, sine_low), (cosine, cosine_low) = sine, cosine
        sine, cosine = sine + sine_low, cosine + cosine_low
        y = m.select(even, sine, -cosine) / m.select(even, cosine, sine)
        return m.select(x == 0.0, x, y)
    sine = m.fast_two_sum(*sine)
    _, square_low = m.two_product(r, r)
    cosine = m.fast_two_sum(cosine[0], m.mad(square_low, -0.5, cosine[1]))
    over, over_low = (m.select(even, a, -b) for a, b in zip(sine, cosine, strict=True))
    under, under_low = (m.select(even, a, b) for a, b in zip(cosine, sine, strict=True))
    inverse = 1.0 / under
    q = over * inverse
    y = m.mad(m.fma(-q, under, over) + m.mad(-q, under_low, over_low), inverse, q)
    return m.select(x == 0.0, x, y)


def arctan(m: Maths, x: Lanes) -> Lanes:
    """arctan a = base + arctan t with |t| ≤ √2 − 1: t = a, (a − 1)/(a + 1) or −1/a; base 0, π/4 or π/2."""
    size = m.at_most(m.abs(x), m.choose(2.0**100, 2.0**40))
    middle, large = size > SQRT2 - 1.0, size > SQRT2 + 1.0
    less, less_low = m.two_sum(size, m.number(-1.0))
    more, more_low = m.two_sum(size, m.number(1.0))
    zero = m.number(0.0)
    over, over_low = m.select(large, -1.0, m.select(middle, less, size)), m.select(middle, less_low, zero)
    under, under_low = m.select(large, size, m.select(middle, more, 1.0)), m.select(middle, more_low, zero)
    over_low, under_low = m.select(large, zero, over_low), m.select(large, zero, under_low)
    quarters = m.select(large, 2.0, m.select(middle, 1.0, 0.0))
    return m.copysign(_turned_by_quotient(m, quarters, (over, over_low), (under, under_low)), x)


def _turned_by_quotient(
    m: Maths, eighths: Lanes, over: tuple[Lanes, Lanes], under: tuple[Lanes, Lanes], sign: Lanes | None = None
) -> Lanes:
    """eighths·π/4 + arctan(over/under), or − where sign is negative."""
    inverse = 1.0 / under[0]
    t = over[0] * inverse
    t_low = (m.fma(-t, under[0], over[0]) + m.mad(-t, under[1], over[1])) * inverse
    z = t * t
    tail = m.mad(z * t, m.polynomial(z, c.ATAN), t_low)
    if sign is not None:
        t, tail = t * sign, tail * sign
    first, second, _ = (word / 2 for word in c.HALF_PI[m.width])
    base, base_low = m.two_product(eighths, first)
    total, rest = m.two_sum(base, t)
    return total + (rest + (tail + m.mad(eighths, second, base_low)))


def arctan2(m: Maths, y: Lanes, x: Lanes) -> Lanes:
    """The angle of the point (x, y): the quotient of the smaller and the larger coordinate, turned to its place."""
    height, width = m.abs(y), m.abs(x)
    swapped = height > width
    small, large = m.select(swapped, width, height), m.select(swapped, height, width)
    # an infinite coordinate hides the other, unless both are; 0 and 0 are told apart by their signs
    infinite = large == math.inf
    small = m.select(infinite, m.select(small == math.inf, 1.0, 0.0), small)
    large = m.select(infinite, 1.0, m.select(large == 0.0, 1.0, large))
    scale = m.select(large > m.choose(2.0**900, 2.0**100), m.choose(2.0**-120, 2.0**-50), 1.0)
    scale = m.select(large < m.choose(2.0**700, 2.0**60), m.choose(2.0**120, 2.0**50), scale)
    small, large = small * scale, large * scale
    middle = small > (SQRT2 - 1.0) * large
    zero = m.number(0.0)
    less, less_low = m.two_sum(small, -large)
    more, more_low = m.two_sum(small, large)
    over = (m.select(middle, less, small), m.select(middle, less_low, zero))
    under = (m.select(middle, more, large), m.select(middle, more_low, zero))
    eighths, left = m.select(middle, 1.0, 0.0), m.negative(x)
    sign = m.select(swapped ^ left, -1.0, 1.0)
    place = m.select(swapped, 2.0, m.select(left, 4.0, 0.0))
    angle = _turned_by_quotient(m, m.mad(sign, eighths, place), over, under, sign)
    return m.select(m.is_nan(x, y), math.nan, m.copysign(angle, y))


def _half_angle(m: Maths, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Whether |x| > ½, and arcsin s in two words for s = √((1 − |x|)/2) if so, else s = |x|."""
    size = m.abs(x)
    large = size > 0.5
    z = m.select(large, 0.5 - 0.5 * size, size * size)
    root = m.sqrt(z)
    s = m.select(large, root, size)
    lost = m.select(large & (root > 0.0), m.fma(-root, root, z) * (0.5 / root), 0.0)
    return large, s, m.mad(s * z, m.polynomial(z, c.ASIN), lost)


def arcsin(m: Maths, x: Lanes) -> Lanes:
    large, s, s_low = _half_angle(m, x)
    first, second, _ = c.HALF_PI[m.width]
    total, rest = m.fast_two_sum(m.number(first), -2.0 * s)
    return m.copysign(m.select(large, total + (rest - m.mad(2.0, s_low, -second)), s + s_low), x)


def arccos(m: Maths, x: Lanes) -> Lanes:
    large, s, s_low = _half_angle(m, x)
    first, second, _ = c.HALF_PI[m.width]
    right, left = large & (x > 0.0), large & (x < 0.0)
    # π/2 − arcsin x, π − 2·arcsin s or 2·arcsin s
    factor = m.select(left, -2.0, m.select(right, 2.0, m.copysign(1.0, -x)))
    base = m.select(left, 2.0 * first, m.select(right, 0.0, first))
    base_low = m.select(left, 2.0 * second, m.select(right, 0.0, second))
    total, rest = m.two_sum(base, factor * s)
    return total + (rest + m.mad(factor, s_low, base_low))
