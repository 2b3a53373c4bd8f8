"""NumPy's functions that are made of others: each a line or two in rows that exist.

Every function takes what its NumPy original takes; what it does not support raises, never computes something else.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.ir.node import Node
from payback.trace.array import _FUNCTIONS, _METHODS, Traced, as_traced, plain
from payback.trace.dispatch import emit, here, implements
from payback.trace.numpy_map import astype, axes_of, concatenate, np_max, np_mean, np_min, np_sum, reshape, transpose

_NONE = np._NoValue


def _traced(x: Any) -> Any:
    """An argument with a shape: a traced value (a list of them stacked), or a plain array as it is."""
    if isinstance(x, Traced):
        return x
    x = as_traced(x)
    return Traced(x) if isinstance(x, Node) else np.asarray(x)


def _axis(axis: Any, ndim: int) -> int:
    return axes_of(operator.index(axis), ndim)[0]


def _refuse(function: str, **options: Any) -> None:
    """Raises UnsupportedError for the options that were given (are not None, False or NumPy's own default)."""
    for name, value in options.items():
        if value is not None and value is not _NONE and value is not False:
            raise UnsupportedError(
                f"np.{function} on traced values does not take {name}=", where=here(), fix=f"leave {name}= away"
            )


def _keep(keepdims: Any) -> bool:
    return keepdims is not _NONE and bool(keepdims)


# statistics -----------------------------------------------------------------------------------------------------


def _centered(x: Any, axis: Any, dtype: Any) -> tuple[Any, tuple[int, ...], int]:
    """x minus its mean over the axes, the axes, and how many entries each mean is of."""
    x = _traced(x) if dtype is None else astype(_traced(x), dtype)
    axes = axes_of(axis, x.ndim)
    count = int(np.prod([x.shape[a] for a in axes], dtype=int))
    return x - np_mean(x, axis=axes, keepdims=True), axes, count


@implements(np.var)
def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = _NONE,
        *, where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE) -> Any:  # fmt: skip
    _refuse("var", out=out, where=where, mean=mean)
    d, axes, count = _centered(a, axis, dtype)
    free = max(count - (ddof if correction is _NONE else correction), 0)
    return np_sum(d * d, axis=axes, keepdims=_keep(keepdims)) / float(free)


@implements(np.std)
def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = _NONE,
        *, where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE) -> Any:  # fmt: skip
    """The length of the deviations over √n: as the length of a vector it has a derivative at 0, where √var has none."""
    _refuse("std", out=out, where=where, mean=mean)
    d, axes, count = _centered(a, axis, dtype)
    free = max(count - (ddof if correction is _NONE else correction), 0)
    return emit("norm", d, axes=axes, keepdims=_keep(keepdims)) / float(np.sqrt(free))


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE) -> Any:
    _refuse("ptp", out=out)
    return np_max(a, axis=axis, keepdims=keepdims) - np_min(a, axis=axis, keepdims=keepdims)


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = _NONE) -> Any:
    _refuse("average", returned=returned)
    if weights is None:
        return np_mean(a, axis=axis, keepdims=keepdims)
    a, weights = _traced(a), weights if isinstance(weights, Traced) else np.asarray(weights)
    if weights.shape != a.shape:
        if axis is None or weights.ndim != 1 or weights.shape[0] != a.shape[_axis(axis, a.ndim)]:
            raise ShapeError(f"np.average of {a.shape} with weights of {weights.shape}", where=here())
        weights = weights.reshape(tuple(-1 if i == _axis(axis, a.ndim) else 1 for i in range(a.ndim)))
        total = np.sum(weights)
    else:
        total = np.sum(weights, axis=axis, keepdims=_keep(keepdims))
    return np_sum(a * weights, axis=axis, keepdims=keepdims) / total


# sums and differences along an axis -----------------------------------------------------------------------------


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    _refuse("cumsum", out=out)
    a = a if dtype is None else astype(a, dtype)
    if axis is None:
        a, axis = reshape(a, (-1,) if a.size else (0,)), 0
    return emit("cumsum", a, axis=_axis(axis, a.ndim), backwards=False)


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NONE, append: Any = _NONE) -> Any:
    _refuse("diff", prepend=prepend, append=append)
    axis = _axis(axis, a.ndim)
    for _ in range(n):
        a = _slice(a, axis, slice(1, None)) - _slice(a, axis, slice(None, -1))
    return a


def _slice(x: Any, axis: int, part: Any) -> Any:
    return x[(slice(None),) * axis + (part,)]


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = _traced(y)
    axis = _axis(axis, y.ndim)
    if x is not None:
        x = x if isinstance(x, Traced) else np.asarray(x)
        dx = np.diff(x) if x.ndim == 1 else np.diff(x, axis=axis)
        if x.ndim == 1:
            dx = dx.reshape(tuple(-1 if i == axis else 1 for i in range(y.ndim)))
    return np_sum(dx * (_slice(y, axis, slice(1, None)) + _slice(y, axis, slice(None, -1))) / 2.0, axis=axis)


# entries in another order ---------------------------------------------------------------------------------------


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    axes = axes_of(axis, m.ndim)
    return m[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(m.ndim))]


_FUNCTIONS[np.fliplr] = lambda m: flip(m, 1)
_FUNCTIONS[np.flipud] = lambda m: flip(m, 0)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return reshape(roll(reshape(a, (-1,)), shift, 0), a.shape) if a.size else a
    shifts, axes = np.broadcast_arrays(shift, axis)
    for by, along in zip(shifts.reshape(-1).tolist(), axes.reshape(-1).tolist(), strict=True):
        along = _axis(along, a.ndim)
        if a.shape[along]:
            cut = -by % a.shape[along]
            a = concatenate([_slice(a, along, slice(cut, None)), _slice(a, along, slice(None, cut))], along)
    return a


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    _refuse("take", out=out, mode=None if mode == "raise" else mode)
    a = _traced(a)
    if axis is None:
        a, axis = reshape(a, (-1,) if a.size else (0,)), 0
    return _slice(a, _axis(axis, a.ndim), np.asarray(plain(indices)))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    indices = np.asarray(plain(indices))
    if axis is None:
        return reshape(arr, (-1,))[indices]
    axis = _axis(axis, arr.ndim)
    grid = np.ogrid[tuple(slice(extent) for extent in indices.shape)]
    return arr[tuple(indices if i == axis else part for i, part in enumerate(grid))]


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    a = _traced(a)
    if axis is None:
        a, axis = reshape(a, (-1,) if a.size else (0,)), 0
    axis = _axis(axis, a.ndim)
    return _slice(a, axis, np.repeat(np.arange(a.shape[axis]), plain(repeats)))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(int(r) for r in reps)
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    # each axis beside one of its copies, so that the copies are a broadcast
    beside = tuple(part for extent in shape for part in (1, extent))
    spread = tuple(part for count, extent in zip(reps, shape, strict=True) for part in (count, extent))
    made = np.broadcast_to(reshape(A, beside), spread)
    return reshape(made, tuple(count * extent for count, extent in zip(reps, shape, strict=True)))


def _split(ary: Any, indices_or_sections: Any, axis: int = 0, even: bool = False) -> list[Any]:
    axis = _axis(axis, ary.ndim)
    probe = np.broadcast_to(np.empty(()), (ary.shape[axis],))
    pieces = (np.split if even else np.array_split)(probe, indices_or_sections)  # NumPy's own rules and errors
    ends = np.cumsum([0, *(len(piece) for piece in pieces)])
    if not isinstance(indices_or_sections, (int, np.integer)):  # given places may overlap
        places = [0, *(int(i) for i in indices_or_sections), ary.shape[axis]]
        return [_slice(ary, axis, slice(a, b)) for a, b in pairwise(places)]
    return [_slice(ary, axis, slice(int(a), int(b))) for a, b in pairwise(ends)]


_FUNCTIONS[np.array_split] = _split
_FUNCTIONS[np.split] = lambda ary, indices_or_sections, axis=0: _split(ary, indices_or_sections, axis, True)
_FUNCTIONS[np.vsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 0, True)
_FUNCTIONS[np.hsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, min(1, ary.ndim - 1), True)
_FUNCTIONS[np.dsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 2, True)


@implements(np.atleast_1d)
def atleast_1d(*arrays: Any) -> Any:
    made = tuple(reshape(x, (1,)) if not x.shape else x for x in map(_traced, arrays))
    return made[0] if len(made) == 1 else made


@implements(np.atleast_2d)
def atleast_2d(*arrays: Any) -> Any:
    made = tuple(reshape(x, (1,) * (2 - x.ndim) + x.shape) if x.ndim < 2 else x for x in map(_traced, arrays))
    return made[0] if len(made) == 1 else made


@implements(np.column_stack)
def column_stack(tup: Sequence[Any]) -> Any:
    return concatenate([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in map(_traced, tup)], 1)


@implements(np.dstack)
def dstack(tup: Sequence[Any]) -> Any:
    parts = [
        reshape(x, (1, -1, 1)) if x.ndim < 2 else reshape(x, (*x.shape, 1)) if x.ndim == 2 else x
        for x in map(_traced, tup)
    ]
    return concatenate(parts, 2)


@implements(np.append)
def append_to(arr: Any, values: Any, axis: Any = None) -> Any:
    return concatenate([_traced(arr), _traced(values)], axis)


# triangles and diagonals ----------------------------------------------------------------------------------------


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    return np.where(np.tri(*m.shape[-2:], k=k, dtype=bool), m, 0.0)


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    return np.where(np.tri(*m.shape[-2:], k=k - 1, dtype=bool), 0.0, m)


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    first, second = _axis(axis1, a.ndim), _axis(axis2, a.ndim)
    rest = [i for i in range(a.ndim) if i not in (first, second)]
    moved = transpose(a, [*rest, first, second])
    rows = np.arange(max(0, min(a.shape[first] + min(offset, 0), a.shape[second] - max(offset, 0)))) - min(offset, 0)
    return moved[..., rows, rows + offset]


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    _refuse("trace", dtype=dtype, out=out)
    return np_sum(diagonal(a, offset, axis1, axis2), axis=-1)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ShapeError(f"np.diag of an array of shape {v.shape}", where=here(), why="it takes vectors and matrices")
    n = v.shape[0] + abs(k)
    rows = np.arange(v.shape[0]) + max(-k, 0)
    places = np.zeros((n, n), np.intp)
    places[rows, rows + k] = np.arange(v.shape[0])
    on = np.zeros((n, n), bool)
    on[rows, rows + k] = True
    return np.where(on, v[places], 0.0) if v.shape[0] else np.zeros((n, n), v.dtype)


_METHODS.update(
    var=var, std=std, cumsum=cumsum, take=take, repeat=repeat, diagonal=diagonal, trace=trace,
    ptp=ptp,
)  # fmt: skip
