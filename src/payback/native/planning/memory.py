"""The memory plan: values whose lives do not meet share one block, the arena."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate

from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer

ALIGNMENT = 64
NEAR = 1.01  # times the least that there can be: not worth another order
MANY = 256  # buffers that are put in the order of their sizes: that takes the square of their number
TRIES = 16  # orders


def aligned(size: int) -> int:
    """Bytes that so many take up."""
    return -(-max(size, 1) // ALIGNMENT) * ALIGNMENT


def lives(commands: Sequence[Command], times: Sequence[int] | None = None) -> list[Buffer]:
    """The arena's buffers, with the numbers of the first and last command that touches them.

    times: of commands, where several are run at one time.
    """
    found: dict[Buffer, None] = {}
    for number, command in zip(range(len(commands)) if times is None else times, commands, strict=True):
        for view in (*command.writes, *command.reads):
            buffer = view.buffer
            if buffer.first < 0:
                buffer.first = number
            buffer.last = number
            if buffer.kind == "arena":
                found[buffer] = None
    return list(found)


def arrange(buffers: Sequence[Buffer]) -> int:
    """Give every buffer a start in the arena; returns the arena's bytes.

    In the order of time; if that leaves holes, largest first, and what comes to lie highest is next tried first.
    """
    top = _in_time(buffers)
    least = _at_once(buffers)
    if top <= NEAR * least:
        return top
    best, starts = top, [buffer.start for buffer in buffers]
    order = sorted(buffers, key=lambda b: -b.bytes)
    large, small = order[:MANY], order[MANY:]
    for _ in range(TRIES):
        above = _in_order(large)
        top = above + _in_time(small)
        for buffer in small:
            buffer.start += above
        if top < best:
            best, starts = top, [buffer.start for buffer in buffers]
        if best <= NEAR * least or len(large) > MANY // 4:
            break
        highest = max(large, key=lambda b: b.start + b.bytes)  # had to go where it is: next time it chooses first
        if large[0] is highest:
            break
        large.remove(highest)
        large.insert(0, highest)
    for buffer, start in zip(buffers, starts, strict=True):
        buffer.start = start
    return best


def _at_once(buffers: Sequence[Buffer]) -> int:
    """The most bytes that live at one time: no arrangement needs less."""
    change: dict[int, int] = {}
    for buffer in buffers:
        size = aligned(buffer.bytes)
        change[buffer.first] = change.get(buffer.first, 0) + size
        change[buffer.last + 1] = change.get(buffer.last + 1, 0) - size
    return max(accumulate((change[time] for time in sorted(change)), initial=0))


def _in_order(buffers: Sequence[Buffer]) -> int:
    """One after another, each in the lowest gap between those that live when it does (Pisarchyk and Lee, 2020)."""
    placed: list[tuple[int, int, int, int]] = []  # (start, end, first, last), ascending
    top = 0
    for buffer in buffers:
        size, first, last, start = aligned(buffer.bytes), buffer.first, buffer.last, 0
        for low, high, begin, end in placed:
            if begin <= last and first <= end:
                if low - start >= size:
                    break
                start = max(start, high)
        buffer.start, top = start, max(top, start + size)
        bisect.insort(placed, (start, start + size, first, last))
    return top


def _in_time(buffers: Sequence[Buffer]) -> int:
    """First fit, in the order in which they begin to live, largest first at equal times."""
    free: list[tuple[int, int]] = []  # (start, bytes), ascending, never adjacent
    ends: dict[int, list[Buffer]] = {}
    top = 0
    by_first: dict[int, list[Buffer]] = {}
    for buffer in buffers:
        by_first.setdefault(buffer.first, []).append(buffer)
        ends.setdefault(buffer.last, []).append(buffer)
    for time in sorted({*by_first, *ends}):
        for buffer in sorted(by_first.get(time, ()), key=lambda b: -b.bytes):
            size = aligned(buffer.bytes)
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
            _release(free, buffer.start, aligned(buffer.bytes))
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
