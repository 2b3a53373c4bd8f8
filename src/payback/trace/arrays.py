"""NumPy arrays of payback's own kinds."""

from __future__ import annotations

from typing import Any

import numpy as np


class ReadOnly(np.ndarray[Any, Any]):
    """A variable's array as its owner sees it: it cannot be written into, and `value -= step` makes a new one."""

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def _in_place(symbol: str) -> Any:  # type: ignore[misc]  # noqa: N805
        return lambda self, other: getattr(np.asarray(self), symbol)(other)

    __iadd__, __isub__ = _in_place("__add__"), _in_place("__sub__")
    __imul__, __itruediv__ = _in_place("__mul__"), _in_place("__truediv__")


class Buffered(np.ndarray[Any, Any]):
    """An array that may have become traced since it was made; see `buffer.py`."""

    def now(self) -> Any:
        """What it is by now: a traced value, or a plain array of the same memory."""
        return self.view(np.ndarray)


def now(x: Any) -> Any:
    """What a buffer is by now; anything else as it is."""
    return x.now() if isinstance(x, Buffered) else x
