"""Any nesting: every pair of transforms, and chains of three and more, against finite differences and loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import payback as pb
from amount import cases

X = np.array([0.4, -0.7, 1.1])
V = np.array([0.3, 0.8, -0.5])  # all derivatives are taken along V

# Each transform makes of a function from vectors to scalars another one; and says what it has made by an operation on
# plain functions: the derivative along V by central differences, the sum over shifted arguments, or nothing.

SHIFTS = np.array([0.0, 0.125])


def derivative(f):
    """Along V, by central differences of the eighth order: small enough an error to be differentiated again."""
    h = 2.0**-6
    weights = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))
    return lambda x: sum(w * (f(x + k * h * V) - f(x - k * h * V)) for k, w in weights) / h


def shifted(f):
    return lambda x: sum(f(x + s) for s in SHIFTS)


def nothing(f):
    return f


@pb.custom_gradient
def doubled(x):
    return 2.0 * x, lambda bar: 2.0 * bar


TRANSFORMS = {
    "grad": (lambda f: lambda x: np.sum(pb.grad(f)(x) * V), derivative),
    "jvp": (lambda f: lambda x: pb.jvp(f, (x,), (V,))[1], derivative),
    "vjp": (lambda f: lambda x: np.sum(pb.vjp(f, x)[1](1.0)[0] * V), derivative),
    "jacobian": (lambda f: lambda x: np.sum(pb.jacobian(lambda x: np.stack([f(x), 2 * f(x)]))(x) @ V) / 3, derivative),
    "hvp of a square": (lambda f: lambda x: np.sum(pb.hvp(lambda t: t * t * f(x + t * V), 0.0, 1.0)) / 2, nothing),
    "value_and_grad": (lambda f: lambda x: pb.value_and_grad(f)(x)[0], nothing),
    "vmap": (lambda f: lambda x: np.sum(pb.vmap(f)(x + SHIFTS[:, None])), shifted),
    "vmap over both": (lambda f: lambda x: np.sum(pb.vmap(lambda x, s: f(x + s), (None, 0))(x, SHIFTS)), shifted),
    "compile": (pb.compile, nothing),
    "remat": (pb.remat, nothing),
    "scan": (lambda f: lambda x: pb.scan(lambda c, s: (c + f(x + s), None), 0.0 * x[0], SHIFTS)[0], shifted),
    "cond": (lambda f: lambda x: pb.cond(np.sum(x) < 1e3, f, lambda x: 0.0 * np.sum(x), x), nothing),
    "while_loop": (
        lambda f: (
            lambda x: pb.while_loop(
                lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] + f(x + 0.125 * c[0])), (0, 0.0 * x[0]), max_steps=3
            )[1]
        ),
        shifted,
    ),
    "custom_gradient": (lambda f: lambda x: doubled(f(x)) / 2.0, nothing),
    "root": (
        lambda f: (
            lambda x: (
                pb.root(lambda y: y**3 + y - f(x), 0.0 * x[0]) ** 3 + pb.root(lambda y: y**3 + y - f(x), 0.0 * x[0])
            )
        ),
        nothing,
    ),
    "stop_gradient beside it": (lambda f: lambda x: f(x) + pb.stop_gradient(f(x)) - pb.stop_gradient(f(x)), nothing),
}


def product(x):
    return np.sin(x[0] * x[1]) * x[2] + np.exp(-x[0]) * x[1] ** 3


def reduction(x):
    y = np.tanh(np.cumsum(x)) * x[::-1]
    return np.sum(y * y) + pb.nn.logsumexp(np.outer(x, y).ravel())


def matrices(x):
    a = np.stack([x, x[::-1], np.cos(0.5 * x)])
    return np.sum(np.where(a > 0, a, a * a) @ x) + a[[0, 2], [1, 1]] @ x[:2]


PROGRAMS = {"product": product, "reduction": reduction, "matrices": matrices}


def check(names, program):
    """names: the outermost first."""
    f = expected = PROGRAMS[program]
    order = 0
    for name in reversed(names):
        made, plain = TRANSFORMS[name]
        f, expected = made(f), plain(expected)
        order += plain is derivative
    found, truth = float(f(X)), float(expected(X))
    # each difference divides the rounding of the one before by h
    tolerance = 1e-9 * 200.0**order / 200 if order else 1e-12
    assert found == pytest.approx(truth, rel=tolerance, abs=tolerance)


PAIRS = [(a, b) for a in TRANSFORMS for b in TRANSFORMS]


@pytest.mark.parametrize(("names"), PAIRS, ids="-".join)
def test_pairs(names):
    check(names, list(PROGRAMS)[PAIRS.index(names) % 3])


def _chains(length, count):
    generator = np.random.default_rng(length)
    names = list(TRANSFORMS)
    found = []
    while len(found) < count:
        chain = tuple(names[k] for k in generator.integers(0, len(names), length))
        if sum(TRANSFORMS[name][1] is derivative for name in chain) <= 3:
            found.append(chain)
    return found


@pytest.mark.parametrize(("names"), _chains(3, cases(12, 60, 400)), ids="-".join)
def test_three_deep(names):
    check(names, list(PROGRAMS)[len("".join(names)) % 3])


@pytest.mark.parametrize(("names"), _chains(5, cases(4, 12, 60)), ids="-".join)
def test_five_deep(names):
    check(names, "product")


@pytest.mark.parametrize("names", list(itertools.permutations(["grad", "vmap", "jvp", "compile"])), ids="-".join)
def test_four_in_any_order(names):
    check(names, "reduction")


def test_perturbations_of_one_name_are_not_confused():
    """d/dx (x · d/dy (x·y)) = 2x, whichever modes the two derivatives are taken in, and whatever runs in between."""
    inner = {
        "grad": lambda x: pb.grad(lambda y: x * y)(x),
        "jvp": lambda x: pb.jvp(lambda y: x * y, (x,), (1.0,))[1],
        "vjp": lambda x: pb.vjp(lambda y: x * y, x)[1](1.0)[0],
        "jacobian": lambda x: pb.jacobian(lambda y: x * y)(x),
    }
    around = {
        "nothing": lambda f: f,
        "compile": pb.compile,
        "remat": pb.remat,
        "vmap": lambda f: lambda x: pb.vmap(lambda s, x: f(x) + 0.0 * s, (0, None))(np.zeros(1), x)[0],
        "scan": lambda f: lambda x: pb.scan(lambda c, _: (c + f(x), None), 0.0 * x, length=1)[0],
        "captured in vmap": lambda f: lambda x: pb.vmap(lambda s: f(x) * s)(np.ones(2))[1],
    }
    outer = {
        "grad": lambda f: pb.grad(f)(3.0),
        "jvp": lambda f: pb.jvp(f, (3.0,), (1.0,))[1],
        "vmap of grad": lambda f: pb.vmap(pb.grad(f))(np.array([3.0]))[0],
        "compiled jvp": lambda f: pb.compile(lambda x: pb.jvp(f, (x,), (1.0,))[1])(3.0),
    }
    for i, a, o in itertools.product(inner, around, outer):
        found = outer[o](lambda x, i=i, a=a: x * around[a](inner[i])(x))
        assert found == 6.0, (i, a, o)


def test_a_pull_is_a_linear_function_like_any_other():
    """Of what it is given: what the numbers of its function are does not show in its results."""

    def f(x):
        return np.cumsum(np.linalg.solve(np.diag(x + 2) + np.outer(x, x), np.sin(x)))

    pull, jacobian = pb.vjp(f, X)[1], pb.jacobian(f)(X)
    paid = lambda bar: pull(bar)[0]  # noqa: E731
    for found, wanted in (
        (pb.vmap(paid)(np.eye(3)), jacobian),
        (pb.compile(paid)(V), V @ jacobian),
        (pb.jacobian(paid)(V), jacobian.T),
        (pb.jvp(paid, (V,), (X,))[1], X @ jacobian),
        (pb.hessian(lambda bar: np.sum(paid(bar) ** 2))(V), 2 * jacobian @ jacobian.T),
        (pb.scan(lambda c, t: (c + paid(t * V), None), V, X)[0], V + X.sum() * V @ jacobian),
    ):
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
