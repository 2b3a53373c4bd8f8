"""What a function reads from around it: to notice, at a later call, that it would compute something else by now."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
import sys
from array import array
from collections import ChainMap, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from typing import Any, NamedTuple
from weakref import ReferenceType

import numpy as np

from payback.ops.append import is_immutable
from payback.trace.array import Traced, Variable
from payback.trace.assignment.written import times_written
from payback.trace.plain_arrays import Buffered, now
from payback.transforms.bits import SMALL, kept_bits, same_bits
from payback.transforms.draws import is_generator, states
from payback.transforms.held import MISSING, entries, settings, within
from payback.transforms.unread import BY_ANY_NAME, alike, globals_of, loaded, names_in, only_added_to

_NUMBERS = (bool, int, float, complex, str, bytes, type(None), np.generic)
_LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"numpy", "scipy", "payback"}

_Space = Mapping[str, Any]


class Around:
    """What stands behind the names of a function, and behind those of the functions that it may call.

    Followed are closures, defaults, names of modules (its own, and others' as `settings.rate`), attributes of classes
    and functions, containers, objects of the user's classes and of dataclasses, and all that these hold.  An array is
    kept as a copy, for it may be written into.  What libraries keep in objects of theirs is their own matter.
    values: whether another value of a variable is a change, or only another variable.
    """

    def __init__(self, f: Any, values: bool = True, label: str = "", large: bool = True):
        """label: what f is called, where it has no name.  large: whether arrays of any size are kept."""
        self._found = found = _Search(f, values, label or getattr(f, "__name__", "") or type(f).__name__, large)
        self.copies, self._generators = found.copies, found.generators
        self._cells, self._names, self._buffers = found.cells, list(found.names.values()), found.buffers
        self._holders = [holder for holder in found.holders if not holder.fixed]
        self._functions, self._arrays = found.functions, found.arrays
        self._parts = [(holder.look, holder.held) for holder in self._holders]

    def unchanged(self) -> bool:
        """Whether all is as it was; quicker than `changes` where names hold the very things that they held."""
        try:
            for _, cell, was in self._cells:
                if cell.cell_contents is not was:
                    return not self.changes()
        except ValueError:  # it is not bound any more
            return not self.changes()
        for _, get, name, was in self._names:
            if get(name, MISSING) is not was:
                return not self.changes()
        for f, code in self._functions:
            if f.__code__ is not code:
                return False
        for look, held in self._parts:
            now = look()
            if len(now) != len(held) or (held and not all(map(operator.is_, now, held))):
                return not self.changes()
        return not (self.copies or self._buffers or self._arrays) or next(self._written(), None) is None

    def changes(self) -> list[str]:
        """What is different now, for people."""
        found = [label for label, cell, was in self._cells if not _same(_content(cell), was)]
        found += [label for label, get, name, was in self._names if not _same(get(name, MISSING), was)]
        found += [f"the code of {f.__name__}" for f, code in self._functions if f.__code__ is not code]
        for holder in self._holders:
            now, held = holder.look(), holder.held
            if len(now) != len(held) or not all(map(_same, now, held)):
                found.append(holder.label)
        return [
            *(f"{label} was given another value" for label in dict.fromkeys(found)),
            *(f"the array {label} was written into" for label in sorted({label for label, _ in self._written()})),
        ]

    def is_decided(self, together: Sequence[Around]) -> bool:
        """Whether what has changed may decide what the function computes from now on.

        It does not where the function never reads it, but counts in it or adds to it, nor where it has been made anew.
        together: what else is around the function, and this.
        """
        found = [each._found for each in together]

        def unread(names: set[str]) -> bool:
            return bool(names) and all(each.adds_only(names) for each in found)

        def names_of(thing: Any) -> set[str]:
            ways = [each.names_of(thing) for each in found]
            return set() if None in ways else {name for way in ways for name in way or ()}

        def decides(now: Any, was: Any, name: str) -> bool:
            return not (_same(now, was) or alike(now, was) or unread({name}))

        if any(decides(_content(cell), was, name) for name, cell, was in self._cells):
            return True
        if any(decides(get(name, MISSING), was, name) for _, get, name, was in self._names):
            return True
        for holder in self._holders:
            now, held, half = holder.look(), holder.held, len(holder.held) // 2
            if len(now) == len(held) and all(_same(a, b) or alike(a, b) for a, b in zip(now, held, strict=True)):
                continue
            if holder.named and now[:half] == held[:half] and len(now) == len(held):
                if any(map(decides, now[half:], held[half:], held)):
                    return True
            elif holder.named or not unread(names_of(holder.of)):
                return True
        return any(issubclass(type(x), (Traced, Buffered)) or not unread(names_of(x)) for _, x in self._written())

    def iterates(self, together: Sequence[Around]) -> bool:
        """Whether it may go on with a generator or another of Python's iterators, which do not tell where they are."""
        found = self._found
        read = {name for each in together for name in each._found.loaded()} if found.iterators else set()
        return any(not (names := found.names_of(it)) or names & read for it in found.iterators)

    def drawn(self) -> list[Any]:
        """How far the generators of random numbers are, and those that everybody shares.

        It is no change that somebody else draws a number.
        """
        return states(self._generators)

    def _written(self) -> Iterator[tuple[str, Any]]:
        for label, numbers, kept, whole in self.copies.values():
            if not same_bits(numbers, kept):
                yield label, whole
        for label, buffer, kept in self._buffers:
            if memoryview(buffer).tobytes() != kept:
                yield label, buffer
        for label, x, times in self._arrays:
            if times_written(x) != times:
                yield label, x


def variables_of(f: Any) -> list[Variable]:
    """The variables that a function uses by its names."""
    return list(_Search(f, False, "").variables.values())


class _Holder(NamedTuple):
    """What an object holds: looked at again, and as it was.

    of: the object.  named: whether these are attributes, first all their names and then what they stand for.
    """

    label: str
    look: Callable[[], Sequence[Any]]
    held: Sequence[Any]
    of: Any
    named: bool
    fixed: bool


class _Search:
    """The places that a function reads, found by following what its names stand for."""

    def __init__(self, f: Any, values: bool, label: str, large: bool = True):
        self.values, self._large = values, large
        self.cells: list[tuple[str, Any, Any]] = []
        self.names: dict[tuple[int, str], tuple[str, Callable[[str, Any], Any], str, Any]] = {}
        self.holders: list[_Holder] = []
        self.copies: dict[int, tuple[str, np.ndarray[Any, Any], Any, Any]] = {}  # as bytes lie, as they were, the array
        self.buffers: list[tuple[str, Any, bytes]] = []
        self.arrays: list[tuple[str, Any, int]] = []  # that hold something traced, and how often they were written into
        self.variables: dict[int, Variable] = {}
        self.generators: list[Any] = []
        self.iterators: list[Any] = []
        self._nameless: list[Any] = []  # what is reached by other ways than a name, too
        self.functions: list[tuple[FunctionType, CodeType]] = []  # whose code a reload may replace
        self._package: str | None = None  # of the first function that is no library's: others that are installed are
        self._seen: dict[int, Any] = {}  # it also keeps them, so that no id is used twice
        self._mentioned: dict[str, None] = {}  # the names in the code that was found
        self._asked: set[str] = set()  # by getattr or hasattr
        self._spaces: list[tuple[str, list[_Space]]] = []  # whose attributes are read by names of any code
        self._next: list[tuple[str, Any]] = [(label, f)]
        while self._next:
            self._follow(*self._next.pop())

    def _follow(self, label: str, value: Any) -> None:
        there, value = value, now(value)  # an array of the function's own may have come to hold something traced
        kind = type(value)  # a traced value tells isinstance that it is a number
        if (issubclass(kind, (*_NUMBERS, np.ufunc, CodeType)) and kind is not np.void) or id(value) in self._seen:
            return
        if issubclass(kind, (BuiltinFunctionType, MethodWrapperType)):  # of an object, as `generator.normal`
            if not issubclass(type(value.__self__), (ModuleType, type)):
                self._nameless.append(value.__self__)
                self._follow(label, value.__self__)
            return
        self._seen[id(value)] = value
        if issubclass(kind, Traced) and not issubclass(kind, Variable):
            self.arrays.append((label, there, times_written(there)))
        elif issubclass(kind, Variable):
            self.variables[id(value)] = value
            if self.values:
                self._hold(label, lambda: (value.node,), value)
        elif issubclass(kind, np.ndarray):
            if value.dtype == object:
                self._hold(label, lambda: list(value.flat), value)
            self._copy(label, value)
        elif issubclass(kind, (array, bytearray, memoryview)):
            self.buffers.append((label, value, memoryview(value).tobytes()))
        elif kind is FunctionType:
            self._function(value)
        elif is_generator(kind):
            self.generators.append(value)
        elif issubclass(kind, Iterator) and not issubclass(kind, IOBase) and _is_library(kind.__module__):
            self.iterators.append(value)
        elif issubclass(kind, MethodType):
            self._next += ((type(value.__self__).__name__, value.__self__), (label, value.__func__))
        elif issubclass(kind, ReferenceType):
            self._hold(label, lambda: (value(),), value)
        elif issubclass(kind, (functools.partial, functools.partialmethod)):
            self._next += ((label, value.func), *(("the arguments of partial", arg) for arg in value.args))
            self._nameless += value.args
            self._hold("the keywords of partial", lambda: entries(value.keywords), value.keywords)
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
            self._hold(label, lambda: entries(value), value)
        elif issubclass(kind, (list, tuple, set, frozenset, deque)):
            fixed = kind in (tuple, frozenset)
            self._hold(label, value.copy if kind is list else lambda: list(value), value, fixed=fixed)
        elif issubclass(kind, ChainMap):
            self._hold(label, lambda: list(value.maps), value)
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
            frozen = kind.__dataclass_params__.frozen
            self._hold_attributes(label, value, names, fixed=frozen)
        elif _is_plain(value):
            slots = [s for c in kind.__mro__ for s in _slots(c)]
            if hasattr(value, "__dict__"):
                self._hold(label, lambda: entries(vars(value)), value, named=True)
            if slots:
                self._hold_attributes(label, value, slots)
        if (known := within(value)) is not None:
            called, look, named = known
            self._hold(called or label, look, value, named)
        if callable(value):  # a compiled function, for one, or np.vectorize's
            self._next += ((label, inspect.getattr_static(value, name, None)) for name in ("__wrapped__", "pyfunc"))
        self._next.append((kind.__name__, kind))

    def _hold(self, label: str, look: Callable[[], Sequence[Any]], of: Any, named: bool = False, fixed: bool = False,
              ) -> None:  # fmt: skip
        held = look()
        self._next += ((label, part) for part in held)
        self.holders.append(_Holder(label, look, held, of, named, fixed))

    def _hold_attributes(self, label: str, of: Any, names: list[str], fixed: bool = False) -> None:
        self._hold(label, lambda: [*names, *(getattr(of, name, MISSING) for name in names)], of, True, fixed)

    def names_of(self, thing: Any) -> set[str] | None:
        """All names that lead to it; None if it is reached in another way, too."""
        if any(part is thing for part in self._nameless):
            return None
        found = {name for name, _, was in self.cells if was is thing}
        found |= {name for _, _, name, was in self.names.values() if was is thing}
        for holder in self.holders:
            at = [k for k, part in enumerate(holder.held) if part is thing]
            if at and not holder.named:
                return None
            found |= {holder.held[k - len(holder.held) // 2] for k in at}
        return found

    def _codes(self) -> list[CodeType]:
        return [code for _, code in self.functions]

    def adds_only(self, names: set[str]) -> bool:
        """Whether the code that was found only adds to what these names stand for."""
        return not BY_ANY_NAME & self._mentioned.keys() and all(only_added_to(name, self._codes()) for name in names)

    def loaded(self) -> set[str]:
        """The names that the code that was found reads: `__init__` gives them values."""
        return loaded(self._codes()) | {name for name, _, _ in self.cells}

    def _copy(self, label: str, numbers: np.ndarray[Any, Any]) -> None:
        if isinstance(numbers, np.ma.MaskedArray):
            self._next.append((label, np.ma.getmask(numbers)))
        if not is_immutable(numbers) and (self._large or numbers.nbytes <= SMALL):
            bare = numbers.view(np.ndarray)
            self.copies[id(numbers)] = label, bare, kept_bits(bare), numbers

    def _function(self, f: FunctionType) -> None:
        own = self._is_own(f)
        if own and f.__defaults__:
            self._hold(f"a default of {f.__name__}", lambda: f.__defaults__ or (), f)
        if own and f.__kwdefaults__:
            self._hold(f"a default of {f.__name__}", lambda: entries(f.__kwdefaults__ or {}), f)
        closed = [_content(cell) for cell in f.__closure__ or ()]
        if not _of_library(f):  # which binds its own but once
            self.cells += zip(f.__code__.co_freevars, f.__closure__ or (), closed, strict=True)
        self._next += zip(f.__code__.co_freevars, closed, strict=True)
        if not own:
            return
        self.functions.append((f, f.__code__))
        names = dict.fromkeys(names_in(f.__code__))
        if not {"getattr", "hasattr"}.isdisjoint(names):
            self._asked.update(names_in(f.__code__, lambda code: ()))
        package, bases = f.__globals__.get("__package__"), list(zip(f.__code__.co_freevars, closed, strict=True))
        of_module = set(names_in(f.__code__, globals_of))
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
            for name in self._mentioned if "super" in more else more:
                self._attribute(label, spaces, name)

    def _is_own(self, f: FunctionType) -> bool:
        module = f.__globals__.get("__name__") or ""
        package = module.partition(".")[0]
        if package in _LIBRARIES:
            return False
        self._package = self._package or package
        return package == self._package or not _is_installed(module)

    def _attributes(self, label: str, base: Any, names: Collection[str], read: set[int]) -> None:
        """What a function reads by these names of a module or another function, and of modules in that module."""
        module = type(base) is ModuleType
        for path, look, of in settings(base, names):
            self._hold(path, look, of)
        if id(base) in read or not (module or type(base) is FunctionType) or (module and _is_library(base.__name__)):
            return
        read.add(id(base))
        for name in names if vars(base) or self._asked else ():
            value = self._attribute(label, [vars(base)], name, whole=not (module and _is_installed(base.__name__)))
            self._attributes(f"{label}.{name}", value, names, read)

    def _class(self, kind: type) -> None:
        """Attributes that it gives to its objects: those that are named, and the methods that Python itself calls."""
        classes = [c for c in kind.__mro__ if not _is_library(c.__module__) and not _is_installed(c.__module__)]
        spaces: list[_Space] = [vars(c) for c in classes]
        if spaces:
            self._space(kind.__name__, spaces)
        of_all = {name: part for space in reversed(spaces) for name, part in space.items()}
        if type(type(kind).__module__) is str:  # else it is written in C
            self._next.append((kind.__name__, type(kind)))  # where a class finds what its own bases have not
        for name, part in of_all.items():
            if name[:2] == "__" == name[-2:] and type(part) is FunctionType and not _of_library(part):
                self._attribute(kind.__name__, spaces, name)

    def _space(self, label: str, spaces: list[_Space]) -> None:
        self._spaces.append((label, spaces))
        for name in self._mentioned:
            self._attribute(label, spaces, name)

    def _attribute(self, label: str, spaces: list[_Space], name: str, whole: bool = True) -> Any:
        """A name that is looked for in several places: where it is found counts, and that it is in none before.

        whole: whether functions and classes that it stands for are looked into.
        """
        found: list[Any] = []
        for k, space in enumerate(spaces):
            value = space.get(name, MISSING)
            if value is MISSING:
                continue
            path = f"{label}.{name}" if label else name
            for place in spaces[: k + 1]:
                self.names[id(place), name] = path, place.get, name, place.get(name, MISSING)
            if type(value) is not ModuleType and (whole or not callable(value)):
                self._next.append((path, value))
            found.append(value)
            if "super" not in self._mentioned:  # which goes on to the others
                break
        for space in spaces if not found and name in self._asked else ():  # it need not be there
            self.names[id(space), name] = f"{label}.{name}", space.get, name, MISSING
        return found[0] if found else None


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


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return None
