"""A recorded scalar program, replayed: one loop over its entries with a switch, forwards and backwards.

The rules are the rows' own, written into each case of the switch.  Operands stand in an array of values by their
numbers; partials are computed from them when the sweep comes by, none is stored.  A program whose every edge surely
pays adds to zeros (−0.0, which changes nothing that is added to it).  Where a choice may pay one side only, an adjoint
that nobody has paid is told by its bits, and pays nobody: what `algebra.Masked` is for arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir

from payback.native import vector_math
from payback.native.emit import BIT, BYTE, FLOAT64, INT, INT32, POINTER, Emitter
from payback.native.lower import elementary, pointwise
from payback.ops.namespace import Select
from payback.ops.row import TABLE
from payback.trace.columns import ROWS

NOTHING = 0x7FF8_5AFE_0DD5_0001  # an adjoint that nobody has paid: a NaN that no arithmetic makes
_TRUTHS = ("gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or", "logical_not")


class Operation(NamedTuple):
    """A case of the switch: a row, and those of its arguments that are paid."""

    name: str
    paid: tuple[int, ...]


# Entries that are no rows: nothing to compute, the ends of a fan (as many copies of a number as it has users, each paid
# by one of them, so that they are added in the order of the users); powers by small whole numbers: exponent -> name.
REST, FAN, FAN_END = range(3)
POWERS = {2.0: "square", 3.0: "cube", -1.0: "reciprocal"}


@cache
def able() -> frozenset[str]:
    """The rows that may stand on a tape: those with code for float64, and with partials that have.

    None of SciPy's: one kernel replays all programs, and it is not to load SciPy for those that do without.
    """
    return frozenset(
        row.name
        for row in ROWS
        if row.name not in elementary.SPECIAL and (pointwise.can(row.name, "f8") or row.name in _TRUTHS)
    )


@cache
def operations() -> tuple[Operation | None, ...]:
    """The cases of the switch; the first are no rows."""
    cases: list[Operation | None] = [None, None, None]
    cases += [Operation(name, paid) for name in POWERS.values() for paid in ((0,), ())]
    for row in ROWS:
        if row.name not in able():
            continue
        slots = [slot for slot, partial in enumerate(row.partials) if partial is not None]
        for subset in range(1 << len(slots)):
            cases.append(Operation(row.name, tuple(slot for k, slot in enumerate(slots) if subset >> k & 1)))
    return tuple(cases)


def arity(operation: Operation | None) -> int:
    if operation is None:
        return 0
    return 1 if operation.name in POWERS.values() else len(TABLE[operation.name].partials)


def always_pays(operation: Operation | None) -> bool:
    """Whether every argument is surely paid: no choice decides, and no slot is without derivative."""
    if operation is None or operation.name in POWERS.values():
        return True
    row = TABLE[operation.name]
    return row.name in _SURE and None not in row.partials


_SURE = frozenset(
    [
        "identity",
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "sin",
        "cos",
        "tanh",
        "sigmoid",
        "expit",
        "softplus",
        "abs",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "arctan2",
        "sinh",
        "cosh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "exp2",
        "log2",
        "log10",
        "cbrt",
        "logaddexp",
        "deg2rad",
        "rad2deg",
        "mod",
        "fmod",
        "erf",
        "erfc",
    ]
)


class Lane:
    """A register with the operators that rules use."""

    __slots__ = ("m", "v")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, m: Registers, v: ir.Value):
        self.m, self.v = m, v

    def __add__(self, other: Any) -> Lane:
        return self.m.apply("add", self, other)

    def __radd__(self, other: Any) -> Lane:
        return self.m.apply("add", other, self)

    def __sub__(self, other: Any) -> Lane:
        return self.m.apply("sub", self, other)

    def __rsub__(self, other: Any) -> Lane:
        return self.m.apply("sub", other, self)

    def __mul__(self, other: Any) -> Lane:
        return self.m.apply("mul", self, other)

    def __rmul__(self, other: Any) -> Lane:
        return self.m.apply("mul", other, self)

    def __neg__(self) -> Lane:
        return self.m.apply("neg", self)

    def __gt__(self, other: Any) -> Lane:
        return self.m.apply("gt", self, other)

    def __ge__(self, other: Any) -> Lane:
        return self.m.apply("ge", self, other)

    def __lt__(self, other: Any) -> Lane:
        return self.m.apply("lt", self, other)

    def __le__(self, other: Any) -> Lane:
        return self.m.apply("le", self, other)

    def __eq__(self, other: object) -> Lane:  # type: ignore[override]
        return self.m.apply("eq", self, other)

    def __ne__(self, other: object) -> Lane:  # type: ignore[override]
        return self.m.apply("ne", self, other)


class Registers:
    """The namespace `m` on registers of one float64 each."""

    def __init__(self, e: Emitter):
        self.e = e

    def value(self, x: Any) -> ir.Value:
        if type(x) is Lane:
            return x.v
        return BIT(x) if isinstance(x, bool) else FLOAT64(float(x))

    def apply(self, name: str, *operands: Any) -> Lane:
        values = [self.value(x) for x in operands]
        if name in vector_math.FORMULAS:  # at one lane; a vector's first lane would cost twice as much
            return Lane(self, vector_math.emit(self.e, name, *values))
        return Lane(self, pointwise.emit(self.e, name, "b1" if name.startswith("logical") else "f8", values))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in TABLE:
            raise AttributeError(name)
        return lambda *operands: self.apply(name, *operands)

    def where(self, condition: Any, high: Any, low: Any) -> Lane:
        return self.apply("select", condition, high, low)

    select = Select


def _truth(name: str, slot: int) -> bool:
    """Whether the argument of a row is a truth, kept as 1.0 or 0.0."""
    return name.startswith("logical") or (name == "select" and slot == 0)


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
            if _truth(name, slot):
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
                v = _value(r.m, operation.name, lanes).v
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
                self._pay(e, bars, places[slot], bar, _partial(r.m, operation.name, slot, lanes, y))
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
            with b.if_else(_bit(partial.condition)) as (high, low):
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


def initial(sure: bool) -> ir.Value:
    """What an adjoint is before anybody has paid: nothing is added to −0.0, and NOTHING tells that it is nothing."""
    return FLOAT64(-0.0) if sure else INT(NOTHING).bitcast(FLOAT64)


def _value(m: Registers, name: str, lanes: list[Any]) -> Any:
    """What an entry is; powers as they are everywhere in native code (see `expand.py`)."""
    match name:
        case "square":
            return lanes[0] * lanes[0]
        case "cube":
            return lanes[0] * lanes[0] * lanes[0]
        case "reciprocal":
            return m.div(1.0, lanes[0])
    return m.apply(name, *lanes)


def _partial(m: Registers, name: str, slot: int, lanes: list[Any], y: Lane) -> Any:
    match name:
        case "square":
            return lanes[0] * 2.0
        case "cube":
            return lanes[0] * lanes[0] * 3.0
        case "reciprocal":
            return m.power(lanes[0], -2.0) * -1.0
    rule = TABLE[name].partials[slot]
    assert rule is not None
    return rule(m, *lanes, y)


def _bit(condition: Any) -> ir.Value:
    return condition.v if type(condition) is Lane else BIT(bool(condition))
