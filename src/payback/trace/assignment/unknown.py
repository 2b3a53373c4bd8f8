"""Item assignment at places that have no numbers: masks and indices in compiled functions, batches, bodies of loops.

`x[mask] = v` is a choice for each entry.  `x[i] = v` asks of each entry which of the values is written there last (the
row `last_written`), and takes that one or what is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import TraceError
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import apply
from payback.ops.append import const as _constant
from payback.ops.index import Place
from payback.ops.row import TABLE
from payback.trace.array import Traced, as_traced
from payback.trace.assignment.choice import Choice
from payback.trace.assignment.selected import Selected
from payback.trace.assignment.views import open_for_writing
from payback.trace.assignment.written import View
from payback.trace.indexing import is_mask, unknown
from payback.trace.operators import HOOKS, METHODS
from payback.trace.plain_arrays import now


def write_unknown(x: Traced, key: Any, value: Any, place: Any) -> None:
    """`x[key] = value` where a part of the key has no numbers.

    Raises TraceError for values of which there is one for each place that a mask holds at: how many is not known.
    """
    parts = tuple(map(now, key if isinstance(key, tuple) else (key,)))
    masks = [part for part in parts if unknown(part) and is_mask(part)]
    if not masks:
        _write_at(x, parts, value, place)
        return
    choice = Choice.of(x.shape, parts)
    chosen, shape = value, choice.shape
    if isinstance(value, Selected):
        chosen = value.like(choice, place)
    else:
        chosen = as_traced(value)
        if not isinstance(chosen, Node):
            chosen = np.asarray(chosen).astype(x.dtype)
        given = chosen.shape if isinstance(chosen, (Node, np.ndarray)) else ()
        fitted = choice.fit(given)
        if fitted is None:
            where = position(place)
            raise TraceError("a mask cannot say where to write these values while a function is compiled",
                             where=str(where) if where else None,
                             why="the number of places that it holds at is not known",
                             fix="use np.where(mask, values, x) with a value for each entry of x")  # fmt: skip
        if isinstance(chosen, Node) and fitted != given:
            chosen = apply(TABLE["reshape"], (chosen,), place, {"shape": fitted})
        elif not isinstance(chosen, Node):
            chosen = chosen.reshape(fitted)
    view = open_for_writing(x, place)
    at = view.at[choice.around]
    held = View(view.storage, at if np.ndim(at) else np.asarray(at))
    kept, condition = held.read(place), choice.condition(place)
    made = apply(TABLE["select"], (condition, view.storage.fitting(chosen, place), kept), place)
    if made.shape != shape:
        raise ValueError(f"could not broadcast values of shape {made.shape} into the shape {shape}")
    view.storage.write(view.at, choice.around, made, place)


def _write_at(x: Traced, parts: tuple[Any, ...], value: Any, place: Any) -> None:
    """Axes after those that the key names are written whole: it is asked of each row, and not of each entry."""
    value = as_traced(value)
    view = open_for_writing(x, place)
    parts, named = _named(parts, len(x.shape))
    lead, whole_axes = x.shape[:named], x.shape[named:]
    size, width = (int(np.prod(shape, dtype=int)) for shape in (lead, whole_axes))
    places = METHODS["__getitem__"](Traced(_constant(np.arange(size).reshape(lead), place)), parts)
    shape = (*places.shape, *whole_axes)
    whole = view.storage.fitting(value, place)
    if np.shape(whole) != shape:
        if np.broadcast_shapes(np.shape(whole), shape) != shape:
            raise ValueError(f"could not broadcast values of shape {np.shape(whole)} into the shape {shape}")
        whole = apply(TABLE["broadcast"], (whole,), place, {"shape": shape})
    if not places.size or not width:
        return
    wide = (width,) if whole_axes else ()
    rows = apply(TABLE["reshape"], (whole,), place, {"shape": (places.size, *wide)})
    writer = apply(TABLE["last_written"], (places.reshape(-1).node,), place, {"size": size})
    here = apply(TABLE["ge"], (writer, 0), place)
    if whole_axes:
        some = apply(TABLE["maximum"], (writer, 0), place)
        here = apply(TABLE["reshape"], (here,), place, {"shape": (size, 1)})
    else:  # where nothing is written any will do; were it one for all, each zero that it is paid would wait
        some = apply(TABLE["select"], (here, writer, _constant(np.arange(size) % places.size, place)), place)
    written = apply(TABLE["index"], (rows, some), place, {"template": _FIRST})
    kept = apply(TABLE["reshape"], (view.read(place),), place, {"shape": (size, *wide)})
    made = apply(TABLE["select"], (here, written, kept), place)
    view.storage.write(view.at, ..., apply(TABLE["reshape"], (made,), place, {"shape": x.shape}), place)


def _named(parts: tuple[Any, ...], rank: int) -> tuple[tuple[Any, ...], int]:
    """A key without what takes last axes whole, and how many axes it names; all where that is not plain to see."""
    if not all(part is Ellipsis or _is_plain(part) for part in parts) or any(part is Ellipsis for part in parts[:-1]):
        return parts, rank
    left = list(parts)
    while left and (left[-1] is Ellipsis or _is_whole(left[-1])):
        left.pop()
    return tuple(left), len(left)


def _is_plain(part: Any) -> bool:
    """Whether it names one axis: no mask, and no new axis."""
    numbers = (
        isinstance(part, (int, np.integer, np.ndarray, Traced)) and np.dtype(getattr(part, "dtype", int)).kind != "b"
    )
    return isinstance(part, slice) or (numbers and not isinstance(part, bool))


def _is_whole(part: Any) -> bool:
    return isinstance(part, slice) and part.start is part.stop is part.step is None


_FIRST = (Place(0),)
HOOKS["write_unknown"] = write_unknown
