"""Special functions: rows whose values are SciPy's, which is loaded when the first of them is computed.

Derivatives: Abramowitz & Stegun, Handbook of Mathematical Functions (1964), chapters 6, 7 and 9.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from payback.errors import DifferentiationError, UnsupportedError
from payback.ir.aval import Aval
from payback.ops.elementary import INF, level_far_out
from payback.ops.matrices import provide
from payback.ops.pointwise import pointwise
from payback.ops.row import Row

RADIAN = math.pi / 180
SQRT_PI, SQRT_2, SQRT_2PI = math.sqrt(math.pi), math.sqrt(2.0), math.sqrt(2.0 * math.pi)


_MISSING = UnsupportedError("this function's values come from SciPy, which is not installed", fix="pip install scipy")


def scipy_special() -> Any:
    try:
        import scipy.special
    except ImportError:
        raise _MISSING from None
    return scipy.special


def scipy_linalg() -> Any:
    try:
        import scipy.linalg
    except ImportError:
        raise _MISSING from None
    return scipy.linalg


def _from_scipy(name: str) -> Any:
    return lambda *args: getattr(scipy_special(), name)(*args)


def _of_floats(name: str, python: Any) -> Any:
    """Python's own function for a Python float, which stays one; SciPy's for everything else."""
    scipy = _from_scipy(name)

    def value(x: Any) -> Any:
        if type(x) is not float:
            return scipy(x)
        try:
            return python(x)
        except (ValueError, OverflowError):  # a pole: what IEEE says
            return float(scipy(x))

    return value


def _polygamma(x: Any, n: int) -> Any:
    special = scipy_special()
    if n == 0:
        return special.psi(x)
    # Γ(n + 1)·ζ(n + 1, x), in the dtype of x
    return special.zeta(float(n + 1), x) * ((-1.0) ** (n + 1) * math.gamma(n + 1.0))


def trigamma(x: Any) -> Any:
    """ζ(2, x); SciPy's has a term for each number that x < 0 is below 0."""
    zeta, negative = scipy_special().zeta, x < 0
    positive = zeta(2.0, np.where(negative, 1.0 - x, x))
    if not np.any(negative):
        return positive
    sine = np.sin(math.pi * (x - np.rint(x)))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(negative, np.where(x == -INF, INF, (math.pi / sine) ** 2 - positive), positive)


def special(name: str, *partials: Any, scipy: str | Any = None, **facts: str) -> None:
    """A pointwise row; its dtypes are those of SciPy's function, which has none for float16.

    partials: one per argument; a text in place of one says by what argument the function has no derivative here.
    scipy: the function's name there, or a function that computes the values.
    """
    provide(**{name: scipy if callable(scipy) else _from_scipy(scipy or name)})
    rules = [_unknown(name, rule) if isinstance(rule, str) else rule for rule in partials]
    pointwise(name, lambda m, *args: getattr(m, name)(*args), rules, "wide", **facts)


def _unknown(name: str, argument: str) -> Any:
    def partial(m: Any, *args: Any) -> NoReturn:
        raise DifferentiationError(f"{name} has no derivative by its {argument} in payback",
                                   why="it is no elementary or special function that SciPy has",
                                   fix="give it as a plain number, or use pb.custom_gradient(plain=True)")  # fmt: skip

    return partial


def _both_zero(m: Any, a: Any, b: Any) -> Any:
    return m.logical_and(a == 0, b == 0)


def _log_ratio(m: Any, x: Any, v: Any) -> Any:
    """log(x/v); by two logarithms where the ratio is 0 or infinite, so that its derivatives are right there too."""
    ratio = m.div(x, v)
    return m.where(m.logical_or(ratio == 0, ratio == INF), m.log(x) - m.log(v), m.log(ratio))


def _far_out(m: Any, x: Any, sign: float, near: Any) -> Any:
    """The derivative of Σ signᵏ·(2k − 1)‼·tᵏ/x with t = 1/(2x²) over −1/x², where x is large; else what is given."""
    far = 5.0 if m.dtype(x).itemsize < 8 else 12.0  # as far as twelve terms are exact
    z = m.where(x > far, x, far)
    t = m.div(m.div(0.5, z), z)
    series = 1.0 + t * (sign * 25.0)
    for odd in range(23, 1, -2):
        series = 1.0 + t * (sign * odd) * series
    return m.where(x > far, t * series, near)


def _erfcx_partial(m: Any, x: Any, y: Any) -> Any:
    """2xy − 2/√π, whose terms cancel far out: there the derivative of the asymptotic series (7.1.23)."""
    return _far_out(m, x, -1.0, 1.0 - x * y * SQRT_PI) * (-2.0 / SQRT_PI)


def _dawsn_partial(m: Any, x: Any, y: Any) -> Any:
    return -_far_out(m, m.abs(x), 1.0, x * y * 2.0 - 1.0)


def _rgamma_partial(m: Any, x: Any, y: Any) -> Any:
    """−y·ψ(x); left of ½ by the reflection 1/Γ(x) = Γ(1 − x)·sin(πx)/π, for ψ has poles there."""
    left = x < 0.5
    z = m.where(left, x, 0.0)
    sine, cosine = z * m.sinc(z, order=0), (z + 0.5) * m.sinc(z + 0.5, order=0) * math.pi
    reflected = m.gamma(1.0 - z) * (cosine - sine * m.digamma(1.0 - z))
    return m.where(left, reflected, -y * m.digamma(m.where(left, 1.0, x)))


def _pseudo_huber_slope(m: Any, d: Any, x: Any) -> Any:
    h = m.hypot(d, x)
    gap = m.div(x * x, h + d)  # h − d
    return m.div(gap * gap, h)


def _gauss(m: Any, x: Any, half: float) -> Any:
    square = x * x
    return level_far_out(m, square, m.exp(square * -half))


def _log_ndtr_slope(m: Any, x: Any, y: Any) -> Any:
    """φ(x)/Φ(x), by erfcx; far out, where that or its derivative is infinite or 0, φ(x) and −x."""
    far = 12.5 if m.dtype(x).itemsize < 8 else 37.0  # Φ(x) is 1 there
    share = m.div(2.0 / SQRT_2PI, m.erfcx(x * (-1.0 / SQRT_2)))
    return m.where(x > far, _gauss(m, x, 0.5) * (1.0 / SQRT_2PI), m.where(x < -1e8, -x, share))


# fmt: off
#       name      partials, one per argument
special("erf", lambda m, x, y: _gauss(m, x, 1.0) * (2.0 / SQRT_PI), math="2/√π·exp(−x²)", flat="large |x|")
special("erfc", lambda m, x, y: _gauss(m, x, 1.0) * (-2.0 / SQRT_PI), math="−2/√π·exp(−x²)", flat="large |x|")
special("erfi", lambda m, x, y: m.exp(x * x) * (2.0 / SQRT_PI), math="2/√π·exp(x²)")
special("dawsn", _dawsn_partial, math="1 − 2xy")
special("erfcx", _erfcx_partial, math="2xy − 2/√π")
special("erfinv", lambda m, x, y: m.exp(y * y) * (SQRT_PI / 2.0), math="√π/2·exp(y²)", domain="|x| < 1")
special("erfcinv", lambda m, x, y: m.exp(y * y) * (-SQRT_PI / 2.0), math="−√π/2·exp(y²)", domain="0 < x < 2")
special("ndtr", lambda m, x, y: _gauss(m, x, 0.5) * (1.0 / SQRT_2PI), math="exp(−x²/2)/√2π", flat="large |x|")
special("log_ndtr", _log_ndtr_slope, math="√(2/π)/erfcx(−x/√2)", flat="large x")
special("ndtri", lambda m, x, y: m.exp(y * y * 0.5) * SQRT_2PI, math="√2π·exp(y²/2)", domain="0 < x < 1")

special("ndtri_exp", lambda m, x, y: m.exp(x + y * y * 0.5) * SQRT_2PI, math="√2π·exp(x + y²/2)", domain="x < 0")

special("gammaln", lambda m, x, y: m.digamma(x), math="ψ(x)", domain="x no whole number ≤ 0")
special("gamma", lambda m, x, y: y * m.digamma(x), math="y·ψ(x)", domain="x no whole number ≤ 0")
special("loggamma", lambda m, x, y: m.digamma(x), math="ψ(x)", domain="x > 0")
special("rgamma", _rgamma_partial, math="−y·ψ(x)")
special("gammasgn", None, math="0: constant in pieces")
special("digamma", lambda m, x, y: m.trigamma(x), scipy="psi", math="ψ′(x)", domain="x no whole number ≤ 0")
special("trigamma", lambda m, x, y: m.polygamma(x, n=2), scipy=trigamma, math="ψ″(x)",
        domain="x no whole number ≤ 0")
special("beta", lambda m, a, b, y: y * (m.digamma(a) - m.digamma(a + b)),
        lambda m, a, b, y: y * (m.digamma(b) - m.digamma(a + b)), math="y·(ψ(a) − ψ(a+b)), y·(ψ(b) − ψ(a+b))")
special("betaln", lambda m, a, b, y: m.digamma(a) - m.digamma(a + b),
        lambda m, a, b, y: m.digamma(b) - m.digamma(a + b), math="ψ(a) − ψ(a+b), ψ(b) − ψ(a+b)")
special("poch", lambda m, x, n, y: y * (m.digamma(x + n) - m.digamma(x)), lambda m, x, n, y: y * m.digamma(x + n),
        math="y·(ψ(x+n) − ψ(x)), y·ψ(x+n)", domain="x, x + n no whole numbers ≤ 0")
special("binom", lambda m, n, k, y: y * (m.digamma(n + 1.0) - m.digamma(n - k + 1.0)),
        lambda m, n, k, y: y * (m.digamma(n - k + 1.0) - m.digamma(k + 1.0)),
        math="y·(ψ(n+1) − ψ(n−k+1)), y·(ψ(n−k+1) − ψ(k+1))", domain="0 ≤ k ≤ n")

special("expit", lambda m, x, y: y * m.expit(-x), math="y·(1 − y)", flat="large |x|")
special("logit", lambda m, x, y: m.div(m.div(1.0, x), 1.0 - x), math="1/(x·(1 − x))", domain="0 < x < 1")
special("log_expit", lambda m, x, y: m.expit(-x), math="1 − exp y", flat="large x")

special("xlogy", lambda m, x, v, y: m.select(_both_zero(m, x, v), None, m.log(v)),
        lambda m, x, v, y: m.select(_both_zero(m, x, v), None, m.div(x, v)),
        math="log v, x/v", domain="v > 0", kink="x = v = 0, taken as 0")
special("xlog1py", lambda m, x, v, y: m.select(_both_zero(m, x, 1.0 + v), None, m.log1p(v)),
        lambda m, x, v, y: m.select(_both_zero(m, x, 1.0 + v), None, m.div(x, 1.0 + v)),
        math="log(1 + v), x/(1 + v)", domain="v > −1", kink="x = 1 + v = 0, taken as 0")
special("entr", lambda m, x, y: -m.log(x) - 1.0, math="−log x − 1", domain="x > 0; +∞ at 0")
special("rel_entr", lambda m, x, v, y: m.select(_both_zero(m, x, v), None, _log_ratio(m, x, v) + 1.0),
        lambda m, x, v, y: m.select(_both_zero(m, x, v), None, -m.div(x, v)),
        math="log(x/v) + 1, −x/v", domain="x, v > 0", kink="x = v = 0, taken as 0")
special("kl_div", lambda m, x, v, y: m.select(_both_zero(m, x, v), None, _log_ratio(m, x, v)),
        lambda m, x, v, y: m.select(_both_zero(m, x, v), 1.0, 1.0 - m.div(x, v)),
        math="log(x/v), 1 − x/v", domain="x, v > 0", kink="x = v = 0, taken as 0, 1")
special("powm1", lambda m, x, p, y: p * m.power(x, p - 1.0), lambda m, x, p, y: (y + 1.0) * m.log(x),
        math="p·xᵖ⁻¹, (1 + y)·log x", domain="x > 0")
special("cosm1", lambda m, x, y: -m.sin(x), math="−sin x")
special("sindg", lambda m, x, y: m.cosdg(x) * RADIAN, math="cos(x°)·π/180")
special("cosdg", lambda m, x, y: m.sindg(x) * -RADIAN, math="−sin(x°)·π/180")
special("tandg", lambda m, x, y: (1.0 + y * y) * RADIAN, math="(1 + y²)·π/180")
special("cotdg", lambda m, x, y: (1.0 + y * y) * -RADIAN, math="−(1 + y²)·π/180")
special("wrightomega", lambda m, x, y: m.div(y, 1.0 + y), math="y/(1 + y)")
special("huber", lambda m, d, x, y: m.select(m.abs(x) > d, m.abs(x) - d, None), lambda m, d, x, y: m.clip(x, -d, d),
        math="|x| − d if |x| > d, x clipped to ±d", domain="d ≥ 0")
special("pseudo_huber", lambda m, d, x, y: _pseudo_huber_slope(m, d, x),
        lambda m, d, x, y: m.div(d * x, m.hypot(d, x)), math="(h − d)²/h, d·x/h with h² = d² + x²", domain="d > 0")
special("exp1", lambda m, x, y: m.div(-m.exp(-x), x), math="−exp(−x)/x", domain="x > 0")
special("expi", lambda m, x, y: m.div(m.exp(x), x), math="exp(x)/x", domain="x ≠ 0")
# fmt: on
provide(
    erf=_of_floats("erf", math.erf),
    erfc=_of_floats("erfc", math.erfc),
    gamma=_of_floats("gamma", math.gamma),
    gammaln=_of_floats("gammaln", math.lgamma),
)


# functions with an order: the order is a plain number, so it has no derivative ----------------------------------


def ordered(name: str, value: Any, slope: Any, math: str) -> None:
    """A row of one argument; `slope(m, x, y, n)` is its partial."""
    provide(**{name: value})
    Row(name, "own", lambda m, x, n: getattr(m, name)(x, n=n), shape=lambda x, n: Aval(x.shape, x.dtype),
        vjp=lambda m, bar, args, y, wanted, n: [bar * slope(m, args[0], y, n)],
        jvp=lambda m, dots, args, y, n: dots[0] * slope(m, args[0], y, n), batch="leading", numeric="float",
        math=math)  # fmt: skip


ordered("polygamma", _polygamma, lambda m, x, y, n: m.polygamma(x, n=n + 1), "the next order")
