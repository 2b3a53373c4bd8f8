"""The weights of a sum of exponentials, exp(x − log Σ exp x), from the exponentials that the sum has added up.

`logsumexp` is paid with them, and a program that goes on with exp(log_softmax(x)) asks for them itself.
"""

from __future__ import annotations

import numpy as np

from payback.ir.aval import BOOL, Aval
from payback.ir.graph import Graph
from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import freeze
from payback.ops.row import CONST, TABLE
from payback.passes.rewrite import Change, rewrite

SHAPES = ("broadcast", "reshape")
LARGEST = 1 << 22  # bytes of exponentials that are kept: more are as quickly computed again as read from memory


def weights(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with such weights as quotients, where the largest x was taken off before; equal to rounding."""
    log: list[Change] = []

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name != "exp" or args[0].op.name != "sub" or node.aval.size * node.aval.dtype.itemsize > LARGEST:
            return None
        x, spread = args[0].args
        found = _exponentials(x, spread)
        if found is None:
            return None
        exponentials, inverse = found
        made = _pair("mul", exponentials, inverse, node)
        log.append(Change(node, made, "its exponentials are there"))
        return made

    return rewrite(graph, rule, "exp"), log


def _exponentials(x: Node, spread: Node) -> tuple[Node, Node] | None:
    """exp(x − m) and 1/Σ, if what is spread over x is log Σ + m; or exp(x) and 1/Σ, if it is log Σ and x = y − m.

    m: the largest of the entries that are added up, so that nothing overflows.
    """
    total, guarded = spread, False
    while total.op.name in SHAPES or _is_guard(total):
        guarded = guarded or total.op.name == "select"
        total = _given(total)
    logs = [arg for arg in (total.args if total.op.name == "add" else (total,)) if arg.op.name == "log"]
    if len(logs) != 1:
        return None
    added = logs[0].args[0]
    while added.op.name == "reshape":
        (added,) = added.args
    if added.op.name != "sum" or added.args[0].op.name != "exp" or added.args[0].aval != x.aval:
        return None
    (exponentials,), axes = added.args, added.params["axes"]
    difference = exponentials.args[0]
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(x.aval.shape))
    if difference.op.name != "sub" or _core(spread, kept) is not total:
        return None
    y, shift = difference.args
    top = shift
    while top.op.name in (*SHAPES, "select", "stop_gradient", "identity"):
        top = top.args[top.op.name == "select"]
    if top.op.name != "max" or top.args[0] is not y or set(top.params["axes"]) != set(axes):
        return None
    if total is logs[0]:
        fits = difference is x
    else:
        others = [arg for arg in total.args if arg is not logs[0]]
        fits = y is x and len(others) == 1 and _core(others[0]) is _core(shift, kept)
    return (exponentials, _inverse(added, guarded, kept)) if fits else None


def _core(spread: Node, kept: tuple[int, ...] | None = None) -> Node | None:
    """What is given other shapes of its size; kept: None if it is not spread over an array as what has that shape."""
    node = spread
    if kept is not None:
        while node.op.name == "broadcast" or _is_guard(node):
            node = _given(node)
        if (1,) * (len(kept) - len(node.aval.shape)) + node.aval.shape != kept:
            return None
    while (node.op.name in SHAPES and _given(node).aval.size == node.aval.size) or _is_guard(node):
        node = _given(node)
    return node


def _given(node: Node) -> Node:
    return node.args[2 if node.op.name == "select" else 0]


def _is_guard(node: Node) -> bool:
    """Whether it is 0 where a number is −∞, and else that number."""
    if node.op.name != "select" or not _is(node.args[1], 0.0):
        return False
    condition, _, x = node.args
    return condition.op.name == "eq" and condition.args[0] is x and _is(condition.args[1], -np.inf)


def _is(node: Node, number: float) -> bool:
    return node.op is CONST and node.value is not None and node.aval.shape == () and float(node.value) == number


def _inverse(added: Node, guarded: bool, shape: tuple[int, ...]) -> Node:
    """1/Σ, and 0 where all x are −∞ and so are their exponentials 0."""
    dtype = added.aval.dtype
    if added.aval.shape != shape:
        added = Node(TABLE["reshape"], (added,), {"shape": shape}, None, added.where, Aval(shape, dtype))
    zero, one = (Node(CONST, (), NO_PARAMS, freeze(dtype.type(n)), added.where, Aval((), dtype)) for n in (0.0, 1.0))
    inverse = _pair("div", one, added, added)
    if not guarded:
        return inverse
    none = Node(TABLE["eq"], (added, zero), NO_PARAMS, None, added.where, Aval(added.aval.shape, BOOL))
    return Node(TABLE["select"], (none, zero, inverse), NO_PARAMS, None, added.where, added.aval)


def _pair(name: str, a: Node, b: Node, like: Node) -> Node:
    return Node(TABLE[name], (a, b), NO_PARAMS, None, like.where, like.aval)
