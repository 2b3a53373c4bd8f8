"""Random trainings, told anything that `fit` can be told: what they record is worked out again by other means.

The numbers of every step by the interpreter, from the recorded weights before it; the epochs from their steps; when the
training stops and what it keeps from the epochs; every step again, in any order, and on other threads, to the bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import amount
import payback as pb
from payback import optim
from payback.errors import NonFiniteError
from payback.nn.losses import LOSSES
from payback.optim.schedules import Cosine, StepDecay, WarmUp
from payback.trace.tree import leaves
from payback.train.fit import fit
from payback.train.recording import Recording
from payback.train.runs import open_run
from payback.train.step import Steps, in_chunks
from train.test_random_steps import drawn

NAMES = {loss: name for name, loss in LOSSES.items()}
SCHEDULES = (
    lambda rate: rate,
    lambda rate: StepDecay(rate, every=3, factor=0.5),
    Cosine,
    lambda rate: WarmUp(rate, steps=4, then=Cosine(rate)),
)


def bits(net: Any) -> list[bytes]:
    return [np.asarray(p).tobytes() for p in leaves(net)]


def told(seed: int) -> tuple[Any, dict[str, Any]]:
    """A random generator, and the arguments of `fit`."""
    random, net, X, y, weights, loss, optimizer, dtype = drawn(seed)
    rows = random.integers(0, 100, int(random.choice([130, 192, 300])))
    X, y = X[rows] + random.normal(size=(len(rows), X.shape[1])).astype(dtype) * dtype(0.1), y[rows]
    size = random.choice(["all", "1", "7", "32", "33", "64", "1000"])
    held: Any = random.choice([0.0, 0.2, 0.8, 1.0])
    if held == 1.0 and weights is None:
        held, X, y = (X[:101], y[:101]), X[101:], y[101:]
    optimizer = type(optimizer)(random.choice(SCHEDULES)(optimizer.rate), clip_norm=optimizer.clip_norm)  # type: ignore[operator]
    if size == "all" and random.random() < 0.3:
        optimizer = optim.GradientDescent(line_search=True)
    return random, dict(
        net=net, X=X, y=y, loss=NAMES[loss], optimizer=optimizer, epochs=int(random.integers(0, 7)),
        batch_size="all" if size == "all" else int(size), shuffle=bool(random.random() < 0.7),
        validation=held if isinstance(held, tuple) or held < 1 else 0.5, patience=random.choice([None, 1, 2]),
        sample_weight=None if weights is None else weights[rows][-len(X) :], seed=int(random.integers(100)),
        tol=None if random.random() < 0.8 else 0.05, progress=False,
    )  # fmt: skip


def lines(history: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def trained(arguments: dict[str, Any], threads: int, **others: Any) -> tuple[Any, str]:
    """The run, and how it failed, if it did."""
    pb.set_threads(threads)
    try:
        return fit(**arguments, **others), ""
    except NonFiniteError as problem:
        return problem.run, str(problem)  # type: ignore[attr-defined]
    finally:
        pb.set_threads(None)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(amount.cases(2, 6, 1000)))
def test_trainings(tmp_path, monkeypatch, seed):
    random, arguments = told(seed)
    net, optimizer, X = arguments["net"], arguments["optimizer"], arguments["X"]
    every = int(random.choice([1, 3, 50]))
    run, failure = trained(arguments, 1, record=Recording(tmp_path / "run", every=every))
    other, same_failure = trained(arguments, 2, callbacks=[lambda record, net: None] if random.random() < 0.5 else ())
    assert (bits(other.net), lines(other.history)) == (bits(run.net), lines(run.history))
    assert (other.stopped, other.best_epoch, same_failure) == (run.stopped, run.best_epoch, failure)
    if failure:
        return

    recorded = open_run(tmp_path / "run", like=net)
    nets = list(recorded.walk())
    assert bits(recorded.net) == bits(run.net)
    assert bits(nets[0].net) == bits(net)
    again = open_run(tmp_path / "run", like=net)
    for n in random.permutation(len(nets))[:6]:
        assert bits(again.step(int(n)).net) == bits(nets[n].net)

    # steps: from the weights before each, by the interpreter
    slow = Steps(net, LOSSES[arguments["loss"]], optimizer, interpreted=True)
    searches = getattr(optimizer, "line_search", False)
    close = dict(rel=2e-3, abs=2e-4) if X.dtype == np.float32 else dict(rel=1e-7, abs=1e-9)
    train = recorded.rows
    n, size = len(train.X), len(X) if arguments["batch_size"] == "all" else arguments["batch_size"]
    total = arguments["epochs"] * math.ceil(n / min(size, n))
    for step in recorded.steps:
        batch = recorded.batch(step.n)
        before = nets[step.n - 1]
        if not searches:
            assert step.rate == optimizer.schedule(step.n - 1, total)
        if step.n % 7 < 2:
            cost, _, _, norm = slow.gradient(before.net, batch.X, batch.y, batch.weights)
            assert (step.cost, step.norm) == (pytest.approx(float(cost), **close), pytest.approx(float(norm), **close))
            moved = [
                np.asarray(a, float) - b for a, b in zip(leaves(nets[step.n].net), leaves(before.net), strict=True)
            ]
            assert step.length == pytest.approx(np.sqrt(sum((m**2).sum() for m in moved)), **close)

    # epochs: from their steps
    X_held, y_held, w_held = train.held or (None, None, None)
    for epoch, record in enumerate(run.history, 1):
        steps = [step for step in recorded.steps if step.epoch == epoch]
        batches = [recorded.batch(step.n) for step in steps]
        seen = np.concatenate([batch.samples for batch in batches])
        shares = [float(len(b.X) if b.weights is None else b.weights.sum()) for b in batches]
        whole = set(train.numbers.tolist())
        assert len(set(seen.tolist())) == len(seen)
        assert set(seen.tolist()) <= whole
        assert (train.weights is not None) or set(seen.tolist()) == whole
        assert arguments["shuffle"] or seen.tolist() == sorted(seen.tolist())
        assert record["step"] == steps[-1].n
        assert record["rate"] == steps[-1].rate
        assert record["loss"] == pytest.approx(np.average([step.cost for step in steps], weights=shares), rel=1e-6)
        assert record["gradient_norm"] == pytest.approx(np.mean([step.norm for step in steps]), rel=1e-6)
        assert record["step_length"] == pytest.approx(np.mean([step.length for step in steps]), rel=1e-6)
        assert ("validation_loss" in record) == (X_held is not None)
        if X_held is not None:
            cost, prediction = in_chunks(slow, nets[steps[-1].n].net, X_held, y_held, w_held)
            assert record["validation_loss"] == pytest.approx(float(cost), **close)
            if arguments["loss"] == "cross_entropy" and prediction.shape[1] > 1:  # one column tells of two classes
                right = np.mean(np.asarray(prediction).argmax(-1) == y_held)
                assert record["validation_accuracy"] == pytest.approx(right, abs=2.5 / len(y_held))

    # the end: from the epochs
    patience, tol = arguments["patience"], arguments["tol"]
    watch = X_held is not None and patience is not None and len(X_held) >= 100
    best, best_epoch, stopped = math.inf, len(run.history), "epochs"
    for epoch, record in enumerate(run.history, 1):
        cost = record["validation_loss" if watch else "loss"]
        if cost < best:
            best, best_epoch = cost, epoch
        if watch and epoch - best_epoch >= patience:
            stopped = "early stopping"
            break
    if tol is None and not searches:
        assert run.stopped == stopped
        assert len(run.history) == (epoch if stopped != "epochs" else arguments["epochs"])
    elif tol is not None and run.stopped == "gradient norm":
        assert run.history[-1]["gradient_norm"] <= tol
    kept = best_epoch if watch else len(run.history)
    assert run.best_epoch == kept
    assert bits(run.net) == bits(nets[run.history[kept - 1]["step"] if kept else 0].net)

    # the interpreter's training: the same records, and the same numbers until rounding has grown
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    plain, _ = trained(arguments, 1)
    for ours, theirs in zip(run.history, plain.history, strict=False):
        assert ours.keys() == theirs.keys()
        assert (ours["epoch"], ours["step"]) == (theirs["epoch"], theirs["step"])
    if run.history and plain.history:
        assert searches or run.history[0]["rate"] == plain.history[0]["rate"]
        if run.history[0]["step"] < 10:
            assert run.history[0]["loss"] == pytest.approx(plain.history[0]["loss"], rel=2e-3, abs=2e-4)
