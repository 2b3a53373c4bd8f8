"""Activations and their like: functions of arrays, plain or traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ir.arguments import told
from payback.ops.namespace import Values
from payback.ops.row import TABLE
from payback.trace.array import Traced
from payback.trace.numpy.map import axes_of, emit


def _floating(x: Any) -> Any:
    """x with a floating dtype: integers become float64."""
    if isinstance(x, (float, np.ndarray, np.generic, Traced)):
        return x
    return np.asarray(x, np.result_type(np.asarray(x), np.float32))


def _pointwise(name: str, x: Any) -> Any:
    if isinstance(x, Traced):
        return emit(name, x)
    with np.errstate(under="ignore"):
        return getattr(Values, name)(_floating(x))


def _composed(name: str, x: Any) -> Any:
    """A row whose value is written with others; of one number it is these, which scalar programs know."""
    if isinstance(x, Traced) and x.shape:
        return emit(name, x)
    value = TABLE[name].value
    assert value is not None
    return value(_Plain, x)


class _Plain:
    """What values are written with, on traced numbers too."""

    minimum, maximum = staticmethod(np.minimum), staticmethod(np.maximum)

    @staticmethod
    def sigmoid(x: Any) -> Any:
        return _pointwise("sigmoid", x)


@told("pb.nn.identity")
def identity(x: Any) -> Any:
    """x itself, whatever it is.

    >>> import payback as pb
    >>> pb.nn.identity(2.0)
    2.0
    """
    return x


@told("pb.nn.relu")
def relu(x: Any) -> Any:
    """max(x, 0); its derivative at 0 is taken as 0.

    x: any shape; the result has x's shape and floating dtype (integers become float64).
    Raises InputError for what holds no numbers.

    >>> import numpy as np, payback as pb
    >>> pb.nn.relu(np.array([-1.0, 0.0, 2.0])), pb.grad(pb.nn.relu)(0.0)
    (array([0., 0., 2.]), 0.0)
    """
    return _pointwise("relu", x)


@told("pb.nn.sigmoid")
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(−x)), without overflow.

    x: any shape; the result has x's shape and floating dtype (integers become float64).
    Raises InputError for what holds no numbers.

    >>> import numpy as np, payback as pb
    >>> pb.nn.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return _pointwise("sigmoid", x)


@told("pb.nn.softplus")
def softplus(x: Any) -> Any:
    """log(1 + exp x), without overflow; its derivative is `sigmoid`.

    x: any shape; the result has x's shape and floating dtype (integers become float64).
    Raises InputError for what holds no numbers.

    >>> import numpy as np, payback as pb
    >>> pb.nn.softplus(np.array([-1000.0, 0.0, 1000.0])).round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])
    """
    return _pointwise("softplus", x)


@told("pb.nn.tanh")
def tanh(x: Any) -> Any:
    """The hyperbolic tangent: `np.tanh`.

    x: any shape, which the result has; its floating dtype too.  Raises InputError for what holds no numbers.

    >>> import payback as pb
    >>> pb.nn.tanh(0.0), pb.grad(pb.nn.tanh)(0.0)
    (np.float64(0.0), 1.0)
    """
    return np.tanh(x)


@told("pb.nn.silu")
def silu(x: Any) -> Any:
    """x·σ(x), also called swish (Elfwing et al., Neural Networks 107, 2018).

    x: any shape; the result has x's shape and floating dtype (integers become float64).
    Raises InputError for what holds no numbers.

    >>> import numpy as np, payback as pb
    >>> pb.nn.silu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.2689,  0.    ,  1.7616])
    """
    return _composed("silu", _floating(x))


@told("pb.nn.gelu")
def gelu(x: Any) -> Any:
    """x·½(1 + tanh(√(2/π)·(x + 0.044715·x³))): within 5·10⁻⁴ of x·Φ(x) (Hendrycks & Gimpel, 2016; JAX's default).

    x: any shape; the result has x's shape and floating dtype (integers become float64).  It is computed as
    x·σ(…) of twice that argument, which keeps its digits where x is far below 0.
    Raises InputError for what holds no numbers.

    >>> import numpy as np, payback as pb
    >>> pb.nn.gelu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.1588,  0.    ,  1.9546])
    """
    return _composed("gelu", _floating(x))


@told("pb.nn.leaky_relu")
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x, or slope·x where x ≤ 0 (Maas et al., ICML 2013); its derivative at 0 is the slope.

    x: any shape; the result has x's shape and floating dtype (integers become float64).
    Raises InputError for what holds no numbers.

    >>> import numpy as np, payback as pb
    >>> pb.nn.leaky_relu(np.array([-1.0, 0.0, 2.0]))
    array([-0.01,  0.  ,  2.  ])
    """
    x = _floating(x)
    return np.where(x > 0, x, slope * x)[()]


@told("pb.nn.elu")
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x, or alpha·(exp x − 1) where x ≤ 0 (Clevert et al., ICLR 2016); its derivative at 0 is alpha.

    x: any shape; the result has x's shape and floating dtype (integers become float64).
    Raises InputError for what holds no numbers.

    >>> import numpy as np, payback as pb
    >>> pb.nn.elu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.6321,  0.    ,  2.    ])
    """
    x = _floating(x)
    below = np.where(x > 0, 0.0, x)  # which pays all at 0, where np.minimum pays a half
    return np.where(x > 0, x, alpha * np.expm1(below))[()]


@told("pb.nn.logsumexp")
def logsumexp(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """log Σ exp x over the axes, without overflow; −∞ where all entries are −∞.

    x: any shape; axis: one, several, or None for all; the result has x's floating dtype (integers become float64).
    Raises InputError for axes that x does not have.

    >>> import numpy as np, payback as pb
    >>> pb.nn.logsumexp(np.full((2, 4), 1000.0), axis=1).round(4)
    array([1001.3863, 1001.3863])
    """
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
    """x − logsumexp x along an axis: the logarithm of `softmax`, exact where that is 0 or 1.

    x: any shape with that axis; the result has x's shape and floating dtype.
    Raises InputError for an axis that x does not have.

    >>> import numpy as np, payback as pb
    >>> pb.nn.log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    return x - logsumexp(x, axis, keepdims=True)


@told("pb.nn.softmax")
def softmax(x: Any, axis: int = -1) -> Any:
    """exp x / Σ exp x along an axis, without overflow.

    x: any shape with that axis; the result has x's shape and floating dtype.
    Raises InputError for an axis that x does not have.

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
    "silu": silu,
    "gelu": gelu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "identity": identity,
}
