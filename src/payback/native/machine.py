"""Running commands: their table, in one thread or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.native import cores, library, memory, threads
from payback.native.commands import Command
from payback.native.layout import Buffer

DRIVERS = (library.DRIVER, library.TEAM)
SPEED, FLOW = 5e10, 2e10  # operations and bytes a second of one thread, roughly: what tells whether others are woken


def base_table(count: int) -> np.ndarray[Any, Any]:
    """Room for base pointers, behind the number of the thread and of all threads."""
    table = np.zeros(count + 2, np.int64)
    table[1] = 1
    return table[2:]


class Segment:
    """Commands that run one after another without Python: their table, in the form that the drivers read."""

    def __init__(self, commands: Sequence[Command], address_of: Callable[[Any], int], most: int):
        starts, flat = [], []
        for command in commands:
            starts.append(len(flat))
            for view in command.operands:
                buffer = view.buffer
                flat += [buffer.base, buffer.start + view.offset * buffer.dtype.itemsize]
            flat += command.numbers
        self.flat = np.array(flat or [0], np.int64)
        home = self.flat.ctypes.data
        self.table = np.array(
            [x for c, start in zip(commands, starts, strict=True) for x in (address_of(c.kernel), home + 8 * start)]
            or [0],
            np.int64,
        )
        self.commands = len(commands)
        shared = [bool(getattr(command.kernel, "split", False)) for command in commands]
        self.flags = np.array(
            [s | (i > 0 and (s or shared[i - 1])) << 1 for i, s in enumerate(shared)] or [0], np.int64
        )  # who waits for whom: before and after what is shared
        seconds = sum(c.flops / SPEED + c.bytes / FLOW for c, s in zip(commands, shared, strict=True) if s)
        self.threads = min(cores.threads(seconds), most)
        self._drive = library.PROTOTYPE(address_of(library.DRIVER))
        self._team = address_of(library.TEAM)
        self.job = self._job(1, np.zeros((1, 2), np.int64), 0)
        self.address = self.job.ctypes.data

    def _job(self, rounds: int, moves: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
        return np.array([self.table.ctypes.data, self.commands, rounds, moves.ctypes.data, count], np.int64)

    def run(self, bases: np.ndarray[Any, Any], rounds: int = 1, advances: Sequence[tuple[int, int]] = ()) -> int:
        """0, or 1 + the number of commands that were run; after each round base pointers move on by `advances`."""
        moves = np.array(advances or [(0, 0)], np.int64)
        if self.threads == 1:
            job = self._job(rounds, moves, len(advances)) if rounds != 1 or advances else self.job
            return int(self._drive(bases.ctypes.data, job.ctypes.data))
        team, width = self.threads, -(-(len(bases) + 2) // 8) * 8
        tables = np.zeros((team, width), np.int64)
        tables[:, 0], tables[:, 1] = np.arange(team), team
        tables[:, 2 : len(bases) + 2] = bases
        state = np.zeros(threads.STATE_BYTES // 8 + 8, np.int64)
        barrier = -(-state.ctypes.data // 64) * 64
        job = np.array(
            [tables.ctypes.data + 16, 8 * width, self.table.ctypes.data, self.flags.ctypes.data, self.commands, rounds,
             moves.ctypes.data, len(advances), barrier, 0],
            np.int64,
        )  # fmt: skip
        threads.run(self._team, job.ctypes.data, team)
        return int(job[9])


class Machine:
    """Commands in one piece, for a loop over steps."""

    def __init__(
        self, commands: Sequence[Command], constants: Sequence[Buffer], bases: int, arena_bytes: int, most: int
    ):
        addresses = library.get([*[c.kernel for c in commands], *DRIVERS])
        self.segment = Segment(commands, addresses, most)
        self._constants = [buffer.array for buffer in constants]
        self._bases = base_table(bases)
        for buffer in constants:
            self._bases[buffer.base] = buffer.array.ctypes.data
        self._arena_bytes = arena_bytes
        self._spare: list[np.ndarray[Any, Any]] = []  # memory between values that no call uses now

    def run(self, places: dict[int, np.ndarray[Any, Any]], rounds: int, advances: Sequence[tuple[int, int]]) -> int:
        """As a segment's `run`.  Several threads may call it at once."""
        bases = self._bases.base.copy()[2:]
        arena = self._spare.pop() if self._spare else np.empty(self._arena_bytes + memory.ALIGNMENT, np.uint8)
        bases[0] = -(-arena.ctypes.data // memory.ALIGNMENT) * memory.ALIGNMENT
        for base, array in places.items():
            bases[base] = array.ctypes.data
        status = self.segment.run(bases, rounds, advances)
        self._spare.append(arena)
        return status
