"""Periodic shifts are read where the array lies, and paid back so: nests are cut into cells at the seams."""

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import both, check
from ops.checks import same_bits
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

SHAPES = [(9001,), (96, 100), (23, 20, 22), (3, 60, 50)]


def shifted(g, x, count):
    """A sum of random shifts along random axes, some of them twice."""
    total = 0.0
    for _ in range(count):
        axis = int(g.integers(x.ndim))
        total = total + float(g.integers(1, 4)) * np.roll(x, int(g.integers(-40, 41)), axis)
    return total


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(amount.cases(4, 40)))
def test_sums_of_shifts(seed, dtype):
    g = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    x, y = g.standard_normal((2, *shape)).astype(dtype)
    x.flat[g.integers(x.size, size=2)] = -0.0
    seeds = g.integers(1 << 30, size=2)

    def f(x, y):
        a, b = (shifted(np.random.default_rng(s), x, 2) for s in seeds)
        return a * y, np.mean((b - y) ** 2), np.sum(a * b, axis=0), np.max(a - y), np.tanh(x)

    graph, found, wanted = both(f, x, y)
    assert same_bits(found[0], wanted[0])
    check(graph, found, wanted, rtol=3e-5 if dtype is np.float32 else 3e-13, what=str(shape))
    gradient = pb.grad(lambda x, y: np.sum(f(x, y)[0] * np.roll(y, 1, 0)))
    assert same_bits(pb.compile(gradient)(x, y), gradient(x, y))


def test_shifts_are_not_written_down():
    x = np.random.default_rng(0).standard_normal((128, 130))
    f = pb.value_and_grad(lambda x: np.sum((np.roll(x, 1, 0) + np.roll(x, -1, 1) - 2.0 * x) ** 2))
    texts = [command.text for command in Program(trace(f, x).graph).commands]
    assert not {"concatenate", "scatter", "zeros"} & set(texts)
    written = [view.buffer for command in Program(trace(f, x).graph).commands for view in command.writes]
    assert len({buffer for buffer in written if buffer.size == x.size}) == 2  # the residual, and the gradient


@pytest.mark.parametrize("read", [
    lambda r, y: np.cumsum(r, 0) * y,
    lambda r, y: np.sum(r * y, axis=1),
    lambda r, y: r[::2] @ y[:, :3],
    lambda r, y: (r, r * y),
    lambda r, y: np.sum(np.where(y[:, :1] > 0, r, y)),
    lambda r, y: np.stack([r + y, y]),
    lambda r, y: r * y[np.arange(199, 99, -1) % 100] + y[:, np.arange(100) // 3],
])  # fmt: skip
def test_whoever_reads_a_shift(read):
    """A result, a running sum, some rows, a product; of an array that is computed first, and of two arrays."""
    g = np.random.default_rng(1)
    x, y = g.standard_normal((2, 100, 100))

    def f(x, y):
        z = np.exp(x) * y
        joined = np.concatenate([z[90:], x[:90]])
        between = 0.5 - np.abs(2.0 * z)  # is computed where it is read
        return read(np.roll(z, 7, 1), y), read(joined, z), z, read(np.roll(between, 3, 0), y)

    check(*both(f, x, y), rtol=1e-12, what="")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_bits_do_not_depend_on_the_threads(dtype, monkeypatch):
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    x, y = np.random.default_rng(2).standard_normal((2, 211, 222)).astype(dtype)
    cost = lambda x, y: np.mean((np.roll(x, 3, 0) * np.roll(x, -5, 1) - y) ** 2) + np.sum(x[1:, 1:] ** 2)  # noqa: E731
    f = pb.value_and_grad(cost)
    found = []
    for threads in (1, 2, 3, 4, 8):
        cores.set_threads(threads)
        try:
            program = Program(trace(f, x, y).graph)
        finally:
            cores.set_threads(None)
        found.append([each.tobytes() for each in program(x, y)])
    assert all(each == found[0] for each in found)
