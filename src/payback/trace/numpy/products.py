"""Products of vectors, matrices and tensors beyond matmul, and NumPy's other spellings of them under `np.linalg`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.errors import ShapeError
from payback.trace.dispatch import COMPOSED, here, implements, into
from payback.trace.numpy.arguments import array_of
from payback.trace.numpy.einsum import einsum
from payback.trace.numpy.map import swapaxes
from payback.trace.numpy.matmul import dot, matmul, outer, tensordot
from payback.trace.numpy.shapes import diagonal, trace
from payback.trace.operators import FUNCTIONS


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    a, b = (np.reshape(x, (-1,) if x.size else (0,)) for x in (array_of(a), array_of(b)))
    return dot(a, b)


def vecdot(a: Any, b: Any) -> Any:
    return einsum("...i,...i->...", a, b)


COMPOSED[np.vecdot] = vecdot
if hasattr(np, "matvec"):  # NumPy 2.2
    COMPOSED[np.matvec] = lambda a, b: einsum("...ij,...j->...i", a, b)
    COMPOSED[np.vecmat] = lambda a, b: einsum("...i,...ij->...j", a, b)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    a, b = array_of(a), array_of(b)
    ndim = max(a.ndim, b.ndim)
    a, b = (np.reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    beside_a = tuple(extent for n in a.shape for extent in (n, 1))
    beside_b = tuple(extent for n in b.shape for extent in (1, n))
    made = np.reshape(a, beside_a) * np.reshape(b, beside_b)
    return np.reshape(made, tuple(p * q for p, q in zip(a.shape, b.shape, strict=True)))


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(array_of(a), axisa, -1), np.moveaxis(array_of(b), axisb, -1)
    if not {a.shape[-1], b.shape[-1]} <= {2, 3}:
        raise ShapeError(f"np.cross of shapes {a.shape} and {b.shape}", where=here(),
                         why="the vectors have 2 or 3 entries")  # fmt: skip
    (a0, a1, a2), (b0, b1, b2) = ([x[..., i] if i < x.shape[-1] else None for i in range(3)] for x in (a, b))
    last = a0 * b1 - a1 * b0
    if a2 is None and b2 is None:
        return last
    first = a1 * b2 - a2 * b1 if a2 is not None and b2 is not None else a1 * b2 if a2 is None else -(a2 * b1)
    second = a2 * b0 - a0 * b2 if a2 is not None and b2 is not None else -(a0 * b2) if a2 is None else a2 * b0
    return np.moveaxis(np.stack([first, second, last], axis=-1), -1, axisc)


@implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x1, x2 = array_of(x1), array_of(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ShapeError(f"np.linalg.cross of shapes {x1.shape} and {x2.shape}", where=here(),
                         why="the vectors have 3 entries")  # fmt: skip
    return cross(x1, x2, axis=axis)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Any:
    """The product of several matrices in the cheapest order (Cormen et al., Introduction to Algorithms, ch. 15.2)."""
    return into(out, "multi_dot", _multiplied(arrays))


def _multiplied(arrays: Sequence[Any]) -> Any:
    parts = [array_of(x) for x in arrays]
    if len(parts) < 2:
        raise ValueError("Expecting at least two arrays.")
    if len(parts) == 2:
        return dot(*parts)
    row, column = parts[0].ndim == 1, parts[-1].ndim == 1
    if row:
        parts[0] = np.reshape(parts[0], (1, -1))
    if column:
        parts[-1] = np.reshape(parts[-1], (-1, 1))
    if any(x.ndim != 2 for x in parts):
        raise np.linalg.LinAlgError("multi_dot takes matrices; only the first and the last may be vectors")
    extents = [parts[0].shape[0], *(x.shape[1] for x in parts)]
    count = len(parts)
    cost = {(i, i): 0 for i in range(count)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            costs = {k: cost[i, k] + cost[k + 1, j] + extents[i] * extents[k + 1] * extents[j + 1] for k in range(i, j)}
            cut[i, j] = min(costs, key=costs.__getitem__)
            cost[i, j] = costs[cut[i, j]]

    def product(i: int, j: int) -> Any:
        return parts[i] if i == j else dot(product(i, cut[i, j]), product(cut[i, j] + 1, j))

    made = product(0, count - 1)
    kept = (() if row else (made.shape[0],)) + (() if column else (made.shape[1],))
    return np.reshape(made, kept) if row or column else made


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    n = operator.index(n)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"Last 2 dimensions of the array must be square, the shape is {a.shape}")
    if n == 0:
        made = np.zeros_like(a)
        made[...] = np.eye(a.shape[-1])
        return made
    if n < 0:
        a, n = np.linalg.inv(a), -n
    square: Any = None
    made: Any = None
    while n:
        square = a if square is None else matmul(square, square)
        n, bit = divmod(n, 2)
        if bit:
            made = square if made is None else matmul(made, square)
    return made


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    if x.ndim < 2:
        raise ShapeError(f"the matrix transpose of an array of shape {x.shape}", where=here(), why="it has no matrices")
    return swapaxes(x, -1, -2)


FUNCTIONS[np.linalg.matmul] = lambda x1, x2, /: matmul(x1, x2)
FUNCTIONS[np.linalg.outer] = lambda x1, x2, /: outer(x1, x2)
FUNCTIONS[np.linalg.tensordot] = lambda x1, x2, /, *, axes=2: tensordot(x1, x2, axes)
FUNCTIONS[np.linalg.diagonal] = lambda x, /, *, offset=0: diagonal(x, offset, -2, -1)
FUNCTIONS[np.linalg.trace] = lambda x, /, *, offset=0, dtype=None: trace(x, offset, -2, -1, dtype)
FUNCTIONS[np.linalg.vecdot] = lambda x1, x2, /, *, axis=-1: vecdot(np.moveaxis(array_of(x1), axis, -1),
                                                                   np.moveaxis(array_of(x2), axis, -1))  # fmt: skip
