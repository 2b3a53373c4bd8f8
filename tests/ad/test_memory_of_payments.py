"""Large payments take the memory of operands that nobody else holds: the same bits as small ones, nothing shared."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.ad import algebra
from payback.ad.values import lone
from payback.transforms import pullback

PROGRAMS = [
    lambda x: np.sum(x * x + x), lambda x: np.sum(np.tanh(x) * x + np.log1p(x * x)), lambda x: np.sum(x + x + x * 3.0),
    lambda x: np.sum((x + 1.0) * (x + 1.0) * np.exp(-x)),
    lambda x: np.sum(np.maximum(x, 0.1) * x[::-1] + x / (1.0 + x * x)),
    lambda x: np.sum((y := np.sin(x)) * y + y + y.reshape(-1, 2).sum(axis=1).repeat(2)),
]  # fmt: skip


@pytest.mark.parametrize("f", PROGRAMS)
def test_the_same_bits_whatever_the_size_and_again_from_the_same_graph(f, monkeypatch):
    x = np.random.default_rng(0).normal(size=20_000)
    value, in_place = pb.value_and_grad(f)(x)
    y, pull = pb.vjp(f, x)
    once, again = pull(1.0)[0], pull(1.0)[0]
    monkeypatch.setattr(algebra, "_LARGE", 1 << 62)
    plain_value, plain = pb.value_and_grad(f)(x)
    assert value == plain_value == y
    for found in (in_place, once, again):
        assert (found == plain).all()


def test_gradients_of_all_nodes_stay_apart():
    x = pb.variable(np.linspace(0.1, 1.0, 20_000))
    a = x * 2.0
    b = a + x
    c = b * b
    np.sum(c + b).backward()
    assert np.array_equal(c.grad, np.ones(20_000))
    np.testing.assert_array_equal(b.grad, 2.0 * b.value + 1.0)
    np.testing.assert_array_equal(a.grad, b.grad)
    np.testing.assert_array_equal(x.grad, a.grad * 2.0 + b.grad)


def test_what_was_kept_from_the_function_is_whole_after_its_gradient():
    kept = []

    def f(x):
        kept.append(np.exp(x))
        return np.sum(kept[-1] * x)

    x = np.linspace(0.0, 1.0, 20_000)
    pb.grad(f)(x)
    assert (kept[0].value == np.exp(x)).all()


def test_a_gradient_that_nobody_else_holds_is_given_away_uncopied(monkeypatch):
    copied = []
    monkeypatch.setattr(pullback, "own", lambda node, bar: copied.append(node) or np.array(bar))
    x = np.random.default_rng(0).normal(size=(3, 3))
    found = pb.grad(lambda x: np.sum(np.exp(x @ x)))(x)
    assert copied == []
    assert found.flags.owndata
    assert found.flags.writeable


@pytest.mark.parametrize("f", [np.sum, np.mean, lambda x: np.sum(x.T[::-1]), lambda x: np.sum(x.reshape(-1)[None]),
                               lambda x: np.sum(x[None] * KEPT), lambda x: np.sum(KEPT * x)])  # fmt: skip
def test_a_gradient_is_its_receivers_own(f):
    x, before = np.ones((3, 2)), KEPT.copy()
    first = pb.grad(f)(x)
    kept = first.copy()
    first[...] = -7.0
    np.testing.assert_array_equal(pb.grad(f)(x), kept)
    np.testing.assert_array_equal(x, np.ones((3, 2)))
    np.testing.assert_array_equal(KEPT, before)


KEPT = np.arange(6.0).reshape(3, 2)


def test_a_value_is_alone_only_while_nobody_else_refers_to_it():
    assert lone({"x": np.ones(3)}, "x")[1]
    held = np.ones(3)
    assert not lone({"x": held}, "x")[1]
    assert not lone({"x": held, "y": held}, "x")[1]
