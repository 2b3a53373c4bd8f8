"""The namespace `m` on plain values: NumPy's functions, with NumPy's bits, under the names of the table.

Closed on purpose: `np.where` of two Python numbers is float64 and `np.max(x, 0)` reduces over axis 0; rules
must not stumble over such things.  Values are Python numbers (weak), NumPy scalars and arrays.
"""

from __future__ import annotations

import operator
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import WEAK_DTYPES, Aval, aval_of
from payback.ops import families, sequences
from payback.ops.contraction import contract_values
from payback.ops.control.branch import branch_values
from payback.ops.control.foreign import foreign_values
from payback.ops.control.integral import integral_values
from payback.ops.control.loop import loop_values, scan_values
from payback.ops.control.solution import solution_values
from payback.ops.control.trajectory import trajectory_values
from payback.ops.philox import random_bits


class Select:
    """A partial that differs by case, not yet multiplied: `high` where the condition holds, else `low`.

    None as a case means: there nothing depends on the argument.  The sweep keeps the condition beside the
    adjoint and fills such entries with zero in the end, so that 0·∞ of a case that was not taken never arises.
    """

    __slots__ = ("condition", "high", "low")

    def __init__(self, condition: Any, high: Any, low: Any):
        self.condition, self.high, self.low = condition, high, low


def _select(condition: Any, high: Any, low: Any) -> Any:
    """A single condition decides at once; where nothing depends on the argument, the zero is still to be told."""
    if type(condition) is bool or type(condition) is np.bool_:
        case = high if condition else low
        if case is not None:
            return case
    elif high is None and type(low) is Select and low.high is not None:
        # often nobody is left for the other case: one of two is larger, with no ties
        other = low.condition
        if type(condition) is type(other) is np.ndarray and condition.shape == other.shape:
            if np.count_nonzero(condition != other) == other.size:
                return Select(other, low.high, None)
            if np.count_nonzero(condition | other) == other.size:
                low = low.high
    return Select(condition, high, low)


def opposite(one: Any, other: Any) -> bool:
    """Whether of two arrays of truths that never hold both one holds at every entry: with no ties, and no NaN."""
    if type(one) is not np.ndarray or type(other) is not np.ndarray:
        return False
    return np.count_nonzero(one) + np.count_nonzero(other) == one.size


def _shape(x: Any) -> tuple[int, ...]:
    return getattr(x, "shape", ())


def _where(condition: Any, high: Any, low: Any) -> Any:
    chosen = np.where(condition, high, low)
    return chosen if chosen.ndim else chosen[()]


def waits(error: type[BaseException]) -> bool:
    """Whether the program waits for Python's exception, with a `try`: `trace/refusals/handled.py` replaces this."""
    return False


def _power(a: Any, b: Any) -> Any:
    if type(a) in (float, int) and type(b) in (float, int):
        try:
            result = a**b
        except (ZeroDivisionError, OverflowError) as problem:
            if waits(type(problem)):
                raise
            return float(np.float64(a) ** b)
        return float("nan") if type(result) is complex else result  # (-8)**0.5 is NaN, as in NumPy
    return a**b


def _divide(a: Any, b: Any) -> Any:
    if type(b) in (float, int) and b == 0 and type(a) in (float, int) and not waits(ZeroDivisionError):
        return float(np.float64(a) / b)
    return a / b


def _mod(a: Any, b: Any) -> Any:
    if type(b) in (float, int) and b == 0 and type(a) in (float, int) and not waits(ZeroDivisionError):
        return float("nan")
    return a % b


def _floor_divide(a: Any, b: Any) -> Any:
    if type(b) in (float, int) and b == 0 and type(a) in (float, int) and not waits(ZeroDivisionError):
        return float(np.float64(a) // b)
    return a // b


def _weakly(result: Any, x: Any) -> Any:
    """An operation written with ufuncs keeps a Python number a Python number."""
    return float(result) if type(x) is float else result


def _relu(x: Any) -> Any:
    return _weakly(np.maximum(x, 0), x)


def _sigmoid(x: Any) -> Any:
    if type(x) is np.ndarray and x.ndim and x.dtype.kind == "f":  # what it comes to below, in two arrays
        decay = np.abs(x)
        np.exp(np.negative(decay, out=decay), out=decay)
        found = np.where(x >= 0, decay.dtype.type(1), decay)
        decay += 1
        return np.divide(found, decay, out=found)
    decay = np.exp(-np.abs(x))  # never overflows
    return _weakly(np.where(np.greater_equal(x, 0), 1, decay)[()].astype(decay.dtype) / (1 + decay), x)


def _softplus(x: Any) -> Any:
    return _weakly(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), x)


def _clip(x: Any, low: Any, high: Any) -> Any:
    return np.clip(x, low, high)  # of two zeros it takes x's, where the bounds are numbers


def _logsumexp(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    x = np.float64(x) if type(x) is float else x
    if x.dtype == np.float16:  # a sum of 70,000 ones is beyond float16, its logarithm is not
        return _logsumexp(x.astype(np.float32), axes, keepdims).astype(np.float16)
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    safe = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    with np.errstate(divide="ignore"):  # of nothing but −∞ it is −∞, and nobody divides
        total = np.log(np.sum(np.exp(x - safe), axis=axes, keepdims=True)) + safe
    return total if keepdims else np.squeeze(total, axis=axes)[()]


def _cast(x: Any, dtype: np.dtype[Any], weak: bool) -> Any:
    if weak:
        return float(x) if dtype.kind == "f" else dtype.type(x).item()
    return x.astype(dtype) if isinstance(x, (np.ndarray, np.generic)) else dtype.type(x)


def _reshape(x: Any, shape: tuple[int, ...]) -> Any:
    if type(x) is np.ndarray:
        return x.reshape(shape)
    return np.reshape(x, shape)


def _sum(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return _add_up(x, axis=axes, keepdims=keepdims)


# by names of their own: while a function is traced numpy's attributes take longer to find
_new_array, _length, _root = np.array, np.linalg.norm, np.sqrt
_add_up, _largest, _smallest = np.add.reduce, np.maximum.reduce, np.minimum.reduce


def full_index(template: tuple[Any, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index with the arrays in their places (`Place(k)` holds the k-th)."""
    if not arrays:
        return template
    return tuple(arrays[part.k] if isinstance(part, Place) else part for part in template)


class Place:
    """Stands in an index for the k-th index array."""

    __slots__ = ("k",)

    def __init__(self, k: int):
        self.k = k

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and other.k == self.k

    def __hash__(self) -> int:
        return hash(self.k)

    def __repr__(self) -> str:
        return f"[{self.k}]"


def _index(x: Any, *arrays: Any, template: tuple[Any, ...]) -> Any:
    return (np.asarray(x) if type(x) in (float, bool) else x)[full_index(template, arrays)]


def scatter_into(
    buffer: np.ndarray[Any, Any], template: tuple[Any, ...], arrays: tuple[Any, ...], payment: Any
) -> None:
    """Add a payment to the places that the index reads; a place read twice is paid twice."""
    index = full_index(template, arrays)
    if not arrays:
        buffer[index] += payment
    elif (lines := _lines(buffer, template, arrays, payment)) is not None:
        before = template[: template.index(Place(0))]
        for places, paid in lines:
            buffer[(*before, places)] += payment[(*before, *paid)]
    else:
        np.add.at(buffer, index, payment)


def _lines(
    buffer: np.ndarray[Any, Any], template: tuple[Any, ...], arrays: tuple[Any, ...], payment: Any
) -> list[tuple[Any, Any]] | None:
    """Places without repetition, and what of a payment goes there, one after the other, so that every place is paid in
    the order of `np.add.at`; None where that is not seen.

    So are windows: rows of places, each row and each column of which ascends.  By rows downwards, or by columns from
    the last one on, a place is paid by earlier rows first.
    """
    if len(arrays) > 1 or type(payment) is not np.ndarray or payment.size < _FEW_PAID:
        return None
    (at,) = arrays
    if type(at) is not np.ndarray or not 1 <= at.ndim <= 2 or payment.ndim != buffer.ndim - 1 + at.ndim:
        return None
    if any(type(part) is not Place and part != _WHOLE for part in template) or at.ndim == buffer.ndim == 1:
        return None
    if not at.size or at.min() < 0 or any((np.diff(at, axis=axis) <= 0).any() for axis in range(at.ndim)):
        return None
    if at.ndim == 1:
        return [(_stepped(at), (_WHOLE,))]
    if at.shape[0] < at.shape[1]:
        return [(_stepped(row), (i,)) for i, row in enumerate(at)]
    return [(_stepped(at[:, j]), (_WHOLE, j)) for j in reversed(range(at.shape[1]))]


_WHOLE, _BACKWARDS, _FEW_PAID = slice(None), slice(None, None, -1), 1000


def _stepped(places: np.ndarray[Any, Any]) -> Any:
    """Ascending places as a slice, if they are evenly spaced."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    even = int(places[-1] - places[0]) == step * (len(places) - 1) and bool((np.diff(places) == step).all())
    return slice(int(places[0]), int(places[-1]) + 1, step) if even else places


def _scatter(
    *operands: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    templates: tuple[tuple[Any, ...], ...],
    counts: tuple[int, ...],
) -> Any:
    buffer, position = np.zeros(shape, dtype), 0
    for template, count in zip(templates, counts, strict=True):
        scatter_into(buffer, template, operands[position + 1 : position + 1 + count], operands[position])
        position += 1 + count
    return buffer[()]


class Values:
    """`m` for plain values.  `m.where` chooses; `m.select`, for partials only, leaves the choice to the sweep."""

    exp, expm1, log, log1p, sqrt = np.exp, np.expm1, np.log, np.log1p, np.sqrt
    tanh, sin, cos, sign, maximum, minimum = np.tanh, np.sin, np.cos, np.sign, np.maximum, np.minimum
    tan, arcsin, arccos, arctan, arctan2, hypot = np.tan, np.arcsin, np.arccos, np.arctan, np.arctan2, np.hypot
    sinh, cosh, arcsinh, arccosh, arctanh = np.sinh, np.cosh, np.arcsinh, np.arccosh, np.arctanh
    exp2, log2, log10, cbrt, logaddexp, deg2rad, rad2deg = (
        np.exp2,
        np.log2,
        np.log10,
        np.cbrt,
        np.logaddexp,
        np.deg2rad,
        np.rad2deg,
    )
    floor, ceil, trunc, rint = np.floor, np.ceil, np.trunc, np.rint
    copysign, fmod, heaviside, fmax, fmin = np.copysign, np.fmod, np.heaviside, np.fmax, np.fmin
    logaddexp2, nextafter, spacing, ldexp = np.logaddexp2, np.nextafter, np.spacing, np.ldexp
    exponent = staticmethod(sequences.exponent)
    sinc, bessel_i = staticmethod(families.sinc), staticmethod(families.bessel_i)
    prod, cumprod = staticmethod(sequences.prod), staticmethod(sequences.cumprod)
    recurrence, convolve = staticmethod(sequences.recurrence), staticmethod(sequences.convolve)
    recursion = staticmethod(lambda a, x, filtered: filtered(a, x))
    argsort, argpartition = staticmethod(sequences.argsort), staticmethod(sequences.argpartition)
    argmax, argmin = staticmethod(sequences.argmax), staticmethod(sequences.argmin)
    running, searchsorted = staticmethod(sequences.running), staticmethod(sequences.searchsorted)
    last_written = staticmethod(sequences.last_written)
    reduceat = staticmethod(sequences.reduceat)
    mod, floor_divide = staticmethod(_mod), staticmethod(_floor_divide)
    abs = staticmethod(operator.abs)
    add, sub, mul, neg = (
        staticmethod(operator.add),
        staticmethod(operator.sub),
        staticmethod(operator.mul),
        staticmethod(operator.neg),
    )
    gt, ge, lt, le = (
        staticmethod(operator.gt),
        staticmethod(operator.ge),
        staticmethod(operator.lt),
        staticmethod(operator.le),
    )
    eq, ne = staticmethod(operator.eq), staticmethod(operator.ne)
    logical_and, logical_or, logical_not = np.logical_and, np.logical_or, np.logical_not
    where, power, div = staticmethod(_where), staticmethod(_power), staticmethod(_divide)
    select = staticmethod(_select)
    relu, sigmoid, softplus, clip = (
        staticmethod(_relu),
        staticmethod(_sigmoid),
        staticmethod(_softplus),
        staticmethod(_clip),
    )
    cast, reshape, sum, logsumexp = (
        staticmethod(_cast),
        staticmethod(_reshape),
        staticmethod(_sum),
        staticmethod(_logsumexp),
    )
    contract, index, scatter = staticmethod(contract_values), staticmethod(_index), staticmethod(_scatter)
    random_bits, shape = staticmethod(random_bits), staticmethod(_shape)

    @staticmethod
    def dtype(x: Any) -> np.dtype[Any]:
        return aval_of(x).dtype

    @staticmethod
    def is_weak(x: Any) -> bool:
        return type(x) in WEAK_DTYPES

    @staticmethod
    def constant(value: Any) -> Any:
        """A plain array as the namespace sees it: an index array that a rule has made."""
        return value

    @staticmethod
    def fraction(x: Any) -> Any:
        return np.modf(x)[0]

    @staticmethod
    def mean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        if type(x) is np.ndarray and x.dtype.char in "fd":
            count = prod([x.shape[axis] for axis in axes])
            if 0 < count <= 2**24:  # what np.mean comes to, sooner; larger numbers are not exact in float32
                total = _add_up(x, axis=axes, keepdims=keepdims)
                return total / total.dtype.type(count)
        return np.mean(x, axis=axes, keepdims=keepdims)

    @staticmethod
    def max(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        return _largest(x, axis=axes, keepdims=keepdims)

    @staticmethod
    def min(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        return _smallest(x, axis=axes, keepdims=keepdims)

    @staticmethod
    def norm(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        if len(axes) == np.ndim(x) and not keepdims:
            if type(x) is np.ndarray and x.dtype.kind == "f":  # what np.linalg.norm comes to, sooner
                x = x.ravel("K")
                return _root(x.dot(x))
            return _length(x)
        return _root(_add_up(x * x, axis=axes, keepdims=keepdims))  # np.linalg.norm too, of one axis or two

    @staticmethod
    def cumsum(x: Any, axis: int, backwards: bool) -> Any:
        if not backwards:
            return x.cumsum(axis)
        turned = (*[_WHOLE] * axis, _BACKWARDS)
        return x[turned].cumsum(axis)[turned]

    @staticmethod
    def broadcast(x: Any, shape: tuple[int, ...]) -> Any:
        if isinstance(x, np.generic) and shape:  # a view of the number with no step: what broadcast_to makes, sooner
            return np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        if type(x) is np.ndarray and x.ndim == len(shape) and x.flags.c_contiguous:
            steps = list(x.strides)
            for axis, extent in enumerate(x.shape):
                if extent != shape[axis]:
                    if extent != 1:
                        break  # it does not fit: the error is NumPy's
                    steps[axis] = 0
            else:
                made: Any = np.ndarray(shape, x.dtype, x, 0, steps)
                made.setflags(False)
                return made
        return np.broadcast_to(x, shape)

    @staticmethod
    def transpose(x: Any, axes: tuple[int, ...]) -> Any:
        return x.transpose(axes) if type(x) is np.ndarray else np.transpose(x, axes)

    @staticmethod
    def concatenate(*parts: Any, axis: int) -> Any:
        return np.concatenate(parts, axis=axis)

    @staticmethod
    def stack(*parts: Any, axis: int) -> Any:
        for part in parts:
            if axis or getattr(part, "ndim", 2) > 1:  # they may lie otherwise than by rows
                return np.stack(parts, axis=axis)
        return _new_array(parts)

    call = staticmethod(lambda *args, body: body(*args))
    integral, trajectory = staticmethod(integral_values), staticmethod(trajectory_values)
    branch, scan, loop = staticmethod(branch_values), staticmethod(scan_values), staticmethod(loop_values)

    @staticmethod
    def solution(start: Any, *parameters: Any, body: Any, solver: Any) -> Any:
        return solution_values(Values, start, *parameters, body=body, solver=solver)

    @staticmethod
    def foreign(*args: Any, **params: Any) -> Any:
        return foreign_values(*args, **params)

    @staticmethod
    def zeros(aval: Aval) -> Any:
        return 0.0 if aval.weak else np.zeros(aval.shape, aval.dtype)[()]

    @staticmethod
    def part(x: tuple[Any, ...], k: int) -> Any:
        return x[k]

    @staticmethod
    def any(masks: list[Any]) -> Any:
        """Where any of the masks holds."""
        return reduce(np.logical_or, masks)
