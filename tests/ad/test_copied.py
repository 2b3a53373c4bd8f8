"""Payments that are copied from earlier ones: the graph is the one that the rules would have written."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.ad.algebra import Gradient
from payback.ad.copied import Copying
from payback.ir.graph import Graph
from payback.trace.abstract import trace

ROWS = np.zeros((6, 4), np.float32)
SQUARE, LINE = np.zeros((4, 4), np.float32), np.zeros(4, np.float32)


def relu_layers(x, w, b):
    for _ in range(4):
        x = np.maximum(x @ w + b, 0)
    return x.sum()


def tanh_layers(x, w, b):
    for _ in range(4):
        x = np.tanh(w @ x.T + b[:, None]).T
    return (x * x).mean()


def chosen(x, w, b):
    for _ in range(3):
        x = np.where(x > 0, np.sqrt(x) * b, np.where(b > 1, x, x * x)) @ w
    return np.sum(x)


def twice(x, w, b):
    for _ in range(3):
        x = x * x + np.multiply(b, b) + x
    return np.max(x) + np.mean(np.concatenate([x, x]) / w[0])


def powers(x, w, b):
    for n in (2, 3, 2, 3, 2.0):
        x = x**n + b**2 + x ** (b * 2.0)
    return np.mean(x.sum(0))


def differing(x, w, b):
    """The same rows with other shapes, parameters, constants and dtypes."""
    y = x.sum(0) + x.sum(0, keepdims=True) + x.sum(1, keepdims=True)
    z = (x.astype(np.float64) * 2.0).sum(1) @ (x * 2.0) + b * 3.0
    return y.sum() + z.sum() + (x[:, :2] @ w[:2]).max() + np.clip(x, 0, 1).sum() + np.clip(x, 0, 2).sum()


def normalized(x, w, b):
    for _ in range(3):
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) * b
        x = x - np.log(np.sum(np.exp(x - x.max(1, keepdims=True)), 1, keepdims=True))
    return x.sum()


PROGRAMS = [relu_layers, tanh_layers, chosen, twice, powers, differing, normalized]


def text(graph: Graph) -> str:
    """The graph by numbers of its own, with what each node was made for; constants, which copies share, as they are."""
    number = {node: k for k, node in enumerate((*graph.inputs, *(node for node in graph.nodes if node.args)))}
    ids = {node.id: k for node, k in number.items()}

    def shown(node):
        return number.get(node, (node.value, node.aval))

    lines = [list(map(shown, graph.outputs))]
    for node in graph.nodes:
        if node.args:
            where = node.where
            made_for = (ids.get(where[2], "gone"), where[3]) if where is not None and len(where) > 2 else None
            lines.append([number[node], node.op.name, node.aval, *map(shown, node.args), node.params, made_for])
    return "\n".join(map(repr, lines))


def differentiated(f, monkeypatch, algebra):
    with monkeypatch.context() as patched:
        patched.setattr("payback.transforms.pullback.Copying", algebra)
        gradient = pb.value_and_grad(f, argnums=(0, 1, 2))
        return [
            trace(g, ROWS, SQUARE, LINE).graph for g in (gradient, pb.grad(lambda *args: gradient(*args)[1][2].sum()))
        ]


@pytest.mark.parametrize("f", PROGRAMS)
def test_copies_are_what_the_rules_write(f, monkeypatch):
    """In the second order too."""
    ran = []

    class Counted(Copying):
        def pull(self, node, slot, bar):
            before = len(self._copies)
            paid = super().pull(node, slot, bar)
            ran.append(len(self._copies) == before)
            return paid

    copied = differentiated(f, monkeypatch, Counted)
    written = differentiated(f, monkeypatch, lambda: Gradient(on_graph=True))
    for one, other in zip(copied, written, strict=True):
        assert text(one) == text(other)
    assert sum(ran) > len(ran) / 8


def test_a_copy_that_ignores_what_it_is_given_is_caught(monkeypatch):
    """The test above would see it."""
    from payback.ad import copied

    monkeypatch.setattr(copied, "key_of", lambda node, slot, given, more: (node.op, slot, more))
    with pytest.raises((AssertionError, ValueError, IndexError, pb.errors.PaybackError)):
        test_copies_are_what_the_rules_write(differing, monkeypatch)
