"""Payments that fill an array without gaps are that array put together: what a periodic shift is owed is a shift back.

A scatter of slices is a pass over memory for each of them; parts that are put together join the loops of what reads
them (`native/planning/pieces.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ir.graph import Graph
from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import freeze
from payback.ops.row import CONST, TABLE
from payback.passes.rewrite import Change, rewrite

LEAST = 1 << 13  # entries: fewer are paid in a moment
MOST = 3  # slices along an axis


def tiled(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with scatters of slices that fill their result, once or several times, as sums; the same bits."""
    log: list[Change] = []

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        floating = node.aval.dtype.char in "fd" and node.aval.size >= LEAST
        if node.op.name != "scatter" or not floating or any(node.params["counts"]):
            return None
        fillings = _fillings(node, args)
        if fillings is None:
            return None
        dtype, shape = node.aval.dtype, node.aval.shape
        total = Node(CONST, (), NO_PARAMS, freeze(dtype.type(0.0)), node.where, Aval((), dtype))
        for axis, parts in fillings:  # each entry is paid in the order of the payments
            whole = Node(TABLE["concatenate"], parts, {"axis": axis}, None, node.where, Aval(shape, dtype))
            total = Node(TABLE["add"], (total, whole), NO_PARAMS, None, node.where, Aval(shape, dtype))
        log.append(Change(node, total, "the payments fill it"))
        return total

    return rewrite(graph, rule), log


def _fillings(node: Node, args: tuple[Node, ...]) -> list[tuple[int, tuple[Node, ...]]] | None:
    """(axis, parts in their order along it) for payments one after another that fill the result together."""
    found, pending, axis = [], [], -1
    for value, template in zip(args, node.params["templates"], strict=True):
        placed = _slab(template, node.aval.shape)
        if placed is None or not _is_slice(value) or (pending and placed[0] != axis):
            return None
        axis, start, extent = placed
        if value.aval.shape != (*node.aval.shape[:axis], extent, *node.aval.shape[axis + 1 :]):
            return None
        pending.append((start, extent, value))
        ends = np.cumsum([0, *[n for _, n, _ in sorted(pending, key=lambda part: part[:2])]])
        starts = sorted(start for start, _, _ in pending)
        if ends[-1] == node.aval.shape[axis] and ends[:-1].tolist() == starts:
            found.append((axis, tuple(value for _, _, value in sorted(pending, key=lambda part: part[0]))))
            pending = []
        elif len(pending) == MOST:
            return None
    return None if pending else found


def _slab(template: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(axis, start, extent) of slices that take part of one axis and the others whole."""
    cut = None
    if any(type(part) is not slice for part in template):
        return None
    for axis, (part, extent) in enumerate(zip(template, shape, strict=False)):
        start, stop, step = part.indices(extent)
        if (start, stop, step) == (0, extent, 1):
            continue
        if cut is not None or step != 1 or start >= stop:
            return None
        cut = axis, start, stop - start
    return cut


def _is_slice(value: Node) -> bool:
    """Whether it is read from another array as it lies there."""
    return value.op.name == "index" and all(type(part) is slice for part in value.params["template"])
