"""Factorizations with several results: QR, eigenvalues of symmetric matrices, singular values.

Where eigenvalues or singular values repeat, single vectors of theirs have no derivative: reverse mode raises if someone
asks for it, forward mode makes them NaN.  The values themselves share what is owed to them equally, as tied entries of
a maximum do: the derivative of what is symmetric in them, and the middle one of the one-sided ones of what is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import DifferentiationError
from payback.ir.aval import BOOL, Aval, Avals
from payback.ops.matrices import (
    applied,
    columns,
    complement,
    diagonal,
    folded,
    lower,
    mirrored,
    product,
    provide,
    rows,
    transposed,
    upper,
)
from payback.ops.row import Row
from payback.ops.special import scipy_linalg

NAN = float("nan")
_eigenvalues, _singular_values = np.linalg.eigvalsh, np.linalg.svd  # while a function is traced NumPy's are wrapped
Slots = list[int]
_T = transposed


def _value_and_mask(m: Any, bar: Any) -> tuple[Any, Any]:
    """An adjoint, and where it is more than a structural zero (None: everywhere)."""
    mask = getattr(bar, "mask", None)
    if mask is None:
        return bar, None
    shape = m.shape(bar.value)
    return m.where(mask, bar.value, 0.0), mask if m.shape(mask) == shape else m.broadcast(mask, shape=shape)


# QR -------------------------------------------------------------------------------------------------------------
#
# S. Walter & L. Lehmann, Algorithmic differentiation of linear algebra functions with application in optimum
# experimental design (2018), for matrices with at least as many rows as columns.


def _qr_vjp(m: Any, bars: Any, args: Any, y: Any, wanted: Slots) -> list[Any]:
    q, r = m.part(y, k=0), m.part(y, k=1)
    of_q, of_r = bars
    inside = None
    if of_r is not None:
        inside = product(m, r, _T(m, of_r))
    if of_q is not None:
        by_q = product(m, _T(m, of_q), q)
        inside = -by_q if inside is None else inside - by_q
    owed = product(m, q, mirrored(m, inside))
    if of_q is not None:
        owed = of_q + owed
    return [_T(m, m.solve(r, _T(m, owed)))]


def _qr_jvp(m: Any, dots: Any, args: Any, y: Any) -> list[Any]:
    q, r = m.part(y, k=0), m.part(y, k=1)
    moved = _T(m, m.solve(_T(m, r), _T(m, dots[0])))  # ȧ·r⁻¹
    inside = product(m, _T(m, q), moved)
    turned = lower(m, inside, 1) - _T(m, lower(m, inside, 1))  # qᵀ·q̇ is antisymmetric
    stretched = inside - turned
    return [moved - product(m, q, stretched), upper(m, product(m, stretched, r))]


def _qr_shape(a: Aval) -> Avals:
    return Avals((Aval(a.shape, a.dtype), Aval((*a.shape[:-2], a.shape[-1], a.shape[-1]), a.dtype)))


provide(qr=lambda a: tuple(np.linalg.qr(a)))
Row("qr", "own", lambda m, a: m.qr(a), shape=_qr_shape, vjp=_qr_vjp, jvp=_qr_jvp, numeric="float",
    math="Walter & Lehmann (2018)", domain="the columns of a are independent")  # fmt: skip


# repeated values ------------------------------------------------------------------------------------------------


def rounding(dtype: Any, extent: int) -> float:
    """What is smaller, times the largest of its values, is a rounding of the factorization."""
    return float(16 * np.finfo(dtype).eps * np.sqrt(extent))


def _tolerance(v: Any, extent: int) -> Any:
    return np.float64(rounding(v.dtype, extent)) * np.max(np.abs(v), axis=-1, initial=0, keepdims=True)


def _repeated(v: Any, *used: Any, extent: int, what: str) -> Any:
    """same[i, j]: whether the i-th and the j-th of some sorted numbers are one number (i = j: they are)."""
    apart = np.abs(np.diff(v, axis=-1)) > _tolerance(v, extent)
    cluster = np.cumsum(np.concatenate([np.zeros((*v.shape[:-1], 1), bool), apart], -1), -1)[..., : v.shape[-1]]
    same = cluster[..., :, None] == cluster[..., None, :]
    if used and (same.sum(-1) > 1)[np.broadcast_to(used[0], v.shape)].any():
        raise DifferentiationError(
            f"the {what}s of a repeated value have no derivative",
            why="any turn of them is as good, so they jump when the matrix moves",
            fix="use the values alone, or a function of the matrix that needs no single vectors",
        )
    return same


def _negligible(s: Any, extent: int) -> Any:
    return s <= _tolerance(s, extent)


provide(repeated=_repeated, negligible=_negligible)
Row("repeated", "linear", lambda m, v, *used, **params: m.repeated(v, *used, **params), math="no derivative",
    shape=lambda v, *used, extent, what: Aval((*v.shape, v.shape[-1]), BOOL), partials=[None, None])  # fmt: skip
Row("negligible", "linear", lambda m, s, extent: m.negligible(s, extent=extent), math="no derivative",
    shape=lambda s, extent: Aval(s.shape, BOOL), partials=[None])  # fmt: skip


def shared(m: Any, same: Any, bar: Any) -> Any:
    """Numbers that belong to values, equal for those that are one value."""
    weights = m.cast(same, dtype=m.dtype(bar), weak=False)
    return applied(m, m.div(weights, m.sum(weights, axes=(len(m.shape(weights)) - 1,), keepdims=True)), bar)


def one_over(m: Any, differences: Any, same: Any) -> Any:
    """1 / differences, 0 where it is between equal values."""
    return m.where(same, 0.0, m.div(1.0, m.where(same, 1.0, differences)))


def or_nan(m: Any, quotients: Any, same: Any) -> Any:
    """NaN between values that are equal; 0 on the diagonal."""
    n = m.shape(same)[-1]
    return m.where(m.logical_and(same, ~np.eye(n, dtype=bool)), NAN, quotients)


def _used_columns(m: Any, mask: Any) -> Any:
    """Which columns of a matrix someone has looked at."""
    return m.gt(m.sum(mask, axes=(len(m.shape(mask)) - 2,), keepdims=False), 0)


# eigenvalues and eigenvectors of symmetric matrices -------------------------------------------------------------


def _eigh(a: Any, lower: bool, scipy: bool) -> Any:
    if scipy:  # another routine of LAPACK, whose vectors may have other signs
        return tuple(scipy_linalg().eigh(a, lower=lower))
    return tuple(np.linalg.eigh(a, "L" if lower else "U"))


def _eigh_vjp(m: Any, bars: Any, args: Any, y: Any, wanted: Slots, lower: bool, scipy: bool) -> list[Any]:
    w, v = m.part(y, k=0), m.part(y, k=1)
    n = m.shape(w)[-1]
    owed = None
    if bars[0] is not None:
        bar, mask = _value_and_mask(m, bars[0])
        same = m.repeated(w, extent=n, what="eigenvector")
        bar, seen = shared(m, same, bar), v
        if mask is not None:  # what nobody looks at must not ask for derivatives of its vector
            near = applied(m, m.cast(same, dtype=m.dtype(w), weak=False), m.cast(mask, dtype=m.dtype(w), weak=False))
            seen = m.where(columns(m, m.gt(near, 0)), v, 0.0)
        owed = product(m, seen * columns(m, bar), _T(m, seen))
    if bars[1] is not None:
        bar, mask = _value_and_mask(m, bars[1])
        used = np.ones(m.shape(w), bool) if mask is None else _used_columns(m, mask)
        same = m.repeated(w, used, extent=n, what="eigenvector")
        turned = product(m, _T(m, v), bar) * one_over(m, columns(m, w) - rows(m, w), same)
        turned = product(m, v, turned, _T(m, v))
        owed = turned if owed is None else owed + turned
    return [None if owed is None else folded(m, (owed + _T(m, owed)) * 0.5, lower)]


def _eigh_jvp(m: Any, dots: Any, args: Any, y: Any, lower: bool, scipy: bool) -> list[Any]:
    w, v = m.part(y, k=0), m.part(y, k=1)
    same = m.repeated(w, extent=m.shape(w)[-1], what="eigenvector")
    moved = product(m, _T(m, v), mirrored(m, dots[0], lower), v)
    quotients = or_nan(m, one_over(m, columns(m, w) - rows(m, w), same), same)
    return [shared(m, same, diagonal(m, moved)), product(m, v, moved * quotients)]


def _eigh_shape(a: Aval, lower: bool, scipy: bool) -> Avals:
    return Avals((Aval(a.shape[:-1], a.dtype), Aval(a.shape, a.dtype)))


provide(eigh=_eigh)
Row("eigh", "own", lambda m, a, **how: m.eigh(a, **how), shape=_eigh_shape, vjp=_eigh_vjp, jvp=_eigh_jvp,
    numeric="float", masked=True, math="v·(diag w̄ + vᵀv̄ / (wⱼ − wᵢ))·vᵀ",
    kink="repeated eigenvalues share equally", domain="vectors: of an eigenvalue that does not repeat")  # fmt: skip


# singular values and vectors, the reduced form ------------------------------------------------------------------
#
# J. Townsend, Differentiating the singular value decomposition (2016).  `vectors` says whether anyone has them:
# without them a singular value of zero is the kink of an absolute value, with them it may be the zero of a smooth
# u·s·vᵀ that changes its sign.


def _differences(m: Any, s: Any) -> Any:
    """sⱼ² − sᵢ², without losing the digits of close ones."""
    return (columns(m, s) - rows(m, s)) * (columns(m, s) + rows(m, s))


def _own_share(m: Any, s: Any, bar: Any, same: Any, zero: Any, vectors: bool) -> Any:
    bar = shared(m, same, bar)
    if vectors:  # only where zero repeats
        count = m.sum(m.cast(same, dtype=m.dtype(s), weak=False), axes=(len(m.shape(s)),), keepdims=False)
        zero = m.logical_and(zero, m.gt(count, 1))
    return m.where(zero, 0.0, bar)


def _inverse_values(m: Any, s: Any, zero: Any) -> Any:
    return m.where(zero, NAN, m.div(1.0, m.where(zero, 1.0, s)))


def _svd_vjp(m: Any, bars: Any, args: Any, y: Any, wanted: Slots, vectors: bool, full: bool) -> list[Any]:
    if full and bars[3] is not None and _is_used(bars[3]):
        raise DifferentiationError(
            "the further singular vectors of a matrix that is not square have no derivative",
            why="they are any orthonormal vectors beside the others, not determined by the matrix",
            fix="use full_matrices=False, or no more than the first min(m, n) vectors",
        )
    u, s, vh = (m.part(y, k=k) for k in range(3))
    high, wide = m.shape(args[0])[-2:]
    extent = max(high, wide)
    (of_u, seen_u), (of_v, seen_v) = (
        (None, None) if bar is None else _value_and_mask(m, bar) for bar in (bars[0], bars[2])
    )
    zero = m.negligible(s, extent=extent)
    owed = None
    if bars[1] is not None:
        bar, mask = _value_and_mask(m, bars[1])
        same = m.repeated(s, extent=extent, what="singular vector")
        bar = _own_share(m, s, bar, same, zero, vectors)
        left, right = u, vh
        if mask is not None:
            near = applied(m, m.cast(same, dtype=m.dtype(s), weak=False), m.cast(mask, dtype=m.dtype(s), weak=False))
            left, right = (m.where(side(m, m.gt(near, 0)), x, 0.0) for side, x in ((columns, u), (rows, vh)))
        owed = product(m, left * columns(m, bar), right)
    if of_u is None and of_v is None:
        return [owed]
    seen = [_used_columns(m, x) for x in (seen_u, None if seen_v is None else _T(m, seen_v)) if x is not None]
    whole = (of_u is not None and seen_u is None) or (of_v is not None and seen_v is None)
    used = np.ones(m.shape(s), bool) if whole else seen[0] if len(seen) == 1 else m.logical_or(*seen)
    same = m.repeated(s, used, extent=extent, what="singular vector")
    quotients = one_over(m, _differences(m, s), same)
    core = None
    for bar, x, side in ((of_u, u, columns), (None if of_v is None else _T(m, of_v), _T(m, vh), rows)):
        if bar is not None:
            turned = product(m, _T(m, x), bar)
            turned = (turned - _T(m, turned)) * quotients * side(m, s)
            core = turned if core is None else core + turned
    made = product(m, u, core, vh)
    if of_u is not None and high > wide:
        made = made + product(m, complement(m, u, _T(m, u), of_u) * columns(m, _of_used(m, s, zero, used)), vh)
    if of_v is not None and wide > high:
        outside = complement(m, _T(m, vh), vh, _T(m, of_v))
        made = made + product(m, u * columns(m, _of_used(m, s, zero, used)), _T(m, outside))
    return [made if owed is None else owed + made]


def _of_used(m: Any, s: Any, zero: Any, used: Any) -> Any:
    return m.where(used, _inverse_values(m, s, zero), 0.0)


def _is_used(bar: Any) -> bool:
    """Whether an adjoint is more than a structural zero; yes, where that is not known."""
    mask = getattr(bar, "mask", None)
    mask = mask.node.value if hasattr(mask, "node") else mask
    return mask is None or bool(np.any(mask))


def _svd_jvp(m: Any, dots: Any, args: Any, y: Any, vectors: bool, full: bool) -> list[Any]:
    u, s, vh = (m.part(y, k=k) for k in range(3))
    high, wide = m.shape(args[0])[-2:]
    extent = max(high, wide)
    same, zero = m.repeated(s, extent=extent, what="singular vector"), m.negligible(s, extent=extent)
    v, dot = _T(m, vh), dots[0]
    moved = product(m, _T(m, u), dot, v)
    of_s = _own_share(m, s, diagonal(m, moved), same, zero, vectors)
    # the user may have no vectors, but the reverse rule is made of them, and so is their second derivative
    quotients = or_nan(m, one_over(m, _differences(m, s), same), same)
    of_u = product(m, u, quotients * (moved * columns(m, s) + rows(m, s) * _T(m, moved)))
    of_v = product(m, v, quotients * (rows(m, s) * moved + _T(m, moved) * columns(m, s)))
    inverse = columns(m, _inverse_values(m, s, zero))
    if high > wide:
        of_u = of_u + complement(m, u, _T(m, u), product(m, dot, v)) * inverse
    if wide > high:
        of_v = of_v + complement(m, v, vh, product(m, _T(m, dot), u)) * inverse
    return [of_u, of_s, _T(m, of_v), *([m.part(y, k=3) * NAN] if full else [])]


def _svd(a: Any, vectors: bool, full: bool) -> Any:
    u, s, vh = np.linalg.svd(a, full_matrices=full)
    if not full:
        return u, s, vh
    k = s.shape[-1]
    return u[..., :k], s, vh[..., :k, :], u[..., k:] if a.shape[-2] > k else vh[..., k:, :]


def _svd_shape(a: Aval, vectors: bool, full: bool) -> Avals:
    *lead, high, wide = a.shape
    k = min(high, wide)
    shapes = [(high, k), (k,), (k, wide)]
    if full:
        shapes.append((high, high - k) if high > k else (wide - k, wide))
    return Avals(Aval((*lead, *shape), a.dtype) for shape in shapes)


# the fourth result are the further vectors of the full form: columns of u, or rows of vᵀ
provide(svd=_svd)
Row("svd", "own", lambda m, a, **how: m.svd(a, **how), shape=_svd_shape, vjp=_svd_vjp, jvp=_svd_jvp,
    numeric="float", masked=True, math="u·(diag s̄ + …)·vᵀ, Townsend (2016)",
    kink="repeated singular values share equally; 0: taken as 0",
    domain="vectors: of a singular value that does not repeat")  # fmt: skip

# values without vectors, where nobody has those: row -> the number of that result, and what computes it alone
VALUES_ALONE = {
    "eigh": (0, lambda a, lower, scipy: scipy_linalg().eigh(a, lower=lower, eigvals_only=True) if scipy
             else _eigenvalues(a, "L" if lower else "U")),
    "svd": (1, lambda a, vectors, full: _singular_values(a, compute_uv=False)),
}  # fmt: skip
