"""scipy.ndimage's splines on a grid: SciPy's values in every mode and order, derivatives by images and by places."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.ndimage as nd

import amount
import payback as pb
from payback.errors import PaybackError

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(6, 5))
PLACES = np.stack([RANDOM.uniform(-14, 20, 40), RANDOM.uniform(-14, 18, 40)])
PLACES[:, :6] = [[0, 5, -1, 6, -0.25, 5.25], [0, 4, -1, 5, -0.25, 4.25]]
TURN = [[1.13, 0.31], [-0.2, 0.93]]
MODES = ["reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap"]
CALLS = {
    "map_coordinates": lambda x, **how: nd.map_coordinates(x, PLACES, **how),
    "shift": lambda x, **how: nd.shift(x, (1.3, -2.6), **how),
    "zoom": lambda x, **how: nd.zoom(x, (1.7, 2.2), **how),
    "zoom of cells": lambda x, **how: nd.zoom(x, (1.7, 0.6), grid_mode=True, **how),
    "affine_transform": lambda x, **how: nd.affine_transform(
        x, [[1.13, 0.31], [-0.2, 0.93]], (0.41, -1), (7, 8), **how
    ),
    "affine_transform by a diagonal": lambda x, **how: nd.affine_transform(x, [1.1, 0.7], (0.4, -1), **how),
    "affine_transform, homogeneous": lambda x, **how: nd.affine_transform(x, [[1.1, 0.3, 0.2], [0, 0.9, 1.3]], **how),
    "rotate": lambda x, **how: nd.rotate(x, 30.0, **how),
    "rotate in place": lambda x, **how: nd.rotate(x, 90, reshape=False, **how),
}
HOW = list(itertools.product(range(6), MODES, (True, False)))


@pytest.mark.parametrize("name", CALLS)
def test_values_and_linearity(name):
    """What is added to an image is looked at without the value beyond it."""
    for order, mode, prefilter in HOW[list(CALLS).index(name) % 7 :: amount.cases(24, 2)]:
        how = {"order": order, "mode": mode, "prefilter": prefilter}
        f = lambda x, cval=0.0, how=how: CALLS[name](x, cval=cval, **how)  # noqa: E731
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SciPy would rather have another mode for cells
            np.testing.assert_allclose(pb.vjp(lambda x, f=f: f(x, 0.7), X)[0], f(X, 0.7), rtol=1e-11, atol=1e-12)
            value, pull = pb.vjp(f, X)
            bar = np.cos(np.arange(value.size)).reshape(value.shape)
            np.testing.assert_allclose(np.sum(pull(bar)[0] * X), np.sum(bar * value), rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(pb.jvp(lambda x, f=f: f(x, 0.7), (X,), (X,))[1], value, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("mode", MODES)
def test_by_places(mode):
    """And by what they are made of; no place lies on a kink."""
    inside = np.stack([RANDOM.integers(-9, 13, 12), RANDOM.integers(-9, 11, 12)]) + RANDOM.uniform(0.2, 0.4, (2, 12))
    for order in [1 + 2 * (MODES.index(mode) % 2)] if not amount.full() else [1, 3]:
        how = {"order": order, "mode": mode}
        f = lambda x, c, how=how: np.sum(nd.map_coordinates(x, c, **how) ** 2)  # noqa: E731
        pb.check_grads(f, X, inside, order=1)
        g = lambda v, how=how: np.sum(nd.shift(X, v[:2], **how) ** 2)  # noqa: E731
        pb.check_grads(g, np.array([0.3, -0.7]), order=1)
        h = lambda a, how=how: np.sum(nd.affine_transform(X, a[:, :2], a[:, 2], **how) ** 2)  # noqa: E731
        pb.check_grads(h, np.array([[1.0931, 0.2317, 0.3713], [-0.2137, 0.9043, 0.7719]]), order=1)
    if mode in ("mirror", "grid-wrap"):  # which have no kinks at the ends
        turned = lambda v: np.sum(nd.rotate(X, v, mode=mode) ** 3)  # noqa: E731
        pb.check_grads(turned, 17.0, order=2)


def test_compiled_and_in_batches():
    def f(x, c):
        return np.sum(nd.map_coordinates(x, c, mode="nearest") ** 2) + np.sum(nd.zoom(x, 1.5, order=1))

    inside = np.abs(PLACES[:, 6:14]) / 4
    want = pb.grad(f, (0, 1))(X, inside)
    for got, one in zip(pb.compile(pb.grad(f, (0, 1)))(X, inside), want, strict=True):
        np.testing.assert_allclose(got, one, rtol=1e-11, atol=1e-12)
    batches = pb.vmap(pb.grad(f, (0, 1)))(np.stack([X, X]), np.stack([inside, inside]))
    for got, one in zip(batches, want, strict=True):
        np.testing.assert_allclose(got, np.stack([one, one]), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", [(70,), (1, 4), (3, 4, 5)])
def test_lines_and_boxes(shape):
    """A line too long for a matrix, one entry, three axes."""
    x = RANDOM.normal(size=shape)
    places = np.stack([RANDOM.uniform(0, n - 1, 7) for n in shape])
    calls = (lambda x: nd.map_coordinates(x, places, mode="reflect"), lambda x: nd.zoom(x, 1.3),
             lambda x: nd.spline_filter(x, 5), lambda x: nd.spline_filter1d(x, 2, 0, mode="grid-wrap"))  # fmt: skip
    for f in calls:
        value, pull = pb.vjp(f, x)
        np.testing.assert_allclose(value, f(x), rtol=1e-11, atol=1e-12)
        bar = np.cos(np.arange(value.size)).reshape(value.shape)
        np.testing.assert_allclose(np.sum(pull(bar)[0] * x), np.sum(bar * value), rtol=1e-10, atol=1e-10)
    if len(shape) == 3:
        f = lambda x: nd.rotate(x, 20.0, axes=(2, 0), mode="mirror")  # noqa: E731
        np.testing.assert_allclose(pb.vjp(f, x)[0], f(x), rtol=1e-11, atol=1e-12)


def test_types():
    single = X.astype(np.float32)
    f = lambda x: nd.shift(x, 0.4)  # noqa: E731
    value, pull = pb.vjp(f, single)
    assert value.dtype == f(single).dtype == pull(value)[0].dtype == np.float32
    np.testing.assert_allclose(pb.vjp(lambda x: f(x + 2j * x).imag, X)[0], 2 * f(X), rtol=1e-12, atol=1e-13)
    with pytest.raises(PaybackError, match="SciPy rounds the results"):
        pb.grad(lambda c: np.sum(nd.map_coordinates(np.arange(12).reshape(3, 4), c)))(np.ones((2, 2)))
    with pytest.raises(PaybackError, match="the modes are"):
        pb.grad(lambda x: np.sum(nd.shift(x, 1.0, mode="near")))(X)
    with pytest.raises(RuntimeError, match="spline order"):
        pb.grad(lambda x: np.sum(nd.shift(x, 1.0, order=6)))(X)
