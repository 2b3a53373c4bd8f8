"""A recorded scalar program, replayed: one loop over its entries with a switch, forwards and backwards.

The rules are the rows' own, written into each case of the switch.  Operands stand in an array of values by their
numbers; partials are computed from them when the sweep comes by, none is stored.  A program whose every edge surely
pays adds to zeros (−0.0, which changes nothing that is added to it).  Where a choice may pay one side only, an adjoint
that nobody has paid is told by its bits, and pays nobody: what `algebra.Masked` is for arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, BYTE, FLOAT64, INT, INT32, POINTER, Emitter
from payback.native.tape.cases import (
    FAN,
    FAN_END,
    NOTHING,
    POWERS,
    Lane,
    Registers,
    bit_of,
    initial,
    is_truth,
    operations,
    partial_of,
    value_of,
)
from payback.ops.namespace import Select
from payback.ops.row import TABLE


class _Replay:
    """What both directions read: the columns, an entry's operands."""

    def __init__(self, e: Emitter, function: ir.Function, count: int):
        self.e, self.b, self.m = e, e.b, Registers(e)
        words = [e.load(function.args[1], k, INT) for k in range(count)]
        self.codes, self.first, self.second, self.values = (e.b.inttoptr(w, POINTER) for w in words[:4])
        self.words = words[4:]

    def at(self, column: ir.Value, k: ir.Value) -> ir.Value:
        return self.b.sext(self.e.load(column, k, INT32), INT)

    def operands(self, name: str, k: ir.Value, a: ir.Value, b: ir.Value) -> tuple[list[Any], list[ir.Value]]:
        """The row's operands as lanes, and where they stand."""
        count = 1 if name in POWERS.values() else len(TABLE[name].partials)  # as `arity` has it
        places = [a, b][:count]
        if count == 3:
            places.append(self.at(self.first, self.b.sub(k, self.e.int(1))))
        lanes = []
        for slot, place in enumerate(places):
            v = self.e.load(self.values, place, FLOAT64)
            if is_truth(name, slot):
                v = self.b.fcmp_unordered("!=", v, FLOAT64(0.0))
            lanes.append(Lane(self.m, v))
        return lanes, places


class Forward(NamedTuple):
    """args: codes, first, second, values, start, stop: the values of these entries."""

    version: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Replay(e, function, 6), e.b
        start, stop = r.words
        entry, head, body, done = (
            b.block, *(b.append_basic_block(n) for n in ("head", "body", "done"))
        )  # fmt: skip
        b.branch(head)
        b.position_at_end(head)
        k = b.phi(INT)
        k.add_incoming(start, entry)
        b.cbranch(b.icmp_signed("<", k, stop), body, done)
        b.position_at_end(body)
        code = b.zext(e.load(r.codes, k, BYTE), INT32)
        first, second = r.at(r.first, k), r.at(r.second, k)
        onward, write, rest = (b.append_basic_block(n) for n in ("onward", "write", "rest"))
        switch = b.switch(code, rest)

        b.position_at_end(write)
        result = b.phi(FLOAT64)
        e.store(result, r.values, k)
        b.branch(rest)
        b.position_at_end(rest)
        following = b.add(k, e.int(1))
        b.branch(onward)
        b.position_at_end(onward)
        step = b.phi(INT)
        step.add_incoming(following, rest)
        b.branch(head)
        k.add_incoming(step, onward)

        by_name: dict[str, ir.Block] = {}
        for number, operation in enumerate(operations()):
            if operation is None:
                continue
            block = by_name.get(operation.name)
            if block is None:
                block = by_name[operation.name] = b.append_basic_block(operation.name)
                b.position_at_end(block)
                lanes, _ = r.operands(operation.name, k, first, second)
                v = value_of(r.m, operation.name, lanes).v
                if v.type == BIT:
                    v = b.uitofp(v, FLOAT64)
                result.add_incoming(v, b.block)
                b.branch(write)
            switch.add_case(INT32(number), block)

        block = b.append_basic_block("fan")
        switch.add_case(INT32(FAN), block)
        b.position_at_end(block)
        copied = e.load(r.values, first, FLOAT64)
        end = b.add(k, second)
        with e.loop(k, end) as i:
            e.store(copied, r.values, i)
        step.add_incoming(end, b.block)
        b.branch(onward)
        b.position_at_end(done)
        b.ret(e.int(0))


class Reverse(NamedTuple):
    """args: codes, first, second, values, adjoints, start, stop: what these entries pay, from the last to the first.

    sure: every adjoint is paid, and begins as −0.0; else one that is not begins as NOTHING.  So it is again in the end.
    """

    version: int
    sure: bool

    @property
    def initial(self) -> ir.Value:
        return initial(self.sure)

    def emit(self, e: Emitter, function: ir.Function) -> None:
        r, b = _Replay(e, function, 7), e.b
        bars = b.inttoptr(r.words[0], POINTER)
        start, stop = r.words[1:]
        entry, head, body, done = b.block, *(b.append_basic_block(n) for n in ("head", "body", "done"))
        last = b.sub(stop, e.int(1))
        b.branch(head)
        b.position_at_end(head)
        k = b.phi(INT)
        k.add_incoming(last, entry)
        b.cbranch(b.icmp_signed(">=", k, start), body, done)
        b.position_at_end(body)
        code = b.zext(e.load(r.codes, k, BYTE), INT32)
        first, second = r.at(r.first, k), r.at(r.second, k)
        bar = e.load(bars, k, FLOAT64)
        # as it was before; a leaf is read in the end, and what belongs to a fan with the fan
        kept = b.icmp_unsigned("<=", code, INT32(FAN_END))
        e.store(b.select(kept, bar, self.initial), bars, k)
        onward, rest, paying, fan_end = (b.append_basic_block(n) for n in ("onward", "rest", "paying", "fan"))
        if self.sure:
            b.branch(paying)
        else:  # the end of a fan has an adjoint of its own and is looked at in any case
            nobody = b.icmp_signed("==", b.bitcast(bar, INT), INT(NOTHING))
            skipped = b.and_(nobody, b.icmp_signed("!=", code, INT32(FAN_END)))
            b.cbranch(skipped, rest, paying)
        b.position_at_end(rest)
        following = b.sub(k, e.int(1))
        b.branch(onward)
        b.position_at_end(onward)
        step = b.phi(INT)
        step.add_incoming(following, rest)
        b.branch(head)
        k.add_incoming(step, onward)

        b.position_at_end(paying)
        switch = b.switch(code, rest)
        for number, operation in enumerate(operations()):
            if operation is None or not operation.paid:
                continue
            block = b.append_basic_block(f"{operation.name}_{len(operation.paid)}")
            switch.add_case(INT32(number), block)
            b.position_at_end(block)
            lanes, places = r.operands(operation.name, k, first, second)
            y = Lane(r.m, e.load(r.values, k, FLOAT64))
            for slot in reversed(operation.paid):
                self._pay(e, bars, places[slot], bar, partial_of(r.m, operation.name, slot, lanes, y))
            b.branch(rest)

        switch.add_case(INT32(FAN_END), fan_end)
        b.position_at_end(fan_end)
        self._fan(e, bars, k, first, second)
        step.add_incoming(b.sub(k, second), b.block)
        b.branch(onward)
        b.position_at_end(done)
        b.ret(e.int(0))

    def _pay(self, e: Emitter, bars: ir.Value, place: ir.Value, bar: ir.Value, partial: Any) -> None:
        """bar × partial; of a choice, the side that was taken."""
        b = e.b
        if partial is None:
            return
        if type(partial) is Select:
            with b.if_else(bit_of(partial.condition)) as (high, low):
                with high:
                    self._pay(e, bars, place, bar, partial.high)
                with low:
                    self._pay(e, bars, place, bar, partial.low)
            return
        if type(partial) is Lane:
            paid = b.fmul(bar, partial.v)
        else:
            paid = bar if partial == 1.0 else b.fneg(bar) if partial == -1.0 else b.fmul(bar, FLOAT64(float(partial)))
        there = e.load(bars, place, FLOAT64)
        total = b.fadd(paid, there)  # `there` are later payers: of two the order is no matter, for more there is a fan
        if not self.sure:
            total = b.select(b.icmp_signed("==", b.bitcast(there, INT), INT(NOTHING)), paid, total)
        e.store(total, bars, place)

    def _fan(self, e: Emitter, bars: ir.Value, k: ir.Value, place: ir.Value, count: ir.Value) -> None:
        """The payments to the copies of one number, added in the order of their payers."""
        b = e.b
        before = b.block
        begin = b.add(b.sub(k, count), e.int(1))
        initial = e.load(bars, begin, FLOAT64)
        e.store(self.initial, bars, begin)
        nothing = INT(NOTHING)
        some = BIT(1)
        if not self.sure:
            some = b.icmp_signed("!=", b.bitcast(initial, INT), nothing)
            initial = b.select(some, initial, FLOAT64(0.0))
        start = b.add(begin, e.int(1))
        head, body, after = (b.append_basic_block(n) for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        i, total, any_ = b.phi(INT), b.phi(FLOAT64), b.phi(BIT)
        i.add_incoming(start, before)
        total.add_incoming(initial, before)
        any_.add_incoming(some, before)
        b.cbranch(b.icmp_signed("<=", i, k), body, after)
        b.position_at_end(body)
        paid = e.load(bars, i, FLOAT64)
        e.store(self.initial, bars, i)
        more: ir.Value = any_
        if not self.sure:
            there = b.icmp_signed("!=", b.bitcast(paid, INT), nothing)
            paid = b.select(there, paid, FLOAT64(0.0))
            more = b.or_(any_, there)
        total.add_incoming(b.fadd(total, paid), b.block)
        any_.add_incoming(more, b.block)
        i.add_incoming(b.add(i, e.int(1)), b.block)
        b.branch(head)
        b.position_at_end(after)
        seed = e.load(bars, place, FLOAT64)  # of a result that is used further
        result = b.fadd(total, seed)
        if not self.sure:
            unseeded = b.icmp_signed("==", b.bitcast(seed, INT), nothing)
            result = b.select(unseeded, total, result)
            result = b.select(b.or_(any_, b.not_(unseeded)), result, b.bitcast(nothing, FLOAT64))
        e.store(result, bars, place)
