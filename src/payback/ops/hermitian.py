"""Eigenvalues of Hermitian matrices: real and imaginary parts in, values and the parts of their vectors out.

The differential is ẇ = diag(Vᴴ·Ȧ·V) and V̇ = V·(F ∘ Vᴴ·Ȧ·V), Fᵢⱼ = 1/(wⱼ − wᵢ), as of symmetric ones.  The vectors'
phases do not move in it; who shows them to somebody turns them to where they belong (`complex/factorizations.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Aval, Avals
from payback.ops.eigenvalues import Pair, adjoint_of, times
from payback.ops.factorizations import one_over, or_nan, shared
from payback.ops.matrices import columns, diagonal, provide, rows
from payback.ops.row import Row
from payback.ops.special import scipy_linalg


def _hermitian(re: Any, im: Any, lower: bool, scipy: bool = False) -> tuple[Any, ...]:
    """scipy: by another routine of LAPACK, whose vectors may have other signs."""
    a = re + 1j * im
    v = scipy_linalg().eigh(a, lower=lower)[1] if scipy else np.linalg.eigh(a, "L" if lower else "U")[1]
    w = np.linalg.eigvalsh(a)
    return tuple(np.ascontiguousarray(part, re.dtype) for part in (w, v.real, v.imag))


def _phases(re: Any, im: Any, v_re: Any, v_im: Any) -> tuple[Any, Any]:
    """cos and −sin of the angles from these vectors to NumPy's right singular ones, of a wide matrix the left."""
    u, _, vh = np.linalg.svd(re + 1j * im, full_matrices=False)
    theirs = np.conj(np.swapaxes(vh, -1, -2)) if re.shape[-2] >= re.shape[-1] else u
    turn = np.sum(np.conj(v_re + 1j * v_im) * theirs, axis=-2)
    turn = turn / np.where(turn == 0, 1, np.abs(turn))
    return np.ascontiguousarray(turn.real, re.dtype), np.ascontiguousarray(-turn.imag, re.dtype)


def _parts(m: Any, y: Any) -> tuple[Any, Pair]:
    return m.part(y, k=0), (m.part(y, k=1), m.part(y, k=2))


def _inverse_gaps(m: Any, w: Any, same: Any) -> Any:
    return one_over(m, columns(m, w) - rows(m, w), same)


def _vjp(m: Any, bars: Any, args: Any, y: Any, wanted: list[int], lower: bool, scipy: bool = False) -> list[Any]:
    w, v = _parts(m, y)
    n = m.shape(w)[-1]
    zero = m.broadcast(np.zeros((), m.dtype(w)), shape=m.shape(v[0]))
    core = (zero, zero)
    if bars[0] is not None:
        same = m.repeated(w, extent=n, what="eigenvector")
        core = (columns(m, shared(m, same, bars[0])) * np.eye(n, dtype=m.dtype(w)), zero)
    if bars[1] is not None or bars[2] is not None:
        gaps = _inverse_gaps(m, w, m.repeated(w, np.ones(m.shape(w), bool), extent=n, what="eigenvector"))
        turned = times(m, adjoint_of(m, v), tuple(zero if bar is None else bar for bar in bars[1:]))
        core = core[0] + gaps * turned[0], core[1] + gaps * turned[1]
    return list(times(m, times(m, v, core), adjoint_of(m, v)))


def _jvp(m: Any, dots: Any, args: Any, y: Any, lower: bool, scipy: bool = False) -> list[Any]:
    w, v = _parts(m, y)
    zero = np.zeros(m.shape(v[0]), m.dtype(w))
    moved = times(m, adjoint_of(m, v), times(m, (dots.get(0, zero), dots.get(1, zero)), v))
    same = m.repeated(w, extent=m.shape(w)[-1], what="eigenvector")
    gaps = or_nan(m, _inverse_gaps(m, w, same), same)
    return [shared(m, same, diagonal(m, moved[0])), *times(m, v, (moved[0] * gaps, moved[1] * gaps))]


provide(hermitian=_hermitian, phases_of_svd=_phases)
Row("phases_of_svd", "constant", lambda m, *parts: m.phases_of_svd(*parts), math="no derivative", batch="leading",
    shape=lambda re, im, v_re, v_im: Avals([Aval((*v_re.shape[:-2], v_re.shape[-1]), v_re.dtype)] * 2))  # fmt: skip
Row("hermitian", "own", lambda m, re, im, **how: m.hermitian(re, im, **how), vjp=_vjp, jvp=_jvp, batch="leading",
    shape=lambda re, im, lower, scipy=False: Avals([Aval(re.shape[:-1], re.dtype), *[Aval(re.shape, re.dtype)] * 2]),
    numeric="float", math="V·diag w̄·Vᴴ", kink="repeated eigenvalues share equally")  # fmt: skip
