"""Orders on traced values: sorting, medians, quantiles, and the places that are found by them.

An order or a place is a whole number without derivative; what is taken by it has one.  Equal entries are taken in
the order of the sort, so at a tie the derivative is that of one of them.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.trace.array import Traced, plain
from payback.trace.assignment.views import laid_by
from payback.trace.dispatch import Function, emit, here, implements, into
from payback.trace.numpy.arguments import (
    NONE,
    array_of,
    axes_listed,
    axes_of,
    axis_of,
    count_of,
    keep,
    known,
    refuse,
    traced_array,
    with_axis,
)
from payback.trace.numpy.map import astype, lies_as, np_mean, reshape, transpose
from payback.trace.operators import FUNCTIONS, METHODS
from payback.trace.plain_arrays import now
from payback.trace.refusals.free import noted, rounded

INTP = np.dtype(np.intp)


# orders ---------------------------------------------------------------------------------------------------------


def _order(row: str, a: Any, axis: Any, **params: Any) -> tuple[Any, Any, int]:
    a = traced_array(a)
    if axis is None:
        a, axis = reshape(a, (a.size,)), 0
    axis = axis_of(axis, a.ndim)
    return a, emit(row, a, axis=axis, **params), axis


def _sorted(a: Any, axis: Any, kind: Any, stable: Any, descending: Any) -> tuple[Any, Any, int]:
    a = traced_array(a)
    falls = descending is not NONE and descending  # NumPy 2.5
    _, found, of = _order("argsort", _falling(a) if falls else a, axis, kind="stable" if stable else kind)
    return a if axis is not None else reshape(a, (a.size,)), found, of


def _falling(a: Any) -> Any:
    """What is in order where `a` is in descending order; NaN comes last in both."""
    if a.dtype.kind == "f":
        return -a
    a = astype(a, np.uint8) if a.dtype.kind == "b" else a
    return (np.iinfo(a.dtype).max if a.dtype.kind == "u" else -1) - a


@implements(np.argsort)
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
            descending: Any = NONE) -> Any:  # fmt: skip
    refuse("argsort", order=order)
    a, axis = with_axis(traced_array(a), axis) if axis is not None else (a, None)
    return _own(_sorted(a, axis, kind, stable, descending)[1])


@implements(np.lexsort)
def lexsort(keys: Any, axis: Any = -1) -> Any:
    """np.lexsort: the last key comes first, so each is sorted by in turn, and a stable sort keeps what was before."""
    order: Any = None
    for key in map(traced_array, keys):
        if not key.ndim:
            return np.intp(0)
        if order is None:
            order = argsort(key, axis, kind="stable")
        else:
            then = argsort(np.take_along_axis(key, order, axis), axis, kind="stable")
            order = np.take_along_axis(order, then, axis) if known(order, then) else \
                np.take_along_axis(traced_array(order), then, axis)  # fmt: skip
    return order


@implements(np.sort)
@lies_as
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
         descending: Any = NONE) -> Any:  # fmt: skip
    refuse("sort", order=order)
    return np.take_along_axis(*_sorted(a, axis, kind, stable, descending))


def _own(found: Any) -> Any:
    """Whole numbers as a new array of the program's, which may write into it; without numbers the node."""
    if not known(found):
        return found
    noted(found.node)
    return found.value.copy() if isinstance(found.value, np.ndarray) else found.value


def _places(kth: Any) -> tuple[int, ...]:
    return tuple(operator.index(k) for k in np.atleast_1d(plain(kth)).tolist())


@implements(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    refuse("argpartition", order=order)
    found = _order("argpartition", a, axis, kth=_places(kth))[1]
    return _own(found)


@implements(np.partition)
@lies_as
def partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    refuse("partition", order=order)
    return np.take_along_axis(*_order("argpartition", a, axis, kth=_places(kth)))


def _place_of(row: str) -> Function:
    def place(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NONE) -> Any:
        a = traced_array(a)
        a, axis = (a, None) if axis is None or (not a.ndim and axis in (0, -1)) else with_axis(a, axis)
        if row.startswith("nan"):
            worst = -np.inf if row == "nanargmax" else np.inf
            nan = a != a
            if known(nan) and np.all(nan.value, axis=axis).any():
                raise ValueError("All-NaN slice encountered")
            a = np.where(nan, worst, a)
        found = emit(row.removeprefix("nan"), a, axis=axis, keepdims=keep(keepdims))
        return into(out, row, _own(found))

    return place


for _function in (np.argmax, np.argmin, np.nanargmax, np.nanargmin):
    FUNCTIONS[_function] = _place_of(_function.__name__)


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    a, v = traced_array(a), traced_array(v)
    if sorter is not None:
        a = np.take(a, sorter)
    found = emit("searchsorted", a, v, side=side)
    return _own(found)


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    if known(x, bins):
        return np.digitize(plain(x), plain(bins), right)
    if isinstance(bins, Traced):
        raise TraceError("np.digitize of traced bins while a function is compiled", where=here(),
                         why="whether they ascend is not known", fix="use np.searchsorted")  # fmt: skip
    bins = np.asarray(bins)
    if np.all(np.diff(bins) >= 0):
        return searchsorted(bins, x, "left" if right else "right")
    if not np.all(np.diff(bins) <= 0):
        raise ValueError("bins must be monotonically increasing or decreasing")
    return len(bins) - searchsorted(bins[::-1], x, "right" if right else "left")


@implements(np.unique)
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: Any = None, **options: Any) -> Any:  # fmt: skip
    """The values are entries of the array, and differentiable; the rest are plain whole numbers."""
    _, index, *rest = _listed(np.unique(plain(ar), True, return_inverse, return_counts, axis, **options))
    flat = axis is None
    values = np.take(ar, index, None if flat else axis)
    found = [values, *([index] if return_index else []), *rest]
    return found[0] if len(found) == 1 else tuple(found)


def _listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


FUNCTIONS[np.unique_values] = lambda x: unique(x, equal_nan=False)


def _unique_with(function: Any, index: bool, inverse: bool, counts: bool) -> Function:
    def answer(x: Any, /) -> Any:
        kind = type(function(np.zeros(1)))  # NumPy's own named tuple
        return kind(*unique(x, index, inverse, counts, equal_nan=False))

    return answer


FUNCTIONS[np.unique_all] = _unique_with(np.unique_all, True, True, True)
FUNCTIONS[np.unique_counts] = _unique_with(np.unique_counts, False, False, True)
FUNCTIONS[np.unique_inverse] = _unique_with(np.unique_inverse, False, True, False)


def _set(function: Any) -> Function:
    """Entries of the two arrays together: NumPy says which, their first places are taken."""

    def entries(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
        options = {} if function is np.union1d else {"assume_unique": assume_unique}
        source = np.concatenate([array_of(x).reshape(-1) for x in (ar1, ar2)])
        bare = np.asarray(plain(source))
        found = function(plain(ar1), plain(ar2), **options)
        order = np.argsort(bare, kind="stable")
        made = astype(np.take(source, order[np.searchsorted(bare, found, sorter=order)]), found.dtype, copy=False)
        if return_indices:
            return made, *np.intersect1d(plain(ar1), plain(ar2), assume_unique, True)[1:]
        return made

    return entries


for _function in (np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d):
    FUNCTIONS[_function] = _set(_function)


def _constant(function: Any) -> Function:
    """Whole numbers or truths of the bare values.  Without numbers: TraceError, as for any value that is asked for."""

    def answer(*args: Any, **kwargs: Any) -> Any:
        return function(*map(_bare, args), **{key: _bare(value) for key, value in kwargs.items()})

    return answer


def in_pieces(x: Any) -> Any:
    """The bare value of a traced one, of which something is made that is constant in pieces; that is noted."""
    x = now(x)
    return rounded(x) if isinstance(x, Traced) else plain(x)


def _bare(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(map(_bare, x))
    return in_pieces(x)


for _function in (
    np.nonzero, np.flatnonzero, np.argwhere, np.isin, np.allclose, np.array_equal, np.array_equiv,
):  # fmt: skip
    FUNCTIONS[_function] = _constant(_function)

# What a dtype alone tells; complex values have rules of their own.
FUNCTIONS[np.common_type] = lambda *xs: np.common_type(*(np.empty(0, x.dtype) for x in map(traced_array, xs)))
FUNCTIONS[np.einsum_path] = lambda *operands, **options: np.einsum_path(
    *(np.broadcast_to(np.zeros((), x.dtype), x.shape) if isinstance(x, Traced) else x for x in operands), **options
)
FUNCTIONS[np.iscomplexobj] = lambda x: False
FUNCTIONS[np.isrealobj] = lambda x: True
FUNCTIONS[np.isreal] = lambda x: np.ones(np.shape(x), bool)[()]
FUNCTIONS[np.iscomplex] = lambda x: np.zeros(np.shape(x), bool)[()]


def _infinite(function: Any, infinity: float) -> Function:
    def answer(x: Any, out: Any = None) -> Any:
        return into(out, function.__name__, traced_array(x) == infinity)

    return answer


FUNCTIONS[np.isposinf] = _infinite(np.isposinf, np.inf)
FUNCTIONS[np.isneginf] = _infinite(np.isneginf, -np.inf)


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Truths without derivative; where there are no numbers, nodes that will find them."""
    if known(a, b, rtol, atol):
        return np.isclose(in_pieces(a), in_pieces(b), rtol=plain(rtol), atol=plain(atol), equal_nan=equal_nan)
    a = traced_array(a)
    if not isinstance(b, Traced):
        b = float(b) if type(b) in (bool, int, float) else traced_array(b)
    if isinstance(b, Traced) and b.dtype.kind != "f":  # as NumPy has it: the difference is that of floating numbers
        b = emit("cast", b, dtype=np.dtype(np.result_type(b.dtype, 1.0)), weak=b.node.aval.weak)
    near = (np.abs(a - b) <= atol + rtol * np.abs(b)) & np.isfinite(b) | (a == b)
    return near | (np.isnan(a) & np.isnan(b)) if equal_nan else near


# medians and quantiles ------------------------------------------------------------------------------------------


def _lanes(a: Any, axis: Any) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """(the entries of each group along axis 0, sorted; the axes; the shape of the groups)."""
    a = traced_array(a)
    if a.dtype.kind != "f":
        a = astype(a, np.float64)
    axes = axes_of(axes_listed(axis), a.ndim)
    kept = tuple(i for i in range(a.ndim) if i not in axes)
    rest = tuple(a.shape[i] for i in kept)
    return sort(reshape(transpose(a, (*axes, *kept)), (count_of(a, axes), *rest)), axis=0), axes, rest


def _with_dimensions(made: Any, axes: tuple[int, ...], keepdims: Any, lead: int = 0) -> Any:
    return np.expand_dims(made, tuple(lead + i for i in axes)) if keep(keepdims) else made


def _nan_stays(line: Any, made: Any) -> Any:
    """NaN is sorted to the end: where the last entry is one, so is the result, and what that entry is owed."""
    last = line[-1]
    nan = last != last
    if known(nan) and not np.any(plain(nan)):
        return made
    return np.where(nan, last * np.nan, made)


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    line, axes, _ = _lanes(a, axis)
    n = line.shape[0]
    middle = np_mean(line[(n - 1) // 2 : n // 2 + 1], axis=0)
    made = _with_dimensions(_nan_stays(line, middle) if n else middle, axes, keepdims)
    if isinstance(a, Traced) and len(axes) == 1:
        made = laid_by(lambda x: np.median(x, axes[0], keepdims=keepdims), made, a)
    return into(out, "median", made)


def _virtual(n: Any, q: Any, alpha: float, beta: float) -> Any:
    return n * q + (alpha + q * (1 - alpha - beta)) - 1


# Where in the sorted entries, counted from 0, a quantile lies (Hyndman & Fan, Sample quantiles in statistical
# packages, Am. Stat. 50, 1996), and what part of the way to the next entry is gone.
_CONTINUOUS: dict[str, Function] = {
    "interpolated_inverted_cdf": lambda n, q: _virtual(n, q, 0, 1), "hazen": lambda n, q: _virtual(n, q, 0.5, 0.5),
    "weibull": lambda n, q: _virtual(n, q, 0, 0), "linear": lambda n, q: (n - 1) * q,
    "median_unbiased": lambda n, q: _virtual(n, q, 1 / 3.0, 1 / 3.0),
    "normal_unbiased": lambda n, q: _virtual(n, q, 3 / 8.0, 3 / 8.0),
    "averaged_inverted_cdf": lambda n, q: n * q - 1,
    "midpoint": lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
}  # fmt: skip
_DISCRETE: dict[str, Function] = {
    "lower": lambda n, q: np.floor((n - 1) * q),
    "higher": lambda n, q: np.ceil((n - 1) * q),
    "nearest": lambda n, q: np.rint((n - 1) * q),
    "inverted_cdf": lambda n, q: np.maximum(np.ceil(n * q - 1), 0),
    "closest_observation": lambda n, q: _odd_before(n * q - 1 - 0.5),
}
_STEPS: dict[str, Function] = {
    "averaged_inverted_cdf": lambda gamma, virtual: np.where(gamma == 0, 0.5, 1.0),
    "midpoint": lambda gamma, virtual: np.where(virtual % 1 == 0, 0.0, 0.5),
}


def _odd_before(index: Any) -> Any:
    """The next whole number, but an odd one itself."""
    down = np.floor(index)
    return np.maximum(np.where((index == down) & (down % 2 == 1), down, down + 1), 0)


def _whole(x: Any, last: Any) -> Any:
    """A place within the entries, as an index."""
    return np.minimum(np.maximum(x, 0), last).astype(INTP)


def _quantile(a: Any, q: Any, axis: Any, out: Any, method: str, keepdims: Any, weights: Any, percent: bool,
              ignore_nan: bool) -> Any:  # fmt: skip
    name = ("nan" if ignore_nan else "") + ("percentile" if percent else "quantile")
    if weights is not None:
        raise UnsupportedError(f"np.{name} on traced values does not take weights=", where=here(),
                               why="it steps from entry to entry as the weights change",
                               fix="choose the entry with np.argsort and np.cumsum of the plain weights")  # fmt: skip
    if method not in _CONTINUOUS and method not in _DISCRETE:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {sorted([*_CONTINUOUS, *_DISCRETE])}")
    line, axes, rest = _lanes(a, axis)
    weak = type(q) in (int, float) or (isinstance(q, Traced) and q.node.aval.weak)
    q = array_of(q)
    if percent:
        q = np.true_divide(q, 100)
    if known(q) and not np.all((np.asarray(plain(q)) >= 0) & (np.asarray(plain(q)) <= 1)):
        raise ValueError("Percentiles must be in the range [0, 100]" if percent
                         else "Quantiles must be in the range [0, 1]")  # fmt: skip
    lead, n = q.shape, line.shape[0]
    if ignore_nan and len(lead) > 1 and len(axes) > 1 and axis is not None:
        raise UnsupportedError(f"np.{name} over several axes with a table of quantiles, shape {lead}", where=here(),
                               why="NumPy returns its axes in another order than it documents",
                               fix="give the quantiles as a list, and reshape what comes")  # fmt: skip
    if ignore_nan:  # each group has a count of its own
        n = np.sum(line == line, axis=0)
        n = n.value if known(n) else n
        q = q.reshape(lead + (1,) * len(rest))
        n = n.astype(q.dtype if q.dtype.kind == "f" else INTP)
    last = n - 1 if not ignore_nan else np.maximum(n - 1, 0)

    def taken(place: Any) -> Any:
        if not ignore_nan:
            return line[place]
        flat = place.reshape((-1, *rest))
        return np.take_along_axis(line, flat, 0).reshape((*lead, *rest))

    virtual = (_DISCRETE.get(method) or _CONTINUOUS[method])(n, q)
    if method in _DISCRETE or virtual.dtype.kind in "iu":  # for q of integers there is nothing between two entries
        made = taken(_whole(virtual, last))
    else:
        down = np.floor(virtual)
        before, after = taken(_whole(down, last)), taken(_whole(down + 1, last))
        gamma = _STEPS[method](virtual - down, virtual) if method in _STEPS else virtual - down
        gamma, left = gamma, 1 - gamma
        if weak:
            gamma, left = (astype(x, line.dtype) if isinstance(x, Traced) else np.asarray(x).astype(line.dtype)
                           for x in (gamma, left))  # fmt: skip
        if not ignore_nan:
            gamma, left = (x.reshape(lead + (1,) * len(rest)) for x in (gamma, left))
        step = after - before
        made = np.where(gamma >= 0.5, after - step * left, before + step * gamma)
    if not ignore_nan:
        made = _nan_stays(line, made)
    return into(out, name, _with_dimensions(made, axes, keepdims, len(lead)))


def _quantiles(percent: bool, ignore_nan: bool) -> Function:
    def quantile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
                 method: str = "linear", keepdims: Any = False, *, weights: Any = None) -> Any:  # fmt: skip
        made = _quantile(a, q, axis, out, method, keepdims, weights, percent, ignore_nan)
        if out is not None or weights is not None or not isinstance(a, Traced) or not isinstance(axis, int):
            return made
        places = np.zeros(np.shape(q))
        return laid_by(lambda x: np.quantile(x, places, axis, method=method, keepdims=keepdims is True), made, a)

    return quantile


FUNCTIONS[np.quantile] = _quantiles(False, False)
FUNCTIONS[np.percentile] = _quantiles(True, False)
FUNCTIONS[np.nanquantile] = _quantiles(False, True)
FUNCTIONS[np.nanpercentile] = _quantiles(True, True)


@implements(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = NONE) -> Any:
    line, axes, _ = _lanes(a, axis)
    n = np.sum(line == line, axis=0)
    n = n.value if known(n) else n
    low, high = (_whole(x, line.shape[0]) for x in ((n - 1) // 2, n // 2))
    lower, upper = (np.take_along_axis(line, x[None], 0)[0] for x in (low, np.minimum(high, line.shape[0] - 1)))
    return into(out, "nanmedian", _with_dimensions(np_mean(np.stack([lower, upper]), axis=0), axes, keepdims))


METHODS.update(argsort=argsort, argpartition=argpartition, argmax=FUNCTIONS[np.argmax],
                argmin=FUNCTIONS[np.argmin], searchsorted=searchsorted, nonzero=FUNCTIONS[np.nonzero])  # fmt: skip
