"""`np.linalg`: systems, inverses, factorizations, norms."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from payback.errors import UnsupportedError
from payback.trace.array import Traced, plain
from payback.trace.dispatch import emit, here, implements
from payback.trace.numpy.arguments import known
from payback.trace.numpy.map import astype, axes_of, np_max, np_min, np_sum, reshape, squeeze
from payback.trace.numpy.products import array_of

_NONE = np._NoValue


def matrices(x: Any, square: bool = True) -> Any:
    """An argument as NumPy's routines take it.  Raises what they raise: LinAlgError, TypeError for float16."""
    x = array_of(x)
    if x.dtype == np.float16:
        raise TypeError("array type float16 is unsupported in linalg")
    if x.ndim < 2:
        raise LinAlgError(f"{x.ndim}-dimensional array given. Array must be at least two-dimensional")
    if square and x.shape[-1] != x.shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return x


def parts(name: str, count: int, *operands: Any, **params: Any) -> tuple[Any, ...]:
    """The several results of a row."""
    whole = emit(name, *operands, **params)
    return tuple(emit("part", whole, k=k) for k in range(count))


def _named(function: Any, *results: Any) -> Any:
    """Results under the names that NumPy gives them: u, s, vh = ..., or .U, .S, .Vh."""
    return _kind_of_results(function)(*results)


@lru_cache
def _kind_of_results(function: Any) -> type:
    return type(function(np.eye(1)))


# systems and inverses -------------------------------------------------------------------------------------------


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    return emit("inv", matrices(a))


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """A vector b, or a batch of matrices."""
    a, b = matrices(a), array_of(b)
    if b.dtype == np.float16:
        raise TypeError("array type float16 is unsupported in linalg")
    vector = b.ndim == 1
    if b.ndim == 0 or b.shape[0 if vector else -2] != a.shape[-1]:
        raise ValueError(f"solve of shapes {a.shape} and {b.shape}: the number of equations differs")
    if vector:
        b = b.reshape(-1, 1) if type(b) is np.ndarray else reshape(b, (b.shape[0], 1))
    if a.shape[:-2] != b.shape[:-2]:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (x if x.shape[:-2] == lead else np.broadcast_to(x, lead + x.shape[-2:]) for x in (a, b))
    made = emit("solve", a, b)
    return squeeze(made, -1) if vector else made


@implements(np.linalg.det)
def det(a: Any) -> Any:
    return emit("det", matrices(a))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    return _named(np.linalg.slogdet, *parts("slogdet", 2, matrices(a)))


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _NONE) -> Any:
    a = matrices(a, square=hermitian)
    if hermitian:
        a = _symmetric(a)
    if rtol is not _NONE:
        rcond = np.finfo(a.dtype).eps * max(a.shape[-2:]) if rtol is None else rtol
    cutoff = _cutoff("pinv", rcond)
    return _truncated(a, cutoff) if _cuts(a, cutoff) else emit("pinv", a, rcond=cutoff)


def _cuts(a: Any, cutoff: float | None) -> bool:
    """Whether singular values that are more than rounding are left out; without numbers, whether that is likely."""
    if cutoff is None or cutoff < 0 or not a.size > 0:
        return False
    if not known(a):
        return cutoff > np.finfo(a.dtype).eps ** 0.5
    s = np.linalg.svdvals(plain(a))
    top = s[..., :1]
    return bool(np.any((s <= cutoff * top) & (s > 4 * np.finfo(s.dtype).eps * max(a.shape[-2:]) * top)))


def _truncated(a: Any, cutoff: float) -> Any:
    """The pseudo-inverse of the part with large singular values: how that part turns depends on the others too."""
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    kept = s > cutoff * s[..., :1]
    inverse = np.where(kept, 1.0 / np.where(kept, s, 1.0), 0.0)[..., :, None]
    return np.where(kept[..., :, None], vh, 0.0).mT @ (inverse * np.where(kept[..., None, :], u, 0.0).mT)


def _cutoff(name: str, rcond: Any) -> float | None:
    if rcond is not None and np.ndim(rcond):
        raise UnsupportedError(f"np.linalg.{name} of traced values takes one cutoff for all matrices", where=here())
    return None if rcond is None else float(rcond)


def _symmetric(a: Any, lower: bool = True) -> Any:
    """The symmetric matrix of the triangle that NumPy reads."""
    if not lower:
        return np.triu(a) + np.triu(a, 1).mT
    return np.tril(a) + np.tril(a, -1).mT


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The solution, the squared residuals, the rank and the singular values."""
    a, b = matrices(a, square=False), array_of(b)
    if a.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        raise LinAlgError(f"lstsq of shapes {a.shape} and {b.shape}")
    cutoff = None if rcond is None else float(rcond)
    dtype = np.result_type(a.dtype, b.dtype, np.float32)
    a, b = (x if x.dtype == dtype else x.astype(dtype) for x in (a, b))
    columns = np.reshape(b, (-1, 1)) if b.ndim == 1 else b
    x = _truncated(a, cutoff) @ columns if cutoff and _cuts(a, cutoff) else emit("lstsq", a, columns, rcond=cutoff)
    s = np.linalg.svdvals(a)
    smallest = (np.finfo(s.dtype).eps * max(a.shape) if cutoff is None or cutoff < 0 else cutoff) * s[:1]
    rank = np.sum(s > smallest)
    full = not known(rank) or int(rank) == a.shape[1]
    rest = columns - np.matmul(a, x)
    residuals = np.sum(rest * rest, axis=0) if full and a.shape[0] > a.shape[1] else np.zeros(0, x.dtype)
    if not known(rank) and residuals.size:  # there are none where the rank is not full
        residuals = residuals[np.broadcast_to(rank == a.shape[1], residuals.shape)]
    rank = np.int32(plain(rank)) if known(rank) else rank.astype(np.int32)
    return (np.squeeze(x, -1) if b.ndim == 1 else x), residuals, rank, s


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    made = inv(np.reshape(a, (prod(a.shape[:ind]), prod(a.shape[ind:]))))
    return np.reshape(made, a.shape[ind:] + a.shape[:ind])


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = array_of(a), array_of(b)
    if axes is not None:
        moved = [i for i in range(a.ndim) if i not in tuple(axes)]
        a = np.transpose(a, (*moved, *axes))
    shape = a.shape[b.ndim - a.ndim :] if a.ndim > b.ndim else ()
    if prod(shape) ** 2 != a.size:
        raise LinAlgError(f"tensorsolve of shapes {a.shape} and {b.shape}: the number of equations differs")
    made = solve(np.reshape(a, (-1, prod(shape))), np.reshape(b, (-1,)))
    return np.reshape(made, shape)


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """A whole number: it has no derivative."""
    return np.linalg.matrix_rank(plain(A), tol, hermitian, rtol=rtol)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    x = matrices(x, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))


# factorizations -------------------------------------------------------------------------------------------------


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return emit("cholesky", matrices(a), upper=bool(upper))


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """The reduced form.  A matrix with more columns than rows is that of its first columns, and qᵀ times the rest."""
    a = matrices(a, square=False)
    high, wide = a.shape[-2:]
    if mode not in ("reduced", "r", "complete") or (mode == "complete" and high > wide):
        raise UnsupportedError(f"np.linalg.qr(mode={mode!r}) of a traced matrix of shape {a.shape}", where=here(),
                               why="it is not determined by the matrix alone, so it has no derivative",
                               fix="use mode='reduced' or 'r'")  # fmt: skip
    q, r = parts("qr", 2, a if high >= wide else a[..., :high])
    if wide > high:
        r = np.concatenate([r, np.matmul(q.mT, a[..., high:])], axis=-1)
    return r if mode == "r" else _named(np.linalg.qr, q, r)


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    if UPLO.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return _named(np.linalg.eigh, *parts("eigh", 2, matrices(a), lower=UPLO.upper() == "L", scipy=False))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return eigh(a, UPLO)[0]


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    a = matrices(a, square=hermitian)
    if hermitian:
        return _svd_of_symmetric(a, compute_uv)
    if not compute_uv:
        return parts("svd", 3, a, vectors=False, full=False)[1]
    high, wide = a.shape[-2:]
    if not full_matrices or high == wide:
        return _named(np.linalg.svd, *parts("svd", 3, a, vectors=True, full=False))
    u, s, vh, rest = parts("svd", 4, a, vectors=True, full=True)
    if high > wide:
        u = np.concatenate([u, rest], axis=-1)
    else:
        vh = np.concatenate([vh, rest], axis=-2)
    return _named(np.linalg.svd, u, s, vh)


def _svd_of_symmetric(a: Any, compute_uv: bool) -> Any:
    w, v = eigh(a)
    order = np.argsort(abs(w))[..., ::-1]
    s = np.take_along_axis(abs(w), order, -1)
    if not compute_uv:
        return s
    u = np.take_along_axis(v, np.broadcast_to(order[..., None, :], v.shape), -1)
    sign = np.sign(np.take_along_axis(w, order, -1))
    return _named(np.linalg.svd, u, s, (u * sign[..., None, :]).mT)


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    return svd(x, compute_uv=False)


# norms ----------------------------------------------------------------------------------------------------------


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Every order and axis of NumPy.  At 0, and at other kinks, the subgradient is the one in the middle."""
    x = _floating(x)
    if axis is None and (ord is None or (ord in ("f", "fro") and x.ndim == 2) or (ord == 2 and x.ndim == 1)):
        return emit("norm", x, axes=axes_of(None, x.ndim), keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes_of(axes, x.ndim)[0], keepdims)
    if len(axes) == 2:
        row, column = (axes_of(a, x.ndim)[0] for a in axes)
        return _matrix_norm(x, ord, row, column, keepdims)
    raise ValueError("Improper number of dimensions to norm.")


def _floating(x: Any) -> Any:
    x = array_of(x)
    if x.dtype.kind == "f":
        return x
    return astype(x, float) if isinstance(x, Traced) else x.astype(float)


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    if ord is None or ord == 2:
        return emit("norm", x, axes=(axis,), keepdims=keepdims)
    if ord == 0:
        return emit("cast", np_sum(x != 0, axis=axis, keepdims=keepdims), dtype=x.dtype, weak=False)
    if ord in (1, np.inf, -np.inf):
        function = {1: np_sum, np.inf: np_max, -np.inf: np_min}[ord]
        return function(abs(x), axis=axis, keepdims=keepdims)
    total = np_sum(abs(x) ** ord, axis=axis, keepdims=keepdims)
    return np.where(total == 0, 0.0, total ** float(np.reciprocal(ord, dtype=total.dtype)))


def _matrix_norm(x: Any, ord: Any, row: int, column: int, keepdims: bool) -> Any:
    if row == column:
        raise ValueError("Duplicate axes given.")
    axes = tuple(sorted((row, column)))
    if ord is None or ord in ("f", "fro"):
        return emit("norm", x, axes=axes, keepdims=keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        summed = np_sum(abs(x), axis=row if abs(ord) == 1 else column, keepdims=True)
        found = (np_max if ord > 0 else np_min)(summed, axis=axes, keepdims=True)
    elif ord in ("nuc", 2, -2):
        singular = np.linalg.svdvals(np.moveaxis(x, (row, column), (-2, -1)))
        found = {"nuc": np_sum, 2: np_max, -2: np_min}[ord](singular, axis=-1)
        found = np.expand_dims(found, axes)
    else:
        raise ValueError("Invalid norm order for matrices.")
    return found if keepdims else np.squeeze(found, axes)


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = _floating(x)
    axes = axes_of(axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    flat = np.reshape(np.transpose(x, (*rest, *axes)), (*(x.shape[i] for i in rest), -1))
    found = _vector_norm(flat, ord, len(rest), False)
    return np.expand_dims(found, axes) if keepdims else found


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return _matrix_norm(_floating(x), ord, array_of(x).ndim - 2, array_of(x).ndim - 1, keepdims)
