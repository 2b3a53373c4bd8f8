"""How many threads compiled code uses."""

from __future__ import annotations

import contextlib
import os
from functools import cache

from payback.errors import InputError

VARIABLE = "PAYBACK_THREADS"
MOST = 1024  # each has a room in a program's memory
_RULE = f"a number of threads is a whole number from 1 to {MOST:,}"
WORTHWHILE = 10e-6  # seconds that others save, from which on it is tried whether they do; 0: all is shared that can be
_chosen: int | None = None


@cache
def cores() -> int:
    """How many cores this process may use."""
    with contextlib.suppress(AttributeError):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


def set_threads(count: int | None) -> None:
    """Let compiled code use that many threads; None: as many as PAYBACK_THREADS says, else as there are cores.

    Results do not depend on it.  Raises InputError if it is not a whole number from 1 to 1,024.

    >>> import payback as pb
    >>> pb.set_threads(2)
    >>> pb.set_threads(None)
    """
    global _chosen
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST):
        raise InputError(f"set_threads({count!r})", why=f"{_RULE}, or None")
    _chosen = count


def threads() -> int:
    """How many threads a program may use."""
    if _chosen is not None:
        return _chosen
    told = os.environ.get(VARIABLE, "").strip()
    if not told:
        return cores()
    if not told.isdecimal() or len(told) > len(str(MOST)) or not 1 <= int(told) <= MOST:
        raise InputError(f"{VARIABLE}={told!r:.60}", why=_RULE, fix=f"unset {VARIABLE}")
    return int(told)
