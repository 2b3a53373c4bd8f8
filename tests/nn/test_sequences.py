"""Sequences with a class at each step: losses, metrics and trainings."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, ShapeError
from payback.trace.tree import leaves
from payback.train.metrics import METRICS

KINDS = {"GRU": pb.nn.GRU, "LSTM": pb.nn.LSTM}
RANDOM = np.random.default_rng(0)
WORDS = RANDOM.integers(0, 5, (96, 6))
TAGS = np.concatenate([WORDS[:, :1] % 3, (WORDS[:, 1:] + WORDS[:, :-1]) % 3], axis=1)  # of a word and the one before


def tagger(kind):
    first, second, third = pb.random.split(pb.random.key(0), 3)
    return pb.nn.Sequential(
        pb.nn.Embedding(5, 4, key=first), kind(4, 12, key=second), pb.nn.Linear(12, 3, key=third)
    )  # fmt: skip


def test_a_class_at_each_step(monkeypatch):
    told = dict(X=WORDS, y=TAGS, optimizer=pb.optim.Adam(3e-2), batch_size=32, validation=0.2, metrics=["f1"], seed=0)
    run = pb.fit(tagger(pb.nn.GRU), **told, epochs=25)
    logits = run.net(WORDS)
    assert run.history["accuracy"][-1] > 0.9
    assert abs((logits.argmax(axis=-1) == TAGS).mean() - run.history["accuracy"][-1]) < 0.1
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    slow = pb.fit(tagger(pb.nn.GRU), **told, epochs=1)
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "validation_f1"):
        assert slow.history[name][0] == pytest.approx(run.history[name][0], rel=1e-4), name


def test_losses_and_metrics_of_places_are_those_of_their_rows():
    logits, flat = RANDOM.normal(size=(8, 6, 3)), (-1, 3)
    for target in (TAGS[:8], pb.nn.softmax(RANDOM.normal(size=(8, 6, 3)))):
        rows = target.reshape(-1) if target.ndim == 2 else target.reshape(flat)
        assert pb.nn.cross_entropy(logits, target) == pytest.approx(pb.nn.cross_entropy(logits.reshape(flat), rows))
        for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc"):
            assert METRICS[name](logits, target) == pytest.approx(METRICS[name](logits.reshape(flat), rows)), name
    weights = np.arange(8.0)
    each = [pb.nn.cross_entropy(*pair) for pair in zip(logits, TAGS[:8], strict=True)]
    assert pb.nn.cross_entropy(logits, TAGS[:8], weights) == pytest.approx(np.average(each, weights=weights))
    pb.check_grads(lambda z: pb.nn.cross_entropy(z, TAGS[:8], weights), logits)
    with pytest.raises(ShapeError, match="a sample \\(or place\\)"):
        pb.nn.cross_entropy(logits, TAGS[:8, 0])


@pytest.mark.parametrize("y", [TAGS[:, 0], TAGS[:, :4]])
def test_targets_that_are_not_one_a_step(y):
    with pytest.raises(ShapeError, match=r"a class for each of \(96, 6\).*last=True"):
        pb.fit(tagger(pb.nn.LSTM), WORDS, y, epochs=1)
    with pytest.raises(InputError, match="classes from 1 to 3"):
        pb.fit(tagger(pb.nn.LSTM), WORDS, TAGS + 1, epochs=1)


@pytest.mark.parametrize("kind", list(KINDS)[: amount.cases(1, 2)])
def test_a_recorded_run_and_threads(kind, tmp_path):
    told = dict(X=WORDS, y=TAGS, epochs=2, batch_size=32, seed=0)
    run = pb.fit(tagger(KINDS[kind]), **told, record=tmp_path / "run")
    assert np.array_equal(pb.open_run(tmp_path / "run").net(WORDS), run.net(WORDS))
    pb.set_threads(1)
    again = pb.fit(tagger(KINDS[kind]), **told)
    pb.set_threads(None)
    assert [p.tobytes() for p in leaves(again.net)] == [p.tobytes() for p in leaves(run.net)]
