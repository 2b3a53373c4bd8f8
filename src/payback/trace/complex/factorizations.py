"""Factorizations of complex matrices, most by those of real ones that are twice as large.

Where entries are blocks [[re, −im], [im, re]] beside each other, triangles stay triangles, so Cholesky's factor and the
columns of QR are found by those of the real matrix.  Eigenvalues of a Hermitian matrix would be there twice, so they
would have no second derivative: they are a row.

Single vectors are determined up to a phase, and LAPACK makes its choice by an entry that it keeps on one ray: so the
derivative is that of the vectors that NumPy computes, and of whatever no phase changes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.trace.array import plain
from payback.trace.complex.functions import rule
from payback.trace.complex.linalg import embedded
from payback.trace.complex.numbers import Complex, as_part, pair_of
from payback.trace.dispatch import emit, here, implements
from payback.trace.numpy.arguments import array_of, known
from payback.trace.numpy.linalg import matrices, parts


def _blocks(z: Any) -> Any:
    """Each entry as a block of two rows and two columns."""
    re, im = pair_of(z)
    *lead, n, k = re.shape
    pairs = np.stack([np.stack([re, -im], axis=-1), np.stack([im, re], axis=-1)], axis=-3)  # (..., n, 2, k, 2)
    return np.reshape(pairs, (*lead, 2 * n, 2 * k))


def _of_blocks(x: Any) -> Complex:
    return Complex(x[..., ::2, ::2], x[..., 1::2, ::2])


def _hermitian(z: Any, lower: bool = True) -> Any:
    """Of the triangle that NumPy reads, with a real diagonal."""
    re, im = (np.tril(part) if lower else np.triu(part) for part in pair_of(z))
    inside = np.tril(re, -1) if lower else np.triu(re, 1)
    im = np.tril(im, -1) if lower else np.triu(im, 1)
    return Complex(re + inside.mT, im - im.mT)


@rule(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    a = _hermitian(a, not upper)
    made = _of_blocks(np.linalg.cholesky(_blocks(a)))
    return np.conjugate(np.swapaxes(made, -1, -2)) if upper else made


@rule(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """With the signs of LAPACK's: where they are not known, the diagonal of r is positive in neither."""
    re, im = pair_of(a)
    high, wide = re.shape[-2:]
    if mode not in ("reduced", "r", "complete") or (mode == "complete" and high != wide) or high < wide:
        raise UnsupportedError(f"np.linalg.qr(mode={mode!r}) of complex numbers, {re.shape}", where=here(),
                               why="what is beyond the first columns is not determined by the matrix",
                               fix="use mode='reduced' of a matrix with as many rows as columns, or more")  # fmt: skip
    q, r = np.linalg.qr(_blocks(a))
    signs = emit("signs_of_qr", re, im)
    ours = np.sign(emit("stop_gradient", np.diagonal(r, axis1=-2, axis2=-1)))
    turn = np.repeat(signs, 2, axis=-1) * ours
    q, r = q * turn[..., None, :], r * turn[..., :, None]
    made = _of_blocks(q), _of_blocks(r)
    return made[1] if mode == "r" else _named(np.linalg.qr, *made)


def _named(function: Any, *results: Any) -> Any:
    return type(function(np.eye(1)))(*results)


def _on_its_ray(v: Complex, there: Any) -> tuple[Any, Any]:
    """cos and sin, which are 1 and 0, of the angle by which each column turns if its first entry `there` is not to."""
    at = np.argmax(there, axis=-2)[..., None, :]
    angle = np.arctan2(*(np.take_along_axis(part, at, -2) for part in (v.im, v.re)))
    moved = angle - emit("stop_gradient", angle)
    return np.cos(moved), np.sin(moved)


def _turned(v: Complex, cos: Any, sin: Any) -> Complex:
    return Complex(v.re * cos + v.im * sin, v.im * cos - v.re * sin)


def _sizeable(v: Complex) -> Any:
    re, im = (emit("stop_gradient", part) for part in (v.re, v.im))
    return re * re + im * im > (64 * np.finfo(re.dtype).eps * re.shape[-2]) ** 2


@rule(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    return _named(np.linalg.eigh, *eigh_of_lapack(a, UPLO.upper() == "L"))


def eigh_of_lapack(a: Any, lower: bool, **which: bool) -> tuple[Any, Complex]:
    """LAPACK's reduction to a tridiagonal matrix leaves the first entry of each vector real, of the upper triangle the
    last.  which: scipy=True where the signs are to be SciPy's."""
    matrix = _hermitian(a, lower)
    w, re, im = parts("hermitian", 3, matrix.re, matrix.im, lower=lower, **which)
    v = Complex(re, im)
    fixed = v if lower else Complex(re[..., ::-1, :], im[..., ::-1, :])
    return w, _turned(v, *_on_its_ray(fixed, _sizeable(fixed)))


@rule(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return _eigenvalues(_hermitian(a, UPLO.upper() == "L"))


def _eigenvalues(hermitian: Complex) -> Any:
    return parts("hermitian", 1, hermitian.re, hermitian.im, lower=True)[0]


@rule(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """The larger half of the eigenvalues of [[0, x], [xᴴ, 0]], which are ± them."""
    re, im = pair_of(x)
    *lead, high, wide = re.shape
    corners = [np.zeros((*lead, n, n), re.dtype) for n in (high, wide)]
    whole = [np.block([[corners[0], part], [sign * part.mT, corners[1]]]) for part, sign in ((re, 1.0), (im, -1.0))]
    return _eigenvalues(Complex(*whole))[..., ::-1][..., : min(high, wide)]


@rule(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Of [[0, r], [rᴴ, 0]], a = q·r, whose eigenvectors are those of both sides; of a wide one the other way round."""
    if not compute_uv:
        return svdvals(a)
    high, wide = np.shape(a)[-2:]
    if full_matrices and high != wide:
        raise UnsupportedError(f"np.linalg.svd of traced complex numbers, {np.shape(a)}", where=here(),
                               why="what is beyond the singular vectors is not determined by the matrix",
                               fix="write full_matrices=False")  # fmt: skip
    a = Complex(*(as_part(part) for part in pair_of(a)))
    tall = a if high >= wide else _adjoint(a)
    q, r = (None, tall) if high == wide else qr(tall)
    n = min(high, wide)
    corner = np.zeros((*np.shape(r)[:-2], n, n), a.re.dtype)
    whole = [np.block([[corner, part], [sign * part.mT, corner]]) for part, sign in ((r.re, 1.0), (r.im, -1.0))]
    w, re, im = (part[..., ::-1][..., :n] for part in parts("hermitian", 3, *whole, lower=True))
    u, v = (Complex(*(part[..., side, :] * np.sqrt(2.0).astype(part.dtype) for part in (re, im)))
            for side in (slice(0, n), slice(n, None)))  # fmt: skip
    turn = _on_its_ray(v, _sizeable(v))
    phases = parts("phases_of_svd", 2, a.re, a.im, *(emit("stop_gradient", part) for part in (v.re, v.im)))
    cos, sin = (part[..., None, :] for part in phases)
    turn = turn[0] * cos - turn[1] * sin, turn[1] * cos + turn[0] * sin
    u, v = (_turned(vectors, *turn) for vectors in (u, v))
    u = u if q is None else np.matmul(q, u)
    return _named(np.linalg.svd, *((u, w, _adjoint(v)) if high >= wide else (v, w, _adjoint(u))))


def _adjoint(a: Any) -> Complex:
    re, im = pair_of(a)
    return Complex(re.mT, -im.mT)


@rule(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    if p not in (None, 2, -2):
        return np.linalg.norm(x, p, (-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, (-2, -1))
    s = svdvals(x)
    return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]


@rule(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, **tolerance: Any) -> Any:
    given = {} if rcond is None else {"rcond": rcond}
    made = np.linalg.pinv(embedded(_hermitian(a) if hermitian else a), **given, **tolerance)
    n, k = (extent // 2 for extent in made.shape[-2:])
    return Complex(made[..., :n, :k], made[..., n:, :k])


@rule(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Rows of the right side are real parts above imaginary ones; rank and singular values are there twice."""
    re, im = pair_of(b)
    high, wide = np.shape(a)
    cutoff = np.finfo(re.dtype).eps * max(high, wide) if rcond is None else rcond
    x, residuals, rank, s = np.linalg.lstsq(embedded(a), np.concatenate([re, im]), cutoff)
    return Complex(x[:wide], x[wide:]), residuals, rank // 2, s[::2]


@rule(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign is the determinant of the matrix over its size."""
    size = np.linalg.slogdet(embedded(a))[1] / 2.0
    n = np.shape(a)[-1]
    scaled = a * np.exp(-size / n)[..., None, None]
    sign = np.linalg.det(scaled)
    return _named(np.linalg.slogdet, sign / np.abs(sign), size)


# eigenvalues of any matrix --------------------------------------------------------------------------------------


@functools.cache
def _always_complex() -> bool:
    """As they are since NumPy 2.5."""
    return np.linalg.eigvals(np.eye(1)).dtype.kind == "c"


@implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    return Complex(*parts("eig", 4, matrices(a), vectors=False)[:2]) if _always_complex() else eigenvalues(a)


def eigenvalues(a: Any) -> Any:
    """Of a real matrix: real, where all of them are."""
    re, im, _, _ = parts("eig", 4, matrices(a), vectors=False)
    if not known(im):
        raise TraceError("np.linalg.eigvals of a real matrix without numbers", where=here(),
                         why="whether what it returns is complex depends on the numbers",
                         fix="give a complex matrix, a + 0j")  # fmt: skip
    return Complex(re, im) if np.any(plain(im)) else re


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """Vectors of length 1, whose largest entry is real, as LAPACK has them; of a real matrix real ones as they come."""
    given = pair_of(a) if isinstance(a, Complex) else (matrices(a),)
    w_re, w_im, re, im = parts("eig", 4, *map(as_part, given), vectors=True)
    v = Complex(re, im)
    size = re * re + im * im
    length = np.sum(size, axis=-2, keepdims=True)
    longer = np.sqrt(length / emit("stop_gradient", length))
    fixed = emit("stop_gradient", size)
    v = _turned(Complex(re / longer, im / longer), *_on_its_ray(v, fixed))
    if len(given) == 2 or _always_complex():
        return _named(np.linalg.eig, Complex(w_re, w_im), v)
    if not known(w_im):
        raise TraceError("np.linalg.eig of a real matrix without numbers", where=here(),
                         why="whether what it returns is complex depends on the numbers",
                         fix="give a complex matrix, a + 0j")  # fmt: skip
    real = not np.any(plain(w_im))
    return _named(np.linalg.eig, *((w_re, v.re) if real else (Complex(w_re, w_im), v)))


rule(np.linalg.eig)(eig)


@rule(np.linalg.eigvals)
def _eigvals(a: Any) -> Any:
    re, im, _, _ = parts("eig", 4, *(as_part(part) for part in pair_of(a)), vectors=False)
    return Complex(re, im)


@implements(np.roots)
def roots(p: Any) -> Any:
    """Eigenvalues of the companion matrix; zeros at the ends are left away, and are roots where they are the last."""
    p = array_of(p)
    p = np.reshape(p, (1,)) if not p.ndim else p
    if not known(p):
        raise TraceError("np.roots of coefficients without numbers", where=here(),
                         why="how many roots there are depends on which coefficients are 0",
                         fix="give the eigenvalues of the companion matrix, np.linalg.eigvals(c + 0j)")  # fmt: skip
    there = np.flatnonzero(plain(p))
    if not there.size:
        return np.array([])
    p, zeros = p[there[0] : there[-1] + 1], p.shape[0] - 1 - there[-1]
    n = p.shape[0] - 1
    found: Any = np.array([])
    if n:
        companion = np.concatenate([np.reshape(-p[1:] / p[0], (1, n)), np.eye(n, dtype=p.dtype)[:-1]])
        found = eigenvalues(companion)
    return np.concatenate([found, np.zeros(zeros, p.dtype)]) if zeros else found
