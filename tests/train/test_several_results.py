"""Networks that return several arrays, draw, or have a layer twice: variational autoencoders and their kin."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError, ShapeError
from payback.trace.tree import leaves

X = np.random.default_rng(0).normal(size=(60, 5))


class Variational(pb.nn.Module):
    encoder: pb.nn.MLP
    decoder: pb.nn.MLP

    def __call__(self, x):
        code = self.encoder(x)
        mean, spread = code[:, :2], code[:, 2:]
        key = pb.nn.key_for(x)
        drawn = mean if key is None else mean + np.exp(spread / 2) * pb.random.normal(key, mean.shape)
        return self.decoder(drawn), mean, spread


def bound(prediction, target):
    made, mean, spread = prediction
    return np.mean((made - target) ** 2) - 0.1 * np.mean(1 + spread - mean**2 - np.exp(spread))


def autoencoder():
    return Variational(pb.nn.MLP([5, 4], seed=0, dtype=float), pb.nn.MLP([2, 5], seed=1, dtype=float))


TOLD = dict(X=X, y=X, loss=bound, optimizer=pb.optim.Adam(1e-2), batch_size=16, validation=0.2, seed=3)


def test_a_loss_of_all_that_a_network_returns(monkeypatch, tmp_path):
    run = pb.fit(autoencoder(), **TOLD, epochs=8, record=tmp_path / "run")
    assert run.history["validation_loss"][-1] < 0.9 * run.history["validation_loss"][0]
    recorded = pb.open_run(tmp_path / "run", loss=bound, like=autoencoder())
    assert recorded.explain(5).top.value == pytest.approx(recorded.steps[5].cost, rel=1e-12)
    account = recorded.account("encoder.layers[0].weight", (2, 3))
    account.check()
    assert len(account) == 48 * 8
    assert leaves(recorded.step(5).net)[0].tobytes() != leaves(run.net)[0].tobytes()
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    slow = pb.fit(autoencoder(), **TOLD, epochs=2)
    for name in ("loss", "validation_loss"):
        assert slow.history[name] == pytest.approx(run.history[name][:2], rel=1e-10)


def test_layers_of_ones_own_draw_by_the_key_of_the_step():
    """Another one in each step, from the seed; none where nothing is trained."""
    net = autoencoder()
    assert np.array_equal(net(X)[0], net(X)[0])
    costs = [pb.fit(net, **TOLD | {"seed": seed}, epochs=1).history["loss"] for seed in (3, 3, 4)]
    assert costs[0] == costs[1] != costs[2]
    with pb.nn.training(pb.random.key(0)):
        assert not np.array_equal(net(X)[0], net(X)[0])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            dict(loss="squared_error"),
            ShapeError,
            "result is a tuple of 3 arrays: squared_error takes one. Write a loss",
        ),
        (dict(metrics=["r2"]), InputError, "metrics of a network whose result is a tuple"),
        (dict(y=(X, X)), InputError, "y is a tuple of 2 arrays.*apart in the loss"),
        (dict(X={"a": X, "b": X}), InputError, "X is a dict of 2 arrays.*apart in the network"),
    ],
)
def test_what_takes_one_array(options, kind, message):
    with pytest.raises(kind, match=message):
        pb.fit(autoencoder(), **TOLD | options, epochs=1)


def test_a_layer_that_is_there_twice():
    first, second = pb.nn.MLP([5, 5], seed=0), pb.nn.MLP([5, 1], seed=1)
    with pytest.raises(InputError, match=r"net.layers\[1\].layers\[0\].weight is net.layers\[0\].*once|again.*tied"):
        pb.fit(pb.nn.Sequential(first, first, second), X, X[:, 0], epochs=1)
    frozen = pb.fit(pb.nn.Sequential(pb.nn.Frozen(first), first, second), X, X[:, 0], epochs=1).net
    assert np.array_equal(frozen.layers[0].frozen.layers[0].weight, first.layers[0].weight)


def test_parameters_by_their_names():
    net, other = (pb.nn.MLP([3, 4, 2], seed=seed) for seed in (0, 1))
    given = {name: p.astype(float) for name, p in pb.nn.parameters(other).items()}
    made = pb.nn.with_parameters(net, given)
    assert [p.tobytes() for p in leaves(made)] == [p.tobytes() for p in leaves(other)]
    bias = pb.nn.with_parameters(net, {"layers[2].bias": [1, 2]})
    assert bias.layers[2].bias.tolist() == [1.0, 2.0]
    assert bias.layers[0].weight is net.layers[0].weight
    for values, kind, message in (
        ({"layer[0].weight": 1.0}, InputError, r"did you mean 'layers\[0\].weight'"),
        ({"layers[0].weight": np.ones((4, 3))}, ShapeError, "its transpose"),
        ({"layers[0].bias": np.ones(3)}, ShapeError, r"the network's has \(4,\)"),
        ({"layers[0].bias": list("abcd")}, InputError, "parameters are numbers"),
    ):
        with pytest.raises(kind, match=f"(?i){message}"):
            pb.nn.with_parameters(net, values)


@pytest.mark.parametrize(
    "loss",
    [
        lambda p, t: np.mean((p[:, 0] - t) ** 2),
        lambda p, t: np.mean((p - t) ** 2),
        lambda p, t: np.mean((p.reshape(-1) - t) ** 2),
        lambda p, t, weights: pb.nn.squared_error(p[:, 0], t, weights),
        pb.nn.squared_error,
    ],
)
@pytest.mark.parametrize("y", [X[:, 0], (X[:, 0] > 0).astype(int)])
def test_each_sample_is_compared_with_its_own_target(loss, y):
    net = pb.nn.MLP([5, 1], seed=0, dtype=float)
    run = pb.fit(net, X, y, loss=loss, epochs=2, seed=0, validation=(X[:9], y[:9]))
    usual = pb.fit(net, X, y, loss="squared_error", epochs=2, seed=0, validation=(X[:9], y[:9]))
    assert run.history["loss"] == pytest.approx(usual.history["loss"], rel=1e-12)
    assert run.history["validation_loss"] == pytest.approx(usual.history["validation_loss"], rel=1e-12)


def test_losses_of_pairs_are_given_a_column():
    shapes = []

    def ranking(p, t):
        shapes.append(t.shape)
        return np.mean(np.maximum(1 - np.sign(t - t[:, 0]) * (p - p[:, 0]), 0))

    pb.fit(pb.nn.MLP([5, 1], seed=0, dtype=float), X, X[:, 0], loss=ranking, epochs=1, validation=0)
    assert shapes[-1][1:] == (1,)
