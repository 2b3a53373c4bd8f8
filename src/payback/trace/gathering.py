"""Gathering pieces into one node: slices where they are slices, many parts by nodes of few arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.node import Node
from payback.ops.append import apply
from payback.ops.index import Place
from payback.ops.row import TABLE

_FAN_IN = 32  # parts of one node: the sweep looks at all arguments of a node for each of them


def as_slice(places: np.ndarray[Any, Any], shape: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """An index for these places: a slice where they are one, for a slice is a view."""
    if len(shape) == 1 and places.size > 1:
        step = int(places[1] - places[0])
        if step and (np.diff(places) == step).all():
            stop = int(places[-1]) + (1 if step > 0 else -1)
            return (slice(int(places[0]), None if stop < 0 else stop, step),), ()
    return (Place(0),), (places.reshape(shape),)


def joined(parts: list[Any], place: Any) -> Node:
    """The parts in a row, by nodes of few arguments; neighbouring plain parts become one."""
    runs: list[Any] = []
    for part in parts:
        if type(part) is not Node:
            part = part.reshape(-1)
            if runs and type(runs[-1]) is list:
                runs[-1].append(part)
                continue
            part = [part]
        runs.append(part)
    parts = [np.concatenate(run) if type(run) is list else run for run in runs]
    while len(parts) > 1 or not (type(parts[0]) is Node and len(parts[0].shape) == 1):
        joined, at = [], 0
        while at < len(parts):
            some = parts[at : at + _FAN_IN]
            at += len(some)
            if all(type(part) is Node and not part.shape for part in some):
                joined.append(apply(TABLE["stack"], some, place, {"axis": 0}))
                continue
            row = [
                apply(TABLE["reshape"], (part,), place, {"shape": (part.aval.size,)})
                if type(part) is Node and len(part.shape) != 1
                else part
                for part in some
            ]
            joined.append(row[0] if len(row) == 1 else apply(TABLE["concatenate"], row, place, {"axis": 0}))
        parts = joined
    return parts[0]
