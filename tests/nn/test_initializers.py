"""Initial weights: their variance and bounds, and the same key gives the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb

N_IN, N_OUT = 300, 200
VARIANCE = {
    "he_normal": 2 / N_IN,
    "he_uniform": 2 / N_IN,
    "glorot_normal": 2 / (N_IN + N_OUT),
    "glorot_uniform": 2 / (N_IN + N_OUT),
}
by_name = pytest.mark.parametrize("name", VARIANCE)


def draw(name, seed=0, dtype=np.float64):
    return pb.nn.INITIALIZERS[name](pb.random.key(seed), N_IN, N_OUT, dtype)


def test_these_are_all():
    assert set(pb.nn.INITIALIZERS) == set(VARIANCE)


@by_name
def test_mean_and_variance(name):
    drawn = draw(name)
    assert drawn.shape == (N_IN, N_OUT)
    assert abs(drawn.mean()) < 4 * np.sqrt(VARIANCE[name] / drawn.size)
    assert drawn.var() == pytest.approx(VARIANCE[name], rel=4 * np.sqrt(2 / drawn.size))


@by_name
def test_the_shape_of_the_distribution(name):
    standard = draw(name) / np.sqrt(VARIANCE[name])
    kurtosis = np.mean(standard**4)
    if "uniform" in name:
        assert np.abs(standard).max() <= np.sqrt(3)
        assert kurtosis == pytest.approx(1.8, abs=0.02)
    else:
        assert np.abs(standard).max() > 3
        assert kurtosis == pytest.approx(3, abs=0.1)


@by_name
def test_the_same_key_gives_the_same_bits(name):
    assert draw(name).tobytes() == draw(name).tobytes()
    assert (draw(name, 0) != draw(name, 1)).all()


@by_name
def test_in_the_dtype_asked_for(name):
    assert draw(name, dtype=np.float32).dtype == np.float32
    np.testing.assert_allclose(draw(name, dtype=np.float32), draw(name), rtol=1e-6)


def test_layers_of_a_network_are_drawn_apart():
    net = pb.nn.MLP([50, 50, 50], seed=3, initializer="he_normal")
    assert (net.layers[0].weight != net.layers[2].weight).all()


def test_the_same_seed_gives_the_same_network():
    bits = [[p.tobytes() for p in pb.nn.parameters(pb.nn.MLP([3, 4, 2], seed=seed)).values()] for seed in (5, 5, 6)]
    assert bits[0] == bits[1]
    assert bits[0] != bits[2]


def test_rectifiers_get_he_and_the_last_layer_glorot():
    def spread(activation, layer):
        return pb.nn.MLP([N_IN, N_OUT, N_OUT], activation, dtype=float).layers[layer].weight.var()

    assert spread("relu", 0) == pytest.approx(VARIANCE["he_normal"], rel=0.03)
    assert spread("tanh", 0) == pytest.approx(VARIANCE["glorot_uniform"], rel=0.03)
    assert spread("relu", 2) == pytest.approx(1 / N_OUT, rel=0.03)


def test_biases_begin_at_zero():
    assert not pb.nn.MLP([3, 4, 2]).layers[0].bias.any()
