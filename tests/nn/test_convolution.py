"""Convolutions and pooling beside SciPy's and sums written out, and in trainings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.signal import correlate

import amount
import payback as pb
from payback.errors import InputError, ShapeError
from payback.nn.formula import formula, weights
from payback.trace.tree import leaves

KEY = pb.random.key(3)


def drawn(seed):
    """A layer, and an x that it takes."""
    random = np.random.default_rng(seed)
    axes = int(random.integers(1, 3))
    size, places = random.integers(1, 5, axes), random.integers(4, 9, axes)
    n_in, n_out = random.integers(1, 4, 2).tolist()
    told = dict(stride=int(random.integers(1, 4)), padding=["valid", "same"][random.integers(2)], dtype=float)
    layer = pb.nn.Conv(n_in, n_out, tuple(size.tolist()), key=pb.random.key(seed), bias=seed % 3 > 0, **told)
    return layer, random.normal(size=(int(random.integers(1, 4)), *places, n_in))


def convolved(layer, x):
    """What the layer is to compute, by SciPy's correlation of each pair of channels."""
    *size, n_in, n_out = layer.weight.shape
    places, stride = x.shape[1:-1], layer.stride
    if layer.padding == "same":  # TensorFlow's: every stride-th place, zeros on both sides and the odd one behind
        missing = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(places, size, strict=True)]
        x = np.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
    made = np.stack([
        [sum(correlate(sample[..., i], layer.weight[..., i, o], "valid") for i in range(n_in)) for sample in x]
        for o in range(n_out)
    ], axis=-1)[:, *[slice(None, None, stride)] * len(size)]  # fmt: skip
    return made if layer.bias is None else made + layer.bias


@pytest.mark.parametrize("seed", range(amount.cases(5, 60)))
def test_a_convolution(seed):
    layer, x = drawn(seed)
    if layer.bias is not None:
        layer = layer.replace(bias=np.random.default_rng(seed).normal(size=layer.bias.shape))
    np.testing.assert_allclose(layer(x), convolved(layer, x), rtol=1e-10, atol=1e-12)
    if layer.padding == "same":
        assert layer(x).shape[1:-1] == tuple(-(-n // layer.stride) for n in x.shape[1:-1])
    pb.check_grads(lambda layer, x: (layer(x) ** 2).sum(), layer, x)


@pytest.mark.parametrize("seed", range(amount.cases(4, 40)))
def test_groups_of_channels(seed):
    """Each group is a convolution of its own."""
    random = np.random.default_rng(seed)
    groups, n_in, n_out = int(random.integers(2, 4)), int(random.integers(1, 3)), int(random.integers(1, 3))
    told = dict(stride=int(random.integers(1, 3)), padding=["valid", "same"][seed % 2], key=KEY, dtype=float)
    layer = pb.nn.Conv(groups * n_in, groups * n_out, (3, 2), groups=groups, **told)
    layer = layer.replace(bias=random.normal(size=groups * n_out))
    x = random.normal(size=(2, 6, 5, groups * n_in))
    assert layer.weight.shape == (3, 2, n_in, groups * n_out)
    one = layer.replace(groups=1)
    for g in range(groups):
        own, made = slice(g * n_in, (g + 1) * n_in), slice(g * n_out, (g + 1) * n_out)
        alone = one.replace(weight=layer.weight[..., made], bias=layer.bias[made])
        np.testing.assert_allclose(layer(x)[..., made], convolved(alone, x[..., own]), rtol=1e-10, atol=1e-12)
    pb.check_grads(lambda layer, x: (layer(x) ** 2).sum(), layer, x)
    f = pb.value_and_grad(lambda layer, x: (layer(x) ** 2).sum())
    for found, expected in zip(leaves(pb.compile(f)(layer, x)), leaves(f(layer, x)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(amount.cases(3, 30)))
def test_pooling(seed):
    random = np.random.default_rng(seed)
    axes = 1 + seed % 2
    size, places = random.integers(1, 4, axes).tolist(), random.integers(3, 9, axes).tolist()
    x = random.normal(size=(2, *places, 3))
    for layer, of in ((pb.nn.MaxPool(size), np.max), (pb.nn.MeanPool(size), np.mean)):
        y, gradient = layer(x), np.zeros_like(x)
        assert y.shape == (2, *(n // k for n, k in zip(places, size, strict=True)), 3)
        for at in product(*map(range, y.shape[1:-1])):
            here = (slice(None), *(slice(i * k, (i + 1) * k) for i, k in zip(at, size, strict=True)))
            block, inner = x[here], tuple(range(1, axes + 1))
            value = of(block, axis=inner, keepdims=True)
            np.testing.assert_allclose(y[:, *at], value.reshape(2, 3), rtol=1e-12)
            gradient[here] = 2 * value * (block == value if of is np.max else 1 / np.prod(size))
        np.testing.assert_allclose(pb.grad(lambda x, layer=layer: (layer(x) ** 2).sum())(x), gradient, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pb.nn.Conv(0, 1, (3,), key=KEY), "a layer of 0 inputs"),
        (lambda: pb.nn.Conv(1, 1.5, (3,), key=KEY), "a layer of 1.5 outputs"),
        (lambda: pb.nn.Conv(1, 1, 3, key=KEY), r"Write \(3, 3\) for images"),
        (lambda: pb.nn.Conv(1, 1, (3, 3, 3), key=KEY), "a number for each axis"),
        (lambda: pb.nn.Conv(1, 1, (3, 0), key=KEY), "a layer of 0 places"),
        (lambda: pb.nn.Conv(1, 1, (3,), key=KEY, stride=0), "a layer of 0 places from one to the next"),
        (lambda: pb.nn.Conv(4, 6, (3,), key=KEY, groups=4), "4 inputs and 6 outputs in 4 groups"),
        (lambda: pb.nn.Conv(1, 1, (3,), key=KEY, groups=0), "a layer of 0 groups"),
        (lambda: pb.nn.Conv(1, 1, (3,), key=KEY, padding="full"), 'it is "valid" or "same"'),
        (lambda: pb.nn.Conv(1, 1, (3,), key=KEY, dtype=int), "int"),
        (lambda: pb.nn.Conv(1, 1, (3,), key=KEY, initializer="zeros"), "there is no initializer 'zeros'"),
        (lambda: pb.nn.MaxPool(2), r"Write \(3, 3\) for images"),
        (lambda: pb.nn.MeanPool((2, -1)), "a layer of -1 places"),
    ],
)
def test_layers_that_cannot_be(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            pb.nn.Conv(1, 1, (3, 3), key=KEY),
            (5, 8, 8),
            r"\(samples, height, width, channels, 1 here\)\. Write x\[..., N",
        ),
        (pb.nn.Conv(2, 1, (3,), key=KEY), (5, 8, 3), r"\(samples, length, channels, 2 here\)\."),
        (pb.nn.Conv(3, 1, (3, 3), key=KEY), (5, 3, 8, 8), r"Channels come last: write np\.moveaxis\(x, 1, -1\)"),
        (pb.nn.Conv(1, 1, (3, 3), key=KEY), (5, 8, 2, 1), "3×3 places in 8×2: none fits"),
        (pb.nn.MaxPool((2, 2)), (5, 8, 8), r"\(samples, height, width, channels\)\. Write x\[..., None\]"),
        (pb.nn.MaxPool((9,)), (5, 8, 3), "none fits"),
    ],
)
def test_arrays_that_do_not_fit(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        layer(np.ones(shape, np.float32))


def image_net(dtype=np.float32):
    keys = pb.random.split(pb.random.key(0), 3)
    return pb.nn.Sequential(
        pb.nn.Conv(1, 4, (3, 3), key=keys[0], padding="same", dtype=dtype), pb.nn.Activation("relu"),
        pb.nn.MaxPool((2, 2)), pb.nn.Conv(4, 6, (3, 3), key=keys[1], dtype=dtype), pb.nn.Activation("relu"),
        pb.nn.MeanPool((2, 2)), pb.nn.Flatten(), pb.nn.Linear(6, 3, key=keys[2], dtype=dtype),
    )  # fmt: skip


def test_a_network_of_images_in_a_formula():
    net = image_net()
    inner = "MaxPool(relu(W₁∗x+b₁))"
    assert formula(net) == f"y = W₃·flatten(MeanPool(relu(W₂∗{inner}+b₂)))+b₃"
    assert dict(weights(net))["W₂"] == (3, 3, 4, 6)


def test_a_training_is_the_same_on_any_number_of_threads_and_close_in_float64():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(120, 8, 8, 1)), random.integers(0, 3, 120)
    told = dict(batch_size=40, epochs=2, validation=0, optimizer=pb.optim.Adam(0.01), progress=False)
    made = []
    for threads in (1, 3):
        pb.set_threads(threads)
        try:
            made.append(pb.fit(image_net(), X, y, **told))
        finally:
            pb.set_threads(None)
    assert [p.tobytes() for p in leaves(made[0].net)] == [p.tobytes() for p in leaves(made[1].net)]
    double = pb.fit(image_net(float), X, y, **told)
    np.testing.assert_allclose(made[0].history["loss"], double.history["loss"], rtol=1e-4)
