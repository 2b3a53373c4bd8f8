"""Writing by flat places (`.flat`, put, place, putmask, put_along_axis, in-place sort), and `np.r_`, `np.c_`.

Each program is run on plain values by NumPy itself, and differentiated: the values are equal, and the gradient is that
of finite differences, of forward mode, and of the second order's symmetry.
"""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import MutationError, UnsupportedError
from payback.trace.abstract import trace

X = np.array([0.7, -1.3, 2.1, 0.4])
WEIGHTS = np.linspace(0.5, 2.0, 64)


def flat_entry(x):
    out = np.zeros((2, 3))
    out.flat[4] = x[1] ** 2
    out.flat[-1] = x[0]
    return out


def flat_slice(x):
    out = np.ones((3, 3))
    out.flat[::4] = x[:3] * x[1:]
    return out


def flat_repeats(x):
    out = np.zeros((2, 3))
    out.flat[1:] = x[:2]  # from the beginning again
    return out


def flat_whole(x):
    out = np.zeros((3, 2))
    out.flat = x
    return out


def flat_mask_and_fancy(x):
    out = np.zeros((2, 4))
    out.flat[[6, 1, 1]] = x[:3] ** 2
    out.flat[np.array([True, False, True] + [False] * 5)] = x[3]
    return out


def flat_of_a_transpose(x):
    out = np.zeros((2, 3))
    out.T.flat[1] = x[0]
    out[:, 1:].flat = x
    return out


def flat_read(x):
    y = np.outer(x, x)
    total = 0.0
    for entry in y.flat:
        total = total + entry**2
    return total + y.flat[5] * y.flat[2:4].sum() + y.flat[[0, 0]].sum()


def flat_of_an_argument(x):
    x.flat[2] = x[0] * 2
    return x * 1.0


def flat_is_gone_through_once(x):
    it = np.outer(x, x).flat
    first = next(it)
    return first * (it.index + it.coords[1]) + sum(it)


def put(x):
    out = np.zeros((2, 3))
    np.put(out, [0, -1, 2], x[:2] ** 2)
    out.put([4], x[3])
    np.put(out, 9, x[2], mode="clip")
    np.put(out, [-8, 7], x[:2], mode="wrap")
    return out


def put_into_a_traced_array(x):
    y = x * 1.0
    np.put(y, [1, 1], 5.0)
    y.put([0], [2.0])
    return y * x


def place(x):
    out = np.arange(8.0).reshape(2, 4)
    np.place(out, out > 2.5, x[:3])
    return out


def putmask(x):
    out = np.arange(8.0).reshape(2, 4)
    np.putmask(out, out % 2 == 1, x)
    np.putmask(out, out == 0, x[0] * 2)
    np.putmask(out, np.reshape(out, -1) > 6, x * 3)
    return out


def put_along_axis(x):
    out = np.zeros((2, 4))
    np.put_along_axis(out, np.array([[3], [1]]), x[:2].reshape(2, 1) ** 2, axis=1)
    np.put_along_axis(out, np.array([0, 5]), x[2], axis=None)
    return out


def sort_in_place(x):
    out = np.zeros(4)
    out[:] = x * x[::-1] + x
    out.sort()
    y = np.outer(x, x)
    y.sort(axis=0)
    return y @ out


def partition_in_place(x):
    y = x * 1.0
    y.partition(1)
    return y[1] ** 2 + y[0]


def fill(x):
    y = x * 1.0
    y.fill(x[2])
    return y * x


def r_vector(x):
    return np.r_[x, 1.0, x[0] * x[1], [x[2], 2], 0:3]


def r_axis(x):
    y = x.reshape(2, 2)
    return np.r_["1,2", y, y * 2, np.ones((2, 1))]


def r_directive(x):
    return np.r_["0,2,0", x, x**2]


def r_ranges(x):
    return np.r_[x[0] : x[2] : 3j, 0 : x[2] : 0.5]


def r_then_written(x):
    out = np.r_[0.0, 0.0, 0.0]
    out[1] = x[0] ** 2
    return out


def c_columns(x):
    return np.c_[x, x**2, np.ones(4), [x[0], 1, 2, 3]]


def c_matrix(x):
    return np.c_[x.reshape(2, 2), np.ones((2, 1))]


def enumerated(x):
    out = np.zeros((4, 4))
    for (i, j), entry in np.ndenumerate(np.outer(x, x)):
        out[j, i] = entry * (i + 1)
    return out


def enumerated_buffer(x):
    y = np.zeros((2, 2))
    y[0, 1] = x[1]
    return sum(entry * (k[1] + 1) for k, entry in np.ndenumerate(y))


PROGRAMS = [
    flat_entry, flat_slice, flat_repeats, flat_whole, flat_mask_and_fancy, flat_of_a_transpose, flat_read,
    flat_of_an_argument, flat_is_gone_through_once, put, put_into_a_traced_array, place, putmask, put_along_axis,
    sort_in_place, partition_in_place, fill, r_vector, r_axis, r_directive, r_ranges, r_then_written, c_columns,
    c_matrix, enumerated, enumerated_buffer,
]  # fmt: skip


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_programs(f):
    plain = np.asarray(f(X.copy()))
    found, pull = pb.vjp(f, X)
    np.testing.assert_allclose(found, plain, rtol=1e-14)
    assert (np.shape(found), np.asarray(found).dtype) == (plain.shape, plain.dtype)
    weights = WEIGHTS[: plain.size].reshape(plain.shape)
    (bar,) = pull(weights)
    numeric = np.zeros(4)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-6
        numeric[i] = np.sum(weights * (np.asarray(f(X + step)) - np.asarray(f(X - step)))) / 2e-6
    np.testing.assert_allclose(bar, numeric, rtol=1e-7, atol=1e-8)
    direction = np.array([0.3, -0.2, 0.9, 0.5])
    _, push = pb.jvp(f, (X,), (direction,))
    np.testing.assert_allclose(np.sum(push * weights), bar @ direction, rtol=1e-13)
    hessian = pb.hessian(lambda x: np.sum(f(x) * weights * f(x)))(X)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    assert np.abs(hessian).max() > 0.01


@pytest.mark.parametrize("f", [flat_entry, flat_slice, put, put_along_axis, r_vector, r_axis, c_columns, c_matrix],
                         ids=lambda f: f.__name__)  # fmt: skip
def test_without_numbers(f):
    np.testing.assert_allclose(trace(f, X)(X), f(X), rtol=1e-15)


@pytest.mark.parametrize(
    "key",
    [(1, 2.5), (np.float32(1), np.float32(2)), (np.ones(2, np.float32), 2.0), (np.ones(2, np.float32), np.float64(2)),
     ([1, 2], 3), (np.arange(3), 0.5), (slice(0, 3), 1.5)],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_numpys(key, dtype):
    x = X.astype(dtype)
    assert pb.vjp(lambda x: np.r_[(x, *key)], x)[0].dtype == np.r_[(x, *key)].dtype
    assert pb.vjp(lambda x: np.r_[(x[0], *key)], x)[0].dtype == np.r_[(x[0], *key)].dtype


def test_plain_arrays_made_before_are_refused():
    outside = np.zeros(4)
    for call in (
        lambda x: np.put(outside, [0], x[0]),
        lambda x: np.place(outside, outside == 0, x),
        lambda x: np.putmask(outside, outside == 0, x),
        lambda x: np.put_along_axis(outside, np.array([0]), x[:1], 0),
    ):
        with pytest.raises(MutationError, match="the array outside was made before the differentiated function ran"):
            pb.grad(lambda x, call=call: call(x) or x.sum())(X)
    assert (outside == 0).all()

    def store(x):
        outside.flat[0] = x[0]
        return x.sum()

    with pytest.raises(MutationError, match=r"test_flat\.py:\d+ in store: outside\.flat\[0\]"):
        pb.grad(store)(X)


def test_what_raises():
    def grad(f):
        return pb.grad(lambda x: np.sum(f(x)))(X)

    with pytest.raises(IndexError):
        grad(lambda x: np.put(x, [4], 1.0))
    with pytest.raises(ValueError, match="Cannot insert from an empty array"):
        grad(lambda x: np.place(x, x > 0, []))
    with pytest.raises(ValueError, match="same number of dimensions"):
        grad(lambda x: np.put_along_axis(x, np.array([[1]]), 1.0, 0))
    with pytest.raises(UnsupportedError, match=r"makes a numpy\.matrix"):
        grad(lambda x: np.r_["r", x, x])
    with pytest.raises(ValueError, match="special directives must be the first entry"):
        grad(lambda x: np.r_[x, "0"])
    with pytest.raises(ValueError, match="unknown special directive"):
        grad(lambda x: np.r_["q", x])
    with pytest.raises(StopIteration):
        pb.grad(lambda x: [(it := x.flat), [next(it) for _ in range(5)]])(X)


def test_numpy_is_itself_again_afterwards():
    kinds = [(np.vectorize, "__call__"), (type(np.r_).__mro__[1], "__getitem__"), (np.ndenumerate, "__init__")]
    before = [getattr(owner, name) for owner, name in kinds]
    pb.grad(lambda x: np.r_[x, 1.0].sum())(X)
    with pytest.raises(ZeroDivisionError):
        pb.grad(lambda x: 1 / 0)(X)
    assert [getattr(owner, name) for owner, name in kinds] == before
    assert type(np.r_[1.0, 2.0]) is np.ndarray
