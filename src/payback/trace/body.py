"""Bodies: functions inside a graph (of loops, branches, calls), as graphs of their own.

A body depends on its inputs alone.  What a function takes from around it becomes a further input (closure
conversion), so the node that runs the body has it among its arguments and pays it as it pays the others.  A body
knows how to run, and makes the bodies of its derivatives by the one sweep and the one push, once each.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from payback.ad.algebra import Gradient, Masked
from payback.ad.batch import Batch
from payback.ad.push import push
from payback.ad.sweep import sweep
from payback.errors import InputError
from payback.ir.aval import BOOL, Aval
from payback.ir.graph import Graph
from payback.ir.node import NO_PARAMS, Node, ancestors, next_id
from payback.ops.append import append, apply, const
from payback.ops.recording import Recording, Term
from payback.ops.row import CONST, INPUT, TABLE
from payback.run.interpreter import Interpreter, quietly
from payback.trace.array import Traced
from payback.trace.assignment.views import argument, is_written
from payback.trace.plain_arrays import now, outside
from payback.trace.refusals.leaks import check_ended, close
from payback.trace.shim.shim import call
from payback.trace.tree import leaves


def fresh(aval: Aval, strides: tuple[int, ...] | None = None, name: str = "") -> Node:
    """An input without a number.  strides: how its array lies in memory, see `named`."""
    return Node(INPUT, (), {"name": name} if strides is None else {"name": name, "strides": strides}, None, None, aval)


def rebuilt(outputs: Sequence[Node], given: dict[Node, Node]) -> list[Node]:
    """The outputs made anew from other nodes in the places of `given`, without numbers; what depends on none stays."""
    order = ancestors(outputs, cut=frozenset(given))
    made = dict(given)
    for node in order:
        if node not in made:
            args = tuple(made.get(arg, arg) for arg in node.args)
            if any(new is not old for new, old in zip(args, node.args, strict=True)):
                made[node] = Node(node.op, args, node.params, None, node.where, node.aval)
    return [made.get(node, node) for node in outputs]


class Derived(NamedTuple):
    """A derivative's body, and which of the things asked for it answers: no path leads to the others."""

    body: Body
    answered: tuple[bool, ...]


class Masking(NamedTuple):
    """A derivative's body whose results are followed by masks, where a mask is false there is nothing.

    beside: for the results that have one, the place of the mask.
    """

    body: Body
    answered: tuple[bool, ...]
    beside: dict[int, int]


class Batched(NamedTuple):
    """A body for a batch, and which of its results are batched: the others are the same for all samples."""

    body: Body
    on: tuple[bool, ...]


class Body:
    """A graph that is run as one: `body(*values)` is the tuple of its results.

    graph: without numbers; inputs and results have the avals `takes` and `gives`.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]):
        self.graph = Graph(inputs, outputs)
        self.takes = tuple(node.aval for node in inputs)
        self.gives = tuple(node.aval for node in outputs)
        self.run = Interpreter(self.graph).run
        self.derived: dict[Any, Any] = {}

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        return self.run(values)

    def __repr__(self) -> str:
        return f"<body of {len(self.graph.nodes)} nodes: {', '.join(map(str, self.takes))}>"

    def pullback(self, wrt: tuple[int, ...], owed: tuple[int, ...]) -> Derived:
        """The body (*inputs, *what the results `owed` are owed) -> what the inputs `wrt` are owed.

        Its results are those that a path leads to, in the order of `wrt`.
        """
        key = ("pullback", wrt, owed)
        if key not in self.derived:
            inputs, outputs = self.graph.inputs, self.graph.outputs
            bars = [fresh(self.gives[k]) for k in owed]
            gradient = Gradient(on_graph=True)
            tops: dict[Node, Any] = {}
            for k, bar in zip(owed, bars, strict=True):
                term = gradient.operand(bar)
                tops[outputs[k]] = tops[outputs[k]] + term if outputs[k] in tops else term
            targets = [inputs[slot] for slot in wrt]
            settled = sweep(gradient, tops, targets)
            made = [_like(gradient, settled[node], node) for node in targets if node in settled]
            self.derived[key] = Derived(Body([*inputs, *bars], made), tuple(node in settled for node in targets))
        return self.derived[key]

    def masked_pullback(self, wrt: tuple[int, ...], owed: tuple[int, ...], masked: tuple[int, ...]) -> Masking:
        """The body (*inputs, *what the results `owed` are owed, *masks of those of them that are `masked`) -> what the
        inputs `wrt` are owed, then masks.
        """
        key = ("masked pullback", wrt, owed, masked)
        if key not in self.derived:
            inputs, outputs = self.graph.inputs, self.graph.outputs
            bars = [fresh(self.gives[k]) for k in owed]
            masks = [fresh(Aval(self.gives[k].shape, BOOL)) for k in masked]
            gradient = Gradient(on_graph=True)
            hides = dict(zip(masked, masks, strict=True))
            piles: dict[Node, list[Any]] = {}
            for k, bar in zip(owed, bars, strict=True):
                term: Any = gradient.operand(bar)
                if k in hides:
                    term = gradient.masked(gradient.operand(hides[k]), term)
                piles.setdefault(outputs[k], []).append(term)
            tops = {node: gradient.total(node, [(None, 0, term) for term in reversed(pile)])
                    for node, pile in piles.items()}  # fmt: skip
            targets = [inputs[slot] for slot in wrt]
            settled = sweep(gradient, tops, targets)
            found = [(node, settled[node]) for node in targets if node in settled]
            made, beside = _beside_masks(gradient, [], found)
            answered = tuple(node in settled for node in targets)
            self.derived[key] = Masking(Body([*inputs, *bars, *masks], made), answered, beside)
        return self.derived[key]

    def pushforward(self, moved: tuple[int, ...]) -> Derived:
        """The body (*inputs, *tangents of the inputs `moved`) -> (*results, *tangents of the results that move)."""
        key = ("pushforward", moved)
        if key not in self.derived:
            inputs, outputs = self.graph.inputs, self.graph.outputs
            dots = [fresh(self.takes[slot]) for slot in moved]
            gradient = Gradient(on_graph=True)
            given = {inputs[slot]: gradient.operand(dot) for slot, dot in zip(moved, dots, strict=True)}
            found = push(gradient, ancestors(outputs), given) if given else {}
            made = [_like(gradient, found[node], node) for node in outputs if node in found]
            answered = tuple(node in found for node in outputs)
            self.derived[key] = Derived(Body([*inputs, *dots], [*outputs, *made]), answered)
        return self.derived[key]

    def masked_pushforward(self, moved: tuple[int, ...], masked: tuple[int, ...]) -> Masking:
        """The body (*inputs, *tangents of the inputs `moved`, *masks of those of them that are `masked`) -> (*results,
        *tangents of the results that move), then masks.
        """
        key = ("masked pushforward", moved, masked)
        if key not in self.derived:
            inputs, outputs = self.graph.inputs, self.graph.outputs
            dots = [fresh(self.takes[slot]) for slot in moved]
            masks = [fresh(Aval(self.takes[slot].shape, BOOL)) for slot in masked]
            gradient = Gradient(on_graph=True)
            given: dict[Node, Any] = {
                inputs[slot]: gradient.operand(dot) for slot, dot in zip(moved, dots, strict=True)
            }
            for slot, mask in zip(masked, masks, strict=True):
                given[inputs[slot]] = gradient.masked(gradient.operand(mask), given[inputs[slot]])
            found = push(gradient, ancestors(outputs), given) if given else {}
            moving = [(node, found[node]) for node in outputs if node in found]
            made, beside = _beside_masks(gradient, outputs, moving)
            answered = tuple(node in found for node in outputs)
            self.derived[key] = Masking(Body([*inputs, *dots, *masks], made), answered, beside)
        return self.derived[key]

    def once(self, key: Any, takes: Iterable[Aval], build: Callable[..., Sequence[Any]]) -> Body:
        """A body made of this one: `build(m, *terms)` says what it computes.  Kept under the key."""
        if key not in self.derived:
            inputs = [fresh(aval) for aval in takes]
            m = Recording()
            outputs = build(m, *[Term(node, m) for node in inputs])
            self.derived[key] = Body(inputs, [term.node if type(term) is Term else term for term in outputs])
        return self.derived[key]

    def batched(self, on: tuple[bool, ...], size: int, force: tuple[bool, ...] = ()) -> Batched:
        """The body for inputs of which those that `on` says have a batch of `size` as their first axis.

        force: the first results that are batched in any case.
        """
        key = ("batched", on, size, force)
        if key not in self.derived:
            avals = [Aval((size, *aval.shape), aval.dtype) if there else aval
                     for aval, there in zip(self.takes, on, strict=True)]  # fmt: skip
            inputs, m = [fresh(aval) for aval in avals], Recording()
            made, flags = self.replay(m, [Term(node, m) for node in inputs], on, size, force)
            self.derived[key] = Batched(Body(inputs, [term.node for term in made]), flags)
        return self.derived[key]

    def replay(
        self, m: Recording, operands: Sequence[Any], on: Sequence[bool], size: int, force: Sequence[bool] = ()
    ) -> tuple[list[Any], tuple[bool, ...]]:
        """Its results for a batch on terms of another graph, and which of them are batched."""
        return Batch(m, size, Body).graph(self.graph, operands, on, force)

    def inline(self, m: Recording, operands: Sequence[Any]) -> list[Any]:
        """Its results on terms of another graph, its nodes copied there."""
        given = {node: operand.node for node, operand in zip(self.graph.inputs, operands, strict=True)}
        return [Term(node, m) for node in rebuilt(self.graph.outputs, given)]


def _like(gradient: Gradient, bar: Any, node: Node) -> Node:
    return gradient.m.cast(gradient.dense(bar), dtype=node.aval.dtype, weak=node.aval.weak).node


def _beside_masks(
    gradient: Gradient, results: Sequence[Node], found: Sequence[tuple[Node, Any]]
) -> tuple[list[Node], dict[int, int]]:
    """The results, what was found for nodes, and their masks; where the masks are."""
    made = [*results, *(_like(gradient, bar, node) for node, bar in found)]
    beside = {}
    for position, (node, bar) in enumerate(found, len(results)):
        if type(bar) is Masked:
            beside[position] = len(made)
            made.append(gradient.whole_mask(bar, node).node)
    return made, beside


def enclosed(
    inputs: Sequence[Node], outputs: Sequence[Node], fixed: Mapping[Node, Any] = MappingProxyType({}),
    since: int | None = None,
) -> tuple[Body, list[Node]]:  # fmt: skip
    """The body of what was computed from the inputs, and the nodes from around it that are its further inputs.

    fixed: inputs that nobody can give other numbers than these.
    since: the id from which on all that was computed belongs to the body, from whatever it was.
    """
    own = {*inputs, *fixed}
    first = min((node.id for node in inputs), default=since)
    born = np.inf if first is None else first
    order = ancestors(outputs, floor=first or 0, cut=frozenset(inputs))
    check_ended(order, own, outputs)
    inside = set(own)
    captured: dict[Node, None] = {}
    # A younger input with a value belongs to a derivative inside the function, which is done: it is a constant to all
    # others, and so is what was computed from such ones alone.
    done: set[Node] = set()
    for node in order:
        young = node.value is not None and node.id > born and node not in own
        if young and (all(arg in done or arg.op is CONST for arg in node.args) if node.args else node.op is INPUT):
            done.add(node)
        whole = since is not None and node.id >= since and node.args
        if node not in own and (whole or any(arg in inside for arg in node.args)):
            inside.add(node)
            captured |= dict.fromkeys(arg for arg in node.args if arg not in inside and arg.op is not CONST)
    captured |= dict.fromkeys(node for node in outputs if node not in inside and node.op is not CONST)
    constants = [node for node in captured if node in done]
    for node in constants:
        del captured[node]
    new = [fresh(node.aval, None, node.params.get("name") or "") for node in (*inputs, *captured)]
    given = dict(zip((*inputs, *captured), new, strict=True))
    numbers = {node: node.value for node in constants} | dict(fixed)
    given |= {node: Node(CONST, (), NO_PARAMS, value, node.where) for node, value in numbers.items()}
    return Body(new, rebuilt(outputs, given)), list(captured)


class TracedBody(NamedTuple):
    """A function's body for arguments of certain avals; `result` is a container like its result.

    written: which of its leaves the function writes into.
    """

    body: Body
    captured: list[Node]
    result: Any
    written: list[int]


def trace_body(
    f: Callable[..., Any], avals: Sequence[Aval], rebuild: Callable[[list[Any]], tuple[Any, ...]],
    strides: Sequence[tuple[int, ...] | None] | None = None, *, whole: bool = False,
) -> TracedBody:  # fmt: skip
    """Trace `f(*rebuild(leaves))` without numbers, one leaf for each aval.

    strides: of each leaf, as `strides_of` gives them.
    whole: whether the body holds what f computes from values around it alone, too: it is not to run unless f does.
    Raises TraceError where f looks at a number.
    """
    inputs = [fresh(aval, steps) for aval, steps in zip(avals, strides or [None] * len(avals), strict=True)]
    given = [argument(Traced(node)) for node in inputs]
    since = next_id() if whole else None
    result = finished(call(f, rebuild(list(given)), {}))
    close(inputs, ended=True)
    body, captured = enclosed(inputs, [node_of(leaf) for leaf in leaves(result)], since=since)
    written = [k for k, (x, node) in enumerate(zip(given, inputs, strict=True)) if is_written(x, node)]
    return TracedBody(body, captured, result, written)


def finished(result: Any) -> Any:
    """What a traced function has returned.  Raises InputError for what would go on computing afterwards."""
    for leaf in leaves(result):
        if isinstance(leaf, (Iterator, Coroutine)):
            if isinstance(leaf, Coroutine):
                leaf.close()  # or Python warns that nobody has awaited it
            raise InputError(f"a function that is compiled or batched returns a {type(leaf).__name__}",
                             why="it has computed nothing yet, and what is traced ends with the call",
                             fix="return what it gives, for example list(...)")  # fmt: skip
    return result


def is_number(leaf: Any) -> bool:
    """Whether a leaf is something to compute with; anything else is handed on as it is."""
    return isinstance(leaf, (Traced, int, float, complex)) or hasattr(leaf, "__array__")


def node_of(leaf: Any) -> Node:
    """The node of a traced value; of a plain number or array, a constant (unless it may change: see `outside`)."""
    leaf = outside(now(leaf))
    if isinstance(leaf, Traced):
        return leaf.node
    return leaf if isinstance(leaf, Node) else const(leaf)


def result_of(node: Node) -> Any:
    """What a user gets for a node: a constant's bare value (an array of its own), else a traced value."""
    if node.op is not CONST:
        return Traced(node)
    return np.array(node.value) if isinstance(node.value, np.ndarray) else node.value


def run_node(name: str, args: Sequence[Any], where: Any, **params: Any) -> list[Any]:
    """A node of a row that has several results, and these as users get them."""
    with quietly():
        node = apply(TABLE[name], args, where, params)
        return [result_of(append(TABLE["part"], (node,), {"k": k}, where)) for k in range(len(node.aval))]
