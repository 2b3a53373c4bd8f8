"""Boxes written into arrays are put together as boxes: slices of what was there, and no table of places."""

import numpy as np
import pytest

import amount
import payback as pb
from payback.trace.abstract import trace
from payback.trace.gathering import as_box


def _box(g, shape):
    ends = [sorted(g.integers(0, n + 1, 2)) for n in shape]
    return tuple(
        int(g.integers(-n, n)) if g.random() < 0.2 else slice(int(a), int(b), int(g.choice([1, 1, 1, 2])))
        for n, (a, b) in zip(shape, ends, strict=True)
    )


@pytest.mark.parametrize("seed", range(amount.cases(20, 100)))
def test_an_index_is_read_off_its_places(seed):
    g = np.random.default_rng(seed)
    shape = tuple(int(n) for n in g.integers(1, 6, g.integers(1, 4)))
    entries = np.arange(np.prod(shape)).reshape(shape)
    read = entries[_box(g, shape)]
    read = read[..., ::-1] if read.ndim and g.random() < 0.3 else read
    found = as_box(read.reshape(-1), read.shape, shape)
    assert (found is None) == (not read.size)
    if read.size:
        np.testing.assert_array_equal(entries[found].reshape(-1), read.reshape(-1))
        assert all(isinstance(part, (int, slice)) for part in found)
        other = g.permutation(read.reshape(-1))
        found = as_box(other, read.shape, shape)
        assert found is None or np.array_equal(entries[found].reshape(-1), other)


@pytest.mark.parametrize("seed", range(amount.cases(12, 100)))
def test_values_and_gradients(seed):
    """What each written value pays is what is still seen of it."""
    g = np.random.default_rng(seed)
    shape = tuple(int(n) for n in g.integers(2, 7, g.integers(1, 4)))
    boxes = [_box(g, shape) for _ in range(g.integers(1, 4))]
    values = [g.standard_normal(np.empty(shape)[box].shape) for box in boxes]
    x, w = g.standard_normal(shape), g.standard_normal(shape)

    def f(x, *values):
        x = x * 1.0
        for box, value in zip(boxes, values, strict=True):
            x[box] = value
        return np.sum(x * w)

    every = range(len(values) + 1)
    wanted = [w.copy(), *[np.zeros_like(v) for v in values]]
    seen = np.zeros(shape, int)
    for k, box in enumerate(boxes, 1):
        seen[box] = k
    wanted[0][seen != 0] = 0
    for k, box in enumerate(boxes, 1):
        wanted[k] = np.where(seen[box] == k, w[box], 0)
    for gradient in (pb.grad(f, argnums=tuple(every)), pb.compile(pb.grad(f, argnums=tuple(every)))):
        for found, expected in zip(gradient(x, *values), wanted, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_step_of_a_stencil_reads_no_table():
    def step(u):
        u = u * 1.0
        for _ in range(3):
            u[1:-1, 1:-1] = u[1:-1, 1:-1] + 0.1 * (u[2:, 1:-1] + u[:-2, 1:-1] - 2.0 * u[1:-1, 1:-1])
        return u

    graph = trace(step, np.ones((9, 8))).graph
    assert not any(node.op.name == "index" and len(node.args) > 1 for node in graph.nodes)
