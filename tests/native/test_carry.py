"""Gradients over the entries of a sum are computed in its pass, and are those of the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.ir.aval import Aval
from payback.ir.node import NO_PARAMS, Node
from payback.native.planning.commands import scalar_constant
from payback.ops.row import CONST

COUNT = 20_003


def _commands(f) -> int:
    return len(f._program().commands)


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 1.5, shape)


def _agree(f, *args):
    compiled = pb.compile(pb.value_and_grad(f))
    value, gradient = compiled(*args)
    expected, slowly = pb.value_and_grad(f)(*args)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, slowly, rtol=1e-12, atol=1e-14)
    return compiled


def test_one_pass_makes_value_and_gradient():
    compiled = _agree(lambda x, y: np.sum(np.exp(x) * np.tanh(x * y)), _numbers(COUNT), _numbers(COUNT))
    assert _commands(compiled) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_layers_of_a_stack_are_made_in_their_places(axis):
    def f(x, y):
        template = [slice(None)] * axis
        first, second, third = (x[(*template, k)] for k in (0, -2, 2))
        return np.sum(np.exp(first) * second / (y + third))

    shape = [150, 140]
    x, y = _numbers(*shape[:axis], 3, *shape[axis:]), _numbers(*shape)
    assert _commands(_agree(f, x, y)) <= 2


def test_a_layer_that_is_read_twice_or_never():
    x = _numbers(3, COUNT)
    _agree(lambda x: np.sum(np.exp(x[0]) * x[1] + np.sin(x[-3]) * x[2]), x)
    _agree(lambda x: np.sum(np.exp(x[0]) * x[2]), x)


def test_zero_that_is_paid_is_positive():
    gradient = pb.compile(pb.grad(lambda x: np.sum(-0.0 * x[0] + np.exp(x[1]))))(_numbers(2, COUNT))
    assert not np.signbit(gradient[0]).any()


def test_a_gradient_that_needs_the_sum_waits_for_it():
    _agree(lambda x: np.log(np.sum(np.exp(x))), _numbers(COUNT))
    _agree(lambda x: np.sum(np.exp(x)) ** 2 + np.sum(x * np.sin(x)), _numbers(COUNT))


def test_a_choice_that_is_known_is_no_choice_and_an_unknown_one_stays():
    mask = np.ones(COUNT, bool)
    x = _numbers(COUNT)
    _agree(lambda x: np.sum(np.where(mask, np.exp(x), 2.0 * x)), x)
    _agree(lambda x: np.sum(np.where(~mask, np.exp(x), 2.0 * x)), x)
    some = mask.copy()
    some[3] = False
    _agree(lambda x: np.sum(np.where(some, np.exp(x), 2.0 * x)), x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
        lambda x: (x * 2.0) * (x * 2.0).sum(axis=0),
        lambda x: (x * 2.0) * (x * 2.0).sum(),
        lambda x: np.stack([x * 2.0, x * 2.0 - (x * 2.0).max(axis=1)[:, None]]),
    ],
)
def test_what_reads_the_sum_itself_waits_for_it(f):
    """It shares work with the sum, but the sum's own pass cannot make it."""
    x = np.random.default_rng(0).standard_normal((128, 160))
    np.testing.assert_allclose(pb.compile(f, native=True)(x), f(x), rtol=1e-11)


def test_an_array_of_one_number_is_a_number_however_long():
    x, y = _numbers(2, 70_001)
    f = _agree(lambda x: np.mean(np.maximum(0.9 * (y - x), x - y)), x)
    assert all(buffer.size == 1 for buffer in f._program().planner.constants)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
def test_one_other_entry_makes_an_array(dtype):
    def constant(array: np.ndarray) -> Node:
        return Node(CONST, (), NO_PARAMS, array, None, Aval(array.shape, array.dtype))

    same = np.full((300, 301), -0.0).astype(dtype)
    assert scalar_constant(constant(same)) is not None
    assert scalar_constant(constant(np.broadcast_to(same[:, :1], same.shape))) is not None
    same[123, 45] = 0.0 if same.dtype.kind == "f" else 1
    assert scalar_constant(constant(same)) is None


@pytest.mark.parametrize("columns", amount.cases([3], [2, 3, 5, 7, 15]))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_very_short_rows_and_their_columns(columns, dtype):
    """What lies across, is read along rows and columns, and is a result, on any number of threads."""

    def f(x, w):
        z = np.tanh(x) * w
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        return p, (p * np.log(p)).sum(axis=-1), z.mean(axis=(0, 1)), (z * x).max(axis=(0, 1)), x.min(axis=0)

    x, w = (_numbers(*shape).astype(dtype) for shape in ((9, 301, columns), (columns,)))
    for each in (f, pb.grad(lambda x, w: sum(np.sum(np.sin(y)) for y in f(x, w)), argnums=(0, 1))):
        made = []
        for threads in (1, 3):
            pb.set_threads(threads)
            made.append(pb.compile(each)(x, w))
        pb.set_threads(None)
        for one, other, expected in zip(*made, each(x, w), strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_allclose(
                one, expected, rtol=1e-12 if dtype == "float64" else 1e-5, atol=16 * np.finfo(dtype).eps
            )
