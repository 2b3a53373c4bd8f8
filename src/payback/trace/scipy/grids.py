"""`scipy.interpolate` in several dimensions, of data on a grid: tables, tensor-product splines, splines of a surface.

All of them are sums over the corners, or the basis functions, around a place: weights of each axis, multiplied.
(de Boor, A Practical Guide to Splines, 2001, chapter 17.)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import known, traced_array
from payback.trace.scipy.curves import Curve, basis, column, coordinates, doubles, of_scipy, places, steeper, taken
from payback.trace.scipy.interpolate import coefficients, make_interp_spline, out_of_bounds, plain_or

Side = tuple[tuple[Any, Any], ...]  # of an axis: which entries are taken at each place, and their weights


def _weighed(values: Any, sides: Sequence[Side]) -> Any:
    """Σ of the weights' products times the entries, (n, ...), of values whose first axes are those of the sides."""
    made: Any = 0.0
    rest = values.ndim - len(sides)
    for corner in itertools.product(*sides):
        weight: Any = 1.0
        for _, share in corner:
            weight = weight * share
        at = tuple(at for at, _ in corner)
        made = made + column(weight, 1 + rest) * (traced_array(values) if any_traced(at) else values)[at]
    return made


# tensor products of B-splines -------------------------------------------------------------------------------------


def tensor_product(ts: Sequence[Any], ks: Sequence[int], c: Any, x: Sequence[Any], nu: Sequence[int]) -> Any:
    """Σ c[i, j, …]·B_i(x₀)·B_j(x₁)… at flat places, (n, ...); nu: how often it is differentiated along each axis."""
    sides = []
    for axis, (t, k, times) in enumerate(zip(ts, ks, nu, strict=True)):
        c = np.moveaxis(c, axis, 0)
        for _ in range(min(times, k)):
            t, c, k = t[1:-1], steeper(t, c, k), k - 1
        c = np.moveaxis(c if times <= ks[axis] else 0.0 * c, 0, axis)
        sides.append(basis(t, k, x[axis]))
    return _weighed(c, sides)


# tables -----------------------------------------------------------------------------------------------------------


class Grid(Curve):
    """What SciPy's RegularGridInterpolator is: values on a grid of places along each axis."""

    _spline = None  # SciPy's has one, of its plain values

    def __init__(self, grid: Any, values: Any, template: Any):
        super().__init__(type(template))
        self.grid, self.values, self.method = grid, values, template.method
        self.bounds_error, self.fill_value = template.bounds_error, template.fill_value

    def __call__(self, xi: Any, method: Any = None, *, nu: Any = None) -> Any:
        return _on_grid(self, xi, method, nu)


def grid(points: Any, values: Any, method: str = "linear", bounds_error: bool = True, fill_value: Any = np.nan,
         **options: Any) -> Grid:  # fmt: skip
    if any_traced(points):
        raise UnsupportedError("RegularGridInterpolator of traced points", where=here(), fix="give plain points")
    values = doubles(values)
    template = of_scipy("RegularGridInterpolator")(points, plain_or(values, np.zeros(values.shape)), method,
                                                   bounds_error, fill_value, **options)  # fmt: skip
    for axis, given in enumerate(points):  # SciPy turns those round that descend
        if np.asarray(given)[0] != template.grid[axis][0]:
            values = np.flip(values, axis)
    return Grid(template.grid, values, template)


def interpn(points: Any, values: Any, xi: Any, method: str = "linear", bounds_error: bool = True,
            fill_value: Any = np.nan) -> Any:  # fmt: skip
    if method != "splinef2d":
        made = of_scipy("RegularGridInterpolator")(points, values, method, bounds_error, fill_value)
        return _on_grid(made, xi, None, None)
    grid, (flat, shape) = list(map(places, points)), _flat_places(xi, 2)
    made = rectangle(*grid, values).ev(*flat)
    if fill_value is not None:
        made = _filled(made, grid, flat, bounds_error, fill_value)
    return np.reshape(made, shape)


_DEGREES = {"slinear": 1, "cubic": 3, "quintic": 5}


def _on_grid(table: Any, xi: Any, method: Any, nu: Any) -> Any:
    method = method or table.method
    if method not in ("linear", "nearest", *_DEGREES):
        raise UnsupportedError(f"RegularGridInterpolator of traced values with method={method!r}", where=here(),
                               fix="use method='linear', 'nearest', 'slinear', 'cubic' or 'quintic'")  # fmt: skip
    if nu is not None and method not in _DEGREES:
        raise ValueError(f"Can only compute derivatives for methods {list(_DEGREES)}, got method = {method!r}.")
    grid, values = [places(breaks) for breaks in table.grid], doubles(table.values)
    flat, shape = _flat_places(xi, len(grid))
    if method in _DEGREES:
        degree = _DEGREES[method]
        ts, c = _interpolating(table, grid, values, degree, method)
        made = tensor_product(ts, (degree,) * len(grid), c, flat, (0,) * len(grid) if nu is None else nu)
    else:
        made = _weighed(values, [_beside(breaks, x, method) for breaks, x in zip(grid, flat, strict=True)])
    if table.fill_value is not None:
        made = _filled(made, grid, flat, table.bounds_error, table.fill_value)
    return np.reshape(made, shape + values.shape[len(grid) :])


def _filled(made: Any, grid: Sequence[Any], flat: Sequence[Any], bounds_error: Any, fill_value: Any) -> Any:
    outside = flat[0] != flat[0]
    for breaks, x in zip(grid, flat, strict=True):
        outside = outside | (x < breaks[0]) | (x > breaks[-1])
    out_of_bounds(outside, bounds_error)
    return np.where(column(outside, made.ndim), fill_value, made)


def _flat_places(xi: Any, dimensions: int) -> tuple[list[Any], tuple[int, ...]]:
    """The coordinates of places along each axis, flat, and the places' shape."""
    xi = coordinates(xi)
    if xi.ndim == 0 or xi.shape[-1] != dimensions:
        raise ValueError(f"The requested sample points xi have dimension {xi.shape[-1] if xi.ndim else 0} but this "
                         f"RegularGridInterpolator has dimension {dimensions}")  # fmt: skip
    flat = np.reshape(xi, (-1, dimensions))
    return [flat[:, axis] for axis in range(dimensions)], xi.shape[:-1]


def _beside(breaks: Any, x: Any, method: str) -> Side:
    at = np.clip(np.searchsorted(breaks, x) - 1, 0, len(breaks) - 2)
    low, high = taken(breaks, at), taken(breaks, at + 1)
    share = (x - low) / (high - low)
    if method == "linear":
        return (at, 1.0 - share), (at + 1, share)
    return ((at + np.where(share <= 0.5, 0, 1), 1.0 + 0.0 * share),)


def _interpolating(table: Any, grid: Sequence[Any], values: Any, degree: int, method: str) -> tuple[list[Any], Any]:
    """Knots and coefficients of the spline through all values: one banded system for each axis.

    SciPy solves one system for all axes, and by iteration if not told otherwise, to about 1e-5.
    """
    own = getattr(table, "_spline", None)  # of a table of plain numbers
    if own is not None and method == table.method:
        return list(own.t), own.c
    ts = []
    for axis, x in enumerate(grid):
        spline = make_interp_spline(x, np.moveaxis(values, axis, 0), degree)
        ts.append(spline.t)
        values = np.moveaxis(spline.c, 0, axis)
    return ts, values


# surfaces ---------------------------------------------------------------------------------------------------------


class Surface(Curve):
    """What SciPy's RectBivariateSpline is: a tensor product of two B-splines."""

    def __init__(self, tck: tuple[Any, Any, Any], degrees: tuple[int, int], of: Any):
        super().__init__(of)
        self.tck, self.degrees = tck, degrees

    def __call__(self, x: Any, y: Any, dx: int = 0, dy: int = 0, grid: bool = True) -> Any:
        return _on_surface(self, x, y, dx, dy, grid)

    def ev(self, xi: Any, yi: Any, dx: int = 0, dy: int = 0) -> Any:
        return _on_surface(self, xi, yi, dx, dy, grid=False)


def rectangle(x: Any, y: Any, z: Any, bbox: Any = (None,) * 4, kx: int = 3, ky: int = 3, s: Any = 0,
              maxit: int = 20) -> Surface:  # fmt: skip
    if any_traced((x, y, bbox)) or any_traced(s) or s != 0:
        raise UnsupportedError("RectBivariateSpline of traced places, or smoothed", where=here(),
                               why="its knots are found with plain numbers",
                               fix="give plain x and y, and s=0")  # fmt: skip
    x, y, z = places(x), places(y), doubles(z)
    template = of_scipy("RectBivariateSpline")(x, y, plain_or(z, np.zeros(z.shape)), list(bbox), kx, ky, s)
    tx, ty, _ = template.tck
    across = coefficients(x, z, tx, kx, None)
    return Surface((tx, ty, np.ravel(coefficients(y, across.T, ty, ky, None).T)), (kx, ky), type(template))


def _on_surface(surface: Any, x: Any, y: Any, dx: int = 0, dy: int = 0, grid: bool = True) -> Any:
    """FITPACK has the values of the ends beyond them."""
    x, y = doubles(x), doubles(y)
    if grid:
        x, y = np.ravel(x), np.ravel(y)
        for name, at in (("x", x), ("y", y)):
            if known(at) and not np.all(np.diff(plain(at)) >= 0.0):
                raise ValueError(f"{name} must be strictly increasing when `grid` is True")
        x = x[:, None]
    x, y = np.broadcast_arrays(x, y)
    ts, ks = list(map(places, surface.tck[:2])), surface.degrees
    c = np.reshape(doubles(surface.tck[2]), tuple(t.shape[0] - k - 1 for t, k in zip(ts, ks, strict=True)))
    inside = [np.clip(np.ravel(at), t[k], t[t.shape[0] - k - 1]) for at, t, k in zip((x, y), ts, ks, strict=True)]
    return np.reshape(tensor_product(ts, ks, c, inside, (dx, dy)), x.shape)


def bisplev(x: Any, y: Any, tck: Any, dx: int = 0, dy: int = 0) -> Any:
    tx, ty, c, kx, ky = tck
    made = _on_surface(Surface((tx, ty, c), (kx, ky), of_scipy("RectBivariateSpline")), x, y, dx, dy)
    return made if len(made) > 1 else made[0] if made.shape[1] > 1 else made[0, 0]


FUNCTIONS: dict[str, Any] = {
    "RegularGridInterpolator": grid, "interpn": interpn, "RectBivariateSpline": rectangle, "bisplev": bisplev,
}  # fmt: skip
METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "RegularGridInterpolator": {"__call__": lambda table, xi, method=None, *, nu=None: _on_grid(table, xi, method, nu)},
    "BivariateSpline": {"__call__": _on_surface},
}
