"""Whether a function is proved plain for the arguments of a call: then it needs neither snapshots nor the shim.

Nothing can write into an array while such a function runs, so what it has read is still there when the sweep, which
comes right after it, reads it again.  And all that it calls dispatches by NumPy's protocols.

What the function's names, its closure and its arguments are is looked at in every call, by exact type; the proof for
such a call (`proof.py`) is kept.  It is made when a code is called the second time: much code is called once.  What
runs beside the call (other threads, handlers of signals and warnings) may write at any time, with or without this.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FunctionType
from typing import Any

import numpy as np

from payback.trace.proof.proof import Function, Proof, bound, names_of
from payback.trace.proof.pure import ARRAY, NONE, NUMBER, TEXT, TRACED, Kind, Unproved, join, listed, of_numpy

_NUMBERS = {int, float, bool, np.float64, np.float32, np.int64, np.int32, np.bool_}
_DTYPES = frozenset("?bBhHiIlLqQfd")
_VARYING = {float, int, np.float64, np.float32}
_MOST_PROOFS, _MOST_TRIES = 4000, 16
_AGAIN = 16  # one call in so many is looked at of a code that was not proved so often: it may be a wrapper of many
_TOO_DEEP = 6
_MOST_PARTS = 64  # of a list around a function: each is looked at in every call
_monitoring = getattr(sys, "monitoring", None)  # Python 3.12
# a code by the kinds of its surroundings and arguments -> what its proof rests on, or None
_proofs: dict[Any, tuple[tuple[dict[str, Any], str, Any], ...] | None] = {}
_tries: dict[int, int] = {}  # id of a code -> how often it was not proved; see `names_of`


def proved(f: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Sequence[int | str]) -> bool:
    """Whether `f(*args, **kwargs)` is surely plain, where the arguments in `wrt` are to be traced."""
    if type(f) is not FunctionType or _watched():
        return False
    tries = _tries.get(id(f.__code__), 0)
    if tries > _MOST_TRIES and tries % _AGAIN:
        _tries[id(f.__code__)] = tries + 1
        return False
    try:
        names: tuple[Any, ...] = ()
        if kwargs:
            names = tuple([(name, _varying(arg) if name in wrt else _kind(arg, 0)) for name, arg in kwargs.items()])
        kinds = tuple([_varying(arg) if i in wrt else _kind(arg, 0) for i, arg in enumerate(args)])
        key = _environment(f, 0), kinds, names
        used = _proofs[key]
    except Unproved:
        used = None
    except KeyError:
        used = _made(key) if tries else None  # much code is called once
        if tries:
            if len(_proofs) >= _MOST_PROOFS:
                _proofs.clear()
            _proofs[key] = used
    if used is None:
        _tries[id(f.__code__)] = tries + 1
        return False
    if tries > 1:
        _tries[id(f.__code__)] = 1
    for space, name, thing in used:  # noqa: SIM110 (a loop takes half the time)
        if space.get(name) is not thing:
            return False
    return True


def _watched() -> bool:
    """Whether a debugger could write into arrays while the function runs."""
    return sys.gettrace() is not None or (_monitoring is not None and _monitoring.get_tool(0) is not None)


def _made(key: Any) -> tuple[tuple[dict[str, Any], str, Any], ...] | None:
    """What the proof of a function for such arguments rests on; None if there is none."""
    function = Function(key[0])
    try:
        return tuple(Proof(function, bound(function, list(key[1]), dict(key[2]))).used.values())
    except Unproved:
        return None


def _kind(value: Any, depth: int) -> Kind:
    """What a thing from outside is, by its exact type.  Raises Unproved for what is not known."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype.char in _DTYPES:
            return ARRAY
        raise Unproved
    if kind in _NUMBERS:
        return NUMBER
    if kind is list or kind is tuple:
        return _many(value, depth)
    if kind is FunctionType:
        return _environment(value, depth + 1)
    if value is None:
        return NONE
    if kind is str:
        return TEXT
    if kind is dict:
        return _table(value, depth)
    return _of_python(value)


def _many(values: Sequence[Any], depth: int) -> Kind:
    if depth > _TOO_DEEP or len(values) > _MOST_PARTS:
        raise Unproved
    return listed([_kind(value, depth + 1) for value in values])


def _table(values: dict[Any, Any], depth: int) -> Kind:
    if depth > _TOO_DEEP or len(values) > _MOST_PARTS:
        raise Unproved
    found = None
    for name, value in values.items():
        if type(name) is not str:
            raise Unproved
        found = join(found, _kind(value, depth + 1))
    return "table", found


def _varying(value: Any) -> Kind:
    """The kind of an argument whose floating numbers and arrays are to be traced."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype.char in "fd":
            return TRACED
        raise Unproved
    if kind in _VARYING:
        return TRACED
    if kind is list or kind is tuple:
        return listed([_varying(part) for part in value])
    if kind is dict:
        found = None
        for name, part in value.items():
            if type(name) is not str:
                raise Unproved
            found = join(found, _varying(part))
        return "table", found
    raise Unproved


def _environment(f: FunctionType, depth: int) -> Kind:
    """A function with what its names stand for now: ("function", id of its code, globals, closure, defaults)."""
    if depth > _TOO_DEEP or f.__kwdefaults__:
        raise Unproved
    code = f.__code__
    around: list[Kind] = []
    space = f.__globals__
    for name in names_of(code):
        if name in space:
            around.append(_kind(space[name], depth))
        else:
            around.append(_of_python(f.__builtins__.get(name)))  # type: ignore[attr-defined]
    inside: list[Kind] = []
    for cell in f.__closure__ or ():
        try:
            inside.append(_kind(cell.cell_contents, depth))
        except ValueError:  # not yet bound
            raise Unproved from None
    defaults = tuple([_kind(value, depth) for value in f.__defaults__]) if f.__defaults__ else ()
    return "function", id(code), tuple(around), tuple(inside), defaults


def _of_python(value: Any) -> Kind:
    found = of_numpy(value)
    if found is None:
        raise Unproved
    return found
