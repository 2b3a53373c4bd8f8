"""Item assignment by a mask that has no numbers, as in compiled functions, batches and bodies of loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import TraceError
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import apply
from payback.ops.row import TABLE
from payback.trace.array import Traced, as_traced
from payback.trace.operators import _HOOKS
from payback.trace.written import open_for_writing


def write_where(x: Traced, mask: Traced, value: Any, place: Any) -> None:
    """`x[mask] = value` for a mask without numbers: a choice for each entry.

    Raises TraceError for a value with an entry for each place that the mask holds at: how many there are is not known.
    """
    value = as_traced(value)
    count = len(mask.shape)
    if mask.shape != x.shape[:count]:
        raise IndexError(f"a mask of shape {mask.shape} cannot choose from an array of shape {x.shape}")
    shape = value.shape if isinstance(value, (Node, np.ndarray)) else ()
    rest = x.shape[count:]
    if len(shape) > len(rest) or np.broadcast_shapes(shape, rest) != rest:
        where = position(place)
        raise TraceError("a mask cannot say where to write these values while a function is compiled",
                         where=str(where) if where else None, why="the number of places that it holds at is not known",
                         fix="use np.where(mask, values, x) with a value for each entry of x")  # fmt: skip
    view = open_for_writing(x, place)
    chosen, kept = view.storage.fitting(value, place), view.read(place)
    condition = mask.node
    if rest:
        condition = apply(TABLE["reshape"], (condition,), place, {"shape": (*mask.shape, *(1 for _ in rest))})
    view.storage.write(view.at, ..., apply(TABLE["select"], (condition, chosen, kept), place), place)


_HOOKS["write_where"] = write_where
