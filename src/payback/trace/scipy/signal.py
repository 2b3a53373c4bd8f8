"""Convolutions of `scipy.signal` and the rules of `scipy.integrate` on traced values: sums of products, with NumPy.

A convolution is a sum over windows, by whatever method SciPy would compute it.  For filters see `filters.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.trace.array import Traced
from payback.trace.dispatch import here
from payback.trace.numpy.products import array_of

# convolutions ---------------------------------------------------------------------------------------------------


def _pair(name: str, in1: Any, in2: Any, axes: int | None = None) -> tuple[Any, Any]:
    a, b = array_of(in1), array_of(in2)
    if a.ndim != b.ndim or (axes is not None and a.ndim != axes):
        raise ShapeError(f"scipy.signal.{name} of shapes that do not fit", where=here(),
                         why=f"they are {a.shape} and {b.shape}", fix="give arrays of as many axes")  # fmt: skip
    if a.dtype.kind == "c" or b.dtype.kind == "c":
        raise UnsupportedError(f"scipy.signal.{name} of complex numbers", where=here(),
                               why="payback differentiates real numbers",
                               fix="give the real and the imaginary part")  # fmt: skip
    return a, b


def _valid(a: Any, b: Any) -> Any:
    """Where b, which is the smaller one, lies wholly within a."""
    if a.ndim == 1:
        return np.convolve(a, b, "valid")
    axes = tuple(range(a.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(a, b.shape)
    return np.tensordot(windows, np.flip(b), (tuple(axis + a.ndim for axis in axes), axes))


def _convolved(a: Any, b: Any, mode: str, padding: dict[str, Any] | None = None) -> Any:
    if mode == "valid" and all(m >= n for m, n in zip(a.shape, b.shape, strict=True)):
        return _valid(a, b)
    if mode == "valid" and all(m <= n for m, n in zip(a.shape, b.shape, strict=True)):
        return _valid(b, a)
    if mode not in ("full", "same"):
        raise ValueError(f"mode={mode!r} of arrays of shapes {a.shape} and {b.shape}")
    if not a.ndim:
        return a * b
    around = [(n - 1, n - 1) for n in b.shape]
    full = np.convolve(a, b) if a.ndim == 1 and not padding else _valid(np.pad(a, around, **(padding or {})), b)
    return full if mode == "full" else _centered(full, a.shape)


def _centered(full: Any, shape: Sequence[int]) -> Any:
    begins = [(have - want) // 2 for have, want in zip(full.shape, shape, strict=True)]
    return full[tuple(slice(begin, begin + want) for begin, want in zip(begins, shape, strict=True))]


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    return _convolved(*_pair("convolve", in1, in2), mode)


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    if axes is not None:
        raise UnsupportedError("scipy.signal.fftconvolve of traced values along some axes", where=here(),
                               fix="leave axes= away, or use np.convolve row by row")  # fmt: skip
    return _convolved(*_pair("fftconvolve", in1, in2), mode)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    a, b = _pair("correlate", in1, in2)
    return _convolved(a, np.flip(b), mode)


_BOUNDARIES = {"fill": "constant", "wrap": "wrap", "circular": "wrap", "symm": "symmetric", "symmetric": "symmetric"}


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    a, b = _pair("convolve2d", in1, in2, 2)
    how = {"mode": _BOUNDARIES[boundary]} | ({"constant_values": fillvalue} if boundary == "fill" else {})
    return _convolved(a, b, mode, how)


def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    a, b = _pair("correlate2d", in1, in2, 2)
    if mode != "same":
        return convolve2d(a, np.flip(b), mode, boundary, fillvalue)
    full = convolve2d(a, np.flip(b), "full", boundary, fillvalue)
    (i, j), (m, n) = (extent // 2 for extent in b.shape), a.shape  # of an even extent the later one of the two middles
    return full[i : i + m, j : j + n]


# rules of integration -------------------------------------------------------------------------------------------


def _steps(y: Any, x: Any, dx: Any, axis: int) -> Any:
    """The lengths of the intervals along the first axis, and y with that axis first."""
    y = np.moveaxis(y, axis, 0)
    count = y.shape[0] - 1
    if x is None:
        return y, np.full(count, dx) if np.ndim(dx) == 0 and not isinstance(dx, Traced) else np.ones(count) * dx
    x = array_of(x)
    if x.ndim != 1 or x.shape[0] != count + 1:
        raise UnsupportedError("a rule of integration with these points", where=here(),
                               why=f"x has the shape {x.shape}, and y {count + 1} values",
                               fix="give one x for each value, a vector")  # fmt: skip
    return y, np.diff(x)


def _along(lengths: Any, y: Any) -> Any:
    return np.reshape(lengths, (-1,) + (1,) * (y.ndim - 1))


def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Any:
    """By pairs of intervals; of an even number of points the last interval by Cartwright's correction, as in SciPy."""
    y, h = _steps(array_of(y), x, dx, axis)
    count = y.shape[0]
    if count < 3:
        return np.sum(0.5 * _along(h, y) * (y[1:] + y[:-1]), axis=0)
    last = count - (count % 2 == 0)  # the points of whole pairs
    first, second = _along(h[0 : last - 1 : 2], y), _along(h[1 : last - 1 : 2], y)
    both = first + second
    inside = y[0 : last - 2 : 2] * (2 - second / first) + y[1 : last - 1 : 2] * (both * both / (first * second))
    made = np.sum(both / 6 * (inside + y[2:last:2] * (2 - first / second)), axis=0)
    if last == count:
        return made
    before, after = h[-2], h[-1]
    made = made + (2 * after**2 + 3 * before * after) / (6 * (before + after)) * y[-1]
    made = made + (after**2 + 3 * before * after) / (6 * before) * y[-2]
    return made - after**3 / (6 * before * (before + after)) * y[-3]


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y, h = _steps(array_of(y), x, dx, axis)
    return np.sum(_along(h, y) * (y[1:] + y[:-1]) / 2, axis=0)


def cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Any:
    y, h = _steps(array_of(y), x, dx, axis)
    made = np.cumsum(_along(h, y) * (y[1:] + y[:-1]) / 2, axis=0)
    if initial is not None:
        if initial != 0:
            raise ValueError("`initial` must be `None` or `0`.")
        made = np.concatenate([np.zeros((1, *made.shape[1:]), made.dtype), made])
    return np.moveaxis(made, 0, axis)


FUNCTIONS: dict[str, dict[str, Any]] = {
    "scipy.signal": {f.__name__: f for f in (convolve, correlate, fftconvolve, convolve2d, correlate2d)},
    "scipy.integrate": {f.__name__: f for f in (simpson, trapezoid, cumulative_trapezoid)},
}
