"""Running commands: their table, in one thread or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.native.codegen import library
from payback.native.planning import memory, waits
from payback.native.planning.commands import Command
from payback.native.planning.layout import View
from payback.native.planning.nests import price
from payback.native.running import cores, threads
from payback.native.running.pace import Pace

DRIVERS = (library.DRIVER, library.TEAM)
_NO_MOVES = np.empty((0, 2), np.int64)
# Bytes a second of one thread, roughly, which tell whether others are woken: of numbers that products add up, that are
# read and written, that go through an operation of vectors.
SPEED, FLOW, VECTORS = 4e11, 5e10, 2.4e11
# The same of what the other of two cores has written: nests wait for each line, products have much to do with it.
CROSSING, PACKED = 2.6e10, 6.4e10
CACHES = 1 << 22  # bytes: of what is larger, little is still in another core's cache


def address(array: np.ndarray[Any, Any]) -> int:
    """Where an array's data lie."""
    return array.ctypes.data


def base_table(count: int) -> np.ndarray[Any, Any]:
    """Room for base pointers, behind the number of the thread and of all threads."""
    table = np.zeros(count + 2, np.int64)
    table[1] = 1
    return table[2:]


class Written(NamedTuple):
    """Commands as numbers.

    kernels  of each command
    flat     operands and numbers of all of them, one after another; starts: where those of each begin
    flags    of each command: who runs it, and whether threads wait before it (`planning/waits.py`)
    seconds  that a second thread saves in a round, roughly
    inner    (place in `flat`, kernel): where addresses of kernels stand
    """

    kernels: Sequence[Any]
    flat: np.ndarray[Any, Any]
    starts: np.ndarray[Any, Any]
    flags: np.ndarray[Any, Any]
    seconds: float
    inner: Sequence[tuple[int, Any]] = ()

    @property
    def all_kernels(self) -> list[Any]:
        return [*self.kernels, *[kernel for _, kernel in self.inner]]


def write(commands: Sequence[Command]) -> Written:
    """Commands whose buffers have their places."""
    starts, flat, inner = [], [], []
    for command in commands:
        starts.append(len(flat))
        first = len(flat) + 2 * len(command.operands)
        inner += [(first + place, kernel) for place, kernel in command.inner]
        for view in command.operands:
            buffer = view.buffer
            flat += [buffer.base, buffer.start + view.offset * buffer.dtype.itemsize]
        flat += command.numbers
    numbers = [np.array(column or [0], np.int64) for column in (flat, starts)]
    kernels = [command.kernel for command in commands]
    return Written(kernels, *numbers, waits.flags(commands), seconds_of(commands), inner)


def seconds_of(commands: Sequence[Command]) -> float:
    """What a second thread saves of these commands, roughly: half of what is shared, but for the time in which memory
    goes from one core's cache to the other's.  A nest that does little with each number loses by it."""
    total = 0.0
    for command in commands:
        kernel = command.kernel
        if not waits.shares(command) and command.owner is None:
            continue
        operands = command.operands
        if hasattr(kernel, "plan"):  # without the room that it works in
            operands = (*operands[:3], *operands[4:])
        sizes = [
            (view.buffer, min(view.buffer.bytes, prod(view.shape) * view.buffer.dtype.itemsize)) for view in operands
        ]
        width = max((buffer.dtype.itemsize for buffer, _ in sizes if buffer.dtype.kind == "f"), default=8)
        numbers = max(prod(view.shape) for view in operands)
        work = sum(price(getattr(each, "instrs", ())) for each in {*command.kernels}) * numbers
        if (after := getattr(kernel, "after", None)) is not None:
            work += price(after.instrs) * prod(operands[2].shape)
        alone = command.flops * width / SPEED + sum(size for _, size in sizes) / FLOW + work * width / VECTORS
        crossing = sum(
            size for (buffer, size), own in zip(sizes, _own(command, operands), strict=True)
            if buffer.kind in ("arena", "output") and not own
        )  # fmt: skip
        total += alone / 2 - min(crossing, CACHES) / (PACKED if command.flops else CROSSING)
    return max(total, 0.0)


def _own(command: Command, operands: Sequence[View]) -> list[bool]:
    """Of each operand, whether each thread is at its own part of the memory, in order: so it is in the next command."""
    plan = getattr(command.kernel, "plan", None)
    if plan is not None and not command.kernel.batch:
        a_row, a_column, b_row, b_column, c_row, c_column = command.numbers[3:9]
        if (plan.split == "rows") != plan.down:
            return [a_row >= a_column, False, c_row >= c_column, *[_by_parts(view) for view in operands[3:]]]
        return [False, b_column >= b_row, c_column >= c_row, *[False] * (len(operands) - 3)]
    return [not command.flops and _by_parts(view) for view in operands]


def _by_parts(view: View) -> bool:
    """Whether parts of a view along its first axis are parts of memory."""
    strides = [abs(stride) for extent, stride in zip(view.shape, view.strides, strict=True) if extent > 1]
    return not strides or 0 < strides[0] == max(strides)


def team_of(seconds: float, most: int) -> int:
    """How many threads, of so many at most, run commands of which a second one saves so much: always the same, for
    memory is planned for them."""
    return most if seconds >= cores.WORTHWHILE else 1


class Segment:
    """Commands that run one after another without Python: their table, in the form that the drivers read."""

    def __init__(self, written: Written, address_of: Callable[[Any], int], most: int):
        """address_of: where a kernel of those that are written is, and a driver; most: threads."""
        self.written = written
        self.flat = written.flat
        for place, kernel in written.inner:
            self.flat[place] = address_of(kernel)
        table = np.zeros((max(len(written.kernels), 1), 2), np.int64)
        table[: len(written.kernels), 0] = [address_of(kernel) for kernel in written.kernels]
        table[:, 1] = address(self.flat) + 8 * written.starts
        self.table = table.reshape(-1)
        self.commands = len(written.kernels)
        self.flags = written.flags
        self._threads = team_of(written.seconds, most)
        self.drive = library.PROTOTYPE(address_of(library.DRIVER))
        self._team = address_of(library.TEAM) if self.threads > 1 else 0
        self._rooms: list[tuple[Any, ...]] = []  # what shared runs that have ended worked in
        always = self.threads == 1 or cores.WORTHWHILE <= 0.0
        self.pace = None if always else Pace(written.seconds)
        self.job = np.array([address(self.table), self.commands, 1, address(_NO_MOVES), 0], np.int64)
        self.address = address(self.job)

    @property
    def threads(self) -> int:
        """How many run it, or may: its memory is planned for these, so the number stays."""
        return self._threads

    def once(self, room: Any) -> int:
        """`run` with the bases of a program's memory."""
        if self._threads == 1:
            return int(self.drive(room.address, self.address))
        return self.run(room.bases)

    def run(
        self, bases: np.ndarray[Any, Any], rounds: int = 1, moves: np.ndarray[Any, Any] = _NO_MOVES,
        ticks: np.ndarray[Any, Any] | None = None,
    ) -> int:  # fmt: skip
        """0, or 1 + the number of commands that were run; after each round base pointers (number, bytes) move on.
        Threads share the rounds or not, as is quicker.

        To `ticks` (threads × commands, int64) is added what each command takes: by drivers made when first asked for.
        """
        if ticks is not None:
            assert ticks.shape == (self.threads, self.commands)
            assert ticks.dtype == np.int64
            assert ticks.flags.c_contiguous
            address_of = library.get(library.TIMED)
            if self.threads > 1:
                return self.shared(bases, rounds, moves, address_of(library.TIMED[1]), address(ticks))
            return self._alone(bases, rounds, moves, library.PROTOTYPE(address_of(library.TIMED[0])), address(ticks))
        if self.pace is None:
            run = self._alone if self.threads == 1 else self.shared
            return run(bases, rounds, moves)
        done = 0
        while done < rounds:
            shared, some = self.pace.next(rounds - done)
            begun = time.perf_counter()
            status = (self.shared if shared else self._alone)(bases, some, moves)
            self.pace.learn(shared, some, time.perf_counter() - begun)
            if status:
                return status + done * self.commands
            done += some
        return 0

    def _alone(
        self, bases: np.ndarray[Any, Any], rounds: int, moves: np.ndarray[Any, Any], drive: Any = None, ticks: int = 0
    ) -> int:
        job = self.job
        if rounds != 1 or len(moves) or ticks:
            job = np.array([*job[:2], rounds, address(moves), len(moves), ticks], np.int64)
        return int((drive or self.drive)(address(bases), address(job)))

    def shared(
        self, bases: np.ndarray[Any, Any], rounds: int = 1, moves: np.ndarray[Any, Any] = _NO_MOVES, drive: int = 0,
        ticks: int = 0,
    ) -> int:  # fmt: skip
        """As `run`, by all threads."""
        team, width = self.threads, -(-(len(bases) + 2) // 8) * 8
        try:
            room = self._rooms.pop()
        except IndexError:
            room = None
        if room is None or room[0].shape[1] != width:
            tables = np.zeros((team, width), np.int64)
            tables[:, 0], tables[:, 1] = np.arange(team), team
            state = np.zeros(threads.STATE_BYTES // 8 + 8, np.int64)
            barrier = -(-state.ctypes.data // 64) * 64
            job = np.array([address(tables) + 16, 8 * width, address(self.table), address(self.flags), self.commands,
                            0, 0, 0, barrier, 0, 0], np.int64)  # fmt: skip
            room = tables, job, address(job), state
        tables, job, job_at, _ = room
        tables[:, 2 : len(bases) + 2] = bases
        job[5:8], job[9:] = (rounds, address(moves) if len(moves) else 0, len(moves)), (0, ticks)
        threads.run(drive or self._team, job_at, team)
        status = int(job[9])
        if not status:  # else a barrier may be in the middle of something
            self._rooms.append(room)
        for base, step in moves.tolist():
            bases[base] += step * rounds
        return status


class Machine:
    """Commands in one piece, for a loop over steps."""

    def __init__(self, segment: Segment, constants: Mapping[int, np.ndarray[Any, Any]], bases: int, arena_bytes: int):
        """constants: by the numbers of their bases; bases: how many there are in all."""
        self.segment = segment
        self.constants = dict(constants)
        self._bases = base_table(bases)
        for base, array in self.constants.items():
            self._bases[base] = address(array)
        self.arena_bytes = arena_bytes
        self._spare: list[tuple[Any, ...]] = []  # what a call works in, of calls that have ended

    @property
    def bases(self) -> int:
        return len(self._bases)

    def twin(self) -> Machine:
        """The same commands, with memory of its own when it runs."""
        made = copy(self)
        made._spare = []
        return made

    def _room(self) -> tuple[Any, ...]:
        """Memory between values, a table of base pointers, a job for the driver; and where the latter two lie."""
        arena, table = np.empty(self.arena_bytes + memory.ALIGNMENT, np.uint8), self._bases.base.copy()
        job = self.segment.job.copy()
        table[2] = -(-address(arena) // memory.ALIGNMENT) * memory.ALIGNMENT
        return arena, table[2:], job, address(table) + 16, address(job)

    def run(
        self, places: dict[int, np.ndarray[Any, Any]], rounds: int, moves: np.ndarray[Any, Any],
        known: dict[int, tuple[np.ndarray[Any, Any], int]] | None = None,
        ticks: np.ndarray[Any, Any] | None = None,
    ) -> int:  # fmt: skip
        """As a segment's `run`.  Several threads may call it at once.

        known: base -> an array that stood there before, and its address; asking for one takes a microsecond.
        """
        room = self._spare.pop() if self._spare else self._room()
        _, bases, job, bases_at, job_at = room
        known = {} if known is None else known
        for base, array in places.items():
            there = known.get(base)
            if there is None or there[0] is not array:
                assert array.flags.c_contiguous, f"base {base} is not in order"
                there = known[base] = array, address(array)
            bases[base] = there[1]
        there = known.get(-1)
        if there is None or there[0] is not moves:
            there = known[-1] = moves, address(moves)
        if self.segment.threads == 1 and ticks is None:
            job[2:] = rounds, there[1], len(moves)
            status = self.segment.drive(bases_at, job_at)
        else:
            status = self.segment.run(bases, rounds, moves, ticks)
        self._spare.append(room)
        return int(status)
