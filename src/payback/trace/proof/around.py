"""What things from around a function are, by their exact types: arrays, numbers, containers, functions, objects.

Of an object there is looked at what proofs have asked of its class so far (`asked`): what else it has does not matter
to them.  An attribute is found as Python finds it, in the classes and in the object's dictionary; where anything would
be called to find it, but for a property that is proved in turn, the object is not known.
"""

from __future__ import annotations

import dataclasses
from abc import ABCMeta
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from payback.trace.array import Traced
from payback.trace.proof.containers import is_record
from payback.trace.proof.proof import names_of
from payback.trace.proof.pure import (
    ARRAY,
    CALL,
    DESCRIPTOR,
    MIXED,
    NONE,
    NUMBER,
    SET,
    TEXT,
    TRACED,
    Kind,
    Unproved,
    asked,
    listed,
    of_numpy,
)
from payback.trace.scalars.floats import Float
from payback.trace.shim.pairs import attributes
from payback.trace.shim.wrappers import NOT_USERS

_NUMBERS = {int, float, bool, np.float64, np.float32, np.int64, np.int32, np.bool_}
_DTYPES = frozenset("?bBhHiIlLqQfd")
_VARYING = {float, int, np.float64, np.float32}
_TOO_DEEP = 6
_MOST_PARTS = 64  # of a list around a function: each is looked at in every call
_CLASSES = (type, ABCMeta)  # the classes of classes whose attributes nothing but their dictionaries says
_look_up, _store = object.__getattribute__, object.__setattr__


def kind_of(value: Any, depth: int) -> Kind:
    """What a thing from outside is.  Raises Unproved for what is not known."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype.char in _DTYPES:
            return ARRAY
        raise Unproved
    if kind in _NUMBERS:
        return NUMBER
    if kind is FunctionType:
        return environment(value, depth + 1)
    if kind is list or kind is tuple:
        return _many(kind_of, value, depth)
    if kind is Traced or kind is Float:  # what an object has kept of another trace
        return TRACED
    if value is None:
        return NONE
    if kind is str:
        return TEXT
    if kind is dict:
        return _table(kind_of, value, depth)
    found = of_numpy(value)
    if found is not None:
        return found
    if kind is MethodType:
        return "bound", kind_of(value.__func__, depth), kind_of(value.__self__, depth + 1)
    if kind is partial:
        names = tuple(value.keywords)
        given = [kind_of(arg, depth + 1) for arg in (*value.args, *value.keywords.values())]
        return "partial", kind_of(value.func, depth + 1), tuple(given), names
    if is_record(kind):
        return *_many(kind_of, value, depth), kind
    if kind is type and is_record(value):
        return "maker", value, tuple([(name, kind_of(part, depth + 1)) for name, part in value._field_defaults.items()])
    return _object(kind_of, value, depth)


def varying(value: Any, depth: int = 0) -> Kind:
    """The kind of an argument whose floating numbers and arrays are to be traced."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype.char in "fd":
            return TRACED
        raise Unproved
    if kind in _VARYING:
        return TRACED
    if kind is list or kind is tuple:
        return _many(varying, value, depth)
    if kind is dict:
        return _table(varying, value, depth)
    if is_record(kind):
        return *_many(varying, value, depth), kind
    if dataclasses.is_dataclass(kind):
        return _object(varying, value, depth)
    if value is None or kind in (str, bool, FunctionType) or of_numpy(value) is not None:  # carried as it is
        return kind_of(value, depth)
    raise Unproved


def environment(f: FunctionType, depth: int) -> Kind:
    """A function with what its names stand for now: see `proof.Function`."""
    if depth > _TOO_DEEP:
        raise Unproved
    code = f.__code__
    around: list[Kind] = []
    space = f.__globals__
    for name in names_of(code):
        if name in space:
            around.append(kind_of(space[name], depth))
        else:
            found = of_numpy(f.__builtins__.get(name))
            if found is None:
                raise Unproved
            around.append(found)
    inside: list[Kind] = []
    for cell in f.__closure__ or ():
        try:
            inside.append(kind_of(cell.cell_contents, depth))
        except ValueError:  # not yet bound
            raise Unproved from None
    defaults = tuple([kind_of(value, depth) for value in f.__defaults__]) if f.__defaults__ else ()
    named: tuple[Any, ...] = ()
    if f.__kwdefaults__:
        named = tuple([(name, kind_of(value, depth)) for name, value in f.__kwdefaults__.items()])
    return "function", id(code), tuple(around), tuple(inside), defaults, named


def _many(each: Callable[[Any, int], Kind], values: Sequence[Any], depth: int) -> Kind:
    if depth > _TOO_DEEP or len(values) > _MOST_PARTS:
        raise Unproved
    return listed([each(value, depth + 1) for value in values])


def _table(each: Callable[[Any, int], Kind], values: dict[Any, Any], depth: int) -> Kind:
    if depth > _TOO_DEEP or len(values) > _MOST_PARTS or not all(type(name) is str for name in values):
        raise Unproved
    return "table", tuple(values), tuple([each(value, depth + 1) for value in values.values()])


def _object(each: Callable[[Any, int], Kind], value: Any, depth: int) -> Kind:
    """An object of a user's class, or a module: ("object", whose, what each name that is asked of it stands for)."""
    cls = type(value)
    if depth > _TOO_DEEP:
        raise Unproved
    if cls is ModuleType:
        owner, space, classes = value, value.__dict__, ()
        name = space.get("__name__")
    elif cls in _CLASSES:  # a class is asked
        owner, space, classes, name = ("class", value), {}, value.__mro__, value.__module__
    else:
        if type(cls) not in _CLASSES or cls.__getattribute__ is not _look_up:
            raise Unproved
        owner, space, classes, name = cls, attributes(value) or {}, cls.__mro__, cls.__module__
    if str(name).partition(".")[0] in NOT_USERS:
        raise Unproved
    static = ()
    if each is varying:
        static = {field.name for field in dataclasses.fields(value) if field.metadata.get("static")}
        fields = {field.name for field in dataclasses.fields(value)} - static
    found: list[Kind] = []
    for name in asked.get(owner, ()):
        try:
            read = each if each is kind_of or name in fields else kind_of
            found.append(_attribute(read, value, name, space, classes, depth))
        except Unproved:
            found.append(MIXED)  # another proof's concern, perhaps
    return "object", owner, tuple(found)


def _attribute(each: Any, value: Any, name: str, space: dict[str, Any], classes: Any, depth: int) -> Kind:
    """What `value.name` is; ("of class", ...) and ("property", ...) with a function that is to be given the object."""
    if type(value) in _CLASSES:
        return _of_class(value, name, depth)
    if name == SET:
        return NUMBER if classes and type(value).__setattr__ is _store else MIXED
    for cls in classes:
        if name in cls.__dict__:
            there = cls.__dict__[name]
            kind = type(there)
            if kind is property and type(there.fget) is FunctionType:
                return "property", environment(there.fget, depth + 1)
            if kind is MemberDescriptorType:
                try:
                    return each(there.__get__(value), depth + 1)
                except AttributeError:
                    raise Unproved from None
            if kind is FunctionType or kind is staticmethod or kind is classmethod:
                break  # the object's own attribute goes before
            if hasattr(kind, "__get__") or hasattr(kind, "__set__"):
                return DESCRIPTOR
            break
    else:
        kind = there = None
        if name not in space or name == CALL:
            raise Unproved
    if name in space and name != CALL:  # Python looks for that in classes only
        return each(space[name], depth + 1)
    if kind is FunctionType:
        return "of class", environment(there, depth + 1)
    if kind is classmethod:
        return "bound", kind_of(there.__func__, depth), kind_of(type(value), depth + 1)
    return kind_of(there.__func__ if kind is staticmethod else there, depth + 1)


def _of_class(cls: type, name: str, depth: int) -> Kind:
    """What `cls.name` is, where the classes of which it is derived say it."""
    there = next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)
    kind = type(there)
    if there is None or name == CALL:  # to call a class makes an object
        raise Unproved
    if kind is classmethod and type(there.__func__) is FunctionType:
        return "of class", environment(there.__func__, depth + 1)
    if kind is staticmethod or kind is FunctionType:
        return kind_of(there.__func__ if kind is staticmethod else there, depth + 1)
    return DESCRIPTOR if hasattr(kind, "__get__") else kind_of(there, depth + 1)
