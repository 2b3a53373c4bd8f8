"""How an array lies in memory: by rows, by columns or otherwise, as NumPy's own result does.

It decides whether a reshape is a view, what order="K" is, and how later results lie.  A node with numbers shows it.
One without tells it by how it was made: NumPy itself is asked, on arrays of bytes that lie as the arguments do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import freeze
from payback.ops.contraction import contract_values
from payback.ops.namespace import full_index
from payback.ops.row import INPUT, TABLE

Lying = np.ndarray[Any, Any]


class Parted(np.ndarray[Any, Any]):
    """How the real or the imaginary part of complex numbers lies, and what is seen of it: without gaps, as it is kept,
    where NumPy's has a gap after each number.  That makes no difference to what is a view, but for a copy by rows.
    """


_IDENTITY = TABLE["identity"]
_MOST = 1 << 16  # nodes that are remembered
_known: dict[int, tuple[int, ...] | None] = {}  # by a node's id: its strides, None where by rows


class _ForgottenError(Exception):
    pass


class LaidOut(Aval):
    """Of an identity that lies otherwise than by rows: a copy into another order, or an argument with gaps.

    strides: in entries.
    """

    strides: tuple[int, ...]


def lying(node: Node) -> Lying:
    """An array that lies in memory as NumPy's result would, if it was made anew: it has no gaps."""
    return np.empty_like(exactly(node), np.bool_)


def exactly(node: Node) -> Lying:
    """The same with gaps and steps, where the node is a view of another."""
    stack = [node]
    while stack:
        top = stack[-1]
        if _told(top):
            stack.pop()
            continue
        if waiting := [arg for arg in top.args if not _told(arg)]:
            stack += waiting
            continue
        try:
            made = _made(top, [_array(arg) for arg in top.args])
        except _ForgottenError:  # by another thread, meanwhile
            continue
        if len(_known) >= _MOST:
            _known.clear()
        steps = tuple(step // made.itemsize for step in made.strides)
        _known[top.id] = None if made.flags.c_contiguous else steps
        if top is node:
            return made
        stack.pop()
    try:
        return _array(node)
    except _ForgottenError:
        return exactly(node)


def _told(node: Node) -> bool:
    return node.value is not None or not node.args or not node.shape or node.id in _known or _is_laid_out(node)


def _is_laid_out(node: Node) -> bool:
    return type(node.aval) is LaidOut and node.op is _IDENTITY  # others may have taken over the aval


def _array(node: Node) -> Lying:
    """What is told at once.  Raises _ForgottenError for what was remembered."""
    if node.op is INPUT and "strides" in node.params:  # its value is a copy without gaps
        return strided(node.shape, node.params["strides"])
    if _is_laid_out(node):
        return strided(node.shape, node.aval.strides)
    if node.value is not None:
        return np.asarray(node.value) if type(node.value) is not tuple else np.empty(())
    steps = _known.get(node.id, ()) if node.args and node.shape else None
    if steps == ():
        raise _ForgottenError
    return np.empty(node.shape, np.bool_) if steps is None else strided(node.shape, steps)


def places_like(lies: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Room for a number of each entry, that lies in memory as an array does: with gaps where that has gaps, though
    narrow ones, so that what NumPy reshapes by a copy is a copy here.
    """
    axes = sorted((k for k, extent in enumerate(lies.shape) if extent > 1), key=lambda k: abs(lies.strides[k]))
    if lies.flags.forc or not lies.size or 0 in (lies.strides[k] for k in axes):
        return np.empty_like(lies, np.int64)
    steps, expected, room = [0] * lies.ndim, lies.itemsize, 1
    for k in axes:
        step = abs(lies.strides[k])
        room += step != expected
        steps[k] = room if lies.strides[k] > 0 else -room
        expected, room = step * lies.shape[k], room * lies.shape[k]
    return strided(lies.shape, steps, np.int64)


def strided(shape: tuple[int, ...], strides: Sequence[int], dtype: Any = np.bool_) -> Lying:
    """An array of these strides, in entries."""
    if 0 in shape:
        return np.empty(shape, dtype)
    ends = [step * (extent - 1) for step, extent in zip(strides, shape, strict=True)]
    before = -sum(end for end in ends if end < 0)
    memory = np.empty(before + sum(end for end in ends if end > 0) + 1, dtype)
    return np.lib.stride_tricks.as_strided(memory[before:], shape, [step * memory.itemsize for step in strides])


def _made(node: Node, args: list[Lying]) -> Lying:
    """How the row's result lies, where its arguments lie so."""
    name, params, shape = node.op.name, node.params, node.shape
    if 0 in shape:
        return np.empty(shape, np.bool_)
    if node.op.kind == "pointwise" or name in _ENTRYWISE:
        if all(arg.flags.c_contiguous for arg in args):
            return np.empty(shape, np.bool_)
        return np.nditer([*args, None], ["zerosize_ok"], [["readonly"]] * len(args) + [["writeonly", "allocate"]],
                         [None] * len(args) + [np.bool_]).operands[-1]  # fmt: skip
    if name == "index":
        places = tuple(np.zeros_like(arg, np.intp) for arg in args[1:])
        return np.asarray(args[0][full_index(params["template"], places)])
    if name in _VIEWS:
        return np.asarray(_VIEWS[name](args[0], **params))
    if name in ("concatenate", "stack"):
        return np.asarray(getattr(np, name)(args, axis=params["axis"]))
    if name in ("sum", "mean", "max", "min", "logsumexp", "norm", "prod") and not args[0].flags.c_contiguous:
        return np.asarray(np.logical_or.reduce(args[0], axis=params["axes"], keepdims=params["keepdims"]))
    if name in ("cumsum", "cumprod") and not args[0].flags.c_contiguous:
        made = np.logical_or.accumulate(args[0], axis=params["axis"])
        return np.flip(made, params["axis"]) if params.get("backwards") else made
    if name == "contract":
        return _product(args, params["spec"], shape)
    return np.empty(shape, np.bool_)


def _product(args: list[Lying], spec: tuple[str, str, str], shape: tuple[int, ...]) -> Lying:
    """Of a product: seen on arrays of two entries an axis, for only the order of the axes is asked for."""
    return in_order_of(np.asarray(contract_values(*map(few, args), spec)), shape)


def few(x: Lying) -> Lying:
    """Zeros, at most two along an axis, that follow each other in memory as the entries of x do."""
    return np.zeros_like(x[(slice(2),) * x.ndim], np.int8)


def in_order_of(x: Lying, shape: tuple[int, ...]) -> Lying:
    """An array without gaps whose axes follow each other in memory as those of x do."""
    return ordered(order_of(x), shape)


def order_of(x: Lying) -> tuple[int, ...] | None:
    """How the axes of x follow each other in memory, the one of the largest steps first; None where by rows."""
    axes = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    if all(x.shape[a] == 1 or x.shape[b] == 1 or a < b for a, b in pairwise(axes)):
        return None
    return tuple(axes)


def ordered(axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> Lying:
    """An array without gaps whose axes follow each other in memory so."""
    if axes is None:
        return np.empty(shape, np.bool_)
    return np.empty([shape[axis] for axis in axes], np.bool_).transpose(np.argsort(axes))


_ENTRYWISE = {"cast", "sinc", "ldexp", "polygamma", "bessel_i"}
_VIEWS = {
    "transpose": lambda at, axes: np.transpose(at, axes),
    "reshape": lambda at, shape: np.reshape(at, shape),
    "broadcast": lambda at, shape: np.broadcast_to(at, shape),
}


def same(a: Lying, b: Lying) -> bool:
    """Whether two arrays of one shape lie in memory alike: where there is a step, it is the same."""
    return 0 in a.shape or all(
        extent == 1 or one * b.itemsize == other * a.itemsize
        for extent, one, other in zip(a.shape, a.strides, b.strides, strict=True)
    )


def laid(node: Node, at: Lying) -> Node:
    """The node, as an array that lies as `at` does, which has no gaps."""
    value = node.value
    if same(at, exactly(node)):
        return node
    if value is not None:
        copied = np.empty_like(at, value.dtype)
        copied[...] = value
        return Node(_IDENTITY, (node,), NO_PARAMS, freeze(copied), node.where)
    return Node(_IDENTITY, (node,), NO_PARAMS, None, node.where, _as(node.aval, at))


def by_rows(node: Node) -> Node:
    """The node, as an array that lies by rows; without numbers nobody is asked whether it does."""
    if not node.shape or (_is_laid_out(node) and node.aval.strides == _rows(node)):
        return node
    if node.value is not None:
        return laid(node, np.empty(node.shape, np.bool_))
    aval = LaidOut(*node.aval)
    aval.strides = _rows(node)
    return Node(_IDENTITY, (node,), NO_PARAMS, None, node.where, aval)


def _rows(node: Node) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(node.shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def leaf_of(node: Node) -> Node:
    """A node of its own with the node's value, that lies in memory as it does, gaps and all."""
    aval = node.aval
    if node.shape and not (at := exactly(node)).flags.c_contiguous:
        aval = _as(aval, at)
    return Node(_IDENTITY, (node,), NO_PARAMS, node.value, node.where, aval)


def steps_of(node: Node) -> tuple[int, ...] | None:
    """How far apart the entries lie, in entries; None where by rows and without steps."""
    if not node.shape or (at := exactly(node)).flags.c_contiguous:
        return None
    return (2,) if at.ndim == 1 else tuple(step // at.itemsize for step in at.strides)  # as `arrays.strides_of`


def _as(aval: Any, at: Lying) -> LaidOut:
    laid_out = LaidOut(*aval)
    laid_out.strides = tuple(step // at.itemsize for step in at.strides)
    return laid_out
