"""x modulo π/2 for large x: the product with the bits of 2/π that matter, in integers (Payne and Hanek).

One lane at a time, behind a branch that is taken where any lane is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from payback.native import ir
from payback.native.codegen.emit import FLOAT64, INT, Emitter
from payback.native.vector_math import coefficients as c
from payback.native.vector_math.constants import Constants, defined
from payback.native.vector_math.lanes import Lanes, Maths

WIDE, TWICE = ir.IntType(192), ir.IntType(128)
RESULT = ir.LiteralStructType([INT, FLOAT64, FLOAT64])
WORDS = 24

Reduced = tuple[Lanes, Lanes, Lanes]


def far_reduced(m: Maths, x: Lanes, far: Lanes, near: Reduced, half_turns: int | None = None) -> Reduced:
    """`near` where x is not far; where it is, the integer j and x − j·π/2 in two words; float64.

    With `half_turns` = q it is x − q·π/2 − j·π instead.
    """
    b = m.b
    before, slowly, after = b.block, b.append_basic_block("far"), b.append_basic_block("reduced")
    b.cbranch(m.any(far), slowly, after)
    b.position_at_end(slowly)
    found = [x_near.v for x_near in near]
    if isinstance(m.kind, ir.VectorType):
        for lane in range(m.kind.count):
            at = ir.IntType(32)(lane)
            one = _one_lane(m, b.extract_element(x.v, at), half_turns)
            found = [b.insert_element(v, b.extract_value(one, k), at) for k, v in enumerate(found)]
    else:
        one = _one_lane(m, x.v, half_turns)
        found = [b.extract_value(one, k) for k in range(3)]
    found = [b.select(far.v, v, x_near.v) for v, x_near in zip(found, near, strict=True)]
    b.branch(after)
    b.position_at_end(after)
    results = []
    for fast, slow in zip(near, found, strict=True):
        phi = b.phi(fast.v.type)
        phi.add_incoming(fast.v, before)
        phi.add_incoming(slow, slowly)
        results.append(m.lanes(phi))
    return results[0], results[1], results[2]


def _one_lane(m: Maths, x: ir.Value, half_turns: int | None) -> ir.Value:
    def body(e: Emitter, constants: Constants, operands: Sequence[ir.Value]) -> ir.Value:
        return _reduce_one(Maths(e, FLOAT64, constants), operands[0], half_turns)

    name = "payback.reduce" + ("" if half_turns is None else f".half{half_turns}")
    return m.b.call(*defined(m.e.module, name, RESULT, [FLOAT64], body, [x]))


def _two_over_pi(m: Maths) -> ir.GlobalVariable:
    """64 zero bits, then the bits of 2/π behind the binary point."""
    name = "payback.two_over_pi"
    table = m.e.module.globals.get(name)
    if table is None:
        kind = ir.ArrayType(INT, WORDS)
        words = [c.TWO_OVER_PI >> (64 * (WORDS - 1 - k)) & (2**64 - 1) for k in range(WORDS)]
        table = ir.GlobalVariable(m.e.module, kind, name)
        table.linkage, table.global_constant = "internal", True
        table.initializer = ir.Constant(kind, [INT(word) for word in words])
    return table


def _reduce_one(m: Maths, x: ir.Value, half_turns: int | None) -> ir.Value:
    b, e = m.b, m.e
    bits = b.bitcast(x, INT)
    exponent = b.and_(b.lshr(bits, INT(52)), INT(0x7FF))
    significand = b.or_(b.and_(bits, INT((1 << 52) - 1)), INT(1 << 52))
    # x = significand·2^(exponent − 1075): bits of 2/π that stand for multiples of 4 in the product are left out
    skipped = b.sub(exponent, INT(1075 + 1 - 63))
    skipped = b.select(b.icmp_signed("<", skipped, INT(0)), INT(0), skipped)  # a lane that is not far, and not used
    word, shift = b.lshr(skipped, INT(6)), b.and_(skipped, INT(63))
    table = _two_over_pi(m)
    words = [e.load(table, b.add(word, INT(k)), INT) for k in range(4)]
    parts = [e.intrinsic("fshl", high, low, shift) for high, low in pairwise(words)]
    carry, product = TWICE(0), WIDE(0)
    for place, part in enumerate(reversed(parts)):
        total = b.add(b.mul(b.zext(significand, TWICE), b.zext(part, TWICE)), carry)
        digit = b.zext(b.trunc(total, INT), WIDE)
        product = b.or_(product, b.shl(digit, WIDE(64 * place)))
        carry = b.lshr(total, TWICE(64))
    # product: x·2/π modulo 4, with 190 bits behind the point
    product = b.select(b.icmp_signed("<", bits, INT(0)), b.neg(product), product)
    unit = 190
    if half_turns is not None:
        product, unit = b.sub(product, WIDE(half_turns << 190)), 191
    j = b.trunc(b.lshr(b.add(product, WIDE(1 << (unit - 1))), WIDE(unit)), INT)
    fraction = b.shl(product, WIDE(192 - unit))  # signed: from −½ to ½ units
    high, low = _in_two_words(m, fraction)
    scale = [word * (1 if half_turns is None else 2) for word in c.HALF_PI[64]]
    r, rest = m.two_product(high, scale[0])
    r, rest = m.fast_two_sum(r, m.mad(high, scale[1], m.mad(low, scale[0], rest)))
    finite = b.icmp_signed("<", exponent, INT(0x7FF))
    r = m.lanes(b.select(finite, r.v, m.number(float("nan")).v))
    result = ir.Constant(RESULT, ir.Undefined)
    for at, value in enumerate((j, r.v, rest.v)):
        result = b.insert_value(result, value, at)
    return result


def _in_two_words(m: Maths, fraction: ir.Value) -> tuple[Lanes, Lanes]:
    """A signed fixed-point number with all 192 bits behind the point, as a sum of two floats."""
    b, half = m.b, ir.IntType(32)
    high = m.lanes(b.sitofp(b.trunc(b.lshr(fraction, WIDE(160)), half), FLOAT64)) * 2.0**-32
    low = m.number(0.0)
    for place in range(1, 6):
        digit = b.zext(b.trunc(b.lshr(fraction, WIDE(160 - 32 * place)), half), INT)
        high, error = m.two_sum(high, m.lanes(b.sitofp(digit, FLOAT64)) * 2.0 ** (-32 * (place + 1)))
        low = low + error
    return m.fast_two_sum(high, low)
