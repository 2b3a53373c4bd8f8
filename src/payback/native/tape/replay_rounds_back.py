"""The way back through rounds of a loop: what their entries pay; see `rounds.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, FLOAT64, INT, INT32, POINTER, Emitter
from payback.native.tape.cases import NOTHING, Lane, Registers, facts_of, initial, is_truth, partial_of
from payback.native.tape.paying import Bar, plus, times
from payback.native.tape.replay_rounds import Entries, Operand, Round


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


class _Backwards(Round):
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
                if self.entries[j].hidden and not earlier:  # of the first: others may have been entered meanwhile
                    at = b.add(self.row_of(first), e.int(self.wide * self.kept[j]))
                    held[j, earlier] = e.load(self.stash, at, FLOAT64, self.wide)
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
