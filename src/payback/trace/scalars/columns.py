"""The columns of a scalar program: an entry is a code with a place, and two arguments; see `number.py`."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.ir.where import caller
from payback.ops.append import apply
from payback.ops.row import TABLE
from payback.trace import operators as traced

# Codes of entries that are no rows.  Constants: `first` is their place among the constants.  LEAF: `first` is the
# number of the node that is read, `second` the flat place in it, −1 for a scalar.  THIRD stands before a row of three
# arguments and holds the last of them.
WEAK, STRONG, LEAF, THIRD = range(4)
FIRST_ROW = 4
ROWS = [row for row in TABLE.values() if row.kind == "pointwise" and len(row.partials) <= 3]
CODES = {row.name: FIRST_ROW + k for k, row in enumerate(ROWS)}
assert FIRST_ROW + len(ROWS) < 256

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


class Entries:
    """The columns of one trace.

    what      of each entry: its code, and 256 × the number of its place
    able      the names of the rows that may stand on a tape
    many      from how many entries on a tape is made of them
    ancestors, build, gradient   of `native/tape/columns.py`: which entries some were made from; a tape of columns; and
                                 one that computes value and gradient
    """

    def __init__(self, able: frozenset[str], many: int, ancestors: Any, build: Any, gradient: Any):
        self.able, self.many, self._ancestors, self.build, self.gradient = able, many, ancestors, build, gradient
        self.what, self.first, self.second = array("i"), array("i"), array("i")
        self.constants = array("d")
        self.weak: dict[float, int] = {}  # Python numbers but zero -> their entries
        self._constants: dict[Any, int] = {}
        self.wheres: list[Any] = [None]
        self.words: list[dict[Any, int]] = [{} for _ in range(256)]  # of each code: place -> what an entry is
        self._places: dict[Any, int] = {}
        self.leaves: list[Node] = []
        self._leaves: dict[Node, int] = {}
        self._read: tuple[Any, int, int] = (None, 0, 0)  # the vector that was read last, its number and extent
        self.nodes: dict[int, Node] = {}  # entries that are nodes too
        self.tapes = 0

    # recording

    def append(self, what: int, a: int, b: int) -> int:
        self.what.append(what)
        self.first.append(a)
        self.second.append(b)
        return len(self.second) - 1

    def word(self, code: int, frame: Any) -> int:
        """What an entry is that this frame makes."""
        words = self.words[code]
        key = (id(frame.f_code), frame.f_lasti)
        found = words.get(key)
        return self.new_word(code, frame) if found is None else found

    def new_word(self, code: int, frame: Any) -> int:
        users = traced.is_users(frame)
        where = (frame.f_code, frame.f_lasti) if users else caller(3)
        if where is None:
            return code
        key = (id(where[0]), where[1])
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self.wheres)
            self.wheres.append(where)  # keeps the code object, so its id stays its own
        word = place << 8 | code if place < 1 << 22 else code
        if users:
            self.words[code][key] = word
        return word

    def constant(self, value: Any, code: int) -> int:
        """The entry of a number that does not depend on anything."""
        key = (value or str(value), code)  # −0.0 == 0.0
        found = self._constants.get(key)
        if found is None:
            self.constants.append(value)
            found = self.append(code, len(self.constants) - 1, 0)
            if len(self._constants) < _CONSTANTS:
                self._constants[key] = found
                if code == WEAK and value:
                    self.weak[value] = found
        return found

    def _leaf(self, node: Node) -> int:
        slot = self._leaves.get(node)
        if slot is None:
            slot = self._leaves[node] = len(self.leaves)
            self.leaves.append(node)
        return slot

    def columns(self, tops: list[int]) -> Columns | None:
        """What the entries were made from, as a program of its own; None where that is not much.

        Entries that are nodes already are read from these.
        """
        if len(self.what) < self.many:
            return None
        marks = self._ancestors(self, tops)
        kept = np.flatnonzero(marks)
        if len(kept) < self.many:
            return None
        what, first, second = (np.frombuffer(c, np.int32)[kept] for c in (self.what, self.first, self.second))
        codes, places = (what & 255).astype(np.uint8), what >> 8
        renumber = np.cumsum(marks, dtype=np.int32) - np.int32(1)
        rows = codes >= THIRD
        first[rows], second[rows] = renumber[first[rows]], renumber[second[rows]]
        leaves = list(self.leaves)
        for k, node in self.nodes.items():
            if k < len(marks) and marks[k] and codes[renumber[k]] != LEAF:
                at = renumber[k]
                codes[at], first[at], second[at] = LEAF, len(leaves), -1
                leaves.append(node)
        read = codes == LEAF
        used = np.unique(first[read])
        first[read] = np.searchsorted(used, first[read]).astype(np.int32)
        return Columns(codes, first, second, places, np.array(self.constants), self.wheres,
                       [leaves[k] for k in used.tolist()], renumber[np.array(tops)])  # fmt: skip

    def plain(self, wanted: Sequence[int]) -> list[Node]:
        """Entries as nodes, and all that they were made from."""
        what, first, second, nodes = self.what, self.first, self.second, self.nodes
        stack, seen = list(wanted), set()
        while stack:
            k = stack.pop()
            if k in seen or k in nodes:
                continue
            seen.add(k)
            code = what[k] & 255
            if code >= FIRST_ROW:
                count = arity(ROWS[code - FIRST_ROW])
                stack.append(first[k])
                if count > 1:
                    stack.append(second[k])
                if count > 2:
                    stack.append(k - 1)
            elif code == THIRD:
                stack.append(first[k])
        made: dict[int, Any] = {}

        def operand(k: int) -> Any:
            return nodes[k] if k in nodes else made[k]

        for k in sorted(seen):
            code, where = what[k] & 255, self.wheres[what[k] >> 8]
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
        return [nodes[k] for k in wanted]
