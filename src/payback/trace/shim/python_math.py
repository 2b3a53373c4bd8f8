"""Python's `math` of traced values: Python floats in, a Python float out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from sys import _getframe
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.ops.row import TABLE
from payback.trace.array import Traced, plain
from payback.trace.dispatch import UFUNCS, emit, here
from payback.trace.operators import METHODS
from payback.trace.refusals.free import rounded
from payback.trace.refusals.handled import unsure
from payback.trace.scalars.floats import of_function
from payback.trace.scalars.number import NUMBERS, number_in

_OF_NUMPY = {
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt, "cbrt": np.cbrt, "pow": np.power, "fabs": np.fabs,
    "degrees": np.degrees, "radians": np.radians, "copysign": np.copysign, "fmod": np.fmod,
}  # fmt: skip
_ROWS = {"erf": "erf", "erfc": "erfc", "gamma": "gamma", "lgamma": "gammaln"}  # no functions of NumPy's
# Their answers are whole numbers or truths: constant in pieces, so the bare value loses nothing.
_OF_VALUES = {"isnan", "isinf", "isfinite", "isclose", "floor", "ceil", "trunc"}
_FAILING = {"acos", "asin", "acosh", "atanh", "cosh", "exp", "exp2", "expm1", "fmod", "gamma", "lgamma", "log", "log10",
            "log1p", "log2", "pow", "sinh", "sqrt", "sin", "cos", "tan"}  # fmt: skip
_OF_ONE = {  # the rows of those that are of one number
    name: TABLE[row]
    for name, row in ({name: UFUNCS.get(f) for name, f in _OF_NUMPY.items()} | _ROWS).items()
    if row is not None and len(TABLE[row].partials) == 1
}
MATHEMATICS = {*_OF_NUMPY, *_OF_VALUES, "fsum", "prod", "hypot", "dist", "gamma", "lgamma", "erf", "erfc", "modf",
               "frexp", "remainder"}  # fmt: skip


def _number(x: Any) -> Any:
    """The argument as a Python float would be, still traced."""
    if not isinstance(x, Traced):
        return x
    if x.shape:
        raise TypeError("only scalars can be converted to Python floats")
    if type(x) in NUMBERS:
        return number_in(x).weakly()
    return x if x.node.aval.weak and x.dtype.kind == "f" else emit("cast", x, dtype=np.dtype(float), weak=True)


METHODS["as_number"] = _number


def _remainder(x: Any, y: Any) -> Any:
    """x less the whole multiple of y that is nearest, of two as near the even one, without rounding."""
    size = np.where(y < 0, -y, y)
    left = np.fmod(np.where(x < 0, -x, x), 2.0 * size)
    beyond = left > 0.5 * size
    left = np.where(beyond, left - size, left)
    left = np.where(beyond & (left >= 0.5 * size), left - size, left)
    return np.where(x < 0, -left, left)


def mathematics(name: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`math.name` of arguments of which one at least is traced."""
    row = _OF_ONE.get(name)
    if row is not None and len(args) == 1:
        found = of_function(row, original, args[0], _getframe(2))
        if found is not None:
            return found
    if name in _OF_VALUES:
        if name in ("floor", "ceil", "trunc"):
            rounded(*args)
        return original(*map(plain, args), **kwargs)
    if name in ("fsum", "prod"):
        items = list(args[0])
        total: Any = kwargs.get("start", 1) if name == "prod" else 0.0
        for item in items:
            total = total * item if name == "prod" else total + item
        return _number(total) if name == "fsum" else total
    if name in ("hypot", "dist"):
        parts = args if name == "hypot" else [a - b for a, b in zip(*args, strict=True)]
        return _number(functools.reduce(np.hypot, map(_number, parts), 0.0))  # which has a derivative at 0
    if name == "log" and len(args) == 2:
        return mathematics(name, math.log, args[0]) / mathematics(name, math.log, args[1])
    if name == "remainder":
        return _number(_remainder(*map(_number, args)))
    if name in ("modf", "frexp"):
        part, other = (np.modf if name == "modf" else np.frexp)(_number(args[0]))
        return _number(part), _number(other) if name == "modf" else other
    function = _OF_NUMPY.get(name)
    if function is None and name not in _ROWS:
        raise UnsupportedError(f"math.{name} has no derivative in payback", where=here(),
                               why="there is no row for it in the table",
                               fix="write it with math or NumPy functions that have one")  # fmt: skip
    operands = [_number(x) for x in args]
    if all(x.node.value is not None for x in operands if isinstance(x, Traced) and type(x) not in NUMBERS) and not any(
        type(x) in NUMBERS for x in operands
    ):
        original(*[plain(x) for x in operands])  # raises what it raises: math domain error, overflow
    elif name in _FAILING:
        unsure(f"math.{name}", _getframe(1))
    called = _ROWS.get(name) or UFUNCS.get(function)
    number = next((x for x in operands if type(x) in NUMBERS), None)
    made = None if number is None or called is None else number.recorded(called, operands, False, _getframe(2))
    if made is not None:
        return made
    return _number(emit(called, *operands) if called is not None else function(*operands))


def has_traced(args: Any) -> bool:
    """Whether math was given something traced, also in a list or tuple."""
    return any(isinstance(x, Traced) or (isinstance(x, (list, tuple)) and has_traced(x)) for x in args)
