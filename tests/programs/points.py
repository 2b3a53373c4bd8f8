"""A table of programs, each with the point that it is tried at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def collection(seed: int) -> tuple[dict[str, tuple[Any, Any, bool]], Callable[..., Any], Callable[..., Any]]:
    """(the table, a decorator that adds a program to it, normal draws for points).

    looks: the program looks at numbers, so it cannot be traced without them.
    """
    table: dict[str, tuple[Any, Any, bool]] = {}
    draws = np.random.default_rng(seed)

    def program(point: Any, looks: bool = False) -> Callable[[Any], Any]:
        def add(f: Any) -> Any:
            table[f.__name__.replace("_", " ")] = (f, np.asarray(point, float), looks)
            return f

        return add

    return table, program, lambda *shape: draws.standard_normal(shape)
