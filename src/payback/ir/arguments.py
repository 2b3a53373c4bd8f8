"""Wrong arguments of a public function, told as an error of ours: what was given, where, and what the trouble is."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

from payback import elsewhere
from payback.errors import ArgumentError, InputError, PaybackError
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
                    raise _uncallable(name, function, args, kwargs, problem) from None
                raise _wrong(name, function, args, kwargs, problem) from problem

        return checked  # type: ignore[return-value]

    return decorate


def answered(name: str) -> Callable[[F], F]:
    """For any function, or class: arguments that it does not have, or that are missing, become an ArgumentError.

    Whoever comes from another library is told what they are called here.
    """

    def decorate(function: F) -> F:
        if isinstance(function, type):
            function.__init__ = answered(name)(function.__init__)  # type: ignore[misc]
            return function

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except TypeError as problem:
                link = problem.__traceback__
                if isinstance(problem, PaybackError) or link is None or link.tb_next is not None:
                    raise
                raise _uncallable(name, function, args, kwargs, problem) from None

        return called  # type: ignore[return-value]

    return decorate


def _uncallable(name: str, function: Any, args: Any, kwargs: Any, problem: Exception) -> Exception:
    """The error for a call that does not fit the signature; the problem itself where it does."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    known = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    placed = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    count = len(args) - (len(parameters) < len(inspect.signature(function).parameters))
    told: dict[str, Any] = dict(where=position(caller(3)), why=f"it takes {', '.join(known)}")
    for key in kwargs:
        if key not in known:
            return ArgumentError(f"{name} has no argument {key!r}", **told, fix=elsewhere.argument(name, key, known))
        if key in placed[:count]:
            return ArgumentError(f"{name} was given {key} twice", **told, fix="give it by position or by name")
    if count > len(placed):
        return ArgumentError(f"{name} was given {count} arguments by position, and takes {len(placed)}", **told,
                             fix=elsewhere.argument(name, "", ()) or "give the others by name")  # fmt: skip
    needed = [p.name for p in parameters if p.default is p.empty and p.name in known]
    lacking = [key for key in needed if key not in (*placed[:count], *kwargs)]
    if lacking:
        return ArgumentError(f"{name} was not given {' and '.join(lacking)}", **told,
                             fix=elsewhere.NEEDED.get(lacking[0]))  # fmt: skip
    return problem


def _wrong(name: str, function: Any, args: Any, kwargs: Any, problem: Exception) -> InputError:
    fix = f"see help({name}) for what its arguments are"
    if re.search(r"'(list|tuple)' object has no attribute", str(problem)):
        fix = "give arrays: np.array(x)"
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    kinds = ", ".join(f"{key} is {_kind(x)}" for key, x in given.items() if key != "self")
    return InputError(f"{name} cannot compute with what it was given", where=position(caller(3)),
                      why=f"{kinds}; {' '.join(str(problem).split())}",
                      fix=fix)  # fmt: skip


def _kind(x: Any) -> str:
    dtype, shape = getattr(x, "dtype", None), getattr(x, "shape", None)
    if dtype is not None and isinstance(shape, tuple):
        return f"an array of {dtype} and shape {shape}"
    if isinstance(x, (str, int, float, bool)) or x is None:
        text = repr(x)
        return text if len(text) < 40 else f"{text[:30]}…"
    return f"of type {type(x).__name__}"
