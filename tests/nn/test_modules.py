"""Modules: immutable trees of parameters, from payback's own layers and from the user's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import payback as pb
from payback.errors import FieldError, InputError, ShapeError
from payback.nn.formula import formula, weights
from payback.trace.tree import leaves, same_structure

X = np.random.default_rng(0).normal(size=(5, 3))


class Scale(pb.nn.Module):
    factor: Any
    power: int = pb.nn.static(default=1)

    def __call__(self, x):
        return x**self.power * self.factor


class Block(pb.nn.Module):
    inner: pb.nn.Sequential
    scale: Scale
    names: dict[str, Any]

    def __call__(self, x):
        return self.scale(self.inner(x)) + self.names["shift"]


def block():
    inner = pb.nn.Sequential(pb.nn.Linear(3, 2, key=pb.random.key(0), dtype=float), pb.nn.Activation("tanh"))
    return Block(inner, Scale(np.array([2.0, 3.0]), 2), {"shift": np.array([0.5, -0.5])})


def test_a_linear_layer_by_hand():
    layer = pb.nn.Linear(3, 2, key=pb.random.key(0), dtype=float)
    np.testing.assert_allclose(layer(X), X @ layer.weight + layer.bias)
    bare = pb.nn.Linear(3, 2, key=pb.random.key(0), dtype=float, bias=False)
    assert bare.bias is None
    np.testing.assert_allclose(bare(X), X @ layer.weight)


def test_a_multilayer_perceptron_by_hand():
    net = pb.nn.MLP([3, 4, 2], "tanh", seed=1, dtype=float)
    a, b = net.layers[0], net.layers[2]
    np.testing.assert_allclose(net(X), np.tanh(X @ a.weight + a.bias) @ b.weight + b.bias)


def test_a_skip_is_a_linear_map_beside_the_layers():
    net = pb.nn.MLP([3, 4, 2], "tanh", seed=1, dtype=float, skip=True)
    assert not net.skip.any()
    assert net.skip.dtype == np.float64
    net = pb.nn.MLP([3, 4, 2], "tanh", seed=1, dtype=float, skip=True)
    net = net.replace(skip=np.arange(6.0).reshape(3, 2))
    plain = pb.nn.MLP([3, 4, 2], "tanh", seed=1, dtype=float)
    np.testing.assert_allclose(net(X), plain(X) + X @ net.skip)
    pb.check_grads(lambda net: (net(X) ** 2).mean(), net)
    assert list(pb.nn.parameters(net))[-1] == "skip"


def test_flatten():
    assert pb.nn.Flatten()(np.arange(24.0).reshape(2, 3, 4)).tolist() == np.arange(24.0).reshape(2, 12).tolist()
    assert pb.nn.Flatten()(np.zeros((0, 3, 4))).shape == (0, 12)
    assert pb.nn.Flatten()(np.zeros(3)).shape == (3, 1)


def test_float32_unless_said():
    assert {p.dtype for p in leaves(pb.nn.MLP([2, 3, 1]))} == {np.dtype(np.float32)}
    assert {p.dtype for p in leaves(pb.nn.MLP([2, 3, 1], dtype=np.float16))} == {np.dtype(np.float16)}


@pytest.mark.parametrize(
    ("module", "field"),
    [(pb.nn.MLP([2, 1]), "layers"), (pb.nn.MLP([2, 1]).layers[0], "weight"), (block(), "scale"), (Scale(1.0), "new")],
)
def test_a_module_cannot_be_changed(module, field):
    with pytest.raises(FieldError, match=r"assigned again|has no field 'new'"):
        setattr(module, field, None)
    if hasattr(module, field):
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(module, field)


def test_init_of_ones_own_assigns_the_fields():
    class Centered(pb.nn.Module):
        center: np.ndarray
        power: int = pb.nn.static()

        def __init__(self, n, power=2):
            self.center = np.zeros(n)
            self.power = power

        def __call__(self, x):
            return np.sum((x - self.center) ** self.power, axis=-1)

    net = Centered(3, power=4)
    assert [leaf.shape for leaf in leaves(net)] == [(3,)]
    assert pb.grad(lambda net: net(np.ones(3)))(net).center.tolist() == [-4.0, -4.0, -4.0]
    with pytest.raises(AttributeError, match="assigned again"):
        net.power = 3

    other = net.replace(center=np.ones(3))
    assert (other(np.ones(3)), other.power, net.center.tolist()) == (0.0, 4, [0.0, 0.0, 0.0])
    with pytest.raises(FieldError, match="has no field 'centre'"):
        net.replace(centre=np.ones(3))

    class Forgetful(pb.nn.Module):
        def __init__(self):
            self.weight = np.ones(3)

    with pytest.raises(FieldError, match=r"Write `weight: np.ndarray` in the class Forgetful"):
        Forgetful()


def test_modules_are_compared_and_hashed_as_objects():
    one, other = pb.nn.MLP([2, 1]), pb.nn.MLP([2, 1])
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_parameters_have_the_names_that_one_would_write():
    assert list(pb.nn.parameters(block())) == [
        "inner.layers[0].weight",
        "inner.layers[0].bias",
        "scale.factor",
        "names['shift']",
    ]
    net = block()
    for name, value in pb.nn.parameters(net).items():
        part: Any = net
        for step in name.replace("[", ".[").split("."):
            part = (
                part[int(step[1:-1])]
                if step[1:-1].isdigit()
                else part["shift"]
                if "shift" in step
                else getattr(part, step)
            )
        assert part is value


def test_a_static_field_is_no_parameter():
    assert len(leaves(Scale(np.ones(2), 3))) == 1
    assert not same_structure(Scale(1.0), pb.nn.MLP([1, 1]))


def test_a_gradient_has_the_structure_of_the_module():
    net = block()
    gradient = pb.grad(lambda net: (net(X) ** 2).mean())(net)
    assert type(gradient) is Block
    assert same_structure(gradient, net)
    assert gradient.scale.power == 2
    assert [g.shape for g in leaves(gradient)] == [p.shape for p in leaves(net)]


def test_derivatives_of_nested_modules():
    pb.check_grads(lambda net, x: (net(x) ** 2).mean(), block(), X)
    pb.check_grads(
        lambda net, x: pb.nn.cross_entropy(net(x), np.array([0, 1, 1, 0, 1])),
        pb.nn.MLP([3, 4, 2], "tanh", dtype=float),
        X,
    )


def test_a_module_without_a_call_says_so():
    class Nothing(pb.nn.Module):
        weight: Any

    with pytest.raises(NotImplementedError, match="Nothing does not say what it computes: define __call__"):
        Nothing(1.0)(X)


def test_a_module_prints_shapes_and_not_numbers():
    assert repr(block()) == (
        "Block(inner=Sequential(layers=(Linear(weight=float64[3, 2], bias=float64[2]), Activation(name='tanh'))), "
        "scale=Scale(factor=float64[2], power=2), names={'shift': array([ 0.5, -0.5])})"
    )
    assert repr(pb.nn.Flatten()) == "Flatten()"


def test_summary():
    assert pb.nn.summary(block()).splitlines() == [
        "inner.layers[0].weight  3×2  float64  6",
        "inner.layers[0].bias    2    float64  2",
        "scale.factor            2    float64  2",
        "names['shift']          2    float64  2",
        "12 parameters",
    ]
    assert pb.nn.summary(pb.nn.Flatten()) == "0 parameters"
    assert "scalar" in pb.nn.summary(Scale(np.float64(1.0)))


SEQUENTIAL, LINEAR, ACTIVATION = pb.nn.Sequential, pb.nn.Linear, pb.nn.Activation


def linear(n_in, n_out, bias=True):
    return LINEAR(n_in, n_out, key=pb.random.key(0), bias=bias)


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (pb.nn.MLP([3, 2]), "y = W₁·x+b₁"),
        (pb.nn.MLP([3, 4, 5, 2]), "y = W₃·relu(W₂·relu(W₁·x+b₁)+b₂)+b₃"),
        (pb.nn.MLP([3, 4, 2], "identity"), "y = W₂·(W₁·x+b₁)+b₂"),
        (SEQUENTIAL(linear(3, 2, False)), "y = W₁·x"),
        (SEQUENTIAL(linear(3, 2, False), linear(2, 2, False)), "y = W₂·W₁·x"),
        (SEQUENTIAL(linear(3, 2, False), ACTIVATION("tanh"), linear(2, 1, False)), "y = W₂·tanh(W₁·x)"),
        (SEQUENTIAL(pb.nn.Flatten(), pb.nn.MLP([6, 4, 1], "tanh")), "y = W₂·tanh(W₁·flatten(x)+b₁)+b₂"),
        (SEQUENTIAL(pb.nn.MLP([2, 2]), ACTIVATION("relu"), SEQUENTIAL(linear(2, 1))), "y = W₂·relu(W₁·x+b₁)+b₂"),
        (SEQUENTIAL(linear(3, 3), Scale(2.0), linear(3, 1)), "y = W₂·Scale(W₁·x+b₁)+b₂"),
        (SEQUENTIAL(ACTIVATION("relu")), "y = relu(x)"),
        (SEQUENTIAL(), "y = x"),
        (pb.nn.MLP([3, 4, 2], skip=True), "y = W₂·relu(W₁·x+b₁)+b₂+W₀·x"),
        (SEQUENTIAL(pb.nn.Flatten(), pb.nn.MLP([6, 1], skip=True)), "y = W₁·flatten(x)+b₁+W₀·flatten(x)"),
        (SEQUENTIAL(linear(3, 2), pb.nn.MLP([2, 2], skip=True), pb.nn.MLP([2, 1], skip=True)),
         "y = W₃·(W₂·(W₁·x+b₁)+b₂+W₀·(W₁·x+b₁))+b₃+W₀′·(W₂·(W₁·x+b₁)+b₂+W₀·(W₁·x+b₁))"),
        (Scale(2.0), "y = Scale(x)"),
    ],
)  # fmt: skip
def test_the_composite_function(net, text):
    assert formula(net) == text


def test_from_ten_layers_on_the_subscripts_have_two_digits():
    assert "W₁₁·relu(W₁₀·" in formula(pb.nn.MLP([1] * 12))


def test_the_shapes_of_the_weights_as_they_multiply_a_column():
    net = SEQUENTIAL(linear(3, 4, False), ACTIVATION("relu"), pb.nn.MLP([4, 2]))
    assert weights(net) == [("W₁", (4, 3)), ("W₂", (2, 4)), ("b₂", (2,))]
    wide = SEQUENTIAL(pb.nn.Flatten(), pb.nn.MLP([3, 4, 2], skip=True))
    assert dict(weights(wide))["W₀"] == (2, 3)
    assert [letter for letter, _ in weights(wide)] == ["W₁", "b₁", "W₂", "b₂", "W₀"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pb.nn.MLP([3]), "an MLP of sizes [3]"),
        (lambda: pb.nn.MLP([3, 0]), "a layer of 3 inputs and 0 outputs"),
        (lambda: pb.nn.MLP([2.5, 1]), "sizes are whole numbers from 1 up"),
        (lambda: pb.nn.MLP([True, 1]), "sizes are whole numbers from 1 up"),
        (lambda: pb.nn.MLP([3, 4, 1], "rellu"), "there is no activation 'rellu': known are relu, tanh, sigmoid"),
        (lambda: pb.nn.Activation("Tanh"), "Did you mean 'tanh'?"),
        (lambda: pb.nn.MLP([3, 1], initializer="xavier"), "there is no initializer 'xavier'"),
        (lambda: pb.nn.MLP([3, 1], seed=-1), "the seed is -1"),
        (lambda: pb.nn.MLP([3, 1], dtype="float33"), "dtype is 'float33'"),
        (lambda: pb.nn.MLP([3, 1], dtype=int), "Write np.float32 or np.float64"),
    ],
)
def test_what_cannot_be_made_is_named(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert message in str(caught.value)


def test_an_input_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"a layer of 3 inputs was given an array of shape \(5, 4\)"):
        pb.nn.MLP([3, 1])(np.zeros((5, 4), np.float32))
    with pytest.raises(ShapeError, match=r"Put pb.nn.Flatten\(\) before it"):
        pb.nn.MLP([4, 1])(np.zeros((5, 2, 2), np.float32))
    with pytest.raises(ShapeError):
        pb.nn.MLP([1, 1])(np.zeros((), np.float32))


@pytest.mark.parametrize("function", [np.tanh, pb.nn.tanh, lambda x: np.tanh(x)], ids=["ufunc", "payback's", "own"])
def test_a_function_among_layers_is_trained_as_the_activation_is(function):
    X = np.random.default_rng(0).normal(size=(60, 3))
    first, last = (pb.nn.Linear(*size, key=pb.random.key(size[0])) for size in [(3, 8), (8, 1)])

    def trained(middle):
        net = pb.nn.Sequential(first, middle, last)
        return pb.fit(net, X, X[:, 0] ** 2, epochs=2, validation=0, progress=False).net(X)

    np.testing.assert_array_equal(trained(function), trained(pb.nn.Activation("tanh")))
    assert not np.array_equal(trained(function), trained(np.sin))


def test_a_class_that_declares_no_fields_is_made_as_its_base_is():
    class Doubled(pb.nn.Sequential):
        def __call__(self, x):
            return 2 * super().__call__(x)

    class Wider(Scale):
        shift: float = 1.0

    np.testing.assert_allclose(Doubled(np.sin, np.cos)(X), 2 * np.cos(np.sin(X)))
    assert Wider(3.0, 2, 0.5).shift == 0.5
    assert Scale(3.0, power=2)(2.0) == 12.0
