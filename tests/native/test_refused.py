"""What cannot be known while a function is compiled is an error that says so, or right: never another number."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError

TABLE = {"contiguous": np.ascontiguousarray, "zeros": np.zeros, "array": np.array}


def factorized(function):
    def f(a):
        try:
            return np.sum(function(a))
        except np.linalg.LinAlgError:
            return 2.0 * np.sum(a)

    return f


FAILING = {
    "cholesky": (np.linalg.cholesky, -np.eye(3)),
    "inv": (np.linalg.inv, np.zeros((3, 3))),
    "solve": (lambda a: np.linalg.solve(a, np.ones(3)), np.zeros((3, 3))),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_program_that_waits_for_a_factorization_to_fail(name):
    function, a = FAILING[name]
    f = factorized(function)
    assert pb.value_and_grad(f)(a)[0] == f(a)
    for native in (True, False):
        with pytest.raises(TraceError, match=f"whether {name} fails is not known"):
            pb.compile(f, native=native)(a)
        compiled = pb.compile(lambda a: np.sum(function(a)), native=native)
        with pytest.raises(np.linalg.LinAlgError):  # raised at run time, for who waits outside
            compiled(a)


def test_residuals_of_a_matrix_whose_rank_is_not_full():
    full, b = np.array([[2.0, 2.0], [2.0, 5.0], [3.0, 6.0]]), np.array([1.0, 2.0, 4.0])
    short = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])

    def f(a):
        x, residuals, _, _ = np.linalg.lstsq(a, b)
        return np.sum(x) + 10.0 * np.sum(residuals)

    for a in (full, short):
        value, gradient = pb.value_and_grad(f)(a)
        assert value == pytest.approx(f(a), rel=1e-12)
        for native in (True, False):
            found = pb.compile(pb.value_and_grad(f), native=native)(a)
            assert found[0] == pytest.approx(f(a), rel=1e-12)
            np.testing.assert_allclose(found[1], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("f", [lambda n: n << 2, lambda n: n >> 1, lambda n: 1 << abs(n), lambda n: (n > 3) << 1])
def test_shifts(f):
    x = np.arange(6.0)

    def g(x):
        return np.sum(f(x.astype(int)) * x)

    assert pb.value_and_grad(g)(x)[0] == g(x)
    with pytest.raises(TraceError, match="not known while a function is compiled"):
        pb.compile(g)(x)


def test_functions_kept_in_a_container_are_answered():
    def written(x):
        y = TABLE["contiguous"](x.T)
        y.reshape(-1)[0] = 5.0
        return np.sum(y * y)

    def filled(x):
        y = TABLE["zeros"](3)
        y[0] = x[0, 0]
        return np.sum(y)

    def listed(x):
        return np.sum(TABLE["array"]([x[0, 0], x[1, 1]]))

    x = np.arange(1.0, 13).reshape(3, 4)
    for f in (written, filled, listed):
        assert pb.compile(f)(x) == pb.compile(f, native=False)(x) == f(x)
        pb.check_grads(f, x)
        np.testing.assert_array_equal(pb.compile(pb.grad(f))(x), pb.grad(f)(x))
