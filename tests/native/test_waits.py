"""Where threads wait: between any two commands of which one needs what another thread may have done, byte by byte."""

from __future__ import annotations

import numpy as np
import pytest

import amount
from payback.native.lower.guard import AllFinite, Places, may_fail, may_stop
from payback.native.lower.nests.nest import Nest
from payback.native.planning import waits
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View


def made(rng: np.random.Generator) -> list[Command]:
    """Commands on strided views of overlapping buffers; some are shared, some may stop or fail, all have owners."""
    buffers = []
    for kind in ("arena", "arena", "arena", "arena", "output"):
        buffer = Buffer(kind, np.dtype(np.float32), int(rng.integers(4, 20)))
        buffer.start = 4 * int(rng.integers(0, 40))
        buffers.append(buffer)

    def view() -> View:
        buffer = buffers[rng.integers(5)]
        count = int(rng.integers(0, 4))
        step = int(rng.integers(-2, 3))
        first = max(0, -step * max(count - 1, 0)) + int(rng.integers(0, 2))
        fits = first + max(step, 0) * max(count - 1, 0) < buffer.size and first < buffer.size
        return View(buffer, first, (count,), (step,)) if fits else View(buffer, 0, (buffer.size,), (1,))

    commands = []
    for _ in range(12):
        read, written = [view() for _ in range(rng.integers(0, 3))], [view()]
        shared = bool(rng.integers(2))
        ends = AllFinite(("f4",)) if rng.integers(2) else Places("i8", "i4")
        commands.append(Command(ends if rng.random() < 0.1 else nest(shared), [*read, *written], [], read, written))
        commands[-1].owner = None if rng.integers(2) else int(rng.integers(3))
    return commands


def nest(shared: bool) -> Nest:
    return Nest((), (), (), (), 0, 0, "k", 1, False, shared, False, False, 0)


def touched(command: Command) -> tuple[set[int], set[int]]:
    """The bytes that it reads or writes, and those that it writes, entry by entry; of other kernels, whole buffers."""

    def of(views: list[View]) -> set[int]:
        found: set[int] = set()
        for view in views:
            entries = range(view.buffer.size)
            if type(command.kernel) is Nest:
                entries = [view.offset + k * view.strides[0] for k in range(view.shape[0])]
            found |= {view.buffer.start + 4 * at + byte for at in entries for byte in range(4)}
        return found

    return of([*command.reads, *command.writes]), of(command.writes)


@pytest.mark.parametrize("seed", range(amount.cases(20, 200, 400)))
def test_two_threads_never_meet_in_a_byte(seed):
    commands = made(np.random.default_rng(seed))
    flags = waits.flags(commands)
    shared = [bool(flag & waits.SHARED) for flag in flags]
    owners = [int(flag) // waits.OWNER for flag in flags]
    assert shared == [waits.shares(command) for command in commands]
    assert owners == [0 if waits.shares(command) else command.owner or 0 for command in commands]
    for k, late in enumerate(commands):
        for j in range(k):
            alone = not (shared[j] or shared[k]) and owners[j] == owners[k]
            if any(flag & waits.WAITS for flag in flags[j + 1 : k + 1]) or alone:
                continue
            (all_j, written_j), (all_k, written_k) = touched(commands[j]), touched(late)
            assert not (written_j & all_k) | (written_k & all_j), (j, k)
            assert not may_fail(commands[j].kernel), (j, k)
            if may_stop(commands[j].kernel):
                assert not may_stop(late.kernel), (j, k)
                assert all(view.buffer.kind == "arena" for view in late.writes), (j, k)


def test_threads_wait_only_where_they_must():
    """Products of a network's gradients wait once for the numbers that all of them read."""
    a, b, c = (Buffer("arena", np.dtype(np.float32), 8) for _ in range(3))
    for k, buffer in enumerate((a, b, c)):
        buffer.start = 64 * k

    def command(read: Buffer, written: Buffer, shared: bool) -> Command:
        views = [View(buffer, 0, (8,), (1,)) for buffer in (read, written)]
        return Command(nest(shared), views, [], views[:1], views[1:])

    def flags(*shared: bool) -> list[int]:
        places = [(a, b), (a, c), (b, a)]
        return waits.flags([command(*place, on) for place, on in zip(places, shared, strict=True)]).tolist()

    assert flags(False, False, False) == [0, 0, 0]
    assert flags(True, True, True) == [1, 1, 3]
    assert flags(True, True, False) == [1, 1, 2]
    assert flags(False, True, False) == [0, 1, 2]


def test_what_is_chosen_by_indices_lies_anywhere_in_its_buffer():
    """Two halves of an array are written by all threads; then any of them may read any entry."""
    table, places, made = (Buffer("arena", np.dtype(kind), 64) for kind in (np.float64, np.int64, np.float64))
    places.start, made.start = 512, 1024
    halves = [View(table, first, (32,), (1,)) for first in (0, 32)]
    writes = [Command(nest(True), [half], [], [], [half]) for half in halves]
    operands = [View(table, 0, (64,), (0,)), View(places, 0, (64,), (1,)), View(made, 0, (64,), (1,))]
    gather = nest(True)._replace(instrs=(("load", 1), ("gather", 0, 0)), sinks=(("store", 2, 1),))
    read = Command(gather, operands, [], operands[:2], operands[2:])
    assert waits.flags([writes[1], read]).tolist() == [1, 3]
    assert waits.flags([*writes, read]).tolist() == [1, 1, 3]
