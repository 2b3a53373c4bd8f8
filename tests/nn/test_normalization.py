"""Normalization and residual blocks: by hand, and in trainings."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, ShapeError
from payback.nn.formula import formula, weights
from payback.trace.tree import leaves


def filled(layer, random):
    """The layer with other numbers than its first ones."""
    return layer.replace(**{name: random.normal(size=p.shape) for name, p in pb.nn.parameters(layer).items()})


@pytest.mark.parametrize("seed", range(amount.cases(4, 30)))
def test_the_layers_by_hand(seed):
    random = np.random.default_rng(seed)
    size, epsilon = int(random.integers(1, 9)), float(10 ** random.uniform(-3, 0))
    x = random.normal(3, 10 ** random.uniform(-3, 3), size=(*random.integers(1, 4, int(random.integers(0, 3))), size))
    layer = filled(pb.nn.LayerNorm(size, epsilon=epsilon, dtype=float), random)
    variance = x.var(axis=-1, keepdims=True)
    expected = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + epsilon) * layer.scale + layer.bias
    np.testing.assert_allclose(layer(x), expected, rtol=1e-9, atol=1e-12)
    rms = filled(pb.nn.RMSNorm(size, epsilon=epsilon, dtype=float), random)
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * rms.scale
    np.testing.assert_allclose(rms(x), expected, rtol=1e-12)
    smooth = [each.replace(epsilon=max(epsilon, 0.1)) for each in (layer, rms)]  # for differences of gradients
    for net in (*smooth, pb.nn.Residual(smooth[0], np.tanh)):
        net = pb.nn.Sequential(np.tanh, net)
        pb.check_grads(lambda net, x: (net(x) ** 2).sum(), net, random.normal(size=x.shape))


@pytest.mark.parametrize("norm", [pb.nn.LayerNorm, pb.nn.RMSNorm])
def test_what_cannot_be(norm):
    for size in (0, -1, 2.5, True, "3"):
        with pytest.raises(InputError, match="sizes are whole numbers"):
            norm(size)
    for epsilon in (0, -1e-5, np.nan, np.inf, True, "small"):
        with pytest.raises(InputError, match="epsilon is"):
            norm(3, epsilon=epsilon)
    with pytest.raises(InputError):
        norm(3, dtype=int)
    with pytest.raises(ShapeError, match="its last axis must have 3 entries"):
        norm(3)(np.ones((2, 4)))
    with pytest.raises(ShapeError, match=r"make \(2, 1\) of \(2, 4\)"):
        pb.nn.Residual(pb.nn.Linear(4, 1, key=pb.random.key(0)))(np.ones((2, 4), np.float32))


def residual_net(dtype=np.float32):
    keys = pb.random.split(pb.random.key(5), 4)

    def linear(n_in, n_out, k):
        return pb.nn.Linear(n_in, n_out, key=keys[k], dtype=dtype)

    block = pb.nn.Residual(
        pb.nn.LayerNorm(8, dtype=dtype), linear(8, 16, 1), pb.nn.Activation("gelu"), pb.nn.Dropout(0.2),
        linear(16, 8, 2),
    )  # fmt: skip
    return pb.nn.Sequential(linear(3, 8, 0), block, pb.nn.RMSNorm(8, dtype=dtype), linear(8, 2, 3))


def test_a_block_in_a_formula():
    net = residual_net()
    block = "z ↦ z+W₃·gelu(W₂·LayerNorm(z)+b₂)+b₃"
    assert formula(net) == f"y = W₄·RMSNorm(({block})(W₁·x+b₁))+b₄"
    assert [name for name, _ in weights(net)] == ["W₁", "b₁", "W₂", "b₂", "W₃", "b₃", "W₄", "b₄"]
    assert formula(net.layers[1]) == "y = x+W₂·gelu(W₁·LayerNorm(x)+b₁)+b₂"


def test_a_training_is_native_and_the_same_on_any_number_of_threads():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(150, 3)), random.integers(0, 2, 150)
    told = dict(batch_size=50, epochs=3, validation=0, optimizer=pb.optim.AdamW(0.01), progress=False, seed=1)
    made = []
    for threads in (1, 3):
        pb.set_threads(threads)
        try:
            made.append(pb.fit(residual_net(), X, y, **told))
        finally:
            pb.set_threads(None)
    assert [p.tobytes() for p in leaves(made[0].net)] == [p.tobytes() for p in leaves(made[1].net)]
    double = pb.fit(residual_net(float), X, y, **told)
    for p, q in zip(leaves(made[0].net), leaves(double.net), strict=True):
        np.testing.assert_allclose(p, q, rtol=0.02, atol=2e-3)
    assert double.history["loss"][-1] < double.history["loss"][0]
