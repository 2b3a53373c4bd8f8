"""Bodies that replay a tape: what stands in a graph for many scalars.

They stand there as those of any call do.  Whatever else is done with them (second derivatives, forward mode, batches)
is done with their graph, one node for each entry, made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient, Masked
from payback.ad.sweep import sweep
from payback.ir.aval import BOOL, FLOAT64, Aval
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.native.codegen import library
from payback.native.tape.cases import FAN
from payback.native.tape.columns import Tape
from payback.ops.append import append, apply, const
from payback.ops.row import TABLE
from payback.trace.body import Body, Masking, fresh
from payback.trace.scalars.columns import Columns


class TapeBody(Body):
    """A body that replays a tape; its graph is made when something asks for it."""

    replayed = True

    def __init__(self, tape: Tape, columns: Columns, takes: Sequence[Aval], gives: Sequence[Aval]):
        self.tape, self.columns = tape, columns
        self.takes, self.gives = tuple(takes), tuple(gives)
        self.derived = {}
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        if self._graph is None:
            self._graph = Graph(*self.written())
        return self._graph

    def written(self) -> tuple[list[Node], list[Node]]:
        """Inputs and outputs, written out as nodes."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<tape of {self.tape.size} numbers: {', '.join(map(str, self.takes))}>"

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return self(*values)

    def _leaves(self) -> tuple[list[Node], Node]:
        """Fresh inputs, and the result made from them."""
        leaves = [fresh(node.aval, None, node.params.get("name") or "") for node in self.columns.leaves]
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
        wanted, _, _ = self.tape.run(leaves)
        aval = self.gives[0]
        return (wanted if aval.shape else self._typed(wanted[0], aval),)

    def masked_pullback(self, wrt: tuple[int, ...], owed: tuple[int, ...], masked: tuple[int, ...]) -> Masking:
        key = ("masked pullback", wrt, owed, masked)
        if key not in self.derived:
            body = Pullback(self, wrt, bool(masked))
            beside = {wrt.index(slot): len(wrt) + k for k, slot in enumerate(body.hidden)}
            self.derived[key] = Masking(body, (True,) * len(wrt), beside)
        return self.derived[key]


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
        mask = given[count + 1] if self.masked else None
        _, found, masks = self.tape.run(leaves, seed, mask, bool(self.hidden))
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
        (value,), found, masks = self.tape.run(leaves, 1.0, None, bool(self.hidden))
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
    replayed = True

    def __init__(self, body: TapeBody, given: list[int], parts: list[int], inputs: list[Aval]):
        self.body, self.given, self.parts = body, given, parts
        self._count, self._avals = len(inputs), list(enumerate(inputs))

    def quickly(self, args: tuple[Any, ...]) -> list[Any] | None:
        """The results, or None where the arguments are not those that the graph takes."""
        if len(args) != self._count:
            return None
        for k, aval in self._avals:
            x = args[k]
            if aval.weak:
                if type(x) is not float:
                    return None
            elif type(x) is not np.ndarray or x.dtype != aval.dtype or x.shape != aval.shape:
                return None
            # what lies otherwise may be another graph: NumPy copies where it reshapes that
            if not aval.weak and x.ndim > 1 and not x.flags.c_contiguous:
                return None
        return list(self(*args))

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        found = self.body(*[inputs[k] for k in self.given])
        return tuple(found[k] for k in self.parts)

    def llvm(self) -> str:
        """The kernels that replay tapes, as LLVM IR."""
        return str(library.module_of(self.body.tape.kernels()))

    def explain(self) -> str:
        """What the program consists of, for people."""
        tape = self.body.tape
        fans = int((tape.codes == FAN).sum())
        return (f"a scalar program of {len(self.body.columns.codes):,} entries on a tape, {fans:,} fans among "
                f"{tape.size:,} numbers; {17 * tape.size + 8 * tape.adjoints:,} bytes with their adjoints")  # fmt: skip


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
                  [node.params["k"] for node in graph.outputs], [node.aval for node in graph.inputs])  # fmt: skip
