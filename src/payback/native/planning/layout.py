"""Where values lie: buffers, and views of them by offset and strides, counted in elements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.ops.namespace import Place

Shape = tuple[int, ...]


class Buffer:
    """A block of memory.

    kind   "input", "const", "output" (each has a base pointer of its own) or "arena"
    base   the number of its base pointer, start: bytes from there
    first, last  the commands that write and read it first and last
    """

    __slots__ = ("array", "base", "dtype", "first", "kind", "last", "size", "start")

    def __init__(self, kind: str, dtype: np.dtype[Any], size: int, array: Any = None):
        self.kind, self.dtype, self.size, self.array = (
            kind,
            np.dtype(dtype.char),
            size,
            array,
        )  # native, and NumPy's own object
        self.base, self.start = 0, 0
        self.first, self.last = -1, -1

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


class View(NamedTuple):
    """Part of a buffer."""

    buffer: Buffer
    offset: int
    shape: Shape
    strides: Shape

    @property
    def whole(self) -> bool:
        """Whether it is all of its buffer, in order."""
        return self.offset == 0 and prod(self.shape) == self.buffer.size and self.strides == contiguous(self.shape)


@lru_cache(1 << 12)
def contiguous(shape: Shape) -> Shape:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def whole(buffer: Buffer, shape: Shape) -> View:
    return View(buffer, 0, shape, contiguous(shape))


def spread(view: View, shape: Shape) -> View:
    """Broadcast, as NumPy does it."""
    if view.shape == shape:
        return view
    lead = len(shape) - len(view.shape)
    strides = tuple(
        0 if extent == 1 and wanted != 1 else stride
        for extent, stride, wanted in zip(view.shape, view.strides, shape[lead:], strict=True)
    )
    return View(view.buffer, view.offset, shape, (0,) * lead + strides)


def transposed(view: View, axes: Shape) -> View:
    return View(view.buffer, view.offset, tuple(view.shape[a] for a in axes), tuple(view.strides[a] for a in axes))


def indices(view: View, places: Places) -> View:
    """An index array over the axes of the result."""
    common = places.shape[places.first : places.first + places.count]
    across = spread(view, common)
    rest = len(places.shape) - places.first - places.count
    return View(view.buffer, view.offset, places.shape, (0,) * places.first + across.strides + (0,) * rest)


def along(views: Sequence[View], axis: int, backwards: bool) -> tuple[list[int], list[View]]:
    """Views of one shape with this axis last, read from its end if `backwards`; and their lengths and strides."""
    order = (*[a for a in range(len(views[0].shape)) if a != axis], axis)
    numbers, made = [views[0].shape[a] for a in order], []
    for view in views:
        view = transposed(view, order)
        offset, strides = view.offset, view.strides
        if backwards and view.shape[-1]:
            offset, strides = offset + strides[-1] * (view.shape[-1] - 1), (*strides[:-1], -strides[-1])
        numbers += strides
        made.append(View(view.buffer, offset, view.shape, strides))
    return numbers, made


def reshaped(view: View, shape: Shape) -> View | None:
    """The same entries in another shape, or None where they would have to be copied."""
    in_order = 1 not in shape and 1 not in view.shape and view.strides == contiguous(view.shape)
    if in_order or prod(shape) == 0:
        return View(view.buffer, view.offset, shape, contiguous(shape))
    old = [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
    new = [n for n in shape if n != 1]
    strides: list[int] = []
    i = j = 0
    while i < len(old) or j < len(new):
        count, wanted, first_i, first_j = old[i][0], new[j], i, j
        i, j = i + 1, j + 1
        while count != wanted:
            if count < wanted:
                count, i = count * old[i][0], i + 1
            else:
                wanted, j = wanted * new[j], j + 1
        for k in range(first_i, i - 1):  # the old axes of this piece must be one run
            if old[k][1] != old[k + 1][1] * old[k + 1][0]:
                return None
        piece, step = [], old[i - 1][1]
        for k in range(j - 1, first_j - 1, -1):
            piece.append(step)
            step *= new[k]
        strides += reversed(piece)
    found = iter(strides)
    return View(view.buffer, view.offset, shape, tuple(0 if n == 1 else next(found) for n in shape))


class Places(NamedTuple):
    """An index with arrays: what each axis of the result moves in the source, and what the arrays move.

    shape, strides  of the source over the result's axes, zero along those of the index arrays
    first, count    where the axes of the index arrays stand in the result
    arrays          (number of the array, extent of the source's axis, its stride)
    """

    offset: int
    shape: Shape
    strides: Shape
    first: int
    count: int
    arrays: tuple[tuple[int, int, int], ...]


def indexed(view: View, template: tuple[Any, ...], arrays: Sequence[Shape]) -> Places | None:
    """NumPy's index as offsets and strides; None for what has no such form (masks)."""
    if len(template) == len(view.shape) == 1 and type(template[0]) is slice:
        start, stop, step = template[0].indices(view.shape[0])
        length, stride = len(range(start, stop, step)), view.strides[0]
        return Places(view.offset + (start * stride if length else 0), (length,), (stride * step,), 0, 0, ())
    parts = list(template)
    if any(isinstance(part, (bool, np.bool_, np.ndarray)) for part in parts):
        return None
    used = sum(part is not None and part is not Ellipsis for part in parts)
    rest = [slice(None)] * (len(view.shape) - used)
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = rest or [Ellipsis]  # it parts index arrays even if it stands for no axis
    else:
        parts += rest
    fancy = bool(arrays)
    shape: list[int] = []
    strides: list[int] = []
    found, spots, offset, axis = [], [], view.offset, 0
    for at, part in enumerate(parts):
        if part is Ellipsis:
            continue
        if part is None:
            shape.append(1)
            strides.append(0)
            continue
        extent, stride = view.shape[axis], view.strides[axis]
        axis += 1
        if isinstance(part, slice):
            start, stop, step = part.indices(extent)
            length = len(range(start, stop, step))
            shape.append(length)
            strides.append(stride * step)
            offset += start * stride if length else 0
            continue
        spots.append((at, len(shape)))
        if isinstance(part, Place):
            found.append((part.k, extent, stride))
        else:
            offset += int(part) % extent * stride if extent else 0
    if not fancy:
        return Places(offset, tuple(shape), tuple(strides), 0, 0, ())
    common = np.broadcast_shapes(*arrays)
    numbers = [at for at, _ in spots]
    together = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    first = spots[0][1] if together else 0
    shape[first:first] = common
    strides[first:first] = [0] * len(common)
    return Places(offset, tuple(shape), tuple(strides), first, len(common), tuple(found))


def collapsed(
    shape: Shape, strides: Sequence[Shape], kinds: Sequence[str], form: Shape | None = None
) -> tuple[list[int], list[list[int]], str]:
    """Fewer axes: those of extent 1 go, neighbours of one kind become one where every operand moves evenly.

    kinds: a letter an axis.  form: a shape whose axes become fewer in the same way, where the extents are equal.
    Returns extents, strides by operand, and the letters.
    """
    form = form or shape
    axes = [i for i, n in enumerate(form) if n != 1]
    extents: list[int] = []
    moves: list[list[int]] = [[] for _ in strides]
    letters = ""
    for i in axes:
        if (
            extents
            and letters[-1] == kinds[i]
            and shape[i] == form[i]
            and all(m[-1] == s[i] * shape[i] for m, s in zip(moves, strides, strict=True))
        ):
            extents[-1] *= shape[i]
            for move, s in zip(moves, strides, strict=True):
                move[-1] = s[i]
            continue
        extents.append(shape[i])
        letters += kinds[i]
        for move, s in zip(moves, strides, strict=True):
            move.append(s[i])
    return extents, moves, letters
