"""Eigenvalues of any square matrix, real or complex: parts in, parts out (see `analytic.py`).

With A·V = V·diag(w) the differential is ẇ = diag(V⁻¹·Ȧ·V) and V̇ = V·(F ∘ V⁻¹·Ȧ·V) with Fᵢⱼ = 1/(wⱼ − wᵢ), 0 on the
diagonal: the vectors' lengths and phases do not move; who shows them turns them to where they belong.  (M. Giles, An
extended collection of matrix derivative results, 2008.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import DifferentiationError
from payback.ir.aval import Aval, Avals
from payback.ops.matrices import columns, diagonal, product, provide, rows, transposed
from payback.ops.row import Row

Pair = tuple[Any, Any]


def _eig(re: Any, *im: Any, vectors: bool) -> tuple[Any, ...]:
    """Without vectors the values are those of `eigvals`, which may have another order than those with vectors."""
    a = re + 1j * im[0] if im else re
    with_vectors, v = np.linalg.eig(a)
    w = with_vectors if vectors else np.linalg.eigvals(a)
    order = np.argmin(np.abs(w[..., :, None] - with_vectors[..., None, :]), axis=-1)
    v = np.take_along_axis(v, order[..., None, :], -1) if w.size else v
    return tuple(np.ascontiguousarray(part, re.dtype) for z in (w, v) for part in (z.real, z.imag))


def _distinct(w_re: Any, w_im: Any, v_re: Any, v_im: Any) -> Any:
    """Whether i ≠ j.  Raises where two eigenvalues are nearer than rounding moves them, or than they can be told."""
    w, v = w_re + 1j * w_im, v_re + 1j * v_im
    n = w.shape[-1]
    gaps = np.abs(w[..., :, None] - w[..., None, :]) + np.where(np.eye(n, dtype=bool), np.inf, 0.0)
    try:
        length = np.linalg.norm(np.linalg.inv(v), axis=-1)  # the condition number of each eigenvalue
    except np.linalg.LinAlgError:
        length = np.full(w.shape, np.inf, w_re.dtype)
    scale = np.max(np.abs(w), axis=-1, initial=0, keepdims=True)
    near = np.min(gaps, axis=-1, initial=np.inf) <= 50 * n * np.finfo(w_re.dtype).eps * length * scale
    if near.any():
        raise DifferentiationError(
            "an eigenvalue that repeats has no derivative",
            why="when the matrix moves it becomes several, and which of them is whose is not determined",
            fix="use a function of the matrix that needs no single eigenvalues, or eigvalsh of a symmetric one",
        )
    return np.broadcast_to(~np.eye(n, dtype=bool), (*w.shape, n)).copy()


def times(m: Any, a: Pair, b: Pair) -> Pair:
    return product(m, a[0], b[0]) - product(m, a[1], b[1]), product(m, a[0], b[1]) + product(m, a[1], b[0])


def adjoint_of(m: Any, a: Pair) -> Pair:
    return transposed(m, a[0]), -transposed(m, a[1])


def _over(m: Any, a: Pair, b: Pair) -> Pair:
    """a⁻¹·b, of the real matrix that multiplies as a does."""
    axis = len(m.shape(a[0])) - 1
    top, low = m.concatenate(a[0], -a[1], axis=axis), m.concatenate(a[1], a[0], axis=axis)
    made = m.solve(m.concatenate(top, low, axis=axis - 1), m.concatenate(*b, axis=axis - 1))
    n = m.shape(a[0])[-1]
    return m.index(made, template=(..., slice(0, n), slice(None))), m.index(
        made, template=(..., slice(n, None), slice(None))
    )


def _parts(m: Any, y: Any) -> tuple[Pair, Pair]:
    return (m.part(y, k=0), m.part(y, k=1)), (m.part(y, k=2), m.part(y, k=3))


def _inverse_gaps(m: Any, w: Pair, v: Pair) -> Pair:
    distinct = m.distinct(*w, *v)
    re, im = (columns(m, part) - rows(m, part) for part in w)
    size = m.where(distinct, re * re + im * im, 1.0)
    return m.where(distinct, m.div(re, size), 0.0), m.where(distinct, m.div(-im, size), 0.0)


def _vjp(m: Any, bars: Any, args: Any, y: Any, wanted: list[int], vectors: bool) -> list[Any]:
    w, v = _parts(m, y)
    zero = np.zeros((), m.dtype(w[0]))
    gaps = _inverse_gaps(m, w, v)
    eye = np.eye(m.shape(w[0])[-1], dtype=m.dtype(w[0]))
    core = tuple(zero if bar is None else columns(m, bar) * eye for bar in bars[:2])
    if bars[2] is not None or bars[3] is not None:
        shape = m.shape(v[0])
        of_v = tuple(m.broadcast(zero, shape=shape) if bar is None else bar for bar in bars[2:])
        turned = times(m, adjoint_of(m, v), of_v)
        core = (
            core[0] + gaps[0] * turned[0] + gaps[1] * turned[1],
            core[1] + gaps[0] * turned[1] - gaps[1] * turned[0],
        )
    core = tuple(m.broadcast(part, shape=m.shape(v[0])) for part in core)
    made = _over(m, adjoint_of(m, v), times(m, core, adjoint_of(m, v)))
    return list(made[: len(args)])


def _jvp(m: Any, dots: Any, args: Any, y: Any, vectors: bool) -> list[Any]:
    w, v = _parts(m, y)
    zero = np.zeros(m.shape(v[0]), m.dtype(w[0]))
    gaps = _inverse_gaps(m, w, v)  # which raises where v has no inverse
    moved = _over(m, v, times(m, (dots.get(0, zero), dots.get(1, zero)), v))
    turned = gaps[0] * moved[0] - gaps[1] * moved[1], gaps[0] * moved[1] + gaps[1] * moved[0]
    return [diagonal(m, moved[0]), diagonal(m, moved[1]), *times(m, v, turned)]


def _shape(re: Aval, *im: Aval, vectors: bool) -> Avals:
    return Avals([Aval(re.shape[:-1], re.dtype)] * 2 + [Aval(re.shape, re.dtype)] * 2)


def _signs(re: Any, im: Any) -> Any:
    """Of the diagonal of r, which LAPACK makes real."""
    return np.sign(np.diagonal(np.linalg.qr(re + 1j * im)[1], axis1=-2, axis2=-1).real).astype(re.dtype)


provide(signs_of_qr=_signs)
Row("signs_of_qr", "constant", lambda m, re, im: m.signs_of_qr(re, im), math="no derivative", batch="leading",
    shape=lambda re, im: Aval((*re.shape[:-2], re.shape[-1]), re.dtype))  # fmt: skip
provide(eig=_eig, distinct=_distinct)
Row("eig", "own", lambda m, *parts, **how: m.eig(*parts, **how), shape=_shape, vjp=_vjp, jvp=_jvp, batch="leading",
    numeric="float", math="V⁻ᴴ·(diag w̄ + F̄ ∘ VᴴV̄)·Vᴴ", domain="eigenvalues that do not repeat")  # fmt: skip
Row("distinct", "linear", lambda m, *parts: m.distinct(*parts), math="no derivative", partials=[None] * 4,
    batch="leading", shape=lambda w_re, w_im, v_re, v_im: Aval(v_re.shape, np.dtype(bool)))  # fmt: skip
