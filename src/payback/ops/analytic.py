"""Analytic functions of complex numbers whose values are SciPy's: two results of two arguments, the parts.

The complex slope s + it is the Jacobian [[s, −t], [t, s]] (Cauchy and Riemann).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Aval, Avals
from payback.ops.matrices import provide
from payback.ops.row import Row
from payback.ops.special import SQRT_PI, scipy_special

Pair = tuple[Any, Any]


def _analytic(name: str, value: Any, slope: Any, math: str) -> None:
    """slope(m, z, w, **params): the parts of dw/dz from those of both."""

    def values(re: Any, im: Any, **params: Any) -> Pair:
        made = value(re + 1j * im, **params)
        return made.real.astype(re.dtype), made.imag.astype(re.dtype)

    def vjp(m: Any, bars: Any, args: Any, y: Any, wanted: list[int], **params: Any) -> list[Any]:
        s, t = slope(m, args, (m.part(y, k=0), m.part(y, k=1)), **params)
        of_re, of_im = bars
        if of_re is None or of_im is None:
            return [of_re * s, of_re * -t] if of_im is None else [of_im * t, of_im * s]
        return [of_re * s + of_im * t, of_im * s - of_re * t]

    def jvp(m: Any, dots: Any, args: Any, y: Any, **params: Any) -> list[Any]:
        s, t = slope(m, args, (m.part(y, k=0), m.part(y, k=1)), **params)
        re, im = dots.get(0), dots.get(1)
        if re is None or im is None:
            return [re * s, re * t] if im is None else [im * -t, im * s]
        return [re * s - im * t, re * t + im * s]

    def shape(re: Aval, im: Aval, **params: Any) -> Avals:
        return Avals((Aval(re.shape, re.dtype), Aval(re.shape, re.dtype)))

    provide(**{name: values})
    Row(name, "own", lambda m, re, im, **params: getattr(m, name)(re, im, **params), shape=shape, vjp=vjp, jvp=jvp,
        batch="leading", numeric="float", math=math)  # fmt: skip


def _of_scipy(name: str) -> Any:
    return lambda z: np.asarray(getattr(scipy_special(), name)(z))


def _times(a: Pair, b: Pair) -> Pair:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _inverse(m: Any, z: Pair) -> Pair:
    size = z[0] * z[0] + z[1] * z[1]
    return m.div(z[0], size), m.div(-z[1], size)


def _exp(m: Any, z: Pair, scale: float = 1.0) -> Pair:
    size = m.exp(z[0]) * scale
    return size * m.cos(z[1]), size * m.sin(z[1])


def _gauss(sign: float, scale: float) -> Any:
    """scale·exp(sign·z²)."""

    def slope(m: Any, z: Pair, w: Pair) -> Pair:
        return _exp(m, ((z[0] * z[0] - z[1] * z[1]) * sign, z[0] * z[1] * (2.0 * sign)), scale)

    return slope


def _faddeeva(m: Any, z: Pair, w: Pair) -> Pair:
    """−2zw + 2i/√π; where its terms cancel, the asymptotic series (Abramowitz & Stegun 7.1.23) differentiated."""
    x, y = z
    squares = x * x, y * y
    above = m.logical_or(y >= 0, squares[0] - squares[1] > 60.0)
    far = m.logical_and(above, squares[0] + squares[1] > 144.0)
    inverse = _inverse(m, (m.where(far, x, 12.0), m.where(far, y, 0.0)))
    t = _times(inverse, inverse)
    re, im = 1.0 + t[0] * 12.5, t[1] * 12.5
    for odd in range(23, 1, -2):
        re, im = _times((t[0] * (0.5 * odd), t[1] * (0.5 * odd)), (re, im))
        re = 1.0 + re
    re, im = _times(t, (re, im))
    turned = _times(z, w)
    return (m.where(far, im * (1.0 / SQRT_PI), turned[0] * -2.0),
            m.where(far, re * (-1.0 / SQRT_PI), 2.0 / SQRT_PI - turned[1] * 2.0))  # fmt: skip


def _product_log(m: Any, z: Pair, w: Pair, k: int) -> Pair:
    grown = _exp(m, w)
    return _inverse(m, (z[0] + grown[0], z[1] + grown[1]))


# fmt: off
_analytic("complex_wofz", _of_scipy("wofz"), _faddeeva, "−2zw + 2i/√π")
_analytic("complex_erf", _of_scipy("erf"), _gauss(-1.0, 2.0 / SQRT_PI), "2/√π·exp(−z²)")
_analytic("complex_erfi", _of_scipy("erfi"), _gauss(1.0, 2.0 / SQRT_PI), "2/√π·exp(z²)")
_analytic("complex_lambertw", lambda z, k: np.asarray(scipy_special().lambertw(z, k)), _product_log, "1/(z + exp w)")
# fmt: on
