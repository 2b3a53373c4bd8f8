"""Which parts of a tape are rounds of a loop.

A loop of the user's program leaves the same cases again and again.  Distances between equal stretches of cases are
tried as lengths of a round; where cases repeat with one for long enough, a round is written out in machine code of its
own (`replay_rounds.py`).  What the arguments are may differ from round to round: then a column says it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from payback.native.tape.cases import FAN, FAN_END, Operation, arity, operations
from payback.native.tape.replay_rounds import Entry, Operand, before, inside

Array = np.ndarray[Any, Any]
LONGEST = 300  # entries of a round: LLVM compiles them within some tenths of a second
FEWEST = 16  # rounds
WINDOW = 48  # cases that are looked for again
TRIES = 40
SMALLEST = 2000  # entries that are worth code of their own


class Piece(NamedTuple):
    """Entries from start to stop, numbered as values are.

    entries: those of one round; runs: equal cases put together; None and None: the switch has them
    """

    start: int
    stop: int
    entries: tuple[Entry, ...] | None = None
    runs: Any = None


def pieces(tape: Any, ordered: Callable[[int, int], Any]) -> list[Piece]:
    """The whole tape in order.

    ordered: puts entries of the tape, from one to another, in another order, and says how; None where that is not worth
    it.
    """
    base, size = tape.base, tape.size
    uses = _uses(tape)
    made: list[Piece] = []
    left, at = 4 * LONGEST, base

    def fill(stop: int, near: int) -> None:
        """What lies before `stop`; the last `near` entries keep their places."""
        if at < stop:
            cut = _cut(tape, at, stop - near)
            runs = ordered(at, cut)
            if runs is None:
                made.append(Piece(at, stop))
            else:
                uses[runs.number] = uses[runs.start : runs.stop].copy()
                made.append(Piece(at, cut, runs=runs))
                if cut < stop:
                    made.append(Piece(cut, stop))

    for a, b, period in _repeats(tape.codes.tobytes(), tape.codes, 0, size - base):
        found = _round(tape, uses, a, b, period) if period <= left else None
        if found is None:
            continue
        assert found.entries is not None
        left -= period
        far = max((part.back - j for j, entry in enumerate(found.entries) for part in entry.operands), default=0)
        fill(found.start, max(far, period))
        if any(piece.runs is not None for piece in made[-2:]):
            found = _round(tape, uses, a, b, period)  # with the numbers as they are now
            assert found is not None
        made.append(found)
        at = found.stop
    fill(size, 0)
    return made


def _cut(tape: Any, start: int, stop: int) -> int:
    """The last place up to `stop` that is not inside a fan, nor before a row of three arguments."""
    base, cases = tape.base, operations()
    while stop > start:
        code, last = tape.codes[stop - base] if stop < tape.size else 0, tape.codes[stop - 1 - base]
        if arity(cases[code]) < 3 and (code != FAN_END) and last != FAN and not _inside_fan(tape, stop):
            return stop
        stop -= 1
    return stop


def _inside_fan(tape: Any, at: int) -> bool:
    codes = tape.codes[: at - tape.base]
    for k in range(len(codes) - 1, -1, -1):  # copies between the ends of a fan are no rows
        if codes[k] == FAN:
            return True
        if codes[k] != 0:
            return False
    return False


def _uses(tape: Any) -> Array:
    """For each number, how many rows and fans have it as an argument; that of a result is too large for any round."""
    count = np.zeros(tape.size, np.int64)
    kinds = np.array([arity(case) for case in operations()], np.int8)[tape.codes]
    for least, column in ((1, tape.first), (2, tape.second)):
        count += np.bincount(column[kinds >= least], minlength=tape.size)
    thirds = np.flatnonzero(kinds == 3)
    count += np.bincount(tape.first[thirds - 1], minlength=tape.size)
    count += np.bincount(tape.first[tape.codes == FAN], minlength=tape.size)
    count[tape.wanted] = 1 << 40
    return count


def _repeats(text: bytes, codes: Array, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, period) of stretches that repeat, in order."""
    if high - low < max(SMALLEST, 2 * WINDOW):
        return
    middle = (low + high) // 2
    best = (0, 0, 0)
    for window in {middle, low + (high - low) // 4}:
        window = min(window, high - WINDOW)
        pattern, at = text[window : window + WINDOW], window
        for _ in range(TRIES):
            at = text.find(pattern, at + 1, min(high, window + LONGEST + WINDOW))
            if at < 0:
                break
            period = at - window
            same = codes[low : high - period] == codes[low + period : high]
            other = np.flatnonzero(~same)
            k = int(np.searchsorted(other, window - low))
            start = int(other[k - 1]) + 1 if k else 0
            stop = (int(other[k]) if k < len(other) else len(same)) + period
            if stop - start > max(1.2 * (best[1] - best[0]), FEWEST * period, SMALLEST):
                best = (low + start, low + stop, period)
            if stop - start == high - low:
                break
    if best[2]:
        yield from _repeats(text, codes, low, best[0])
        yield best
        yield from _repeats(text, codes, best[1], high)


def _round(tape: Any, uses: Array, a: int, b: int, period: int) -> Piece | None:
    """The piece of a stretch that repeats; it begins where a round can."""
    base, cases = tape.base, operations()
    codes = tape.codes
    for start in range(a, min(a + period, b)):  # not inside a fan, nor before a row of three arguments
        fans = np.flatnonzero((codes[a:start] == FAN) | (codes[a:start] == FAN_END))
        open_ = len(fans) and codes[a + fans[-1]] == FAN
        first_end = codes[start : start + period].tolist()
        ends = [case for case in first_end if case in (FAN, FAN_END)]
        if not open_ and (not ends or ends[0] == FAN) and arity(cases[codes[start]]) < 3:
            break
    else:
        return None
    rounds = (b - start) // period
    if rounds <= FEWEST:
        return None
    stop = start + rounds * period
    body = codes[start : start + period].tolist()
    # all rounds but the first, which is left to the switch: what it takes from before may be anything
    first = start + period
    numbers = np.arange(base + first, base + stop, dtype=np.int64).reshape(rounds - 1, period)
    columns = [column[first:stop].reshape(rounds - 1, period) for column in (tape.first, tape.second)]

    def operand(j: int, column: int, shift: int = 0) -> Operand:
        said = columns[column][:, j - shift]
        back = numbers[:, j] - said
        if (back == back[0]).all():
            return Operand(int(back[0]))
        step = int(said[1]) - int(said[0])
        if not (np.diff(said) == step).all():
            return Operand(0, column, shift)
        at, there, head = lines.setdefault(step, (j - shift, column, int(said[0])))
        return Operand(0, there, shift, at, int(said[0]) - head, not step and bool(said[0] < base + first))

    lines: dict[int, tuple[int, int, int]] = {}  # step -> the entry that is counted from, its column, what that says
    entries: list[Entry] = []
    inner = [0] * period  # how many entries of the same round use it
    following = [0] * period  # of the next round
    for j, code in enumerate(body):
        case = cases[code]
        if len(entries) > j:  # a copy
            continue
        if code == FAN:
            count = tape.second[start + j : stop : period]
            if (count != count[0]).any() or j + count[0] > period:
                return None
            made = Entry("fan", operands=(operand(j, 0),), count=int(count[0]))
            if (
                inside(j, made.operands[0]) is not None
                and base + start + j - tape.first[start + j] != made.operands[0].back
            ):
                return _round(tape, uses, a + period, b, period)
            entries += [made, *[Entry("copy")] * (made.count - 1)]
        elif type(case) is Operation:
            places = [(0, 0), (1, 0), (0, 1)][: arity(case)]
            operands = tuple(operand(j, column, shift) for column, shift in places)
            entries.append(Entry("row", case.name, case.paid, operands))
        else:
            entries.append(Entry("rest"))
    if not any(entry.kind == "row" for entry in entries):
        return None
    for j, entry in enumerate(entries):
        if entry.kind in ("row", "fan"):
            for part in entry.operands:
                for at, count in ((inside(j, part), inner), (before(entries, j, part), following)):
                    if at is not None:
                        count[at] += 1
    used = uses[base + first : base + stop].reshape(rounds - 1, period)
    own, both = np.array(inner), np.array(inner) + following
    private = (used == own).all(axis=0)
    hidden = (used[:-1] == both).all(axis=0) & (used[-1] >= own)
    finished = [entry._replace(private=bool(private[j]), hidden=bool(hidden[j] or private[j]))
                for j, entry in enumerate(entries)]  # fmt: skip
    return Piece(base + first, base + stop, tuple(finished))
