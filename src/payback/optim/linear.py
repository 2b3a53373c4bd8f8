"""What an optimizer does to one entry of a parameter, as a line in the gradients of all steps so far.

Every update of `optimizers` is linear in the gradients once its denominators are those of the actual run:

    h ← keep·h + take·(scale·g),   p ← p − rate·(direct·(scale·g) + through·h) − decay·p

with h what momentum keeps (it begins as the optimizer's state).  An account of a weight follows each gradient through
these lines to where it ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.errors import UnsupportedError
from payback.optim.optimizers import (
    OPTIMIZERS,
    Adam,
    AdamW,
    GradientDescent,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
)


class Line(NamedTuple):
    """The coefficients of one step for one entry; see the module's text."""

    scale: float
    keep: float
    take: float
    direct: float
    through: float
    decay: float


def line(
    optimizer: Optimizer,
    slots: Sequence[Any],
    dtype: np.dtype[Any],
    *,
    step: int,
    rate: float,
    norm: float,
    decays: bool,
) -> Line:
    """The coefficients of a step.

    slots: the entry's state after the step (Adam's m and v, ...).  dtype: the parameters', in which the run rounded the
    settings.  norm: of the whole gradient before it was clipped.  decays: whether weight decay applies to the entry.
    Raises UnsupportedError for an optimizer that is not payback's own.

    >>> line(Momentum(0.1, momentum=0.5), [0.0], np.dtype(float), step=1, rate=0.1, norm=1.0, decays=False)
    Line(scale=1.0, keep=0.5, take=1.0, direct=0.0, through=1.0, decay=0.0)
    """
    if type(optimizer) not in OPTIMIZERS.values():
        raise UnsupportedError(
            f"the account of a weight under {type(optimizer).__name__}",
            why="how it makes a step from gradients is known of payback's own optimizers only",
            fix=f"train with one of {', '.join(OPTIMIZERS)}",
        )

    def rounded(setting: float) -> float:
        return float(dtype.type(setting))

    scale = 1.0 if optimizer.clip_norm is None else optimizer.clip_norm / max(norm, optimizer.clip_norm)
    decay = rate * optimizer.weight_decay if isinstance(optimizer, AdamW) and decays else 0.0
    state = [float(slot) for slot in slots]
    match optimizer:
        case Adam():
            first, second = 1 - optimizer.beta1**step, 1 - optimizer.beta2**step
            below = first * (math.sqrt(state[1] / second) + optimizer.epsilon)
            return Line(scale, rounded(optimizer.beta1), rounded(1 - optimizer.beta1), 0.0, 1 / below, decay)
        case RMSprop():
            return Line(scale, 0.0, 0.0, 1 / (math.sqrt(state[0]) + optimizer.epsilon), 0.0, decay)
        case Nesterov():
            return Line(scale, rounded(optimizer.momentum), 1.0, 1.0, rounded(optimizer.momentum), decay)
        case Momentum():
            return Line(scale, rounded(optimizer.momentum), 1.0, 0.0, 1.0, decay)
        case GradientDescent():
            return Line(scale, 0.0, 0.0, 1.0, 0.0, decay)
    raise AssertionError(f"{type(optimizer).__name__} has no line")
