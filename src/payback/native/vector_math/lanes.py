"""Arithmetic on all lanes of a vector, written with Python's operators.

A function of vector mathematics is written once, as a formula on `Lanes`; what it leaves behind is LLVM IR for the type
that it was called with: float32 or float64, one lane or many.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from typing import Any

import llvmlite.binding as llvm

from payback.native import ir
from payback.native.codegen import emit as base
from payback.native.codegen.emit import FLOAT32, FLOAT64, Emitter, like, scalar_of
from payback.native.vector_math.constants import Constants

Number = int | float


class Lanes:
    """A vector (or scalar) of floats, integers or truth values, with operators.

    Comparisons of floats are false where an operand is NaN, but for `!=`.  Integers wrap around; `>>` brings in zeros.
    """

    __slots__ = ("m", "v")
    __hash__ = None

    def __init__(self, m: Maths, v: ir.Value):
        self.m, self.v = m, v

    @property
    def _floating(self) -> bool:
        return scalar_of(self.v.type) in (FLOAT32, FLOAT64)

    def _of(self, v: ir.Value) -> Lanes:
        return Lanes(self.m, v)

    def _lift(self, other: Lanes | Number) -> ir.Value:
        return other.v if isinstance(other, Lanes) else self.m.constant(self.v.type, other)

    def _binary(self, floating: str, whole: str, other: Lanes | Number, swapped: bool = False) -> Lanes:
        name = floating if self._floating else whole
        a, b = self.v, self._lift(other)
        return self._of(getattr(self.m.b, name)(b, a) if swapped else getattr(self.m.b, name)(a, b))

    def __add__(self, other: Lanes | Number) -> Lanes:
        return self._binary("fadd", "add", other)

    def __radd__(self, other: Number) -> Lanes:
        return self._binary("fadd", "add", other, swapped=True)

    def __sub__(self, other: Lanes | Number) -> Lanes:
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other: Number) -> Lanes:
        return self._binary("fsub", "sub", other, swapped=True)

    def __mul__(self, other: Lanes | Number) -> Lanes:
        return self._binary("fmul", "mul", other)

    def __rmul__(self, other: Number) -> Lanes:
        return self._binary("fmul", "mul", other, swapped=True)

    def __truediv__(self, other: Lanes | Number) -> Lanes:
        return self._of(self.m.b.fdiv(self.v, self._lift(other)))

    def __rtruediv__(self, other: Number) -> Lanes:
        return self._of(self.m.b.fdiv(self._lift(other), self.v))

    def __neg__(self) -> Lanes:
        return self._of(self.m.b.fneg(self.v) if self._floating else self.m.b.neg(self.v))

    def __lshift__(self, count: int) -> Lanes:
        return self._of(self.m.b.shl(self.v, base.constant(self.v.type, count)))

    def __rshift__(self, count: int) -> Lanes:
        return self._of(self.m.b.lshr(self.v, base.constant(self.v.type, count)))

    def __and__(self, other: Lanes | int) -> Lanes:
        return self._of(self.m.b.and_(self.v, self._lift(other)))

    def __or__(self, other: Lanes | int) -> Lanes:
        return self._of(self.m.b.or_(self.v, self._lift(other)))

    def __xor__(self, other: Lanes | int) -> Lanes:
        return self._of(self.m.b.xor(self.v, self._lift(other)))

    def __invert__(self) -> Lanes:
        return self._of(self.m.b.not_(self.v))

    def _compare(self, operator: str, other: Lanes | Number) -> Lanes:
        b = self.m.b
        compare = b.icmp_signed if not self._floating else b.fcmp_unordered if operator == "!=" else b.fcmp_ordered
        return self._of(compare(operator, self.v, self._lift(other)))

    def __lt__(self, other: Lanes | Number) -> Lanes:
        return self._compare("<", other)

    def __le__(self, other: Lanes | Number) -> Lanes:
        return self._compare("<=", other)

    def __gt__(self, other: Lanes | Number) -> Lanes:
        return self._compare(">", other)

    def __ge__(self, other: Lanes | Number) -> Lanes:
        return self._compare(">=", other)

    def __eq__(self, other: Lanes | Number) -> Lanes:
        return self._compare("==", other)

    def __ne__(self, other: Lanes | Number) -> Lanes:
        return self._compare("!=", other)


class Maths:
    """What the formulas need beside operators, for one type of floats: `kind`, scalar or vector.

    `goal` is the width of the result: 32 where float32 is computed in float64, with short polynomials.
    """

    def __init__(self, e: Emitter, kind: ir.Type, constants: Constants, goal: int | None = None):
        self.e, self.b, self.kind, self.constants = e, e.b, kind, constants
        self.double = scalar_of(kind) is FLOAT64
        self.width = 64 if self.double else 32
        self.goal = goal or self.width
        self.mantissa, self.bias = (52, 1023) if self.double else (23, 127)
        self.sign_bit = 1 << (self.width - 1)
        self.smallest = 2.0 ** (1 - self.bias)  # of the normal numbers
        self.whole = like(kind, ir.IntType(self.width))
        self.magic = 1.5 * 2.0**self.mantissa  # added, it leaves an integer in the low bits

    @cached_property
    def fused(self) -> bool:
        """Whether the host multiplies and adds in one instruction."""
        return base.host_features().get("fma", False) or not llvm.get_process_triple().startswith(
            ("x86", "i686", "amd64")
        )

    def doubled(self) -> Maths:
        """The same lanes in float64."""
        return Maths(self.e, like(self.kind, FLOAT64), self.constants, goal=32)

    def extended(self, x: Lanes) -> Lanes:
        """A float32 value in this, doubled, arithmetic."""
        return self.lanes(self.b.fpext(x.v, self.kind))

    def shortened(self, x: Lanes) -> Lanes:
        """A float64 value rounded to this, single, arithmetic."""
        return self.lanes(self.b.fptrunc(x.v, self.kind))

    def lanes(self, v: ir.Value) -> Lanes:
        return Lanes(self, v)

    def constant(self, kind: ir.Type, value: Number) -> ir.Value:
        return self.constants.value(self.e, kind, value)

    def number(self, value: Number) -> Lanes:
        return self.lanes(self.constant(self.kind, value))

    def choose(self, double: Any, single: Any) -> Any:
        """What differs by precision."""
        return double if self.double else single

    def _call(self, name: str, *operands: Lanes | Number) -> Lanes:
        values = [x.v if isinstance(x, Lanes) else self.constant(self.kind, x) for x in operands]
        return self.lanes(self.e.intrinsic(name, *values))

    def abs(self, x: Lanes) -> Lanes:
        return self.float(self.bits(x) & (self.sign_bit - 1))

    def sqrt(self, x: Lanes) -> Lanes:
        return self._call("sqrt", x)

    def floor(self, x: Lanes) -> Lanes:
        return self._call("floor", x)

    def ceil(self, x: Lanes) -> Lanes:
        return self._call("ceil", x)

    def trunc(self, x: Lanes) -> Lanes:
        return self._call("trunc", x)

    def rint(self, x: Lanes) -> Lanes:
        return self._call("rint", x)

    def copysign(self, size: Lanes | Number, sign: Lanes) -> Lanes:
        size = size if isinstance(size, Lanes) else self.number(size)
        return self.float((self.bits(size) & (self.sign_bit - 1)) | (self.bits(sign) & self.sign_bit))

    def fma(self, a: Lanes | Number, b: Lanes | Number, c: Lanes | Number) -> Lanes:
        """a·b + c, rounded once, on every CPU: without the instruction it is a slow call."""
        return self._call("fma", a, b, c)

    def mad(self, a: Lanes | Number, b: Lanes | Number, c: Lanes | Number) -> Lanes:
        """a·b + c, rounded once or twice: whichever the CPU does quickly."""
        if self.fused:
            return self.fma(a, b, c)
        a, b, c = (x if isinstance(x, Lanes) else self.number(x) for x in (a, b, c))
        return a * b + c

    def polynomial(self, x: Lanes, table: dict[int, Sequence[float]]) -> Lanes:
        """Σ cₖ·xᵏ of the coefficients for this precision, by pairs and pairs of pairs (Estrin): short chains."""
        terms: list[Lanes | Number] = list(table[self.goal])
        while len(terms) > 1:
            pairs = [self.mad(high, x, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
            terms = pairs + ([terms[-1]] if len(terms) % 2 else [])
            x = x * x if len(terms) > 1 else x
        return terms[0]

    def select(self, condition: Lanes, high: Lanes | Number, low: Lanes | Number) -> Lanes:
        high, low = (x if isinstance(x, Lanes) else self.number(x) for x in (high, low))
        return self.lanes(self.b.select(condition.v, high.v, low.v))

    def where_any(self, condition: Lanes, rare: Callable[[], Lanes], usual: Lanes) -> Lanes:
        """`usual`, and what `rare` makes where the condition holds: behind a branch, for lanes that seldom come."""
        b = self.b
        before, seldom, after = b.block, b.append_basic_block("seldom"), b.append_basic_block("always")
        b.cbranch(self.any(condition), seldom, after)
        b.position_at_end(seldom)
        made = self.select(condition, rare(), usual)
        last = b.block
        b.branch(after)
        b.position_at_end(after)
        phi = b.phi(usual.v.type)
        phi.add_incoming(usual.v, before)
        phi.add_incoming(made.v, last)
        return self.lanes(phi)

    def at_most(self, x: Lanes, limit: Lanes | Number) -> Lanes:
        """The smaller one; NaN where x is NaN."""
        return self.select(x > limit, limit, x)

    def at_least(self, x: Lanes, limit: Lanes | Number) -> Lanes:
        return self.select(x < limit, limit, x)

    def bits(self, x: Lanes) -> Lanes:
        return self.lanes(self.b.bitcast(x.v, self.whole))

    def float(self, i: Lanes) -> Lanes:
        """The number that has these bits."""
        return self.lanes(self.b.bitcast(i.v, self.kind))

    def converted(self, i: Lanes, less: int = 0) -> Lanes:
        """A small integer (|i| < 2²² or 2⁵¹), less another, as a number.  SSE and AVX2 cannot convert 64 bits."""
        if not self.double:
            return self.lanes(self.b.sitofp((i - less if less else i).v, self.kind))
        return self.float(i + bits_of(self.magic)) - (self.magic + less)

    def nearest(self, x: Lanes) -> tuple[Lanes, Lanes]:
        """The nearest integer (|x| < 2²² or 2⁵¹) as a number, and as an integer that is right in its low bits."""
        shifted = x + self.magic
        return shifted - self.magic, self.bits(shifted)

    def nearest_multiple(self, x: Lanes, factor: float, above: int) -> tuple[Lanes, Lanes]:
        """The integer nearest to x·factor as a number; and that and `above` as one that is right in its low bits."""
        magic = self.magic + above
        shifted = self.mad(x, factor, self.number(magic))
        return shifted - magic, self.bits(shifted)

    def exponent(self, i: Lanes) -> Lanes:
        """2ⁱ⁻ᵇⁱᵃˢ for an integer that is right in its low bits."""
        return self.float(i << self.mantissa)

    def power_of_two(self, i: Lanes) -> Lanes:
        """2ⁱ for an integer that is right in its low bits and lies in the range of normal exponents."""
        return self.float((i << self.mantissa) + (self.bias << self.mantissa))

    def scaled(self, x: Lanes, i: Lanes) -> Lanes:
        """x·2ⁱ, rounded once, for an integer (right in its low bits) of up to twice the range of exponents."""
        half = i >> 1
        return (x * self.power_of_two(half)) * self.power_of_two(i - half)

    # Two words: an unevaluated sum of a number and a small one.

    def fast_two_sum(self, a: Lanes, b: Lanes) -> tuple[Lanes, Lanes]:
        """a + b without error, for |a| ≥ |b| (Dekker)."""
        total = a + b
        return total, b - (total - a)

    def two_sum(self, a: Lanes, b: Lanes) -> tuple[Lanes, Lanes]:
        """a + b without error (Knuth)."""
        total = a + b
        part = total - a
        return total, (a - (total - part)) + (b - part)

    def two_product(self, a: Lanes, b: Lanes | Number) -> tuple[Lanes, Lanes]:
        """a·b without error."""
        product = a * b
        return product, self.fma(a, b, -product)

    def negative(self, x: Lanes) -> Lanes:
        """Whether the sign bit is set: for −0 too."""
        return self.bits(x) < 0

    def is_nan(self, x: Lanes, y: Lanes | None = None) -> Lanes:
        """Whether x, or one of both, is NaN."""
        return self.lanes(self.b.fcmp_unordered("uno", x.v, (x if y is None else y).v))

    def any(self, condition: Lanes) -> ir.Value:
        """One bit: whether the condition holds in a lane."""
        if not isinstance(condition.v.type, ir.VectorType):
            return condition.v
        count = condition.v.type.count
        return self.b.icmp_unsigned("!=", self.b.bitcast(condition.v, ir.IntType(count)), ir.IntType(count)(0))


def in_double(formula: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """The formula for float32 computed in float64 and rounded: where that is accurate with less work."""

    @wraps(formula)
    def either(m: Maths, *operands: Lanes) -> Lanes:
        if m.double:
            return formula(m, *operands)
        wide = m.doubled()
        return m.shortened(formula(wide, *[wide.extended(x) for x in operands]))

    return either


def bits_of(x: float) -> int:
    """The bits of a float64 as a signed integer."""
    return int(struct.unpack("<q", struct.pack("<d", x))[0])


def rounded_single(x: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", x))[0])
