"""Densities of `scipy.stats` of traced values, by functions of `scipy.special`: see `stats.py`."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import listed_or_now
from payback.trace.scipy.bodies import original


def _special(name: str) -> Callable[..., Any]:
    return lambda *args: getattr(sys.modules["scipy.special"], name)(*args)


_gammaln, _betaln, _xlogy, _xlog1py = map(_special, ("gammaln", "betaln", "xlogy", "xlog1py"))


def _always(z: Any, *shapes: Any) -> Any:
    return z == z


class Density(NamedTuple):
    """log(z, *shapes): the logarithm where `there(z, *shapes)` holds; shapes: their names, all of them positive."""

    shapes: tuple[str, ...]
    log: Callable[..., Any]
    there: Callable[..., Any] = _always
    is_count: bool = False


def _positive(z: Any, *shapes: Any) -> Any:
    return z > 0


def _not_negative(z: Any, *shapes: Any) -> Any:
    return z >= 0


def _binomial(k: Any, n: Any, p: Any) -> Any:
    ways = _gammaln(n + 1.0) - _gammaln(k + 1.0) - _gammaln(n - k + 1.0)
    return ways + _xlogy(k, p) + _xlog1py(n - k, -p)


DENSITIES = {
    "gamma": Density(("a",), lambda z, a: _xlogy(a - 1.0, z) - z - _gammaln(a), _positive),
    "beta": Density(("a", "b"), lambda z, a, b: _xlog1py(b - 1.0, -z) + _xlogy(a - 1.0, z) - _betaln(a, b),
                    lambda z, a, b: (z > 0) & (z < 1)),
    "t": Density(("df",), lambda z, df: _gammaln((df + 1.0) / 2) - _gammaln(df / 2) - 0.5 * np.log(df * math.pi)
                 - (df + 1.0) / 2 * np.log1p(z * z / df)),
    "chi2": Density(("df",), lambda z, df: _xlogy(df / 2 - 1.0, z / 2) - z / 2 - _gammaln(df / 2) - math.log(2),
                    _positive),
    "invgamma": Density(("a",), lambda z, a: -(a + 1.0) * np.log(z) - _gammaln(a) - 1.0 / z, _positive),
    "lognorm": Density(("s",), lambda z, s: -0.5 * (np.log(z) / s) ** 2 - np.log(s * z) - 0.5 * math.log(2 * math.pi),
                       _positive),
    "weibull_min": Density(("c",), lambda z, c: np.log(c) + _xlogy(c - 1.0, z) - z**c, _positive),
    "pareto": Density(("b",), lambda z, b: np.log(b) - (b + 1.0) * np.log(z), lambda z, b: z >= 1),
    "expon": Density((), lambda z: -z, _not_negative),
    "halfnorm": Density((), lambda z: 0.5 * math.log(2 / math.pi) - 0.5 * z * z, _not_negative),
    "uniform": Density((), lambda z: 0.0 * z, lambda z: (z >= 0) & (z <= 1)),
    "cauchy": Density((), lambda z: -np.log1p(z * z) - math.log(math.pi)),
    "laplace": Density((), lambda z: -np.abs(z) - math.log(2)),
    "logistic": Density((), lambda z: -z - 2.0 * np.logaddexp(0.0, -z)),  # smooth at 0, as |z| is not
    "poisson": Density(("mu",), lambda k, mu: _xlogy(k, mu) - _gammaln(k + 1.0) - mu, _not_negative, True),
    "binom": Density(("n", "p"), _binomial, lambda k, n, p: (k >= 0) & (k <= n), True),
    "bernoulli": Density(("p",), lambda k, p: _binomial(k, 1.0, p), lambda k, p: (k >= 0) & (k <= 1), True),
    "nbinom": Density(("n", "p"), lambda k, n, p: _gammaln(k + n) - _gammaln(k + 1.0) - _gammaln(n) + n * np.log(p)
                      + _xlog1py(k, -p), _not_negative, True),
    "geom": Density(("p",), lambda k, p: _xlog1py(k - 1.0, -p) + np.log(p), lambda k, p: k >= 1, True),
}  # fmt: skip
_INNER = {"pareto": 2.0, "geom": 1.0}  # a place where the density is not zero; 0.5 or 0 for the others


def _logarithm(name: str, x: Any, given: dict[str, Any]) -> Any:
    """log density of x: −∞ where there is none, NaN for parameters that SciPy does not take."""
    density = DENSITIES[name]
    shapes = [listed_or_now(given[shape]) for shape in density.shapes]
    scale = listed_or_now(given.get("scale", 1.0))
    good = np.where(scale > 0, scale, np.nan)
    z = (listed_or_now(x) - listed_or_now(given.get("loc", 0.0))) / good
    there = density.there(z, *shapes)
    if density.is_count:
        there = there & (np.floor(z) == z)
    inner = _INNER.get(name, 0.0 if density.is_count else 0.5)
    made = density.log(np.where(there, z, inner), *shapes)
    if not density.is_count:
        made = made - np.log(good)
    made = np.where(there, made, -np.inf)
    for shape, value in zip(density.shapes, shapes, strict=True):
        is_share = shape == "p"
        made = np.where((value >= 0) & (value <= 1) if is_share else value > 0, made, np.nan)
    return np.where(np.isnan(z), np.nan, made)


def _answering(name: str, method: str, f: FunctionType) -> Callable[..., Any]:
    density = DENSITIES[name]
    names = (*density.shapes, "loc") if density.is_count else (*density.shapes, "loc", "scale")

    plainly = original(f)

    @functools.wraps(f)
    def answered(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not any_traced((x, args, kwargs)):
            return plainly(self, x, *args, **kwargs)
        given = dict(zip(names, args, strict=False)) | kwargs
        if len(given) != len(args) + len(kwargs) or not set(density.shapes) <= set(given) <= set(names):
            return plainly(self, x, *args, **kwargs)  # which says what is wrong
        made = _logarithm(name, x, given)
        return made if method.startswith("log") else np.exp(made)

    return answered


def _normal(x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
    """multivariate_normal.logpdf, by Cholesky's factor of the covariance."""
    if allow_singular:
        raise UnsupportedError("multivariate_normal of traced values with allow_singular=True", where=here(),
                               why="the density is computed by Cholesky's factor", fix="leave it away")  # fmt: skip
    x, mean, cov = listed_or_now(x), 0.0 if mean is None else listed_or_now(mean), listed_or_now(cov)
    size = max(np.shape(cov)[-1:] + np.shape(mean)[-1:] or (1,))
    if np.ndim(cov) < 2:
        cov = np.eye(size) * cov
    off = (
        np.reshape(x, (*np.shape(x), 1)) if size == 1 and np.ndim(x) < 2 else x
    ) - mean  # of one dimension x are numbers
    factor = np.linalg.cholesky(cov)
    turned = np.linalg.solve(factor, np.reshape(off, (-1, size)).T)
    square = np.reshape(np.sum(turned**2, axis=0), np.shape(off)[:-1])
    return -0.5 * (square + size * math.log(2 * math.pi)) - np.sum(np.log(np.diagonal(factor)))


def _dirichlet(x: Any, alpha: Any) -> Any:
    x, alpha = listed_or_now(x), listed_or_now(alpha)
    if np.shape(x)[0] == np.shape(alpha)[0] - 1:
        x = np.concatenate([x, 1.0 - np.sum(x, axis=0, keepdims=True)])
    terms = np.reshape(alpha - 1.0, (-1,) + (1,) * (np.ndim(x) - 1))
    return np.sum(_xlogy(terms, x), axis=0) + _gammaln(np.sum(alpha)) - np.sum(_gammaln(alpha))


def _multinomial(x: Any, n: Any, p: Any) -> Any:
    """The last probability is what the others leave."""
    x, p = listed_or_now(x), listed_or_now(p)
    p = np.concatenate([p[..., :-1], 1.0 - np.sum(p[..., :-1], axis=-1, keepdims=True)], axis=-1)
    made = _gammaln(n + 1.0) + np.sum(_xlogy(x, p) - _gammaln(x + 1.0), axis=-1)
    return np.where(np.sum(x, axis=-1) == n, made, -np.inf)


def _student(x: Any, loc: Any = None, shape: Any = 1, df: Any = 1, allow_singular: bool = False) -> Any:
    """multivariate_t.logpdf, by Cholesky's factor."""
    x, loc, shape = listed_or_now(x), 0.0 if loc is None else listed_or_now(loc), listed_or_now(shape)
    if allow_singular or np.ndim(shape) < 2:
        raise UnsupportedError("multivariate_t of traced values with this shape or allow_singular=True", where=here(),
                               fix="give a matrix as shape")  # fmt: skip
    n = np.shape(shape)[-1]
    factor = np.linalg.cholesky(shape)
    off = np.reshape(x - loc, (-1, n))
    square = np.reshape(np.sum(np.linalg.solve(factor, off.T) ** 2, axis=0), np.shape(x - loc)[:-1])
    scale = _gammaln((df + n) / 2) - _gammaln(df / 2) - n / 2 * np.log(df * math.pi)
    return scale - np.sum(np.log(np.diagonal(factor))) - (df + n) / 2 * np.log1p(square / df)


def _entropy(mean: Any = None, cov: Any = 1) -> Any:
    cov = np.atleast_2d(listed_or_now(cov))
    return 0.5 * (cov.shape[-1] * (math.log(2 * math.pi) + 1.0) + np.linalg.slogdet(cov)[1])


class Frozen:
    """A distribution of vectors whose traced parameters are given."""

    def __init__(self, name: str, args: Any, kwargs: Any):
        self._name, self._args, self._kwargs = name, args, kwargs

    def logpdf(self, x: Any) -> Any:
        return _OF_VECTORS[self._name](x, *self._args, **self._kwargs)

    def pdf(self, x: Any) -> Any:
        return np.exp(self.logpdf(x))

    logpmf, pmf = logpdf, pdf


def _freezing(name: str, f: FunctionType) -> Callable[..., Any]:
    plainly = original(f)

    @functools.wraps(f)
    def answered(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any_traced((args, kwargs)):
            return plainly(self, *args, **kwargs)
        return Frozen(name, args, {key: value for key, value in kwargs.items() if key != "seed"})

    return answered


_OF_VECTORS = {
    "entropy of multivariate_normal": _entropy, "multivariate_normal": _normal, "dirichlet": _dirichlet,
    "multivariate_t": _student, "multinomial": _multinomial,
}  # fmt: skip


def _of_vectors(name: str, method: str, f: FunctionType) -> Callable[..., Any]:
    plainly = original(f)

    @functools.wraps(f)
    def answered(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any_traced((args, kwargs)):
            return plainly(self, *args, **kwargs)
        made = _OF_VECTORS[name](*args, **kwargs)
        return made if method.startswith("log") else np.exp(made)

    return answered


@functools.cache
def answers() -> dict[type, dict[str, Any]]:
    """The classes of SciPy's distributions, and what stands for their methods while functions are traced."""
    stats = sys.modules["scipy.stats"]
    found: dict[type, dict[str, Any]] = {}
    for name, density in DENSITIES.items():
        kind = type(getattr(stats, name))
        methods = ("logpmf", "pmf") if density.is_count else ("logpdf", "pdf")
        found[kind] = {method: _answering(name, method, getattr(kind, method)) for method in methods}
    for name in (name for name in _OF_VECTORS if hasattr(stats, name)):
        kind = type(getattr(stats, name))
        methods = [method for method in ("logpdf", "pdf", "logpmf", "pmf") if hasattr(kind, method)]
        found[kind] = {method: _of_vectors(name, method, getattr(kind, method)) for method in methods}
        found[kind]["__call__"] = _freezing(name, kind.__call__)
    normal = type(stats.multivariate_normal)
    found[normal]["entropy"] = _of_vectors("entropy of multivariate_normal", "log", normal.entropy)
    return found
