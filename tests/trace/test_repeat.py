"""A function traced once for each kind of arguments: the graph computes what tracing it every time does."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.optim import optimizers
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace
from payback.trace.repeat import Repeated
from payback.trace.tree import leaves

OPTIMIZERS = [pb.optim.GradientDescent(0.1), pb.optim.Momentum(0.1), pb.optim.Nesterov(0.1), pb.optim.RMSprop(0.1),
              pb.optim.Adam(0.1), pb.optim.Adam(0.1, clip_norm=0.5), pb.optim.AdamW(0.1)]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimizer(optimizer, monkeypatch):
    generator = np.random.default_rng(0)
    shapes = [(3, 2), (2,), (3, 2), (2,), (2,), (4,)]
    parameters, gradient = ([generator.standard_normal(shape) for shape in shapes] for _ in range(2))
    state = [tuple(abs(generator.standard_normal(shape)) for _ in range(optimizer.slots)) for shape in shapes]

    def traced():
        graph = trace(lambda p, g, s, rate, step: optimizer.update(g, s, p, rate, step),
                      parameters, gradient, state, 0.1, 3.0).graph  # fmt: skip
        return graph, Interpreter(graph)(*leaves((parameters, gradient, state, 0.1, 3.0)))

    once, found = traced()
    calls = []
    monkeypatch.setattr(optimizers, "Repeated", lambda f: lambda *args: (calls.append(1), f(*args))[1])
    _, wanted = traced()
    assert len(calls) == len(shapes)
    assert len(found) == len(wanted) == len(once.outputs)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_is_called_once_for_each_kind():
    calls = []

    def f(x, rate):
        calls.append(x.shape)
        return x * rate + np.exp(rate), {"twice": x + x}

    def all_of(xs, rate):
        g = Repeated(f)
        return [g(x, rate) for x in xs]

    xs = [np.arange(3.0), np.ones(3), np.ones(2), np.zeros(3), np.ones(2)]
    graph = trace(all_of, xs, 2.0)
    assert calls == [(3,), (2,)]
    assert sum(node.op.name == "exp" for node in graph.graph.nodes) == 2  # not once for each array
    for (scaled, more), x in zip(graph(xs, 2.0), xs, strict=True):
        np.testing.assert_array_equal(scaled, x * 2.0 + np.exp(2.0))
        np.testing.assert_array_equal(more["twice"], x + x)


def test_one_value_in_two_places_is_no_pattern():
    """f(x, x) says nothing of f(x, y)."""

    def f(x, y):
        return x - 2.0 * y

    def both(x, y):
        g = Repeated(f)
        return g(x, x), g(x, y), g(y, x), g(y, y)

    x, y = np.array([1.0, 2.0]), np.array([5.0, 7.0])
    for found, wanted in zip(trace(both, x, y)(x, y), both(x, y), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_result_that_is_an_argument_or_a_number():
    def f(x):
        return x, 3.0, x * 2.0

    def all_of(x, y):
        g = Repeated(f)
        return g(x), g(y)

    x, y = np.ones(2), np.zeros(2)
    for found, wanted in zip(leaves(trace(all_of, x, y)(x, y)), leaves((f(x), f(y))), strict=True):
        np.testing.assert_array_equal(found, wanted)
