"""Weights by class, and metrics of the rows held out: beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics
from sklearn.utils.class_weight import compute_sample_weight

import amount
import payback as pb
from payback.errors import InputError, ShapeError
from payback.train.metrics import METRICS

X = np.random.default_rng(0).normal(size=(90, 4))
Y = np.repeat([0, 1, 2], [60, 20, 10])
TOLD = dict(batch_size=30, epochs=2, seed=0, progress=False)


def net(outputs=3):
    return pb.nn.MLP([4, 8, outputs], seed=0, dtype=float)


def lines(run):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in run.history]


@pytest.mark.parametrize("weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.5}, {2: 4}, {0: 0.0}])
@pytest.mark.parametrize("given", [None, np.linspace(1, 2, 90)])
def test_a_weight_by_class_is_one_by_sample(weight, given):
    each = compute_sample_weight(weight, Y) * (1.0 if given is None else given)
    by_class = pb.fit(net(), X, Y, **TOLD, class_weight=weight, sample_weight=given)
    assert lines(by_class) == lines(pb.fit(net(), X, Y, **TOLD, sample_weight=each))


def test_weights_of_classes_weigh_given_validation_rows_too():
    held, weight = (X[::3], Y[::3]), {0: 0.5, 2: 7.0}
    last = pb.fit(net(), X, Y, **TOLD, class_weight=weight, validation=held)
    each = compute_sample_weight({**weight, 1: 1.0}, held[1])
    cost = pb.nn.cross_entropy(last.net(held[0]), held[1], each)
    assert last.history[-1]["validation_loss"] == pytest.approx(cost, rel=1e-12)
    with pytest.raises(InputError, match="the validation rows all weigh nothing"):
        pb.fit(net(), X, Y, **TOLD, class_weight={0: 0.0}, validation=(X[:5], Y[:5]))


def test_two_classes_of_one_output():
    y = (Y > 0)[:, None]
    told = TOLD | dict(loss="binary_cross_entropy")
    a = pb.fit(net(1), X, y, **told, class_weight={0: 1, 1: 3})
    assert lines(a) == lines(pb.fit(net(1), X, y, **told, sample_weight=np.where(y[:, 0], 3.0, 1.0)))


@pytest.mark.parametrize(
    ("told", "kind", "message"),
    [
        (dict(class_weight="equal"), InputError, "class_weight is 'equal'"),
        (dict(class_weight=[1, 2, 3]), InputError, "class_weight is"),
        (dict(class_weight={7: 1.0}), InputError, "class_weight names the class 7: y has the classes"),
        (dict(class_weight={0: -1.0}), InputError, "class_weight holds negative numbers"),
        (dict(class_weight={0: np.nan}), InputError, "class_weight"),
        (dict(class_weight={0: "a lot"}), InputError, "class_weight"),
        (dict(class_weight="balanced", y=np.linspace(0, 1, 90)), InputError, "targets that are no classes"),
        (dict(class_weight="balanced", sample_weight=np.ones(3)), ShapeError, "sample_weight has the shape"),
        (dict(metrics="f1"), InputError, r"Write metrics=\['f1'\]"),
        (dict(metrics=3), InputError, "metrics is 3"),
        (dict(metrics=[3]), InputError, "a metric is 3"),
        (dict(metrics=["f2"]), InputError, "there is no metric 'f2': known are accuracy"),
        (dict(metrics=["acc"]), InputError, "Write 'accuracy'"),
        (dict(metrics=["mae"]), InputError, "the metric 'mae' with the loss 'cross_entropy'"),
        (dict(metrics=["f1"], loss="squared_error", y=X[:, :3]), InputError, "one is of classes"),
        (dict(metrics=["f1"], validation=0), InputError, "no rows are held out"),
    ],
)
def test_what_cannot_be(told, kind, message):
    with pytest.raises(kind, match=message):
        pb.fit(**{"net": net(), "X": X, "y": Y, **TOLD, **told})


def test_metrics_are_in_the_history():
    def worst(prediction, target):
        return abs(prediction - target).max()

    run = pb.fit(net(1), X, X[:, 0], **TOLD, validation=0.2, metrics=["mae", worst, "rmse"])
    last = run.history[-1]
    assert list(last)[-5:] == ["validation_r2", "validation_mae", "validation_worst", "validation_rmse", "seconds"]
    assert last["validation_mae"] < last["validation_rmse"] < last["validation_worst"]
    assert last["validation_rmse"] ** 2 == pytest.approx(last["validation_loss"], rel=1e-9)
    told = pb.fit(net(), X, Y, **TOLD, validation=(X, Y), metrics=("f1", "accuracy")).history[-1]
    assert {name for name in told if name.startswith("v")} == {
        "validation_loss", "validation_accuracy", "validation_f1",
    }  # fmt: skip


AVERAGED = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}


@pytest.mark.parametrize("seed", range(amount.cases(8, 60, 2000)))
def test_metrics(seed):
    random = np.random.default_rng(seed)
    n, k = int(random.integers(2, 30)), int(random.integers(2, 5))
    logits, y = random.normal(size=(n, k)).round(1), random.integers(0, k, n)
    predicted = logits.argmax(axis=1)
    for name, truth in AVERAGED.items():
        average = "binary" if k == 2 else "macro"
        assert METRICS[name](logits, y) == pytest.approx(truth(y, predicted, average=average, zero_division=0))
    assert METRICS["accuracy"](logits, y) == pytest.approx(metrics.accuracy_score(y, predicted))
    there = np.unique(y)
    assert METRICS["balanced_accuracy"](logits, y) == pytest.approx(
        np.mean([(predicted[y == c] == c).mean() for c in there])
    )
    one, two = logits[:, :1], y > 0
    assert METRICS["f1"](one, two) == pytest.approx(metrics.f1_score(two, one[:, 0] > 0, zero_division=0))
    area = METRICS["auc"](one, two.astype(float)[:, None])
    assert np.isnan(area) if len(set(two)) < 2 else area == pytest.approx(metrics.roc_auc_score(two, one[:, 0]))
    if k == 2 and len(there) == 2:
        assert METRICS["auc"](logits, y) == pytest.approx(metrics.roc_auc_score(y, logits[:, 1] - logits[:, 0]))
    values = random.normal(size=(n, k))
    if k > 2 and len(there) == k:
        truth = metrics.roc_auc_score(y, softmax(values, axis=1), multi_class="ovr")
        assert METRICS["auc"](values, y) == pytest.approx(truth)
    assert METRICS["mae"](logits, values) == pytest.approx(metrics.mean_absolute_error(values, logits))
    assert METRICS["rmse"](logits, values) == pytest.approx(
        metrics.root_mean_squared_error(values.ravel(), logits.ravel())
    )
    assert METRICS["r2"](logits, values) == pytest.approx(metrics.r2_score(values, logits))
