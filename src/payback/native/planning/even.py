"""Index arrays that are known and evenly spaced: what they read is a view, windows and diagonals as slices are.

Where they are so along some of their axes, as places of whole rows are, only the others are read from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from payback.ir.node import Node
from payback.native.planning import layout
from payback.native.planning.layout import Places, Shape, View


def known(arrays: Sequence[Node]) -> list[Any] | None:
    """The contents of index arrays, if all are constants."""
    if any(a.op.value is not None or a.value is None or a.aval.dtype.kind not in "iu" or a.aval.weak for a in arrays):
        return None
    return [np.asarray(a.value) for a in arrays]


def view(source: View, template: tuple[Any, ...], arrays: Sequence[Any]) -> View | None:
    """What an index reads, as a view; None where the places are not evenly spaced, or out of bounds."""
    places = layout.indexed(source, template, [array.shape for array in arrays])
    if places is None:
        return None
    offset, strides = places.offset, list(places.strides)
    for number, extent, stride in places.arrays:
        found = _steps(arrays[number], extent)
        if found is None:
            return None
        first, steps = found
        offset += first * stride
        lead = places.first + places.count - len(steps)
        for axis, step in enumerate(steps, lead):
            strides[axis] += step * stride
    return View(source.buffer, offset, places.shape, tuple(strides))


def rest(places: Places, found: Callable[[int, int], View]) -> tuple[Shape, list[tuple[View, int]]]:
    """An index's strides over its result, with what is evenly spaced in its arrays; the places that are left of each,
    over the result, and what one of them moves.

    found(number, extent): the places that an array has in memory.
    """
    strides, left = list(places.strides), []
    for number, extent, stride in places.arrays:
        view = found(number, extent)
        steps = _along(view)
        for axis, step in enumerate(steps, places.first + places.count - len(steps)):
            strides[axis] += (step or 0) * stride
        still = tuple(s if step is None else 0 for s, step in zip(view.strides, steps, strict=True))
        left.append((layout.indices(view._replace(strides=still), places), stride))
    return tuple(strides), left


def _along(places: View) -> list[int | None]:
    """How far each axis moves places that are known, None where not always as far."""
    if places.buffer.kind != "const" or not places.whole or prod(places.shape) == 0:
        return [None] * len(places.shape)
    array = places.buffer.array.reshape(places.shape)
    gaps = [np.diff(array, axis=axis) for axis in range(array.ndim)]
    return [int(gap.flat[0]) if gap.size and (gap == gap.flat[0]).all() else None for gap in gaps]


def _steps(array: Any, extent: int) -> tuple[int, Shape] | None:
    """(first, steps): array[i, j, …] = first + i·steps[0] + j·steps[1] + …; None if it is not so."""
    if not array.size:
        return None
    low, high = int(array.min()), int(array.max())
    if low < -extent or high >= extent or low < 0 <= high:
        return None
    origin = (0,) * array.ndim
    first = int(array[origin])
    steps, line = [], np.full((1,) * array.ndim, first)
    for axis, n in enumerate(array.shape):
        step = int(array[(*origin[:axis], 1, *origin[axis + 1 :])]) - first if n > 1 else 0
        steps.append(step)
        line = line + step * np.arange(n).reshape(-1, *(1,) * (array.ndim - axis - 1))
    if not np.array_equal(array, line):
        return None
    return first % extent, tuple(steps)
