"""CasADi: an expression graph of scalars (SX) or of matrices (MX), its own reverse mode, its virtual machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import casadi

VARIANTS = ["sx", "mx"]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    if work.kind == "training":
        raise NotImplementedError("it has no training")
    (x,) = data
    symbols = (casadi.SX if variant == "sx" else casadi.MX).sym("x", len(x))

    class Entries:
        """x[i] and len(x), as a loop on numbers uses them."""

        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, k: int) -> Any:
            return symbols[k]

    value = partial(work.f, casadi)(Entries())
    both = casadi.Function("both", [symbols], [value, casadi.gradient(value, symbols)])

    def repeat(count: int) -> None:
        for _ in range(count):
            both(x)

    def check() -> list[float]:
        found, gradient = both(x)
        return [float(found), float(casadi.sum1(gradient))]

    return check, repeat
