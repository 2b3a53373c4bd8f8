"""Products of a matrix and a vector: rows by dots, columns by rows that are added up."""

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.lower.products import matrix_vector
from payback.native.lower.products.matrix_vector import Combined, Dots
from payback.native.lower.steps import Steps
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

SIZES = [(1, 9), (8, 1), (9, 2), (40, 3), (17, 7), (23, 8), (16, 16), (100, 17), (33, 100), (9, 300), (300, 9),
         (40, 520), (5, 129), (130, 64), (2, 2200), (19, 4500)]  # fmt: skip


def kernels(f, *args):
    return {type(command.kernel) for command in Program(trace(f, *args).graph).commands}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_with_a_vector(dtype):
    rng = np.random.default_rng(0)
    for rows, columns in amount.cases(SIZES[::2], SIZES):
        for apart in (columns, columns + 3):  # rows one after another, and with gaps
            wide = rng.standard_normal((rows, apart)).astype(dtype)
            x, w, v = wide[:, :columns], *(rng.standard_normal(n).astype(dtype) for n in (columns, rows))
            exact = x.astype(np.longdouble)
            for f, other in ((lambda x, w: x @ w, w), (lambda x, v: v @ x, v), (lambda x, v: x.T @ v, v)):
                found = pb.compile(f)(wide[:, :columns], other)
                scale = f(abs(exact), abs(other).astype(np.longdouble))
                assert np.all(abs(found - f(exact, other.astype(np.longdouble))) <= 20 * np.finfo(dtype).eps * scale)
                assert found.dtype == dtype


def test_the_kernels_are_these():
    x = np.ones((40, 30), np.float32)
    assert Dots in kernels(lambda x, w: x @ w, x, x[0])
    wide = np.ones((40, 300), np.float32)
    assert Combined in kernels(lambda x, v: v @ x, wide, wide[:, 0].copy())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_rows_of_a_matrix_are_not_turned_in_each_step_of_a_loop(dtype):
    def f(w, v, x):
        return pb.scan(lambda r, _: (v @ np.sin(w @ r), None), x, None, length=3)[0]

    for rows, columns in ((33, 20), (17, 65)):
        w, v = 0.3 * np.random.default_rng(0).standard_normal((2, rows, columns)).astype(dtype)
        args = w, np.ascontiguousarray(v.T), w[0].copy()
        (steps,) = (kernel for command in Program(trace(f, *args).graph).commands
                    if isinstance(kernel := command.kernel, Steps))  # fmt: skip
        assert sum(isinstance(call.kernel, Dots) for call in steps.calls) == 2
        expected, near = f(*args), 4e-6 if dtype == np.float32 else 1e-14  # of the largest, for others nearly cancel
        np.testing.assert_allclose(pb.compile(f)(*args), expected, rtol=0, atol=near * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_entries_of_other_rows_are_not_met(dtype):
    """What stands before a row or behind it, and is read with it, is NaN."""
    for columns in (3, 5, 9, 17, 31):
        wide = np.full((20, columns + 2), np.nan, dtype)
        wide[:, 1:-1] = 1.0
        found = pb.compile(lambda wide, w: wide[:, 1:-1] @ w)(wide, np.ones(columns, dtype))
        np.testing.assert_array_equal(found, np.full(20, columns, dtype))
    x = np.ones((9, 300), dtype)
    x[:, 7], x[3, 8] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(pb.compile(lambda x, v: v @ x)(x, np.ones(9, dtype)), np.ones(9, dtype) @ x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_bits_do_not_depend_on_the_threads(dtype, monkeypatch):
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    rng = np.random.default_rng(1)
    for shape in ((20_003, 33), (300, 2501), (1201, 700)):
        x = rng.standard_normal(shape).astype(dtype)
        for f, n in ((lambda x, w: x @ w, shape[1]), (lambda x, v: v @ x, shape[0])):
            other, found = rng.standard_normal(n).astype(dtype), []
            for threads in (1, 2, 3, 4, 8):
                cores.set_threads(threads)
                try:
                    program = Program(trace(f, x, other).graph)
                finally:
                    cores.set_threads(None)
                found.append(program(x, other)[0].tobytes())
            assert len(set(found)) == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_that_come_from_memory_have_the_bits_of_others(dtype, monkeypatch):
    rng = np.random.default_rng(2)
    for rows, columns in amount.cases(SIZES[::3], SIZES):
        x, w = rng.standard_normal((rows, columns)).astype(dtype), rng.standard_normal(columns).astype(dtype)
        near = Program(trace(np.matmul, x, w).graph)
        monkeypatch.setattr(matrix_vector, "CACHE", 0)
        far = Program(trace(np.matmul, x, w).graph)
        monkeypatch.undo()
        assert far(x, w)[0].tobytes() == near(x, w)[0].tobytes()
        for program, wanted in ((near, False), (far, True)):
            assert all(c.kernel.far is wanted for c in program.commands if isinstance(c.kernel, Dots))
