"""The replay of what a loop has recorded: its entries round by round, the code of one round written out.

Where the same cases follow each other again and again no switch is needed.  What a round computes stays in registers
for what uses it in the same round and in the next one, forwards and backwards; of what nobody else uses, only what the
way back needs is kept, in blocks of some rounds.  Partials that take long (of sin, div, …) depend on values alone:
on the way back they are computed for several rounds at once, before these rounds pay each other one after another.
The result is that of `replay.py`, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir

from payback.native.emit import BIT, FLOAT64, INT, INT32, POINTER, Emitter, lanes_of
from payback.native.lower.cases import (
    NOTHING,
    Lane,
    Registers,
    facts_of,
    initial,
    is_truth,
    partial_of,
    value_of,
)
from payback.native.lower.paying import Bar, plus, times


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


class _Round:
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


class _Forwards(_Round):
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


class ReverseRounds(NamedTuple):
    """args: codes, first, second, values, adjoints, then as forwards: what these entries pay, from the last round to
    the first."""

    version: int
    sure: bool
    entries: Entries

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Backwards(e, function, self.entries, self.sure), e.b
        bars = r.begin()
        top, chunk, body, after, done = (
            b.block, *(b.append_basic_block(name) for name in ("chunk", "round", "after", "done"))
        )  # fmt: skip
        b.branch(chunk)
        b.position_at_end(chunk)
        stop = b.phi(INT)
        stop.add_incoming(r.rounds, top)
        outer = r.phis(bars, top)
        start = b.and_(b.sub(stop, e.int(1)), e.int(-r.wide)) if r.ahead else e.int(0)
        r.look_ahead(start)
        entered = b.block
        b.branch(body)
        b.position_at_end(body)
        turn = b.phi(INT)
        turn.add_incoming(stop, entered)
        inner = r.phis(outer, entered)
        following = b.sub(turn, e.int(1))
        r.enter(following)
        r.begun = start
        paid = r.pay_all(inner)
        turn.add_incoming(following, b.block)
        r.join(inner, paid)
        b.cbranch(b.icmp_signed(">", following, start), body, after)
        b.position_at_end(after)
        stop.add_incoming(start, after)
        r.join(outer, paid)
        b.cbranch(b.icmp_signed(">", start, e.int(0)), chunk, done)
        b.position_at_end(done)
        r.end(paid)
        b.ret(e.int(0))


class _Backwards(_Round):
    def __init__(self, e: Emitter, function: ir.Function, entries: Entries, sure: bool):
        super().__init__(e, function, entries, 5)
        self.sure = sure
        self.bars = e.b.inttoptr(self.args[4], POINTER)
        self.many = Registers(e, self.wide)
        self.ahead = {
            (j, slot): k
            for k, (j, slot) in enumerate(
                (j, slot) for j, entry in enumerate(entries) for slot in entry.paid if facts_of(entry.name, slot).slow
            )
        }
        if self.ahead:
            room = e.b.alloca(ir.ArrayType(FLOAT64, self.wide * len(self.ahead)))
            self.room = e.b.inttoptr(e.b.ptrtoint(room, INT), POINTER)

    # carried adjoints: those of hidden entries, which the next round has paid

    def begin(self) -> dict[int, Bar]:
        """What others have paid to the last round."""
        period = len(self.entries)
        last = self.b.add(self.start, self.b.mul(self.b.sub(self.rounds, self.e.int(1)), self.e.int(period)))
        made = {}
        for j, entry in enumerate(self.entries):
            if entry.hidden and not entry.private and entry.kind != "rest":
                place = self.b.add(last, self.e.int(j))
                made[j] = self.read(place)
                self.e.store(initial(self.sure), self.bars, place)
        return made

    def phis(self, bars: dict[int, Bar], block: ir.Block) -> dict[int, Bar]:
        made = {}
        for j, bar in bars.items():
            value, paid = self.b.phi(FLOAT64), None if bar.paid is None else self.b.phi(BIT)
            made[j] = Bar(value, paid)
            value.add_incoming(bar.value, block)
            if paid is not None:
                paid.add_incoming(bar.paid, block)
        return made

    def join(self, phis: dict[int, Bar], bars: dict[int, Bar]) -> None:
        for j, phi in phis.items():
            phi.value.add_incoming(bars[j].value, self.b.block)
            if phi.paid is not None:
                phi.paid.add_incoming(bars[j].paid, self.b.block)

    def end(self, bars: dict[int, Bar]) -> None:
        """What the first round has paid to the round before."""
        for j, bar in bars.items():
            place = self.b.add(self.start, self.e.int(j - len(self.entries)))
            self.write(place, plus(self.m, self.read(place), bar))

    # partials that take long, for several rounds at once

    def look_ahead(self, first: ir.Value) -> None:
        """Those of `width` rounds from this one on."""
        if not self.ahead:
            return
        e, b, held = self.e, self.b, {}
        self.enter(first)

        def vector(at: Any) -> ir.Value:
            """Of lane numbers: a value for each."""
            made: ir.Value = ir.Constant(self.many.number, ir.Undefined)
            for lane in range(self.wide):
                made = b.insert_element(made, at(lane), INT32(lane))
            return made

        def of_round(lane: int) -> ir.Value:  # the last one again where there are no more
            r, last = b.add(first, e.int(lane)), b.sub(self.rounds, e.int(1))
            return b.select(b.icmp_signed("<", r, last), r, last)

        def start_of(lane: int) -> ir.Value:
            return b.add(self.start, b.mul(of_round(lane), e.int(len(self.entries))))

        def entry_value(j: int, earlier: bool) -> ir.Value:
            if (j, earlier) not in held:
                if self.entries[j].hidden and not earlier:
                    held[j, earlier] = e.load(self.stash, self.stashed(j), FLOAT64, self.wide)
                elif self.entries[j].hidden:
                    shift = e.int(self.wide * self.kept[j])
                    rows = (self.row_of(b.add(first, e.int(k - 1))) for k in range(self.wide))
                    held[j, earlier] = vector(lambda k: e.load(self.stash, b.add(next(rows), shift), FLOAT64))
                else:
                    shift = e.int(j - (len(self.entries) if earlier else 0))
                    held[j, earlier] = vector(lambda k: e.load(self.values, b.add(start_of(k), shift), FLOAT64))
            return held[j, earlier]

        def read(j: int, slot: int) -> ir.Value:
            operand = self.entries[j].operands[slot]
            target = self.inside(j, operand)
            if target is not None:
                return entry_value(self.original(target), False)
            target = self.before(j, operand)
            if target is not None:
                return entry_value(self.original(target), True)
            if operand.still:
                return e.splat(self.fixed[operand._replace(shift=0)], self.wide)

            def one(lane: int) -> ir.Value:
                self.enter(of_round(lane))
                return e.load(self.values, self.place(j, operand), FLOAT64)

            return vector(one)

        for (j, slot), number in self.ahead.items():
            entry, reads = self.entries[j], facts_of(self.entries[j].name, slot).reads
            lanes: list[Any] = []
            for k in range(len(entry.operands)):
                v = read(j, k) if k in reads else None
                if v is not None and is_truth(entry.name, k):
                    v = b.fcmp_unordered("!=", v, ir.Constant(self.many.number, [FLOAT64(0.0)] * self.wide))
                lanes.append(None if v is None else Lane(self.many, v))
            y = Lane(self.many, entry_value(self.original(j), False)) if -1 in reads else None
            made = partial_of(self.many, entry.name, slot, lanes, y)
            e.store(made.v, self.room, self.wide * number)

    def partial(self, j: int, slot: int) -> Any:
        entry = self.entries[j]
        number = self.ahead.get((j, slot))
        if number is not None:
            at = self.b.add(self.e.int(self.wide * number), self.b.sub(self.r, self.begun))
            return Lane(self.m, self.e.load(self.room, at, FLOAT64))
        reads = facts_of(entry.name, slot).reads
        y = Lane(self.m, self.value(j)) if -1 in reads else None
        return partial_of(self.m, entry.name, slot, self.lanes(j, reads), y)

    # one round

    def pay_all(self, carried: dict[int, Bar]) -> dict[int, Bar]:
        """What is paid in this round; returns what it pays to hidden entries of the round before."""
        entries = self.entries
        piles: dict[int, list[Bar]] = {}
        earlier: dict[int, list[Bar]] = {}

        def owed(j: int) -> Bar | None:
            """All that an entry was paid: what later rounds paid first."""
            pile = list(piles.get(j, []))
            if j in carried:
                pile.insert(0, carried[j])
            elif not entries[j].private:
                pile.insert(0, self.read(self.at(j)))
                if entries[j].kind != "rest":  # as it was before
                    self.e.store(initial(self.sure), self.bars, self.at(j))
            return self.total(pile)

        def pay(j: int, operand: Operand, bar: Bar | None) -> None:
            if bar is None:
                return
            target = self.inside(j, operand)
            if target is not None:
                piles.setdefault(target, []).append(bar)
                return
            target = self.before(j, operand)
            if target is not None:
                earlier.setdefault(target, []).append(bar)
                return
            place = self.place(j, operand)
            self.write(place, plus(self.m, self.read(place), bar))

        for j in reversed(range(len(entries))):
            entry = entries[j]
            if entry.kind == "row":
                bar = owed(j)
                if bar is None or not entry.paid:
                    continue
                for slot in reversed(entry.paid):
                    pay(j, entry.operands[slot], times(self.m, bar, self.partial(j, slot)))
            elif entry.kind == "fan":
                pile = [owed(i) for i in range(j, j + entry.count)]  # in the order of the payers
                pay(j, entry.operands[0], self.total([bar for bar in pile if bar is not None]))
            elif entry.kind == "rest" and j in piles:
                self.write(self.at(j), owed(j))
        nobody = Bar(initial(self.sure), None if self.sure else BIT(0))
        return {j: self._flagged(self.total(earlier.get(j, [])) or nobody) for j in carried}

    def _flagged(self, bar: Bar) -> Bar:
        return bar if self.sure or bar.paid is not None else Bar(bar.value, BIT(1))

    def total(self, pile: Sequence[Bar]) -> Bar | None:
        total: Bar | None = None
        for bar in pile:
            total = bar if total is None else plus(self.m, total, bar)
        return total

    def read(self, place: ir.Value) -> Bar:
        value = self.e.load(self.bars, place, FLOAT64)
        return Bar(value, None if self.sure else self.b.icmp_signed("!=", self.b.bitcast(value, INT), INT(NOTHING)))

    def write(self, place: ir.Value, bar: Bar | None) -> None:
        assert bar is not None
        value = bar.value
        if bar.paid is not None:
            value = self.b.select(bar.paid, value, self.b.bitcast(INT(NOTHING), FLOAT64))
        self.e.store(value, self.bars, place)
