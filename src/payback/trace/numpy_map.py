"""NumPy's functions on traced values: what each one is in rows of the table."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.ir.where import position
from payback.ops.append import append
from payback.ops.row import TABLE
from payback.trace.array import _FUNCTIONS, _METHODS, _NODE_TYPES, Traced, as_traced, plain, where_of_caller
from payback.trace.dispatch import Function, emit, here, implements, strong


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """NumPy's axis argument as a sorted tuple.  Raises numpy.exceptions.AxisError."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    if not isinstance(axis, tuple):
        axis = (axis,)
    return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(tuple(operator.index(a) for a in axis), ndim)))


def _reduction(
    name: str,
    x: Any,
    axis: Any,
    keepdims: Any,
    dtype: Any = None,
    out: Any = None,
    initial: Any = None,
    where: Any = True,
) -> Any:
    keep = keepdims is not np._NoValue and bool(keepdims)
    if (
        type(x) in _NODE_TYPES
        and dtype is None
        and out is None
        and where is True
        and (initial is None or initial is np._NoValue)
    ):
        node = x.node
        if (
            type(node.value) is np.ndarray and node.value.dtype.kind == "f" and node.value.size
        ):  # nothing to be done first
            params = {"axes": axes_of(axis, node.value.ndim), "keepdims": keep}
            return Traced(append(TABLE[name], (node,), params, where_of_caller(3)))
    for key, value in {"out": out, "initial": initial, "where": where}.items():
        if value is not None and value is not np._NoValue and not (key == "where" and value is True):
            raise UnsupportedError(
                f"np.{name} on traced values does not take {key}=",
                where=here(),
                fix="mask with np.where first" if key == "where" else f"leave {key}= away",
            )
    if not isinstance(x, Traced):
        x = Traced(as_traced(x))
    if dtype is not None:
        x = astype(x, dtype)
    if name in ("max", "min") and any(x.shape[a] == 0 for a in axes_of(axis, x.ndim)):
        raise ShapeError(f"np.{name} of an empty array", where=here(), why=f"the shape is {x.shape}")
    if name == "sum" and x.dtype.kind == "f" and x.node.aval.weak:
        return Traced(strong(x.node, where_of_caller(3)))
    return emit(name, x, axes=axes_of(axis, x.ndim), keepdims=keep)


@implements(np.sum)
def np_sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = np._NoValue,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    return _reduction("sum", a, axis, keepdims, dtype, out, initial=initial, where=where)


@implements(np.mean)
def np_mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = np._NoValue, *, where: Any = True
) -> Any:
    return _reduction("mean", a, axis, keepdims, dtype, out, where=where)


@implements(np.max, np.amax)
def np_max(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = np._NoValue,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    return _reduction("max", a, axis, keepdims, None, out, initial=initial, where=where)


@implements(np.min, np.amin)
def np_min(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = np._NoValue,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    return _reduction("min", a, axis, keepdims, None, out, initial=initial, where=where)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log Σ exp x, without overflow."""
    return emit(
        "logsumexp", x, axes=axes_of(axis, np.ndim(x) if not isinstance(x, Traced) else x.ndim), keepdims=keepdims
    )


@implements(np.reshape)
def reshape(x: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    shape = newshape if shape is None else shape
    if order != "C":
        raise UnsupportedError(
            f"np.reshape(order={order!r}) on traced values", where=here(), fix="transpose first, then reshape"
        )
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(int(s) for s in shape)
    size = int(np.prod(x.shape, dtype=int))
    if -1 in shape:
        rest = int(np.prod([s for s in shape if s != -1], dtype=int))
        if rest == 0 or size % rest or shape.count(-1) > 1:
            raise ShapeError(f"{x.shape} cannot be reshaped to {shape}", where=here(), why=f"it has {size} entries")
        shape = tuple(size // rest if s == -1 else s for s in shape)
    if int(np.prod(shape, dtype=int)) != size:
        raise ShapeError(f"{x.shape} cannot be reshaped to {shape}", where=here(), why=f"it has {size} entries")
    return emit("reshape", x, shape=shape)


@implements(np.transpose)
def transpose(x: Any, axes: Any = None) -> Any:
    axes = tuple(range(x.ndim))[::-1] if axes is None else np.lib.array_utils.normalize_axis_tuple(tuple(axes), x.ndim)
    if len(axes) != x.ndim:
        raise ShapeError(f"axes {axes} for an array of {x.ndim} axes", where=here())
    return emit("transpose", x, axes=tuple(axes))


@implements(np.swapaxes)
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


@implements(np.moveaxis)
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    probe = np.broadcast_to(np.empty(()), range(x.ndim))  # an axis tells by its extent where it came from
    return transpose(x, np.moveaxis(probe, source, destination).shape)


@implements(np.expand_dims)
def expand_dims(x: Any, axis: Any) -> Any:
    return reshape(x, np.expand_dims(np.broadcast_to(np.empty(()), x.shape), axis).shape)


@implements(np.squeeze)
def squeeze(x: Any, axis: Any = None) -> Any:
    return reshape(x, np.squeeze(np.broadcast_to(np.empty(()), x.shape), axis).shape)


@implements(np.ravel)
def ravel(x: Any, order: str = "C") -> Any:
    return reshape(x, (-1,) if x.size else (0,), order)


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
    if out is not None:
        raise UnsupportedError("np.concatenate cannot write a traced result with out=", where=here())
    parts = [part if isinstance(part, Traced) else np.asarray(part) for part in arrays]
    if axis is None:
        parts, axis = [reshape(part, (-1,)) if isinstance(part, Traced) else part.reshape(-1) for part in parts], 0
    shape = _checked(np.concatenate, parts, axis)
    made = emit("concatenate", *parts, axis=axis % len(shape))
    return made if dtype is None else astype(made, dtype)


@implements(np.stack)
def stack(arrays: Sequence[Any], axis: int = 0, out: Any = None, **kwargs: Any) -> Any:
    if out is not None or kwargs:
        raise UnsupportedError("np.stack on traced values takes axis= only", where=here())
    parts = [part if isinstance(part, Traced) else np.asarray(part) for part in arrays]
    shape = _checked(np.stack, parts, axis)
    return emit("stack", *parts, axis=axis % len(shape))


def _checked(function: Function, parts: list[Any], axis: int) -> tuple[int, ...]:
    """The result's shape by NumPy's own rules, on arrays without storage."""
    try:
        return function([np.broadcast_to(np.empty((), bool), part.shape) for part in parts], axis=axis).shape  # type: ignore[no-any-return]
    except ValueError as problem:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ShapeError(
            f"np.{function.__name__} of shapes {shapes} along axis {axis}", where=here(), why=str(problem)
        ) from None


@implements(np.hstack)
def hstack(arrays: Sequence[Any]) -> Any:
    parts = [_at_least(part, 1) for part in arrays]
    return concatenate(parts, 0 if len(parts[0].shape) == 1 else 1)


@implements(np.vstack)
def vstack(arrays: Sequence[Any]) -> Any:
    return concatenate([_at_least(part, 2) for part in arrays], 0)


def _at_least(part: Any, ndim: int) -> Any:
    part = part if isinstance(part, Traced) else np.asarray(part)
    return part if part.ndim >= ndim else part.reshape((1,) * (ndim - part.ndim) + part.shape)


def astype(x: Any, dtype: Any, *args: Any, **kwargs: Any) -> Any:
    """The value in another dtype.  From floating to another kind the derivative ends: rounding has none."""
    if x.dtype.kind == "f" and np.dtype(dtype).kind != "f":
        x = emit("stop_gradient", x)
    return emit("cast", x, dtype=np.dtype(dtype), weak=False)


@implements(np.copy)
def copy(x: Any, *args: Any, **kwargs: Any) -> Any:
    return Traced(x.node)  # what is written into one is not seen in the other


@implements(np.where)
def where(condition: Any, *cases: Any) -> Any:
    if not cases:
        return np.where(condition.value)
    condition = condition if isinstance(condition, Traced) and condition.dtype.kind == "b" else _truth(condition)
    return emit("select", condition, *cases)


def _truth(condition: Any) -> Any:
    return condition != 0 if isinstance(condition, Traced) else np.asarray(condition).astype(bool)


@implements(np.clip)
def clip(
    a: Any,
    a_min: Any = np._NoValue,
    a_max: Any = np._NoValue,
    out: Any = None,
    *,
    min: Any = np._NoValue,
    max: Any = np._NoValue,
) -> Any:
    if out is not None:
        raise UnsupportedError("np.clip cannot write a traced result with out=", where=here())
    low = a_min if min is np._NoValue else min
    high = a_max if max is np._NoValue else max
    low, high = (None if bound is np._NoValue else bound for bound in (low, high))
    if not any(isinstance(x, Traced) and x.dtype.kind == "f" for x in (a, low, high)):
        return np.clip(*(plain(x) for x in (a, low, high)))
    return emit("clip", a, -np.inf if low is None else low, np.inf if high is None else high)


@implements(np.matmul)
def matmul(a: Any, b: Any) -> Any:
    """np.matmul, with its rules for vectors and batches."""
    if not isinstance(a, Traced):
        a = np.asarray(a)
    if not isinstance(b, Traced):
        b = np.asarray(b)
    if not a.shape or not b.shape:
        raise ShapeError("matmul of a scalar", where=here(), why=f"the shapes are {a.shape} and {b.shape}", fix="use *")
    inner = b.shape[-2] if len(b.shape) > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise _mismatch("matmul", a, b)
    m, n = len(a.shape) > 1, len(b.shape) > 1
    batch_a, batch_b = a.shape[:-2], b.shape[:-2]
    if batch_a and batch_b and batch_a != batch_b:
        batch = np.broadcast_shapes(batch_a, batch_b)
        a, b = broadcast_any(a, batch + a.shape[-2:]), broadcast_any(b, batch + b.shape[-2:])
        batch_a = batch_b = batch
    letters = "abcdefghABCDEFGH"
    lead_a, lead_b = letters[: len(batch_a)], letters[: len(batch_b)]
    lead = lead_a if len(lead_a) >= len(lead_b) else lead_b
    return emit("contract", a, b, spec=(f"{lead_a}{'i' * m}k", f"{lead_b}k{'j' * n}", f"{lead}{'i' * m}{'j' * n}"))


def broadcast_any(x: Any, shape: tuple[int, ...]) -> Any:
    return broadcast_to(x, shape) if isinstance(x, Traced) else np.broadcast_to(x, shape)


def _origin(x: Any) -> str:
    """Where a value came from, for errors."""
    place = position(x.node.where) if isinstance(x, Traced) else None
    return str(place) if place else "a plain array" if not isinstance(x, Traced) else "an argument"


def _mismatch(name: str, a: Any, b: Any) -> ShapeError:
    made = "; ".join(f"{x.shape} from {_origin(x)}" for x in (a, b))
    inner = b.shape[-2] if len(b.shape) > 1 else b.shape[0]
    return ShapeError(
        f"np.{name} of shapes {a.shape} and {b.shape}",
        where=here(),
        why=f"the summed axes have {a.shape[-1]} and {inner} entries ({made})",
        fix="transpose one of them, or check the number of features",
    )


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is not None:
        raise UnsupportedError("np.dot cannot write a traced result with out=", where=here())
    a, b = (x if isinstance(x, Traced) else np.asarray(x) for x in (a, b))
    if not a.shape or not b.shape:
        return a * b
    if len(a.shape) <= 2 and len(b.shape) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((len(a.shape) - 1,), (max(len(b.shape) - 2, 0),)))


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = (x if isinstance(x, Traced) else np.asarray(x) for x in (a, b))
    na, nb = len(a.shape), len(b.shape)
    if isinstance(axes, (int, np.integer)):
        of_a, of_b = tuple(range(na - axes, na)), tuple(range(axes))
    else:
        of_a, of_b = (
            tuple(x % n for x in ((side,) if isinstance(side, int) else side))
            for side, n in zip(axes, (na, nb), strict=True)
        )
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ShapeError(f"np.tensordot of shapes {a.shape} and {b.shape} over axes {of_a} and {of_b}", where=here())
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    left = [next(letters) for _ in range(na)]
    right = [left[of_a[of_b.index(i)]] if i in of_b else next(letters) for i in range(nb)]
    out = [c for i, c in enumerate(left) if i not in of_a] + [c for i, c in enumerate(right) if i not in of_b]
    return emit("contract", a, b, spec=("".join(left), "".join(right), "".join(out)))


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    a, b = (
        x.reshape(-1) if x.ndim != 1 else x for x in (y if isinstance(y, Traced) else np.asarray(y) for y in (a, b))
    )
    return emit("contract", a, b, spec=("i", "j", "ij"))


@implements(np.inner, np.vdot)
def inner(a: Any, b: Any) -> Any:
    a, b = (x if isinstance(x, Traced) else np.asarray(x) for x in (a, b))
    return a * b if not a.shape or not b.shape else tensordot(a, b, ((len(a.shape) - 1,), (len(b.shape) - 1,)))


_FUNCTIONS[np.shape] = lambda x: x.shape
_FUNCTIONS[np.ndim] = lambda x: x.ndim
_FUNCTIONS[np.size] = lambda x, axis=None: x.size if axis is None else x.shape[axis]
_FUNCTIONS[np.argmax] = lambda x, *args, **kw: np.argmax(x.value, *args, **kw)
_FUNCTIONS[np.argmin] = lambda x, *args, **kw: np.argmin(x.value, *args, **kw)
_FUNCTIONS[np.argsort] = lambda x, *args, **kw: np.argsort(x.value, *args, **kw)
_FUNCTIONS[np.allclose] = lambda a, b, **kw: np.allclose(plain(a), plain(b), **kw)


def _reshape_method(x: Any, *shape: Any, order: str = "C") -> Any:
    return reshape(x, shape[0] if len(shape) == 1 and not isinstance(shape[0], (int, np.integer)) else shape, order)


def _transpose_method(x: Any, *axes: Any) -> Any:
    return transpose(
        x, None if not axes or axes == (None,) else axes[0] if isinstance(axes[0], (tuple, list)) else axes
    )


_METHODS.update(
    sum=np_sum, mean=np_mean, max=np_max, min=np_min, reshape=_reshape_method, transpose=_transpose_method, ravel=ravel,
    flatten=lambda x, order="C": copy(ravel(x, order)), squeeze=squeeze,
    swapaxes=swapaxes, astype=astype, copy=copy, clip=clip, dot=dot, stack=stack,
    argmax=_FUNCTIONS[np.argmax], argmin=_FUNCTIONS[np.argmin], argsort=_FUNCTIONS[np.argsort],
)  # fmt: skip
