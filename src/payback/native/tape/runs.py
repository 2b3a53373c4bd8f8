"""How the entries of a tape that repeat nothing are put in order: runs of equal cases that do not need each other.

Blocks of entries are ordered by levels: what an entry needs stands in lower ones.  Within a level equal cases stand
together.  Numbers are given anew, so that a run's results lie one behind another; what the rest of the tape says of
them is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.native.running.table import address
from payback.native.tape.cases import FAN, FAN_END, arity, operations
from payback.native.tape.entries import Levels
from payback.native.tape.replay_runs import BLEND, BLENDED

Array = np.ndarray[Any, Any]
FEWEST = 1000  # entries that are worth it
PAD = 8  # numbers of the widest vector
BLOCK = 1 << 13  # entries whose numbers and adjoints stay in a cache


class Runs:
    """Entries from start to stop, ordered; `number` says what became of their numbers.

    cases           those that occur
    first … kinds   columns of the rows, in their order
    runs            (case, first row, how many) of each
    room            how many adjoints there are beside those of numbers: from `at` on stand what rows pay, then sums
    """

    def __init__(self, tape: Any, start: int, stop: int, at: int, run: Callable[..., None]):
        """run: runs a kernel."""
        base, self.start, self.stop, self.at = tape.base, start, stop, at
        codes = tape.codes[start - base : stop - base]
        first, second = (column[start - base : stop - base] for column in (tape.first, tape.second))
        count = stop - start
        fans = np.flatnonzero(codes == FAN)
        sizes = second[fans]
        turns = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        copies = np.repeat(fans, sizes) + turns
        original = np.arange(start, stop, dtype=np.int32)  # of a copy: what it is a copy of
        original[copies] = np.repeat(first[fans], sizes)
        rows = np.flatnonzero(codes > FAN_END)
        code = codes[rows]
        arities = np.array([arity(case) for case in operations()], np.int8)[code]
        three = bool((arities == 3).any())
        third = np.where(arities == 3, first[rows - 1], first[rows]) if three else None
        said = [column for column in (first[rows], second[rows], third) if column is not None]
        read = [self._original(column, original) for column in said]

        place = np.full(count, -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        needs = [np.where(column >= start, place[np.maximum(column - start, 0)], -1) for column in read]
        order, self.runs = _in_order(needs, code, run)
        self.cases = tuple(sorted(set(self.runs[:, 0].tolist())))

        # numbers
        position = np.empty(len(rows), np.int32)
        position[order] = np.arange(len(rows), dtype=np.int32)
        self.number = np.empty(count, np.int32)
        self.number[rows] = start + position
        others = np.flatnonzero(codes <= FAN_END)
        self.number[others] = np.arange(start + len(rows), stop, dtype=np.int32)
        self.columns = [_padded(self.renumbered(column[order])) for column in read]
        kinds = np.zeros(256, np.uint8)
        for number, name in _blended().items():
            kinds[number] = BLENDED.index(name)
        self.kinds = _padded(kinds[code[order]])

        # who pays where: edges of rows, slot by slot
        slots = 3 if three else 2
        self.each = len(rows) + PAD  # from one argument's payments to the next's
        edges = [np.flatnonzero(_pays(k)[code]) for k in range(slots)]
        target = np.concatenate([said[k][edge] for k, edge in enumerate(edges)])
        source = np.concatenate([at + PAD + k * self.each + position[edge] for k, edge in enumerate(edges)])
        source = source.astype(np.int32)
        used = np.zeros(count, bool)  # by rows of this piece
        for column in said:
            used[column[column >= start] - start] = True
        is_copy = np.zeros(count, bool)
        is_copy[copies] = True
        late = copies[~used[copies]]
        self.late = self.number[late], self.renumbered(original[late])
        inside = target >= start
        outside = target[~inside], source[~inside]
        target, source = target[inside] - start, source[inside]
        payer = np.full(count, -1, np.int32)
        to_copy = is_copy[target]
        payer[target[to_copy]] = source[to_copy]
        target, source = target[~to_copy], source[~to_copy]
        owed = np.full((2, PAD + self.each), at, np.int32)  # nothing is ever paid there
        first_, other = owed[:, PAD:]
        theirs = position[place[target]]
        first_[theirs] = source
        again = first_[theirs] != source
        other[theirs[again]] = source[again]

        # sums, by the places of what they belong to
        totals = at + PAD + slots * self.each
        belongs = first[fans]
        own = belongs >= start
        where = np.full(len(fans), len(rows), np.int64)
        where[own] = position[place[belongs[own] - start]]
        turn = np.lexsort(
            (sizes, np.searchsorted(self.runs[:, 1], where, side="right"))
        )  # by run, equal lengths together
        where, fans, sizes, belongs, own = where[turn], fans[turn], sizes[turn], belongs[turn], own[turn]
        first_[where[own]] = totals + np.flatnonzero(own)
        ends = np.append(self.runs[:, 1], [len(rows), len(rows) + 1])
        self.sums_of = np.searchsorted(np.sort(where), ends).astype(np.int32)
        self.places_of = np.append(0, np.cumsum(sizes)).astype(np.int32)
        copies = np.repeat(fans, sizes) + np.arange(sizes.sum()) - np.repeat(self.places_of[:-1], sizes)
        self.places = np.where(payer[copies] >= 0, payer[copies], self.number[copies]).astype(np.int32)
        self.totals, self.owed = totals, owed
        # what others pay: entries of other pieces, and whoever asks for a result
        theirs = np.zeros(count, bool)
        for column in (tape.first[stop - base :], tape.second[stop - base :], tape.wanted):
            theirs[column[(column >= start) & (column < stop)] - start] = True
        theirs &= ~is_copy
        mine = position[place[np.flatnonzero(theirs)]]
        column = np.where(first_[mine] == at, 0, 1)
        owed[column, PAD + mine] = start + mine
        self.left = np.append(start + mine, self.number[copies[payer[copies] < 0]]).astype(np.int32)
        others_ = belongs[~own], (totals + np.flatnonzero(~own)).astype(np.int32)
        self.others = [np.concatenate(pair).astype(np.int32) for pair in zip(outside, others_, strict=True)]
        self.room = PAD + slots * self.each + len(fans)
        self.slots = slots

    def _original(self, column: Array, original: Array) -> Array:
        """What stands behind numbers of copies."""
        made = column.copy()
        inside = made >= self.start
        made[inside] = original[made[inside] - self.start]
        return made

    def renumbered(self, column: Array) -> Array:
        """Numbers as they are now."""
        made = column.copy()
        inside = (made >= self.start) & (made < self.stop)
        made[inside] = self.number[made[inside] - self.start]
        return made

    def words(self, values: int) -> tuple[int, ...]:
        """What both directions are told; values: where these stand."""
        columns = [address(column) + 4 * PAD for column in self.columns]
        columns += columns[:1] * (3 - len(columns))
        return values, values + 8 * self.start, *columns, address(self.kinds) + PAD, address(self.runs), len(self.runs)

    def forward_words(self, values: int) -> tuple[int, ...]:
        return *self.words(values), *map(address, self.late), len(self.late[0])

    def reverse_words(self, values: int, bars: int) -> tuple[int, ...]:
        paid = [bars + 8 * (self.at + PAD + min(k, self.slots - 1) * self.each) for k in range(3)]
        owed = [address(column) + 4 * PAD for column in self.owed]
        sums = *(address(column) for column in (self.sums_of, self.places_of, self.places)), bars + 8 * self.totals
        others = *map(address, self.others), len(self.others[0])
        return *self.words(values), bars, *paid, *owed, *sums, *others, address(self.left), len(self.left)


def _in_order(needs: list[Array], code: Array, run: Callable[..., None]) -> tuple[Array, Array]:
    """The order of the rows by blocks, levels and cases, and its runs: (case, first row, how many) of each.

    needs: for each argument the row that it is, or -1.
    """
    local = np.full((3, len(code)), -1, np.int32)
    local[: len(needs)] = needs
    levels = np.zeros(len(code), np.int32)
    run(Levels(1), *(address(column) for column in (*local, levels)), len(code), BLOCK)
    case_of = np.arange(256, dtype=np.int64)
    case_of[list(_blended())] = BLEND
    key = (np.arange(len(code)) // BLOCK * (int(levels.max(initial=0)) + 1) + levels) * 256 + case_of[code]
    order = np.argsort(key, kind="stable")
    begins = np.flatnonzero(np.diff(key[order], prepend=-1))
    cases = case_of[code[order[begins]]]
    return order, np.stack([cases, begins, np.diff(begins, append=len(code))], 1).astype(np.int32)


def _blended() -> dict[int, str]:
    """The cases that run as one, by their numbers."""
    return {number: case.name for number, case in enumerate(operations()) if case is not None and case.name in BLENDED}


def _pays(slot: int) -> Array:
    """Which cases pay their argument in a slot."""
    cases = (slot in case.paid if case is not None else False for case in operations())
    return np.fromiter(cases, bool, len(operations()))


def _padded(column: Array) -> Array:
    """With places before and behind it that whole vectors may reach."""
    return np.concatenate([np.zeros(PAD, column.dtype), column, np.zeros(PAD, column.dtype)])
