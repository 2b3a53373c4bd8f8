"""The nodes of single numbers: what they are called, and how they are made."""

from __future__ import annotations

import contextlib
import gc
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from payback.ir.node import NO_PARAMS, Node, by_id
from payback.ops.namespace import Select
from payback.ops.row import CONST, Row

Array = np.ndarray[Any, Any]


class Label(NamedTuple):
    """What a scalar node is: an entry of an array, or a part of the sum or product that makes one."""

    node: Node
    place: tuple[int, ...]
    part: str


class Parts(Protocol):
    def __getitem__(self, k: int, /) -> str: ...


class Labels:
    """What scalar nodes are, told in groups of nodes that were made one after the other, and looked up by their ids."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._groups: list[tuple[Node, Any, Parts | None, list[Node]]] = []
        self._renamed: dict[Node, str] = {}

    def entries(self, of: Node, indices: Any, nodes: list[Node]) -> None:
        """These nodes are the entries of an array."""
        if nodes:
            self._starts.append(nodes[0].id)
            self._groups.append((of, indices, None, nodes))

    def parts(self, of: Node, index: tuple[int, ...], parts: Parts, nodes: list[Node]) -> None:
        """These nodes are parts of one entry."""
        if nodes:
            self._starts.append(nodes[0].id)
            self._groups.append((of, index, parts, nodes))

    def rename(self, node: Node, part: str) -> None:
        self._renamed[node] = part

    def get(self, node: Node) -> Label | None:
        at = bisect_right(self._starts, node.id) - 1
        if at < 0:
            return None
        of, index, parts, nodes = self._groups[at]
        k = bisect_left(nodes, node.id, key=by_id)
        if k == len(nodes) or nodes[k] is not node:
            return None
        if parts is None:
            return Label(of, tuple(map(int, index[k])), "")
        return Label(of, tuple(index), self._renamed.get(node, parts[k]))


class EntryNames:
    """What scalar nodes are called, put together when asked for: "W1[3,7]", "z[0,7]+3"."""

    def __init__(self, labels: Labels, arrays: Mapping[Node, str]):
        self._labels, self._arrays = labels, arrays

    def get(self, node: Node | None) -> str | None:
        found = self.origin(node)
        if found is None:
            return None
        name, index, part = found
        return f"{name}[{','.join(map(str, index))}]{part}" if index else f"{name}{part}"

    def origin(self, node: Node | None) -> tuple[str, tuple[int, ...], str] | None:
        """(array, index, part)."""
        label = self._labels.get(node) if node is not None else None
        if label is None:
            return None
        return self._arrays.get(label.node) or str(label.node.op.name), label.place, label.part


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


def scalars(values: Any) -> list[Any]:
    """A row of numbers, each as `scalar` gives it."""
    found = np.asarray(values)
    exact = found.dtype.kind in "bi" or found.dtype == np.float64
    return found.tolist() if exact else list(found)


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
