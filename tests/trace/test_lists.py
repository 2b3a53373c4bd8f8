"""Lists of traced values where NumPy takes a list for an array: they need no np.array around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError

X = np.array([0.3, -0.7, 1.2])
CALLS = {
    "concatenate": lambda z: np.concatenate([z, [z[0]]]), "of lists": lambda z: np.concatenate([[z[0], 2.0], [z[1]]]),
    "of tuples": lambda z: np.concatenate(((z[0],), z)), "hstack": lambda z: np.hstack([z, [z[0]], z[1]]),
    "vstack": lambda z: np.vstack([z, [z[0], 1.0, 2.0]]), "stack": lambda z: np.stack([z, [z[0], z[1], 2.0]]),
    "column_stack": lambda z: np.column_stack([[z[0], 1.0], [z[1], 2.0]]), "append": lambda z: np.append([z[0]], [1.0]),
    "r_": lambda z: np.r_[z, [z[0]]], "insert": lambda z: np.insert([z[0], z[1]], 1, [z[2]]),
    "dot": lambda z: np.dot(z, [z[0], z[1], 1.0]), "dot of constants": lambda z: np.dot(np.eye(2), [z[0], z[1]]),
    "outer": lambda z: np.outer([z[0], z[1]], z), "cross": lambda z: np.cross([z[0], z[1], 0.0], [1.0, 2.0, 3.0]),
    "inner": lambda z: np.inner([z[0], 1.0], [1.0, z[1]]), "kron": lambda z: np.kron([z[0], 1.0], [1.0, z[2]]),
    "einsum": lambda z: np.einsum("i,i", [z[0], z[1]], [1.0, 2.0]), "norm": lambda z: np.linalg.norm([z[0], z[1]]),
    "det": lambda z: np.linalg.det([[z[0], 1.0], [2.0, z[1]]]),
    "inv": lambda z: np.linalg.inv([[z[0], 1.0], [2.0, 3.0]]),
    "solve": lambda z: np.linalg.solve([[z[0], 1.0], [2.0, z[1]]], [z[2], 2.0]),
    "where": lambda z: np.where([True, False], [z[0], z[1]], [1.0, z[2]]), "diag": lambda z: np.diag([z[0], z[1]]),
    "interp": lambda z: np.interp(0.3, [0, 1], [z[0], z[1]]), "polyval": lambda z: np.polyval([z[0], z[1]], 0.5),
    "convolve": lambda z: np.convolve([z[0], 1.0], [1.0, z[1]]), "clip": lambda z: np.clip([z[0], z[1]], 0, 1),
    "trapezoid": lambda z: np.trapezoid([z[0], z[1]], [0.0, 1.0]), "diff": lambda z: np.diff([z[0], z[1], 2.0]),
    "reshape": lambda z: np.reshape([z[0], z[1]], (2, 1)), "roll": lambda z: np.roll([z[0], z[1]], 1),
    "tile": lambda z: np.tile([z[0], z[1]], 2), "repeat": lambda z: np.repeat([z[0], z[1]], 2),
    "pad": lambda z: np.pad([z[0], z[1]], 1), "gradient": lambda z: np.gradient([z[0], z[1], 1.0]),
    "ptp": lambda z: np.ptp([z[0], z[1]]), "nanstd": lambda z: np.nanstd([z[0], z[1], np.nan]),
    "squeeze": lambda z: np.squeeze([[z[0]]]), "expand_dims": lambda z: np.expand_dims([z[0], z[1]], 1),
    "broadcast_to": lambda z: np.broadcast_to([z[0], z[1]], (2, 2)),
    "tril": lambda z: np.tril([[z[0], z[1]], [z[2], 1]]),
    "moveaxis": lambda z: np.moveaxis([[z[0], z[1]]], 0, 1), "delete": lambda z: np.delete([z[0], z[1]], 0),
    "cov": lambda z: np.cov([[z[0], z[1], 2.0], [1.0, z[2], 0.5]]), "ediff1d": lambda z: np.ediff1d([z[0], z[1]]),
    "compress": lambda z: np.compress([True, False], [z[0], z[1]]), "sinc": lambda z: np.sinc([z[0], z[1]]),
    "shape": lambda z: np.size([z[0], z[1]]) * np.shape([z])[1] * z, "partition": lambda z: np.partition([*z], 1),
    "any": lambda z: z * np.count_nonzero([1.0, 0.0, 2.0]), "tolist": lambda z: np.array(z.tolist()[::-1]) * 2.0,
    "sum": lambda z: np.sum([z[0], z[1]]), "nansum": lambda z: np.nansum([z[0], np.nan]),
    "minimum.reduce": lambda z: np.minimum.reduce([z, z[::-1] * 1.5, [0.1, 0.2, z[1]]]),
    "add.reduce": lambda z: np.add.reduce([[z[0], 2.0], [z[1], z[2]]], axis=1),
    "add.accumulate": lambda z: np.add.accumulate((z[0], z[1], 2.0)),
    "multiply.outer": lambda z: np.multiply.outer([z[0], 2.0], [z[1], z[2], 1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_list_is_an_array(name):
    f = CALLS[name]
    np.testing.assert_allclose(pb.vjp(f, X)[0], f(X), rtol=1e-15)
    np.testing.assert_allclose(pb.compile(f)(X), f(X), rtol=1e-14)
    pb.check_grads(f, X)


def test_a_ufunc_of_a_list_says_what_to_write():
    with pytest.raises(TraceError, match=r"test_lists.py:\d+ .* make a list of such values an array first"):
        pb.grad(lambda z: np.sum(np.exp([z[0], z[1]])))(X)


def test_lists_are_equal_as_in_numpy():
    """NumPy takes any error for a no."""

    def f(x):
        same = np.array_equal([x[0], x[1]], (x[0], x[1])), np.array_equiv([x[0], x[0]], [x[0]])
        other = np.array_equal([x[0], x[1]], [x[1], x[0]]), np.any([x[0] > 1.0, x[1] > 1.0])
        return np.sum(x * (2.0 if all(same) and not any(other) else -1.0))

    assert (pb.grad(f)(X) == 2.0).all()


class Point(NamedTuple):
    """Its operators are its own: 2.0 * point asks it, for a Python number knows no sequences."""

    x: float
    y: float

    def __rmul__(self, k):
        return Point(k * self.x, k * self.y)

    def __radd__(self, k):
        return Point(k + self.x, self.y)


@pytest.mark.parametrize("make", [lambda f: lambda t: pb.vjp(f, t)[0], pb.compile])
def test_a_python_number_beside_a_sequence_is_left_to_the_sequence(make):
    for f in (
        lambda t: (t * Point(1.0, t)).y,
        lambda t: ((t + t) + Point(t, 2.0)).x,
        lambda t: t * 2.0 if (t * 3.0) == (1,) else t * 3.0,
    ):
        assert make(f)(0.75) == f(0.75)
    with pytest.raises(TypeError, match="tuple"):
        make(lambda t: t - (1.0, 2.0))(0.75)
    np.testing.assert_array_equal(make(lambda t: t - (1.0, 2.0))(np.float64(0.75)), [-0.25, -1.25])
