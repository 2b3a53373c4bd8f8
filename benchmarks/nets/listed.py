"""A network of the list: its data, its text for NumPy's names, and what PyTorch's users write.

`f(xp, lib, p, x)` is the prediction of payback and JAX; `lib` has what NumPy has no name for.  Images and signals have
their channels last.  PyTorch's text is in `in_torch`, under the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.programs.listed import cast

NETS: dict[str, Entry] = {}
STEPS = 8  # of an epoch


@dataclass(frozen=True)
class Entry:
    """made(generator) -> (parameters, x, y): of one batch; x and y are drawn STEPS times."""

    name: str
    f: Callable[..., Any]
    made: Callable[[np.random.Generator], tuple[Any, Any, Any]]
    loss: str


@dataclass(frozen=True)
class Net:
    """An entry with a precision, in the form that contestants are given works in."""

    entry: Entry
    dtype: str = "float32"
    optimizer: str = "adam"

    kind = "net"
    flops = moved = 0.0
    batches = STEPS

    @property
    def name(self) -> str:
        return f"{self.entry.name}, {self.dtype}"

    def data(self) -> dict[str, Any]:
        """parameters, by name; x and y of all steps, one batch behind the other."""
        generator = np.random.default_rng(0)
        parameters, *first = self.entry.made(generator)
        drawn = [first, *(self.entry.made(generator)[1:] for _ in range(STEPS - 1))]
        x, y = (np.concatenate([batch[k] for batch in drawn]) for k in (0, 1))
        named = {key: cast(value, self.dtype) for key, value in sorted(parameters.items())}
        return {"p": named, "x": cast(x, self.dtype), "y": cast(y, self.dtype), "batch": len(first[0])}


def network(made: Callable[..., Any], loss: str = "squared_error") -> Callable[[Any], Any]:
    """Puts a network on the list, by its name."""

    def listed(f: Callable[..., Any]) -> Callable[..., Any]:
        NETS[f.__name__] = Entry(f.__name__, f, made, loss)
        return f

    return listed


def named(name: str, dtype: str = "float32", optimizer: str = "adam") -> Net:
    return Net(NETS[name], dtype, optimizer)
