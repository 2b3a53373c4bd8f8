"""`scipy.ndimage` of traced values: filters with constant weights, as sums of shifted slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import Traced
from payback.trace.dispatch import here
from payback.trace.numpy.map import astype
from payback.trace.numpy.products import array_of
from payback.trace.plain_arrays import decides, now

# SciPy's names of what lies beyond the edges, and NumPy's
_MODES = {"reflect": "symmetric", "grid-mirror": "symmetric", "constant": "constant", "grid-constant": "constant",
          "nearest": "edge", "mirror": "reflect", "wrap": "wrap", "grid-wrap": "wrap"}  # fmt: skip


def _along(x: Any, weights: Any, axis: int, mode: str, cval: Any, origin: int) -> Any:
    """Σ weights[k] · x[i + k − size // 2 − origin] along an axis."""
    size = len(weights)
    before = size // 2 + origin
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, size - 1 - before)
    if min(widths[axis]) < 0:
        raise ValueError("Invalid origin; origin must satisfy -(len(weights) // 2) <= origin <= (len(weights)-1) // 2")
    options = {"constant_values": cval} if _MODES[mode] == "constant" else {}
    padded = np.moveaxis(np.pad(x, widths, _MODES[mode], **options), axis, 0)
    n, made = x.shape[axis], 0.0
    for k, weight in enumerate(weights):
        if weight != 0:
            made = made + weight * padded[k : k + n]
    return np.moveaxis(made, 0, axis)


def _input(name: str, x: Any, output: Any, mode: Any, weights: Any = ()) -> Any:
    if output is not None or mode not in _MODES or isinstance(now(weights), Traced):
        what = "output=" if output is not None else f"mode={mode!r}" if mode not in _MODES else "traced weights"
        raise UnsupportedError(f"scipy.ndimage.{name} of traced values with {what}", where=here(),
                               fix="add up shifted slices of np.pad(x, ...)")  # fmt: skip
    decides(now(weights))
    return array_of(x)


def correlate1d(input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect", cval: float = 0.0,
                origin: int = 0) -> Any:  # fmt: skip
    x = _input("correlate1d", input, output, mode, weights)
    return _along(x, np.asarray(weights, x.dtype).tolist(), axis, mode, cval, origin)


def convolve1d(input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect", cval: float = 0.0,
               origin: int = 0) -> Any:  # fmt: skip
    x = _input("convolve1d", input, output, mode, weights)
    turned = -origin - (len(weights) % 2 == 0)
    return _along(x, np.asarray(weights, x.dtype)[::-1].tolist(), axis, mode, cval, turned)


def correlate(input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: float = 0.0,
              origin: Any = 0) -> Any:  # fmt: skip
    """Σ weights[k] · x[i + k − size // 2 − origin] along all axes; the weights may be traced."""
    return _in_all("correlate", input, weights, output, mode, cval, origin)


def convolve(input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: float = 0.0,
             origin: Any = 0) -> Any:  # fmt: skip
    weights = array_of(weights)
    turned = [-shift - (size % 2 == 0) for size, shift in zip(weights.shape, _each(origin, weights.shape), strict=True)]
    return _in_all("convolve", input, np.flip(weights), output, mode, cval, turned)


def _in_all(name: str, input: Any, weights: Any, output: Any, mode: str, cval: Any, origin: Any) -> Any:
    x, weights = _input(name, input, output, mode), array_of(weights)
    if x.dtype.kind != "f":
        raise UnsupportedError(f"scipy.ndimage.{name} of whole numbers", where=here(),
                               why="SciPy rounds the results", fix="give x.astype(float)")  # fmt: skip
    if weights.ndim != x.ndim:
        raise RuntimeError("weights.ndim must match input.ndim")  # SciPy's words
    before = [size // 2 + shift for size, shift in zip(weights.shape, _each(origin, weights.shape), strict=True)]
    widths = [(first, size - 1 - first) for first, size in zip(before, weights.shape, strict=True)]
    if min(map(min, widths), default=0) < 0:
        raise ValueError("Invalid origin; origin must satisfy -(weights.shape[k] // 2) <= origin[k] <= "
                         "(weights.shape[k]-1) // 2")  # fmt: skip
    options = {"constant_values": cval} if _MODES[mode] == "constant" else {}
    padded, weights = np.pad(x, widths, _MODES[mode], **options), astype(weights, x.dtype)
    made: Any = np.zeros_like(x)
    for at in np.ndindex(*weights.shape):
        if isinstance(weights, Traced) or weights[at] != 0:
            made = made + weights[at] * padded[tuple(map(slice, at, np.add(at, x.shape)))]
    return made


def _gaussian(sigma: float, order: int, radius: int) -> Any:
    """Samples of a Gaussian of the sum 1, or of its derivative: that is a polynomial times it."""
    x = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 / sigma**2 * x**2)
    bell /= bell.sum()
    factor = np.polynomial.Polynomial([1.0])
    for _ in range(order):
        factor = factor.deriv() - factor * np.polynomial.Polynomial([0.0, 1.0]) / sigma**2
    return factor(x) * bell


def gaussian_filter1d(
    input: Any, sigma: float, axis: int = -1, order: int = 0, output: Any = None, mode: str = "reflect",
    cval: float = 0.0, truncate: float = 4.0, *, radius: Any = None,
) -> Any:  # fmt: skip
    x = _input("gaussian_filter1d", input, output, mode, sigma)
    reach = int(truncate * float(sigma) + 0.5) if radius is None else int(radius)
    weights = _gaussian(float(sigma), order, reach)[::-1]
    return _along(x, weights.tolist(), axis, mode, cval, 0)


def _each(value: Any, axes: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list, np.ndarray)) else [value] * len(axes)


def gaussian_filter(
    input: Any, sigma: Any, order: Any = 0, output: Any = None, mode: Any = "reflect", cval: float = 0.0,
    truncate: float = 4.0, *, radius: Any = None, axes: Any = None,
) -> Any:  # fmt: skip
    x = array_of(input)
    axes = range(x.ndim) if axes is None else axes if isinstance(axes, (tuple, list)) else [axes]
    given = [_each(value, axes) for value in (sigma, order, mode, radius)]
    for axis, one, degree, beyond, reach in zip(axes, *given, strict=True):
        if one > 1e-15:
            x = gaussian_filter1d(x, one, axis, degree, output, beyond, cval, truncate, radius=reach)
    return x


def uniform_filter1d(input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
                     cval: float = 0.0, origin: int = 0) -> Any:  # fmt: skip
    x = _input("uniform_filter1d", input, output, mode)
    return _along(x, [1.0 / size] * size, axis, mode, cval, origin)


def uniform_filter(input: Any, size: Any = 3, output: Any = None, mode: Any = "reflect", cval: float = 0.0,
                   origin: Any = 0) -> Any:  # fmt: skip
    x = array_of(input)
    axes = range(x.ndim)
    for axis, one, beyond, shift in zip(axes, *(_each(v, axes) for v in (size, mode, origin)), strict=True):
        x = uniform_filter1d(x, one, axis, output, beyond, cval, shift)
    return x


def _edges(name: str, smooth: list[float]) -> Callable[..., Any]:
    """A difference along one axis, smoothed along the others."""

    def of(input: Any, axis: int = -1, output: Any = None, mode: str = "reflect", cval: float = 0.0) -> Any:
        x = _input(name, input, output, mode)
        axis %= x.ndim
        for k in range(x.ndim):
            x = _along(x, [-1.0, 0.0, 1.0] if k == axis else smooth, k, mode, cval, 0)
        return x

    return of


def laplace(input: Any, output: Any = None, mode: str = "reflect", cval: float = 0.0) -> Any:
    x = _input("laplace", input, output, mode)
    return sum(_along(x, [1.0, -2.0, 1.0], axis, mode, cval, 0) for axis in range(x.ndim))


def gaussian_laplace(input: Any, sigma: Any, output: Any = None, mode: Any = "reflect", cval: float = 0.0,
                     **options: Any) -> Any:  # fmt: skip
    return sum(_of_gaussian(input, sigma, 2, output, mode, cval, options))


def gaussian_gradient_magnitude(input: Any, sigma: Any, output: Any = None, mode: Any = "reflect", cval: float = 0.0,
                                **options: Any) -> Any:  # fmt: skip
    return np.sqrt(sum(part**2 for part in _of_gaussian(input, sigma, 1, output, mode, cval, options)))


def _of_gaussian(x: Any, sigma: Any, order: int, output: Any, mode: Any, cval: Any, options: Any) -> list[Any]:
    x = array_of(x)
    return [gaussian_filter(x, sigma, [order * (k == axis) for k in range(x.ndim)], output, mode, cval, **options)
            for axis in range(x.ndim)]  # fmt: skip


def _windows(name: str, x: Any, size: Any, given: dict[str, Any], mode: Any, cval: Any, output: Any) -> Any:
    """What lies around each entry, along a last axis."""
    for option, value in given.items():
        if value is not None and not (option == "origin" and value == 0):
            raise UnsupportedError(f"scipy.ndimage.{name} of traced values with {option}=", where=here(),
                                   fix="give size= alone")  # fmt: skip
    x = _input(name, x, output, mode)
    sizes = [int(one) for one in _each(size, range(x.ndim))]
    widths = [(one // 2, one - 1 - one // 2) for one in sizes]
    options = {"constant_values": cval} if _MODES[mode] == "constant" else {}
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, widths, _MODES[mode], **options), sizes)
    return np.reshape(windows, (*x.shape, -1))


def _of_windows(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def of(input: Any, size: Any = None, footprint: Any = None, output: Any = None, mode: str = "reflect",
           cval: float = 0.0, origin: Any = 0, **options: Any) -> Any:  # fmt: skip
        given = {"footprint": footprint, "origin": origin, **options}
        return function(_windows(name, input, size, given, mode, cval, output))

    return of


def _ranked(name: str, which: Callable[[Any, int], int]) -> Callable[..., Any]:
    def of(input: Any, rank: Any, size: Any = None, footprint: Any = None, output: Any = None, mode: str = "reflect",
           cval: float = 0.0, origin: Any = 0, **options: Any) -> Any:  # fmt: skip
        given = {"footprint": footprint, "origin": origin, **options}
        windows = _windows(name, input, size, given, mode, cval, output)
        return np.sort(windows, axis=-1)[..., which(rank, windows.shape[-1])]

    return of


def _percentile(percentile: Any, n: int) -> int:
    """As SciPy, which rounds down."""
    percentile = percentile + 100.0 if percentile < 0 else percentile
    return n - 1 if percentile == 100.0 else int(float(n) * percentile / 100.0)


def _grey(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def of(input: Any, size: Any = None, footprint: Any = None, structure: Any = None, output: Any = None,
           mode: str = "reflect", cval: float = 0.0, origin: Any = 0, **options: Any) -> Any:  # fmt: skip
        given = {"footprint": footprint, "structure": structure, "origin": origin, **options}
        if name == "grey_dilation":  # its neighborhood is mirrored
            x = np.flip(array_of(input))
            return np.flip(function(_windows(name, x, size, given, mode, cval, output)))
        return function(_windows(name, input, size, given, mode, cval, output))

    return of


def center_of_mass(input: Any, labels: Any = None, index: Any = None) -> Any:
    if labels is not None or index is not None:
        raise UnsupportedError("scipy.ndimage.center_of_mass of traced values with labels", where=here(),
                               fix="multiply by a mask for each label")  # fmt: skip
    x = array_of(input)
    return tuple(np.sum(x * place) / np.sum(x) for place in np.indices(x.shape, sparse=True))


_FILTERS = (
    gaussian_laplace, gaussian_gradient_magnitude, center_of_mass,
    correlate1d, convolve1d, correlate, convolve, gaussian_filter1d, gaussian_filter, uniform_filter1d, uniform_filter,
    laplace,
)  # fmt: skip
FUNCTIONS: dict[str, dict[str, Any]] = {
    "scipy.ndimage": {f.__name__: f for f in _FILTERS}
    | {"sobel": _edges("sobel", [1.0, 2.0, 1.0]), "prewitt": _edges("prewitt", [1.0, 1.0, 1.0])}
    | {
        "maximum_filter": _of_windows("maximum_filter", lambda x: np.max(x, -1)),
        "minimum_filter": _of_windows("minimum_filter", lambda x: np.min(x, -1)),
        "median_filter": _of_windows("median_filter", lambda x: np.sort(x, -1)[..., x.shape[-1] // 2]),
        "rank_filter": _ranked("rank_filter", lambda rank, n: int(rank)),
        "percentile_filter": _ranked("percentile_filter", _percentile),
        "grey_erosion": _grey("grey_erosion", lambda x: np.min(x, -1)),
        "grey_dilation": _grey("grey_dilation", lambda x: np.max(x, -1)),
    }
}
