"""Arguments of one call that lie in the same memory.

A function that is transformed has copies of its arguments, each its own.  So where it writes into one of them, and
another shows the same memory, it would not compute what NumPy computes.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from payback.errors import MutationError
from payback.ir.node import Node
from payback.trace.array import Traced
from payback.trace.assignment.views import share_memory, was_written
from payback.trace.plain_arrays import now
from payback.trace.shim.shim import tracing

# The memory of plain arrays, copies of which functions of inner transforms have written into, while a function is
# traced: whose it is, and its bounds.
_Places = tuple[tuple[weakref.ref[Any], int, int], ...]
_written: ContextVar[_Places] = ContextVar("written", default=())
written_before = _written.get


def note_written(written: Iterable[Any], arguments: Iterable[Any]) -> None:
    """A transform's function has written into its copies of these arguments.  Raises what `check_apart` raises."""
    written = list(written)
    for given in written:
        was_written(given)
    arrays = [x for x in written if _is_plain(x) and x.size]
    places = [(weakref.ref(x.base if isinstance(x.base, np.ndarray) else x), *byte_bounds(x)) for x in arrays]
    _written.set((*_written.get(), *places) if tracing() else ())
    check_apart(written, arguments)


def is_written_since(before: _Places, x: Any) -> bool:
    """Whether the function of an inner transform has written into its copy of a plain array, of whose memory this one
    shows a part.

    before: what `written_before` said.
    """
    now = _written.get()
    if now is before or not _is_plain(x) or not x.size:
        return False
    low, high = byte_bounds(x)
    return any(owner() is not None and a < high and low < b for owner, a, b in now[len(before) :])


def check_apart(written: Iterable[Any], arguments: Iterable[Any]) -> None:
    """Raises MutationError where an array that was written into is, or overlaps, another of the arguments."""
    arrays = [x for x in arguments if isinstance(x, (np.ndarray, Traced))]
    for array in written:
        if sum(_overlap(array, other) for other in arrays) > 1:
            raise not_apart()


def not_apart() -> MutationError:
    return MutationError("the function writes into an argument that shares its memory with another one",
                         why="each is a copy here, so the other one would not change as it does in NumPy",
                         fix="give one of them as a copy, x.copy(), or copy it in the function before it is "
                         "written into")  # fmt: skip


def check_kept(copies: Iterable[tuple[Any, Node]]) -> None:
    """Raises MutationError where the array that was given as an argument is not what its copy is: the function, or what
    it called, knows it by another name too, and has written into it.

    copies: pairs of what was given and the node that stands for it.
    """
    for given, node in copies:
        given, kept = now(given), node.value
        if _is_plain(given):
            changed = _is_plain(kept) and given.dtype == kept.dtype and not _same_bits(given, kept)
        else:
            changed = isinstance(given, Traced) and _changed(given, node)
        if changed:
            raise MutationError(
                "an array was written into while the function ran, whose argument it is",
                why="the function has a copy of its argument, which did not change as it does in NumPy",
                fix="write into the argument, x[0] = ..., and not into the array by another name",
            )


def _same_bits(x: Any, y: Any) -> bool:
    whole = {2: np.uint16, 4: np.uint32, 8: np.uint64}.get(x.itemsize)
    if whole is None or type(x) is not np.ndarray:
        return bool(x.tobytes() == y.tobytes())
    return bool((x.view(whole) == y.view(whole)).all())


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
    return bool(node.shape) and bool(node.args) and node.args[0] is not (x.node.shadow or x.node)


def _overlap(a: Any, b: Any) -> bool:
    return np.may_share_memory(a, b) if _is_plain(a) and _is_plain(b) else share_memory(a, b)
