"""The tape: a recorded scalar program as columns in memory, and the machine code that replays it.

LLVM on straight-line code of a million operations would take minutes; the replaying loops are compiled once a process
and serve every program.  A `Tape` is laid out from a recorder's columns: constants first, then the entries in order;
behind a number with three users or more stands a fan, a copy for each user, so that what they pay is added in the
order of the users, as the sweep does it.  Value and gradient are one replay forwards and one backwards.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.native.codegen import library
from payback.native.codegen.emit import FLOAT64, lanes_of
from payback.native.running.table import address
from payback.native.tape.cases import FAN, FAN_END, NOTHING, POWERS, Operation, able, always_pays, operations
from payback.native.tape.entries import Ancestors, Gather, Scatter, argument_kinds
from payback.native.tape.replay import Forward, Reverse
from payback.native.tape.replay_rounds import Entry, ForwardRounds, kept_values
from payback.native.tape.replay_rounds_back import ReverseRounds
from payback.native.tape.replay_runs import ForwardRuns, ReverseRuns
from payback.native.tape.rounds import pieces
from payback.native.tape.runs import FEWEST, Runs
from payback.ops.row import TABLE
from payback.trace.scalars.columns import FIRST_ROW, LEAF, ROWS, STRONG, THIRD, WEAK, Columns
from payback.trace.scalars.number import Recorder

Array = np.ndarray[Any, Any]
VERSION = 4  # of the kernels


_functions: dict[Any, Any] = {}


def _run(kernel: Any, *words: int) -> None:
    key = type(kernel), kernel
    function = _functions.get(key)
    if function is None:
        function = _functions[key] = library.PROTOTYPE(library.get([kernel])(kernel))
    function(None, (ctypes.c_int64 * len(words))(*words))


def ancestors(recorder: Recorder, tops: Sequence[int]) -> Array:
    """Which entries the tops were made from, themselves included."""
    count = max(tops) + 1
    marks = np.zeros(count, np.uint8)
    known = np.fromiter(recorder.nodes, np.int64, len(recorder.nodes))
    marks[known[known < count]] = 2
    marks[np.asarray(tops)] = 1
    columns = (np.frombuffer(column, np.int32) for column in (recorder.what, recorder.first, recorder.second))
    kinds = np.array(argument_kinds(), np.uint8)
    _run(Ancestors(VERSION), *map(address, (*columns, marks, kinds)), 0, count)
    marks &= 1
    return marks


class Tape:
    """A program laid out for replay.

    codes, first, second  a column each: the case of the switch, and the numbers of its operands' values
    fixed     how many constants there are: the first numbers
    base      the numbers that stand before the entries: constants, and what is read from leaves
    wanted    the numbers of the results
    reads     for each leaf (node that is read): the first of its numbers, and flat places in the order of the program
    sure      whether every edge surely pays
    """

    def __init__(self, columns: Columns):
        codes, count = columns.codes, len(columns.codes)
        arguments = np.array(argument_kinds(), np.uint8)[codes]
        constant = (codes == WEAK) | (codes == STRONG)
        rows = codes >= FIRST_ROW
        # what each entry is made from, slot by slot in the order of the program; −1: nothing
        edges = np.full((count, 2), -1, np.int32)
        edges[:, 0][arguments > 0] = columns.first[arguments > 0]
        edges[:, 1][arguments >= 3] = columns.second[arguments >= 3]
        flat = edges.reshape(-1)
        users = np.bincount(flat[flat >= 0], minlength=count).astype(np.int32)
        many = users + (np.bincount(columns.wanted, minlength=count) > 0) >= 3
        fans = np.where(many & ~constant, users, np.int32(0))
        # where each entry stands: constants in front, then what is read, leaf by leaf, then the others; a number's fan
        # stands behind it, that of what is read where it was read
        leaves = np.flatnonzero(codes == LEAF)
        leaves = leaves[np.argsort(columns.first[leaves], kind="stable")]
        front = constant.copy()
        front[leaves] = True
        room = np.where(front, np.int32(0), np.int32(1)) + fans
        self.fixed = int(constant.sum())
        self.base = base = self.fixed + len(leaves)
        self.size = base + int(room.sum(dtype=np.int64))
        if self.size >= 2**31:
            raise OverflowError("a tape has fewer than 2³¹ entries")
        number = np.cumsum(room, dtype=np.int32) - room + np.int32(base)
        del room, users, many
        copies = number + np.where(front, np.int32(0), np.int32(1))
        number[constant] = np.arange(self.fixed)
        number[leaves] = np.arange(self.fixed, base)
        operands = number[edges]
        if fans.any():
            through = np.flatnonzero((flat >= 0) & (fans[flat] > 0))
            target = flat[through]
            order = np.argsort(target, kind="stable")
            target, through = target[order], through[order]
            del order
            begin = np.flatnonzero(np.diff(target, prepend=-1))
            turn = np.arange(len(target)) - np.repeat(begin, np.diff(begin, append=len(target)))
            operands.reshape(-1)[through] = copies[target] + turn
        self.codes = np.zeros(self.size - base, np.uint8)
        self.first, self.second = np.zeros(self.size - base, np.int32), np.zeros(self.size - base, np.int32)
        moved = arguments > 0
        places = number[moved] - base
        self.first[places] = operands[moved, 0]
        self.second[places] = np.where(arguments >= 3, operands[:, 1], operands[:, 0])[moved]
        self.codes[number[rows] - base] = _cases(columns, edges, constant)[rows]
        fanned = np.flatnonzero(fans)
        for at, case in ((copies[fanned], FAN), (copies[fanned] + fans[fanned] - np.int32(1), FAN_END)):
            self.codes[at - base] = case
            self.first[at - base] = number[fanned]
            self.second[at - base] = fans[fanned]
        self.constants = columns.constants[columns.first[constant]]
        self.wanted = number[columns.wanted]
        ends = np.searchsorted(columns.first[leaves], np.arange(len(columns.leaves) + 1))
        places = np.maximum(columns.second[leaves], 0)
        self.reads = [(self.fixed + int(a), places[a:b]) for a, b in pairwise(ends)]
        cases = operations()
        self.sure = all(always_pays(cases[case]) for case in np.unique(self.codes).tolist())
        self.adjoints = self.size + 8  # there is room behind the last for whole vectors
        self.pieces = pieces(self, self._ordered)
        self.wanted_list: list[int] = self.wanted.tolist()
        self.single = self.wanted_list[0] if len(self.wanted_list) == 1 else None
        self._pools: dict[bool | None, list[Memory]] = {None: [], True: [], False: []}

    def _ordered(self, start: int, stop: int) -> Runs | None:
        """These entries put in runs, and all that the tape says of their numbers rewritten."""
        if stop - start < FEWEST:
            return None
        made = Runs(self, start, stop, self.adjoints, _run)
        self.adjoints += made.room
        if self.adjoints >= 2**31:
            raise OverflowError("a tape has fewer than 2³¹ adjoints")
        after = slice(stop - self.base, None)
        self.first[after] = made.renumbered(self.first[after])
        fan = (self.codes[after] == FAN) | (self.codes[after] == FAN_END)  # how many, not which
        self.second[after] = np.where(fan, self.second[after], made.renumbered(self.second[after]))
        self.wanted = made.renumbered(self.wanted)
        return made

    def kernels(self) -> list[Any]:
        """Those that replay the pieces, forwards and backwards."""
        found: list[Any] = []
        for piece in self.pieces:
            if piece.runs is not None:
                cases = piece.runs.cases
                found += [ForwardRuns(VERSION, cases), ReverseRuns(VERSION, self.sure, cases)]
            elif piece.entries is not None:
                found += [ForwardRounds(VERSION, piece.entries), ReverseRounds(VERSION, self.sure, piece.entries)]
            else:
                found += [Forward(VERSION), Reverse(VERSION, self.sure)]
        return list({(type(kernel), kernel): kernel for kernel in found}.values())

    def surely_pays(self, slot: int, aval: Aval) -> bool:
        """Whether every entry of a leaf is paid in any case: it is read, and no choice decides."""
        return self.sure and len(np.unique(self.reads[slot][1])) == aval.size

    def run(
        self, leaves: Sequence[Any], seed: Any = None, mask: Any = None, masks: bool = False
    ) -> tuple[Array, list[Array], list[Array]]:
        """The wanted numbers, and what the leaves are owed when these are owed the seed (None: that is not asked).

        mask: which of the results are owed anything; None: all.  masks: whether to tell, in the third list, which
        entries of the leaves were paid at all.
        """
        sure = None if seed is None else self.sure and mask is None
        try:
            memory = self._pools[sure].pop()
        except IndexError:
            memory = Memory(self, sure)
        words, found, touched = memory.words, [], []
        given = [np.ascontiguousarray(leaf, np.float64) for leaf in leaves]
        for at, leaf in zip(memory.sources, given, strict=True):
            words[at] = address(leaf)
        if sure is None:
            memory.forward()
        else:
            bars = memory.bars
            if mask is None and type(seed) is float and self.single is not None:
                if self.single >= self.fixed:
                    memory.seeds[self.single] = seed
            else:
                self._seed(bars, seed, mask)
            found = [np.zeros(np.shape(leaf)) for leaf in leaves]
            for at, gradient in zip(memory.targets, found, strict=True):
                words[at] = address(gradient)
            if masks:
                memory.both()
                for leaf, (first, places) in zip(leaves, self.reads, strict=True):
                    shown = np.zeros(np.shape(leaf), np.bool_)
                    paid = bars[first : first + len(places)].view(np.int64) != NOTHING
                    shown.reshape(-1)[places[paid]] = True
                    touched.append(shown)
                memory.scatter()
            else:
                memory.all()
        single = self.single
        wanted = memory.values[self.wanted] if single is None else memory.values[single : single + 1].copy()
        self._pools[sure].append(memory)
        return wanted, found, touched

    def _seed(self, bars: Array, seed: Any, mask: Any) -> None:
        """What the wanted numbers are owed, those of them that the mask leaves."""
        owed = [True] * len(self.wanted) if mask is None else np.ravel(mask).tolist()
        for k, paid, on in zip(self.wanted_list, np.ravel(seed).tolist(), owed, strict=True):
            if on and k >= self.fixed:
                there = bars[k]
                bars[k] = paid if there.view(np.int64) == NOTHING else there + paid


class Memory:
    """What one call at a time uses: values, adjoints, and the kernels with their arguments in a table.

    sure: as for `Reverse`; None: no adjoints.  These are left as they were found, so they need not be set each time.
    """

    def __init__(self, tape: Tape, sure: bool | None):
        self.values = values = np.empty(tape.size + 8)
        values[: tape.fixed] = tape.constants
        shift = tape.base  # an entry's number is its index in all columns
        columns = (
            address(tape.codes) - shift,
            address(tape.first) - 4 * shift,
            address(tape.second) - 4 * shift,
            address(values),
        )
        jobs: list[tuple[Any, tuple[int, ...]]] = [
            (Gather(VERSION), (0, address(places), address(values) + 8 * first, len(places)))
            for first, places in tape.reads
        ]
        self._stashes = {
            piece.start: Stash(piece.start, piece.stop, piece.entries) for piece in tape.pieces if piece.entries
        }
        for piece in tape.pieces:
            if piece.runs is not None:
                jobs.append((ForwardRuns(VERSION, piece.runs.cases), piece.runs.forward_words(address(values))))
            elif piece.entries is not None:
                jobs.append((ForwardRounds(VERSION, piece.entries), (*columns, *self._stashes[piece.start].words)))
            else:
                jobs.append((Forward(VERSION), (*columns, piece.start, piece.stop)))
        ends = [len(jobs)]
        if sure is not None:
            self.bars = np.full(tape.adjoints, -0.0)
            self.seeds = memoryview(self.bars)
            if not sure:
                self.bars.view(np.int64).fill(NOTHING)
            columns = *columns, address(self.bars)
            for piece in reversed(tape.pieces):
                if piece.runs is not None:
                    words = piece.runs.reverse_words(address(values), address(self.bars))
                    jobs.append((ReverseRuns(VERSION, sure, piece.runs.cases), words))
                elif piece.entries is not None:
                    words = *columns, *self._stashes[piece.start].words
                    jobs.append((ReverseRounds(VERSION, sure, piece.entries), words))
                else:
                    jobs.append((Reverse(VERSION, sure), (*columns, piece.start, piece.stop)))
            ends.append(len(jobs))
            initial = int(np.float64(-0.0).view(np.int64)) if sure else NOTHING
            for first, places in tape.reads:
                jobs.append(
                    (Scatter(VERSION), (address(self.bars) + 8 * first, 0, address(places), len(places), initial))
                )
            ends.append(len(jobs))
        addresses = library.get([*(kernel for kernel, _ in jobs), library.DRIVER])
        begins = np.cumsum([0, *(len(words) for _, words in jobs)]).tolist()
        self._words = np.array([word for _, words in jobs for word in words], np.int64)
        self.words = memoryview(self._words)  # which takes a number in a quarter of NumPy's time
        reads = len(tape.reads)
        self.sources = begins[:reads]
        self.targets = [begin + 1 for begin in begins[len(jobs) - reads : len(jobs)]] if sure is not None else []
        where = address(self._words)
        self._table = np.array([(addresses(kernel), where + 8 * begin)
                                for (kernel, _), begin in zip(jobs, begins, strict=False)], np.int64)  # fmt: skip
        self._drive = library.PROTOTYPE(addresses(library.DRIVER))
        self._kept: list[Array] = []
        self.forward = self._job(0, ends[0])
        if sure is not None:
            self.both, self.scatter, self.all = (
                self._job(a, b) for a, b in ((0, ends[1]), (ends[1], ends[2]), (0, ends[2]))
            )

    def _job(self, start: int, stop: int) -> Callable[[], int]:
        """Runs these lines of the table."""
        words = np.array([address(self._table) + 16 * start, stop - start, 1, 0, 0], np.int64)
        self._kept.append(words)
        return partial(self._drive, None, address(words))


class Stash:
    """What the rounds of a piece keep for the way back, from the round before the first on."""

    def __init__(self, start: int, stop: int, entries: tuple[Entry, ...]):
        rounds, wide = (stop - start) // len(entries), lanes_of(FLOAT64)
        block = wide * len(kept_values(entries))
        self.values = np.zeros(block * (1 - (-rounds // wide)) + 8)
        self.words = start, rounds, -(-address(self.values) // 64) * 64 + 8 * block


def _cases(columns: Columns, edges: Array, constant: Array) -> Array:
    """For each entry the case of the switch: its row, and the arguments to pay (constants are not)."""
    number = {operation: k for k, operation in enumerate(operations()) if operation is not None}
    table = np.zeros((256, 8), np.uint8)
    for k, row in enumerate(ROWS):
        if row.name in able():
            for mask in range(8):
                paid = tuple(s for s, partial in enumerate(row.partials) if partial is not None and mask >> s & 1)
                table[FIRST_ROW + k, mask] = number[Operation(row.name, paid)]
    varies = np.append(~constant, False)  # of no argument: the last
    mask = varies[edges[:, 0]] | varies[edges[:, 1]].astype(np.uint8) << 1
    thirds = np.flatnonzero(columns.codes == THIRD)
    mask[thirds + 1] |= varies[edges[thirds, 0]].astype(np.uint8) << 2
    cases = table[columns.codes, mask]
    powers = np.flatnonzero(columns.codes == FIRST_ROW + ROWS.index(TABLE["power"]))
    powers = powers[constant[edges[powers, 1]]]
    exponents = columns.constants[columns.first[edges[powers, 1]]]
    for exponent, name in {1.0: "identity", **POWERS}.items():
        these = powers[exponents == exponent]
        cases[these] = np.where(mask[these] & 1, number[Operation(name, (0,))], number[Operation(name, ())])
    return cases
