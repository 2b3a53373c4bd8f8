"""Metrics that people read: accuracy, confusion matrix, RMSE, R²."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def predicted_classes(logits: Array) -> Array:
    """Class numbers from (n, k) logits, or from (n,) or (n, 1) logits of the second of two classes."""
    if logits.ndim == 2 and logits.shape[1] > 1:
        return np.argmax(logits, axis=1)
    return (logits.reshape(len(logits)) > 0).astype(np.int64)


def accuracy(logits: Array, target: Array) -> float:
    """The share of samples whose class is right; target: class numbers, or (n, k) probabilities.

    >>> import numpy as np
    >>> accuracy(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0]))
    0.5
    """
    return float(np.mean(right_classes(logits, target)))


def right_classes(logits: Array, target: Array) -> Array:
    """Of each sample whether its class is right."""
    if target.ndim == 2 and target.shape[1] > 1:
        target = np.argmax(target, axis=1)
    return predicted_classes(logits) == target.reshape(len(target))


def binary_accuracy(logits: Array, target: Array) -> float:
    """The share of yes-or-no answers that are right; logits and targets of one shape."""
    return float(np.mean((logits > 0) == (target > 0.5)))


def right_answers(logits: Array, target: Array) -> Array:
    """Of each sample the share of its answers that are right."""
    return ((logits > 0) == (target > 0.5)).reshape(len(target), -1).mean(axis=1)


def confusion_matrix(predicted: Array, target: Array, classes: int) -> Array:
    """counts[i, j]: samples of class i that were taken for class j."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (target, predicted), 1)
    return counts


def rmse(prediction: Array, target: Array) -> float:
    """The root of the mean squared error, in the target's units."""
    difference = prediction.astype(np.float64) - target
    return float(np.sqrt(np.mean(difference * difference)))


def r2(prediction: Array, target: Array) -> float:
    """The share of the target's variance that is explained, averaged over outputs; NaN if the target is constant."""
    target, prediction = (a.reshape(len(a), -1).astype(np.float64) for a in (target, prediction))
    residual = ((target - prediction) ** 2).sum(axis=0)
    total = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.mean(1 - residual / total)) if (total > 0).all() else float("nan")
