"""Weights of sums of exponentials: from the exponentials that are there, and from no others."""

import numpy as np
import pytest
import scipy.special

import payback as pb
from payback.native.running.program import simplified
from payback.trace.abstract import trace

X = np.random.default_rng(0).standard_normal((4, 4))
FACTORS = np.arange(16.0).reshape(4, 4)


def highest(x):
    return np.max(x, axis=1, keepdims=True)


def total(x):
    return np.log(np.sum(np.exp(x - highest(x)), axis=1, keepdims=True))


def exponentials(f, x):
    graph = simplified(trace(pb.value_and_grad(lambda x: np.sum(f(x) * FACTORS[: len(x)])), x).graph)
    return [node.op.name for node in graph.nodes].count("exp")


def agree(f, x):
    with np.errstate(all="ignore"):
        g = pb.value_and_grad(lambda x: np.sum(f(x) * FACTORS[: len(x)]))
        for found, wanted in zip(pb.compile(g)(x), g(x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("f", [
    lambda x: scipy.special.logsumexp(x, axis=1, keepdims=True), lambda x: scipy.special.logsumexp(x, axis=0),
    lambda x: scipy.special.logsumexp(x), lambda x: np.exp(scipy.special.log_softmax(x, axis=1)),
    lambda x: np.exp(x - (highest(x) + total(x))), lambda x: np.exp(x - highest(x) - total(x)),
    lambda x: np.exp(x[0] - scipy.special.logsumexp(x[0])),
])  # fmt: skip
def test_exponentials_are_computed_once(f):
    assert exponentials(f, X) == 1
    nothing = X.copy()
    nothing[1], nothing[2, 3] = -np.inf, -np.inf  # a sum of nothing has no weights
    for x in (X, 1e3 * X, nothing):
        agree(f, x)


@pytest.mark.parametrize("f", [
    lambda x: np.exp(x - (highest(x) + total(x)).reshape(1, 4)), lambda x: np.exp(x - highest(x) + total(x)),
    lambda x: np.exp(x - scipy.special.logsumexp(x, axis=1)), lambda x: np.exp(x - total(x)),
    lambda x: np.exp(x - (total(x) + total(x))), lambda x: np.exp(x.T - (highest(x) + total(x))),
    lambda x: np.exp(x - highest(x) - np.log(np.sum(np.exp(x - highest(x)), axis=0))),
    lambda x: np.exp(x - np.log(np.sum(np.exp(x), axis=1, keepdims=True))),  # may overflow
])  # fmt: skip
def test_what_looks_alike_is_none(f):
    assert exponentials(f, X) >= 2
    agree(f, X)


def test_those_that_no_cache_holds_are_computed_again():
    x = np.zeros((800, 800))
    graph = simplified(trace(pb.grad(lambda x: np.sum(scipy.special.logsumexp(x, axis=1))), x).graph)
    assert [node.op.name for node in graph.nodes].count("exp") == 2
