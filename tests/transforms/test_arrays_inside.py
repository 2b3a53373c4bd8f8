"""Plain arrays that a compiled function makes: constants, unless somebody could still write into them."""

from queue import SimpleQueue

import numpy as np
import pytest

import payback as pb

KEPT: SimpleQueue[np.ndarray] = SimpleQueue()  # into which nobody looks: a list would be a reason to trace f again
X, TAKEN = np.arange(12.0).reshape(4, 3), np.array([2, 0, 1, 1])


def kept(array):
    KEPT.put(array)
    return array


def filled():
    made = np.arange(3.0)
    made[1] = 7.0
    return made


def twice(x, made):
    return np.sum(x * made) + x[:, :2] * made[1:] + made[:2]


def part_kept():
    made = np.arange(3.0)
    kept(made[:1])
    return made


def returned(x):
    made = np.arange(3.0)
    return x * made, kept(made)


CONSTANT = {
    "made": lambda x: x[np.arange(4)[::-1], 1],
    "a view": lambda x: np.take_along_axis(x, TAKEN[:, None], 1),
    "written into before": lambda x: x * filled(),
    "two views of it, by the index and by its payment": pb.grad(lambda x: np.sum(x[np.arange(4), TAKEN] ** 2)),
    "used whole and as a view": lambda x: twice(x, np.arange(3.0)),
}
HELD = {  # what is made of x once the first number of the array is 5
    "kept": (lambda x: x * kept(np.arange(3.0)), X * [5.0, 1.0, 2.0]),
    "part of what is kept": (lambda x: x * kept(np.arange(4.0))[:3], X * [5.0, 1.0, 2.0]),
    "a view of it is kept": (lambda x: x * part_kept(), X * [5.0, 1.0, 2.0]),
    "what it is a view of is kept": (lambda x: x.T * kept(np.arange(12.0)).reshape(3, 4),
                                     X.T * np.array([5.0, *range(1, 12)]).reshape(3, 4)),
    "kept, and used as views": (lambda x: twice(x, kept(np.arange(3.0))), twice(X, np.array([5.0, 1.0, 2.0]))),
    "returned": (lambda x: returned(x)[0], X * [5.0, 1.0, 2.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTANT)
def test_what_nobody_can_change_is_a_constant(name):
    f = CONSTANT[name]
    compiled = pb.compile(f)
    np.testing.assert_array_equal(compiled(X), f(X))
    assert all(array is TAKEN or array.base is TAKEN for array in compiled._last.outside)
    np.testing.assert_array_equal(compiled(2 * X), f(2 * X))


@pytest.mark.parametrize("name", HELD)
def test_what_somebody_holds_is_read_at_each_call(name):
    f, changed = HELD[name]
    compiled = pb.compile(f)
    while not KEPT.empty():
        KEPT.get()
    compiled(X)
    held = KEPT.get()
    held[0] = 5.0
    np.testing.assert_array_equal(compiled(X), changed)


@pytest.mark.parametrize("made", [
    lambda n: np.eye(n) * 3.0, lambda n: np.eye(n), lambda n: np.ones((n, n)) + np.eye(n),
    lambda n: np.linspace(-1.0, 1.0, 2 * n * n)[::2].reshape(n, n),
])  # fmt: skip
def test_an_array_is_read_from_one_place_however_often_it_is_used(made):
    def f(x, n, times):
        a = made(n)
        for k in range(times):
            x = np.tanh(x @ a)
            if k == 1:
                a[0, 1] = 5.0  # from here on it is another
        return x

    for n in (3, 200):  # constants, and those that are too large for that
        x = np.linspace(-1e-3, 1e-3, n)
        for times in (2, 6):
            compiled = pb.compile(lambda x, n=n, times=times: f(x, n, times))
            np.testing.assert_allclose(compiled(x), f(x, n, times), rtol=1e-10, atol=1e-12)
            assert len(compiled._last.outside) == (0 if n == 3 else 1 + (times > 2))
            np.testing.assert_allclose(compiled(2 * x), f(2 * x, n, times), rtol=1e-10, atol=1e-12)
