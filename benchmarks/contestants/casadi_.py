"""CasADi: an expression graph of scalars (SX) or of matrices (MX), its own reverse mode, its virtual machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import casadi
import numpy as np

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
    out = np.empty(1), np.empty(len(x))
    buffer, run = both.buffer()  # no wrapping of arguments and results: the least that a call costs
    given = np.ascontiguousarray(x, np.float64)
    buffer.set_arg(0, memoryview(given))
    buffer.set_res(0, memoryview(out[0]))
    buffer.set_res(1, memoryview(out[1]))

    def repeat(count: int) -> None:
        for _ in range(count):
            run()

    def check() -> list[float]:
        run()
        return [float(out[0][0]), float(out[1].sum())]

    return check, repeat
