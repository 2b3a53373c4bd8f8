"""`scipy.spatial.distance` of traced values: distances written with NumPy.

Where two points fall on each other a length has the subgradient 0, as the norm has.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.dispatch import here
from payback.trace.numpy.products import array_of
from payback.trace.scipy.curves import doubles


def _cosine(u: Any, v: Any) -> Any:
    lengths = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
    return 1.0 - np.sum(u * v, axis=-1) / lengths


def _centered(x: Any) -> Any:
    return x - np.mean(x, axis=-1, keepdims=True)


def _mahalanobis(u: Any, v: Any, VI: Any) -> Any:
    off = u - v
    square = np.einsum("...i,ij,...j->...", off, array_of(VI), off)
    apart = np.any(off != 0, axis=-1)
    return np.where(apart, np.sqrt(np.where(apart, square, 1.0)), 0.0)


def _canberra(u: Any, v: Any) -> Any:
    sizes = np.abs(u) + np.abs(v)
    return np.sum(np.where(sizes == 0, 0.0, np.abs(u - v) / np.where(sizes == 0, 1.0, sizes)), axis=-1)


# of two arrays of points, the last axis being that of their coordinates
METRICS: dict[str, Callable[..., Any]] = {
    "euclidean": lambda u, v: np.linalg.norm(u - v, axis=-1),
    "sqeuclidean": lambda u, v: np.sum((u - v) ** 2, axis=-1),
    "cityblock": lambda u, v: np.sum(np.abs(u - v), axis=-1),
    "chebyshev": lambda u, v: np.max(np.abs(u - v), axis=-1),
    "minkowski": lambda u, v, p=2: np.linalg.norm(u - v, p, axis=-1),
    "cosine": _cosine,
    "correlation": lambda u, v: _cosine(_centered(u), _centered(v)),
    "canberra": _canberra,
    "braycurtis": lambda u, v: np.sum(np.abs(u - v), axis=-1) / np.sum(np.abs(u + v), axis=-1),
    "seuclidean": lambda u, v, V: np.linalg.norm((u - v) / np.sqrt(array_of(V)), axis=-1),
    "mahalanobis": _mahalanobis,
}


def _distances(name: str, u: Any, v: Any, metric: Any, options: dict[str, Any]) -> Any:
    if metric not in METRICS:
        raise UnsupportedError(f"{name} of traced values with the metric {metric!r}", where=here(),
                               why=f"it is written with NumPy for {', '.join(METRICS)}",
                               fix="write it with NumPy: d = x[:, None] - y[None]")  # fmt: skip
    return METRICS[metric](u, v, **{key: value for key, value in options.items() if value is not None})


def _points(x: Any) -> Any:
    x = array_of(x)
    if x.ndim != 2:
        raise ValueError("points are the rows of a matrix: an array of two axes")
    return x


def cdist(XA: Any, XB: Any, metric: Any = "euclidean", *, out: Any = None, **options: Any) -> Any:
    return _distances("cdist", _points(XA)[:, None], _points(XB)[None], metric, options | _no_out(out))


def pdist(X: Any, metric: Any = "euclidean", *, out: Any = None, **options: Any) -> Any:
    x = _points(X)
    i, j = np.triu_indices(x.shape[0], 1)
    return _distances("pdist", x[i], x[j], metric, options | _no_out(out))


def _no_out(out: Any) -> dict[str, Any]:
    if out is not None:
        raise UnsupportedError("distances of traced values with out=", where=here(), fix="leave out= away")
    return {}


def squareform(X: Any, force: str = "no", checks: bool = True) -> Any:
    """The matrix of what stands above its diagonal, or what stands there in a matrix."""
    x = array_of(X)
    if x.ndim == 2:
        return x[np.triu_indices(x.shape[0], 1)]
    n = math.isqrt(2 * x.shape[0]) + 1
    if n * (n - 1) != 2 * x.shape[0]:
        raise ValueError("Incompatible vector size. It must be a binomial coefficient n choose 2.")
    i, j = np.triu_indices(n, 1)
    places = np.zeros((n, n), int)
    places[i, j] = places[j, i] = np.arange(1, len(i) + 1)
    return np.concatenate([np.zeros(1, x.dtype), x])[places]


def jensenshannon(p: Any, q: Any, base: Any = None, *, axis: int = 0, keepdims: bool = False) -> Any:
    special = sys.modules["scipy.special"]
    p, q = (doubles(x) / np.sum(x, axis, keepdims=True) for x in (p, q))
    middle = (p + q) / 2.0
    both = special.rel_entr(p, middle) + special.rel_entr(q, middle)
    made = np.sum(both, axis, keepdims=keepdims)
    return np.sqrt((made if base is None else made / np.log(base)) / 2.0)


def distance_matrix(x: Any, y: Any, p: float = 2.0, threshold: int = 1000000) -> Any:
    x, y = _points(x), _points(y)
    return cdist(x, y) if p == 2 else cdist(x, y, "chebyshev") if p == np.inf else cdist(x, y, "minkowski", p=p)


def _of_two(metric: str) -> Callable[..., Any]:
    def distance(u: Any, v: Any, *args: Any, **options: Any) -> Any:
        return METRICS[metric](array_of(u), array_of(v), *args, **options)

    return distance


FUNCTIONS: dict[str, dict[str, Any]] = {
    "scipy.spatial.distance": {"cdist": cdist, "pdist": pdist, "squareform": squareform, "jensenshannon": jensenshannon}
    | {metric: _of_two(metric) for metric in METRICS},
    "scipy.spatial": {"distance_matrix": distance_matrix},
}
