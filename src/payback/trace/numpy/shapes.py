"""NumPy's manipulations of shape on traced values: entries in other places, parts put together and taken apart."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.trace.array import Traced, plain
from payback.trace.assignment.views import in_order, is_number, laid_by, looked_at, without_axes
from payback.trace.dispatch import here, implements, into
from payback.trace.numpy.arguments import (
    array_of,
    arrayed,
    axes_listed,
    axes_of,
    axis_of,
    part_of,
    traced_array,
    with_axis,
)
from payback.trace.numpy.map import (
    astype,
    broadcast_any,
    by_rows,
    concatenate,
    copy,
    lies_as,
    like_first,
    moveaxis,
    np_sum,
    reshape,
    stack,
    swapaxes,
    transpose,
)
from payback.trace.operators import FUNCTIONS, METHODS

# the same entries in another order ------------------------------------------------------------------------------


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    axes = axes_of(axes_listed(axis), m.ndim)
    return m[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(m.ndim))]


def _of_at_least(m: Any, need: int) -> Any:
    if m.ndim < need:
        raise ValueError(f"Input must be >= {need}-d.")
    return m


FUNCTIONS[np.fliplr] = lambda m: flip(_of_at_least(m, 2), 1)
FUNCTIONS[np.flipud] = lambda m: flip(_of_at_least(m, 1), 0)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = (axis_of(axis, m.ndim) for axis in axes)
    if first == second:
        raise ValueError("Axes must be different.")
    k %= 4
    if k == 0:
        return m[:]
    if k == 2:
        return flip(flip(m, first), second)
    return swapaxes(flip(m, second), first, second) if k == 1 else flip(swapaxes(m, first, second), second)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None and a.ndim != 1:
        return reshape(roll(reshape(a, (-1,)), shift, 0), a.shape) if a.size else a
    axis = 0 if axis is None else axis
    return _rolled(a, shift, axis)


@lies_as
def _rolled(a: Any, shift: Any, axis: Any) -> Any:
    turns = [(shift, axis)]
    if type(shift) is not int or type(axis) is not int:
        shifts, axes = np.broadcast_arrays(shift, axis)
        turns = list(zip(shifts.reshape(-1).tolist(), axes.reshape(-1).tolist(), strict=True))
    for by, along in turns:
        along = axis_of(along, a.ndim)
        if a.shape[along]:
            cut = -by % a.shape[along]
            a = concatenate([part_of(a, along, slice(cut, None)), part_of(a, along, slice(None, cut))], along)
    return a


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    probe = np.broadcast_to(np.empty(()), range(a.ndim))  # an axis tells by its extent where it came from
    return transpose(a, np.rollaxis(probe, axis, start).shape)


FUNCTIONS[np.permute_dims] = transpose
FUNCTIONS[np.matrix_transpose] = lambda x, /: swapaxes(_matrix(x), -1, -2)


def _matrix(x: Any) -> Any:
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return x


# more entries ---------------------------------------------------------------------------------------------------


@implements(np.repeat)
@by_rows
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    a = array_of(a)
    if axis is None:
        a, axis = a.reshape(-1 if a.size else 0), 0
    a, axis = with_axis(a, axis)
    return part_of(a, axis, np.repeat(np.arange(a.shape[axis]), plain(repeats)))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(int(r) for r in reps)
    if all(count == 1 for count in reps):
        made = copy(A)
        return copy(reshape(made, (1,) * (len(reps) - A.ndim) + A.shape)) if len(reps) > A.ndim else made
    return _tiled(A, reps)


@by_rows
def _tiled(A: Any, reps: tuple[int, ...]) -> Any:
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    # each axis beside one of its copies, so that the copies are a broadcast
    beside = tuple(part for extent in shape for part in (1, extent))
    spread = tuple(part for count, extent in zip(reps, shape, strict=True) for part in (count, extent))
    made = np.broadcast_to(reshape(A, beside), spread)
    return reshape(made, tuple(count * extent for count, extent in zip(reps, shape, strict=True)))


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    new_shape = (new_shape,) if isinstance(new_shape, (int, np.integer)) else tuple(new_shape)
    if any(extent < 0 for extent in new_shape):
        raise ValueError("all elements of `new_shape` must be non-negative")
    size = int(np.prod(new_shape, dtype=int))
    if not a.size or not size:
        return np.zeros(new_shape, a.dtype)
    return reshape(a, (a.size,))[np.resize(np.arange(a.size), new_shape)]


@implements(np.append)
def append_to(arr: Any, values: Any, axis: Any = None) -> Any:
    return concatenate([array_of(arr), array_of(values)], axis)


@implements(np.insert)
@like_first
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """NumPy itself says where each entry comes from: it inserts places of the values into places of the array."""
    arr, values = array_of(arr), array_of(values)
    if axis is None:
        arr, axis = arr.reshape(-1 if arr.size else 0), 0
    axis = axis_of(axis, arr.ndim)
    places = np.arange(arr.size).reshape(arr.shape)
    of_values = arr.size + np.arange(values.size).reshape(values.shape)
    source = np.insert(places, plain(obj), of_values, axis=axis)
    both = [x.reshape(-1 if x.size else 0).astype(arr.dtype) for x in (arr, values)]
    return concatenate([both[0], both[1]])[source]


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    if axis is None:
        arr, axis = reshape(arr, (arr.size,)), 0
    axis = axis_of(axis, arr.ndim)
    made = part_of(arr, axis, np.delete(np.arange(arr.shape[axis]), plain(obj)))
    if isinstance(obj, slice) or np.size(obj) == 1:
        return like_first(lambda x: made)(arr)
    return laid_by(lambda x: x[(slice(None),) * axis + ([0, 0],)], made, arr)  # NumPy reads the others by a mask


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """Where it is cut is decided by the numbers."""
    if not np.ndim(filt):
        return filt
    bare = plain(filt)
    inside = np.flatnonzero if np.ndim(bare) == 1 else None
    axes = axes_of(axis, np.ndim(bare))
    key = []
    for i in range(np.ndim(bare)):
        rest = tuple(j for j in range(np.ndim(bare)) if j != i)
        found = np.flatnonzero(bare) if inside else np.flatnonzero(np.any(bare, axis=rest))
        start, stop = (found[0], found[-1] + 1) if found.size else (bare.shape[i], bare.shape[i])
        start = start if "f" in trim.lower() and i in axes else 0
        if not found.size and "f" not in trim.lower():
            stop = 0
        key.append(slice(int(start), int(stop) if "b" in trim.lower() and i in axes else bare.shape[i]))
    return filt[tuple(key)]


# parts ----------------------------------------------------------------------------------------------------------


def _split(ary: Any, indices_or_sections: Any, axis: int = 0, even: bool = False) -> list[Any]:
    axis = axis_of(axis, ary.ndim)
    probe = np.broadcast_to(np.empty(()), (ary.shape[axis],))
    pieces = (np.split if even else np.array_split)(probe, indices_or_sections)  # NumPy's own rules and errors
    ends = np.cumsum([0, *(len(piece) for piece in pieces)])
    if not isinstance(indices_or_sections, (int, np.integer)):  # given places may overlap
        places = [0, *(int(i) for i in indices_or_sections), ary.shape[axis]]
        return [part_of(ary, axis, slice(a, b)) for a, b in pairwise(places)]
    return [part_of(ary, axis, slice(int(a), int(b))) for a, b in pairwise(ends)]


FUNCTIONS[np.array_split] = _split
FUNCTIONS[np.split] = lambda ary, indices_or_sections, axis=0: _split(ary, indices_or_sections, axis, True)
FUNCTIONS[np.vsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 0, True)
FUNCTIONS[np.hsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, min(1, ary.ndim - 1), True)
FUNCTIONS[np.dsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 2, True)


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    axis = axis_of(axis, x.ndim)
    return tuple(part_of(x, axis, i) for i in range(x.shape[axis]))


def _each(shaped: Any) -> Any:
    """np.atleast_nd: one array, or a tuple of several."""

    def several(*arrays: Any) -> Any:
        made = tuple(shaped(array_of(x)) for x in arrays)
        return made[0] if len(made) == 1 else made

    return several


def _three(x: Any) -> Any:
    shape = {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}.get(x.ndim)
    return x if shape is None else x.reshape(shape)


atleast_1d = implements(np.atleast_1d)(_each(lambda x: x if x.ndim else x.reshape((1,))))
atleast_2d = implements(np.atleast_2d)(_each(lambda x: x if x.ndim > 1 else x.reshape((1,) * (2 - x.ndim) + x.shape)))
atleast_3d = implements(np.atleast_3d)(_each(_three))


@implements(np.column_stack)
def column_stack(tup: Sequence[Any]) -> Any:
    return concatenate([x.reshape((-1, 1)) if x.ndim < 2 else x for x in map(array_of, tup)], 1)


@implements(np.dstack)
def dstack(tup: Sequence[Any]) -> Any:
    return concatenate([_three(x) for x in map(array_of, tup)], 2)


@implements(np.block)
def block(arrays: Any) -> Any:
    depth, ndim = _depth(arrays), 0
    leaves = [arrays]
    while any(isinstance(leaf, list) for leaf in leaves):
        leaves = [part for leaf in leaves for part in (leaf if isinstance(leaf, list) else [leaf])]
    ndim = max([depth, *(np.ndim(leaf) for leaf in leaves)])

    def joined(part: Any, level: int) -> Any:
        if not isinstance(part, list):
            part = array_of(part)
            return part.reshape((1,) * (ndim - part.ndim) + part.shape)
        return concatenate([joined(inner, level + 1) for inner in part], ndim - depth + level)

    made = joined(arrays, 0)
    return Traced(made.node) if isinstance(made, Traced) else made


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(part) for part in arrays}
    if len(depths) != 1:
        raise ValueError("List depths are mismatched, or a list is empty, in np.block")
    return 1 + depths.pop()


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    if writeable:
        raise UnsupportedError("sliding_window_view with writeable=True of traced values", where=here(),
                               fix="write into the array itself")  # fmt: skip
    windows = (window_shape,) if isinstance(window_shape, (int, np.integer)) else tuple(window_shape)
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    if len(windows) != len(axes):
        raise ValueError("Must provide matching length window_shape and axis")

    def entries() -> Any:
        made = x
        for axis, window in zip((axis_of(a, x.ndim) for a in axes), windows, strict=True):
            count = made.shape[axis] - window + 1
            if count < 1 or window < 0:
                raise ValueError("window shape cannot be larger than input array shape")
            made = moveaxis(part_of(made, axis, np.arange(count)[:, None] + np.arange(window)), axis + 1, -1)
        return made

    return looked_at(x, "windows", {"window_shape": windows, "axis": axes}, entries)


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    parts = [array_of(x) for x in args]
    shape = np.broadcast_shapes(*[part.shape for part in parts])
    if not shape:  # of numbers arrays
        return tuple(
            [without_axes(Traced(arrayed(x).node)) if isinstance(x, Traced) and is_number(x) else x for x in parts]
        )
    if all(part.shape == shape for part in parts):
        return tuple(parts)
    return tuple(broadcast_any(part, shape) for part in parts)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    ndim = len(xi)
    parts = [array_of(x) for x in xi]
    parts = [part.reshape(tuple(-1 if j == i else 1 for j in range(ndim))) for i, part in enumerate(parts)]
    if indexing == "xy" and ndim > 1:
        parts[:2] = (np.swapaxes(part, 0, 1) for part in parts[:2])
    if not sparse:
        shape = np.broadcast_shapes(*[part.shape for part in parts])
        parts = [broadcast_any(part, shape) for part in parts]
    return tuple(in_order(Traced(part.node), "C") if isinstance(part, Traced) and copy else part for part in parts)


# triangles and diagonals ----------------------------------------------------------------------------------------


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    m = _square_of(m)
    return np.where(np.tri(*m.shape[-2:], k=k, dtype=bool), m, _zero(m))


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    m = _square_of(m)
    return np.where(np.tri(*m.shape[-2:], k=k - 1, dtype=bool), _zero(m), m)


def _zero(x: Any) -> Any:
    return x.dtype.type(0)


def _square_of(m: Any) -> Any:
    """A vector stands for all rows of a square."""
    return np.broadcast_to(m, (m.shape[0], m.shape[0])) if m.ndim == 1 else m


# places in a triangle of an array's shape
FUNCTIONS[np.tril_indices_from] = lambda arr, k=0: np.tril_indices(arr.shape[-2], k=k, m=arr.shape[-1])
FUNCTIONS[np.triu_indices_from] = lambda arr, k=0: np.triu_indices(arr.shape[-2], k=k, m=arr.shape[-1])
FUNCTIONS[np.diag_indices_from] = lambda arr: np.diag_indices_from(np.broadcast_to(np.empty(()), arr.shape))


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    first, second = axis_of(axis1, a.ndim), axis_of(axis2, a.ndim)
    if first == second:
        raise ValueError("axis1 and axis2 cannot be the same")
    rest = [i for i in range(a.ndim) if i not in (first, second)]
    count = max(0, min(a.shape[first] + min(offset, 0), a.shape[second] - max(offset, 0)))
    rows, columns = (_few_places if count <= _FEW else _places)(count, offset)

    def entries() -> Any:
        order = [*rest, first, second]
        return (a if order == sorted(order) else transpose(a, order))[..., rows, columns]

    return looked_at(a, "diagonal", {"offset": offset, "axis1": first, "axis2": second}, entries)


def _places(count: int, offset: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Where a diagonal's entries stand."""
    rows = np.arange(count) - min(offset, 0)
    columns = rows + offset
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


_FEW = 1 << 10
_few_places = lru_cache(maxsize=64)(_places)


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return into(out, "trace", np_sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype))


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
    return np.where(on, v[places], _zero(v)) if v.shape[0] else np.zeros((n, n), v.dtype)


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    return diag(reshape(v, (v.size,)), k)


@implements(np.vander)
@by_rows
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = x.shape[0] if N is None else operator.index(N)
    x = astype(x, np.promote_types(x.dtype, int))
    columns = [np.ones(x.shape, x.dtype)]
    for _ in range(1, count):
        columns.append(columns[-1] * x)
    made = stack([*map(traced_array, columns)][:count], 1) if count else np.zeros((x.shape[0], 0), x.dtype)
    return made if increasing else made[:, ::-1]


METHODS.update(repeat=repeat, diagonal=diagonal, trace=trace)


def _set_shape(self: Any, new: Any) -> None:
    raise UnsupportedError("the shape of a traced value cannot be set", where=here(),
                           why="it is that of the node that made it", fix="use x = x.reshape(...)")  # fmt: skip


Traced.shape = Traced.shape.setter(_set_shape)
