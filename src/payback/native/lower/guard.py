"""Kernels that stop a program: an index out of bounds, a number that is not finite, a condition that fails."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.emit import Emitter, constant
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, load


def may_stop(kernel: Any) -> bool:
    """Whether a kernel may end the program that it stands in."""
    return isinstance(kernel, InBounds | AllFinite | AllTrue) or getattr(kernel, "stops", False)


class InBounds(NamedTuple):
    """1 if an entry of an array of whole numbers is no index of an axis; args: array, count, extent."""

    code: str

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args = Arguments(e, function)
        pointer, count, extent = args.pointer(), args.int(), args.int()
        b = e.b
        lowest = b.sub(e.int(0), extent)
        with e.loop(0, count) as i:
            at = load(e, pointer, i, self.code)
            wrong = b.icmp_unsigned(">=", at, extent) if self.code == "u8" else None
            if wrong is None:
                at = pointwise.cast(e, at, self.code, "i8")
                wrong = b.or_(b.icmp_signed("<", at, lowest), b.icmp_signed(">=", at, extent))
            with b.if_then(wrong):
                b.ret(e.int(1))
        b.ret(e.int(0))


class AllFinite(NamedTuple):
    """1 if one of some floating numbers is NaN or infinite; args: the numbers."""

    codes: tuple[str, ...]

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        for code in self.codes:
            value = load(e, args.pointer(), 0, code)
            infinite = constant(value.type, float("inf"))
            with b.if_then(b.not_(b.fcmp_ordered("<", e.intrinsic("fabs", value), infinite))):
                b.ret(e.int(1))
        b.ret(e.int(0))


class AllTrue(NamedTuple):
    """1 if one of some conditions is false; args: the conditions."""

    count: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        for _ in range(self.count):
            with b.if_then(b.not_(load(e, args.pointer(), 0, "b1"))):
                b.ret(e.int(1))
        b.ret(e.int(0))
