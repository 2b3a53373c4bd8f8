"""A branch that is not taken pays nothing, even where its own derivative is infinite: first and second order.

The truth of every case is known in closed form; each is run on values, on a graph (under another derivative), on
arrays and on scalars.
"""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb

X = np.array([-1.0, 0.0, 2.0])
INVERSE = np.array([0.0, 0.0, 0.5])  # of log x where x > 0
SECOND = np.array([0.0, 0.0, -0.25])
ROOT, ROOT2 = np.array([0, 0, 0.5 / np.sqrt(2.0)]), np.array([0, 0, -0.25 * 2.0**-1.5])

HALF = np.array([0.5, 0, 0])


def log_part(x):
    return np.where(x > 0, np.log(x), 0.0)


def outer_product(x):
    return np.where(x[:, None] > 0, np.log(x)[:, None] * np.ones(2), 0.0) / 2


CASES = {
    "log": (log_part, INVERSE, SECOND),
    "log, the other way round": (lambda x: np.where(x <= 0, 0.0, np.log(x)), INVERSE, SECOND),
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), ROOT, ROOT2),
    "power": (lambda x: np.where(x > 0, x**0.5, 0.0), ROOT, ROOT2),
    "inverse": (lambda x: np.where(x > 0, 1 / x, 0.0), -(INVERSE**2), 2 * INVERSE**3),
    "nested": (
        lambda x: np.where(x > 0, np.where(x > 1, np.log(x), 7.0), np.where(x > -5, 0.0, np.sqrt(x))),
        INVERSE,
        SECOND,
    ),
    "both branches": (
        lambda x: np.where(x > 0, np.log(x), np.where(x < 0, np.sqrt(-x), 0.0)),
        INVERSE - HALF,
        SECOND - HALF / 2,
    ),
    "chain": (lambda x: np.where(x > 0, np.log(np.sqrt(x)), 0.0), INVERSE / 2, SECOND / 2),
    "masked sum": (lambda x: np.where(x > 0, np.log(x), 0.0).sum(keepdims=True), INVERSE, SECOND),
    "masked mean": (lambda x: np.where(x > 0, np.log(x), 0.0).mean(keepdims=True) * 3, INVERSE, SECOND),
    "reshape": (lambda x: np.where((x > 0).reshape(3, 1), np.log(x).reshape(3, 1), 0.0), INVERSE, SECOND),
    "transpose": (lambda x: np.where((x > 0).reshape(3, 1).T, np.log(x).reshape(3, 1).T, 0.0), INVERSE, SECOND),
    "index": (lambda x: np.where(x[::-1] > 0, np.log(x)[::-1], 0.0), INVERSE, SECOND),
    "index that skips": (lambda x: np.log(x)[2:], INVERSE, SECOND),
    "mask index": (lambda x: np.log(x)[x > 0], INVERSE, SECOND),
    "fancy index": (lambda x: np.log(x)[np.array([2, 2])], 2 * INVERSE, 2 * SECOND),
    "entry": (lambda x: np.log(x)[2], INVERSE, SECOND),
    "index then where": (lambda x: np.where(x[[0, 2]] > 0, np.log(x)[[0, 2]], 0), INVERSE, SECOND),
    "concatenate": (
        lambda x: np.where(np.concatenate([x, x]) > 0, np.concatenate([np.log(x), np.sqrt(x)]), 0.0),
        INVERSE + ROOT,
        SECOND + ROOT2,
    ),
    "stack": (lambda x: np.where(np.stack([x, x]) > 0, np.stack([np.log(x), np.log(x)]), 0.0), 2 * INVERSE, 2 * SECOND),
    "broadcast": (outer_product, INVERSE, SECOND),
    "broadcast_to": (lambda x: np.where(x > 0, np.broadcast_to(np.log(x), (2, 3)), 0.0), 2 * INVERSE, 2 * SECOND),
    "sum before": (lambda x: np.where(x > 0, np.log(np.sum(x[:, None], axis=1)), 0.0), INVERSE, SECOND),
    "max before": (lambda x: np.where(x > 0, np.log(np.max(x[:, None], axis=1)), 0.0), INVERSE, SECOND),
    "max after": (lambda x: np.max(np.where(x > 0, np.log(x), -1.0)), INVERSE, SECOND),
    "relu": (lambda x: pb.nn.relu(np.where(x > 0, np.log(x), 0.0)), INVERSE, SECOND),
    "maximum": (lambda x: np.maximum(np.where(x > 0, np.log(x), -1.0), -0.5), INVERSE, SECOND),
    "clip": (lambda x: np.where(x > 0, np.log(np.clip(x, 0.0, 9.0)), 0.0), INVERSE, SECOND),
    "relu inside": (lambda x: np.where(x > 0, np.log(pb.nn.relu(x)), 0.0), INVERSE, SECOND),
    "cast": (lambda x: np.where(x > 0, np.log(x.astype(np.float64)), 0.0), INVERSE, SECOND),
    "two masked payments": (
        lambda x: np.where(x > 0, np.log(x), 0.0) + np.where(x > 1, np.log(x), 0.0),
        2 * INVERSE,
        2 * SECOND,
    ),
    "one root, two users": (
        lambda x: (lambda y: np.where(x > 0, y, 0.0) + np.where(x > 1, y, 0.0))(np.log(x)),
        2 * INVERSE,
        2 * SECOND,
    ),
    "scalar condition": (lambda x: np.where(np.True_, log_part(x), np.log(x)), INVERSE, SECOND),
}


@pytest.mark.parametrize("name", CASES)
def test_first_order(name):
    call, first, _ = CASES[name]
    with np.errstate(all="ignore"):
        assert np.allclose(pb.grad(lambda x: np.sum(call(x)))(X), first, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_on_a_graph_and_second_order(name):
    call, first, second = CASES[name]

    def slopes(x):
        return pb.grad(lambda y: np.sum(call(y)))(x)

    with np.errstate(all="ignore"):
        value, pull = pb.vjp(slopes, X)
        assert np.allclose(value, first, rtol=1e-14, atol=0)
        assert np.allclose(pull(np.ones(3))[0], second, rtol=1e-14, atol=0)


@pytest.mark.parametrize("make", [float, np.float64, np.float32, np.array])
def test_scalars(make):
    with np.errstate(all="ignore"):
        for x, first, second in [(0.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (2.0, 0.5, -0.25)]:
            f = lambda z: np.where(z > 0, np.log(z), 0.0)  # noqa: E731
            assert pb.grad(f)(make(x)) == first
            assert pb.grad(pb.grad(f))(make(x)) == second


def sinc(x):
    return np.where(x != 0, np.sin(x) / x, 1.0)


def test_sin_x_over_x():
    with np.errstate(all="ignore"):
        assert (pb.grad(lambda x: sinc(x).sum())(np.array([0.0, -0.0])) == 0).all()
        x = np.array([0.5, -2.0, 0.0])
        expected = [(np.cos(t) * t - np.sin(t)) / t**2 if t else 0.0 for t in x]
        assert np.allclose(pb.grad(lambda z: sinc(z).sum())(x), expected, rtol=1e-14)
        assert pb.grad(pb.grad(sinc))(0.0) == 0.0  # of the constant branch, which is taken at 0


def test_a_condition_smaller_than_the_result():
    x = np.array([[1.0, 3.0], [2.0, 0.0], [0.0, 5.0]])
    for condition in (np.array([True]), np.array([True, False, True]), np.True_):
        found = pb.grad(lambda z, c=condition: np.where(c, np.max(z, axis=1), 0.0).sum())(x)
        assert (found == np.array([[0, 1], [1, 0], [0, 1]]) * np.broadcast_to(condition, 3)[:, None]).all()


def test_a_scalar_masked_by_an_array():
    """All of the places where a scalar was broadcast to are masked: it is owed nothing, not 0·∞."""
    with np.errstate(all="ignore"):
        assert pb.grad(lambda s: np.where(np.array([False, False]), np.log(s), 0.0).sum())(0.0) == 0.0
        assert pb.grad(lambda s: np.where(np.array([False, True]), np.log(s), 0.0).sum())(2.0) == 0.5
        assert pb.grad(lambda s: np.where(np.zeros((2, 0), bool), np.log(s), 0.0).sum())(0.0) == 0.0


def test_after_a_contraction_the_mask_is_lost():
    """Documented in DESIGN.md: what went into a product and a sum over it is not told apart any more.  NaN, never 0."""
    with np.errstate(all="ignore"):
        found = pb.grad(lambda x: (np.where(np.array([False, False, False]), np.eye(3) @ np.log(x), 0.0)).sum())(X)
    assert np.isnan(found[1])


def test_a_real_infinity_stays():
    with np.errstate(all="ignore"):
        assert pb.grad(lambda x: np.where(x >= 0, np.sqrt(x), 0.0))(0.0) == np.inf
        assert np.isnan(pb.grad(lambda x: 0.0 * np.log(x))(0.0))


@pytest.mark.parametrize("read", [slice(None, 3), np.array([0, 2, 1]), (np.arange(4), np.array([0, 0, 0, 0]))])
def test_reads_that_leave_entries_out_keep_them_zero(read):
    """Some entries of √x at 0 are never read, of other rows all are: what is unread stays 0, and nothing is NaN."""
    x = np.where(np.eye(4), 0.0, 4.0)
    y = np.array(x)
    y[read] = 1.0  # what is read has a finite derivative
    found = pb.grad(lambda x: np.sum(np.sqrt(x)[read]))(y)
    expected = np.zeros_like(y)
    expected[read] = 0.5
    np.testing.assert_array_equal(found, expected)
    whole = pb.grad(lambda x: np.sum(np.sqrt(x)[:2]) + np.sum(np.sqrt(x)[2:]))(x + 4.0)
    np.testing.assert_array_equal(whole, 0.5 / np.sqrt(x + 4.0))
