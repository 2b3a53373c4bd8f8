"""Adjoints in registers, one or several lanes, and who has been paid: with them ways back are written."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import constant
from payback.native.tape.cases import Lane, Registers, bit_of
from payback.ops.namespace import Select


class Bar(NamedTuple):
    """An adjoint, and whether anybody has paid it; None: surely."""

    value: ir.Value
    paid: ir.Value | None


def plus(m: Registers, one: Bar, other: Bar) -> Bar:
    """Both together; what nobody has paid adds nothing."""
    b = m.e.b
    total = b.fadd(one.value, other.value)
    if one.paid is None or other.paid is None:
        if one.paid is not None:
            total = b.select(one.paid, total, other.value)
        if other.paid is not None:
            total = b.select(other.paid, total, one.value)
        return Bar(total, None)
    total = b.select(one.paid, b.select(other.paid, total, one.value), other.value)
    return Bar(total, b.or_(one.paid, other.paid))


def times(m: Registers, bar: Bar, partial: Any) -> Bar | None:
    """bar × partial; of a choice, the side that was taken, and nothing where that pays nothing."""
    b = m.e.b
    if partial is None:
        return None
    if type(partial) is Select:
        condition = partial.condition
        condition = bit_of(condition) if type(condition) is Lane else constant(m.bit, bool(condition))
        high, low = times(m, bar, partial.high), times(m, bar, partial.low)
        if high is None and low is None:
            return None
        taken = constant(m.bit, True) if bar.paid is None else bar.paid
        never = Bar(constant(m.number, 0.0), constant(m.bit, False))
        high, low = high or never, low or never
        paid = None
        if high.paid is not None or low.paid is not None:
            paid = b.select(condition, *(taken if side.paid is None else side.paid for side in (high, low)))
        return Bar(b.select(condition, high.value, low.value), paid)
    if type(partial) is Lane:
        return Bar(b.fmul(bar.value, partial.v), bar.paid)
    if partial == 1.0:
        return bar
    product = b.fneg(bar.value) if partial == -1.0 else b.fmul(bar.value, constant(m.number, float(partial)))
    return Bar(product, bar.paid)
