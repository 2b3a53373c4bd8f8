"""Masks that change nothing: those that hold everywhere, and those of payments whose other entries are zero anyway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from operator import is_
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import freeze
from payback.ops.namespace import full_index
from payback.ops.row import CONST, TABLE

MOST = 1 << 16  # entries of a mask that is kept

_TRUTHS = frozenset({"logical_and", "logical_or"})


def everywhere(node: Node) -> bool | None:
    """Whether a condition holds at every entry (True), at none (False), or is not known to be one of these."""
    while node.op.name in ("broadcast", "reshape", "cast", "transpose") or _counts(node):
        (node,) = node.args
    if node.op is not CONST or node.value is None:
        return None
    value = np.asarray(node.value)
    if not value.size:
        return None
    first = bool(value.flat[0])
    if any(value.strides):  # else it is one number, spread
        value = value != 0
        first = bool(value.all())
        return first if first or not value.any() else None
    return first


def _counts(node: Node) -> bool:
    """Whether it says how many conditions hold, of one or more."""
    return node.op.name == "sum" and node.args[0].aval.dtype == np.bool_ and node.args[0].aval.size > 0


def known_truth(node: Node, args: tuple[Node, ...]) -> Node | None:
    """A condition that is true at every entry, or at none, as one number that is spread; another that it repeats."""
    known = None
    if node.op.name in ("index", "logical_not"):
        known = True if node.op.name == "index" and _reads_what_holds(node, args) else everywhere(args[0])
    elif node.op.name == "ne" and _is_zero(args[1]):
        known, count = everywhere(args[0]), args[0]
        if known is None and _counts(count) and count.params["axes"] == () and count.args[0].aval == node.aval:
            return count.args[0]  # of one condition each
    if known is None:
        return None
    value = freeze(np.bool_(known is not (node.op.name == "logical_not")))
    made = Node(CONST, (), NO_PARAMS, value, node.where, Aval((), node.aval.dtype))
    if not node.aval.shape:
        return made
    return Node(TABLE["broadcast"], (made,), {"shape": node.aval.shape}, None, node.where, node.aval)


def _reads_what_holds(node: Node, args: tuple[Node, ...]) -> bool:
    """Whether an index reads a mask of what this very index reads, as where means of groups are paid back."""
    mask, *places = args
    if mask.op.name != "scatter" or mask.aval.dtype != np.bool_:
        return False
    position = 0
    for template, count in zip(mask.params["templates"], mask.params["counts"], strict=True):
        value, arrays = mask.args[position], mask.args[position + 1 : position + 1 + count]
        position += 1 + count
        same = len(arrays) == len(places) and all(map(is_, arrays, places))
        if same and template == node.params["template"] and everywhere(value):
            return True
    return False


def what_is_read(node: Node, args: tuple[Node, ...]) -> Node | None:
    """What known indices read, as a mask that is spread over the axes that they take whole; None if it is not known.

    Written out it is as large as what is masked, and would be computed whenever the program runs.
    """
    read = _read(node, args, _compact, MOST)
    if read is None:
        return None
    made = Node(CONST, (), NO_PARAMS, freeze(read), node.where, Aval(read.shape, read.dtype))
    if made.aval == node.aval:
        return made
    return Node(TABLE["broadcast"], (made,), {"shape": node.aval.shape}, None, node.where, node.aval)


def _read(
    node: Node, args: Sequence[Node], paid_by: Callable[[Node], np.ndarray[Any, Any] | None], most: int
) -> np.ndarray[Any, Any] | None:
    """A scatter of conditions, with one entry along axes that all indices take whole and no condition varies along."""
    small, position, paid = list(node.aval.shape), 0, []
    whole = set(range(len(small)))
    for template, count in zip(node.params["templates"], node.params["counts"], strict=True):
        value, arrays = paid_by(args[position]), args[position + 1 : position + 1 + count]
        position += 1 + count
        if value is None or value.size > most or any(a.op is not CONST or a.value is None for a in arrays):
            return None
        index = full_index(template, tuple(np.asarray(a.value) for a in arrays))
        axes = _axes(index, len(small))
        if axes is None or any(of >= value.ndim for of in axes.values()):
            return None
        whole &= {axis for axis, of in axes.items() if value.shape[of] == 1}
        paid.append((index, value))
    for axis in whole:
        small[axis] = min(small[axis], 1)
    if prod(small) > most:
        return None
    read = np.zeros(small, np.bool_)
    for index, value in paid:
        if all(type(part) in (slice, int) for part in index):  # each entry once
            read[index] |= value
        else:
            np.logical_or.at(read, index, value)
    return read


def _compact(node: Node) -> np.ndarray[Any, Any] | None:
    """A known mask, with one entry along the axes that it does not vary along; else None."""
    if node.op is CONST and node.value is not None:
        value = np.asarray(node.value)
        for axis in range(value.ndim):
            first = value[(slice(None),) * axis + (slice(1),)]
            if not value.strides[axis] or (value == first).all():
                value = first
        return value
    if node.op.name not in ("broadcast", "transpose") or (inner := _compact(node.args[0])) is None:
        return None
    if node.op.name == "transpose":
        return inner.transpose(node.params["axes"])
    return inner.reshape((1,) * (len(node.aval.shape) - inner.ndim) + inner.shape)


def _axes(index: tuple[Any, ...], ndim: int) -> dict[int, int] | None:
    """The axes that an index takes whole, and where they stand in what it gives; None for what this does not follow."""
    index = (*index, *[slice(None)] * (ndim - len(index)))
    chosen = [axis for axis, part in enumerate(index) if type(part) is not slice]
    if any(part is None or part is Ellipsis for part in index) or (chosen and np.ptp(chosen) >= len(chosen)):
        return None
    given = np.broadcast_shapes(*[np.shape(index[axis]) for axis in chosen])
    after = len(given) - len(chosen)
    return {
        axis: axis if not chosen or axis < chosen[0] else axis + after
        for axis, part in enumerate(index) if type(part) is slice and part == slice(None)
    }  # fmt: skip


def without_mask(node: Node, args: tuple[Node, ...]) -> Node | None:
    """What select(mask, x, y) is without its mask; what `and` and `or` are where one side is known everywhere."""
    if node.op.name in _TRUTHS:
        return _truth(node, args)
    mask, high, low = args
    known = everywhere(mask)
    if known is not None:
        chosen = high if known else low
        if chosen.aval == node.aval:
            return chosen
        if chosen.aval.dtype != node.aval.dtype or node.aval.weak:
            return None
        return Node(TABLE["broadcast"], (chosen,), {"shape": node.aval.shape}, None, node.where, node.aval)
    if high.aval == node.aval and node.aval.dtype.kind == "f" and _is_zero(low):
        return high if holds_where_paid(mask, high) else None
    return None


def _truth(node: Node, args: tuple[Node, ...]) -> Node | None:
    decides = node.op.name == "logical_or"
    for arg, other in (args, args[::-1]):
        known = everywhere(arg) if arg.aval.dtype == np.bool_ else None
        if known is None:
            continue
        chosen = arg if known is decides else other
        if chosen.aval.dtype != node.aval.dtype:
            continue
        if chosen.aval.shape == node.aval.shape:
            return chosen
        params = {"shape": node.aval.shape}
        return Node(TABLE["broadcast"], (chosen,), params, None, node.where, node.aval)
    return None


def _is_zero(node: Node) -> bool:
    value = node.value if node.op is CONST else None
    return value is not None and np.shape(value) == () and value == 0 and not np.signbit(value)


def holds_where_paid(mask: Node, total: Node) -> bool:
    """Whether a mask is known to hold wherever payments go: other entries are the zero that they began as."""
    paid = total
    while paid.op.name == "transpose":
        (paid,) = paid.args
    known = _compact(mask) if paid.op.name == "scatter" else None
    if known is None:
        return False
    return bool((known >= _paid(total, max(MOST, known.size))).all())


def _paid(value: Node, most: int) -> np.ndarray[Any, Any]:
    """Where payments go, as a compact mask: everywhere, for all that is known."""
    if value.op.name == "transpose":
        return _paid(value.args[0], most).transpose(value.params["axes"])
    if value.op.name == "scatter" and (read := _read(value, value.args, partial(_paid, most=most), most)) is not None:
        return read
    return np.ones((1,) * len(value.aval.shape), np.bool_)
