"""Systems of equations with a constant matrix that has been factored once: b -> A⁻¹·b, as sparse solvers keep it.

The map is linear, so forward mode is the same solve, and its adjoint is the solve with the transposed matrix, by the
same factors.  The matrix is never made dense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.matrices import provide
from payback.ops.row import Row

Solve = Callable[[np.ndarray[Any, Any]], Any]


class Factors:
    """What solves with a matrix; `T` is what solves with its transpose.  Both take one column or several, (n, k)."""

    __slots__ = ("T", "solve")

    def __init__(self, solve: Solve, transposed: Solve | None, of: Factors | None = None):
        self.solve = solve
        self.T: Factors = of if transposed is None and of is not None else Factors(transposed or solve, None, self)

    def rows(self, n: int) -> int:
        """How many numbers of a column come out of n."""
        return n


def _solved(b: Any, factors: Factors) -> Any:
    """Of columns b, (..., n, k): those of a batch side by side, in one solve."""
    columns = np.moveaxis(b, -2, 0)
    shape = (factors.rows(len(columns)), *columns.shape[1:])
    made = factors.solve(np.asfortranarray(columns.reshape(len(columns), -1))) if b.size else np.zeros(shape)
    return np.ascontiguousarray(np.moveaxis(np.asarray(made, b.dtype).reshape(shape), 0, -2))


def _shape(b: Any, factors: Factors) -> Aval:
    return Aval((*b.shape[:-2], factors.rows(b.shape[-2]), b.shape[-1]), b.dtype)


def _adjoint(m: Any, bar: Any, slot: int, b: Any, factors: Factors) -> Any:
    return m.solve_constant(bar, factors=factors.T)


provide(solve_constant=_solved)
Row("solve_constant", "linear", lambda m, b, factors: m.solve_constant(b, factors=factors),
    shape=_shape, adjoint=_adjoint, numeric="float", batch="leading",
    math="b̄ = a⁻ᵀ·ȳ, with the factors of a")  # fmt: skip
