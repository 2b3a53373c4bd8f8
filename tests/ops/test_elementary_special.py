"""Ends, kinks and infinities of the elementary functions: the documented convention, or IEEE's answer."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb

INF = np.inf


def slopes(f, *args):
    with np.errstate(all="ignore"):
        return pb.grad(f, argnums=tuple(range(len(args))))(*args)


@pytest.mark.parametrize(
    ("f", "args", "expected"),
    [
        (np.hypot, (0.0, 0.0), (0.0, 0.0)),
        (np.hypot, (3e200, 4e200), (0.6, 0.8)),
        (np.logaddexp, (-INF, -INF), (0.5, 0.5)),
        (np.logaddexp, (-INF, 1.0), (0.0, 1.0)),
        (np.logaddexp, (1000.0, 1000.0), (0.5, 0.5)),
        (np.logaddexp, (1e4, -1e4), (1.0, 0.0)),
        (np.arctan, (INF,), (0.0,)),
        (np.arctan, (1e200,), (0.0,)),
        (np.arctan2, (1e200, 1e-200), (1e-600, -1e-200)),
        (np.arctan2, (0.0, -2.0), (-0.5, 0.0)),
        (np.arcsin, (1.0,), (INF,)),
        (np.arccos, (-1.0,), (-INF,)),
        (np.arctanh, (1.0,), (INF,)),
        (np.arccosh, (1.0,), (INF,)),
        (np.arccosh, (1e200,), (1e-200,)),
        (np.arcsinh, (1e200,), (1e-200,)),
        (np.cbrt, (0.0,), (INF,)),
        (np.cbrt, (-8.0,), (1 / 12,)),
        (np.log2, (0.0,), (INF,)),
        (np.exp2, (-2000.0,), (0.0,)),
        (np.remainder, (-7.5, 2.0), (1.0, 4.0)),
        (np.remainder, (7.5, -2.0), (1.0, 4.0)),
    ],
)
def test_first_derivatives(f, args, expected):
    np.testing.assert_allclose(slopes(f, *args), expected, rtol=1e-15)


@pytest.mark.parametrize("f", [np.floor, np.ceil, np.trunc, np.rint, lambda x: x // 2.0])
def test_steps_have_no_path(f):
    """A structural zero, told apart from a numeric one: no sweep comes by."""
    x = pb.variable(1.75)
    y = f(x) + 0.0 * x
    y.backward()
    assert x.grad == 0.0
    z = pb.variable(1.75)
    f(z).backward()
    assert z.grad is None
    assert pb.grad(f)(1.75) == 0.0


def test_masks_sink_below_infinite_partials():
    x = np.array([0.0, 1.0, 8.0])
    for f, slope in ((np.cbrt, [0, 1 / 3, 1 / 12]), (np.log2, [0, 1 / np.log(2), 0.125 / np.log(2)])):
        with np.errstate(all="ignore"):
            found = pb.grad(lambda x, f=f: np.where(x > 0, f(x), 0.0).sum())(x)
            second = pb.grad(lambda x, f=f: pb.grad(lambda x: np.where(x > 0, f(x), 0.0).sum())(x).sum())(x)
        np.testing.assert_allclose(found, slope, rtol=1e-15)
        assert np.isfinite(second).all()


def test_the_length_of_a_vector_that_has_zeros():
    assert pb.grad(lambda a: np.hypot(np.hypot(a, 0.0), 2.0))(0.0) == 0.0
    assert pb.hessian(lambda v: np.hypot(v[0], v[1]))(np.array([3.0, 4.0])) == pytest.approx(
        np.array([[16.0, -12.0], [-12.0, 9.0]]) / 125
    )


def test_operators():
    x = pb.variable(-7.5)
    (x % 2.0).backward()
    assert x.grad == 1.0
    y = pb.variable(2.0)
    (7.5 % y).backward()
    assert y.grad == -3.0
    assert (pb.variable(7.5) // 2).value == 3.0
    with np.errstate(all="ignore"):
        assert np.isnan((pb.variable(1.0) % 0.0).value)
        assert (pb.variable(1.0) // 0.0).value == INF
