"""What results owe: the sweep on plain values or on a graph, and its answers as their receiver may keep them."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ad.algebra import Gradient, Masked
from payback.ad.copied import Copying
from payback.ad.scalars import pay_scalars
from payback.ad.sweep import Reach, reach, sweep
from payback.ad.values import lone, pay_values
from payback.ir.node import NO_PARAMS, Node, ancestors
from payback.ops.append import const
from payback.ops.row import CONST, INPUT
from payback.trace.array import NODE_TYPES, Traced
from payback.trace.assignment.memory_order import by_rows
from payback.trace.body import result_of
from payback.trace.refusals.leaks import check, check_ended
from payback.trace.scalars.floats import Float
from payback.trace.shim.shim import tracing


def reached_from(top: Node, wrt: list[Node]) -> tuple[Reach, bool]:
    """The top's ancestors since `wrt`, and whether a value is traced from elsewhere too (or not known at all).

    If so the derivative must be a graph itself, for someone outside may differentiate it again.
    """
    # a younger input belongs to a derivative inside this one, which is done: a constant to all others
    floor = wrt[0].id if len(wrt) == 1 else min(node.id for node in wrt)
    reached = reach((top,), floor, wrt)
    if any(end.op is INPUT and end not in wrt for end in reached.ends):
        check_ended(reached.nodes, wrt, (top,))
    if reached.outside or top.value is None or (top.id < floor and top.op is not CONST):
        return reached, True
    for node in wrt:
        if node.args:
            return reached, True
    return reached, False


def pull_back(
    tops: list[Node], seeds: list[Any], wrt: list[Node], *, units: bool = False, free: bool = False
) -> tuple[list[Any], bool]:
    """What each node of `wrt` is owed (zeros where no path leads), and whether the answers are plain values.

    units: the seeds are unit vectors, whose zeros mean that nothing is asked there: they stay zero whatever they meet.
    free: the caller is done with the nodes, if the answers are plain: then `tops` is emptied, see `sweep`.
    """
    on_graph, reached = False, None
    for top, seed in zip(tops, seeds, strict=True):
        reached, outside = reached_from(top, wrt)
        on_graph = on_graph or outside or type(seed) in NODE_TYPES
    top = seed = None  # type: ignore[assignment]  # or the graph could not be freed while it is swept
    if not on_graph:
        return _pull_values(tops, seeds, wrt, reached, units, free), True
    if not tracing():
        check(tops, wrt)
    bars = pull_graph(tops, seeds, wrt, reached if len(tops) == 1 else None, units)
    return [Traced(by_rows(bar)) for bar in bars], False  # as `own` has it


def of_seeds(bars: list[Any], wrt: list[Node]) -> list[Any]:
    """Gradients by what the seeds are made of alone: what follows from `wrt` is constant, for nobody can follow it."""
    made = {node: const(node.value) for node in wrt}
    for node in ancestors([bar.node for bar in bars], min(node.id for node in wrt)):
        args = tuple([made.get(arg, arg) for arg in node.args])
        if any(new is not old for new, old in zip(args, node.args, strict=True)):
            known = all(arg.op is CONST for arg in args)
            row, given, params = (CONST, (), NO_PARAMS) if known else (node.op, args, node.params)
            made[node] = Node(row, given, params, node.value, node.where, node.aval)
    return [result_of(made.get(bar.node, bar.node)) for bar in bars]


def pull_graph(tops: list[Node], seeds: list[Any], wrt: list[Node], reached: Reach | None, units: bool) -> list[Node]:
    """`pull_back` where the answers are nodes again."""
    gradient = Copying()
    owed: dict[Node, Any] = {}
    for top, seed in zip(tops, seeds, strict=True):
        asked, mask = seed != 0 if units else None, None
        if type(seed) is tuple:  # from a tape, with its mask
            seed, mask = seed
        node = seed if isinstance(seed, Node) else seed.node if isinstance(seed, Traced) else const(seed)
        seed = cast_like(gradient, gradient.operand(node), top)
        if mask is not None:
            seed = Masked(gradient.operand(mask), seed)
        if units and top.shape:
            seed = Masked(gradient.constant(asked), seed)
        owed[top] = gradient.added(top, [owed[top], seed]) if top in owed else seed
    with np.errstate(all="ignore"):
        settled = sweep(gradient, owed, wrt, reached=reached)
        answers = []
        for node in wrt:
            bar = settled.get(node)
            zero_or_bar = gradient.operand(const(zero(node))) if bar is None else gradient.dense(bar)
            answers.append(cast_like(gradient, zero_or_bar, node).node)
    return answers


def of_scalars(top: Float, wrt: list[Node]) -> list[Any] | None:
    """What the top of a scalar program owes each node of `wrt`; None if the sweep is to find that."""
    if top.row is None or any(node.args for node in wrt):
        return None
    leaves = set(wrt)
    with np.errstate(all="ignore"):
        found = pay_scalars(top, 1.0, leaves.__contains__)
    if found is None:
        return None
    paid = dict(zip(*found[2:], strict=True))
    return [paid[node] if node in paid else own(node, zero(node)) for node in wrt]


def _pull_values(
    tops: list[Node], seeds: list[Any], wrt: list[Node], reached: Reach | None, units: bool, free: bool
) -> list[Any]:
    """`pull_back` where no one outside may differentiate the answers."""
    owed = _owed(tops, seeds, units)
    if len(tops) > 1 or reached is None:
        reached = reach(tops, min(node.id for node in wrt), wrt)
    if free:
        tops.clear()
    gradient = Gradient(on_graph=False)
    answers = []
    with np.errstate(all="ignore"):
        settled = pay_values(gradient, owed, set(wrt), reached, free=free)
        for node in wrt:
            bar, alone = lone(settled, node)  # if nobody else has it, it is given away
            value = node.value  # of a number an array is owed, if it was worked with as one
            given = alone and type(bar) is type(value) is np.ndarray and bar.dtype is value.dtype and _whole(bar)
            if not given:
                bar = own(node, zero(node) if bar is None else gradient.dense(bar))
            answers.append(bar)
            bar = None
    return answers


def _owed(tops: list[Node], seeds: list[Any], units: bool) -> dict[Node, Any]:
    """What the tops are owed to begin with."""
    owed: dict[Node, Any] = {}
    for top, seed in zip(tops, seeds, strict=True):
        if units and top.shape:
            seed = Masked(seed != 0, seed)
        owed[top] = owed[top] + seed if top in owed else seed
    return owed


def _whole(array: np.ndarray[Any, Any]) -> bool:
    """Whether an array has its memory for itself, as one would make it."""
    return array.base is None and array.flags.carray


def cast_like(gradient: Gradient, bar: Any, node: Node) -> Any:
    """An adjoint on a graph in the node's dtype, and weak if the node is a Python number."""
    return gradient.m.cast(bar, dtype=node.aval.dtype, weak=node.aval.weak)


def zero(node: Node) -> Any:
    aval = node.aval
    return 0.0 if aval.weak else np.zeros(aval.shape, aval.dtype)[()]


def own(node: Node, bar: Any) -> Any:
    """The answer as its receiver may keep it: a Python float for a Python number, a writable array of its own."""
    value = node.value
    if type(bar) is type(value) is np.ndarray and bar.dtype is value.dtype:
        return bar.copy()
    if node.aval.weak:
        return float(bar)
    return np.array(bar, dtype=node.aval.dtype, order="C") if node.shape else node.aval.dtype.type(bar)
