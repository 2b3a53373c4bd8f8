"""`np.r_[...]`, `np.c_[...]` and `np.ndenumerate` of traced values: objects of NumPy's that dispatch nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import Traced, holds_traced, plain
from payback.trace.assignment.buffer import any_traced, buffer
from payback.trace.assignment.flat import Flat, traced_or_plain
from payback.trace.dispatch import here
from payback.trace.numpy.creation import arange
from payback.trace.numpy.map import astype, concatenate, reshape, transpose
from payback.trace.plain_arrays import now

CONCATENATOR = next(kind for kind in type(np.r_).__mro__ if "__getitem__" in vars(kind))


def joined(original: Callable[..., Any], self: Any, key: Any) -> Any:
    """`self[key]` of np.r_ or np.c_: slices are ranges, all else is put in a row, as NumPy's own method does it."""
    parts = key if isinstance(key, tuple) else (key,)
    if not any(_traced_part(part) for part in parts):
        return buffer(original(self, key))
    axis, ndmin, trans = self.axis, self.ndmin, self.trans1d
    made, kinds = [], []
    for k, part in enumerate(parts):
        if isinstance(part, str):
            axis, ndmin, trans = _directive(part, k, ndmin, trans)
            continue
        scalar = False
        if isinstance(part, slice):
            x = _range(part)
            x = _at_least(x, ndmin)
            if ndmin > 1 and trans != -1:
                x = x.swapaxes(-1, trans)
        else:
            x = traced_or_plain(part)
            scalar = not x.ndim
            given, x = x.ndim, _at_least(x, ndmin)
            if trans != -1 and not scalar and given < ndmin:
                missing = ndmin - given
                first = trans + missing + 1 if trans < 0 else trans
                axes = list(range(ndmin))
                x = transpose_any(x, axes[:first] + axes[missing:] + axes[first:missing])
        made.append(x)
        kinds.append(_kind(part, x) if scalar else x.dtype)
    dtype = np.result_type(*kinds)
    return concatenate([astype(x, dtype) if isinstance(x, Traced) else x.astype(dtype) for x in made], axis)


def _traced_part(part: Any) -> bool:
    if isinstance(part, slice):
        return any(holds_traced(bound) for bound in (part.start, part.stop, part.step))
    return holds_traced(part)


def _kind(part: Any, x: Any) -> Any:
    """What a scalar counts as in the promotion: a Python number itself, for it is weak; else its dtype."""
    if type(part) in (bool, int, float):
        return part
    if isinstance(part, Traced) and part.node.aval.weak:
        return {"f": 0.0, "i": 0, "b": False}[x.dtype.kind]
    return x.dtype


def _directive(text: str, k: int, ndmin: int, trans: int) -> tuple[int, int, int]:
    if k:
        raise ValueError("special directives must be the first entry.")
    if text in ("r", "c"):
        raise UnsupportedError("np.r_['r', ...] makes a numpy.matrix", where=here(),
                               why="* means another product for it", fix="leave the directive away")  # fmt: skip
    try:
        numbers = [int(part) for part in text.split(",")]
        return numbers[0], (numbers[1:] or [ndmin])[0], (numbers[2:] or [trans])[0]
    except ValueError:
        raise ValueError(f"unknown special directive {text!r}") from None


def _range(part: slice) -> Any:
    start = 0 if part.start is None else part.start
    if isinstance(part.step, (complex, np.complexfloating)):
        return np.linspace(start, part.stop, int(abs(part.step)))
    return arange(np.arange, start, part.stop, 1 if part.step is None else part.step)


def _at_least(x: Any, ndmin: int) -> Any:
    missing = ndmin - x.ndim
    if missing <= 0:
        return x
    shape = (1,) * missing + x.shape
    return reshape(x, shape) if isinstance(x, Traced) else x.reshape(shape)


def transpose_any(x: Any, axes: list[int]) -> Any:
    return transpose(x, axes) if isinstance(x, Traced) else x.transpose(axes)


def enumerated(original: Callable[..., Any], self: Any, arr: Any) -> None:
    """`np.ndenumerate(arr)`: its iterator goes through the traced entries."""
    if any_traced(arr):
        self.iter = Flat(now(arr))
    else:
        original(self, arr if not isinstance(arr, Traced) else plain(arr))
