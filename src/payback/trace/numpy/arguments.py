"""What the functions of NumPy's chapters do with their arguments: arrays, axes, options."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.ir.node import Node
from payback.ops.append import const, snapshot
from payback.trace.array import Traced, as_traced
from payback.trace.dispatch import here, strong
from payback.trace.plain_arrays import now
from payback.trace.scalars.number import Number, number_in

NONE = np._NoValue


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """NumPy's axis argument as a sorted tuple.  Raises numpy.exceptions.AxisError."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    if not isinstance(axis, tuple):
        axis = (axis,)
    before = -1
    for a in axis:
        if type(a) is not int or not before < a < ndim:
            break
        before = a
    else:  # as most are given, or handed on
        return axis
    return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(tuple(operator.index(a) for a in axis), ndim)))


def reduced_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """As the reductions of ufuncs take it: a number has the axes 0 and −1."""
    return () if not ndim and type(axis) is int and axis in (0, -1) else axes_of(axis, ndim)


def axes_listed(axis: Any) -> Any:
    """The axis argument of those functions of NumPy that take a list of axes too, not only a tuple."""
    return tuple(axis) if isinstance(axis, list) else axis


def axis_of(axis: Any, ndim: int) -> int:
    """One axis, ≥ 0.  Raises numpy.exceptions.AxisError."""
    return axes_of(operator.index(axis), ndim)[0]


def with_axis(x: Any, axis: Any) -> tuple[Any, int]:
    """An array and one of its axes, as NumPy's own loops take them: a number is a row of one."""
    if not x.ndim and axis in (0, -1):
        return x.reshape(1), 0
    return x, axis_of(axis, x.ndim)


def array_of(x: Any) -> Any:
    """An argument with a shape: a traced value (a list of them stacked), or a plain array as it is."""
    if isinstance(x, Traced):
        return x
    x = as_traced(x)
    return Traced(x) if isinstance(x, Node) else np.asarray(x)


def listed_or_now(x: Any) -> Any:
    """An argument of which numbers stay numbers: a list as an array, a buffer as what it is by now."""
    return array_of(x) if isinstance(x, (list, tuple)) else now(x)


def traced_array(x: Any) -> Traced:
    """An argument as a traced value, also if it is plain."""
    return x if isinstance(x, Traced) else Traced(as_node(x))


def as_asked(made: Any, dtype: Any) -> Any:
    """A sum or product in the dtype that was asked for: of whole numbers the rows make int64, of which it is a part."""
    return made if dtype is None or np.dtype(dtype).kind not in "biu" else made.astype(dtype)


def first_of(made: Any, initial: Any) -> Any:
    """What a reduction begins with, in the dtype of its result: NumPy promotes nothing here."""
    if made.dtype == getattr(initial, "dtype", None) and not (isinstance(initial, Traced) and initial.node.aval.weak):
        return initial
    return (initial if isinstance(initial, Traced) else np.asarray(initial)).astype(made.dtype)


def arrayed(x: Any) -> Any:
    """What NumPy makes of an argument that it takes for an array: a Python number loses its weakness."""
    if not isinstance(x, Traced):
        return np.asarray(x)
    x = number_in(x)
    if isinstance(x, Number):  # has a node only if one asks for it
        return x.strongly()
    return Traced(strong(x.node, x.node.where)) if x.node.aval.weak else x


def factor(x: Any) -> Any:
    """An operand of a product as an array.  Raises DifferentiationError for one of a class that would make the result
    one of it: a product by a numpy.matrix is one, whose * is no longer by entries."""
    if type(x) is not np.ndarray and isinstance(x, np.ndarray) and not isinstance(x, Traced):
        snapshot(np.ndarray.__getitem__(x, slice(0)) if x.ndim else x)  # by its class alone: it may be a large memmap
    return arrayed(x)


def as_node(x: Any) -> Node:
    x = as_traced(x)
    return x if isinstance(x, Node) else const(np.asarray(x))


def known(*values: Any) -> bool:
    """Whether the numbers of all of them are at hand."""
    return all(not isinstance(x, Traced) or x.node.value is not None for x in values)


def refuse(function: str, **options: Any) -> None:
    """Raises UnsupportedError for the options that were given (are not None, False or NumPy's own default)."""
    for name, value in options.items():
        if value is not None and value is not NONE and value is not False:
            raise UnsupportedError(
                f"np.{function} on traced values does not take {name}=", where=here(), fix=f"leave {name}= away"
            )


def floating(dtype: Any, name: str) -> Any:
    """The dtype in which np.`name` divides.  Raises UnsupportedError for whole numbers, where it would cut off."""
    if np.dtype(dtype).kind in "iub":
        raise UnsupportedError(f"np.{name} on traced values does not take dtype={np.dtype(dtype)}", where=here(),
                               why="only floating numbers have a derivative",
                               fix="use .astype on the result")  # fmt: skip
    return dtype


def given(x: Any) -> bool:
    """Whether an option was given."""
    return x is not None and x is not NONE


def keep(keepdims: Any) -> bool:
    return keepdims is not NONE and bool(keepdims)


def part_of(x: Any, axis: int, part: Any) -> Any:
    """x[:, ..., part] with the part at the axis."""
    return x[(slice(None),) * axis + (part,)]


def along(values: Any, axis: int, ndim: int) -> Any:
    """A vector as an array of `ndim` axes that varies along one of them."""
    return values.reshape(tuple(-1 if i == axis else 1 for i in range(ndim)))


def count_of(x: Any, axes: tuple[int, ...]) -> int:
    """How many entries each group over the axes has."""
    shape = x.shape
    return prod([shape[a] for a in axes])
