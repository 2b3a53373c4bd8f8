"""Functions that are right where a careless rule gives NaN or a wrong number, without a word from the user.

Each is differentiated eagerly (`variable`, `backward`), by `grad`, in a graph without numbers, forward, and twice.
"""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import MutationError
from payback.trace.abstract import trace

INF = np.inf
X = np.array([0.0, -1.0, 2.0, 0.5])


def softplus(x):
    return np.logaddexp(x, 0.0)


def masked_assignment(x):
    out = np.zeros(x.shape)
    out[X > 0] = np.log(x)[X > 0]
    return out


def masked_update(x):
    y = x * 1.0
    y[X > 0] = y[X > 0] ** 0.5
    y[X <= 0] *= 0.0
    return y


def logsumexp(x):
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def softmax(x, allowed):
    scores = np.where(allowed, x, -INF)
    weights = np.exp(scores - np.max(scores))
    return weights / np.sum(weights)


def softmax_exact(x, allowed):
    p = np.where(allowed, np.exp(np.where(allowed, x, 0.0)), 0.0)
    return p / p.sum()


ALLOWED = np.array([True, False, True, True])
P = softmax_exact(X, ALLOWED)
K = np.array([1.0, 2.0, -1.0, 0.5])  # what the outputs count
SLOPE = P * (K - (P * K).sum())
POSITIVE = (X > 0) * 1.0
SAFE = np.where(X > 0, X, 1.0)
SX = np.where(X == 0, 1.0, X)
NORM = np.sqrt((X * X).sum())


# ruff: noqa: E501 (a table of formulas)
# name: (function to a scalar, where, its gradient, the gradient of the gradient's sum)
CASES = {
    "log where positive": (lambda x: np.where(x > 0, np.log(x), 0.0).sum(), X, POSITIVE / SAFE, -POSITIVE / SAFE**2),
    "sqrt where positive": (lambda x: np.where(x > 0, np.sqrt(x), 0.0).sum(), X, POSITIVE * 0.5 / np.sqrt(SAFE),
                            -POSITIVE * 0.25 / SAFE**1.5),
    "sin x / x": (lambda x: np.where(x != 0, np.sin(x) / x, 1.0).sum(), X,
                  np.where(X == 0, 0, (SX * np.cos(SX) - np.sin(SX)) / SX**2),
                  np.where(X == 0, 0, (2 * np.sin(SX) - 2 * SX * np.cos(SX) - SX**2 * np.sin(SX)) / SX**3)),
    "norm with zeros": (np.linalg.norm, X, X / NORM, 1 / NORM - X * X.sum() / NORM**3),
    "norm of nothing but zeros": (np.linalg.norm, np.zeros(3), np.zeros(3), np.zeros(3)),
    "norms of rows": (lambda x: np.linalg.norm(x.reshape(2, 2), axis=1).sum(), np.array([0.0, 0.0, 3.0, 4.0]),
                      np.array([0, 0, 0.6, 0.8]), np.array([0, 0, 0.2 - 3 * 7 / 125, 0.2 - 4 * 7 / 125])),
    "hypot at zero": (lambda x: np.hypot(x[:2], x[2:]).sum(), np.array([0.0, 3.0, 0.0, 4.0]), np.array([0, 0.6, 0, 0.8]),
                      np.array([0, 0.2 - 3 * 7 / 125, 0, 0.2 - 4 * 7 / 125])),
    "logsumexp of 1000": (pb.nn.logsumexp, np.array([1000.0, 1000.0, -1000.0]), np.array([0.5, 0.5, 0]), np.zeros(3)),
    "logsumexp of -inf": (pb.nn.logsumexp, np.array([-INF, 3.0, -INF]), np.array([0.0, 1.0, 0.0]), np.zeros(3)),
    "logsumexp of nothing but -inf": (pb.nn.logsumexp, np.array([-INF, -INF]), np.zeros(2), np.zeros(2)),
    "logsumexp in NumPy": (logsumexp, np.array([1000.0, 1000.0, -1000.0]), np.array([0.5, 0.5, 0]), np.zeros(3)),
    "logsumexp in NumPy of -inf": (logsumexp, np.array([1.0, -INF, 1.0]), np.array([0.5, 0, 0.5]), np.zeros(3)),
    "logaddexp": (lambda x: np.logaddexp(x, [-INF, 0.0, 1000.0]).sum(), np.array([2.0, -1000.0, 1000.0]),
                  np.array([1, 0, 0.5]), np.array([0, 0, 0.25])),
    "x ** 0": (lambda x: (x**0).sum(), X, np.zeros(4), np.zeros(4)),
    "x ** 0.0": (lambda x: np.power(x, 0.0).sum(), X, np.zeros(4), np.zeros(4)),
    "x ** 1": (lambda x: (x**1).sum(), X, np.ones(4), np.zeros(4)),
    "x ** 2": (lambda x: (x**2).sum(), X, 2 * X, 2 * np.ones(4)),
    "x ** 3.0": (lambda x: (x**3.0).sum(), X, 3 * X**2, 6 * X),
    "0 ** y": (lambda y: (0.0**y).sum(), np.array([0.5, 2.0]), np.zeros(2), np.zeros(2)),
    "x ** y where positive": (lambda x: np.where(x > 0, x**x, 0.0).sum(), X,
                              POSITIVE * SAFE**SAFE * (np.log(SAFE) + 1),
                              POSITIVE * SAFE**SAFE * ((np.log(SAFE) + 1) ** 2 + 1 / SAFE)),
    "softplus far out": (lambda x: softplus(x).sum(), np.array([1000.0, -1000.0, 0.0]), np.array([1.0, 0.0, 0.5]),
                         np.array([0.0, 0.0, 0.25])),
    "payback's softplus": (lambda x: pb.nn.softplus(x).sum(), np.array([1000.0, -1000.0, 0.0]), np.array([1.0, 0.0, 0.5]),
                           np.array([0.0, 0.0, 0.25])),
    "softplus by max and log1p": (lambda x: (np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))).sum(),
                                  np.array([1000.0, -1000.0, 2.0]), np.array([1.0, 0.0, 1 / (1 + np.exp(-2.0))]),
                                  np.array([0.0, 0.0, np.exp(-2.0) / (1 + np.exp(-2.0)) ** 2])),
    "x log x": (lambda x: np.where(x > 0, x * np.log(x), 0.0).sum(), X, POSITIVE * (np.log(SAFE) + 1), POSITIVE / SAFE),
    "k log x, xlogy by hand": (lambda x: np.where(K > 0, K * np.log(np.where(K > 0, x, 1.0)), 0.0).sum(), np.array([1.0, 2.0, 0.0, 4.0]),
                               np.array([1.0, 1.0, 0.0, 0.125]), np.array([-1.0, -0.5, 0.0, -0.03125])),
    "masked assignment": (lambda x: masked_assignment(x).sum(), X, POSITIVE / SAFE, -POSITIVE / SAFE**2),
    "masked update": (lambda x: masked_update(x).sum(), X, POSITIVE * 0.5 / np.sqrt(SAFE), -POSITIVE * 0.25 / SAFE**1.5),
    "softmax with masks": (lambda x: (softmax(x, ALLOWED) * K).sum(), X, SLOPE, None),
    "payback's softmax with masks": (lambda x: (pb.nn.softmax(np.where(ALLOWED, x, -INF)) * K).sum(), X, SLOPE, None),
    "log of a masked softmax": (lambda x: np.log(softmax(x, ALLOWED))[2], X, (np.arange(4) == 2) - P, -P * 0),
    "std of constant data": (np.std, np.full(4, 2.5), np.zeros(4), np.zeros(4)),
    "std of constant rows": (lambda x: np.std(x.reshape(2, 2), axis=1).sum(), np.array([1.0, 1.0, 1.0, 3.0]),
                             np.array([0, 0, -0.5, 0.5]), np.zeros(4)),
    "var of constant data": (np.var, np.full(4, 2.5), np.zeros(4), np.zeros(4)),
    "abs at zero": (lambda x: np.abs(x).sum(), X, np.sign(X), np.zeros(4)),
    "sqrt of a sum of squares, guarded": (lambda x: np.where(np.sum(x * x) > 0, np.sqrt(np.sum(x * x)), 0.0), np.zeros(3),
                                          np.zeros(3), np.zeros(3)),
    "product with zeros": (np.prod, np.array([2.0, 0.0, 3.0]), np.array([0.0, 6.0, 0.0]), np.array([3.0, 5.0, 2.0])),
    "where twice": (lambda x: np.where(x > 0, np.where(x > 1, np.log(x - 1), np.sqrt(x)), 0.0).sum(),
                    np.array([-1.0, 0.0, 2.0, 0.25]), np.array([0, 0, 1.0, 1.0]), np.array([0, 0, -1.0, -2.0])),
    "log1p and expm1 of tiny numbers": (lambda x: np.log1p(x).sum() + np.expm1(x).sum(), np.array([1e-300, -1e-20]),
                                        np.array([2.0, 2.0]), np.array([0.0, 0.0])),
}  # fmt: skip
NAMES = [*CASES]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_eager(name):
    f, x, first, _ = CASES[name]
    if name == "masked assignment":  # nothing watches np.zeros here: refused, not computed without its derivative
        with np.errstate(all="ignore"), pytest.raises(MutationError):
            f(pb.variable(x))
        return
    with np.errstate(all="ignore"):
        v = pb.variable(x)
        f(v).backward()
    close(np.zeros(x.shape) if v.grad is None else v.grad, first)


@pytest.mark.parametrize("name", NAMES)
def test_grad(name):
    f, x, first, _ = CASES[name]
    with np.errstate(all="ignore"):
        value, found = pb.value_and_grad(f)(x)
        close(found, first)
        assert value == f(x) or (np.isneginf(value) and np.isneginf(pb.nn.logsumexp(x).value))


@pytest.mark.parametrize("name", NAMES)
def test_without_numbers(name):
    f, x, first, _ = CASES[name]
    with np.errstate(all="ignore"):
        close(trace(pb.value_and_grad(f), x)(x)[1], first)


@pytest.mark.parametrize("name", NAMES)
def test_forward(name):
    f, x, first, _ = CASES[name]
    with np.errstate(all="ignore"):
        for i in range(x.size):
            close(pb.jvp(f, (x,), (np.eye(x.size)[i],))[1], np.asarray(first)[i])


@pytest.mark.parametrize("name", NAMES)
def test_second_order(name):
    """Reverse over reverse, eager and without numbers, and forward over reverse."""
    f, x, _, second = CASES[name]
    slopes = lambda z: np.sum(pb.grad(f)(z))  # noqa: E731
    with np.errstate(all="ignore"):
        found = pb.grad(slopes)(x)
        if second is None:  # the probability of what is not allowed stays zero; elsewhere by differences
            shift = np.where(ALLOWED, 1e-5, 0.0)
            second = [(pb.grad(f)(x + shift * e).sum() - pb.grad(f)(x - shift * e).sum()) / 2e-5 for e in np.eye(4)]
            np.testing.assert_allclose(found, second, rtol=1e-7, atol=1e-9)
            assert found[1] == 0.0
        else:
            close(found, second)
        close(trace(pb.grad(slopes), x)(x), found)
        tangents = [pb.jvp(slopes, (x,), (e,))[1] for e in np.eye(x.size)]
        close(tangents, found)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.sqrt(np.sum(x * x)), np.zeros(2)),
        (lambda x: (np.eye(2) @ np.log(x) * np.array([1.0, 0.0])).sum(), np.array([1.0, 0.0])),
        (lambda x: (0.0 * np.log(x)).sum(), np.array([0.0, 1.0])),
        (lambda x: np.log(np.exp(x) + 1).sum(), np.array([1000.0, 0.0])),
    ],
)
def test_what_cannot_be_saved_is_nan_and_not_a_wrong_number(f, x):
    with np.errstate(all="ignore"):
        assert np.isnan(pb.grad(f)(x)).any()
