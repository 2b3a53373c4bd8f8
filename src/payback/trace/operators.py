"""The operators of traced values, and where in the user's code they run.

Scalar programs are made of nothing else, so their path is short: two Python floats, two values of one dtype, or one and
a Python number need no promotion.  Everything else goes the long way, `apply`.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import _getframe
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


_users: Any = None  # the namespace of the user's module that was seen last: most often it is seen again

_PLAIN_TYPES = {float, int, bool, np.float64, np.float32}
Traced: Any = None  # see `know`
Variable: Any = None
as_traced: Any = None
_NODE_TYPES: set[type] = set()
_LATER: set[type] = set()  # what answers for itself beside traced values; filled by `selected.py`
_ARRAYS: set[type] = set()  # whose values are written into, even if they have no axes; filled by `written.py`


def _is_users(frame: Any) -> bool:
    """Whether a frame is outside this package and NumPy."""
    global _users
    space = frame.f_globals
    if space.get("__name__", "").startswith(NOT_USERS):
        return False
    _users = space
    return True


def where_of_caller(depth: int) -> Any:
    """The user's place that is running; `depth` frames up if that one is outside this package."""
    frame = _getframe(depth)
    if frame.f_globals is _users or _is_users(frame):
        return frame.f_code, frame.f_lasti
    return caller(depth + 1)


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
        frame = _getframe(2)
        if frame.f_globals is _users or _is_users(frame):
            where = (frame.f_code, frame.f_lasti)
        else:
            where = caller(3)
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
                if frame.f_globals is _users or _is_users(frame):
                    where = (frame.f_code, frame.f_lasti)
                else:
                    where = caller(2)
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
        number = type(self.node.value) is float or (not self.node.shape and type(self) not in _ARRAYS)
        if number or type(self) is Variable or result is NotImplemented:
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
