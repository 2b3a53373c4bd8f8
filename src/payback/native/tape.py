"""The tape: a recorded scalar program as columns in memory, and the machine code that replays it.

LLVM on straight-line code of a million operations would take minutes; the replaying loops are compiled once a process
and serve every program.  A `Tape` is laid out from a recorder's columns: constants first, then the entries in order;
behind a number with three users or more stands a fan, a copy for each user, so that what they pay is added in the
order of the users, as the sweep does it.  Value and gradient are one replay forwards and one backwards.

The bodies made here stand in graphs as those of any call do.  Whatever else is done with them (second derivatives,
forward mode, batches) is done with their graph, one node for each entry, made when it is first asked for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient, Masked
from payback.ad.sweep import sweep
from payback.ir.aval import BOOL, FLOAT64, Aval
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.native import library
from payback.native.lower.entries import Ancestors, Gather, Scatter, argument_kinds
from payback.native.lower.replay import (
    FAN,
    FAN_END,
    NOTHING,
    SQUARE,
    Forward,
    Operation,
    Reverse,
    able,
    always_pays,
    operations,
)
from payback.ops.append import append, apply, const
from payback.ops.row import TABLE
from payback.trace.body import Body, Masking, fresh
from payback.trace.columns import FIRST_ROW, LEAF, ROWS, STRONG, THIRD, WEAK, Columns
from payback.trace.number import Recorder

Array = np.ndarray[Any, Any]
MANY = 3000  # entries from which on a tape is made: LLVM compiles fewer within a tenth of a second
VERSION = 1  # of the kernels
# Off: among thousands of random programs some with maximum, minimum, clip or choices had another value than the
# interpreter's (tests/native/test_tape.py, with --full).  A wrong number is worse than a slow program.
ON = True


def recorder() -> Recorder | None:
    """What records the scalars of one trace; None: nothing is recorded, they become nodes."""
    if not ON:
        return None
    return Recorder(able(), MANY, _ancestors, call_of, value_and_gradient)


_functions: dict[Any, Any] = {}


def _run(kernel: Any, *words: int) -> None:
    key = type(kernel), kernel
    function = _functions.get(key)
    if function is None:
        function = _functions[key] = library.PROTOTYPE(library.get([kernel])(kernel))
    function(None, (ctypes.c_int64 * len(words))(*words))


def _at(array: Array) -> int:
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _ancestors(recorder: Recorder, tops: Sequence[int]) -> Array:
    """Which entries the tops were made from, themselves included."""
    count = max(tops) + 1
    marks = np.zeros(count, np.uint8)
    known = np.fromiter(recorder.nodes, np.int64, len(recorder.nodes))
    marks[known[known < count]] = 2
    marks[np.asarray(tops)] = 1
    columns = (np.frombuffer(column, np.int32) for column in (recorder.what, recorder.first, recorder.second))
    kinds = np.array(argument_kinds(), np.uint8)
    _run(Ancestors(VERSION), *map(_at, (*columns, marks, kinds)), 0, count)
    marks &= 1
    return marks


class Tape:
    """A program laid out for replay.

    codes, first, second  a column each: the case of the switch, and the numbers of its operands' values
    base      the numbers of constants, which stand before the entries
    wanted    the numbers of the results
    reads     for each leaf (node that is read): entries' numbers and flat places, in the order of the program
    sure      whether every edge surely pays
    """

    def __init__(self, columns: Columns):
        codes, count = columns.codes, len(columns.codes)
        arguments = np.array(argument_kinds(), np.uint8)[codes]
        constant = (codes == WEAK) | (codes == STRONG)
        rows = codes >= FIRST_ROW
        # what each entry is made from, slot by slot in the order of the program; −1: nothing
        edges = np.full((count, 2), -1, np.int32)
        edges[:, 0][arguments > 0] = columns.first[arguments > 0]
        edges[:, 1][arguments >= 3] = columns.second[arguments >= 3]
        flat = edges.reshape(-1)
        users = np.bincount(flat[flat >= 0], minlength=count).astype(np.int32)
        many = users + (np.bincount(columns.wanted, minlength=count) > 0) >= 3
        fans = np.where(many & ~constant, users, np.int32(0))
        # where each entry stands: constants in front, then the others, each with its fan behind it
        room = np.where(constant, np.int32(0), np.int32(1) + fans)
        self.base = base = int(constant.sum())
        self.size = base + int(room.sum(dtype=np.int64))
        if self.size >= 2**31:
            raise OverflowError("a tape has fewer than 2³¹ entries")
        number = np.cumsum(room, dtype=np.int32) - room + np.int32(base)
        number[constant] = np.arange(base)
        del room, users, many
        operands = number[edges]
        if fans.any():
            through = np.flatnonzero((flat >= 0) & (fans[flat] > 0))
            target = flat[through]
            order = np.argsort(target, kind="stable")
            target, through = target[order], through[order]
            del order
            begin = np.flatnonzero(np.diff(target, prepend=-1))
            turn = np.arange(len(target)) - np.repeat(begin, np.diff(begin, append=len(target)))
            operands.reshape(-1)[through] = number[target] + 1 + turn
        self.codes = np.zeros(self.size - base, np.uint8)
        self.first, self.second = np.zeros(self.size - base, np.int32), np.zeros(self.size - base, np.int32)
        moved = arguments > 0
        places = number[moved] - base
        self.first[places] = operands[moved, 0]
        self.second[places] = np.where(arguments >= 3, operands[:, 1], operands[:, 0])[moved]
        self.codes[number[rows] - base] = _cases(columns, edges, constant)[rows]
        fanned = np.flatnonzero(fans)
        for at, case in ((number[fanned] + 1, FAN), (number[fanned] + fans[fanned], FAN_END)):
            self.codes[at - base] = case
            self.first[at - base] = number[fanned]
            self.second[at - base] = fans[fanned]
        self.constants = columns.constants[columns.first[constant]]
        self.wanted = number[columns.wanted]
        leaves = np.flatnonzero(codes == LEAF)
        slots = columns.first[leaves]
        self.reads = []
        for slot in range(len(columns.leaves)):
            mine = leaves[slots == slot] if len(columns.leaves) > 1 else leaves
            self.reads.append((number[mine], np.maximum(columns.second[mine], 0)))
        cases = operations()
        self.sure = all(always_pays(cases[case]) for case in np.unique(self.codes).tolist())
        self._pool: list[Array] = []

    def surely_pays(self, slot: int, aval: Aval) -> bool:
        """Whether every entry of a leaf is paid in any case: it is read, and no choice decides."""
        return self.sure and len(np.unique(self.reads[slot][1])) == aval.size

    def _memory(self) -> Array:
        try:
            return self._pool.pop()
        except IndexError:
            made = np.empty(self.size)
            made[: self.base] = self.constants
            return made

    def done(self, *arrays: Array) -> None:
        """Memory for another call."""
        self._pool.extend(arrays)

    def _columns(self, values: Array) -> tuple[int, ...]:
        """Addresses such that an entry's number is its index in all of them."""
        shift = self.base
        return _at(self.codes) - shift, _at(self.first) - 4 * shift, _at(self.second) - 4 * shift, _at(values)

    def values(self, leaves: Sequence[Any]) -> Array:
        """All numbers, replayed from these leaves."""
        values = self._memory()
        for leaf, (entries, places) in zip(leaves, self.reads, strict=True):
            source = np.ascontiguousarray(leaf, np.float64)
            _run(Gather(VERSION), *map(_at, (source, places, values, entries)), len(entries))
        _run(Forward(VERSION), *self._columns(values), self.base, self.size)
        return values

    def owed(
        self, values: Array, seed: Any, shapes: Sequence[tuple[int, ...]], mask: Any = None, masks: bool = False
    ) -> tuple[list[Array], list[Array]]:
        """What leaves of these shapes are owed when the results are owed the seed, and which entries were paid at all.

        mask: which of the results are owed anything; None: all.  masks: whether to find the second list.
        """
        bars = self._memory()
        own = bars[self.base :]
        sure = self.sure and mask is None
        if sure:
            own.fill(-0.0)
        else:
            own.view(np.int64).fill(NOTHING)
        owed = [True] * len(self.wanted) if mask is None else np.ravel(mask).tolist()
        for k, paid, on in zip(self.wanted.tolist(), np.ravel(seed).tolist(), owed, strict=True):
            if on:
                there = bars[k]
                bars[k] = paid if there.view(np.int64) == NOTHING else there + paid
        _run(Reverse(VERSION, sure), *self._columns(values), _at(bars), self.base, self.size)
        found, paid_at_all = [], []
        for shape, (entries, places) in zip(shapes, self.reads, strict=True):
            gradient = np.zeros(shape)
            _run(Scatter(VERSION), *map(_at, (bars, entries, gradient, places)), len(entries))
            found.append(gradient)
            if masks:
                touched = np.zeros(shape, np.bool_)
                touched.reshape(-1)[places[bars[entries].view(np.int64) != NOTHING]] = True
                paid_at_all.append(touched)
        self.done(bars)
        return found, paid_at_all


def _cases(columns: Columns, edges: Array, constant: Array) -> Array:
    """For each entry the case of the switch: its row, and the arguments to pay (constants are not)."""
    number = {operation: k for k, operation in enumerate(operations()) if operation is not None}
    table = np.zeros((256, 8), np.uint8)
    for k, row in enumerate(ROWS):
        if row.name in able():
            for mask in range(8):
                paid = tuple(s for s, partial in enumerate(row.partials) if partial is not None and mask >> s & 1)
                table[FIRST_ROW + k, mask] = number[Operation(row.name, paid)]
    varies = np.append(~constant, False)  # of no argument: the last
    mask = varies[edges[:, 0]] | varies[edges[:, 1]].astype(np.uint8) << 1
    thirds = np.flatnonzero(columns.codes == THIRD)
    mask[thirds + 1] |= varies[edges[thirds, 0]].astype(np.uint8) << 2
    cases = table[columns.codes, mask]
    squared = np.flatnonzero(columns.codes == FIRST_ROW + ROWS.index(TABLE["power"]))
    exponents = edges[squared, 1]
    exponents = exponents[constant[exponents]], squared[constant[exponents]]
    twice = exponents[1][columns.constants[columns.first[exponents[0]]] == 2.0]
    cases[twice] = np.where(mask[twice] & 1, number[Operation(SQUARE, (0,))], number[Operation(SQUARE, ())])
    return cases


# bodies ---------------------------------------------------------------------------------------------------------


class TapeBody(Body):
    """A body that replays a tape; its graph is made when something asks for it."""

    replayed = True

    def __init__(self, tape: Tape, columns: Columns, takes: Sequence[Aval], gives: Sequence[Aval]):
        self.tape, self.columns = tape, columns
        self.takes, self.gives = tuple(takes), tuple(gives)
        self.derived = {}
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:  # type: ignore[override]
        if self._graph is None:
            self._graph = Graph(*self.written())
        return self._graph

    def written(self) -> tuple[list[Node], list[Node]]:
        """Inputs and outputs, written out as nodes."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<tape of {self.tape.size} numbers: {', '.join(map(str, self.takes))}>"

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:  # type: ignore[override]
        return self(*values)

    def _leaves(self) -> tuple[list[Node], Node]:
        """Fresh inputs, and the result made from them."""
        leaves = [fresh(node.aval, node.params.get("name") or "") for node in self.columns.leaves]
        made = self.columns.nodes(leaves)
        return leaves, _stacked(made) if self.result.shape else _cast(made[0], self.result)

    @property
    def result(self) -> Aval:
        """Of the values."""
        return self.gives[0]

    def _typed(self, value: Any, aval: Aval) -> Any:
        if aval.shape:
            return value
        return float(value) if aval.weak else np.float64(value)


class Values(TapeBody):
    """leaves -> the wanted numbers: one, or several in a row."""

    def written(self) -> tuple[list[Node], list[Node]]:
        leaves, top = self._leaves()
        return leaves, [top]

    def __call__(self, *leaves: Any) -> tuple[Any, ...]:
        values = self.tape.values(leaves)
        wanted = values[self.tape.wanted]
        self.tape.done(values)
        aval = self.gives[0]
        return (wanted if aval.shape else self._typed(wanted[0], aval),)

    def masked_pullback(self, wrt: tuple[int, ...], owed: tuple[int, ...], masked: tuple[int, ...]) -> Masking:
        key = ("masked pullback", wrt, owed, masked)
        if key not in self.derived:
            body = Pullback(self, wrt, bool(masked))
            beside = {wrt.index(slot): len(wrt) + k for k, slot in enumerate(body.hidden)}
            self.derived[key] = Masking(body, (True,) * len(wrt), beside)
        return self.derived[key]  # type: ignore[no-any-return]


class Pullback(TapeBody):
    """(leaves, what the wanted numbers are owed) -> what the leaves `wrt` are owed.

    masked: there is one more input, which of the wanted numbers are owed anything.
    hidden: the leaves that may not be paid, in whole or in part; masks of them follow the results.
    """

    def __init__(self, of: Values, wrt: tuple[int, ...], masked: bool):
        self.of, self.wrt, self.masked = of, wrt, masked
        self.hidden = [slot for slot in wrt if masked or not of.tape.surely_pays(slot, of.takes[slot])]
        (result,) = of.gives
        mask = [Aval(result.shape, BOOL)] if masked else []
        gives = [of.takes[slot] for slot in wrt]
        masks = [Aval(of.takes[slot].shape, BOOL) for slot in self.hidden]
        super().__init__(of.tape, of.columns, (*of.takes, result, *mask), [*gives, *masks])

    def written(self) -> tuple[list[Node], list[Node]]:
        whole = Body(self.of.graph.inputs, self.of.graph.outputs)
        pulled, answered, beside = whole.masked_pullback(self.wrt, (0,), (0,) if self.masked else ())
        outputs = pulled.graph.outputs
        position, made, masks = 0, [], []
        for there, slot in zip(answered, self.wrt, strict=True):
            aval = self.of.takes[slot]
            made.append(outputs[position] if there else _zeros(aval))
            if slot in self.hidden and there and position in beside:
                masks.append(outputs[beside[position]])
            elif slot in self.hidden:
                masks.append(const(np.full(aval.shape, there)[()]))
            position += there
        return list(pulled.graph.inputs), [*made, *masks]

    def __call__(self, *given: Any) -> tuple[Any, ...]:
        count = len(self.of.takes)
        leaves, seed = given[:count], given[count]
        values = self.tape.values(leaves)
        mask = given[count + 1] if self.masked else None
        found, masks = self.tape.owed(values, seed, [aval.shape for aval in self.of.takes], mask, bool(self.hidden))
        self.tape.done(values)
        bars = [self._typed(found[slot], self.gives[k]) for k, slot in enumerate(self.wrt)]
        return (*bars, *(masks[slot][()] for slot in self.hidden))


class ValueAndGradient(TapeBody):
    """leaves -> (the wanted number, what each leaf is owed for it).

    hidden: the leaves that pay others in their turn and may not be paid themselves; masks of them follow.
    """

    def __init__(self, tape: Tape, columns: Columns, takes: Sequence[Aval], gives: Sequence[Aval], hidden: list[int]):
        self.hidden = hidden
        super().__init__(tape, columns, takes, [*gives, *(Aval(takes[slot].shape, BOOL) for slot in hidden)])

    def written(self) -> tuple[list[Node], list[Node]]:
        leaves, top = self._leaves()
        gradient = Gradient(on_graph=True)
        settled = sweep(gradient, {top: gradient.operand(const(self._typed(1.0, top.aval)))}, leaves)
        made = [_cast(gradient.result(settled[node]), node.aval) if node in settled else _zeros(node.aval)
                for node in leaves]  # fmt: skip
        for slot in self.hidden:
            node = leaves[slot]
            bar = settled.get(node)
            made.append(gradient.whole_mask(bar, node).node if type(bar) is Masked
                        else const(np.full(node.shape, bar is not None)[()]))  # fmt: skip
        return leaves, [top, *made]

    def __call__(self, *leaves: Any) -> tuple[Any, ...]:
        values = self.tape.values(leaves)
        value = values[self.tape.wanted[0]]
        found, masks = self.tape.owed(values, 1.0, [aval.shape for aval in self.takes], None, bool(self.hidden))
        self.tape.done(values)
        return (self._typed(value, self.gives[0]),
                *(self._typed(bar, aval) for bar, aval in zip(found, self.takes, strict=True)),
                *(masks[slot][()] for slot in self.hidden))  # fmt: skip


def _zeros(aval: Aval) -> Node:
    return const(0.0 if aval.weak else np.zeros(aval.shape, aval.dtype)[()])


def _cast(node: Node, aval: Aval) -> Node:
    if node.aval.weak == aval.weak:
        return node
    return append(TABLE["cast"], (node,), {"dtype": aval.dtype, "weak": aval.weak}, node.where)


def _stacked(nodes: list[Node]) -> Node:
    strong = [_cast(node, Aval((), FLOAT64)) for node in nodes]
    return apply(TABLE["stack"], strong, None, {"axis": 0})


def _called(body: TapeBody, where: Any) -> list[Node]:
    node = apply(TABLE["call"], body.columns.leaves, where, {"body": body})
    return [append(TABLE["part"], (node,), {"k": k}, where) for k in range(len(body.gives))]


def call_of(columns: Columns, shape: tuple[int, ...] | None) -> list[Node]:
    """The results as one node that replays the columns: of this shape, or a Python float."""
    takes = [node.aval for node in columns.leaves]
    gives = Aval(shape or (), FLOAT64, shape is None)
    return _called(Values(Tape(columns), columns, takes, [gives]), columns.wheres[columns.places[-1]])


def value_and_gradient(columns: Columns, weak: bool) -> list[Any]:
    """The result, and what each leaf is owed for it: nodes that one replay forwards and one backwards compute.

    Of a leaf that pays others in its turn and may not be paid itself, a pair: what it is owed, and a mask.
    """
    takes = [node.aval for node in columns.leaves]
    tape = Tape(columns)
    hidden = [slot for slot, node in enumerate(columns.leaves)
              if not _is_end(node) and not tape.surely_pays(slot, node.aval)]  # fmt: skip
    body = ValueAndGradient(tape, columns, takes, [Aval((), FLOAT64, weak), *takes], hidden)
    made = _called(body, columns.wheres[columns.places[-1]])
    count = 1 + len(takes)
    masks = dict(zip(hidden, made[count:], strict=True))
    return [made[0], *((bar, masks[slot]) if slot in masks else bar for slot, bar in enumerate(made[1:count]))]


def _is_end(node: Node) -> bool:
    """Whether it was made from nothing, or is such a node by another name."""
    while node.op.name == "identity":
        (node,) = node.args
    return not node.args


class Direct:
    """A program that is a tape and nothing else, called without a detour: in it are the call's parts alone."""

    segment = None

    def __init__(self, body: TapeBody, given: list[int], parts: list[int]):
        self.body, self.given, self.parts = body, given, parts

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        found = self.body(*[inputs[k] for k in self.given])
        return tuple(found[k] for k in self.parts)

    def llvm(self) -> str:
        """The kernels that replay tapes, as LLVM IR."""
        return str(library.module_of([Forward(VERSION), Reverse(VERSION, self.body.tape.sure)]))

    def explain(self) -> str:
        """What the program consists of, for people."""
        tape = self.body.tape
        fans = int((tape.codes == FAN).sum())
        return (f"a scalar program of {len(self.body.columns.codes):,} entries on a tape, {fans:,} fans among "
                f"{tape.size:,} numbers; {21 * tape.size:,} bytes with their adjoints")  # fmt: skip


def direct(graph: Graph) -> Direct | None:
    """The program of a graph that is one tape's call of its inputs; else None."""
    place = {node: k for k, node in enumerate(graph.inputs)}
    calls = [node for node in graph.nodes if node.op.name == "call" and isinstance(node.params["body"], TapeBody)]
    if len(calls) != 1:
        return None
    for node in graph.nodes:
        if node.op.name == "identity" and node.args[0] in place:
            place[node] = place[node.args[0]]
        elif node.op.name == "part":
            if node.args[0] is not calls[0]:
                return None
        elif node is not calls[0]:
            return None
    if any(node not in place for node in calls[0].args) or any(node.op.name != "part" for node in graph.outputs):
        return None
    return Direct(calls[0].params["body"], [place[node] for node in calls[0].args],
                  [node.params["k"] for node in graph.outputs])  # fmt: skip
