"""The operators of numbers in columns: see `number.py`, whose classes get them here."""

from __future__ import annotations

from collections.abc import Callable
from sys import _getframe
from types import FrameType
from typing import Any

from payback.ops.row import TABLE
from payback.trace.array import Traced, become
from payback.trace.refusals.handled import FAILING, unsure
from payback.trace.scalars.columns import CODES
from payback.trace.scalars.number import Cell, Number, Recorder, Truth, entry_of, held, number, number_in

_new = object.__new__
_Operator = Callable[[Any, Any], Any]


def _operator(name: str) -> tuple[tuple[_Operator, _Operator], tuple[_Operator, _Operator, _Operator]]:
    """The operator of a row and its reflection; those of a `Cell`, and the one in place."""
    code, truth = CODES[name], TABLE[name].numeric == "bool"
    plain = f"__{({'div': 'truediv', 'power': 'pow', 'floor_divide': 'floordiv'}).get(name, name)}__"
    beyond = getattr(Traced, plain)
    beyond_reflected = None if truth else getattr(Traced, plain.replace("__", "__r", 1))
    beyond_in_place = None if truth else getattr(Traced, plain.replace("__", "__i", 1))
    failing = name in FAILING

    def forward(self: Number, other: Any) -> Any:
        # Spelled out: scalar programs are made of nothing else, and a call costs as much as the rest.
        recorder, kind, other_kind = self.recorder, self.kind, type(other)
        if other_kind is Number and other.recorder is recorder:
            b = other.k
            kind &= other.kind
        elif (other_kind is float or other_kind is int) and (known := recorder.weak.get(other)) is not None:
            b = known
        else:
            found = recorder.operand(other)
            if found is None:
                return beyond(self, other)
            b = found[0]
            kind &= found[1]
        frame = _getframe(1)
        word = recorder.words[code].get((id(frame.f_code), frame.f_lasti))
        if word is None:  # the first time that the program is here
            if failing and kind:
                unsure(name, frame, other)
            word = recorder.new_word(code, frame)
        recorder.what.append(word)
        recorder.first.append(self.k)
        seconds = recorder.second
        made = _new(Number)
        made.recorder, made.k, made.kind = recorder, len(seconds), kind
        seconds.append(b)
        if truth:
            become(made, Truth)
        return made

    def reflected(self: Number, other: Any) -> Any:
        found = self.recorder.operand(other)
        if found is None:
            return beyond_reflected(self, other)
        return entry(self.recorder, found, (self.k, self.kind), _getframe(1))

    def entry(recorder: Recorder, a: tuple[int, int], b: tuple[int, int], frame: FrameType, other: Any = None) -> Any:
        kind = a[1] & b[1]
        word = recorder.words[code].get((id(frame.f_code), frame.f_lasti))
        if word is None:
            if failing and kind:
                unsure(name, frame, other)
            word = recorder.new_word(code, frame)
        return entry_of(number(recorder, recorder.append(word, a[0], b[0]), kind), truth)

    def of_cell(self: Cell, other: Any) -> Any:
        x = number_in(self)
        found = x.recorder.operand(other)
        return beyond(self, other) if found is None else entry(x.recorder, (x.k, x.kind), found, _getframe(1), other)

    def reflected_of_cell(self: Cell, other: Any) -> Any:
        x = number_in(self)
        found = x.recorder.operand(other)
        if found is None:
            return beyond_reflected(self, other)
        return entry(x.recorder, found, (x.k, x.kind), _getframe(1))

    def in_place(self: Cell, other: Any) -> Any:
        x = number_in(self)
        found = x.recorder.operand(other)
        if found is None:
            return beyond_in_place(self, other)
        held.__set__(self, entry(x.recorder, (x.k, x.kind), found, _getframe(1), other).strongly())
        return self

    return (forward, reflected), (of_cell, reflected_of_cell, in_place)


def _unary(name: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    code = CODES[name]

    def forward(self: Number) -> Any:
        recorder = self.recorder
        return number(recorder, recorder.append(recorder.word(code, _getframe(1)), self.k, self.k), self.kind)

    def of_cell(self: Cell) -> Any:
        x = number_in(self)
        return number(x.recorder, x.recorder.append(x.recorder.word(code, _getframe(1)), x.k, x.k), x.kind)

    return forward, of_cell


for _name in ("add", "sub", "mul", "div", "power", "mod", "floor_divide", "gt", "lt", "ge", "le", "eq", "ne"):
    _of_numbers, _of_cells = _operator(_name)
    _plain = {"div": "truediv", "power": "pow", "floor_divide": "floordiv"}.get(_name, _name)
    for _prefix, _number, _cell in zip(("", "r", "i"), (*_of_numbers, _of_numbers[0]), _of_cells, strict=True):
        _full = f"__{_prefix}{_plain}__"
        if hasattr(Traced, _full) and not (_prefix and TABLE[_name].numeric == "bool"):
            setattr(Number, _full, _number)
            setattr(Cell, _full, _cell)
            setattr(Truth, _full, getattr(Traced, _full))  # arithmetic with truths is NumPy's matter
for _name in ("neg", "abs"):
    _number, _cell = _unary(_name)
    setattr(Number, f"__{_name}__", _number)
    setattr(Cell, f"__{_name}__", _cell)
    setattr(Truth, f"__{_name}__", getattr(Traced, f"__{_name}__"))
