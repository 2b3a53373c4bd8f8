"""Primitives that move entries about, and `cast`: linear, so their adjoints are of the same family."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.row import Row


def unbroadcast(m: Any, bar: Any, shape: tuple[int, ...]) -> Any:
    """Sum an adjoint back to the shape that was broadcast."""
    axes, reshaped = summed_axes(m.shape(bar), shape)
    bar = m.sum(bar, axes=axes, keepdims=False)
    return m.reshape(bar, shape=shape) if reshaped else bar


@lru_cache(maxsize=4096)
def summed_axes(extents: tuple[int, ...], shape: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """The axes along which a shape was broadcast, and whether some of them stay with one entry."""
    lead = len(extents) - len(shape)
    axes = (*range(lead), *(i + lead for i, extent in enumerate(shape) if extent == 1 and extents[i + lead] != 1))
    return axes, len(extents) - len(axes) != len(shape)


def unbroadcast_mask(m: Any, mask: Any, shape: tuple[int, ...]) -> Any:
    """Whether the mask holds anywhere among the entries that `unbroadcast` sums."""
    if type(mask) is not np.ndarray:
        return m.ne(unbroadcast(m, mask, shape), 0)
    axes, reshaped = summed_axes(mask.shape, shape)
    held = np.logical_or.reduce(mask, axis=axes)
    return held.reshape(shape) if reshaped else held


def _cast_shape(x: Aval, dtype: np.dtype[Any], weak: bool) -> Aval:
    return Aval(x.shape, dtype, weak)


def _cast_adjoint(m: Any, bar: Any, slot: int, x: Any, dtype: np.dtype[Any], weak: bool) -> Any:
    return m.cast(bar, dtype=m.dtype(x), weak=m.is_weak(x))


Row("cast", "linear", lambda m, x, dtype, weak: m.cast(x, dtype=dtype, weak=weak),
    shape=_cast_shape, adjoint=_cast_adjoint, carry=lambda m, mask, slot, x, **_: mask, math="1")  # fmt: skip


def _broadcast_adjoint(m: Any, bar: Any, slot: int, x: Any, shape: tuple[int, ...]) -> Any:
    return unbroadcast(m, bar, m.shape(x))


def _reshape_adjoint(m: Any, bar: Any, slot: int, x: Any, shape: tuple[int, ...]) -> Any:
    return m.reshape(bar, shape=m.shape(x))


def _transpose_adjoint(m: Any, bar: Any, slot: int, x: Any, axes: tuple[int, ...]) -> Any:
    return m.transpose(bar, axes=_back(axes))


@lru_cache(maxsize=4096)
def _back(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The order of axes that undoes one."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


Row("broadcast", "linear", lambda m, x, shape: m.broadcast(x, shape=shape),
    shape=lambda x, shape: Aval(shape, x.dtype), adjoint=_broadcast_adjoint,
    carry=lambda m, mask, slot, x, shape: unbroadcast_mask(m, mask, m.shape(x)), math="1")  # fmt: skip
Row(
    "reshape",
    "linear",
    lambda m, x, shape: m.reshape(x, shape=shape),
    shape=lambda x, shape: Aval(shape, x.dtype),
    adjoint=_reshape_adjoint,
    carry=_reshape_adjoint,
    math="1",
)
Row("transpose", "linear", lambda m, x, axes: m.transpose(x, axes=axes),
    shape=lambda x, axes: Aval(tuple(x.shape[a] for a in axes), x.dtype),
    adjoint=_transpose_adjoint, carry=_transpose_adjoint, math="1")  # fmt: skip


def _concatenate_shape(*parts: Aval, axis: int) -> Aval:
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return Aval(tuple(shape), parts[0].dtype)


def _concatenate_adjoint(m: Any, bar: Any, slot: int, *parts: Any, axis: int) -> Any:
    start = sum(m.shape(part)[axis] for part in parts[:slot])
    piece = slice(start, start + m.shape(parts[slot])[axis], None)
    return m.index(bar, template=(*[slice(None)] * axis, piece))


def _stack_adjoint(m: Any, bar: Any, slot: int, *parts: Any, axis: int) -> Any:
    return m.index(bar, template=(*[slice(None)] * axis, slot))


Row("concatenate", "linear", lambda m, *parts, axis: m.concatenate(*parts, axis=axis),
    shape=_concatenate_shape, adjoint=_concatenate_adjoint, carry=_concatenate_adjoint, math="1")  # fmt: skip
Row("stack", "linear", lambda m, *parts, axis: m.stack(*parts, axis=axis),
    shape=lambda *parts, axis: Aval((*parts[0].shape[:axis], len(parts), *parts[0].shape[axis:]), parts[0].dtype),
    adjoint=_stack_adjoint, carry=_stack_adjoint, math="1")  # fmt: skip


def _cumsum_adjoint(m: Any, bar: Any, slot: int, x: Any, axis: int, backwards: bool) -> Any:
    return m.cumsum(bar, axis=axis, backwards=not backwards)


Row("cumsum", "linear", lambda m, x, axis, backwards: m.cumsum(x, axis=axis, backwards=backwards),
    shape=lambda x, axis, backwards: Aval(x.shape, np.add.reduce(np.empty(0, x.dtype)).dtype),
    adjoint=_cumsum_adjoint, math="1 at every entry before")  # fmt: skip
