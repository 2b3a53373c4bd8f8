"""NumPy's functions that choose entries: by indices, by masks, by conditions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import Traced, plain
from payback.trace.assignment.outside import into_plain_array
from payback.trace.dispatch import here, implements, into
from payback.trace.indexing import unknown
from payback.trace.numpy.arguments import array_of, axis_of, known, part_of, traced_array, with_axis
from payback.trace.numpy.map import astype, broadcast_any, by_rows, lies_as, reshape
from payback.trace.operators import METHODS
from payback.trace.plain_arrays import Buffered


def _index(indices: Any) -> Any:
    """An index as it is: plain, or a node of whole numbers that are not known yet."""
    return indices if isinstance(indices, Traced) and indices.node.value is None else np.asarray(plain(indices))


def _within(indices: Any, extent: int, mode: str) -> Any:
    """Indices out of bounds made indices within, as the mode says."""
    if mode == "raise":
        return indices
    if mode not in ("wrap", "clip"):
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    return np.remainder(indices, extent) if mode == "wrap" else np.minimum(np.maximum(indices, 0), extent - 1)


@implements(np.take)
@by_rows
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    a = array_of(a)
    if axis is None:
        a, axis = a.reshape(-1 if a.size else 0), 0
    (a, axis), indices = with_axis(a, axis), _index(indices)
    if isinstance(indices, Traced):
        a = traced_array(a)
    return into(out, "take", part_of(a, axis, _within(indices, a.shape[axis], mode)))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    arr, indices = array_of(arr), _index(indices)
    if isinstance(indices, Traced):
        arr = traced_array(arr)
    if axis is None:
        return reshape(traced_array(arr), (-1,))[indices]
    if indices.ndim != arr.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    axis = axis_of(axis, arr.ndim)
    if arr.ndim == 1:
        return arr[indices]
    # along an axis of the indices that is 1 the others are broadcast
    shape = tuple(n if i == axis else arr.shape[i] for i, n in enumerate(indices.shape))
    grid = np.ogrid[tuple(slice(extent) for extent in shape)]
    return arr[tuple(indices if i == axis else part for i, part in enumerate(grid))]


@implements(np.compress)
@by_rows
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    if unknown(condition):
        made = (np.ravel(a) if axis is None else a)[(slice(None),) * (0 if axis is None else axis) + (condition,)]
        return into(out, "compress", made)
    return into(out, "compress", take(a, np.flatnonzero(plain(condition)), axis))


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    if unknown(condition):
        return np.ravel(traced_array(arr))[np.ravel(condition)]
    return take(arr, np.flatnonzero(np.ravel(plain(condition))))


@implements(np.select)
@by_rows
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not condlist:
        raise ValueError("select with an empty condition list is not possible")
    dtype = _common([*choicelist, default])
    for condition in condlist:
        if getattr(condition, "dtype", np.asarray(False).dtype).kind != "b":
            raise TypeError("invalid entry in condlist: should be boolean ndarray")
    made = _typed(default, dtype)  # all of them first, for two at a time may have another dtype in common
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        made = np.where(condition, _typed(choice, dtype), made)
    return astype(traced_array(made), dtype)


def _typed(x: Any, dtype: Any) -> Any:
    if not isinstance(x, Traced):
        return np.asarray(x).astype(dtype)  # a number that the dtype does not hold too
    return x if x.dtype == dtype and not x.node.aval.weak else astype(x, dtype)


def _common(values: list[Any]) -> Any:
    """NumPy's dtype for all of them together; a bare Python number takes that of the others."""
    return np.result_type(*[
        (float if x.dtype.kind == "f" else int)(0) if isinstance(x, Traced) and x.node.aval.weak
        else x.dtype if isinstance(x, Traced) else x if type(x) in (bool, int, float) else np.asarray(x).dtype
        for x in values
    ])  # fmt: skip


@implements(np.choose)
@by_rows
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    parts = [choices[i] for i in range(len(choices))]
    parts = [part if type(part) in (bool, int, float) else array_of(part) for part in parts]
    a = np.asarray(plain(a))
    if mode == "raise" and a.size and (a.min() < 0 or a.max() >= len(parts)):
        raise ValueError("invalid entry in choice array")
    a = _within(a, len(parts), mode)
    shape = np.broadcast_shapes(a.shape, *map(np.shape, parts))
    made = parts[-1]
    for i in range(len(parts) - 1):
        made = np.where(a == i, parts[i], made)
    return into(out, "choose", Traced(broadcast_any(traced_array(made), shape).node))  # no view of the last choice


@implements(np.piecewise)
@lies_as
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Each function is given the entries for which its condition is the last that holds."""
    x = array_of(x)
    single = np.ndim(condlist) == 0 if not isinstance(condlist, (list, tuple)) else False
    single = single or (x.ndim != 0 and not isinstance(condlist[0], list) and np.ndim(condlist[0]) == 0)
    masks = [condlist] if single else list(condlist)
    functions = list(funclist)
    if len(functions) == len(masks) + 1:
        masks.append(np.logical_not(reduce(np.logical_or, masks)))
    elif len(functions) != len(masks):
        raise ValueError(f"with {len(masks)} condition(s), {len(masks)} or {len(masks) + 1} functions are expected")
    made: Any = np.zeros(x.shape, x.dtype)
    for mask, function in zip(masks, functions, strict=True):
        if callable(function) and known(mask) and x.ndim:
            mask = np.broadcast_to(np.asarray(plain(mask), bool), x.shape)
            if mask.any():
                made = _placed(made, mask, array_of(function(x[mask], *args, **kw)))
        elif callable(function) and not (known(mask) and not np.any(plain(mask))):
            made = np.where(mask, function(x, *args, **kw), made)  # which entries it is for is not known
        elif not callable(function):
            made = np.where(mask, function, made)
    return astype(traced_array(made), x.dtype)


def _placed(made: Any, mask: Any, value: Any) -> Any:
    """The values put where the mask holds."""
    if value.ndim == 0:
        return np.where(mask, value, made)
    places = np.zeros(mask.shape, np.intp)
    places[mask] = np.arange(int(mask.sum()))
    return np.where(mask, value[places], made)


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    arr = array_of(arr)
    axis = axis_of(axis, arr.ndim)
    rest = arr.shape[:axis] + arr.shape[axis + 1 :]
    if not all(rest):
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    moved = np.moveaxis(arr, axis, -1)
    made = [array_of(func1d(moved[index], *args, **kwargs)) for index in np.ndindex(*rest)]
    inner = made[0].shape
    whole = np.stack(made).reshape((*rest, *inner))
    # the axes of the results stand where the axis stood
    count = len(rest)
    order = (*range(axis), *range(count, count + len(inner)), *range(axis, count))
    return np.transpose(whole, order)


@implements(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    made = array_of(a)
    for axis in np.atleast_1d(axes).tolist():
        found = func(made, axis)
        made = found if np.ndim(found) == made.ndim else np.expand_dims(found, axis)
    return made


@implements(np.ix_)
def ix(*args: Any) -> Any:
    if any(isinstance(x, Traced) and x.dtype.kind == "f" for x in args):
        raise UnsupportedError("np.ix_ of traced floating values", where=here(), why="they cannot be indices")
    return np.ix_(*map(plain, args))


METHODS.update(take=take, compress=lambda a, condition, axis=None, out=None: compress(condition, a, axis, out),
                choose=choose)  # fmt: skip


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not isinstance(dst, (Traced, Buffered)):
        raise into_plain_array(dst, "np.copyto cannot write a traced value into a plain array")
    dst[...] = src if where is True else np.where(where, src, dst)


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    if not isinstance(a, (Traced, Buffered)):
        raise into_plain_array(a, "np.fill_diagonal cannot write a traced value into a plain array")
    at = np.arange(prod(a.shape)).reshape(a.shape)  # NumPy is asked which places these are
    diagonal = np.zeros(a.shape, np.bool_)
    np.fill_diagonal(diagonal, True, wrap)
    places = np.unravel_index(at[diagonal], a.shape)
    a[places] = np.resize(val, places[0].shape) if np.ndim(val) else val
