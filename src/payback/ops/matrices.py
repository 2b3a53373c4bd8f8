"""What the rules of linear algebra are written with: products, transposes and triangles of (batches of) matrices."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from payback.ops.namespace import Values

_LEADING = "abcdefghABCDEFGHpqrstuvwPQRSTUVW"


def provide(**functions: Any) -> None:
    """Add functions to the namespace of plain values; graphs have them by their rows."""
    for name, function in functions.items():
        setattr(Values, name, staticmethod(function))


def transposed(m: Any, x: Any) -> Any:
    n = len(m.shape(x))
    return m.transpose(x, axes=(*range(n - 2), n - 1, n - 2))


def product(m: Any, *factors: Any) -> Any:
    """The matrix product, from the left; batch axes are equal."""
    made = factors[0]
    lead = _LEADING[: len(m.shape(made)) - 2]
    for factor in factors[1:]:
        made = m.contract(made, factor, spec=(f"{lead}ij", f"{lead}jk", f"{lead}ik"))
    return made


def inner(m: Any, a: Any, b: Any) -> Any:
    """Σ a·b over each matrix."""
    lead = _LEADING[: len(m.shape(a)) - 2]
    return m.contract(a, b, spec=(f"{lead}ij", f"{lead}ij", lead))


def scaled(m: Any, number: Any, matrix: Any) -> Any:
    """One number for each matrix, times the matrix."""
    return m.reshape(number, shape=(*m.shape(number), 1, 1)) * matrix if m.shape(number) else number * matrix


def columns(m: Any, v: Any) -> Any:
    """A vector as what multiplies the columns of a matrix: one number for each."""
    shape = m.shape(v)
    return m.reshape(v, shape=(*shape[:-1], 1, shape[-1]))


def rows(m: Any, v: Any) -> Any:
    """A vector as what multiplies the rows of a matrix."""
    return m.reshape(v, shape=(*m.shape(v), 1))


def applied(m: Any, matrix: Any, v: Any) -> Any:
    """matrix · vector, for batches of both."""
    lead = _LEADING[: len(m.shape(v)) - 1]
    return m.contract(matrix, v, spec=(f"{lead}ij", f"{lead}j", f"{lead}i"))


def diagonal(m: Any, x: Any) -> Any:
    """The diagonal of each square matrix, as a vector."""
    *lead, n, _ = m.shape(x)
    flat = m.reshape(x, shape=(*lead, n * n))
    return m.index(flat, template=(..., slice(None, None, n + 1))) if n else m.reshape(x, shape=(*lead, 0))


def lower(m: Any, x: Any, below: int = 0) -> Any:
    """The lower triangle, from the diagonal `below` the main one on; zeros above."""
    return m.where(triangle(*m.shape(x)[-2:], -below), x, 0.0)


def upper(m: Any, x: Any, above: int = 0) -> Any:
    return m.where(triangle(*m.shape(x)[-2:], above - 1), 0.0, x)


def triangle(rows: int, columns: int, k: int) -> np.ndarray[Any, Any]:
    """np.tri of truths; small ones are kept."""
    return _small_triangle(rows, columns, k) if rows * columns <= _SMALL else np.tri(rows, columns, k, dtype=bool)


_SMALL = 1 << 14  # entries


@lru_cache(maxsize=64)
def _small_triangle(rows: int, columns: int, k: int) -> np.ndarray[Any, Any]:
    made = np.tri(rows, columns, k, dtype=bool)
    made.flags.writeable = False
    return made


def _halves(n: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """What halves the diagonal of a lower triangle."""
    made = (np.tri(n) - 0.5 * np.eye(n)).astype(dtype)
    made.flags.writeable = False
    return made


_small_halves = lru_cache(maxsize=64)(_halves)


def halved(m: Any, x: Any) -> Any:
    """The lower triangle with half of its diagonal: what, added to its transpose, is the symmetric x."""
    n = m.shape(x)[-1]
    return lower(m, x) * (_small_halves if n * n <= _SMALL else _halves)(n, m.dtype(x))


def mirrored(m: Any, x: Any, from_lower: bool = True) -> Any:
    """The symmetric matrix that has x's lower (or upper) triangle."""
    if not from_lower:
        x = transposed(m, x)
    return lower(m, x) + transposed(m, lower(m, x, 1))


def folded(m: Any, x: Any, to_lower: bool = True) -> Any:
    """The adjoint of `mirrored`: what the triangle that is read is owed; the other is owed nothing."""
    paid = lower(m, x) + lower(m, transposed(m, x), 1)
    return paid if to_lower else transposed(m, paid)


def complement(m: Any, u: Any, v: Any, x: Any) -> Any:
    """x − u·v·x: what is left of x outside of a subspace."""
    return x - product(m, u, product(m, v, x))
