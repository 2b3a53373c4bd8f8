"""Python's `statistics` on traced values: its values, in every mode, and what it raises."""

from __future__ import annotations

import statistics
import types

import numpy as np
import pytest

import payback as pb
from payback.errors import PaybackError

X, Y = np.array([0.3, 0.5, 0.9, 0.45]), [1.0, 2.0, 4.0, 3.0]
FUNCTIONS = {
    "mean": lambda x: statistics.mean(x),
    "mean of a tuple": lambda x: statistics.mean((x[0], x[1] ** 2, 3.0)),
    "mean of a generator": lambda x: statistics.mean(v * v for v in x),
    "fmean": lambda x: statistics.fmean(list(x)),
    "fmean by weights": lambda x: statistics.fmean(Y, x),
    "geometric_mean": lambda x: statistics.geometric_mean(x),
    "harmonic_mean": lambda x: statistics.harmonic_mean(x),
    "harmonic_mean by weights": lambda x: statistics.harmonic_mean(list(x), weights=Y),
    "median": lambda x: statistics.median(x),
    "variance": lambda x: statistics.variance(x),
    "pvariance": lambda x: statistics.pvariance(x, mu=0.5),
    "stdev": lambda x: statistics.stdev([v * v for v in x]),
    "stdev around its mean": lambda x: statistics.stdev(x, xbar=statistics.mean(x)),
    "pstdev": lambda x: statistics.pstdev(x),
    "covariance": lambda x: statistics.covariance(x, Y),
    "correlation": lambda x: statistics.correlation(Y, x),
    "slope": lambda x: statistics.linear_regression(x, Y).slope,
    "intercept": lambda x: statistics.linear_regression(Y, x).intercept,
    "proportional": lambda x: statistics.linear_regression(x, Y, proportional=True).slope,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_derivatives(name):
    f = FUNCTIONS[name]
    value, gradient = pb.value_and_grad(f)(X)
    np.testing.assert_allclose(value, f(X), rtol=1e-14)
    pb.check_grads(f, X, order=2)
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(np.stack([X, X]))[1], gradient, rtol=1e-12)


@pytest.mark.parametrize("f", [lambda x: statistics.stdev(x[:1]), lambda x: statistics.covariance(x, Y[:2]),
                               lambda x: statistics.fmean(x, Y[:3]), lambda x: statistics.fmean(x, [0.0] * len(X)),
                               lambda x: statistics.harmonic_mean([-v for v in x]),
                               lambda x: statistics.harmonic_mean(x, [-1.0] * 4),
                               lambda x: statistics.geometric_mean([-v for v in x]),
                               lambda x: statistics.correlation(x, [0.1 + 0.0 * v for v in x]),
                               lambda x: statistics.linear_regression([0.1 + 0.0 * v for v in x], x)[0],
                               lambda x: statistics.linear_regression([0.0] * 4, x, proportional=True)[0]])  # fmt: skip
def test_what_it_refuses_is_refused(f):
    with pytest.raises(statistics.StatisticsError) as plain:
        f(X.tolist())
    with pytest.raises(statistics.StatisticsError, match=plain.value.args[0][:20]):
        pb.grad(f)(X)


def test_a_zero_among_the_factors_is_what_this_python_makes_of_it():
    def f(x):
        return statistics.geometric_mean([x[0] * 0.0, x[1], x[2]])

    try:
        plain = f(X.tolist())
    except statistics.StatisticsError:  # before Python 3.13
        with pytest.raises(statistics.StatisticsError):
            pb.grad(f)(X)
    else:
        with np.errstate(all="ignore"):
            assert pb.value_and_grad(f)(X)[0] == plain


def test_what_is_made_of_bare_numbers_raises():
    with pytest.raises(PaybackError, match="would lose the derivative"):
        pb.grad(lambda x: statistics.NormalDist(x[0]).mean)(X)


def test_a_module_of_the_same_name_is_left_alone(monkeypatch):
    own = types.ModuleType("statistics")
    own.mean = lambda x: x[0] * 7
    monkeypatch.setitem(__import__("sys").modules, "statistics", own)
    np.testing.assert_array_equal(pb.grad(lambda x: own.mean(x))(X), [7, 0, 0, 0])
