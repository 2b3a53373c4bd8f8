"""All parameters of a small network in one vector: its norms and its update are one loop each, not one an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.optim.optimizers import Optimizer
from payback.trace.tree import leaves, rebuilder

LARGEST = 1 << 16  # entries, beyond which an update is as long for each array by itself


class Flat:
    """A network's parameters as one vector.

    optimizer: what steps on vectors as the network's own optimizer steps on it.
    """

    def __init__(self, net: Any, optimizer: Optimizer):
        self.net, self.optimizer = net, optimizer
        self.shapes = [leaf.shape for leaf in leaves(net)]
        ends = np.cumsum([leaf.size for leaf in leaves(net)]).tolist()
        self.parts = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        self._rebuilt = rebuilder(net)

    def join(self, tree: Any) -> Any:
        """The vector of a container like the network."""
        return np.concatenate([leaf.reshape(-1) for leaf in leaves(tree)])

    def spread(self, vector: Any) -> Any:
        """A container like the network whose leaves are parts of the vector."""
        parts = zip(self.parts, self.shapes, strict=True)
        return self._rebuilt(iter([vector[part].reshape(shape) for part, shape in parts]))


def flat(net: Any, optimizer: Optimizer) -> Flat | None:
    """The network's parameters as one vector, where that is known to train as they do and is worth it."""
    if sum(leaf.size for leaf in leaves(net)) > LARGEST:
        return None
    together = optimizer.flat(net)
    return None if together is None else Flat(net, together)
