"""What a function reads from around it: to notice, at a later call, that it would compute something else by now."""

from __future__ import annotations

import ctypes
import dataclasses
import dis
import functools
import operator
import random
import sys
from array import array
from collections import ChainMap, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import IOBase
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.ir.where import position
from payback.ops.append import is_immutable
from payback.trace.array import Variable

_NUMBERS = (bool, int, float, complex, str, bytes, type(None), np.generic)
_LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"numpy", "scipy", "payback"}
_MISSING = object()

_Space = Mapping[str, Any]


class Around:
    """What stands behind the names of a function, and behind those of the functions that it may call.

    Followed are closures, defaults, names of modules (its own, and others' as `settings.rate`), attributes of classes
    and functions, containers, objects of the user's classes and of dataclasses, and all that these hold.  An array is
    kept as a copy, for it may be written into.  What libraries keep in objects of theirs is their own matter.
    values: whether another value of a variable is a change, or only another variable.
    iterates: whether it may go on with a generator or another of Python's iterators, which do not tell where they are.
    """

    def __init__(self, f: Any, values: bool = True, label: str = ""):
        """label: what f is called, where it has no name."""
        found = _Search(f, values, label or getattr(f, "__name__", "") or type(f).__name__)
        self.copies, self._generators, self.iterates = found.copies, found.generators, found.iterates
        self._cells, self._names, self._holders, self._buffers = (
            found.cells, list(found.names.values()), found.holders, found.buffers
        )  # fmt: skip

    def unchanged(self) -> bool:
        """Whether all is as it was; quicker than `changes` where names and containers hold the very things that they
        held, and arrays the same numbers."""
        try:
            for _, cell, was in self._cells:
                if cell.cell_contents is not was:
                    return not self.changes()
        except ValueError:  # it is not bound any more
            return not self.changes()
        for _, get, name, was in self._names:
            if get(name, _MISSING) is not was:
                return not self.changes()
        for _, look, held in self._holders:
            now = look()
            if len(now) != len(held) or (held and not all(map(operator.is_, now, held))):
                return not self.changes()
        return not (self.copies or self._buffers) or next(self._written(), None) is None

    def changes(self) -> list[str]:
        """What is different now, for people."""
        found = [label for label, cell, was in self._cells if not _same(_content(cell), was)]
        found += [label for label, get, name, was in self._names if not _same(get(name, _MISSING), was)]
        for label, look, held in self._holders:
            now = look()
            if len(now) != len(held) or not all(map(_same, now, held)):
                found.append(label)
        return [
            *(f"{label} was given another value" for label in dict.fromkeys(found)),
            *(f"the array {label} was written into" for label in sorted(set(self._written()))),
        ]

    def drawn(self) -> list[Any]:
        """How far the generators of random numbers are.  It is no change that somebody else draws a number."""
        return drawn(self._generators)

    def _written(self) -> Iterator[str]:
        for label, numbers, kept in self.copies.values():
            if not _unchanged(numbers, kept):
                yield label
        for label, buffer, kept in self._buffers:
            if memoryview(buffer).tobytes() != kept:
                yield label


def variables_of(f: Any) -> list[Variable]:
    """The variables that a function uses by its names."""
    return list(_Search(f, False, "").variables.values())


def generators_of(f: Any) -> list[Any]:
    """The generators of random numbers that a function uses by its names."""
    return _Lookout(f, False, "").generators


def drawn(generators: Sequence[Any]) -> list[Any]:
    """How far these generators are, and those that everybody shares."""
    shared = [random.getstate()]
    if (numpys := sys.modules.get("numpy.random")) is not None:
        shared.append(_state_of(numpys.get_state(legacy=False)))
    return [*shared, *map(_state_of, generators)]


def undrawn(f: Any, trace: Callable[[], Any]) -> Any:
    """What `trace` makes of f, whose one trace stands for many runs; None if it draws random numbers.

    Those would be the same in all runs.
    """
    generators = generators_of(f)
    for _ in range(3):  # some draw once, and other threads may draw
        before = drawn(generators)
        traced = trace()
        if drawn(generators) == before:
            return traced
    return None


def draws_random_numbers(what: str, where: Any) -> UnsupportedError:
    place = position(where)
    return UnsupportedError(f"{what} draws random numbers", where=str(place) if place else None,
                            why="it is traced once, so they would be the same each time",
                            fix="draw them before, or give it a key each time: pb.random.split(key, n)")  # fmt: skip


class _Search:
    """The places that a function reads, found by following what its names stand for."""

    def __init__(self, f: Any, values: bool, label: str):
        self.values = values
        self.cells: list[tuple[str, Any, Any]] = []
        self.names: dict[tuple[int, str], tuple[str, Callable[[str, Any], Any], str, Any]] = {}
        self.holders: list[tuple[str, Callable[[], Sequence[Any]], Sequence[Any]]] = []
        self.copies: dict[int, tuple[str, np.ndarray[Any, Any], Any]] = {}
        self.buffers: list[tuple[str, Any, bytes]] = []
        self.variables: dict[int, Variable] = {}
        self.generators: list[Any] = []
        self.iterates = False
        self._package: str | None = None  # of the first function that is no library's: others that are installed are
        self._seen: dict[int, Any] = {}  # it also keeps them, so that no id is used twice
        self._mentioned: dict[str, None] = {}  # the names in the code that was found
        self._spaces: list[tuple[str, list[_Space]]] = []  # whose attributes are read by names of any code
        self._next: list[tuple[str, Any]] = [(label, f)]
        while self._next:
            self._follow(*self._next.pop())

    def _follow(self, label: str, value: Any) -> None:
        kind = type(value)  # a traced value tells isinstance that it is a number
        if issubclass(kind, (*_NUMBERS, np.ufunc, CodeType)) or id(value) in self._seen:
            return
        if issubclass(kind, (BuiltinFunctionType, MethodWrapperType)):  # of an object, as `generator.normal`
            if not issubclass(type(value.__self__), (ModuleType, type)):
                self._follow(label, value.__self__)
            return
        self._seen[id(value)] = value
        if issubclass(kind, Variable):
            self.variables[id(value)] = value
            if self.values:
                self._hold(label, lambda: (value.node,))
        elif issubclass(kind, np.ndarray):
            self._copy(label, value)
        elif issubclass(kind, (array, bytearray, memoryview)):
            self.buffers.append((label, value, memoryview(value).tobytes()))
        elif kind is FunctionType:
            self._function(value)
        elif _is_generator(kind):
            self.generators.append(value)
        elif issubclass(kind, Iterator) and not issubclass(kind, IOBase) and _is_library(kind.__module__):
            self.iterates = True
        elif issubclass(kind, MethodType):
            self._next += ((type(value.__self__).__name__, value.__self__), (label, value.__func__))
        elif issubclass(kind, functools.partial):
            self._next += ((label, value.func), *(("the arguments of partial", arg) for arg in value.args))
            self._hold("the keywords of partial", lambda: _entries(value.keywords))
        elif issubclass(kind, ModuleType):  # that some object holds: one that is named is read by its reader's names
            if not _is_library(value.__name__) and not _is_installed(value.__name__):
                self._space(label, [vars(value)])
        elif issubclass(kind, type):
            self._class(value)
        elif issubclass(kind, (property, functools.cached_property, staticmethod, classmethod)):
            wrapped = (getattr(value, name, None) for name in ("fget", "func", "__func__"))
            self._next += ((label, part) for part in wrapped if part is not None)
        else:
            self._object(label, value)

    def _object(self, label: str, value: Any) -> None:
        kind = type(value)
        if issubclass(kind, (dict, MappingProxyType)):
            self._hold(label, lambda: _entries(value))
        elif issubclass(kind, (list, tuple, set, frozenset, deque)):
            self._hold(label, value.copy if kind is list else lambda: list(value), fixed=kind in (tuple, frozenset))
        elif issubclass(kind, ChainMap):
            self._hold(label, lambda: list(value.maps))
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
            frozen = kind.__dataclass_params__.frozen
            self._hold(label, lambda: [getattr(value, name, _MISSING) for name in names], fixed=frozen)
        elif _is_plain(value):
            slots = [s for c in kind.__mro__ for s in _slots(c)]
            if hasattr(value, "__dict__"):
                self._hold(label, lambda: _entries(vars(value)))
            if slots:
                self._hold(label, lambda: [getattr(value, name, _MISSING) for name in slots])
        if callable(value):  # a compiled function, for one, or np.vectorize's
            self._next += ((label, getattr(value, name, None)) for name in ("__wrapped__", "pyfunc"))
        self._next.append((kind.__name__, kind))

    def _hold(self, label: str, look: Callable[[], Sequence[Any]], fixed: bool = False) -> None:
        held = look()
        self._next += ((label, part) for part in held)
        if not fixed:
            self.holders.append((label, look, held))

    def _copy(self, label: str, numbers: np.ndarray[Any, Any]) -> None:
        if isinstance(numbers, np.ma.MaskedArray):
            self._next.append((label, np.ma.getmask(numbers)))
        if not is_immutable(numbers):
            bare = numbers.view(np.ndarray)
            self.copies[id(numbers)] = label, bare, _kept(bare)

    def _function(self, f: FunctionType) -> None:
        own = self._is_own(f)
        if own and f.__defaults__:
            self._hold(f"a default of {f.__name__}", lambda: f.__defaults__ or ())
        if own and f.__kwdefaults__:
            self._hold(f"a default of {f.__name__}", lambda: _entries(f.__kwdefaults__ or {}))
        closed = [_content(cell) for cell in f.__closure__ or ()]
        if not _of_library(f):  # which binds its own but once
            self.cells += zip(f.__code__.co_freevars, f.__closure__ or (), closed, strict=True)
        self._next += zip(f.__code__.co_freevars, closed, strict=True)
        if not own:
            return
        names = dict.fromkeys(_names(f.__code__))
        package, bases = f.__globals__.get("__package__"), list(zip(f.__code__.co_freevars, closed, strict=True))
        of_module = set(_names(f.__code__, _globals_of))
        for name in names:
            if name in of_module:  # an attribute of that name, as of x.T, is none of the module's
                bases.append((name, self._attribute("", [f.__globals__], name)))
            for imported in (name, f"{package}.{name}"):  # by the function itself
                if imported in sys.modules:
                    bases.append((imported, sys.modules[imported]))
        read: set[int] = set()
        for name, base in bases:
            self._attributes(name, base, names, read)
        more = [name for name in names if name not in self._mentioned]
        self._mentioned.update(dict.fromkeys(more))
        for label, spaces in self._spaces:
            for name in more:
                self._attribute(label, spaces, name)

    def _is_own(self, f: FunctionType) -> bool:
        module = f.__globals__.get("__name__") or ""
        package = module.partition(".")[0]
        if package in _LIBRARIES:
            return False
        self._package = self._package or package
        return package == self._package or not _is_installed(module)

    def _attributes(self, label: str, base: Any, names: Iterable[str], read: set[int]) -> None:
        """What a function reads by these names of a module or another function, and of modules in that module."""
        module = type(base) is ModuleType
        if id(base) in read or not (module or type(base) is FunctionType) or (module and _is_library(base.__name__)):
            return
        read.add(id(base))
        for name in names if vars(base) else ():
            value = self._attribute(label, [vars(base)], name, whole=not (module and _is_installed(base.__name__)))
            self._attributes(f"{label}.{name}", value, names, read)

    def _class(self, kind: type) -> None:
        """Attributes that it gives to its objects: those that are named, and the methods that Python itself calls."""
        classes = [c for c in kind.__mro__ if not _is_library(c.__module__) and not _is_installed(c.__module__)]
        if classes:
            self._space(kind.__name__, [vars(c) for c in classes])
        for c in classes:
            called = [part for name, part in vars(c).items() if name[:2] == "__" == name[-2:]]
            own = [part for part in called if type(part) is FunctionType and not _of_library(part)]
            self._next += ((c.__name__, part) for part in own)

    def _space(self, label: str, spaces: list[_Space]) -> None:
        self._spaces.append((label, spaces))
        for name in self._mentioned:
            self._attribute(label, spaces, name)

    def _attribute(self, label: str, spaces: list[_Space], name: str, whole: bool = True) -> Any:
        """A name that is looked for in several places: where it is found counts, and that it is in none before.

        whole: whether functions and classes that it stands for are looked into.
        """
        for k, space in enumerate(spaces):
            value = space.get(name, _MISSING)
            if value is not _MISSING:
                path = f"{label}.{name}" if label else name
                for place in spaces[: k + 1]:
                    self.names[id(place), name] = path, place.get, name, value if place is space else _MISSING
                if type(value) is not ModuleType and (whole or not callable(value)):
                    self._next.append((path, value))
                return value
        return None


class _Lookout(_Search):
    """A search that keeps no arrays."""

    def _copy(self, label: str, numbers: np.ndarray[Any, Any]) -> None:
        pass


def _is_generator(kind: type) -> bool:
    numpys = sys.modules.get("numpy.random")
    return issubclass(kind, random.Random) or (numpys is not None and issubclass(kind, (
        numpys.Generator, numpys.RandomState, numpys.BitGenerator)))  # fmt: skip


def _state_of(generator: Any) -> Any:
    """What tells how far a generator is, or part of it, to be compared."""
    if isinstance(generator, dict):
        return [(key, _state_of(part)) for key, part in generator.items()]
    if isinstance(generator, np.ndarray):
        return generator.tobytes()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):
        return _state_of(generator.get_state(legacy=False))
    generator = getattr(generator, "bit_generator", generator)
    return _state_of(generator.state) if hasattr(generator, "state") else generator


def _entries(mapping: Mapping[Any, Any]) -> Sequence[Any]:
    return [*mapping, *mapping.values()] if len(mapping) else ()  # SciPy's dok_array is a dict without a truth


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    named = (slots,) if isinstance(slots, str) else tuple(slots)
    return (name for name in named if name not in ("__dict__", "__weakref__"))


def _is_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _LIBRARIES


def _is_installed(module: str) -> bool:
    return "site-packages" in (getattr(sys.modules.get(module), "__file__", None) or "")


def _of_library(f: FunctionType) -> bool:
    return _is_library(f.__globals__.get("__name__"))


def _is_plain(value: Any) -> bool:
    """Whether it is an object of the user's own class, or one of those that hold what they are given."""
    kind = type(value)
    if kind is SimpleNamespace or kind.__module__ == "collections" or kind.__module__.startswith("scipy.sparse."):
        return True
    if _is_library(kind.__module__):
        return False
    return not _is_installed(kind.__module__)


def _same(now: Any, was: Any) -> bool:
    return now is was or (issubclass(type(now), _NUMBERS) and type(now) is type(was) and (now == was or now != now))


_SMALL = 4096


def _kept(numbers: np.ndarray[Any, Any]) -> Any:
    return numbers.tobytes() if numbers.nbytes <= _SMALL and numbers.dtype.kind != "O" else numbers.copy("K")


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


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return None


@functools.lru_cache(maxsize=4096)
def _globals_of(code: CodeType) -> Sequence[str]:
    """The names that some code looks for in its module."""
    return [i.argval for i in dis.get_instructions(code) if i.opname in _OF_MODULE]


_OF_MODULE = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_all_of = operator.attrgetter("co_names")


def _names(code: CodeType, of: Callable[[CodeType], Sequence[str]] = _all_of) -> Iterator[str]:
    """The names in some code, and the texts that may be names (`getattr(settings, "rate")`)."""
    yield from of(code)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part, of)
        elif isinstance(part, str) and part.isidentifier():
            yield part
