"""Incomplete gamma and beta functions, their inverses, Student's distribution; by the parameters, too.

The derivative of a probability ∫f by a parameter of f is ∫(∂ log f)·f.  As the other tail it is the same but for the
sign, and one of the two is taken in which ∂ log f has one sign, so nothing cancels; the integral is computed by the
double exponential rule (H. Takahasi & M. Mori 1974).  Second derivatives by two parameters are not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ops.special import scipy_special, special

Array = np.ndarray[Any, Any]
_STEP = 1 / 16
_NODES = np.arange(-3.75, 4.5, _STEP)
_AT = np.exp(_NODES - np.exp(-_NODES))
_WEIGHTS = _AT * (1 + np.exp(-_NODES)) * _STEP


def _tail(integrand: Callable[[Array], Array], scale: Array) -> Array:
    """∫ integrand(s) ds over s > 0, for an integrand that falls within about that scale."""
    total = np.zeros(np.shape(scale))
    for at, weight in zip(_AT, _WEIGHTS, strict=True):
        total += weight * integrand(at * scale)
    return total * scale


def _in_double(f: Callable[..., Array]) -> Callable[..., Any]:
    """Of floats and arrays of any floating dtype, without warnings; NaN where an argument is one or out of range."""

    def value(*args: Any) -> Any:
        dtype = np.result_type(*args, np.float32) if any(hasattr(x, "dtype") for x in args) else np.dtype(float)
        given = np.broadcast_arrays(*[np.asarray(x, float) for x in args])
        with np.errstate(all="ignore"):
            return f(*given).astype(dtype)[()]

    return value


@_in_double
def _gamma_by_shape(a: Array, x: Array) -> Array:
    """∂P(a, x)/∂a: in log t, from that of x on."""
    special, log_x = scipy_special(), np.log(x)
    raised = (a < 1) & (x < 1)  # P(a, x) = P(a + 1, x) + xᵃ·exp(−x)/Γ(a + 1)
    beside = np.exp(special.xlogy(a, x) - x - special.gammaln(a + 1)) * (log_x - special.psi(a + 1))
    a = np.where(raised, a + 1, a)
    center = special.psi(a)
    side = np.where(log_x <= center, -1.0, 1.0)
    # a·log x − x − log Γ(a); for large a by the distance from a, for the terms cancel
    shift = (x - a) / a
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / a**2) / a**2) / a**2) / a
    large = a * (np.log1p(shift) - shift) + 0.5 * np.log(a / (2 * np.pi)) - series
    height = np.where(a > 20, large, a * log_x - x - special.gammaln(a))

    def integrand(s: Array) -> Array:
        moved = side * s
        return (log_x + moved - center) * np.exp(height + a * moved - x * np.expm1(moved))

    scale = 1.0 / (1.0 / np.sqrt(special.polygamma(1, a)) + np.maximum(side * (x - a), 0.0))
    made = np.where(raised, beside, 0.0) - side * _tail(integrand, scale)
    return np.where((a > 0) & (x >= 0), np.where((x == 0) | (x == np.inf), 0.0, made), np.nan)


def _beta_by(first: bool) -> Callable[..., Any]:
    """∂I(a, b, x)/∂a, or ∂b: below x in log t, above it in log(1 − t)."""

    @_in_double
    def value(a: Array, b: Array, x: Array) -> Array:
        special, log_x, log_rest = scipy_special(), np.log(x), np.log1p(-x)
        inside = (a > 0) & (b > 0) & (x >= 0) & (x <= 1)
        # I(a, b, x) = I(a + 1, b, x) + C/a = I(a, b + 1, x) − C/b with C = xᵃ·(1 − x)ᵇ/B(a, b)
        low, high = (a < 1) & (x < np.minimum(0.5, 1 / b)), (b < 1) & (1 - x < np.minimum(0.5, 1 / a))
        size = np.where(low, 1 / a, np.where(high, -1 / b, 0.0))
        one, log_one = (np.where(low, a + 1, a), log_x) if first else (np.where(high, b + 1, b), log_rest)
        slope = log_one - special.psi(one) + special.psi(a + b)
        beside = size * slope * np.exp(special.xlogy(a, x) + special.xlog1py(b, -x) - special.betaln(a, b))
        a, b = np.where(low, a + 1, a), np.where(high, b + 1, b)

        center = special.psi(a if first else b) - special.psi(a + b)
        below = log_one <= center if first else log_one >= center
        near, far = np.where(below, a, b), np.where(below, b, a)  # the powers of what falls, and of the other
        fallen, other = np.where(below, log_x, log_rest), np.where(below, log_rest, log_x)
        share, inverse = np.where(below, x, 1 - x), np.exp(-other)
        looks = below if first else ~below  # whether the derivative of the density is by what falls
        norm = special.betaln(a, b)

        def integrand(s: Array) -> Array:
            falls, rest = fallen - s, other + np.log1p(-share * np.expm1(-s) * inverse)
            return (np.where(looks, falls, rest) - center) * np.exp(near * falls + (far - 1) * rest - norm)

        spread = np.sqrt(1 / near**2 + special.polygamma(1, near) - special.polygamma(1, a + b))
        scale = 1.0 / (1.0 / spread + np.maximum(near - (far - 1) * share * inverse, 0.0))
        made = np.where(size == 0, 0.0, beside) + np.where(below, 1.0, -1.0) * _tail(integrand, scale)
        return np.where(inside, np.where((x == 0) | (x == 1), 0.0, made), np.nan)

    return value


# densities ------------------------------------------------------------------------------------------------------


def _gamma_density(m: Any, a: Any, x: Any) -> Any:
    return m.exp(m.xlogy(a - 1.0, x) - x - m.gammaln(a))


def _beta_density(m: Any, a: Any, b: Any, x: Any) -> Any:
    return m.exp(m.xlogy(a - 1.0, x) + m.xlog1py(b - 1.0, -x) - m.betaln(a, b))


def _student_density(m: Any, df: Any, t: Any) -> Any:
    size = m.exp(m.gammaln((df + 1.0) * 0.5) - m.gammaln(df * 0.5) - (df + 1.0) * 0.5 * m.log1p(m.div(t * t, df)))
    return m.div(size, m.sqrt(df * math.pi))


def _student_by_df(m: Any, df: Any, t: Any, y: Any) -> Any:
    """Of ½ + ½·sign(t)·I(½, df/2, u) with u = t²/(df + t²) where t is small, else of ½·I(df/2, ½, 1 − u)."""
    square = t * t
    total, half = df + square, df * 0.5
    u, v = m.div(square, total), m.div(df, total)
    density = m.div(m.exp(m.xlogy(half - 1.0, v) + m.xlogy(0.5, u) - m.betaln(half, 0.5)), total)  # times dv/d(df)
    middle = (m.betainc_by_b(0.5, half, u) * 0.5 - density) * 0.5
    tail = (m.betainc_by_a(half, 0.5, v) * 0.5 + density) * -0.5
    return m.sign(t) * m.where(square < df, middle, tail)


# fmt: off
special("gammainc_by_a", "parameter twice",
        lambda m, a, x, y: _gamma_density(m, a, x) * (m.log(x) - m.digamma(a)), scipy=_gamma_by_shape,
        math="∂²/∂a∂x: density·(log x − ψ(a))")
special("betainc_by_a", "parameter twice", "parameters twice",
        lambda m, a, b, x, y: _beta_density(m, a, b, x) * (m.log(x) - m.digamma(a) + m.digamma(a + b)),
        scipy=_beta_by(True), math="∂²/∂a∂x: density·(log x − ψ(a) + ψ(a+b))")
special("betainc_by_b", "parameters twice", "parameter twice",
        lambda m, a, b, x, y: _beta_density(m, a, b, x) * (m.log1p(-x) - m.digamma(b) + m.digamma(a + b)),
        scipy=_beta_by(False), math="∂²/∂b∂x: density·(log(1 − x) − ψ(b) + ψ(a+b))")

special("gammainc", lambda m, a, x, y: m.gammainc_by_a(a, x), lambda m, a, x, y: _gamma_density(m, a, x),
        math="∫₀ˣ(log t − ψ(a))·density dt, xᵃ⁻¹·exp(−x)/Γ(a)", domain="a > 0, x ≥ 0")
special("gammaincc", lambda m, a, x, y: -m.gammainc_by_a(a, x), lambda m, a, x, y: -_gamma_density(m, a, x),
        math="the negative of gammainc's", domain="a > 0, x ≥ 0")
special("gammaincinv", lambda m, a, p, y: m.div(-m.gammainc_by_a(a, y), _gamma_density(m, a, y)),
        lambda m, a, p, y: m.div(1.0, _gamma_density(m, a, y)), math="−∂ₐP/density, 1/density at y")
special("gammainccinv", lambda m, a, p, y: m.div(-m.gammainc_by_a(a, y), _gamma_density(m, a, y)),
        lambda m, a, p, y: m.div(-1.0, _gamma_density(m, a, y)), math="−∂ₐP/density, −1/density at y")
special("betainc", lambda m, a, b, x, y: m.betainc_by_a(a, b, x), lambda m, a, b, x, y: m.betainc_by_b(a, b, x),
        lambda m, a, b, x, y: _beta_density(m, a, b, x),
        math="∫₀ˣ(∂ log density)·density dt, by x: xᵃ⁻¹·(1 − x)ᵇ⁻¹/B(a, b)", domain="a, b > 0, 0 ≤ x ≤ 1")
special("betaincc", lambda m, a, b, x, y: -m.betainc_by_a(a, b, x), lambda m, a, b, x, y: -m.betainc_by_b(a, b, x),
        lambda m, a, b, x, y: -_beta_density(m, a, b, x), math="the negative of betainc's")
special("betaincinv", lambda m, a, b, p, y: m.div(-m.betainc_by_a(a, b, y), _beta_density(m, a, b, y)),
        lambda m, a, b, p, y: m.div(-m.betainc_by_b(a, b, y), _beta_density(m, a, b, y)),
        lambda m, a, b, p, y: m.div(1.0, _beta_density(m, a, b, y)), math="−∂I/density, 1/density at y")
special("betainccinv", lambda m, a, b, p, y: m.div(-m.betainc_by_a(a, b, y), _beta_density(m, a, b, y)),
        lambda m, a, b, p, y: m.div(-m.betainc_by_b(a, b, y), _beta_density(m, a, b, y)),
        lambda m, a, b, p, y: m.div(-1.0, _beta_density(m, a, b, y)), math="−∂I/density, −1/density at y")
special("stdtr", _student_by_df, lambda m, df, t, y: _student_density(m, df, t), math="by betainc's, Student's density")
special("stdtrit", lambda m, df, p, y: m.div(-_student_by_df(m, df, y, p), _student_density(m, df, y)),
        lambda m, df, p, y: m.div(1.0, _student_density(m, df, y)), math="−∂P/density, 1/density at y")
# fmt: on
