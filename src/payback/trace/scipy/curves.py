"""Piecewise polynomials and B-splines with traced coefficients or at traced places: evaluation, derivatives, integrals.

A curve here has what SciPy's object has (c, x or t and k, extrapolate, axis), so SciPy's own are evaluated by the same
functions.  On which piece a place lies is a whole number without derivative; all else are sums of products.
(de Boor, A Practical Guide to Splines, 2001.)
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import Traced
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import traced_array
from payback.trace.numpy.map import astype
from payback.trace.numpy.products import array_of
from payback.trace.plain_arrays import decides

FLOAT = np.dtype(np.float64)


def doubles(x: Any) -> Any:
    """In float64, which is what SciPy computes curves in."""
    x = array_of(x)
    if x.dtype.kind == "c":
        raise UnsupportedError("a curve of complex numbers", where=here(), why="payback differentiates real numbers",
                               fix="make a curve of the real and one of the imaginary part")  # fmt: skip
    return x if x.dtype == FLOAT else astype(x, FLOAT)


def places(x: Any) -> Any:
    """Breaks and knots: plain ones stay so, and what is compiled holds for these."""
    if any_traced(x):
        return doubles(x)
    x = np.asarray(x)
    decides(x)
    return x.astype(FLOAT, copy=False)


def coordinates(x: Any) -> Any:
    """Places in several dimensions, (..., N): a tuple has the coordinates along each axis."""
    return np.stack(np.broadcast_arrays(*map(doubles, x)), -1) if isinstance(x, tuple) else doubles(x)


def taken(x: Any, at: Any) -> Any:
    """The rows that whole numbers say, which may have no numbers yet."""
    return (traced_array(x) if isinstance(at, Traced) else x)[at]


def column(x: Any, ndim: int) -> Any:
    """A vector as what multiplies the rows of an array of so many axes."""
    return np.reshape(x, (-1,) + (1,) * (ndim - 1))


def interval(breaks: Any, place: Any, first: int, last: int) -> Any:
    """The last of the pieces first, ..., last that begins at a place or before it."""
    return np.clip(np.searchsorted(breaks, place, side="right") - 1, first, last)


def _mapped(place: Any, low: Any, high: Any, extrapolate: Any) -> tuple[Any, Any]:
    """Places as the curve sees them, and where it is defined (None: everywhere)."""
    if isinstance(extrapolate, str) and extrapolate == "periodic":
        return low + (place - low) % (high - low), None
    return place, None if extrapolate else (place >= low) & (place <= high)


def _placed(made: Any, defined: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Values at flat places, (n, ...), in the shape of the places, along the axis that the data was interpolated on."""
    if defined is not None:
        made = np.where(column(defined, made.ndim), made, np.nan)
    rest = made.shape[1:]
    made = np.reshape(made, shape + rest)
    order = [*range(len(shape), len(shape) + axis), *range(len(shape)), *range(len(shape) + axis, made.ndim)]
    return np.transpose(made, order) if axis else made


def of_scipy(name: str) -> Any:
    """SciPy's own class or function, whatever stands for it while functions are traced."""
    return vars(sys.modules["scipy.interpolate"])[name]


class Curve:
    """What is common to curves of traced values; of: SciPy's class that they stand for."""

    axis: int
    extrapolate: Any

    def __init__(self, of: Any):
        self._of = of

    @property
    def __class__(self) -> Any:  # a program that asks for the class takes the branch that it takes on plain numbers
        return self._of

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") or not (name.startswith("_") or hasattr(self._of, name)):
            raise AttributeError(f"{self._of.__name__!r} object has no attribute {name!r}")
        raise UnsupportedError(f"{self._of.__name__}.{name} of traced values", where=here(),
                               why="a curve of traced values is evaluated, differentiated and integrated",
                               fix="find such places with plain numbers, and use pb.root")  # fmt: skip

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        return evaluated(self, x, nu, extrapolate)

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Any:
        return integrated(self, a, b, extrapolate)


class Pieces(Curve):
    """Σ c[p, i]·(x − x_i)^(k−p) on the piece that begins at x_i, as SciPy's PPoly."""

    def __init__(self, c: Any, x: Any, extrapolate: Any, axis: int, of: Any):
        super().__init__(of)
        self.c, self.x, self.extrapolate, self.axis = c, x, extrapolate, axis

    def derivative(self, nu: int = 1) -> Pieces:
        return self._like(_differentiated(self.c, nu)) if nu >= 0 else self.antiderivative(-nu)

    def antiderivative(self, nu: int = 1) -> Pieces:
        made = self
        for _ in range(nu):
            made = made._like(_summed(made.c, made.x))
        if nu > 0 and made.extrapolate == "periodic":
            made.extrapolate = False
        return made if nu >= 0 else self.derivative(-nu)

    def _like(self, c: Any) -> Pieces:
        return Pieces(c, self.x, self.extrapolate, self.axis, of_scipy("PPoly"))


class Spline(Curve):
    """Σ c[i]·B_i of degree k on the knots t, as SciPy's BSpline."""

    def __init__(self, t: Any, c: Any, k: int, extrapolate: Any, axis: int, of: Any):
        super().__init__(of)
        self.t, self.c, self.k, self.extrapolate, self.axis = t, c, k, extrapolate, axis

    @property
    def tck(self) -> tuple[Any, Any, int]:
        return self.t, self.c, self.k

    def derivative(self, nu: int = 1) -> Spline:
        made = self
        for _ in range(nu):
            if not made.k:
                raise ValueError(f"Order of derivative (n = {nu}) must be <= order of spline (k = {self.k})")
            c = steeper(made.t, made.c, made.k)
            made = Spline(made.t[1:-1], c, made.k - 1, made.extrapolate, made.axis, self._of)
        return made if nu >= 0 else self.antiderivative(-nu)

    def antiderivative(self, nu: int = 1) -> Spline:
        made = self
        for _ in range(nu):
            made = _antiderivative(made)
        if nu > 0 and made.extrapolate == "periodic":
            made.extrapolate = False
        return made if nu >= 0 else self.derivative(-nu)


# polynomials on pieces ------------------------------------------------------------------------------------------


def _differentiated(c: Any, nu: int) -> Any:
    for _ in range(nu):
        degree = c.shape[0] - 1
        c = c[:-1] * column(np.arange(degree, 0, -1.0), c.ndim) if degree else c * 0.0
    return c


def _summed(c: Any, x: Any) -> Any:
    """The integral of each piece from its begin on, plus those of the pieces before it."""
    count = c.shape[0]
    c = c / column(np.arange(count, 0, -1.0), c.ndim)
    powers, widths = np.zeros(c.shape[1:]), column(np.diff(x), c.ndim - 1)
    for row in range(count):  # Horner
        powers = (powers + c[row]) * widths
    start = np.concatenate([np.zeros((1, *c.shape[2:])), np.cumsum(powers, axis=0)[:-1]])
    return np.concatenate([c, start[None]])


def _on_pieces(c: Any, x: Any, place: Any) -> Any:
    piece = interval(x, place, 0, c.shape[1] - 1)
    beyond = column(place - taken(x, piece), c.ndim - 1)
    made = taken(c[0], piece)
    for row in range(1, c.shape[0]):
        made = made * beyond + taken(c[row], piece)
    return made if c.shape[0] > 1 else made + 0.0 * beyond  # NaN of NaN


# B-splines ------------------------------------------------------------------------------------------------------


def steeper(t: Any, c: Any, k: int) -> Any:
    """The coefficients of the derivative, on the knots without the outermost two."""
    n = t.shape[0] - k - 1
    c = c[:n]
    width = t[k + 1 : n + k] - t[1:n]
    scale = np.where(width > 0, k / np.where(width > 0, width, 1.0), 0.0)
    return np.diff(c, axis=0) * column(scale, c.ndim)


def _antiderivative(spline: Any) -> Spline:
    t, k = spline.t, spline.k
    n = t.shape[0] - k - 1
    c = spline.c[:n]
    sums = np.cumsum(c * column((t[k + 1 : n + k + 1] - t[:n]) / (k + 1), c.ndim), axis=0)
    c = np.concatenate([np.zeros((1, *c.shape[1:])), sums])
    t = np.concatenate([t[:1], t, t[-1:]])
    return Spline(t, c, k + 1, spline.extrapolate, spline.axis, of_scipy("BSpline"))


def basis(t: Any, k: int, x: Any) -> tuple[tuple[Any, Any], ...]:
    """The k + 1 basis functions that are not zero at flat places: which they are there, and their values (BSPLVB)."""
    piece = interval(t, x, k, t.shape[0] - k - 2)
    right, left = ([sign * (taken(t, piece + j) - x) for j in at]
                   for sign, at in ((1.0, range(1, k + 1)), (-1.0, range(0, -k, -1))))  # fmt: skip
    found: list[Any] = [1.0 + 0.0 * x]
    for j in range(k):
        carried: Any = 0.0
        for r in range(j + 1):
            share = found[r] / (right[r] + left[j - r])
            found[r] = carried + right[r] * share
            carried = left[j - r] * share
        found.append(carried)
    return tuple((piece - k + j, weight) for j, weight in enumerate(found))


# of both, and of SciPy's own ------------------------------------------------------------------------------------


def evaluated(curve: Any, place: Any, nu: int = 0, extrapolate: Any = None) -> Any:
    """The nu-th derivative of a curve at places."""
    extrapolate = curve.extrapolate if extrapolate is None else extrapolate
    place = doubles(place)
    flat = np.reshape(place, (-1,))
    if isinstance(curve, of_scipy("BSpline")):
        t, c, k = places(curve.t), curve.c, curve.k
        flat, defined = _mapped(flat, t[k], t[t.shape[0] - k - 1], extrapolate)
        for _ in range(min(nu, k)):
            t, c, k = t[1:-1], steeper(t, array_of(c), k), k - 1
        c = array_of(c) if nu <= curve.k else c * 0.0
        made = sum(column(weight, c.ndim) * taken(c, at) for at, weight in basis(t, k, flat))
    else:
        x = places(curve.x)
        flat, defined = _mapped(flat, x[0], x[-1], extrapolate)
        made = _on_pieces(_differentiated(array_of(curve.c), nu), x, flat)
    return _placed(made, defined, place.shape, curve.axis)


def integrated(curve: Any, a: Any, b: Any, extrapolate: Any) -> Any:
    """The integral over [a, b]: of an antiderivative two values.  Outside of a B-spline's base there is nothing."""
    extrapolate = curve.extrapolate if extrapolate is None else extrapolate
    periodic = isinstance(extrapolate, str) and extrapolate == "periodic"
    a, b = doubles(a), doubles(b)
    if isinstance(curve, of_scipy("BSpline")):
        low, high = curve.t[curve.k], curve.t[curve.t.shape[0] - curve.k - 1]
        whole = _antiderivative(curve)
        if not extrapolate:
            a, b = np.clip(a, low, high), np.clip(b, low, high)
            extrapolate = True
    else:
        low, high = curve.x[0], curve.x[-1]
        whole = Pieces(_summed(curve.c, curve.x), curve.x, extrapolate, 0, of_scipy("PPoly"))
    whole.axis = 0

    def until(place: Any) -> Any:
        if not periodic:
            return evaluated(whole, place, 0, extrapolate)
        rounds = np.floor((place - low) / (high - low))
        each = evaluated(whole, high, 0, True) - evaluated(whole, low, 0, True)
        return rounds * each + evaluated(whole, place - rounds * (high - low), 0, True)

    return until(b) - until(a)
