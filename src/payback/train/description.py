"""What a training step consists of, told without tracing it: for steps of payback's own parts alone.

Such a step is known by the names and options of its parts, and by shapes and dtypes.  Whatever else a network, loss or
optimizer may hold is not told of: a class or function of the user's, or one that was put in the place of payback's own.
"""

from __future__ import annotations

import os
from types import FunctionType
from typing import Any

import numpy as np

from payback.io.network import LAYERS
from payback.nn.activations import ACTIVATIONS
from payback.nn.layers import Activation
from payback.nn.losses import LOSSES
from payback.optim.optimizers import OPTIMIZERS, Optimizer
from payback.trace.tree import leaves

_PLAIN = (bool, int, float, str, type(None))


class _OtherError(Exception):
    """Something that is not payback's own."""


def told(
    net: Any, loss: Any, optimizer: Optimizer, flat: bool, state: Any, batch: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    """All that the step depends on but payback itself; None where that is not known.

    flat: whether the parameters are one vector.  state: the optimizer's.  batch: like those of the step.
    """
    try:
        name = next((name for name, known in LOSSES.items() if known is loss), None)
        if name is None:
            raise _OtherError
        _own(loss)
        parts = _net(net), name, _optimizer(optimizer)
    except _OtherError:
        return None
    arrays = *leaves(state), *(None if array is None else array[:0] for array in batch)
    rows = len(batch[0])
    return *parts, flat, rows, tuple(array if array is None else (array.shape, array.dtype) for array in arrays)


def _own(function: Any) -> None:
    """Raises _OtherError for a function that is not written here."""
    if type(function) is not FunctionType or not function.__code__.co_filename.startswith(_HERE):
        raise _OtherError


_HERE = os.path.dirname(os.path.dirname(_own.__code__.co_filename)) + os.sep


def _net(tree: Any) -> Any:
    kind = type(tree)
    if kind in _PLAIN:
        return kind.__name__, tree
    if kind is np.ndarray:
        return tree.shape, tree.dtype
    if kind is tuple:
        return tuple(map(_net, tree))
    if kind not in LAYERS:
        raise _OtherError
    _own(kind.__call__)
    if kind is Activation:
        _own(ACTIVATIONS.get(tree.name))
    return kind.__name__, *((name, _net(part)) for name, part in vars(tree).items())


def _optimizer(optimizer: Optimizer) -> Any:
    kind = type(optimizer)
    if kind not in OPTIMIZERS.values():
        raise _OtherError
    for function in (kind.init, kind.update, kind.leaf, kind.flat):
        _own(function)
    options = {name: value for name, value in vars(optimizer).items() if name != "rate"}  # which is given at each step
    if not all(
        type(part) in _PLAIN for value in options.values() for part in (value if type(value) is tuple else (value,))
    ):
        raise _OtherError
    return kind.__name__, *options.items()
