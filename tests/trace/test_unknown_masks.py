"""`x[mask] = value` where the mask has no numbers: in compiled functions, batches and bodies of loops."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError, UnsupportedError

X = np.array([-1.0, 0.0, 2.0, 0.5])


def cut(x):
    y = x.copy()
    y[y < 0] = 0.0
    return y


def into_zeros(x):
    out = np.zeros(4)
    out[x > 0] = x[3]
    return out


def flags(x):
    seen = np.zeros(4, bool)
    seen[x > 0] = True
    return np.where(seen, np.sin(x), 0.0)


def counts(x):
    n = np.ones(4, int)
    n[x > 0] = 2.9  # NumPy cuts it
    return n * x


def rows(x):
    out = np.outer(x, x)
    out[x > 0] = np.cos(x)
    out[out > 1.0] = 1.0
    return out


def through_a_view(x):
    out = np.outer(x, x)
    column = out[:, 1:3]
    column[column > -0.1] = x[0]
    return out


def careful(x):
    y = np.log(x)
    y[x <= 0] = 0.0
    return y


FUNCTIONS = [cut, into_zeros, flags, counts, rows, through_a_view, careful]


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_it_is_what_numpy_does(f):
    def slope(x):
        return pb.grad(lambda x: np.sum(np.sin(f(x))))(x)

    def second(x):
        return pb.grad(lambda x: np.sum(slope(x) * np.arange(4.0)))(x)

    with np.errstate(all="ignore"):
        for native in (None, False):
            np.testing.assert_array_equal(pb.compile(f, native=native)(X), f(X))
            np.testing.assert_allclose(pb.compile(slope, native=native)(X), slope(X), rtol=1e-14)
            np.testing.assert_allclose(pb.compile(second, native=native)(X), second(X), rtol=1e-13)
        batch = np.stack([X, X + 0.25, -X])
        np.testing.assert_array_equal(pb.vmap(f)(batch), np.stack([f(x) for x in batch]))
        np.testing.assert_allclose(pb.vmap(slope)(batch), np.stack([slope(x) for x in batch]), rtol=1e-14)
        np.testing.assert_array_equal(pb.scan(lambda c, x: (c, f(x)), 0.0, batch)[1], np.stack([f(x) for x in batch]))
        np.testing.assert_allclose(pb.compile(lambda x: pb.jvp(f, (x,), (x * 0 + 1,))[1])(X),
                                   pb.jvp(f, (X,), (X * 0 + 1,))[1], rtol=1e-14)  # fmt: skip
        assert np.isfinite(slope(X)).all()


def test_what_cannot_be_written():
    def one_for_each_place(x):
        x = x.copy()
        x[x > 0] = np.ones(2)
        return x

    def of_another_shape(x):
        x = x.copy()
        x[x[:2] > 0] = 1.0
        return x

    def into_whole_numbers(x):
        n = np.zeros(4, int)
        n[x > 0] = x[0]
        return n

    with pytest.raises(TraceError, match=r"where to write these values.*test_unknown_masks.py:\d+ in one_for_each"):
        pb.compile(one_for_each_place)(X)
    with pytest.raises(IndexError, match=r"a mask of shape \(2,\)"):
        pb.compile(of_another_shape)(X)
    with pytest.raises(UnsupportedError, match="cannot be stored in an array of int64"):
        pb.compile(into_whole_numbers)(X)
