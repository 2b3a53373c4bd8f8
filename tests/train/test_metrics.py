"""Metrics by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from payback.train.history import History
from payback.train.metrics import (
    accuracy,
    binary_accuracy,
    confusion_matrix,
    r2,
    right_answers,
    right_classes,
    rmse,
)

LOGITS = np.array([[1.0, 0.0, -1.0], [0.0, 3.0, 1.0], [0.0, 1.0, 2.0], [5.0, 1.0, 2.0]])


def test_accuracy():
    assert accuracy(LOGITS, np.array([0, 1, 2, 2])) == 0.75
    assert accuracy(LOGITS, np.eye(3)[[0, 1, 1, 1]]) == 0.5
    assert accuracy(np.array([[1.0], [-1.0]]), np.array([1, 1])) == 0.5
    logits, target = np.array([[2.0, -1.0], [0.5, 3.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert binary_accuracy(logits, target) == 0.75
    assert right_answers(logits, target).tolist() == [1.0, 0.5]
    assert right_classes(LOGITS, np.eye(3)[[0, 1, 1, 1]]).tolist() == [True, True, False, False]


def test_confusion_matrix_has_true_classes_as_rows():
    assert confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3).tolist() == [
        [1, 1, 0],
        [0, 1, 1],
        [0, 0, 0],
    ]


def test_rmse_and_r2():
    true, found = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    assert rmse(found, true) == pytest.approx(math.sqrt(5 / 3))
    assert r2(found, true) == pytest.approx(1 - 5 / np.sum((true - true.mean()) ** 2))
    assert r2(true, true) == 1.0
    both = r2(np.stack([found, true], 1), np.stack([true, true], 1))
    assert both == pytest.approx((r2(found, true) + 1) / 2)
    assert math.isnan(r2(found, np.ones(3)))
    for scale in (2.0**600, 2.0**-600):  # squares of such numbers are infinite, or nothing
        assert rmse(scale * found, scale * true) == scale * rmse(found, true)
        assert r2(scale * found, scale * true) == r2(found, true)


def test_history():
    history = History([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "extra": 3}])
    assert history["loss"] == [2.0, 1.0]
    assert history["extra"] == [None, 3]
    assert history[-1]["epoch"] == 2
    assert [record["epoch"] for record in history] == [1, 2]
    assert repr(history) == "History(2 epochs: epoch, loss, extra)"
    with pytest.raises(KeyError, match="los: the history has epoch, loss, extra"):
        history["los"]
