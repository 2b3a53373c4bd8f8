"""HIPS autograd: value and gradient of functions."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp, value_and_grad

from benchmarks.works import in_python

VARIANTS = [""]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    if work.kind == "training":
        raise NotImplementedError("it has no training; by hand it is slower than NumPy")
    if work.kind == "blocks":
        return _blocks(work, data)
    f = value_and_grad(work.of(anp, in_python(anp)))

    def repeat(count: int) -> None:
        for _ in range(count):
            f(*data)

    def check() -> list[float]:
        value, gradient = f(*data)
        parts = gradient if isinstance(gradient, tuple) else (gradient,)
        return [float(value), *(float(g.sum()) for g in parts)]

    return check, repeat


def _blocks(work: Any, data: Any) -> Any:
    """All rows at once, pulled once for each entry of a residual."""
    wrt, rest = tuple(data[: work.slots]), data[work.slots :]
    pull_of = make_vjp(lambda wrt: work.many(anp, *wrt, *rest))

    def once() -> Any:
        pull, residuals = pull_of(wrt)
        return residuals, [pull(row) for row in _units(residuals)]

    def repeat(count: int) -> None:
        for _ in range(count):
            once()

    def check() -> list[float]:
        residuals, rows = once()
        return [float(np.sum(residuals)), *(float(np.sum(part)) for row in rows for part in row)]

    return check, repeat


def _units(residuals: Any) -> Any:
    for k in range(residuals.shape[-1]):
        unit = np.zeros_like(residuals)
        unit[..., k] = 1.0
        yield unit
