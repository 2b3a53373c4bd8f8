"""Wrong arguments of a public function, told as an error of ours: what was given, where, and what the trouble is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from payback.errors import InputError, PaybackError
from payback.ir.where import caller, position

F = TypeVar("F", bound=Callable[..., Any])
_WRONG = (TypeError, AttributeError, ValueError, OverflowError, KeyError, IndexError)


def told(name: str) -> Callable[[F], F]:
    """For a function that calls none of the user's: what it raises at wrong arguments becomes an InputError."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except PaybackError:
                raise
            except _WRONG as problem:
                link = problem.__traceback__
                if link is None or link.tb_next is None:  # Python's own: arguments that are missing or too many
                    raise
                raise _wrong(name, function, args, kwargs, problem) from problem

        return checked  # type: ignore[return-value]

    return decorate


def _wrong(name: str, function: Any, args: Any, kwargs: Any, problem: Exception) -> InputError:
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    kinds = ", ".join(f"{key} is {_kind(x)}" for key, x in given.items() if key != "self")
    return InputError(f"{name} cannot compute with what it was given", where=position(caller(3)),
                      why=f"{kinds}; {' '.join(str(problem).split())}",
                      fix=f"see help({name}) for what its arguments are")  # fmt: skip


def _kind(x: Any) -> str:
    dtype, shape = getattr(x, "dtype", None), getattr(x, "shape", None)
    if dtype is not None and isinstance(shape, tuple):
        return f"an array of {dtype} and shape {shape}"
    if isinstance(x, (str, int, float, bool)) or x is None:
        text = repr(x)
        return text if len(text) < 40 else f"{text[:30]}…"
    return f"of type {type(x).__name__}"
