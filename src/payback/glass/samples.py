"""Whose an entry is: the rows of some arrays followed through a computation.

An entry belongs to row i if it was made from row i's entries and from what belongs to no row; it is mixed if it was
made from several rows.  A sample's part of a gradient is what comes along the paths that reach its entries first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Avals
from payback.ir.node import Node, ancestors
from payback.ops.namespace import Values
from payback.ops.reduce import reduced
from payback.ops.several import PART

NOBODY, MIXED = -1, -2
_MOVES = frozenset({"index", "reshape", "transpose", "broadcast", "concatenate", "stack"})


def owners(top: Node, arrays: set[Node]) -> dict[Node, Any]:
    """Node -> for each entry the number of its row, NOBODY or MIXED; nodes that none of the arrays leads to are left
    out."""
    found: dict[Node, Any] = {}
    for node in ancestors([top]):
        if node in arrays:
            rows = np.arange(node.shape[0]).reshape(-1, *[1] * (len(node.shape) - 1))
            found[node] = np.broadcast_to(rows, node.shape)
        elif any(arg in found for arg in node.args):
            found[node] = _owner(node, [found.get(arg) for arg in node.args])
    return found


def combine(a: Any, b: Any) -> Any:
    """Whose is what was made from an entry of a's and one of b's."""
    return np.where(a == NOBODY, b, np.where((b == NOBODY) | (a == b), a, MIXED))


def gathered(labels: Any, axes: tuple[int, ...]) -> Any:
    """Whose is what was made from all entries along some axes (which stay, with one entry)."""
    if not axes:
        return labels
    most = labels.max(axis=axes, keepdims=True, initial=NOBODY)
    least = np.where(labels == NOBODY, np.iinfo(np.int64).max, labels)
    least = least.min(axis=axes, keepdims=True, initial=np.iinfo(np.int64).max)
    mixed = (labels == MIXED).any(axis=axes, keepdims=True) | ((most != NOBODY) & (least != most))
    return np.where(mixed, MIXED, most)


def _owner(node: Node, labels: list[Any]) -> Any:
    row, params = node.op, node.params
    if row is PART and isinstance(labels[0], list):
        return labels[0][params["k"]]
    given = []
    for slot, (arg, label) in enumerate(zip(node.args, labels, strict=True)):
        on_path = slot not in row.no_edge and arg.aval.dtype.kind == "f"  # a place, a condition is no part of a path
        given.append(label if on_path and isinstance(label, np.ndarray) else np.full(arg.shape, NOBODY))
    if row.kind == "pointwise" or row.name == "cast":
        whole = np.full(node.shape, NOBODY)
        for label in given:
            whole = combine(whole, np.broadcast_to(label, node.shape))
        return whole
    if row.name in _MOVES:
        operands = [label if slot == 0 or row.name != "index" else arg.value
                    for slot, (arg, label) in enumerate(zip(node.args, given, strict=True))]  # fmt: skip
        return np.asarray(row.value(Values, *operands, **params)).reshape(node.shape)
    if row.name == "contract":
        return _contracted(node, given)
    if row.name in ("sum", "mean") or row.kind == "reduction":
        axes, keepdims = params["axes"], params["keepdims"]
        return gathered(given[0], axes).reshape(reduced(node.args[0].shape, axes, keepdims))
    if row.name == "cumsum":
        return np.broadcast_to(gathered(given[0], (params["axis"],)), node.shape)
    if row.depends is not None and not isinstance(node.aval, Avals):
        return _by_case(node, given)
    everyone = NOBODY
    for label in given:
        everyone = combine(everyone, gathered_all(label))
    if isinstance(node.aval, Avals):
        return [np.full(aval.shape, everyone) for aval in node.aval]
    return np.full(node.shape, everyone)


def gathered_all(labels: Any) -> Any:
    """Whose is what was made from all entries."""
    return gathered(np.asarray(labels).reshape(-1), (0,))[0]


def _contracted(node: Node, given: list[Any]) -> Any:
    left, right, out = node.params["spec"]
    whole = np.full(node.shape, NOBODY)
    for letters, label in zip((left, right), given, strict=True):
        label = gathered(label, tuple(k for k, c in enumerate(letters) if c not in out))
        kept = [c for c in out if c in letters]
        label = label.reshape([label.shape[letters.index(c)] for c in letters if c in out])
        label = label.transpose([[c for c in letters if c in out].index(c) for c in kept])
        label = np.expand_dims(label, [k for k, c in enumerate(out) if c not in letters])
        whole = combine(whole, np.broadcast_to(label, node.shape))
    return whole


def _by_case(node: Node, given: list[Any]) -> Any:
    """A row whose entries hang together by cases, such as a batch of matrices."""
    whole = np.full(node.shape, NOBODY)
    for slot, label in enumerate(given):
        ours, theirs = node.op.depends(slot, *[arg.aval for arg in node.args], **node.params)
        ours, theirs = np.broadcast_to(ours, label.shape), np.broadcast_to(theirs, node.shape)
        found = np.full(1 + max(int(ours.max(initial=0)), int(theirs.max(initial=0))), NOBODY)
        for case in np.unique(ours):
            found[case] = gathered_all(label[ours == case])
        whole = combine(whole, found[theirs])
    return whole
