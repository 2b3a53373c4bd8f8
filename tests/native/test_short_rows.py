"""Rows shorter than a vector: kept ones are one masked vector each, summed ones are summed column by column."""

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import both
from ops.checks import same_bits
from payback.native.codegen.emit import host_features, vector_bytes
from payback.native.lower.nests.nest import Nest
from payback.native.lower.products.blocked import place
from payback.native.lower.products.blocked.tile import has_masked_loads
from payback.native.planning.nests import FEWEST
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

DTYPES = (np.float64, np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(amount.cases(6, 60)))
def test_reductions_of_short_rows(seed, dtype):
    g = np.random.default_rng(seed)
    shape = (int(g.integers(1, 40)), int(g.integers(1, 70)), int(g.integers(1, 25)))
    axes = tuple(int(a) for a in g.permutation(3)[: g.integers(1, 4)])
    x, m, a = (g.standard_normal(s).astype(dtype) for s in (shape, (shape[0], 1, shape[2]), shape[2]))

    def f(x, m, a):
        y = (x - m) * a
        return np.sum(np.exp(-y * y), axis=axes), np.mean(y, axis=axes), np.max(y, axis=axes), np.min(np.abs(y)), y + m

    found, wanted = pb.compile(f, native=True)(x, m, a), f(*(z.astype(float) for z in (x, m, a)))
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=50 * np.finfo(dtype).eps * (1 + np.abs(other).max()))


def nests(graph):
    return [command.kernel for command in Program(graph).commands if isinstance(command.kernel, Nest)]


@pytest.mark.skipif(not has_masked_loads(), reason="short rows are done number by number")
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_row_is_gathered_lane_by_lane(dtype):
    x = np.ones((32, 100, 5), dtype)
    for f in (lambda x: np.mean(x, 1), lambda x: np.sum(np.tanh(x - x[:, :1])), lambda x: x * x[:, :1]):
        for key in nests(trace(f, x).graph):
            assert not any(how == "s" for _, how in key.operands)
            assert key.lanes > 1 or key.inner == "" or not key.instrs[1:]  # the sum of five columns


@pytest.mark.skipif(not has_masked_loads(), reason="short rows are done number by number")
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if vector_bytes() // np.dtype(dtype).itemsize > FEWEST])
def test_few_rows_of_many_matrices_are_added_across_together(dtype, monkeypatch):
    """A vector of sums goes on with the next matrix; the same bits whoever has a part of them."""
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    g = np.random.default_rng(0)
    for many, rows, columns in ((700, 6, 9), (3, 5, 8), (301, 11, 17)):
        c, x = (g.standard_normal(s).astype(dtype) for s in ((many, rows, columns), (many, 1, columns)))
        graph = trace(f := lambda c, x: (np.sum(c * x, 2), np.max(c - x, 2)), c, x).graph
        assert {key.together for key in nests(graph)} == {2}
        found = []
        for threads in (1, 2, 3):
            cores.set_threads(threads)
            try:
                found.append(Program(graph)(c, x))
            finally:
                cores.set_threads(None)
        assert len({b"".join(part.tobytes() for part in parts) for parts in found}) == 1
        for one, other in zip(found[0], f(c.astype(float), x.astype(float)), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=50 * columns * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_short_rows_that_do_not_lie_as_rows_are_added_across_the_longest_axis(dtype):
    g = np.random.default_rng(0)
    x, y = g.standard_normal((300, 3, 5)).astype(dtype), g.standard_normal((300, 5, 3)).astype(dtype)
    graph = trace(f := lambda x, y: np.sum(np.exp(-x) * np.swapaxes(y, 1, 2), axis=2), x, y).graph
    assert all(key.lanes > 1 for key in nests(graph))
    found, wanted = Program(graph)(x, y)[0], f(x.astype(float), y.astype(float))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=10 * np.finfo(dtype).eps * np.abs(wanted).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_rows_where_stores_have_no_masks(dtype, monkeypatch):
    """As with AVX2: as many sums as a vector has lanes, and some."""
    features = host_features() | {"avx512vl": False}
    monkeypatch.setattr(place, "host_features", lambda: features)
    for rows in (19, 64):
        x = np.random.default_rng(rows).standard_normal((rows, 17)).astype(dtype)
        found = Program(trace(f := lambda x: np.sum(x * x * 0.375 - x, axis=1), x).graph)(x)[0]
        np.testing.assert_allclose(found, f(x.astype(float)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_do_not_depend_on_the_threads(dtype, monkeypatch):
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    g = np.random.default_rng(0)
    x, y, i = g.standard_normal((64, 100, 7)).astype(dtype), g.standard_normal((40, 11)), g.integers(-40, 40, 3000)
    y, found = y.astype(dtype), []

    def f(x, y, i):
        return np.sum(np.tanh(x - x[:, :1])), np.sum(y[i] * y[i[::-1]], axis=1), np.max(x * x[:1], axis=2)

    for threads in (1, 2, 3, 4, 8):
        cores.set_threads(threads)
        try:
            program = Program(trace(f, x, y, i).graph)
        finally:
            cores.set_threads(None)
        found.append([each.tobytes() for each in program(x, y, i)])
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("seed", range(amount.cases(4, 12, 40)))
def test_columns_of_short_rows(seed):
    """Every second entry, or third, …, of any dtype; stacks of columns; beside functions that take several vectors."""
    g = np.random.default_rng(seed)
    n, c, d = (int(k) for k in g.integers([1, 3, 2], [300, 6, 5]))
    dtype, whole = g.choice([np.float32, np.float64]), g.choice([np.int32, np.int64])
    x, y = g.standard_normal((n, c)).astype(dtype), g.standard_normal((n, 3)).astype(dtype)
    k = g.integers(-5, 5, (n, d)).astype(whole)

    def f(x, y, k):
        z = np.cross(x[:, -3:] * y[:, :1], y)
        turned = np.stack([y[:, 1] * x[:, 0], x[:, 0] - x[:, 1], y[:, 1] * x[:, 0]], axis=-1)
        return z, z[:, 1] * x[:, 2] + turned[:, 2], turned - y, k[:, 1] * 3 - k[:, 0], np.abs(y[::2, 1]) + x[::2, 0]

    _, found, wanted = both(f, x, y, k)
    assert all(map(same_bits, found, wanted))
    costs = lambda x: np.sum(f(x, y, k)[0] * y), lambda x: np.sum(np.exp(x[:, 1]) * np.sin(x[:, 0]))
    rtol = 1e-5 if dtype == np.float32 else 1e-13
    for gradient in map(pb.grad, costs):
        np.testing.assert_allclose(pb.compile(gradient)(x), gradient(x), rtol=rtol, atol=rtol)
