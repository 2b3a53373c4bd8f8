"""Randomness as a primitive: bits made from a key, never from a hidden state."""

from __future__ import annotations

import numpy as np

from payback.ir.aval import Aval
from payback.ops.philox import folded
from payback.ops.row import Row

UINT32 = np.dtype(np.uint32)

Row("random_bits", "linear", lambda m, key, shape: m.random_bits(key, shape=shape),
    shape=lambda key, shape: Aval((*key.shape[:-1], *shape), UINT32), math="no derivative")  # fmt: skip
Row("fold_in", "linear", lambda m, key, number: folded(key, number), shape=lambda key, number: Aval(key.shape, UINT32),
    math="no derivative", batch="leading")  # fmt: skip
