"""Random programs on numbers: every row that a tape takes, written in the ways in which users write it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import payback as pb
from ops.samples import POINTWISE, row_of
from payback.native import vector_math
from payback.native.tape import recorder as tape_recorder
from payback.native.tape.cases import able
from payback.ops import TABLE
from payback.ops.namespace import Values

SPECIAL = (0.0, -0.0, 1.0, -1.5, math.inf, -math.inf, math.nan, 5e-324, -1e-310, 1e300, 0.75, 2.0, -1.0)
CONSTANTS = (0.0, -0.0, 1.0, 2.0, -1.5, 0.5, 3, 2, -1, np.float64(2.0), np.float64(-0.75), np.float64(0.0),
             np.float64(-0.0), math.inf, 1e300, np.float64(np.nan), True, np.float32(0.5), np.int64(3))  # fmt: skip
COMPARISONS = (lambda a, b: a > b, lambda a, b: a >= b, lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a == b,
               lambda a, b: a != b)  # fmt: skip
OPERATORS = (lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: 1.0 - a, lambda a, b: 2 / a,
             lambda a, b: np.sin(a), lambda a, b: -a, lambda a, b: abs(a), lambda a, b: np.square(a))  # fmt: skip
USUAL = "add mul sub div maximum minimum sin tanh neg abs power sqrt relu stop_gradient".split()  # noqa: SIM905
OTHERS = {"logical_and", "logical_or", "logical_not", "select", "gt", "ge", "lt", "le", "eq", "ne", "clip", "identity"}


def names() -> list[str]:
    return sorted(able() - OTHERS)


def program(seed: int) -> Callable[[Any], list[Any]]:
    """`made(x)` is the list of all numbers that it computes from the three of x."""
    random = np.random.default_rng(seed)
    splits = random.random() < 0.3  # other rows come between
    steps = [(random.random(), random.integers(0, 10**6, size=8).tolist()) for _ in range(random.integers(2, 40))]
    rows = names()

    def made(x: Any) -> list[Any]:
        found = [x[k] for k in range(3)]
        truths = [found[0] > found[1]]
        for chance, (i, j, k, constant, truth, what, which, rare) in steps:
            first, second, third = (found[-1 - at % min(len(found), 8)] for at in (i, j, k))
            if chance < 0.12:
                second = CONSTANTS[constant % len(CONSTANTS)]
            decides = truths[-1 - truth % min(len(truths), 4)]
            match what % 20:
                case 0:
                    truths.append(COMPARISONS[which % 6](first, second))
                    continue
                case 1:
                    truths.append([decides & truths[-1], decides | truths[-1], np.logical_not(decides),
                                   np.logical_and(decides, truths[0])][which % 4])  # fmt: skip
                    continue
                case 2:
                    y = np.where(decides, first, second)
                case 3:
                    y = np.where(COMPARISONS[which % 6](first, second), second, third)
                case 4:
                    y = np.clip(first, second, third)
                case 5:
                    y = first ** [2, 3, 0.5, -1, 2.0, second, 0, 1][which % 8]
                case 6 if chance > 0.9:
                    y = float(CONSTANTS[constant % len(CONSTANTS)]) - first
                case 6:
                    y = OPERATORS[which % len(OPERATORS)](first, second)
                case 7 if splits:
                    out = np.zeros(4)
                    out[1], out[which % 4] = first, second
                    y = out[rare % 4] + out[1]
                case 8 if splits:
                    y = np.sum(np.array([first, third, first]))
                case 9:
                    y = first
                    y += second
                case _:
                    name = rows[which % len(rows)] if rare % 2 else USUAL[which % len(USUAL)]
                    y = POINTWISE[name].call(*[first, second][: len(TABLE[name].partials)])
            found.append(y)
        return found

    return made


def point(seed: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed + 10**6)
    x = random.normal(size=3).round(2) * 2
    if random.random() < 0.4:
        for k in range(3):
            if random.random() < 0.5:
                x[k] = SPECIAL[random.integers(len(SPECIAL))]
    return np.round(x) if random.random() < 0.2 else x


@contextmanager
def recording(on: bool, many: int = 1) -> Iterator[None]:
    """Tapes of any length, or none at all."""
    before = tape_recorder.ON, tape_recorder.MANY
    tape_recorder.ON, tape_recorder.MANY = on, many
    try:
        yield
    finally:
        tape_recorder.ON, tape_recorder.MANY = before


def _native(name: str) -> Callable[..., Any]:
    row, count, original = row_of(name), len(TABLE[name].partials), getattr(Values, name)
    with recording(False):
        compiled = pb.compile((lambda x: row(x)) if count == 1 else (lambda x, y: row(x, y)))
        compiled(*[0.5] * count)

    def function(*args: Any) -> Any:
        if any(isinstance(x, np.ndarray) for x in args):
            return original(*args)
        if name == "power" and args[1] in _POWERS:  # as native code writes them
            made = _POWERS[args[1]](args[0])
        else:
            made = compiled(*map(float, args))
        return float(made) if all(type(x) in (float, int) for x in args) else np.float64(made)

    return function


@contextmanager
def native_functions() -> Iterator[None]:
    """The interpreter computes elementary functions of numbers with the bits of machine code meanwhile."""
    before = {name: Values.__dict__[name] for name in _ELEMENTARY}
    try:
        for name in _ELEMENTARY:
            if name not in _made:
                _made[name] = staticmethod(_native(name))
        for name, function in _made.items():
            setattr(Values, name, function)
        yield
    finally:
        for name, function in before.items():
            setattr(Values, name, function)


_POWERS = {1.0: lambda x: x, 2.0: lambda x: x * x, 3.0: lambda x: x * x * x, -1.0: lambda x: Values.div(1.0, x)}
_made: dict[str, Any] = {}
_ELEMENTARY = sorted(name for name in able() if name in vector_math.FORMULAS or name in ("sigmoid", "softplus"))
