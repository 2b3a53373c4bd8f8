"""Whole numbers that are found from numbers: orders and places.  They have no derivative; what they choose has."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.reduce import reduced
from payback.ops.row import Row

INTP = np.dtype(np.intp)


def _same_shape(x: Aval, **_: Any) -> Aval:
    return Aval(x.shape, INTP)


def _reduced(x: Aval, axis: int | None, keepdims: bool) -> Aval:
    axes = tuple(range(len(x.shape))) if axis is None else (axis,)
    return Aval(reduced(x.shape, axes, keepdims), INTP)


Row("argsort", "constant", lambda m, x, axis, kind: m.argsort(x, axis=axis, kind=kind), shape=_same_shape,
    math="no derivative: an order")  # fmt: skip
Row("argpartition", "constant", lambda m, x, axis, kth: m.argpartition(x, axis=axis, kth=kth), shape=_same_shape,
    math="no derivative: an order")  # fmt: skip
Row("argmax", "constant", lambda m, x, axis, keepdims: m.argmax(x, axis=axis, keepdims=keepdims), shape=_reduced,
    math="no derivative: a place")  # fmt: skip
Row("argmin", "constant", lambda m, x, axis, keepdims: m.argmin(x, axis=axis, keepdims=keepdims), shape=_reduced,
    math="no derivative: a place")  # fmt: skip
Row("running", "constant", lambda m, x, axis, largest: m.running(x, axis=axis, largest=largest), shape=_same_shape,
    math="no derivative: places")  # fmt: skip
Row("last_written", "constant", lambda m, places, size: m.last_written(places, size=size),
    shape=lambda places, size: Aval((*places.shape[:-1], size), INTP), batch="leading",
    math="no derivative: places")  # fmt: skip
Row("searchsorted", "constant", lambda m, a, v, side: m.searchsorted(a, v, side=side),
    shape=lambda a, v, side: Aval(v.shape, INTP), math="no derivative: places")  # fmt: skip
