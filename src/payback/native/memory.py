"""The memory plan: values whose lives do not meet share one block, the arena."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from payback.native.commands import Command
from payback.native.layout import Buffer

ALIGNMENT = 64


def _aligned(size: int) -> int:
    return -(-max(size, 1) // ALIGNMENT) * ALIGNMENT


def lives(commands: Sequence[Command]) -> list[Buffer]:
    """The arena's buffers, with the numbers of the first and last command that touches them."""
    found: dict[Buffer, None] = {}
    for number, command in enumerate(commands):
        for view in (*command.writes, *command.reads):
            buffer = view.buffer
            if buffer.first < 0:
                buffer.first = number
            buffer.last = number
            if buffer.kind == "arena":
                found[buffer] = None
    return list(found)


def arrange(buffers: Sequence[Buffer]) -> int:
    """Give every buffer a start in the arena; returns the arena's bytes.  First fit, largest first at equal times."""
    free: list[tuple[int, int]] = []  # (start, bytes), ascending, never adjacent
    ends: dict[int, list[Buffer]] = {}
    top = 0
    by_first: dict[int, list[Buffer]] = {}
    for buffer in buffers:
        by_first.setdefault(buffer.first, []).append(buffer)
        ends.setdefault(buffer.last, []).append(buffer)
    for time in sorted({*by_first, *ends}):
        for buffer in sorted(by_first.get(time, ()), key=lambda b: -b.bytes):
            size = _aligned(buffer.bytes)
            for k, (start, room) in enumerate(free):
                if room >= size:
                    buffer.start = start
                    free[k : k + 1] = [(start + size, room - size)] if room > size else []
                    break
            else:
                if free and free[-1][0] + free[-1][1] == top:  # grow the last hole
                    start, _ = free.pop()
                else:
                    start = top
                buffer.start, top = start, start + size
        for buffer in ends.get(time, ()):
            _release(free, buffer.start, _aligned(buffer.bytes))
    return top


def _release(free: list[tuple[int, int]], start: int, size: int) -> None:
    k = bisect.bisect_left(free, (start, 0))
    if k < len(free) and free[k][0] == start + size:
        size += free.pop(k)[1]
    if k and free[k - 1][0] + free[k - 1][1] == start:
        k -= 1
        before = free.pop(k)
        start, size = before[0], size + before[1]
    free.insert(k, (start, size))
