"""Methods of plain arrays that are given traced values: `X.dot(w)` is np.dot(X, w).

NumPy's functions ask their arguments by a protocol; the methods of its arrays ask nobody, and neither Python nor NumPy
lets a class made in C be given others.  So while a function is differentiated, and only if the user's code calls such a
method by name, the class's own dictionary has a function in that place, which calls NumPy's function where something
traced is given and the method itself in all else.  Where Python has no such dictionary (it is CPython's) nothing is
replaced, and the call raises as any other that wants bare numbers.
"""

from __future__ import annotations

import ctypes
import dis
import functools
import gc
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from payback.trace.buffer import _any_traced

_LOADS = ("LOAD_METHOD", "LOAD_ATTR")


def _answering(method: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def answered(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _any_traced((args, kwargs)):
            return function(self, *args, **kwargs)
        return method(self, *args, **kwargs)

    return answered


_FUNCTIONS = {"dot": np.dot, "clip": np.clip, "searchsorted": np.searchsorted}
_ORIGINALS: dict[str, Any] = {name: vars(np.ndarray)[name] for name in _FUNCTIONS}
_ANSWERS = {name: _answering(_ORIGINALS[name], function) for name, function in _FUNCTIONS.items()}


def _dictionary() -> dict[str, Any] | None:
    """The dictionary behind `vars(np.ndarray)`, or None where it cannot be had."""
    found = [thing for thing in gc.get_referents(vars(np.ndarray)) if type(thing) is dict]
    return found[0] if len(found) == 1 and found[0].keys() == vars(np.ndarray).keys() else None


class Methods:
    """The methods that are replaced now."""

    def __init__(self) -> None:
        self.there = False

    def put(self) -> None:
        if not self.there:
            self.there = True
            _set(_ANSWERS)

    def take_away(self) -> None:
        if self.there:
            self.there = False
            _set(_ORIGINALS)


def _set(methods: Mapping[str, Any]) -> None:
    space = _dictionary()
    modified = getattr(getattr(ctypes, "pythonapi", None), "PyType_Modified", None)
    if space is not None and modified is not None:
        space.update(methods)
        modified(ctypes.py_object(np.ndarray))  # what Python remembers of the class's attributes is forgotten


def calls_methods(things: Iterable[Any]) -> bool:
    """Whether one of these functions, or a method of one of these classes, calls such a method of something."""
    for thing in things:
        if isinstance(thing, FunctionType):
            if _calls(thing.__code__, thing.__globals__):
                return True
        elif isinstance(thing, type) and any(
            isinstance(part, FunctionType) and _calls(part.__code__, part.__globals__) for part in vars(thing).values()
        ):
            return True
    return False


def _calls(code: CodeType, space: dict[str, Any]) -> bool:
    if not _FUNCTIONS.keys().isdisjoint(code.co_names):
        before = None
        for step in dis.get_instructions(code):
            if step.opname in _LOADS and step.argval in _FUNCTIONS and not _is_module(before, space):
                return True
            before = step
    return any(isinstance(part, CodeType) and _calls(part, space) for part in code.co_consts)


def _is_module(load: dis.Instruction | None, space: dict[str, Any]) -> bool:
    """Whether it puts a module on the stack, as in `np.dot`."""
    return load is not None and load.opname == "LOAD_GLOBAL" and isinstance(space.get(load.argval), ModuleType)
