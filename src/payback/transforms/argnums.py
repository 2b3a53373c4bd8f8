"""By which arguments of a function is differentiated, and what they are called."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.trace.tree import paths

Function = Callable[..., Any]
ArgNums = int | str | Sequence[int | str]
_GRADIENT = "_gradient_of"  # what a gradient says of itself
# of the arguments of functions, by their code, how many are bound, and which by name
_names: dict[tuple[int, int, tuple[str, ...]], tuple[CodeType, list[str]]] = {}
_ELSEWHERE = {"__signature__", "__wrapped__"}  # what `inspect` goes by before `__call__`
_MOST_CODES = 4000  # code that is made while a program runs is not kept for ever


def _called(f: Any) -> tuple[Any, int, tuple[str, ...]]:
    """The function written in Python that a call of f runs, or None, and which arguments it has been given: so many by
    position, and those by name."""
    kind = type(f)
    if kind is FunctionType:
        return f, 0, ()
    if kind is MethodType:
        return (f.__func__, 1, ()) if type(f.__func__) is FunctionType else _UNTOLD
    if kind is partial and not f.__dict__:
        function, bound, names = _called(f.func)
        return function, bound + len(f.args), (*names, *f.keywords)
    own = getattr(kind, "__call__", None)  # noqa: B004
    told = not _ELSEWHERE.isdisjoint(getattr(f, "__dict__", ())) or hasattr(kind, "__signature__")
    return (own, 1, ()) if type(own) is FunctionType and not told and not isinstance(f, type) else _UNTOLD


_UNTOLD: tuple[Any, int, tuple[str, ...]] = (None, 0, ())


def _told(code: CodeType, bound: int, given: tuple[str, ...], count: int) -> list[str]:
    """What `inspect` finds, sooner: the names of so many arguments."""
    first = code.co_argcount
    names = list(code.co_varnames[bound:first])
    places = [names.index(name) for name in given if name in names]
    if places:  # it and those after it are given by name only
        names = names[: min(places)]
    if code.co_flags & inspect.CO_VARARGS and not places:
        several = code.co_varnames[first + code.co_kwonlyargcount]
        return names + [f"{several}[{i}]" for i in range(count - len(names))]
    return names + [f"argument {i}" for i in range(len(names), count)]


def differentiated(f: Function) -> tuple[Function, ArgNums] | None:
    """The function whose gradient f is, and by what."""
    known = getattr(f, "__dict__", {}).get(_GRADIENT)
    return known[1:] if known is not None and known[0]() is f else None


def say_whose(gradient: Any, f: Function, argnums: ArgNums) -> None:
    """Have a gradient say whose it is.  It says what it is itself too, for wrappers of it take over its dictionary."""
    gradient.__dict__[_GRADIENT] = weakref.ref(gradient), f, argnums


def argument_names(f: Function, count: int) -> list[str]:
    """What the first so many arguments by position are called."""
    while (whose := differentiated(f)) is not None:
        f = whose[0]
    function, bound, given = _called(f)
    code = getattr(function, "__code__", None)
    if code is not None and not function.__dict__ and code.co_argcount >= bound:
        known = _names.get((id(code), bound, given))
        if known is None or len(known[1]) < count:
            if len(_names) >= _MOST_CODES:
                _names.clear()
            known = _names[id(code), bound, given] = code, _told(code, bound, given, count)
        return known[1][:count]
    try:
        parameters = [*inspect.signature(f).parameters.values()]
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    several = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), None)
    more = (f"argument {i}" if several is None else f"{several}[{i - len(names)}]" for i in range(len(names), count))
    return [*names[:count], *more]


def leaf_names(f: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """What each leaf of the arguments is called."""
    named = [*zip(argument_names(f, len(args)), args, strict=True), *kwargs.items()]
    return [path for name, arg in named for path in paths(arg, name)]


def positions_of(
    names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any], argnums: ArgNums
) -> tuple[list[int | str], bool]:
    if type(argnums) is int and 0 <= argnums < len(args):
        return [argnums], True
    single = isinstance(argnums, (int, str, np.integer))
    wanted: Sequence[Any] = list(argnums) if isinstance(argnums, Iterable) and not single else [argnums]
    if any(isinstance(which, bool) or not isinstance(which, (int, str, np.integer)) for which in wanted):
        raise InputError(f"argnums is {argnums!r}", why="an argument is told by its position or by its name",
                         fix="give a whole number, a name, or a tuple of them")  # fmt: skip
    found: list[int | str] = []
    for which in wanted:
        if isinstance(which, str):
            if which in kwargs:
                found.append(which)
            elif which in names:
                found.append(names.index(which))
            else:
                raise InputError(
                    f"argnums names {which!r}",
                    why=f"the arguments given are {', '.join([*names, *kwargs])}",
                    fix="give that argument explicitly",
                )
        else:
            if not -len(args) <= which < len(args):
                raise InputError(f"argnums is {which}", why=f"{len(args)} positional arguments were given",
                                 fix="count from 0, or give the names of the arguments")  # fmt: skip
            found.append(int(which) % len(args))
    if len(set(found)) < len(found) or not found:
        raise InputError(f"argnums is {argnums!r}", why="each argument may stand in it once, and one at least")
    return found, single
