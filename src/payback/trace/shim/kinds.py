"""`type(x)`, `hasattr(x, name)` of a traced value: those of the plain value, so that the usual branch is taken.

Nothing of `x` is asked when a program says `type(x) is np.ndarray`, and what `hasattr` finds on it is payback's.  So
the modules of the user's whose functions name one of the two get names of their own while functions are traced:
they answer for traced values, and are `type` and `hasattr` in all else.  So is `memoryview`, which C code answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from payback.trace.array import Traced
from payback.trace.assignment.buffer import Buffer, memory_view
from payback.trace.shim.wrappers import TRACING
from payback.trace.text.texts import Text


class _Asked(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not KIND:  # a metaclass that was made of it
            return type.__call__(cls, *args, **kwargs)
        if len(args) != 1 or kwargs:
            return type(*args, **kwargs)
        x = args[0]
        made = type(x)
        if issubclass(made, Traced) and TRACING.get():
            return x.__class__
        if made is Buffer:
            return np.ndarray
        if made is Text:
            return str
        return cls if made is type else made

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, type) if cls is KIND else type.__instancecheck__(cls, x)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, type) if cls is KIND else type.__subclasscheck__(cls, other)

    def __eq__(cls, other: object) -> bool:
        return cls is other or (cls is KIND and other is type)

    def __hash__(cls) -> int:
        return hash(type) if cls is KIND else type.__hash__(cls)


KIND: Any = _Asked("type", (type,), {})


class _Viewing(type):
    """Of what stands for `memoryview`, which is told of arrays that may come to be traced."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and type(args[0]) is Buffer:
            return memory_view(args[0])
        return memoryview(*args, **kwargs)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, memoryview)

    def __eq__(cls, other: object) -> bool:
        return cls is other or other is memoryview

    def __hash__(cls) -> int:
        return hash(memoryview)


VIEWING: Any = _Viewing("memoryview", (), {})


def has(x: Any, name: str, /) -> bool:
    """`hasattr` of a traced value: whether the plain value has it."""
    kind = type(x)
    if kind is Buffer or (issubclass(kind, Traced) and TRACING.get()):
        plain = x.__class__
        x = 0.0 if plain is float else np.empty((1,) * x.ndim, x.dtype) if x.shape else x.dtype.type(0)
    return hasattr(x, name)


has.__name__ = has.__qualname__ = "hasattr"
_QUESTIONS: dict[str, Any] = {"type": KIND, "hasattr": has, "memoryview": VIEWING}


def asks(things: Iterable[Any]) -> bool:
    """Whether one of these functions, or a method of one of these classes, names one of the three."""
    for thing in things:
        if isinstance(thing, FunctionType):
            if _names(thing.__code__):
                return True
        elif isinstance(thing, type) and any(
            isinstance(part, FunctionType) and _names(part.__code__) for part in vars(thing).values()
        ):
            return True
    return False


def _names(code: CodeType) -> bool:
    return not _QUESTIONS.keys().isdisjoint(code.co_names) or any(
        isinstance(part, CodeType) and _names(part) for part in code.co_consts
    )


class Asking:
    """The namespaces that have the names now."""

    def __init__(self) -> None:
        self.spaces: list[tuple[dict[str, Any], str]] = []

    def put(self, space: dict[str, Any]) -> None:
        for name, question in _QUESTIONS.items():
            if name not in space:
                space[name] = question
                self.spaces.append((space, name))

    def take_away(self) -> None:
        for space, name in self.spaces:
            if space.get(name) is _QUESTIONS[name]:
                del space[name]
        self.spaces.clear()
