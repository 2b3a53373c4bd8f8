"""The interpreter: the bits of eager evaluation, values dropped after their last use, hooks."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import payback as pb
from payback.ir.aval import aval_of
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.ops.row import INPUT
from payback.run.interpreter import Interpreter, run
from payback.trace.abstract import trace
from payback.trace.array import Traced


def program(x, w):
    h = np.tanh(x @ w)
    return np.where(h > 0, np.log(np.abs(h) + 1.0), h[..., ::-1] * 2.0).mean(), h.sum(axis=0)


def test_the_bits_of_eager_evaluation():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4, 3)).astype(np.float32), rng.standard_normal((3, 2)).astype(np.float32)
    traced = trace(program, x, w)
    for _ in range(2):
        for found, expected in zip(traced(x, w), program(x, w), strict=True):
            assert found.dtype == expected.dtype
            assert (found == expected).all()
        x = x + 1


def test_gradients_as_graphs():
    """The sweep on a graph without numbers, run afterwards, has the bits of the eager sweep."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((3, 2))

    def loss(w, x):
        h = pb.nn.relu(x @ w)
        return np.mean((h - 1.0) ** 2) + np.sum(h[np.array([0, 0, 3])]) + pb.nn.logsumexp(h, axis=1).sum() + np.max(w)

    step = trace(lambda w, x: pb.value_and_grad(loss)(w, x), w, x)
    value, gradient = step(w, x)
    expected_value, expected = pb.value_and_grad(loss)(w, x)
    assert value == expected_value
    assert (gradient == expected).all()
    second = trace(lambda w, x: pb.grad(lambda v: (pb.grad(loss)(v, x) ** 2).sum())(w), w, x)
    assert (second(w, x) == pb.grad(lambda v: (pb.grad(loss)(v, x) ** 2).sum())(w)).all()


def test_python_numbers_stay_weak():
    step = trace(lambda lr, x: x - lr * x, 0.5, np.ones(2, np.float32))
    assert step(0.25, np.ones(2, np.float32)).dtype == np.float32
    assert type(trace(lambda a: a * 2 - a / 3, 1.0)(3.0)) is float


def test_values_are_dropped_after_their_last_use():
    x = Node(INPUT, (), {}, None, None, aval_of(np.zeros(3)))
    y = Traced(x)
    for _ in range(5):
        y = np.sin(y)
    ghosts, alive = [], []

    def hook(node, value):
        alive.append(sum(ghost() is not None for ghost in ghosts))
        ghosts.append(weakref.ref(value))

    (found,) = Interpreter(Graph([x], [y.node]))(np.ones(3), hook=hook)
    assert max(alive) == 1
    assert found is not None


def test_outputs_may_be_inputs_constants_or_repeated():
    x = Node(INPUT, (), {}, None, None, aval_of(2.0))
    y = Traced(x) * 3.0
    constant = y.node.args[1]
    assert run(Graph([x], [x, y.node, y.node, constant]), [2.0]) == (2.0, 6.0, 6.0, 3.0)


def test_a_captured_variable_is_a_constant():
    w = pb.variable(3.0)
    x = Node(INPUT, (), {}, None, None, aval_of(2.0))
    assert run(Graph([x], [(Traced(x) * w).node]), [2.0]) == (6.0,)


def test_errors():
    x, other = (Node(INPUT, (), {}, None, None, aval_of(2.0)) for _ in range(2))
    with pytest.raises(TypeError, match="1 inputs, 2 were given"):
        run(Graph([x], [x]), [1.0, 2.0])
    with pytest.raises(TypeError, match="has no value and is not among the inputs"):
        Interpreter(Graph([x], [(Traced(x) * Traced(other)).node]))


def test_no_warnings_from_inside():
    step = trace(lambda x: np.log(x) / x, np.zeros(2))
    assert not np.isfinite(step(np.zeros(2))).any()
