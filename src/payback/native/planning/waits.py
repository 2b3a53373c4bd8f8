"""Where threads that share a program wait for each other: before a command that needs what another thread has done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.native.lower.guard import may_stop
from payback.native.lower.nest import Nest
from payback.native.lower.product import Product
from payback.native.lower.small import Small
from payback.native.planning.commands import Command
from payback.native.planning.layout import View

SHARED, WAITS = 1, 2  # bits of a flag: all threads run the command; they wait for each other before it
_BY_INDEX = frozenset({"gather", "scatter"})
MANY = 256  # uses of memory that are looked through; beyond so many, threads wait in any case


class _Use(NamedTuple):
    """What a command does with the bytes from `start` to `end` of a base pointer's memory."""

    base: int
    start: int
    end: int
    writes: bool
    shared: bool

    def meets(self, other: _Use) -> bool:
        """Whether two threads may be at the same bytes, one of them writing; the first runs what is not shared."""
        return (
            (self.shared or other.shared)
            and (self.writes or other.writes)
            and self.base == other.base
            and self.start < other.end
            and other.start < self.end
        )


def shares(command: Command) -> bool:
    """Whether all threads run it, each its part."""
    return bool(getattr(command.kernel, "split", False))


def flags(commands: Sequence[Command]) -> np.ndarray[Any, Any]:
    """Of each command, whose buffers have their places: SHARED and WAITS."""
    found = np.array([SHARED * shares(command) for command in commands] or [0], np.int64)
    if not found.any():
        return found
    since: list[_Use] = []  # they last met
    ends = None  # whether a command since then that may end the program is shared
    for number, command in enumerate(commands):
        shared = shares(command)
        uses = [*_uses(command, shared)]
        # nobody goes on where another may have stopped: what he wrote would not be undone
        stopped = ends is not None and (ends or shared)
        if stopped or len(since) > MANY or any(use.meets(other) for use in uses for other in since):
            found[number] |= WAITS
            since, ends = [], None
        since += uses
        if may_stop(command.kernel):
            ends = shared or bool(ends)
    return found


def _uses(command: Command, shared: bool) -> Iterator[_Use]:
    written = {id(view.buffer) for view in command.writes}
    only_read = {id(view.buffer) for view in command.reads} - written
    exact = isinstance(command.kernel, (Nest, Product, Small))  # others step through more than their first views show
    if isinstance(command.kernel, Nest):  # what indices choose lies anywhere
        anywhere = {each[1] for each in (*command.kernel.instrs, *command.kernel.sinks) if each[0] in _BY_INDEX}
        loose = [command.operands[k] for k in anywhere]
    else:  # what a product works in is fitted to its threads when its view has been made
        loose = [*command.operands[3:4]]
    for view in dict.fromkeys((*command.operands, *command.reads, *command.writes)):
        buffer = view.buffer
        start, end = _extent(view) if exact and view not in loose else (0, buffer.bytes)
        if start < end:
            yield _Use(buffer.base, buffer.start + start, buffer.start + end, id(buffer) not in only_read, shared)


def _extent(view: View) -> tuple[int, int]:
    """The bytes of its buffer that a view lies in."""
    if 0 in view.shape:
        return 0, 0
    first = last = view.offset
    for extent, stride in zip(view.shape, view.strides, strict=True):
        first += min(0, (extent - 1) * stride)
        last += max(0, (extent - 1) * stride)
    size = view.buffer.dtype.itemsize
    return first * size, (last + 1) * size
