"""`scipy.interpolate` of traced values: splines as the solution of linear systems, and tables.

What the program gives SciPy in plain numbers is looked at by SciPy itself, with the bare values of the rest where there
are such: its errors are its own.  (Fritsch & Butland 1984 for PCHIP's slopes; Akima 1970.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import known
from payback.trace.numpy.products import array_of
from payback.trace.scipy.curves import (
    Curve,
    Pieces,
    Spline,
    column,
    doubles,
    evaluated,
    integrated,
    of_scipy,
    places,
    taken,
)
from payback.trace.scipy.linalg import solve_banded
from payback.trace.tree import tree_map


def plain_or(x: Any, otherwise: Any) -> Any:
    return plain(x) if known(x) else otherwise


def _template(name: str, x: Any, *data: Any, **options: Any) -> Any:
    """SciPy's own object for bare values: places 0, 1, 2, ... and zeros where there are none."""
    at = plain_or(x, np.arange(float(x.shape[0])))
    return of_scipy(name)(at, *(plain_or(y, np.zeros(y.shape)) for y in data), **options)


# cubic pieces ---------------------------------------------------------------------------------------------------


def _hermite(x: Any, y: Any, slopes: Any, template: Any) -> Pieces:
    """The cubic pieces of given values and slopes, along the first axis."""
    width = column(np.diff(x), y.ndim)
    chord = np.diff(y, axis=0) / width
    bend = (slopes[:-1] + slopes[1:] - 2.0 * chord) / width
    c = np.stack([bend / width, (chord - slopes[:-1]) / width - bend, slopes[:-1], y[:-1]])
    return Pieces(c, x, template.extrapolate, template.axis, type(template))


def hermite_spline(x: Any, y: Any, dydx: Any, axis: int = 0, extrapolate: Any = None) -> Pieces:
    x, y, slopes = places(x), doubles(y), doubles(dydx)
    template = _template("CubicHermiteSpline", x, y, slopes, axis=axis, extrapolate=extrapolate)
    return _hermite(x, np.moveaxis(y, axis, 0), np.moveaxis(slopes, axis, 0), template)


_ENDS = {"clamped": (1, 0.0), "natural": (2, 0.0)}


def cubic_spline(x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot", extrapolate: Any = None) -> Pieces:
    """Slopes that make the second derivative continuous: a tridiagonal system."""
    x, y = places(x), doubles(y)
    bare = tree_map(lambda v: plain_or(v, np.zeros(np.shape(v))), bc_type)
    template = _template("CubicSpline", x, y, axis=axis, bc_type=bare, extrapolate=extrapolate)
    y = np.moveaxis(y, axis, 0)
    ends = (bc_type, bc_type) if isinstance(bc_type, str) else tuple(bc_type)
    ends = tuple(_ENDS[end] if isinstance(end, str) and end in _ENDS else end for end in ends)
    width = np.diff(x)
    chord = np.diff(y, axis=0) / column(width, y.ndim)
    if ends[0] == "periodic" and len(x) > 2:
        slopes = _periodic(width, chord)
    elif len(x) == 3 and ends == ("not-a-knot", "not-a-knot"):  # one parabola
        bend = (chord[1] - chord[0]) / (width[0] + width[1])
        slopes = np.stack([chord[0] - bend * width[0], chord[0] + bend * width[0], chord[1] + bend * width[1]])
    else:
        slopes = _between(width, chord, ends)
    return _hermite(x, y, slopes, template)


def _end(end: Any, first: Any, second: Any, near: Any, next_one: Any, sign: float) -> tuple[Any, Any, Any]:
    """The equation of an end: the factors of its slope and of its neighbor's, and the right side."""
    if isinstance(end, str) and len(next_one):  # the third derivative is continuous at the neighbor
        both = first + second
        return second, both, ((first + 2.0 * both) * second * near + first**2 * next_one[0]) / both
    order, value = (1, near) if isinstance(end, str) else end
    if order == 1:
        return 1.0, 0.0, value + 0.0 * near
    return 2.0 * first, first, sign * 0.5 * array_of(value) * first**2 + 3.0 * near * first


def _between(width: Any, chord: Any, ends: tuple[Any, ...]) -> Any:
    low = _end(ends[0], width[0], width[1:2].sum(), chord[0], chord[1:2], -1.0)
    high = _end(ends[1], width[-1], width[-2:-1].sum(), chord[-1], chord[-2:-1], 1.0)
    w = column(width, chord.ndim)
    right = np.concatenate([low[2][None], 3.0 * (w[1:] * chord[:-1] + w[:-1] * chord[1:]), high[2][None]])
    none = np.zeros(1)
    bands = [
        np.concatenate([none, np.reshape(low[1], (1,)), width[:-1]]),
        np.concatenate([np.reshape(low[0], (1,)), 2.0 * (width[:-1] + width[1:]), np.reshape(high[0], (1,))]),
        np.concatenate([width[1:], np.reshape(high[1], (1,)), none]),
    ]
    return _solved(np.stack(bands), right)


def _solved(bands: Any, right: Any) -> Any:
    flat = np.reshape(right, (right.shape[0], -1))
    return np.reshape(solve_banded((1, 1), bands, flat), right.shape)


def _periodic(width: Any, chord: Any) -> Any:
    """All slopes but the last are of a tridiagonal system, bordered by that one."""
    before, w = np.roll(width, 1), column(width, chord.ndim)
    center, right = 2.0 * (before + width), 3.0 * (w * np.roll(chord, 1, axis=0) + np.roll(w, 1, axis=0) * chord)
    count, none = width.shape[0] - 1, np.zeros(1)
    bands = np.stack(
        [np.concatenate([none, before[: count - 1]]), center[:count], np.concatenate([width[1:count], none])]
    )
    first, last = np.eye(count)[0], np.eye(count)[-1]
    across = first * width[0] + last * before[count - 1]
    alone, moved = _solved(bands, right[:count]), _solved(bands, array_of(-across))
    share = first * before[count] + last * width[count]  # of these slopes in the last equation
    end = (right[count] - np.tensordot(share, alone, 1)) / (center[count] + np.dot(share, moved))
    slopes = alone + column(moved, chord.ndim) * end
    return np.concatenate([slopes, end[None], slopes[:1]])


def pchip(x: Any, y: Any, axis: int = 0, extrapolate: Any = None) -> Pieces:
    """Slopes by a weighted harmonic mean of the chords' beside them, 0 where these have not one sign."""
    x, y = places(x), doubles(y)
    template = _template("PchipInterpolator", x, y, axis=axis, extrapolate=extrapolate)
    y = np.moveaxis(y, axis, 0)
    w = column(np.diff(x), y.ndim)
    chord = np.diff(y, axis=0) / w
    if y.shape[0] == 2:
        return _hermite(x, y, np.concatenate([chord, chord]), template)
    together = chord[1:] * chord[:-1] > 0
    left, right = (np.where(together, part, 1.0) for part in (chord[:-1], chord[1:]))
    near, far = 2.0 * w[1:] + w[:-1], w[1:] + 2.0 * w[:-1]
    inside = np.where(together, (near + far) / (near / left + far / right), 0.0)
    first, last = _one_sided(w[0], w[1], chord[0], chord[1]), _one_sided(w[-1], w[-2], chord[-1], chord[-2])
    return _hermite(x, y, np.concatenate([first[None], inside, last[None]]), template)


def _one_sided(first: Any, second: Any, near: Any, far: Any) -> Any:
    made = ((2.0 * first + second) * near - first * far) / (first + second)
    steep = (np.sign(near) != np.sign(far)) & (np.abs(made) > 3.0 * np.abs(near))
    return np.where(np.sign(made) != np.sign(near), 0.0, np.where(steep, 3.0 * near, made))


_ALMOST = 1e-9  # of the largest change of slope: below it SciPy takes the mean


def akima(x: Any, y: Any, axis: int = 0, *, method: str = "akima", extrapolate: Any = None) -> Pieces:
    """Slopes between those of the chords beside, weighted by how much the chords further out change."""
    x, y = places(x), doubles(y)
    template = _template("Akima1DInterpolator", x, y, axis=axis, method=method, extrapolate=extrapolate)
    y = np.moveaxis(y, axis, 0)
    chord = np.diff(y, axis=0) / column(np.diff(x), y.ndim)
    if y.shape[0] == 2:
        return _hermite(x, y, np.concatenate([chord, chord]), template)
    below, above = 2.0 * chord[0] - chord[1], 2.0 * chord[-1] - chord[-2]
    around = [(2.0 * below - chord[0])[None], below[None], chord, above[None], (2.0 * above - chord[-1])[None]]
    m = np.concatenate(around)
    change = np.abs(np.diff(m, axis=0))
    if method == "makima":
        change = change + 0.5 * np.abs(m[1:] + m[:-1])
    after, before = change[2:], change[:-2]
    both = after + before
    told = both > _ALMOST * np.max(both)
    weighted = m[1:-2] + before / np.where(told, both, 1.0) * (m[2:-1] - m[1:-2])
    return _hermite(x, y, np.where(told, weighted, 0.5 * (m[3:] + m[:-3])), template)


def pieces(c: Any, x: Any, extrapolate: Any = None, axis: int = 0) -> Pieces:
    c, x = doubles(c), places(x)
    zeros = plain_or(c, np.zeros(c.shape))
    template = of_scipy("PPoly")(zeros, plain_or(x, np.arange(float(x.shape[0]))), extrapolate=extrapolate, axis=axis)
    if known(x) and plain(x)[0] > plain(x)[-1]:
        raise UnsupportedError("PPoly of traced values on descending places", where=here(), fix="let them ascend")
    first = (axis, axis + 1)
    return Pieces(np.moveaxis(c, first, (0, 1)), x, template.extrapolate, template.axis, type(template))


# B-splines ------------------------------------------------------------------------------------------------------


def spline(t: Any, c: Any, k: int, extrapolate: Any = True, axis: int = 0) -> Spline:
    t, c = places(t), doubles(c)
    template = of_scipy("BSpline")(plain_or(t, np.arange(float(t.shape[0]))), np.zeros(c.shape), k, extrapolate, axis)
    return Spline(t, np.moveaxis(c, axis, 0), template.k, template.extrapolate, template.axis, type(template))


def make_interp_spline(x: Any, y: Any, k: int = 3, t: Any = None, bc_type: Any = None, axis: int = 0,
                       check_finite: bool = True) -> Spline:  # fmt: skip
    """The coefficients are the solution of a banded system, that of the basis at the places."""
    if any_traced((x, t)):
        raise UnsupportedError("make_interp_spline of traced places", where=here(),
                               why="its knots are found with plain numbers",
                               fix="give plain x and t, or use CubicSpline, which takes traced places")  # fmt: skip
    x, y = places(x), doubles(y)
    bare = tree_map(lambda v: plain_or(v, np.zeros(np.shape(v))), bc_type)
    template = _template("make_interp_spline", x, y, k=k, t=t, bc_type=bare, axis=axis)
    y = np.moveaxis(y, axis, 0)
    t, k = template.t, template.k
    if k > 1 or t is not None:
        y = coefficients(x, y, t, k, bc_type)
    return Spline(t, y, k, template.extrapolate, template.axis, type(template))


def coefficients(x: Any, y: Any, t: Any, k: int, bc_type: Any) -> Any:
    if isinstance(bc_type, str) and bc_type == "periodic":
        units = np.concatenate([np.eye(len(x) - 1), np.eye(len(x) - 1)[:1]])
        return np.tensordot(of_scipy("make_interp_spline")(x, units, k, bc_type="periodic").c, y[:-1], 1)
    count = len(t) - k - 1
    sides = (bc_type, bc_type) if bc_type is None or isinstance(bc_type, str) else bc_type
    left, right = ([_ENDS[side]] if side in ("clamped", "natural") else [] if side in (None, "not-a-knot") else
                   list(side) for side in sides)  # fmt: skip
    inside = of_scipy("BSpline").design_matrix(x, t, k).tocoo()
    rows = [inside.row + len(left), *([i] * (k + 1) for i in range(len(left)))]
    columns, entries = [inside.col], [inside.data]
    rows += [[count - len(right) + i] * (k + 1) for i in range(len(right))]
    for end, orders in ((x[0], left), (x[-1], right)):
        first = int(np.clip(np.searchsorted(t, end, "right") - 1, k, count - 1)) - k
        basis = of_scipy("BSpline")(t, np.eye(count, k + 1, -first), k)
        columns += [np.arange(first, first + k + 1)] * len(orders)
        entries += [basis(end, order) for order, _ in orders]
    row, col = np.concatenate(rows), np.concatenate(columns)
    bands = np.zeros((2 * k + 1, count))
    bands[k + row - col, col] = np.concatenate(entries)
    values = [[np.zeros((1, *y.shape[1:])) + value for _, value in side] for side in (left, right)]
    flat = np.reshape(np.concatenate([*values[0], y, *values[1]]), (count, -1))
    return np.reshape(solve_banded((k, k), bands, flat), (count, *y.shape[1:]))


def splev(x: Any, tck: Any, der: int = 0, ext: int = 0) -> Any:
    if isinstance(tck, of_scipy("BSpline")):
        return evaluated(tck, x, der, tck.extrapolate)
    return _fitpack(x, *tck, der, ext)


_BEYOND = {"extrapolate": 0, "zeros": 1, "raise": 2, "const": 3}


def _fitpack(x: Any, t: Any, c: Any, k: int, nu: int, ext: Any) -> Any:
    """FITPACK's spline, and its ways beyond the ends."""
    x, t, c = doubles(x), places(t), doubles(c)
    low, high, ext = t[k], t[-k - 1], _BEYOND.get(ext, ext)
    if c.ndim != 1:
        raise UnsupportedError("splev of traced values with several splines", where=here(), fix="take one at a time")
    inside = (x >= low) & (x <= high)
    if ext == 2 and known(inside) and not np.all(plain(inside)):
        raise ValueError("A value in x is outside of the base interval of the spline")
    if ext == 3:
        x = np.clip(x, low, high)
    made = evaluated(Spline(t, c, k, True, 0, of_scipy("BSpline")), x, nu)
    return made if ext in (0, 3) else np.where(inside, made, 0.0 if ext == 1 else np.nan)


# tables ---------------------------------------------------------------------------------------------------------


def out_of_bounds(outside: Any, bounds_error: Any) -> None:
    """Without numbers nobody can tell: there the answer is NaN."""
    if bounds_error and known(outside) and np.any(plain(outside)):
        raise ValueError("a place to interpolate at is out of bounds")


class Table(Curve):
    """What SciPy's interp1d is: y on places x, by `kind`; spline: that of the kinds that are one."""

    def __init__(self, x: Any, y: Any, template: Any, spline: Any):
        super().__init__(of_scipy("interp1d"))
        self.x, self.y, self.axis, self.kind, self.spline = x, y, template.axis, template._kind, spline
        self.fill_value, self.bounds_error = template.fill_value, template.bounds_error

    def __call__(self, x: Any) -> Any:
        return _looked_up(self, x)


def table(x: Any, y: Any, kind: Any = "linear", axis: int = -1, copy: bool = True, bounds_error: Any = None,
          fill_value: Any = np.nan, assume_sorted: bool = False) -> Table:  # fmt: skip
    x, y = places(x), doubles(y)
    bare = tree_map(lambda v: plain_or(v, np.zeros(np.shape(v))), fill_value)
    options = {"kind": kind, "axis": axis, "bounds_error": bounds_error, "assume_sorted": assume_sorted}
    template = _template("interp1d", x, y, fill_value=bare, **options)
    if not assume_sorted:
        order = np.argsort(x, kind="stable")
        x, y = x[order], taken(np.moveaxis(y, axis, 0), order)
    else:
        y = np.moveaxis(y, axis, 0)
    is_spline = template._kind == "spline"
    made = Table(x, y, template, make_interp_spline(x, y, template._spline.k) if is_spline else None)
    made.fill_value = fill_value  # SciPy's may have become values of its y
    return made


def _looked_up(table: Any, place: Any) -> Any:
    place = doubles(place)
    flat, x, kind, axis = np.reshape(place, (-1,)), table.x, table.kind, table.axis
    y, count = table.y, x.shape[0]
    if kind == "spline":
        made = evaluated(table.spline, flat)
    elif kind == "linear":
        after = np.clip(np.searchsorted(x, flat), 1, count - 1)
        (x0, x1), (y0, y1) = ([taken(a, i) for i in (after - 1, after)] for a in (x, y))
        made = y0 + (y1 - y0) / column(x1 - x0, y.ndim) * column(flat - x0, y.ndim)
    else:
        breaks = x[1:] / 2.0 + x[:-1] / 2.0 if kind.startswith("nearest") else x
        side = "left" if kind in ("nearest", "next") else "right"
        at = np.searchsorted(breaks, flat, side=side) - (1 if kind == "previous" else 0)
        made = taken(y, np.clip(at, 0, count - 1)) + 0.0 * column(flat, y.ndim)
    fill = table.fill_value
    below, above = flat < x[0], flat > x[-1]
    if not (isinstance(fill, str) and fill == "extrapolate"):
        out_of_bounds(below | above, table.bounds_error)
        ends = fill if isinstance(fill, tuple) else (fill, fill)
        for beyond, value in zip((below, above), ends, strict=True):
            made = np.where(column(beyond, made.ndim), value, made)
    elif kind in ("previous", "next"):
        made = np.where(column(below if kind == "previous" else above, made.ndim), np.nan, made)
    shape, rest = place.shape, made.shape[1:]
    order = [*range(len(shape), len(shape) + axis), *range(len(shape)), *range(len(shape) + axis, len(shape + rest))]
    return np.transpose(np.reshape(made, shape + rest), order)


# what is answered -----------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Any] = {
    "CubicSpline": cubic_spline, "CubicHermiteSpline": hermite_spline, "PchipInterpolator": pchip,
    "Akima1DInterpolator": akima, "PPoly": pieces, "BSpline": spline, "make_interp_spline": make_interp_spline,
    "interp1d": table, "splev": splev,
    "pchip_interpolate": lambda xi, yi, x, der=0, axis=0: pchip(xi, yi, axis)(x, der),
}  # fmt: skip


def _curve(curve: Any, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
    return evaluated(_by_powers(curve), x, nu, extrapolate)


def _by_powers(curve: Any) -> Any:
    """A plain curve in powers, where it is one in Bernstein's basis."""
    if isinstance(curve, of_scipy("BPoly")):
        curve = of_scipy("PPoly").from_bernstein_basis(curve)
    if isinstance(curve, of_scipy("PPoly")) and curve.x[0] > curve.x[-1]:
        raise UnsupportedError("a curve on descending places at a traced one", where=here(), fix="let them ascend")
    return curve


def _area(curve: Any, a: Any, b: Any, extrapolate: Any = None) -> Any:
    return integrated(_by_powers(curve), a, b, extrapolate)


def _of_table(table: Any, x: Any) -> Any:
    y, curve = np.moveaxis(table.y, table.axis, 0), getattr(table, "_spline", None)
    if curve is not None:  # SciPy keeps its coefficients flat
        curve = Spline(curve.t, curve.c.reshape(-1, *y.shape[1:]), curve.k, True, 0, type(curve))
    return _looked_up(Table(table.x, y, table, curve), x)


def _of_fitpack(spline: Any, x: Any, nu: int = 0, ext: Any = None) -> Any:
    return _fitpack(x, *spline._eval_args, nu, spline.ext if ext is None else ext)


# of SciPy's objects that hold plain numbers, at traced places
METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "PPoly": {"__call__": _curve, "integrate": _area},
    "BPoly": {"__call__": _curve, "integrate": _area},
    "BSpline": {"__call__": _curve, "integrate": _area},
    "interp1d": {"__call__": _of_table},
    "UnivariateSpline": {"__call__": _of_fitpack},
}
