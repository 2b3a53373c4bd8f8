"""`check_grads`: it catches derivatives that are a little wrong, and is content with those that are right."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import payback as pb
from payback.errors import GradientCheckError, InputError

X = np.array([0.3, 1.2, -0.7, 2.0])
M = np.arange(16.0).reshape(4, 4)


def ruled(value, pull):
    return pb.custom_gradient(lambda x: (value(x), lambda bar: pull(x, bar)))


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


WRONG = {
    "a ten-thousandth": ruled(np.sin, lambda x, b: b * np.cos(x) * (1 + 1e-4)),
    "one entry": ruled(np.sin, lambda x, b: b * np.cos(x) * np.array([1, 1, 1, 1.001])),
    "no sign": ruled(np.abs, lambda x, b: b),
    "not turned back": ruled(lambda x: x[::-1] * 2, lambda x, b: b * 2),
    "a term": ruled(lambda x: x * np.exp(x), lambda x, b: b * np.exp(x) * x),
    "not summed": ruled(lambda x: np.sum(x**2) * np.ones(4), lambda x, b: 2 * x * b),
    "not divided": ruled(lambda x: np.mean(x**2), lambda x, b: 2 * x * b),
    "beyond the bounds": ruled(lambda x: np.clip(x, -1, 1), lambda x, b: b),
    "shared by all": ruled(np.max, lambda x, b: b * np.ones(4) / 4),
    "half": ruled(lambda x: np.log1p(x**2), lambda x, b: b * x / (1 + x**2)),
    "a factor": ruled(np.tanh, lambda x, b: b * (1 - np.tanh(x))),
    "not normalized": ruled(np.linalg.norm, lambda x, b: b * x),
    "from the wrong end": ruled(np.cumsum, lambda x, b: np.cumsum(b)),
    "the wrong way": ruled(lambda x: np.roll(x, 1), lambda x, b: np.roll(b, 1)),
    "the diagonal alone": ruled(softmax, lambda x, b: b * softmax(x)),
    "not transposed": ruled(lambda x: M @ x, lambda x, b: M @ b),
    "of a small function": ruled(lambda x: 1e-6 * np.sin(x), lambda x, b: 1.01e-6 * b * np.cos(x)),
    "of a large function": ruled(lambda x: 1e6 * np.sin(x), lambda x, b: 1.0001e6 * b * np.cos(x)),
    "a constant that is none": lambda x: np.sin(x) * pb.stop_gradient(np.cos(x)),
    "the second order": ruled(np.sin, lambda x, b: b * pb.stop_gradient(np.cos(x))),
    "nothing": ruled(np.sin, lambda x, b: b * 0),
    "a small slope": ruled(lambda x: np.sin(x) + 1e-3 * x, lambda x, b: b * np.cos(x)),
    "what all depend on": ruled(lambda x: x * np.max(x), lambda x, b: b * np.max(x)),
}
RIGHT = {
    "sin": np.sin, "abs": np.abs, "sort": np.sort, "norm": np.linalg.norm, "large": lambda x: 1e8 * np.sin(x),
    "small": lambda x: 1e-8 * np.sin(x), "exp": lambda x: np.exp(5 * x), "steep": lambda x: np.tanh(20 * x),
    "cancellation": lambda x: (x + 1e6) - 1e6, "constant": lambda x: x * 0 + 1, "log": lambda x: np.log(x**2),
    "zero": lambda x: np.sin(x) ** 2 + np.cos(x) ** 2 - 1, "a condition": lambda x: np.sum(x > 0) * x,
    "containers": lambda x: {"a": x, "b": [np.sum(x), None]}, "nothing but zero": lambda x: x - x,
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_caught(name):
    with pytest.raises(GradientCheckError, match="finite differences give"):
        pb.check_grads(WRONG[name], X)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_is_not(name):
    pb.check_grads(RIGHT[name], X)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_in_single_and_half_precision(dtype):
    pb.check_grads(np.sin, X.astype(dtype))
    with pytest.raises(GradientCheckError):
        pb.check_grads(WRONG["not divided"], X.astype(dtype))


@pytest.mark.parametrize(("dtype", "least"), [(np.float64, 3e-5), (np.float32, 3e-3), (np.float16, 0.1)])
def test_the_tolerance_of_a_dtype(dtype, least):
    for part, wrong in ((least, True), (least / 10, False)):
        off = ruled(np.sin, lambda x, b, factor=1 + part: factor * b * np.cos(x))
        with pytest.raises(GradientCheckError) if wrong else contextlib.nullcontext():
            pb.check_grads(off, X.astype(dtype), order=1)


def test_orders_are_checked_up_to_the_second_unless_told():
    slope = ruled(np.cos, lambda x, b: -b * pb.stop_gradient(np.sin(x)))  # right to its first order
    right_to_the_second = ruled(np.sin, lambda x, b: b * slope(x))
    pb.check_grads(right_to_the_second, X)
    with pytest.raises(GradientCheckError):
        pb.check_grads(right_to_the_second, X, order=3)


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_whole_numbers_are_handed_on(factor):
    square = ruled(np.square, lambda x, b: b * 2 * factor * x)

    def picked(rows, table):
        return square(table[rows]).sum()

    with contextlib.nullcontext() if factor == 1 else pytest.raises(GradientCheckError, match="by argument 1 is"):
        pb.check_grads(picked, np.array([0, 2, 2]), X)


@pytest.mark.parametrize("size", [1e-4, 1e-6, 1e-12])
def test_beside_the_end_of_the_domain(size):
    root = ruled(np.sqrt, lambda x, b: b * 0.5001 / np.sqrt(x))
    pb.check_grads(np.sqrt, size)
    with pytest.raises(GradientCheckError):
        pb.check_grads(root, size)


@pytest.mark.parametrize("plain", [False, True])
def test_a_rule_that_is_wrong_is_named_where_it_is_called(plain):
    @pb.custom_gradient(plain=plain)
    def right(x):
        return np.sin(x), lambda bar: bar * np.cos(x)

    @pb.custom_gradient(plain=plain)
    def wrong(x):
        return np.sin(x), lambda bar: bar * np.sin(x)

    def f(x):
        for k in range(20):
            x = x + 0.1 * right(x * k)
        x = x * wrong(x)
        return np.sum(right(x))

    line = f.__code__.co_firstlineno + 3
    with pytest.raises(GradientCheckError, match="the derivative of f by argument 0") as told:
        pb.check_grads(f, np.array([0.3, 1.1]), order=1)
    assert told.value.fix.startswith("the rule of wrong is wrong at ")
    assert f"test_check.py:{line} in f: wrong(x)" in told.value.fix
    with pytest.raises(GradientCheckError) as told:  # no rule of a user's is to blame
        pb.check_grads(lambda x: right(x) + pb.stop_gradient(x), np.array([0.3, 1.1]), order=1)
    assert told.value.fix.startswith("check the rule")
    pb.grad(f)(np.array([0.3, 1.1]))  # nothing is checked any longer


@pytest.mark.parametrize("args", [(), (np.arange(3),), ("text",)], ids=str)
def test_nothing_to_differentiate_by_is_told(args):
    with pytest.raises(InputError, match="nothing to differentiate by"):
        pb.check_grads(lambda *x: 1.0, *args)
