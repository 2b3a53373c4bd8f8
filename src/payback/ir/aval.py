"""The abstract value of a node: what is known of it without its numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

FLOAT64 = np.dtype(np.float64)
BOOL = np.dtype(np.bool_)
INT64 = np.dtype(np.int64)

broadcast_shapes = lru_cache(1 << 12)(np.broadcast_shapes)  # NumPy asks by arrays; a graph asks again and again

# A Python number keeps its type on a node: it is *weak*, NumPy promotes it to the other operand's dtype.
WEAK_DTYPES = {float: FLOAT64, int: INT64, bool: BOOL}


class Aval(NamedTuple):
    """shape, dtype, and whether the value is a weak (Python) scalar."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak: bool = False

    @property
    def size(self) -> int:
        """Number of scalar entries."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    def __str__(self) -> str:
        name = {"b": "bool"}.get(self.dtype.kind, f"{self.dtype.kind}{self.dtype.itemsize * 8}")
        return f"{name}[{','.join(map(str, self.shape))}]" + ("*" if self.weak else "")


class Avals(tuple[Aval, ...]):
    """The abstract value of a node with several results: one of each.  Only `part` nodes look at it."""

    __slots__ = ()
    shape, dtype, weak, size = (), np.dtype(np.object_), False, 0

    def __str__(self) -> str:
        return f"({', '.join(map(str, self))})"


def aval_of(value: Any) -> Any:
    """The abstract value of a Python number, NumPy scalar or array; of a tuple of them, `Avals`."""
    weak = WEAK_DTYPES.get(type(value))
    if type(value) is tuple:
        return Avals(map(aval_of, value))
    return Aval(value.shape, value.dtype) if weak is None else Aval((), weak, True)
