"""Payments that fill an array without gaps are that array put together: what columns are owed is a stack of columns,
and what a periodic shift is owed is a shift back.

A scatter is a pass over memory for each payment; parts are computed where they belong, or where they are read
(`native/planning/pieces.py`).
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

LEAST = 1 << 13  # entries from which on an array is better filled several times than paid
MOST = 3  # slices along an axis
COLUMNS = 16  # side by side, at most
CHEAP, FEW = ("add", "sub", "mul", "neg", "abs"), 8  # operations that are done after slices are put together

Filling = tuple[int, tuple[Node, ...]]  # an axis, and parts in their order along it


def tiled(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with scatters that fill their result, once or several times, as what is put together; the same bits."""
    log: list[Change] = []
    outputs = set(graph.outputs)

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name == "concatenate":
            moved = _put_together(args, node, node.params["axis"], outputs)
            if moved.op.name != "concatenate":
                log.append(Change(node, moved, "its slices are of few operations on one array"))
                return moved
        if node.op.name != "scatter" or node.aval.dtype.char not in "fd?" or any(node.params["counts"]):
            return None
        made = _columns(node, args) or _slices(node, args, outputs)
        if made is not None:
            log.append(Change(node, made, "the payments fill it"))
        return made

    return rewrite(graph, rule, "concatenate", "scatter"), log


def _columns(node: Node, args: tuple[Node, ...]) -> Node | None:
    """One after another along an axis, all that is paid to each added up in the order of the payments."""
    dtype, shape, totals = node.aval.dtype, node.aval.shape, dict[int, Node]()
    axes = set()
    for value, template in zip(args, node.params["templates"], strict=True):
        alone = [axis for axis, part in enumerate(template) if type(part) is int]
        if len(alone) != 1 or not _is_whole([part for part in template if type(part) is not int], shape, alone[0]):
            return None
        axes.add(alone[0])
        column = template[alone[0]] % shape[alone[0]]
        totals[column] = _paid(totals.get(column), value, node)
    (axis,) = axes if len(axes) == 1 else (0,)
    if len(axes) != 1 or shape[axis] > COLUMNS or len(totals) < shape[axis]:
        return None
    parts = tuple(totals[column] for column in range(shape[axis]))
    if any(part.aval != (shape[:axis] + shape[axis + 1 :], dtype, False) for part in parts):
        return None
    return Node(TABLE["stack"], parts, {"axis": axis}, None, node.where, node.aval)


def _slices(node: Node, args: tuple[Node, ...], outputs: set[Node]) -> Node | None:
    fillings = _fillings(node, args)
    if fillings is None:
        return None
    # slices that many read are read where they lie; else each part is computed where it belongs
    whole = node.aval.size >= LEAST and node.aval.dtype != np.bool_ and all(map(_is_slice, args))
    if len(fillings) > 1 and not whole:
        return None
    total = None
    for axis, parts in fillings:
        paid = parts if whole else tuple(_paid(None, part, node) for part in parts)
        made = _put_together(paid, node, axis, outputs)
        total = _paid(total, made, node) if whole else made
    return total


def _put_together(parts: tuple[Node, ...], node: Node, axis: int, outputs: set[Node]) -> Node:
    """Parts side by side.  Large slices of what few operations by numbers make of an array are taken of the array, and
    the operations done afterwards, on the way of whoever reads it: what lies between is not written down."""
    steps: list[tuple[Node, Node]] = []
    x = parts[0].args[0] if all(map(_is_slice, parts)) and len({part.args[0] for part in parts}) == 1 else node
    while node.aval.size >= LEAST and x.op.name in CHEAP and x not in outputs and len(steps) < FEW:
        arrays = {arg for arg in x.args if _number(arg) is None}
        if len(arrays) != 1 or any(arg.aval != x.aval for arg in arrays) or x.aval.dtype.char not in "fd":
            break
        before, (x,) = x, arrays
        steps.append((before, x))
    if steps:
        parts = tuple(Node(part.op, (x,), part.params, None, part.where, part.aval) for part in parts)
    made = Node(TABLE["concatenate"], parts, {"axis": axis}, None, node.where, node.aval)
    for step, array in reversed(steps):
        args = tuple(made if arg is array else _number(arg) for arg in step.args)
        made = Node(step.op, args, step.params, None, step.where, node.aval)
    return made


def _number(x: Node) -> Node | None:
    """A constant that is one number, of floating dtype, as a scalar."""
    value = x.value
    if x.op is not CONST or value is None or (np.ndim(value) and (any(value.strides) or not value.size)):
        return None
    number = value[(0,) * np.ndim(value)] if np.ndim(value) else value
    return x if number is value else Node(CONST, (), NO_PARAMS, freeze(number), x.where, Aval((), x.aval.dtype))


def _paid(total: Node | None, value: Node, node: Node) -> Node:
    """A payment to what has been paid: to zeros at first, as a scatter does."""
    dtype = node.aval.dtype
    if dtype == np.bool_:
        return value if total is None else _pair("logical_or", total, value, node)
    if total is None:
        total = Node(CONST, (), NO_PARAMS, freeze(dtype.type(0.0)), node.where, Aval((), dtype))
    return _pair("add", total, value, node)


def _pair(name: str, a: Node, b: Node, node: Node) -> Node:
    return Node(TABLE[name], (a, b), NO_PARAMS, None, node.where, b.aval)


def _fillings(node: Node, args: tuple[Node, ...]) -> list[Filling] | None:
    """Of payments one after another that fill the result together."""
    found, pending, axis = [], [], -1
    for value, template in zip(args, node.params["templates"], strict=True):
        placed = _slab(template, node.aval.shape)
        if placed is None or (pending and placed[0] != axis) or value.aval.dtype != node.aval.dtype:
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


def _is_whole(parts: list[Any], shape: tuple[int, ...], axis: int) -> bool:
    """Whether slices take all of an array's other axes, in their order."""
    rest = shape[:axis] + shape[axis + 1 :]
    pairs = zip(parts, rest, strict=False)
    return all(type(part) is slice and part.indices(extent) == (0, extent, 1) for part, extent in pairs)


def _is_slice(value: Node) -> bool:
    """Whether it is read from another array as it lies there."""
    return value.op.name == "index" and all(type(part) is slice for part in value.params["template"])
