"""HIPS autograd: value and gradient of functions."""

from __future__ import annotations

from functools import partial
from typing import Any

import autograd.numpy as anp
from autograd import value_and_grad

VARIANTS = [""]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    if work.kind == "training":
        raise NotImplementedError("it has no training; by hand it is slower than NumPy")
    f = value_and_grad(partial(work.f, anp))

    def repeat(count: int) -> None:
        for _ in range(count):
            f(*data)

    def check() -> list[float]:
        value, gradient = f(*data)
        parts = gradient if isinstance(gradient, tuple) else (gradient,)
        return [float(value), *(float(g.sum()) for g in parts)]

    return check, repeat
