"""How samples are related, of `scipy.stats`, on traced values: correlation, distances of distributions, densities."""

from __future__ import annotations

import math
import sys
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.dispatch import here
from payback.trace.scipy.curves import doubles

_Pearson = namedtuple("PearsonRResult", ("statistic", "pvalue"))


def pearsonr(x: Any, y: Any, *, alternative: str = "two-sided", method: Any = None, axis: Any = 0) -> Any:
    """The correlation, and how probable one as large is of what is not related."""
    if alternative != "two-sided" or method is not None:
        raise UnsupportedError("scipy.stats.pearsonr of traced values with alternative= or method=", where=here(),
                               fix="leave them away")  # fmt: skip
    x, y = doubles(x), doubles(y)
    n = x.shape[axis]
    x, y = (part - np.mean(part, axis, keepdims=True) for part in (x, y))
    r = np.sum(x * y, axis) / np.sqrt(np.sum(x * x, axis) * np.sum(y * y, axis))
    r = np.clip(r, -1.0, 1.0)
    half = n / 2 - 1
    return _Pearson(r, 2.0 * sys.modules["scipy.special"].betainc(half, half, (1.0 - np.abs(r)) / 2.0))


def wasserstein_distance(u_values: Any, v_values: Any, u_weights: Any = None, v_weights: Any = None) -> Any:
    return _between(1, u_values, v_values, u_weights, v_weights)


def energy_distance(u_values: Any, v_values: Any, u_weights: Any = None, v_weights: Any = None) -> Any:
    return np.sqrt(2.0) * np.sqrt(_between(2, u_values, v_values, u_weights, v_weights))


def _between(p: int, u: Any, v: Any, u_weights: Any, v_weights: Any) -> Any:
    """∫ |U − V|ᵖ of the two distribution functions, which are steps."""
    if u_weights is not None or v_weights is not None:
        raise UnsupportedError("distances of distributions of traced values with weights", where=here(),
                               fix="leave the weights away")  # fmt: skip
    u, v = (np.sort(doubles(x)) for x in (u, v))
    places = np.sort(np.concatenate([u, v]))
    below = [np.searchsorted(x, places[:-1], "right") / x.shape[0] for x in (u, v)]
    return np.sum(np.abs(below[0] - below[1]) ** p * np.diff(places))


def boxcox(x: Any, lmbda: Any = None, alpha: Any = None, optimizer: Any = None) -> Any:
    if lmbda is None:
        raise UnsupportedError("scipy.stats.boxcox of traced values without lmbda", where=here(),
                               why="it is found numerically", fix="give lmbda=, or use boxcox_llf")  # fmt: skip
    return sys.modules["scipy.special"].boxcox(doubles(x), lmbda)


def boxcox_llf(lmb: Any, data: Any, **options: Any) -> Any:
    data = doubles(data)
    logarithms = np.log(data)
    spread = np.log(np.var(boxcox(data, lmb), axis=0))
    return (lmb - 1) * np.sum(logarithms, axis=0) - data.shape[0] / 2 * spread


class Density:
    """`gaussian_kde` of traced samples: a bell around each of them, of the covariance of all times factor²."""

    def __init__(self, dataset: Any, bw_method: Any = None, weights: Any = None):
        data = doubles(dataset)
        self.dataset = data[None] if data.ndim < 2 else data
        self.d, self.n = self.dataset.shape
        self.weights = np.full(self.n, 1.0 / self.n) if weights is None else doubles(weights) / np.sum(weights)
        self.neff = 1.0 / np.sum(self.weights**2)
        if callable(bw_method):
            raise UnsupportedError("gaussian_kde of traced values with a function as bw_method", where=here(),
                                   fix="give the number that it returns")  # fmt: skip
        exponent = -1.0 / (self.d + 4)
        if bw_method in (None, "scott"):
            self.factor = self.neff**exponent
        elif bw_method == "silverman":
            self.factor = (self.neff * (self.d + 2.0) / 4.0) ** exponent
        else:
            self.factor = bw_method
        spread = np.cov(self.dataset, bias=False, aweights=self.weights) if self.d > 1 else self._variance()
        self.covariance = np.reshape(spread, (self.d, self.d)) * self.factor**2

    def _variance(self) -> Any:
        off = self.dataset[0] - np.sum(self.weights * self.dataset[0])
        return np.sum(self.weights * off**2) / (1.0 - np.sum(self.weights**2))

    def evaluate(self, points: Any) -> Any:
        return at_points(self, points)

    __call__ = pdf = evaluate

    def logpdf(self, x: Any) -> Any:
        return at_points(self, x, True)


def at_points(kde: Any, points: Any, logarithm: bool = False) -> Any:
    """The density at the columns of `points`, or its logarithm."""
    points = np.atleast_2d(doubles(points))
    d, m = points.shape
    if d != kde.d:
        if d != 1 or m != kde.d:
            raise ValueError(f"points have dimension {d}, dataset has dimension {kde.d}")  # SciPy's words
        points = np.reshape(points, (kde.d, 1))
    factor = np.linalg.cholesky(kde.covariance)
    places, centers = np.linalg.solve(factor, points), np.linalg.solve(factor, kde.dataset)
    square = np.sum((places[:, :, None] - centers[:, None, :]) ** 2, axis=0)
    scale = np.sum(np.log(np.diagonal(factor))) + 0.5 * kde.d * math.log(2 * math.pi)
    found = sys.modules["scipy.special"].logsumexp(-0.5 * square - scale, b=kde.weights, axis=-1)
    return found if logarithm else np.exp(found)


METHODS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("__call__", "evaluate", "pdf"), at_points),
    "logpdf": lambda kde, x: at_points(kde, x, True),
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (pearsonr, wasserstein_distance, energy_distance, boxcox, boxcox_llf)
} | {"gaussian_kde": Density}
