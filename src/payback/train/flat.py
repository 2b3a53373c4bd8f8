"""All parameters of a small network in one vector: its norms and its update are one loop each, not one an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.append import append
from payback.ops.row import TABLE
from payback.optim.optimizers import Optimizer
from payback.trace.array import Traced
from payback.trace.tree import leaves, rebuilder

LARGEST = 1 << 16  # entries, beyond which an update is as long for each array by itself
SMALL = 1 << 12  # entries an array, on average, up to which there are so many that each is too short a loop


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

    @property
    def aval(self) -> Aval:
        """What the vector is, without its numbers."""
        return Aval((self.parts[-1].stop,), np.result_type(*leaves(self.net)))

    def join(self, tree: Any) -> Any:
        """The vector of a container like the network, or of a list of its leaves."""
        parts = [_reshaped(leaf, (leaf.size,)) for leaf in leaves(tree)]
        if any(type(part) is not Traced for part in parts) or len({part.dtype for part in parts}) > 1:
            return np.concatenate(parts)
        return Traced(append(TABLE["concatenate"], tuple([part.node for part in parts]), {"axis": 0}, None))

    def spread(self, vector: Any) -> Any:
        """A container like the network whose leaves are parts of the vector."""
        return self._rebuilt(iter(self.views(vector)))

    def views(self, vector: Any) -> list[Any]:
        """The parts of the vector, in the leaves' shapes."""
        return [_reshaped(_part(vector, part), shape) for part, shape in zip(self.parts, self.shapes, strict=True)]

    def join_state(self, state: Any) -> Any:
        """The state of the one vector, from that of the network's leaves."""
        return [tuple(np.concatenate([slot.reshape(-1) for slot in column]) for column in zip(*state, strict=True))]

    def spread_state(self, slots: list[Any]) -> Any:
        """The other way: what lies beside each leaf, as parts of the vectors."""
        columns = [self.views(slot) for slot in slots]
        return [tuple(column[k] for column in columns) for k in range(len(self.shapes))]


# Traced values are looked at by a node each: NumPy's indexing does more than is needed hundreds of times.


def _part(vector: Any, part: slice) -> Any:
    if type(vector) is not Traced:
        return vector[part]
    return Traced(append(TABLE["index"], (vector.node,), {"template": (part,)}, None))


def _reshaped(array: Any, shape: tuple[int, ...]) -> Any:
    if array.shape == shape:
        return array
    if type(array) is not Traced:
        return array.reshape(shape)
    return Traced(append(TABLE["reshape"], (array.node,), {"shape": shape}, None))


def flat(net: Any, optimizer: Optimizer) -> Flat | None:
    """The network's parameters as one vector, where that is known to train as they do and is worth it."""
    sizes = [leaf.size for leaf in leaves(net)]
    if sum(sizes) > LARGEST and sum(sizes) > SMALL * len(sizes):
        return None
    together = optimizer.flat(net)
    return None if together is None else Flat(net, together)
