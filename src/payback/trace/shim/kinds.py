"""`type(x)`, `hasattr(x, name)`, `float(x)` of a traced value: what they are of the plain value.

Nothing of `x` is asked when a program says `type(x) is np.ndarray`, what `hasattr` finds on it is payback's, and what
`float` makes of it has no history.  So the modules of the user's whose functions name one of them get names of their
own while functions are traced: they answer for traced values, and are `type`, `hasattr` and `float` in all else.  So
is `memoryview`, which C code answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from payback.trace.array import Traced
from payback.trace.assignment.buffer import Buffer, any_traced, memory_view
from payback.trace.complex.numbers import Complex
from payback.trace.operators import class_of
from payback.trace.refusals.free import free
from payback.trace.scalars.floats import Float
from payback.trace.shim.python_cmath import complex_number
from payback.trace.shim.python_extremes import MAX, MIN
from payback.trace.shim.wrappers import TRACING
from payback.trace.text.texts import Text


class _StandIn(type):
    """Of what stands for a class of Python's: calls aside it is that class.  A class derived from it is itself."""

    def __instancecheck__(cls, x: Any) -> bool:
        plain = vars(cls).get("stands_for")
        return isinstance(x, plain) if plain else type.__instancecheck__(cls, x)

    def __subclasscheck__(cls, other: type) -> bool:
        plain = vars(cls).get("stands_for")
        return issubclass(other, plain) if plain else type.__subclasscheck__(cls, other)

    def __eq__(cls, other: object) -> bool:
        return cls is other or (other is not None and other is vars(cls).get("stands_for"))

    def __hash__(cls) -> int:
        plain = vars(cls).get("stands_for")
        return hash(plain) if plain else type.__hash__(cls)


def _plain(x: Any) -> type:
    """The class of the plain value."""
    made: type = x.__class__
    return class_of(x.node.aval) if made is type(x) and issubclass(made, Traced) else made


class _Asked(_StandIn):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not KIND:  # a metaclass that was made of it
            return type.__call__(cls, *args, **kwargs)
        if len(args) != 1 or kwargs:
            return type(*args, **kwargs)
        x = args[0]
        made = type(x)
        if (issubclass(made, Traced) or made is Complex) and TRACING.get():
            made = _plain(x)
        if made is Buffer:
            return np.ndarray
        if made is Text:
            return str
        if made is float or made is complex:  # `type(x) is float` is asked where the name stands for another
            return sys._getframe(1).f_globals.get(made.__name__, made)
        return cls if made in (type, _Floating, _Complexing, _Viewing) else made


KIND: Any = _Asked("type", (type,), {"stands_for": type})


class _Floating(_StandIn):
    """Of what stands for `float`: a traced number is that number as Python has it, with its derivative."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not FLOATING:  # a class that was derived from it
            return type.__call__(cls, *args, **kwargs)
        if len(args) == 1 and not kwargs and TRACING.get():
            x = args[0].now() if type(args[0]) is Buffer else args[0]
            kind = type(x)
            if kind is Float:
                return x
            if issubclass(kind, Traced) and x.dtype.kind == "f" and (x.node.value is None or not free(x)):
                if x.size != 1:
                    raise TypeError("only length-1 arrays can be converted to Python scalars")
                return x.item()
        return float(*args, **kwargs)


# NumPy takes it for its dtype.
FLOATING: Any = _Floating("float", (float,), {"stands_for": float, "dtype": np.dtype(float)})


class _Complexing(_StandIn):
    """Of what stands for `complex`: traced parts are those of a traced number."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not COMPLEX:
            return type.__call__(cls, *args, **kwargs)
        given = [*args, *kwargs.values()]
        if TRACING.get() and len(args) <= 2 and kwargs.keys() <= {"real", "imag"} and any_traced(given):
            parts = dict(zip(("real", "imag"), args, strict=False)) | kwargs
            return complex_number(parts.get("real", 0.0), parts.get("imag", 0.0))
        return complex(*args, **kwargs)


COMPLEX: Any = _Complexing("complex", (complex,), {"stands_for": complex, "dtype": np.dtype(complex)})


class _Viewing(_StandIn):
    """Of what stands for `memoryview`, which is told of arrays that may come to be traced."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and type(args[0]) is Buffer:
            return memory_view(args[0])
        return memoryview(*args, **kwargs)


VIEWING: Any = _Viewing("memoryview", (), {"stands_for": memoryview})


def has(x: Any, name: str, /) -> bool:
    """`hasattr` of a traced value: whether the plain value has it."""
    kind = type(x)
    if kind is Buffer or (issubclass(kind, Traced) and TRACING.get()):
        plain = _plain(x)
        x = plain() if plain in (float, bool, int) else np.empty((1,) * x.ndim, x.dtype) if x.shape else x.dtype.type(0)
    return hasattr(x, name)


has.__name__ = has.__qualname__ = "hasattr"
_QUESTIONS: dict[str, Any] = {
    "type": KIND,
    "hasattr": has,
    "memoryview": VIEWING,
    "float": FLOATING,
    "complex": COMPLEX,
    "max": MAX,
    "min": MIN,
}


def asks(things: Iterable[Any]) -> bool:
    """Whether one of these functions, or a method of one of these classes, names one of these."""
    for thing in things:
        if isinstance(thing, FunctionType):
            if _names(thing.__code__):
                return True
        elif isinstance(thing, type) and any(
            isinstance(part, FunctionType) and _names(part.__code__) for part in vars(thing).values()
        ):
            return True
    return False


_known: dict[int, tuple[CodeType, bool]] = {}  # codes, and whether they name one of these
_MOST_CODES = 4000  # code that is made while a program runs is not kept for ever


def _names(code: CodeType) -> bool:
    known = _known.get(id(code))
    if known is None:
        if len(_known) >= _MOST_CODES:
            _known.clear()
        named = not _QUESTIONS.keys().isdisjoint(code.co_names)
        inside = named or any(isinstance(part, CodeType) and _names(part) for part in code.co_consts)
        known = _known[id(code)] = code, inside
    return known[1]


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
