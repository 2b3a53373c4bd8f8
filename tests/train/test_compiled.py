"""Training in native code: the interpreter's steps, to rounding; stopping in time; no Python in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import amount
import payback as pb
from payback import native
from payback.errors import NonFiniteError
from payback.native.loop import Loop
from payback.optim import Adam, AdamW, Cosine, GradientDescent, Momentum, Nesterov, RMSprop, StepDecay, WarmUp
from payback.trace.tree import leaves
from payback.train.fit import fit

pytestmark = pytest.mark.skipif(not native.available(), reason="native code is off")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 5))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
VALUES = X @ [1.0, -2.0, 0.5, 0.0, 3.0] + 0.3
OPTIMIZERS = [
    GradientDescent(0.05), Momentum(0.01), Nesterov(0.01), RMSprop(1e-3), Adam(1e-2), AdamW(1e-2, clip_norm=0.5),
    Adam(WarmUp(1e-2, steps=5, then=Cosine(1e-2))), GradientDescent(StepDecay(0.1, every=3, factor=0.5), clip_norm=1.0),
]  # fmt: skip


def both(monkeypatch, **options):
    """The same training by native code and by the interpreter."""
    fast = fit(**options)
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    return fast, fit(**options)


def assert_alike(fast, slow, rtol):
    for name in slow.history.columns:
        if name == "seconds":
            continue
        np.testing.assert_allclose(fast.history[name], slow.history[name], rtol=rtol, err_msg=name)
    for a, b in zip(leaves(fast.net), leaves(slow.net), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())
    assert fast.stopped == slow.stopped


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("target", ["classes", "values"])
def test_every_optimizer_and_schedule(monkeypatch, optimizer, target):
    y = CLASSES if target == "classes" else VALUES
    net = pb.nn.MLP([5, 9, 3 if target == "classes" else 1], activation="tanh", dtype=float)
    fast, slow = both(monkeypatch, net=net, X=X, y=y, optimizer=optimizer, epochs=3, batch_size=32)
    assert_alike(fast, slow, 1e-8)


@pytest.mark.parametrize(
    "options",
    [
        dict(batch_size="all"), dict(batch_size=1, epochs=1), dict(sample_weight=RNG.integers(0, 3, 203)),
        dict(loss="huber", net=pb.nn.MLP([5, 4, 1], dtype=float, skip=True), y=VALUES), dict(validation=0),
        dict(sample_weight=(np.arange(203) > 150).astype(float), batch_size=8), dict(patience=1, epochs=20),
    ],
    ids=lambda options: " ".join(options),
)  # fmt: skip
def test_every_option(monkeypatch, options):
    usual = dict(net=pb.nn.MLP([5, 9, 3], dtype=float), X=X, y=CLASSES, epochs=3, batch_size=32)
    fast, slow = both(monkeypatch, **(usual | options))
    assert_alike(fast, slow, 1e-7)


@pytest.mark.parametrize("activation", sorted(pb.nn.activations.ACTIVATIONS))
def test_every_activation_in_float32(monkeypatch, activation):
    net = pb.nn.MLP([5, 16, 16, 3], activation=activation)
    fast, slow = both(monkeypatch, net=net, X=X, y=CLASSES, epochs=2)
    assert_alike(fast, slow, 2e-3)


def test_random_networks(monkeypatch):
    for seed in range(amount.cases(3, 15, 60)):
        rng = np.random.default_rng(seed)
        sizes = [5, *map(int, rng.integers(1, 40, rng.integers(1, 4))), 3]
        size = int(rng.integers(1, 250))
        monkeypatch.delenv("PAYBACK_NATIVE", raising=False)
        fast, slow = both(monkeypatch, net=pb.nn.MLP(sizes, seed=seed, dtype=float), X=X, y=CLASSES, epochs=2,
                          batch_size=size, seed=seed, optimizer=OPTIMIZERS[seed % len(OPTIMIZERS)])  # fmt: skip
        assert_alike(fast, slow, 1e-6)


@pytest.mark.parametrize("at", [0, 100, 195])
def test_a_step_that_is_not_finite_is_not_applied(monkeypatch, at):
    """The run of the error holds the network before the bad step, which rows without it give as well."""
    bad = X.copy()
    bad[at, 0] = 1e200  # its square is infinite: so is the gradient's norm
    net = pb.nn.MLP([5, 1], dtype=float)
    errors = []
    for setting in (None, "0"):
        if setting:
            monkeypatch.setenv("PAYBACK_NATIVE", setting)
        with pytest.raises(NonFiniteError) as caught:
            fit(net, bad, VALUES, epochs=3, batch_size=10, validation=0, shuffle=False)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    for a, b in zip(leaves(errors[0].run.net), leaves(errors[1].run.net), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_step_too_long_is_taken_back(monkeypatch):
    """Cost and gradient are finite, the new weights are not: seen after the update, which is undone by a replay."""
    net, y = pb.nn.MLP([5, 1], dtype=float), VALUES * 1e100
    optimizer = GradientDescent(WarmUp(1e200, steps=10**6))
    errors = []
    for setting in (None, "0"):
        if setting:
            monkeypatch.setenv("PAYBACK_NATIVE", setting)
        with pytest.raises(NonFiniteError, match="became") as caught:
            fit(net, X, y, optimizer=optimizer, epochs=1, batch_size=10, validation=0)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    assert all(np.isfinite(p).all() for p in leaves(errors[0].run.net))


def test_an_epoch_is_one_call(monkeypatch):
    counts, run = [], Loop.run

    def counted(self, inputs, order, records, steps):
        counts.append(steps)
        return run(self, inputs, order, records, steps)

    monkeypatch.setattr(Loop, "run", counted)
    fit(pb.nn.MLP([5, 3]), np.tile(X, (10, 1)), np.tile(CLASSES, 10), epochs=1, batch_size=1, validation=0)
    assert sum(counts) == 2030
    assert len(counts) < 10  # slices of a tenth of a second, so that Ctrl-C is heard


@pytest.mark.parametrize("call", [1, 2, 4])
def test_interrupted(monkeypatch, call):
    counts, run = [], Loop.run

    def interrupted(self, *arguments):
        counts.append(1)
        if len(counts) == call:
            raise KeyboardInterrupt
        return run(self, *arguments)

    monkeypatch.setattr(Loop, "run", interrupted)
    result = fit(pb.nn.MLP([5, 3]), X, CLASSES, epochs=5, batch_size=203, validation=0)
    assert result.stopped == "interrupted"
    assert len(result.history) == call - 1
    assert all(np.isfinite(p).all() for p in leaves(result.net))


def test_the_networks_of_callbacks_stay_as_they_are():
    seen = []
    fit(
        pb.nn.MLP([5, 3]),
        X,
        CLASSES,
        epochs=3,
        callbacks=[lambda record, net: seen.append((net, leaves(net)[0].copy()))],
    )
    assert all((leaves(net)[0] == then).all() for net, then in seen)
    assert (seen[0][1] != seen[1][1]).any()


def test_data_in_the_other_byte_order(monkeypatch):
    fast, slow = both(
        monkeypatch, net=pb.nn.MLP([5, 3], dtype=float), X=X.astype(">f8"), y=CLASSES.astype(">i8"), epochs=2
    )
    assert_alike(fast, slow, 1e-9)


@dataclass
class Recurrent:
    """A network of one's own, with a scan over the axis of time."""

    W: np.ndarray
    U: np.ndarray
    v: np.ndarray

    def __call__(self, x):
        def step(h, now):
            h = np.tanh(h @ self.W + now @ self.U)
            return h, h

        return pb.scan(step, np.zeros((x.shape[0], 4), x.dtype), np.swapaxes(x, 0, 1))[0] @ self.v


@dataclass
class Solving:
    """A network with a row that runs on NumPy."""

    A: np.ndarray
    v: np.ndarray

    def __call__(self, x):
        return np.linalg.solve(self.A @ self.A.T + np.eye(5), x.T).T @ self.v


@pytest.mark.parametrize("kind", ["scan", "solve"])
def test_steps_that_are_not_one_piece_of_machine_code(monkeypatch, kind):
    net = (
        Recurrent(*(RNG.normal(size=shape) / 2 for shape in ((4, 4), (5, 4), (4,))))
        if kind == "scan"
        else Solving(RNG.normal(size=(5, 5)), RNG.normal(size=5))
    )
    inputs = np.stack([X, X**2, np.cos(X)], axis=1) if kind == "scan" else X
    usual = dict(net=net, X=inputs, y=VALUES, epochs=3, batch_size=32, loss=lambda p, t, w: np.mean((p - t) ** 2))
    fast, slow = both(monkeypatch, **usual)
    assert_alike(fast, slow, 1e-8)
    monkeypatch.delenv("PAYBACK_NATIVE")
    with pytest.raises(NonFiniteError) as problem:
        fit(**usual | dict(optimizer=GradientDescent(1e200), epochs=5))
    assert all(np.isfinite(leaf).all() for leaf in leaves(problem.value.run.net))
