"""What follows a product in its kernel: whatever else is needed of that lies in memory, in its own dtype."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.native.running.program import Program
from payback.trace.abstract import trace


def of_a_mask(x, w):
    """The mask is used in the epilogue, and once more after it."""
    z = x @ w
    mask = z > 0
    return np.where(mask, z, 0.5 * z), mask.sum(0), np.where(mask, 2.0, 3.0) @ w.T


def of_two_masks(x, w):
    z = np.maximum(x @ w, 0.0)
    above, small = z > 0.5, z <= 0.25
    return np.where(above, z, np.where(small, 1.0, z * z)), above.sum(1), small.sum(0)


@pytest.mark.parametrize("f", [of_a_mask, of_two_masks])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k", "n"), [(16, 7, 9), (1, 3, 5), (37, 64, 33), (40, 5, 1), (7, 2, 64), (64, 8, 3)])
def test_masks_of_an_epilogue(f, dtype, m, k, n):
    generator = np.random.default_rng(m + n)
    x, w = (generator.integers(-3, 4, shape).astype(dtype) for shape in ((m, k), (k, n)))
    found, expected = pb.compile(f, native=True)(x, w), pb.compile(f, native=False)(x, w)
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)  # whole numbers: no rounding


def squares(x):
    return np.einsum("ij,ij->", x, x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4), (5, 1), (7, 20)])
def test_what_follows_a_product_whose_axes_are_all_of_one_argument(shape, dtype):
    """The product is of one long row then; what is added to it is not."""
    generator = np.random.default_rng(sum(shape))
    rows, columns = shape
    x = generator.integers(-3, 4, shape).astype(dtype)
    for other in ((columns,), (rows, 1)):
        v = generator.integers(-3, 4, other).astype(dtype)
        f = pb.compile(lambda x, v: pb.grad(squares)(x) + v)
        np.testing.assert_array_equal(f(x, v), 2 * x + v)


@pytest.mark.parametrize(("rows", "fused"), [(40, True), (4400, False)])
def test_tiles_of_a_large_result_store_in_one_array(rows, fused):
    """In two of them they touch too many pages at a time."""
    a, b, t = (np.linspace(-1, 1, m * n).reshape(m, n) for m, n in ((rows, 4), (4, 32), (rows, 32)))
    f = lambda a, b, t: (lambda z: (np.tanh(z * t), z * t))(a @ b)  # noqa: E731
    program = Program(trace(f, a, b, t).graph)
    assert any("ij+mul+tanh" in command.text for command in program.commands) == fused
    for found, expected in zip(pb.compile(f)(a, b, t), f(a, b, t), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
