"""Reductions.  `axes` is a sorted tuple of axes ≥ 0, `keepdims` as in NumPy."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.index import Place, Scattered
from payback.ops.row import Row

Axes = tuple[int, ...]
_ARRAYS = {np.ndarray, np.float64, np.float32}  # which say their dtype themselves


@lru_cache(maxsize=4096)
def reduced(shape: tuple[int, ...], axes: Axes, keepdims: bool) -> tuple[int, ...]:
    """The shape after reducing over the axes."""
    if keepdims:
        return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    return tuple(extent for axis, extent in enumerate(shape) if axis not in axes)


def spread(m: Any, v: Any, shape: tuple[int, ...], axes: Axes, keepdims: bool) -> Any:
    """What a reduction's result (or its adjoint) is at every entry of the argument."""
    return m.broadcast(kept(m, v, shape, axes, keepdims), shape=shape)


def kept(m: Any, v: Any, shape: tuple[int, ...], axes: Axes, keepdims: bool) -> Any:
    """A reduction's result with the axes that it has not kept, one entry long."""
    return m.reshape(v, shape=reduced(shape, axes, True)) if not keepdims and axes and m.shape(v) else v


def _shape(x: Aval, axes: Axes, keepdims: bool) -> Aval:
    return Aval(reduced(x.shape, axes, keepdims), x.dtype)


def _sum_shape(x: Aval, axes: Axes, keepdims: bool) -> Aval:
    dtype = np.add.reduce(np.empty(0, x.dtype)).dtype  # small integers are summed as int64
    return Aval(reduced(x.shape, axes, keepdims), dtype)


def _mean_shape(x: Aval, axes: Axes, keepdims: bool) -> Aval:
    return Aval(reduced(x.shape, axes, keepdims), x.dtype if x.dtype.kind == "f" else np.dtype(np.float64))


def _spread_bar(m: Any, bar: Any, slot: int, x: Any, axes: Axes, keepdims: bool) -> Any:
    return spread(m, bar, m.shape(x), axes, keepdims)


def _mean_adjoint(m: Any, bar: Any, slot: int, x: Any, axes: Axes, keepdims: bool) -> Any:
    shape = m.shape(x)
    count, wide = float(prod(shape[axis] for axis in axes)), _wide(m, bar)
    share = (
        m.cast(m.div(m.cast(bar, dtype=wide, weak=False), count), dtype=m.dtype(bar), weak=False)
        if wide
        else m.div(bar, count)
    )
    return spread(m, share, shape, axes, keepdims)


def _wide(m: Any, x: Any) -> np.dtype[Any] | None:
    """Numbers of entries are not kept in float16, which ends at 65504: NumPy's mean divides in float32 as well."""
    dtype = x.dtype if type(x) in _ARRAYS else m.dtype(x)
    return np.dtype(np.float32) if dtype == np.float16 else None


Row("sum", "linear", lambda m, x, axes, keepdims: m.sum(x, axes=axes, keepdims=keepdims),
    shape=_sum_shape, adjoint=_spread_bar, carry=_spread_bar, math="1 at every entry")  # fmt: skip
Row(
    "mean",
    "linear",
    lambda m, x, axes, keepdims: m.mean(x, axes=axes, keepdims=keepdims),
    shape=_mean_shape,
    adjoint=_mean_adjoint,
    carry=_spread_bar,
    numeric="float",
    math="1/n at every entry",
)


def _extreme_partial(loses: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Ties share equally.  Of a group with a NaN nobody has lost and nobody won, and all are paid NaN: 0/0.

    On values y is not spread, here as in the partials below: NumPy does that.
    """

    def partial(m: Any, x: Any, y_spread: Any, axes: Axes) -> Any:
        won = x == y_spread
        if type(won) is np.ndarray and _one_each(won, y_spread, axes):
            return m.select(won, 1.0, None)  # what it comes to below, sooner
        wide = _wide(m, x) or m.dtype(x)
        count = m.sum(m.cast(won, dtype=wide, weak=False), axes=axes, keepdims=True)
        share = m.cast(m.div(m.sign(count), count), dtype=m.dtype(x), weak=False)
        return m.select(loses(x, y_spread), None, m.broadcast(share, shape=m.shape(x)))

    return partial


def _one_each(won: Any, y_spread: Any, axes: Axes) -> bool:
    """Whether one entry has won in each group over the axes: as many as there are groups, and every group has some.

    In a group nobody has won only if its extreme is NaN.
    """
    if type(y_spread) is not np.ndarray:  # over all axes
        return bool(np.count_nonzero(won) == 1 and y_spread == y_spread)
    y = y_spread[tuple([_FIRST if axis in axes else _ALL for axis in range(won.ndim)])]
    return bool(np.count_nonzero(won) == y.size == np.count_nonzero(y == y))


_FIRST, _ALL = slice(0, 1), slice(None)


def _softmax_partial(m: Any, x: Any, y_spread: Any, axes: Axes) -> Any:
    # all entries −∞: y = −∞ and x − y would be NaN, while the weights exp(x) are plain zeros
    return m.exp(x - m.where(y_spread == -np.inf, 0.0, y_spread))


for _name, _loses in (("max", operator.lt), ("min", operator.gt)):
    Row(
        _name,
        "reduction",
        (lambda name: lambda m, x, axes, keepdims: getattr(m, name)(x, axes=axes, keepdims=keepdims))(_name),
        shape=_shape,
        partials=[_extreme_partial(_loses)],
        math=f"1 at the {_name}imum",
        kink="ties share equally",
    )
Row("logsumexp", "reduction", lambda m, x, axes, keepdims: m.logsumexp(x, axes=axes, keepdims=keepdims),
    shape=_shape, partials=[_softmax_partial], numeric="float", math="softmax x")  # fmt: skip


def _norm_partial(m: Any, x: Any, y_spread: Any, axes: Axes) -> Any:
    flat = y_spread == 0
    if type(flat) is np.ndarray and not flat.any():
        return m.div(x, y_spread)  # what it comes to below, sooner
    return m.select(flat, None, m.div(x, y_spread))


Row(
    "norm",
    "reduction",
    lambda m, x, axes, keepdims: m.norm(x, axes=axes, keepdims=keepdims),
    shape=_shape,
    partials=[_norm_partial],
    numeric="float",
    math="x/y",
    kink="x = 0, taken as 0",
)


def _reduceat_shape(x: Aval, indices: tuple[int, ...], axis: int) -> Aval:
    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return Aval(shape, np.add.reduceat(np.empty(1, x.dtype), [0]).dtype)


def _reduceat_adjoint(m: Any, bar: Any, slot: int, x: Any, indices: tuple[int, ...], axis: int) -> Scattered:
    """Each entry is paid what the sums are owed that it went into: one or, where segments overlap, several."""
    ends = [*indices[1:], m.shape(x)[axis]]
    lengths = [max(end - start, 1) for start, end in zip(indices, ends, strict=True)]
    owner = np.repeat(np.arange(len(indices)), lengths)
    first = np.cumsum([0, *lengths[:-1]], dtype=np.intp)
    entries = np.arange(len(owner)) + np.repeat(np.array(indices, np.intp) - first, lengths)
    template = (*[slice(None)] * axis, Place(0))
    entries, owner = (m.constant(places) for places in (entries, owner))
    return Scattered(template, (entries,), m.index(bar, owner, template=template))


Row("reduceat", "linear", lambda m, x, indices, axis: m.reduceat(x, indices=indices, axis=axis),
    shape=_reduceat_shape, adjoint=_reduceat_adjoint, math="1 for each sum that it is in")  # fmt: skip
