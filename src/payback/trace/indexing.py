"""`x[...]` on a traced value: an index as NumPy takes it becomes a template and its index arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import append, apply, const
from payback.ops.index import Place
from payback.ops.namespace import full_index
from payback.ops.row import CONST, TABLE
from payback.trace.array import Traced, plain
from payback.trace.assignment.views import at_unknown, view
from payback.trace.operators import HOOKS, where_of_caller
from payback.trace.operators import made as made_of
from payback.trace.plain_arrays import decides, now, outside
from payback.trace.refusals.cures import NO_INDEX

SIMPLE = (int, slice, type(None), type(Ellipsis), np.integer)


def unknown(key: Any) -> bool:
    """Whether an index has a part whose numbers are not known."""
    if type(key) is tuple:
        return any(unknown(part) for part in key)
    key = now(key)
    return isinstance(key, Traced) and key.node.value is None and key.dtype.kind in "iub"


def getitem(x: Traced, key: Any) -> Traced:
    """Basic and fancy indexing.  Raises IndexError as NumPy does."""
    place = where_of_caller(3)
    if type(key) is int or type(key) is slice:
        return view("index", x, {"template": (key,)}, place)
    parts = key if isinstance(key, tuple) else (key,)
    at_once = _at_once(parts)
    if at_once is not None:
        template, arrays = at_once
        if not arrays:
            return view("index", x, {"template": template}, place)
        nodes = [array if type(array) is Node else const(array, place) for array in arrays]
        node = x.node
        if type(node.value) is np.ndarray and node.op is not CONST:
            values = [array.value for array in nodes]
            if not any(value is None for value in values):  # none is an input that has no numbers yet
                taken = node.value[full_index(template, tuple(values))]
                return made_of(TABLE["index"], (node, *nodes), {"template": template}, taken, place)
        return Traced(append(TABLE["index"], (x.node, *nodes), {"template": template}, place))
    if all(type(part) in SIMPLE for part in parts) or all(
        isinstance(part, SIMPLE) and not isinstance(part, bool) for part in parts
    ):
        template = tuple(int(part) if isinstance(part, np.integer) else part for part in parts)
        return view("index", x, {"template": template}, place)
    parts = tuple(map(now, parts))
    if any(part is True or part is False or (is_mask(part) and not np.ndim(part)) for part in parts):
        if len(parts) > 1:
            place = position(where_of_caller(2))
            raise UnsupportedError("a single boolean stands in an index of several parts",
                                   where=place, fix="index in two steps")  # fmt: skip
        taken = getitem(x, None)
        return Traced(taken.node) if parts[0] else getitem(taken, slice(0, 0))
    if any(isinstance(part, Traced) and part.node.value is None and is_mask(part) for part in parts):
        return HOOKS["read_where"](x, parts, place)
    _check_masks(x.shape, parts)
    entries: list[Any] = []
    arrays: list[Any] = []
    for part in parts:
        if isinstance(part, SIMPLE) and not isinstance(part, bool):
            entries.append(part)
            continue
        for array in _index_arrays(part):
            entries.append(Place(len(arrays)))
            arrays.append(array)
    made = Traced(apply(TABLE["index"], (x.node, *arrays), place, {"template": tuple(entries)}))
    if arrays and all(type(array) is Node and not array.shape and array.value is None for array in arrays):
        return at_unknown(made, x, tuple(0 if type(part) is Place else part for part in entries))
    return made


def _at_once(parts: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Any]] | None:
    """The template and the index arrays of integers, slices, None and plain arrays of integers; None for others."""
    entries: list[Any] = []
    arrays: list[Any] = []
    for part in parts:
        if type(part) in SIMPLE:
            entries.append(part)
            continue
        array = now(part)
        if type(array) is not np.ndarray or not array.ndim or array.dtype.kind not in "iu":
            return None
        entries.append(Place(len(arrays)))
        arrays.append(outside(array))
    return tuple(entries), arrays


def is_mask(part: Any) -> bool:
    return (part.dtype if isinstance(part, Traced) else np.asarray(part).dtype).kind == "b"


def _check_masks(shape: tuple[int, ...], parts: tuple[Any, ...]) -> None:
    """Masks are as large as the axes they choose from; positions where they hold would not tell."""
    takes = [
        0 if part is None else np.ndim(part) if not isinstance(part, SIMPLE) and is_mask(part) else 1 for part in parts
    ]
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        takes[at] += len(shape) - sum(takes)
    axis = 0
    for part, count in zip(parts, takes, strict=True):
        if not isinstance(part, SIMPLE) and is_mask(part) and np.shape(part) != shape[axis : axis + count]:
            raise IndexError(
                f"a mask of shape {np.shape(part)} cannot choose from axes of shape {shape[axis : axis + count]}"
            )
        axis += count


def _index_arrays(part: Any) -> tuple[Any, ...]:
    """The integer arrays that an index entry stands for; a mask becomes the positions where it holds."""
    if isinstance(part, Traced) and part.node.value is None and part.dtype.kind in "iu":
        return (part.node,)
    if isinstance(part, Traced) and part.node.aval.weak and part.dtype.kind == "f" and part.node.value is not None:
        raise IndexError(NO_INDEX)
    array = np.asarray(plain(part))
    if array.dtype.kind == "b":
        decides(array)
        return array.nonzero()
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.intp)
    if array.dtype.kind not in "iu":
        raise IndexError(
            f"an index of dtype {array.dtype}: only integers, slices, None, ... and boolean masks are indices"
        )
    return (outside(array),)
