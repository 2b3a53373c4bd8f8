"""The operators of traced values, and where in the user's code they run.

Two values of one dtype, or one and a Python number, need no promotion: their path is short.  Python floats have a way
of their own, see `floats.py`.  Everything else goes the long way, `apply`.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from sys import _getframe
from types import CodeType, FrameType
from typing import Any

import numpy as np

from payback.ir.aval import WEAK_DTYPES
from payback.ir.node import NO_PARAMS, Node, next_id
from payback.ir.where import is_inner
from payback.ops.append import apply, snapshot
from payback.ops.namespace import Values
from payback.ops.row import CONST, INPUT, TABLE, VARIABLE, Row
from payback.ops.shadows import LARGE, constant, shade, shadowed
from payback.trace.refusals.handled import FAILING, unsure

FUNCTIONS: dict[Any, Callable[..., Any]] = {}  # filled by `implements` of `dispatch.py`
METHODS: dict[str, Callable[..., Any]] = {}
HOOKS: dict[str, Callable[..., Any]] = {}  # filled by the files on item assignment


# The places of the user's code that have run, by code object, so that the nodes of one place share what says so; None
# for code that is not the user's.  And those of the code that ran last, in one tuple: other threads put theirs there.
_Places = dict[int, tuple[CodeType, int]]
_places: dict[int, tuple[CodeType, _Places | None]] = {}
LAST: list[tuple[CodeType | None, _Places]] = [(None, {})]
_MOST_CODES = 4000  # code that is made while a program runs is not kept for ever

_new = object.__new__
_PLAIN_TYPES = {float, int, bool, np.float64, np.float32}
FLOATING = {np.ndarray, np.float64, np.float32, np.float16}  # or an array of another kind
Traced: Any = None  # see `know`
Variable: Any = None
as_traced: Any = None
Float: Any = None  # see `know_floats`
made_of: Any = None
_NODE_TYPES: set[type] = set()
EXACT = 2**53  # whole numbers up to here are floats
LATER: set[type] = set()  # what answers for itself beside traced values; filled by `selected.py`
COMPLEX: set[type] = set()  # the class of complex numbers, see `complex/numbers.py`
_POWER, _MULTIPLY = TABLE["power"], TABLE["mul"]
_SQUARES = (np.ones(1, bool) ** 2).dtype  # NumPy takes squares of arrays, not powers: of truths they are int8
ARRAYS: set[type] = set()  # whose values are written into, even if they have no axes; filled by `written.py`


def _known(frame: FrameType) -> tuple[CodeType, _Places | None]:
    """The code of a frame, and its places if it is outside this package and NumPy."""
    code = frame.f_code
    found = _places.get(id(code))
    if found is None:
        if len(_places) >= _MOST_CODES:
            _places.clear()
        found = _places[id(code)] = (code, None if is_inner(frame) else {})
    return found


def is_users(frame: FrameType) -> bool:
    """Whether a frame is outside this package and NumPy."""
    return _known(frame)[1] is not None


_WEAK = {"f": float, "b": bool}


def class_of(aval: Any) -> type:
    """The class of a plain number."""
    return _WEAK.get(aval.dtype.kind, int) if aval.weak else aval.dtype.type


_ABSTRACT = ABCMeta.__instancecheck__.__code__


def users_ask(frame: FrameType) -> bool:
    """Whether code outside this package and NumPy asks for a class, for itself or by an abstract class.

    Within, an index, a condition and a count are looked at by themselves.
    """
    asker = frame.f_back if frame.f_code is _ABSTRACT else frame
    return asker is not None and is_users(asker)


def place_of(frame: FrameType | None) -> tuple[CodeType, int] | None:
    """Where a frame is, or if it is not the user's, the nearest one above that is."""
    while frame is not None:
        code, places = _known(frame)
        if places is not None:
            LAST[0] = (code, places)
            at = frame.f_lasti
            return places.setdefault(at, (code, at))
        frame = frame.f_back
    return None


def where_of_caller(depth: int) -> Any:
    """The user's place that is running; `depth` frames up if that one is outside this package."""
    frame: FrameType | None = _getframe(depth)
    code, places = LAST[0]
    while frame is not None:
        of = frame.f_code
        if of is code:
            return places.get(frame.f_lasti) or place_of(frame)
        known = _places.get(id(of))
        if known is None:
            break
        if known[1] is not None:
            return known[1].get(frame.f_lasti) or place_of(frame)
        frame = frame.f_back
    return place_of(frame)


def made(row: Row, args: tuple[Node, ...], params: dict[str, Any], value: Any, where: Any) -> Any:
    """A traced value for what a row has made of its arguments, one of which at least is no constant.

    As `Traced(Node(...))`, filled by hand: two calls of classes cost as much as the rest.
    """
    for arg in args:
        if arg.shadow is not None:
            args = shadowed(row, args, params, value)
            break
    node = _new(Node)
    node.id = next_id()
    node.op, node.args, node.params, node.where = row, args, params, where
    node.grad = node.shadow = None
    if type(value) is not np.ndarray:
        node.value = value
    elif value.ndim:
        value.setflags(False)  # what `flags.writeable = False` comes to, sooner
        node.value = value
        if value.nbytes >= LARGE:
            shade(node)
    else:
        node.value = value[()]
    result = _new(Traced)
    result.node, result.alias = node, None
    return result


def _binary(row: Row, a: Any, b: Any) -> Any:
    """An operator's result; NotImplemented for operands that NumPy would not take either."""
    given = a, b
    if type(a) not in _NODE_TYPES:
        if type(a) not in _PLAIN_TYPES:
            if HOOKS["holds_complex"](a):
                return HOOKS["operated"](row.name, a, b)
            a = _plain(a, b)
    else:
        a = a.node
    if type(b) not in _NODE_TYPES:
        if type(b) not in _PLAIN_TYPES:
            if HOOKS["holds_complex"](b):
                return HOOKS["operated"](row.name, *given)
            b = _plain(b, a)
    else:
        b = b.node
    if a is NotImplemented or b is NotImplemented:
        return HOOKS["sparse_multiplied"](*given) if row is _MULTIPLY else NotImplemented
    if row.name in FAILING and _weak(a) and _weak(b) and (_unknown(a) or _unknown(b)):
        unsure(row.name, _getframe(2), b)
    if row is _POWER and type(b) is int and b == 2 and isinstance(a, Node) and a.aval.dtype.kind == "b" and a.shape:
        return Traced(apply(TABLE["cast"], (a,), where_of_caller(3), {"dtype": _SQUARES, "weak": False}))
    return Traced(apply(row, (a, b), where_of_caller(3)))


def _weak(operand: Any) -> bool:
    return operand.aval.weak if isinstance(operand, Node) else type(operand) in WEAK_DTYPES


def _unknown(operand: Any) -> bool:
    return isinstance(operand, Node) and operand.value is None


def _plain(operand: Any, beside: Any) -> Any:
    """What NumPy (or Python, beside one of its numbers) makes of an operand that is neither a number nor an array."""
    if isinstance(operand, Traced):
        return operand.node
    if isinstance(operand, (int, float)) and not isinstance(operand, np.generic):  # of a class derived from them
        number = int(operand) if isinstance(operand, int) else float(operand)
        return number if _weak(getattr(beside, "node", beside)) else np.array(number)[()]
    if isinstance(operand, (list, tuple)) and _weak(getattr(beside, "node", beside)):
        return NotImplemented  # a Python number leaves it to a class's own operators, such as a named tuple's
    if isinstance(operand, (np.ndarray, np.generic, list, tuple)):
        return as_traced(operand)
    if hasattr(operand, "__array__"):
        return as_traced(operand)
    return NotImplemented


def operator_of(name: str) -> tuple[Callable[[Any, Any], Any], ...]:
    """The operator of a row, its reflection, and the one in place.

    Two floating values of one dtype, or one and a Python number, need no promotion: that path is short.
    """
    row, compute, numeric = TABLE[name], getattr(Values, name), name != "floor_divide"

    def fast(a: Any, b: Any, swapped: bool) -> Any:
        node = a.node
        x = node.value
        if type(x) is bool or type(x) is int:  # such as the truth of a Python number
            return None
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
        elif kind is np.float64:
            if type(x) not in FLOATING or x.dtype.char != "d":
                return None
            other, y = None, b
        else:
            return None
        where = where_of_caller(3)
        try:
            value = compute(y, x) if swapped else compute(x, y)
        except (ValueError, OverflowError):  # shapes that do not broadcast, a huge integer: the long way says so
            return None
        if other is None:
            other = constant(y, where)
        return made(row, (other, node) if swapped else (node, other), NO_PARAMS, value, where)

    def forward(self: Any, other: Any) -> Any:
        node = self.node
        x = node.value
        if type(x) is float:
            op = node.op
            if numeric and (op is VARIABLE or op is INPUT):  # of a leaf what `floats.py` makes of numbers
                kind, operand, y = type(other), other, None
                if kind is float:
                    y = other
                elif kind is Float:
                    y = other.number if other.row is not None else None
                elif kind is Variable or kind is Traced:
                    operand = other.node
                    if operand.op is VARIABLE or operand.op is INPUT:
                        y = operand.value
                elif kind is int and -EXACT < other < EXACT:
                    y = float(other)
                if type(y) is float:
                    return made_of(row, node, operand, compute(x, y), _getframe(1))
        elif type(x) is np.ndarray and type(other) is Traced and type(y := other.node.value) is np.ndarray:  # noqa: SIM102
            if x.dtype is y.dtype and x.dtype.kind == "f":  # as `fast`, sooner
                try:
                    value = compute(x, y)
                except ValueError:
                    return _binary(row, self, other)
                return made(row, (node, other.node), NO_PARAMS, value, where_of_caller(2))
        result = fast(self, other, False)
        return _binary(row, self, other) if result is None else result

    def reflected(self: Any, other: Any) -> Any:
        node, kind = self.node, type(other)
        known = kind is float or (kind is int and -EXACT < other < EXACT)
        if known and numeric and type(node.value) is float and (node.op is VARIABLE or node.op is INPUT):
            return made_of(row, other, node, compute(float(other), node.value), _getframe(1))
        result = fast(self, other, True)
        return _binary(row, other, self) if result is None else result

    def in_place(self: Any, other: Any) -> Any:
        result = fast(self, other, False)
        if result is None:
            result = _binary(row, self, other)
        number = type(self.node.value) is float or (
            not self.node.shape and type(self) not in ARRAYS and getattr(self, "alias", None) is None
        )
        if number or isinstance(self, Variable) or result is NotImplemented:
            return result  # a number is not changed: its name is given to another
        return HOOKS["store"](self, result, where_of_caller(2))

    return forward, reflected, in_place


def unary(name: str) -> Callable[[Any], Any]:
    row, compute = TABLE[name], getattr(Values, name)

    def forward(self: Any) -> Any:
        node = self.node
        if type(node.value) is float and (node.op is VARIABLE or node.op is INPUT):
            return made_of(row, node, None, compute(node.value), _getframe(1))
        if type(node.value) in FLOATING and node.value.dtype.kind == "f" and node.op is not CONST:
            return made(row, (node,), NO_PARAMS, compute(node.value), where_of_caller(2))
        return Traced(apply(row, (node,), where_of_caller(2)))

    return forward


def dispatched(ufunc: np.ufunc) -> tuple[Callable[[Any, Any], Any], ...]:
    """The operator that is a ufunc, and its reflection; of Python's truths and numbers it makes such again."""

    def weakly(made: Any, *operands: Any) -> Any:
        if not all(map(_is_pythons, operands)):
            return made
        if not isinstance(made, Traced):
            return made.item()
        return Traced(apply(TABLE["cast"], (made.node,), where_of_caller(3), {"dtype": made.dtype, "weak": True}))

    return (lambda self, other: weakly(ufunc(self, other), self, other),
            lambda self, other: weakly(ufunc(other, self), other, self))  # fmt: skip


def _is_pythons(x: Any) -> bool:
    """Whether it stands for one of Python's own numbers or truths."""
    if not isinstance(x, Traced):
        return type(x) in WEAK_DTYPES
    in_column = getattr(x, "kind", None)  # see `number.py`
    return not x.shape and bool(x.node.aval.weak if in_column is None else in_column)


def product_operators() -> tuple[Callable[[Any, Any], Any], ...]:
    """`@` and its reflection: sooner than through NumPy, where nothing is to be promoted."""

    def product(a: Any, b: Any, other: Any) -> Any:
        made = HOOKS["product"](a, b)
        if made is not None:
            return made
        return HOOKS["sparse_product"](a, b) if HOOKS["is_sparse"](other) else np.matmul(a, b)

    def forward(self: Any, other: Any) -> Any:
        return product(self, other, other)

    def reflected(self: Any, other: Any) -> Any:
        return product(other, self, other)

    return forward, reflected


def product_in_place(self: Any, other: Any) -> Any:
    """`x @= y`: into x, as NumPy's."""
    result = np.matmul(self, other)
    if isinstance(self, Variable):
        return result
    if result.shape != self.shape:
        raise ValueError(f"a product of the shape {result.shape} cannot be put into an array of {self.shape}")
    return HOOKS["store"](self, result, where_of_caller(2))


def know(traced: type, variable: type, convert: Callable[[Any], Any]) -> None:
    """The classes whose operators these are, once they exist."""
    global Traced, Variable, as_traced, _NODE_TYPES
    Traced, Variable, as_traced, _NODE_TYPES = traced, variable, convert, {traced, variable, *variable.__subclasses__()}


def know_floats(number: type, make: Callable[..., Any]) -> None:
    """The class of Python floats, and what makes one."""
    global Float, made_of
    Float, made_of = number, make
