"""Elementary functions on vectors, as LLVM IR: float32 and float64, within 2 ulp, with IEEE 754's special values.

`emit` adds one internal function to the module for each function and type, and calls it.  The functions have no
table look-ups and, but for huge arguments of sin and negative ones of gammaln and their relatives, no branches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from payback.ir.later import later
from payback.native import ir
from payback.native.codegen.emit import Emitter, suffix
from payback.native.vector_math import logistic
from payback.native.vector_math.constants import Constants, defined
from payback.native.vector_math.lanes import Lanes, Maths

Formula = Callable[..., Lanes]

_BY_FAMILY = {
    "exponential": "exp exp2 expm1 log log2 log10 log1p",
    "logistic": "sigmoid expit softplus log_expit logaddexp",
    "trigonometric": "sin cos tan arcsin arccos arctan arctan2",
    "hyperbolic": "sinh cosh tanh arcsinh arccosh arctanh",
    "power": "power cbrt hypot",
    "division": "mod floor_divide fmod",
    "special": "erf erfc erfcx erfinv ndtr log_ndtr ndtri",
    "gamma": "gammaln digamma trigamma",
    "entropy": "xlogy xlog1py entr rel_entr logit",
}
FORMULAS: dict[str, Formula] = {
    name: later(f"native.vector_math.{family}", name) for family, names in _BY_FAMILY.items() for name in names.split()
}
INTRINSICS = {name: name for name in ("sqrt", "floor", "ceil", "trunc", "rint", "copysign")} | {"abs": "fabs"}
# with code for few operands, beside the way of most
BRANCHING = frozenset(["sin", "cos", "tan", "mod", "floor_divide", "fmod", "gammaln", "digamma", "trigamma"])
# of statistics: large, and seldom in programs of many numbers
STATISTICAL = frozenset(f"{_BY_FAMILY['gamma']} {_BY_FAMILY['entropy']} erfcx erfinv ndtr log_ndtr ndtri".split())
SUPPORTED = frozenset(FORMULAS) | frozenset(INTRINSICS)


def emit(e: Emitter, name: str, *operands: ir.Value) -> ir.Value:
    """The function of that name in the table of primitives, applied to scalars or vectors of one type of floats."""
    if name in INTRINSICS:
        return e.intrinsic(INTRINSICS[name], *operands)
    kind = operands[0].type
    if e.constants is not None:
        return _written(name, kind, e, e.constants, operands)
    full = f"payback.{name}.{suffix(kind)}"
    return e.b.call(*defined(e.module, full, kind, [kind] * len(operands), partial(_written, name, kind), operands))


def _written(name: str, kind: ir.Type, e: Emitter, constants: Constants, operands: Sequence[ir.Value]) -> ir.Value:
    m = Maths(e, kind, constants)
    return FORMULAS[name](m, *[m.lanes(x) for x in operands]).v


def together(e: Emitter, wanted: Sequence[str], *operands: ir.Value) -> list[ir.Value]:
    """Functions of one number, or of the difference of two, that are made of one exponential: see `logistic`."""
    kind, count = operands[0].type, len(wanted)
    if e.constants is not None:
        m = Maths(e, kind, e.constants)
        return [x.v for x in logistic.together(m, wanted, [m.lanes(x) for x in operands])]
    result = ir.LiteralStructType([kind] * count)

    def body(e: Emitter, constants: Constants, operands: Sequence[ir.Value]) -> ir.Value:
        m = Maths(e, kind, constants)
        made = ir.Constant(result, ir.Undefined)
        for k, x in enumerate(logistic.together(m, wanted, [m.lanes(x) for x in operands])):
            made = e.b.insert_value(made, x.v, k)
        return made

    full = f"payback.{'.'.join(wanted)}.{len(operands)}.{suffix(kind)}"
    made = e.b.call(*defined(e.module, full, result, [kind] * len(operands), body, operands))
    return [e.b.extract_value(made, k) for k in range(count)]
