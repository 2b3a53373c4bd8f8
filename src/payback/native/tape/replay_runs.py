"""The replay of entries that no loop has recorded: runs of equal cases that do not need each other, some lanes at once.

A run's results stand one behind another.  What its entries pay is written down in the same order, for each argument by
itself, and whoever is owed looks up the payments: so nothing is scattered, and no adjoint is read and written again.
The result is that of `replay.py`, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, BYTE, FLOAT64, INT, INT32, POINTER, Emitter, constant, lanes_of
from payback.native.tape.cases import (
    FAN,
    NOTHING,
    Lane,
    Operation,
    Registers,
    arity,
    facts_of,
    initial,
    is_truth,
    operations,
    partial_of,
    value_of,
)
from payback.native.tape.paying import Bar, plus, times

# Cheap cases of two arguments are one: what differs is chosen lane by lane, and their runs are longer for it.
BLENDED = ("add", "sub", "mul")
BLEND = FAN  # the number of their case: there are no fans in runs


class _Runs:
    """What both directions read."""

    def __init__(self, e: Emitter, function: ir.Function, words: int):
        self.e, self.b = e, e.b
        self.wide = lanes_of(FLOAT64)
        self.m = Registers(e, self.wide)
        args = [e.load(function.args[1], k, INT) for k in range(words)]
        pointers = [e.b.inttoptr(word, POINTER) for word in args]
        self.values, self.own, *self.columns = pointers[:5]  # all values, those of the runs, three columns
        self.kinds, self.runs = pointers[5:7]
        self.count = args[7]
        self.args, self.pointers = args[8:], pointers[8:]
        self.i: ir.Value = e.int(0)

    def spread(self, number: ir.Constant) -> ir.Constant:
        return ir.Constant(ir.VectorType(number.type, self.wide), [number] * self.wide)

    def gather(self, source: ir.Value, places: ir.Value) -> ir.Value:
        """source[places[i…]]: as fast by single loads as by an instruction, where there is one."""
        made: ir.Value = ir.Constant(self.m.number, ir.Undefined)
        for lane in range(self.wide):
            place = self.b.sext(self.e.load(places, self.b.add(self.i, self.e.int(lane)), INT32), INT)
            made = self.b.insert_element(made, self.e.load(source, place, FLOAT64), INT32(lane))
        return made

    def lanes(self, operation: Operation, only: frozenset[int] | None = None) -> list[Any]:
        made: list[Any] = []
        for slot in range(arity(operation)):
            if only is not None and slot not in only:
                made.append(None)
                continue
            v = self.gather(self.values, self.columns[slot])
            if is_truth(operation.name, slot):
                v = self.b.fcmp_unordered("!=", v, constant(self.m.number, 0.0))
            made.append(Lane(self.m, v))
        return made

    def kinds_are(self) -> list[ir.Value]:
        """For each of the blended cases, which lanes are it; the first is what is no other."""
        there = self.e.load(self.kinds, self.i, BYTE, self.wide)
        return [self.b.icmp_signed("==", there, self.spread(BYTE(k))) for k in range(1, len(BLENDED))]

    def over(self, run: ir.Value, cases: dict[int, Callable[[ir.Value], None]], backwards: bool = False) -> None:
        """The loop over a run; cases: what is written for lanes from `i` on.

        The last of them may lie behind the run, backwards the first before it.
        """
        e, b = self.e, self.b
        at = b.mul(run, e.int(3))
        case, start, count = (e.load(self.runs, b.add(at, e.int(k)), INT32) for k in range(3))
        start = b.sext(start, INT)
        stop = b.add(start, b.sext(count, INT))
        after = b.append_basic_block("after")
        switch = b.switch(case, after)
        blocks: dict[Any, ir.Block] = {}
        for number, write in cases.items():
            if write in blocks:
                switch.add_case(INT32(number), blocks[write])
                continue
            block = blocks[write] = b.append_basic_block(f"case{number}")
            switch.add_case(INT32(number), block)
            b.position_at_end(block)
            with e.loop(start, stop, self.wide) as i:
                self.i = b.sub(b.sub(b.add(start, stop), i), e.int(self.wide)) if backwards else i
                write(self.i)
            b.branch(after)
        b.position_at_end(after)


class ForwardRuns(NamedTuple):
    """args: values, those of the runs, first, second, third, kinds, runs, their number, then numbers of copies, of what
    they are copies of, and how many: the values of these entries.

    A run is (case, first entry, how many).  Lanes behind its last are written too: what belongs there comes later.
    """

    version: int
    cases: tuple[int, ...]

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Runs(e, function, 11), e.b
        copies, sources, _ = r.pointers
        written: dict[str, Callable[[ir.Value], None]] = {}

        def of(operation: Operation) -> Callable[[ir.Value], None]:
            def write(i: ir.Value) -> None:
                v = value_of(r.m, operation.name, r.lanes(operation)).v
                if v.type == r.m.bit:
                    v = b.uitofp(v, r.m.number)
                e.store(v, r.own, i)

            return written.setdefault(operation.name, write)

        def blend(i: ir.Value) -> None:
            one, other = (part.v for part in r.lanes(Operation("add", ())))
            is_sub, is_mul = r.kinds_are()
            other_ = b.select(is_sub, b.fneg(other), other)
            e.store(b.select(is_mul, b.fmul(one, other), b.fadd(one, other_)), r.own, i)

        with e.loop(0, r.count) as run:
            r.over(run, {case: blend if case == BLEND else of(_operation(case)) for case in self.cases})
        with e.loop(0, r.args[2]) as i:
            source, target = (b.sext(e.load(column, i, INT32), INT) for column in (sources, copies))
            e.store(e.load(r.values, source, FLOAT64), r.values, target)
        b.ret(e.int(0))


class ReverseRuns(NamedTuple):
    """args: the first eight as forwards; adjoints; what is paid to the first, second and third
    arguments; two columns of places, where what an entry is owed was paid; then sums: for each run where its sums
    begin, for each sum where its places begin, these places, and where totals stand; then payments to others: to whom,
    from where, how many; then places that others pay to, which are left clean, and how many.

    Sums of a run are its entries' that have three users or more.  Those behind the last run's are of other numbers.
    Lanes before a run's first are written too: what belongs there is computed later, and not looked up before.
    """

    version: int
    sure: bool
    cases: tuple[int, ...]

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Runs(e, function, 23), e.b
        m, number, (bars, *pointers) = r.m, r.m.number, r.pointers
        paid, owed = pointers[:3], pointers[3:5]
        sums_of, places_of, places, totals = pointers[5:9]
        targets, sources, _, left = pointers[9:13]
        nothing = ir.Constant(ir.VectorType(INT, r.wide), [INT(NOTHING)] * r.wide)
        begin = constant(number, -0.0) if self.sure else b.bitcast(nothing, number)

        def bar_of(v: ir.Value) -> Bar:
            return Bar(v, None if self.sure else b.icmp_signed("!=", b.bitcast(v, nothing.type), nothing))

        def total() -> Bar:
            return plus(m, *(bar_of(r.gather(bars, column)) for column in owed))

        def pay(i: ir.Value, slot: int, bar: Bar | None) -> None:
            v = begin if bar is None else bar.value
            if bar is not None and bar.paid is not None:
                v = b.select(bar.paid, v, begin)
            e.store(v, paid[slot], i)

        def of(operation: Operation) -> Callable[[ir.Value], None]:
            def write(i: ir.Value) -> None:
                bar = total()
                reads = [facts_of(operation.name, slot).reads for slot in operation.paid]
                lanes = r.lanes(operation, frozenset().union(*reads))
                y = Lane(m, e.load(r.own, i, FLOAT64, r.wide)) if any(-1 in each for each in reads) else None
                for slot in operation.paid:
                    partial = partial_of(m, operation.name, slot, lanes, y)
                    pay(i, slot, times(m, bar, partial))

            return write

        def blend(i: ir.Value) -> None:
            bar = total()
            is_sub, is_mul = r.kinds_are()
            one, other = (part.v for part in r.lanes(Operation("mul", ())))
            minus = b.select(is_sub, b.fneg(bar.value), bar.value)
            pay(i, 0, Bar(b.select(is_mul, b.fmul(bar.value, other), bar.value), bar.paid))
            pay(i, 1, Bar(b.select(is_mul, b.fmul(bar.value, one), minus), bar.paid))

        def add_up(first: ir.Value, last: ir.Value) -> None:
            with e.loop(first, last) as k:
                ends = [b.sext(e.load(places_of, b.add(k, e.int(d)), INT32), INT) for d in (0, 1)]
                self._sum(e, bars, places, *ends, totals, k)

        with e.loop(0, r.count) as turn:
            run = b.sub(b.sub(r.count, e.int(1)), turn)
            add_up(*(b.sext(e.load(sums_of, b.add(run, e.int(d)), INT32), INT) for d in (0, 1)))
            r.over(run, {case: blend if case == BLEND else of(_operation(case)) for case in self.cases}, backwards=True)
        add_up(*(b.sext(e.load(sums_of, b.add(r.count, e.int(d)), INT32), INT) for d in (0, 1)))
        scalar = Registers(e)
        with e.loop(0, r.args[12]) as k:
            target, source = (b.sext(e.load(column, k, INT32), INT) for column in (targets, sources))
            both = plus(scalar, *(self._scalar(e, e.load(bars, place, FLOAT64)) for place in (source, target)))
            v = both.value
            if both.paid is not None:
                v = b.select(both.paid, v, initial(False))
            e.store(v, bars, target)
        with e.loop(0, r.args[14]) as k:
            e.store(initial(self.sure), bars, b.sext(e.load(left, k, INT32), INT))
        b.ret(e.int(0))

    def _scalar(self, e: Emitter, v: ir.Value) -> Bar:
        return Bar(v, None if self.sure else e.b.icmp_signed("!=", e.b.bitcast(v, INT), INT(NOTHING)))

    def _sum(self, e: Emitter, bars: ir.Value, places: ir.Value, first: ir.Value, last: ir.Value, totals: ir.Value,
             k: ir.Value) -> None:  # fmt: skip
        """What the users of one number have paid, in the order of their payers."""
        b, before = e.b, e.b.block
        head, body, after = (b.append_basic_block(n) for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        i, total, some = b.phi(INT), b.phi(FLOAT64), b.phi(BIT)
        for phi, begin in ((i, first), (total, FLOAT64(-0.0)), (some, BIT(0))):
            phi.add_incoming(begin, before)
        b.cbranch(b.icmp_signed("<", i, last), body, after)
        b.position_at_end(body)
        place = b.sext(e.load(places, i, INT32), INT)
        bar = self._scalar(e, e.load(bars, place, FLOAT64))
        v = bar.value if bar.paid is None else b.select(bar.paid, bar.value, FLOAT64(0.0))
        total.add_incoming(b.fadd(total, v), b.block)
        some.add_incoming(BIT(1) if bar.paid is None else b.or_(some, bar.paid), b.block)
        i.add_incoming(b.add(i, e.int(1)), b.block)
        b.branch(head)
        b.position_at_end(after)
        e.store(total if self.sure else b.select(some, total, initial(False)), totals, k)


def _operation(case: int) -> Operation:
    found = operations()[case]
    assert found is not None
    return found
