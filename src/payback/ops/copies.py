"""Copies of large arrays from outside, in memory that is used again.

A fresh copy of some megabytes takes its memory from the system page by page, which costs more than the copying.  The
last copies are kept, a few and no more than `_MOST` bytes; one that nobody else holds any more is written over.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

_LEAST, _MOST = 1 << 17, 1 << 25  # bytes: of one copy, and of all that are kept
_count: Callable[[Any], int] = getattr(sys, "getrefcount", lambda x: 0)
_lock = threading.Lock()
_kept: list[np.ndarray[Any, Any]] = []  # the latest last
_FREE = -1  # the references to a copy that only the list holds, as `_free` counts them: measured below


def frozen_copy(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy that nobody can change, in memory of its own and laid out as the array is."""
    if not _LEAST <= array.nbytes <= _MOST:
        made = array.copy("K")
        made.flags.writeable = False
        return made
    with _lock:
        at = _free(_kept, array.shape, array.dtype, array.strides)
        old = None if at is None else _kept.pop(at)
    if old is None:
        made = array.copy("K")
    else:
        made = old
        made.flags.writeable = True
        np.copyto(made, array)
    made.flags.writeable = False
    with _lock:
        _kept.append(made)
        while sum(copy.nbytes for copy in _kept) > _MOST:
            del _kept[0]
    return made


def _free(kept: list[Any], shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...]) -> int | None:
    """The place of a copy of this kind that nobody holds but the list."""
    for at in range(len(kept)):
        copy = kept[at]
        same = copy.shape == shape and copy.dtype == dtype and copy.strides == strides
        if same and _count(copy) == _FREE and not weakref.getweakrefcount(copy):
            return at
    return None


def _measure() -> None:
    """How many references `_free` counts where only the list holds a copy: the count that it is content with."""
    global _FREE
    exact = getattr(sys, "_is_gil_enabled", lambda: True)()  # without the lock counts are spread over threads
    for _FREE in range(1, 10) if exact else ():
        if _free([np.empty(1)], (1,), np.dtype(float), (8,)) is not None:
            return
    _FREE = -1


_measure()
