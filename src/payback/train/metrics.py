"""Metrics that people read: accuracy, confusion matrix, precision, recall, F₁, area under the curve, RMSE, R²."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.nn.activations import log_softmax

Array = np.ndarray[Any, Any]
Metric = Callable[[Array, Array], float]


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
    """Of each sample whether its class is right; of sequences, the share of its places whose classes are."""
    if logits.ndim > 2:
        return right_classes(*by_place(logits, target)).reshape(len(logits), -1).mean(axis=1)
    if target.ndim == 2 and target.shape[1] > 1:
        target = np.argmax(target, axis=1)
    return predicted_classes(logits) == target.reshape(len(target))


def by_place(logits: Array, target: Array) -> tuple[Array, Array]:
    """Logits (places, k) of (n, …, k), and the target of each place."""
    if logits.ndim < 3:
        return logits, target
    shape = (-1,) if target.ndim < logits.ndim else (-1, logits.shape[-1])
    return logits.reshape(-1, logits.shape[-1]), target.reshape(shape)


def binary_accuracy(logits: Array, target: Array) -> float:
    """The share of yes-or-no answers that are right; logits and targets of one shape."""
    return float(np.mean((logits > 0) == (target > 0.5)))


def right_answers(logits: Array, target: Array) -> Array:
    """Of each sample the share of its answers that are right.  target: numbers, or whether they are above a half."""
    truth = target if target.dtype == np.bool_ else target > 0.5
    right = ((logits > 0) == truth).reshape(len(target), -1)
    counts: Array = np.add.reduce(right.view(np.uint8), axis=1, dtype=np.int32) / right.shape[1]
    return counts


def confusion_matrix(predicted: Array, target: Array, classes: int) -> Array:
    """counts[i, j]: samples of class i that were taken for class j."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (target, predicted), 1)
    return counts


def _by_class(logits: Array, target: Array) -> tuple[Array, Array, Array]:
    """Of each class that there is or was predicted: how many are right, were predicted, and there are."""
    logits, target = by_place(logits, target)
    if target.ndim == 2 and target.shape[1] > 1:
        target = np.argmax(target, axis=1)
    true, predicted = target.reshape(len(target)).astype(np.int64), predicted_classes(logits)
    classes = logits.shape[1] if logits.ndim == 2 and logits.shape[1] > 1 else 2
    counts = confusion_matrix(predicted, true, classes)
    return np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)


def _mean_of_classes(shares: Array, there: Array, classes: int) -> float:
    """Class 1 of two; else the mean over the classes that there are or were predicted."""
    return float(shares[1]) if classes == 2 else float(shares[there].mean())


def _shares(part: Array, whole: Array) -> Array:
    """part / whole, and 0 of nothing."""
    made: Array = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return made


def precision(logits: Array, target: Array) -> float:
    """Of what was predicted to be of a class, the share that is.

    >>> precision(np.array([2.0, 1.0, -1.0, -3.0]), np.array([1, 0, 1, 0]))
    0.5
    """
    right, predicted, true = _by_class(logits, target)
    return _mean_of_classes(_shares(right, predicted), predicted + true > 0, len(true))


def recall(logits: Array, target: Array) -> float:
    """Of what is of a class, the share that was predicted to be."""
    right, predicted, true = _by_class(logits, target)
    return _mean_of_classes(_shares(right, true), predicted + true > 0, len(true))


def f1(logits: Array, target: Array) -> float:
    """The harmonic mean of precision and recall."""
    right, predicted, true = _by_class(logits, target)
    return _mean_of_classes(_shares(2 * right, predicted + true), predicted + true > 0, len(true))


def balanced_accuracy(logits: Array, target: Array) -> float:
    """The mean over the classes that there are of the share that is right."""
    right, _, true = _by_class(logits, target)
    return float(_shares(right, true)[true > 0].mean())


def auc(logits: Array, target: Array) -> float:
    """The area under the receiver's operating curve: how often a sample of class 1 has the higher logit than one of
    class 0, ties by half (Mann & Whitney, Ann. Math. Stat. 18, 1947); NaN where one of them is missing.

    Of several classes: the mean over those that there are of each against the rest, by probability.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    0.75
    """
    logits, target = by_place(logits, target)
    if logits.ndim == 2 and logits.shape[1] > 1:
        classes, logits = logits.shape[1], logits.astype(np.float64)
        if target.ndim == 2 and target.shape[1] == classes:
            target = np.argmax(target, axis=1)
        if classes > 2:
            true, scores = target.reshape(len(target)), log_softmax(logits)
            return float(np.mean([_area(scores[:, k], true == k) for k in np.unique(true).astype(int)]))
        logits = logits[:, 1] - logits[:, 0]
    return _area(logits.reshape(len(logits)), target.reshape(len(target)) > 0.5)


def _area(score: Array, positive: Array) -> float:
    """How often a positive sample has the higher score than another, ties by half."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]  # of ties: the mean
    ones, zeros = positive.sum(), (~positive).sum()
    if not ones or not zeros:
        return float("nan")
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def mae(prediction: Array, target: Array) -> float:
    """The mean absolute error, in the target's units."""
    return float(np.mean(np.abs(prediction.astype(np.float64) - target)))


def rmse(prediction: Array, target: Array) -> float:
    """The root of the mean squared error, in the target's units."""
    prediction, target, exponent = _in_range(prediction, target)
    return float(np.ldexp(np.sqrt(np.mean((prediction - target) ** 2)), exponent))


def r2(prediction: Array, target: Array) -> float:
    """The share of the target's variance that is explained, averaged over outputs; NaN if the target is constant.

    >>> r2(np.array([2e200, 4e200]), np.array([1e200, 5e200]))
    0.75
    """
    shares = [_share(*_in_range(p, t)[:2]) for p, t in zip(_columns(prediction), _columns(target), strict=True)]
    return float(np.mean(shares))


def _share(prediction: Array, target: Array) -> float:
    total = ((target - target.mean()) ** 2).sum()
    return float(1 - ((target - prediction) ** 2).sum() / total) if total > 0 else float("nan")


def _columns(values: Array) -> Array:
    return values.reshape(len(values), -1).T


def _in_range(prediction: Array, target: Array) -> tuple[Array, Array, int]:
    """Both divided by a power of two, which changes no digit, so that no square overflows or vanishes; and which."""
    exponent = int(np.frexp(max(np.abs(prediction).max(), np.abs(target).max()))[1])
    return np.ldexp(prediction.astype(np.float64), -exponent), np.ldexp(target.astype(np.float64), -exponent), exponent


OF_VALUES: dict[str, Metric] = {"mae": mae, "rmse": rmse, "r2": r2}
# The closed list of metrics that may be named.
METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "auc": auc,
    **OF_VALUES,
}
