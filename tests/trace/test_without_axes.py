"""Arrays without axes and NumPy's numbers: one is written into and has views, the other is not."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import UnsupportedError

A = np.array([1.0, 2.0, 3.0])
MAKE = {
    "array": lambda a, s: np.array(s * 2.0), "asarray": lambda a, s: np.asarray(s + 1.0),
    "of a number": lambda a, s: np.array(s), "full": lambda a, s: np.full((), s),
    "where": lambda a, s: np.where(s > 0, s, a[0]), "[...]": lambda a, s: np.sum(a)[...],
    "copy": lambda a, s: np.copy(a[0]), "roll": lambda a, s: np.roll(s * 1.0, 1),
    "asarray of a sum": lambda a, s: np.asarray(a.sum()), "squeezed": lambda a, s: a[:1].squeeze(),
    "select": lambda a, s: np.select([s > 0.0], [s]), "copied": lambda a, s: np.array(s).copy(),
    "broadcast": lambda a, s: np.broadcast_to(s * 1.0, ()).copy(),
    "broadcast_arrays": lambda a, s: np.broadcast_arrays(s, 1.0)[0],
    "astype": lambda a, s: np.array(s).astype(np.float64), "a number": lambda a, s: a.sum(),
    "an entry": lambda a, s: a[0], "sin": lambda a, s: np.sin(np.array(s)),
}  # fmt: skip


def second(t, a, s):
    u = t
    u += a[1]
    return t * 1.0 + u


def through_a_row(t, a, s):
    row = t.reshape(1)
    row[0] = 7.0 * s
    return t * 1.0


def at_least(t, a, s):
    row = np.atleast_1d(t)
    row[0] += a[2]
    return t + row[0]


def spread(t, a, s):
    seen = np.broadcast_to(t, (2,))
    t += 1.0
    return seen.sum()


def seen_later(t, a, s):
    row, column = t.ravel(), t[None]
    t *= a[0]
    column[0] -= s
    return row.sum() * t


def given(t, a, s):
    def change(z):
        z *= s

    change(t)
    return t * 1.0


def asked(t, a, s):
    return s * (2.0 if isinstance(t, np.ndarray) else 3.0)


@pytest.mark.parametrize(
    "use", [second, through_a_row, at_least, spread, seen_later, given, asked], ids=lambda use: use.__name__
)
@pytest.mark.parametrize("make", MAKE)
def test_as_numpy(make, use):
    def f(a, s):
        return use(MAKE[make](a, s), a, s)

    wanted = f(A.copy(), 0.5)
    value, gradient = pb.value_and_grad(f, argnums=(0, 1))(A, 0.5)
    assert value == wanted
    assert pb.compile(f)(A, 0.5) == wanted
    step = 1e-6 * np.array([1.0, -2.0, 0.5])
    moved = (f(A + step, 0.5 + 1e-6) - f(A - step, 0.5 - 1e-6)) / 2e-6
    assert np.isclose(gradient[0] @ step * 1e6 + gradient[1], moved, 1e-6)


@pytest.mark.parametrize("native", [True, False])
def test_an_argument_without_axes(native):
    """It is compiled as what it is, whatever the function was called with before."""

    def f(x):
        y = x
        y += 1.0
        return x * 2.0

    compiled = pb.compile(f, native=native)
    for x in (np.float64(0.5), np.array(0.5), 0.5) * 2:
        wanted = f(x.copy() if isinstance(x, np.ndarray) else x)
        assert compiled(x) == pb.vjp(f, x)[0] == wanted == (3.0 if isinstance(x, np.ndarray) else 1.0)


def test_a_number_is_not_written_into():
    for write in (lambda x: x.fill(2.0), lambda x: x.__setitem__(..., 1.0), lambda x: np.copyto(x, 3.0)):
        with pytest.raises(UnsupportedError, match="a number cannot be written into"):
            pb.grad(lambda a, write=write: write(a.sum()) or a.sum())(A)


@pytest.mark.parametrize("f", [
    lambda s: np.sum(s, axis=0), lambda s: np.prod(s, axis=-1, keepdims=True), lambda s: np.max(s, axis=0),
    lambda s: np.ptp(s, axis=0),
    lambda s: np.take(s, [0, -1], axis=-1), lambda s: np.repeat(s, 2, axis=0), lambda s: np.cumulative_sum(s, axis=0),
    lambda s: np.logaddexp.reduce(s), lambda s: s * np.argsort(s), lambda s: np.any(s > 0, axis=0) * s,
    lambda s: np.argmax(s, axis=0) * s, lambda s: np.argmin(s, axis=-1, keepdims=True) * s,
    lambda s: np.nanstd(s, axis=0), lambda s: np.nanvar(s, axis=-1), lambda s: np.nan_to_num(s, copy=None),
    lambda s: np.logaddexp.reduce(s, keepdims=True),
])  # fmt: skip
def test_a_number_along_its_axis(f):
    for s in (0.7, np.float64(0.7), np.array(0.7)):
        for found in (pb.vjp(f, s)[0], pb.compile(f)(s)):
            np.testing.assert_array_equal(found, f(s), strict=True)


@pytest.mark.parametrize("change", [
    lambda t, a: t.fill(3.0 * a[0]), lambda t, a: t.__setitem__(..., a[1]), lambda t, a: np.copyto(t, a[2]),
    lambda t, a: np.add(t, a[0], out=t), lambda t, a: t.__iadd__(np.ones(())), lambda t, a: np.put(t, 0, a[1]),
    lambda t, a: np.multiply.at(t, (), a[1]), lambda t, a: t.T.__imul__(a[2]),
])  # fmt: skip
def test_what_is_chosen_on_a_tape_is_written_into(change):
    def f(a):
        total = 0.0
        for k in range(40):
            t = np.where(a[k % 3] > 1.5, a[k % 3], total * 0.5)
            other = t
            change(t, a)
            total = total + other * 0.25 + t
        return total

    wanted = f(A.copy())
    assert np.isclose(pb.compile(f)(A), wanted, 1e-14)
    np.testing.assert_allclose(pb.compile(pb.grad(f))(A), pb.grad(f)(A), 1e-13)
    assert np.isclose(pb.grad(f)(A) @ A * 1e-6, (f(A * (1 + 1e-6)) - f(A * (1 - 1e-6))) / 2, 1e-6)


@pytest.mark.parametrize("number", [
    lambda s: ((s > 0) & (s < 1)) + s, lambda s: s * ((s > 0) | False), lambda s: s + (True ^ (s < 0)),
    lambda s: abs(s * 1j), lambda s: abs(complex(1.0, 2.0) * s) ** 2,
])  # fmt: skip
@pytest.mark.parametrize("way", [lambda f: lambda s: pb.vjp(f, s)[0], pb.compile])
def test_pythons_numbers_stay_what_they_are(number, way):
    """So the dtype of an array beside them is the result's."""
    wanted = number(0.7) * np.ones(2, np.float32)
    found = way(lambda s: number(s) * np.ones(2, np.float32))(0.7)
    assert found.dtype == wanted.dtype == np.float32
    np.testing.assert_allclose(found, wanted, 1e-6)
