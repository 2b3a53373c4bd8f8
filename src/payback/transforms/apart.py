"""Arguments of one call that lie in the same memory.

A function that is transformed has copies of its arguments, each its own.  So where it writes into one of them, and
another shows the same memory, it would not compute what NumPy computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from payback.errors import MutationError
from payback.trace.array import Traced
from payback.trace.assignment.views import written_elsewhere
from payback.trace.assignment.written import Written


def is_written(x: Any) -> bool:
    """Whether a function has written into this argument, or another transform's function into its copy."""
    alias = getattr(x, "alias", None) if type(x) is Traced else None
    return type(x) is Written or (alias is not None and alias[0].written)


def written_into(given: Iterable[Any], arguments: Iterable[Any]) -> None:
    """A function has written into its copies of `given`, some of the arguments.  Raises as `check_apart`."""
    given = list(given)
    for x in given:
        if isinstance(x, Traced):
            written_elsewhere(x)
    check_apart(given, arguments)


def check_apart(written: Iterable[Any], arguments: Iterable[Any]) -> None:
    """Raises MutationError where an array that was written into is, or overlaps, another of the arguments."""
    arrays = [x for x in arguments if isinstance(x, np.ndarray)]
    for array in written:
        if isinstance(array, np.ndarray) and sum(np.may_share_memory(array, other) for other in arrays) > 1:
            raise MutationError("the function writes into an argument that shares its memory with another one",
                                why="each is a copy here, so the other one would not change as it does in NumPy",
                                fix="give one of them as a copy, x.copy(), or copy it in the function before it is "
                                "written into")  # fmt: skip
