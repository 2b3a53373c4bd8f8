"""In what order the rows are taken, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from payback import native
from payback.ops.philox import folded, order_of, random_bits

AHEAD = 1 << 16  # rows of epochs whose order is made together: for few rows, making one is mostly the calls of NumPy
MANY = 1 << 18  # rows of all epochs, from which on compiling the generator of random bits pays


class Orders:
    """The order of n rows in each epoch, from a key (None: as they stand).

    It is `random.permutation(random.fold_in(key, epoch), n)`, whichever epochs are asked for together.
    """

    def __init__(self, n: int, key: Any, epochs: int):
        self.n, self.key, self.epochs = n, key, epochs
        self._first, self._made = 1, np.empty((0, n), np.int64)

    def of(self, first: int, count: int) -> np.ndarray[Any, Any]:
        """(count, n) row numbers: of the epochs from `first` on, which are counted from 1."""
        if self.key is None:
            return np.broadcast_to(np.arange(self.n), (count, self.n))
        start = first - self._first
        if not 0 <= start <= start + count <= len(self._made):
            more = min(max(count, AHEAD // self.n), self.epochs + 1 - first)
            self._first, self._made, start = first, self._draw(first, max(more, count)), 0
        return self._made[start : start + count]

    def _draw(self, first: int, count: int) -> np.ndarray[Any, Any]:
        keys = folded(self.key, np.arange(first, first + count))
        if native.available() and self.n * self.epochs >= MANY:
            from payback.native.running.random_bits import random_bits as natively

            return order_of(natively(keys, (2 * self.n,)))
        return order_of(random_bits(keys, (2 * self.n,)))

    def batches(self, epoch: int, size: int) -> Iterator[Any]:
        """Row numbers, batch by batch; None: all rows at once."""
        if size >= self.n:
            yield None
            return
        order = self.of(epoch, 1)[0]
        for start in range(0, self.n, size):
            yield order[start : start + size]
