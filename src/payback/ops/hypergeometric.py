"""Hypergeometric functions by their argument, and what is made of them: elliptic and other integrals, transforms.

Their derivatives are members of the same family, so they are right where a closed form cancels.
(NIST Digital Library of Mathematical Functions, chapters 13, 15, 18, 19, 25.)
"""

from __future__ import annotations

import math
from typing import Any

from payback.ops.bessel import part_of, whole
from payback.ops.special import scipy_special, special

PI = math.pi
# fmt: off
special("hyp0f1", "parameter", lambda m, b, z, y: m.div(m.hyp0f1(b + 1.0, z), b), math="₀F₁(b+1; z)/b")
special("hyp1f1", "first parameter", "second parameter",
        lambda m, a, b, z, y: m.div(a, b) * m.hyp1f1(a + 1.0, b + 1.0, z), math="a/b·₁F₁(a+1; b+1; z)")
special("hyp2f1", "first parameter", "second parameter", "third parameter",
        lambda m, a, b, c, z, y: m.div(a * b, c) * m.hyp2f1(a + 1.0, b + 1.0, c + 1.0, z),
        math="ab/c·₂F₁(a+1, b+1; c+1; z)", domain="z < 1")
special("hyperu", "first parameter", "second parameter",
        lambda m, a, b, z, y: -a * m.hyperu(a + 1.0, b + 1.0, z), math="−a·U(a+1, b+1, z)", domain="z > 0")
# fmt: on


# elliptic integrals: by series in m near 0, by each other elsewhere ---------------------------------------------


def _k_slope(m: Any, q: Any, k: Any) -> Any:
    """dK/dm = (E − (1 − m)K)/(2m(1 − m)) = π/8·₂F₁(½, ½; 2; m)/(1 − m)."""
    p, near = 1.0 - q, m.abs(q) < 0.5
    far = m.where(near, 0.75, q)
    closed = m.div(m.where(near, 0.0, m.ellipe(far) - p * k), far * 2.0)
    series = m.hyp2f1(0.5, 0.5, 2.0, m.where(near, q, 0.0)) * (PI / 8.0)
    return m.div(m.where(near, series, closed), p)


def _e_slope(m: Any, q: Any, e: Any) -> Any:
    """dE/dm = (E − K)/(2m) = −π/8·₂F₁(½, 3/2; 2; m)."""
    near = m.abs(q) < 0.5
    far = m.where(near, 0.75, q)
    closed = m.div(m.where(near, 0.0, e - m.ellipk(far)), far * 2.0)
    return m.where(near, m.hyp2f1(0.5, 1.5, 2.0, m.where(near, q, 0.0)) * (-PI / 8.0), closed)


def _k_complement_slope(m: Any, p: Any, k: Any) -> Any:
    """dK/dp of p = 1 − m, where it is small: −(E − p·K)/(2p(1 − p))."""
    small = p < 0.5
    q = m.where(small, p, 0.25)
    closed = m.div(m.ellipe(1.0 - q) - q * m.where(small, k, 1.0), (1.0 - q) * q * -2.0)
    rest = m.where(small, 1.0, p)
    return m.where(small, closed, -_k_slope(m, 1.0 - rest, m.where(small, PI / 2, k)))


def _mean_slope(m: Any, a: Any, b: Any, y: Any) -> Any:
    """∂/∂a of π(a + b)/(4K(p)) with p = 4ab/(a + b)²."""
    total = a + b
    p = m.div(m.div(a, total) * 4.0 * b, total)
    k = m.ellipkm1(p)
    turned = m.div(m.div(b, total) * 4.0 * (b - a), total * total)
    return y * (m.div(1.0, total) - m.div(_k_complement_slope(m, p, k), k) * turned)


def _delta(m: Any, phi: Any, q: Any) -> Any:
    sine = m.sin(phi)
    return m.sqrt(1.0 - q * sine * sine)


# fmt: off
special("ellipk", _k_slope, math="(E − (1 − x)·y)/(2x(1 − x))", domain="x < 1")
special("ellipe", _e_slope, math="(y − K)/(2x)", domain="x < 1")
special("ellipkm1", _k_complement_slope, math="−(E − x·y)/(2x(1 − x))", domain="x > 0")
special("ellipkinc", lambda m, phi, q, y: m.div(1.0, _delta(m, phi, q)), "parameter m", math="by φ: 1/√(1 − m·sin²φ)")
special("ellipeinc", lambda m, phi, q, y: _delta(m, phi, q), "parameter m", math="by φ: √(1 − m·sin²φ)")
special("agm", _mean_slope, lambda m, a, b, y: _mean_slope(m, b, a, y), math="of y = π(a + b)/(4K)")
special("ellipj_sn", lambda m, u, q, y: m.ellipj_cn(u, q) * m.ellipj_dn(u, q), "parameter m",
        scipy=part_of("ellipj", 0), math="by u: cn·dn")
special("ellipj_cn", lambda m, u, q, y: -m.ellipj_sn(u, q) * m.ellipj_dn(u, q), "parameter m",
        scipy=part_of("ellipj", 1), math="by u: −sn·dn")
special("ellipj_dn", lambda m, u, q, y: -m.ellipj_sn(u, q) * m.ellipj_cn(u, q) * q, "parameter m",
        scipy=part_of("ellipj", 2), math="by u: −m·sn·cn")
special("ellipj_ph", lambda m, u, q, y: m.ellipj_dn(u, q), "parameter m", scipy=part_of("ellipj", 3), math="by u: dn")
# fmt: on


# other integrals ------------------------------------------------------------------------------------------------


def _dilogarithm(m: Any, x: Any, y: Any) -> Any:
    """−log x/(x − 1)."""
    near = m.abs(x - 1.0) < 0.5
    far = m.where(near, 2.0, x)
    series = m.hyp2f1(1.0, 1.0, 2.0, 1.0 - m.where(near, x, 1.0))
    return -m.where(near, series, m.div(m.log(far), far - 1.0))


def _over_x(sign: float) -> Any:
    """sin(x)/x, or sinh(x)/x."""

    def partial(m: Any, x: Any, y: Any) -> Any:
        near = m.abs(x) < 1.0
        far, close = m.where(near, 1.0, x), m.where(near, x, 0.0)
        sine = m.sin(far) if sign < 0 else m.sinh(far)
        return m.where(near, m.hyp0f1(1.5, close * close * (0.25 * sign)), m.div(sine, far))

    return partial


def _expn_slope(m: Any, n: Any, x: Any, y: Any) -> Any:
    first = n < 1
    at = m.where(first, x, 1.0)
    of_zero = m.div(m.exp(-at), at) * (1.0 + m.div(1.0, at))
    return -m.where(first, of_zero, m.expn(m.maximum(n - 1.0, 0.0), x))


# fmt: off
special("spence", _dilogarithm, math="−log x/(x − 1)", domain="x > 0")
special("sine_integral", _over_x(-1.0), scipy=part_of("sici", 0), math="sin(x)/x")
special("cosine_integral", lambda m, x, y: m.div(m.cos(x), x), scipy=part_of("sici", 1), math="cos(x)/x")
special("sinh_integral", _over_x(1.0), scipy=part_of("shichi", 0), math="sinh(x)/x")
special("cosh_integral", lambda m, x, y: m.div(m.cosh(x), x), scipy=part_of("shichi", 1), math="cosh(x)/x")
special("fresnel_s", lambda m, x, y: m.sin(x * x * (PI / 2)), scipy=part_of("fresnel", 0), math="sin(πx²/2)")
special("fresnel_c", lambda m, x, y: m.cos(x * x * (PI / 2)), scipy=part_of("fresnel", 1), math="cos(πx²/2)")
special("expn", "order", _expn_slope, math="−Eₙ₋₁")
special("zeta", "exponent", lambda m, s, q, y: -s * m.zeta(s + 1.0, q), math="by q: −s·ζ(s+1, q)")
special("owens_t", lambda m, h, a, y: m.exp(h * h * -0.5) * m.erf(h * a * math.sqrt(0.5)) * (-0.5 / math.sqrt(2 * PI)),
        lambda m, h, a, y: m.div(m.exp(h * h * (1.0 + a * a) * -0.5), (1.0 + a * a) * (2 * PI)),
        math="−exp(−h²/2)·erf(ah/√2)/√8π, exp(−h²(1 + a²)/2)/(2π(1 + a²))")
# fmt: on


# transforms: (xᵖ − 1)/p and their kin at p = 0 as at any other --------------------------------------------------


def _relative(m: Any, z: Any) -> Any:
    """d/dz (eᶻ − 1)/z = ₁F₁(2; 3; z)/2."""
    return m.hyp1f1(2.0, 3.0, z) * 0.5


def _log1p_over(m: Any, u: Any) -> Any:
    """d/du log(1 + u)/u = (1/(1 + u) − log(1 + u)/u)/u, near 0 −₂F₁(2, 2; 3; −u)/2."""
    near = m.abs(u) < 0.5
    far = m.where(near, 1.0, u)
    closed = m.div(m.div(1.0, 1.0 + far) - m.div(m.log1p(far), far), far)
    return m.where(near, m.hyp2f1(2.0, 2.0, 3.0, -m.where(near, u, 0.0)) * -0.5, closed)


# fmt: off
special("exprel", lambda m, x, y: _relative(m, x), math="₁F₁(2; 3; x)/2")
special("boxcox", lambda m, x, p, y: m.power(x, p - 1.0),
        lambda m, x, p, y: m.log(x) * m.log(x) * _relative(m, p * m.log(x)),
        math="xᵖ⁻¹, log²x·₁F₁(2; 3; p·log x)/2", domain="x > 0")
special("boxcox1p", lambda m, x, p, y: m.exp((p - 1.0) * m.log1p(x)),
        lambda m, x, p, y: m.log1p(x) * m.log1p(x) * _relative(m, p * m.log1p(x)),
        math="(1 + x)ᵖ⁻¹, log²(1 + x)·₁F₁(2; 3; p·log(1 + x))/2", domain="x > −1")
special("inv_boxcox", lambda m, x, p, y: m.power(y, 1.0 - p), lambda m, x, p, y: y * x * x * _log1p_over(m, p * x),
        math="y¹⁻ᵖ, y·x²·(log(1 + u)/u)′ at u = p·x", domain="p·x > −1")
special("inv_boxcox1p", lambda m, x, p, y: m.power(y + 1.0, 1.0 - p),
        lambda m, x, p, y: (y + 1.0) * x * x * _log1p_over(m, p * x),
        math="(1 + y)¹⁻ᵖ, (1 + y)·x²·(log(1 + u)/u)′ at u = p·x", domain="p·x > −1")
# fmt: on


# orthogonal polynomials by their argument -----------------------------------------------------------------------


def _polynomial(name: str, slope: Any, math: str, more: int = 0) -> None:
    """A function of a degree, `more` parameters and an argument; slope(m, n, *parameters, x) where n > 0."""

    def value(n: Any, *args: Any) -> Any:
        function, dtype = getattr(scipy_special(), name), getattr(args[-1], "dtype", float)
        if all_whole(n):
            n = whole(n)
        made = function(n, *args)
        return made.astype(dtype) if hasattr(made, "astype") else made

    def partial(m: Any, n: Any, *args: Any) -> Any:
        return m.where(n == 0, 0.0, slope(m, n, *args[:-1]))

    unknown = ("degree", *[f"parameter {k}" for k in range(1, more + 1)])
    special(name, *unknown, partial, scipy=value, math=math)


def all_whole(n: Any) -> bool:
    """Whether SciPy's recurrences are for these degrees, which are exact."""
    return bool((n == n // 1).all()) if hasattr(n, "dtype") else float(n).is_integer()


# fmt: off
_polynomial("eval_legendre", lambda m, n, x: m.eval_gegenbauer(n - 1.0, 1.5, x), "C⁽³ᐟ²⁾ₙ₋₁")
_polynomial("eval_chebyt", lambda m, n, x: n * m.eval_chebyu(n - 1.0, x), "n·Uₙ₋₁")
_polynomial("eval_chebyu", lambda m, n, x: m.eval_gegenbauer(n - 1.0, 2.0, x) * 2.0, "2C⁽²⁾ₙ₋₁")
_polynomial("eval_gegenbauer", lambda m, n, a, x: a * 2.0 * m.eval_gegenbauer(n - 1.0, a + 1.0, x), "2aC⁽ᵃ⁺¹⁾ₙ₋₁", 1)
_polynomial("eval_jacobi", lambda m, n, a, b, x: (n + a + b + 1.0) * 0.5 * m.eval_jacobi(n - 1.0, a + 1.0, b + 1.0, x),
            "(n + a + b + 1)/2·P⁽ᵃ⁺¹ᵇ⁺¹⁾ₙ₋₁", 2)
_polynomial("eval_laguerre", lambda m, n, x: -m.eval_genlaguerre(n - 1.0, 1.0, x), "−L⁽¹⁾ₙ₋₁")
_polynomial("eval_genlaguerre", lambda m, n, a, x: -m.eval_genlaguerre(n - 1.0, a + 1.0, x), "−L⁽ᵃ⁺¹⁾ₙ₋₁", 1)
_polynomial("eval_hermite", lambda m, n, x: n * 2.0 * m.eval_hermite(n - 1.0, x), "2n·Hₙ₋₁")
_polynomial("eval_hermitenorm", lambda m, n, x: n * m.eval_hermitenorm(n - 1.0, x), "n·Heₙ₋₁")
# fmt: on
