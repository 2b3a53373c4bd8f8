"""A batch of samples through the rows of linear algebra and SciPy: the same as one after another, gradients too."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import payback as pb
from ops.own_linalg import CASES as OF_NUMPY
from ops.own_scipy import CASES as OF_SCIPY
from payback.trace.array import Traced, plain
from payback.trace.tree import leaves

CASES = {name: case for name, case in (OF_NUMPY | OF_SCIPY).items() if case.abstract}


def samples(x, k):
    """Three arrays near one."""
    return np.stack([x, 1.125 * x, x + 0.0625 * np.eye(*x.shape) if x.ndim == 2 else x * 0.875])


def floating(call):
    return lambda *xs: [y for y in leaves(call(*xs)) if isinstance(y, Traced) and y.dtype.kind == "f"]


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_its_samples(name):
    case = CASES[name]
    call = floating(case.call)
    args = [samples(np.asarray(x), k) for k, x in enumerate(case.args)]
    shared = (0, *(None for _ in args[1:]))  # the first argument batched, the others the same for all

    def weighted(*xs):
        return sum(np.sum(y * np.cos(np.arange(y.size).reshape(y.shape) + 1.0)) for y in call(*xs))

    for axes in {(0,) * len(args), shared}:
        given = [x if axis == 0 else x[0] for x, axis in zip(args, axes, strict=True)]
        rows = [[x[i] if axis == 0 else x for x, axis in zip(given, axes, strict=True)] for i in range(3)]
        for f in (weighted, pb.grad(weighted)):
            found = pb.vmap(f, axes)(*given)
            expected = np.stack([plain(f(*row)) if f is not weighted else pb.vjp(f, *row)[0] for row in rows])
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.max(np.abs(expected)))


def test_a_batched_parameter():
    a, x = np.array([1.5, 2.0, 3.0]), np.array([0.5, 1.0])
    found = pb.vmap(lambda y: scipy.special.gammainc(a[:, None], y))(np.stack([x, 2 * x]))
    np.testing.assert_array_equal(found, scipy.special.gammainc(a[:, None], np.stack([x, 2 * x])[:, None, :]))
