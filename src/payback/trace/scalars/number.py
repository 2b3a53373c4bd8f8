"""Scalars in columns: a program of millions of numbers, recorded without a node for each.

While a function is traced for machine code, what is read from its arguments number by number is a `Number`: an entry
of a recorder's columns (code and place, two arguments), 12 bytes where a node takes 316.  Operators and ufuncs on
numbers append entries.  Whatever else looks at a number asks for its `node`: then the entries that it was made from
become nodes of the graph, or, where they are many, one node that replays them (see `native/tape/columns.py`).  So
nothing outside this file and the tape need know of numbers, and every program means what it means without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from sys import _getframe
from typing import Any

import numpy as np

from payback.errors import witness
from payback.ir.aval import BOOL, FLOAT64
from payback.ir.node import Node
from payback.ops.append import append
from payback.ops.dtypes import weak_result
from payback.ops.row import TABLE
from payback.trace import operators as traced
from payback.trace.array import Traced, become
from payback.trace.plain_arrays import recording
from payback.trace.refusals.asked import by_name, not_known, unknown_text
from payback.trace.scalars.columns import CODES, LEAF, STRONG, THIRD, WEAK, Entries
from payback.trace.scalars.floats import Single

STRONG_KIND, WEAK_KIND = 0, 1  # a float64 or a Python float: of two numbers the result's is `a & b`
_SEVERAL = 16  # tapes of one trace: beyond them one would repeat what others compute


class Recorder(Entries):
    """The entries of one trace, and the numbers that stand for them."""

    def scalar(self, node: Node) -> Number | None:
        """A node that is a number, as one; None for what is none."""
        if node.value is not None or node.aval.shape or node.aval.dtype != FLOAT64:
            return None
        k = self.append(LEAF, self._leaf(node), -1)
        self.nodes[k] = node
        return number(self, k, WEAK_KIND if node.aval.weak else STRONG_KIND)

    def read(self, node: Node, key: Any, frame: Any) -> Number | None:
        """`x[key]` where it is one number of an array whose numbers are not known; else None."""
        last, slot, extent = self._read
        if node is not last or type(key) is not int:
            if node.value is not None:
                return None
            shape = node.aval.shape
            if node.aval.dtype != FLOAT64 or not shape or prod(shape) >= 2**31:
                return None
            if type(key) is tuple and len(key) == len(shape):
                at = 0
                for i, length in zip(key, shape, strict=True):
                    if type(i) is not int or not -length <= i < length:
                        return None
                    at = at * length + (i + length if i < 0 else i)
                return number(self, self.append(self.word(LEAF, frame), self._leaf(node), at), STRONG_KIND)
            if type(key) is not int or len(shape) != 1:
                return None
            slot, extent = self._leaf(node), shape[0]
            self._read = node, slot, extent
        if key < 0:
            key += extent
        if not 0 <= key < extent:
            return None
        self.what.append(self.word(LEAF, frame))
        self.first.append(slot)
        self.second.append(key)
        return number(self, len(self.second) - 1, STRONG_KIND)

    def operand(self, x: Any) -> tuple[int, int] | None:
        """(entry, kind) of what stands beside a number; None for what is no float64."""
        kind = type(x)
        if kind in NUMBERS:
            x = number_in(x)
            return (x.k, x.kind) if x.recorder is self else None
        if kind is float:
            return self.constant(x, WEAK), WEAK_KIND
        if kind is int:
            return (self.constant(float(x), WEAK), WEAK_KIND) if abs(x) <= 2**53 else None
        if kind is np.float64:
            return self.constant(float(x), STRONG), STRONG_KIND
        if kind is Traced:
            found = self.scalar(x.node)
            return None if found is None else (found.k, found.kind)
        return None

    # leaving

    def node(self, wanted: Number) -> Node:
        """A number as a node."""
        found = self.nodes.get(wanted.k)
        if found is None:
            (found,) = self._made(wanted)
            self.nodes[wanted.k] = found
        if type(wanted) is not Truth and found.aval.weak != bool(wanted.kind):
            found = append(TABLE["cast"], (found,), {"dtype": FLOAT64, "weak": bool(wanted.kind)}, found.where)
        return found

    def vector(self, wanted: Sequence[Number]) -> Node | None:
        """Numbers in a row as one node, where a tape makes it; None: they are to be stacked."""
        if len(self.what) < self.many or any(type(x) not in NUMBERS or x.recorder is not self for x in wanted):
            return None
        made = self._taped(wanted, (len(wanted),))
        return None if made is None else made[0]

    def _made(self, wanted: Number) -> list[Node]:
        if len(self.what) >= self.many and type(wanted) is not Truth:
            made = self._taped([wanted], None if wanted.kind else ())
            if made is not None:
                return made
        return self.plain([wanted.k])

    def _taped(self, wanted: Sequence[Number], shape: Any) -> list[Node] | None:
        if self.tapes >= _SEVERAL:
            return None
        columns = self.columns([x.k for x in wanted])
        if columns is None:
            return None
        self.tapes += 1
        return self.build(columns, shape)


@contextmanager
def recorded(recorder: Recorder | None) -> Iterator[None]:
    """Numbers are recorded by this one meanwhile; by none if it is None."""
    token = recording.set(recorder)
    try:
        yield
    finally:
        recording.reset(token)


def opened(node: Node) -> Traced:
    """A node as its user gets it: a number where it is one and numbers are recorded."""
    recorder = recording.get()
    made = None if recorder is None else recorder.scalar(node)
    return Traced(node) if made is None else made


_new = object.__new__


def number(recorder: Recorder, k: int, kind: int) -> Number:
    made = _new(Number)
    made.recorder, made.k, made.kind = recorder, k, kind
    return made


def entry_of(made: Number, truth: bool) -> Number:
    """The entry as the number or the truth that it is."""
    if truth:
        become(made, Truth)
    return made


# what is written with other rows: ufunc -> (row, operands of its operands)
_WRITTEN = {
    np.square: ("mul", (0, 0)), np.fabs: ("abs", (0,)), np.float_power: ("power", (0, 1)),
}  # fmt: skip
ROW_NAMES: dict[np.ufunc, str] = {}  # ufunc -> its row, filled by `dispatch.py`
_LOGICAL = ("logical_and", "logical_or", "logical_not")


def _array_ufunc(self: Number | Cell, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method == "__call__" and not kwargs:
        name, order = ROW_NAMES.get(ufunc), range(len(inputs))
        if name is None and ufunc in _WRITTEN:
            name, order = _WRITTEN[ufunc]
        if name is not None:
            made = number_in(self).recorded(name, [inputs[k] for k in order], True, _getframe(1))
            if made is not None:
                return made
    return Traced.__array_ufunc__(self, ufunc, method, *inputs, **kwargs)


def _array_function(self: Number | Cell, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    if function is np.where and len(args) == 3 and not kwargs:
        return chosen(*args)
    return Traced.__array_function__(self, function, types, args, kwargs)


class Number(Single):
    """A traced scalar that is an entry of a recorder's columns."""

    __slots__ = ("k", "kind", "recorder")
    __hash__ = Traced.__hash__
    recorder: Recorder
    k: int
    kind: int

    @property
    def node(self) -> Node:
        return self.recorder.node(self)

    @property
    def __class__(self) -> type:
        return float if self.kind else np.float64

    @property
    def value(self) -> Any:
        if witness.get() is not None and by_name(_getframe(1)):
            raise AttributeError("numbers have no attribute 'value'")
        raise not_known(None)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return unknown_text("f64[]*" if self.kind else "f64[]", _getframe(1))

    def __str__(self) -> str:
        return unknown_text("f64[]*" if self.kind else "f64[]", _getframe(1))

    def weakly(self) -> Number:
        """As a Python float, where it is a float64."""
        return self if self.kind else number(self.recorder, self.k, WEAK_KIND)

    def strongly(self) -> Number:
        """As a float64, where it is a Python float."""
        return number(self.recorder, self.k, STRONG_KIND) if self.kind else self

    def stopped(self, where: Any) -> Traced:
        made = self.recorded("stop_gradient", (self,), False, _getframe(2))
        return super().stopped(where) if made is None else made

    def __pos__(self) -> Any:
        return self

    def recorded(self, name: str, operands: Sequence[Any], as_ufunc: bool, frame: Any) -> Any:
        """The row's entry on these operands; None where it cannot be one."""
        recorder, logical = self.recorder, name in _LOGICAL
        if name not in recorder.able:
            return None
        places, kind = [], WEAK_KIND
        for slot, operand in enumerate(operands):
            if logical or (name == "select" and slot == 0):
                if type(operand) is not Truth or operand.recorder is not recorder:
                    return None
                places.append(operand.k)
                continue
            found = recorder.operand(operand)
            if found is None:
                return None
            places.append(found[0])
            kind &= found[1]
        word = recorder.word(CODES[name], frame)
        if len(places) == 3:
            recorder.append(word & ~255 | THIRD, places[2], places[2])
        k = recorder.append(word, places[0], places[1 if len(places) > 1 else 0])
        return entry_of(number(recorder, k, STRONG_KIND if as_ufunc else kind), TABLE[name].numeric == "bool")

    __array_ufunc__, __array_function__ = _array_ufunc, _array_function


class Truth(Number):
    """A boolean: what comparisons of numbers make."""

    __slots__ = ()
    __hash__ = Traced.__hash__

    @property
    def __class__(self) -> type:
        return Truth if not traced.users_ask(_getframe(1)) else bool if self.kind else np.bool_

    @property
    def dtype(self) -> np.dtype[Any]:
        return BOOL

    def __repr__(self) -> str:
        return "Traced(b1[])"


class Cell(Single):
    """What `np.where` makes of numbers: an array without axes, which operators in place change for all its names.

    Where other traced values hold their node it holds its number.  Whoever asks for its node, or whose view it is, gets
    an array like all others.
    """

    __slots__ = ()
    __hash__ = Traced.__hash__

    @property
    def __class__(self) -> type:
        return np.ndarray if not traced.HOOKS["leaves_to_operand"](_getframe(1)) else Cell

    @property
    def node(self) -> Node:
        return _as_array(self).node

    @property
    def alias(self) -> Any:
        return _as_array(self).alias

    def __pos__(self) -> Number:
        return number_in(self)

    __array_ufunc__, __array_function__ = _array_ufunc, _array_function


held = Traced.__dict__["node"]  # the slot itself, where a cell keeps its number


def number_in(x: Any) -> Number:
    """The number in a cell; a number as it is."""
    return held.__get__(x) if type(x) is Cell else x


def _as_array(x: Cell) -> Traced:
    node = number_in(x).node
    become(x, Traced)
    x.node, x.alias = node, None
    return traced.HOOKS["without_axes"](x)


def cell(x: Number) -> Cell:
    """A number as an array without axes."""
    made = _new(Cell)
    held.__set__(made, x.strongly())
    return made


NUMBERS = frozenset({Number, Cell})
# the name that C code gives in its messages
Number.__name__ = Truth.__name__ = Cell.__name__ = Traced.__name__


def record(name: str, operands: Sequence[Any]) -> Number | None:
    """A row's entry, if one of its operands is a number and the others can stand beside it."""
    for part in operands if TABLE[name].kind == "pointwise" else ():
        if isinstance(part, (Number, Cell)):
            return number_in(part).recorded(name, operands, _is_ufunc(name), _getframe(2))
    return None


@cache
def _is_ufunc(name: str) -> bool:
    """Whether the row makes a float64 of Python floats, as NumPy's functions do and operators do not."""
    kinds = ("b",) * (name in _LOGICAL or name == "select") + ("f",) * len(TABLE[name].partials)
    return not weak_result(TABLE[name], kinds[: len(TABLE[name].partials)]).weak


def chosen(condition: Any, high: Any, low: Any) -> Any:
    """`np.where` of numbers; of other things what it is otherwise."""
    for part in (condition, high, low):
        if isinstance(part, (Number, Cell)):
            made = number_in(part).recorded("select", (condition, high, low), True, _getframe(2))
            if made is not None:
                return cell(made)
            break
    return traced.FUNCTIONS[np.where](condition, high, low)


def on_tape(top: Traced) -> tuple[Traced, list[Node], list[Any]] | None:
    """Of a number that much was computed for: its value, the nodes that were read and what each is owed for it.

    Where a choice may have paid nothing, that is a pair: what is owed, and a mask.
    """
    if type(top) not in NUMBERS:
        return None
    top = number_in(top)
    recorder = top.recorder
    columns = None if top.k in recorder.nodes else recorder.columns([top.k])
    if columns is None:
        return None
    value, *bars = recorder.gradient(columns, bool(top.kind))
    recorder.nodes[top.k] = value
    return Traced(value), columns.leaves, bars
