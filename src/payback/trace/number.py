"""Scalars in columns: a program of millions of numbers, recorded without a node for each.

While a function is traced for machine code, what is read from its arguments one number at a time is a `Number`: an entry
of a recorder's columns (a code, two arguments, a place), 13 bytes where a node takes 316.  Operators and ufuncs on
numbers append entries.  Whatever else looks at a number asks for its `node`: then the entries that it was made from
become nodes of the graph, or, where they are many, one node that replays them (see `native/tape.py`).  So nothing
outside this file and the tape need know of numbers, and every program means what it means without them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from sys import _getframe
from typing import Any, NamedTuple

import numpy as np

from payback.errors import TraceError
from payback.ir.aval import BOOL, FLOAT64
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import append, apply
from payback.ops.row import TABLE
from payback.trace import array as traced
from payback.trace.array import Traced, where_of_caller
from payback.trace.arrays import recording
from payback.trace.dispatch import _UFUNCS

# Codes of entries that are no rows.  Constants: `first` is their place among the constants.  LEAF: `first` is the
# number of the node that is read, `second` the flat place in it, −1 for a scalar.  THIRD stands before a row of three
# arguments and holds the last of them.
WEAK, STRONG, LEAF, THIRD = range(4)
FIRST_ROW = 4
ROWS = [row for row in TABLE.values() if row.kind == "pointwise"]
CODES = {row.name: FIRST_ROW + k for k, row in enumerate(ROWS)}
assert FIRST_ROW + len(ROWS) < 256

SPLIT, SCALAR, TRUTH = range(3)  # kinds of numbers: a float64, a Python float, a boolean
_SEVERAL = 16  # tapes of one trace: beyond them one would repeat what others compute
_CONSTANTS = 100_000  # that are looked up when they come again


class Columns(NamedTuple):
    """A recorded program by itself: its entries numbered from 0, and what they read and compute.

    leaves: the nodes that LEAF entries read; wanted: the entries that are its results.
    """

    codes: np.ndarray[Any, Any]
    first: np.ndarray[Any, Any]
    second: np.ndarray[Any, Any]
    places: np.ndarray[Any, Any]
    constants: np.ndarray[Any, Any]
    wheres: list[Any]
    leaves: list[Node]
    wanted: np.ndarray[Any, Any]

    def nodes(self, leaves: Sequence[Node]) -> list[Node]:
        """The results as nodes made from these leaves, one node for each entry."""
        made: list[Any] = []
        codes, first, second = self.codes.tolist(), self.first.tolist(), self.second.tolist()
        for k, (code, a, b, at) in enumerate(zip(codes, first, second, self.places.tolist(), strict=True)):
            where = self.wheres[at]
            if code == WEAK:
                made.append(float(self.constants[a]))
            elif code == STRONG:
                made.append(self.constants[a])
            elif code == LEAF:
                made.append(_read(leaves[a], b, where))
            elif code == THIRD:
                made.append(made[a])
            else:
                row = ROWS[code - FIRST_ROW]
                operands = (made[a], made[b], made[k - 1])[: arity(row)]
                made.append(apply(row, operands, where))
        return [made[k] for k in self.wanted.tolist()]


def arity(row: Any) -> int:
    return len(row.partials)


def _read(leaf: Node, at: int, where: Any) -> Node:
    if at < 0:
        return leaf
    index = tuple(int(i) for i in np.unravel_index(at, leaf.aval.shape))
    return apply(TABLE["index"], (leaf,), where, {"template": index})


Build = Callable[[Columns, "tuple[int, ...] | None", bool], "list[Node] | None"]


class Recorder:
    """The columns of one trace.

    able   the names of the rows that may stand on a tape
    many   from how many entries on a tape is made of them
    build  what makes it: of columns, the shape of the result (None: a Python float's) …
    """

    def __init__(self, able: frozenset[str], many: int, ancestors: Any, build: Any, gradient: Any):
        self.able, self.many, self._ancestors, self.build, self.gradient = able, many, ancestors, build, gradient
        self.codes, self.first, self.second, self.places = array("B"), array("i"), array("i"), array("i")
        self.constants = array("d")
        self._constants: dict[Any, int] = {}
        self.wheres: list[Any] = [None]
        self.places_of: dict[Any, int] = {None: 0}
        self.leaves: list[Node] = []
        self._leaves: dict[Node, int] = {}
        self.nodes: dict[int, Node] = {}  # entries that are nodes too
        self.tapes = 0

    # recording

    def append(self, code: int, a: int, b: int, place: int) -> int:
        self.codes.append(code)
        self.first.append(a)
        self.second.append(b)
        self.places.append(place)
        return len(self.codes) - 1

    def place(self, frame: Any) -> int:
        """The number of the user's place that is running."""
        if frame.f_globals is not traced._users and not traced._is_users(frame):
            where = where_of_caller(3)
            if where is None:
                return 0
        else:
            where = (frame.f_code, frame.f_lasti)
        key = (id(where[0]), where[1])
        found = self.places_of.get(key)
        if found is None:
            found = self.places_of[key] = len(self.wheres)
            self.wheres.append(where)  # keeps the code object, so its id stays its own
        return found

    def constant(self, value: Any, code: int) -> int:
        """The entry of a number that does not depend on anything."""
        key = (value or str(value), code)  # −0.0 == 0.0
        found = self._constants.get(key)
        if found is None:
            self.constants.append(value)
            found = self.append(code, len(self.constants) - 1, 0, 0)
            if len(self._constants) < _CONSTANTS:
                self._constants[key] = found
        return found

    def _leaf(self, node: Node) -> int:
        slot = self._leaves.get(node)
        if slot is None:
            slot = self._leaves[node] = len(self.leaves)
            self.leaves.append(node)
        return slot

    def scalar(self, node: Node) -> Number | None:
        """A node that is a number, as one; None for what is none."""
        if node.value is not None or type(node.aval.shape) is not tuple or node.aval.shape:
            return None
        aval = node.aval
        if aval.dtype is not FLOAT64 and aval.dtype != FLOAT64:
            return None
        k = self.append(LEAF, self._leaf(node), -1, 0)
        self.nodes[k] = node
        return number(self, k, SCALAR if aval.weak else SPLIT)

    def read(self, node: Node, key: Any, frame: Any) -> Number | None:
        """`x[key]` where it is one number of an array whose numbers are not known; else None."""
        if node.value is not None:
            return None
        shape = node.aval.shape
        if type(key) is int:
            if len(shape) != 1:
                return None
            at, extent = key, shape[0]
            if at < 0:
                at += extent
            if not 0 <= at < extent:
                return None
        elif type(key) is tuple and len(key) == len(shape) > 0:
            at = 0
            for i, extent in zip(key, shape, strict=True):
                if type(i) is not int or not -extent <= i < extent:
                    return None
                at = at * extent + (i + extent if i < 0 else i)
        else:
            return None
        if node.aval.dtype != FLOAT64 or prod(shape) >= 2**31:
            return None
        return number(self, self.append(LEAF, self._leaf(node), at, self.place(frame)), SPLIT)

    def operand(self, x: Any) -> tuple[int, int] | None:
        """(entry, kind) of what stands beside a number; None for what is no float64."""
        kind = type(x)
        if kind is Number:
            return (x.k, x.kind) if x.recorder is self else None
        if kind is float:
            return self.constant(x, WEAK), SCALAR
        if kind is int:
            return (self.constant(float(x), WEAK), SCALAR) if abs(x) <= 2**53 else None
        if kind is np.float64:
            return self.constant(float(x), STRONG), SPLIT
        if kind is Traced:
            found = self.scalar(x.node)
            return None if found is None else (found.k, found.kind)
        return None

    # leaving

    def node(self, wanted: Number) -> Node:
        """A number as a node."""
        found = self.nodes.get(wanted.k)
        if found is None:
            (found,) = self._made([wanted], None)
            self.nodes[wanted.k] = found
        if wanted.kind != TRUTH and found.aval.weak != (wanted.kind == SCALAR):
            weak = wanted.kind == SCALAR
            found = append(TABLE["cast"], (found,), {"dtype": FLOAT64, "weak": weak}, found.where)
        return found

    def vector(self, wanted: Sequence[Number]) -> Node | None:
        """Numbers in a row as one node, where a tape makes it; None: they are to be stacked."""
        if len(self.codes) < self.many or any(x.kind == TRUTH or x.recorder is not self for x in wanted):
            return None
        made = self._taped(wanted, (len(wanted),))
        return None if made is None else made[0]

    def _made(self, wanted: list[Number], shape: Any) -> list[Node]:
        if len(self.codes) >= self.many and wanted[0].kind != TRUTH:
            made = self._taped(wanted, () if wanted[0].kind == SPLIT else None)
            if made is not None:
                return made
        return self._plain(wanted)

    def _taped(self, wanted: Sequence[Number], shape: Any) -> list[Node] | None:
        if self.tapes >= _SEVERAL:
            return None
        columns = self.columns([x.k for x in wanted])
        if columns is None:
            return None
        self.tapes += 1
        return self.build(columns, shape)  # type: ignore[no-any-return]

    def columns(self, tops: list[int]) -> Columns | None:
        """What the entries were made from, as a program of its own; None where that is not much.

        Entries that are nodes already are read from these.
        """
        if len(self.codes) < self.many:
            return None
        marks = self._ancestors(self, tops)
        kept = np.flatnonzero(marks)
        if len(kept) < self.many:
            return None
        codes = np.frombuffer(self.codes, np.uint8)[kept]
        first, second = (np.frombuffer(column, np.int32)[kept] for column in (self.first, self.second))
        places = np.frombuffer(self.places, np.int32)[kept]
        renumber = np.cumsum(marks, dtype=np.int32) - np.int32(1)
        rows = codes >= THIRD
        first[rows], second[rows] = renumber[first[rows]], renumber[second[rows]]
        leaves = list(self.leaves)
        for k in sorted(self.nodes):
            if marks[k : k + 1].any() and self.codes[k] != LEAF:
                at = renumber[k]
                codes[at], first[at], second[at] = LEAF, len(leaves), -1
                leaves.append(self.nodes[k])
        used = np.unique(first[codes == LEAF])
        first[codes == LEAF] = np.searchsorted(used, first[codes == LEAF]).astype(np.int32)
        constants = np.array(self.constants)
        return Columns(codes, first, second, places, constants, self.wheres, [leaves[k] for k in used.tolist()],
                       renumber[np.array(tops)])  # fmt: skip

    def _plain(self, wanted: Sequence[Number]) -> list[Node]:
        """The numbers as nodes, and all that they were made from."""
        codes, first, second, nodes = self.codes, self.first, self.second, self.nodes
        stack, seen = [x.k for x in wanted], set()
        while stack:
            k = stack.pop()
            if k in seen or k in nodes:
                continue
            seen.add(k)
            if codes[k] >= FIRST_ROW:
                count = arity(ROWS[codes[k] - FIRST_ROW])
                stack.append(first[k])
                if count > 1:
                    stack.append(second[k])
                if count > 2:
                    stack.append(k - 1)
            elif codes[k] == THIRD:
                stack.append(first[k])
        made: dict[int, Any] = {}

        def operand(k: int) -> Any:
            return nodes[k] if k in nodes else made[k]

        for k in sorted(seen):
            code, where = codes[k], self.wheres[self.places[k]]
            if code == WEAK:
                made[k] = self.constants[first[k]]
            elif code == STRONG:
                made[k] = np.float64(self.constants[first[k]])
            elif code == LEAF:
                nodes[k] = _read(self.leaves[first[k]], second[k], where)
            elif code == THIRD:
                made[k] = operand(first[k])
            else:
                row = ROWS[code - FIRST_ROW]
                places = (first[k], second[k], k - 1)[: arity(row)]
                nodes[k] = apply(row, [operand(at) for at in places], where)
        return [nodes[x.k] for x in wanted]


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


def _operator(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """The operator of a row and its reflection."""
    code, truth = CODES[name], TABLE[name].numeric == "bool"
    plain = f"__{({'div': 'truediv', 'power': 'pow', 'floor_divide': 'floordiv'}).get(name, name)}__"
    beyond = getattr(Traced, plain)
    mirrored = {"__gt__": "__lt__", "__lt__": "__gt__", "__ge__": "__le__", "__le__": "__ge__", "__eq__": "__eq__",
                "__ne__": "__ne__"}  # fmt: skip
    beyond_reflected = getattr(Traced, mirrored.get(plain, plain.replace("__", "__r", 1)))

    def forward(self: Number, other: Any) -> Any:
        # Spelled out: scalar programs are made of nothing else, and a call costs as much as the rest.
        recorder, kind = self.recorder, self.kind
        if kind == TRUTH:
            return beyond(self, other)
        if type(other) is Number and other.recorder is recorder and other.kind != TRUTH:
            b = other.k
            if not other.kind:
                kind = SPLIT
        else:
            found = recorder.operand(other)
            if found is None or found[1] == TRUTH:
                return beyond(self, other)
            b, beside = found
            if not beside:
                kind = SPLIT
        place = recorder.place(_getframe(1))
        codes = recorder.codes
        k = len(codes)
        codes.append(code)
        recorder.first.append(self.k)
        recorder.second.append(b)
        recorder.places.append(place)
        made = _new(Number)
        made.recorder, made.k, made.kind = recorder, k, TRUTH if truth else kind
        return made

    def reflected(self: Number, other: Any) -> Any:
        recorder, kind = self.recorder, self.kind
        found = None if kind == TRUTH else recorder.operand(other)
        if found is None or found[1] == TRUTH:
            return beyond_reflected(self, other)
        kind = kind and found[1]
        k = recorder.append(code, found[0], self.k, recorder.place(_getframe(1)))
        return number(recorder, k, TRUTH if truth else kind)

    return forward, reflected


def _unary(name: str) -> Callable[[Any], Any]:
    code, beyond = CODES[name], getattr(Traced, f"__{name}__")

    def forward(self: Number) -> Any:
        if self.kind == TRUTH:
            return beyond(self)
        recorder = self.recorder
        return number(recorder, recorder.append(code, self.k, self.k, recorder.place(_getframe(1))), self.kind)

    return forward


# what is written with other rows: ufunc -> (row, operands of its operands)
_WRITTEN = {
    np.square: ("mul", (0, 0)), np.fabs: ("abs", (0,)), np.float_power: ("power", (0, 1)),
}  # fmt: skip
_LOGICAL = ("logical_and", "logical_or", "logical_not")


class Number(Traced):
    """A traced scalar that is an entry of a recorder's columns."""

    __slots__ = ("k", "kind", "recorder")
    __hash__ = Traced.__hash__
    recorder: Recorder
    k: int
    kind: int

    @property
    def node(self) -> Node:  # type: ignore[override]
        return self.recorder.node(self)

    @property
    def value(self) -> Any:
        raise TraceError(
            f"the value of {self._name()} is not known while a function is compiled",
            where=str(place) if (place := position(where_of_caller(2))) else None,
            why="compiled code is traced with shapes only, so no number can be looked at and no branch taken",
            fix="use np.where instead of if, or give what decides the branch as a plain argument",
        )

    def _name(self) -> str:
        code = self.recorder.codes[self.k]
        if code >= FIRST_ROW:
            return ROWS[code - FIRST_ROW].name
        if code == LEAF:
            leaf = self.recorder.leaves[self.recorder.first[self.k]]
            return leaf.params.get("name", leaf.op.name) if self.recorder.second[self.k] < 0 else "index"
        return "const"

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        return BOOL if self.kind == TRUTH else FLOAT64

    @property
    def ndim(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "Traced(b1[])" if self.kind == TRUTH else f"Traced(f64[]{'*' if self.kind == SCALAR else ''})"

    def __str__(self) -> str:
        return repr(self)

    def weakly(self) -> Number:
        """As a Python float, where it is a float64."""
        return self if self.kind else number(self.recorder, self.k, SCALAR)

    def strongly(self) -> Number:
        return number(self.recorder, self.k, SPLIT) if self.kind == SCALAR else self

    def __pos__(self) -> Any:
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            name, order = _UFUNCS.get(ufunc), range(len(inputs))
            if name is None and ufunc in _WRITTEN:
                name, order = _WRITTEN[ufunc]
            if name is not None:
                made = self.recorded(name, [inputs[k] for k in order], True, _getframe(1))
                if made is not None:
                    return made
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    def recorded(self, name: str, operands: Sequence[Any], as_ufunc: bool, frame: Any) -> Any:
        """The row's entry on these operands; None where it cannot be one."""
        recorder = self.recorder
        if name not in recorder.able:
            return None
        found = []
        for operand in operands:
            known = recorder.operand(operand)
            if known is None:
                return None
            found.append(known)
        truths = [kind == TRUTH for _, kind in found]
        logical = name in _LOGICAL
        if any(truths[1:] if name == "select" else truths) != logical or (logical and not all(truths)):
            return None
        if name == "select" and not truths[0]:
            return None
        kinds = [kind for _, kind in found if kind != TRUTH]
        kind = TRUTH if TABLE[name].numeric == "bool" else SPLIT if as_ufunc or not all(kinds) else SCALAR
        place = recorder.place(frame)
        if len(found) == 3:
            recorder.append(THIRD, found[2][0], found[2][0], place)
        k = recorder.append(CODES[name], found[0][0], found[1 if len(found) > 1 else 0][0], place)
        return number(recorder, k, kind)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.where and len(args) == 3 and not kwargs:
            return chosen(*args)
        return super().__array_function__(function, types, args, kwargs)

    __add__, __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("sub")
    __mul__, __rmul__ = _operator("mul")
    __truediv__, __rtruediv__ = _operator("div")
    __pow__, __rpow__ = _operator("power")
    __mod__, __rmod__ = _operator("mod")
    __floordiv__, __rfloordiv__ = _operator("floor_divide")
    __iadd__, __isub__, __imul__, __itruediv__ = __add__, __sub__, __mul__, __truediv__
    __ipow__, __imod__, __ifloordiv__ = __pow__, __mod__, __floordiv__
    __gt__, __lt__ = _operator("gt")[0], _operator("lt")[0]
    __ge__, __le__ = _operator("ge")[0], _operator("le")[0]
    __eq__, __ne__ = _operator("eq")[0], _operator("ne")[0]  # type: ignore[assignment]
    __neg__, __abs__ = _unary("neg"), _unary("abs")


def chosen(condition: Any, high: Any, low: Any) -> Any:
    """`np.where` of numbers; of other things what it is otherwise."""
    for part in (condition, high, low):
        if type(part) is Number:
            made = part.recorded("select", (condition, high, low), False, _getframe(2))
            if made is not None:
                return made
            break
    return traced._FUNCTIONS[np.where](condition, high, low)


def on_tape(top: Traced) -> tuple[Traced, list[Node], list[Traced]] | None:
    """Of a number that much was computed for: its value, the nodes that were read and what each is owed for it."""
    if type(top) is not Number or top.kind == TRUTH:
        return None
    recorder = top.recorder
    columns = None if top.k in recorder.nodes else recorder.columns([top.k])
    if columns is None:
        return None
    value, *bars = recorder.gradient(columns, top.kind == SCALAR)
    recorder.nodes[top.k] = value
    return Traced(value), columns.leaves, [Traced(bar) for bar in bars]
