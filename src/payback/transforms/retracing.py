"""Functions that change what they read from around them: a counter, an attribute, an array, a generator's state.

The graph of one call may not be that of the next.  So such a function is traced again at its next call; once a trace is
the same as the one before, what it changes is known not to matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.ops.row import INPUT
from payback.trace.body import Body
from payback.transforms.surroundings import Around

_VALUES = frozenset([int, bool, str, bytes, complex, type(None), type(Ellipsis), slice, range, np.dtype])


class Read:
    """What a function and the objects among its arguments read, before it is traced.

    around: of the function, as it was looked at before, if it is the same still.
    """

    def __init__(self, f: Any, values: bool, around: Around | None, fixed: Sequence[tuple[str, Any]]):
        """fixed: the arguments that are no numbers or arrays, and what they are called."""
        self.around = Around(f, values) if around is None else around
        self.objects = [Around(x, label=path) for path, x in fixed if type(x) not in _VALUES]
        self._drawn = self.around.drawn()

    def is_changed(self) -> bool:
        """Whether tracing the function has changed it, or may have."""
        read = (self.around, *self.objects)
        return self.is_drawn() or any(around.iterates or around.changes() for around in read)

    def is_drawn(self) -> bool:
        """Whether tracing it has drawn random numbers: that the last ones made no difference proves nothing."""
        return self.around.drawn() != self._drawn


def same_graph(a: Graph, b: Graph) -> bool:
    """Whether they have the same nodes, constants to the bit, and take and give the same."""
    first, second = (*a.inputs, *a.nodes), (*b.inputs, *b.nodes)
    if len(first) != len(second) or len(a.inputs) != len(b.inputs):
        return False
    place, other = _places(first), _places(second)
    return [place[x] for x in a.outputs] == [other[x] for x in b.outputs] and all(
        x.op is y.op
        and x.aval == y.aval
        and [place[arg] for arg in x.args] == [other[arg] for arg in y.args]
        and (x.op is INPUT or (same(x.params, y.params) and same(x.value, y.value)))
        for x, y in zip(first, second, strict=True)
    )


def _places(nodes: Sequence[Node]) -> dict[Node, int]:
    return {node: k for k, node in enumerate(nodes)}


def same(a: Any, b: Any) -> bool:
    """Whether two parameters or values are the same; what is not known to be so is not."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return bool(a.shape == b.shape and a.dtype == b.dtype and not a.dtype.hasobject and a.tobytes() == b.tobytes())
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    if isinstance(a, Body):
        return same_graph(a.graph, b.graph)
    if isinstance(a, float):
        return a.hex() == b.hex()
    try:
        return bool(a == b)
    except Exception:  # an object of the user's, that does not say
        return False
