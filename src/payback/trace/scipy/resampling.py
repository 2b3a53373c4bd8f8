"""`scipy.ndimage` of traced values: splines on a grid, looked at elsewhere: by the image, and by where it is looked at.

Along each axis a place is moved into the grid by the mode, then the `order + 1` nearest coefficients are weighted.
Coefficients of the orders above 1 solve a banded system, which is factored once for a length.  (P. Thévenaz, T. Blu &
M. Unser, Interpolation revisited, 2000.)
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.errors import InputError, UnsupportedError
from payback.ops.constant_systems import Factors
from payback.trace.array import Traced, plain
from payback.trace.dispatch import emit, here
from payback.trace.numpy.map import astype
from payback.trace.numpy.products import array_of
from payback.trace.tree import is_complex

_PADDED = {"nearest": "edge", "grid-constant": "constant"}  # modes that SciPy has no exact end conditions for
_BESIDE = 12  # entries that it puts beside the image in these
_FEW = 64  # samples whose filter is a product with a matrix
_MODES = {"reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap"}


class _Image(NamedTuple):
    """Coefficients, in float64, and how they are looked at."""

    c: Any
    order: int
    mode: str
    cval: Any
    beside: int


# coefficients ---------------------------------------------------------------------------------------------------


def _weights(s: Any, order: int) -> list[Any]:
    """Of the order + 1 coefficients around a place, s from the knot before it: the recursion of B-splines."""
    made: list[Any] = [1.0]
    for p in range(1, order + 1):
        made = [
            ((s + (p - j)) * made[j - 1] if j else 0.0) / p + (((1 + j) - s) * made[j] if j < p else 0.0) / p
            for j in range(p + 1)
        ]
    return made


def _neighbor(i: Any, n: int, mode: str) -> Any:
    """The entry that stands for the i-th, which may be beyond an end."""
    if n == 1:
        return 0 * i
    if mode in ("reflect", "grid-mirror"):
        i = np.remainder(i, 2 * n)
        return np.minimum(i, 2 * n - 1 - i)
    if mode == "grid-wrap":
        return np.remainder(i, n)
    if mode in ("nearest", "grid-constant"):
        return np.clip(i, 0, n - 1)
    i = np.remainder(i, 2 * n - 2)
    return np.minimum(i, 2 * n - 2 - i)


@functools.lru_cache(maxsize=64)
def _factors(n: int, order: int, mode: str) -> Factors:
    """What solves for the coefficients of n samples."""
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    half, ends = order // 2, {"nearest": "reflect", "grid-constant": "mirror"}.get(mode, mode)
    at = np.arange(n)
    weights = np.array(_weights(0.5 if order % 2 == 0 else 0.0, order))
    columns = np.concatenate([_neighbor(at + j - half, n, ends) for j in range(order + 1)])
    matrix = csc_array((np.repeat(weights, n), (np.tile(at, order + 1), columns)), shape=(n, n))
    kept = splu(matrix.tocsc())
    return Factors(kept.solve, lambda b: kept.solve(b, trans="T"))


@functools.lru_cache(maxsize=64)
def _matrix(n: int, order: int, mode: str) -> Any:
    """What SciPy's filter does to few samples, to the last digit: its first term is not exact in every mode."""
    from scipy import ndimage

    return ndimage.spline_filter1d(np.eye(n), order, 0, mode=mode)


def _filtered(x: Any, order: int, axis: int, mode: str) -> Any:
    n = x.shape[axis]
    if order < 2 or n < 2:
        return x
    columns = np.moveaxis(x, axis, 0)
    if n <= _FEW:
        return np.moveaxis(np.tensordot(_matrix(n, order, mode), columns, 1), 0, axis)
    made = emit("solve_constant", np.reshape(columns, (n, -1)), factors=_factors(n, order, mode))
    return np.moveaxis(np.reshape(made, columns.shape), 0, axis)


def _image(name: str, x: Any, order: int, mode: str, cval: Any, prefilter: bool, output: Any) -> _Image:
    if not 0 <= order <= 5:
        raise RuntimeError("spline order not supported")  # SciPy's words
    if mode not in _MODES or output is not None:
        raise UnsupportedError(f"scipy.ndimage.{name} of traced values with "
                               f"{'output=' if output is not None else f'mode={mode!r}'}", where=here(),
                               why=f"the modes are {', '.join(sorted(_MODES))}", fix="leave it away")  # fmt: skip
    if x.dtype.kind != "f":
        raise UnsupportedError(f"scipy.ndimage.{name} of whole numbers", where=here(), why="SciPy rounds the results",
                               fix="give x.astype(float)")  # fmt: skip
    x, beside = astype(x, np.float64), 0
    if prefilter and order > 1:
        if mode in _PADDED:
            beside = _BESIDE
            options = {"constant_values": cval} if mode == "grid-constant" else {}
            x = np.pad(x, beside, _PADDED[mode], **options)
        for axis in range(x.ndim):
            x = _filtered(x, order, axis, mode)
    return _Image(x, order, mode, cval, beside)


# places ---------------------------------------------------------------------------------------------------------


class _Places(NamedTuple):
    """Along one axis: which entries, their weights, and where there is none (None: nowhere)."""

    entries: list[Any]
    weights: list[Any]
    outside: Any
    missing: list[Any]


def _moved(c: Any, n: int, mode: str) -> tuple[Any, Any]:
    """Places in the grid for any, and which of them have none."""
    if mode == "constant":
        outside = (c < 0) | (c > n - 1)
        return np.where(outside, 0.0, c), outside
    if mode in ("nearest", "grid-constant"):
        return c, None
    if n == 1:
        return 0.0 * c, None
    if mode == "mirror":
        return _folded(c, 2.0 * n - 2.0, n, n - 1.0, 0.0), None
    if mode == "wrap":  # of a period that is one entry less; below it ends with the last entry
        below, above = (n - 1.0) - np.remainder(-c, n - 1.0), np.remainder(c, n - 1.0)
        return np.where(c < 0, below, np.where(c > n - 1, above, c)), None
    if mode == "grid-wrap":
        return np.remainder(c, float(n)), None
    return _folded(c, 2.0 * n, n, np.nextafter(n, n + 1.0), 1.0), None


def _folded(c: Any, period: float, n: int, turn: float, once: float) -> Any:
    """Turned around at both ends, where SciPy does it: a knot in the middle of two entries has two sides."""
    below, above = np.remainder(-c, period), np.remainder(c, period)
    below = np.where(below >= turn, period - below, below - once)
    above = np.where(above >= n, period - once - above, above)
    return np.where(c < 0, below, np.where(c > n - 1, above, c))


def _places(c: Any, n: int, image: _Image) -> _Places:
    order, half = image.order, image.order // 2
    c, outside = _moved(c + image.beside if image.beside else c, n, image.mode)
    shifted = c if order % 2 else c + 0.5
    knot = np.floor(shifted)
    weights = _weights(shifted - knot, order)
    first = knot.astype(int) - half
    entries = [first + j for j in range(order + 1)]
    missing = [(i < 0) | (i >= n) for i in entries] if image.mode == "grid-constant" else []
    return _Places([_neighbor(i, n, image.mode) for i in entries], weights, outside, missing)


def _looked_at(image: _Image, coordinates: Sequence[Any]) -> Any:
    """The spline at places of one shape, a coordinate for each axis: all coefficients are read at once."""
    along = [_places(c, n, image) for c, n in zip(coordinates, image.c.shape, strict=True)]
    rank, count = len(along), image.order + 1

    def laid(parts: list[Any], axis: int) -> Any:
        stacked = np.stack([np.broadcast_to(part, coordinates[0].shape) for part in parts])
        shape = (1,) * axis + (count,) + (1,) * (rank - 1 - axis) + stacked.shape[1:]
        return np.reshape(stacked, shape)

    read = image.c[tuple(laid(places.entries, axis) for axis, places in enumerate(along))]
    missing = [laid(places.missing, axis) for axis, places in enumerate(along) if places.missing]
    if missing:
        read = np.where(functools.reduce(np.logical_or, missing), image.cval, read)
    for axis, places in enumerate(along):
        read = read * laid(places.weights, axis) if image.order else read
    made = np.sum(read, axis=tuple(range(rank)))
    outside = [places.outside for places in along if places.outside is not None]
    return np.where(functools.reduce(np.logical_or, outside), image.cval, made) if outside else made


def _by_axes(image: _Image, coordinates: Sequence[Any]) -> Any:
    """The spline on a grid of places: along one axis after the other."""
    made, beyond = image.c, []
    for axis, c in enumerate(coordinates):
        places = _places(c, image.c.shape[axis], image)
        column = (-1,) + (1,) * (made.ndim - 1 - axis)
        total: Any = 0.0
        for j, (entry, weight) in enumerate(zip(places.entries, places.weights, strict=True)):
            part = np.take(made, entry, axis=axis)
            if places.missing:
                part = np.where(np.reshape(places.missing[j], column), image.cval, part)
            total = total + part * np.reshape(weight, column if np.ndim(weight) else ())
        made = total
        if places.outside is not None:
            beyond.append(np.reshape(places.outside, column))
    return np.where(functools.reduce(np.logical_or, beyond), image.cval, made) if beyond else made


# SciPy's functions ----------------------------------------------------------------------------------------------


def _by_parts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Of complex images too: each part for itself."""

    @functools.wraps(function)
    def of(input: Any, *args: Any, cval: Any = 0.0, **kwargs: Any) -> Any:
        if not is_complex(input):
            return function(array_of(input), *args, cval=cval, **kwargs)
        re, im = (function(array_of(part), *args, cval=c, **kwargs)
                  for part, c in ((input.real, np.real(cval)), (input.imag, np.imag(cval))))  # fmt: skip
        return re + 1j * im

    return of


@_by_parts
def map_coordinates(input: Any, coordinates: Any, output: Any = None, order: int = 3, mode: str = "constant",
                    cval: Any = 0.0, prefilter: bool = True) -> Any:  # fmt: skip
    coordinates = array_of(coordinates)
    if coordinates.shape[0] != input.ndim:
        raise RuntimeError("invalid shape for coordinate array")
    image = _image("map_coordinates", input, order, mode, cval, prefilter, output)
    places = [astype(coordinates[k], np.float64) for k in range(input.ndim)]
    return astype(_looked_at(image, places), input.dtype)


def _each(value: Any, count: int) -> list[Any]:
    value = array_of(value)
    if value.ndim == 0:
        return [value] * count
    if len(value) != count:
        raise RuntimeError("sequence argument must have length equal to input rank")
    return [value[k] for k in range(count)]


@_by_parts
def shift(input: Any, shift: Any, output: Any = None, order: int = 3, mode: str = "constant", cval: Any = 0.0,
          prefilter: bool = True) -> Any:  # fmt: skip
    image = _image("shift", input, order, mode, cval, prefilter, output)
    moved = _each(shift, input.ndim)
    made = _by_axes(image, [np.arange(float(n)) + -by for n, by in zip(input.shape, moved, strict=True)])
    return astype(made, input.dtype)


@_by_parts
def zoom(input: Any, zoom: Any, output: Any = None, order: int = 3, mode: str = "constant", cval: Any = 0.0,
         prefilter: bool = True, *, grid_mode: bool = False) -> Any:  # fmt: skip
    """Into a shape that has no derivative by the zoom; where each entry lies, the shapes say."""
    factors = _each(plain(array_of(zoom)), input.ndim)
    if all(z == 1 for z in factors) and prefilter:
        return +input
    image = _image("zoom", input, order, mode, cval, prefilter, output)
    places = []
    for n, z in zip(input.shape, factors, strict=True):
        count = round(n * z)
        less = 0 if grid_mode else 1
        step = (n - less) / (count - less) if count != less else 1.0
        at = np.arange(float(count))
        places.append((at + 0.5) * step - 0.5 if grid_mode else at * step)
    return astype(_by_axes(image, places), input.dtype)


@_by_parts
def affine_transform(
    input: Any, matrix: Any, offset: Any = 0.0, output_shape: Any = None, output: Any = None, order: int = 3,
    mode: str = "constant", cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    image = _image("affine_transform", input, order, mode, cval, prefilter, output)
    matrix, rank = array_of(matrix), input.ndim
    shape = tuple(input.shape if output_shape is None else output_shape)
    if matrix.ndim == 2 and matrix.shape[1] == rank + 1:  # of homogeneous coordinates
        matrix, offset = matrix[:rank, :rank], matrix[:rank, rank]
    if matrix.shape not in ((rank,), (rank, len(shape))):
        raise RuntimeError(f"no affine matrix of shape {matrix.shape} for {rank} axes")
    offset = _each(offset, rank)
    if matrix.ndim == 1:
        places = [(np.arange(float(n)) + b / a) * a for n, a, b in zip(shape, matrix, offset, strict=True)]
        return astype(_by_axes(image, places), input.dtype)
    grid = np.meshgrid(*[np.arange(float(n)) for n in shape], indexing="ij")
    rows = [functools.reduce(np.add, (at * a for at, a in zip(grid, row, strict=True))) for row in matrix]
    return astype(_looked_at(image, [at + by for at, by in zip(rows, offset, strict=True)]), input.dtype)


@_by_parts
def rotate(input: Any, angle: Any, axes: Any = (1, 0), reshape: bool = True, output: Any = None, order: int = 3,
           mode: str = "constant", cval: Any = 0.0, prefilter: bool = True) -> Any:  # fmt: skip
    """About the middle of two axes, into a shape that has no derivative by the angle."""
    from scipy import special

    if input.ndim < 2 or len(axes) != 2 or axes[0] % input.ndim == axes[1] % input.ndim:
        raise InputError(f"scipy.ndimage.rotate in the axes {tuple(axes)} of an array of {input.ndim}", where=here(),
                         fix="give two axes of the array")  # fmt: skip
    i, j = sorted(axis % input.ndim for axis in axes)
    plane = np.array([input.shape[i], input.shape[j]])
    turn = [
        emit(name, angle) if isinstance(angle, Traced) else getattr(special, name)(angle) for name in ("cosdg", "sindg")
    ]
    rows = [[turn[0], turn[1]], [-turn[1], turn[0]]]
    shape = plane
    if reshape:
        c, s = (float(plain(part)) for part in turn)
        corners = np.array([[c, s], [-s, c]]) @ np.array([[0, 0, plane[0], plane[0]], [0, plane[1], 0, plane[1]]])
        shape = (np.ptp(corners, axis=1) + 0.5).astype(int)
    middle = [
        (plane[k] - 1) / 2 - (rows[k][0] * ((shape[0] - 1) / 2) + rows[k][1] * ((shape[1] - 1) / 2)) for k in (0, 1)
    ]
    others = [axis for axis in range(input.ndim) if axis not in (i, j)]
    turned = np.transpose(input, (*others, i, j))
    matrix = np.stack([np.stack(row) for row in rows])
    options = {"order": order, "mode": mode, "prefilter": prefilter, "cval": cval, "output": output}
    planes = [affine_transform(turned[at], matrix, middle, tuple(shape), **options)
              for at in itertools.product(*[range(input.shape[axis]) for axis in others])]  # fmt: skip
    made = np.reshape(np.stack(planes), (*[input.shape[axis] for axis in others], *shape))
    return np.transpose(made, np.argsort([*others, i, j]))


def spline_filter1d(input: Any, order: int = 3, axis: int = -1, output: Any = np.float64, mode: str = "mirror") -> Any:
    x = array_of(input)
    return astype(_filtered(astype(x, np.float64), order, axis % x.ndim, mode), output)


def spline_filter(input: Any, order: int = 3, output: Any = np.float64, mode: str = "mirror") -> Any:
    x = array_of(input)
    for axis in range(x.ndim):
        x = spline_filter1d(x, order, axis, np.float64, mode)
    return astype(x, output)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (map_coordinates, shift, zoom, affine_transform, rotate, spline_filter1d, spline_filter)
}  # fmt: skip
