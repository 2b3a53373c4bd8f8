"""Dropout: what is drawn, by whom, and that a training with it is the same on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, ModelFileError
from payback.io.network import DropoutSpec, build
from payback.train.step import Draws

KEY = pb.random.key(3)


class Own(pb.nn.Module):
    """A layer within a network of one's own."""

    first: pb.nn.Linear
    drop: pb.nn.Dropout
    last: pb.nn.Linear

    def __call__(self, x):
        return self.last(np.tanh(self.drop(self.first(x)))) + self.drop(x).sum(axis=1, keepdims=True)


def own():
    keys = pb.random.split(KEY)
    return Own(
        pb.nn.Linear(3, 8, key=keys[0], dtype=float), pb.nn.Dropout(0.4), pb.nn.Linear(8, 1, key=keys[1], dtype=float)
    )


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_layer(rate, dtype):
    layer, x = pb.nn.Dropout(rate), np.linspace(1, 2, 40000, dtype=dtype).reshape(200, 200)
    assert layer(x) is x
    with pb.nn.training(KEY):
        y, other = layer(x), layer(x)
        with pb.nn.training(None):
            assert layer(x) is x
    assert y.dtype == dtype
    stays = y != 0
    assert np.array_equal(y[stays], (x * dtype(1 / (1 - rate)))[stays])
    assert stays.mean() == pytest.approx(1 - rate, abs=4 * np.sqrt(rate * (1 - rate) / x.size))
    assert (rate == 0) == np.array_equal(y, other)  # each that asks has numbers of its own
    with pb.nn.training(KEY):
        assert np.array_equal(layer(x), y)


def test_a_gradient_goes_where_the_value_stays():
    layer, x = pb.nn.Dropout(0.3), np.ones((4, 5))

    def cost(x, key):
        with pb.nn.training(key):
            return (layer(x) * np.arange(20.0).reshape(4, 5)).sum()

    with pb.nn.training(KEY):
        kept = layer(x)
    assert np.array_equal(pb.grad(cost)(x, KEY), kept * np.arange(20.0).reshape(4, 5))
    fast = pb.compile(pb.grad(cost))
    for key in (KEY, pb.random.key(4)):  # an argument, so one program draws with any
        assert np.array_equal(fast(x, key), pb.grad(cost)(x, key))
    assert len(fast.reasons) == 1
    with pytest.raises(InputError, match="each time would have the same numbers"), pb.nn.training(KEY):
        pb.compile(layer)(x)


@pytest.mark.parametrize("rate", [1, -0.1, True, "half", None, float("nan")])
def test_rates_that_cannot_be(rate):
    with pytest.raises(InputError):
        pb.nn.Dropout(rate)


@pytest.mark.parametrize("seed", range(amount.cases(1, 3)))
def test_steps_of_a_training_by_hand(seed):
    """Each draws with the key of its number, and the cost of the rows held out with none."""
    random = np.random.default_rng(seed)
    X, y = random.normal(size=(24, 3)), random.normal(size=24)
    told = dict(
        loss="squared_error", optimizer=pb.optim.GradientDescent(0.05), batch_size=24, validation=(X[:5], y[:5])
    )
    net, keys = own(), Draws(seed).keys(1, 4)
    run = pb.fit(net, X, y, **told, epochs=4, seed=seed)

    def cost(net, key):
        with pb.nn.training(key):
            return pb.nn.squared_error(net(X), y[:, None])

    for epoch, key in enumerate(keys):
        value, gradient = pb.value_and_grad(cost)(net, key)
        assert run.history["loss"][epoch] == pytest.approx(float(value), rel=1e-12)
        net = net.replace(**{
            name: getattr(net, name).replace(
                weight=getattr(net, name).weight - 0.05 * getattr(gradient, name).weight,
                bias=getattr(net, name).bias - 0.05 * getattr(gradient, name).bias,
            )
            for name in ("first", "last")
        })  # fmt: skip
        held = pb.nn.squared_error(net(X[:5]), y[:5, None])
        assert run.history["validation_loss"][epoch] == pytest.approx(float(held), rel=1e-12)
    assert np.allclose(run.net.first.weight, net.first.weight, rtol=1e-12, atol=0)


@pytest.mark.parametrize("sizes", [[4, 16, 3], [4, 130, 3]][: amount.cases(1, 2)])
def test_a_training_is_the_same_on_any_number_of_threads_and_goes_on(sizes, tmp_path):
    random = np.random.default_rng(1)
    X, y = random.normal(size=(150, 4)).astype(np.float32), random.integers(0, 3, 150)
    net = pb.nn.MLP(sizes, seed=0, dropout=0.25)
    told = dict(batch_size=64, seed=5, validation=0, progress=False)

    def bits(run):
        return [p.tobytes() for p in pb.nn.parameters(run.net).values()]

    whole = pb.fit(net, X, y, **told, epochs=4)
    for threads in (1, 3) if amount.cases(0, 1) == 0 else (1, 2, 8):
        pb.set_threads(threads)
        try:
            assert bits(pb.fit(net, X, y, **told, epochs=4)) == bits(whole)
        finally:
            pb.set_threads(None)
    half = pb.fit(net, X, y, **told, epochs=2, record=tmp_path / "half")
    assert bits(pb.fit(net, X, y, **told, epochs=4, resume=half)) == bits(whole)
    assert bits(pb.fit(net, X, y, **told, epochs=4, resume=tmp_path / "half")) == bits(whole)
    assert bits(pb.fit(net, X, y, **{**told, "seed": 6}, epochs=4)) != bits(whole)


def test_a_recorded_training_draws_as_it_did(tmp_path):
    random = np.random.default_rng(2)
    X, y = random.normal(size=(30, 3)), random.normal(size=30)
    told = dict(batch_size=8, epochs=2, validation=0, seed=1, record=tmp_path / "run")
    run = pb.fit(pb.nn.MLP([3, 8, 1], seed=0, dropout=0.5, dtype=float), X, y, **told)
    recorded = pb.open_run(tmp_path / "run")
    for n in (1, 5)[: amount.cases(1, 2)]:
        assert float(recorded.explain(n).top.value) == pytest.approx(recorded.steps[n].cost, rel=1e-12)
        assert not recorded.agreement(n).parted
    statement = recorded.account("W1", (2, 3))  # which checks that it adds up
    assert statement.closing == run.net.layers[0].weight[2, 3]


def test_the_interpreter_draws_the_same(monkeypatch):
    X, y = np.linspace(-1, 1, 60).reshape(20, 3), np.arange(20) % 2
    net = pb.nn.MLP([3, 8, 2], seed=0, dropout=0.5, dtype=float)
    told = dict(batch_size=6, epochs=3, validation=0)
    fast = pb.fit(net, X, y, **told)
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    slow = pb.fit(net, X, y, **told)
    assert fast.history["loss"] == pytest.approx(slow.history["loss"], rel=1e-9)


def test_a_line_search_is_refused():
    X, y = np.linspace(-1, 1, 60).reshape(20, 3), np.zeros(20)
    with pytest.raises(InputError, match="a line search in a network that draws numbers"):
        pb.fit(own(), X, y, optimizer=pb.optim.GradientDescent(line_search=True), batch_size="all")


def test_a_model_file(tmp_path):
    net = pb.nn.Sequential(pb.nn.MLP([3, 4, 4, 2], dropout=0.5), pb.nn.Dropout(0.25))
    run = pb.fit(net, np.zeros((4, 3)), np.zeros((4, 2)), epochs=1)
    run.save(tmp_path / "model")
    assert repr(pb.load(tmp_path / "model")) == repr(net)
    with pytest.raises(ModelFileError, match=r"a dropout of 1\.5"):
        build(DropoutSpec(1.5))


def test_what_is_drawn_is_not_what_orders_rows():
    assert len({tuple(key) for key in [*pb.random.split(pb.random.key(0), 3), *Draws(0).keys(1, 50)]}) == 53


def test_masks():
    """`pb.random.bernoulli`: the words of the key's stream, compared."""
    key = pb.random.key(9)
    for p, shape in ((0.0, (50,)), (1.0, (50,)), (0.3, (10, 7)), (0.5, ())):
        mask = pb.random.bernoulli(key, p, shape)
        assert (mask.shape, mask.dtype) == (shape, np.dtype(bool))
        traced = pb.compile(lambda key, p=p, shape=shape: pb.random.bernoulli(key, p, shape) * 1.0)(key)
        assert np.array_equal(traced, mask * 1.0)
        if shape == (50,):
            assert mask.all() == (p == 1) == mask.any()
    for wrong in (-0.1, 1.1, True, "p"):
        with pytest.raises(InputError):
            pb.random.bernoulli(key, wrong, (3,))
