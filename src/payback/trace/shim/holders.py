"""Where a program keeps functions under no name of their own: tables, lists, defaults, classes.

`OPS = {"sin": math.sin}`, `def f(x, sqrt=math.sqrt)`, `class Unit: exp = staticmethod(math.exp)`.  Dictionaries and
lists get stand-ins in their places, and under their keys (`SLOPES = {math.sin: math.cos}`), for a stand-in is equal to
nothing else; tuples, partial functions and static methods cannot change, so whoever holds one gets another.  What is
large is taken for data.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict, deque
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

_DEEP, _LARGE, _MOST = 4, 256, 4000
_DICTS = {dict, OrderedDict, defaultdict}
_HOLDING = {*_DICTS, list, deque, set, tuple, frozenset, staticmethod, functools.partial, np.vectorize}

_Place = tuple[Any, Any, bool, Any, Any]  # holder, key, whether it is an attribute, what is there and its stand-in


def holds(kind: type) -> bool:
    """Whether things of this type are looked into; named tuples among them."""
    return kind in _HOLDING or (issubclass(kind, tuple) and hasattr(kind, "_make"))


def _is_deeper(kind: type) -> bool:
    return kind is FunctionType or holds(kind)


def _there(holder: Any, key: Any, named: bool) -> Any:
    if named:
        return vars(holder).get(key) if isinstance(holder, type) else getattr(holder, key, None)
    try:
        return holder[key]
    except (KeyError, IndexError):
        return None


def _set(holder: Any, key: Any, named: bool, thing: Any) -> None:
    if named:
        setattr(holder, key, thing)
    else:
        holder[key] = thing


def _rekey(holder: dict[Any, Any] | set[Any], others: dict[int, Any]) -> None:
    """Put others in the place of keys or members, in the same order."""
    parts: Any = [others.get(id(key), key) for key in holder]
    if isinstance(holder, dict):
        parts = list(zip(parts, holder.values(), strict=True))
    holder.clear()
    holder.update(parts)


class Places:
    """The places within a few things where functions are to be replaced."""

    def __init__(self, stand_ins: dict[int, Any]):
        self.stand_ins = stand_ins  # by id of what they stand for
        self.places: list[_Place] = []
        self.keyed: list[Any] = []  # holders of which keys or members are
        self._originals: dict[int, Any] = {}  # of those, by id of what stands for them now
        self._seen: set[int] = set()
        self._left = _MOST

    def __bool__(self) -> bool:
        return bool(self.places or self.keyed)

    def of(self, thing: Any, deep: int = 0) -> Any:
        """What is to stand for a thing: itself, if it has been changed within or holds nothing."""
        if (other := self.stand_ins.get(id(thing))) is not None:
            return other
        kind = type(thing)
        if kind is FunctionType:
            self._defaults(thing, deep)
        if not holds(kind) or deep > _DEEP:
            return thing
        if kind is staticmethod:
            inner = self.of(thing.__func__, deep + 1)
            return thing if inner is thing.__func__ else staticmethod(inner)
        if kind is np.vectorize:
            self.look(thing, "pyfunc", True, thing.pyfunc, deep)
            return thing
        if kind is functools.partial:
            inner, args = self.of(thing.func, deep + 1), self.of(thing.args, deep + 1)
            same = inner is thing.func and args is thing.args
            return thing if same else functools.partial(inner, *args, **thing.keywords)
        self._left -= len(thing)
        if len(thing) > _LARGE or self._left < 0 or id(thing) in self._seen:
            return thing
        is_dict = kind in _DICTS
        parts = thing.values() if is_dict else thing
        if (is_dict or kind is set) and not self.stand_ins.keys().isdisjoint(map(id, thing)):
            self._seen.add(id(thing))
            self.keyed.append(thing)
        if self.stand_ins.keys().isdisjoint(map(id, parts)) and not any(map(_is_deeper, {*map(type, parts)})):
            return thing  # most of them, in no time
        if kind is frozenset or issubclass(kind, tuple):
            made = [self.of(part, deep + 1) for part in thing]
            return thing if all(map(_same, made, thing)) else getattr(kind, "_make", kind)(made)
        self._seen.add(id(thing))
        if kind is set:
            return thing
        for key, part in list(thing.items() if is_dict else enumerate(thing)):
            self.look(thing, key, False, part, deep)
        return thing

    def of_space(self, space: dict[str, Any]) -> Places:
        """What a namespace holds; its names themselves are replaced by others."""
        module = space.get("__name__")
        for name, part in list(space.items()):
            if name.startswith("__"):
                continue
            kind = type(part)
            if holds(kind):
                self.look(space, name, False, part)
            elif kind is FunctionType:
                if part.__module__ == module:
                    self._defaults(part, 0)
            elif isinstance(part, type) and part.__module__ == module and module is not None:
                for key, attribute in list(vars(part).items()):
                    if not key.startswith("__") or type(attribute) is FunctionType:
                        self.look(part, key, True, attribute)
        return self

    def look(self, holder: Any, key: Any, named: bool, part: Any, deep: int = 0) -> None:
        other = self.of(part, deep + 1)
        if isinstance(holder, type) and type(part) is BuiltinFunctionType and other is not part:
            other = staticmethod(other)  # a builtin is no method, and what stands for it would be one
        if other is not part:
            self.places.append((holder, key, named, part, other))

    def _defaults(self, f: FunctionType, deep: int) -> None:
        if (f.__defaults__ or f.__kwdefaults__) and id(f) not in self._seen:
            self._seen.add(id(f))
            if f.__defaults__:
                self.look(f, "__defaults__", True, f.__defaults__, deep)
            if f.__kwdefaults__:
                self.of(f.__kwdefaults__, deep + 1)

    def put(self) -> None:
        for holder, key, named, part, other in self.places:
            if _there(holder, key, named) is part:
                _set(holder, key, named, other)
        for holder in self.keyed:
            self._originals |= {id(o): key for key in holder if (o := self.stand_ins.get(id(key))) is not None}
            _rekey(holder, self.stand_ins)

    def take_away(self) -> None:
        for holder in self.keyed:
            _rekey(holder, self._originals)
        for holder, key, named, part, other in reversed(self.places):
            if _there(holder, key, named) is other:
                _set(holder, key, named, part)


def _same(a: Any, b: Any) -> bool:
    return a is b
