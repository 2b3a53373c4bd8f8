"""NumPy's linear algebra of complex matrices, but for factorizations: by real matrices that are twice as large."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.trace.complex.functions import buffered, rule
from payback.trace.complex.numbers import NOTHING, Complex, pair, pair_of
from payback.trace.complex.ufuncs import answer, divide, multiply, repeated


def embedded(z: Any) -> Any:
    """The real matrix [[re, −im], [im, re]], which multiplies as the complex one does."""
    re, im = pair_of(z)
    top, bottom = np.concatenate([re, -im], axis=-1), np.concatenate([im, re], axis=-1)
    return np.concatenate([top, bottom], axis=-2)


def out_of(embedding: Any) -> Complex:
    n = embedding.shape[-1] // 2
    return Complex(embedding[..., :n, :n], embedding[..., n:, :n])


@rule(np.linalg.inv)
def inv(a: Any) -> Any:
    return out_of(np.linalg.inv(embedded(a)))


@rule(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    a, (re, im) = embedded(a), pair_of(b)
    vector = np.ndim(re) == 1
    if vector:
        re, im = re[:, None], im[:, None]
    made = np.linalg.solve(a, np.concatenate([re, im], axis=-2))
    n = a.shape[-1] // 2
    made = Complex(made[..., :n, :], made[..., n:, :])
    return made[..., 0] if vector else made


@rule(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    if n == 0:
        return buffered(np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape).copy())
    if n == 1:
        return a
    return repeated(lambda x, y: answer(np.matmul, "__call__", (x, y), {}), a if n > 0 else inv(a), abs(n))


@rule(np.linalg.det)
def det(a: Any) -> Any:
    """By elimination; the pivot is the entry of the column that is largest in absolute value."""
    if a.ndim != 2:
        return np.stack([det(each) for each in a])
    rows, made = a, pair(1.0, NOTHING, ())
    for k in range(a.shape[-1]):
        order = np.arange(len(rows))
        largest = np.argmax(np.abs(rows[:, 0]))
        order = np.where(order == 0, largest, np.where(order == largest, 0, order))
        rows = rows[order]
        made = multiply(made, rows[0, 0])
        made = np.where(largest == 0, made, -made)
        if k < a.shape[-1] - 1:
            rows = rows[1:, 1:] - multiply(divide(rows[1:, :1], rows[:1, :1]), rows[:1, 1:])
    return made


@rule(np.linalg.norm)
def norm(z: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Of absolute values, or of singular ones."""
    sides = z.ndim if axis is None else len(axis) if isinstance(axis, tuple) else 1
    if sides == 2 and ord in ("nuc", 2, -2):
        s = np.linalg.svdvals(z if axis is None else np.moveaxis(z, axis, (-2, -1)))
        found = np.sum(s, -1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]
        return np.expand_dims(found, (0, 1) if axis is None else axis) if keepdims else found
    return np.linalg.norm(np.abs(z), ord, axis, keepdims)
