"""tanh, sinh, cosh, by eˣ in two words."""

from __future__ import annotations

from payback.native.vector_math.exponential import half_expm1_words
from payback.native.vector_math.lanes import Lanes, Maths


def tanh(m: Maths, x: Lanes) -> Lanes:
    """t/(t + 1) with t = (e²ˣ − 1)/2, for |x|."""
    size = m.at_most(m.abs(x), m.choose(22.0, 10.0))
    t, t_low = half_expm1_words(m, 2.0 * size)
    under, rest = m.two_sum(m.number(1.0), t)
    inverse = 1.0 / under
    q = t * inverse
    missing = m.mad(-q, under, t) + (t_low - q * (rest + t_low))
    return m.copysign(m.mad(missing, inverse, q), x)
