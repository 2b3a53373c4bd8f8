"""The nodes of single numbers: what they are called, and how they are made."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from payback.ir.node import NO_PARAMS, Node
from payback.ops.namespace import Select
from payback.ops.row import CONST, Row

Array = np.ndarray[Any, Any]


class Label:
    """What a scalar node is: an entry of an array, or a part of the sum or product that makes one."""

    __slots__ = ("index", "node", "part")

    def __init__(self, node: Node, index: tuple[int, ...], part: str = ""):
        self.node, self.index, self.part = node, index, part


class EntryNames:
    """What scalar nodes are called, put together when asked for: "W1[3,7]", "z[0,7]+3"."""

    def __init__(self, labels: Mapping[Node, Label], arrays: Mapping[Node, str]):
        self._labels, self._arrays = labels, arrays

    def get(self, node: Node | None) -> str | None:
        label = self._labels.get(node) if node is not None else None
        if label is None:
            return None
        index = f"[{','.join(map(str, label.index))}]" if label.index else ""
        return f"{self._arrays.get(label.node) or label.node.op.name}{index}{label.part}"


@contextlib.contextmanager
def no_collecting() -> Iterator[None]:
    """Millions of nodes without a cycle: looking for some, again and again, would take as long as making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def nobody(shape: tuple[int, ...]) -> Any:
    return np.full(shape, None, object)


def there(entries: Any) -> Any:
    """Which entries are nodes."""
    none: Any = None
    return np.not_equal(entries, none)


def objects(entries: Any, shape: tuple[int, ...]) -> Array:
    made = np.empty(shape, object)
    made[...] = entries
    return made


def scalar(values: Any, index: tuple[int, ...]) -> Any:
    """An entry as a Python number; of an array of less precision as its own kind of number, so that it rounds alike."""
    found = np.asarray(values)[index]
    return found.item() if found.dtype.kind in "bi" or found.dtype == np.float64 else found


def constant(value: Any) -> Node:
    return Node(CONST, (), NO_PARAMS, value, None)


def row_of_partials(row: Row, partials: list[Any]) -> Row:
    """A row of that name for one entry, whose partials are known; None: masked, not taken."""
    made = object.__new__(Row)
    for name in Row.__slots__:
        setattr(made, name, getattr(row, name))
    made.kind, made.no_edge = "pointwise", frozenset()
    made.partials = tuple(
        (lambda m, *args, p=partial: Select(False, 1.0, None) if p is None else p) for partial in partials
    )
    return made
