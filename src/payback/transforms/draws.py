"""How far the generators of random numbers are."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np


def states(generators: Iterable[Any]) -> list[Any]:
    """How far these are, and those that everybody shares."""
    shared = [random.getstate()]
    if (numpys := sys.modules.get("numpy.random")) is not None:
        shared.append(_state_of(numpys.get_state(legacy=False)))
    return [*shared, *map(_state_of, generators)]


def is_generator(kind: type) -> bool:
    numpys = sys.modules.get("numpy.random")
    return issubclass(kind, random.Random) or (numpys is not None and issubclass(kind, (
        numpys.Generator, numpys.RandomState, numpys.BitGenerator)))  # fmt: skip


def _state_of(generator: Any) -> Any:
    """What tells how far a generator is, or part of it, to be compared."""
    if isinstance(generator, dict):
        return [(key, _state_of(part)) for key, part in generator.items()]
    if isinstance(generator, np.ndarray):
        return generator.tobytes()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):
        return _state_of(generator.get_state(legacy=False))
    generator = getattr(generator, "bit_generator", generator)
    return _state_of(generator.state) if hasattr(generator, "state") else generator
