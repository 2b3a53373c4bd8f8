"""What item assignment and the shim cost.

    python -m benchmarks.item_assignment

Prints, in µs: one call of a tiny gradient (most of what the shim adds is a fixed cost of it), and for loops that write
`out[i]` n times, value and gradient per write: it must not grow with n.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import payback as pb
from payback.trace.shim import shim


def _best(call: Callable[[], Any], times: int) -> float:
    """The least time of a call in µs, of seven rounds."""
    rounds = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(times):
            call()
        rounds.append((time.perf_counter() - start) / times)
    return 1e6 * min(rounds)


def _square(x: Any) -> Any:
    return x * x


def _filled(x: Any) -> Any:
    out = np.zeros(len(x))
    for i in range(len(x)):
        out[i] = x[i] * 2.0
    return out.sum()


def _recurrence(x: Any) -> Any:
    out = np.zeros(len(x))
    out[0] = x[0]
    for i in range(1, len(x)):
        out[i] = 0.5 * out[i - 1] + x[i]
    return out.sum()


def main() -> None:
    tiny = pb.grad(_square)
    print(f"tiny gradient {_best(lambda: tiny(2.0), 2000):.1f}")
    bare = _best(lambda: _square(2.0), 20_000)
    print(f"the shim alone {_best(lambda: shim.call(_square, (2.0,), {}), 5000) - bare:.1f}")
    for f in (_filled, _recurrence):
        for n in (100, 1000, 10_000):
            gradient, x = pb.value_and_grad(f), np.ones(n)
            print(f"{f.__name__[1:]} n={n}: {_best(lambda g=gradient, x=x: g(x), 1) / n:.1f} per write")


if __name__ == "__main__":
    main()
