"""NumPy's random generators inside differentiated functions: what they draw is constant, what they reorder is not."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError, UnsupportedError

X, ROWS = np.array([-1.0, 0.5, 2.0, 0.25]), np.arange(12.0).reshape(4, 3)
WARNS = pytest.mark.filterwarnings("ignore:you are shuffling a 'Traced' object")


def shuffled(x, rng):
    y = x.copy()
    rng.shuffle(y)
    return y


@WARNS
@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x, rng: rng.permutation(x), X),
        (lambda x, rng: rng.permutation(x * 2), ROWS),
        (lambda x, rng: rng.permutation(x, axis=1), ROWS),
        (lambda x, rng: x[rng.permutation(len(x))], ROWS),
        (lambda x, rng: rng.choice(x, 3), X),
        (lambda x, rng: rng.choice(x, 3, replace=False), ROWS),
        (lambda x, rng: x + rng.normal(size=4) * x, X),
        (lambda x, rng: np.where(rng.random(4) < 0.5, x, 2 * x), X),
        (shuffled, X),
    ],
)
def test_the_draws_are_those_of_plain_numpy(f, x):
    value, pull = pb.vjp(lambda x: f(x, np.random.default_rng(5)), x)
    plain = f(x.copy(), np.random.default_rng(5))
    np.testing.assert_array_equal(value, plain)
    weights = np.arange(1.0, plain.size + 1).reshape(plain.shape)
    slope = [np.sum(weights * (f(x + e, np.random.default_rng(5)) - plain))
             for e in np.eye(x.size).reshape(x.size, *x.shape)]  # fmt: skip
    np.testing.assert_allclose(pull(weights)[0].ravel(), slope, rtol=1e-12)


def test_rows_are_not_exchanged_by_compiled_code():
    """It would take a view of a row, write over the row, and write the view back."""
    with pytest.raises(UnsupportedError, match=r"test_generators\.py:\d+ in shuffled.*Take them in another order"), \
            pytest.warns(UserWarning, match="shuffling"):  # fmt: skip
        pb.grad(lambda x: np.sum(shuffled(x, np.random.default_rng(5))))(ROWS)


def test_a_buffer_is_not_shuffled():
    def f(x):
        y = np.zeros(4)
        y[:] = x
        np.random.default_rng(5).shuffle(y)
        return np.sum(y)

    with pytest.raises(TraceError, match=r"test_generators\.py:\d+ in f.*y = y\[rng\.permutation\(len\(y\)\)\]"):
        pb.grad(f)(X)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: np.random.default_rng(0).normal(x[0], 1.0),
        lambda x: RNG.normal(x, 1.0).sum(),
        lambda x: RNG.choice(4, p=np.exp(x) / np.sum(np.exp(x))) * x[0],
        lambda x: np.random.exponential(x[2]),
    ],
)
def test_parameters_have_no_derivative(draw):
    with pytest.raises(TraceError, match=r"test_generators\.py:\d+ in <lambda>"):
        pb.grad(draw)(X)


RNG = np.random.default_rng(0)


def test_the_cure_is_named():
    with pytest.raises(TraceError, match=r"a random generator takes .*loc \+ scale \* rng\.standard_normal"):
        pb.grad(lambda x: RNG.normal(x, 1.0).sum())(X)


def test_shared_memory():
    def f(x):
        y = x.copy()
        even, odd, row = y[::2], y[1::2], y.reshape(2, 2)[0]
        before = np.may_share_memory(even, row), np.shares_memory(even, odd), np.shares_memory(x, y)
        y[0] = 3.0
        assert before == (np.may_share_memory(even, row), np.shares_memory(even, odd), np.shares_memory(x, y))
        assert before == (True, False, False)
        assert not np.shares_memory(y, X)
        return np.sum(y)

    f(X)
    np.testing.assert_array_equal(pb.grad(f)(X), [0.0, 1.0, 1.0, 1.0])
