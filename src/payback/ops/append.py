"""Appending a node: snapshots, promotion, then evaluation if there are numbers to evaluate.

Eager and traced computations are the same graph: with values at hand a node is evaluated as it is appended,
without them only its abstract value is found.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, InputError, ShapeError
from payback.ir.aval import BOOL, WEAK_DTYPES, Aval, aval_of, broadcast_shapes
from payback.ir.loops import count
from payback.ir.node import NO_PARAMS, Node
from payback.ir.where import caller, position
from payback.ops.dtypes import common_dtype, kind_of
from payback.ops.namespace import Values
from payback.ops.row import CONST, TABLE, Row
from payback.ops.shadows import appended, constant

_WRITEABLE = 0x400  # NPY_ARRAY_WRITEABLE: asked by name, results of np.broadcast_arrays warn
_EXACT = 2**53  # up to here whole numbers are floats
_KINDS = "fiub"  # floating, signed, unsigned, boolean
_JOINING = ("concatenate", "stack", "contract")  # not pointwise, but of one dtype
# Whether nothing can write into an array from outside as long as the graphs that are made now are needed.
lasting: ContextVar[bool] = ContextVar("lasting", default=False)
_OF_CONDITIONS = ("select", "logical_and", "logical_or", "logical_not")


def snapshot(value: Any) -> Any:
    """The value as it is now: a Python number, a NumPy scalar, or an array that nobody can change.

    Raises DifferentiationError for what payback does not compute with: complex numbers, objects, masks.
    """
    kind = type(value)
    if kind is float:
        return value
    if kind is np.ndarray and value.ndim and value.dtype.kind in _KINDS:
        flags = value.flags
        if flags.num & _WRITEABLE or not is_immutable(value):
            # where nothing can write into it, it may stay where it is; bits of what is computed may depend on gaps
            value = value.view() if flags.forc and flags.aligned and lasting.get() else value.copy("K")
            value.setflags(False)
        return value
    if kind in WEAK_DTYPES:
        return value
    if isinstance(value, np.generic):
        _check_dtype(value.dtype)
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise DifferentiationError("a masked array cannot enter a computation", where=_here(),
                                   why="its mask would be lost silently",
                                   fix="give the plain data and a mask: np.where(mask, 0.0, data)")  # fmt: skip
    if isinstance(value, np.matrix):
        raise DifferentiationError("a numpy.matrix cannot enter a computation", where=_here(),
                                   why="* means another product for it",
                                   fix="give a plain array: np.asarray(matrix)")  # fmt: skip
    if kind is not np.ndarray and issubclass(kind, np.ndarray) and _computes_otherwise(kind):
        raise DifferentiationError(f"an array of the class {kind.__name__} cannot enter a computation", where=_here(),
                                   why="it has operators of its own, as for units, which would be lost silently",
                                   fix="give a plain array: np.asarray(x)")  # fmt: skip
    if not issubclass(type(value), np.ndarray):  # a traced value says that it is one
        value = np.array(of_rows(value))  # a copy: __array__ may show memory that belongs to the object
        _check_dtype(value.dtype)
        value.flags.writeable = False
        return value[()]
    _check_dtype(value.dtype)
    if value.ndim == 0:
        return value[()]
    if not is_immutable(value):
        value = np.array(value, copy=True, subok=False)
        value.flags.writeable = False
    return value


_SIGNS = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow")


@functools.cache
def _computes_otherwise(kind: type) -> bool:
    """Whether a class of arrays has another arithmetic than NumPy's, or makes something else of its results."""
    names = ["__array_ufunc__", "__array_function__", "__array_wrap__", "__neg__", "__abs__"]
    names += [f"__{before}{sign}__" for sign in _SIGNS for before in ("", "r")]
    known = kind.__module__.partition(".")[0] in ("numpy", "payback")
    return not known and any(getattr(kind, name) is not getattr(np.ndarray, name) for name in names)


def of_rows(value: Any) -> np.ndarray[Any, Any]:
    """What NumPy makes of numbers and of lists of them.  Raises ShapeError where they differ in length."""
    try:
        return np.asarray(value)
    except ValueError as problem:
        if "inhomogeneous" not in str(problem):
            raise
        raise ShapeError("lists of different lengths make no array", where=_here(),
                         why="every row of an array has as many entries as the others",
                         fix="give every row the same length, or each as an argument of its own") from None  # fmt: skip


def _here() -> str | None:
    place = position(caller())
    return str(place) if place else None


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind == "c":
        raise DifferentiationError(
            "complex numbers are not differentiated in this version",
            where=_here(),
            why=f"the dtype is {dtype}",
            fix="compute with the real and the imaginary part as two arrays",
        )
    if dtype.kind not in _KINDS:
        raise DifferentiationError(f"an array of dtype {dtype} cannot enter a computation", where=_here(),
                                   why="payback computes with floating, integer and boolean numbers",
                                   fix="convert it first, for example with .astype(float)")  # fmt: skip


def _check_dtypes(avals: Sequence[Any]) -> None:
    """Whether arguments without numbers are what payback computes with: asked where something failed."""
    for aval in avals:
        if type(aval) is Aval:
            _check_dtype(aval.dtype)


def is_immutable(array: np.ndarray[Any, Any]) -> bool:
    """Read-only, and so is whatever it is a view of."""
    part: Any = array
    while isinstance(part, np.ndarray):
        if part.flags.num & _WRITEABLE or type(part) is not np.ndarray:
            return False
        part = part.base
    return part is None


def freeze(value: Any) -> Any:
    """Make a computed array read-only; the caller must be its only owner."""
    if type(value) is np.ndarray:
        if value.ndim == 0:
            return value[()]
        value.setflags(False)
    elif type(value) is tuple:
        return tuple(map(freeze, value))
    return value


def floated(value: int, name: str) -> float:
    """A whole number as the float that it is differentiated by."""
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{name} is a whole number beyond the floats", where=_here(),
                         why="derivatives are by floats, and the largest is 1.8e308",
                         fix="scale it, or give its logarithm") from None  # fmt: skip


def const(value: Any, where: Any = None) -> Node:
    """A node that has no derivative: a literal, or data from outside."""
    return constant(snapshot(value), where)


def append(row: Row, args: tuple[Node, ...], params: dict[str, Any], where: Any) -> Node:
    """A node for `row` on settled arguments."""
    values = [arg.value for arg in args]
    for value in values:
        if value is None:
            break
    else:
        value = row.value(Values, *values, **params)
        if type(value) is np.ndarray and value.ndim:
            value.setflags(False)
        elif type(value) is np.ndarray or type(value) is tuple:
            value = freeze(value)
        for arg in args:
            if arg.op is not CONST:
                return appended(row, args, params, value, where)
        return constant(value, where)
    assert row.shape is not None
    count(where)
    avals = [arg.aval for arg in args]
    try:
        aval = row.shape(*avals, **params)
    except (AttributeError, TypeError):
        _check_dtypes(avals)
        raise
    return Node(row, args, params, None, where, aval)


def _settle(operand: Any, dtype: np.dtype[Any] | None, where: Any) -> Node:
    """The operand as a node of the dtype; a literal takes the dtype without a cast."""
    if not isinstance(operand, Node):
        if dtype is None:
            return const(operand, where)
        if type(operand) in WEAK_DTYPES:
            if dtype.kind == "f" and type(operand) is not float and abs(operand) > 2**53:
                operand = float(operand)
            return Node(CONST, (), NO_PARAMS, operand, where, Aval((), dtype))
        value = snapshot(operand)
        return constant(value if value.dtype == dtype else freeze(value.astype(dtype)), where)
    if dtype is None:
        return operand
    aval = operand.aval
    if aval.dtype == dtype and not aval.weak:
        return operand
    if operand.op is CONST:
        return _settle(operand.value, dtype, operand.where or where)
    return append(TABLE["cast"], (operand,), {"dtype": dtype, "weak": False}, where)


def _aval(operand: Any) -> Aval:
    if isinstance(operand, Node):
        return operand.aval
    return aval_of(operand if type(operand) in WEAK_DTYPES or hasattr(operand, "dtype") else np.asarray(operand))


def _literal(operand: Any) -> Any:
    return operand.value if isinstance(operand, Node) and operand.op is CONST else operand


def settle(row: Row, operands: Sequence[Any], where: Any) -> tuple[Node, ...]:
    """The operands as nodes that a rule can take: promoted to one dtype, by NumPy's rules."""
    first = 1 if row.name == "select" else 0  # a condition stays what it is
    avals = [_aval(operand) for operand in operands]
    kinds = tuple(kind_of(aval) for aval in avals[first:])
    dtype: np.dtype[Any] | None = None
    # Python numbers among themselves are left to Python's rules
    if (len(kinds) > 1 or row.numeric in ("float", "wide")) and not all(aval.weak for aval in avals[first:]):
        try:
            dtype = common_dtype(kinds, row if row.numeric in ("float", "wide") else None)
        except TypeError:
            _check_dtypes(avals)
            raise
        if dtype.kind == "c":
            _check_dtype(dtype)
    elif row.numeric != "bool" and any(aval.dtype.kind == "f" for aval in avals[first:]):
        # Python makes floats of both; comparisons are exact
        operands = [float(x) if type(x) is int and abs(x) >= 2**63 else x for x in map(_literal, operands)]
    if row.name.startswith("logical"):
        dtype = np.dtype(bool)
    head, rest = tuple(_settle(operand, None, where) for operand in operands[:first]), operands[first:]
    if first and dtype is not None and dtype.kind in "iu":  # np.where takes of a number what the dtype holds
        rest = [int(np.asarray(x).astype(dtype)) if type(x) is int and abs(x) < 2**63 else x for x in rest]
    return head + tuple(_settle(operand, dtype, where) for operand in rest)


def settled(operands: Sequence[Any], where: Any, literals: bool, bare: bool = False) -> tuple[Node, ...] | None:
    """The operands as nodes, if they are floating and of one dtype, so that nothing is promoted; else None.

    What most calls are; `settle` is for the others, and would make the same of these.  literals: whether Python numbers
    may stand among them; bare: whether nodes without numbers may.
    """
    dtype = None
    for operand in operands:
        kind = type(operand)
        if kind is Node:
            value = operand.value
            if value is None:
                aval = operand.aval
                if aval.weak or not bare:
                    return None
                found = aval.dtype
            elif type(value) in WEAK_DTYPES or type(value) is tuple:
                if not literals or operand.op is not CONST or type(value) is bool:
                    return None
                if operand.aval.weak:
                    if type(value) is int and not -_EXACT <= value <= _EXACT:
                        return None
                    continue
                found = operand.aval.dtype  # a literal that has been settled
            else:
                found = value.dtype
        elif kind is np.ndarray or kind is np.float64 or kind is np.float32:
            found = operand.dtype
        elif literals and (kind is float or (kind is int and -_EXACT <= operand <= _EXACT)):
            continue
        else:
            return None
        if found is not dtype:
            if dtype is not None or found.kind != "f":
                return None
            dtype = found
    if dtype is None:
        return None
    nodes = []
    for operand in operands:
        kind = type(operand)
        if kind is Node:
            if operand.op is CONST and operand.aval.weak:
                operand = Node(CONST, (), NO_PARAMS, operand.value, where, Aval((), dtype))
        elif kind is float or kind is int:
            operand = Node(CONST, (), NO_PARAMS, operand, where, Aval((), dtype))
        else:
            operand = constant(snapshot(operand), where)
        nodes.append(operand)
    return tuple(nodes)


def at_once(row: Row, operands: Sequence[Any], where: Any) -> Node | None:
    """What `apply` makes of a pointwise row, sooner: of numbers, and of nodes of one dtype with values; else None."""
    dtype: Any = None
    values, arrays, fixed = [], False, True
    for operand in operands:
        value, strong = operand, None
        if type(operand) is Node:
            value = operand.value
            if type(value) in _FLOATING:
                arrays, fixed, strong = True, fixed and operand.op is CONST, value.dtype
            elif operand.op is not CONST:
                return None
            elif not operand.aval.weak:  # a literal that has been settled
                strong = operand.aval.dtype
        kind = type(value)
        if kind not in _FLOATING and kind is not float and not (kind is int and -_EXACT <= value <= _EXACT):
            return None
        if strong is None and kind in _FLOATING:
            return None
        if strong is not None and strong is not dtype:
            if dtype is not None or strong.kind != "f":
                return None
            dtype = strong
        values.append(value)
    if row.numeric != "same" and row.numeric != "bool" and (not arrays or row.numeric != "float"):
        return None
    if not arrays:
        return Node(CONST, (), NO_PARAMS, row.value(Values, *values), where)
    if fixed:
        return None
    try:
        value = row.value(Values, *values)
    except ValueError:  # `apply` says what does not go together
        return None
    args = []
    for operand, value_of in zip(operands, values, strict=True):
        if type(operand) is not Node or (operand.op is CONST and operand.aval.weak):
            operand = Node(CONST, (), NO_PARAMS, value_of, where, Aval((), dtype))
        args.append(operand)
    return appended(row, tuple(args), NO_PARAMS, freeze(value), where)


_FLOATING = {np.ndarray, np.float64, np.float32}


def apply(row: Row, operands: Sequence[Any], where: Any, params: dict[str, Any] = NO_PARAMS) -> Node:
    """Append `row` on operands that may be nodes, literals and outside arrays.

    Raises ShapeError naming both shapes and where they came from when they do not broadcast.
    """
    pointwise = row.kind == "pointwise"
    if pointwise or row.numeric == "float" or row.name in _JOINING:
        literals = pointwise and row.numeric != "wide"  # SciPy's xlogy(2.0, float32) is float64, its kl_div is not
        args = settled(operands, where, literals, True) if row.name not in _OF_CONDITIONS else None
        if args is not None and (row.numeric != "wide" or args[0].aval.dtype != np.float16):
            return append_settled(row, args, params, where)
        if row.numeric == "bool" and row.name in _OF_CONDITIONS and all(map(_is_condition, operands)):
            return append_settled(row, tuple(operands), params, where)
    if row.name == "select" and (cases := settled(operands[1:], where, True, True)) is not None:
        return append_settled(row, (_settle(operands[0], None, where), *cases), params, where)
    if row.kind == "pointwise":
        args = settle(row, operands, where)
        if len(args) > 1:
            check_broadcast(row, args, where)
    elif row.name in _JOINING or (row.kind == "own" and row.numeric == "float"):
        # what is joined or multiplied as arrays has become arrays: a Python number among them counts as one
        joined = row.name in _JOINING
        dtype = common_dtype(tuple(a.dtype if joined else kind_of(a) for a in map(_aval, operands)))
        if row.numeric == "float" and dtype.kind != "f":
            dtype = np.dtype(np.float64)
        args = tuple(_settle(operand, dtype, where) for operand in operands)
    else:
        args = tuple(_settle(operand, None, where) for operand in operands)
        if row.numeric == "float" and args[0].aval.dtype.kind != "f":
            args = (_settle(args[0], np.dtype(np.float64), where), *args[1:])
    return append(row, args, params, where)


def _is_condition(operand: Any) -> bool:
    return type(operand) is Node and operand.aval.dtype is BOOL and not operand.aval.weak


def append_settled(row: Row, args: tuple[Node, ...], params: dict[str, Any], where: Any) -> Node:
    """`append` on values: shapes that do not go together are told when the row has failed on them."""
    try:
        return append(row, args, params, where)
    except ValueError:
        if row.kind == "pointwise":
            check_broadcast(row, args, where)
        raise


def _reshaped(shapes: list[tuple[int, ...]]) -> str:
    """What to do with arrays of shapes that do not broadcast together: a cure that helps these."""
    for k, shape in enumerate(shapes):
        if len(shape) == 1:
            with contextlib.suppress(ValueError):
                broadcast_shapes(*shapes[:k], (*shape, 1), *shapes[k + 1 :])
                return f"give each of the {shape[0]} a row of its own: x[:, None] of shape {(*shape, 1)}"
    return "entries are paired from the last axis on, where sizes are equal or 1: transpose, cut or reshape one of them"


def check_broadcast(row: Row, args: tuple[Node, ...], where: Any) -> None:
    shapes = [arg.shape for arg in args]
    for shape in shapes:
        if shape and shape != shapes[0]:
            break
    else:
        return
    try:
        broadcast_shapes(*shapes)
    except ValueError:
        place = position(where)
        made = [f"{shape} from {position(arg.where) or 'an argument'}" for shape, arg in zip(shapes, args, strict=True)]
        raise ShapeError(
            f"shapes {' and '.join(map(str, shapes))} do not broadcast together in {row.name}",
            where=place,
            why="; ".join(made),
            fix=_reshaped(shapes),
        ) from None
