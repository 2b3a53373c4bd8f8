"""A contraction by kinds of axes: which are its product's, and which are loops around it."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

from payback.native.lower.products.arranged import around, in_runs
from payback.native.lower.products.paid import alone
from payback.native.planning import layout


class Shape(NamedTuple):
    """A contraction by kinds of axes: letters, extents and strides (of a, b, c) for batch, sums, m, n, k.

    turned: whether b comes first; plain: whether there is one axis of each of m, n, k at most.
    Sums ("r") are axes of k that are walked around the product, which adds to what is there.
    """

    turned: bool
    plain: bool
    tags: str
    extents: list[int]
    moves: list[list[int]]

    def of(self, kind: str) -> list[int]:
        return [i for i, tag in enumerate(self.tags) if tag == kind]

    def size(self, kind: str) -> int:
        return prod(self.extents[i] for i in self.of(kind))

    @property
    def own(self) -> str:
        """The kinds of axes along which nobody else writes where a product does: threads can share the first one."""
        mine = [kind for kind in "bmn" for axis in self.of(kind)[:1] if alone(axis, self.extents, self.moves[2])]
        return "".join(mine)

    def stride(self, which: int, kind: str) -> int:
        """Of an operand's only axis of a kind."""
        axes = self.of(kind)
        return self.moves[which][axes[0]] if axes else 1


@lru_cache(1 << 12)
def shape_of(
    spec: tuple[str, str, str], a: tuple[layout.Shape, layout.Shape], b: tuple[layout.Shape, layout.Shape],
    target: tuple[layout.Shape, layout.Shape], of_matrices: bool = True,
) -> Shape:  # fmt: skip
    """The axes sorted and merged; rows and columns are exchanged where the result is contiguous along rows.

    a, b, target: their shapes and strides.  Equal layers ask for the same again and again.
    of_matrices: whether the dtype has products of matrices, which may stand in loops.
    """
    left, right, out = spec
    extent = dict(zip(left, a[0], strict=True)) | dict(zip(right, b[0], strict=True))
    moves = [dict(zip(letters, view[1], strict=True)) for letters, view in ((left, a), (right, b), (out, target))]
    kinds = {
        "b": [c for c in out if c in left and c in right],
        "m": [c for c in out if c in left and c not in right],
        "n": [c for c in out if c in right and c not in left],
        "k": [c for c in left if c not in out],
    }
    runs = [c for c in out if moves[2][c] == 1 and extent[c] > 1]  # of windows there are two
    last = max(runs, key=extent.__getitem__) if len(runs) > 1 else out[-1:]
    turned = bool(out) and last in kinds["m"]
    if turned:
        moves[0], moves[1] = moves[1], moves[0]
        kinds["m"], kinds["n"] = kinds["n"], kinds["m"]
    extents, axes, tags = in_runs(kinds, extent, moves)
    plain = all(tags.count(kind) <= 1 for kind in "mnk")
    loops = around(extents, axes, tags) if of_matrices and not plain and 0 not in extents else None
    if loops is not None:
        extents, axes, tags = loops
    return Shape(turned, plain or loops is not None, tags, extents, axes)
