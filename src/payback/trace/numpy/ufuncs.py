"""NumPy's ufuncs that are made of others, those with two results, and their `.reduce`, `.accumulate`, `.outer`,
`.at` and `.reduceat`.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.ir.node import Node
from payback.ops.append import const
from payback.ops.index import Place
from payback.trace.array import Traced, Variable, as_traced, plain
from payback.trace.assignment.outside import into_plain_array
from payback.trace.assignment.views import laid_as, laid_out
from payback.trace.assignment.written import plain_key
from payback.trace.dispatch import COMPOSED, UFUNCS, array_ufunc, emit, here
from payback.trace.indexing import unknown
from payback.trace.numpy.arguments import arrayed, as_asked
from payback.trace.operators import FUNCTIONS, METHODS
from payback.trace.plain_arrays import Buffered

_TRUTHS = {np.logical_and, np.logical_or, np.logical_xor}


def _at_least_float64(x: Any) -> Any:
    wide = np.result_type(x.dtype if isinstance(x, Traced) else np.asarray(x), np.float64)
    return emit("cast", x, dtype=wide, weak=False) if isinstance(x, Traced) else np.asarray(x, wide)


def _floating(x: Any) -> bool:
    return isinstance(x, Traced) and x.dtype.kind == "f"


def _frexp(x: Any) -> Any:
    """(mantissa, exponent): the mantissa is x times a power of two that does not move with it."""
    if not _floating(x):
        return np.frexp(plain(x))
    exponent = emit("exponent", x)
    return emit("ldexp", x, emit("neg", exponent)), exponent


def _modf(x: Any) -> Any:
    return (emit("fraction", x), emit("trunc", x)) if _floating(x) else np.modf(plain(x))


def _xor(a: Any, b: Any) -> Any:
    return emit("ne", emit("ne", a, 0), emit("ne", b, 0))


def _truths(x: Any) -> bool:
    return (x.dtype if isinstance(x, Traced) else np.asarray(x).dtype).kind == "b"


_INT8 = np.dtype(np.int8)  # what squares of booleans are to NumPy
COMPOSED |= {
    np.square: lambda x: emit("mul", x, x) if x.dtype.kind != "b" else emit("cast", x, dtype=_INT8, weak=False),
    np.positive: lambda x: x if x.dtype.kind != "b" else np.positive(np.empty(0, bool)),  # which raises
    np.conjugate: lambda x: x if x.dtype.kind != "b" else emit("cast", x, dtype=_INT8, weak=False),
    np.reciprocal: lambda x: emit("div", 1.0, x) if _floating(x) else np.reciprocal(x.value),
    np.fabs: lambda x: emit("abs", x) if _floating(x) else np.fabs(x.value),
    np.float_power: lambda a, b: emit("power", _at_least_float64(a), _at_least_float64(b)),
    np.frexp: _frexp,
    np.modf: _modf,
    np.divmod: lambda a, b: (emit("floor_divide", a, b), emit("mod", a, b)),
    np.logical_xor: _xor,
    np.bitwise_xor: lambda a, b: _xor(a, b) if _truths(a) and _truths(b) else np.bitwise_xor(plain(a), plain(b)),
}


# methods --------------------------------------------------------------------------------------------------------

# Whose reduction NumPy names; any other is computed step by step.
_REDUCTIONS = {
    np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min, np.logical_and: np.all,
    np.logical_or: np.any,
}  # fmt: skip
_ACCUMULATIONS = {np.add: np.cumsum, np.multiply: np.cumprod}


def _method(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if method == "at":
        return _at(ufunc, *inputs)
    kwargs = {key: value for key, value in kwargs.items() if value is not None or key == "axis"}
    if method == "outer":
        a, b = map(arrayed, inputs)
        if b.ndim:
            a = a.reshape(a.shape + (1,) * b.ndim)
        return array_ufunc(ufunc, "__call__", (a, b), kwargs)
    x = Traced(node) if isinstance(node := as_traced(inputs[0]), Node) else node
    whole = isinstance(x, Traced) and x.dtype.kind != "f" and x.node.value is not None
    if not isinstance(x, Traced) or (whole and method != "reduce" and ufunc is not np.add):
        return getattr(ufunc, method)(*map(plain, inputs), **kwargs)
    if ufunc.nin != 2 or ufunc.nout != 1 or (ufunc not in UFUNCS and ufunc not in COMPOSED):
        raise UnsupportedError(f"np.{ufunc.__name__}.{method} has no derivative in payback", where=here(),
                               fix="write it with np.sum, np.max, np.min or a loop")  # fmt: skip
    if len(inputs) > (2 if method == "reduceat" else 1):
        kwargs["axis"] = inputs[-1]
    if kwargs.get("dtype") is None:
        ufunc.resolve_dtypes((None, x.dtype, None), reduction=True)  # a TypeError where NumPy has no loop either
    if ufunc in _TRUTHS:
        x = x != 0  # of one entry too the answer is a truth
    if method == "reduce":
        return _reduce(ufunc, x, {"axis": 0} | kwargs)
    if method == "accumulate":
        return accumulate(ufunc, x, **kwargs)
    return _reduceat(ufunc, x, inputs[1], **kwargs)


def _reduce(ufunc: Any, x: Any, given: dict[str, Any], begins: bool = False) -> Any:
    """begins: with the first entry, and not with the identity."""
    if ufunc in _REDUCTIONS:
        return FUNCTIONS[_REDUCTIONS[ufunc]](x, **given)
    if "where" in given and given["where"] is not True:
        raise UnsupportedError(f"np.{ufunc.__name__}.reduce on traced values does not take where=", where=here())
    axis, initial = given["axis"], given.get("initial", np._NoValue)
    if given.get("dtype") is not None:
        x = x.astype(given["dtype"])
    if axis is None or isinstance(axis, tuple):
        axes = tuple(range(x.ndim)) if axis is None else axis
        if len(axes) != 1:
            raise UnsupportedError(f"np.{ufunc.__name__}.reduce of traced values goes along one axis", where=here(),
                                   fix="reduce one axis after the other")  # fmt: skip
        (axis,) = axes
    number = not x.ndim and axis in (0, -1)
    if number:
        x = x.reshape(1)
    axis = np.lib.array_utils.normalize_axis_index(operator.index(axis), x.ndim)
    entries = [x[(slice(None),) * axis + (i,)] for i in range(x.shape[axis])]
    if initial is not np._NoValue and initial is not None:
        entries.insert(0, np.broadcast_to(np.asarray(initial, x.dtype), x.shape[:axis] + x.shape[axis + 1 :]))
    if not entries:
        raise UnsupportedError(f"np.{ufunc.__name__}.reduce of nothing on traced values", where=here())
    if ufunc is np.hypot and len(entries) == 1 and not begins:
        entries = [abs(entries[0])]  # NumPy begins with hypot's identity, 0
    narrow = x.dtype == np.float16 and ufunc in (np.subtract, np.true_divide)  # NumPy adds these up in float32
    made = entries[0].astype(np.float32) if narrow else entries[0]
    for entry in entries[1:]:
        made = ufunc(made, entry.astype(np.float32) if narrow else entry)
    made = made.astype(np.float16) if narrow else made
    return np.expand_dims(made, axis) if given.get("keepdims") and not number else made


def accumulate(ufunc: Any, x: Any, axis: int = 0, dtype: Any = None) -> Any:
    """Sums and products, running extremes, or step by step."""
    axis = np.lib.array_utils.normalize_axis_index(operator.index(axis), x.ndim)
    if dtype is not None:
        x = x.astype(dtype)
    if ufunc in _ACCUMULATIONS:
        return FUNCTIONS[_ACCUMULATIONS[ufunc]](x, axis=axis, dtype=dtype)
    if ufunc in (np.maximum, np.minimum):
        made = np.take_along_axis(x, emit("running", x, axis=axis, largest=ufunc is np.maximum), axis)
        return laid_as(made, laid_out(x)) if x.ndim > 1 else made
    if ufunc in (np.logical_and, np.logical_or, np.logical_xor):
        x = x != 0
    entries = [x[(slice(None),) * axis + (i,)] for i in range(x.shape[axis])]
    for i in range(1, len(entries)):
        entries[i] = ufunc(entries[i - 1], entries[i])
    return np.stack(entries, axis) if entries else x


def _reduceat(ufunc: Any, x: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    axis = np.lib.array_utils.normalize_axis_index(operator.index(axis), x.ndim)
    if dtype is not None:
        x = x.astype(dtype)
    starts = [operator.index(i) for i in np.asarray(plain(indices)).tolist()]
    extent = x.shape[axis]
    if any(not 0 <= start < extent for start in starts):
        raise IndexError(f"an index of {starts} is out of bounds for {extent} entries")
    if ufunc is np.add:
        return as_asked(emit("reduceat", x, indices=tuple(starts), axis=axis), dtype)
    lead, given = (slice(None),) * axis, {"dtype": dtype} if ufunc is np.multiply else {}
    pieces = []
    for start, end in zip(starts, [*starts[1:], extent], strict=True):
        piece = x[(*lead, slice(start, max(end, start + 1)))]
        pieces.append(_reduce(ufunc, piece, {"axis": axis, "keepdims": True, **given}, begins=True))
    return np.concatenate(pieces, axis)


def _at(ufunc: Any, target: Any, key: Any, *values: Any) -> None:
    """`np.add.at` and its kin: entries that repeat are worked on one after the other."""
    if isinstance(target, Variable) or not isinstance(target, (Traced, Buffered)):
        raise into_plain_array(target, f"np.{ufunc.__name__}.at cannot add a traced value")
    if isinstance(key, Traced) and key.dtype.kind == "b" and unknown(key):  # no entry repeats
        target[key] = ufunc(target[key], *values)
        return
    if unknown(key) and ufunc not in (np.add, np.subtract):
        raise TraceError(f"np.{ufunc.__name__}.at with indices that are not known while compiling", where=here(),
                         why="which of them repeat decides what is computed",
                         fix="use np.add.at or np.subtract.at, where that is what is meant")  # fmt: skip
    if ufunc in (np.add, np.subtract):
        target[...] = ufunc(target, _summed(target, key, values[0]))
        return
    places = np.arange(target.size).reshape(target.shape)[plain_key(key)]
    value = [np.broadcast_to(Traced(node) if isinstance(node := as_traced(v), Node) else node, places.shape)
             for v in values]  # fmt: skip
    places = places.reshape(-1)
    value = [part.reshape(-1) for part in value]
    order = np.argsort(places, kind="stable")
    first = np.flatnonzero(np.diff(places[order], prepend=-1))
    turn = np.empty(places.size, np.intp)  # of the entries at one place, which comes when
    turn[order] = np.arange(places.size) - np.repeat(first, np.diff(first, append=places.size))
    for now in range(turn.max(initial=-1) + 1):
        which = np.flatnonzero(turn == now)
        at, one = (np.unravel_index(places[which], target.shape), which.shape) if target.shape else (..., ())
        target[at] = ufunc(target[at], *[part[which].reshape(one) for part in value])


def _summed(target: Any, key: Any, value: Any) -> Any:
    """Zeros of the target's shape, with the values added where the index reads."""
    every = const(np.broadcast_to(np.False_, target.shape))
    read = Traced(every)[key].node  # what an index with its arrays is, `x[key]` knows
    arrays, template, shape = read.args[1:], read.params.get("template"), target.shape
    if read.op.name != "index" or read.args[0] is not every:
        read = Traced(const(np.arange(target.size).reshape(target.shape)))[key].node
        arrays, template, shape = (read,), (Place(0),), (target.size,)
    value = np.broadcast_to(Traced(node) if isinstance(node := as_traced(value), Node) else node, read.shape)
    if target.dtype.kind == "f" and value.dtype != target.dtype and np.can_cast(value.dtype, target.dtype):
        value = value.astype(target.dtype)  # what machine code adds up is of one dtype
    params = {"shape": shape, "templates": (template,), "counts": (len(arrays),)}
    added = emit("scatter", value, *map(Traced, arrays), dtype=target.dtype, **params)
    return added if shape == target.shape else added.reshape(target.shape)


METHODS["__ufunc_method__"] = _method
