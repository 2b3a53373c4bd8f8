"""NumPy's chapters under vmap: what a batch gives is what its samples give, one after the other, derivatives too."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from ops.calls import apart

G = np.random.default_rng(21)
X, M = apart(G, 3, 6), apart(G, 3, 2, 4)
# ruff: noqa: E501 (a table of calls)
POINTS = np.array([-1.0, -0.2, 0.4, 1.3])
CALLS = {
    "prod": (np.prod, X), "prod axis": (lambda x: np.prod(x, axis=1, keepdims=True), M), "cumprod": (lambda x: np.cumprod(x, axis=0), M),
    "sort": (np.sort, X), "sort axis": (lambda x: np.sort(x, axis=0), M), "partition": (lambda x: np.partition(x, 2), X),
    "median": (np.median, M), "quantile": (lambda x: np.quantile(x, [0.2, 0.7], axis=1), M), "nanmedian": (np.nanmedian, X),
    "running maximum": (lambda x: np.maximum.accumulate(x, axis=-1), M), "argmax": (lambda x: np.take(x, np.argmax(x)), M),
    "argmin": (lambda x: np.take_along_axis(x, np.argmin(x, axis=1, keepdims=True), 1), M),
    "reduceat": (lambda x: np.add.reduceat(x, [0, 3, 1], axis=0), X), "searchsorted": (lambda x: x * np.searchsorted(POINTS, x), X),
    "places in each": (lambda x: np.searchsorted(np.sort(x), POINTS) * np.sum(x), X), "ldexp": (lambda x: np.ldexp(x, [[1], [2]]), X),
    "frexp": (lambda x: np.frexp(4 * x)[0], M), "sinc": (np.sinc, X), "i0": (np.i0, X), "interp": (lambda x: np.interp(x, POINTS, POINTS**2), X),
    "convolve": (lambda x: np.convolve(x, [1.0, -2.0]), X), "std": (lambda x: np.std(x, axis=0), M), "pad": (lambda x: np.pad(x, 2, "reflect"), X),
    "gradient": (np.gradient, X), "select": (lambda x: np.select([x > 0.5, x > 0], [x, x**2], 1.0), M), "cov": (np.cov, M),
    "fmax": (lambda x: np.fmax.reduce(x, axis=0), M), "unwrap": (lambda x: np.unwrap(4 * x), X),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_batch_is_its_samples(name):
    f, xs = CALLS[name]
    np.testing.assert_allclose(pb.vmap(f)(xs), np.stack([f(x) for x in xs]), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", CALLS)
def test_gradients_of_samples(name):
    f, xs = CALLS[name]
    g = pb.grad(lambda x: np.sum(f(x) ** 2))
    np.testing.assert_allclose(pb.vmap(g)(xs), np.stack([g(x) for x in xs]), rtol=1e-13, atol=1e-13)
