"""Rows that are not lowered: run on NumPy between pieces of machine code, on views of a program's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import Avals
from payback.ir.node import Node
from payback.native.planning.commands import Command
from payback.native.planning.layout import View

Array = np.ndarray[Any, Any]
Places = Sequence[Any]  # what a call was given and its results, by the numbers of their base pointers


class OnNumpy:
    """A row and one memory of its program: what lies there is found once, what a call brings at each call."""

    def __init__(self, command: Command, users: Sequence[Node], arena: Array, home: int):
        """users: of the row's node; home: where in the arena its first byte is."""
        from payback.native.running import control

        assert command.node is not None
        self._run = control.run
        self._node = node = command.node
        given = iter(command.reads)
        self._args = [_constant(arg.value) if arg.op.value is None and arg.value is not None
                      else _value(_found(next(given), arena, home, writeable=False), arg.aval.weak)
                      for arg in node.args]  # fmt: skip
        targets = [_found(view, arena, home, writeable=True) for view in command.writes]
        self._several = isinstance(node.aval, Avals)
        parts = [part.params["k"] for part in users] if self._several else []
        self._targets = list(zip(parts, targets, strict=True)) if self._several else [(0, targets[0])]

    def run(self, places: Places) -> None:
        node, args = self._node, [get(places) for get in self._args]
        targets = [(k, get(places)) for k, get in self._targets]
        into = dict(targets) if self._several else {}
        result = self._run(node.op.name, node.op.value, args, node.params, into)
        if not self._several:
            targets[0][1][...] = result
            return
        for k, target in targets:
            if result[k] is not target:
                target[...] = result[k]


def _constant(value: Any) -> Callable[[Places], Any]:
    return lambda places: value


def _value(find: Callable[[Places], Array], weak: bool) -> Callable[[Places], Any]:
    """What a row is given: arrays, and numbers of NumPy's or Python's."""

    def value(places: Places) -> Any:
        array = find(places)
        return array.item() if weak else array if array.ndim else array[()]

    return value


def _found(view: View, arena: Array, home: int, writeable: bool) -> Callable[[Places], Array]:
    """How the array of a view is found."""
    buffer, size = view.buffer, view.buffer.dtype.itemsize
    shape, strides = view.shape, [stride * size for stride in view.strides]
    start = view.offset * size

    def of(memory: Array, start: int) -> Array:
        made: Array
        if not prod(shape):
            return np.empty(shape, buffer.dtype)
        made = np.ndarray(shape, buffer.dtype, memory.reshape(-1), start, strides)
        made.flags.writeable &= writeable
        return made

    if buffer.kind == "arena" or buffer.kind == "const":
        fixed = of(arena, home + buffer.start + start) if buffer.kind == "arena" else of(buffer.array, start)
        return lambda places: fixed
    base = buffer.base
    if view.whole and shape:  # results of rows are arrays of their own: what a call brought is only read
        return lambda places: np.asarray(places[base], buffer.dtype).reshape(shape)
    return lambda places: of(np.asarray(places[base], buffer.dtype), start)
