"""Python's `statistics` on traced values: it makes exact fractions of bare numbers, so the shim answers for it.

Its functions that only sort and compute, such as `quantiles`, need no answer.  Sums are those of NumPy.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from payback.trace.array import plain
from payback.trace.numpy.arguments import array_of, known


def _error(text: str) -> Exception:
    return sys.modules["statistics"].StatisticsError(text)  # imported by who calls this; 8 ms to import


def _items(data: Any, name: str, least: int = 1) -> Any:
    items = array_of(list(data))
    if items.shape[0] < least:
        raise _error(f"{name} requires at least {'two data points' if least > 1 else 'one data point'}")
    return items


def _refuse(wrong: Any, x: Any, text: str) -> None:
    """As Python does, where the numbers are known: it raises for what NumPy makes a number or NaN of."""
    if known(x) and np.any(wrong(plain(x))):
        raise _error(text)


def _weighted(items: Any, weights: Any) -> tuple[Any, Any]:
    weights = array_of(list(weights))
    if weights.shape != items.shape:
        raise _error("data and weights must be the same length")
    return items, weights


def _plain(data: Any) -> list[float]:
    return [float(plain(entry)) for entry in data]


def mean(data: Any) -> Any:
    return np.mean(_items(data, "mean"))


def median(data: Any) -> Any:
    return np.median(_items(data, "median"))


def fmean(data: Any, weights: Any = None) -> Any:
    items = _items(data, "fmean")
    if weights is None:
        return np.mean(items)
    items, weights = _weighted(items, weights)
    _refuse(lambda total: total == 0, np.sum(weights), "sum of weights must be non-zero")
    return np.sum(items * weights) / np.sum(weights)


def geometric_mean(data: Any) -> Any:
    items = _items(data, "geometric_mean")
    if sys.version_info >= (3, 13):  # where a zero makes zero
        _refuse(lambda x: x < 0, items, "No negative inputs allowed")
    else:
        _refuse(lambda x: x <= 0, items, "geometric mean requires a non-empty dataset containing positive numbers")
    return np.exp(np.mean(np.log(items)))


def harmonic_mean(data: Any, weights: Any = None) -> Any:
    items = _items(data, "harmonic_mean")
    items, weights = _weighted(items, np.ones(items.shape) if weights is None else weights)
    _refuse(lambda x: x < 0, items, "harmonic mean does not support negative values")
    _refuse(lambda x: x < 0, weights, "harmonic mean does not support negative values")
    return np.sum(weights) / np.sum(weights / items)


def _spread(name: str, lost: int) -> Any:
    """The sum of squares around the mean, or around a center that is given, over n − lost."""

    def variance(data: Any, center: Any = None) -> Any:
        items = _items(data, name, 1 + lost)
        return np.sum((items - (np.mean(items) if center is None else center)) ** 2) / (items.shape[0] - lost)

    return variance


def _sample(name: str) -> Any:
    around = _spread(name, 1)
    return lambda data, xbar=None: around(data, xbar)


def _population(name: str) -> Any:
    around = _spread(name, 0)
    return lambda data, mu=None: around(data, mu)


def _root(variance: Any) -> Any:
    return lambda *args, **kwargs: np.sqrt(variance(*args, **kwargs))


def _pairs(x: Any, y: Any, name: str) -> tuple[Any, Any]:
    x, y = array_of(list(x)), array_of(list(y))
    if x.shape != y.shape:
        raise _error(f"{name} requires that both inputs have same number of data points")
    if x.shape[0] < 2:
        raise _error(f"{name} requires at least two data points")
    return x - np.mean(x), y - np.mean(y)


def _constant(x: Any) -> Any:
    return np.all(x == x[0])


def covariance(x: Any, y: Any, /) -> Any:
    x, y = _pairs(x, y, "covariance")
    return np.sum(x * y) / (x.shape[0] - 1)


def linear_regression(x: Any, y: Any, /, *, proportional: bool = False) -> Any:
    if proportional:
        _pairs(x, y, "linear regression")
        x, y = array_of(list(x)), array_of(list(y))
        _refuse(lambda x: np.all(x == 0), x, "x is constant")
        return sys.modules["statistics"].LinearRegression(np.sum(x * y) / np.sum(x * x), 0.0)
    from_x, from_y = _pairs(x, y, "linear regression")
    _refuse(_constant, array_of(list(x)), "x is constant")
    slope = np.sum(from_x * from_y) / np.sum(from_x * from_x)
    return sys.modules["statistics"].LinearRegression(
        slope, np.mean(array_of(list(y))) - slope * np.mean(array_of(list(x)))
    )


def correlation(x: Any, y: Any, /, *, method: str = "linear") -> Any:
    if method != "linear":  # of ranks, which are whole numbers: nothing varies
        return sys.modules["statistics"].correlation(_plain(x), _plain(y), method=method)
    for data in (x, y) if len(x) == len(y) > 1 else ():
        _refuse(_constant, array_of(list(data)), "at least one of the inputs is constant")
    x, y = _pairs(x, y, "correlation")
    return np.sum(x * y) / np.sqrt(np.sum(x * x) * np.sum(y * y))


FUNCTIONS = {
    "mean": mean, "fmean": fmean, "geometric_mean": geometric_mean, "harmonic_mean": harmonic_mean, "median": median,
    "variance": _sample("variance"), "stdev": _root(_sample("stdev")),
    "pvariance": _population("pvariance"), "pstdev": _root(_population("pstdev")),
    "covariance": covariance, "correlation": correlation, "linear_regression": linear_regression,
}  # fmt: skip
