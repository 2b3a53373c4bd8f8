"""np.pad in all its modes: axis by axis, the two sides found from the middle and joined to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import Traced, plain
from payback.trace.dispatch import here, implements
from payback.trace.numpy.arguments import array_of, arrayed, part_of
from payback.trace.numpy.map import astype, broadcast_any, concatenate, like_first

_OPTIONS = {
    "constant": "constant_values", "linear_ramp": "end_values", "maximum": "stat_length", "mean": "stat_length",
    "median": "stat_length", "minimum": "stat_length", "reflect": "reflect_type", "symmetric": "reflect_type",
    "edge": "", "wrap": "", "empty": "",
}  # fmt: skip
_STATISTICS = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}


def _pairs(x: Any, ndim: int) -> list[tuple[Any, Any]]:
    """One value, a pair, or a pair for each axis."""
    x = array_of(x)
    if x.size == 1:
        x = x.reshape(())
    elif x.size == 2 and x.shape != (2, 1):
        x = x.reshape((2,))
    x = broadcast_any(x, (ndim, 2))
    return [(x[i, 0], x[i, 1]) for i in range(ndim)]


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        each: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            each[axis] = (width, width) if isinstance(width, int) else tuple(width)
        pad_width = each
    pad_width = np.asarray(plain(pad_width))
    if pad_width.dtype.kind not in "iu":
        raise TypeError("`pad_width` must be of integral type.")
    if pad_width.min(initial=0) < 0:
        raise ValueError("index can't contain negative values")
    return [(int(before), int(after)) for before, after in _pairs(pad_width.tolist(), ndim)]


@implements(np.pad)
@like_first
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    array = arrayed(array_of(array))
    if callable(mode) or mode == "empty":
        name = mode if mode == "empty" else getattr(mode, "__name__", "a function")
        why = "it leaves entries undefined" if mode == "empty" else "the function would write into a bare array"
        raise UnsupportedError(f"np.pad of traced values with mode={name}", where=here(), why=why,
                               fix="use another mode, or write the parts into np.zeros(...)")  # fmt: skip
    if mode not in _OPTIONS:
        raise ValueError(f"mode '{mode}' is not supported")
    unknown = set(kwargs) - {_OPTIONS[mode]}
    if unknown:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}")
    option = kwargs.get(_OPTIONS[mode])
    widths = _widths(pad_width, array.ndim)
    if mode in ("constant", "linear_ramp"):
        options: Any = _pairs(0 if option is None else option, array.ndim)
    elif mode in _STATISTICS and option is not None:
        options = _pairs(np.asarray(plain(option)).tolist(), array.ndim)
    else:
        options = [option] * array.ndim
    for axis, ((before, after), given) in enumerate(zip(widths, options, strict=True)):
        if before or after:
            if not array.shape[axis] and mode != "constant":
                raise ValueError(f"can't extend empty axis {axis} using modes other than 'constant' or 'empty'")
            array = _padded(array, axis, before, after, mode, given)
    return Traced(array.node) if isinstance(array, Traced) else array


def _padded(x: Any, axis: int, before: int, after: int, mode: str, given: Any) -> Any:
    extent = x.shape[axis]
    if mode in ("edge", "wrap") or (mode in ("reflect", "symmetric") and given != "odd"):
        if extent == 1:
            mode = "edge"
        places = np.pad(np.arange(extent), (before, after), mode)
        return part_of(x, axis, places)
    if mode == "constant":
        sides = [_filled(x, axis, width, value) for width, value in zip((before, after), given, strict=True)]
    elif mode == "linear_ramp":
        left = _ramp(part_of(x, axis, slice(0, 1)), axis, before, given[0])
        right = _ramp(part_of(x, axis, slice(extent - 1, None)), axis, after, given[1])
        sides = [left, np.flip(right, axis)]
    elif mode in _STATISTICS:
        sides = _statistics(x, axis, before, after, mode, given)
    elif extent == 1:
        return part_of(x, axis, np.zeros(before + 1 + after, np.intp))
    else:
        return _mirrored(x, axis, before, after, mode == "symmetric")
    return concatenate([sides[0], x, sides[1]], axis)


def _with_extent(x: Any, axis: int, extent: int) -> tuple[int, ...]:
    return (*x.shape[:axis], extent, *x.shape[axis + 1 :])


def _filled(x: Any, axis: int, width: int, value: Any) -> Any:
    value = value if isinstance(value, Traced) else np.asarray(value)
    return broadcast_any(value.astype(x.dtype), _with_extent(x, axis, width))


def _ramp(edge: Any, axis: int, width: int, end: Any) -> Any:
    """From the end value towards the edge, which it does not reach."""
    steps = np.arange(width).reshape(_with_extent(np.empty((1,) * edge.ndim), axis, width))
    end = end.astype(float) if isinstance(end, Traced) else float(end)
    return astype(end + steps * ((edge - end) / max(width, 1)), edge.dtype)


def _statistics(x: Any, axis: int, before: int, after: int, mode: str, lengths: Any) -> list[Any]:
    extent, sides = x.shape[axis], []
    for width, length, at_end in zip((before, after), lengths or (None, None), (False, True), strict=True):
        length = extent if length is None else min(int(length), extent)
        if length == 0 and mode in ("maximum", "minimum"):
            raise ValueError("stat_length of 0 yields no value for padding")
        part = part_of(x, axis, slice(extent - length, None) if at_end else slice(0, length))
        value = astype(_STATISTICS[mode](part, axis=axis, keepdims=True), x.dtype)
        sides.append(broadcast_any(value, _with_extent(x, axis, width)))
    return sides


def _mirrored(x: Any, axis: int, before: int, after: int, with_edge: bool) -> Any:
    """Reflected through the point at the edge ("odd"), as often as the width asks for."""
    period, skip = x.shape[axis], 0 if with_edge else 1
    while before or after:
        # as much of the present middle as is made of whole periods
        extent = x.shape[axis]
        whole = extent // period * period if with_edge else (extent - 1) // (period - 1) * (period - 1)
        left, right = min(whole, before), min(whole, after)
        first = part_of(x, axis, slice(0, 1))
        mirror = np.flip(part_of(x, axis, slice(skip, skip + left)), axis)
        x, before = concatenate([2 * first - mirror, x], axis), before - left
        last = part_of(x, axis, slice(x.shape[axis] - 1, None))
        end = x.shape[axis] - skip
        mirror = np.flip(part_of(x, axis, slice(end - right, end)), axis)
        x, after = concatenate([x, 2 * last - mirror], axis), after - right
    return x
