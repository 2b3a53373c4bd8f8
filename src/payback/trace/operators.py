"""The operators of traced values, and where in the user's code they run.

Scalar programs are made of nothing else, so their path is short: two Python floats, two values of one dtype, or one and
a Python number need no promotion.  Everything else goes the long way, `apply`.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import _getframe
from types import CodeType, FrameType
from typing import Any

import numpy as np

from payback.ir.aval import WEAK_DTYPES
from payback.ir.node import NO_PARAMS, Node, _next_id
from payback.ir.where import NOT_USERS, caller
from payback.ops.append import apply, snapshot
from payback.ops.namespace import Values
from payback.ops.row import CONST, TABLE, Row

_FUNCTIONS: dict[Any, Callable[..., Any]] = {}  # filled by numpy_map
_METHODS: dict[str, Callable[..., Any]] = {}
_HOOKS: dict[str, Callable[..., Any]] = {}  # filled by the files on item assignment


# The places of the user's code that have run, by code object, so that the nodes of one place share what says so; and
# those of the code that ran last, in one tuple, for another thread may put another one there at any time.
_Places = dict[int, tuple[CodeType, int]]
_places: dict[int, tuple[CodeType, _Places]] = {}
_last: tuple[CodeType | None, _Places] = (None, {})
_MOST_CODES = 1000  # code that is made while a program runs is not kept for ever

_PLAIN_TYPES = {float, int, bool, np.float64, np.float32}
Traced: Any = None  # see `know`
Variable: Any = None
as_traced: Any = None
_NODE_TYPES: set[type] = set()


def is_users(frame: FrameType) -> bool:
    """Whether a frame is outside this package and NumPy."""
    return id(frame.f_code) in _places or not frame.f_globals.get("__name__", "").startswith(NOT_USERS)


def _new_place(frame: FrameType, depth: int) -> tuple[CodeType, int] | None:
    """The place of a frame that is not the one seen last, or is at a new place; the caller's if that one is ours."""
    global _last
    code = frame.f_code
    found = _places.get(id(code))
    if found is None:
        if frame.f_globals.get("__name__", "").startswith(NOT_USERS):
            return caller(depth + 1)
        if len(_places) >= _MOST_CODES:
            _places.clear()
        found = _places[id(code)] = (code, {})
    _last = found
    at = frame.f_lasti
    return found[1].setdefault(at, (code, at))


def where_of_caller(depth: int) -> Any:
    """The user's place that is running; `depth` frames up if that one is outside this package."""
    frame = _getframe(depth)
    code, places = _last
    if frame.f_code is code:
        place = places.get(frame.f_lasti)
        if place is not None:
            return place
    return _new_place(frame, depth + 1)


def _binary(row: Row, a: Any, b: Any) -> Any:
    """An operator's result; NotImplemented for operands that NumPy would not take either."""
    if type(a) not in _NODE_TYPES:
        if type(a) not in _PLAIN_TYPES:
            a = _plain(a)
            if a is NotImplemented:
                return a
    else:
        a = a.node
    if type(b) not in _NODE_TYPES:
        if type(b) not in _PLAIN_TYPES:
            b = _plain(b)
            if b is NotImplemented:
                return b
    else:
        b = b.node
    return Traced(apply(row, (a, b), where_of_caller(3)))


def _plain(operand: Any) -> Any:
    """What NumPy would make of an operand that is neither traced nor a number nor an array."""
    if isinstance(operand, Traced):
        return operand.node
    if isinstance(operand, (np.ndarray, np.generic, list, tuple)):
        return as_traced(operand)
    if isinstance(operand, complex):
        return np.complex128(operand)  # refused where it enters the graph, with the line
    if hasattr(operand, "__array__"):
        return np.asarray(operand)
    return NotImplemented


def _operator(name: str) -> tuple[Callable[[Any, Any], Any], ...]:
    """The operator of a row, its reflection, and the one in place.

    Two floating values of one dtype, or one and a Python number, need no promotion: that path is short, for
    scalar programs are made of nothing else.
    """
    row, compute, new = TABLE[name], getattr(Values, name), object.__new__

    def fast(a: Any, b: Any, swapped: bool) -> Any:
        node = a.node
        x = node.value
        kind = type(b)
        if kind is float or kind is int:
            other, y = None, b
            if x is None or (type(x) is not float and x.dtype.kind != "f"):
                return None
        elif kind is Traced or kind is Variable:
            other = b.node
            y = other.value
            if x is None or y is None:
                return None
            if (type(x) is not float or type(y) is not float) and (
                type(x) in WEAK_DTYPES or type(y) in WEAK_DTYPES or x.dtype is not y.dtype or x.dtype.kind != "f"
            ):
                return None
        elif kind is np.ndarray:
            if x is None or type(x) is float or x.dtype is not b.dtype or b.dtype.kind != "f":
                return None
            other, y = None, snapshot(b)
        else:
            return None
        where = where_of_caller(3)
        try:
            value = compute(y, x) if swapped else compute(x, y)
        except (ValueError, OverflowError):  # shapes that do not broadcast, a huge integer: the long way says so
            return None
        if type(value) is np.ndarray:
            value.flags.writeable = False
        if other is None:
            other = Node(CONST, (), NO_PARAMS, y, where)
        return Traced(Node(row, (other, node) if swapped else (node, other), NO_PARAMS, value, where))

    def forward(self: Any, other: Any) -> Any:
        # Two Python floats, the case of scalar programs, spelled out: objects are filled by hand, for a call of a class
        # costs as much as the rest.
        node = self.node
        x = node.value
        if type(x) is float:
            kind, second = type(other), None
            if kind is Traced or kind is Variable:
                second = other.node
                y = second.value
            else:
                y = other
            if type(y) is float:
                frame = _getframe(1)
                code, places = _last
                where = places.get(frame.f_lasti) if frame.f_code is code else None
                if where is None:
                    where = _new_place(frame, 2)
                if second is None:
                    second = Node(CONST, (), NO_PARAMS, y, where)
                made = new(Node)
                made.value = compute(x, y)
                made.id = _next_id()
                made.op, made.args, made.params, made.where = row, (node, second), NO_PARAMS, where
                made._aval = made.grad = None
                result = new(Traced)
                result.node = made
                return result
        result = fast(self, other, False)
        return _binary(row, self, other) if result is None else result

    def reflected(self: Any, other: Any) -> Any:
        result = fast(self, other, True)
        return _binary(row, other, self) if result is None else result

    def in_place(self: Any, other: Any) -> Any:
        result = fast(self, other, False)
        if result is None:
            result = _binary(row, self, other)
        if type(self.node.value) is float or not self.node.shape or type(self) is Variable or result is NotImplemented:
            return result  # a number is not changed: its name is given to another
        return _HOOKS["store"](self, result, where_of_caller(2))

    return forward, reflected, in_place


def _unary(name: str) -> Callable[[Any], Any]:
    row = TABLE[name]
    return lambda self: Traced(apply(row, (self.node,), where_of_caller(2)))


def _dispatched(ufunc: np.ufunc) -> tuple[Callable[[Any, Any], Any], ...]:
    """The operator that is a ufunc, and its reflection."""
    return lambda self, other: ufunc(self, other), lambda self, other: ufunc(other, self)


def know(traced: type, variable: type, convert: Callable[[Any], Any]) -> None:
    """The classes whose operators these are, once they exist."""
    global Traced, Variable, as_traced, _NODE_TYPES
    Traced, Variable, as_traced, _NODE_TYPES = traced, variable, convert, {traced, variable}
