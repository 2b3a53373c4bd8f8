"""Buffers: arrays that np.zeros and its like make in a trace, ordinary until a traced value is stored in them."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

import amount
import payback as pb
from ops.checks import assert_same
from payback.errors import MutationError, PaybackError, TraceError, UnsupportedError
from payback.trace.assignment.buffer import any_traced
from payback.trace.plain_arrays import now
from programs.assignments import X, writes

M = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -3.0]])


def test_the_memory_of_a_traced_buffer_is_nan():
    """Whatever looks past the protocols finds NaN, and cannot write."""
    seen = []

    def f(x):
        out = np.ones(3)
        view = out[1:]
        before = np.ndarray.view(out, np.ndarray)
        out[0] = x[0]
        seen.extend([before.copy(), np.ndarray.view(view, np.ndarray)])
        with pytest.raises(ValueError, match="read-only"):
            np.ndarray.__setitem__(out, 0, 5.0)
        return out.sum()

    assert (pb.grad(f)(X) == [1, 0, 0]).all()
    assert all(np.isnan(array).all() for array in seen)


PAST_NUMPY = {
    "a memoryview": lambda a: memoryview(a), "a part of a memoryview": lambda a: memoryview(a[1:]).cast("B")[8:],
    "data": lambda a: a.data, "an address": lambda a: a.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
    "an interface": lambda a: np.asarray(SimpleNamespace(__array_interface__=a.__array_interface__, of=a)),
    "dlpack": lambda a: np.from_dlpack(a), "ctypes": lambda a: np.ctypeslib.as_ctypes(a),
}  # fmt: skip


@pytest.mark.parametrize("way", PAST_NUMPY.values(), ids=PAST_NUMPY)
def test_memory_that_is_seen_past_numpy_does_not_become_traced(way):
    """What it shows would be old, and what is written through it would be lost."""

    def f(x):
        a = np.ones(4)
        seen = way(a)
        a[0] = x
        return a.sum() if seen is not None else x

    assert np.isfinite(f(2.0))
    with pytest.raises(MutationError, match="looked at past NumPy"):
        pb.grad(f)(2.0)


def test_memory_that_was_seen_past_numpy():
    def f(x):
        a = np.ones(4)
        total = sum(memoryview(a)) + len(bytes(a.data)) + isinstance(a.data, memoryview)
        a[0] = x * total
        return a.sum()

    assert pb.value_and_grad(f)(2.0) == (f(2.0), 37.0)


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
    lambda a: a[0].searchsorted(1.0),
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
    lambda a: a.tobytes(), lambda a: a.tofile("x"), lambda a: a[1, 1].__float__(),
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


def test_the_bytes_of_a_buffer_of_numbers_are_seen_as_another_dtype():
    def f(x):
        made = np.arange(3.0)
        bits = made.view(np.int64) >> 52
        assert type(made.view(np.uint8)) is type(made)
        return np.sum(x * bits)

    assert pb.grad(f)(X).tolist() == (np.arange(3.0).view(np.int64) >> 52).tolist()


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


# What NumPy may do with a traced buffer besides dispatching it: ask for its shape.
SHAPE_ONLY = {"zeros_like", "ones_like", "empty_like"}

COUNTS = {"histogramdd", "histogram2d"}  # floating numbers that do not vary

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
                    plain = not any_traced(part) and isinstance(part, (np.ndarray, np.generic, float))
                    plain = plain and np.asarray(part).dtype.kind in "fc"
                    if plain and np.isfinite(part).any():
                        leaks.append((name, count, part))
        return x.sum()

    pb.grad(calls)(X)
    assert leaks == []


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("way", [lambda f: lambda x: pb.vjp(f, x)[0], pb.compile])
def test_places_along_an_axis_of_plain_arrays(way, axis):
    def f(x):
        w = np.zeros(3)
        np.put_along_axis(w, np.array([1]), 7.0, axis)
        return x * w

    np.testing.assert_array_equal(way(f)(np.ones(3)), [0.0, 7.0, 0.0])


@pytest.mark.parametrize("early", [False, True], ids=["after the writes", "before the writes"])
def test_frombuffer_shows_what_is_stored(early):
    def f(x):
        a = np.zeros((2, 2))
        seen = [np.frombuffer(a, offset=8), np.frombuffer(memoryview(a), float, 2)] if early else []
        a[0, 1], a[1, 0] = x
        rest, two = seen or [np.frombuffer(a, offset=8), np.frombuffer(a, float, 2)]
        rest[2] = x[0] * x[1]
        return (rest**3).sum() + two[1] + a[1, 1]

    x = np.array([1.5, -2.0])
    expected = [3 * x[0] ** 2 + 3 * x[0] ** 2 * x[1] ** 3 + 1 + x[1], 3 * x[1] ** 2 + 3 * x[0] ** 3 * x[1] ** 2 + x[0]]
    for transformed in (pb.value_and_grad(f), pb.compile(pb.value_and_grad(f))):
        value, gradient = transformed(x)
        np.testing.assert_allclose(value, f(x), rtol=1e-15)
        np.testing.assert_allclose(gradient, expected, rtol=1e-14)


def test_frombuffer_as_other_numbers_is_refused():
    def f(x):
        a = np.zeros(3)
        bits = np.frombuffer(a, np.uint8)
        a[0] = x
        return a.sum() * bits[0]

    with pytest.raises(UnsupportedError, match=r"np\.frombuffer of an array that was made in a traced function"):
        pb.grad(f)(1.0)
    assert pb.grad(lambda x: x * np.frombuffer(np.arange(3), int)[2] * np.frombuffer(b"\0" * 8).size)(1.0) == 2.0
