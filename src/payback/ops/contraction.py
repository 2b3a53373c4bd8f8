"""Contractions of two arrays, named by the letters of their axes: ("ij", "jk", "ik") is a matrix product.

One primitive serves dot, matmul, inner, outer and tensordot, with batch axes; its two adjoints are
contractions again.  Every letter stands at most once in each operand, and a letter of one operand stands in
the other or in the result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

from numpy import matmul

Spec = tuple[str, str, str]


def contract_values(a: Any, b: Any, spec: Spec) -> Any:
    """The product of `a` and `b`, summed over the letters that the result does not have."""
    return plan(spec)(a, b)


@lru_cache(maxsize=1024)
def adjoints(spec: Spec) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """What the arguments are paid: of (bar, b) and of (a, bar)."""
    left, right, out = spec
    return plan((out, right, left)), plan((left, out, right))


@lru_cache(maxsize=1024)
def plan(spec: Spec) -> Callable[[Any, Any], Any]:
    """How NumPy's matmul computes it: axes moved to (batch, free, summed) and (batch, summed, free)."""
    left, right, out = spec
    batch = [c for c in out if c in left and c in right]
    summed = [c for c in left if c in right and c not in out]
    free_a = [c for c in out if c in left and c not in right]
    free_b = [c for c in out if c in right and c not in left]
    to_a = tuple(left.index(c) for c in batch + free_a + summed)
    to_b = tuple(right.index(c) for c in batch + summed + free_b)
    made = batch + free_a + free_b
    to_out = tuple(made.index(c) for c in out)
    n, p, q, r = len(batch), len(free_a), len(summed), len(free_b)
    move_a, move_b, move_out = (axes != tuple(range(len(axes))) for axes in (to_a, to_b, to_out))

    def plain(a: Any, b: Any) -> Any:
        a = a.transpose(to_a) if move_a else a
        b = b.transpose(to_b) if move_b else b
        # a sum of one term is a plain product: for many small ones matmul is several times slower
        c = a * b if p == r == 1 and a.shape[-1] == 1 else matmul(a, b)
        return c.transpose(to_out) if move_out else c

    def folded(a: Any, b: Any) -> Any:
        a = a.transpose(to_a) if move_a else a
        b = b.transpose(to_b) if move_b else b
        shape = a.shape[: n + p] + b.shape[n + q :]
        a = a.reshape((*a.shape[:n], prod(a.shape[n : n + p]), prod(a.shape[n + p :])))
        b = b.reshape((*b.shape[:n], prod(b.shape[n : n + q]), prod(b.shape[n + q :])))
        c = matmul(a, b).reshape(shape)
        return (c.transpose(to_out) if move_out else c)[()]

    def outer(a: Any, b: Any) -> Any:  # no sum: a plain product is faster, and keeps the sign of zeros
        a = (a.transpose(to_a) if move_a else a).reshape((*(a.shape[i] for i in to_a), *(1,) * r))
        b = b.transpose(to_b) if move_b else b
        c = a * b.reshape((*b.shape[:n], *(1,) * p, *b.shape[n:]))
        return c.transpose(to_out) if move_out else c

    def scaled(a: Any, b: Any) -> Any:  # by a number: nothing is to be broadcast against other axes
        c = (a.transpose(to_a) if move_a else a) * (b.transpose(to_b) if move_b else b)
        return c.transpose(to_out) if move_out else c

    if not q:
        return outer if n or (p and r) else scaled
    if p == r == q == 1 and not (move_a or move_b or move_out):
        return lambda a, b: a * b if a.shape[-1] == 1 else matmul(a, b)  # what `plain` comes to
    # matmul takes one free and one summed axis as they stand, and a vector where there is no batch
    return plain if q == 1 and (p == r == 1 or (not batch and p <= 1 and r <= 1)) else folded


@lru_cache(1 << 12)
def contract_shape(shape_a: tuple[int, ...], shape_b: tuple[int, ...], spec: Spec) -> tuple[int, ...]:
    extent = dict(zip(spec[0], shape_a, strict=True)) | dict(zip(spec[1], shape_b, strict=True))
    return tuple(extent[c] for c in spec[2])
