"""NumPy's differences, integrals, interpolation, convolutions and elementwise functions on traced values."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from payback.errors import ShapeError, TraceError
from payback.ir.aval import FLOAT64
from payback.ops.index import Place
from payback.trace.array import Traced, plain
from payback.trace.dispatch import emit, here, implements, into
from payback.trace.numpy.arguments import NONE, along, array_of, axis_of, known, part_of, traced_array
from payback.trace.numpy.indexing import take
from payback.trace.numpy.map import astype, broadcast_any, concatenate, lies_as, like_first
from payback.trace.operators import FUNCTIONS, HOOKS, METHODS
from payback.trace.plain_arrays import now

# differences and integrals --------------------------------------------------------------------------------------


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NONE, append: Any = NONE) -> Any:
    a = array_of(a)
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    if n == 0:
        return a
    axis = axis_of(axis, a.ndim)
    parts = [a]
    for extra, at in ((prepend, 0), (append, len(parts) + 1)):
        if extra is not NONE:
            extra = array_of(extra)
            if not extra.ndim:
                extra = broadcast_any(extra, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))
            parts.insert(at, extra)
    if len(parts) > 1:
        a = np.concatenate(parts, axis)
    for _ in range(n):
        later, earlier = part_of(a, axis, slice(1, None)), part_of(a, axis, slice(None, -1))
        a = later != earlier if a.dtype.kind == "b" else later - earlier
    return a


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    ary = array_of(ary)
    middle = diff(ary.reshape(-1))
    ends = [None if end is None else array_of(end).reshape(-1) for end in (to_begin, to_end)]
    parts = [part for part in (ends[0], middle, ends[1]) if part is not None]
    return astype(concatenate(parts), ary.dtype) if len(parts) > 1 else middle


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = array_of(y)
    of_y = axis_of(axis, y.ndim)
    if x is not None:
        x = array_of(x)
        dx = along(np.diff(x), of_y, y.ndim) if x.ndim == 1 else np.diff(x, axis=axis)  # x may have more axes than y
    return np.sum(dx * (part_of(y, of_y, slice(1, None)) + part_of(y, of_y, slice(None, -1))) / 2.0, axis=axis)


def _spacings(f: Any, varargs: tuple[Any, ...], axes: tuple[int, ...]) -> list[Any]:
    """For each axis a number, or the distances between its points."""
    if not varargs:
        return [1.0] * len(axes)
    if len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        return list(varargs) * len(axes)
    if len(varargs) != len(axes):
        raise TypeError("invalid number of arguments")
    found = []
    for points, axis in zip(varargs, axes, strict=True):
        points = array_of(points)
        if points.ndim > 1:
            raise ValueError("distances must be either scalars or 1d")
        if points.ndim == 1:
            if points.shape[0] != f.shape[axis]:
                raise ValueError("when 1d, distances must match the length of the corresponding dimension")
            points = np.diff(points.astype(np.float64) if points.dtype.kind in "iu" else points)
            if not isinstance(points, Traced) and (points == points[0]).all():
                points = points[0]
        found.append(points if points.ndim else varargs[len(found)] if not isinstance(points, np.generic) else points)
    return found


@implements(np.gradient)
@lies_as
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = array_of(f)
    f = f if f.dtype.kind == "f" else f.astype(np.float64)
    axes = tuple(range(f.ndim)) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, f.ndim)
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    found = [_differences(f, dx, i, edge_order) for dx, i in zip(_spacings(f, varargs, axes), axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _differences(f: Any, dx: Any, axis: int, edge_order: int) -> Any:
    """Central differences of second order inside, one-sided ones at the two ends."""
    if f.shape[axis] < edge_order + 1:
        raise ValueError(f"an axis of {f.shape[axis]} points is too short for edge_order={edge_order}")
    at = [part_of(f, axis, slice(k, k + 1 or None)) for k in (0, 1, 2, -3, -2, -1) if k < f.shape[axis]]
    before, here_, after = (part_of(f, axis, part) for part in (slice(None, -2), slice(1, -1), slice(2, None)))
    uniform = np.ndim(dx) == 0
    if uniform:
        inside = (after - before) / (2.0 * dx)
    else:
        h1, h2 = dx[:-1], dx[1:]
        a, b, c = -h2 / (h1 * (h1 + h2)), (h2 - h1) / (h1 * h2), h1 / (h2 * (h1 + h2))
        a, b, c = (along(x, axis, f.ndim) for x in (a, b, c))
        inside = a * before + b * here_ + c * after
    if edge_order == 1:
        first = (at[1] - at[0]) / (dx if uniform else dx[0])
        last = (at[-1] - at[-2]) / (dx if uniform else dx[-1])
    else:
        if uniform:
            left, right = (-1.5 / dx, 2.0 / dx, -0.5 / dx), (0.5 / dx, -2.0 / dx, 1.5 / dx)
        else:
            h1, h2 = dx[0], dx[1]
            left = -(2.0 * h1 + h2) / (h1 * (h1 + h2)), (h1 + h2) / (h1 * h2), -h1 / (h2 * (h1 + h2))
            h1, h2 = dx[-2], dx[-1]
            right = h2 / (h1 * (h1 + h2)), -(h2 + h1) / (h1 * h2), (2.0 * h2 + h1) / (h2 * (h1 + h2))
        first = left[0] * at[0] + left[1] * at[1] + left[2] * at[2]
        last = right[0] * at[-3] + right[1] * at[-2] + right[2] * at[-1]
    return astype(concatenate([first, inside, last], axis), f.dtype)


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Piecewise linear: by x the slope of the piece (at a point of xp that of the piece after it), by fp and xp too."""
    x, xp, fp = (a.astype(np.float64) for a in (array_of(x), array_of(xp), array_of(fp)))
    if xp.ndim != 1 or xp.shape != fp.shape:
        raise ShapeError(f"np.interp of points of shapes {xp.shape} and {fp.shape}", where=here(),
                         why="they are vectors of one length")  # fmt: skip
    if not xp.shape[0]:
        raise ShapeError("np.interp without points", where=here(), why="array of sample points is empty")
    if period is not None:
        if known(period) and plain(period) == 0:
            raise ValueError("period must be a non-zero value")
        period, left, right = abs(period), None, None
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = take(xp, order), take(fp, order)
        xp, fp = np.concatenate((xp[-1:] - period, xp, xp[:1] + period)), np.concatenate((fp[-1:], fp, fp[:1]))
    n = xp.shape[0]
    low, high = fp[0] if left is None else left, fp[-1] if right is None else right
    if n == 1:
        made = fp[0] + 0.0 * x
    else:
        piece = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, n - 2)
        slopes = np.diff(fp) / np.diff(xp)
        start, at_start, slope = (take(a, piece) for a in (xp, fp, slopes))
        made = slope * (x - start) + at_start
        made = np.where(np.logical_and(x == start, made != made), at_start, made)  # the piece is infinitely steep
        made = np.where(x == xp[-1], slopes[-1] * (x - xp[-1]) + fp[-1], made)
    return np.where(x < xp[0], low, np.where(x > xp[-1], high, made))


@implements(np.unwrap)
@like_first
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """The whole turns that are added are constant in pieces: the derivative by p is that of p itself."""
    p = array_of(p)
    axis = axis_of(axis, p.ndim)
    steps = diff(p, axis=axis)
    half = period / 2
    turned = np.remainder(steps + half, period) - half
    turned = np.where(np.logical_and(turned == -half, steps > 0), half, turned)
    correction = turned - steps
    if isinstance(period, Traced):
        correction = np.rint(correction / period) * period
    elif isinstance(correction, Traced):
        correction = emit("stop_gradient", correction)
    correction = np.where(abs(steps) < (half if discont is None else discont), 0.0, correction)
    rest = part_of(p, axis, slice(1, None)) + np.cumsum(correction, axis=axis)
    return concatenate([part_of(p, axis, slice(None, 1)), rest], axis)


# convolutions ---------------------------------------------------------------------------------------------------


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = (x.reshape(-1) if x.ndim == 0 else x for x in (array_of(a), array_of(v)))
    if a.ndim != 1 or v.ndim != 1:
        raise ShapeError(f"np.convolve of shapes {a.shape} and {v.shape}", where=here(), why="it takes vectors")
    if not a.size or not v.size:
        raise ValueError(f"{'a' if not a.size else 'v'} cannot be empty")
    if v.size > a.size:
        a, v = v, a
    convolved = _whole if a.dtype.kind != "f" and v.dtype.kind != "f" else partial(emit, "convolve")
    if mode in ("full", "valid"):
        return convolved(a, v, mode=mode)
    if mode != "same":
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    start = (v.size - 1) // 2
    return convolved(a, v, mode="full")[start : start + a.size]


def _whole(a: Any, v: Any, mode: str) -> Any:
    """Of whole numbers and conditions, in their dtype: a product, where conditions are joined by "or"."""
    at = np.arange(a.size + v.size - 1)[:, None] - np.arange(v.size)
    there = np.where((at >= 0) & (at < a.size), a[np.clip(at, 0, a.size - 1)], np.zeros((), a.dtype))
    full = there @ v
    return full[v.size - 1 : a.size] if mode == "valid" else full


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The convolution with the mirrored second argument."""
    a, v = (x.reshape(-1) if x.ndim == 0 else x for x in (array_of(a), array_of(v)))
    if mode == "same" and v.size > a.size:
        full = convolve(a, v[::-1])
        start = a.size // 2  # NumPy swaps them, and mirrors the answer
        return full[start : start + v.size]
    return convolve(a, v[::-1], mode)


# elementwise ----------------------------------------------------------------------------------------------------


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """sin(πx)/(πx), smooth at 0 to every order."""
    x = traced_array(x)
    return emit("sinc", astype(x, x.dtype if x.dtype.kind == "f" else FLOAT64), order=0)


@implements(np.i0)
def i0(x: Any) -> Any:
    """The modified Bessel function of order 0; its derivatives are made of those of higher orders."""
    x = traced_array(x)
    return emit("bessel_i", astype(x, x.dtype if x.dtype.kind == "f" else FLOAT64), order=0)


@implements(np.real, np.real_if_close)
def real(val: Any, *_: Any, **__: Any) -> Any:
    return val


def _set_real(x: Any, value: Any) -> None:
    x[...] = value


@implements(np.imag)
def imag(val: Any) -> Any:
    if val.node.aval.weak:
        return 0.0
    return traced_array(np.zeros(val.shape, val.dtype))


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """0 or π of a real number, −0 among those that have π: constant in pieces."""
    made = np.where(z != z, np.nan, np.where(np.signbit(z), 180.0 if deg else np.pi, 0.0))
    return astype(made, np.angle(np.empty(0, z.dtype)).dtype)


@implements(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    return into(out, "fix", np.trunc(x))


@implements(np.round, np.around)
def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Constant in pieces, so without a derivative."""
    a = array_of(a)
    if a.dtype.kind != "f":
        return into(out, "round", np.round(plain(a), decimals))
    if decimals == 0:
        return into(out, "round", np.rint(a))
    return into(out, "round", _rounded(a, decimals))


@like_first
def _rounded(a: Any, decimals: int) -> Any:
    scale = 10.0 ** abs(decimals)
    return np.rint(a * scale) / scale if decimals > 0 else np.rint(a / scale) * scale


def _shifted(sign: int) -> Any:
    """The zero frequency to the middle, or back."""

    def shift(x: Any, axes: Any = None) -> Any:
        axes = range(x.ndim) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        by = [x.shape[axis] // 2 if sign > 0 else -(x.shape[axis] // 2) for axis in axes]
        return np.roll(x, by, tuple(axes))

    return shift


@implements(np.logspace)
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None,
             axis: int = 0) -> Any:  # fmt: skip
    made = np.power(base, np.linspace(start, stop, num, endpoint, axis=axis))
    return made if dtype is None else made.astype(dtype)


@implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """Between numbers of one sign; the ends are met exactly."""
    start, stop = (x if type(x) in (int, float) else array_of(x).astype(np.float64) for x in (start, stop))
    if known(start, stop) and np.any(np.asarray(plain(start)) * np.asarray(plain(stop)) <= 0):
        raise ValueError("np.geomspace of traced values is between numbers of one sign")
    sign = np.sign(plain(start)) if known(start) else np.sign(start)
    made = sign * np.exp(np.linspace(np.log(abs(start)), np.log(abs(stop)), num, endpoint))
    ends = [broadcast_any(array_of(x), made.shape[1:])[None] for x in (start, stop)]
    if num > 1:
        last = [ends[1]] if endpoint else [made[-1:]]
        made = concatenate([ends[0], made[1:-1], *last], 0)
    made = made if dtype is None else made.astype(dtype)
    return np.moveaxis(made, 0, axis) if axis else made


@implements(np.astype)
def as_type(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return astype(x, dtype, copy=copy)


@implements(np.result_type)
def result_type(*parts: Any) -> Any:
    return np.result_type(*[
        (0.0 if x.dtype.kind == "f" else 0) if isinstance(x, Traced) and x.node.aval.weak
        else x.dtype if isinstance(x, Traced) else x for x in parts
    ])  # fmt: skip


for _function in (np.fft.fftshift, np.fft.ifftshift):
    FUNCTIONS[_function] = _shifted(1 if _function is np.fft.fftshift else -1)


def _counted(x: Traced, weights: Any, minlength: int) -> Any:
    """np.bincount without numbers, which is as long as minlength says: what does not fit is an index out of range."""
    if not minlength:
        raise TraceError("np.bincount of what is not known while a function is compiled", where=here(),
                         why="the largest number decides how long the result is",
                         fix="give minlength=, which none of the numbers may reach")  # fmt: skip
    out = HOOKS["buffer"](np.zeros(minlength))
    np.add.at(out, np.where(x < 0, minlength, x), 1.0 if weights is None else weights)
    return astype(now(out), np.intp) if weights is None else now(out)


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """By the weights; what is counted are plain whole numbers."""
    if not known(x):
        return _counted(x, weights, minlength)
    x = np.asarray(plain(x))
    if not isinstance(weights, Traced):
        return np.bincount(x, weights, minlength)
    size = np.bincount(x, minlength=minlength).shape[0]
    if weights.shape != x.shape:
        raise ValueError("The weights and list don't have the same length.")
    return emit("scatter", astype(weights, FLOAT64), x, shape=(size,), templates=((Place(0),),), counts=(1,),
                dtype=FLOAT64)  # fmt: skip


Traced.real, Traced.imag = property(real, _set_real), property(imag)
Traced.itemsize = property(lambda self: self.dtype.itemsize)
Traced.nbytes = property(lambda self: self.size * self.dtype.itemsize)
METHODS.update(round=around, conj=lambda x: x, conjugate=lambda x: x)
