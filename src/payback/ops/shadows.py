"""Large values that no rule will read are let go as soon as the program has done with them.

A node holds its value, and a graph holds its nodes: of x = sin(x)·1.01 + 0.1, again and again, three arrays a round,
where the sweep reads one, the argument of the sine.  So a large node has a *shadow*, the same node without the numbers:
arguments of other nodes are shadows, and the node itself lives as long as somebody may compute with it.  A rule that
reads numbers has them kept on the shadow.  Which it reads is not written down anywhere: it is run on a graph, once, and
that is looked at.  A shadow's own value is an array of the same shape and dtype whose entries are one NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from payback.ir.aval import Aval, aval_of
from payback.ir.node import NO_PARAMS, Node, ancestors
from payback.ops.reduce import spread
from payback.ops.row import CONST, INPUT, Row

LARGE = 1 << 15  # bytes; to make a shadow takes as long as some thousand sums
# Whether nobody but sweeps of plain values reads what nodes hold that are appended now.
sparing: ContextVar[bool] = ContextVar("sparing", default=False)


@contextmanager
def keeping() -> Iterator[None]:
    """Meanwhile all numbers are kept: what follows is taken out of the graph, and computed with again."""
    token = sparing.set(False)
    try:
        yield
    finally:
        sparing.reset(token)


_NOTHING = {dtype: np.full(1, np.nan, dtype).tobytes() for dtype in map(np.dtype, "efd")}
_RESULT = -1  # among the arguments that rules read
_SIMPLE = {int, float, bool, str, tuple, type(None)}  # parameters that may be remembered
_reads: dict[Any, frozenset[int]] = {}
_MOST_READS, _MOST_SLOTS = 4000, 32  # of longer lists, as `stack` has them, all is kept
_new = object.__new__


class _Everything(frozenset[int]):
    def __contains__(self, slot: object) -> bool:
        return True


_ALL = _Everything()


def shade(node: Node) -> None:
    """Give a node with a large value its shadow."""
    value = node.value
    nothing = _NOTHING.get(value.dtype)
    if nothing is None or not sparing.get():
        return
    node.shadow = shadow = _new(Node)
    shadow.id, shadow.op, shadow.args = node.id, node.op, node.args
    shadow.params, shadow.where = node.params, node.where
    shadow.grad = shadow.shadow = None
    if node.op is not CONST and _RESULT in reads(node.op, node.args, node.params, value):
        shadow.value = value
    else:
        shadow.value = np.ndarray(value.shape, value.dtype, nothing, 0, (0,) * value.ndim)


def is_let_go(node: Node) -> bool:
    """Whether a node is a shadow that has no numbers."""
    value = node.value
    return type(value) is np.ndarray and value.base is not None and value.base is _NOTHING.get(value.dtype)


def constant(value: Any, where: Any, aval: Any = None) -> Node:
    """A constant node, in the shadow too if it is large."""
    node = Node(CONST, (), NO_PARAMS, value, where, aval)
    if type(value) is np.ndarray and value.nbytes >= LARGE:
        shade(node)
    return node


def shadowed(row: Row, args: tuple[Node, ...], params: dict[str, Any], value: Any) -> tuple[Node, ...]:
    """The arguments of a node, shadows where they have one, with the numbers that its rules will read."""
    read = reads(row, args, params, value) if sparing.get() else range(len(args))
    found = []
    for slot, arg in enumerate(args):
        shadow = arg.shadow
        if shadow is None:
            found.append(arg)
        else:
            if slot in read:
                shadow.value = arg.value
            found.append(shadow)
    return tuple(found)


def appended(row: Row, args: tuple[Node, ...], params: dict[str, Any], value: Any, where: Any) -> Node:
    """A node with a value, that and its arguments in the shadow."""
    for arg in args:
        if arg.shadow is not None:
            args = shadowed(row, args, params, value)
            break
    node = Node(row, args, params, value, where)
    if type(value) is np.ndarray and value.nbytes >= LARGE:
        shade(node)
    return node


def reads(row: Row, args: tuple[Node, ...], params: dict[str, Any], value: Any) -> frozenset[int]:
    """The arguments whose numbers are read by the rules of a node that pays someone, and -1 if its own are."""
    slots = tuple([slot for slot, arg in enumerate(args) if arg.op is not CONST and slot not in row.no_edge])
    kind = row.kind
    key: Any
    if kind == "pointwise":
        key = row, slots
    elif kind == "linear" and len(slots) == 1:  # at most all others
        return frozenset(range(len(args))).difference(slots)
    elif kind == "reduction":
        key = row, slots
    elif kind == "constant":
        return frozenset()
    elif type(value) is tuple or len(slots) > _MOST_SLOTS or not _SIMPLE.issuperset(map(type, params.values())):
        return _ALL
    else:
        key = row, slots, tuple([(arg.shape, arg.aval.dtype) for arg in args]), tuple(params.items())
    try:
        known = _reads.get(key)
    except TypeError:  # a list within a tuple
        return _ALL
    if known is None:
        if len(_reads) >= _MOST_READS:
            _reads.clear()
        known = _reads[key] = _found(row, args, params, value, slots)
    return known


def _found(
    row: Row, args: tuple[Node, ...], params: dict[str, Any], value: Any, slots: tuple[int, ...]
) -> frozenset[int]:
    """What `reads` tells, by running the rules on arguments without numbers."""
    from payback.ops.recording import Recording, Term  # it appends nodes, which calls this

    m = Recording()
    nodes = [Node(INPUT, (), {}, None, None, Aval(arg.shape, arg.aval.dtype, arg.aval.weak)) for arg in args]
    result = Node(INPUT, (), {}, None, None, aval := aval_of(value))
    bar = Term(Node(INPUT, (), {}, None, None, aval), m)
    terms, y = [Term(node, m) for node in nodes], Term(result, m)
    paid: list[Any]
    try:
        if row.kind == "pointwise":
            paid = [row.partials[slot](m, *terms, y) for slot in slots]
        elif row.kind == "reduction":
            paid = [row.partials[0](m, *terms, spread(m, y, m.shape(terms[0]), **params), params["axes"])]
        elif row.kind == "linear":
            paid = [row.adjoint(m, bar, slot, *terms, **params) for slot in slots]
        else:
            paid = row.vjp(m, bar, terms, y, list(slots), **params)
    except Exception:  # a rule for numbers alone, or one that says that there is none
        return _ALL
    used = set(ancestors(_nodes_of(paid)))
    return frozenset([slot for slot, node in enumerate(nodes) if node in used] + [_RESULT] * (result in used))


def _nodes_of(paid: Any) -> list[Node]:
    """The nodes in what rules pay."""
    if isinstance(paid, (list, tuple)):
        return [node for part in paid for node in _nodes_of(part)]
    node = getattr(paid, "node", None)
    if node is not None:
        return [node]
    parts = [getattr(paid, name, None) for name in ("condition", "high", "low", "value", "arrays")]
    return [node for part in parts if part is not None for node in _nodes_of(part)]
