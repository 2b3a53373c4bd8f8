"""jvp, jacobian, hessian and hvp as users call them."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError, InputError
from payback.nn import logsumexp

GENERATOR = np.random.default_rng(0)
FUNCTIONS = {
    "pointwise": (lambda x: np.tanh(x) * x[::-1], GENERATOR.normal(size=4)),
    "contraction": (lambda x: np.maximum(x @ x.T, 0).sum(0), GENERATOR.normal(size=(3, 3))),
    "reductions": (lambda x: logsumexp(x, axis=1) + x.max(axis=1) + x.mean(1), GENERATOR.normal(size=(3, 4))),
    "index": (
        lambda x: np.concatenate([x[[0, 0, 2]], np.stack([x[0], x[1]]) ** 2, x[x > 0]]),
        GENERATOR.normal(size=4),
    ),
    "choice": (lambda x: np.clip(x, -0.5, 0.5) / np.where(x > 0, 1 + x * x, 2.0), GENERATOR.normal(size=(2, 3))),
    "to a scalar": (lambda x: np.sum(x**3), GENERATOR.normal(size=(2, 3))),
    "of a scalar": (lambda x: np.stack([x, x * x, np.exp(x)]), 1.5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_reverse_and_finite_differences_agree(name):
    f, x = FUNCTIONS[name]
    forward, reverse = (pb.jacobian(f, mode=mode)(x) for mode in ("forward", "reverse"))
    assert forward.shape == reverse.shape == np.shape(f(x)) + np.shape(x)
    np.testing.assert_allclose(forward, reverse, rtol=1e-12, atol=1e-13)
    v, h = GENERATOR.normal(size=np.shape(x)), 1e-6
    out, tangent = pb.jvp(f, (x,), (v if np.ndim(x) else float(v),))
    np.testing.assert_array_equal(out, f(x))
    np.testing.assert_allclose(tangent, (f(x + h * v) - f(x - h * v)) / (2 * h), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(tangent, np.tensordot(forward, v, np.ndim(x)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives(name):
    f, x = FUNCTIONS[name]

    def s(x):
        return np.sum(np.sin(f(x)))

    hessian = np.reshape(pb.hessian(s)(x), (np.size(x), np.size(x)))
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-12, atol=1e-12)
    reverse = np.reshape(pb.jacobian(pb.grad(s), mode="reverse")(x), hessian.shape)
    np.testing.assert_allclose(hessian, reverse, rtol=1e-12, atol=1e-12)
    v = GENERATOR.normal(size=np.shape(x)) if np.ndim(x) else 0.7
    np.testing.assert_allclose(np.ravel(pb.hvp(s, x, v)), hessian @ np.ravel(v), rtol=1e-11, atol=1e-12)
    h = 1e-6
    slope = (np.ravel(pb.grad(s)(x + h * v)) - np.ravel(pb.grad(s)(x - h * v))) / (2 * h)
    np.testing.assert_allclose(hessian @ np.ravel(v), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nesting_in_any_order(name):
    """Every way to the same third-order number."""
    f, x = FUNCTIONS[name]
    v = GENERATOR.normal(size=np.shape(x)) if np.ndim(x) else 0.7

    def s(x):
        return np.sum(np.sin(f(x)))

    def along(g):
        return lambda x: pb.jvp(g, (x,), (v,))[1]

    def slope(g):
        return lambda x: np.sum(pb.grad(g)(x) * v)

    ways = [
        along(along(along(s))),
        along(along(slope(s))),
        along(slope(along(s))),
        slope(along(along(s))),
        slope(slope(slope(s))),
    ]
    found = [float(way(x)) for way in ways]
    np.testing.assert_allclose(found, found[0], rtol=1e-9)


def test_perturbations_are_not_confused():
    assert pb.jvp(lambda x: x * pb.jvp(lambda y: x + y, (x,), (1.0,))[1], (3.0,), (1.0,)) == (3.0, 1.0)
    assert pb.grad(lambda x: x * pb.jvp(lambda y: x * y, (x,), (1.0,))[1])(3.0) == 6.0
    assert pb.jvp(lambda x: pb.grad(lambda y: x * y * y)(x), (3.0,), (1.0,)) == (18.0, 12.0)


def test_containers_and_argument_numbers():
    def f(p, scale):
        return {"s": p["a"] * p["b"] * scale, "t": p["b"].sum()}

    p = {"a": 2.0, "b": np.array([1.0, 2.0])}
    found = pb.jacobian(f)(p, 3.0)
    np.testing.assert_array_equal(found["s"]["a"], [3.0, 6.0])
    np.testing.assert_array_equal(found["s"]["b"], [[6.0, 0.0], [0.0, 6.0]])
    assert found["t"]["a"] == 0.0
    assert type(pb.jacobian(lambda x: x * x)(3.0)) is float
    by_both = pb.jacobian(f, argnums=("p", "scale"))(p, 3.0)
    np.testing.assert_array_equal(by_both["s"][1], [2.0, 4.0])
    out, tangent = pb.jvp(f, (p, 3.0), ({"a": 1.0, "b": np.zeros(2)}, 0.0))
    np.testing.assert_array_equal(out["s"], [6.0, 12.0])
    np.testing.assert_array_equal(tangent["s"], [3.0, 6.0])
    blocks = pb.hessian(lambda a, b: a * a * b, argnums=(0, 1))(2.0, 3.0)
    assert blocks == ((6.0, 4.0), (4.0, 0.0))


def test_modules():
    net = pb.nn.MLP([3, 4, 2], activation="tanh", dtype=float)
    x = GENERATOR.normal(size=(5, 3))
    found = pb.jacobian(lambda net: net(x).sum(0))(net)
    assert type(found) is pb.nn.MLP
    assert found.layers[0].weight.shape == (2, 3, 4)
    direction = pb.grad(lambda net: pb.nn.squared_error(net(x), np.ones((5, 2))))(net)
    value, slope = pb.jvp(lambda net: pb.nn.squared_error(net(x), np.ones((5, 2))), (net,), (direction,))
    squares = sum(float((p * p).sum()) for p in pb.nn.parameters(direction).values())
    assert value > 0
    assert slope == pytest.approx(squares, rel=1e-12)


def test_aux_and_modes():
    made, aux = pb.jacobian(lambda x: (x * x, {"n": x}), has_aux=True)(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(made, [[2.0, 0.0], [0.0, 4.0]])
    assert type(aux["n"]) is np.ndarray
    out, tangent, aux = pb.jvp(lambda x: (x * x, "kept"), (2.0,), (1.0,), has_aux=True)
    assert (out, tangent, aux) == (4.0, 4.0, "kept")


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize(
    "f",
    [
        np.sqrt,
        lambda x: np.sqrt(np.sqrt(x)),
        lambda x: np.sqrt(x[::-1])[::-1],
        lambda x: np.sqrt(x.reshape(1, 3).T)[:, 0],
        lambda x: np.sqrt(np.concatenate([x[:1], x[1:]])),
        lambda x: np.sqrt(np.stack([x, x], axis=1).sum(axis=1)),
        lambda x: np.sqrt(x * np.ones((2, 3)))[1],
        lambda x: np.sqrt(x + np.where(x > 2, x, 0.0)),
    ],
)
def test_an_infinite_slope_of_one_entry_is_no_matter_of_the_others(f, mode):
    """The zeros of a Jacobian are zeros, not 0·∞."""
    x = np.array([0.0, 1.0, 4.0])
    with np.errstate(all="ignore"):
        plain = pb.jacobian(f, mode=mode)(x)
        nested = pb.vjp(pb.jacobian(f, mode=mode), x)[0]
    np.testing.assert_array_equal(nested, plain)
    assert plain[0, 0] == np.inf
    np.testing.assert_array_equal(plain[np.triu_indices(3, 1)], 0.0)
    np.testing.assert_array_equal(plain[np.tril_indices(3, -1)], 0.0)
    assert (np.diag(plain)[1:] > 0).all()


def zeros_around(x):
    y = np.zeros(5)
    y[1:4] = x
    return y


@pytest.mark.parametrize(
    "f",
    [
        zeros_around,
        lambda x: np.concatenate([[0.0], x]),
        lambda x: np.pad(np.where(x > 2, x, 0.0), 1),
        lambda x: np.stack([x, 0 * np.arange(3.0)]),
    ],
)
def test_an_infinite_slope_of_a_constant_beside_is_no_matter(f):
    """What stands still has no tangent, not one that is 0·∞."""
    x, v = np.array([9.0, 1.0, 4.0]), np.array([1.0, 2.0, -1.0])
    with np.errstate(all="ignore"):
        given = pb.grad(lambda x: np.sum(np.sqrt(f(x))))(x) @ v
        for found in (pb.jvp, pb.compile(pb.jvp, static_argnums=0)):
            assert found(lambda x: np.sum(np.sqrt(f(x))), (x,), (v,))[1] == pytest.approx(given, rel=1e-13)


def test_float32_stays():
    x = np.array([1.0, 2.0], np.float32)
    for mode in ("forward", "reverse"):
        assert pb.jacobian(np.exp, mode=mode)(x).dtype == np.float32
    assert pb.jvp(np.exp, (x,), (np.ones(2),))[1].dtype == np.float32
    assert pb.hessian(lambda x: np.sum(x**3))(x).dtype == np.float32


def _added_at(w):
    bins = np.zeros(4)
    np.add.at(bins, [0, 0, 3], w)
    return bins


@pytest.mark.parametrize("bins", [
    _added_at,
    lambda w: np.bincount([0, 0, 3], w),
    lambda w: np.histogram([0.3, 0.35, 2.6], bins=4, range=(0, 4), weights=w)[0],
    lambda w: np.cumsum(_added_at(w)[::-1]),
    lambda w: np.add.reduceat(np.bincount([3, 3, 5], w), [0, 2, 4]),
    lambda w: np.bincount([3, 3, 5], w).reshape(3, 2).max(axis=1),
    lambda w: np.linalg.norm(np.bincount([3, 3, 5], w).reshape(3, 2), axis=1),
])  # fmt: skip
def test_empty_bins_stand_still(bins):
    """Their root has an infinite derivative at 0."""
    w, f = np.array([1.0, 2.0, 3.0]), lambda w: np.sum(np.sqrt(bins(w)))
    paid = pb.grad(f)(w)
    assert np.isfinite(paid).all()
    for run in (pb.jvp, pb.compile(lambda f, x, v: pb.jvp(f, x, v), static_argnums=0)):
        assert run(f, (w,), (w,))[1] == pytest.approx(paid @ w)


def test_empty_shapes():
    assert pb.jacobian(lambda x: x * 2)(np.zeros((0, 3))).shape == (0, 3, 0, 3)
    assert pb.jacobian(lambda x: x[:0], mode="reverse")(np.zeros(3)).shape == (0, 3)
    assert pb.hessian(np.sum)(np.zeros(0)).shape == (0, 0)


def test_no_path_is_a_zero():
    assert pb.jvp(lambda a, b: b * 2, (1.0, 2.0), (1.0, 0.0)) == (4.0, 0.0)
    np.testing.assert_array_equal(pb.jacobian(lambda x: np.ones(2))(np.ones(3)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pb.jvp(np.sin, (1.0,), (1.0, 2.0)), InputError, "a tuple of as many tangents"),
        (
            lambda: pb.jvp(np.sin, (np.ones(2),), (np.ones(3),)),
            DifferentiationError,
            "has the shape (3,): the argument has (2,)",
        ),
        (
            lambda: pb.jvp(lambda p: p[0] * p[1], ([1.0, 2.0],), ([1.0],)),
            DifferentiationError,
            "needs its own: 2 numbers and arrays",
        ),
        (lambda: pb.jacobian(np.sin, mode="sideways"), InputError, "the mode is 'sideways'"),
        (lambda: pb.jacobian(lambda x: x > 0)(np.ones(2)), DifferentiationError, "a result of bool has no derivative"),
        (lambda: pb.jacobian(np.sin)(np.arange(3)), DifferentiationError, "is an array of int64"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_entries_of_dicts_belong_together_by_their_keys():
    """In whatever order a tangent or an adjoint names them."""

    def f(p):
        return {"s": np.sum(p["a"] ** 2 * p["b"]), "t": 3.0 * p["a"] + p["b"]}

    def total(p):
        return f(p)["s"]

    a, b, da, db = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([0.5, -1.0]), np.array([2.0, 7.0])
    point, moved = {"a": a, "b": b}, {"b": db, "a": da}
    np.testing.assert_allclose(pb.jvp(total, (point,), (moved,))[1], np.sum(2 * a * b * da + a**2 * db))
    twice = pb.hvp(total, point, moved)
    np.testing.assert_allclose(twice["a"], 2 * b * da + 2 * a * db)
    np.testing.assert_allclose(twice["b"], 2 * a * da)
    (pulled,) = pb.vjp(f, point)[1]({"t": np.array([1.0, 10.0]), "s": 2.0})
    np.testing.assert_allclose(pulled["a"], 4 * a * b + 3 * np.array([1.0, 10.0]))
    np.testing.assert_allclose(pulled["b"], 2 * a**2 + np.array([1.0, 10.0]))


def test_what_is_not_differentiated_takes_none_for_its_tangent():
    assert pb.jvp(lambda x, kind: x * x if kind == "square" else x, (2.0, "square"), (1.0, None)) == (4.0, 4.0)
