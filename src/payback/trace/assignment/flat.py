"""`x.flat`, and NumPy's functions that write into an array by flat places: put, place, putmask, put_along_axis, sort.

All of them end in one assignment `x[places] = values`, which item assignment answers (`written.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.ir.node import Node
from payback.trace.array import Traced, as_traced, plain
from payback.trace.assignment.outside import into_plain_array
from payback.trace.assignment.written import plain_key
from payback.trace.dispatch import here, implements
from payback.trace.indexing import unknown
from payback.trace.numpy.arguments import traced_array
from payback.trace.operators import FUNCTIONS, METHODS
from payback.trace.plain_arrays import Buffered, now


class Flat:
    """The entries, in C order, of a traced array or of one that may become traced: numpy.flatiter for it."""

    __slots__ = ("base", "index")
    __hash__ = None

    def __init__(self, base: Any):
        self.base, self.index = base, 0

    @property
    def coords(self) -> tuple[int, ...]:
        """Where it is; past the end, as NumPy says it, the first index is the length of the axis."""
        rest, found = self.index, []
        for n in reversed(self.base.shape[1:]):
            rest, i = divmod(rest, n) if n else (rest, 0)
            found.append(i)
        return (rest, *reversed(found)) if self.base.shape else ()

    def __len__(self) -> int:
        return int(self.base.size)

    def __iter__(self) -> Flat:
        return self

    def __next__(self) -> Any:
        if self.index >= len(self):
            raise StopIteration
        entry = self.base[self.coords]
        self.index += 1
        return entry

    def __getitem__(self, key: Any) -> Any:
        """A copy, as flatiter's is, or one entry."""
        if unknown(key):
            return _line(self.base)[key]
        places = np.arange(len(self))[plain_key(key)]
        return self.base[np.unravel_index(places, self.base.shape)] if self.base.shape else self.base[None][places]

    def __setitem__(self, key: Any, value: Any) -> None:
        places = np.arange(len(self))
        _apart(self.base, value)
        put_at(self.base, traced_array(places)[key] if unknown(key) else places[plain_key(key)], value)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return np.array(now(self.base).reshape(-1), *args, **kwargs)

    def copy(self) -> Any:
        return self.base.flatten()


def _apart(target: Any, value: Any) -> None:
    if isinstance(now(value), Traced) and np.may_share_memory(now(value), now(target)):
        raise UnsupportedError("x.flat = y of two arrays that share memory", where=here(),
                               why="NumPy reads entries that it has written already", fix="write y.copy()")  # fmt: skip


def traced_or_plain(value: Any) -> Any:
    """A traced value (a list of them stacked), or a plain array."""
    if isinstance(value, Traced):
        return value
    value = as_traced(value)
    return Traced(value) if isinstance(value, Node) else np.asarray(value)


def _line(target: Any) -> Traced:
    """A copy of the entries in a row."""
    return Traced(traced_array(now(target)).reshape(-1).node)


def put_at(target: Any, places: Any, value: Any) -> None:
    """The values, from the beginning again if they are too few, at flat places of the target."""
    values = traced_or_plain(value).reshape(-1)
    if unknown(places):
        count = int(np.prod(places.shape, dtype=int))
        if count and values.size:
            line = _line(target)
            line[places.reshape(-1)] = values if values.size == count else values[np.arange(count) % values.size]
            target[...] = line.reshape(target.shape)
        return
    places = np.asarray(places).reshape(-1)
    if not places.size or not values.size:
        return
    if values.size != places.size:
        values = values[np.arange(places.size) % values.size]
    target[np.unravel_index(places, target.shape) if target.shape else ...] = values if target.shape else values[-1]


def _writable(target: Any, name: str) -> None:
    if not isinstance(target, (Traced, Buffered)):
        raise into_plain_array(target, f"np.{name} cannot write a traced value into a plain array")


@implements(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    _writable(a, "put")
    ind = ind if unknown(ind) else np.asarray(plain(ind))
    if mode == "wrap":
        ind = ind % a.size
    elif mode == "clip":
        ind = np.clip(ind, 0, a.size - 1)
    put_at(a, traced_array(np.arange(a.size))[ind] if unknown(ind) else np.arange(a.size)[ind], v)


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    _writable(arr, "place")
    _apart(arr, vals)
    if unknown(mask) and np.size(vals) == 1:
        arr[...] = np.where(mask, traced_or_plain(vals).reshape(()), arr)
        return
    places = np.flatnonzero(plain(mask))
    if places.size and not np.size(vals):
        raise ValueError("Cannot insert from an empty array!")
    put_at(arr, places, vals)


@implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    _writable(a, "putmask")
    if np.size(mask) != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    mask = np.reshape(mask, a.shape)
    values = traced_or_plain(values)
    if unknown(mask):
        if values.size:
            a[...] = np.where(mask, values.reshape(-1)[np.arange(a.size) % values.size].reshape(a.shape), a)
        return
    places = np.flatnonzero(plain(mask))
    put_at(a, places, values.reshape(-1)[places % values.size] if values.size else values)


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> None:
    _writable(arr, "put_along_axis")
    indices = indices if unknown(indices) else np.asarray(plain(indices))
    if axis is None:
        put_at(arr, indices if unknown(indices) else np.arange(arr.size)[indices], values)
        return
    if indices.ndim != arr.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    axis = np.lib.array_utils.normalize_axis_index(axis, arr.ndim)
    grid = [np.arange(n).reshape((-1,) + (1,) * (arr.ndim - 1 - i)) for i, n in enumerate(arr.shape)]
    grid[axis] = indices
    arr[tuple(grid)] = values


def _sort(x: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
          descending: Any = None) -> None:  # fmt: skip
    """`x.sort()`: sorted in place."""
    if order is not None:
        raise UnsupportedError(".sort(order=) of traced values", where=here(), fix="leave order= away")
    falls = {"descending": True} if descending else {}  # NumPy 2.5
    x[...] = np.sort(x, axis=axis, kind=kind, stable=stable, **falls)


def _partition(x: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> None:
    """`x.partition(k)`: in place, with the k-th smallest entry at k."""
    if order is not None:
        raise UnsupportedError(".partition(order=) of traced values", where=here(), fix="leave order= away")
    x[...] = FUNCTIONS[np.take_along_axis](x, np.argpartition(x.value, kth, axis, kind), axis)


def _fill(x: Any, value: Any) -> None:
    x[...] = value


METHODS.update(put=put, sort=_sort, partition=_partition, fill=_fill)


def _get_flat(x: Any) -> Flat:
    return Flat(x)


def _set_flat(x: Any, value: Any) -> None:
    _apart(x, value)
    put_at(x, np.arange(x.size), value)


Traced.flat = property(_get_flat, _set_flat)
