"""What the units of a network do, read off a graph that has values: dead, saturated, or nothing between two layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from payback.ir.node import Node, ancestors

FLAT = 1e-3  # of its steepest: a slope below it is saturation
_STEEPEST = {"tanh": 1.0, "sigmoid": 0.25}
_MOVES = frozenset({"reshape", "transpose", "broadcast", "squeeze", "expand_dims", "cast", "moveaxis", "identity"})


class Units(NamedTuple):
    """Units of one activation.

    node: what computes them.  width: how many there are.  dead: those that answer 0 to all rows, of rectifiers.
    flat: the share of their answers at which the slope is next to nothing.  slope: the mean one.
    """

    node: Node
    width: int
    dead: int
    flat: float
    slope: float


def units(top: Node, before: Node) -> Iterator[Units]:
    """Of every activation whose answers are read by a product with parameters up to the node `before`."""
    nodes = [node for node in ancestors([top]) if node.id <= before.id]
    for node in nodes:
        z = _given(node)
        if z is None or not node.shape or not any(_read(node, nodes)):
            continue
        value, x = np.asarray(node.value), np.asarray(z.value)
        if node.op.name in _STEEPEST:
            slopes = (1 - value) * (1 + value) if node.op.name == "tanh" else value * (1 - value)
            flat = float(np.mean(slopes < FLAT * _STEEPEST[node.op.name]))
            yield Units(node, node.shape[-1], 0, flat, float(np.mean(slopes)))
        else:
            on = x > 0
            below = (x < 0).reshape(-1, x.shape[-1]).any(axis=0)  # of weights that are all 0 they are not
            dead = int(np.sum(below & ~on.reshape(-1, on.shape[-1]).any(axis=0)))
            yield Units(node, node.shape[-1], dead, 0.0, float(on.mean()))


def _given(node: Node) -> Node | None:
    """What an activation that can die or saturate is given."""
    if node.op.name in ("tanh", "sigmoid", "relu"):
        return node.args[0]
    if node.op.name == "maximum":  # with 0
        for arg, other in (node.args, node.args[::-1]):
            if other.op.name == "const" and not np.any(other.value):
                return arg
    return None


def _read(node: Node, nodes: Sequence[Node]) -> Iterator[bool]:
    """True for each product with parameters that reads what a node leads to."""
    led = {node}
    for other in nodes:
        if other.id > node.id and led.intersection(other.args):
            led.add(other)
            if other.op.name in ("contract", "conv") and any(arg.op.name == "input" for arg in other.args):
                yield True


def straight(top: Node, weights: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
    """Pairs of weights, a layer and the next, with nothing between them that is not linear, and no narrower waist.

    Such a waist is meant: a matrix of low rank.
    """
    known = set(weights)
    source: dict[Node, Node] = {}  # node -> the weight whose product it is, but for moves and biases
    for node in ancestors([top]):
        if node.op.name == "contract" and len(node.args) == 2 and known.intersection(node.args):
            weight = next(arg for arg in node.args if arg in known)
            x = node.args[node.args[0] is weight]
            if x in known:
                continue
            if (first := source.get(x)) is not None and _waist(first, weight):
                yield first, weight
            source[node] = weight
        elif node.op.name in _MOVES and node.args[0] in source:
            source[node] = source[node.args[0]]
        elif node.op.name in ("add", "sub"):
            led = [arg for arg in node.args if arg in source]
            if len(led) == 1 and all(arg in led or _constant(arg) for arg in node.args):
                source[node] = source[led[0]]


def _waist(first: Node, second: Node) -> bool:
    """Whether what is between two weights is as wide as one of its ends."""
    if len(first.shape) != 2 or len(second.shape) != 2:
        return False
    width = second.shape[0]
    return width >= min(first.shape[0], second.shape[1])


def _constant(node: Node) -> bool:
    """Whether no row of a batch leads to a node: a parameter, a number."""
    return node.op.name in ("input", "const") or (node.op.name in _MOVES and _constant(node.args[0]))
