"""fmod, and mod and floor_divide with the signs of Python and NumPy: in NumPy's steps, with NumPy's bits."""

from __future__ import annotations

import math

from payback.native.vector_math.lanes import Lanes, Maths


def fmod(m: Maths, a: Lanes, b: Lanes) -> Lanes:
    """a − trunc(a/b)·b, exact: by one fused product where the quotient is an exact integer, else by the C library."""
    size, unit = m.abs(a), m.abs(b)
    quotient = size / unit
    r = m.fma(-m.trunc(quotient), unit, size)
    r = m.select(r < 0.0, r + unit, r)  # the quotient was rounded up to an integer
    quick = (quotient < 2.0**m.mantissa) & (unit < math.inf)
    builder, before = m.b, m.b.block
    slowly, after = builder.append_basic_block("slow"), builder.append_basic_block("remainder")
    builder.cbranch(m.any(~quick), slowly, after)
    builder.position_at_end(slowly)
    slow = m.select(quick, r, m.lanes(builder.frem(size.v, unit.v)))
    builder.branch(after)
    builder.position_at_end(after)
    phi = builder.phi(m.kind)
    phi.add_incoming(r.v, before)
    phi.add_incoming(slow.v, slowly)
    return m.copysign(m.lanes(phi), a)


def mod(m: Maths, a: Lanes, b: Lanes) -> Lanes:
    r = fmod(m, a, b)
    turned = m.select((b < 0.0) ^ (r < 0.0), r + b, r)
    return m.select(b == 0.0, math.nan, m.select(r == 0.0, m.copysign(0.0, b), turned))


def floor_divide(m: Maths, a: Lanes, b: Lanes) -> Lanes:
    r = fmod(m, a, b)
    quotient = (a - r) / b
    quotient = m.select((r != 0.0) & ((b < 0.0) ^ (r < 0.0)), quotient - 1.0, quotient)
    whole = m.floor(quotient)
    whole = m.select(quotient - whole > 0.5, whole + 1.0, whole)
    whole = m.select(quotient == 0.0, m.copysign(0.0, a / b), whole)
    return m.select(b == 0.0, a / b, whole)
