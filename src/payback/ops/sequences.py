"""Values of the rows that go along an axis: products, recurrences, convolutions, orders and places.

The functions of a NumPy that has none of them (a linear recurrence) and small completions of those that it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def prod(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return np.multiply.reduce(x, axis=axes, keepdims=keepdims)


def cumprod(x: Any, axis: int, backwards: bool) -> Any:
    if not backwards:
        return np.cumprod(x, axis=axis)
    return np.flip(np.cumprod(np.flip(x, axis), axis=axis), axis)


_ROWS, _FEW = 16, 4096
_running = np.multiply.accumulate


def others(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of (n, columns) at each entry the product of all others of its column: what stands before it times what after it.

    Many are taken by 16 rows of long vectors, and each group's product then among those of the other groups: NumPy's
    own running product waits for the one before at every entry.
    """
    n, columns = x.shape
    if x.size <= _FEW:
        made, after = np.ones_like(x, order="C"), np.ones_like(x, order="C")
        _running(x[:-1], 0, None, made[1:])
        _running(x[:0:-1], 0, None, after[-2::-1])
        return np.multiply(made, after, out=made)
    if n <= _ROWS:
        made = np.ones_like(x, order="C")
        for k in range(1, n):
            np.multiply(made[k - 1], x[k - 1], out=made[k])
        behind = x[-1].copy()
        for k in range(n - 2, -1, -1):
            made[k] *= behind
            behind *= x[k]
        return made
    groups = n // _ROWS
    parted = x[: _ROWS * groups].reshape(_ROWS, groups * columns)
    inside = others(parted)
    wholes = (inside[0] * parted[0]).reshape(groups, columns)
    outside = others(np.concatenate([wholes, x[_ROWS * groups :]]))
    inside *= outside[:groups].reshape(-1)
    return np.concatenate([inside.reshape(-1, columns), outside[groups:]])


def recurrence(a: Any, b: Any, axis: int, backwards: bool) -> Any:
    """y_i = a_i·y_{i−1} + b_i from y_0 = b_0, or from the other end."""
    if b.ndim == 1 and b.dtype == np.float64:  # Python's floats are the same doubles, at a tenth of the time
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        y, made = 0.0, []
        for first, (factor, term) in enumerate(reversed([*pairs]) if backwards else pairs):
            y = factor * y + term if first else term
            made.append(y)
        return np.array(made[::-1] if backwards else made, np.float64)
    made = np.array(b)
    steps, factors = np.moveaxis(made, axis, 0), np.moveaxis(a, axis, 0)
    if backwards:
        steps, factors = steps[::-1], factors[::-1]
    for i in range(1, steps.shape[0]):
        steps[i] += factors[i] * steps[i - 1]
    return made


def convolve(a: Any, v: Any, mode: str) -> Any:
    return np.convolve(a, v, mode)


def argsort(x: Any, axis: int, kind: str | None) -> Any:
    return np.argsort(x, axis=axis, kind=kind)


def argpartition(x: Any, axis: int, kth: tuple[int, ...]) -> Any:
    return np.argpartition(x, kth, axis=axis)


def argmax(x: Any, axis: int | None, keepdims: bool) -> Any:
    return np.argmax(x, axis=axis, keepdims=keepdims)


def argmin(x: Any, axis: int | None, keepdims: bool) -> Any:
    return np.argmin(x, axis=axis, keepdims=keepdims)


def searchsorted(a: Any, v: Any, side: str) -> Any:
    return np.searchsorted(a, v, side=side)


def last_written(places: Any, size: int) -> Any:
    """Which of the places along the last axis names each of `size` entries last; -1 where none does."""
    lead, count = places.shape[:-1], places.shape[-1]
    rows = places.reshape(-1, count)
    made = np.full((len(rows), size), -1, np.intp)
    made[np.arange(len(rows))[:, None], rows] = np.arange(count)  # of repeated places NumPy keeps the last
    return made.reshape(*lead, size)


def exponent(x: Any) -> Any:
    """e of x = f·2**e with ½ ≤ |f| < 1."""
    return np.frexp(x)[1]


def running(x: Any, axis: int, largest: bool) -> Any:
    """Where the largest (smallest) entry so far stands, the first of equal ones; a NaN stays."""
    best = (np.maximum if largest else np.minimum).accumulate(x, axis=axis)
    x, best = np.moveaxis(x, axis, 0), np.moveaxis(best, axis, 0)
    before = best[:-1]
    new = np.ones(x.shape, bool)
    new[1:] = ((x[1:] > before) if largest else (x[1:] < before)) | (np.isnan(x[1:]) & ~np.isnan(before))
    places = np.arange(x.shape[0]).reshape((-1,) + (1,) * (x.ndim - 1))
    return np.moveaxis(np.maximum.accumulate(np.where(new, places, 0), axis=0), 0, axis)


def reduceat(x: Any, indices: tuple[int, ...], axis: int) -> Any:
    return np.add.reduceat(x, indices, axis=axis)
