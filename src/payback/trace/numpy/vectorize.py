"""`np.vectorize` on traced values: the function is called once for every entry, or for every part of its signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.trace.array import Traced, holds_traced
from payback.trace.dispatch import here
from payback.trace.numpy.creation import listed, stacked
from payback.trace.numpy.map import astype
from payback.trace.operators import HOOKS
from payback.trace.plain_arrays import now


def vectorized(self: Any, *args: Any, **kwargs: Any) -> Any:
    """What `np.vectorize(f, ...)(*args, **kwargs)` is."""
    function = self.pyfunc
    given = [*args, *kwargs.values()]
    places: list[Any] = [*range(len(args)), *kwargs]
    moving = [k for k, place in enumerate(places) if place not in self.excluded]

    def call(*entries: Any) -> Any:
        full = [*given]
        for k, entry in zip(moving, entries, strict=True):
            full[k] = entry
        return function(*full[: len(args)], **dict(zip(kwargs, full[len(args) :], strict=True)))

    parts = [_part(given[k]) for k in moving]
    if self.signature is None:
        ins: list[tuple[str, ...]] = [()] * len(parts)
        outs: list[tuple[str, ...]] | None = None
    else:
        ins, outs = self._in_and_out_core_dims
        if len(ins) != len(parts):
            raise TypeError(f"wrong number of positional arguments: expected {len(ins)}, got {len(parts)}")
    made = _mapped(call, parts, ins, outs, self.otypes)
    return made if len(made) > 1 else made[0]


def of_objects(ufunc: Any, inputs: tuple[Any, ...]) -> Any:
    """A ufunc that np.frompyfunc has made of a function: it is called on objects, and traced values are some."""
    parts = [_part(x) for x in inputs]
    shape = np.broadcast_shapes(*[part.shape for part in parts])
    arrays = []
    for part in parts:
        part = np.broadcast_to(part, shape).reshape(-1)
        entries = np.empty(part.size, object)
        for k in range(part.size):
            entries[k] = part[k]
        arrays.append(entries)
    made = ufunc(*arrays)
    columns = made if isinstance(made, tuple) else (made,)
    results = tuple(_column([*column], shape, None) for column in columns)
    return results if isinstance(made, tuple) else results[0]


HOOKS["objects"] = of_objects


def _part(x: Any) -> Any:
    x = now(listed(x))
    return x if isinstance(x, Traced) else np.asarray(x)


def _mapped(call: Callable[..., Any], parts: list[Any], ins: Any, outs: Any, otypes: str | None) -> tuple[Any, ...]:
    sizes: dict[str, int] = {}
    for part, names in zip(parts, ins, strict=True):
        if part.ndim < len(names):
            raise ValueError(f"{part.ndim}-dimensional argument does not have enough dimensions for all core "
                             f"dimensions ({', '.join(names)})")  # fmt: skip
        for name, size in zip(names, part.shape[part.ndim - len(names) :], strict=True):
            if sizes.setdefault(name, size) != size:
                raise ShapeError(f"np.vectorize: the axis {name} of its signature has {sizes[name]} entries in one "
                                 f"argument and {size} in another", where=here())  # fmt: skip
    loop = np.broadcast_shapes(*[part.shape[: part.ndim - len(names)] for part, names in zip(parts, ins, strict=True)])
    parts = [np.broadcast_to(part, (*loop, *part.shape[part.ndim - len(names) :]))
             for part, names in zip(parts, ins, strict=True)]  # fmt: skip
    results = [call(*[part[index] for part in parts]) for index in np.ndindex(loop)]
    if not results:
        raise ValueError("cannot call `vectorize` on size 0 inputs of traced values: it has no entries to call f with")
    several = isinstance(results[0], tuple) if outs is None else len(outs) > 1
    columns = [*zip(*results, strict=True)] if several else [results]
    return tuple(_column([*column], loop, otypes[k] if otypes else None) for k, column in enumerate(columns))


def _column(entries: list[Any], loop: tuple[int, ...], kind: str | None) -> Any:
    if not holds_traced(entries):
        made = np.array(entries, kind)
        return made.reshape((*loop, *made.shape[1:]))[()]
    made = stacked([_part(entry) for entry in entries])
    if kind is not None and np.dtype(kind) != made.dtype:
        if np.dtype(kind).kind != "f":
            raise UnsupportedError(f"np.vectorize with otypes=[{np.dtype(kind)}] of traced results", where=here(),
                                   why="NumPy would cut off their fractions, and their derivatives with them",
                                   fix="write otypes=[float]")  # fmt: skip
        made = astype(made, kind)
    return made.reshape((*loop, *made.shape[1:]))
