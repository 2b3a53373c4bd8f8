"""Where threads that share a program wait for each other: before a command that needs what another thread has done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from payback.native.lower.guard import may_fail, may_stop
from payback.native.lower.move import Located, Published, Rows
from payback.native.lower.nests.nest import Nest
from payback.native.lower.products.product import Product
from payback.native.lower.products.small import Small
from payback.native.lower.products.streams import Streams
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View

SHARED, WAITS, OWNER = 1, 2, 4  # of a flag: all threads run the command; they wait before it; or whose it is, times 4
_BY_INDEX = frozenset({"gather", "scatter"})
MANY = 1024  # uses of memory that are looked through; beyond so many, threads wait in any case
EXACT = (Nest, Product, Small, Streams, Rows, Located, Published)
ALL = -1  # in place of an owner: each thread does a part


class Uses:
    """What commands do with memory: rows of (base, first byte, end, whether it is written, who it is)."""

    def __init__(self, most: int):
        self._rows, self.count = np.empty((most, 5), np.int64), 0

    def add(self, rows: np.ndarray[Any, Any]) -> None:
        self._rows[self.count : self.count + len(rows)] = rows
        self.count += len(rows)

    def meet(self, rows: np.ndarray[Any, Any], anyone: bool = False) -> bool:
        """Whether two threads may be at the same bytes, one of them writing; `anyone`: or one and the same thread."""
        base, start, end, writes, owner = rows.T[:, :, None]
        bases, starts, ends, written, owners = self._rows[: self.count].T
        meets = (base == bases) & (start < ends) & (starts < end) & ((writes | written) != 0)
        if not anyone:
            meets &= (owner != owners) | (owner == ALL)
        return bool(meets.any())


def shares(command: Command) -> bool:
    """Whether all threads run it, each its part."""
    return bool(getattr(command.kernel, "split", False))


def _who(command: Command) -> int:
    return ALL if shares(command) else command.owner or 0


def _flag(command: Command) -> int:
    return SHARED if shares(command) else OWNER * _who(command)


def flags(commands: Sequence[Command]) -> np.ndarray[Any, Any]:
    """Of each command, whose buffers have their places: SHARED, WAITS, and OWNER times the thread that runs it."""
    found = np.array([_flag(command) for command in commands] or [0], np.int64)
    if not found.any():
        return found
    since: dict[int, Uses] = {}  # they last met, by who did it
    ends: set[tuple[int, bool]] = set()  # who ran a command since then that may end the program; whether as it fails
    for number, command in enumerate(commands):
        rows, who = uses([command]), _who(command)
        # Nobody goes on where another may have failed.  Where a test may have ended the program, nobody does what would
        # have to be undone.
        lasting = lasts(command)
        stopped = any((by == ALL or by != who) and (fails or lasting) for by, fails in ends)
        full = sum(each.count for each in since.values()) + len(rows) > MANY
        if stopped or full or any(each.meet(rows) for by, each in since.items() if by == ALL or by != who):
            found[number] |= WAITS
            since, ends = {}, set()
        if who not in since:
            since[who] = Uses(MANY)
        since[who].add(rows)
        if may_stop(command.kernel):
            ends.add((who, may_fail(command.kernel)))
    return found


def lasts(command: Command) -> bool:
    """Whether it may end the program, or write what is there afterwards."""
    return may_stop(command.kernel) or any(view.buffer.kind != "arena" for view in command.writes)


def uses(commands: Sequence[Command], numbers: dict[Any, int] | None = None) -> np.ndarray[Any, Any]:
    """The rows of `Uses` for some commands; numbers: of buffers that have no places yet, which it gives them."""
    found = []
    for command in commands:
        who = _who(command)
        for buffer, start, end, writes in _touched(command):
            base = buffer.base if numbers is None else numbers.setdefault(buffer, len(numbers))
            place = buffer.start if numbers is None else 0
            found.append((base, place + start, place + end, writes, who))
    return np.array(found, np.int64).reshape(-1, 5)


def _touched(command: Command) -> Iterator[tuple[Buffer, int, int, bool]]:
    """Buffers, first byte and end, whether it may be written."""
    written = {id(view.buffer) for view in command.writes}
    only_read = {id(view.buffer) for view in command.reads} - written
    exact = isinstance(command.kernel, EXACT)  # others step through more than their first views show
    if isinstance(command.kernel, Nest):  # what indices choose lies anywhere
        anywhere = {each[1] for each in (*command.kernel.instrs, *command.kernel.sinks) if each[0] in _BY_INDEX}
        loose = [command.operands[k] for k in anywhere]
    else:  # what a product works in is fitted to its threads when its view has been made
        loose = [*command.operands[3:4]]
    for view in dict.fromkeys((*command.operands, *command.reads, *command.writes)):
        buffer = view.buffer
        start, end = _extent(view) if exact and view not in loose else (0, buffer.bytes)
        if start < end:
            yield buffer, start, end, id(buffer) not in only_read


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
