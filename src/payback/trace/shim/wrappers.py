"""Wrappers of functions that look at no protocol: inside a trace they answer, elsewhere they are the original.

They ask a context variable whether this call is inside a trace, and the caller's module whether it is a user's.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType, GeneratorType
from typing import Any

import numpy as np

from payback.trace.array import NODE_TYPES
from payback.trace.assignment.buffer import Buffer, any_traced
from payback.trace.dispatch import COPIES, SPREAD, current
from payback.trace.labels import MET, check
from payback.trace.numpy.creation import of_list
from payback.trace.operators import FUNCTIONS
from payback.trace.plain_arrays import now
from payback.trace.proof.writers import for_writer
from payback.trace.shim.python_math import has_traced, mathematics

TRACING: ContextVar[bool] = ContextVar("tracing", default=False)
_OPTIONS = {"axis", "keepdims"}
# Modules that are not answered, nor are their names changed: libraries that compute on plain arrays only.
NOT_USERS = {"numpy", "scipy", "payback", "pandas", "polars", "pyarrow", "sklearn", "matplotlib", "joblib"}


@functools.lru_cache(maxsize=1024)
def _package(module: str) -> str:
    return module.partition(".")[0]


def is_answered(frame: FrameType) -> bool:
    """Whether the code that runs there is a user's."""
    return _package(frame.f_globals.get("__name__", "")) not in NOT_USERS


def creation_wrapper(original: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    # it is for lists; a traced value would be dispatched
    known = FUNCTIONS.get(original) if answer is of_list and original not in (*COPIES, SPREAD) else None

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if TRACING.get():
            if MET and args and type(args[0]) in NODE_TYPES and is_answered(sys._getframe(1)):
                check(original.__name__, args[0], args[1:], kwargs, False)
            direct = known is not None and args and type(args[0]) in NODE_TYPES and len(args) <= 2
            if direct and (not kwargs or kwargs.keys() <= _OPTIONS):
                return known(*args, **kwargs)  # what the dispatch would come to, after a few more calls
            frame = sys._getframe(1)
            caller = _package(frame.f_globals.get("__name__", ""))
            if caller not in NOT_USERS:
                made = answer(original, *args, **kwargs)
                if type(made) is np.ndarray and not any(made is arg for arg in (*args, *kwargs.values())):
                    return for_writer(made, frame.f_code)
                return made
            if caller != "payback" and args and isinstance(args[0], Buffer):
                args = (now(args[0]), *args[1:])  # a traced one refuses to become plain
        return original(*args, **kwargs)

    return wrapper


def mathematics_wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
    name = original.__name__

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if TRACING.get():
            if name in ("fsum", "prod") and not isinstance(args[0], (list, tuple)):
                args = (list(args[0]), *args[1:])  # it can be gone through once
            if has_traced(args):
                return mathematics(name, original, *args, **kwargs)
        return original(*args, **kwargs)

    return wrapper


def special_wrapper(owner: type, name: str, answer: Callable[..., Any], always: bool) -> tuple[type, str, Any, Any]:
    """A method of one of NumPy's classes, and its wrapper, which answers users or, always, libraries too."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not TRACING.get():
            return original(*args, **kwargs)
        if always or sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] not in NOT_USERS:
            return answer(original, *args, **kwargs)
        return original(*args, **kwargs)

    return owner, name, original, wrapper


# What can be gone through once only: whether something traced comes out must be looked at all the same.
_ONCE = (GeneratorType, map, filter, zip)
_SETTLED = {*NODE_TYPES, np.ndarray, int, float, bool, str, type(None)}  # no buffers, and nothing in them


def library_wrapper(original: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a library that looks at no protocol: answered if one of its arguments is traced."""

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if TRACING.get():
            if args and not kwargs and type(args[0]) in NODE_TYPES and _SETTLED.issuperset(map(type, args)):
                return answer(*args)
            args = tuple(list(x) if type(x) in _ONCE else x for x in args)
            if any_traced((args, kwargs)):
                return answer(*current(args), **current(kwargs))
        return original(*args, **kwargs)

    return wrapper


def caller_wrapper(original: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls functions of the user's, which may use traced values: `answer(original, ...)` looks."""

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if TRACING.get() and is_answered(sys._getframe(1)):
            return answer(original, *args, **kwargs)
        return original(*args, **kwargs)

    return wrapper


class _Answered(type):
    """Of a class that stands for a library's: it makes the library's objects, and traced ones of traced values."""

    original: Any
    answer: Any

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "answer" not in vars(cls):  # a class that was derived from it
            return super().__call__(*args, **kwargs)
        if TRACING.get() and any_traced((args, kwargs)):
            return cls.answer(*current(args), **current(kwargs))
        return cls.original(*args, **kwargs)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, cls.original) if "answer" in vars(cls) else super().__instancecheck__(x)

    def __subclasscheck__(cls, other: type) -> bool:
        if "answer" in vars(cls):  # an abstract class asks those that are derived from it, and this is one
            return type.__subclasscheck__(cls.original, other)
        return super().__subclasscheck__(other)


def class_wrapper(original: type, answer: Callable[..., Any]) -> type:
    """A class of a library whose objects are answered for if they are made of traced values."""
    body = {"original": original, "answer": staticmethod(answer), "__module__": original.__module__}
    for name, method in getattr(answer, "class_methods", {}).items():
        body[name] = staticmethod(library_wrapper(getattr(original, name), method))
    kind = type(original)  # of abstract classes
    meta = _Answered if kind is type else type("_Answered", (_Answered, kind), {})
    return meta(original.__name__, (original,), body)
