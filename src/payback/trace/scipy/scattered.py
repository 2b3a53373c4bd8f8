"""`scipy.interpolate` of scattered data: radial basis functions, and linear pieces on a triangulation.

Which data lie nearest, and in which simplex a place lies, are whole numbers without derivative, found by SciPy.
(Fasshauer, Meshfree Approximation Methods with MATLAB, 2007, chapter 6; Barber, Dobkin & Huhdanpaa 1996.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import known
from payback.trace.scipy.curves import Curve, column, coordinates, doubles, of_scipy, taken
from payback.trace.scipy.interpolate import plain_or, table

# radial basis functions -------------------------------------------------------------------------------------------


def _plate(s: Any) -> Any:
    """r²·log r, which is smooth at 0."""
    return s * np.log(np.where(s == 0, 1.0, s)) / 2.0


_KERNELS: dict[str, Callable[[Any], Any]] = {  # of the squared distance
    "linear": lambda s: -np.sqrt(s), "thin_plate_spline": _plate, "cubic": lambda s: s**1.5,
    "quintic": lambda s: -(s**2.5), "multiquadric": lambda s: -np.sqrt(s + 1.0),
    "inverse_multiquadric": lambda s: 1.0 / np.sqrt(s + 1.0), "inverse_quadratic": lambda s: 1.0 / (s + 1.0),
    "gaussian": lambda s: np.exp(-s),
}  # fmt: skip


class Radial(Curve):
    """What SciPy's RBFInterpolator is: Σ of a kernel around each of the data, and a polynomial."""

    _coeffs = None  # SciPy's has them, of its plain data
    d_dtype = float

    def __init__(self, template: Any, y: Any, d: Any, smoothing: Any, epsilon: Any):
        super().__init__(type(template))
        self.y, self.d, self.d_shape = y, np.reshape(d, (y.shape[0], -1)), d.shape[1:]
        self.smoothing, self.epsilon = smoothing + np.zeros(y.shape[0]), epsilon
        self.kernel, self.powers, self.neighbors = template.kernel, template.powers, template.neighbors

    def __call__(self, x: Any) -> Any:
        return _radial(self, x)


def radial(y: Any, d: Any, neighbors: Any = None, smoothing: Any = 0.0, kernel: str = "thin_plate_spline",
           epsilon: Any = None, degree: Any = None) -> Radial:  # fmt: skip
    y, d = doubles(y), doubles(d)
    anywhere = np.random.default_rng(0).random(y.shape) if y.ndim == 2 else np.zeros(y.shape)
    own = of_scipy("RBFInterpolator")(plain_or(y, anywhere), np.zeros(d.shape), neighbors,
                                      plain_or(doubles(smoothing), np.zeros(np.shape(smoothing))), kernel,
                                      None if epsilon is None else float(plain_or(doubles(epsilon), 1.0)),
                                      degree)  # fmt: skip
    return Radial(own, y, d, doubles(smoothing), own.epsilon if epsilon is None else doubles(epsilon))


def _squares(x: Any, y: Any) -> Any:
    """The squared distance of each of (..., Q, N) to each of (..., P, N)."""
    return sum((x[..., :, None, k] - y[..., None, :, k]) ** 2 for k in range(y.shape[-1]))


def _monomials(x: Any, powers: Any) -> Any:
    """Each row of powers as a product of the last axis's entries, (..., R)."""
    made = [np.ones(x.shape[:-1]) for _ in powers]
    for r, row in enumerate(powers):
        for k in np.flatnonzero(row):
            made[r] = made[r] * x[..., k] ** int(row[k])
    return np.stack(made, -1) if made else np.zeros((*x.shape[:-1], 0))


def _fitted(rbf: Any, y: Any, d: Any, smoothing: Any) -> tuple[Any, Any, Any]:
    """Coefficients of the kernels and monomials, and the middle and half width of the data, which scale these."""
    low, high = y.min(-2), y.max(-2)
    shift, scale = (high + low) / 2.0, (high - low) / 2.0
    scale = np.where(scale == 0.0, 1.0, scale)
    monomials = _monomials((y - shift[..., None, :]) / scale[..., None, :], rbf.powers)
    count, more, kernel = y.shape[-2], monomials.shape[-1], _KERNELS[rbf.kernel]
    itself = np.eye(count, dtype=bool)  # no distance moves there
    scaled = y * rbf.epsilon
    near = np.where(itself, kernel(np.float64(0)), kernel(np.where(itself, 1.0, _squares(scaled, scaled))))
    near = near + np.where(itself, smoothing[..., None, :], 0.0)
    top = np.concatenate([near, monomials], -1)
    none = np.zeros((*y.shape[:-2], more, more))
    low_rows = np.concatenate([np.swapaxes(monomials, -1, -2), none], -1)
    right = np.concatenate([d, np.zeros((*d.shape[:-2], more, d.shape[-1]))], -2)
    return np.linalg.solve(np.concatenate([top, low_rows], -2), right), shift, scale


def _radial(rbf: Any, x: Any) -> Any:
    x = doubles(x)
    if x.ndim != 2:
        raise ValueError("`x` must be a 2-dimensional array.")
    if x.shape[1] != rbf.y.shape[1]:
        raise ValueError(f"Expected the second axis of `x` to have length {rbf.y.shape[1]}.")
    if np.iscomplexobj(np.empty(0, rbf.d_dtype)):
        doubles(1j)
    y, d, smoothing = rbf.y, rbf.d, rbf.smoothing
    if rbf.neighbors is None:
        own = rbf._coeffs
        c, shift, scale = _fitted(rbf, y, d, smoothing) if own is None else (own, rbf._shift, rbf._scale)
    else:
        if not (known(x) and known(y)):
            raise UnsupportedError("RBFInterpolator with neighbors= where places have no numbers yet", where=here(),
                                   why="which data lie nearest is decided by them",
                                   fix="leave neighbors away, or do not compile this function")  # fmt: skip
        tree = vars(sys.modules["scipy.spatial"])["KDTree"](plain(y))
        at = np.sort(np.reshape(tree.query(plain(x), rbf.neighbors)[1], (len(x), -1)), -1)
        x, y, d, smoothing = x[:, None], taken(y, at), taken(d, at), taken(smoothing, at)
        c, shift, scale = _fitted(rbf, y, d, smoothing)
        shift, scale = shift[:, None], scale[:, None]
    kernels = _KERNELS[rbf.kernel](_squares(x * rbf.epsilon, y * rbf.epsilon))
    made = np.concatenate([kernels, _monomials((x - shift) / scale, rbf.powers)], -1) @ c
    return np.reshape(made, (x.shape[0], *rbf.d_shape))


# pieces on a triangulation ----------------------------------------------------------------------------------------


class Pieces(Curve):
    """What SciPy's LinearNDInterpolator and NearestNDInterpolator are, of traced values."""

    def __init__(self, template: Any, values: Any, evaluated: Callable[[Any, Any, Any], Any]):
        super().__init__(type(template))
        self._own, self._of_values, self._evaluated = template, values, evaluated

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._evaluated(self._own, self._of_values, args, **options)


def _plain_places(points: Any, name: str) -> None:
    if any_traced(points):
        raise UnsupportedError(f"{name} of traced places of the data", where=here(),
                               why="a triangulation changes at once where they move",
                               fix="give plain places, or use RBFInterpolator")  # fmt: skip


def linear(points: Any, values: Any, fill_value: Any = np.nan, rescale: bool = False) -> Pieces:
    _plain_places(points, "LinearNDInterpolator")
    values = doubles(values)
    own = of_scipy("LinearNDInterpolator")(points, np.zeros(values.shape), fill_value, rescale)
    return Pieces(own, values, _on_simplices)


def nearest(x: Any, y: Any, rescale: bool = False, tree_options: Any = None) -> Pieces:
    _plain_places(x, "NearestNDInterpolator")
    values = doubles(y)
    own = of_scipy("NearestNDInterpolator")(x, np.zeros(values.shape), rescale, tree_options)
    return Pieces(own, values, _nearest)


def _coordinates(own: Any, args: tuple[Any, ...]) -> Any:
    """Places (..., N) as SciPy scales them; N is that of the data."""
    xi = coordinates(args[0] if len(args) == 1 else args)
    dimensions = own.points.shape[1]
    if xi.ndim == 1:
        xi = np.reshape(xi, (-1, dimensions))
    if xi.shape[-1] != dimensions:
        raise ValueError("number of dimensions in xi does not match x")
    if not known(xi):
        raise UnsupportedError("interpolation of scattered data at places that have no numbers yet", where=here(),
                               why="in which simplex they lie is decided by them",
                               fix="use RBFInterpolator, or do not compile this function")  # fmt: skip
    return xi if own.scale is None else (xi - own.offset) / own.scale


def _on_simplices(own: Any, values: Any, args: tuple[Any, ...]) -> Any:
    xi = _coordinates(own, args)
    shape, dimensions = xi.shape[:-1], xi.shape[-1]
    flat = np.reshape(xi, (-1, dimensions))
    simplex = own.tri.find_simplex(plain(flat))
    affine = own.tri.transform[simplex]
    some = np.einsum("nij,nj->ni", affine[:, :-1], flat - affine[:, -1])
    shares = np.concatenate([some, 1.0 - some.sum(-1, keepdims=True)], -1)
    corners = own.tri.simplices[simplex]
    made = sum(column(shares[:, k], values.ndim) * taken(values, corners[:, k]) for k in range(dimensions + 1))
    made = np.where(column(simplex < 0, values.ndim), own.fill_value, made)
    return np.reshape(made, shape + values.shape[1:])


def _nearest(own: Any, values: Any, args: tuple[Any, ...], **query_options: Any) -> Any:
    xi = _coordinates(own, args)
    flat = np.reshape(xi, (-1, xi.shape[-1]))
    found, at = own.tree.query(plain(flat), **query_options)
    there = np.isfinite(found)
    made = taken(values, np.where(there, at, 0)) + 0.0 * column(flat[:, 0], values.ndim)
    return np.reshape(np.where(column(there, values.ndim), made, np.nan), xi.shape[:-1] + values.shape[1:])


def refused(*args: Any, **kwargs: Any) -> Any:
    raise UnsupportedError("CloughTocher2DInterpolator of traced values", where=here(),
                           why="its slopes at the data are found by an iteration over the whole triangulation",
                           fix="use RBFInterpolator, which is smooth too, or LinearNDInterpolator")  # fmt: skip


def griddata(points: Any, values: Any, xi: Any, method: str = "linear", fill_value: Any = np.nan,
             rescale: bool = False) -> Any:  # fmt: skip
    points = coordinates(points)
    dimensions = 1 if points.ndim < 2 else points.shape[-1]
    if dimensions == 1 and method in ("nearest", "linear", "cubic"):
        xi = xi[0] if isinstance(xi, tuple) else xi
        fill_value = "extrapolate" if method == "nearest" else fill_value
        return table(np.ravel(points), values, method, 0, bounds_error=False, fill_value=fill_value)(xi)
    if method == "nearest":
        return nearest(points, values, rescale)(xi)
    if method == "linear":
        return linear(points, values, fill_value, rescale)(xi)
    if method == "cubic" and dimensions == 2:
        return refused()
    raise ValueError(f"Unknown interpolation method {method!r} for {dimensions} dimensional data")


# what is answered -------------------------------------------------------------------------------------------------


def _values_of(own: Any) -> Any:
    """SciPy's LinearNDInterpolator keeps them flat."""
    return np.reshape(own.values, (len(own.values), *getattr(own, "values_shape", own.values.shape[1:])))


FUNCTIONS: dict[str, Any] = {
    "RBFInterpolator": radial, "LinearNDInterpolator": linear, "NearestNDInterpolator": nearest,
    "CloughTocher2DInterpolator": refused, "griddata": griddata,
}  # fmt: skip
METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "RBFInterpolator": {"__call__": _radial},
    "LinearNDInterpolator": {"__call__": lambda own, *args: _on_simplices(own, doubles(_values_of(own)), args)},
    "NearestNDInterpolator": {
        "__call__": lambda own, *args, **options: _nearest(own, doubles(own.values), args, **options)
    },
    "CloughTocher2DInterpolator": {"__call__": refused},
}
