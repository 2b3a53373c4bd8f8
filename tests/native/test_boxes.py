"""Sums of payments to boxes, native: the bits of the interpreter, on any number of threads."""

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import both, is_exact
from ops.checks import same_bits
from payback.native.lower import boxes
from payback.ops.append import apply
from payback.ops.row import TABLE
from payback.trace.array import Traced
from payback.trace.body import node_of


def scattered(shape, templates, dtype, *values):
    params = {"shape": shape, "templates": templates, "counts": (0,) * len(values), "dtype": np.dtype(dtype)}
    return Traced(apply(TABLE["scatter"], tuple(map(node_of, values)), None, params))


def _slice(g, extent):
    """Most of an axis, more often than not."""
    start, stop = (0, extent) if g.random() < 0.3 else (g.integers(0, 3), extent - g.integers(0, 3))
    if g.random() < 0.1:
        start, stop = sorted(g.integers(0, extent + 1, 2))
    step = None if g.random() < 0.9 else int(g.choice([2, 3, -1]))
    return slice(*((int(start), int(stop)) if step != -1 else (None, None)), step)


def _template(g, shape):
    parts = [int(g.integers(-extent, extent)) if g.random() < 0.05 else _slice(g, extent) for extent in shape]
    if g.random() < 0.2:
        parts[-1:] = [...]
    if g.random() < 0.2:
        parts.insert(int(g.integers(0, len(parts) + 1)), None)
    return tuple(parts)


MADE = [  # of a payment: read where it lies, computed at each of its places, or computed before
    lambda v, c, row: v,
    lambda v, c, row: v * c,
    lambda v, c, row: np.abs(v - 1) * v,
    lambda v, c, row: np.sqrt(np.abs(v)) * c,
    lambda v, c, row: v[..., :1] + v,
    lambda v, c, row: -v * row[: v.shape[-1]],
]


@pytest.mark.parametrize("seed", range(amount.cases(12, 80, 400)))
def test_payments_to_boxes(seed, monkeypatch):
    monkeypatch.setattr(boxes, "APART", 0 if seed % 2 else boxes.APART)
    g = np.random.default_rng(seed)
    rank = int(g.integers(1, 5))
    shape = tuple(int(n) for n in g.integers(3, {1: 2000, 2: 70, 3: 24, 4: 9}[rank], rank))
    dtype = g.choice([np.float32, np.float64])
    templates = tuple(_template(g, shape) for _ in range(g.integers(1, 6)))
    values = []
    for template in templates:
        read = np.empty(shape)[template].shape
        values.append((g.choice([1.0, -0.0, np.inf, 0.3], read) * g.standard_normal(read)).astype(dtype))
    made = [MADE[k] if np.ndim(v) and v.size else MADE[0] for k, v in zip(g.integers(0, 6, 6), values, strict=False)]

    def f(c, row, *values):
        return scattered(shape, templates, dtype, *[make(v, c, row) for make, v in zip(made, values, strict=True)])

    args = dtype(g.standard_normal()), g.standard_normal(2000).astype(dtype), *values
    graph, found, wanted = both(f, *args)
    assert is_exact(graph)
    assert same_bits(found[0], wanted[0]), (shape, templates)
    compiled = pb.compile(f)
    try:
        for threads in (1, 2, 3):
            pb.set_threads(threads)
            assert same_bits(compiled(*args), wanted[0]), (shape, templates, threads)
    finally:
        pb.set_threads(None)


def test_a_stencil_s_gradient_is_one_pass():
    def energy(u):
        r = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
        return np.sum(r * r)

    f = pb.compile(pb.grad(energy))
    u = np.random.default_rng(0).standard_normal((40, 50))
    np.testing.assert_allclose(f(u), pb.grad(energy)(u), rtol=1e-13, atol=1e-13)
    assert "scatter of boxes" in (told := f.explain_compilation())
    assert "zeros" not in told


LARGE = {1: (40_000,), 2: (190, 230), 3: (35, 36, 37)}
KINDS = [  # of what is summed: differences, products, edges that are kept; of one array or two
    lambda a, b, x: (a - b) ** 2,
    lambda a, b, x: np.abs(b - a) * 0.3,
    lambda a, b, x: (a - b * b) ** 2 + (1.0 - b) ** 2,
    lambda a, b, x: a * b * x,
    lambda a, b, x: np.sqrt(1.0 + (a - x) ** 2),
]


@pytest.mark.parametrize("seed", range(amount.cases(4, 12, 60)))
def test_large_payments_and_what_is_added_to_them(seed):
    """Computed at each of their places, in one pass with what comes directly: the bits of the interpreter."""
    g = np.random.default_rng(seed)
    rank, dtype = int(g.integers(1, 4)), g.choice([np.float32, np.float64])
    shape = LARGE[rank]
    u, x = (g.choice([1.0, -0.0, 0.3, 1e30], shape) * g.standard_normal(shape) for _ in range(2))
    terms = [
        (int(g.integers(rank)), int(g.integers(1, 3)), KINDS[k]) for k in g.integers(0, len(KINDS), g.integers(1, 4))
    ]

    def energy(u, x):
        cost = 0.0
        for axis, step, kind in terms:
            far, near = (slice(None),) * axis + (slice(step, None),), (slice(None),) * axis + (slice(None, -step),)
            cost = cost + np.sum(kind(u[far], u[near], x[near]))
        for direct in range(seed % 3):
            cost = cost + np.sum((u - x if direct else np.abs(x) * u) ** 2)
        return cost

    f, args = pb.grad(energy), (u.astype(dtype), x.astype(dtype))
    _, found, wanted = both(f, *args)
    assert same_bits(found[0], wanted[0])
    compiled = pb.compile(f)
    try:
        for threads in (1, 2, 3):
            pb.set_threads(threads)
            assert same_bits(compiled(*args), wanted[0])
    finally:
        pb.set_threads(None)


@pytest.mark.parametrize("seed", range(amount.cases(3, 8, 30)))
def test_payments_of_short_rows(seed):
    """Such rows lie column by column where their lengths are computed; then so do the boxes."""
    g = np.random.default_rng(seed)
    dtype, shape = g.choice([np.float32, np.float64]), (*g.integers(5, 30, 2), int(g.integers(1, 6)))
    steps = [(int(g.integers(2)), int(g.integers(1, 4))) for _ in range(g.integers(1, 4))]

    def energy(u, v):
        cost = np.sum(u * v) if seed % 2 else 0.0
        for axis, step in steps:
            far, near = (slice(None),) * axis + (slice(step, None),), (slice(None),) * axis + (slice(None, -step),)
            r = np.sqrt(np.sum((u[far] - u[near]) ** 2, axis=2, keepdims=True) + 1e-3)
            cost = cost + np.sum((r - 1.0) ** 2)
        return cost

    f, args = pb.grad(energy), tuple(g.standard_normal(shape).astype(dtype) for _ in range(2))
    _, found, wanted = both(f, *args)
    rtol = 3e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(found[0], wanted[0], rtol=rtol, atol=100 * rtol)
