"""Programs that know nothing of payback (`science.py`), in every mode: all from the same unchanged functions."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import TraceError
from programs.science import PROGRAMS

pytestmark = [  # x·log x at 0: what NumPy says of the program by itself
    pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
]
WHOLE = [name for name, (_, _, looks) in PROGRAMS.items() if not looks]


def direction(x, seed=0):
    return np.random.default_rng(seed).standard_normal(x.shape)


def slope(f, x, v, h=1e-3):
    """d f(x + t·v) / dt at 0, by central differences with two steps of Richardson's extrapolation."""
    rows = [[(f(x + h / 2**k * v) - f(x - h / 2**k * v)) / (2 * h / 2**k) for k in range(3)]]
    for p in (4, 16):
        rows.append([(p * b - a) / (p - 1) for a, b in zip(rows[-1], rows[-1][1:], strict=False)])
    return rows[-1][0]


def assert_near(found, expected, rtol):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.max(np.abs(expected), initial=1e-3))


@pytest.mark.parametrize("seed", range(cases(1, 4)))
@pytest.mark.parametrize("name", PROGRAMS)
def test_first_and_second_order(name, seed):
    f, x, _ = PROGRAMS[name]
    v = direction(x, seed)
    value, gradient = pb.value_and_grad(f)(x)
    np.testing.assert_allclose(value, f(x), rtol=1e-14)
    assert gradient.dtype == x.dtype
    assert gradient.shape == x.shape
    assert_near(np.sum(gradient * v), slope(f, x, v), 1e-7)
    moved, along = pb.jvp(f, (x,), (v,))
    np.testing.assert_allclose(moved, f(x), rtol=1e-14)
    assert_near(along, np.sum(gradient * v), 1e-11)
    bent = pb.hvp(f, x, v)
    assert_near(bent, slope(pb.grad(f), x, v), 1e-6)
    assert_near(pb.grad(lambda z: np.sum(pb.grad(f)(z) * v))(x), bent, 1e-9)
    assert_near(pb.grad(lambda z: pb.jvp(f, (z,), (v,))[1])(x), bent, 1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
def test_entry_by_entry(name):
    f, x, _ = PROGRAMS[name]
    unit = np.eye(x.size).reshape(x.size, *x.shape)
    assert_near(pb.grad(f)(x), np.reshape([slope(f, x, e) for e in unit], x.shape), 1e-6)


@pytest.mark.parametrize("name", cases(WHOLE[::4], WHOLE))
def test_compiled(name):
    """Machine code and the interpreter's graph against the eager run, at the point and at another one."""
    f, x, _ = PROGRAMS[name]
    both = pb.value_and_grad(f)
    native, interpreted = pb.compile(both), pb.compile(both, native=False)
    for point in (x, x * 1.001):
        value, gradient = both(point)
        for found in (native(point), interpreted(point)):
            assert_near(found[0], value, 1e-12)
            assert_near(found[1], gradient, 1e-10)
    assert native.reasons == ["first call"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_batch(name):
    f, x, _ = PROGRAMS[name]
    batch = np.stack([x, x * 1.01, x * 0.99])
    assert_near(pb.vmap(f)(batch), np.array([f(row) for row in batch]), 1e-12)
    assert_near(pb.vmap(pb.grad(f))(batch), np.stack([pb.grad(f)(row) for row in batch]), 1e-9)


@pytest.mark.parametrize("name", cases(WHOLE[::7], WHOLE))
def test_compiled_second_order_and_batches(name):
    f, x, _ = PROGRAMS[name]
    v = direction(x)
    assert_near(pb.compile(lambda z: pb.hvp(f, z, v))(x), pb.hvp(f, x, v), 1e-9)
    batch = np.stack([x, x * 1.01])
    assert_near(pb.compile(pb.vmap(pb.grad(f)))(batch), np.stack([pb.grad(f)(row) for row in batch]), 1e-9)


@pytest.mark.parametrize("name", cases(WHOLE[1::7], WHOLE))
def test_inside_a_scan(name):
    """Two steps of descent as a loop of the graph, differentiated by where it began."""
    f, x, _ = PROGRAMS[name]

    def descent(z):
        return pb.scan(lambda c, _: (c - 1e-3 * pb.grad(f)(c), None), z, length=2)[0]

    def unrolled(z):
        for _ in range(2):
            z = z - 1e-3 * pb.grad(f)(z)
        return z

    assert_near(descent(x), unrolled(x), 1e-11)
    assert_near(pb.grad(lambda z: f(descent(z)))(x), pb.grad(lambda z: f(unrolled(z)))(x), 1e-8)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in WHOLE])
def test_what_looks_at_numbers_says_so(name):
    f, x, _ = PROGRAMS[name]
    with pytest.raises(TraceError, match=r"science\.py:\d+"):
        pb.compile(f)(x)


@pytest.mark.parametrize("name", PROGRAMS)
def test_in_single_precision(name):
    """The gradient is in float32 and near that in float64."""
    f, x, _ = PROGRAMS[name]
    small = x.astype(np.float32)
    gradient = pb.grad(lambda z: np.sum(f(z)))(small)
    assert gradient.dtype == np.float32
    exact = pb.grad(f)(small.astype(float))
    np.testing.assert_allclose(gradient, exact, rtol=1e-2, atol=2e-3 * np.max(np.abs(exact)))
