"""Plain values in a dtype that LAPACK does not have: its systems, inverses, determinants and Cholesky factors by
elimination, in NumPy's own arithmetic.

Elimination is backward stable: its result is the exact one of a matrix that is off by some roundings (Higham, Accuracy
and Stability of Numerical Algorithms, chapters 9 and 10).  So the result is moved, where `rng` says so, by moving what
goes in: what an ill-conditioned matrix loses is seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ops.namespace import Values

Array = np.ndarray[Any, Any]
BY_ELIMINATION = frozenset(("solve", "inv", "solve_triangular", "det", "cofactor", "cholesky"))  # slogdet is a tuple


class Wide:
    """`m` of a rule, for plain values of a wider dtype; what has no form in it is computed in float64 and `narrow`."""

    def __init__(self, rng: Any = None):
        self.rng = rng
        self.narrow: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        plain = getattr(Values, name)
        if not callable(plain):
            return plain

        def either(*args: Any, **params: Any) -> Any:
            try:
                return plain(*args, **params)
            except Exception:  # TypeError, mostly; f2py and SciPy have errors of their own
                if not any(map(_is_wide, args)):
                    raise
                self.narrow.add(name)
                wider = next(arg for arg in args if _is_wide(arg)).dtype
                made = plain(*map(_narrowed, args), **params)
                return tuple(_as(x, wider) for x in made) if isinstance(made, tuple) else _as(made, wider)

        self.__dict__[name] = either  # looked up once
        return either

    def _moved(self, a: Array) -> Array:
        if self.rng is None:
            return a
        moved: Array = (a * (1 + np.finfo(a.dtype).eps * self.rng.choice((-1, 1), a.shape))).astype(a.dtype)
        return moved

    def solve(self, a: Any, b: Any) -> Any:
        if not _is_wide(a):
            return Values.solve(a, b)  # type: ignore[attr-defined]
        return np.vectorize(_solved, signature="(n,n),(n,k)->(n,k)", otypes=[a.dtype])(self._moved(a), b)

    def inv(self, a: Any) -> Any:
        return self.solve(a, np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))

    def solve_triangular(self, a: Any, b: Any, lower: bool, trans: bool, unit: bool) -> Any:
        if not _is_wide(a):
            return Values.solve_triangular(a, b, lower=lower, trans=trans, unit=unit)  # type: ignore[attr-defined]
        a = np.tril(a, -int(unit)) if lower else np.triu(a, int(unit))
        a = a + np.eye(a.shape[-1], dtype=a.dtype) if unit else a
        return self.solve(np.swapaxes(a, -1, -2) if trans else a, b)

    def slogdet(self, a: Any) -> Any:
        if not _is_wide(a):
            return Values.slogdet(a)  # type: ignore[attr-defined]
        pivots, sign = np.vectorize(_pivots, signature="(n,n)->(n),()", otypes=[a.dtype, a.dtype])(self._moved(a))
        sizes = np.abs(pivots)
        return sign * np.prod(np.where(sizes > 0, pivots / sizes, 0), -1), np.sum(np.log(sizes), -1)

    def det(self, a: Any) -> Any:
        if not _is_wide(a):
            return Values.det(a)  # type: ignore[attr-defined]
        pivots, sign = np.vectorize(_pivots, signature="(n,n)->(n),()", otypes=[a.dtype, a.dtype])(self._moved(a))
        return sign * np.prod(pivots, -1)

    def cofactor(self, a: Any) -> Any:
        if not _is_wide(a) or not np.all(self.det(a)):
            return self.__getattr__("cofactor")(a)
        return np.swapaxes(self.inv(a), -1, -2) * self.det(a)[..., None, None]

    def cholesky(self, a: Any, upper: bool) -> Any:
        if not _is_wide(a):
            return Values.cholesky(a, upper=upper)  # type: ignore[attr-defined]
        read = np.conj(np.swapaxes(a, -1, -2)) if upper else a
        factor = np.vectorize(_factor, signature="(n,n)->(n,n)", otypes=[a.dtype])(self._moved(read))
        return np.conj(np.swapaxes(factor, -1, -2)) if upper else factor


def _is_wide(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "char", "") in ("g", "G")


def _narrowed(x: Any) -> Any:
    return x.astype(float if x.dtype.kind == "f" else complex) if _is_wide(x) else x


def _as(x: Any, wider: Any) -> Any:
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return x.astype(np.result_type(wider, x.dtype)) if kind and kind in "fc" else x


def _eliminated(work: Array, n: int) -> tuple[Array, int]:
    """The first n columns made upper triangular, with partial pivoting, and the sign of the exchange."""
    work, sign = work.copy(), 1
    for k in range(n):
        p = k + int(np.argmax(np.abs(work[k:, k])))
        if p != k:
            work[[k, p]] = work[[p, k]]
            sign = -sign
        if work[k, k] != 0:
            work[k + 1 :, k:] -= np.outer(work[k + 1 :, k] / work[k, k], work[k, k:])
    return work, sign


def _solved(a: Array, b: Array) -> Array:
    n = len(a)
    work, _ = _eliminated(np.concatenate([a, b], axis=1), n)
    if not np.all(np.diagonal(work)):
        raise np.linalg.LinAlgError("Singular matrix")
    x = work[:, n:]
    for k in reversed(range(n)):
        x[k] = (x[k] - work[k, k + 1 : n] @ x[k + 1 :]) / work[k, k]
    return x


def _pivots(a: Array) -> tuple[Array, Any]:
    work, sign = _eliminated(a, len(a))
    return np.diagonal(work), a.dtype.type(sign)


def _factor(a: Array) -> Array:
    factor = np.tril(a)
    for k in range(len(a)):
        if not factor[k, k].real > 0:
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        factor[k:, k] /= np.sqrt(factor[k, k])
        factor[k + 1 :, k + 1 :] -= np.tril(np.outer(factor[k + 1 :, k], np.conj(factor[k + 1 :, k])))
    return factor
