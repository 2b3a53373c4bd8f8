"""np.where with traced cases: the short way for numbers at hand gives what the long one gives."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.trace.numpy import where as numpy_where

X = np.array([[-1.0, 2.0, 0.5], [3.0, -4.0, 0.0]])
CASES = {
    "traced condition": lambda x: np.where(x > 0, x * x, -x), "plain mask": lambda x: np.where(X > 0, x, 3.0 * x),
    "a literal": lambda x: np.where(x > 0, 0.0, x), "broadcast mask": lambda x: np.where(X[:1] > 0, x, x * x),
    "broadcast cases": lambda x: np.where(x > 0, x[:, :1], x[1]), "a buffer": lambda x: np.where(x > 0, np.zeros(3), x),
    "whole numbers": lambda x: np.where(x > 0, 1, x), "a single truth": lambda x: np.where(x[0, 0] > 0, x, x * 2.0),
    "masked twice": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), x),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_the_short_way_is_the_long_one(name, dtype, monkeypatch):
    x = X.astype(dtype)
    short = pb.value_and_grad(lambda x: np.sum(CASES[name](x) * 1.5))(x)
    monkeypatch.setattr(numpy_where, "_chosen_at_once", lambda *_: None)
    long = pb.value_and_grad(lambda x: np.sum(CASES[name](x) * 1.5))(x)
    assert short[0] == long[0]
    assert short[0].dtype == long[0].dtype
    assert short[1].dtype == dtype
    np.testing.assert_array_equal(short[1], long[1])


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(pb.errors.ShapeError, match=r"\(2, 3\)"):
        pb.grad(lambda x: np.sum(np.where(x > 0, x, x[:, :2])))(X)
