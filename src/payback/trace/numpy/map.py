"""NumPy's functions on traced values: what each one is in rows of the table."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, ShapeError, TraceError, UnsupportedError
from payback.ops.append import settled
from payback.ops.namespace import Values
from payback.ops.reduce import reduced
from payback.ops.row import CONST, TABLE
from payback.trace.array import NODE_TYPES, Traced, plain
from payback.trace.assignment.views import has_gaps, in_order, is_number, laid_as, laid_out, without_axes
from payback.trace.dispatch import Function, emit, here, implements, into, strong
from payback.trace.numpy.arguments import (
    NONE,
    array_of,
    arrayed,
    as_asked,
    axes_of,
    axis_of,
    first_of,
    floating,
    given,
    keep,
    known,
    reduced_axes,
    traced_array,
)
from payback.trace.operators import FUNCTIONS, HOOKS, METHODS, made, where_of_caller
from payback.trace.plain_arrays import now, watched
from payback.trace.refusals.cures import NO_INDEX


def _reduction(
    name: str, x: Any, axis: Any, keepdims: Any, dtype: Any = None, where: Any = True, empty: bool = False
) -> Any:
    """The row's node, with `where=` answered by what changes nothing: 0, or the infinity that never wins."""
    if type(x) in NODE_TYPES and dtype is None and where is True:
        node = x.node
        value = node.value
        if type(value) is np.ndarray and value.dtype.kind == "f" and value.size and node.op is not CONST:
            row = TABLE[name]  # nothing is to be done first
            params = {"axes": axes_of(axis, value.ndim), "keepdims": keep(keepdims)}
            return made(row, (node,), params, row.value(Values, value, **params), where_of_caller(3))
    x = traced_array(x)
    if dtype is not None:
        x = astype(x, floating(dtype, "mean") if name == "mean" else dtype)
    if where is not True:
        kind, number = x.dtype.kind, np.iinfo if x.dtype.kind in "iu" else None
        lowest = False if kind == "b" else -np.inf if number is None else number(x.dtype).min
        highest = True if kind == "b" else np.inf if number is None else number(x.dtype).max
        x = np.where(where, x, {"max": lowest, "min": highest}.get(name, 0))
    axes = (axes_of if name == "mean" else reduced_axes)(axis, x.ndim)
    if name in ("max", "min") and any(x.shape[a] == 0 for a in axes):
        if not empty:
            raise ShapeError(f"np.{name} of an empty array", where=here(), why=f"the shape is {x.shape}",
                             fix="give initial=")  # fmt: skip
        return None
    if name == "sum" and x.dtype.kind == "f" and x.node.aval.weak:
        return Traced(strong(x.node, where_of_caller(3)))
    return emit(name, x, axes=axes, keepdims=keep(keepdims))


@implements(np.sum)
def np_sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE, initial: Any = NONE,
           where: Any = True) -> Any:  # fmt: skip
    made = _reduction("sum", a, axis, keepdims, dtype, where)
    return into(out, "sum", as_asked(made + first_of(made, initial) if given(initial) else made, dtype))


@implements(np.mean)
def np_mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE, *,
            where: Any = True) -> Any:  # fmt: skip
    if where is True:
        return into(out, "mean", _reduction("mean", a, axis, keepdims, dtype))
    a = traced_array(a) if dtype is None else astype(traced_array(a), floating(dtype, "mean"))
    of = a.dtype if a.dtype.kind == "f" else np.dtype(np.float64)
    wide = np.dtype(np.float32) if of == np.float16 else of  # a number of entries may be beyond float16
    total = np_sum(a, axis, wide, keepdims=keepdims, where=where)
    return into(out, "mean", astype(total / counted(where, a.shape, axis, keepdims, wide), of))


def counted(where: Any, shape: tuple[int, ...], axis: Any, keepdims: Any, dtype: Any) -> Any:
    """In how many entries the mask holds."""
    where = where if isinstance(where, Traced) else np.asarray(where)
    where = broadcast_any(where, np.broadcast_shapes(where.shape, shape))
    return np.sum(where, axis=axis, keepdims=keep(keepdims)).astype(dtype)


def _extreme(name: str, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    if where is not True and not given(initial):
        raise ValueError(f"np.{name} with where= needs initial=: a maximum or minimum of nothing has no value")
    made = _reduction(name, a, axis, keepdims, None, where, given(initial))
    if made is None:
        a = traced_array(a)
        made = np.broadcast_to(astype(traced_array(initial), a.dtype), reduced(a.shape, axes_of(axis, a.ndim),
                               keep(keepdims)))  # fmt: skip
    elif given(initial):
        made = emit({"max": "maximum", "min": "minimum"}[name], made, first_of(made, initial))
    return into(out, name, made)


@implements(np.max, np.amax)
def np_max(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, initial: Any = NONE,
           where: Any = True) -> Any:  # fmt: skip
    return _extreme("max", a, axis, out, keepdims, initial, where)


@implements(np.min, np.amin)
def np_min(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, initial: Any = NONE,
           where: Any = True) -> Any:  # fmt: skip
    return _extreme("min", a, axis, out, keepdims, initial, where)


def _extents(shape: Any) -> tuple[int, ...]:
    """A shape as NumPy takes it: whole numbers, or a single one.  Raises UnsupportedError for what is none."""
    try:
        return (index(shape),) if isinstance(shape, (int, np.integer)) else tuple(map(index, shape))
    except TypeError as problem:
        if isinstance(problem, TraceError) or str(problem) == NO_INDEX:
            raise
        raise UnsupportedError(f"no array has the shape {shape!r:.60}", where=here(),
                               why="a shape is a whole number or a tuple of them") from None  # fmt: skip


@implements(np.reshape)
def reshape(x: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    shape = _extents(newshape if shape is None else shape)
    if order not in ("C", "F", "A"):
        raise ValueError(f"order must be one of 'C', 'F' and 'A', not {order!r}")
    if order == "F" or (
        order == "A" and x.ndim > 1 and _lies(x).flags.fnc
    ):  # the first axis varies fastest: the same, seen from behind
        return transpose(reshape(transpose(x), shape[::-1]))
    size = prod(x.shape)
    if -1 in shape:
        rest = prod([s for s in shape if s != -1])
        if rest == 0 or size % rest or shape.count(-1) > 1:
            raise ShapeError(f"{x.shape} cannot be reshaped to {shape}", where=here(), why=f"it has {size} entries")
        shape = tuple(size // rest if s == -1 else s for s in shape)
    if prod(shape) != size or any(s < 0 for s in shape):
        raise ShapeError(f"{x.shape} cannot be reshaped to {shape}", where=here(), why=f"it has {size} entries")
    made = emit("reshape", x, shape=shape)
    if copy is False and not np.may_share_memory(made, x):
        raise ValueError("Unable to avoid creating a copy while reshaping.")
    return Traced(made.node) if copy else made


def _lies(x: Any) -> np.ndarray[Any, Any]:
    """An array that lies in memory as x does.  Raises TraceError where that is not known."""
    node = x.node
    while node.op.name in ("identity", "transpose"):
        node = node.args[0]
    if type(x) is Traced and node.value is None and node.op.name != "input" and getattr(x, "alias", None) is None:
        raise TraceError("order='K' and order='A' follow the memory", where=here(),
                         why="how it is laid out is not known while a function is compiled",
                         fix="write order='C' or order='F'")  # fmt: skip
    return laid_out(x)


@implements(np.transpose)
def transpose(x: Any, axes: Any = None) -> Any:
    ndim = x.ndim
    if axes is None:
        return emit("transpose", x, axes=tuple(range(ndim - 1, -1, -1)))
    axes = tuple(axes)
    if sorted(axes) != list(range(ndim)):  # or counted from the end, or wrong
        axes = np.lib.array_utils.normalize_axis_tuple(axes, ndim)
    if len(axes) != ndim:
        raise ShapeError(f"axes {axes} for an array of {x.ndim} axes", where=here())
    return emit("transpose", x, axes=axes)


@implements(np.swapaxes)
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    order = list(range(x.ndim))
    axis1, axis2 = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return emit("transpose", x, axes=tuple(order))


@implements(np.moveaxis)
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    probe = np.broadcast_to(np.empty(()), range(x.ndim))  # an axis tells by its extent where it came from
    return transpose(x, np.moveaxis(probe, source, destination).shape)


@implements(np.expand_dims)
def expand_dims(x: Any, axis: Any) -> Any:
    if type(axis) is int and 0 <= axis <= len(x.shape):
        return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))
    return reshape(x, np.expand_dims(np.broadcast_to(np.empty(()), x.shape), axis).shape)


@implements(np.squeeze)
def squeeze(x: Any, axis: Any = None) -> Any:
    shape = x.shape
    if type(axis) is int and -len(shape) <= axis < len(shape) and shape[axis] == 1:
        axis %= len(shape)
        return reshape(x, shape[:axis] + shape[axis + 1 :])
    return reshape(x, np.squeeze(np.broadcast_to(np.empty(()), x.shape), axis).shape)


@implements(np.ravel)
def ravel(x: Any, order: str = "C") -> Any:
    if order == "K" and x.ndim > 1:
        x, order = transpose(x, _by_strides(_lies(x).strides)), "C"
    made = reshape(x, (-1,) if x.size else (0,), "C" if order == "K" else order)
    if not isinstance(x, Traced) or not has_gaps(x, order if order in ("F", "A") else "C"):
        return made
    return laid_as(Traced(made.node), np.empty(made.shape, np.bool_))  # a copy of gaps that reshape can see through


def _by_strides(strides: tuple[int, ...]) -> list[int]:
    """The axes from the slowest to the fastest; one that stands still stays where it is, as NumPy has it."""

    def compare(a: int, b: int) -> int:
        first, second = abs(strides[a]), abs(strides[b])
        return a - b if first == second or not first or not second else second - first

    return sorted(range(len(strides)), key=functools.cmp_to_key(compare))


@implements(np.broadcast_to)
def broadcast_to(x: Any, shape: Any, subok: bool = False) -> Any:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{x.shape} cannot be broadcast to {shape}", where=here())
    return emit("broadcast", x, shape=shape)


@implements(np.concatenate)
def concatenate(
    arrays: Sequence[Any], axis: int | None = 0, out: Any = None, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    if type(axis) is int and out is None and dtype is None and (whole := _joined(arrays, axis)) is not None:
        return whole
    parts = [array_of(part) if isinstance(part, (Traced, list, tuple)) else np.asarray(part) for part in arrays]
    if axis is None:
        parts, axis = [reshape(part, (-1,)) if isinstance(part, Traced) else part.reshape(-1) for part in parts], 0
    shape = _checked(np.concatenate, parts, axis)
    made = emit("concatenate", *parts, axis=axis % len(shape))
    return into(out, "concatenate", _in_dtype(made, dtype, casting), parts)


def _in_dtype(made: Any, dtype: Any, casting: str) -> Any:
    if dtype is None:
        return made
    if not np.can_cast(made.dtype, dtype, casting):
        raise TypeError(
            f"Cannot cast array data from {made.dtype} to {np.dtype(dtype)} according to the rule {casting!r}"
        )
    return astype(made, dtype)


def _joined(parts: Sequence[Any], axis: int) -> Traced | None:
    """The parts in a row where nothing is to be promoted and they fit; else None, for the long way and its errors."""
    if type(parts) not in (list, tuple) or not parts or watched():
        return None
    ndim, place = getattr(parts[0], "ndim", 0), where_of_caller(3)
    nodes = settled([part.node if type(part) in NODE_TYPES else now(part) for part in parts], place, False)
    if nodes is None or not -ndim <= axis < ndim or all(node.op is CONST for node in nodes):
        return None
    try:
        whole = np.concatenate([node.value for node in nodes], axis)
    except ValueError:
        return None
    return made(TABLE["concatenate"], nodes, {"axis": axis % ndim}, whole, place)


@implements(np.stack)
def stack(
    arrays: Sequence[Any], axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    parts = [array_of(part) if isinstance(part, (Traced, list, tuple)) else np.asarray(part) for part in arrays]
    shape = _checked(np.stack, parts, axis)
    made = emit("stack", *parts, axis=axis % len(shape))
    return into(out, "stack", _in_dtype(made, dtype, casting), parts)


def _checked(function: Function, parts: list[Any], axis: int) -> tuple[int, ...]:
    """The result's shape by NumPy's own rules, on arrays without storage."""
    if function is np.stack and parts and type(axis) is int:
        shape = parts[0].shape
        if 0 <= axis <= len(shape) and all(part.shape == shape for part in parts):
            return (*shape[:axis], len(parts), *shape[axis:])
    try:
        return function([np.broadcast_to(np.empty((), bool), part.shape) for part in parts], axis=axis).shape
    except ValueError as problem:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ShapeError(
            f"np.{function.__name__} of shapes {shapes} along axis {axis}", where=here(), why=str(problem)
        ) from None


@implements(np.hstack)
def hstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    parts = [_at_least(part, 1) for part in tup]
    return concatenate(parts, 0 if len(parts[0].shape) == 1 else 1, dtype=dtype, casting=casting)


@implements(np.vstack)
def vstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return concatenate([_at_least(part, 2) for part in tup], 0, dtype=dtype, casting=casting)


def _at_least(part: Any, ndim: int) -> Any:
    part = part if isinstance(part, Traced) else np.asarray(part)
    return part if part.ndim >= ndim else part.reshape((1,) * (ndim - part.ndim) + part.shape)


def astype(
    x: Any, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True, **_: Any
) -> Any:
    """The value in another dtype.  From floating to another kind the derivative ends: rounding has none."""
    lies = order not in ("C", "F") or not has_gaps(x, order)
    if not copy and x.dtype == dtype and lies and not x.node.aval.weak:
        return x
    if np.dtype(dtype).kind == "c":
        return HOOKS["complex_array"](x, dtype)
    if np.dtype(dtype).kind not in "fiub":
        raise DifferentiationError(f"{np.dtype(dtype)} is not differentiated in this version", where=here(),
                                   why=f"a traced {x.dtype} was to become {np.dtype(dtype)}",
                                   fix="leave it floating")  # fmt: skip
    if x.dtype.kind == "f" and np.dtype(dtype).kind != "f":
        x = emit("stop_gradient", x)
    made = emit("cast", x, dtype=np.dtype(dtype), weak=False)
    return in_order(made, order) if x.shape or is_number(x) else without_axes(made)


@implements(np.copy)
def copy(x: Any, order: str = "K", subok: bool = False) -> Any:
    made = Traced(x.node)  # what is written into one is not seen in the other
    if x.ndim < 2 or (order in "CKA" and laid_out(x).flags.c_contiguous):
        return made if x.shape or is_number(x) else without_axes(made)
    at = laid_out(x)
    order = ("F" if at.flags.fnc else "C") if order == "A" else order
    return laid_as(made, np.empty_like(at, np.bool_, order))  # a copy has no gaps


def by_rows(f: Function) -> Function:
    """A function whose result NumPy lays out by rows, whatever its arguments are."""

    @functools.wraps(f)
    def laid(*args: Any, **kwargs: Any) -> Any:
        made = f(*args, **kwargs)
        return in_order(Traced(made.node), "C") if type(made) is Traced else made  # nobody else's, either

    return laid


def like_first(f: Function) -> Function:
    """A function whose result NumPy lays out by columns if its first argument is, else by rows."""

    @functools.wraps(f)
    def laid(x: Any, *args: Any, **kwargs: Any) -> Any:
        made = f(x, *args, **kwargs)
        if not isinstance(x, Traced) or (type(made) is not Traced and type(made) not in (list, tuple)):
            return made
        order = "F" if x.ndim > 1 and laid_out(x).flags.fnc else "C"
        return type(made)(in_order(part, order) for part in made) if type(made) in (list, tuple) else (
            in_order(made, order))  # fmt: skip

    return laid


def lies_as(f: Function) -> Function:
    """A function whose result NumPy makes with `empty_like` of its first argument."""

    @functools.wraps(f)
    def laid(x: Any, *args: Any, **kwargs: Any) -> Any:
        made = f(x, *args, **kwargs)
        if not isinstance(x, Traced) or x.ndim < 2:
            return made
        at = laid_out(x)
        one = lambda part: laid_as(part, at) if np.shape(part) == at.shape else part  # noqa: E731
        return type(made)(map(one, made)) if type(made) in (list, tuple) else one(made)

    return laid


@implements(np.clip)
def clip(a: Any, a_min: Any = NONE, a_max: Any = NONE, out: Any = None, *, min: Any = NONE, max: Any = NONE,
         dtype: Any = None) -> Any:  # fmt: skip
    bounded = out is dtype is None and min is max is NONE and {type(a_min), type(a_max)} <= {int, float}
    if bounded and type(a) is Traced and type(a.node.value) is np.ndarray and a.dtype.kind == "f":
        return emit("clip", a, a_min, a_max)  # what it comes to below, sooner
    a = arrayed(a)
    if dtype is not None:
        a = astype(traced_array(a), dtype)
    bounds = (a_min if min is np._NoValue else min, a_max if max is np._NoValue else max)
    low, high = (None if bound is np._NoValue else bound for bound in bounds)
    whole = not any(isinstance(x, Traced) and x.dtype.kind == "f" for x in (a, low, high))
    if whole and known(a, low, high):
        return into(out, "clip", np.clip(*(plain(x) for x in (a, low, high))))
    if whole:  # an infinity would make floating numbers of whole ones
        limits = np.iinfo(a.dtype) if isinstance(a, Traced) and a.dtype.kind in "iu" else None
        if limits is not None:  # bounds that bound nothing, and that the dtype may not hold
            low = None if isinstance(low, int) and low <= limits.min else low
            high = None if isinstance(high, int) and high >= limits.max else high
        if low is None or high is None:
            one = low if high is None else high
            made = emit("identity", a) if one is None else emit("maximum" if high is None else "minimum", a, one)
            return into(out, "clip", made)
    return into(out, "clip", emit("clip", a, -np.inf if low is None else low, np.inf if high is None else high))


def broadcast_any(x: Any, shape: tuple[int, ...]) -> Any:
    return broadcast_to(x, shape) if isinstance(x, Traced) else np.broadcast_to(x, shape)


FUNCTIONS[np.shape] = lambda x: x.shape
FUNCTIONS[np.ndim] = lambda x: x.ndim
FUNCTIONS[np.size] = lambda x, axis=None: x.size if axis is None else x.shape[axis]


def _view_method(x: Any, dtype: Any = None, **_: Any) -> Any:
    if dtype not in (None, np.ndarray) and np.dtype(dtype) != x.dtype:
        raise UnsupportedError("the bytes of traced values cannot be viewed as another dtype", where=here(),
                               fix="convert with .astype")  # fmt: skip
    return x[...]


def _reshape_method(x: Any, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    whole = len(shape) == 1 and not isinstance(shape[0], (int, np.integer))
    return reshape(x, shape[0] if whole else shape, order, copy=copy)


def _transpose_method(x: Any, *axes: Any) -> Any:
    axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)) else axes
    return transpose(x, axes if axes is None or len(axes) else None)


METHODS.update(
    sum=np_sum, mean=np_mean, max=np_max, min=np_min, reshape=_reshape_method, transpose=_transpose_method, ravel=ravel,
    flatten=lambda x, order="C": copy(ravel(x, order)), copy=lambda x, order="C": copy(x, order), view=_view_method,
    squeeze=squeeze, swapaxes=swapaxes, astype=astype, clip=clip, stack=stack,
)  # fmt: skip
