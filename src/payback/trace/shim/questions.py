"""What Python's own functions and statements ask of a traced value: divmod, round, in, hash, pickle, `y.shape = …`."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from sys import _getframe
from typing import Any, NoReturn

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.trace.array import Traced
from payback.trace.assignment.buffer import Buffer
from payback.trace.assignment.outside import drawing
from payback.trace.assignment.written import Written
from payback.trace.dispatch import here
from payback.trace.labels import MET, by_place
from payback.trace.refusals.asked import asked_whether
from payback.trace.refusals.free import free, rounded


def _divmod(self: Any, other: Any) -> Any:
    return self // other, self % other


def _rdivmod(self: Any, other: Any) -> Any:
    return other // self, other % self


def _round(self: Any, digits: int | None = None) -> Any:
    """The plain number: rounded, it is constant in pieces."""
    value = rounded(self)
    return round(float(value)) if digits is None else round(value, digits)


def _iter(self: Any) -> Iterator[Any]:
    if MET:
        by_place(self, "for", _getframe(1))
    return _entries(self)


def _contains(self: Any, item: Any) -> bool:
    if MET:
        by_place(self, "in", _getframe(1))
    return bool((self == item).value.any())


def _hash(self: Any) -> NoReturn:
    raise TraceError("a traced value is unhashable", where=here(),
                     why="equal ones have different histories, so none can stand for another in a dict, a set or a "
                     "cache such as functools.lru_cache",
                     fix="take the cache away, or use the bare number as the key: "
                     "float(pb.stop_gradient(x))")  # fmt: skip


def _reduce(self: Any, protocol: Any = None) -> Any:
    if free(self):
        return self.value.__reduce_ex__(2 if protocol is None else protocol)
    raise UnsupportedError("a traced value cannot be pickled or sent to another process", where=here(),
                           why="its history would stay here",
                           fix="give the bare numbers, pb.stop_gradient(x)")  # fmt: skip


def _set_shape(self: Any, shape: Any) -> NoReturn:
    if (problem := drawing()) is not None:
        raise problem
    raise UnsupportedError("the shape of a traced array cannot be set", where=here(),
                           why="what has been computed from it has the shape it had",
                           fix=f"write y = y.reshape({shape})")  # fmt: skip


def _setattr(self: Any, name: str, value: Any) -> None:
    """Buffers: NumPy would change the memory's shape, not that of the traced array."""
    if name in ("shape", "strides") and isinstance(self.now(), Traced):
        _set_shape(self, value)
    np.ndarray.__setattr__(self, name, value)


class _SequencePatterns(abc.ABC):  # noqa: B024 (a flag is all it gives)
    """`case [a, b]:` takes a traced value for a sequence where it takes an array for one (from NumPy 2.5 on)."""

    __abc_tpflags__ = np.ndarray.__flags__ & 1 << 5  # Py_TPFLAGS_SEQUENCE; the registered classes get it from here


class OfArrays:
    """A method or a property that a program may ask for with hasattr, to tell arrays from numbers or other libraries'.

    It is told no where the plain value would have none; by a dot, or by len(x) and iter(x), it is had all the same.
    """

    def __init__(self, made: Any, *, arrays: bool):
        self.made, self.arrays = made, arrays  # arrays: whether plain arrays have it
        self.__doc__ = made.__doc__

    def __get__(self, x: Any, kind: Any = None) -> Any:
        if x is None:
            return self.made
        if not (self.arrays and x.ndim) and asked_whether(_getframe(1)):
            raise AttributeError(f"{'numbers' if self.arrays else 'arrays'} have no such attribute")
        return self.made.__get__(x, kind)


_entries = Traced.__iter__
for _kind in (Traced, Written):
    _kind.shape = _kind.shape.setter(_set_shape)
_SequencePatterns.register(Traced)
Buffer.__setattr__ = _setattr
# pandas leaves `series * x` to x if x says that it comes first; its own answer would be a series of traced objects.
Traced.__pandas_priority__ = 100_000
Traced.__divmod__, Traced.__rdivmod__ = _divmod, _rdivmod
Traced.__contains__ = _contains
Traced.__round__ = _round
Traced.__len__ = OfArrays(Traced.__len__, arrays=True)
Traced.__iter__ = OfArrays(_iter, arrays=True)
Traced.backward = OfArrays(Traced.backward, arrays=False)
Traced.grad = OfArrays(Traced.grad, arrays=False)
Traced.__hash__ = _hash
Traced.__reduce__ = Traced.__reduce_ex__ = _reduce
