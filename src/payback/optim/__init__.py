"""Optimizers, step-length schedules, plain descent on any function, and cost surfaces."""

from typing import TYPE_CHECKING

from payback.elsewhere import hook
from payback.optim.optimizers import (
    OPTIMIZERS,
    Adam,
    AdamW,
    GradientDescent,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
    global_norm,
)
from payback.optim.schedules import Constant, Cosine, Schedule, StepDecay, WarmUp

__all__ = [
    "OPTIMIZERS",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "GradientDescent",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "global_norm",
]

if not TYPE_CHECKING:  # which would let it pass any name
    __getattr__ = hook("payback.optim")
