"""QR factors in machine code, and least squares and pseudo-inverses by them."""

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.lower.linalg.orthogonal import Orthogonal
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

DTYPES = (np.float64, np.float32)
RANDOM = np.random.default_rng(0)
SHAPES = [(7, 3), (4, 6, 5), (40, 17), (2, 16, 16), (1, 1), (90, 33), (3, 2, 2), (64, 64)]


def numbers(*shape, dtype=np.float64):
    return RANDOM.standard_normal(shape).astype(dtype)


def near(found, wanted, factor):
    """To a multiple of the rounding of the largest entry."""
    assert found.dtype == wanted.dtype
    bound = factor * np.finfo(found.dtype).eps * np.max(np.abs(wanted))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)


def alone(f, *args):
    """What machine code gives without NumPy, which is not asked afterwards either."""
    program = Program(trace(f, *args).graph)
    assert all(command.kernel is not None for command in program.commands)
    program._given_up = None
    return program(*args)


@pytest.mark.parametrize("dtype", DTYPES)
def test_factors(dtype):
    """Backwards stable, with the signs that NumPy's have."""
    for shape in SHAPES[: amount.cases(2, 8)]:
        a, n = numbers(*shape, dtype=dtype), shape[-1]
        q, r = (x.astype(float) for x in alone(lambda a: tuple(np.linalg.qr(a)), a))
        eps = 4 * np.finfo(dtype).eps * n**0.5
        assert np.max(np.abs(np.swapaxes(q, -1, -2) @ q - np.eye(n))) <= eps
        assert np.max(np.abs(q @ r - a)) <= eps * np.max(np.linalg.norm(a, axis=-2))
        assert not np.tril(r, -1).any()
        assert np.array_equal(np.sign(np.diagonal(r, 0, -2, -1)), np.sign(np.diagonal(np.linalg.qr(a)[1], 0, -2, -1)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_that_need_no_reflection_and_such_that_are_out_of_range(dtype):
    a = np.triu(numbers(6, 6, dtype=dtype))
    a[:, 2] = 0.0
    for x in (a, np.zeros_like(a), a * np.finfo(dtype).tiny, a * dtype(np.finfo(dtype).max / 8), a + dtype(np.nan)):
        with np.errstate(all="ignore"):
            found, wanted = pb.compile(lambda a: tuple(np.linalg.qr(a)), native=True)(x), np.linalg.qr(x)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e2 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


def of_columns(a, b):
    x = np.linalg.lstsq(a, b, rcond=None)[0]
    return np.sum(np.sin(x)) + np.sum(np.linalg.pinv(a) ** 3) + np.sum(np.linalg.pinv(a.T) @ x)


def of_rows(a, b):
    return of_columns(a.T, b)


def factors(a, b):
    q, r = np.linalg.qr(a)
    return np.sum(q**3) + np.sum(np.sin(r)) + np.sum(b)


@pytest.mark.parametrize("dtype", DTYPES[: amount.cases(1, 2)])
@pytest.mark.parametrize("f", [of_columns, of_rows, factors])
def test_gradients(f, dtype):
    for m, n in [(11, 4), (6, 6), (33, 20)][: amount.cases(1, 3)]:
        a, b = numbers(m, n, dtype=dtype), numbers(n if f is of_rows else m, 3, dtype=dtype)
        condition = np.linalg.cond(a.astype(float)) ** 2
        gradient = pb.value_and_grad(f, (0, 1))
        (value, found), (true, wanted) = alone_and_true(gradient, a, b)
        near(np.asarray(value), np.asarray(true), 64 * condition)
        for one, other in zip(found, wanted, strict=True):
            near(one, other, 64 * condition)


def alone_and_true(f, a, b):
    compiled = pb.compile(f, native=True)
    made = compiled(a, b)
    assert "0 of them on NumPy" in compiled.explain_compilation()
    return made, f(a, b)


def test_second_derivatives():
    a, b = numbers(5, 3), numbers(5, 1)
    f = pb.hessian(of_columns)
    near(pb.compile(f, native=True)(a, b), f(a, b), 1e4)


def test_ranks_are_told_by_numpy():
    """Of such matrices, and from then on: programs whose matrices are regular again are right too."""
    regular = numbers(7, 4)
    flat = regular.copy()
    flat[:, 3] = flat[:, 0] - flat[:, 1]
    b = numbers(7, 2)
    f = pb.value_and_grad(
        lambda a, b: np.sum(np.linalg.pinv(a) @ b) + np.sum(np.linalg.lstsq(a, b, rcond=None)[0] ** 2)
    )
    compiled = pb.compile(f, native=True)
    for a in (regular, flat, flat, regular):
        for found, wanted in zip(compiled(a, b), f(a, b), strict=True):
            near(np.asarray(found), np.asarray(wanted), 1e3)


@pytest.mark.parametrize("dtype", DTYPES[: amount.cases(1, 2)])
def test_the_bits_do_not_depend_on_the_threads(dtype, monkeypatch):
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    monkeypatch.setattr("payback.native.lower.linalg.factored.WORTH_SHARING", 1)
    a, found = numbers(13, 9, 6, dtype=dtype), []
    for threads in (1, 2, 3, 4, 8):
        cores.set_threads(threads)
        try:
            program = Program(trace(lambda a: (*np.linalg.qr(a), np.linalg.pinv(a)), a).graph)
        finally:
            cores.set_threads(None)
        keys = [command.kernel for command in program.commands if isinstance(command.kernel, Orthogonal)]
        assert [key.split for key in keys] == 2 * [threads > 1]
        found.append(b"".join(part.tobytes() for part in program(a)))
    assert len(set(found)) == 1
