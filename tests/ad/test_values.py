"""The sweep of plain values pays what the sweep with a ledger pays, bit for bit."""

from __future__ import annotations

import random

import numpy as np
import pytest

import amount
import payback as pb
from payback.ad.algebra import Gradient
from payback.ad.sweep import everything, reach, sweep
from payback.ad.values import pay_values
from payback.ops.row import VARIABLE

STEPS = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x * x, lambda x, y: x / (y * y + 0.5),
    lambda x, y: -x, lambda x, y: np.exp(-abs(x)), lambda x, y: np.maximum(x, y),
    lambda x, y: np.where(x > y, x, 0.5 * y),
    lambda x, y: np.where(x > 0, np.sqrt(x), 0.0), lambda x, y: x - x, lambda x, y: x * 3.0 + 1.0,
    lambda x, y: x.T.T * y,
    lambda x, y: x + y.sum(axis=0), lambda x, y: x * y.mean(), lambda x, y: x - y.max(axis=1, keepdims=True),
    lambda x, y: x @ y.T @ x, lambda x, y: np.concatenate([x[1:], y[:1]]), lambda x, y: x[::-1] * y[:, [2, 0, 1, 1]],
    lambda x, y: np.cumsum(x, axis=1), lambda x, y: np.sort(x, axis=0), lambda x, y: pb.stop_gradient(x) * y,
    lambda x, y: x + np.linalg.norm(y), lambda x, y: np.floor(x) * y, lambda x, y: x + x[0] * y[:, :1],
]  # fmt: skip


def program(seed):
    chance, rng = random.Random(seed), np.random.default_rng(seed)
    rows = chance.choice([3, 130])  # of 130 × 4 and more some payments are made in place
    leaves = [pb.variable(rng.normal(size=(rows, 4)) * chance.choice([1.0, 0.0, 1e3])) for _ in range(3)]
    made = list(leaves)
    for _ in range(25):
        made.append(chance.choice(STEPS)(*chance.choices(made[-6:] + leaves, k=2)) * 0.5)
    return np.sum(made[-1] * made[len(made) // 2]) + np.sum(made[-2]), leaves


@pytest.mark.parametrize("seed", range(amount.cases(60, 2000)))
def test_bit_for_bit_what_the_sweep_finds(seed, monkeypatch):
    monkeypatch.setattr("payback.ad.algebra._LARGE", 1000)
    with np.errstate(all="ignore"):
        top, leaves = program(seed)
        wrt = [leaf.node for leaf in leaves]
        algebra = Gradient(on_graph=False)
        expected = sweep(algebra, {top.node: 1.0}, wrt, keep=everything)
        expected = {node: algebra.dense(owed) for node, owed in expected.items()}
        again = Gradient(on_graph=False)
        found = pay_values(again, {top.node: 1.0}, set(wrt), reach([top.node], 0, wrt), keep=True)
    assert found.keys() == expected.keys()
    for node, owed in found.items():
        a, b = np.asarray(again.dense(owed)), np.asarray(expected[node])
        assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes()), node.op.name
    assert any(node.op is VARIABLE for node in found)


def test_a_node_pays_all_of_its_many_arguments():
    given = [np.full(2, float(k)) for k in range(12)]
    found = pb.grad(lambda parts: np.sum(np.concatenate(parts) ** 2))(given)
    np.testing.assert_array_equal(found, [2.0 * part for part in given])
