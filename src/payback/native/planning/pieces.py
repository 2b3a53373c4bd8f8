"""Arrays that are put together from slices of others, read where those lie: periodic neighbours, which `np.roll` makes.

They are not written down.  A nest that reads them is cut at their seams; within each cell they are views.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise, product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native.lower.nests.body import REDUCTIONS
from payback.native.planning import layout
from payback.native.planning.layout import Buffer, View

LEAST = 1 << 13  # entries: writing fewer takes less time than the nests of many cells
MOST = 36  # cells
SHORT, COLUMN = 8, 1 << 10  # entries of a row of a column; those of the largest that is worth a kernel
PARTS = 3


class Pieces(NamedTuple):
    """Views side by side along an axis."""

    axis: int
    views: tuple[View, ...]

    @property
    def strides(self) -> layout.Shape:
        return self.views[0].strides

    @property
    def buffer(self) -> Buffer:
        return self.views[0].buffer

    @property
    def ends(self) -> list[int]:
        return list(accumulate(view.shape[self.axis] for view in self.views))


def is_pieced(planner: Any, node: Node) -> bool:
    """Whether an array is put together from slices, and read by nothing but nests over its own shape."""
    if node.op.name != "concatenate" or node in planner.wanted or node.aval.size < LEAST:
        return False
    if len(node.args) > PARTS or node.aval.dtype.char not in "fd" or not all(map(_is_slice, node.args)):
        return False
    return all(user in planner.waiting and user.aval.shape == node.aval.shape for user in planner.users.get(node, ()))


def _is_slice(part: Node) -> bool:
    """Whether it is read from another array as it lies there."""
    slices = part.op.name == "index" and all(type(each) is slice for each in part.params["template"])
    return slices and part.args[0].op.name != "concatenate" and part.aval.shape != () and part.aval.size > 0


def bases(node: Node) -> list[Node]:
    """What the slices are read from."""
    return [part.args[0] for part in node.args]


def cells(shape: layout.Shape, pieces: Sequence[Pieces]) -> list[list[tuple[int, int]]]:
    """For each cell (start, end) along each axis, first to last."""
    seams = [{0, extent} for extent in shape]
    for each in pieces:
        seams[each.axis].update(each.ends)
    return [list(cell) for cell in product(*[list(pairwise(sorted(of_axis))) for of_axis in seams])]


def cut(
    planner: Any, members: Sequence[Node], sinks: Sequence[tuple[Any, ...]], axes: layout.Shape | None
) -> set[Node]:  # fmt: skip
    """Which of the arrays that a nest's members read it reads in pieces: all, if it may be cut into few cells."""
    found = {arg for node in members for arg in node.args if arg in planner.pieced and arg not in planner.views}
    if not found or any(kind not in ("store", *REDUCTIONS) for kind, *_ in sinks):
        return set()
    seams: dict[int, set[int]] = {}
    for node in found:
        axis = node.params["axis"]
        ends = accumulate(part.aval.shape[axis] for part in node.args)
        seams.setdefault(axis, set()).update(ends)
        if axes is not None and len(axes) < len(node.aval.shape):
            return set()
    return found if prod(map(len, seams.values())) <= MOST else set()


def of(planner: Any, node: Node) -> Pieces:
    return Pieces(node.params["axis"], tuple(planner.view(part) for part in node.args))


def nests_of_cells(
    planner: Any, instrs: Sequence[tuple[Any, ...]], codes: Sequence[str], sinks: Sequence[tuple[Any, ...]],
    shape: layout.Shape, text: str, axes: layout.Shape | None,
) -> None:  # fmt: skip
    """A nest for each cell.  What is reduced, over all axes, is added up by cells, in their order."""
    found = cells(shape, [i[1] for i in instrs if i[0] == "load" and type(i[1]) is Pieces])
    parts = {
        k: Buffer("arena", np.dtype(codes[at]), len(found)) for k, (kind, _, at, *_) in enumerate(sinks)
        if kind != "store"
    }  # fmt: skip
    shapes = [tuple(end - start for start, end in cell) for cell in found]
    largest = max(shapes, key=prod)  # whose kernel all cells have, but that columns may have another
    column = max((extents for extents in shapes if extents[-1] <= SHORT), key=prod, default=largest)
    for number, (cell, extents) in enumerate(zip(found, shapes, strict=True)):
        inside = [(i[0], _within(i[1], cell), *i[2:]) if i[0] in ("load", "gather") else i for i in instrs]
        ends = []
        for k, (kind, view, at, *more) in enumerate(sinks):
            if k in parts:
                part = View(parts[k], number, extents, (0,) * len(extents))
                ends.append((kind, part, at, more[0], ()))
            else:
                ends.append((kind, _within(view, cell), at, *more))
        form = column if extents[-1] <= SHORT and prod(column) >= COLUMN else largest
        planner.nest(inside, codes, ends, extents, text, axes, form)
    for k, buffer in parts.items():
        kind, view, at, _, finish = sinks[k]
        every, code = (len(found),), codes[at]
        total = View(view.buffer, view.offset, every, (0,))
        load = ("load", layout.whole(buffer, every), code)
        planner.nest([load], [code], [(kind, total, 0, code, finish)], every, f"{text} of cells", (0,))


def _within(view: View | Pieces, cell: Sequence[tuple[int, int]]) -> View:
    """A view's part in a cell."""
    if type(view) is Pieces:
        start = cell[view.axis][0]
        number = next(k for k, end in enumerate(view.ends) if start < end)
        before = view.ends[number] - view.views[number].shape[view.axis]
        cell = [(a - before, b - before) if axis == view.axis else (a, b) for axis, (a, b) in enumerate(cell)]
        view = view.views[number]
    offset = view.offset + sum(start * stride for (start, _), stride in zip(cell, view.strides, strict=True))
    return View(view.buffer, offset, tuple(end - start for start, end in cell), view.strides)
