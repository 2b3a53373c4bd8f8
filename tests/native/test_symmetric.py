"""Eigenvalues and eigenvectors of small symmetric matrices in machine code: LAPACK's, signs of vectors included.

Bounds are those of backward stable methods; the tests of signs have matrices whose eigenvalues lie apart, where those
of NumPy's LAPACK do not depend on the processor either.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import payback as pb
from payback.native.lower.linalg import symmetric
from payback.native.running.program import Program
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace

DTYPES = [np.float64, np.float32]
EPS = np.finfo(float).eps


def t(x):
    return np.swapaxes(x, -1, -2)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def mirrored(a):
    return np.tril(a) + t(np.tril(a, -1))


def native(f, *args):
    """The results of machine code alone."""
    program = Program(trace(f, *args).graph)
    assert all(command.kernel is not None for command in program.commands)
    program.interpreted = None  # nothing is left to the interpreter
    found = program(*args)
    return found if len(found) > 1 else found[0]


def check(a, w, v):
    """w and v are those of a matrix near a."""
    n = a.shape[-1]
    unit = np.max(np.abs(a), axis=(-1, -2), keepdims=True)
    unit = np.where(unit == 0, 1, unit)
    small = 4 * (n + 4) * EPS
    assert np.all(np.diff(w, axis=-1) >= 0)
    assert np.all(np.abs(t(v) @ v - np.eye(n)) <= small)
    assert np.all(np.abs(a / unit @ v - v * (w[..., None, :] / unit)) <= small * n + 1e-323 / unit)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 9, 16, 25])
def test_vectors_have_the_signs_of_lapack(n, dtype):
    a = mirrored(numbers(2, 3, n, n)).astype(dtype)
    a[..., ~np.tri(n, dtype=bool)] = np.nan  # this half is not read
    (w, v), (right, vectors) = native(np.linalg.eigh, a), np.linalg.eigh(a)
    assert w.dtype == v.dtype == dtype
    assert np.all(np.abs(w - right) <= 32 * np.finfo(dtype).eps * np.max(np.abs(right), -1, keepdims=True))
    apart = np.min(np.diff(right, axis=-1), axis=(-1,), initial=9.0, keepdims=True)[..., None]
    assert np.all(np.abs(v - vectors) <= 64 * n * np.finfo(dtype).eps / apart)
    for values in (native(np.linalg.eigvalsh, a), native(lambda a: np.linalg.eigh(a)[0], a)):
        assert values.dtype == dtype
        assert np.all(np.abs(values - right) <= 32 * np.finfo(dtype).eps * np.max(np.abs(right), -1, keepdims=True))


def test_numpys_lapack_turns_the_sample_as_machine_code_does():
    _, v = native(np.linalg.eigh, symmetric.sample())
    assert symmetric.signs(v) == symmetric.SIGNS


def test_another_lapack_keeps_its_vectors(monkeypatch):
    monkeypatch.setattr(symmetric, "signs_agree", lambda: False)
    a = mirrored(numbers(4, 4))
    program = Program(trace(np.linalg.eigh, a).graph)
    assert [command.kernel for command in program.commands] == [None]
    assert np.array_equal(program(a)[1], np.linalg.eigh(a)[1])
    native(np.linalg.eigvalsh, a)  # values have no signs


def test_the_other_half():
    a = mirrored(numbers(3, 5, 5))
    a[..., np.tri(5, k=-1, dtype=bool)] = np.nan
    right, vectors = np.linalg.eigh(a, "U")
    assert np.allclose(native(lambda a: np.linalg.eigvalsh(a, "U"), a), right, rtol=0, atol=1e-13)
    program = Program(trace(lambda a: np.linalg.eigh(a, "U"), a).graph)
    assert np.array_equal(program(a)[1], vectors)  # LAPACK begins at the other end: its own
    assert np.allclose(
        native(lambda a: scipy.linalg.eigh(a, lower=False, eigvals_only=True, check_finite=False), a[0]), right[0],
        rtol=0, atol=1e-13,
    )  # fmt: skip


def special(n):
    g, q = mirrored(numbers(n, n)), np.linalg.qr(numbers(n, n, seed=1))[0]
    rank = numbers(n, max(1, n // 3), seed=2)
    grades = 10.0 ** -np.linspace(0, 9, n)
    return np.stack([
        np.zeros((n, n)), np.eye(n), np.diag(numbers(n)), np.ones((n, n)), rank @ rank.T, q * np.sign(numbers(n)) @ q.T,
        np.eye(n) + 1e-14 * g, g * grades * grades[:, None], (g * grades * grades[:, None])[::-1, ::-1],
        2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1), g * (np.abs(g) > 1), g * 1e-200, g * 1e-310, g * 1e200,
        g * 5e306, np.where(np.eye(n), g, g * 1e-180), np.where(np.add.outer(np.arange(n), np.arange(n)) % 2, 0, g),
        np.where(np.arange(n) % 2, 1, 1e-140) * g * np.where(np.arange(n) % 2, 1, 1e-140)[:, None],
        np.diag(numbers(n)) + 1e-170 * (np.eye(n, k=1) + np.eye(n, k=-1)),
    ])  # fmt: skip


@pytest.mark.parametrize("n", [2, 3, 5, 17, 25])
def test_matrices_that_are_hard(n):
    """Zero, diagonal, of few ranks, repeated values, graded, tiny, huge: none of them is left to LAPACK."""
    a = mirrored(special(n))
    check(a, *native(np.linalg.eigh, a))
    w, right = native(np.linalg.eigvalsh, a), np.linalg.eigvalsh(a)
    assert np.all(np.abs(w - right) <= 16 * (n + 4) * EPS * np.max(np.abs(right), -1, keepdims=True) + 1e-323)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("f", [np.linalg.eigh, np.linalg.eigvalsh])
def test_what_is_not_finite_is_answered_by_numpy(f, bad):
    a = mirrored(numbers(3, 4, 4))
    a[1, 2, 1] = a[1, 1, 2] = bad
    program = Program(trace(f, a).graph)

    def told(g):
        try:
            return [np.asarray(x) for x in g()]
        except np.linalg.LinAlgError as error:
            return str(error)

    found, wanted = told(lambda: program(a)), told(lambda: Interpreter(program.source)(a))
    assert found == wanted if isinstance(wanted, str) else all(map(np.array_equal, found, wanted, [True] * 2))


def test_the_bits_do_not_depend_on_the_threads(monkeypatch):
    monkeypatch.setattr("payback.native.lower.linalg.factored.WORTH_SHARING", 1)
    monkeypatch.setattr("payback.native.running.cores.WORTHWHILE", 0.0)  # however little there is to do
    a, found = mirrored(numbers(7, 9, 9)), []
    for count in (1, 2, 3):
        monkeypatch.setenv("PAYBACK_THREADS", str(count))
        program = Program(trace(np.linalg.eigh, a).graph)
        assert program.segment.threads == count
        found.append([x.tobytes() for x in program(a)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives(dtype):
    weights = numbers(6, 6, seed=3).astype(dtype)

    def of_both(a):
        w, v = np.linalg.eigh(a)
        return np.sum(weights * v**3) + np.sum(w**3)

    def of_values(a):
        return np.sum(np.linalg.eigvalsh(a) ** 3)

    a = mirrored(numbers(6, 6)).astype(dtype)
    for f in (of_both, of_values):
        value, gradient = native(pb.value_and_grad(f), a)
        right, slopes = pb.value_and_grad(f)(a)
        tolerance = 1e-12 if dtype == np.float64 else 1e-4
        assert np.allclose(value, right, rtol=tolerance, atol=0)
        assert np.allclose(gradient, slopes, rtol=0, atol=tolerance * np.max(np.abs(slopes)))
