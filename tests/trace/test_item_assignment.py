"""Item assignment: NumPy's own programs, with NumPy's values and right derivatives of first and second order."""

from __future__ import annotations

import copy
import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import amount
import payback as pb
from ops.checks import assert_same
from payback.errors import MutationError, PaybackError, TraceError, UnsupportedError
from payback.trace.abstract import trace
from payback.trace.array import Traced
from payback.trace.arrays import now

X = np.array([0.5, 1.25, 2.0])
M = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -3.0]])


def check(f, *args, order=2):
    """NumPy's value, and derivatives that agree with finite differences; without numbers, the same."""
    expected = f(*[np.array(a) if np.ndim(a) else a for a in args])
    value, _ = pb.vjp(f, *args)
    assert np.allclose(value, expected, rtol=1e-13, atol=1e-13)
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    pb.check_grads(f, *args, order=order, rtol=1e-5, atol=1e-6)


def writes(out, x, index):
    out[index] = x
    return out


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
        return row.sum() * column + corner.sum() * tail[0] * y

    with pytest.raises(ValueError, match="broadcast"):
        f(X)
    check(lambda x: f_of_views(x), X)


def f_of_views(x):
    out = np.zeros((2, 3))
    row, column, corner = out[1], out[:, 0], out[1:, 1:]
    y = x * 2
    tail = y[1:]
    out[:] = x
    y[1] = x[0]
    return row * column.sum() + corner.sum() * tail[0] * y


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


LOOPS = {
    "augmented": lambda x: _augmented(x),
    "triangle": lambda x: _triangle(x),
    "recurrence": lambda x: _recurrence(x),
    "swap": lambda x: _swap(x),
    "stencil": lambda x: _stencil(x),
    "masks": lambda x: _masks(x),
    "overlap": lambda x: _overlap(x),
    "copyto": lambda x: _copyto(x),
    "add.at": lambda x: _add_at(x),
    "ufunc out": lambda x: _ufunc_out(x),
    "iteration": lambda x: _iteration(x),
    "swapped axes": lambda x: _axes(x),
    "plain over traced": lambda x: _plain_over(x),
}


def _augmented(x):
    out = np.ones(3)
    out[1:] += x[1:]
    out[0] *= x[0]
    out[[0, 2]] -= x[:2]
    out[out > 1.5] *= 2
    out /= 3
    return out


def _triangle(x):
    out = np.zeros((3, 3))
    for i in range(3):
        for j in range(i + 1):
            out[i, j] = x[i] * x[j]
            out[j][i] = out[i][j] + i
    return out @ x


def _recurrence(x):
    u = np.zeros((6, 2))
    u[0] = x[:2]
    for i in range(5):
        u[i + 1] = u[i] + 0.1 * np.array([u[i, 1], -np.sin(u[i, 0])])
        if i:
            u[i - 1, 0] = u[i, 1]
    return u


def _swap(x):
    y = np.array(x)
    y[0], y[2] = y[2] * 1.0, y[0] * 2.0
    y[[0, 1]] = y[[1, 0]]
    return y * x


def _stencil(x):
    u = np.zeros(8)
    u[2:5] = x
    for _ in range(4):
        u[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


def _masks(x):
    y = x * 1.0
    y[y > 1] *= 2
    y[~(y > 1)] = 0
    out = np.where(x > 1, 0.0, np.ones(3))
    out = np.array(out)
    out[x > 1] = np.log(y[x > 1])
    return out + y


def _overlap(x):
    y = np.arange(5.0)
    y[:3] = x
    y[1:] = y[:-1]
    y[:] = y[::-1]
    y[1:] += y[:-1]
    return y


def _copyto(x):
    out, other = np.zeros(3), x * 2
    np.copyto(out, x)
    np.copyto(other, x * x, where=X > 1)
    filled = np.zeros(2)
    filled.fill(x[1])
    return out * other + filled.sum()


def _add_at(x):
    out = np.zeros((2, 3))
    np.add.at(out, (0, np.array([0, 0, 2])), x)
    np.subtract.at(out, (slice(None), [1, 1]), x[0])
    y = x * 1.0
    np.add.at(y, [0, 0], x[1:])
    return out * y


def _ufunc_out(x):
    out = np.empty(3)
    np.multiply(x, x, out=out)
    np.sin(out, out)
    np.add(out, 1.0, out=out)
    y = x * 2
    np.exp(x, out=y)
    return out * y


def _iteration(x):
    out = np.zeros((3, 2))
    for k, row in enumerate(out):
        row[:] = x[k]
        row[1] *= x[0]
    return sum(row * 2 for row in out) + np.array([v.sum() for v in out])[:2]


def _axes(x):
    out = np.zeros((2, 1, 3))
    out.swapaxes(0, 2)[0] = x[0]
    np.moveaxis(out, 0, -1)[0, 1] = x[:2]
    np.squeeze(out)[1] *= x
    out.ravel()[0] = x[1]
    return out


def _plain_over(x):
    out = np.zeros(4)
    out[:3] = x
    out[1] = 7.0
    out[2:] = [1, 2]
    assert isinstance(out[1], np.float64)
    assert out[1] == 7
    y = x * 2
    y[0] = 3
    return out.sum() * y


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name):
    f = LOOPS[name]
    check(lambda x: np.sin(f(x)), X)


@pytest.mark.parametrize("name", [n for n in LOOPS if n not in ("masks", "augmented")])
def test_without_numbers(name):
    f = LOOPS[name]
    if name == "plain over traced":
        f = lambda x: _stencil(x)[None].T  # noqa: E731
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


def test_the_memory_of_a_traced_buffer_is_nan():
    """Whatever looks past the protocols finds NaN, and cannot write."""
    seen = []

    def f(x):
        out = np.ones(3)
        view = out[1:]
        memory = memoryview(out)
        before = np.ndarray.view(out, np.ndarray)
        out[0] = x[0]
        seen.extend([np.array(memory), before.copy(), np.ndarray.view(view, np.ndarray)])
        with pytest.raises(ValueError, match="read-only"):
            np.ndarray.__setitem__(out, 0, 5.0)
        return out.sum()

    assert (pb.grad(f)(X) == [1, 0, 0]).all()
    assert all(np.isnan(array).all() for array in seen)


UNTRACED = [
    lambda a: a.sum(),
    lambda a: a[1:].mean(),
    lambda a: a.tolist(),
    lambda a: a.T.copy(),
    lambda a: np.linalg.norm(a),
    lambda a: np.cumsum(a),
    lambda a: a @ a.T,
    lambda a: np.linalg.svd(a)[1],
    lambda a: np.sort(a, axis=1),
    lambda a: a.argsort(),
    lambda a: np.histogram(a)[0],
    lambda a: list(a[0]),
    lambda a: float(a[0, 0]),
    lambda a: np.median(a),
    lambda a: a.flat[3],
    lambda a: str(a),
    lambda a: f"{a[0, 0]:.3f}",
    lambda a: a.astype(int),
    lambda a: np.fft.fft(a).real,
    lambda a: np.unique(a),
    lambda a: bool(a[0, 0]),
    lambda a: len(a),
    lambda a: a.view().copy(),
    lambda a: np.einsum("ij->i", a),
    lambda a: a.item(2),
    lambda a: np.random.default_rng(0).permutation(a),
    lambda a: np.frexp(a)[0],
    lambda a: np.add.reduce(a, axis=1),
    lambda a: np.modf(a)[1],
    lambda a: 2.0 in a,
    lambda a: a.searchsorted(1.0) if a.ndim == 1 else 0,
    lambda a: np.savetxt,
    lambda a: np.pad(a, 1),
    lambda a: a.nbytes,
    lambda a: np.interp(0.3, a[0], a[0]),
    lambda a: np.isnan(a).any(),
    lambda a: (a == a).all(),
    lambda a: -a // 2,
]


@pytest.mark.parametrize("call", UNTRACED)
def test_a_buffer_without_traced_values_is_an_ordinary_array(call):
    base = np.arange(6.0).reshape(2, 3)
    expected = call(base.copy())
    found = []

    def f(x):
        made = np.array(base)
        assert isinstance(made, np.ndarray)
        found.append(call(made))
        made[0] = 9.0
        return x[0]

    pb.grad(f)(X)
    assert np.shape(found[0]) == np.shape(expected)
    assert np.all(np.asarray(found[0]) == np.asarray(expected))


TRACED = [
    lambda a: a.sum(),
    lambda a: a[1:].mean(),
    lambda a: a.T.copy(),
    lambda a: a @ a.T,
    lambda a: a.dot(X),
    lambda a: np.dot(X[:2], a),
    lambda a: X * a,
    lambda a: a - 1,
    lambda a: 1 / (a + 9),
    lambda a: np.exp(a),
    lambda a: np.stack([a, a]),
    lambda a: np.concatenate([a, M]),
    lambda a: np.where(M > 0, a, 0),
    lambda a: a.max(),
    lambda a: a.reshape(-1)[::2],
    lambda a: a.ravel(),
    lambda a: a.flatten(),
    lambda a: np.sum([a, a]),
    lambda a: abs(a),
    lambda a: a[M > 0],
    lambda a: a[[0, 0]],
    lambda a: np.asarray(a) * 2,
    lambda a: np.array(a),
    lambda a: np.copy(a),
    lambda a: np.clip(a, -1.1, 1.1),
    lambda a: a.astype(np.float32),
    lambda a: a.clip(0.1, 1.9),
    lambda a: a.min(axis=0),
    lambda a: np.full_like(a, 2.0) * a,
    lambda a: np.zeros_like(a) + a,
    lambda a: sum(a),
    lambda a: np.outer(a[0], a[1]),
    lambda a: np.add.reduce(a),
    lambda a: np.tensordot(a, a, 2),
    lambda a: a.swapaxes(0, 1),
    lambda a: a.squeeze(),
    lambda a: np.broadcast_to(a, (2, 2, 3)),
    lambda a: np.expand_dims(a, 0),
    lambda a: np.vstack([a, a]),
    lambda a: -a,
    lambda a: np.float64(2) * a,
    lambda a: np.inner(a, M),
    lambda a: np.subtract.outer(a[0], a[1]),
    lambda a: a**2,
]


@pytest.mark.parametrize("call", TRACED)
def test_a_traced_buffer_goes_through_payback(call):
    def f(x):
        made = np.array(M)
        made[1] = x * 2
        made[0, 1] = x[0]
        return call(made) * 1.0

    expected = f(X)
    value, _ = pb.vjp(f, X)
    assert_same(
        np.asarray(value), np.asarray(expected)
    ) if expected.dtype == np.float32 else np.testing.assert_allclose(value, expected, rtol=1e-13)
    if expected.dtype == np.float64:
        pb.check_grads(f, X)


@pytest.mark.parametrize("call", [
    lambda a: np.linalg.eigvals(a), lambda a: a.tobytes(), lambda a: a.tofile("x"), lambda a: float(a[1, 1]),
    lambda a: a.view(np.int64).sum(), lambda a: np.nditer(a), lambda a: a.resize(9), lambda a: a.byteswap(),
])  # fmt: skip
def test_what_a_traced_buffer_cannot_do_raises(call):
    def f(x):
        made = np.array(M)
        made[1] = x
        call(made)
        return made.sum()

    with pytest.raises((UnsupportedError, TraceError, AttributeError)):
        pb.grad(f)(X)


def test_buffers_go_into_transforms_and_out_of_them():
    def f(x):
        out, bar = np.zeros(3), np.zeros(3)
        out[:] = x * x
        bar[1] = x[0]
        inner = pb.grad(lambda y: np.sum(y**3))(out)
        _, pull = pb.vjp(lambda y: y * y, out)
        return np.sum(inner * x) + pull(bar)[0].sum() + np.sum(pb.stop_gradient(out) * x)

    expected = 15 * X**4 + X**2
    expected[0] += 2 * X[1] ** 2
    expected[1] += 4 * X[1] * X[0]
    assert np.allclose(pb.grad(f)(X), expected)


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
        return out @ other

    check(f, X)


# The property: random programs.

KEYS = st.sampled_from(
    [
        0,
        -1,
        (1, 2),
        (slice(None), 1),
        slice(None),
        (0, slice(None, None, -1)),
        ...,
        (slice(1, None), slice(0, 2)),
        ([0, 1], [2, 0]),
        ([1, 1],),
        (slice(None), [2, 0, 2]),
        "mask",
        "row mask",
        (0, None),
        (..., -1),
        (slice(None, None, -1),),
    ]
)
MAKES = st.sampled_from(["zeros", "copy", "expression", "full", "F", "reuse", "transpose", "view", "flat"])
STEP = st.tuples(MAKES, KEYS, st.sampled_from(["=", "+=", "*=", "-=", "plain"]), st.integers(0, 99), KEYS)


def run_program(steps, x):
    arrays = [x * 1.5]
    for make, key, how, pick, source in steps:
        a = arrays[pick % len(arrays)]
        match make:
            case "zeros":
                a = np.zeros((2, 3))
            case "copy":
                a = a.copy()
            case "expression":
                a = np.tanh(a) + 0.25
            case "full":
                a = np.full((2, 3), x[0, 1])
            case "F":
                a = np.ones((3, 2), order="F").T
            case "transpose" if a.ndim == 2:
                a = a.T
            case "view" if a.ndim and a.shape[0] > 1:
                a = a[1:]
            case "flat" if a.ndim:
                a = a.reshape(-1)
        arrays.append(a)
        masks = {
            "mask": np.arange(a.size).reshape(a.shape) % 3 != 1,
            "row mask": np.arange(len(a) if a.ndim else 0) % 2 == 0,
        }
        key, source = (masks[k] if isinstance(k, str) else k for k in (key, source))
        try:
            shape = np.empty(a.shape)[key].shape
        except IndexError:
            continue
        b = arrays[(pick * 7 + 3) % len(arrays)]
        try:
            value = np.tanh(b[source])
            np.broadcast_shapes(np.shape(value), shape)
            fits = np.broadcast_shapes(np.shape(value), shape) == shape
        except (IndexError, ValueError):
            fits = False
        if not fits:
            value = np.sin(np.sum(b)) + 0.01 * pick
        match how:
            case "=":
                a[key] = value
            case "+=":
                a[key] += value
            case "*=":
                a[key] *= value
            case "-=":
                a[key] -= value
            case "plain":
                a[key] = 0.01 * pick
    return [np.sin(a) for a in arrays]


@given(st.lists(STEP, min_size=1, max_size=8))
def test_random_programs(steps):
    x = np.array([[0.5, -0.75, 1.0], [0.25, 0.875, -0.5]])
    expected = run_program(steps, x.copy())
    value, _ = pb.vjp(lambda v: run_program(steps, v), x)
    for found, wanted in zip(value, expected, strict=True):
        assert np.shape(found) == np.shape(wanted)
        assert np.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    pb.check_grads(lambda v: run_program(steps, v), x, order=2, rtol=1e-4, atol=1e-5)


@given(st.lists(STEP, min_size=1, max_size=6))
def test_random_programs_without_numbers(steps):
    x = np.array([[0.5, -0.75, 1.0], [0.25, 0.875, -0.5]])

    def f(v):
        return sum(np.sum(a) for a in run_program(steps, v))

    value, found = trace(pb.value_and_grad(f), x)(x)
    expected, slope = pb.value_and_grad(f)(x)
    assert np.allclose(value, expected, rtol=1e-12)
    assert np.allclose(found, slope, rtol=1e-11, atol=1e-12)


# From the collections of test problems that people have (Moré, Garbow & Hillstrom 1981), as they are written there.


def extended_rosenbrock(x):
    n = len(x)
    f = np.zeros(n)
    for i in range(n // 2):
        f[2 * i] = 10.0 * (x[2 * i + 1] - x[2 * i] ** 2)
        f[2 * i + 1] = 1.0 - x[2 * i]
    return f


def powell_singular(x):
    f = np.empty(4)
    f[0] = x[0] + 10.0 * x[1]
    f[1] = np.sqrt(5.0) * (x[2] - x[3])
    f[2] = (x[1] - 2.0 * x[2]) ** 2
    f[3] = np.sqrt(10.0) * (x[0] - x[3]) ** 2
    return f


def broyden_tridiagonal(x):
    n = x.size
    f = np.zeros((n,))
    for i in range(n):
        f[i] = (3.0 - 2.0 * x[i]) * x[i] + 1.0
        if i > 0:
            f[i] -= x[i - 1]
        if i < n - 1:
            f[i] -= 2.0 * x[i + 1]
    return f


def chained_rosenbrock(x):
    terms = np.zeros((len(x) - 1, 2))
    for i in range(len(x) - 1):
        row = terms[i]
        row[0] = 10 * (x[i + 1] - x[i] ** 2)
        row[1] = 1 - x[i]
    return np.sum(terms**2, axis=1)


@pytest.mark.parametrize("f", [extended_rosenbrock, powell_singular, broyden_tridiagonal, chained_rosenbrock])
def test_problems_of_more_garbow_and_hillstrom(f):
    x = np.array([-1.2, 1.0, 0.5, 2.0])
    value, pull = pb.vjp(f, x)
    assert np.allclose(value, f(x), rtol=1e-14)
    rows = np.array([pull(row)[0] for row in np.eye(len(value))])
    step = 1e-6
    expected = np.array([(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(4)]).T
    assert np.allclose(rows, expected, rtol=1e-7, atol=1e-7)
    assert np.allclose(pb.jacobian(f, mode="forward")(x), rows, rtol=1e-14)
    assert np.allclose(pb.jacobian(f, mode="reverse")(x), rows, rtol=1e-14)
    cost = lambda v: np.sum(f(v) ** 2)  # noqa: E731
    assert np.allclose(pb.hessian(cost)(x), pb.jacobian(pb.grad(cost), mode="reverse")(x), rtol=1e-11, atol=1e-9)
    pb.check_grads(f, x, order=3)


def test_algorithms_in_place():
    """LU factors, Gaussian elimination and modified Gram–Schmidt, as textbooks write them."""

    def factors(x):
        a = np.eye(3)
        a[0] = x
        a[1:, 0] = x[1:]
        for k in range(3):
            a[k + 1 :, k] /= a[k, k] + 1
            a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
        return a

    def solution(x):
        a, b = np.array([[4.0, 1, 0], [1, 5, 2], [0, 2, 6]]), x * 1.0
        a[0, 0] += x[0]
        for i in range(3):
            for j in range(i + 1, 3):
                m = a[j, i] / a[i, i]
                a[j, i:] -= m * a[i, i:]
                b[j] -= m * b[i]
        s = np.zeros(3)
        for i in reversed(range(3)):
            s[i] = (b[i] - a[i, i + 1 :] @ s[i + 1 :]) / a[i, i]
        return s

    def orthogonal(x):
        q = np.array([[2.0, 0.5, 0.25], [0.0, 1.5, 1.0], [1.0, 0.0, 2.0]])
        q[:, 0] += x
        for i in range(3):
            q[:, i] /= np.sqrt(np.sum(q[:, i] ** 2))
            for j in range(i + 1, 3):
                q[:, j] -= (q[:, i] @ q[:, j]) * q[:, i]
        return q

    for f in (factors, solution, orthogonal):
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


# What NumPy may do with a traced buffer besides dispatching it: ask for its shape.
SHAPE_ONLY = {"zeros_like", "ones_like", "empty_like"}
COUNTS = {"histogramdd"}  # floating numbers that do not vary
NOT_CALLED = {"save", "savetxt", "savez", "savez_compressed", "show_config", "show_runtime", "info", "test", "fromfile",
              "load", "loadtxt", "genfromtxt", "memmap", "set_printoptions", "seterr", "setbufsize", "seterrcall",
              "fromregex", "get_include", "lookfor", "source", "printoptions"}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", [np, np.linalg, np.fft], ids=lambda module: module.__name__)
def test_no_function_of_numpy_computes_with_the_memory(module):
    """Each either dispatches, or raises, or finds NaN; never a number without its derivative."""
    leaks = []

    def calls(x):
        for name in dir(module):
            function = getattr(module, name)
            is_class = isinstance(function, type) and not issubclass(function, np.generic)
            if name.startswith("_") or name in NOT_CALLED | SHAPE_ONLY | COUNTS or not callable(function) or is_class:
                continue
            for count in range(1, amount.cases(2, 4)):
                made = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]])
                made[...] = x
                try:
                    result = function(*[made] * count)
                except (PaybackError, Exception):
                    continue
                for part in result if isinstance(result, tuple) else (result,):
                    part = now(part)
                    plain = not isinstance(part, Traced) and isinstance(part, (np.ndarray, np.generic, float))
                    plain = plain and np.asarray(part).dtype.kind in "fc"
                    if plain and np.isfinite(part).any():
                        leaks.append((name, count, part))
        return x.sum()

    pb.grad(calls)(X)
    assert leaks == []


# The shim leaves nothing behind.


def names():
    import math

    return dict(np.__dict__), dict(math.__dict__), dict(globals()), (np.vectorize.__call__, type(np), type(math))


def unchanged(before):
    after = names()
    return all(
        a.keys() == b.keys() and all(a[key] is b[key] for key in a) for a, b in zip(before[:3], after[:3], strict=True)
    ) and (before[3] == after[3])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_everything_is_restored_when_it_raises(error):
    def f(x):
        np.zeros(3)[0] = x[0]
        pb.grad(lambda y: y[0] * y[1])(x)
        raise error("stop")

    before = names()
    with pytest.raises(error):
        pb.grad(f)(X)
    assert unchanged(before)


def test_nested_transforms_keep_the_shim():
    def f(x):
        inner = pb.grad(lambda y: np.sum(_triangle(y)))(x)
        out = np.zeros(3)
        out[:] = inner * x
        return out.sum()

    before = names()
    check(lambda x: f(x) * x[0], X)
    assert unchanged(before)


def test_a_generator_inside():
    def rows(x):
        out = np.zeros((3, 2))
        for i in range(3):
            out[i] = x[i]
            yield out[i] * 2

    check(lambda x: sum(rows(x)) * np.ones(2), X)
    # one that outlives its trace goes on without the shim
    kept = []

    def f(x):
        lazy = (np.zeros(2) for _ in range(2))
        kept.append(lazy)
        return next(lazy).sum() + x.sum()

    before = names()
    pb.grad(f)(X)
    assert type(next(kept[0])) is np.ndarray
    assert unchanged(before)


def test_other_threads_see_plain_numpy():
    before = names()
    inside, done = threading.Event(), threading.Event()
    kinds = []

    def other():
        inside.wait(10)
        made = np.zeros(3)
        kinds.append(type(made))
        with pytest.raises(ValueError, match="sequence"):
            made[0] = [1.0, 2.0]
        done.set()

    def f(x):
        inside.set()
        done.wait(10)
        out = np.zeros(3)
        out[0] = x[0]
        return out.sum()

    thread = threading.Thread(target=other)
    thread.start()
    pb.grad(f)(X)
    thread.join()
    assert kinds == [np.ndarray]
    assert unchanged(before)


def test_eight_threads():
    before = names()
    wrong = []
    start = threading.Barrier(8)

    def work(seed):
        x = np.random.default_rng(seed).standard_normal(3)
        start.wait()
        for _ in range(40):
            found = pb.grad(lambda v: np.sum(_triangle(v)))(x)
            expected = pb.grad(lambda v: np.sum(np.array([v[0], v[1], v[2]])))(x)
            if type(np.zeros(1)) is not np.ndarray or not np.isfinite(found).all() or (expected != 1).any():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert unchanged(before)


def test_a_replaced_function_stays_replaced(monkeypatch):
    mine = lambda *args, **kwargs: np.ones(3)  # noqa: E731
    monkeypatch.setattr(np, "zeros", mine)
    pb.grad(lambda x: np.zeros(3) @ x)(X)
    assert np.zeros is mine

    def f(x):
        np.empty = mine
        return x.sum()

    original = np.empty
    pb.grad(f)(X)
    assert np.empty is mine
    np.empty = original


def test_what_a_function_returns_is_no_buffer():
    value, _ = pb.vjp(lambda x: {"a": np.zeros(2) + 1, "b": x * 2}, X)
    assert type(value["a"]) is np.ndarray
    assigned = lambda x: (x.sum(), (writes(np.zeros(3), x[0], 0), np.ones(2)))  # noqa: E731
    (_, (aux, plain)), _ = pb.value_and_grad(assigned, has_aux=True)(X)
    assert (aux == [0.5, 0, 0]).all()
    assert type(plain) is np.ndarray


def test_named_fields_are_refused_as_such():
    def f(x):
        table = np.zeros(3, dtype=[("a", float), ("b", float)])
        table["a"][1] = x[0]
        return table["a"].sum()

    with pytest.raises(MutationError, match=r"the array table has named fields.*an array for each field"):
        pb.grad(f)(np.ones(2))


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
