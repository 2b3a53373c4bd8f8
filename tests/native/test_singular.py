"""Singular values and vectors of matrices of few columns in machine code: LAPACK's, signs of vectors included.

The tests of signs have matrices whose singular values lie apart: see `test_symmetric`.
"""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.native.lower.linalg import singular
from payback.native.lower.linalg.symmetric import signs
from payback.native.running.program import Program
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace

DTYPES = [np.float64, np.float32]
SQUARE = [(1, 1), (2, 2), (3, 3), (8, 8), (25, 25)]
TALL = [(3, 1), (3, 2), (4, 3), (5, 3), (9, 8), (12, 9), (40, 7)]
SHAPES = [*SQUARE, *TALL, *((n, m) for m, n in TALL)]
EPS = np.finfo(float).eps


def t(x):
    return np.swapaxes(x, -1, -2)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def reduced(a):
    return np.linalg.svd(a, full_matrices=False)


def values(a):
    return np.linalg.svd(a, compute_uv=False)


def native(f, *args):
    """The results of machine code alone."""
    program = Program(trace(f, *args).graph)
    assert all(command.kernel is not None for command in program.commands)
    program.interpreted = None  # nothing is left to the interpreter
    found = program(*args)
    return found if len(found) > 1 else found[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_vectors_have_the_signs_of_lapack(m, n, dtype):
    a, eps = numbers(2, 3, m, n, seed=1).astype(dtype), np.finfo(dtype).eps
    (u, s, vh), (left, right, rows) = native(reduced, a), reduced(a)
    assert u.dtype == s.dtype == vh.dtype == dtype
    assert np.all(np.abs(s - right) <= 32 * eps * right[..., :1])
    apart = np.min(-np.diff(right, axis=-1), axis=-1, initial=9.0)
    apart = np.minimum(apart, right[..., -1])[..., None, None]  # left vectors are a·v/s
    assert np.all(np.abs(u - left) <= 400 * max(m, n) * eps / apart)
    assert np.all(np.abs(vh - rows) <= 400 * max(m, n) * eps / apart)
    for given in (a, t(a)):
        found = native(values, given)
        assert found.dtype == dtype
        assert np.all(np.abs(found - right) <= 32 * eps * right[..., :1])


def test_numpys_lapack_turns_the_samples_as_machine_code_does():
    for tall in (False, True):
        assert signs(native(reduced, singular.sample(tall))[0]) == singular.SIGNS[tall]


def test_another_lapack_keeps_its_vectors(monkeypatch):
    monkeypatch.setattr(singular, "signs_agree", lambda: False)
    a = numbers(5, 4)
    program = Program(trace(reduced, a).graph)
    assert [command.kernel for command in program.commands] == [None]
    assert np.array_equal(program(a)[0], reduced(a)[0])
    native(values, a)  # values have no signs


def test_full_matrices():
    """The further vectors are LAPACK's; if nobody has them they are not computed."""
    for shape in ((4, 4), (5, 4), (9, 4)):
        a = numbers(*shape)
        u, s, vh = np.linalg.svd(a)
        found = native(lambda a: (np.linalg.svd(a)[1], np.linalg.svd(a)[2]), a)
        assert np.allclose(found[0], s, rtol=1e-13)
        assert np.allclose(found[1], vh, rtol=0, atol=1e-12)
        program = Program(trace(np.linalg.svd, a).graph)
        assert np.allclose(program(a)[0], u, rtol=0, atol=1e-12)


def special(m, n):
    g = numbers(m, n)
    grades = 10.0 ** -np.linspace(0, 12, n)
    few = numbers(m, max(1, n // 3), seed=2) @ numbers(max(1, n // 3), n, seed=3)
    return np.stack([
        np.zeros((m, n)), np.eye(m, n), np.ones((m, n)), np.tri(m, n), few, g * grades, g * grades[::-1], g * (g > 0.5),
        np.eye(m, n) + 1e-14 * g, -np.eye(m, n), np.eye(m, n) * g, np.eye(m, n) + np.eye(m, n, k=1),
        g * 1e-200, g * 1e-310, g * 1e200, g * 5e306, np.where(np.eye(m, n), g, 1e-180 * g),
        g * np.where(grades < 1e-6, 1e-160, 1),
        g * (np.arange(n) != n // 2), g * (np.arange(m) != 0)[:, None], np.diag(grades**20)[:m] if m == n else g,
    ])  # fmt: skip


@pytest.mark.parametrize(("m", "n"), [(2, 2), (3, 3), (5, 3), (17, 17), (30, 25), (60, 25)])
def test_matrices_that_are_hard(m, n):
    """Zero, of few ranks, repeated values, graded, tiny, huge: none of them is left to LAPACK."""
    tall = special(m, n)
    for a in (tall, t(tall)):
        check(a, *native(reduced, a))
        s = native(values, a)
        assert np.all(np.abs(s - values(a)) <= 16 * (n + 4) * EPS * s[:, :1] + 1e-323)


def check(a, u, s, vh):
    """These are of a matrix near a."""
    m, n = max(a.shape[-2:]), min(a.shape[-2:])
    unit = np.max(np.abs(a), axis=(-1, -2))[:, None, None]
    unit = np.where(unit == 0, 1, unit)
    small = 16 * (n + 4) * EPS
    assert np.all(s >= 0)
    assert np.all(np.diff(s, axis=-1) <= 0)
    for q in (t(u) @ u, vh @ t(vh)):
        assert np.all(np.abs(q - np.eye(n)) <= small)
    assert np.all(np.abs(a / unit - (u * (s[:, None] / unit)) @ vh) <= small * n**0.5 * m**0.5 + 1e-323 / unit)
    assert np.all(np.abs(s - values(a)) <= small * s[:, :1] + 1e-323)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("f", [reduced, values])
def test_what_is_not_finite_is_answered_by_numpy(f, bad):
    a = numbers(3, 5, 4)
    a[1, 2, 1] = bad
    program = Program(trace(f, a).graph)

    def told(g):
        try:
            return [np.asarray(x) for x in g()]
        except np.linalg.LinAlgError as error:
            return str(error)

    found, wanted = told(lambda: program(a)), told(lambda: Interpreter(program.source)(a))
    assert found == wanted if isinstance(wanted, str) else all(map(np.array_equal, found, wanted, [True] * 3))


def test_the_bits_do_not_depend_on_the_threads(monkeypatch):
    monkeypatch.setattr("payback.native.lower.linalg.factored.WORTH_SHARING", 1)
    monkeypatch.setattr("payback.native.running.cores.WORTHWHILE", 0.0)  # however little there is to do
    a, found = numbers(7, 30, 9), []
    for count in (1, 2, 3):
        monkeypatch.setenv("PAYBACK_THREADS", str(count))
        program = Program(trace(reduced, a).graph)
        assert program.segment.threads == count
        found.append([x.tobytes() for x in program(a)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives(dtype):
    def cost(a):
        u, s, vh = reduced(a)
        return np.sum(u**3) + np.sum(s**3) + np.sum(vh[1] ** 3) + np.linalg.norm(a, 2)

    a = numbers(5, 6).astype(dtype)
    value, gradient = native(pb.value_and_grad(cost), a)
    right, slopes = pb.value_and_grad(cost)(a)
    tolerance = 1e-11 if dtype == np.float64 else 1e-4
    assert np.allclose(value, right, rtol=tolerance, atol=0)
    assert np.allclose(gradient, slopes, rtol=0, atol=tolerance * np.max(np.abs(slopes)))
