"""`RecordedRun.diagnose`: trainings with a known fault, each named, and sound ones, of which nothing is said."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import payback as pb
from payback import nn
from payback.train.recording import Recording


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    """What is trained here is too small for machine code to be worth its making."""
    monkeypatch.setenv("PAYBACK_NATIVE", "0")


@pytest.fixture
def found(tmp_path):
    """Trains, and says what stands out."""

    def diagnosed(net, X, y, *, rate=0.1, loss=None, optimizer=None, epochs=4, validation=0, **told):
        optimizer = optimizer or pb.optim.GradientDescent(rate)
        with contextlib.suppress(ArithmeticError):
            pb.fit(net, X, y, loss=loss, optimizer=optimizer, epochs=epochs, validation=validation, progress=False,
                   record=Recording(tmp_path / "run", overwrite=True), **told)  # fmt: skip
        own = {"loss": loss} if callable(loss) else {}
        return pb.open_run(tmp_path / "run", like=net, **own).diagnose()

    return diagnosed


RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
VALUES = np.sin(X[:, 0]) + X[:, 1]
CLASSES = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(int) + (X[:, 2] > 0.5)


def mlp(*sizes, activation="tanh", weights=1.0, bias=None, **told):
    net = nn.MLP(sizes, activation, seed=0, dtype=float, **told)
    for layer in net.layers:
        if isinstance(layer, nn.Linear):
            layer.weight[:] *= weights
            if bias is not None and layer is not net.layers[-1]:
                layer.bias[:] = bias
    return net


class Detached(nn.Module):
    first: object
    last: object

    def __call__(self, x):
        return self.last(pb.stop_gradient(np.tanh(self.first(x))))


def detached():
    one, two = pb.random.split(pb.random.key(0))
    return Detached(first=nn.Linear(3, 4, key=one, dtype=float), last=nn.Linear(4, 1, key=two, dtype=float))


def ending(name, *sizes):
    return nn.Sequential(*mlp(*sizes).layers, nn.Activation(name))


def minus(prediction, target):
    return -((prediction[:, 0] - target) ** 2).mean()


def crossing(prediction, target):
    return ((prediction - target.reshape(-1)) ** 2).mean()


def naive(prediction, target):
    return -np.log(prediction[np.arange(len(target)), target] + 1e-12).mean()


def softmax(prediction):
    e = np.exp(prediction - prediction.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


ORDER = np.argsort(CLASSES, kind="stable")
FAULTS = {
    "dead units": (lambda: mlp(3, 8, 1, activation="relu", bias=-50.0), X, VALUES, {}),
    "saturated units": (lambda: mlp(3, 8, 1), X * 20, VALUES * (X[:, 2] > 0) - 4 * (X[:, 0] > 1), {"rate": 1e-3}),
    "no gradient": (detached, X, VALUES, {}),
    "no gradient ": (lambda: mlp(3, 8, 3, activation="relu", weights=0.0), X, CLASSES, {}),
    "equal units": (lambda: mlp(3, 8, 3, weights=0.0, bias=0.1), X, CLASSES, {"epochs": 1, "equal": True}),
    "vanishing gradient": (lambda: mlp(3, *[8] * 7, 1, activation="sigmoid"), X, VALUES, {}),
    "exploding": (lambda: mlp(3, *[8] * 7, 1, activation="relu", weights=5.0), X, VALUES, {"rate": 1e-15}),
    "no activation": (
        lambda: nn.Sequential(*(nn.Linear(3, 3, key=pb.random.key(k), dtype=float) for k in range(2))),
        X,
        CLASSES,
        {},
    ),
    "steps too long": (lambda: mlp(3, 8, 1), X, VALUES, {"rate": 30.0, "epochs": 3}),
    "steps too short": (lambda: mlp(3, 8, 1), X, VALUES, {"rate": 1e-6}),
    "clipped to nothing": (
        lambda: mlp(3, 8, 1),
        X,
        VALUES,
        {"optimizer": pb.optim.GradientDescent(0.1, clip_norm=1e-6)},
    ),
    "weight decay": (
        lambda: mlp(3, 8, 3),
        X,
        CLASSES,
        {"optimizer": pb.optim.AdamW(1e-3, weight_decay=200.0), "epochs": 15},
    ),
    "dropout": (lambda: mlp(3, 8, 3, activation="relu", dropout=0.99), X, CLASSES, {"epochs": 1}),
    "frozen layers": (
        lambda: nn.Sequential(nn.Frozen(mlp(3, 2, weights=0.01)), *mlp(2, 1).layers),
        X,
        VALUES,
        {"epochs": 1},
    ),
    "wrong sign": (lambda: mlp(3, 4, 1), X, VALUES, {"loss": minus, "epochs": 1}),
    "targets not matched": (lambda: mlp(3, 4, 1), X, VALUES, {"loss": crossing, "epochs": 1}),
    "output activation twice": (
        lambda: nn.Sequential(*mlp(3, 4, 3).layers, softmax),
        X,
        CLASSES,
        {"loss": "cross_entropy", "epochs": 1},
    ),
    "targets out of reach": (lambda: ending("relu", 3, 4, 1), X, VALUES, {"epochs": 1}),
    "sure and wrong": (
        lambda: nn.Sequential(*mlp(3, 4, 3, weights=30.0).layers, softmax),
        X,
        np.roll(CLASSES, 60),
        {"loss": naive, "rate": 1e-3, "epochs": 1},
    ),
    "amounts as classes": (lambda: mlp(3, 4, 200), X, np.rint(25 * (VALUES + 4)).astype(int), {"epochs": 1}),
    "classes as amounts": (
        lambda: mlp(2, 4, 1),
        np.array([[0, 4], [4, 0], [0, 0], [4, 4], [-4, 0]])[np.arange(120) % 5] + 0.3 * X[:, :2],
        np.arange(120.0) % 5,
        {"epochs": 1},
    ),
    "unscaled inputs": (lambda: mlp(3, 4, 1), X * [1, 1, 1e4], VALUES, {"epochs": 1}),
    "constant column": (lambda: mlp(4, 4, 1), np.c_[X, np.full(120, 2024.0)], VALUES, {"epochs": 1}),
    "unscaled targets": (lambda: mlp(3, 4, 1), X, 1e4 + 100 * VALUES, {"rate": 1e-9}),
    "label leakage": (lambda: mlp(4, 4, 3), np.c_[X, 2.0 * CLASSES], CLASSES, {"epochs": 1}),
    "shifted targets": (lambda: mlp(3, 4, 3), X, np.roll(CLASSES, 2), {"epochs": 1}),
    "nothing to learn": (lambda: mlp(3, 4, 1), X, np.random.default_rng(7).permutation(VALUES), {"epochs": 1}),
    "ordered rows": (
        lambda: mlp(3, 4, 3),
        X[ORDER],
        CLASSES[ORDER],
        {"shuffle": False, "batch_size": 20, "epochs": 1},
    ),
    "shared rows": (lambda: mlp(3, 4, 3), X, CLASSES, {"validation": (X[:40], CLASSES[:40]), "epochs": 1}),
    "class never trained": (
        lambda: mlp(3, 4, 3),
        X[CLASSES < 2],
        CLASSES[CLASSES < 2],
        {"validation": (X[CLASSES == 2], CLASSES[CLASSES == 2]), "epochs": 1},
    ),
    "other rows held out": (
        lambda: mlp(3, 4, 1),
        X[:80],
        VALUES[:80],
        {"validation": (9 + 9 * X[80:], 99 * VALUES[80:]), "epochs": 1},
    ),
    "learned by heart": (
        lambda: mlp(3, 8, 1),
        X[:80],
        VALUES[:80],
        {"validation": (X[80:], VALUES[80:][::-1]), "epochs": 40},
    ),
    "vanishing gradient ": (
        lambda: nn.Sequential(nn.RNN(3, 4, key=pb.random.key(0), last=True), nn.Linear(4, 1, key=pb.random.key(1))),
        np.random.default_rng(1).normal(size=(60, 30, 3)),
        10 * VALUES[:60],
        {"epochs": 1, "rate": 1e-9},
    ),
    "not finite": (lambda: mlp(3, 4, 1), X, VALUES, {"loss": lambda p, t: np.log(p[:, 0] - 99.0).mean(), "epochs": 1}),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named(found, kind):
    make, rows, targets, told = FAULTS[kind]
    told = dict(told)
    net = make()
    if told.pop("equal", False):
        for layer in net.layers[::2]:
            layer.weight[:] = 0.2
    diagnosis = found(net, rows, targets, **told)
    assert kind.strip() in diagnosis.kinds, diagnosis


SOUND = {
    "a line": (lambda: mlp(1, 1), X[:, :1], 2 * X[:, 0] + 1, {"epochs": 30}),
    "values": (lambda: mlp(3, 8, 1), X, VALUES, {"epochs": 40}),
    "a rectifier": (
        lambda: mlp(3, 8, 3, activation="relu"),
        X,
        CLASSES,
        {"epochs": 40, "rate": 0.3, "validation": 0.2},
    ),
    "a waist": (
        lambda: nn.Sequential(*(nn.Linear(*s, key=pb.random.key(0), dtype=float) for s in ((3, 1), (1, 3)))),
        np.outer(X[:, 0], [1, 2, -1]),
        np.outer(X[:, 0], [1, 2, -1]),
        {"epochs": 40, "rate": 0.03},
    ),
    "frozen": (
        lambda: nn.Sequential(nn.Frozen(mlp(3, 16)), nn.Activation("tanh"), *mlp(16, 1).layers),
        X,
        VALUES,
        {"epochs": 20},
    ),
    "a loss of one's own": (
        lambda: mlp(3, 8, 1),
        X,
        VALUES,
        {"loss": lambda p, t: np.abs(p[:, 0] - t).mean(), "epochs": 40},
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_said_of_a_sound_training(found, name):
    make, rows, targets, told = SOUND[name]
    diagnosis = found(make(), rows, targets, **told)
    assert not diagnosis.findings, diagnosis
    assert str(diagnosis).endswith("nothing stands out")


def test_what_is_found_names_place_and_cure(found):
    (finding,) = found(mlp(3, 8, 1, activation="relu", bias=-50.0), X, VALUES)
    assert finding.what == "8 of 8 units of the relu after layers[0] answer 0 to all rows, from the start"
    assert "pb.nn.leaky_relu" in finding.fix
