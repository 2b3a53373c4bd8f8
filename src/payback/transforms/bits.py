"""Whether an array still holds the bits that it held."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

SMALL = 4096


def kept_bits(numbers: np.ndarray[Any, Any]) -> Any:
    return numbers.tobytes() if numbers.nbytes <= SMALL and numbers.dtype.kind != "O" else numbers.copy("K")


def same_bits(now: np.ndarray[Any, Any], was: Any) -> bool:
    """Bit by bit: a NaN is the same NaN, and -0.0 is not 0.0."""
    if type(was) is bytes:
        return now.tobytes() == was
    if now.shape != was.shape or now.dtype != was.dtype:
        return False
    if now.dtype.kind == "O":
        return np.array_equal(now, was)
    if now.strides != was.strides or not (now.flags.c_contiguous or now.flags.f_contiguous):
        now, was = np.ascontiguousarray(now), np.ascontiguousarray(was)
    return _memcmp()(now.ctypes.data, was.ctypes.data, now.nbytes) == 0


@functools.cache
def _memcmp() -> Callable[[int, int, int], int]:
    """The C library's: as fast as memory, and it makes no array of truths."""
    function = (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).memcmp
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t], ctypes.c_int
    return function
