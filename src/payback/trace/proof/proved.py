"""What is known of a function for the arguments of a call: if it is plain it needs neither snapshots nor the shim.

Nothing can write into an array while such a function runs, so what it has read is still there when the sweep, which
comes right after it, reads it again.  And all that it calls dispatches by NumPy's protocols.  A function that stores
into arrays, or makes arrays of traced values, needs snapshots or what stands for NumPy's names, but no more of the shim
if all that it calls is known.

What the function's names, its closure and its arguments are is looked at in every call, by exact type; the proof for
such a call (`proof.py`) is kept.  It is made when a code is called the second time: much code is called once.  What
runs beside the call (other threads, handlers of signals and warnings) may write at any time, with or without this.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from payback.trace.proof.around import kind_of, varying
from payback.trace.proof.proof import known_of
from payback.trace.proof.pure import Asked, Known, Unproved

_MOST_PROOFS, _MOST_TRIES, _MOST_ASKED = 4000, 16, 64
_AGAIN = 16  # one call in so many is looked at of a code that was not proved so often: it may be a wrapper of many
_monitoring = getattr(sys, "monitoring", None)  # Python 3.12
# a code by the kinds of its surroundings and arguments -> what is known of it and what that rests on, or None
_proofs: dict[Any, tuple[Known, tuple[tuple[dict[str, Any], str, Any], ...]] | None] = {}
_tries: dict[int, int] = {}  # id of a code -> how often it was not proved; see `names_of`


def proved(f: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Sequence[int | str]) -> Known | None:
    """What is known of `f(*args, **kwargs)`, where the arguments in `wrt` are to be traced; None for nothing."""
    code = _code(f)
    if code is None or _watched():
        return None
    tries = _tries.get(id(code), 0)
    if tries > _MOST_TRIES and tries % _AGAIN:
        _tries[id(code)] = tries + 1
        return None
    try:
        found = _found(f, args, kwargs, wrt, tries)
    except Unproved:
        found = None
    if found is None:
        _tries[id(code)] = tries + 1
        return None
    if tries > 1:
        _tries[id(code)] = 1
    for space, name, thing in found[1]:
        if space.get(name) is not thing:
            return None
    return found[0]


def _found(f: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Sequence[int | str], tries: int) -> Any:
    """What is known of such a call, and what that rests on, or None.  Raises Unproved where nothing can be."""
    for _ in range(_MOST_ASKED):
        names: tuple[Any, ...] = ()
        if kwargs:
            names = tuple([(name, varying(arg) if name in wrt else kind_of(arg, 0)) for name, arg in kwargs.items()])
        kinds = tuple([varying(arg) if i in wrt else kind_of(arg, 0) for i, arg in enumerate(args)])
        key = kind_of(f, -1), kinds, names
        try:
            return _proofs[key]
        except KeyError:
            if not tries:  # much code is called once
                return None
        try:
            found = known_of(key[0], list(kinds), dict(names))
        except Asked:  # now the attribute is looked at too
            continue
        except Unproved:
            found = None
        if len(_proofs) >= _MOST_PROOFS:
            _proofs.clear()
        _proofs[key] = found
        return found
    return None


def _code(f: Any) -> CodeType | None:
    """The code that a call of f runs, where that is a function of the user's."""
    while type(f) is not FunctionType:
        if type(f) is MethodType:
            f = f.__func__
        elif type(f) is partial:
            f = f.func
        else:
            f = getattr(type(f), "__call__", None)  # noqa: B004
            return f.__code__ if type(f) is FunctionType else None
    return f.__code__


def _watched() -> bool:
    """Whether a debugger could write into arrays while the function runs."""
    return sys.gettrace() is not None or (_monitoring is not None and _monitoring.get_tool(0) is not None)
