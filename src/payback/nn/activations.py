"""Activations and their like: functions of arrays, plain or traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ir.told import told
from payback.ops.namespace import Values
from payback.trace.array import Traced
from payback.trace.numpy_map import axes_of, emit


def _pointwise(name: str, x: Any) -> Any:
    if isinstance(x, Traced):
        return emit(name, x)
    x = (
        x
        if isinstance(x, (float, np.ndarray, np.generic))
        else np.asarray(x, np.result_type(np.asarray(x), np.float32))
    )
    with np.errstate(under="ignore"):
        return getattr(Values, name)(x)


@told("pb.nn.identity")
def identity(x: Any) -> Any:
    """x itself."""
    return x


@told("pb.nn.relu")
def relu(x: Any) -> Any:
    """max(x, 0); its derivative at 0 is taken as 0."""
    return _pointwise("relu", x)


@told("pb.nn.sigmoid")
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(−x)), without overflow."""
    return _pointwise("sigmoid", x)


@told("pb.nn.softplus")
def softplus(x: Any) -> Any:
    """log(1 + exp x), without overflow."""
    return _pointwise("softplus", x)


@told("pb.nn.tanh")
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


@told("pb.nn.logsumexp")
def logsumexp(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """log Σ exp x over the axes, without overflow; −∞ where all entries are −∞."""
    axes = axes_of(axis, x.ndim if isinstance(x, Traced) else np.ndim(x))
    if isinstance(x, Traced):
        return emit("logsumexp", x, axes=axes, keepdims=keepdims)
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(np.result_type(x, np.float32))
    with np.errstate(divide="ignore", under="ignore"):
        return Values.logsumexp(x, axes=axes, keepdims=keepdims)


@told("pb.nn.log_softmax")
def log_softmax(x: Any, axis: int = -1) -> Any:
    """x − logsumexp x along an axis."""
    return x - logsumexp(x, axis, keepdims=True)


@told("pb.nn.softmax")
def softmax(x: Any, axis: int = -1) -> Any:
    """exp x / Σ exp x along an axis.

    >>> import numpy as np, payback as pb
    >>> pb.nn.softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    return np.exp(log_softmax(x, axis))


# The closed list of activations that may be named, in code and in model files.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": relu,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "identity": identity,
}
