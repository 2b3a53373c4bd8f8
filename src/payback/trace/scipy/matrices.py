"""Functions of `scipy.linalg` on traced matrices that are written with others: structured ones, control, rotations."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.trace.array import plain, stop_gradient
from payback.trace.complex.factorizations import eig as _eig
from payback.trace.complex.factorizations import eigh_of_lapack
from payback.trace.complex.numbers import Complex, as_part, pair_of
from payback.trace.dispatch import emit, here
from payback.trace.numpy import linalg as of_numpy
from payback.trace.numpy.arguments import known
from payback.trace.numpy.linalg import matrices, parts
from payback.trace.numpy.products import array_of
from payback.trace.scipy import linalg
from payback.trace.scipy.linalg import circulant, refuse, toeplitz
from payback.trace.scipy.optimize import at_each_run
from payback.trace.tree import is_complex

# eigenvalues ----------------------------------------------------------------------------------------------------


def eigvals(a: Any, b: Any = None, overwrite_a: bool = False, check_finite: bool = True,
            homogeneous_eigvals: bool = False) -> Any:  # fmt: skip
    refuse("eigvals", {"b": b, "homogeneous_eigvals": homogeneous_eigvals})
    given = pair_of(a) if is_complex(a) else (matrices(a),)
    return Complex(*parts("eig", 4, *map(as_part, given), vectors=False)[:2])


def eig(a: Any, b: Any = None, left: bool = False, right: bool = True, overwrite_a: bool = False,
        overwrite_b: bool = False, check_finite: bool = True, homogeneous_eigvals: bool = False) -> Any:  # fmt: skip
    refuse("eig", {"b": b, "left": left, "homogeneous_eigvals": homogeneous_eigvals})
    if not right:
        return eigvals(a)
    w, v = _eig(a)
    return w if is_complex(w) else Complex(w, np.zeros(w.shape, w.dtype)), v


def eigh_tridiagonal(d: Any, e: Any, eigvals_only: bool = False, select: str = "a", **options: Any) -> Any:
    refuse("eigh_tridiagonal", {"select": None if select == "a" else select, **options})
    d, e = array_of(d), array_of(e)
    whole = np.diag(d) + np.diag(e, 1) + np.diag(e, -1)
    if eigvals_only:
        return of_numpy.eigvalsh(whole)
    if not known(d, e):
        raise TraceError("scipy.linalg.eigh_tridiagonal without numbers", where=here(),
                         why="the signs of its vectors are its own",
                         fix="give the whole matrix to np.linalg.eigh")  # fmt: skip
    w, v = of_numpy.eigh(whole)
    theirs = sys.modules["scipy.linalg"].eigh_tridiagonal(plain(d), plain(e))[1]
    return w, v * np.sign(np.sum(plain(v) * theirs, axis=0))


# factors --------------------------------------------------------------------------------------------------------


def lu(a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True,
       p_indices: bool = False) -> Any:  # fmt: skip
    a = matrices(a)
    refuse("lu", {"p_indices": p_indices, "a batch as a": a.ndim > 2})
    packed, _, order = parts("lu_factor", 3, a)
    n = a.shape[-1]
    lower, upper = np.tril(packed, -1) + np.eye(n, dtype=a.dtype), np.triu(packed)
    permuted = np.where(np.arange(n)[:, None] == emit("stop_gradient", order), 1.0, 0.0).astype(a.dtype)
    return (permuted @ lower, upper) if permute_l else (permuted, lower, upper)


def polar(a: Any, side: str = "right") -> Any:
    """u·p with p = (aᵀa)^½; its numbers are those of singular vectors, whose own derivatives are not needed."""
    a = matrices(a, square=False)
    if side == "left":
        u, p = polar(a.mT)
        return u.mT, p
    if a.shape[-2] < a.shape[-1] or a.ndim > 2:
        raise UnsupportedError(f"scipy.linalg.polar(side={side!r}) of a traced matrix of shape {a.shape}", where=here(),
                               why="it is not determined where the symmetric factor has no inverse",
                               fix="use the side on which that factor is the smaller one")  # fmt: skip
    p = emit("sqrtm", a.mT @ a)
    u = of_numpy.solve(p, a.mT).mT
    left, s, right = of_numpy.svd(stop_gradient(a), False)
    return _worth(u, left @ right), _worth(p, (right.mT * s) @ right)


def _worth(x: Any, value: Any) -> Any:
    """`value`, with the derivative of x."""
    return x + (value - stop_gradient(x))


def orthogonal_procrustes(A: Any, B: Any, check_finite: bool = True) -> Any:
    A, B = array_of(A), array_of(B)
    u, p = polar(A.T @ B)
    return u, np.trace(p)


def orth(A: Any, rcond: Any = None) -> Any:
    A = matrices(A, square=False)
    u, s, _ = of_numpy.svd(A, False)
    if not known(s):
        raise TraceError("scipy.linalg.orth without numbers", where=here(),
                         why="how many vectors there are depends on the numbers",
                         fix="use np.linalg.qr(a)[0]")  # fmt: skip
    size = plain(s)
    cutoff = np.finfo(size.dtype).eps * max(A.shape) if rcond is None else rcond
    return u[:, : int(np.sum(size > np.max(size, initial=0.0) * cutoff))]


def pinvh(a: Any, atol: Any = None, rtol: Any = None, lower: bool = True, return_rank: bool = False,
          check_finite: bool = True) -> Any:  # fmt: skip
    return linalg.pinv(of_numpy._symmetric(matrices(a), lower), atol=atol, rtol=rtol, return_rank=return_rank)


def cholesky_banded(ab: Any, overwrite_ab: bool = False, lower: bool = False, check_finite: bool = True) -> Any:
    ab = array_of(ab)
    whole = linalg.from_bands(ab, 0 if lower else ab.shape[0] - 1)
    factor = of_numpy.cholesky(of_numpy._symmetric(whole, lower), upper=not lower)
    row, column = np.indices(ab.shape)
    row = row + column - (0 if lower else ab.shape[0] - 1)
    inside = (row >= 0) & (row < ab.shape[1])
    return np.where(inside, factor[np.where(inside, row, 0), column], ab)  # SciPy leaves what is there


def cho_solve_banded(cb_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    cb, lower = cb_and_lower
    cb = array_of(cb)
    return linalg.cho_solve((linalg.from_bands(cb, 0 if lower else cb.shape[0] - 1), lower), b)


def fractional_matrix_power(A: Any, t: Any) -> Any:
    if isinstance(t, (int, np.integer)):
        return of_numpy.matrix_power(matrices(A), t)
    return emit("expm", t * linalg.FUNCTIONS["logm"](A))


# structured matrices --------------------------------------------------------------------------------------------


def _toeplitz(c_or_cr: Any) -> Any:
    return toeplitz(*c_or_cr) if isinstance(c_or_cr, tuple) else toeplitz(c_or_cr)


def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    return of_numpy.solve(_toeplitz(c_or_cr), array_of(b))


def matmul_toeplitz(c_or_cr: Any, x: Any, check_finite: bool = False, workers: Any = None) -> Any:
    return _toeplitz(c_or_cr) @ array_of(x)


def solve_circulant(c: Any, b: Any, singular: str = "raise", tol: Any = None, caxis: int = -1, baxis: int = 0,
                    outaxis: int = 0) -> Any:  # fmt: skip
    axes = {"caxis": caxis if caxis != -1 else None, "baxis": baxis or None, "outaxis": outaxis or None}
    refuse("solve_circulant", {"singular": None if singular == "raise" else singular, "tol": tol, **axes})
    return of_numpy.solve(circulant(c), array_of(b))


def khatri_rao(a: Any, b: Any) -> Any:
    a, b = array_of(a), array_of(b)
    return np.reshape(a[..., :, None, :] * b[..., None, :, :], (*a.shape[:-2], -1, a.shape[-1]))


def companion(a: Any) -> Any:
    a = array_of(a)
    n = a.shape[-1] - 1
    if a.ndim != 1 or n < 1:
        return sys.modules["scipy.linalg"].companion(np.ones(a.shape))  # says what is wrong
    below = np.broadcast_to(np.eye(n, dtype=a.dtype)[:-1], (n - 1, n))
    return np.concatenate([np.reshape(-a[1:] / a[0], (1, n)), below])


# Riccati's equations --------------------------------------------------------------------------------------------


def _riccati(name: str, residual: Callable[..., Any]) -> Callable[..., Any]:
    def solved(a: Any, b: Any, q: Any, r: Any, e: Any = None, s: Any = None, balanced: bool = True) -> Any:
        refuse(name, {"e": e, "s": s})
        given = [np.atleast_2d(array_of(part)) for part in (a, b, q, r)]
        a, b, q, r = given
        solve = getattr(sys.modules["scipy.linalg"], name)
        return at_each_run(
            lambda x: residual(x, a, b, q, r), [np.zeros(a.shape), *map(stop_gradient, given)],
            lambda g, x, *numbers: solve(*numbers, balanced=balanced),
        )  # fmt: skip

    return solved


def _continuous(x: Any, a: Any, b: Any, q: Any, r: Any) -> Any:
    return a.T @ x + x @ a - x @ b @ np.linalg.solve(r, b.T @ x) + q


def _discrete(x: Any, a: Any, b: Any, q: Any, r: Any) -> Any:
    return a.T @ x @ a - x - a.T @ x @ b @ np.linalg.solve(r + b.T @ x @ b, b.T @ x @ a) + q


# complex matrices -----------------------------------------------------------------------------------------------


def _general(name: str, function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """NumPy's function of the first `count` arguments; the others must say nothing."""

    def of_complex(*args: Any, overwrite_a: bool = False, overwrite_b: bool = False, check_finite: bool = True,
                   **options: Any) -> Any:  # fmt: skip
        refuse(name, {f"argument {count + 1}": args[count:] or None, **options})
        return function(*args[:count])

    return of_complex


def _eigh(a: Any, lower: bool = True, eigvals_only: bool = False, **options: Any) -> Any:
    refuse("eigh", {key: value for key, value in options.items() if key not in ("overwrite_a", "check_finite")})
    return np.linalg.eigvalsh(a, "L" if lower else "U") if eigvals_only else eigh_of_lapack(a, lower, scipy=True)


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, **options: Any) -> Any:
    found = np.linalg.svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


_OF_COMPLEX: dict[str, Callable[..., Any]] = {
    **{name: _general(name, getattr(np.linalg, name), count) for name, count in (
        ("solve", 2), ("inv", 1), ("det", 1), ("pinv", 1), ("svdvals", 1), ("lstsq", 2))},
    "cholesky": lambda a, lower=False, *_, **__: np.linalg.cholesky(a, upper=not lower),
    "eigh": _eigh, "eigvalsh": lambda a, **how: _eigh(a, eigvals_only=True, **how), "svd": _svd,
    "norm": lambda a, ord=None, axis=None, keepdims=False, check_finite=True: np.linalg.norm(a, ord, axis, keepdims),
}  # fmt: skip


def _of_either(f: Callable[..., Any], of_complex: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def function(*args: Any, **kwargs: Any) -> Any:
        return (of_complex if any(map(is_complex, args)) else f)(*args, **kwargs)

    return function


FUNCTIONS = linalg.FUNCTIONS | {
    f.__name__: f
    for f in (
        eigvals, eig, eigh_tridiagonal, lu, polar, orthogonal_procrustes, orth, pinvh, cholesky_banded,
        cho_solve_banded, fractional_matrix_power, solve_toeplitz, matmul_toeplitz, solve_circulant, khatri_rao,
        companion,
    )
} | {
    "solve_continuous_are": _riccati("solve_continuous_are", _continuous),
    "solve_discrete_are": _riccati("solve_discrete_are", _discrete),
} | {name: _of_either(linalg.FUNCTIONS[name], f) for name, f in _OF_COMPLEX.items()}  # fmt: skip
