"""The sweep of scalar programs finds what the sweep finds, bit for bit, or leaves the matter to it."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest

import amount
import payback as pb
from payback.ad.algebra import Gradient
from payback.ad.scalars import pay_scalars
from payback.ad.sweep import everything, sweep
from payback.ops.row import VARIABLE

STEPS = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / (y * y + 0.5), lambda x, y: -x,
    lambda x, y: abs(x), lambda x, y: x**2, lambda x, y: x**3.0, lambda x, y: 2**x,
    lambda x, y: (abs(x) + 0.5) ** (y * y + 1.0),
    lambda x, y: x * 3, lambda x, y: 1 - x, lambda x, y: 0.1 / (x + 7), lambda x, y: x * x, lambda x, y: x - x,
    lambda x, y: x % 3.0, lambda x, y: x + True, lambda x, y: (x > y) * y + x, lambda x, y: pb.stop_gradient(x) * y,
    lambda x, y: x**0, lambda x, y: abs(x) ** y, lambda x, y: x // 2.0 + y,
]  # fmt: skip


def bits(number):
    return "NaN" if math.isnan(number) else struct.pack("d", number)


def program(seed, steps, count):
    """The result and the leaves of a random program: shared values, constants, and numbers that overflow."""
    chance = random.Random(seed)
    leaves = [pb.variable(chance.choice([0.3, -1.7, 2.0, -0.0, 1e150, chance.gauss(0, 1)])) for _ in range(3)]
    made = list(leaves)
    for _ in range(count):
        made.append(chance.choice(steps)(*chance.choices(made[-8:] + leaves, k=2)))
        if type(made[-1].node.value) is not float:
            made.pop()
    return made[-1] + made[-1] * made[len(made) // 2], leaves


@pytest.mark.parametrize("seed", range(amount.cases(60, 3000)))
def test_bit_for_bit_what_the_sweep_finds(seed):
    smooth = seed % 2
    with np.errstate(all="ignore"):
        top, leaves = program(seed, STEPS[:14] if smooth else STEPS, 60)
        wrt = [leaf.node for leaf in leaves]
        algebra = Gradient(on_graph=False)
        expected = sweep(algebra, {top.node: 1.0}, wrt, keep=everything)
        found = pay_scalars(top.node, 1.0, wrt.__contains__)
    if smooth:
        assert found is not None
    if found is not None:
        assert {n.id: bits(owed) for n, owed in zip(*found, strict=True)} == {
            n.id: bits(float(algebra.dense(owed))) for n, owed in expected.items()
        }
    top.backward()
    for leaf in leaves:
        owed = expected.get(leaf.node)
        assert (leaf.grad is None) if owed is None else bits(leaf.grad) == bits(float(algebra.dense(owed)))


def test_a_program_of_each_kind_is_taken():
    """Of the operations on Python floats all but those without a derivative."""
    x, y = pb.variable(1.3), pb.variable(0.7)
    for step in STEPS[:14]:
        top = step(x, y)
        assert pay_scalars(top.node, 1.0, lambda node: node.op is VARIABLE) is not None


@pytest.mark.parametrize("leave", [
    lambda x, y: pb.stop_gradient(x) * y, lambda x, y: (x > 0) * y, lambda x, y: x**0,
    lambda x, y: (x - x) ** y, lambda x, y: x // 2.0 + y,
])  # fmt: skip
def test_what_might_lead_nowhere_is_left_to_the_sweep(leave):
    x, y = pb.variable(1.3), pb.variable(0.7)
    with np.errstate(all="ignore"):
        assert pay_scalars(leave(x, y).node, 1.0, lambda node: node.op is VARIABLE) is None


def test_no_path_is_none_and_a_value_kept_apart_is_not_paid():
    x, y = pb.variable(1.3), pb.variable(0.7)
    apart = x * 2.0
    kept = pb.stop_gradient(apart)
    (kept * y).backward()
    assert x.grad is None
    assert apart.grad is None
    assert y.grad == 2.6


def test_another_leaf_is_not_an_end():
    x, y = pb.variable(1.3), pb.variable(0.7)
    assert pay_scalars((x * y).node, 1.0, [x.node].__contains__) is None


def test_payments_of_one_pile_are_added_by_ascending_payer():
    big = pb.variable(1.0)
    parts = [big * 1e16, big * 1.0, big * 1.0, big * -1e16]
    top = parts[3] + (parts[2] + (parts[1] + parts[0]))
    top.backward()
    assert big.grad == ((1e16 + 1.0) + 1.0) - 1e16


def test_gradients_accumulate_when_asked():
    x = pb.variable(2.0)
    y = x * x
    y.backward()
    y.backward(accumulate=True)
    assert (x.grad, y.grad) == (8.0, 2.0)
    y.backward()
    assert (x.grad, y.grad) == (4.0, 1.0)


def test_a_gradient_of_python_floats_beside_an_array_that_is_not_used():
    value, (dx, da) = pb.value_and_grad(lambda x, a: x * x + 1.0, argnums=(0, 1))(3.0, np.ones(2))
    assert (value, dx) == (10.0, 6.0)
    assert (da == 0.0).all()
    assert da.shape == (2,)
