"""Solving with SciPy's sparse matrices: `spsolve(A, b)`, `splu(A).solve(b)`, `spsolve_triangular(A, b)`, traced b.

What the matrix holds is constant, so each is one linear map (`ops/constant_systems.py`).  The factors that a program
keeps are objects of a class made in C, whose method looks at no protocol: it is answered as those of arrays are.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.ops.constant_systems import Factors
from payback.trace.array import Traced
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import emit, here
from payback.trace.numpy.map import astype
from payback.trace.plain_arrays import now
from payback.trace.scipy.sparse_products import is_sparse

_MODULE = "scipy.sparse.linalg._dsolve._superlu"


def _system(name: str, factors: Factors, n: int, b: Any, dtype: Any) -> Any:
    """The solution for a vector b or columns, in a dtype; everything else is refused as SciPy does."""
    if b.ndim not in (1, 2) or b.shape[0] != n:
        raise ShapeError(f"{name} of shapes that do not fit", where=here(),
                         why=f"the matrix is ({n}, {n}) and the right side {b.shape}",
                         fix="give a vector, or columns, as long as the matrix has rows")  # fmt: skip
    b = astype(b, dtype) if b.dtype != dtype else b
    columns = np.reshape(b, (n, -1)) if b.ndim == 1 else b
    return np.reshape(emit("solve_constant", columns, factors=factors), b.shape)


def _plain_matrix(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """The matrix in the dtype of the solution, which is floating."""
    if isinstance(now(a), Traced) or not isinstance(b, Traced):
        raise UnsupportedError(f"{name} of a traced matrix", where=here(), why="a sparse matrix holds bare numbers",
                               fix="use np.linalg.solve of the full matrix")  # fmt: skip
    if not is_sparse(a):
        a = sys.modules["scipy.sparse"].csc_array(np.asarray(a))
    if a.shape[0] != a.shape[1]:
        raise ValueError(f"matrix must be square (has shape {a.shape})")
    dtype = np.result_type(a.dtype, b.dtype)
    if dtype.kind == "c":
        raise UnsupportedError(f"{name} with a complex matrix", where=here(), why="payback differentiates real numbers",
                               fix="solve for the real and the imaginary part")  # fmt: skip
    return a, dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)


def spsolve(A: Any, b: Any, permc_spec: Any = None, use_umfpack: bool = True) -> Any:
    a, dtype = _plain_matrix("spsolve", A, b)
    kept = sys.modules["scipy.sparse.linalg"].splu(a.tocsc().astype(dtype), permc_spec=permc_spec)
    made = _system("spsolve", _factors(kept), a.shape[0], b, dtype)
    return made[:, 0] if made.ndim == 2 and made.shape[1] == 1 else made


def spsolve_triangular(A: Any, b: Any, lower: bool = True, overwrite_A: bool = False, overwrite_b: bool = False,
                       unit_diagonal: bool = False) -> Any:  # fmt: skip
    a, dtype = _plain_matrix("spsolve_triangular", A, b)
    solve = sys.modules["scipy.sparse.linalg"].spsolve_triangular
    there, back = a.tocsr().astype(dtype), a.T.tocsr().astype(dtype)
    factors = Factors(
        lambda x: solve(there, x, lower=lower, unit_diagonal=unit_diagonal),
        lambda x: solve(back, x, lower=not lower, unit_diagonal=unit_diagonal),
    )
    return _system("spsolve_triangular", factors, a.shape[0], b, dtype)


def _factors(kept: Any) -> Factors:
    """Of a SuperLU object, solving past what answers its method."""
    solve = _original()
    return Factors(lambda x: solve(kept, x), lambda x: solve(kept, x, "T"))


@functools.cache
def _original() -> Callable[..., Any]:
    return vars(superlu())["solve"]


@functools.cache
def answers() -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands for the methods of SuperLU objects while functions are traced, and the methods themselves."""
    original = _original()

    @functools.wraps(original)
    def solve(self: Any, rhs: Any, trans: str = "N") -> Any:
        return _solve(self, now(rhs), trans) if any_traced(rhs) else original(self, rhs, trans)

    return {"solve": solve}, {"solve": original}


def superlu() -> Any:
    """The class of what `splu` returns, if SciPy's solver has been imported; or None."""
    return getattr(sys.modules.get(_MODULE), "SuperLU", None)


def _solve(kept: Any, b: Any, trans: str) -> Any:
    n = kept.shape[0]
    dtype = _original()(kept, np.zeros(n, np.float32)).dtype  # it does not say its own
    if dtype.kind == "c":
        raise UnsupportedError("a solve with complex factors", where=here(), why="payback differentiates real numbers",
                               fix="solve for the real and the imaginary part")  # fmt: skip
    if not np.can_cast(b.dtype, dtype):
        raise TypeError(f"Cannot cast array data from {b.dtype!r} to {dtype!r} according to the rule 'safe'")
    if trans not in ("N", "T", "H"):
        raise ValueError("trans must be N, T, or H")
    factors = _factors(kept)
    return _system("splu(A).solve", factors if trans == "N" else factors.T, n, b, dtype)


FUNCTIONS = {"spsolve": spsolve, "spsolve_triangular": spsolve_triangular}
