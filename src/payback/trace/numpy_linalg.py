"""`np.linalg`: systems, inverses, factorizations, norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import Traced
from payback.trace.dispatch import emit, here, implements
from payback.trace.numpy_map import astype, axes_of, np_max, np_min, np_sum
from payback.trace.numpy_products import array_of

# norms ----------------------------------------------------------------------------------------------------------


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Every order and axis of NumPy.  At 0, and at other kinks, the subgradient is the one in the middle."""
    x = _floating(x)
    if axis is None and (ord is None or (ord in ("f", "fro") and x.ndim == 2) or (ord == 2 and x.ndim == 1)):
        return emit("norm", x, axes=axes_of(None, x.ndim), keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes_of(axes, x.ndim)[0], keepdims)
    if len(axes) == 2:
        row, column = (axes_of(a, x.ndim)[0] for a in axes)
        return _matrix_norm(x, ord, row, column, keepdims)
    raise ValueError("Improper number of dimensions to norm.")


def _floating(x: Any) -> Any:
    x = array_of(x)
    if x.dtype.kind == "f":
        return x
    return astype(x, float) if isinstance(x, Traced) else x.astype(float)


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    if ord is None or ord == 2:
        return emit("norm", x, axes=(axis,), keepdims=keepdims)
    if ord == 0:
        return emit("cast", np_sum(x != 0, axis=axis, keepdims=keepdims), dtype=x.dtype, weak=False)
    if ord in (1, np.inf, -np.inf):
        function = {1: np_sum, np.inf: np_max, -np.inf: np_min}[ord]
        return function(abs(x), axis=axis, keepdims=keepdims)
    total = np_sum(abs(x) ** ord, axis=axis, keepdims=keepdims)
    return np.where(total == 0, 0.0, total ** float(np.reciprocal(ord, dtype=total.dtype)))


def _matrix_norm(x: Any, ord: Any, row: int, column: int, keepdims: bool) -> Any:
    if row == column:
        raise ValueError("Duplicate axes given.")
    axes = tuple(sorted((row, column)))
    if ord is None or ord in ("f", "fro"):
        return emit("norm", x, axes=axes, keepdims=keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        summed = np_sum(abs(x), axis=row if abs(ord) == 1 else column, keepdims=True)
        found = (np_max if ord > 0 else np_min)(summed, axis=axes, keepdims=True)
    elif ord in ("nuc", 2, -2):
        singular = np.linalg.svdvals(np.moveaxis(x, (row, column), (-2, -1)))
        found = {"nuc": np_sum, 2: np_max, -2: np_min}[ord](singular, axis=-1)
        found = np.expand_dims(found, axes)
    else:
        raise ValueError("Invalid norm order for matrices.")
    return found if keepdims else np.squeeze(found, axes)


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = _floating(x)
    axes = axes_of(axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    flat = np.reshape(np.transpose(x, (*rest, *axes)), (*(x.shape[i] for i in rest), -1))
    found = _vector_norm(flat, ord, len(rest), False)
    return np.expand_dims(found, axes) if keepdims else found


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return _matrix_norm(_floating(x), ord, array_of(x).ndim - 2, array_of(x).ndim - 1, keepdims)
