"""The replay of what a loop has recorded: its entries round by round, the code of one round written out.

Where the same cases follow each other again and again no switch is needed.  What a round computes stays in registers
for what uses it in the same round and in the next one, forwards and backwards; of what nobody else uses, only what the
way back needs is kept, in blocks of some rounds.  Partials that take long (of sin, div, …) depend on values alone:
on the way back (`replay_rounds_back.py`) they are computed for several rounds at once, before these rounds pay each
other one after another.  The result is that of `replay.py`, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, FLOAT64, INT, INT32, POINTER, Emitter, lanes_of
from payback.native.tape.cases import (
    Lane,
    Registers,
    facts_of,
    is_truth,
    value_of,
)


class Operand(NamedTuple):
    """Where an argument is: so many entries back; or (0 back) where the column says, `shift` entries before this one.

    line: the column's numbers rise by the same from round to round; they are those that `column` says for the entry
    `line`, `ahead` of them.
    still: they do not rise at all, and what stands there was there before the rounds.
    """

    back: int
    column: int = 0
    shift: int = 0
    line: int | None = None
    ahead: int = 0
    still: bool = False


class Entry(NamedTuple):
    """One entry of a round.

    kind      "rest", "row", "fan" (the first of `count` copies) or "copy" (a further one)
    private   only entries of the same round use it
    hidden    only entries of the same round and the next one use it; of the last round others may
    """

    kind: str
    name: str = ""
    paid: tuple[int, ...] = ()
    operands: tuple[Operand, ...] = ()
    private: bool = False
    hidden: bool = False
    count: int = 0


Entries = tuple[Entry, ...]


def inside(j: int, operand: Operand) -> int | None:
    """The entry of the same round that an argument of entry j is."""
    return j - operand.back if 0 < operand.back <= j else None


def before(entries: Sequence[Entry], j: int, operand: Operand) -> int | None:
    """The entry of the round before that it is."""
    at = j - operand.back + len(entries)
    return at if operand.back > j and at >= 0 else None


def original(entries: Sequence[Entry], j: int) -> int:
    """Of a copy, what it was copied from, if that is in the same round, else the first copy."""
    while entries[j].kind == "copy":
        j -= 1
    found = inside(j, entries[j].operands[0]) if entries[j].kind == "fan" else None
    return j if found is None else found


@cache
def kept_values(entries: Entries) -> dict[int, int]:
    """The entries whose values the way back reads, that are hidden -> their rows."""
    found: set[int] = set()
    for j, entry in enumerate(entries):
        for slot in entry.paid:
            for read in facts_of(entry.name, slot).reads:
                at: int | None = j
                if read >= 0:
                    operand = entry.operands[read]
                    at = inside(j, operand)
                    if at is None:
                        at = before(entries, j, operand)
                        at = None if at is None or not entries[at].hidden else at
                if at is not None:
                    found.add(original(entries, at))
    return {j: k for k, j in enumerate(sorted(j for j in found if entries[j].hidden))}


class Round:
    """What both directions read; one round as it is written: what is in registers already."""

    def __init__(self, e: Emitter, function: ir.Function, entries: Entries, words: int):
        self.e, self.b, self.m, self.entries = e, e.b, Registers(e), entries
        args = [e.load(function.args[1], k, INT) for k in range(words + 3)]
        self.columns = [e.b.inttoptr(args[k], POINTER) for k in (1, 2)]
        self.values = e.b.inttoptr(args[3], POINTER)
        self.args = args
        self.start, self.rounds, stash = args[words:]
        self.stash = e.b.inttoptr(stash, POINTER)
        self.kept = kept_values(entries)
        self.held: dict[int, ir.Value] = {}
        self.bits: dict[int, ir.Value] = {}
        self.fixed: dict[Operand, ir.Value] = {}  # what no round changes
        self.lines: dict[tuple[int, int], tuple[ir.Value, ir.Value]] = {}  # (column, entry) -> first number, step
        self.wide = lanes_of(FLOAT64)
        self.row: ir.Value | None = None  # where this round's kept values stand, and those of the round before
        self.row_before: ir.Value | None = None
        for entry in entries:
            for operand in entry.operands:
                if operand.line is not None:
                    first, _ = self._line(operand)
                    if operand.still:
                        at = e.b.add(first, e.int(operand.ahead))
                        self.fixed[operand._replace(shift=0)] = e.load(self.values, at, FLOAT64)

    def _line(self, operand: Operand) -> tuple[ir.Value, ir.Value]:
        """The first number of an argument's line, and the step."""
        assert operand.line is not None
        key = operand.column, operand.line
        if key not in self.lines:
            b = self.b
            first, second = (self._said(operand.column, b.add(self.start, self.e.int(operand.line + k)))
                             for k in (0, len(self.entries)))  # fmt: skip
            self.lines[key] = first, b.sub(second, first)
        return self.lines[key]

    def enter(self, r: ir.Value) -> None:
        """Write the code of round r from here."""
        self.r = r
        self.k = self.b.add(self.start, self.b.mul(r, self.e.int(len(self.entries))))
        self.held, self.bits = {}, {}
        self.row = self.row_before = None
        self.heads: dict[tuple[int, int], ir.Value] = {}  # of lines, in this round

    def _said(self, column: int, at: ir.Value) -> ir.Value:
        return self.b.sext(self.e.load(self.columns[column], at, INT32), INT)

    def at(self, j: int) -> ir.Value:
        return self.b.add(self.k, self.e.int(j)) if j else self.k

    def place(self, j: int, operand: Operand) -> ir.Value:
        """The number of an argument."""
        if operand.back:
            return self.at(j - operand.back)
        if operand.line is not None:
            key = operand.column, operand.line
            if key not in self.heads:
                first, step = self._line(operand)
                self.heads[key] = self.b.add(first, self.b.mul(self.r, step))
            return self.b.add(self.heads[key], self.e.int(operand.ahead))
        return self._said(operand.column, self.at(j - operand.shift))

    def inside(self, j: int, operand: Operand) -> int | None:
        return inside(j, operand)

    def before(self, j: int, operand: Operand) -> int | None:
        """The hidden entry of the round before that it is."""
        found = before(self.entries, j, operand)
        return found if found is not None and self.entries[found].hidden else None

    def original(self, j: int) -> int:
        return original(self.entries, j)

    def row_of(self, r: ir.Value) -> ir.Value:
        """Where the kept values of round r begin; they are `wide` apart."""
        b, shift = self.b, self.e.int(self.wide.bit_length() - 1)
        block = b.mul(b.ashr(r, shift), self.e.int(self.wide * len(self.kept)))
        return b.add(block, b.and_(r, self.e.int(self.wide - 1)))

    def stashed(self, j: int, earlier: bool = False) -> ir.Value:
        """Where the kept value of an entry of this round, or of the round before, stands."""
        if self.row is None:
            self.row = self.row_of(self.r)
        if earlier and self.row_before is None:
            self.row_before = self.row_of(self.b.sub(self.r, self.e.int(1)))
        row = self.row_before if earlier else self.row
        return self.b.add(row, self.e.int(self.wide * self.kept[j]))

    def value(self, j: int) -> ir.Value:
        """Of an entry of this round."""
        j = self.original(j)
        if j not in self.held:
            if self.entries[j].hidden:
                self.held[j] = self.e.load(self.stash, self.stashed(j), FLOAT64)
            else:
                self.held[j] = self.e.load(self.values, self.at(j), FLOAT64)
        return self.held[j]

    def earlier(self, j: int) -> ir.Value:
        """Of a hidden entry of the round before."""
        j = self.original(j)
        if self.entries[j].hidden:
            return self.e.load(self.stash, self.stashed(j, True), FLOAT64)
        return self.e.load(self.values, self.at(j - len(self.entries)), FLOAT64)

    def lanes(self, j: int, only: frozenset[int] | None = None) -> list[Any]:
        """The arguments of a row; None for those that are not read."""
        entry, made = self.entries[j], []
        for slot, operand in enumerate(entry.operands):
            if only is not None and slot not in only:
                made.append(None)
                continue
            target, truth = self.inside(j, operand), is_truth(entry.name, slot)
            if target is not None and truth and (bit := self.bits.get(self.original(target))) is not None:
                made.append(Lane(self.m, bit))
                continue
            if target is not None:
                v = self.value(target)
            elif (target := self.before(j, operand)) is not None:
                v = self.earlier(target)
            elif operand.still:
                v = self.fixed[operand._replace(shift=0)]
            else:
                v = self.e.load(self.values, self.place(j, operand), FLOAT64)
            made.append(Lane(self.m, self.b.fcmp_unordered("!=", v, FLOAT64(0.0)) if truth else v))
        return made


class ForwardRounds(NamedTuple):
    """args: codes, first, second, values, then start, rounds and the place of what is kept for the way back: the
    values of these entries."""

    version: int
    entries: Entries

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Forwards(e, function, self.entries, 4), e.b
        r.begin()
        top, body, done = b.block, b.append_basic_block("round"), b.append_basic_block("done")
        b.branch(body)
        b.position_at_end(body)
        turn = b.phi(INT)
        turn.add_incoming(e.int(0), top)
        r.carry(top)
        r.enter(turn)
        for j, entry in enumerate(self.entries):
            if entry.kind == "row":
                v = value_of(r.m, entry.name, r.lanes(j)).v
                if v.type == BIT:
                    r.bits[j], v = v, b.uitofp(v, FLOAT64)
                r.keep(j, v)
            elif entry.kind == "fan":
                operand = entry.operands[0]
                target = r.inside(j, operand)
                r.keep(j, r.lanes(j)[0].v if target is None else r.value(target), copied=target is not None)
                for i in range(j + 1, j + entry.count):
                    if not self.entries[i].hidden:
                        e.store(r.held[j], r.values, r.at(i))
        following = b.add(turn, e.int(1))
        turn.add_incoming(following, b.block)
        r.carried()
        b.cbranch(b.icmp_signed("<", following, r.rounds), body, done)
        b.position_at_end(done)
        for j, entry in enumerate(self.entries):  # what others may use of the last round
            if entry.hidden and not entry.private and entry.kind != "rest":
                e.store(r.value(j), r.values, r.at(j))
        b.ret(e.int(0))


class _Forwards(Round):
    def begin(self) -> None:
        """Before the first round: what the round before has left."""
        e, entries = self.e, self.entries
        self.last: dict[int, Any] = {}
        wanted = set(self.kept)
        for j, entry in enumerate(entries):
            for operand in entry.operands:
                target = self.before(j, operand)
                if target is not None:
                    self.last[self.original(target)] = None
        for j in sorted(wanted | set(self.last)):
            place = self.b.add(self.start, e.int(j - len(entries)))
            v = e.load(self.values, place, FLOAT64)
            if j in self.last:
                self.last[j] = v
            if j in wanted:
                row = self.row_of(e.int(-1))
                e.store(v, self.stash, self.b.add(row, e.int(self.wide * self.kept[j])))

    def carry(self, top: ir.Block) -> None:
        for j, v in self.last.items():
            phi = self.b.phi(FLOAT64)
            phi.add_incoming(v, top)
            self.last[j] = phi

    def carried(self) -> None:
        for j, phi in self.last.items():
            phi.add_incoming(self.value(j), self.b.block)

    def earlier(self, j: int) -> ir.Value:
        return self.last[self.original(j)]

    def keep(self, j: int, v: ir.Value, copied: bool = False) -> None:
        """A value that was computed; copied: it is that of another entry."""
        e = self.e
        self.held[j] = v
        if j in self.kept and not copied:
            e.store(v, self.stash, self.stashed(j))
        if not self.entries[j].hidden:
            e.store(v, self.values, self.at(j))
