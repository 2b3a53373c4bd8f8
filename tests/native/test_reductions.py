"""Sums, means and extremes, compiled: of columns, row by row, in parts that threads share, and in registers; of short
rows, several together."""

import numpy as np
import pytest

import amount
from ops.checks import same_bits
from payback.native.lower.products.blocked.tile import has_masked_loads
from payback.native.planning import nests
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

SHAPES = [(700, 33), (40, 700), (1030, 16), (9, 2000), (4000, 50), (60, 7, 90), (3, 300, 70), (2000, 2, 9), (7, 5)]
CASES = [(shape, dtype) for shape in SHAPES for dtype in ("f4", "f8")]


def of_columns(x, y):
    """What is stored beside sums, and several sums at once, of a few and of many operations."""
    kept = np.where(x > 0.1, y, 0.0)
    far = np.exp(-np.abs(y)) * x
    low = np.min(x - y, axis=0, keepdims=True)
    return kept, kept.sum(0), x.max(0), y.mean(tuple(range(x.ndim - 1))), far.sum(-2), low


def made(shape, dtype, seed=0):
    """Two arrays of numbers of which some are infinite, or none in the first columns."""
    g = np.random.default_rng(seed)
    x, y = g.standard_normal((2, *shape)).astype(dtype)
    x[g.random(shape) < 1e-3] = -np.inf
    y.reshape(-1, shape[-1])[:, :2] = 0
    return x, y


def of_rows(x, y):
    """The same of rows."""
    kept = np.where(x > 0.1, y, 0.0)
    far = np.exp(-np.abs(y)) * x
    low = np.min(x - y, axis=-1, keepdims=True)
    return kept, kept.sum(-1), x.max(-1), y.mean(-1) * 2, far.sum(-1), low, (x - low).T.sum(0)


@pytest.mark.parametrize("f", [of_columns, of_rows])
@pytest.mark.parametrize(("shape", "dtype"), CASES[:: amount.cases(5, 1)])
def test_they_are_those_of_numpy_on_any_number_of_threads(shape, dtype, f):
    x, y = made(shape, dtype)
    with np.errstate(invalid="ignore"):
        wanted = f(x.astype("f8"), y.astype("f8"))
    found = []
    try:
        for count in (1, 2, 3, 8):
            cores.set_threads(count)
            found.append(Program(trace(f, x, y).graph)(x, y))
            assert all(same_bits(*pair) for pair in zip(found[0], found[-1], strict=True)), count
    finally:
        cores.set_threads(None)
    for a, b in zip(found[0], wanted, strict=True):
        there = np.isfinite(b)
        np.testing.assert_array_equal(a[~there], b[~there])
        scale = np.max(np.abs(b[there]), initial=0.0)
        np.testing.assert_allclose(a[there], b[there], rtol=0, atol=scale * (1e-5 if dtype == "f4" else 1e-13))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("f", "way"), [(of_columns, "_row_by_row"), (of_rows, "_together")])
def test_another_order_of_loops_gives_the_same_bits(f, way, dtype, monkeypatch):
    for shape in SHAPES[:: amount.cases(3, 1)]:
        x, y = made(shape, dtype, 1)
        graph = trace(f, x, y).graph
        found = Program(graph)(x, y)
        with monkeypatch.context() as patched:
            patched.setattr(nests, way, lambda *_: False)
            other = Program(graph)(x, y)
        assert all(same_bits(*pair) for pair in zip(found, other, strict=True)), shape


def test_which_sums_go_row_by_row():
    """Those of many rows, and none of truth values."""

    def some(shape):
        x = np.ones(shape)
        program = Program(trace(lambda x: (x.sum(0), (x > 0).sum(0)), x).graph)
        return [command.kernel.by_rows for command in program.commands if hasattr(command.kernel, "by_rows")]

    assert sorted(some((400, 60))) == [False, has_masked_loads()]
    assert not any(some((20, 60)))


def test_which_rows_are_added_across_together():
    def some(x, axis=1):
        program = Program(trace(lambda x: np.exp(x.sum(axis)), x).graph)
        return [command.kernel.together for command in program.commands if getattr(command.kernel, "reduced", 1) == 0]

    assert any(some(np.ones((60, 30)))) == has_masked_loads()
    assert not any(some(np.ones((60, 3000))))
    assert not any(some(np.ones((60, 30)), 0))


def of_inner(x):
    """Of all that has neighbors: rows of an array that do not lie one after another."""
    inner = x[1:-1, ..., 1:-1]
    around = x[2:, ..., 1:-1] - x[:-2, ..., 1:-1] + 2.0 * x[1:-1, ..., 2:] - x[1:-1, ..., :-2]
    return around, np.sum(around), np.max(around), np.mean(inner * around), np.sum(inner > 0.1), np.min(inner)


def kernels(program):
    return [command.kernel for command in program.commands if hasattr(command.kernel, "onward")]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums_of_short_rows_go_on_from_row_to_row(dtype):
    for shape in [(66, 30), (300, 23), (20, 60, 27), (9, 300), (5, 4)]:
        x = np.random.default_rng(2).standard_normal(shape).astype(dtype)
        found = []
        for count in (1, 2, 3):
            cores.set_threads(count)
            try:
                program = Program(trace(of_inner, x).graph)
            finally:
                cores.set_threads(None)
            found.append(program(x))
            assert all(same_bits(*pair) for pair in zip(found[0], found[-1], strict=True)), count
        assert any(kernel.onward for kernel in kernels(program)) == (20 < shape[-1] < 40 and has_masked_loads())
        for a, b in zip(found[0], of_inner(x.astype("f8")), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=np.max(np.abs(b)) * (1e-5 if dtype == "f4" else 1e-13))


def test_they_go_on_for_a_chunk_and_no_farther():
    """All rows in one sum of float32 would lose four digits."""
    x = np.full((8002, 34), 0.1, np.float32)
    program = Program(trace(lambda x: np.sum(x[1:-1, 1:-1]), x).graph)
    (found,) = program(x)
    assert any(kernel.onward for kernel in kernels(program)) == has_masked_loads()
    np.testing.assert_allclose(found, 8000 * 32 * float(np.float32(0.1)), rtol=3e-6)


def test_views_of_one_array_share_a_place():
    """What all loops move alike has one offset, and so one multiplication a row."""
    x = np.ones((40, 40))
    (kernel,) = kernels(Program(trace(lambda x: np.sqrt(x[1:, 1:] + x[:-1, 1:] * x[:-1, :-1]), x).graph))
    assert kernel.like == (0, 0, 0, 3)


def test_two_parts_of_a_long_sum_are_shared_by_threads():
    """398 = 2·199 rows have no more parts that are equal."""
    a, b = np.linspace(0, 1, 398)[:, None], np.linspace(0, 1, 219)[None]
    first = Program(trace(lambda a, b: np.sum(np.tanh(a * b)), a, b).graph).commands[0]
    assert first.kernel.split
