"""Recurrent layers and attention: by hand, step by step, and in trainings."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, ModelFileError, ShapeError
from payback.io.network import AttentionSpec, RecurrentSpec, build
from payback.trace.tree import leaves


def filled(layer, random):
    """The layer with other numbers than its first ones."""
    return layer.replace(**{name: random.normal(size=p.shape) for name, p in pb.nn.parameters(layer).items()})


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn(p, x):
    h = np.zeros((len(x), p.size))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ p.weight + h @ p.recurrent + p.bias)
        yield h


def lstm(p, x):
    h = c = np.zeros((len(x), p.size))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ p.weight + h @ p.recurrent + p.bias, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        yield h


def gru(p, x):
    h = np.zeros((len(x), p.size))
    for t in range(x.shape[1]):
        a, b = (np.split(part, 3, 1) for part in (x[:, t] @ p.weight + p.bias, h @ p.recurrent))
        r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
        h = (1 - z) * np.tanh(a[2] + r * (b[2] + p.inner)) + z * h
        yield h


KINDS = [(pb.nn.RNN, rnn), (pb.nn.LSTM, lstm), (pb.nn.GRU, gru)]


@pytest.mark.parametrize("seed", range(amount.cases(2, 20)))
@pytest.mark.parametrize(("kind", "by_hand"), KINDS)
def test_recurrent_layers_by_hand(kind, by_hand, seed):
    random = np.random.default_rng(seed)
    n, steps, n_in, size = (int(random.integers(1, 5)) for _ in range(4))
    layer, x = (
        filled(kind(n_in, size, key=pb.random.key(0), dtype=float), random),
        random.normal(size=(n, steps, n_in)),
    )
    expected = np.stack(list(by_hand(layer, x)), 1)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(layer.replace(last=True)(x), layer(x)[:, -1])
    back, turned = layer.replace(reverse=True), np.ascontiguousarray(x[:, ::-1])
    np.testing.assert_allclose(back(turned), expected[:, ::-1], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(back.replace(last=True)(turned), expected[:, -1], rtol=1e-12, atol=1e-14)
    pb.check_grads(lambda layer, x: (layer(x) ** 2).sum(), layer, x)


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_at_first(kind):
    layer = kind(3, 4, key=pb.random.key(0), dtype=float)
    for part in np.split(layer.recurrent, kind.gates, axis=1):
        np.testing.assert_allclose(part.T @ part, np.eye(4), atol=1e-12)
    assert layer.bias.tolist() == ([0.0] * 4 + [1.0] * 4 + [0.0] * 8 if kind is pb.nn.LSTM else [0.0] * 4 * kind.gates)
    assert {p.dtype.name for p in leaves(kind(3, 4, key=pb.random.key(0)))} == {"float32"}


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_hand(causal):
    random = np.random.default_rng(0)
    layer = filled(pb.nn.Attention(6, 3, key=pb.random.key(0), causal=causal, dtype=float), random)
    x = random.normal(size=(2, 4, 6))
    expected = np.empty_like(x)
    for sample in range(2):
        q, k, v = np.split(x[sample] @ layer.weight + layer.bias, 3, 1)
        rows = np.empty((4, 6))
        for i in range(4):
            seen = i + 1 if causal else 4
            for head in range(3):
                own = slice(2 * head, 2 * head + 2)
                weights = np.exp(k[:seen, own] @ q[i, own] / np.sqrt(2))
                rows[i, own] = weights @ v[:seen, own] / weights.sum()
        expected[sample] = rows @ layer.out + layer.out_bias
    np.testing.assert_allclose(layer(x), expected, rtol=1e-10)
    pb.check_grads(lambda layer, x: (layer(x) ** 2).sum(), layer, x)


def test_a_row_that_looks_at_none_after_it_does_not_change_with_them():
    layer = pb.nn.Attention(4, 2, key=pb.random.key(0), causal=True)
    x = np.random.default_rng(0).normal(size=(1, 5, 4)).astype(np.float32)
    other = x.copy()
    other[:, 3:] += 1
    np.testing.assert_array_equal(layer(x)[:, :3], layer(other)[:, :3])
    assert (layer(x)[:, 3:] != layer(other)[:, 3:]).all()


def test_what_cannot_be():
    key = pb.random.key(0)
    for kind in (pb.nn.RNN, pb.nn.LSTM, pb.nn.GRU):
        for sizes in ((0, 3), (3, -1), (2.5, 3)):
            with pytest.raises(InputError, match="sizes are whole numbers"):
                kind(*sizes, key=key)
        with pytest.raises(InputError, match="last is 1"):
            kind(1, 1, key=key, last=1)
        with pytest.raises(TypeError, match="Write last=…"):
            kind(1, 1, key=key, return_sequences=True)
        for shape in ((2, 4), (2, 4, 5), (2, 0, 3)):
            with pytest.raises(ShapeError, match=r"\(samples, steps, features\), 3 features here"):
                kind(3, 2, key=key)(np.ones(shape))
        with pytest.raises(ShapeError, match=r"Write x\[:, None\] for one step"):
            kind(3, 2, key=key)(np.ones((2, 3)))
    with pytest.raises(InputError, match="3 heads of a size of 8"):
        pb.nn.Attention(8, 3, key=key)
    with pytest.raises(ShapeError, match=r"\(samples, rows, size\), 8 here"):
        pb.nn.Attention(8, 2, key=key)(np.ones((2, 8)))
    for wrong in (RecurrentSpec("gru", 0, 2, False, False, "float32"), AttentionSpec(8, 3, False, "float32"),
                  RecurrentSpec("rnn", 1, 2**30, False, False, "float32")):  # fmt: skip
        with pytest.raises(ModelFileError, match="none can be"):
            build(wrong)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "Attention"])
def test_trainings_are_native_and_the_same_as_on_the_interpreter(kind, monkeypatch):
    random, keys = np.random.default_rng(1), pb.random.split(pb.random.key(2), 2)
    X = random.normal(size=(40, 6, 4))
    y = (X[:, :, 0].cumsum(1)[:, -1] > 0).astype(int)
    layer = (
        pb.nn.Attention(4, 2, key=keys[0], dtype=float)
        if kind == "Attention"
        else getattr(pb.nn, kind)(4, 4, key=keys[0], dtype=float)
    )
    net = pb.nn.Sequential(layer, lambda h: h.mean(axis=1), pb.nn.Linear(4, 2, key=keys[1], dtype=float))
    options = dict(optimizer=pb.optim.Adam(0.05), epochs=3, batch_size=10, validation=0, progress=False)
    native = pb.fit(net, X, y, **options).history["loss"]
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    np.testing.assert_allclose(native, pb.fit(net, X, y, **options).history["loss"], rtol=1e-8)
    assert native[-1] < native[0]
