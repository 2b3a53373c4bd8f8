"""One BLAS thread while a graph runs: a matrix product must not depend on how many cores there are.

OpenBLAS splits a product by the number of its threads, and other pieces are added in another order: other bits. Its
calls for that number are not part of NumPy's interface, so they are looked for in the library that NumPy's wheel
carries. Where NumPy uses another BLAS nothing is found and nothing is done.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from payback.ir.forks import free_in_children

_PREFIXES, _SUFFIXES = ("scipy_openblas", "openblas"), ("64_", "")
_lock = free_in_children(threading.Lock())
_running = 0
_before = 1


@cache
def _calls() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """(get, set) for the number of threads of NumPy's OpenBLAS, or None."""
    home = Path(np.__file__).parent
    for library in sorted([*home.parent.glob("numpy.libs/*openblas*"), *home.glob(".dylibs/*openblas*")]):
        try:
            loaded = ctypes.CDLL(str(library))  # the one that NumPy has loaded: the same file
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                get = getattr(loaded, f"{prefix}_get_num_threads{suffix}", None)
                put = getattr(loaded, f"{prefix}_set_num_threads{suffix}", None)
                if get is not None and put is not None:
                    return get, put
    return None


class OneThread:
    """While any thread of the process is in such a block, OpenBLAS has one thread; then as many as before."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _running, _before
        calls = _calls()
        if calls is not None:
            with _lock:
                if _running == 0:
                    _before = calls[0]()
                    calls[1](1)
                _running += 1

    def __exit__(self, *raised: object) -> None:
        global _running
        calls = _calls()
        if calls is not None:
            with _lock:
                _running -= 1
                if _running == 0:
                    calls[1](_before)
