"""Attention: each row of a sequence looks at all of them."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from payback import random
from payback.errors import InputError, ShapeError
from payback.ir.arguments import told
from payback.nn.activations import softmax
from payback.nn.initializers import glorot_uniform
from payback.nn.layers import check_size
from payback.nn.module import Module, static
from payback.trace.array import Traced


class Attention(Module):
    """Multi-head self-attention (Vaswani et al., NeurIPS 2017): softmax(q·kᵀ/√d)·v in each head of d = size / heads.

    size: of a row; x is (n, rows, size), and so is the result.  heads: divides the size.
    causal: a row looks at none that come after it.  key, dtype: as of `Linear`; the weights are Glorot's.
    Its parameters are `weight`, (size, 3·size), for queries, keys and values side by side, `bias`, (3·size,), `out`,
    (size, size), and `out_bias`, (size,).  The order of the rows is told by what is added to them: see the example.

    Raises InputError for sizes that cannot be, ShapeError for an x that does not fit.

    >>> import numpy as np, payback as pb
    >>> layer = pb.nn.Attention(8, 2, key=pb.random.key(0), causal=True)
    >>> layer(np.ones((5, 20, 8), np.float32)).shape
    (5, 20, 8)
    >>> class Positions(pb.nn.Module):
    ...     table: np.ndarray
    ...     def __call__(self, x):
    ...         return x + self.table[: x.shape[1]]
    >>> keys = pb.random.split(pb.random.key(0), 4)
    >>> net = pb.nn.Sequential(
    ...     pb.nn.Embedding(100, 8, key=keys[0]),
    ...     Positions(0.1 * pb.random.normal(keys[1], (20, 8)).astype(np.float32)),
    ...     pb.nn.Residual(pb.nn.LayerNorm(8), pb.nn.Attention(8, 2, key=keys[2])),
    ...     lambda x: x.mean(axis=1), pb.nn.Linear(8, 3, key=keys[3]),
    ... )
    >>> net(np.zeros((5, 20), int)).shape
    (5, 3)
    """

    weight: Any
    bias: Any
    out: Any
    out_bias: Any
    heads: int = static()
    causal: bool = static()

    @told("pb.nn.Attention")
    def __init__(self, size: int, heads: int, *, key: Any, causal: bool = False, dtype: Any = np.float32):
        size, self.heads = check_size(size, "entries of a row"), check_size(heads, "heads")
        if size % self.heads:
            raise InputError(f"{heads} heads of a size of {size}", why="each has the same part of a row")
        dtype = random.floating(dtype)
        *keys, last = random.split(key, 4)
        self.weight = np.concatenate([glorot_uniform(each, size, size, dtype) for each in keys], axis=1)
        self.bias, self.out_bias = np.zeros(3 * size, dtype), np.zeros(size, dtype)
        self.out = glorot_uniform(last, size, size, dtype)
        self.causal = bool(causal)

    @told("pb.nn.Attention")
    def __call__(self, x: Any) -> Any:
        if not isinstance(x, Traced):
            x = np.asarray(x)
        size = self.out.shape[0]
        if len(x.shape) != 3 or x.shape[2] != size or not x.shape[1]:
            raise ShapeError(f"a layer was given an array of shape {x.shape}",
                             why=f"it wants (samples, rows, size), {size} here, and a row at least")  # fmt: skip
        n, rows, _ = x.shape
        apart = (x @ self.weight + self.bias).reshape(n, rows, 3, self.heads, size // self.heads)
        q, k, v = (np.swapaxes(apart[:, :, part], 1, 2) for part in range(3))
        scores = q @ np.swapaxes(k, 2, 3) * (1.0 / sqrt(size // self.heads))
        if self.causal:
            scores = np.where(np.tri(rows, dtype=bool), scores, -np.inf)
        seen = np.swapaxes(softmax(scores) @ v, 1, 2)
        return seen.reshape(n, rows, size) @ self.out + self.out_bias
