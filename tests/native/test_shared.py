"""Functions that are made of one exponential: found in a body, and of the same bits as each by itself."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.ulps import samples
from scipy import special

import payback as pb
from amount import cases
from payback.native.lower.nests.shared import shared
from payback.native.running.program import Program
from payback.trace.abstract import trace

FUNCTIONS = {
    "logaddexp": lambda a, b: np.logaddexp(a, b),
    "turned": lambda a, b: np.logaddexp(b, a),
    "sigmoid": lambda a, b: pb.nn.sigmoid(a - b),
    "-sigmoid": lambda a, b: pb.nn.sigmoid(b - a),
    "softplus": lambda a, b: pb.nn.softplus(a - b),
    "-softplus": lambda a, b: pb.nn.softplus(-(a - b)),
    "log_expit": lambda a, b: special.log_expit(-(b - a)),
}


def bits(x):
    return np.where(np.isnan(x), np.nan, x).view(f"i{x.dtype.itemsize}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [3, cases(20_000, 1_000_000)])
def test_together_they_have_the_bits_of_each_by_itself(dtype, size):
    rng = np.random.default_rng(size)
    a, b = (rng.permutation(samples(max(size, 200), rng, dtype))[:size] for _ in range(2))
    together = pb.compile(lambda a, b: tuple(f(a, b) for f in FUNCTIONS.values()))
    with np.errstate(all="ignore"):  # there are signaling NaNs among the samples
        a[::3] = b[::3] + rng.normal(size=a[::3].size).astype(dtype)
        a[::7] = b[::7]
        for (name, f), found in zip(FUNCTIONS.items(), together(a, b), strict=True):
            np.testing.assert_array_equal(bits(found), bits(pb.compile(f)(a, b)), err_msg=name)


def test_of_a_number_and_its_negative():
    x = np.linspace(-40.0, 40.0, 1001)
    functions = [pb.nn.softplus, pb.nn.sigmoid, lambda x: pb.nn.sigmoid(-x), lambda x: pb.nn.softplus(-x)]
    for f, found in zip(functions, pb.compile(lambda x: tuple(f(x) for f in functions))(x), strict=True):
        np.testing.assert_array_equal(found, pb.compile(f)(x))


READ = (("load", 0), ("load", 1), ("sub", "f8", 0, 1), ("sub", "f8", 1, 0), ("neg", "f8", 2))


@pytest.mark.parametrize(
    ("instrs", "operands", "wanted"),
    [
        ([("sigmoid", "f8", 2), ("sigmoid", "f8", 3)], (0, 1), ("sigmoid", "-sigmoid")),
        ([("logaddexp", "f8", 1, 0), ("sigmoid", "f8", 3)], (0, 1), ("logaddexp", "-sigmoid")),
        ([("softplus", "f8", 4), ("sigmoid", "f8", 2)], (0, 1), ("-softplus", "sigmoid")),
        ([("neg", "f8", 0), ("softplus", "f8", 5), ("sigmoid", "f8", 0)], (0,), ("-softplus", "sigmoid")),
    ],
)
def test_they_are_found_by_their_exponent(instrs, operands, wanted):
    (found,) = shared([*READ, *instrs])
    assert found.operands == operands
    assert found.wanted == wanted


def test_what_has_another_exponent_is_left_alone():
    assert not shared([*READ, ("sigmoid", "f8", 0), ("sigmoid", "f8", 1), ("sigmoid", "f8", 2)])
    assert not shared([*READ, ("logaddexp", "f8", 0, 1), ("sigmoid", "f8", 0)])
    assert not shared([*READ, ("cast", "f8", "f4", 2), ("sigmoid", "f4", 5), ("sigmoid", "f8", 3)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "k", "n"), [(37, 5, 19), (100, 30, 64), (9, 200, 33), (300, 100, 8), (4, 3, 1)])
@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_a_derivative_is_made_of_the_same_exponential(name, m, k, n, dtype):
    """Where a product's entries, or what follows them, go through the function; not once more on the way back."""
    rng = np.random.default_rng(m)
    x, w, v = (rng.normal(size=shape).astype(dtype) for shape in ((m, k), (k, n), (n, 2)))
    f = getattr(pb.nn, name)

    def cost(w, v, b):
        return ((f(x @ w + b) @ v) ** 2).mean()

    b = np.linspace(-30.0, 30.0, n, dtype=dtype)
    compiled = pb.compile(pb.value_and_grad(cost, argnums=(0, 1, 2)))
    found, expected = compiled(w, v, b), pb.value_and_grad(cost, argnums=(0, 1, 2))(w, v, b)
    kernels = [repr(command.kernel) for command in compiled._program().commands]
    assert sum("sigmoid" in kernel or name in kernel for kernel in kernels) == 1
    bound = 1e-4 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(found[0], expected[0], rtol=bound)
    for got, wanted in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=bound, atol=bound * np.abs(wanted).max())


def test_numbers_that_others_need_are_kept():
    """z·sigmoid(z): its derivative reads z, which lies in memory then; a result is a result."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(20, 7)), rng.normal(size=(7, 9))

    def f(x, w):
        z = x @ w
        y = pb.nn.sigmoid(z)
        return (z * y).sum(), (z, y, pb.nn.sigmoid(-z), -z)

    (value, kept), gradient = pb.compile(pb.value_and_grad(f, argnums=(0, 1), has_aux=True))(x, w)
    (wanted, others), expected = pb.value_and_grad(f, argnums=(0, 1), has_aux=True)(x, w)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    for got, there in zip((*kept, *gradient), (*others, *expected), strict=True):
        np.testing.assert_allclose(got, there, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_the_same_exponential_comes_with_its_sum(dtype):
    """The slope of a logistic loss is made in the pass that adds up the loss."""
    z = np.linspace(-30.0, 30.0, 200).astype(dtype)
    for f in (pb.nn.softplus, lambda z: np.logaddexp(0.0, z), lambda z: np.logaddexp(0.0, -z)):
        compiled = pb.compile(pb.value_and_grad(lambda z, f=f: np.sum(f(z) - 0.3 * z)))
        _, slope = compiled(z)
        assert len(compiled._program().commands) == 1
        by_itself = pb.compile(pb.grad(lambda z, f=f: np.sum(f(z) - 0.3 * z)))(z)
        np.testing.assert_array_equal(slope, by_itself)


@pytest.mark.parametrize("f", [pb.nn.silu, pb.nn.gelu])
def test_an_activations_derivative_is_stored_in_place_of_what_it_takes(f):
    rng = np.random.default_rng(0)
    args = [rng.normal(size=shape) for shape in ((70, 24), (40, 70), (24, 3))]
    slope = pb.value_and_grad(lambda w, x, v: np.sum(np.square(f(x @ w) @ v)))
    program = Program(trace(slope, *args).graph)
    made = [[v.shape for v in command.writes].count((40, 24)) for command in program.commands if "sig" in command.text]
    assert made == [2]  # the activation and its derivative
    for found, expected in zip(pb.compile(slope)(*args), slope(*args), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14 * np.abs(expected).max())


def test_nothing_is_made_sooner_where_more_is_stored_for_it():
    """The products with nine windows of x are added up as they are made: x is there, and they need not be."""

    def slope(w, x):
        y = sum(w[i, j] * x[i : i + 38, j : j + 38] for i in range(3) for j in range(3))
        return np.mean(np.tanh(y) ** 2)

    w, x = np.random.default_rng(0).normal(size=(3, 3)), np.random.default_rng(1).normal(size=(40, 40))
    program = Program(trace(pb.value_and_grad(slope), w, x).graph)
    assert program.arena_bytes < 2 * 38 * 38 * x.itemsize
