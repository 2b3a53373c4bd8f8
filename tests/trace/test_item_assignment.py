"""Item assignment: NumPy's own programs, with NumPy's values and right derivatives of first and second order."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import payback as pb
from ops.checks import assert_same
from payback.errors import MutationError, UnsupportedError
from payback.trace.abstract import trace
from programs.assignments import LOOPS, X, check, stencil, writes

M = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -3.0]])

TARGETS = [
    (lambda x: writes(np.zeros(3), x[0] * x[1], 1), X),
    (lambda x: writes(np.zeros(3), x[0], -1), X),
    (lambda x: writes(np.ones((2, 3)), x, 0), X),
    (lambda x: writes(np.ones((2, 3)), x[:2], (slice(None), 1)), X),
    (lambda x: writes(np.ones((2, 3)), x, ...), X),
    (lambda x: writes(np.ones((2, 3)), x, slice(None)), X),
    (lambda x: writes(np.ones((2, 3)), x[0], ()), X),
    (lambda x: writes(np.zeros(7), x, slice(None, None, 3)), X),
    (lambda x: writes(np.zeros(3), x, slice(None, None, -1)), X),
    (lambda x: writes(np.zeros(5), x, [4, 0, 2]), X),
    (lambda x: writes(np.zeros(5), x, np.array([4, 0, -1])), X),
    (lambda x: writes(np.zeros(5), x, np.array([1, 0, 1])), X),  # the last one stays
    (lambda x: writes(np.zeros(5), x[0], np.array([1, 1, 2])), X),
    (lambda x: writes(np.zeros((2, 3)), x[:2], np.array([[True, False, False], [False, False, True]])), X),
    (lambda x: writes(np.zeros((2, 3)), x[1], M > 0), X),
    (lambda x: writes(np.zeros((2, 3)), x[:2], (np.array([0, 1]), np.array([2, 0]))), X),
    (lambda x: writes(np.zeros((2, 3)), x[:2, None], (slice(None), [0, 2])), X),
    (lambda x: writes(np.zeros((2, 3, 2)), x[:2], (1, ..., None, 0, slice(None))), X),
    (lambda x: writes(np.zeros(()), x[0] * x[1], ()), X),
    (lambda x: writes(np.zeros(0), x[:0], slice(None)), X),
    (lambda x: writes(np.zeros((2, 2)), [x[0], x[1]], 0), X),
    (lambda x: writes(np.zeros((2, 2)), [[x[0], 1.0], [2, x[1] * x[2]]], ...), X),
    (lambda x: writes(np.zeros((2, 3), order="F"), x, 1), X),
    (lambda x: writes(np.zeros((2, 3), order="F").T, x, (slice(None), 1)), X),
    (lambda x: writes(np.arange(6.0).reshape(2, 3), x, 1), X),
    (lambda x: writes(np.array(M), x, 1), X),
    (lambda x: writes(np.copy(M), x, 1), X),
    (lambda x: writes(np.zeros_like(M), x, 1), X),
    (lambda x: writes(np.ones_like(x), x[0], 1), X),
    (lambda x: writes(np.empty_like(x), x, slice(None)), X),
    (lambda x: writes(np.full_like(x, 3.0), x[0], 1), X),
    (lambda x: writes(np.full((2, 3), 3.0), x, 1), X),
    (lambda x: writes(np.eye(3), x, 1), X),
    (lambda x: writes(np.linspace(0, 1, 3), x[0], 1), X),
    (lambda x: writes(np.ones(3) * 2 + 1, x[0], 1), X),
    (lambda x: writes(np.zeros((2, 3)).copy(), x, 1), X),
    (lambda x: writes(np.tile(X, 2), x, slice(1, 4)), X),
    (lambda x: writes(x.copy(), x[0], 1), X),
    (lambda x: writes(np.array(x), x[0] * 2, 1), X),
    (lambda x: writes(x * 2, x[0], 1), X),
]


@pytest.mark.parametrize(("f", "x"), TARGETS)
def test_targets(f, x):
    check(lambda v: np.sin(f(v)) * (1.0 + f(v)), x)


def views(make):
    """A function of x that writes through a view of what `make` makes, and reads the whole."""

    def f(x):
        out = make(x)
        row = out[1]
        row[0] = x[0] * x[1]
        row[1:] *= x[1:]
        turned = out.T
        turned[2] += x[:2]
        flat = out.reshape(-1)
        flat[::2] = flat[::2] * x[2]
        part = out[:, 1:][::-1]
        part[0, 0] = x[1] ** 2
        out[0, ...] -= 0.5 * row
        return np.sin(out) * out[:, :1] + part.sum() + np.sum(turned[1] * flat[1])

    return f


@pytest.mark.parametrize(
    "make",
    [
        lambda x: np.zeros((2, 3)) + 1.5,
        lambda x: np.zeros((2, 3), order="F"),
        lambda x: M * x,
        lambda x: (M.T * x[:2]).T,
        lambda x: np.array([x, 2 * x]),
        lambda x: np.full((2, 3), x[1]),
        lambda x: np.array(M),
        lambda x: np.outer(x[:2], x),
        lambda x: np.concatenate([x[None], x[None] * 3]),
        lambda x: np.zeros((4, 3))[1:3],
    ],
)
def test_views(make):
    check(views(make), X)


def test_a_view_made_before_anything_was_written():
    def f(x):
        out = np.zeros((2, 3))
        row, column, corner = out[1], out[:, 0], out[1:, 1:]
        y = x * 2
        tail = y[1:]
        out[:] = x
        y[1] = x[0]
        return row * column.sum() + corner.sum() * tail[0] * y

    check(f, X)


def test_copies_are_not_views():
    def f(x):
        y = x * 2
        copies = [
            y.copy(),
            y[[0, 1, 2]],
            y.flatten(),
            +y,
            np.array(y),
            np.copy(y),
            y.T.copy().reshape(3),
            y.astype(float),
        ]
        copies += [np.tile(y, 1), np.repeat(y, 1), np.roll(y, 0), np.take(y, [0, 1, 2])]
        y[0] = 100.0
        out = np.zeros(3)
        out[:] = x
        copies += [out.copy(), out[[0, 1, 2]], out.flatten(), +out, np.array(out), out[out > 0]]
        out[0] = 100.0
        copies[0][1] = x[0] * x[1]
        for k, made in enumerate(copies):
            made[k % 3] *= x[0]
        return sum(copies) + 0 * y + 0 * out

    check(f, X)


def test_names_of_one_array_see_each_other():
    """`z = y; z += 1` changes y, as in NumPy."""

    def f(x):
        y = x * 2
        z = y
        z += 1
        z *= x
        z -= 0.25
        z /= 1.5
        z **= 2
        return y * z

    check(f, X)

    def helper(work, x):
        work += x
        work[0] = 0

    def g(x):
        work = x * x
        helper(work, x)
        return work

    check(g, X)


def test_numbers_are_not_changed():
    def f(s):
        t = s
        t += 1
        t *= s
        return t + s

    check(f, 1.5)


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name):
    f = LOOPS[name]
    check(lambda x: np.sin(f(x)), X)


@pytest.mark.parametrize("name", [n for n in LOOPS if n not in ("masks", "augmented")])
def test_without_numbers(name):
    f = LOOPS[name]
    if name == "plain over traced":
        f = lambda x: stencil(x)[None].T  # noqa: E731
    graph = trace(pb.value_and_grad(lambda x: np.sum(np.sin(f(x)))), X)
    for x in (X, X[::-1] * 0.75):
        value, found = graph(x)
        expected, slope = pb.value_and_grad(lambda x: np.sum(np.sin(f(x))))(x)
        assert value == pytest.approx(expected, rel=1e-14)
        assert np.allclose(found, slope, rtol=1e-12)


def test_a_mask_without_numbers():
    def f(x):
        out = np.zeros(3)
        out[:] = x
        out[x > 1, ...] = 0
        return out.sum()

    assert trace(f, X)(X) == f(X)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes(dtype):
    """An assignment casts to the array's dtype, as NumPy does."""
    x = np.array([0.5, 1.25, 2.0], dtype)

    def f(x):
        out, narrow = np.zeros(3), np.zeros(3, np.float32)
        out[:] = x
        narrow[:] = x * 2
        narrow[0] = out[0]
        assert (out.dtype, narrow.dtype) == (np.float64, np.float32)
        y = x * 2
        y[0] = out[1]
        y += out
        assert y.dtype == x.dtype
        assert np.asarray(narrow[0] * 1.0).dtype == np.float32
        return np.sum(y) + np.sum(narrow * narrow)

    found = pb.grad(f)(x)
    assert found.dtype == dtype
    assert np.allclose(found, [1 + 2 * 0.5, 1 + 3 + 8 * 1.25, 3 + 8 * 2.0], rtol=1e-3)
    assert_same(np.asarray(pb.value_and_grad(f)(x)[0]), np.asarray(f(x)))


def test_a_python_number_becomes_the_arrays_dtype():
    def f(s):
        out = np.zeros(2, np.float32)
        out[0] = s
        assert out[0].dtype == np.float32
        assert (out[0] * np.ones(2, np.float32)).dtype == np.float32
        return out.sum() * 1.0

    assert pb.grad(f)(2.0) == 1.0


@pytest.mark.parametrize(
    "make", [lambda x: np.zeros(3, int), lambda x: np.arange(3), lambda x: np.array([1, 2, 3]), lambda x: x > 1]
)
def test_an_integer_array_would_cut(make):
    def f(x):
        out = make(x)
        out[0] = x[0]
        return np.sum(out * x)

    with pytest.raises(UnsupportedError, match=r"a traced float64 cannot be stored in an array of (int64|bool) \(.*"
                       r"test_item_assignment.py.*NumPy would cut off its fraction.*Make the array"):  # fmt: skip
        pb.grad(f)(X)


def test_integers_and_masks_are_stored():
    def f(x):
        order, chosen = np.zeros(3, int), np.zeros(3, bool)
        for i in range(3):
            order[i] = np.argmax(x) - i
            chosen[i] = x[i] > 1
        return np.sum(x[order] * x) + np.sum(x[chosen])

    check(f, X)


def test_a_variable_is_not_written_into():
    w = pb.variable(X)
    for change in (lambda: w.__setitem__(0, 1.0), lambda: w[1:].__setitem__(0, w[0]), lambda: w.T.__iadd__(1.0)):
        with pytest.raises(MutationError, match=r"a variable cannot be written into.*y = x.copy\(\)"):
            change()
    y = w.copy()
    y[0] = w[1] * 2
    z = np.zeros_like(y)
    z[:2] = y[:2]
    np.sum(z).backward()
    assert (w.grad == [0, 3, 0]).all()


def test_wrong_shapes_and_indices_are_numpys_errors():
    def f(x, key, value):
        out = np.zeros((2, 3))
        out[0] = x
        out[key] = value(x)
        return out.sum()

    for key, value, error in [
        (0, lambda x: x[:2], ValueError),
        (5, lambda x: x, IndexError),
        ((0, 0, 0), lambda x: x[0], IndexError),
        (slice(0, 1), lambda x: np.array([x, x]), ValueError),
        ([0, 3], lambda x: x, IndexError),
        (np.ones(3, bool), lambda x: x[0], IndexError),
        (0.5, lambda x: x, IndexError),
    ]:
        with pytest.raises(error):
            pb.grad(f)(X, key, value)
        with pytest.raises(error):
            f(X, key, value)
    with pytest.raises(IndexError, match="floating"):
        pb.grad(lambda x: f(x, x[0], lambda x: x))(X)
    with pytest.raises(ValueError, match="read-only"):
        pb.grad(lambda x: np.broadcast_to(x, (2, 3)).__setitem__(0, x))(X)


def test_an_assigned_mask_ends_the_nan_of_the_other_branch():
    """What was written over is owed nothing: zero, and not zero times infinity."""

    def f(x):
        out = np.log(x)
        out[x <= 0] = 0.0
        return out.sum()

    def g(x):
        out = np.zeros(3)
        out[:] = np.sqrt(x)
        out[0] = 1.0
        return np.sum(out**2 + out)

    x = np.array([0.0, 1.0, 4.0])
    with np.errstate(all="ignore"):
        assert (pb.grad(f)(x) == [0.0, 1.0, 0.25]).all()
        assert (pb.grad(lambda x: pb.grad(f)(x).sum())(x) == [0.0, -1.0, -1 / 16]).all()
        assert np.allclose(pb.grad(g)(x), [0.0, 1.5, 1.25])


def test_copies_by_the_copy_module():
    def f(x):
        out, y = np.zeros(3), x * 2
        out[0] = x[0]
        copies = [copy.copy(out), copy.deepcopy(out), copy.copy(y), copy.deepcopy(y), copy.deepcopy([out])[0]]
        y[:] = out[:] = 50.0
        return sum(c * x for c in copies)

    check(f, X)
    w = pb.variable(X, name="w")
    twin = copy.deepcopy(w)
    (twin * w).sum().backward()
    assert (twin.grad == X).all()


def test_a_diagonal_is_filled():
    def f(x):
        out = np.ones((3, 3))
        np.fill_diagonal(out, x)
        other = np.outer(x, x)
        np.fill_diagonal(other, x[0])
        tall = np.zeros((7, 3))
        np.fill_diagonal(tall, x[:2], wrap=True)  # again below, and what is given again from its start
        return out @ other + tall[:3] + tall[4:]

    check(f, X)


def test_a_long_loop_is_linear():
    """10,000 scalar writes, and reads of what was just written: no version of the array is copied."""
    n = 10_000

    def f(s):
        u = np.zeros(n)
        u[0] = s
        for i in range(n - 1):
            u[i + 1] = u[i] * 0.9999
        return u.sum()

    assert pb.grad(f)(1.0) == pytest.approx((1 - 0.9999**n) / (1 - 0.9999), rel=1e-10)


def test_written_over_many_times():
    def f(s):
        u = np.zeros(3)
        for i in range(6000):
            u[i % 3] = s * i
            if i % 1000 == 0:
                u[:] += s
        return u.sum()

    assert pb.grad(f)(2.0) == 5997 + 5998 + 5999


def test_matrix_products_in_place():
    """`a @= b` writes into a, as every other operator does."""

    def f(x):
        a = x * 1.0
        alias, turned = a, a.T
        a @= x.T
        turned @= np.eye(3) * 2.0
        b = np.ones((3, 3))
        seen = b
        b @= x
        row = x[0] * 1.0
        row @= x
        return np.sum(alias * np.arange(9.0).reshape(3, 3)) + np.sum(seen[0] ** 2) + np.sum(row)

    x = np.linspace(0.1, 0.9, 9).reshape(3, 3)
    assert pb.value_and_grad(f)(x)[0] == pytest.approx(f(x), rel=1e-13)
    assert pb.compile(f)(x) == pytest.approx(f(x), rel=1e-13)
    pb.check_grads(f, x, order=2)
