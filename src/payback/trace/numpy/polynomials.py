"""NumPy's polynomials, coefficients of the highest power first, on traced values."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import plain
from payback.trace.dispatch import here, implements
from payback.trace.numpy.arguments import array_of, known, refuse, traced_array
from payback.trace.numpy.calculus import convolve
from payback.trace.numpy.map import reshape
from payback.trace.operators import FUNCTIONS


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Horner's scheme."""
    p, x = array_of(p), array_of(x)
    y = np.zeros_like(x)[()]
    for k in range(p.shape[0]):
        y = y * x + p[k]
    return y


def _padded(a: Any, size: int) -> Any:
    return np.concatenate([np.zeros(size - a.shape[0], a.dtype), a]) if a.shape[0] < size else a


def _poly_sum(sign: int) -> Any:
    def total(a1: Any, a2: Any) -> Any:
        a1, a2 = (x.reshape(-1) for x in (array_of(a1), array_of(a2)))
        size = max(a1.shape[0], a2.shape[0])
        return _padded(a1, size) + _padded(a2, size) if sign > 0 else _padded(a1, size) - _padded(a2, size)

    return total


FUNCTIONS[np.polyadd] = _poly_sum(1)
FUNCTIONS[np.polysub] = _poly_sum(-1)
FUNCTIONS[np.polymul] = lambda a1, a2: convolve(a1, a2)


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    p = array_of(p)
    for _ in range(m):
        p = p[:-1] * np.arange(p.shape[0] - 1, 0, -1)
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    p = array_of(p)
    constants = array_of(0.0 if k is None else k)
    constants = np.broadcast_to(constants, (m,)) if constants.size == 1 and not constants.ndim else constants
    for i in range(m):
        p = np.concatenate([p / np.arange(p.shape[0], 0, -1), reshape(traced_array(constants)[i], (1,))])
    return p


@implements(np.polydiv)
def polydiv(u: Any, v: Any) -> Any:
    """Quotient and remainder by long division.  Leading zeros of the remainder are dropped, as NumPy does; rounded
    leftovers of what the division has removed, which NumPy may keep in float32, are not in it.
    """
    u, v = (x.reshape(-1) + 0.0 for x in (array_of(u), array_of(v)))
    dtype = np.result_type(u.dtype, v.dtype)
    u, v = u.astype(dtype), v.astype(dtype)
    steps = max(u.shape[0] - v.shape[0] + 1, 1)
    quotient, rest = [], u
    for _ in range(steps if u.shape[0] >= v.shape[0] else 0):
        factor = rest[0] / v[0]
        quotient.append(factor)
        rest = np.concatenate([rest[: v.shape[0]] - factor * v, rest[v.shape[0] :]])[1:]
    q = np.stack(quotient) if quotient else np.zeros(1, u.dtype)
    if not rest.shape[0]:
        rest = np.zeros(1, u.dtype)
    if known(rest):  # which are zero is decided by the numbers
        bare = np.asarray(plain(rest))
        while rest.shape[0] > 1 and np.allclose(bare[-rest.shape[0]], 0, rtol=1e-14):
            rest = rest[1:]
    return q, rest


@implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """The coefficients of the polynomial with these zeros."""
    zeros = array_of(seq_of_zeros)
    if zeros.ndim > 1:
        raise UnsupportedError("np.poly of a traced matrix", where=here(),
                               why="it is found from eigenvalues, which may be complex",
                               fix="give the eigenvalues of a symmetric matrix, np.linalg.eigvalsh")  # fmt: skip
    zeros = zeros.astype(np.mintypecode(zeros.dtype.char))
    made: Any = np.ones(1, zeros.dtype)
    for k in range(zeros.shape[0]):
        made = convolve(made, np.stack([zeros.dtype.type(1), -zeros[k]]))
    return made


@implements(np.polyfit)
def polyfit(x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    """The coefficients that fit best: least squares on scaled powers, as in NumPy; also by x and by the weights."""
    refuse("polyfit", full=full, cov=cov)
    x, y = array_of(x) + 0.0, array_of(y) + 0.0
    deg = np.asarray(deg)
    if deg.ndim or deg < 0:
        raise UnsupportedError("np.polyfit of traced values takes one degree", where=here(), why=f"it is {deg}")
    if x.ndim != 1 or not x.shape[0] or not 1 <= y.ndim <= 2 or y.shape[0] != x.shape[0]:
        raise TypeError(f"np.polyfit takes a vector x and as many y, not {x.shape} and {y.shape}")
    return least_squares(x, np.vander(x, int(deg) + 1), y, w, rcond)


def least_squares(x: Any, columns: Any, y: Any, w: Any, rcond: Any) -> Any:
    """What each column, a function of x, counts; rows weigh w.  Columns have the length 1, as NumPy scales them."""
    right = y
    if w is not None:
        w = array_of(w) + 0.0
        columns, right = columns * w[:, None], y * (w[:, None] if y.ndim == 2 else w)
    scale = np.sqrt(np.sum(columns * columns, axis=0))
    cut = x.shape[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    found = np.linalg.lstsq(columns / scale, right, cut)[0]
    return found / (scale[:, None] if y.ndim == 2 else scale)
