"""Linear algebra: systems, inverses, determinants.  Every row takes batches: matrices are the last two axes.

The rules are those of M. B. Giles, Collected matrix derivative results for forward and reverse mode algorithmic
differentiation (2008), written with rows of the table, so that they can be differentiated again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Aval, Avals
from payback.ops.matrices import (
    halved,
    inner,
    lower,
    mirrored,
    product,
    provide,
    scaled,
    transposed,
)
from payback.ops.row import Row, like_first

Slots = list[int]
_T = transposed


# inverse and systems --------------------------------------------------------------------------------------------


def _inv_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    return [-product(m, _T(m, y), bar, _T(m, y))]


def _inv_jvp(m: Any, dots: Any, args: Any, y: Any) -> Any:
    return -product(m, y, dots[0], y)


provide(inv=np.linalg.inv, solve=np.linalg.solve)
Row("inv", "own", lambda m, a: m.inv(a), shape=like_first, vjp=_inv_vjp, jvp=_inv_jvp, numeric="float",
    math="−yᵀ·ȳ·yᵀ", domain="a is not singular")  # fmt: skip


def _solve_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    of_b = m.solve(_T(m, args[0]), bar)
    return [-product(m, of_b, _T(m, y)) if 0 in wanted else None, of_b]


def _solve_jvp(m: Any, dots: Any, args: Any, y: Any) -> Any:
    moved = dots.get(1)
    if 0 in dots:
        by_a = -product(m, dots[0], y)
        moved = by_a if moved is None else moved + by_a
    return m.solve(args[0], moved)


Row("solve", "own", lambda m, a, b: m.solve(a, b), shape=lambda a, b: Aval(b.shape, b.dtype), vjp=_solve_vjp,
    jvp=_solve_jvp, numeric="float", math="b̄ = a⁻ᵀ·ȳ, ā = −b̄·yᵀ", domain="a is not singular")  # fmt: skip


# determinants ---------------------------------------------------------------------------------------------------
#
# The derivative of the determinant is the matrix of cofactors, which is det(a)·a⁻ᵀ only where a is not singular.  With
# the singular value decomposition it is det(u)·det(v)·u·c·vᵀ for every a, where c holds the products of all singular
# values but one.  The same for the derivative of the cofactors, with products of all but two.


def _all_but_one(s: Any) -> Any:
    """The products of all numbers of a last axis but one, without dividing."""
    one = np.ones((*s.shape[:-1], 1), s.dtype)
    before = np.cumprod(np.concatenate([one, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([one, s[..., :0:-1]], -1), -1)[..., ::-1]
    return before * after


def _orientation(u: Any, vh: Any) -> Any:
    return np.sign(np.linalg.det(u) * np.linalg.det(vh))[..., None, None].astype(u.dtype)


def _cofactor_by_svd(a: Any) -> Any:
    u, s, vh = np.linalg.svd(a)
    return _orientation(u, vh) * (u * _all_but_one(s)[..., None, :]) @ vh


def _cofactor(a: Any) -> Any:
    """The determinant times the inverse: both have the rounding errors of one elimination, and those that are large in
    an ill-conditioned inverse cancel (G. W. Stewart, On the adjugate matrix, 1998)."""
    if not a.size:
        return np.zeros_like(a)
    info = np.finfo(a.dtype)
    try:
        inverse, number = np.linalg.inv(a), np.linalg.det(a)[..., None, None]
    except np.linalg.LinAlgError:
        return _cofactor_by_svd(a)
    size = np.abs(number)
    lost = ~((size >= info.tiny / info.eps) & (size <= info.max)) & np.isfinite(a).all((-2, -1), keepdims=True)
    made = number * np.swapaxes(inverse, -1, -2)
    if lost.any():
        made[lost[..., 0, 0]] = _cofactor_by_svd(a[lost[..., 0, 0]])
    return made


def _cofactor_along(a: Any, w: Any) -> Any:
    """The derivative of the cofactors of a along w."""
    if not a.size:
        return np.zeros_like(a)
    u, s, vh = np.linalg.svd(a)
    n = s.shape[-1]
    eye = np.eye(n, dtype=bool)
    pairs = _all_but_one(np.where(eye, np.ones((), s.dtype), s[..., None, :]))  # row i: of all but i and one other
    moved = np.swapaxes(u, -1, -2) @ w @ np.swapaxes(vh, -1, -2)
    on_diagonal = np.where(eye, np.zeros((), s.dtype), pairs) @ np.diagonal(moved, 0, -2, -1)[..., None]
    core = np.where(eye, on_diagonal, -np.swapaxes(moved, -1, -2) * pairs)
    return _orientation(u, vh) * (u @ core @ vh)


def _det_jvp(m: Any, dots: Any, args: Any, y: Any) -> Any:
    return inner(m, m.cofactor(args[0]), dots[0])


def _cofactor_along_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    a, w = args
    return [_third(m, a, w, bar) if 0 in wanted else None, m.cofactor_along(a, bar) if 1 in wanted else None]


def _cofactor_along_jvp(m: Any, dots: Any, args: Any, y: Any) -> Any:
    a, w = args
    parts = [m.cofactor_along(a, dots[1])] if 1 in dots else []
    parts += [_third(m, a, w, dots[0])] if 0 in dots else []
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _third(m: Any, a: Any, w: Any, v: Any) -> Any:
    """The derivative of ⟨v, cofactor_along(a, w)⟩ = det·(tr yw·tr yv − tr ywyv) with y = a⁻¹; it needs an inverse."""
    y = m.inv(a)
    yw, yv = product(m, y, w), product(m, y, v)
    tw, tv = inner(m, _T(m, y), w), inner(m, _T(m, y), v)
    both = product(m, yw, yv, y) + product(m, yv, yw, y)
    inside = scaled(m, tw * tv - inner(m, _T(m, yw), yv), y) - scaled(m, tv, product(m, yw, y))
    inside = inside - scaled(m, tw, product(m, yv, y)) + both
    return scaled(m, m.det(a), _T(m, inside))


def _number(a: Aval) -> Aval:
    return Aval(a.shape[:-2], a.dtype)


provide(det=np.linalg.det, cofactor=_cofactor, cofactor_along=_cofactor_along)
Row("det", "own", lambda m, a: m.det(a), shape=_number, jvp=_det_jvp, numeric="float",
    vjp=lambda m, bar, args, y, wanted: [scaled(m, bar, m.cofactor(args[0]))],
    math="ȳ·cofactors of a")  # fmt: skip
Row("cofactor", "own", lambda m, a: m.cofactor(a), shape=like_first, numeric="float",
    vjp=lambda m, bar, args, y, wanted: [m.cofactor_along(args[0], bar)],
    jvp=lambda m, dots, args, y: m.cofactor_along(args[0], dots[0]),
    math="symmetric: the second derivative of the determinant")  # fmt: skip
Row("cofactor_along", "own", lambda m, a, w: m.cofactor_along(a, w), shape=lambda a, w: Aval(a.shape, a.dtype),
    vjp=_cofactor_along_vjp, jvp=_cofactor_along_jvp, numeric="float",
    math="symmetric: the third derivative of the determinant", domain="a is not singular")  # fmt: skip


def _slogdet_vjp(m: Any, bars: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    return [None if bars[1] is None else scaled(m, bars[1], _T(m, m.inv(args[0])))]


def _slogdet_jvp(m: Any, dots: Any, args: Any, y: Any) -> list[Any]:
    return [None, inner(m, _T(m, m.inv(args[0])), dots[0])]


# functions of NumPy's by names of their own: while a function is traced its modules' attributes are wrapped
_log_determinant, _factorized = np.linalg.slogdet, np.linalg.cholesky
provide(slogdet=lambda a: tuple(_log_determinant(a)))
Row("slogdet", "own", lambda m, a: m.slogdet(a), shape=lambda a: Avals((_number(a), _number(a))), vjp=_slogdet_vjp,
    jvp=_slogdet_jvp, numeric="float", math="the sign 0, the logarithm a⁻ᵀ", domain="a is not singular")  # fmt: skip


# Cholesky factor ------------------------------------------------------------------------------------------------
#
# LAPACK reads one triangle of the matrix, so the entries of the other one are owed nothing: these are the derivatives
# of the function that is called.  A symmetric gradient comes from a symmetric argument, (s + s.T)/2.


def _cholesky_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots, upper: bool) -> list[Any]:
    """I. Murray, Differentiation of the Cholesky decomposition (2016), equations 8 to 10.

    With the inverse of the factor, which is as accurate as two solutions with it: LAPACK factorizes it once, not twice.
    """
    factor, bar = (_T(m, y), _T(m, bar)) if upper else (y, bar)
    inside = halved(m, product(m, _T(m, factor), lower(m, bar)))
    inverse = m.inv(factor)
    owed = product(m, _T(m, inverse), inside, inverse)
    paid = halved(m, owed + _T(m, owed))  # both triangles of the symmetric half of it, paid to the one that is read
    return [_T(m, paid) if upper else paid]


def _cholesky_jvp(m: Any, dots: Any, args: Any, y: Any, upper: bool) -> Any:
    factor = _T(m, y) if upper else y
    moved = m.solve(factor, mirrored(m, dots[0], not upper))
    made = product(m, factor, halved(m, _T(m, m.solve(factor, _T(m, moved)))))
    return _T(m, made) if upper else made


provide(cholesky=lambda a, upper: _factorized(a, upper=upper))
Row("cholesky", "own", lambda m, a, upper: m.cholesky(a, upper=upper), shape=like_first, vjp=_cholesky_vjp,
    jvp=_cholesky_jvp, numeric="float", math="Murray (2016)", domain="a is positive definite")  # fmt: skip


# pseudo-inverse and least squares: G. Golub & V. Pereyra, The differentiation of pseudo-inverses and nonlinear least
# squares problems whose variables separate, SIAM J. Numer. Anal. 10 (1973).  Along matrices of one rank.


# What lies outside the columns of a matrix, z − a·a⁺·z, is a row of its own: the derivative of that difference would
# lose as many digits again as a has lost, and nothing at all lies outside the columns of a regular matrix.


def _rejected(a: Any, z: Any, rcond: float | None) -> Any:
    cutoff = 1e-15 if rcond is None else rcond
    if a.shape[-2] <= a.shape[-1]:
        s = np.linalg.svdvals(a)
        if np.all(s > cutoff * np.max(s, axis=-1, keepdims=True, initial=0)):
            return np.zeros_like(z)
    u, s, _ = np.linalg.svd(a, full_matrices=False)
    used = s > cutoff * np.max(s, axis=-1, keepdims=True, initial=0)
    u = u * used[..., None, :]
    for _ in range(2):  # again, for what rounding has left
        z = z - u @ (np.swapaxes(u, -1, -2) @ z)
    whole = np.sum(used, axis=-1) == a.shape[-2]
    return np.where(whole[..., None, None], 0, z).astype(z.dtype)


def _rejected_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots, rcond: float | None) -> list[Any]:
    a, z = args
    of_z = m.rejected(a, bar, rcond=rcond)
    if 0 not in wanted:
        return [None, of_z]
    p = m.pinv(a, rcond=rcond)
    return [-(product(m, of_z, _T(m, product(m, p, z))) + product(m, y, _T(m, product(m, p, bar)))), of_z]


def _rejected_jvp(m: Any, dots: Any, args: Any, y: Any, rcond: float | None) -> Any:
    a, z = args
    made = m.rejected(a, dots[1], rcond=rcond) if 1 in dots else None
    if 0 in dots:
        p, dot = m.pinv(a, rcond=rcond), dots[0]
        by_a = -m.rejected(a, product(m, dot, product(m, p, z)), rcond=rcond)
        by_a = by_a - product(m, _T(m, p), product(m, _T(m, dot), y))
        made = by_a if made is None else made + by_a
    return made


provide(rejected=_rejected)
Row("rejected", "own", lambda m, a, z, rcond: m.rejected(a, z, rcond=rcond), numeric="float",
    shape=lambda a, z, rcond: Aval(z.shape, z.dtype), vjp=_rejected_vjp, jvp=_rejected_jvp, batch="leading",
    math="Golub & Pereyra (1973)", domain="along matrices of one rank")  # fmt: skip


def _pinv_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots, rcond: float | None) -> list[Any]:
    a = args[0]
    outside = product(m, m.rejected(a, _T(m, bar), rcond=rcond), product(m, y, _T(m, y)))
    within = product(m, product(m, _T(m, y), y), _T(m, m.rejected(_T(m, a), bar, rcond=rcond)))
    return [outside + within - product(m, _T(m, y), bar, _T(m, y))]


def _pinv_jvp(m: Any, dots: Any, args: Any, y: Any, rcond: float | None) -> Any:
    a, dot = args[0], dots[0]
    outside = product(m, product(m, y, _T(m, y)), _T(m, m.rejected(a, dot, rcond=rcond)))
    within = product(m, m.rejected(_T(m, a), _T(m, dot), rcond=rcond), product(m, _T(m, y), y))
    return outside + within - product(m, y, dot, y)


def _flipped(a: Aval, **_: Any) -> Aval:
    return Aval((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)


provide(pinv=lambda a, rcond: np.linalg.pinv(a, rcond), lstsq=lambda a, b, rcond: np.linalg.lstsq(a, b, rcond)[0])
Row("pinv", "own", lambda m, a, rcond: m.pinv(a, rcond=rcond), shape=_flipped, vjp=_pinv_vjp, jvp=_pinv_jvp,
    numeric="float", math="Golub & Pereyra (1973)", domain="along matrices of one rank")  # fmt: skip


def _relative(m: Any, a: Any, rcond: float | None) -> float:
    """NumPy's cutoff for small singular values."""
    eps = float(np.finfo(m.dtype(a)).eps)
    return eps * max(m.shape(a)) if rcond is None else eps if rcond < 0 else rcond


def _lstsq_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Slots, rcond: float | None) -> list[Any]:
    a, b = args
    cutoff = _relative(m, a, rcond)
    p = m.pinv(a, rcond=cutoff)
    of_b = product(m, _T(m, p), bar)
    if 0 not in wanted:
        return [None, of_b]
    rest = m.rejected(a, b, rcond=cutoff)
    within = m.rejected(_T(m, a), bar, rcond=cutoff)
    of_a = product(m, rest, _T(m, product(m, p, of_b))) + product(m, product(m, _T(m, p), y), _T(m, within))
    return [of_a - product(m, of_b, _T(m, y)), of_b]


def _lstsq_jvp(m: Any, dots: Any, args: Any, y: Any, rcond: float | None) -> Any:
    a, b = args
    cutoff = _relative(m, a, rcond)
    p = m.pinv(a, rcond=cutoff)
    made = product(m, p, dots[1]) if 1 in dots else None
    if 0 in dots:
        dot, rest = dots[0], m.rejected(a, b, rcond=cutoff)
        by_a = product(m, p, product(m, _T(m, p), product(m, _T(m, dot), rest)) - product(m, dot, y))
        by_a = by_a + m.rejected(_T(m, a), product(m, _T(m, dot), product(m, _T(m, p), y)), rcond=cutoff)
        made = by_a if made is None else made + by_a
    return made


Row("lstsq", "own", lambda m, a, b, rcond: m.lstsq(a, b, rcond=rcond), numeric="float",
    shape=lambda a, b, rcond: Aval((a.shape[1], b.shape[1]), a.dtype), vjp=_lstsq_vjp, jvp=_lstsq_jvp,
    math="Golub & Pereyra (1973)", domain="along matrices of one rank")  # fmt: skip
