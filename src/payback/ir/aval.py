"""The abstract value of a node: what is known of it without its numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FLOAT64 = np.dtype(np.float64)
BOOL = np.dtype(np.bool_)
INT64 = np.dtype(np.int64)

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


def aval_of(value: Any) -> Aval:
    """The abstract value of a Python number, NumPy scalar or array."""
    weak = WEAK_DTYPES.get(type(value))
    return Aval(value.shape, value.dtype) if weak is None else Aval((), weak, True)
