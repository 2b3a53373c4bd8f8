"""Modules: networks as immutable trees whose leaves are their parameters.

A subclass is a frozen dataclass.  Its array fields are parameters, its module fields are parts, and fields made
with `static()` are neither: names, sizes, options.  Training returns a new module.

>>> import numpy as np, payback as pb
>>> class Scale(pb.nn.Module):
...     factor: np.ndarray
...     def __call__(self, x):
...         return x * self.factor
>>> Scale(np.array([2.0, 3.0]))(np.ones(2))
array([2., 3.])
"""

from __future__ import annotations

import dataclasses
from typing import Any, dataclass_transform

import numpy as np

from payback.trace.tree import leaves, paths


def static(**options: Any) -> Any:
    """A dataclass field that is part of a module's structure, not a parameter.  Takes `default=` and the like."""
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True)
class Module:
    """The base of all layers and networks."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclasses.dataclass(frozen=True, eq=False, repr=False, init="__init__" not in cls.__dict__)(cls)

    def __call__(self, x: Any) -> Any:
        """The module's result for a batch: rows are samples."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes: define __call__")

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{field.name}={_brief(getattr(self, field.name))}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        )
        return f"{type(self).__name__}({parts})"


def _brief(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_brief, value))})"
    return repr(value)


def parameters(module: Any) -> dict[str, Any]:
    """The parameters by their paths: `layers[0].weight` and so on.

    >>> import payback as pb
    >>> {name: p.shape for name, p in pb.nn.parameters(pb.nn.MLP([2, 3, 1])).items()}
    {'layers[0].weight': (2, 3), 'layers[0].bias': (3,), 'layers[2].weight': (3, 1), 'layers[2].bias': (1,)}
    """
    return {path.lstrip("."): leaf for path, leaf in zip(paths(module), leaves(module), strict=True)}


def summary(module: Any) -> str:
    """A table of the parameters: name, shape, dtype, count; and their number in all."""
    rows = [
        (name, "×".join(map(str, np.shape(p))) or "scalar", str(np.asarray(p).dtype), f"{np.size(p):,}")
        for name, p in parameters(module).items()
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    lines = [
        "  ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].ljust(widths[2]), row[3].rjust(widths[3])))
        for row in rows
    ]
    total = sum(np.size(p) for p in leaves(module))
    return "\n".join([*lines, f"{total:,} parameters"])
