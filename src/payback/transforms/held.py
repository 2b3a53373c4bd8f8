"""What objects of Python's and of other libraries hold that a function may read, and how to look at it again."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

MISSING = object()
_CACHED = type(functools.cache(int))
_OF_PANDAS = ("_ndarray", "_data", "_mask", "_pa_array")  # where its own kinds of arrays keep their entries

# Libraries' classes whose objects are no more than what they were given or have learned: options, series, curves.
_HOLDING = (
    "argparse", "configparser", "numpy.polynomial.", "scipy.interpolate.",
    "scipy.stats._kde", "scipy.signal.", "multiprocessing.sharedctypes", "queue",
)  # fmt: skip

Look = Callable[[], Sequence[Any]]


def settings(thing: Any, names: Collection[str]) -> Iterator[tuple[str, Look, Any]]:
    """What the whole process has set that a module shows under some of the names, or that a function answers with."""
    if (known := _SETTINGS.get(id(thing))) is not None:
        module, looks = known
        for name in looks.keys() & names:
            yield f"{module.__name__}.{name}", looks[name], getattr(module, name)
    if (of := _FUNCTIONS.get(id(thing))) is not None and of[0] is thing:
        yield getattr(thing, "__name__", ""), of[1], thing


def _environ() -> Sequence[Any]:
    return entries(os.environ._data)  # type: ignore[attr-defined]


_SETTINGS: dict[int, tuple[ModuleType, dict[str, Look]]] = {
    id(os): (os, {"environ": _environ, "environb": _environ, "getenv": _environ, "getcwd": lambda: (os.getcwd(),)}),
    id(sys): (sys, {"argv": lambda: list(sys.argv)}),
    id(np): (np, {
        "geterr": lambda: entries(np.geterr()), "get_printoptions": lambda: entries(np.get_printoptions()),
    }),
}  # fmt: skip
_FUNCTIONS = {id(getattr(module, name)): (getattr(module, name), look) for module, looks in _SETTINGS.values()
              for name, look in looks.items()}  # fmt: skip


def within(value: Any) -> tuple[str, Look, bool] | None:
    """What it is called if not as its name, how to look at what it holds, and whether these are attributes; or None."""
    kind = type(value)
    if kind is os.environ.__class__:
        return "os.environ", lambda: entries(value._data), False
    if issubclass(kind, logging.Logger):
        return "", lambda: (value.level, value.disabled, value.manager.disable, value.parent), False
    if issubclass(kind, ContextVar):
        return value.name, lambda: (value.get(MISSING),), False
    if issubclass(kind, threading.local):
        return "", lambda: entries(vars(value)), True
    if kind is _CACHED:  # these say that it was cleared, or has learned more
        hits = value.cache_info().hits
        return "", lambda: (value.cache_info().misses, value.cache_info().hits < hits), False
    of = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if kind is np.void:  # a record, which shows its array's memory
        return "", lambda: (value.tobytes(),), False
    if issubclass(kind, (ctypes._SimpleCData, ctypes.Array, ctypes.Structure, ctypes.Union)):
        return "", lambda: (memoryview(value).tobytes(),), False
    if hasattr(value, "__dict__") and ("sklearn" in of or _is_of_its_holder(kind)):
        return "", lambda: entries(vars(value)), True
    look = _pandas(value) if "pandas" in of else _polars(value) if "polars" in of else None
    return None if look is None else ("", look, False)


def _is_of_its_holder(kind: type) -> bool:
    """Whether what an object of this class holds is its holder's, and not the library's own matter."""
    frozen = kind.__name__ in ("rv_continuous_frozen", "rv_discrete_frozen")
    return frozen or issubclass(kind, np.poly1d) or kind.__module__.startswith(_HOLDING)


def entries(mapping: Mapping[Any, Any]) -> Sequence[Any]:
    # a dict whatever it says itself, as SciPy's dok_array, that it has rows; but for another order, which is kept apart
    if isinstance(mapping, dict) and not isinstance(mapping, OrderedDict):
        return [*dict.keys(mapping), *dict.values(mapping)] if dict.__len__(mapping) else ()
    return [*mapping, *mapping.values()]


def _pandas(value: Any) -> Look | None:
    """A column's or a frame's arrays, which it may write into or replace, and its labels, which it may replace; what
    groups, windows and `.iloc` show."""
    if hasattr(value, "_mgr"):
        manager = value._mgr
        return lambda: [value._mgr, *manager.arrays, *manager.axes]
    own = [name for name in _OF_PANDAS if hasattr(value, name)]
    if own:
        return lambda: [getattr(value, name) for name in own]
    return (lambda: (value.obj,)) if hasattr(value, "obj") else None


def _polars(value: Any) -> Look | None:
    """The hashes of what a column or a frame holds, which shows nothing that stays."""
    if hasattr(value, "hash_rows"):
        return lambda: [*value.columns, value.hash_rows().to_numpy().tobytes()] if value.width else ()
    if hasattr(value, "hash") and hasattr(value, "to_numpy"):
        return lambda: (value.hash().to_numpy().tobytes(),)
    return None
