"""All of NumPy's functions that are made of others, chapter by chapter.

Every function takes what its NumPy original takes; what it does not support raises, never computes something else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace import (
    numpy_calculus,
    numpy_indexing,
    numpy_nan,
    numpy_order,
    numpy_pad,
    numpy_polynomials,
    numpy_shapes,
    numpy_statistics,
    numpy_ufuncs,
)
from payback.trace.arguments import array_of, axes_of, axis_of
from payback.trace.dispatch import emit, here, implements
from payback.trace.numpy_map import np_max, np_min, np_sum
from payback.trace.numpy_shapes import diagonal, trace


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Vector norms of every order and the Frobenius norm; the subgradient at 0 is 0."""
    x = array_of(x)
    axes = axes_of(axis, x.ndim)
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return emit("norm", x, axes=axes, keepdims=keepdims)
    if len(axes) == 1 and ord in (1, np.inf, -np.inf):
        function = {1: np_sum, np.inf: np_max, -np.inf: np_min}[ord]
        return function(abs(x), axis=axes, keepdims=keepdims)
    if len(axes) == 2 and ord in (1, np.inf, -1, -np.inf):
        first, second = axes if axis is None else tuple(axis_of(a, x.ndim) for a in axis)
        summed = np_sum(abs(x), axis=first if abs(ord) == 1 else second, keepdims=True)
        found = (np_max if ord > 0 else np_min)(summed, axis=axes, keepdims=True)
        return found if keepdims else np.squeeze(found, axes)
    raise UnsupportedError(
        f"np.linalg.norm with ord={ord!r} over {len(axes)} axes has no derivative in payback",
        where=here(),
        fix="use the orders None, 1, 2 and inf of vectors, or the Frobenius norm",
    )


__all__ = [
    "diagonal",
    "norm",
    "numpy_calculus",
    "numpy_indexing",
    "numpy_nan",
    "numpy_order",
    "numpy_pad",
    "numpy_polynomials",
    "numpy_shapes",
    "numpy_statistics",
    "numpy_ufuncs",
    "trace",
]
