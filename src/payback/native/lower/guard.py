"""Kernels that stop a program: an index out of bounds, a number that is not finite, a condition that fails."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold, load, store


def may_fail(kernel: Any) -> bool:
    """Whether a program may be given up at a kernel (an index out of bounds, a singular matrix), or at NumPy (None)."""
    return kernel is None or getattr(kernel, "stops", False)


def may_stop(kernel: Any) -> bool:
    """Whether it may end there: because it fails, or because a test says so."""
    return may_fail(kernel) or isinstance(kernel, AllFinite | AllTrue)


class Places(NamedTuple):
    """Indices of an axis as places on it, for negative ones count from its end; 1 if one of them is out of bounds.

    args: array, places, count, extent.
    """

    code: str
    made: str
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        array, places, count, extent = args.pointer(), args.pointer(), args.int(), args.int()
        wide = lanes_of(pointwise.register_type("i8"))

        def place(at: ir.Value, lanes: int) -> ir.Value:
            """Writes some; whether one of them is wrong: beyond the extent as a number without a sign."""
            values = pointwise.cast(e, load(e, array, at, self.code, lanes), self.code, "i8")
            extents = e.splat(extent, lanes)
            if self.code[0] == "i":
                values = b.add(values, b.and_(b.ashr(values, constant(values.type, 63)), extents))
            store(e, pointwise.cast(e, values, "i8", self.made), places, at, self.made)
            return b.icmp_unsigned(">=", values, extents)

        main = b.and_(count, e.int(-wide))
        none = constant(ir.VectorType(BIT, wide), 0)
        (found,) = fold(e, 0, main, wide, [none], lambda i, so_far: [b.or_(so_far[0], place(i, wide))])
        with b.if_then(b.icmp_signed("!=", b.bitcast(found, ir.IntType(wide)), ir.IntType(wide)(0))):
            b.ret(e.int(1))
        with e.loop(main, count) as i, b.if_then(place(i, 1)):
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
