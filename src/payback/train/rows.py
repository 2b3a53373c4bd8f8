"""Rows made ready for a training: targets in the shape of the network's results, and the part that is held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from payback.errors import InputError
from payback.nn.layers import known
from payback.nn.losses import LOSSES
from payback.trace.tree import leaves
from payback.train.checks import fit_target, hold_out
from payback.train.data import check_rows

Loss = str | Callable[..., Any]
CLASSIFYING = ("cross_entropy", "binary_cross_entropy")  # losses whose target is a class: split class by class


class Rows(NamedTuple):
    """What is trained on, and what is held out: (X, y, weights) or None.

    weights: one a sample, or None.  numbers: which rows of the caller's X they are.
    """

    X: Any
    y: Any
    weights: Any
    held: tuple[Any, Any, Any] | None
    numbers: Any

    def named(self) -> dict[str, Any]:
        """The arrays that there are, by name."""
        held = self.held or (None, None, None)
        names = ("X", "y", "weights", "held_X", "held_y", "held_weights", "numbers")
        arrays = (*self[:3], *held, self.numbers)
        return {name: array for name, array in zip(names, arrays, strict=True) if array is not None}


def loss_function(loss: Loss) -> tuple[Loss, Callable[..., Any]]:
    """(its name, or itself; the function)."""
    function = known(loss, LOSSES, "loss") if isinstance(loss, str) else loss
    return next((name for name, found in LOSSES.items() if found is function), function), function


def training_rows(
    net: Any, X: Any, y: Any, sample_weight: Any, loss: Loss | None, validation: Any, key: Any
) -> tuple[Loss, Callable[..., Any], Rows]:
    """The loss (see `loss_function`) and the rows of a training.

    key: of the split.  Raises ShapeError and InputError for data that do not go together.
    """
    X, y, weights = check_rows(X, y, sample_weight, np.result_type(*leaves(net)))
    loss, loss_of = loss_function(loss or ("cross_entropy" if y.dtype.kind in "iu" else "squared_error"))
    y = fit_target(net, X, y, loss, "y")
    X, y, weights, held, numbers = hold_out(X, y, weights, validation, key, loss in CLASSIFYING)
    if held is not None:
        held = (held[0], fit_target(net, held[0], held[1], loss, "the validation y"), held[2])
        if held[1].dtype != y.dtype:
            raise InputError(f"the validation y holds {held[1].dtype}", why=f"y holds {y.dtype}")
    return loss, loss_of, Rows(X, y, weights, held, numbers)
