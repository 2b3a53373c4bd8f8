"""The cases of a tape's entries: what each row computes and pays, on registers of one float64 each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from payback.native import ir, vector_math
from payback.native.codegen.emit import BIT, FLOAT64, Emitter, constant
from payback.native.lower import elementary, pointwise
from payback.ops.namespace import Select
from payback.ops.row import TABLE
from payback.trace.scalars.columns import ROWS

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

    None of SciPy's, and none of statistics: one kernel replays all programs, and is not to load SciPy, nor to take long
    to compile, for those that do without.
    """
    return frozenset(
        row.name
        for row in ROWS
        if row.name not in elementary.SPECIAL | vector_math.STATISTICAL
        and (pointwise.can(row.name, "f8") or row.name in _TRUTHS)
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
    __hash__ = None

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

    def __eq__(self, other: object) -> Lane:
        return self.m.apply("eq", self, other)

    def __ne__(self, other: object) -> Lane:
        return self.m.apply("ne", self, other)


class Registers:
    """The namespace `m` on registers of one float64 each, or of several lanes."""

    def __init__(self, e: Emitter, lanes: int = 1):
        self.e = e
        self.bit, self.number = (BIT, FLOAT64) if lanes == 1 else (ir.VectorType(t, lanes) for t in (BIT, FLOAT64))

    def value(self, x: Any) -> ir.Value:
        if type(x) is Lane:
            return x.v
        return constant(self.bit, x) if isinstance(x, bool) else constant(self.number, float(x))

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


class _Probe(Registers):
    """The namespace on sets of operands: what of them a result is made from, and whether by something slow."""

    def __init__(self) -> None:
        self.slow = False

    def apply(self, name: str, *operands: Any) -> Lane:
        self.slow |= name in vector_math.FORMULAS or name in ("div", "sqrt")
        return Lane(self, frozenset().union(*(x.v for x in operands if type(x) is Lane)))


class Facts(NamedTuple):
    """What a partial reads (numbers of arguments; −1: the result), and whether it is one number that takes long."""

    reads: frozenset[int]
    slow: bool


@cache
def facts_of(name: str, slot: int) -> Facts:
    """Of a row's partial by one of its arguments."""
    m = _Probe()
    count = arity(Operation(name, ()))
    lanes = [Lane(m, frozenset([k])) for k in range(count)]
    read: set[int] = set()

    def collect(partial: Any) -> None:
        if type(partial) is Select:
            for part in (partial.condition, partial.high, partial.low):
                collect(part)
        elif type(partial) is Lane:
            read.update(partial.v)

    partial = partial_of(m, name, slot, lanes, Lane(m, frozenset([-1])))
    collect(partial)
    return Facts(frozenset(read), m.slow and type(partial) is Lane)


def is_truth(name: str, slot: int) -> bool:
    """Whether the argument of a row is a truth, kept as 1.0 or 0.0."""
    return name.startswith("logical") or (name == "select" and slot == 0)


def initial(sure: bool) -> ir.Value:
    """What an adjoint is before anybody has paid: nothing is added to −0.0, and NOTHING tells that it is nothing."""
    return FLOAT64(-0.0 if sure else struct.unpack("d", struct.pack("q", NOTHING))[0])


def value_of(m: Registers, name: str, lanes: list[Any]) -> Any:
    """What an entry is; powers as they are everywhere in native code (see `expand.py`)."""
    match name:
        case "square":
            return lanes[0] * lanes[0]
        case "cube":
            return lanes[0] * lanes[0] * lanes[0]
        case "reciprocal":
            return m.div(1.0, lanes[0])
    return m.apply(name, *lanes)


def partial_of(m: Registers, name: str, slot: int, lanes: list[Any], y: Lane) -> Any:
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


def bit_of(condition: Any) -> ir.Value:
    return condition.v if type(condition) is Lane else BIT(bool(condition))
