"""np.save, np.array2string and their kin of traced values: what is written loses nothing, unless it is read again.

Whether it is, is read off the program as for texts (`texts.py`), and the files are remembered while the function runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from payback.errors import witness
from payback.ir.where import caller, position
from payback.trace.array import Traced, plain
from payback.trace.numpy.creation import fresh
from payback.trace.numpy.order import in_pieces
from payback.trace.operators import FUNCTIONS, HOOKS
from payback.trace.plain_arrays import now
from payback.trace.refusals.free import free
from payback.trace.text.texts import lost, shown
from payback.trace.tree import tree_map

_saved: ContextVar[tuple[Any, set[Any]]] = ContextVar("saved", default=(None, set()))


def _name(file: Any) -> Any:
    try:
        path = os.path.abspath(os.fspath(file))
    except TypeError:
        return id(file)
    return path.decode() if isinstance(path, bytes) else path


def save(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], call: Any) -> Any:
    """The file with the bare numbers in it; `call` stands for the trace that runs."""
    shown("")
    file = args[0] if args else kwargs.get("file", kwargs.get("fname"))
    running, files = _saved.get()
    files = files if running is call else set()
    files |= {_name(file), f"{_name(file)}.npy", f"{_name(file)}.npz"}
    _saved.set((call, files))
    args, kwargs = tree_map(lambda x: plain(x) if isinstance(x, Traced) else x, (tuple(args), dict(kwargs)))
    return function(*args, **kwargs)


def load(original: Callable[..., Any], file: Any, *args: Any, **kwargs: Any) -> Any:
    """np.load and its kin.  Raises TraceError for a file that holds what a traced value was."""
    running, files = _saved.get()
    if running is not None and running is witness.get() and _name(file) in files:
        raise lost(position(caller(2)))
    return fresh(original, file, *args, **kwargs)


def _text(function: Callable[..., Any]) -> Callable[..., Any]:
    def answer(a: Any, *args: Any, **kwargs: Any) -> Any:
        text, a = function(in_pieces(a), *args, **kwargs), now(a)
        return text if witness.get() is None or not isinstance(a, Traced) or free(a) else shown(text)

    return answer


for _function in (np.array_repr, np.array_str, np.array2string):
    FUNCTIONS[_function] = _text(_function)
HOOKS["save"] = save
LOADING: dict[str, Callable[..., Any]] = dict.fromkeys(["load", "loadtxt", "genfromtxt", "fromfile"], load)
