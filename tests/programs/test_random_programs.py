"""Random programs of many rows, shapes and shared values: NumPy's value, both namespaces, the graph without numbers,
first and second order."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import amount
import payback as pb
from ops import checks
from ops.samples import traced
from payback.errors import TraceError
from payback.trace.abstract import trace
from payback.trace.array import Traced

# each takes a generator and values of the pool; smooth where it is used, so that finite differences apply
# fmt: off
UNARY = [
    np.sin, np.cos, np.tanh, np.square, operator.neg, pb.nn.sigmoid, pb.nn.softplus, pb.nn.relu,
    lambda x: np.exp(np.tanh(x)), lambda x: np.log(x * x + 1.0), lambda x: np.sqrt(x * x + 0.5),
    lambda x: np.expm1(np.sin(x)), lambda x: np.log1p(x * x), lambda x: (x * x + 0.25) ** 1.5,
    lambda x: x**3 / (1.0 + x * x), lambda x: np.clip(x, -0.7, 0.9), lambda x: np.maximum(x, 0.3),
    lambda x: abs(x - 0.2), lambda x: np.where(x > 0.1, np.log(x), np.sin(x)),
    lambda x: np.where(x > 0.1, np.log(np.where(x > 0.1, x, 1.0)), 0.5 * x),
]
SHAPES = [
    lambda x: x.T, lambda x: x.reshape(-1), lambda x: x[None], lambda x: x[..., ::-1], lambda x: x[..., :1],
    lambda x: x[..., -1], lambda x: x[..., np.zeros(2, int)], lambda x: np.sum(x, axis=-1), lambda x: np.min(x),
    lambda x: np.mean(x, axis=0, keepdims=True), lambda x: np.max(x, axis=-1), lambda x: pb.nn.logsumexp(x, axis=0),
    lambda x: np.concatenate([x, x * 2.0], axis=-1), lambda x: np.stack([x, x]),
    lambda x: x @ x.T if x.ndim == 2 else x * x, lambda x: np.broadcast_to(x, (2, *x.shape)),
    lambda x: x[x[..., 0] > -9.0] if x.ndim > 1 else x[x > -9.0],
]
BINARY = [
    operator.add, operator.sub, operator.mul, np.maximum, np.minimum,
    lambda a, b: a / (b * b + 1.0), lambda a, b: np.where(a > b, a, b * 2.0),
]
# fmt: on


def program(seed):
    """A function of a matrix, a vector and a number: the same list of steps whenever it is called."""

    def run(x, v, s):
        rng = np.random.default_rng(seed)
        pool = [x, v, s]
        for _ in range(12):
            kind = rng.integers(4)
            a, b = (pool[i] for i in rng.integers(len(pool), size=2))
            if kind == 0 or (kind == 1 and (np.ndim(a) == 0 or np.size(a) > 60 or np.ndim(a) > 3)):
                made = UNARY[rng.integers(len(UNARY))](a)
            elif kind == 1:
                made = SHAPES[rng.integers(len(SHAPES))](a)
            else:
                try:
                    np.broadcast_shapes(np.shape(a), np.shape(b))
                except ValueError:
                    b = np.sum(b)
                made = BINARY[rng.integers(len(BINARY))](a, b)
            # bounded, so that no step drowns the others
            pool.append(made if np.size(made) <= 200 and np.ndim(made) < 5 else np.tanh(np.mean(made)))
        return np.mean(np.tanh(pool[-1])) + np.sum(pool[-2] * 0.25) + np.sum(np.sin(pool[-3] if len(pool) > 3 else x))

    return run


def arguments(seed, dtype=np.float64):
    rng = np.random.default_rng(seed + 10_000)
    return rng.standard_normal((3, 2)).astype(dtype), rng.standard_normal(2).astype(dtype), float(rng.standard_normal())


@pytest.mark.parametrize("seed", range(amount.cases(60, 400, 2000)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_graphs_and_namespaces(seed, dtype):
    f, args = program(seed), arguments(seed, dtype)
    with np.errstate(all="ignore"):
        expected = f(*args)
        inputs = [traced(arg) for arg in args]
        top = f(*inputs)
        assert isinstance(top, Traced)
        assert np.asarray(top.node.value).dtype == np.asarray(expected).dtype
        assert np.allclose(top.node.value, expected, rtol=1e-4 if dtype is np.float32 else 1e-12)
        bars = checks.sweep_both(top, 1.0 if top.node.aval.weak else top.dtype.type(1), inputs)
        for bar, arg in zip(bars, args, strict=True):
            assert bar is None or (np.shape(bar) == np.shape(arg) and np.asarray(bar).dtype == np.asarray(arg).dtype)


@pytest.mark.parametrize("seed", range(amount.cases(40, 200, 1000)))
def test_without_numbers(seed):
    """Traced by shapes (but for programs that index by a mask), value and gradients have the eager bits."""
    f, args = program(seed), arguments(seed)
    with np.errstate(all="ignore"):
        eager = pb.value_and_grad(f, argnums=(0, 1, 2))(*args)
        try:
            graph = trace(pb.value_and_grad(f, argnums=(0, 1, 2)), *args)
        except TraceError:
            return
        found = graph(*args)
    checks.assert_same(found[0], eager[0])
    for a, b in zip(found[1], eager[1], strict=True):
        checks.assert_same(a, b)


@pytest.mark.parametrize("seed", range(amount.cases(40, 200, 1000)))
def test_against_finite_differences(seed):
    """With a step of 1e-6, shorter than the distance to any kink or jump; its error is measured by another step."""
    f, args = program(seed), arguments(seed)
    slopes = pb.grad(f, argnums=(0, 1, 2))
    rng = np.random.default_rng(seed + 20_000)
    direction, weight = ([rng.standard_normal(np.shape(arg))[()] for arg in args] for _ in range(2))

    def dot(a, b):
        return sum(np.sum(x * y) for x, y in zip(a, b, strict=True))

    def along(g, t):
        return g(*[arg + t * part for arg, part in zip(args, direction, strict=True)])

    with np.errstate(all="ignore"):
        for g, exact in [
            (f, dot(slopes(*args), direction)),
            (
                lambda *xs: dot(slopes(*xs), weight),
                dot(pb.vjp(slopes, *args)[1](tuple(map(_like, weight, args))), direction),
            ),
        ]:
            found = (along(g, 1e-6) - along(g, -1e-6)) / 2e-6
            nearby = abs((along(g, 2e-6) - along(g, -2e-6)) / 4e-6 - found)  # what truncation and rounding do
            assert abs(found - exact) <= 1e-6 * (1 + abs(exact)) + 4 * nearby


def _like(weight, arg):
    return float(weight) if type(arg) is float else weight
