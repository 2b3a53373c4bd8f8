"""`np.fft`: discrete Fourier transforms, which are linear maps of real and imaginary parts.

Each is the full transform along one axis: what those of real numbers leave away is left away afterwards, or filled in
before.  Of few numbers it is a product with a matrix; else a map of 2n real numbers, whose adjoint is the transform in
the other direction, or of n real numbers to the half of their coefficients that says all.  Machine code has both
(`native/lower/fourier.py`, and `chirp.py` for lengths with large factors).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ops.fourier import Fourier, RealFourier, on_circle, radices
from payback.trace.array import Traced
from payback.trace.assignment.memory_order import order_of, ordered
from payback.trace.assignment.views import laid_as, laid_out
from payback.trace.complex.functions import rule
from payback.trace.complex.numbers import Complex, as_part, listed, pair, pair_of, parts, product
from payback.trace.dispatch import emit, implements
from payback.trace.numpy.arguments import array_of, axis_of
from payback.trace.numpy.map import astype
from payback.trace.tree import is_complex

_map, _real_map = functools.cache(Fourier), functools.cache(RealFourier)


_MOST, _FEW = 32, 16  # numbers of a transform that is a product, where a factor of theirs is large, and always


@functools.cache
def _matrix(n: int, inverse: bool, dtype: Any) -> Complex:
    """exp(∓2πijk/n), read-only."""
    cos, sin = on_circle(np.outer(np.arange(n), np.arange(n)), n)
    made = cos.astype(dtype), (sin if inverse else 0.0 - sin).astype(dtype)
    for part in made:
        part.flags.writeable = False
    return Complex(*made)


def _transformed(z: Any, n: Any, axis: int, norm: Any, inverse: bool) -> Complex:
    """Of n numbers along an axis: what is missing is zero, what is beyond is left away."""
    re, im = (part if part is None else _floating(part) for part in parts(_whole(z)))
    axis = axis_of(axis, re.ndim)
    length = re.shape[axis]
    n = length if n is None else int(n)
    if n < 1:
        raise ValueError(f"Invalid number of data points ({n}) specified.")
    given = [part if part is None else _long(np.moveaxis(part, axis, -1), n) for part in (re, im)]
    if _is_small(n):
        made = pair(*product(np.matmul, given[0] if im is None else Complex(*given), _matrix(n, inverse, re.dtype)))
    else:
        both = np.concatenate([given[0], np.zeros(given[0].shape, re.dtype) if im is None else given[1]], axis=-1)
        columns = np.reshape(both, (-1, 2 * n)).T
        both = np.reshape(emit("solve_constant", columns, factors=_map(n, inverse)).T, both.shape)
        made = Complex(both[..., :n], both[..., n:])
    scale = _scale(norm, n, inverse)
    return Complex(*(np.moveaxis(part if scale == 1.0 else part * scale, -1, axis) for part in (made.re, made.im)))


def _is_small(n: int) -> bool:
    return n <= _FEW or (radices(n) is None and n <= _MOST)


def _halves(n: int) -> bool:
    """Whether the transform of n real numbers takes less: where n is even or has large factors, and by NumPy."""
    return not _is_small(n) and (radices(n) is None or (n % 2 == 0 and len(radices(n // 2) or ()) > 1))


def _along(axis: int, part: Any, factors: Any) -> Any:
    """The linear map of the columns along an axis."""
    rows = np.moveaxis(part, axis, -1)
    columns = np.reshape(rows, (-1, rows.shape[-1])).T
    made = emit("solve_constant", columns, factors=factors).T
    return np.moveaxis(np.reshape(made, (*rows.shape[:-1], made.shape[-1])), -1, axis)


def _long(part: Any, n: int) -> Any:
    """The first n numbers along the last axis, zeros where there are fewer."""
    have = part.shape[-1]
    if n <= have:
        return part if n == have else part[..., :n]
    return np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, n - have)])


def _whole(z: Any) -> Any:
    return listed(z) if isinstance(z, (list, tuple)) else z if is_complex(z) else array_of(z)


def _floating(part: Any) -> Any:
    part = as_part(part)
    return part if part.dtype in (np.float32, np.float64) else astype(part, np.float64)


def _scale(norm: Any, n: int, inverse: bool) -> float:
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    if norm == "ortho":
        return float(n**-0.5)
    return 1.0 / n if inverse == (norm != "forward") else 1.0


def fft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _transformed(a, n, axis, norm, False)


def ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _transformed(a, n, axis, norm, True)


def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    if is_complex(_whole(a)):
        raise TypeError("ufunc 'rfft_n_even' did not contain a loop with signature matching types for complex numbers")
    re = _floating(parts(_whole(a))[0])
    count = re.shape[axis_of(axis, re.ndim)] if n is None else int(n)
    if not _halves(count):
        made = _transformed(a, n, axis, norm, False)
        return _first(made, made.shape[axis] // 2 + 1, axis)
    re = np.moveaxis(_long(np.moveaxis(re, axis, -1), count), -1, axis)
    made, scale = np.moveaxis(_along(axis, re, _real_map(count)), axis, 0), _scale(norm, count, False)
    half = count // 2 + 1
    both = (made[:half], made[half:])
    return Complex(*(np.moveaxis(part if scale == 1.0 else part * scale, 0, axis) for part in both))


def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    a = _whole(a)
    n = 2 * (np.shape(a)[axis] - 1) if n is None else int(n)
    if n < 1 or not _halves(n):
        return _transformed(_hermitian(a, n, axis), n, axis, norm, True).re
    half = n // 2 + 1
    weights = np.full(half, _scale(norm, n, True))
    weights[1 : (n + 1) // 2] *= 2.0
    given = [_long(np.moveaxis(_floating(part), axis, -1), half) for part in pair_of(a)]
    weights = np.tile(weights.astype(given[0].dtype), 2)
    made = _along(-1, np.concatenate(given, axis=-1) * weights, _real_map(n).T)
    return np.moveaxis(made, -1, axis)


def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    a = _whole(a)
    n = 2 * (np.shape(a)[axis] - 1) if n is None else int(n)
    return irfft(np.conjugate(a), n, axis, norm) * _turned_scale(norm, n)


def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    a = _whole(a)
    count = np.shape(a)[axis] if n is None else int(n)
    return np.conjugate(rfft(a, n, axis, norm)) * (1.0 / _turned_scale(norm, count))


def _turned_scale(norm: Any, n: int) -> float:
    """What is between the scale of a transform and that of its inverse."""
    return _scale(norm, n, False) / _scale(norm, n, True)


def _first(z: Any, count: int, axis: int) -> Any:
    return np.moveaxis(np.moveaxis(z, axis, 0)[:count], 0, axis)


def _hermitian(z: Any, n: int, axis: int) -> Complex:
    """All n coefficients of a real signal, of the first n // 2 + 1; where a real signal has none, imaginary parts count
    as nothing."""
    re, im = (np.moveaxis(part, axis, 0) for part in pair_of(z))
    half = n // 2 + 1
    if len(re) < half:
        more = [(0, half - len(re))] + [(0, 0)] * (re.ndim - 1)
        re, im = np.pad(re, more), np.pad(im, more)
    re, im = re[:half], im[:half]
    inner = slice(1, n - half + 1)
    real_ends = np.ones((half, *(1,) * (re.ndim - 1)), re.dtype)
    real_ends[0] = 0
    if n % 2 == 0:
        real_ends[-1] = 0
    im = im * real_ends
    return Complex(*(
        np.moveaxis(np.concatenate([part, sign * part[inner][::-1]]), 0, axis) for part, sign in ((re, 1.0), (im, -1.0))
    ))  # fmt: skip


def _several(one: Callable[..., Any], axes: Any) -> Callable[..., Any]:
    """A transform along several axes, one after another."""

    def of(a: Any, s: Any = None, axes: Any = axes, norm: Any = None) -> Any:
        for axis, n in zip(*_axes(a, s, axes), strict=True):
            a = one(a, n, axis, norm)
        return a

    return of


def _axes(a: Any, s: Any, axes: Any) -> tuple[Any, Any]:
    if axes is None:
        axes = range(-len(s), 0) if s is not None else range(len(np.shape(a)))
    axes = list(axes)
    return axes, [None] * len(axes) if s is None else [None if n == -1 else n for n in s]


def _rfftn(axes: Any) -> Callable[..., Any]:
    def of(a: Any, s: Any = None, axes: Any = axes, norm: Any = None) -> Any:
        along, counts = _axes(a, s, axes)
        a = rfft(a, counts[-1], along[-1], norm)
        return fftn(a, counts[:-1], along[:-1], norm) if along[:-1] else a

    return of


def _irfftn(axes: Any) -> Callable[..., Any]:
    def of(a: Any, s: Any = None, axes: Any = axes, norm: Any = None) -> Any:
        along, counts = _axes(a, s, axes)
        if along[:-1]:
            a = ifftn(a, counts[:-1], along[:-1], norm)
        return irfft(a, counts[-1], along[-1], norm)

    return of


fftn, ifftn = _several(fft, None), _several(ifft, None)
_ANSWERS = {
    np.fft.fft: fft, np.fft.ifft: ifft, np.fft.rfft: rfft, np.fft.irfft: irfft, np.fft.hfft: hfft, np.fft.ihfft: ihfft,
    np.fft.fftn: fftn, np.fft.ifftn: ifftn, np.fft.rfftn: _rfftn(None), np.fft.irfftn: _irfftn(None),
    np.fft.fft2: _several(fft, (-2, -1)), np.fft.ifft2: _several(ifft, (-2, -1)), np.fft.rfft2: _rfftn((-2, -1)),
    np.fft.irfft2: _irfftn((-2, -1)),
}  # fmt: skip


def _in_order(made: Any, order: Any) -> Any:
    """The transform as an array without gaps, whose axes follow each other so in memory."""
    if type(made) is Complex:
        return Complex(_in_order(made.re, order), _in_order(made.im, order))
    return laid_as(made, ordered(order, made.shape)) if made.ndim > 1 else made


def _of_numpy(f: Callable[..., Any]) -> Callable[..., Any]:
    """Of np.fft, whose results lie as what is transformed."""

    def of(a: Any, *args: Any, **kwargs: Any) -> Any:
        a = _whole(a)
        part = pair_of(a)[0] if is_complex(a) else a
        return _in_order(f(a, *args, **kwargs), order_of(laid_out(part) if isinstance(part, Traced) else part))

    return of


def _of_scipy(f: Callable[..., Any]) -> Callable[..., Any]:
    """Of scipy.fft, whose results lie by rows; what it may be told besides changes no number."""

    def of(x: Any, *args: Any, overwrite_x: Any = None, workers: Any = None, plan: Any = None, **kwargs: Any) -> Any:
        return _in_order(f(x, *args[:3], **kwargs), None)

    return of


FUNCTIONS = {"scipy.fft": {function.__name__: _of_scipy(answer) for function, answer in _ANSWERS.items()}}
for _function, _answer in _ANSWERS.items():
    for _register in (implements, rule):
        _register(_function)(_of_numpy(_answer))
