"""NumPy arrays of payback's own kinds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from payback.ir.aval import aval_of
from payback.ir.node import Node, ancestors
from payback.ops.append import freeze, is_immutable
from payback.ops.row import CONST, INPUT


class ReadOnly(np.ndarray[Any, Any]):
    """A variable's array as its owner sees it: it cannot be written into, and `value -= step` makes a new one."""

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def _in_place(symbol: str) -> Any:  # noqa: N805
        return lambda self, other: getattr(np.asarray(self), symbol)(other)

    __iadd__, __isub__ = _in_place("__add__"), _in_place("__sub__")
    __imul__, __itruediv__ = _in_place("__mul__"), _in_place("__truediv__")


class Buffered(np.ndarray[Any, Any]):
    """An array that may have become traced since it was made; see `buffer.py`."""

    def now(self) -> Any:
        """What it is by now: a traced value, or a plain array of the same memory."""
        return self.view(np.ndarray)


class Watch:
    """The plain arrays from outside that a traced function uses, while it is traced to be run again later.

    seen   (array, what it held, the input that stands for it), one for each content that was used: the function may
           write into an array between two uses of it
    masks  (array, a copy): their contents decided shapes or places, so a change means another graph
    """

    def __init__(self) -> None:
        self.seen: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Node]] = []
        self.masks: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self._latest: dict[Any, int] = {}  # where an array lies, and how -> its last place in `seen`

    def input(self, array: np.ndarray[Any, Any]) -> Node:
        lies = array.__array_interface__["data"][0], array.shape, array.strides, array.dtype  # a buffer has many views
        at = self._latest.get(lies)
        if at is None or not _same_bits(array, self.seen[at][1]):
            at = self._latest[lies] = len(self.seen)
            node = Node(INPUT, (), named("outside", array), None, None, aval_of(array))
            self.seen.append((array, freeze(array.copy("K")), node))
        return self.seen[at][2]

    def inputs(self) -> list[tuple[np.ndarray[Any, Any], Node]]:
        """What each input is given at a run: the array as it is then; or, of an array that the function itself has
        written into meanwhile, what it held when it was used."""
        return [(array if _same_bits(array, was) else was, node) for array, was, node in self.seen]

    def constants(self) -> dict[Node, np.ndarray[Any, Any]]:
        """The inputs of small arrays that nobody holds any more, who could write into them: what they held."""
        return {
            node: was
            for (_, was, node), held in zip(self.seen, _holders(self.seen), strict=True)
            if held == _ALONE and was.nbytes <= _SMALL
        }

    def made(self, node: Node) -> bool:
        """Whether a node is made of such inputs and constants alone."""
        own = {given for _, _, given in self.seen}
        return all(part.args or part.op is CONST or part in own for part in ancestors([node]))

    def lasting_masks(self) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """The masks that the function has not changed itself: a later change of them is news."""
        return [(mask, was) for mask, was in self.masks if np.array_equal(mask, was)]


_SMALL = 1 << 17  # bytes of a constant that may become part of a program
_count: Callable[[Any], int] = getattr(sys, "getrefcount", lambda x: sys.maxsize)


_Seen = Sequence[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Node]]


def _views(seen: _Seen) -> Counter[int]:
    """How many of the arrays that are seen, and of those that they are views of, are views of each array."""
    views: Counter[int] = Counter()
    known: set[int] = set()
    for array, _, _ in seen:
        while array is not None and id(array) not in known:
            known.add(id(array))
            views[id(array.base)] += 1
            array = array.base if isinstance(array.base, np.ndarray) else None
    return views


def _holders(seen: _Seen) -> list[int]:
    """How many hold each small array beside `seen`, or what it is a view of, or another view of the same memory."""
    times, views = Counter(id(array) for array, _, _ in seen), _views(seen)
    most: dict[int, int] = {}  # of all that are seen of an owner's memory
    owners = []
    for k in range(len(seen)):
        array: Any = seen[k][0]
        held, owner = sys.maxsize if array.nbytes > _SMALL else 0, 0
        while isinstance(array, np.ndarray):
            held, owner = max(held, _count(array) - times[id(array)] - views[id(array)]), id(array)
            array = array.base
        if array is not None:  # memory that may be anybody's
            held = sys.maxsize
        most[owner] = max(most.get(owner, 0), held)
        owners.append(owner)
    return [most[owner] for owner in owners]


def _same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """A NaN is the same NaN, and -0.0 is not 0.0."""
    bits = f"u{a.itemsize}" if a.itemsize in (1, 2, 4, 8) else None
    return bool((a.view(bits) == b.view(bits)).all()) if bits else a.tobytes() == b.tobytes()


recording: ContextVar[Any] = ContextVar("recording", default=None)  # who keeps scalars in columns, see `number.py`
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching() -> Iterator[Watch]:
    """Notice the plain arrays that are used meanwhile."""
    watch = Watch()
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def watched() -> bool:
    """Whether the plain arrays that are used are noticed."""
    return _watch.get() is not None


def outside(array: Any) -> Any:
    """A plain array as an operand: itself, or while such arrays are watched the input that stands for it."""
    watch = _watch.get()
    if watch is None or type(array) is not np.ndarray or not array.ndim or array.dtype.kind not in "fiub":
        return array
    return array if is_immutable(array) else watch.input(array)


def held(node: Node) -> Any:
    """What the watched plain array holds that a node stands for, and it decides what the graph is; None for others."""
    watch = _watch.get()
    for array, was, given in watch.seen if watch is not None else ():
        if given is node:
            if not any(each is was for _, each in watch.masks):
                watch.masks.append((array, was))
            return was
    return None


def is_plain(node: Node) -> bool:
    """Whether a node without a number is made of plain arrays that are watched: it has no derivative to lose."""
    watch = _watch.get()
    return watch is not None and watch.made(node)


def decides(array: np.ndarray[Any, Any]) -> None:
    """Say that the contents of a plain array decide what the graph is."""
    watch = _watch.get()
    if watch is not None and type(array) is np.ndarray and not is_immutable(array):
        watch.masks.append((array, array.copy()))


def native(x: Any) -> Any:
    """An array with its bytes in this machine's order; anything else as it is."""
    if type(x) is np.ndarray and not x.dtype.isnative:
        return x.astype(x.dtype.newbyteorder("="))
    return x


def strides_of(x: Any) -> tuple[int, ...] | None:
    """How far apart the entries of an array lie, in entries; None where by rows and without steps, as mostly."""
    if type(x) is not np.ndarray or x.flags.c_contiguous:
        return None
    if x.ndim == 1:
        return (2,)  # all steps are alike: NumPy copies where it reshapes
    return tuple([step // x.itemsize for step in x.strides])


def named(name: str, x: Any) -> dict[str, Any]:
    """What an input says of itself: its name, and how x lies in memory where that is not by rows (see `views.py`)."""
    strides = strides_of(x)
    return {"name": name} if strides is None else {"name": name, "strides": strides}


def now(x: Any) -> Any:
    """What a buffer is by now; anything else as it is."""
    return x.now() if isinstance(x, Buffered) else x


def _alone() -> int:
    """What `_holders` says of an array that a watch alone holds."""
    watch = Watch()
    watch.input(np.empty(1))
    return _holders(watch.seen)[0] if hasattr(sys, "getrefcount") else -1


_ALONE = _alone()
