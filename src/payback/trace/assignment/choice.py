"""A mask without numbers in an index: which entries it chooses from, and whether two of them are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import TraceError
from payback.ir.node import Node
from payback.ops.append import apply
from payback.ops.row import CONST, TABLE
from payback.trace.array import Traced
from payback.trace.dispatch import here
from payback.trace.indexing import SIMPLE, is_mask, unknown

_MOST = 64  # nodes of a mask that are compared: masks are made of few


class Choice:
    """A mask without numbers in an index, and the whole numbers and slices around it.

    mask    the mask; around: the index with a full slice for each axis of the mask
    shape   of what `around` reads; at: where the mask's first axis stands in it
    place   where the axis of the chosen entries stands in what NumPy's index would read
    """

    __slots__ = ("around", "at", "mask", "place", "shape")

    def __init__(self, mask: Traced, around: tuple[Any, ...], shape: tuple[int, ...], at: int, place: int):
        self.mask, self.around, self.shape, self.at, self.place = mask, around, shape, at, place

    @classmethod
    def of(cls, shape: tuple[int, ...], parts: tuple[Any, ...]) -> Choice:
        """Raises IndexError for a mask that does not fit, TraceError for a second index array beside it."""
        (at, mask), *others = [(i, p) for i, p in enumerate(parts) if unknown(p) and is_mask(p)]
        rest = (*parts[:at], *parts[at + 1 :])
        if not mask.ndim:
            raise TraceError("a single truth cannot index while a function is compiled", where=here(),
                             why="whether it holds is not known", fix="use np.where(truth, x, 0)")  # fmt: skip
        if others or not all(isinstance(p, SIMPLE) and not isinstance(p, bool) for p in rest):
            raise TraceError("a mask stands beside another array in an index while compiling", where=here(),
                             why="where it holds is not known",
                             fix="index in two steps, or choose with np.where")  # fmt: skip
        around = (*parts[:at], *(slice(None),) * mask.ndim, *parts[at + 1 :])
        first = sum(part is not None for part in parts[:at])  # the mask's first axis in the array
        if any(part is Ellipsis for part in parts[:at]):
            first = len(shape) - sum(part is not None for part in parts[at + 1 :]) - mask.ndim
        if mask.shape != shape[first : first + mask.ndim]:
            raise IndexError(f"a mask of shape {mask.shape} cannot choose from an array of shape {shape}")
        # where the axis that is 2 long ends up, NumPy itself is asked, with the mask and with slices in its place
        probe = np.zeros([2 if i == first else 1 for i in range(len(shape))], bool)
        plain = [0 if isinstance(p, (int, np.integer)) else slice(None) if isinstance(p, slice) else p for p in parts]
        masked = (*plain[:at], np.ones((2, *(1,) * (mask.ndim - 1)), bool), *plain[at + 1 :])
        sliced = (*plain[:at], *(slice(None),) * mask.ndim, *plain[at + 1 :])
        return cls(mask, around, np.broadcast_to(False, shape)[around].shape, probe[sliced].shape.index(2),
                   probe[masked].shape.index(2))  # fmt: skip

    def condition(self, place: Any) -> Node:
        """The mask, as it is broadcast to `shape`."""
        rest = len(self.shape) - self.at - self.mask.ndim
        if not rest:
            return self.mask.node
        return apply(TABLE["reshape"], (self.mask.node,), place, {"shape": (*self.mask.shape, *(1,) * rest)})

    def fit(self, given: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape in which values of the shape `given` are broadcast to `shape`; None if they are one per place."""
        axes = len(self.shape) - self.mask.ndim + 1
        full = (1,) * (axes - len(given)) + given
        if len(full) > axes or full[self.place] != 1:
            return None
        rest = [*full[: self.place], *full[self.place + 1 :]]
        rest[self.at : self.at] = [1] * self.mask.ndim
        return tuple(rest)


def same(a: Node, b: Node, seen: set[tuple[int, int]] | None = None) -> bool:
    """Whether two nodes are computed in the same way from the same nodes and numbers."""
    seen = set() if seen is None else seen
    if a is b or (a.id, b.id) in seen:
        return True
    if a.op is not b.op or len(a.args) != len(b.args) or len(seen) > _MOST:
        return False
    if a.op is CONST:
        alike = a.aval == b.aval and bool(np.array_equal(a.value, b.value))
    else:
        alike = a.op.value is not None and _equal(a.params, b.params)
        alike = alike and all(same(x, y, seen) for x, y in zip(a.args, b.args, strict=True))
    if alike:
        seen.add((a.id, b.id))
    return alike


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except ValueError:  # arrays among them
        return False
