"""Special functions: rows whose values are SciPy's, which is loaded when the first of them is computed.

Derivatives: Abramowitz & Stegun, Handbook of Mathematical Functions (1964), chapters 6, 7 and 9.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, UnsupportedError
from payback.ir.aval import Aval
from payback.ops.elementary import INF, level_far_out
from payback.ops.matrices import provide
from payback.ops.pointwise import pointwise
from payback.ops.row import Row

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


def special(name: str, *partials: Any, scipy: str | None = None, **facts: str) -> None:
    """A pointwise row; its dtypes are those of SciPy's function, which has none for float16."""
    provide(**{name: _from_scipy(scipy or name)})
    pointwise(name, lambda m, *args: getattr(m, name)(*args), [*partials], "wide", **facts)


def _both_zero(m: Any, a: Any, b: Any) -> Any:
    return m.logical_and(a == 0, b == 0)


def _log_ratio(m: Any, x: Any, v: Any) -> Any:
    """log(x/v); by two logarithms where the ratio is 0 or infinite, so that its derivatives are right there too."""
    ratio = m.div(x, v)
    return m.where(m.logical_or(ratio == 0, ratio == INF), m.log(x) - m.log(v), m.log(ratio))


def _erfcx_partial(m: Any, x: Any, y: Any) -> Any:
    """2xy − 2/√π, whose terms cancel far out: there the derivative of the asymptotic series (7.1.23)."""
    far = 5.0 if m.dtype(x).itemsize < 8 else 12.0  # as far as twelve terms are exact
    z = m.where(x > far, x, far)
    t = m.div(m.div(0.5, z), z)
    series = 1.0 - t * 25.0
    for odd in range(23, 1, -2):
        series = 1.0 - t * float(odd) * series
    return m.where(x > far, t * series * (-2.0 / SQRT_PI), x * y * 2.0 - 2.0 / SQRT_PI)


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
special("erfcx", _erfcx_partial, math="2xy − 2/√π")
special("erfinv", lambda m, x, y: m.exp(y * y) * (SQRT_PI / 2.0), math="√π/2·exp(y²)", domain="|x| < 1")
special("erfcinv", lambda m, x, y: m.exp(y * y) * (-SQRT_PI / 2.0), math="−√π/2·exp(y²)", domain="0 < x < 2")
special("ndtr", lambda m, x, y: _gauss(m, x, 0.5) * (1.0 / SQRT_2PI), math="exp(−x²/2)/√2π", flat="large |x|")
special("log_ndtr", _log_ndtr_slope, math="√(2/π)/erfcx(−x/√2)", flat="large x")
special("ndtri", lambda m, x, y: m.exp(y * y * 0.5) * SQRT_2PI, math="√2π·exp(y²/2)", domain="0 < x < 1")

special("gammaln", lambda m, x, y: m.digamma(x), math="ψ(x)", domain="x no whole number ≤ 0")
special("gamma", lambda m, x, y: y * m.digamma(x), math="y·ψ(x)", domain="x no whole number ≤ 0")
special("digamma", lambda m, x, y: m.polygamma(x, n=1), scipy="psi", math="ψ′(x)", domain="x no whole number ≤ 0")
special("beta", lambda m, a, b, y: y * (m.digamma(a) - m.digamma(a + b)),
        lambda m, a, b, y: y * (m.digamma(b) - m.digamma(a + b)), math="y·(ψ(a) − ψ(a+b)), y·(ψ(b) − ψ(a+b))")
special("betaln", lambda m, a, b, y: m.digamma(a) - m.digamma(a + b),
        lambda m, a, b, y: m.digamma(b) - m.digamma(a + b), math="ψ(a) − ψ(a+b), ψ(b) − ψ(a+b)")

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
special("exp1", lambda m, x, y: m.div(-m.exp(-x), x), math="−exp(−x)/x", domain="x > 0")
special("expi", lambda m, x, y: m.div(m.exp(x), x), math="exp(x)/x", domain="x ≠ 0")

special("j0", lambda m, x, y: -m.j1(x), math="−J₁")
special("j1", lambda m, x, y: (m.j0(x) - m.jv(x, n=2.0)) * 0.5, math="(J₀ − J₂)/2")
special("y0", lambda m, x, y: -m.y1(x), math="−Y₁", domain="x > 0")
special("y1", lambda m, x, y: (m.y0(x) - m.yv(x, n=2.0)) * 0.5, math="(Y₀ − Y₂)/2", domain="x > 0")
special("i0", lambda m, x, y: m.i1(x), math="I₁")
special("i1", lambda m, x, y: (m.i0(x) + m.iv(x, n=2.0)) * 0.5, math="(I₀ + I₂)/2")
special("i0e", lambda m, x, y: m.i1e(x) - m.sign(x) * y, math="i1e − sign(x)·y", kink="x = 0, taken as 0")
special("i1e", lambda m, x, y: (m.i0e(x) + m.ive(x, n=2.0)) * 0.5 - m.sign(x) * y, math="(i0e + ive₂)/2 − sign(x)·y")
special("k0", lambda m, x, y: -m.k1(x), math="−K₁", domain="x > 0")
special("k1", lambda m, x, y: (m.k0(x) + m.kv(x, n=2.0)) * -0.5, math="−(K₀ + K₂)/2", domain="x > 0")
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


def _bessel(name: str, sign_below: float, sign_above: float, math: str, damped: bool = False) -> None:
    def slope(m: Any, x: Any, y: Any, n: float) -> Any:
        row = getattr(m, name)
        made = row(x, n=n - 1.0) * (0.5 * sign_below) + row(x, n=n + 1.0) * (0.5 * sign_above)
        return made - m.sign(x) * y if damped else made

    ordered(name, lambda x, n: getattr(scipy_special(), name)(n, x), slope, math)


ordered("polygamma", _polygamma, lambda m, x, y, n: m.polygamma(x, n=n + 1), "the next order")
_bessel("jv", 1.0, -1.0, "(Jₙ₋₁ − Jₙ₊₁)/2")
_bessel("yv", 1.0, -1.0, "(Yₙ₋₁ − Yₙ₊₁)/2")
_bessel("iv", 1.0, 1.0, "(Iₙ₋₁ + Iₙ₊₁)/2")
_bessel("kv", -1.0, -1.0, "−(Kₙ₋₁ + Kₙ₊₁)/2")
_bessel("ive", 1.0, 1.0, "(iveₙ₋₁ + iveₙ₊₁)/2 − sign(x)·y", damped=True)


# distributions: differentiated by their last argument only ------------------------------------------------------


def _distribution(name: str, density: Any, math: str) -> None:
    """A row of parameters and a last argument."""

    def refuse(slot: int) -> DifferentiationError:
        return DifferentiationError(f"{name} has no derivative by its argument {slot} in payback",
                                    why="it is no elementary or special function that SciPy has",
                                    fix="give it as a plain number, or use pb.custom_gradient(plain=True)")  # fmt: skip

    def vjp(m: Any, bar: Any, args: Any, y: Any, wanted: list[int]) -> list[Any]:
        if wanted[0] < len(args) - 1:
            raise refuse(wanted[0])
        return [None] * (len(args) - 1) + [bar * density(m, *args)]

    def jvp(m: Any, dots: Any, args: Any, y: Any) -> Any:
        if min(dots) < len(args) - 1:
            raise refuse(min(dots))
        return m.broadcast(dots[len(args) - 1], shape=m.shape(y)) * density(m, *args)

    def shape(*avals: Aval) -> Aval:
        return Aval(np.broadcast_shapes(*[a.shape for a in avals]), avals[0].dtype)

    def batch(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
        shapes = [arg.aval.shape for arg in node.args]
        rank = len(node.aval.shape)
        parts = [b.m.reshape(x, shape=(b.size, *(1,) * (rank - len(shape)), *shape)) if there else x
                 for x, there, shape in zip(args, on, shapes, strict=True)]  # fmt: skip
        return b.m.apply(name, *parts)

    provide(**{name: _from_scipy(name)})
    Row(name, "own", lambda m, *args: getattr(m, name)(*args), shape=shape, vjp=vjp, jvp=jvp, batch=batch,
        numeric="float", math=math)  # fmt: skip


def _gamma_density(m: Any, a: Any, x: Any) -> Any:
    return m.exp(m.xlogy(a - 1.0, x) - x - m.gammaln(a))


def _beta_density(m: Any, a: Any, b: Any, x: Any) -> Any:
    return m.exp(m.xlogy(a - 1.0, x) + m.xlog1py(b - 1.0, -x) - m.betaln(a, b))


_distribution("gammainc", _gamma_density, "by x: xᵃ⁻¹·exp(−x)/Γ(a)")
_distribution("gammaincc", lambda m, a, x: -_gamma_density(m, a, x), "by x: −xᵃ⁻¹·exp(−x)/Γ(a)")
_distribution("betainc", _beta_density, "by x: xᵃ⁻¹·(1 − x)ᵇ⁻¹/B(a, b)")
