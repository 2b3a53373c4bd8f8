"""What is done with a tape's entries around its replay: leaves read and paid, ancestors marked."""

from __future__ import annotations

from typing import NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, FLOAT64, INT, INT32, POINTER, Emitter
from payback.native.tape.cases import NOTHING
from payback.trace.scalars.columns import CODES, ROWS, THIRD


class Gather(NamedTuple):
    """args: from, places, into, count: into[i] = from[places[i]]."""

    version: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        b = e.b
        words = [e.load(function.args[1], k, INT) for k in range(4)]
        source, places, target = (b.inttoptr(w, POINTER) for w in words[:3])
        with e.loop(0, words[3]) as i:
            e.store(e.load(source, b.sext(e.load(places, i, INT32), INT), FLOAT64), target, i)
        b.ret(e.int(0))


class Scatter(NamedTuple):
    """args: from, into, places, count, initial: into[places[i]] += from[i], where that was paid.

    What was read is the initial number then, as it was before the sweep.
    """

    version: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        b = e.b
        words = [e.load(function.args[1], k, INT) for k in range(5)]
        source, target, places = (b.inttoptr(w, POINTER) for w in words[:3])
        with e.loop(0, words[3]) as i:
            value = e.load(source, i, FLOAT64)
            e.store(words[4], source, i)
            place = b.sext(e.load(places, i, INT32), INT)
            with b.if_then(b.icmp_signed("!=", b.bitcast(value, INT), INT(NOTHING))):
                e.store(b.fadd(e.load(target, place, FLOAT64), value), target, place)
        b.ret(e.int(0))


class Ancestors(NamedTuple):
    """args: what, first, second, marks, kinds, start, stop: mark what the marked entries were made from.

    kinds: for each code 0: nothing, 1: one argument, 3: two, 7: three, of which the last stands before the entry.  A
    mark of 2 is kept, and what that entry was made from is not marked for it.
    """

    version: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        b = e.b
        words = [e.load(function.args[1], k, INT) for k in range(7)]
        what, first, second, marks, kinds = (b.inttoptr(w, POINTER) for w in words[:5])
        start, stop = words[5:]
        one = BYTE(1)

        def mark(place: ir.Value) -> None:
            there = e.load(marks, place, BYTE)
            e.store(b.or_(there, one), marks, place)

        with e.loop(0, b.sub(stop, start)) as i:
            k = b.sub(b.sub(stop, e.int(1)), i)
            with b.if_then(b.icmp_signed("==", e.load(marks, k, BYTE), one)):
                code = b.and_(e.load(what, k, INT32), INT32(255))
                kind = e.load(kinds, b.zext(code, INT), BYTE)
                for bit, place in ((1, first), (2, second)):
                    with b.if_then(b.icmp_signed("!=", b.and_(kind, BYTE(bit)), BYTE(0))):
                        mark(b.sext(e.load(place, k, INT32), INT))
                with b.if_then(b.icmp_signed("!=", b.and_(kind, BYTE(4)), BYTE(0))):
                    mark(b.sub(k, e.int(1)))
        b.ret(e.int(0))


class Levels(NamedTuple):
    """args: first, second, third, levels, count, block: for each entry 1 + the highest level among its arguments of the
    same block; places below 0 are others'."""

    version: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        b = e.b
        words = [e.load(function.args[1], k, INT) for k in range(6)]
        *columns, levels = (b.inttoptr(w, POINTER) for w in words[:4])
        count, block = words[4:]
        with e.loop(0, count, block) as start:
            end = b.add(start, block)
            with e.loop(start, b.select(b.icmp_signed("<", end, count), end, count)) as k:
                highest: ir.Value = INT32(0)
                for column in columns:
                    place = b.sext(e.load(column, k, INT32), INT)
                    near = b.icmp_signed(">=", place, start)
                    there = e.load(levels, b.select(near, place, k), INT32)
                    there = b.select(near, there, INT32(0))
                    highest = b.select(b.icmp_signed(">", there, highest), there, highest)
                e.store(b.add(highest, INT32(1)), levels, k)
        b.ret(e.int(0))


def argument_kinds() -> list[int]:
    """For `Ancestors`: what each code of a recorder has for arguments."""
    kinds = [0] * 256
    kinds[THIRD] = 1
    for row in ROWS:
        kinds[CODES[row.name]] = {1: 1, 2: 3, 3: 7}[len(row.partials)]
    return kinds
