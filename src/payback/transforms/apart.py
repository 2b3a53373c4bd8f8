"""Arguments of one call that lie in the same memory.

A function that is transformed has copies of its arguments, each its own.  So where it writes into one of them, and
another shows the same memory, it would not compute what NumPy computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from payback.errors import MutationError
from payback.ir.node import Node
from payback.trace.array import Traced
from payback.trace.assignment.views import share_memory


def check_apart(written: Iterable[Any], arguments: Iterable[Any]) -> None:
    """Raises MutationError where an array that was written into is, or overlaps, another of the arguments."""
    arrays = [x for x in arguments if isinstance(x, (np.ndarray, Traced))]
    for array in written:
        if sum(_overlap(array, other) for other in arrays) > 1:
            raise MutationError("the function writes into an argument that shares its memory with another one",
                                why="each is a copy here, so the other one would not change as it does in NumPy",
                                fix="give one of them as a copy, x.copy(), or copy it in the function before it is "
                                "written into")  # fmt: skip


def check_unchanged(copies: Iterable[tuple[Any, Node]], others: Iterable[Any]) -> None:
    """Raises MutationError where a function has written into an argument that it was given as it is, and another one,
    of which it was given a copy, shows the same memory.

    copies: pairs of what was given and the node that stands for it.
    """
    owners = {id(_owner(x)) for x in others}
    seen = [pair for pair in copies if id(_owner(pair[0])) in owners]
    if seen:
        check_apart([x for x, node in seen if _changed(x, node)], [x for x, _ in 2 * seen])


def _owner(x: Any) -> Any:
    return x if type(x) is not np.ndarray or x.base is None else x.base


def _is_plain(x: Any) -> bool:
    return isinstance(x, np.ndarray) and not isinstance(x, Traced)


def _changed(x: Any, node: Node) -> bool:
    if _is_plain(x):
        return bool(x.tobytes() != np.asarray(node.value).tobytes())
    return bool(node.shape) and bool(node.args) and x.node is not node.args[0]


def _overlap(a: Any, b: Any) -> bool:
    return np.may_share_memory(a, b) if _is_plain(a) and _is_plain(b) else share_memory(a, b)
