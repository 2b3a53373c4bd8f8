"""Functions that change what they read from around them: a counter, an attribute, an array, a generator's state.

The graph of one call may not be that of the next.  So such a function is traced again at its next call, until a trace
changes nothing any more that it reads; and one whose one trace stands for many runs may not be such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from payback.errors import UnsupportedError
from payback.ir.where import position
from payback.transforms.surroundings import Around

_T = TypeVar("_T")
_VALUES = frozenset([int, bool, str, bytes, complex, type(None), type(Ellipsis), slice, range, np.dtype])


class Read:
    """What a function and the objects among its arguments read, before it is traced.

    around: of the function, as it was looked at before, if it is the same still.
    """

    def __init__(self, f: Any, values: bool, around: Around | None, fixed: Sequence[tuple[str, Any]] = ()):
        """fixed: the arguments that are no numbers or arrays, and what they are called."""
        self.around = Around(f, values) if around is None else around
        self.objects = [Around(x, label=path) for path, x in fixed if type(x) not in _VALUES]
        self._drawn = self.around.drawn()

    def is_changed(self) -> bool:
        """Whether tracing the function has changed what it reads, or may have."""
        read = (self.around, *self.objects)
        return self.is_drawn() or any(around.iterates(read) or around.is_decided(read) for around in read)

    def is_drawn(self) -> bool:
        """Whether tracing it has drawn random numbers."""
        return self.around.drawn() != self._drawn


def steady(f: Any, trace: Callable[[], _T], what: str, where: Any, fix: str = "", large: bool = True) -> _T:
    """What `trace` makes of f, whose one trace stands for many runs.

    what: what f is called, large: whether it may write into large arrays.  Raises UnsupportedError where one run leaves
    something else to the next one to read: random numbers, an iterator's next item, a count.
    """
    for _ in range(3):  # some draw once, or keep what they have made, and other threads may draw
        read = Read(f, False, Around(f, False, large=large))
        if read.around.iterates([read.around]):
            break
        traced = trace()
        if not read.is_changed():
            return traced
    place = position(where)
    does, same, instead = (
        ("draws random numbers", "they would be the same", "draw them before, or give it a key each time: "
         "pb.random.split(key, n)") if read.is_drawn()
        else ("reads an iterator", "it would get one item", "make an array of the items, and give it one each time")
        if read.around.iterates([read.around])
        else (f"changes what it reads around it ({read.around.changes()[0]})", "all would see one value",
              "make it an argument, or part of what is carried")
    )  # fmt: skip
    raise UnsupportedError(f"{what} {does}", where=str(place) if place else None,
                           why=f"it is traced once, so {same} each time", fix=fix or instead)  # fmt: skip
