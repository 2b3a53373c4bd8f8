"""Sums, means and extremes of columns, compiled: row by row, in parts that threads share, and in registers."""

import numpy as np
import pytest

import amount
from ops.checks import same_bits
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


@pytest.mark.parametrize(("shape", "dtype"), CASES[:: amount.cases(2, 1)])
def test_columns_are_those_of_numpy_on_any_number_of_threads(shape, dtype):
    x, y = made(shape, dtype)
    with np.errstate(invalid="ignore"):
        wanted = of_columns(x.astype("f8"), y.astype("f8"))
    found = []
    try:
        for count in (1, 2, 3, 8):
            cores.set_threads(count)
            found.append(Program(trace(of_columns, x, y).graph)(x, y))
            assert all(same_bits(*pair) for pair in zip(found[0], found[-1], strict=True)), count
    finally:
        cores.set_threads(None)
    for a, b in zip(found[0], wanted, strict=True):
        scale = np.max(np.abs(b[np.isfinite(b)]))
        np.testing.assert_allclose(a, b, rtol=0, atol=scale * (1e-5 if dtype == "f4" else 1e-13))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_in_another_order_of_loops_give_the_same_bits(dtype, monkeypatch):
    for shape in SHAPES:
        x, y = made(shape, dtype, 1)
        graph = trace(of_columns, x, y).graph
        by_rows = Program(graph)(x, y)
        with monkeypatch.context() as patched:
            patched.setattr(nests, "_row_by_row", lambda *_: False)
            down = Program(graph)(x, y)
        assert all(same_bits(*pair) for pair in zip(by_rows, down, strict=True)), shape


def test_which_sums_go_row_by_row():
    """Those of many rows, and none of truth values."""

    def some(shape):
        x = np.ones(shape)
        program = Program(trace(lambda x: (x.sum(0), (x > 0).sum(0)), x).graph)
        return [command.kernel.by_rows for command in program.commands if hasattr(command.kernel, "by_rows")]

    assert sorted(some((400, 60))) == [False, True]
    assert not any(some((20, 60)))
