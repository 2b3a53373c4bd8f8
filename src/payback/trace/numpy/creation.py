"""NumPy's creation functions, and Python's `math`, where traced values are about: what the shim answers."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import NODE_TYPES, STOPPED, Traced, Variable, as_traced, holds_traced, plain
from payback.trace.assignment.buffer import alias, any_traced, buffer
from payback.trace.assignment.views import has_gaps, is_number, laid_as, laid_out, without_axes
from payback.trace.assignment.views import in_order as lay
from payback.trace.dispatch import COPIES, SPREAD, emit, here, implements
from payback.trace.labels import MET, labels_of
from payback.trace.numpy.arguments import array_of, arrayed, traced_array
from payback.trace.numpy.map import astype, concatenate, copy, reshape, stack
from payback.trace.operators import COMPLEX, FUNCTIONS, HOOKS, LATER
from payback.trace.plain_arrays import Buffered, now
from payback.trace.scalars.number import NUMBERS, number_in

_FAN_IN = 32  # parts of one node: the sweep looks at all arguments of a node for each of them


def stacked(parts: list[Any]) -> Traced:
    """np.stack along a new first axis; many parts by nodes of few arguments."""
    if all(type(part) in NUMBERS for part in parts):
        row = number_in(parts[0]).recorder.vector([number_in(part) for part in parts])
        if row is not None:
            return Traced(row)
    if len(parts) <= _FAN_IN:
        return stack(parts)
    parts = [stack(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
    while len(parts) > 1:
        parts = [concatenate(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
    return parts[0]


HOOKS["stack"] = stacked


def fresh(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function that always makes a new array returns: a buffer."""
    made = original(*args, **kwargs)
    if isinstance(made, Traced):
        return without_axes(Traced(made.node))  # no view of what it was made of
    if type(made) in COMPLEX:
        return without_axes(made)
    if type(made) is np.ndarray and made.base is not None:
        made = made.copy()
    if type(made) is np.ndarray and made.dtype.kind == "c":
        return HOOKS["complex_buffer"](made)
    return buffer(made)


def array(original: Callable[..., Any], obj: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """np.array: of traced values a traced array."""
    if _is_complex(obj, dtype):
        if kwargs.get("copy", True) or type(obj) not in COMPLEX:
            made = HOOKS["complex_array"](obj, dtype).copy(kwargs.get("order") or "K")
        else:
            made = as_array(original, obj, dtype, kwargs.get("order"))
        extra = kwargs.get("ndmin", 0) - made.ndim
        return np.reshape(made, (1,) * extra + made.shape) if extra > 0 else made
    whole, obj = obj, now(obj)
    if isinstance(obj, Traced) and obj.node.op is STOPPED and obj.node.value is not None and kwargs.get("copy", True):
        return buffer(np.array(obj.node.value, dtype, **kwargs))  # bare numbers, that may be kept
    if isinstance(obj, Traced) and not kwargs.get("copy", True) and kwargs.get("ndmin", 0) <= obj.ndim:
        return as_array(original, obj, dtype, kwargs.get("order"))
    if not holds_traced(obj) or (dtype is not None and np.dtype(dtype) == object):
        made = original(obj, dtype, **kwargs)
        if isinstance(whole, Buffered) and np.may_share_memory(made, obj):
            return alias(made, whole)
        return buffer(made) if made is not obj and isinstance(obj, (np.ndarray, list, tuple, int, float)) else made
    made = obj if isinstance(obj, Traced) and not kwargs.get("copy", True) else Traced(as_traced(obj))
    if made.node.aval.weak:
        made = astype(made, made.dtype)
    if dtype is not None:
        made = astype(made, dtype, copy=False)
    if kwargs.get("copy", True):
        made = copy(made, kwargs.get("order") or ("K" if isinstance(obj, Traced) else "C"))
    extra = kwargs.get("ndmin", 0) - made.ndim
    return reshape(made, (1,) * extra + made.shape) if extra > 0 else without_axes(_no_column(made))


def _is_complex(obj: Any, dtype: Any) -> bool:
    """Whether an array of traced values is one of complex numbers."""
    if dtype is not None and np.dtype(dtype).kind == "c":
        return holds_traced(obj)
    return type(obj) not in NODE_TYPES and HOOKS["holds_complex"](obj) and holds_traced(obj)


def as_array(original: Callable[..., Any], a: Any, dtype: Any = None, order: Any = None, **kwargs: Any) -> Any:
    """np.asarray and its kin: a traced array or a buffer is one already, unless another order or a copy is wanted."""
    made = _already(original, a, dtype, *(() if order is None else (order,)), **kwargs)
    if (kwargs.get("copy") and made is a) or (order in ("C", "F") and _is_held(made) and not _lies(made, order)):
        return made.copy(order or "K")
    return made


def _is_held(x: Any) -> bool:
    return isinstance(x, (Traced, Buffered)) or type(x) in COMPLEX


def _no_column(x: Any) -> Any:
    """An array, also of what was computed with a column of pandas: see `labels.py`."""
    return emit("identity", x) if MET and isinstance(x, Traced) and labels_of(x.node) is not None else x


def _lies(x: Any, order: str) -> bool:
    """Whether an array lies in memory by rows ("C") or by columns ("F")."""
    current = now(x.re if type(x) in COMPLEX else x)
    return not has_gaps(current, order) if isinstance(current, Traced) else bool(current.flags[f"{order}_CONTIGUOUS"])


def _already(original: Callable[..., Any], a: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    if type(a) in COMPLEX and (dtype is None or np.dtype(dtype) == a.dtype) and not a.is_number:
        return a
    if _is_complex(a, dtype):
        return HOOKS["complex_array"](a, dtype)
    if isinstance(a, (Traced, Buffered)) and (dtype is None or np.dtype(dtype) == a.dtype):
        if np.ndim(a) or not isinstance(a, Traced) or not is_number(a):
            return _no_column(a)
        return without_axes(Traced((astype(a, a.dtype) if a.node.aval.weak else a).node))
    if isinstance(now(a), Traced) or (isinstance(a, (list, tuple)) and holds_traced(a)):
        return array(np.array, a, dtype)
    if isinstance(a, (list, tuple, int, float)):
        return buffer(original(a, dtype, *args, **kwargs))
    return original(a, dtype, *args, **kwargs)


def in_order(order: str) -> Callable[..., Any]:
    """np.ascontiguousarray, np.asfortranarray: a copy of what lies in memory otherwise."""

    def answer(original: Callable[..., Any], a: Any, dtype: Any = None, **kwargs: Any) -> Any:
        held = isinstance(a, Buffered) or holds_traced(a)
        made = as_array(np.asarray, a, dtype, **kwargs) if held else original(a, dtype, **kwargs)
        if not _is_held(made):
            return buffer(made)
        if _lies(made, order):
            return made if made.ndim else reshape(made, (1,))
        return made.copy(order)

    return answer


def required(original: Callable[..., Any], a: Any, dtype: Any = None, requirements: Any = None, **kwargs: Any) -> Any:
    """np.require."""
    if not (isinstance(a, Buffered) or holds_traced(a)):
        return original(a, dtype, requirements, **kwargs)
    for wanted in requirements or ():
        if str(wanted)[0].upper() in "CF":
            return in_order(str(wanted)[0].upper())(np.asarray, a, dtype)
    return as_array(np.asarray, a, dtype)


def checked(original: Callable[..., Any], a: Any, dtype: Any = None, order: Any = None) -> Any:
    """np.asarray_chkfinite."""
    if not holds_traced(a):
        return original(a, dtype, order)
    made = as_array(np.asarray, a, dtype)
    if not np.all(np.isfinite(made)):
        raise ValueError("array must not contain infs or NaNs")
    return made


def full(original: Callable[..., Any], shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if not holds_traced(fill_value):
        return fresh(original, shape, fill_value, dtype, **kwargs)
    if isinstance(shape, Traced) and not shape.ndim:
        shape = operator.index(shape)
    if _is_complex(fill_value, dtype):
        return np.broadcast_to(HOOKS["complex_array"](fill_value, dtype), shape).copy()
    value = array(np.array, fill_value, dtype)
    return without_axes(lay(Traced(np.broadcast_to(value, shape).node), kwargs.get("order") or "C"))


def taken(original: Callable[..., Any], a: Any, indices: Any, *args: Any, **kwargs: Any) -> Any:
    """np.take: NumPy dispatches by the array alone, and the indices may be what is traced."""
    if isinstance(now(indices), Traced) and not holds_traced(a):
        return FUNCTIONS[original](a, now(indices), *args, **kwargs)
    return original(listed(a), indices, *args, **kwargs)


def of_list(original: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of an array that is given a list or tuple of traced values, which NumPy would not dispatch."""
    if isinstance(a, (list, tuple)) and holds_traced(a):
        a = array(np.array, a)
    made = original(a, *args, **kwargs)
    if original is not SPREAD or made.shape:
        return made
    return without_axes(Traced(arrayed(made).node) if made is a else made)


def listed(x: Any) -> Any:
    """A list or tuple of traced values as an array; anything else as it is."""
    return array(np.array, x) if isinstance(x, (list, tuple)) and holds_traced(x) else x


_OF_ANY = {np.where, np.einsum}  # NumPy asks each argument of these, not the first alone
_NUMBERLESS = {np.where, np.tensordot, np.cov, np.roll, np.pad}  # as `NUMBERLESS`; they are used inside, too
_WHOLE = {int}  # a shape, or axes
_PLAIN = {np.ndarray, float, int, bool, str, np.float64, np.float32, np.int64, np.bool_}


def of_lists(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A function of several arrays, any of which may be given as such a list."""
    if not kwargs and original not in COPIES and (known := FUNCTIONS.get(original)) is not None:
        traced = bool(args) and type(args[0]) in NODE_TYPES
        for arg in args:
            kind = type(arg)
            if kind in NODE_TYPES:
                traced = traced or original in _OF_ANY
            elif (kind not in _PLAIN or (kind is np.ndarray and arg.dtype.kind == "c")) and not (
                kind is tuple and _WHOLE.issuperset(map(type, arg))
            ):
                break
        else:
            if traced:  # what the dispatch would come to, after a few more calls
                made = known(*args)
                return without_axes(made) if original in _NUMBERLESS else made
    made = original(*map(listed, args), **{key: listed(value) for key, value in kwargs.items()})
    return without_axes(made) if original in _NUMBERLESS else made


def joining(original: Callable[..., Any], arrays: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of a sequence of arrays, any of which may be given as such a list."""
    if type(arrays) in (list, tuple):
        parts, traced = [], False
        for part in arrays:
            if type(part) in NODE_TYPES:
                traced = True
            elif type(part) is not np.ndarray:
                part = now(listed(part))
                traced = traced or type(part) in NODE_TYPES
            parts.append(part)
        known = FUNCTIONS.get(original)
        if traced and known is not None and not any(type(part) in LATER for part in parts):
            made = known(parts, *args, **kwargs)
            written_into = len(args) > 1 or kwargs.get("out") is not None
            return made if written_into else Traced(made.node)  # no view of what it was made of
    arrays = [*map(listed, arrays)] if isinstance(arrays, (list, tuple)) else listed(arrays)
    return fresh(original, arrays, *args, **kwargs)


def filled_like(original: Callable[..., Any], a: Any, fill_value: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(now(a), Traced) or not holds_traced(fill_value):
        return fresh(original, a, fill_value, *args, **kwargs)
    return full_like(np.asarray(a), fill_value, *args, **kwargs)


def arange(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """np.arange: how many numbers there are is decided by the values, and has no derivative."""
    if not any_traced((args, kwargs)):
        return buffer(original(*args, **kwargs))
    dtype = kwargs.pop("dtype", None)
    names = ("start", "stop", "step")
    given = dict(zip(names, args, strict=False)) | kwargs if len(args) > 1 or kwargs else {"stop": args[0]}
    start, step = given.get("start", 0), given.get("step", 1)
    count = len(original(plain(start), plain(given["stop"]), plain(step)))
    made = start + step * np.arange(count)
    made = made if isinstance(made, Traced) else made.astype(float)
    return made if dtype is None else made.astype(dtype)


def from_iterable(original: Callable[..., Any], iterable: Any, dtype: Any, *args: Any, **kwargs: Any) -> Any:
    items = list(iterable)
    return array(np.array, items, dtype) if holds_traced(items) else buffer(original(items, dtype, *args, **kwargs))


def by_keys(original: Callable[..., Any], keys: Any, *args: Any, **kwargs: Any) -> Any:
    """np.lexsort: NumPy asks the keys of a tuple, not those of a list."""
    return original(tuple(keys) if type(keys) is list else keys, *args, **kwargs)


def along_axis(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """np.apply_along_axis: the function may answer with what is traced, of whatever array it is applied to."""
    return FUNCTIONS[original](*args, **kwargs)


def of_memory(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """np.nditer, np.asmatrix: they look at the memory.

    np.broadcast stays NumPy's (it asks a traced value for its memory, which is refused): extension modules that are
    imported in a trace check that it is a class.
    """
    if any(holds_traced(arg) for arg in args):
        cure = {"nditer": "write a loop over x.flat, np.ndenumerate(x) or np.ndindex(x.shape)"}
        raise UnsupportedError(f"np.{original.__name__} of traced values", where=here(),
                               why="it looks at the bare memory", fix=cure.get(original.__name__))  # fmt: skip
    return original(*args, **kwargs)


def from_buffer(
    original: Callable[..., Any], buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0, **kwargs: Any
) -> Any:
    """np.frombuffer: of an array that traced values may be stored in later, a view that will show them."""
    whole = buffer.obj if isinstance(buffer, memoryview) else buffer
    if not isinstance(whole, Buffered) and not holds_traced(whole):
        return original(buffer, dtype, count, offset, **kwargs)
    whole = whole if type(now(whole)) is np.ndarray else now(whole)
    if whole.dtype.kind not in "fc":
        return original(buffer, dtype, count, offset, **kwargs)
    size = whole.dtype.itemsize
    if np.dtype(dtype) != whole.dtype or offset % size or (buffer is not whole and buffer.nbytes != whole.nbytes):
        raise UnsupportedError("np.frombuffer of an array that was made in a traced function", where=here(),
                               why="other numbers are to be read from its memory, where traced values have none",
                               fix="use views of the array: x.reshape(-1), slices")  # fmt: skip
    shown = original(np.empty(whole.size, whole.dtype), dtype, count, offset)  # raises what is to be raised
    return whole.reshape(-1)[offset // size : offset // size + len(shown)]


_NEW = [
    "zeros", "ones", "empty", "zeros_like", "ones_like", "empty_like", "linspace", "logspace", "geomspace", "eye",
    "identity", "copy", "tri", "fromfunction",
]  # fmt: skip
_ALREADY = ["asarray", "asanyarray"]
_OF_LISTS = [
    "sum", "mean", "prod", "max", "min", "amax", "amin", "std", "var", "median", "average", "cumsum", "cumprod", "sort",
    "argmax", "argmin", "ptp", "any", "all", "count_nonzero", "nonzero", "nanstd", "nanvar", "nanmedian", "nanquantile",
    "nanpercentile", "nanprod", "nancumsum", "squeeze", "expand_dims", "broadcast_to", "diagflat", "tril", "triu",
    "moveaxis", "swapaxes", "rot90", "partition", "delete", "array_split", "split", "unique", "unwrap", "sinc",
    "nan_to_num", "shape", "size", "ndim",
]  # fmt: skip
_OF_SEVERAL_LISTS = [
    "dot", "vdot", "inner", "outer", "kron", "cross", "tensordot", "einsum", "where", "clip", "interp", "convolve",
    "correlate", "trapezoid", "diff", "gradient", "polyval", "polyfit", "diag", "trace", "reshape", "ravel",
    "transpose", "atleast_1d", "atleast_2d", "roll", "flip", "pad", "append", "insert", "argsort", "nansum",
    "nanmean", "nanmax", "nanmin", "isclose", "allclose", "quantile", "percentile", "round", "meshgrid", "vander",
    "array_equal", "array_equiv", "cov", "corrcoef", "ediff1d", "compress", "extract", "searchsorted", "digitize",
    "bincount", "histogram", "histogram2d", "histogram_bin_edges",
]  # fmt: skip
_JOINING = ["concatenate", "stack", "vstack", "hstack", "dstack", "column_stack"]
ANSWERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_NEW, fresh), **dict.fromkeys(_ALREADY, as_array), **dict.fromkeys(_OF_LISTS, of_list),
    **dict.fromkeys(_OF_SEVERAL_LISTS, of_lists), **dict.fromkeys(_JOINING, joining),
    **dict.fromkeys(["tile", "repeat"], lambda original, a, *args, **kw: fresh(original, listed(a), *args, **kw)),
    "ascontiguousarray": in_order("C"), "asfortranarray": in_order("F"), "require": required,
    "asarray_chkfinite": checked, "take": taken, "array": array, "full": full, "full_like": filled_like,
    "apply_along_axis": along_axis, "arange": arange, "fromiter": from_iterable, "nditer": of_memory,
    "asmatrix": of_memory, "lexsort": by_keys, "frombuffer": from_buffer,
}  # fmt: skip


@implements(np.zeros_like)
def zeros_like(x: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    return buffer(np.zeros_like(laid_out(x), dtype or x.dtype, order, shape=shape))


@implements(np.ones_like)
def ones_like(x: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    return buffer(np.ones_like(laid_out(x), dtype or x.dtype, order, shape=shape))


@implements(np.full_like)
def full_like(
    x: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any
) -> Any:
    at = laid_out(x) if isinstance(x, Traced) else x
    if not holds_traced(fill_value):
        return buffer(np.full_like(at, fill_value, dtype or x.dtype, order, shape=shape))
    made = full(np.full, np.shape(x) if shape is None else shape, fill_value, dtype or x.dtype)
    return laid_as(made, np.empty_like(at, np.bool_, order, shape=shape))


FUNCTIONS[np.empty_like] = zeros_like


@implements(np.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    start, stop = (1.0 * (x if type(x) in (int, float) else array_of(x)) for x in (start, stop))
    delta, parts = stop - start, num - 1 if endpoint else num
    lead = (num,) + (1,) * delta.ndim
    step = delta / parts if parts > 0 else np.nan
    made = np.arange(num).reshape(lead).astype(delta.dtype) * (step if parts > 0 else delta) + start
    if endpoint and num > 1:  # which rounding would miss
        made = np.concatenate([made[:-1], np.broadcast_to(astype(traced_array(stop), made.dtype), delta.shape)[None]])
    if dtype is not None:
        made = astype(np.floor(made) if np.dtype(dtype).kind in "iu" else made, dtype)
    made = np.moveaxis(made, 0, axis) if axis else made
    return (made, step) if retstep else made


def _copied(x: Traced, memo: Any = None) -> Any:
    """copy.copy and copy.deepcopy: another array with the same history."""
    if isinstance(x, Variable):
        return Variable(x.node.value, x.name)
    return Traced(x.node) if x.shape or is_number(x) else without_axes(Traced(x.node))


Traced.__copy__ = Traced.__deepcopy__ = _copied


# np.linalg, as a library that is answered where one of its arguments holds something traced
LINALG = {
    name: functools.partial(of_lists, getattr(np.linalg, name))
    for name in ("norm", "det", "slogdet", "inv", "pinv", "solve", "lstsq", "cholesky", "qr", "svd", "eigh", "eigvalsh",
                 "eig", "eigvals", "matrix_power", "cond")
}  # fmt: skip
