"""sin, cos, tan.

x = j·π/2 + r with |r| ≤ π/4, r in two words.  Up to 2²⁰ by three words of π/2 (Cody and Waite): x − j·(first word) is exact
with one rounding, since it is a small multiple of the unit that both have.  Beyond, `reduction` takes over.
"""

from __future__ import annotations

import math

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.lanes import Lanes, Maths
from payback.native.vector_math.reduction import far_reduced

FAR = 2.0**20


def quarter_turns(m: Maths, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """j as an integer (right in its low bits), and x − j·π/2 in two words; float64 only."""
    first, second, third = c.HALF_PI[64]
    n, j = m.nearest(x * (2.0 / math.pi))
    near = m.fma(n, -first, x)
    part, part_low = m.two_product(n, second)
    r, r_low = m.two_sum(near, -part)
    r_low = m.mad(n, -third, r_low - part_low)
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
    # the square's own rounding is at most 2⁻⁵⁵
    return high, low + m.mad(z * z, m.polynomial(z, c.COS), -r * r_low)


def _turned(m: Maths, x: Lanes, quarters: int) -> Lanes:
    """sin(x + quarters·π/2)."""
    if not m.double:
        return _turned_single(m, x, quarters)
    j, r, r_low = quarter_turns(m, x)
    j = j + quarters
    sine, cosine = (high + low for high, low in (sin_near_zero(m, r, r_low), cos_near_zero(m, r, r_low)))
    y = m.select((j & 1) == 0, sine, cosine)
    return m.float(m.bits(y) ^ ((j & 2) << 62))


def _turned_single(m: Maths, x: Lanes, quarters: int) -> Lanes:
    """The same in float64: x = j·π/2 + r with |r| ≤ π/2 and j even for the sine, odd for the cosine."""
    wide = m.doubled()
    w = wide.extended(x)
    first, second, third = c.HALF_PI[64]
    n, k = wide.nearest(w * (1.0 / math.pi) - 0.5 * quarters)
    turns = 2.0 * n + float(quarters)
    r = wide.mad(turns, -second, wide.fma(turns, -first, w))
    k, r, _ = far_reduced(wide, w, wide.abs(w) > FAR, (k, r, r), quarters)
    z = r * r
    y = wide.mad(z * r, wide.polynomial(z, c.SIN_OF_HALF_TURN), r)
    y = wide.float(wide.bits(y) ^ (k << 63))
    return m.lanes(wide.shortened(y).v)


def sin(m: Maths, x: Lanes) -> Lanes:
    return m.select(x == 0.0, x, _turned(m, x, 0))


def cos(m: Maths, x: Lanes) -> Lanes:
    return _turned(m, x, 1)
