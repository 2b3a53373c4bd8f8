"""Pointwise rows on registers: one LLVM value, scalar or vector, per operand.

A register holds a boolean as a bit and a float16 as a float32 that float16 could hold as well: float16 is computed in
float32 and rounded after every operation, as NumPy does it.  Comparisons, choices and + − × ÷ √ have NumPy's bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from payback.native import ir
from payback.native.codegen.emit import (
    BIT,
    BYTE,
    FLOAT32,
    FLOAT64,
    HALF,
    INT32,
    Emitter,
    constant,
    host_features,
    like,
    scalar_of,
)
from payback.native.lower import elementary

# How a value is held while it is computed with, by the dtype's code ("f4", "i8", "b1", ...).
_REGISTER = {"f2": FLOAT32, "f4": FLOAT32, "f8": FLOAT64, "b1": BIT}


@cache
@cache
def code_of(dtype: np.dtype[Any]) -> str:
    return dtype.str[1:]


def register_type(code: str, lanes: int = 1) -> ir.Type:
    kind = _REGISTER.get(code) or ir.IntType(8 * int(code[1:]))
    return kind if lanes == 1 else ir.VectorType(kind, lanes)


def memory_type(code: str) -> ir.Type:
    return {"b1": BYTE, "f2": HALF}.get(code) or register_type(code)


def literal(code: str, text: str, lanes: int) -> ir.Constant:
    """A number written in a kernel's key, as text: 0.0 and −0.0 are equal, their texts are not."""
    return constant(register_type(code, lanes), float(text) if code[0] == "f" else int(text))


def half_is_native() -> bool:
    """Whether the host converts between float16 and float32 by itself."""
    features = host_features()
    return bool(features.get("f16c") or features.get("neon") or features.get("fullfp16"))


def from_memory(e: Emitter, value: ir.Value, code: str) -> ir.Value:
    if code == "b1":
        return e.b.icmp_unsigned("!=", value, constant(value.type, 0))
    if code == "f2" and half_is_native():  # else it is only moved
        return e.b.fpext(value, like(value.type, FLOAT32))
    return value


def to_memory(e: Emitter, value: ir.Value, code: str) -> ir.Value:
    if code == "b1":
        return e.b.zext(value, like(value.type, BYTE))
    if code == "f2" and scalar_of(value.type) != HALF:
        return e.b.fptrunc(value, like(value.type, HALF))
    return value


def _rounded(e: Emitter, value: ir.Value, code: str) -> ir.Value:
    """The result of an operation as its dtype holds it."""
    if code != "f2":
        return value
    return e.b.fpext(e.b.fptrunc(value, like(value.type, HALF)), value.type)


def _is_float(code: str) -> bool:
    return code[0] == "f"


def cast(e: Emitter, value: ir.Value, source: str, target: str) -> ir.Value:
    """NumPy's astype.  A float that an integer dtype cannot hold gives what x86 gives: the smallest number."""
    b, kind = e.b, value.type
    if source == target:
        return value
    if _is_float(source):
        if _is_float(target):
            return _float_to_float(e, value, source, target)
        if target == "b1":
            return b.fcmp_unordered("!=", value, constant(kind, 0.0))
        return _float_to_int(e, value, target)
    to = like(kind, register_type(target))
    if _is_float(target):
        signed = source[0] == "i"
        if target == "f2":  # NumPy goes through float32
            wide = like(kind, FLOAT32)
            return _rounded(e, b.sitofp(value, wide) if signed else b.uitofp(value, wide), "f2")
        return b.sitofp(value, to) if signed else b.uitofp(value, to)
    if target == "b1":
        return b.icmp_unsigned("!=", value, constant(kind, 0))
    width, wanted = scalar_of(kind).width, scalar_of(to).width
    if wanted == width:
        return value
    if wanted < width:
        return b.trunc(value, to)
    return b.sext(value, to) if source[0] == "i" else b.zext(value, to)


def _float_to_float(e: Emitter, value: ir.Value, source: str, target: str) -> ir.Value:
    b = e.b
    if target == "f8":
        return b.fpext(value, like(value.type, FLOAT64))
    if source != "f8":
        return _rounded(e, value, target)
    narrow = b.fptrunc(value, like(value.type, FLOAT32))
    if target == "f4":
        return narrow
    # rounding twice is not rounding once: go through float32 rounded to odd (Boldo and Melquiond, 2008)
    whole = like(value.type, INT32)
    back = b.fpext(narrow, value.type)
    bits = b.bitcast(narrow, whole)
    beyond = b.fcmp_ordered(">", e.intrinsic("fabs", back), e.intrinsic("fabs", value))
    bits = b.sub(bits, b.zext(beyond, whole))
    bits = b.or_(bits, b.zext(b.fcmp_ordered("!=", back, value), whole))
    return _rounded(e, b.bitcast(bits, narrow.type), "f2")


def _float_to_int(e: Emitter, value: ir.Value, target: str) -> ir.Value:
    b = e.b
    if value.type != like(value.type, FLOAT64):
        value = b.fpext(value, like(value.type, FLOAT64))
    width = int(target[1:]) * 8
    if target == "i4":  # NumPy's conversion to 32 bits, and by way of it to fewer
        return _in_range(e, value, 32)
    if target == "u8":
        wide = like(value.type, ir.IntType(64))
        high = b.fcmp_ordered(">=", value, constant(value.type, 2.0**63))
        low = _in_range(e, value, 64)
        top = _in_range(e, b.fsub(value, constant(value.type, 2.0**63)), 64)
        return b.select(high, b.xor(top, constant(wide, -(2**63))), low)
    whole = _in_range(e, value, 64 if width >= 32 else 32)
    return whole if scalar_of(whole.type).width == width else b.trunc(whole, like(value.type, ir.IntType(width)))


def _in_range(e: Emitter, value: ir.Value, width: int) -> ir.Value:
    b, whole = e.b, like(value.type, ir.IntType(width))
    edge = 2.0 ** (width - 1)
    low = ">=" if width == 64 else ">"
    fits = b.and_(
        b.fcmp_ordered(low, value, constant(value.type, -edge if width == 64 else -edge - 1)),
        b.fcmp_ordered("<", value, constant(value.type, edge)),
    )
    safe = b.select(fits, value, constant(value.type, 0.0))
    return b.select(fits, b.fptosi(safe, whole), constant(whole, -(2 ** (width - 1))))


# --- one function per row: (emitter, dtype code of the operands, operands) -> value -----------------------------

Rule = Callable[..., ir.Value]
RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def note(f: Rule) -> Rule:
        for name in names:
            RULES[name] = f
        return f

    return note


@_rule("identity", "stop_gradient")
def _identity(e: Emitter, code: str, x: ir.Value) -> ir.Value:
    return x


def _arithmetic(floating: str, whole: str, boolean: str | None) -> Rule:
    def rule(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
        if code == "b1":
            return getattr(e.b, boolean)(x, y)
        return _rounded(e, getattr(e.b, floating if _is_float(code) else whole)(x, y), code)

    return rule


RULES["add"] = _arithmetic("fadd", "add", "or_")
RULES["sub"] = _arithmetic("fsub", "sub", None)
RULES["mul"] = _arithmetic("fmul", "mul", "and_")
RULES["logical_and"] = lambda e, code, x, y: e.b.and_(x, y)
RULES["logical_or"] = lambda e, code, x, y: e.b.or_(x, y)
RULES["logical_not"] = lambda e, code, x: e.b.not_(x)


@_rule("div")
def _div(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    return _rounded(e, e.b.fdiv(x, y), code)


@_rule("neg")
def _neg(e: Emitter, code: str, x: ir.Value) -> ir.Value:
    return e.b.fneg(x) if _is_float(code) else e.b.neg(x)


@_rule("abs")
def _abs(e: Emitter, code: str, x: ir.Value) -> ir.Value:
    if _is_float(code):
        return e.intrinsic("fabs", x)
    if code[0] != "i":
        return x
    return e.b.select(e.b.icmp_signed("<", x, constant(x.type, 0)), e.b.neg(x), x)


@_rule("sign")
def _sign(e: Emitter, code: str, x: ir.Value) -> ir.Value:
    b = e.b
    if _is_float(code):
        zero, one, minus = (constant(x.type, v) for v in (0.0, 1.0, -1.0))
        flat = b.select(b.fcmp_ordered("==", x, zero), zero, x)  # NaN stays
        return b.select(b.fcmp_ordered(">", x, zero), one, b.select(b.fcmp_ordered("<", x, zero), minus, flat))
    up = b.zext(compare(e, "gt", code, x, constant(x.type, 0)), x.type)
    if code[0] == "u":
        return up
    return b.sub(up, b.zext(compare(e, "lt", code, x, constant(x.type, 0)), x.type))


def compare(e: Emitter, name: str, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    sign = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}[name]
    if _is_float(code):
        return e.b.fcmp_unordered("!=", x, y) if name == "ne" else e.b.fcmp_ordered(sign, x, y)
    return e.b.icmp_signed(sign, x, y) if code[0] == "i" else e.b.icmp_unsigned(sign, x, y)


for _name in ("gt", "ge", "lt", "le", "eq", "ne"):
    RULES[_name] = lambda e, code, x, y, _name=_name: compare(e, _name, code, x, y)


def extreme(e: Emitter, code: str, x: ir.Value, y: ir.Value, name: str) -> ir.Value:
    """np.maximum and np.minimum: a NaN of either operand comes through, and of equal ones, two zeros, the second."""
    b = e.b
    if code == "b1":
        return b.or_(x, y) if name == "maximum" else b.and_(x, y)
    better = compare(e, "gt" if name == "maximum" else "lt", code, x, y)
    chosen = b.select(better, x, y)  # a NaN in y stays
    return b.select(b.fcmp_unordered("uno", x, x), x, chosen) if _is_float(code) else chosen


RULES["maximum"] = lambda e, code, x, y: extreme(e, code, x, y, "maximum")
RULES["minimum"] = lambda e, code, x, y: extreme(e, code, x, y, "minimum")


@_rule("clip")
def _clip(e: Emitter, code: str, x: ir.Value, low: ir.Value, high: ir.Value) -> ir.Value:
    return extreme(e, code, high, extreme(e, code, low, x, "maximum"), "minimum")  # of equal ones, two zeros, x


@_rule("relu")
def _relu(e: Emitter, code: str, x: ir.Value) -> ir.Value:
    if code[0] in "bu":
        return x
    zero = constant(x.type, 0.0 if _is_float(code) else 0)
    return e.b.select(e.b.fcmp_unordered(">", x, zero) if _is_float(code) else compare(e, "gt", code, x, zero), x, zero)


@_rule("sqrt")
def _sqrt(e: Emitter, code: str, x: ir.Value) -> ir.Value:
    return _rounded(e, e.intrinsic("sqrt", x), code)


def _rounding(name: str) -> Rule:
    return lambda e, code, x: e.intrinsic(name, x) if _is_float(code) else x


for _name, _intrinsic in (("floor", "floor"), ("ceil", "ceil"), ("trunc", "trunc"), ("rint", "rint")):
    RULES[_name] = _rounding(_intrinsic)


def _scaled(top: float, bottom: float) -> Rule:
    factors = {"f8": top / bottom, "f4": float(np.float32(top) / np.float32(bottom))}

    def rule(e: Emitter, code: str, x: ir.Value) -> ir.Value:
        return _rounded(e, e.b.fmul(x, constant(x.type, factors["f4" if code == "f2" else code])), code)

    return rule


RULES["deg2rad"] = _scaled(np.pi, 180.0)
RULES["rad2deg"] = _scaled(180.0, np.pi)


@_rule("mod")
def _mod(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    if _is_float(code):
        return _rounded(e, elementary.emit(e, "mod", x, y), code)
    return _int_divmod(e, code, x, y)[1]


@_rule("floor_divide")
def _floor_divide(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    if _is_float(code):
        return _rounded(e, elementary.emit(e, "floor_divide", x, y), code)
    return _int_divmod(e, code, x, y)[0]


@_rule("copysign")
def _copysign(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    return e.intrinsic("copysign", x, y)


def _known_extreme(name: str) -> Rule:
    """np.fmax and np.fmin: the other operand where one is NaN, and of equal ones, two zeros, the second."""

    def rule(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
        if not _is_float(code):
            return extreme(e, code, x, y, name)
        better = compare(e, "gt" if name == "maximum" else "lt", code, x, y)
        return e.b.select(e.b.or_(better, e.b.fcmp_unordered("uno", y, y)), x, y)

    return rule


RULES["fmax"], RULES["fmin"] = _known_extreme("maximum"), _known_extreme("minimum")


@_rule("heaviside")
def _heaviside(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    b, zero, one = e.b, constant(x.type, 0.0), constant(x.type, 1.0)
    sides = b.select(b.fcmp_ordered("<", x, zero), zero, b.select(b.fcmp_ordered("==", x, zero), y, one))
    return b.select(b.fcmp_unordered("uno", x, x), x, sides)


def _whole_power(exponent: int) -> Rule:
    """A power by squares, in two words, so that it is rounded about once; one word where that is infinite or zero."""

    def rule(e: Emitter, code: str, x: ir.Value) -> ir.Value:
        b, high, low = e.b, x, None
        for bit in f"{exponent:b}"[1:]:
            square = b.fmul(high, high)
            rest = e.fma(high, high, b.fneg(square))
            low = rest if low is None else e.fma(b.fadd(high, high), low, rest)
            high = square
            if bit == "1":
                product = b.fmul(high, x)
                low = e.fma(low, x, e.fma(high, x, b.fneg(product)))
                high = product
        size = e.intrinsic("fabs", low)
        finite = b.and_(
            b.fcmp_ordered(">", size, constant(x.type, 0.0)), b.fcmp_ordered("<", size, constant(x.type, math.inf))
        )
        return b.select(finite, b.fadd(high, low), high)

    return rule


POWERS = range(5, 17)  # those that are less work so than by a logarithm
RULES |= {f"power_{exponent}": _whole_power(exponent) for exponent in POWERS}


def _int_divmod(e: Emitter, code: str, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """NumPy's on whole numbers: by zero is zero, and the smallest number by −1 is itself."""
    b, zero, one = e.b, constant(x.type, 0), constant(x.type, 1)
    by_zero = b.icmp_signed("==", y, zero)
    if code[0] == "u":
        safe = b.select(by_zero, one, y)
        return b.select(by_zero, zero, b.udiv(x, safe)), b.select(by_zero, zero, b.urem(x, safe))
    minus = b.icmp_signed("==", y, constant(x.type, -1))
    safe = b.select(b.or_(by_zero, minus), one, y)
    quotient, rest = b.sdiv(x, safe), b.srem(x, safe)
    lower = b.and_(
        b.icmp_signed("!=", rest, zero), b.xor(b.icmp_signed("<", rest, zero), b.icmp_signed("<", safe, zero))
    )
    quotient = b.sub(quotient, b.zext(lower, x.type))
    rest = b.select(lower, b.add(rest, safe), rest)
    quotient = b.select(by_zero, zero, b.select(minus, b.neg(x), quotient))
    return quotient, b.select(b.or_(by_zero, minus), zero, rest)


def emit(e: Emitter, name: str, code: str, operands: list[ir.Value]) -> ir.Value:
    """What the row makes of operands of one dtype (a choice: of a bit and two of the dtype)."""
    if name == "select":
        return e.b.select(*operands)
    rule = RULES.get(name)
    if rule is not None:
        return rule(e, code, *operands)
    return _rounded(e, elementary.emit(e, name, *operands), code)


_FLOATING = ("deg2rad", "rad2deg", "copysign", "heaviside", "fmax", "fmin")


@cache
def can(name: str, code: str) -> bool:
    """Whether there is code for the row on operands of the dtype."""
    if code == "f2" and not half_is_native():
        return False
    if name in elementary.NAMES or elementary.has(name):
        return _is_float(code)
    if name == "select":
        return True
    if name not in RULES:
        return False
    if code == "b1":
        return name not in ("sub", "neg", "sign", "div", "sqrt", "mod", "floor_divide", *_FLOATING)
    return _is_float(code) or name not in (*_FLOATING, "div", "sqrt", "deg2rad", "rad2deg", "logical_and", "logical_or",
                                           "logical_not")  # fmt: skip
