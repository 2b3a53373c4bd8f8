"""Programs that write into arrays: random ones, and those of textbooks and collections of test problems."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import payback as pb
from payback.trace.abstract import trace
from programs.assignments import X, check

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
