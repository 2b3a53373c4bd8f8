"""The logistic function and its logarithms: sigmoid, softplus, log_expit, logaddexp; all are made of z = e⁻|ˣ|.

`together` has what is asked for at x and −x from one z; the bits are those of each function by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from payback.native.vector_math import coefficients as c
from payback.native.vector_math.exponential import LOWEST, decay, log_series
from payback.native.vector_math.lanes import Lanes, Maths

OF_ONE = ("sigmoid", "expit", "softplus", "log_expit")
_LOGISTIC = frozenset(OF_ONE[:2])


class Decay(NamedTuple):
    """z = e⁻|ˣ| in two words, 1 + z in two words, and about 1/(1 + z)."""

    z: Lanes
    z_low: Lanes
    sum: Lanes
    rest: Lanes
    inverse: Lanes


def _decay(m: Maths, x: Lanes) -> Decay:
    z, z_low = decay(m, -m.abs(x))
    under, rest = m.fast_two_sum(m.number(1.0), z)
    return Decay(z, z_low, under, rest + z_low, 1.0 / under)


def _both(m: Maths, x: Lanes, d: Decay | None = None) -> tuple[Lanes, Lanes]:
    """Of −|x| and |x|: z/(1 + z), which is ½ at most, so that 1 minus it is as good."""
    d = d or _decay(m, x)
    q = d.z * d.inverse
    smaller = m.mad(m.mad(-q, d.rest, m.mad(-q, d.sum, d.z) + d.z_low), d.inverse, q)
    return smaller, 1.0 - smaller


class _Power(NamedTuple):
    """e⁻ˣ = 2ⁱ·e⁻ʳ of float32 with e⁻ʳ = 1 − r + z·(even − r·odd), z = r²; the integer is 2·bias more."""

    i: Lanes
    r: Lanes
    z: Lanes
    even: Lanes
    odd: Lanes


def _power(m: Maths, x: Lanes) -> _Power:
    x = m.at_least(m.at_most(x, -LOWEST[32]), LOWEST[32])
    first, second = c.LN2[32]
    n, i = m.nearest_multiple(x, -c.LOG2_E[32][0], 2 * m.bias)
    r = m.mad(n, second, m.mad(n, first, x))
    z, series = r * r, c.EXP[32]
    even, odd = (m.polynomial(z, {m.goal: series[start::2]}) for start in (0, 1))
    return _Power(i, r, z, even, odd)


def _of_power(m: Maths, p: _Power, turned: bool = False) -> Lanes:
    """1/(1 + 2ⁱ·(1 + t)) of x, or of −x, as 2⁻ʰ/(2⁻ʰ + 2ⁱ⁻ʰ·(1 + t)), whose parts are in range for h about i/2."""
    i, r = (4 * m.bias - p.i, -p.r) if turned else (p.i, p.r)
    t = m.mad(p.z, m.mad(-r, p.odd, p.even), -r)
    half = i >> 1
    one, scale = m.exponent(2 * m.bias - half), m.exponent(i - half)
    less = scale < one
    return one / (m.mad(t, scale, m.select(less, scale, one)) + m.select(less, one, scale))


def sigmoid(m: Maths, x: Lanes) -> Lanes:
    """1/(1 + e⁻ˣ); in float64 by z, z/(1 + z) or 1 minus that."""
    if not m.double:
        return _of_power(m, _power(m, x))
    return m.select(x < 0.0, *_both(m, x))


def expit(m: Maths, x: Lanes) -> Lanes:
    """SciPy's name."""
    return sigmoid(m, x)


def softplus(m: Maths, x: Lanes) -> Lanes:
    """log(1 + eˣ) = max(x, 0) + log(1 + z)."""
    return _plus_log(m, m.at_least(x, 0.0), _decay(m, x))


def log_expit(m: Maths, x: Lanes) -> Lanes:
    """log(1/(1 + e⁻ˣ))."""
    return -softplus(m, -x)


def logaddexp(m: Maths, a: Lanes, b: Lanes) -> Lanes:
    """log(eᵃ + eᵇ) = max + log(1 + e^(min − max)).

    Where the two terms cancel, for results near 0, the error is in units of the larger operand, as in NumPy.
    """
    x, x_low = m.two_sum(a, -b)
    return _of_both(m, a, b, x, x_low, _decay(m, x))


def _of_both(m: Maths, a: Lanes, b: Lanes, x: Lanes, x_low: Lanes, d: Decay) -> Lanes:
    """logaddexp, with a − b in two words and the z of the first."""
    less = a < b
    low = m.select(m.abs(x) < -LOWEST[m.width], m.select(less, x_low, -x_low), 0.0)
    z_low = m.mad(d.z, low, d.z_low)
    exact = d._replace(z_low=z_low, rest=d.rest + (z_low - d.z_low))
    return _plus_log(m, m.select(less, b, a), exact, a == b)


def _plus_log(m: Maths, top: Lanes, d: Decay, equal: Lanes | None = None) -> Lanes:
    """top + log(1 + z), where the largest terms are added without error; where it is infinite and `equal`, top."""
    twice = d.sum > 2.0**0.5  # 1 + z is 2ⁿ·(1 + f), with 1 + f between √½ and √2
    f = m.select(twice, 0.5 * d.sum - 1.0, d.z)
    missing = m.select(twice, d.rest, d.z_low)
    first, second = (m.select(twice, word, 0.0) for word in c.LN2[m.width])
    half, series = log_series(m, f)
    log, error = m.fast_two_sum(first, f)
    total, lost = m.two_sum(top, log)
    rest = m.mad(missing, d.inverse, second + series) - half
    far = top + d.z
    if equal is not None:
        far = m.select(equal, top, far)
    return m.select(m.abs(top) < float("inf"), total + ((error + lost) + rest), far)


def together(m: Maths, wanted: Sequence[str], operands: Sequence[Lanes]) -> list[Lanes]:
    """Functions of x = the operand, or of the difference of two: "sigmoid", "-sigmoid" (of −x), …, and logaddexp."""
    if len(operands) == 2:
        a, b = operands
        x, x_low = m.two_sum(a, -b)
    else:
        (x,) = operands
    names = [each.lstrip("-") for each in wanted]
    d = _decay(m, x) if m.double or not _LOGISTIC.issuperset(names) else None
    logistic = _LOGISTIC.intersection(names)
    both = _both(m, x, d) if logistic and m.double else None
    power = _power(m, x) if logistic and not m.double else None
    negative, made = x < 0.0, []
    for each, name in zip(wanted, names, strict=True):
        turned = each[0] == "-"
        if name == "logaddexp":
            made.append(_of_both(m, a, b, x, x_low, d))
        elif name in _LOGISTIC and power is not None:
            made.append(_of_power(m, power, turned))
        elif name in _LOGISTIC:
            made.append(m.select(negative, *(both[::-1] if turned else both)))
        elif name == "softplus":
            made.append(_plus_log(m, m.at_least(-x if turned else x, 0.0), d))
        else:
            made.append(-_plus_log(m, m.at_least(x if turned else -x, 0.0), d))
    return made
