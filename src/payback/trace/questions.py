"""What Python's own functions ask of a traced value: divmod, round, in, hash, pickle."""

from __future__ import annotations

from typing import Any, NoReturn

from payback.errors import TraceError, UnsupportedError
from payback.trace.array import Traced
from payback.trace.dispatch import here


def _divmod(self: Any, other: Any) -> Any:
    return self // other, self % other


def _rdivmod(self: Any, other: Any) -> Any:
    return other // self, other % self


def _round(self: Any, digits: int | None = None) -> Any:
    """The plain number: rounded, it is constant in pieces."""
    value = self.value
    return round(float(value)) if digits is None else round(value, digits)


def _contains(self: Any, item: Any) -> bool:
    return bool((self == item).value.any())


def _hash(self: Any) -> NoReturn:
    raise TraceError("a traced value is unhashable", where=here(),
                     why="equal ones have different histories, so none can stand for another in a dict, a set or a "
                     "cache such as functools.lru_cache",
                     fix="take the cache away, or use the bare number as the key: x.value")  # fmt: skip


def _reduce(self: Any, protocol: Any = None) -> NoReturn:
    raise UnsupportedError("a traced value cannot be pickled or sent to another process", where=here(),
                           why="its history would stay here", fix="give the bare numbers, x.value")  # fmt: skip


# pandas leaves `series * x` to x if x says that it comes first; its own answer would be a series of traced objects.
Traced.__pandas_priority__ = 100_000  # type: ignore[attr-defined]
Traced.__divmod__, Traced.__rdivmod__ = _divmod, _rdivmod  # type: ignore[attr-defined]
Traced.__contains__ = _contains  # type: ignore[attr-defined]
Traced.__round__ = _round  # type: ignore[attr-defined]
Traced.__hash__ = _hash  # type: ignore[assignment,method-assign]
Traced.__reduce__ = Traced.__reduce_ex__ = _reduce  # type: ignore[method-assign,assignment]
