"""Layers that bring the features of each sample to a common scale, whatever the other samples are."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback import random
from payback.errors import InputError, ShapeError
from payback.ir.arguments import told
from payback.nn.layers import check_size
from payback.nn.module import Module, static
from payback.trace.array import Traced


def _fitting(x: Any, scale: Any) -> Any:
    """x as an array whose last axis has an entry for each of the scale's."""
    if not isinstance(x, Traced):
        x = np.asarray(x)
    if not x.shape or x.shape[-1] != scale.shape[0]:
        raise ShapeError(
            f"a layer of {scale.shape[0]} features was given an array of shape {x.shape}",
            why=f"its last axis must have {scale.shape[0]} entries, one a feature",
        )
    return x


def _epsilon(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, np.floating)) or not 0 < given < np.inf:
        raise InputError(f"epsilon is {given!r:.40}", why="it is a positive number, which keeps roots away from 0")
    return float(given)


class LayerNorm(Module):
    """(x − mean) / √(variance + epsilon) over the last axis, times `scale`, plus `bias` (Ba, Kiros & Hinton, 2016).

    size: the number of features, the entries of x's last axis.  epsilon: a positive number.
    dtype: of the parameters, float32 unless said.  `scale`, (size,), is 1 at first, and `bias`, (size,), 0.

    Raises InputError for a size below 1, ShapeError for an x that does not fit.

    >>> import numpy as np, payback as pb
    >>> pb.nn.LayerNorm(4)(np.array([[1.0, 2.0, 3.0, 4.0]])).round(3)
    array([[-1.342, -0.447,  0.447,  1.342]])
    """

    scale: Any
    bias: Any
    epsilon: float = static()

    @told("pb.nn.LayerNorm")
    def __init__(self, size: int, *, epsilon: float = 1e-5, dtype: Any = np.float32):
        self.scale = np.ones(check_size(size, "features"), random.floating(dtype))
        self.bias = np.zeros(size, dtype)
        self.epsilon = _epsilon(epsilon)

    @told("pb.nn.LayerNorm")
    def __call__(self, x: Any) -> Any:
        x = _fitting(x, self.scale)
        d = x - x.mean(axis=-1, keepdims=True)
        variance = (d * d).mean(axis=-1, keepdims=True)
        return d / np.sqrt(variance + self.epsilon) * self.scale + self.bias


class RMSNorm(Module):
    """x / √(mean of x² + epsilon) over the last axis, times `scale` (Zhang & Sennrich, NeurIPS 2019).

    size, epsilon, dtype, and what is raised: as of `LayerNorm`.  `scale`, (size,), is 1 at first.

    >>> import numpy as np, payback as pb
    >>> pb.nn.RMSNorm(2)(np.array([[3.0, 4.0]])).round(3)
    array([[0.849, 1.131]])
    """

    scale: Any
    epsilon: float = static()

    @told("pb.nn.RMSNorm")
    def __init__(self, size: int, *, epsilon: float = 1e-5, dtype: Any = np.float32):
        self.scale = np.ones(check_size(size, "features"), random.floating(dtype))
        self.epsilon = _epsilon(epsilon)

    @told("pb.nn.RMSNorm")
    def __call__(self, x: Any) -> Any:
        x = _fitting(x, self.scale)
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.epsilon) * self.scale
