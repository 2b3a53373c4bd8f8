"""Activations: their values against mpmath, where NumPy overflows too, and their derivatives."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import amount
import payback as pb


def _turn(x):
    return mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)


EXACT = {
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x / (1 + mpmath.exp(-2 * _turn(x))),
    "leaky_relu": lambda x: x if x > 0 else mpmath.mpf(0.01) * x,
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    "identity": lambda x: x,
}
SLOPE = {
    "relu": lambda x: mpmath.mpf(x > 0),
    "tanh": lambda x: 1 - mpmath.tanh(x) ** 2,
    "sigmoid": lambda x: mpmath.exp(-x) / (1 + mpmath.exp(-x)) ** 2,
    "softplus": lambda x: 1 / (1 + mpmath.exp(-x)),
    "silu": lambda x: (1 + (1 + x) * mpmath.exp(-x)) / (1 + mpmath.exp(-x)) ** 2,
    "gelu": lambda x: (1 + mpmath.tanh(_turn(x))) / 2 + x / 2 * mpmath.sech(_turn(x)) ** 2 * mpmath.diff(_turn, x),
    "leaky_relu": lambda x: mpmath.mpf(1 if x > 0 else 0.01),
    "elu": lambda x: mpmath.mpf(1) if x > 0 else mpmath.exp(x),
    "identity": lambda x: mpmath.mpf(1),
}
POINTS = [-800.0, -90.0, -20.0, -1.5, -1e-3, -1e-12, 1e-12, 1e-3, 0.7, 3.0, 20.0, 90.0, 800.0]


def exact(functions, name, points):
    with mpmath.workdps(60):
        return np.array([float(functions[name](mpmath.mpf(float(x)))) for x in points])


def test_these_are_all():
    assert set(pb.nn.ACTIVATIONS) == set(EXACT)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values(name, dtype):
    x = np.array(POINTS, dtype)
    found = pb.nn.ACTIVATIONS[name](x)
    assert found.dtype == dtype
    precision = np.finfo(dtype)
    steep = [1 + 2 * abs(float(_turn(a))) if name == "gelu" and a < 0 else 1.0 for a in x]  # exp of a rounded number
    np.testing.assert_array_less(
        abs(found - exact(EXACT, name, x)) - precision.tiny, 8 * precision.eps * np.multiply(steep, abs(found)) + 1e-320
    )


@pytest.mark.parametrize("name", EXACT)
def test_slopes(name):
    slope = pb.grad(lambda x: pb.nn.ACTIVATIONS[name](x).sum())(np.array(POINTS))
    np.testing.assert_allclose(slope, exact(SLOPE, name, POINTS), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", EXACT)
def test_second_derivatives(name):
    pb.check_grads(pb.nn.ACTIVATIONS[name], np.array([[-3.0, -0.4], [0.6, 2.0]]))


@pytest.mark.parametrize("name", EXACT)
def test_slopes_at_0(name):
    """Of one that is not smooth there, what its description says."""
    exact_slope = float(SLOPE[name](mpmath.mpf(0)))
    for x in (0.0, np.zeros(3), np.zeros(3, np.float32), np.array(-0.0)):
        f = lambda x: np.sum(pb.nn.ACTIVATIONS[name](x))  # noqa: E731
        for slope in (pb.grad(f), pb.compile(pb.grad(f))):
            np.testing.assert_allclose(slope(x), exact_slope, rtol=1e-6)
    assert pb.grad(lambda x: pb.nn.elu(x, 0.7))(0.0) == 0.7


@pytest.mark.parametrize("name", EXACT)
def test_numbers_and_lists_too(name):
    f = pb.nn.ACTIVATIONS[name]
    assert float(f(0.5)) == pytest.approx(float(exact(EXACT, name, [0.5])[0]))
    assert np.asarray(f([0.5])).tolist() == pytest.approx([float(f(0.5))])


ROWS = np.array([[1.0, 2.0, -1.0], [1000.0, 999.0, 0.0], [-1000.0, -1000.0, -1000.0], [-np.inf, 0.0, 0.0]])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis):
    rows = ROWS[:3]
    with mpmath.workdps(60):
        powers = np.array([[mpmath.exp(x) for x in row] for row in rows])
        expected = (powers / powers.sum(axis=axis, keepdims=True)).astype(float)
    np.testing.assert_allclose(pb.nn.softmax(rows, axis), expected, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(pb.nn.softmax(rows, axis).sum(axis=axis), 1.0, rtol=1e-12)


def test_log_softmax():
    with mpmath.workdps(60):
        expected = [[float(x - mpmath.log(sum(mpmath.exp(z) for z in row))) for x in row] for row in ROWS[:3]]
    rounding = np.finfo(float).eps * np.abs(ROWS[:3]).max()  # as much as the logits themselves are rounded
    np.testing.assert_allclose(pb.nn.log_softmax(ROWS[:3]), expected, rtol=1e-14, atol=rounding)


def test_logsumexp_of_nothing_but_minus_infinity():
    assert pb.nn.logsumexp(np.full(3, -np.inf)) == -np.inf
    assert pb.nn.logsumexp(ROWS, axis=1)[3] == pytest.approx(np.log(2))


@pytest.mark.parametrize("seed", range(amount.cases(3, 50)))
@pytest.mark.parametrize("f", [pb.nn.softmax, pb.nn.log_softmax, pb.nn.logsumexp])
def test_derivatives_along_an_axis(f, seed):
    pb.check_grads(f, np.random.default_rng(seed).normal(scale=2, size=(2, 3)))


def test_whole_numbers_become_floating_ones():
    assert pb.nn.softmax(np.array([0, 0])).tolist() == [0.5, 0.5]
    assert pb.nn.sigmoid(np.array([0])).dtype == np.float64
