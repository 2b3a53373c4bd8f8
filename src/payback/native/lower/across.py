"""Lanes of several vectors joined across, all together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from payback.native import ir
from payback.native.codegen.emit import INT32, Emitter


def across_together(
    e: Emitter, vectors: Sequence[ir.Value], lanes: int, joined: Callable[[ir.Value, ir.Value], ir.Value]
) -> ir.Value:
    """The lanes of each of `lanes` vectors joined, as one vector: halves first, those of two vectors side by side."""
    width = lanes
    while width > 1:
        half, count = width // 2, len(vectors) // 2
        low = [block * width + lane for block in range(lanes // width) for lane in range(half)]
        orders = [
            [of + at + shift for block in range(lanes // width) for of in (0, lanes)
             for at in low[block * half : (block + 1) * half]]
            for shift in (0, half)
        ]  # fmt: skip
        masks = [ir.Constant(ir.VectorType(INT32, lanes), order) for order in orders]
        vectors = [
            joined(*(e.b.shuffle_vector(x, y, mask) for mask in masks))
            for x, y in zip(vectors[:count], vectors[count:], strict=True)
        ]
        width = half
    return vectors[0]
