"""Python floats under differentiation: scalar programs are made of nothing else.

What an operator makes of such numbers is one object that is its own history: the row, what it was made of, the place in
the user's code.  `ad/scalars.py` sweeps it as it is.  Whoever asks for its `node` gets one, and so have all that it was
made of: nothing outside this file and that one need know that there was none before.  A number that has a node is no
longer added to: operators treat it as any traced value.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from sys import _getframe
from typing import Any

import numpy as np

from payback.errors import witness
from payback.ir.aval import BOOL, FLOAT64
from payback.ir.forks import free_in_children
from payback.ir.node import NO_PARAMS, Node, by_id, next_id
from payback.ops.namespace import Values
from payback.ops.row import CONST, INPUT, TABLE, VARIABLE, Row
from payback.trace.array import NODE_TYPES, Traced, Variable
from payback.trace.operators import EXACT, LAST, know_floats, place_of, users_ask
from payback.trace.refusals.asked import by_name
from payback.trace.refusals.free import noted
from payback.trace.text.texts import shown

_new = object.__new__
_held = Traced.__dict__["node"]  # where a traced value holds its node
_giving = free_in_children(threading.RLock())
_SYMBOLS = {"div": "truediv", "power": "pow"}  # where Python's name is another one than the row's
_CAST = TABLE["cast"]
_STRONG, _WEAK = {"dtype": FLOAT64, "weak": False}, {"dtype": FLOAT64, "weak": True}


def _operator(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """The operator of a row and its reflection.

    Spelled out, objects filled by hand: a call of a function or a class costs as much as the rest.
    """
    row, compute, new = TABLE[name], getattr(Values, name), _new
    kind = Judged if row.no_edge else Float
    plain = f"__{_SYMBOLS.get(name, name)}__"
    turned = plain.replace("__", "__r", 1)

    def beyond(self: Any, other: Any) -> Any:
        return getattr(Traced, plain)(self, other)  # asked now: an audit puts others there

    def forward(self: Float, other: Any) -> Any:
        of, operand = type(other), other
        if of is Float:
            y = other.number
            if other.row is None:
                return beyond(self, other)
        elif of is float:
            y = other
        elif of is Variable or of is Traced:
            operand = other.node
            y = operand.value
            if type(y) is not float or (operand.op is not VARIABLE and operand.op is not INPUT):
                return beyond(self, other)
        elif of is int and -EXACT < other < EXACT:
            y = other
        else:
            return beyond(self, other)
        if self.row is None:
            return beyond(self, other)
        frame = _getframe(1)
        code, places = LAST[0]
        where = places.get(frame.f_lasti) if frame.f_code is code else None
        if where is None:
            where = place_of(frame)
        made = new(kind)
        made.number = compute(self.number, y)
        made.id = next_id()
        made.row = row
        made.first = self
        made.second = operand
        made.where = where
        made.owed = None
        return made

    def reflected(self: Float, other: Any) -> Any:
        of, operand = type(other), other
        if of is Traced:  # of two, Python asks that of the derived class
            operand = other.node
            y = operand.value if operand.op is VARIABLE or operand.op is INPUT else None
        else:
            y = float(other) if of is int and -EXACT < other < EXACT else other
        if type(y) is not float or self.row is None:
            return getattr(Traced, turned)(self, other)
        return made_of(row, operand, self, compute(y, self.number), _getframe(1))

    return forward, reflected


def made_of(row: Any, first: Any, second: Any, value: Any, frame: Any) -> Float:
    """What a row has made of numbers and leaves, see `Scalar`."""
    code, places = LAST[0]
    where = places.get(frame.f_lasti) if frame.f_code is code else None
    made = _new(Float if type(value) is float else Judged)
    made.number, made.id, made.row, made.first, made.second = value, next_id(), row, first, second
    made.where = place_of(frame) if where is None else where
    made.owed = None
    return made


def of_function(row: Row, original: Callable[[float], float], x: Any, frame: Any) -> Float | None:
    """What a function of `math` makes of a number, by the row for it; None where that is not the way.

    Raises what the function raises.
    """
    kind, operand = type(x), x
    if kind is Float and x.row is not None:
        number = x.number
    elif kind is Traced or kind is Variable:
        operand = x.node
        number = operand.value
        if type(number) is not float or (operand.op is not VARIABLE and operand.op is not INPUT):
            return None
    else:
        return None
    original(number)
    value: Any = row.value(Values, np.float64(number) if row.numeric == "float" else number)
    return made_of(row, operand, None, float(value), frame)


def _unary(name: str) -> Callable[[Any], Any]:
    row, compute = TABLE[name], getattr(Values, name)

    def forward(self: Float) -> Any:
        if self.row is None:
            return getattr(Traced, f"__{name}__")(self)
        return made_of(row, self, None, compute(self.number), _getframe(1))

    return forward


class Single(Traced):
    """One float64 that has a node only once somebody asks for it."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        return FLOAT64

    @property
    def ndim(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return 1


class Float(Single):
    """A traced Python float that an operator has made; see `Scalar` in `ad/scalars.py` for what it holds."""

    __slots__ = ("first", "id", "number", "owed", "row", "second", "where")  # owed: by the last `.backward()`
    id: int
    row: Row | None
    first: Any
    second: Any
    number: Any
    owed: float | None
    where: Any

    @property
    def node(self) -> Node:
        if self.row is not None:
            _give_nodes(self)
        return _held.__get__(self)

    @property
    def __class__(self) -> type:
        return float

    @property
    def value(self) -> Any:
        if witness.get() is not None and by_name(_getframe(1)):
            raise AttributeError("numbers have no attribute 'value'")
        return self.number

    @property
    def grad(self) -> Any:
        return self.owed if self.row is not None else _held.__get__(self).grad

    def __bool__(self) -> bool:
        noted(self)
        return bool(self.number)

    def __repr__(self) -> str:
        return f"Traced({self.number!r})" if witness.get() is None else shown(repr(self.number))

    def __str__(self) -> str:
        return shown(str(self.number))

    def __format__(self, spec: str) -> str:
        return shown(format(self.number, spec))


class Judged(Float):
    """The truth of a comparison of such numbers.  Arithmetic with it is any traced value's."""

    __slots__ = ()

    @property
    def __class__(self) -> type:
        return bool if users_ask(_getframe(1)) else Judged

    @property
    def dtype(self) -> np.dtype[Any]:
        return BOOL


for _name in ("add", "sub", "mul", "div", "power", "mod"):
    _symbol = _SYMBOLS.get(_name, _name)
    _forward, _reflected = _operator(_name)
    setattr(Float, f"__{_symbol}__", _forward)
    setattr(Float, f"__i{_symbol}__", _forward)  # a number is not changed: its name is given to another
    setattr(Float, f"__r{_symbol}__", _reflected)
    for _prefix in ("", "i", "r"):
        setattr(Judged, f"__{_prefix}{_symbol}__", getattr(Traced, f"__{_prefix}{_symbol}__"))
for _name in ("gt", "ge", "lt", "le", "eq", "ne"):
    setattr(Float, f"__{_name}__", _operator(_name)[0])
    setattr(Judged, f"__{_name}__", getattr(Traced, f"__{_name}__"))
for _name in ("neg", "abs"):
    setattr(Float, f"__{_name}__", _unary(_name))
    setattr(Judged, f"__{_name}__", getattr(Traced, f"__{_name}__"))


def _give_nodes(top: Float) -> None:
    """Nodes for a number and all that it was made of: as if operators had made them when they ran."""
    with _giving:
        stack, seen = [top], {top.id: top}
        while stack:
            number = stack.pop()
            for part in (number.first, number.second):
                if type(part) is Float and part.row is not None and part.id not in seen:
                    seen[part.id] = part
                    stack.append(part)
        for number in sorted(seen.values(), key=by_id):
            row = number.row
            if row is None:  # another thread's
                continue
            args = []
            for part in (number.first, number.second):
                if type(part) is Float:
                    args.append(_held.__get__(part))
                elif type(part) is Node:
                    args.append(part)
                elif part is not None:
                    constant = Node(CONST, (), NO_PARAMS, part, number.where)
                    constant.id = number.id - 1  # two before it are left free, see `ir/node.py`
                    args.append(constant)
            if len(args) == 1 and row.numeric == "float":  # NumPy's function, of and for Python floats
                strong = Node(_CAST, tuple(args), _STRONG, np.float64(args[0].value), number.where)
                found = Node(row, (strong,), NO_PARAMS, np.float64(number.number), number.where)
                strong.id, found.id = number.id - 2, number.id - 1
                node = Node(_CAST, (found,), _WEAK, number.number, number.where)
            else:
                node = Node(row, tuple(args), NO_PARAMS, number.number, number.where)
            node.id, node.grad = number.id, number.owed
            _held.__set__(number, node)
            number.row = None  # from here on it has a node; and only then
            number.first = number.second = None


NODE_TYPES |= {Float, Judged}
know_floats(Float, made_of)
