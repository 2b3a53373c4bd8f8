"""Common subexpressions: what is computed twice from the same arguments is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.passes.rewrite import Change, Rule, rewrite

LARGEST = 1 << 17  # bytes of a constant that is compared with others
_COMPARED = (str, bytes, type(None), type(Ellipsis), np.dtype, type)


def _of(param: Any) -> Any:
    """What two parameters have in common only if they mean the same.

    Bodies, functions and whatever else is not known here are the same only if they are one thing: what they are shown
    as is for people, and two of them may look alike.
    """
    kind = type(param)  # most are tuples of whole numbers, or of letters
    if kind is str:
        return param
    if kind is int:
        return int, param
    if kind is tuple:
        return (tuple, *[(int, x) if type(x) is int else _of(x) for x in param])
    if isinstance(param, _COMPARED):
        return param
    if isinstance(param, (bool, int, float, complex)):
        return type(param), repr(param)
    if isinstance(param, (np.ndarray, np.generic)) and not param.dtype.hasobject and param.nbytes <= LARGEST:
        return param.shape, param.dtype, param.tobytes()
    if isinstance(param, slice):
        return slice, _of(param.start), _of(param.stop), _of(param.step)
    if isinstance(param, (tuple, list)):
        return type(param), *map(_of, param)
    return id(param)  # the node keeps it alive


def _key(node: Node, args: tuple[Node, ...], told: dict[int, Any]) -> Any:
    """What a node computes; None: it is like no other.  told: of parameters that were looked at, by their identity."""
    if node.op.value is None:
        value = node.value
        if value is None or type(value) is tuple:  # what a row of several results was folded to
            return None
        if isinstance(value, np.ndarray):
            if value.nbytes > LARGEST:
                return None
            return ("const", node.aval, value.tobytes())
        bits = isinstance(value, (float, np.generic))  # 0.0 == -0.0
        return ("const", node.aval, type(value), np.asarray(value).tobytes() if bits else value)
    params = node.params
    if not params:
        return (node.op, *[arg.id for arg in args])
    known = told.get(id(params))
    if known is None:
        items = params.items() if len(params) == 1 else sorted(params.items())
        known = told[id(params)] = params, tuple([(key, _of(value)) for key, value in items])  # which keeps them alive
    return (node.op, known[1], *[arg.id for arg in args])


def cse(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with each value computed once.  Rows are pure functions, random bits too (their key is an argument)."""
    log: list[Change] = []
    return rewrite(graph, once(log)), log


def once(log: list[Change]) -> Rule:
    """The rule of `cse`, for one graph."""
    found: dict[Any, Node] = {}
    told: dict[int, Any] = {}

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        key = _key(node, args, told)
        if key is None:
            return None
        made = node
        if args != node.args and node.op.value is not None:
            made = Node(node.op, args, node.params, None, node.where, node.aval)
        earlier = found.setdefault(key, made)
        if earlier is not made:
            log.append(Change(node, earlier, "computed before"))
        return earlier

    return rule
