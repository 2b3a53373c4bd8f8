"""Losses: the mean cost of a batch.

All take (prediction, target, weights=None) with samples along the first axis; `weights` are one number ≥ 0 a
sample, and the mean is Σ weight·cost / Σ weight.  Shapes that do not match raise: nothing is broadcast silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import InputError, ShapeError
from payback.ir.arguments import told
from payback.nn.activations import logsumexp, softplus
from payback.trace.array import Traced


def _same_shape(prediction: Any, target: Any, name: str) -> None:
    if prediction.shape != target.shape:
        fix = None
        if len(prediction.shape) != len(target.shape):
            fix = (
                "write target[:, None] for one output"
                if len(prediction.shape) > len(target.shape)
                else "write prediction[:, 0]"
            )
        raise ShapeError(
            f"{name} of a prediction of shape {prediction.shape} and a target of shape {target.shape}",
            why="they must be equal; broadcasting would compare every sample with every other",
            fix=fix,
        )


def _mean(costs: Any, weights: Any) -> Any:
    """Mean of (n,) or (n, k) costs, samples weighted."""
    if weights is None:
        return costs.mean()
    if len(costs.shape) > 1:
        costs = costs.reshape(costs.shape[0], -1).mean(axis=1)
    if weights.shape != costs.shape:
        raise ShapeError(
            f"weights of shape {weights.shape} for {costs.shape[0]} samples", fix="give one weight a sample"
        )
    return (weights * costs).sum() / weights.sum()


@told("pb.nn.squared_error")
def squared_error(prediction: Any, target: Any, weights: Any = None) -> Any:
    """Mean of (prediction − target)².

    prediction, target: arrays of one shape, (n,) or (n, k); weights: None, or (n,) numbers ≥ 0.
    Returns a scalar, the mean over samples (weighted) and outputs.
    Raises ShapeError when the shapes differ.

    >>> import numpy as np, payback as pb
    >>> pb.nn.squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """
    _same_shape(prediction, target, "squared error")
    difference = prediction - target
    return _mean(difference * difference, weights)


@told("pb.nn.huber")
def huber(prediction: Any, target: Any, weights: Any = None, *, delta: float = 1.0) -> Any:
    """Huber's loss (Ann. Math. Stat. 35, 1964): ½d² for |d| ≤ delta, delta·(|d| − ½delta) beyond.

    prediction, target: arrays of one shape, (n,) or (n, k); weights: None, or (n,) numbers ≥ 0.
    Returns a scalar, the mean over samples (weighted) and outputs.
    Raises ShapeError when the shapes differ.

    >>> import numpy as np, payback as pb
    >>> pb.nn.huber(np.array([0.5, 10.0]), np.zeros(2))
    np.float64(4.8125)
    """
    _same_shape(prediction, target, "the Huber loss")
    d = abs(prediction - target)
    near = np.minimum(d, delta)
    return _mean(near * (d - 0.5 * near), weights)


@told("pb.nn.cross_entropy")
def cross_entropy(logits: Any, target: Any, weights: Any = None) -> Any:
    """Mean of −log softmax(logits)[class].

    logits: (n, k).  target: (n,) whole numbers 0 … k−1, or (n, k) probabilities.  weights: None, or (n,) numbers ≥ 0.
    Of sequences and the like each place has a class: logits (n, …, k), target (n, …) or (n, …, k).
    Returns a scalar, the mean over samples (weighted) and places.
    Raises ShapeError for other shapes, InputError for classes out of range.

    >>> import numpy as np, payback as pb
    >>> float(pb.nn.cross_entropy(np.zeros((3, 4)), np.array([0, 1, 3])).round(6))
    1.386294
    """
    if len(logits.shape) < 2:
        raise ShapeError(f"cross-entropy of logits of shape {logits.shape}", why="they must be (samples, …, classes)")
    *places, k = logits.shape
    if target.dtype.kind in "iu":
        if target.shape != (*places,):
            raise ShapeError(
                f"cross-entropy of logits of shape {logits.shape} and classes of shape {target.shape}",
                fix="give one whole number a sample (or place), or probabilities in the shape of the logits",
            )
        if not isinstance(target, Traced) and target.size and not (target.min() >= 0 and target.max() < k):
            raise InputError(
                f"classes from {target.min()} to {target.max()}", why=f"{k} logits stand for the classes 0 to {k - 1}"
            )
        rows, classes = (logits, target) if len(places) == 1 else (logits.reshape(-1, k), target.reshape(-1))
        chosen = rows[np.arange(rows.shape[0]), classes]
        chosen = chosen if len(places) == 1 else chosen.reshape(target.shape)
    else:
        _same_shape(logits, target, "cross-entropy")
        chosen = (logits * target).sum(axis=-1)
    return _mean(logsumexp(logits, axis=-1) - chosen, weights)


@told("pb.nn.binary_cross_entropy")
def binary_cross_entropy(logits: Any, target: Any, weights: Any = None) -> Any:
    """Mean of −t·log σ(z) − (1−t)·log(1−σ(z)), from logits z and targets t in [0, 1] of the same shape.

    logits, target: (n,) or (n, k), k answers a sample; weights: None, or (n,) numbers ≥ 0.
    Returns a scalar, the mean over samples (weighted) and answers.
    Raises ShapeError when the shapes differ.

    >>> import numpy as np, payback as pb
    >>> pb.nn.binary_cross_entropy(np.array([0.0, 1000.0]), np.array([1.0, 1.0])).round(6)
    np.float64(0.346574)
    """
    _same_shape(logits, target, "binary cross-entropy")
    return _mean(softplus(logits) - logits * target, weights)


# The closed list of losses that may be named, in code and in model files.
LOSSES: dict[str, Callable[..., Any]] = {
    "squared_error": squared_error,
    "huber": huber,
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}
