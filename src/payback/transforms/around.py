"""What a function reads from around it: to notice, at a later call, that it would compute something else by now."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from payback.ops.append import is_immutable
from payback.trace.array import Variable

_NUMBERS = (bool, int, float, str, bytes, type(None), np.generic)
_WHOLE = (ModuleType, type, BuiltinFunctionType, np.ufunc, *_NUMBERS)
_LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"numpy", "scipy", "payback"}


class Around:
    """The contents of a function's closure, defaults and module names, and of the functions that it calls by name.

    Containers, dataclasses and plain objects are looked into; an array is kept as a copy, for it may be written into.
    values: whether another value of a variable is a change, or only another variable.
    """

    def __init__(self, f: Any, values: bool = True):
        self.names, self.values = list(_names(f, set())), values
        self.was = [list(_contents(look(), values)) for _, look in self.names]
        self.copies: dict[int, tuple[str, np.ndarray[Any, Any], Any]] = {}
        for (name, _), parts in zip(self.names, self.was, strict=True):
            for part in parts:
                if type(part) is np.ndarray and not is_immutable(part) and id(part) not in self.copies:
                    self.copies[id(part)] = name, part, _kept(part)

        looks = [(look, look()) for _, look in self.names]
        # where names stand for things that cannot change, it is enough to see that they still stand for the same
        self._fixed = all(_is_fixed(value) for _, value in looks)
        cells, names, others = [], [], []
        look: Any
        for look, was in looks:
            kind = getattr(look, "func", None)
            if kind is _content and was is not None:
                cells.append((look.args[0], was))
            elif kind is _named:
                names.append((*look.args, was))
            else:
                others.append((look, was))
        self._cells, self._names, self._others = cells, names, others

    def unchanged(self) -> bool:
        """Whether all is as it was; quicker than `changes` where it can be."""
        if not self._fixed:
            return not self.changes()
        try:
            for cell, was in self._cells:
                if cell.cell_contents is not was:
                    return False
        except ValueError:  # it is not bound any more
            return False
        for space, name, was in self._names:
            if space.get(name) is not was:
                return False
        for look, was in self._others:  # noqa: SIM110 (a loop takes half the time)
            if look() is not was:
                return False
        return True

    def changes(self) -> list[str]:
        """What is different now, for people."""
        found = []
        for (name, look), was in zip(self.names, self.was, strict=True):
            now = list(_contents(look(), self.values))
            if len(now) != len(was) or not all(map(_same, now, was)):
                found.append(f"{name} was given another value")
        written = {name for name, array, kept in self.copies.values() if not _unchanged(array, kept)}
        return found + [f"the array {name} was written into" for name in sorted(written)]


def _is_fixed(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_fixed, value))
    frozen = getattr(type(value), "__dataclass_params__", None)
    if frozen is not None and frozen.frozen:  # its fields stay what they are, as those of a tuple do
        return all(_is_fixed(getattr(value, field.name, None)) for field in dataclasses.fields(value))
    # a traced value tells isinstance that it is a number; what a function or a partial holds is looked at by its names
    return issubclass(type(value), (*_WHOLE, FunctionType, functools.partial))


def _same(now: Any, was: Any) -> bool:
    return now is was or (issubclass(type(now), _NUMBERS) and type(now) is type(was) and (now == was or now != now))


_SMALL = 4096


def _kept(array: np.ndarray[Any, Any]) -> Any:
    return array.tobytes() if array.nbytes <= _SMALL and array.dtype.kind != "O" else array.copy("K")


def _unchanged(now: np.ndarray[Any, Any], was: Any) -> bool:
    """Bit by bit: a NaN is the same NaN, and -0.0 is not 0.0."""
    if type(was) is bytes:
        return now.tobytes() == was
    if now.shape != was.shape or now.dtype != was.dtype:
        return False
    if now.dtype.kind == "O":
        return np.array_equal(now, was)
    if now.strides != was.strides or not (now.flags.c_contiguous or now.flags.f_contiguous):
        now, was = np.ascontiguousarray(now), np.ascontiguousarray(was)
    return _memcmp()(now.ctypes.data, was.ctypes.data, now.nbytes) == 0


@functools.cache
def _memcmp() -> Callable[[int, int, int], int]:
    """The C library's: as fast as memory, and it makes no array of truths."""
    function = (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).memcmp
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t], ctypes.c_int
    return function


def variables_of(f: Any) -> list[Variable]:
    """The variables that a function uses by its names."""
    found = [part for _, look in _names(f, set()) for part in _contents(look(), False) if isinstance(part, Variable)]
    return list({id(part): part for part in found}.values())


def _contents(value: Any, values: bool = True) -> Iterator[Any]:
    """The value and all that it holds, each thing once; for a variable its node, if values count, else itself."""
    stack, seen = [value], set()
    while stack:
        value = stack.pop()
        if isinstance(value, Variable):
            yield value.node if values else value
            continue
        yield value
        if isinstance(value, (*_WHOLE, np.ndarray, FunctionType)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield from value
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
        elif isinstance(value, MethodType):
            stack.append(value.__self__)
        elif isinstance(value, functools.partial):
            stack += (*value.args, *value.keywords.values())
        elif dataclasses.is_dataclass(value):
            stack += [getattr(value, field.name, None) for field in dataclasses.fields(value)]
        elif _is_plain(value):
            stack += vars(value).values()


def _is_plain(value: Any) -> bool:
    """Whether it is an object of the user's own class: what a library keeps in its objects is its own matter."""
    if type(value) is SimpleNamespace:
        return True
    if not hasattr(value, "__dict__") or type(value).__module__.partition(".")[0] in _LIBRARIES:
        return False
    module = sys.modules.get(type(value).__module__)
    return "site-packages" not in (getattr(module, "__file__", None) or "")


def _names(f: Any, seen: set[int]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The names that a function reads, each with how to look at it again; then those of the functions behind them."""
    if id(f) in seen:
        return
    seen.add(id(f))
    if isinstance(f, MethodType):
        yield "self", lambda: f.__self__
        yield from _names(f.__func__, seen)
        return
    if isinstance(f, functools.partial):
        yield "the arguments of partial", lambda: f.args
        yield "the keywords of partial", lambda: f.keywords or None  # an empty dict could be filled, None is fixed
        yield from _names(f.func, seen)
        return
    if not isinstance(f, FunctionType):
        inner = getattr(f, "__wrapped__", None)  # a compiled function, for one
        if inner is not None:
            yield from _names(inner, seen)
        elif _is_plain(f) and isinstance(getattr(type(f), "__call__", None), FunctionType):  # noqa: B004
            yield type(f).__name__, lambda: f
            yield from _names(type(f).__call__, seen)
        return
    inside: list[Any] = []
    space = f.__globals__
    own = space.get("__name__", "").partition(".")[0] not in _LIBRARIES
    # the containers themselves: a tuple made of them would be another one at each look
    if own and f.__defaults__:
        yield f"a default of {f.__name__}", lambda: f.__defaults__
    if own and f.__kwdefaults__:
        yield f"a default of {f.__name__}", lambda: f.__kwdefaults__
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        look = functools.partial(_content, cell)
        yield name, look
        inside.append(look())
    if own:
        for name in dict.fromkeys(_global_names(f.__code__)):
            if name in space and not isinstance(space[name], (ModuleType, type, BuiltinFunctionType, np.ufunc)):
                look = functools.partial(_named, space, name)
                yield name, look
                inside.append(look())
    for value in inside:
        for part in _contents(value):
            if callable(part):
                yield from _names(part, seen)


def _named(space: dict[str, Any], name: str) -> Any:
    return space.get(name)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return None


def _global_names(code: CodeType) -> list[str]:
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _global_names(part)]
    return [*code.co_names, *inner]
