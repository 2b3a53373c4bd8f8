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
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from payback.trace.proof.around import kind_of, varying
from payback.trace.proof.proof import rests_on
from payback.trace.proof.pure import Asked, Unproved

_MOST_PROOFS, _MOST_TRIES, _MOST_ASKED = 4000, 16, 64
_AGAIN = 16  # one call in so many is looked at of a code that was not proved so often: it may be a wrapper of many
_monitoring = getattr(sys, "monitoring", None)  # Python 3.12
# a code by the kinds of its surroundings and arguments -> what its proof rests on, or None
_proofs: dict[Any, tuple[tuple[dict[str, Any], str, Any], ...] | None] = {}
_tries: dict[int, int] = {}  # id of a code -> how often it was not proved; see `names_of`


def proved(f: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Sequence[int | str]) -> bool:
    """Whether `f(*args, **kwargs)` is surely plain, where the arguments in `wrt` are to be traced."""
    code = _code(f)
    if code is None or _watched():
        return False
    tries = _tries.get(id(code), 0)
    if tries > _MOST_TRIES and tries % _AGAIN:
        _tries[id(code)] = tries + 1
        return False
    try:
        used = _found(f, args, kwargs, wrt, tries)
    except Unproved:
        used = None
    if used is None:
        _tries[id(code)] = tries + 1
        return False
    if tries > 1:
        _tries[id(code)] = 1
    for space, name, thing in used:  # noqa: SIM110 (a loop takes half the time)
        if space.get(name) is not thing:
            return False
    return True


def _found(f: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Sequence[int | str], tries: int) -> Any:
    """What the proof of such a call rests on; None if there is none.  Raises Unproved where none can be sought."""
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
            used = rests_on(key[0], list(kinds), dict(names))
        except Asked:  # now the attribute is looked at too
            continue
        except Unproved:
            used = None
        if len(_proofs) >= _MOST_PROOFS:
            _proofs.clear()
        _proofs[key] = used
        return used
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
