"""`custom_gradient(plain=True)`: code that takes bare numbers, with the derivative that its author gives."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError, GradientCheckError, InputError, ShapeError, TraceError

X = np.array([0.5, 1.25, 2.0])
calls = []


@pb.custom_gradient(plain=True, like=lambda x, s: x)
def scaled(x, s):
    """What a library in C might do: it looks at types and memory, and keeps state."""
    calls.append((type(x), type(s)))
    out = np.zeros(len(x))
    memory = (ctypes.c_double * len(x)).from_buffer(out)
    for i, value in enumerate(x.tolist()):
        memory[i] = math.sin(value) * float(s)
    return out, lambda bar: (bar * np.cos(x) * s, float(np.sum(bar * np.sin(x))))


def plainly(x, s):
    return np.sin(x) * s


def cost(f):
    return lambda x, s: np.sum(f(np.exp(x), s * 2) ** 2 * x) * s


USES = {
    "grad": lambda f: pb.grad(cost(f), argnums=(0, 1))(X, 3.0),
    "value_and_grad": lambda f: pb.value_and_grad(cost(f))(X, 3.0),
    "vjp": lambda f: pb.vjp(lambda x: f(x, 2.0), X)[1](X),
    "jacobian": lambda f: pb.jacobian(lambda x: f(x * x, 2.0), mode="reverse")(X),
    "compile": lambda f: pb.compile(pb.grad(cost(f), argnums=(0, 1)))(X, 3.0),
    "a graph": lambda f: pb.compile(pb.grad(cost(f), argnums=(0, 1)), native=False)(X, 3.0),
    "grad of compile": lambda f: pb.grad(pb.compile(cost(f)))(X, 3.0),
    "vmap": lambda f: pb.vmap(pb.grad(cost(f)), (0, None))(np.stack([X, 2 * X]), 3.0),
    "vmap by the number": lambda f: pb.vmap(pb.grad(cost(f), argnums=1), (None, 0))(X, np.array([1.0, 2.0])),
    "scan": lambda f: pb.grad(lambda x: pb.scan(lambda c, s: (f(c, s), None), x, X)[0].sum())(X),
    "cond": lambda f: pb.compile(pb.grad(lambda x: pb.cond(x[0] > 0, lambda: f(x, 2.0), lambda: x).sum()))(X),
    "remat": lambda f: pb.grad(pb.remat(cost(f)))(X, 3.0),
    "a plain number beside": lambda f: pb.grad(lambda s: np.sum(f(X, s)))(2.0),
    "variables": lambda f: (lambda w: ((f(w, 2.0) * w).sum().backward(), w.grad)[1])(pb.variable(X)),
    "no derivative asked for": lambda f: f(X, 2.0),
}


@pytest.mark.parametrize("name", USES)
def test_it_is_the_function_that_numpy_computes(name):
    found, expected = USES[name](scaled), USES[name](plainly)
    for a, b in zip(pb_leaves(found), pb_leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def pb_leaves(tree):
    return [leaf for part in tree for leaf in pb_leaves(part)] if isinstance(tree, tuple) else [tree]


def test_it_sees_plain_numbers_and_is_called_once_for_value_and_gradient():
    calls.clear()
    pb.value_and_grad(cost(scaled))(X, 3.0)
    assert calls == [(np.ndarray, float)]


def test_containers_and_several_results():
    @pb.custom_gradient(plain=True)
    def moments(p):
        x, w = p["x"], p["w"]
        total, mean = float(x.sum() * w), x * w

        def pull(bar):
            return {"x": bar["total"] * w + bar["mean"] * w, "w": bar["total"] * x.sum() + np.sum(bar["mean"] * x)}

        return {"total": total, "mean": mean, "count": len(x)}, pull

    def f(p):
        found = moments(p)
        return found["total"] * np.sum(found["mean"] ** 2) * found["count"]

    def g(p):
        return np.sum(p["x"]) * p["w"] * np.sum((p["x"] * p["w"]) ** 2) * 3

    found, expected = pb.grad(f)({"x": X, "w": 2.0}), pb.grad(g)({"x": X, "w": 2.0})
    np.testing.assert_allclose(found["x"], expected["x"])
    np.testing.assert_allclose(found["w"], expected["w"])


def test_float32_stays_float32():
    double = pb.custom_gradient(lambda x: (x * 2, lambda bar: bar * 2.0), plain=True)
    gradient = pb.grad(lambda x: double(x).sum())(X.astype(np.float32))
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, 2.0)


def test_check_grads_and_check():
    pb.check_grads(lambda x: scaled(x, 2.0), X, order=1)
    wrong = pb.custom_gradient(lambda x: (x * x, lambda bar: bar * x), plain=True, check=True)
    with pytest.raises(GradientCheckError):
        pb.grad(lambda x: wrong(x).sum())(X)


IDENTITY = lambda bar: bar  # noqa: E731
WRONG = {
    "forward mode": (lambda: pb.jvp(cost(scaled), (X, 3.0), (X, 1.0)), DifferentiationError, "pushed forward.*reverse"),
    "second order": (lambda: pb.hessian(cost(scaled))(X, 3.0), DifferentiationError, "cannot be differentiated again"),
    "no like": (
        lambda: pb.compile(pb.custom_gradient(lambda x: (x, IDENTITY), plain=True))(X), TraceError, "Give like=",
    ),
    "a wrong like": (
        lambda: pb.compile(pb.custom_gradient(lambda x: (x, IDENTITY), plain=True, like=lambda x: x[:1]))(X),
        ShapeError, r"shape \(3,\): it was to be \(1,\)",
    ),
    "like alone": (lambda: pb.custom_gradient(lambda x: x, like=lambda x: x), InputError, "goes with plain=True"),
    "by keyword": (lambda: pb.grad(lambda s: scaled(X, s=s).sum())(2.0), InputError, "by keyword"),
    "another shape": (
        lambda: pb.grad(lambda x: pb.custom_gradient(lambda x: (x, np.sum), plain=True)(x).sum())(X),
        DifferentiationError, r"gradient of shape \(\).*the argument has \(3,\)",
    ),
    "too many": (
        lambda: pb.grad(lambda x: pb.custom_gradient(lambda x: (x, lambda b: (b, b)), plain=True)(x).sum())(X),
        DifferentiationError, "another structure than its 1 argument",
    ),
    "no pull": (
        lambda: pb.grad(lambda x: pb.custom_gradient(lambda x: x * 2, plain=True)(x).sum())(X),
        DifferentiationError, r"returns a ndarray.*returns \(result, pull\)",
    ),
    "something around": (
        lambda: pb.grad(lambda x: pb.custom_gradient(lambda y: (y * x, IDENTITY), plain=True)(x).sum())(X),
        DifferentiationError, "uses a traced value that is not an argument",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_said(name):
    wrong, error, what = WRONG[name]
    with pytest.raises(error, match=what):
        wrong()
