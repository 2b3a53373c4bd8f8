"""Rows whose values are `scipy.linalg`'s: functions of matrices, triangular systems, Sylvester's equation, LU.

A function f of a matrix is differentiated by f of a matrix twice as large: f([[a, e], [0, a]]) has the derivative of f
along e in its upper right block (R. Mathias, A chain rule for matrix functions and applications, SIAM J. Matrix Anal.
Appl. 17, 1996), and the adjoint of that is the derivative at aᵀ.  The rule is the row itself, so it has all orders.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from payback.errors import DifferentiationError
from payback.ir.aval import Aval, Avals
from payback.ops.index import Place
from payback.ops.matrices import lower, product, provide, transposed, upper
from payback.ops.row import Row, like_first
from payback.ops.special import scipy_linalg

Slots = list[int]
_T = transposed


def _each(f: Any, *batches: Any) -> Any:
    """f of each of the matrices in turn; SciPy's functions did not always take batches."""
    if batches[0].ndim == 2:
        return f(*batches)
    lead = batches[0].shape[:-2]
    flat = [x.reshape(-1, *x.shape[-2:]) for x in batches]
    made = [f(*group) for group in zip(*flat, strict=True)]
    if not made:
        return np.zeros(batches[-1].shape, batches[-1].dtype)
    return np.stack(made).reshape(*lead, *made[0].shape)


# functions of a matrix ------------------------------------------------------------------------------------------


def _function_value(name: str) -> Any:
    def one(a: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # logm's estimate of its own error
            made = getattr(scipy_linalg(), name)(a)
        if made.dtype.kind == "c":
            raise DifferentiationError(f"{name} of this matrix is complex", why="some of its eigenvalues are negative",
                                       fix="give a matrix with positive eigenvalues")  # fmt: skip
        return made.astype(a.dtype, copy=False)

    return lambda a: _each(one, a)


def _along(m: Any, name: str, a: Any, e: Any) -> Any:
    """The derivative of a function of the matrix a along e (the Fréchet derivative)."""
    n = m.shape(a)[-1]
    last = len(m.shape(a)) - 1
    # it is linear in e, which may be of any size; the function of the large matrix may lose digits if e is not a's
    size = m.stop_gradient(m.max(m.abs(e), axes=(last - 1, last), keepdims=True))
    size = m.where(size > 0, size, 1.0)
    high = m.concatenate(a, m.div(e, size), axis=last)
    low = m.concatenate(np.zeros(m.shape(a), m.dtype(a)), a, axis=last)
    made = getattr(m, name)(m.concatenate(high, low, axis=last - 1))
    return m.index(made, template=(..., slice(0, n), slice(n, 2 * n))) * size


def _matrix_function(name: str) -> None:
    provide(**{name: _function_value(name)})
    Row(name, "own", lambda m, a: getattr(m, name)(a), shape=like_first, numeric="float",
    batch="leading",         vjp=lambda m, bar, args, y, wanted: [_along(m, name, _T(m, args[0]), bar)],
        jvp=lambda m, dots, args, y: _along(m, name, args[0], dots[0]),
        math="the Fréchet derivative at aᵀ")  # fmt: skip


provide(stop_gradient=lambda x: x)
for _name in ("logm", "cosm", "sinm", "coshm", "sinhm"):
    _matrix_function(_name)


# The square root's derivative x solves y·x + x·y = e: smaller, and with more digits where a is nearly singular.
provide(sqrtm=_function_value("sqrtm"))
Row("sqrtm", "own", lambda m, a: m.sqrtm(a), shape=like_first, numeric="float", batch="leading",
    vjp=lambda m, bar, args, y, wanted: [m.solve_sylvester(_T(m, y), _T(m, y), bar)],
    jvp=lambda m, dots, args, y: m.solve_sylvester(y, y, dots[0]), math="y·x + x·y = e")  # fmt: skip


# The exponential has a method of its own for its derivative, with more digits: A. Al-Mohy & N. Higham, Computing the
# Fréchet derivative of the matrix exponential, SIAM J. Matrix Anal. Appl. 30 (2009).


def _frechet(a: Any, e: Any) -> Any:
    def one(x: Any, direction: Any) -> Any:
        if not x.size:
            return np.zeros_like(x)
        made = scipy_linalg().expm_frechet(x.astype(np.float64), direction.astype(np.float64), compute_expm=False)
        return made.astype(x.dtype)

    return _each(one, a, e)


def _second(m: Any, a: Any, e: Any, d: Any) -> Any:
    """The derivative of expm_frechet(a, e) by a along d: symmetric in e and d."""
    last = len(m.shape(a)) - 1
    n = m.shape(a)[-1]
    zero = np.zeros(m.shape(a), m.dtype(a))

    def blocks(x: Any, corner: Any) -> Any:
        high, low = m.concatenate(x, corner, axis=last), m.concatenate(zero, x, axis=last)
        return m.concatenate(high, low, axis=last - 1)

    made = m.expm_frechet(blocks(a, d), blocks(e, zero))
    return m.index(made, template=(..., slice(0, n), slice(n, 2 * n)))


def _frechet_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    a, e = (_T(m, x) for x in args)
    return [_second(m, a, e, bar) if 0 in wanted else None, m.expm_frechet(a, bar) if 1 in wanted else None]


def _frechet_jvp(m: Any, dots: Any, args: Any, y: Any) -> Any:
    a, e = args
    parts = [_second(m, a, e, dots[0])] if 0 in dots else []
    parts += [m.expm_frechet(a, dots[1])] if 1 in dots else []
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


provide(expm=_function_value("expm"), expm_frechet=_frechet)
Row("expm", "own", lambda m, a: m.expm(a), shape=like_first, numeric="float",
    batch="leading",     vjp=lambda m, bar, args, y, wanted: [m.expm_frechet(_T(m, args[0]), bar)],
    jvp=lambda m, dots, args, y: m.expm_frechet(args[0], dots[0]), math="the Fréchet derivative at aᵀ")  # fmt: skip
Row("expm_frechet", "own", lambda m, a, e: m.expm_frechet(a, e), shape=like_first, vjp=_frechet_vjp, jvp=_frechet_jvp,
    numeric="float", batch="leading", math="the second Fréchet derivative at aᵀ")  # fmt: skip


# triangular systems ---------------------------------------------------------------------------------------------


def _solve_triangular(a: Any, b: Any, lower: bool, trans: bool, unit: bool) -> Any:
    """By the routine of BLAS, as LAPACK's does it, which may start threads for the smallest systems."""
    linalg = scipy_linalg()
    if not unit and not np.diagonal(a, 0, -2, -1).all():
        raise np.linalg.LinAlgError("singular matrix: there is a zero on the diagonal")
    trsm = linalg.blas.strsm if a.dtype == np.float32 else linalg.blas.dtrsm
    if not b.size:
        return np.zeros(b.shape, b.dtype)
    return _each(lambda x, y: np.ascontiguousarray(trsm(1.0, x, y, lower=lower, trans_a=trans, diag=unit)), a, b)


def _triangle(m: Any, x: Any, low: bool, unit: bool) -> Any:
    return lower(m, x, int(unit)) if low else upper(m, x, int(unit))


def _triangular_vjp(
    m: Any, bar: Any, args: Any, y: Any, wanted: Slots, lower: bool, trans: bool, unit: bool
) -> list[Any]:
    of_b = m.solve_triangular(args[0], bar, lower=lower, trans=not trans, unit=unit)
    of_a = None
    if 0 in wanted:
        owed = product(m, y, _T(m, of_b)) if trans else product(m, of_b, _T(m, y))
        of_a = -_triangle(m, owed, lower, unit)
    return [of_a, of_b]


def _triangular_jvp(m: Any, dots: Any, args: Any, y: Any, lower: bool, trans: bool, unit: bool) -> Any:
    moved = dots.get(1)
    if 0 in dots:
        dot = _triangle(m, dots[0], lower, unit)
        by_a = -product(m, _T(m, dot) if trans else dot, y)
        moved = by_a if moved is None else moved + by_a
    return m.solve_triangular(args[0], moved, lower=lower, trans=trans, unit=unit)


provide(solve_triangular=_solve_triangular)
Row("solve_triangular", "own", lambda m, a, b, **how: m.solve_triangular(a, b, **how),
    shape=lambda a, b, **_: Aval(b.shape, b.dtype), vjp=_triangular_vjp, jvp=_triangular_jvp, numeric="float",
    batch="leading", math="b̄ = a⁻ᵀ·ȳ, ā = −b̄·yᵀ in the triangle", domain="no zero on the diagonal")  # fmt: skip


# Sylvester's equation a·y + y·b = q -----------------------------------------------------------------------------


def _sylvester(a: Any, b: Any, q: Any) -> Any:
    return _each(scipy_linalg().solve_sylvester, a, b, q)


def _sylvester_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    a, b, _ = args
    of_q = m.solve_sylvester(_T(m, a), _T(m, b), bar)
    return [-product(m, of_q, _T(m, y)), -product(m, _T(m, y), of_q), of_q]


def _sylvester_jvp(m: Any, dots: Any, args: Any, y: Any) -> Any:
    parts = [dots[2]] if 2 in dots else []
    parts += [-product(m, dots[0], y)] if 0 in dots else []
    parts += [-product(m, y, dots[1])] if 1 in dots else []
    moved = parts[0]
    for part in parts[1:]:
        moved = moved + part
    return m.solve_sylvester(args[0], args[1], moved)


provide(solve_sylvester=_sylvester)
Row("solve_sylvester", "own", lambda m, a, b, q: m.solve_sylvester(a, b, q),
    shape=lambda a, b, q: Aval(q.shape, q.dtype), vjp=_sylvester_vjp, jvp=_sylvester_jvp, numeric="float",
    batch="leading", math="aᵀ·q̄ + q̄·bᵀ = ȳ", domain="no eigenvalue of a is one of −b")  # fmt: skip


# LU of a square matrix: a[order] = l·u, both packed in one, as LAPACK has them ----------------------------------
#
# Derivatives as in the forward and adjoint formulas of S. de Hoog, R. Anderssen & M. Lukas, Differentiation of matrix
# functionals using triangular factorization, Math. Comp. 80 (2011).


def _lu(a: Any) -> tuple[Any, Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a singular matrix: what is computed with it is infinite
        packed, pivots = scipy_linalg().lu_factor(a)
    order = np.arange(a.shape[0])
    for i, j in enumerate(pivots):
        order[[i, j]] = order[[j, i]]
    return packed, pivots, order


def _from_right(m: Any, packed: Any, x: Any, low: bool, trans: bool) -> Any:
    """x · triangle⁻¹ (or its transpose's)."""
    return _T(m, m.solve_triangular(packed, _T(m, x), lower=low, trans=not trans, unit=low))


def _lu_vjp(m: Any, bars: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    packed, order = m.part(y, k=0), m.stop_gradient(m.part(y, k=2))
    n = m.shape(packed)[-1]
    l_factor = lower(m, packed, 1) + np.eye(n, dtype=m.dtype(packed))
    inside = lower(m, product(m, _T(m, l_factor), lower(m, bars[0], 1)), 1)
    inside = inside + upper(m, product(m, upper(m, bars[0]), _T(m, upper(m, packed))))
    owed = m.solve_triangular(packed, inside, lower=True, trans=True, unit=True)
    owed = _from_right(m, packed, owed, False, True)
    back = {"shape": (n, n), "templates": ((Place(0),),), "counts": (1,), "dtype": m.dtype(packed)}
    return [m.scatter(owed, order, **back)]


def _lu_jvp(m: Any, dots: Any, args: Any, y: Any) -> list[Any]:
    packed, order = m.part(y, k=0), m.stop_gradient(m.part(y, k=2))
    moved = m.index(dots[0], order, template=(Place(0),))
    n = m.shape(packed)[-1]
    l_factor = lower(m, packed, 1) + np.eye(n, dtype=m.dtype(packed))
    inside = m.solve_triangular(packed, moved, lower=True, trans=False, unit=True)
    inside = _from_right(m, packed, inside, False, False)
    by_u = upper(m, product(m, upper(m, inside), upper(m, packed)))
    return [lower(m, product(m, l_factor, lower(m, inside, 1)), 1) + by_u, None, None]


def _lu_shape(a: Aval) -> Avals:
    n = a.shape[:1]
    return Avals((Aval(a.shape, a.dtype), Aval(n, np.dtype(np.int32)), Aval(n, np.dtype(np.intp))))


provide(lu_factor=_lu)
Row("lu_factor", "own", lambda m, a: m.lu_factor(a), shape=_lu_shape, vjp=_lu_vjp, jvp=_lu_jvp, numeric="float",
    math="l⁻ᵀ·(tril lᵀl̄ + triu ūuᵀ)·u⁻ᵀ", domain="a is not singular")  # fmt: skip
