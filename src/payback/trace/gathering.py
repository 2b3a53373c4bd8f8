"""Gathering pieces into one node: slices where they are slices, many parts by nodes of few arguments."""

from __future__ import annotations

from math import prod
from typing import Any

from numpy import arange, concatenate, ndarray

from payback.ir.node import Node
from payback.ops.append import apply
from payback.ops.row import TABLE

_FAN_IN = 32  # parts of one node: the sweep looks at all arguments of a node for each of them


def as_box(places: ndarray[Any, Any], shape: tuple[int, ...], whole: tuple[int, ...]) -> tuple[Any, ...] | None:
    """An index of numbers and slices that reads these places of an array of shape `whole`, in order; else None."""
    if not places.size:
        return None
    at = places.reshape(shape)
    origin = (0,) * at.ndim
    first = int(at[origin])
    axes = [axis for axis, extent in enumerate(shape) if extent > 1]
    steps = [int(at[(*origin[:axis], 1, *origin[axis + 1 :])]) - first for axis in axes]
    even: Any = first
    for axis, step in zip(axes, steps, strict=True):
        even = even + step * arange(shape[axis]).reshape(-1, *[1] * (at.ndim - 1 - axis))
    if not (at == even).all():
        return None
    template: list[Any] = []
    stride = prod(whole)
    for extent in whole:
        stride //= extent
        begin, first = divmod(first, stride)
        step, rest = divmod(steps[0], stride) if steps else (0, 0)
        if not step or rest or not 0 <= begin + step * (shape[axes[0]] - 1) < extent:
            template.append(begin)
            continue
        stop = begin + step * shape[axes[0]]
        template.append(slice(begin, None if stop < 0 else stop, step))
        steps, axes = steps[1:], axes[1:]
    if len(shape) == len(whole):  # it keeps axes of one entry
        template = [part if type(part) is slice else slice(part, part + 1) for part in template]
    return None if steps else tuple(template)


_PARTS = 16  # slabs of an array that are put together as such


def slabs(owners: ndarray[Any, Any]) -> tuple[int, list[int]] | None:
    """The first axis along which the owners change, and where; None where they do so too often."""
    for axis in range(owners.ndim):
        lines = owners.swapaxes(axis, 0).reshape(owners.shape[axis], -1)
        cuts = 1 + (lines[1:] != lines[:-1]).any(1).nonzero()[0]
        if cuts.size:
            return (axis, [0, *cuts.tolist(), owners.shape[axis]]) if cuts.size < _PARTS else None
    return None


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
    parts = [concatenate(run) if type(run) is list else run for run in runs]
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
