"""The sweep of scalar programs finds what the sweep finds, bit for bit, or leaves the matter to it."""

from __future__ import annotations

import math
import random
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

import amount
import payback as pb
from payback.ad.algebra import Gradient
from payback.ad.scalars import pay_scalars
from payback.ad.sweep import everything, sweep
from payback.ir.node import ancestors
from payback.ir.where import position
from payback.ops.row import VARIABLE
from payback.trace.scalars.floats import Float
from payback.trace.shim.python_math import _OF_ONE, mathematics

STEPS = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / (y * y + 0.5), lambda x, y: -x,
    lambda x, y: abs(x), lambda x, y: x**2, lambda x, y: x**3.0, lambda x, y: 2**x,
    lambda x, y: (abs(x) + 0.5) ** (y * y + 1.0),
    lambda x, y: x * 3, lambda x, y: 1 - x, lambda x, y: 0.1 / (x + 7), lambda x, y: x * x, lambda x, y: x - x,
    lambda x, y: x % 3.0, lambda x, y: x + True, lambda x, y: (x > y) * y + x, lambda x, y: pb.stop_gradient(x) * y,
    lambda x, y: x**0, lambda x, y: abs(x) ** y, lambda x, y: x // 2.0 + y,
    *[lambda x, y, name=name: mathematics(name, getattr(math, name), x) for name in _OF_ONE],
]  # fmt: skip


def bits(number):
    return "NaN" if math.isnan(number) else struct.pack("d", number)


def walked(top, is_end):
    """What `pay_scalars` finds; None for what is no number without a node."""
    return pay_scalars(top, 1.0, is_end) if type(top) is Float and top.row is not None else None


def program(seed, steps, count):
    """The result and the leaves of a random program: shared values, constants, and numbers that overflow."""
    chance = random.Random(seed)
    leaves = [pb.variable(chance.choice([0.3, -1.7, 2.0, -0.0, 1e150, chance.gauss(0, 1)])) for _ in range(3)]
    made = list(leaves)
    for _ in range(count):
        step, operands = chance.choice(steps), chance.choices(made[-8:] + leaves, k=2)
        with suppress(ValueError, OverflowError):  # `math` refuses numbers
            made.append(step(*operands))
        if type(made[-1].value) is not float:
            made.pop()
    return made[-1] + made[-1] * made[len(made) // 2], leaves


@pytest.mark.parametrize("seed", range(amount.cases(60, 3000)))
def test_bit_for_bit_what_the_sweep_finds(seed):
    smooth = seed % 2
    with np.errstate(all="ignore"):
        top, leaves = program(seed, STEPS[:14] if smooth else STEPS, 60)
        wrt = [leaf.node for leaf in leaves]
        found = walked(top, wrt.__contains__)
        if found is not None:
            top.backward()  # in one walk
        algebra = Gradient(on_graph=False)
        expected = sweep(algebra, {top.node: 1.0}, wrt, keep=everything)
    if smooth:
        assert found is not None
    if found is not None:
        numbers, owed, ends, owed_to_ends = found
        nodes = [x.node for x in numbers] + ends
        assert {n.id: bits(o) for n, o in zip(nodes, owed + owed_to_ends, strict=True)} == {
            n.id: bits(float(algebra.dense(expected[n]))) for n in nodes
        }
        # between a number and NumPy's function of it stand casts
        assert all(n.op.name == "cast" or n.op.numeric == "float" for n in expected.keys() - set(nodes))
        assert [bits(n.grad) for n in nodes] == [bits(o) for o in owed + owed_to_ends]
    else:
        top.backward()
    for leaf in leaves:
        owed = expected.get(leaf.node)
        assert (leaf.grad is None) if owed is None else bits(leaf.grad) == bits(float(algebra.dense(owed)))


def test_a_program_of_each_kind_is_taken():
    """Of the operations on Python floats all but those without a derivative."""
    x, y = pb.variable(1.3), pb.variable(0.7)
    for step in STEPS[:14]:
        top = step(x, y)
        assert walked(top, lambda node: node.op is VARIABLE) is not None


@pytest.mark.parametrize(
    "leave", [lambda x, y: pb.stop_gradient(x) * y, lambda x, y: (x > 0) * y, lambda x, y: x // 2.0 + y]
)
def test_what_might_lead_nowhere_is_left_to_the_sweep(leave):
    x, y = pb.variable(1.3), pb.variable(0.7)
    with np.errstate(all="ignore"):
        assert walked(leave(x, y), lambda node: node.op is VARIABLE) is None


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
    assert walked(x * y, [x.node].__contains__) is None


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


def test_a_number_has_a_node_once_somebody_asks():
    """As if operators had made the nodes when they ran: values, places, order, and what the last sweep has found."""
    x = pb.variable(2.0)
    kept = x * 3.0
    top = 1 - kept * kept + x
    top.backward()
    assert kept.row is not None
    node = top.node
    assert (kept.row, kept.grad, x.grad) == (None, -12.0, -35.0)
    assert [n.op.name for n in ancestors([node])] == [
        "variable", "const", "mul", "mul", "const", "sub", "add",
    ]  # fmt: skip
    assert [n.id for n in ancestors([node])] == sorted({n.id for n in ancestors([node])})
    assert kept.node.grad == -12.0
    assert kept.node.value == kept.value == 6.0
    assert position(kept.node.where).text == "x * 3.0"
    assert top.node is node
    top.backward()
    assert (kept.grad, x.grad) == (-12.0, -35.0)


def test_a_number_with_a_node_goes_on_as_any_traced_value():
    x = pb.variable(0.5)
    kept = x * x
    mixed = np.exp(kept) + 1.0  # a float64
    again = kept * x + mixed
    again.backward()
    assert x.grad == pytest.approx(3 * 0.25 + 2 * 0.5 * math.exp(0.25), rel=1e-15)
    assert kept.grad == pytest.approx(0.5 + math.exp(0.25), rel=1e-15)


def test_a_look_at_a_number_makes_no_node():
    x = pb.variable(0.5)
    y = x * x - 2
    seen = [bool(y), y > 0, bool(y < x), y != 0.25, repr(y), str(y), f"{y:.2f}", y.value, isinstance(y, float), y.shape]
    assert y.row is not None
    assert seen[2:] == [True, seen[3], "Traced(-1.75)", "-1.75", "-1.75", -1.75, True, ()]
    assert (seen[0], bool(seen[1]), bool(seen[3])) == (True, False, True)
    assert (seen[1] * y).value == 0.0
    assert seen[1].dtype == bool


def test_two_threads_that_ask_for_the_nodes_of_one_number_get_the_same():
    for _ in range(20):
        x = pb.variable(0.5)
        y = x
        for _ in range(200):
            y = y * x + 0.5
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda y: y.node, [y] * 4))
        assert all(node is found[0] for node in found)
        assert len(ancestors([found[0]])) == 1 + 600


def test_derivatives_of_numbers_nest():
    def f(x, y):
        inner = pb.grad(lambda z: z * z * y * x)(x)  # uses numbers of the outer function
        return inner * y + x

    x, y = 1.5, 0.7
    assert pb.grad(f, (0, 1))(x, y) == pytest.approx((4 * x * y**2 + 1, 4 * x**2 * y), rel=1e-14)
