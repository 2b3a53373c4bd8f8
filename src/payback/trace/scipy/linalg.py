"""`scipy.linalg` on traced values.  SciPy looks at no protocol of NumPy: these are what the shim answers with.

Where NumPy has the same function it is NumPy's row; SciPy's options that only concern its working memory are ignored.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.ops.constant_systems import Factors
from payback.ops.index import Place
from payback.trace.array import Traced, plain
from payback.trace.complex.linalg import embedded, out_of
from payback.trace.dispatch import emit, here
from payback.trace.numpy import linalg as of_numpy
from payback.trace.numpy.linalg import matrices, parts
from payback.trace.numpy.map import astype
from payback.trace.numpy.products import array_of
from payback.trace.plain_arrays import now
from payback.trace.tree import is_complex

_WORK = {"overwrite_a", "overwrite_b", "check_finite", "lapack_driver", "driver", "disp", "blocksize", "lwork"}


def refuse(name: str, options: dict[str, Any]) -> None:
    """Raises UnsupportedError for an option that would change the result."""
    for option, value in options.items():
        if option not in _WORK and value is not None and value is not False:
            raise UnsupportedError(f"scipy.linalg.{name} of traced values does not take {option}={value!r}",
                                   where=here(), fix=f"leave {option}= away")  # fmt: skip


# systems --------------------------------------------------------------------------------------------------------


def _system(name: str, a: Any, b: Any, function: Any) -> Any:
    """function(a, b) for a vector b, or for columns."""
    a, b = matrices(a), array_of(b)
    if b.ndim == 0 or b.shape[0 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ValueError(f"scipy.linalg.{name} of shapes {a.shape} and {b.shape}: incompatible dimensions")
    if b.ndim == 1:
        return np.squeeze(_system(name, a, np.reshape(b, (-1, 1)), function), -1)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (x if x.shape[:-2] == lead else np.broadcast_to(x, lead + x.shape[-2:]) for x in (a, b))
    return function(a, b)


def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False,
                     **options: Any) -> Any:  # fmt: skip
    refuse("solve_triangular", options)
    how = {"lower": bool(lower), "trans": trans in (1, 2, "T", "C"), "unit": bool(unit_diagonal)}
    return _system("solve_triangular", a, b, lambda x, y: emit("solve_triangular", x, y, **how))


def _structured(a: Any, assume_a: Any, lower: bool) -> Any:
    """The matrix that a routine for matrices of this kind sees: it reads no more of it."""
    kind = {"gen": "general", "sym": "symmetric", "her": "symmetric", "hermitian": "symmetric", "pos": "symmetric",
            "positive definite": "symmetric", "banded": "general"}.get(assume_a, assume_a)  # fmt: skip
    if kind in (None, "general"):
        return a
    if kind == "symmetric":
        return of_numpy._symmetric(a, lower)
    if kind in ("upper triangular", "lower triangular"):
        return np.triu(a) if kind.startswith("upper") else np.tril(a)
    if kind in ("diagonal", "tridiagonal"):
        width = int(kind == "tridiagonal")
        return np.tril(np.triu(a, -width), width)
    raise ValueError(f"{assume_a} is not a recognized matrix structure")


def solve(a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
          check_finite: bool = True, assume_a: Any = None, transposed: bool = False) -> Any:  # fmt: skip
    a = _structured(matrices(a), assume_a, lower)
    return _system("solve", a.mT if transposed else a, b, lambda x, y: emit("solve", x, y))


def inv(
    a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: Any = None, lower: bool = False
) -> Any:
    return of_numpy.inv(_structured(matrices(a), assume_a, lower))


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    a = matrices(a)
    return of_numpy.det(a if a.dtype == np.float64 or not isinstance(a, Traced) else astype(a, np.float64))


def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return of_numpy.cholesky(a, upper=not lower)


def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, bool]:
    """The factor with zeros in the other triangle, where SciPy leaves what was there."""
    return cholesky(a, lower), lower


def cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    c, lower = c_and_lower
    half = solve_triangular(c, b, trans=0 if lower else 1, lower=lower)
    return solve_triangular(c, half, trans=1 if lower else 0, lower=lower)


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    a = matrices(a)
    if a.ndim != 2:
        raise UnsupportedError("scipy.linalg.lu_factor of a batch of traced matrices", where=here(),
                               fix="use np.linalg.solve, which takes batches")  # fmt: skip
    packed, pivots, _ = parts("lu_factor", 3, a)
    return packed, emit("stop_gradient", pivots)


def lu_solve(lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    packed, pivots = lu_and_piv
    b = array_of(b)
    if isinstance(pivots, Traced) and pivots.node.op.name == "stop_gradient":
        (made,) = pivots.node.args
        order = emit("stop_gradient", emit("part", Traced(made.args[0]), k=2))  # what the row has made of the pivots
    else:
        order = np.arange(packed.shape[-1])
        for i, j in enumerate(np.asarray(plain(pivots))):
            order[[i, j]] = order[[j, i]]
    if not trans:
        half = emit("index", b, order, template=(Place(0),))
        half = solve_triangular(packed, half, lower=True, unit_diagonal=True)
        return solve_triangular(packed, half)
    half = solve_triangular(packed, b, trans=1)
    half = solve_triangular(packed, half, trans=1, lower=True, unit_diagonal=True)
    if not isinstance(order, Traced):
        return half[np.argsort(order)]
    where = {"shape": half.shape, "templates": ((Place(0),),), "counts": (1,), "dtype": half.dtype}
    return emit("scatter", half, order, **where)


def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    return emit("solve_sylvester", matrices(a), matrices(b), matrices(q, square=False))


def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    a = matrices(a)
    return solve_sylvester(a, a.mT, q)


def solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    """By the Kronecker product, whatever method is asked for."""
    a, q = matrices(a), matrices(q)
    n = a.shape[-1]
    made = of_numpy.solve(np.eye(n * n, dtype=a.dtype) - np.kron(a, a), np.reshape(q, (-1,)))
    return np.reshape(made, (n, n))


def lstsq(a: Any, b: Any, cond: Any = None, **options: Any) -> Any:
    refuse("lstsq", options)
    x, residuals, rank, s = of_numpy.lstsq(a, b, cond)
    return x, residuals, int(rank) if isinstance(rank, np.integer) else rank, s


def pinv(a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False, check_finite: bool = True) -> Any:
    refuse("pinv", {"atol": atol, "return_rank": return_rank})
    a = matrices(a, square=False)
    default = max(a.shape[-2:]) * float(np.finfo(a.dtype if a.dtype.kind == "f" else float).eps)
    return of_numpy.pinv(a, default if rtol is None else rtol)


def solve_banded(l_and_u: Any, ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False,
                 check_finite: bool = True) -> Any:  # fmt: skip
    """With plain bands; the transposed system has the same bands, turned over.  Traced ones are a whole matrix."""
    below, above = (int(width) for width in l_and_u)
    solve = sys.modules["scipy.linalg"].solve_banded
    if isinstance(now(ab), Traced):
        if np.shape(ab)[0] != below + above + 1:
            return solve((below, above), np.zeros(np.shape(ab)), np.zeros(np.shape(b)))  # says so
        return of_numpy.solve(from_bands(array_of(ab), above), array_of(b))
    ab, b = _bands("solve_banded", ab, b)
    if ab.shape[0] != below + above + 1:
        return solve((below, above), ab, np.zeros(b.shape))  # says so
    turned = np.zeros_like(ab)
    n = ab.shape[1]
    for row, offset in enumerate(range(above, -below - 1, -1)):  # of the diagonal: column minus row
        moved = ab[row, max(offset, 0) : n + min(offset, 0)]
        turned[len(ab) - 1 - row, max(-offset, 0) : n - max(offset, 0)] = moved
    factors = Factors(lambda x: solve((below, above), ab, x), lambda x: solve((above, below), turned, x))
    return _by_factors(factors, n, b)


def solveh_banded(ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, lower: bool = False,
                  check_finite: bool = True) -> Any:  # fmt: skip
    if isinstance(now(ab), Traced):
        half = from_bands(array_of(ab), 0 if lower else np.shape(ab)[0] - 1)
        factor = of_numpy.cholesky(of_numpy._symmetric(half, lower))  # which is what raises where SciPy does
        return of_numpy.solve(factor.mT, of_numpy.solve(factor, array_of(b)))
    ab, b = _bands("solveh_banded", ab, b)
    solve = sys.modules["scipy.linalg"].solveh_banded
    return _by_factors(Factors(lambda x: solve(ab, x, lower=lower), None), ab.shape[1], b)


def from_bands(ab: Any, above: int) -> Any:
    """The matrix of these bands, the first of which lies `above` the diagonal."""
    n = ab.shape[1]
    row, column = np.indices(ab.shape)
    row += column - above
    inside = (row >= 0) & (row < n)
    return emit("scatter", ab[inside], row[inside], column[inside], shape=(n, n),
                templates=((Place(0), Place(1)),), counts=(2,), dtype=ab.dtype)  # fmt: skip


def _bands(name: str, ab: Any, b: Any) -> tuple[Any, Any]:
    ab, b = np.array(ab), array_of(b)
    if ab.dtype.kind == "c":
        raise UnsupportedError(f"scipy.linalg.{name} with complex bands", where=here(), why="payback differentiates "
                               "real numbers", fix="solve for the real and the imaginary part")  # fmt: skip
    dtype = np.dtype(np.float32 if ab.dtype == b.dtype == np.float32 else np.float64)
    return ab.astype(dtype), b if b.dtype == dtype else astype(b, dtype)


def _by_factors(factors: Factors, n: int, b: Any) -> Any:
    if b.ndim not in (1, 2) or b.shape[0] != n:
        raise ValueError("shapes of ab and b are not compatible.")
    return np.reshape(emit("solve_constant", np.reshape(b, (n, -1)), factors=factors), b.shape)


# factorizations -------------------------------------------------------------------------------------------------


def qr(a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False,
       check_finite: bool = True) -> Any:  # fmt: skip
    refuse("qr", {"pivoting": pivoting})
    if mode == "r" and matrices(a, square=False).shape[-2] > array_of(a).shape[-1]:
        mode = "full"  # SciPy's r has as many rows as the matrix
    found = of_numpy.qr(a, {"full": "complete", "economic": "reduced", "r": "r"}.get(mode, mode))
    return (found,) if mode == "r" else tuple(found)


def eigh(a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False, type: int = 1,
         subset_by_index: Any = None, **options: Any) -> Any:  # fmt: skip
    """With b the generalized problem a·v = b·v·w, which Cholesky's factor of b makes an ordinary one."""
    refuse("eigh", options | {"type": None if type == 1 else type})
    a = matrices(a)
    if subset_by_index is not None and not eigvals_only:
        refuse("eigh", {"subset_by_index": subset_by_index})  # the signs of the vectors depend on it
    if b is None:
        w, v = parts("eigh", 2, a, lower=bool(lower), scipy=True)
    else:
        factor = of_numpy.cholesky(of_numpy._symmetric(matrices(b), lower))
        half = of_numpy.solve(factor, of_numpy._symmetric(a, lower))
        w, v = of_numpy.eigh(of_numpy.solve(factor, half.mT))
        v = of_numpy.solve(factor.mT, v)
    if subset_by_index is not None:
        first, last = (int(i) for i in subset_by_index)
        w = w[..., first : last + 1]
    return w if eigvals_only else (w, v)


def eigvalsh(a: Any, b: Any = None, **options: Any) -> Any:
    return eigh(a, b, eigvals_only=True, **options)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, **options: Any) -> Any:
    refuse("svd", options)
    found = of_numpy.svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return of_numpy.svdvals(a)


def norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True) -> Any:
    return of_numpy.norm(a, ord, axis, keepdims)


# functions of a matrix ------------------------------------------------------------------------------------------


def _matrix_function(name: str) -> Any:
    def function(A: Any, **options: Any) -> Any:
        refuse(name, {key: value for key, value in options.items() if key != "disp" or value is False})
        if is_complex(A):
            return out_of(function(embedded(A)))
        a = matrices(A)
        if name == "logm" and a.dtype != np.float64:  # as in SciPy
            a = astype(a, np.float64)
        return emit(name, a)

    return function


def expm_frechet(A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True) -> Any:
    a, e = matrices(A), matrices(E)
    moved = emit("expm_frechet", a, e)
    return (emit("expm", a), moved) if compute_expm else moved


# matrices made of entries ---------------------------------------------------------------------------------------


def block_diag(*arrs: Any) -> Any:
    blocks = [np.reshape(x, (1,) * (2 - x.ndim) + x.shape) if x.ndim < 2 else x for x in map(array_of, arrs)]
    if any(x.ndim > 2 for x in blocks):
        raise UnsupportedError("scipy.linalg.block_diag of batches of traced matrices", where=here())
    wide, bands, at = sum(x.shape[1] for x in blocks), [], 0
    for x in blocks:
        left, right = (np.zeros((x.shape[0], n), x.dtype) for n in (at, wide - at - x.shape[1]))
        bands.append(np.concatenate([left, x, right], axis=1))
        at += x.shape[1]
    return np.concatenate(bands, axis=0)


def _vector(x: Any) -> Any:
    x = array_of(x)
    if x.ndim > 1:
        raise UnsupportedError("scipy.linalg's Toeplitz and Hankel matrices of batches of traced values", where=here())
    return np.reshape(x, (-1,))


def toeplitz(c: Any, r: Any = None) -> Any:
    c = _vector(c)
    r = c if r is None else _vector(r)
    places = np.arange(len(c))[:, None] - np.arange(len(r))
    return np.concatenate([r[:0:-1], c])[places + len(r) - 1]


def circulant(c: Any) -> Any:
    c = _vector(c)
    return c[(np.arange(len(c))[:, None] - np.arange(len(c))) % len(c)]


def hankel(c: Any, r: Any = None) -> Any:
    c = _vector(c)
    r = np.zeros(len(c), c.dtype) if r is None else _vector(r)
    return np.concatenate([c, r[1:]])[np.arange(len(c))[:, None] + np.arange(len(r))]


def _without_derivative(name: str) -> Any:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"scipy.linalg.{name} has no derivative in payback", where=here(),
                               why="there is no row for it in the table",
                               fix="write it with functions that have one, or use "
                               "pb.custom_gradient(plain=True)")  # fmt: skip

    return refused


FUNCTIONS = {
    name: _without_derivative(name)
    for name in (
        "schur", "qz", "ldl", "rq", "hessenberg", "null_space", "funm", "signm", "tanm", "tanhm", "eig_banded",
        "subspace_angles", "matrix_balance", "cossin", "expm_cond",
    )
} | {name: _matrix_function(name) for name in ("expm", "logm", "sqrtm", "cosm", "sinm", "coshm", "sinhm")} | {
    f.__name__: f
    for f in (
        solve_triangular, solve, inv, det, cholesky, cho_factor, cho_solve, lu_factor, lu_solve, solve_sylvester,
        solve_continuous_lyapunov, solve_discrete_lyapunov, lstsq, pinv, qr, eigh, eigvalsh, svd, svdvals, norm,
        solve_banded, solveh_banded, expm_frechet, block_diag, toeplitz, circulant, hankel,
    )
}  # fmt: skip
