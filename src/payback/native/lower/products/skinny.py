"""Which kernel a product of matrices has whose rows, columns or sums are few; by its shape alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native.lower.products.high import high
from payback.native.lower.products.inner import inner
from payback.native.lower.products.matrix_vector import by_vector
from payback.native.lower.products.streams import streams
from payback.native.lower.products.tiny import tiny

Numbers = tuple[int, ...]


class Skinny(NamedTuple):
    """A kernel with the arguments of `Product`, its numbers, and whether it is given Bᵀ and Aᵀ and makes Cᵀ."""

    kernel: Any
    numbers: Numbers
    size: int  # bytes of scratch for each thread
    exchanged: bool


def skinny(
    code: str, after: Any, batch: int, numbers: Numbers, few: Any, made: set[Any] | None, large: bool, shared: bool
) -> Skinny | None:
    """made: kernels of such a kind, in a program that is not lowered again in parts; few: as in `by_vector`.

    large: whether the result may have rows that are long.
    """
    ways = [(numbers, False)]
    if after is None and not batch and few is None:
        ways.append((_exchanged(numbers), True))
    for each, exchanged in ways:
        if (key := by_vector(code, after, batch, False, each, few, shared)) is not None:
            return _made(key, each, 0, exchanged)
    known = few.made if few is not None else made
    if known is not None and (found := tiny(known, code, numbers, batch, after, shared)) is not None:
        return _made(found, numbers, 0, False)
    if batch or made is None:
        return None
    if large and (long := streams(made, code, numbers, after, shared)) is not None:
        return _made(long, numbers, long.scratch(numbers[1]), False)
    for each, exchanged in ways:
        few_rows = inner(code, each, shared) if after is None and each[0] <= each[1] else None
        few_rows = few_rows or high(code, each, after, shared)
        if few_rows is not None:
            return _made(few_rows, each, few_rows.scratch(each[0], each[2]), exchanged)
    return None


def _exchanged(numbers: Numbers) -> Numbers:
    """Of Cᵀ = Bᵀ·Aᵀ."""
    m, n, k, a0, a1, b0, b1, c0, c1, *rest = numbers
    return (n, m, k, b1, b0, a1, a0, c1, c0, *rest)


def _made(kernel: Any, numbers: Numbers, size: int, exchanged: bool) -> Skinny:
    return Skinny(kernel, (*numbers[:10], size, *numbers[11:]), size, exchanged)
