"""The replay of what a loop has recorded: its entries round by round, the code of one round written out.

Where the same cases follow each other again and again no switch is needed: what a round computes stays in registers
for what uses it in the same round, forwards and backwards.  The result is that of `replay.py`, to the bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from payback.native.emit import BIT, FLOAT64, INT, INT32, POINTER, Emitter
from payback.native.lower.cases import NOTHING, Lane, Registers, bit_of, initial, is_truth, partial_of, value_of
from payback.ops.namespace import Select


class Operand(NamedTuple):
    """Where an argument is: so many entries back; or (0 back) where the column says, `shift` entries before this one.

    still: the column says the same in all rounds, a place before the first of them.
    """

    back: int
    column: int = 0
    shift: int = 0
    still: bool = False


class Entry(NamedTuple):
    """One entry of a round.

    kind      "rest", "row", "fan" (the first of `count` copies) or "copy" (a further one)
    private   only entries of the same round use it
    """

    kind: str
    name: str = ""
    paid: tuple[int, ...] = ()
    operands: tuple[Operand, ...] = ()
    private: bool = False
    count: int = 0


class Bar(NamedTuple):
    """An adjoint in registers, and whether anybody has paid it; None: surely."""

    value: ir.Value
    paid: ir.Value | None


class _Round:
    """One round as it is written: what is in registers already."""

    def __init__(self, e: Emitter, function: ir.Function, entries: tuple[Entry, ...], words: int):
        self.e, self.b, self.m, self.entries = e, e.b, Registers(e), entries
        args = [e.load(function.args[1], k, INT) for k in range(words)]
        self.columns = [e.b.inttoptr(args[k], POINTER) for k in (1, 2)]
        self.values = e.b.inttoptr(args[3], POINTER)
        self.args = args
        self.held: dict[int, ir.Value] = {}
        self.bits: dict[int, ir.Value] = {}
        self.fixed: dict[Operand, ir.Value] = {}  # what no round changes
        self.k: ir.Value = e.int(0)

    def hoist(self, start: ir.Value) -> None:
        """Before the loop: what all rounds read."""
        for j, entry in enumerate(self.entries):
            for operand in entry.operands:
                if operand.still:
                    key = operand._replace(shift=operand.shift - j)
                    place = self._column(operand, self.b.add(start, self.e.int(j)))
                    self.fixed[key] = self.e.load(self.values, place, FLOAT64)

    def _column(self, operand: Operand, k: ir.Value) -> ir.Value:
        at = self.b.sub(k, self.e.int(operand.shift)) if operand.shift else k
        return self.b.sext(self.e.load(self.columns[operand.column], at, INT32), INT)

    def at(self, j: int) -> ir.Value:
        return self.b.add(self.k, self.e.int(j)) if j else self.k

    def place(self, j: int, operand: Operand) -> ir.Value:
        if operand.back:
            return self.b.add(self.k, self.e.int(j - operand.back))
        return self._column(operand, self.at(j))

    def inside(self, j: int, operand: Operand) -> int | None:
        """The entry of this round that it is."""
        return j - operand.back if 0 < operand.back <= j else None

    def original(self, j: int) -> int:
        """Of a copy in this round, what it was copied from, if that is in this round too."""
        while self.entries[j].kind == "copy":
            j -= 1
        inside = self.inside(j, self.entries[j].operands[0]) if self.entries[j].kind == "fan" else None
        return j if inside is None else inside

    def value(self, j: int) -> ir.Value:
        j = self.original(j)
        if j not in self.held:
            self.held[j] = self.e.load(self.values, self.at(j), FLOAT64)
        return self.held[j]

    def lanes(self, j: int) -> list[Lane]:
        entry, made = self.entries[j], []
        for slot, operand in enumerate(entry.operands):
            target = self.inside(j, operand)
            truth = is_truth(entry.name, slot)
            if target is not None and truth and (bit := self.bits.get(self.original(target))) is not None:
                made.append(Lane(self.m, bit))
                continue
            if target is not None:
                v = self.value(target)
            elif operand.still:
                v = self.fixed[operand._replace(shift=operand.shift - j)]
            else:
                v = self.e.load(self.values, self.place(j, operand), FLOAT64)
            made.append(Lane(self.m, self.b.fcmp_unordered("!=", v, FLOAT64(0.0)) if truth else v))
        return made


class ForwardRounds(NamedTuple):
    """args: codes, first, second, values, start, stop: the values of these entries, whole rounds."""

    version: int
    entries: tuple[Entry, ...]

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Round(e, function, self.entries, 6), e.b
        start, stop = r.args[4:]
        r.hoist(start)
        before, body, done = b.block, b.append_basic_block("round"), b.append_basic_block("done")
        b.branch(body)
        b.position_at_end(body)
        r.k = k = b.phi(INT)
        k.add_incoming(start, before)
        for j, entry in enumerate(self.entries):
            if entry.kind == "row":
                v = value_of(r.m, entry.name, r.lanes(j)).v
                if v.type == BIT:
                    r.bits[j], v = v, b.uitofp(v, FLOAT64)
                r.held[j] = v
                e.store(v, r.values, r.at(j))
            elif entry.kind == "fan":
                target = r.inside(j, entry.operands[0])
                copied = e.load(r.values, r.place(j, entry.operands[0]), FLOAT64) if target is None else r.value(target)
                r.held[j] = copied
                for i in range(j, j + entry.count):
                    if not self.entries[i].private:
                        e.store(copied, r.values, r.at(i))
        following = b.add(k, e.int(len(self.entries)))
        k.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, stop), body, done)
        b.position_at_end(done)
        b.ret(e.int(0))


class ReverseRounds(NamedTuple):
    """args: codes, first, second, values, adjoints, start, stop: what these entries pay, from the last to the first."""

    version: int
    sure: bool
    entries: tuple[Entry, ...]

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Round(e, function, self.entries, 7), e.b
        bars = b.inttoptr(r.args[4], POINTER)
        start, stop = r.args[5:]
        r.hoist(start)
        before, body, done = b.block, b.append_basic_block("round"), b.append_basic_block("done")
        last = b.sub(stop, e.int(len(self.entries)))
        b.branch(body)
        b.position_at_end(body)
        r.k = k = b.phi(INT)
        k.add_incoming(last, before)
        piles: dict[int, list[Bar]] = {}

        def owed(j: int) -> Bar | None:
            """All that an entry was paid: later rounds have left it in memory."""
            pile = list(piles.get(j, []))
            if not self.entries[j].private:
                pile.insert(0, self._read(e, bars, r.at(j)))
                if self.entries[j].kind != "rest":  # as it was before; a leaf is read in the end
                    e.store(initial(self.sure), bars, r.at(j))
            total = None
            for bar in pile:
                total = bar if total is None else self._plus(e, total, bar)
            return total

        def pay(j: int, operand: Any, bar: Bar | None) -> None:
            if bar is None:
                return
            target = r.inside(j, operand)
            if target is not None:
                piles.setdefault(target, []).append(bar)
                return
            place = r.place(j, operand)
            self._write(e, bars, place, self._plus(e, self._read(e, bars, place), bar))

        for j in reversed(range(len(self.entries))):
            entry = self.entries[j]
            if entry.kind == "row":
                bar = owed(j)
                if bar is None or not entry.paid:
                    continue
                lanes, y = r.lanes(j), Lane(r.m, r.value(j))
                for slot in reversed(entry.paid):
                    pay(j, entry.operands[slot], self._times(e, bar, partial_of(r.m, entry.name, slot, lanes, y)))
            elif entry.kind == "fan":
                total = None
                for i in range(j, j + entry.count):  # in the order of the payers
                    bar = owed(i)
                    if bar is not None:
                        total = bar if total is None else self._plus(e, total, bar)
                pay(j, entry.operands[0], total)
            elif entry.kind == "rest" and j in piles:  # a leaf: read from memory in the end
                self._write(e, bars, r.at(j), owed(j))
        following = b.sub(k, e.int(len(self.entries)))
        k.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed(">=", following, start), body, done)
        b.position_at_end(done)
        b.ret(e.int(0))

    def _read(self, e: Emitter, bars: ir.Value, place: ir.Value) -> Bar:
        value = e.load(bars, place, FLOAT64)
        return Bar(value, None if self.sure else e.b.icmp_signed("!=", e.b.bitcast(value, INT), INT(NOTHING)))

    def _write(self, e: Emitter, bars: ir.Value, place: ir.Value, bar: Bar | None) -> None:
        assert bar is not None
        value = bar.value
        if bar.paid is not None:
            value = e.b.select(bar.paid, value, e.b.bitcast(INT(NOTHING), FLOAT64))
        e.store(value, bars, place)

    def _plus(self, e: Emitter, one: Bar, other: Bar) -> Bar:
        b = e.b
        total = b.fadd(one.value, other.value)
        if one.paid is None or other.paid is None:
            if one.paid is not None:
                total = b.select(one.paid, total, other.value)
            if other.paid is not None:
                total = b.select(other.paid, total, one.value)
            return Bar(total, None)
        total = b.select(one.paid, b.select(other.paid, total, one.value), other.value)
        return Bar(total, b.or_(one.paid, other.paid))

    def _times(self, e: Emitter, bar: Bar, partial: Any) -> Bar | None:
        """bar × partial; of a choice, the side that was taken, and nothing where that pays nothing."""
        b = e.b
        if partial is None:
            return None
        if type(partial) is Select:
            condition = bit_of(partial.condition)
            high, low = self._times(e, bar, partial.high), self._times(e, bar, partial.low)
            if high is None and low is None:
                return None
            taken = BIT(1) if bar.paid is None else bar.paid
            never = Bar(FLOAT64(0.0), BIT(0))
            high, low = high or never, low or never
            paid = None
            if high.paid is not None or low.paid is not None:
                paid = b.select(condition, *(taken if side.paid is None else side.paid for side in (high, low)))
            return Bar(b.select(condition, high.value, low.value), paid)
        if type(partial) is Lane:
            return Bar(b.fmul(bar.value, partial.v), bar.paid)
        if partial == 1.0:
            return bar
        return Bar(b.fneg(bar.value) if partial == -1.0 else b.fmul(bar.value, FLOAT64(float(partial))), bar.paid)
