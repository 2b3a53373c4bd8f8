"""NumPy's statistics and sums on traced values: spreads, averages, products, covariances, truths."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.ir.aval import FLOAT64
from payback.trace.array import Traced, plain
from payback.trace.dispatch import emit, here, implements, into
from payback.trace.numpy.arguments import (
    NONE,
    array_of,
    as_asked,
    axes_listed,
    axes_of,
    axis_of,
    count_of,
    first_of,
    given,
    keep,
    known,
    reduced_axes,
    traced_array,
    with_axis,
)
from payback.trace.numpy.map import (
    astype,
    broadcast_any,
    concatenate,
    counted,
    floating,
    np_max,
    np_mean,
    np_min,
    np_sum,
    reshape,
    transpose,
)
from payback.trace.numpy.matmul import matmul
from payback.trace.operators import FUNCTIONS, METHODS


def _spread(name: str, a: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any, where: Any, mean: Any,
            correction: Any) -> tuple[Any, Any, Any]:  # fmt: skip
    """The deviations from the mean (0 where they are masked), the axes, and by how many their squares are divided."""
    x = traced_array(a) if dtype is None else astype(traced_array(a), floating(dtype, name))
    if x.dtype.kind != "f":
        x = astype(x, FLOAT64)
    axes = axes_of(axis, x.ndim)
    where = True if where is NONE else where
    if correction is not NONE:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    if where is True and count_of(x, axes) <= ddof:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=4)
    deviations = x - (np_mean(x, axis=axes, keepdims=True, where=where) if mean is NONE else mean)
    if where is True:
        return deviations, axes, float(max(count_of(x, axes) - ddof, 0))
    held = counted(where, x.shape, axes, True, np.float32 if x.dtype == np.float16 else x.dtype)
    rest: Any = 0.0
    if not known(held) or not np.all(np.asarray(plain(held))):
        rest = np.where(held == 0, deviations * np.nan, 0.0)  # of no entries there is no spread, nor a derivative
    free = np.maximum(held - ddof, 0.0)
    if not keep(keepdims):
        free = free.reshape([size for axis, size in enumerate(free.shape) if axis not in axes])
    return np.where(where, deviations, rest), axes, free


@implements(np.var)
def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = NONE,
        *, where: Any = NONE, mean: Any = NONE, correction: Any = NONE) -> Any:  # fmt: skip
    d, axes, free = _spread("var", a, axis, dtype, ddof, keepdims, where, mean, correction)
    return into(out, "var", astype(np_sum(d * d, axis=axes, keepdims=keepdims) / free, d.dtype, copy=False))


@implements(np.std)
def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = NONE,
        *, where: Any = NONE, mean: Any = NONE, correction: Any = NONE) -> Any:  # fmt: skip
    """The length of the deviations over √n: as the length of a vector it has a derivative at 0, where √var has none."""
    d, axes, free = _spread("std", a, axis, dtype, ddof, keepdims, where, mean, correction)
    if not axes:  # the spread of one
        d, axes, keepdims = reshape(d, (1, *d.shape)), (0,), False
    root = float(np.sqrt(free)) if type(free) is float else np.sqrt(free)
    made = emit("norm", d, axes=axes, keepdims=keep(keepdims)) / root
    if not known(free) or not np.all(np.asarray(plain(free))):  # NaN or infinite, and so is the derivative
        made = np.where(free > 0, made, np.sqrt(np_sum(d * d, axis=axes, keepdims=keepdims) / free))
    return into(out, "std", astype(made, d.dtype, copy=False))


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE) -> Any:
    return into(out, "ptp", np_max(a, axis=axis, keepdims=keepdims) - np_min(a, axis=axis, keepdims=keepdims))


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NONE) -> Any:
    a, axis = array_of(a), axes_listed(axis)
    if weights is None:
        made = np.mean(a, axis=axis, keepdims=keep(keepdims))
        total: Any = np.asarray(count_of(a, axes_of(axis, a.ndim)), made.dtype)[()]
    else:
        weights = array_of(weights)
        if weights.shape != a.shape:
            axes = None if axis is None else (axis,) if not isinstance(axis, tuple) else axis
            axes = None if axes is None else tuple(axis_of(i, a.ndim) for i in axes)
            if axes is None or weights.shape != tuple(a.shape[i] for i in axes):
                raise ShapeError(f"np.average of {a.shape} with weights of {weights.shape}", where=here())
            weights = weights.transpose(tuple(np.argsort(axes)))
            weights = weights.reshape(tuple(a.shape[i] if i in axes else 1 for i in range(a.ndim)))
        dtype = np.result_type(a.dtype, weights.dtype, *([] if a.dtype.kind == "f" else [np.float64]))
        a, weights = (x if x.dtype == dtype else x.astype(dtype) for x in (a, weights))
        total = np.sum(broadcast_any(weights, a.shape), axis=axis, keepdims=keep(keepdims))
        if known(total) and np.any(np.asarray(plain(total)) == 0):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        made = np.sum(a * weights, axis=axis, keepdims=keep(keepdims)) / total
    if not returned:
        return made
    return made, total if np.shape(total) == made.shape else broadcast_any(total, made.shape)


# sums and products ----------------------------------------------------------------------------------------------


@implements(np.prod)
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE, initial: Any = NONE,
         where: Any = True) -> Any:  # fmt: skip
    """The product; its derivative divides by nothing, so zeros among the entries are no exception."""
    x = traced_array(a) if dtype is None else astype(traced_array(a), dtype)
    if where is not True:
        x = np.where(where, x, 1)
    if x.node.aval.weak:
        x = astype(x, x.dtype)
    made = emit("prod", x, axes=reduced_axes(axis, x.ndim), keepdims=keep(keepdims))
    return into(out, "prod", as_asked(made * first_of(made, initial) if given(initial) else made, dtype))


def _cumulative(row: str, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    a = traced_array(a) if dtype is None else astype(traced_array(a), dtype)
    if axis is None or not a.ndim:
        a, axis = reshape(a, (a.size,)), 0
    return into(out, row, as_asked(emit(row, a, axis=axis_of(axis, a.ndim), backwards=False), dtype))


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _cumulative("cumsum", a, axis, dtype, out)


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _cumulative("cumprod", a, axis, dtype, out)


def _standard(row: str) -> Any:
    """np.cumulative_sum and np.cumulative_prod, as the array standard has them."""

    def cumulative(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
                   ) -> Any:  # fmt: skip
        if axis is None and np.ndim(x) > 1:
            raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
        x, axis = with_axis(x, 0 if axis is None else axis)
        made = _cumulative(row, x, axis, dtype, None)
        if include_initial:
            shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
            made = concatenate([np.full(shape, 0 if row == "cumsum" else 1, made.dtype), made], axis)
        return into(out, row, made)

    return cumulative


FUNCTIONS[np.cumulative_sum] = _standard("cumsum")
FUNCTIONS[np.cumulative_prod] = _standard("cumprod")


# covariances ----------------------------------------------------------------------------------------------------


def _observations(x: Any, rowvar: bool, dtype: Any) -> Any:
    x = astype(traced_array(x), dtype)
    if x.ndim > 2:
        raise ValueError(f"np.cov takes at most two axes, not {x.ndim}")
    return reshape(x, (1, x.size)) if x.ndim < 2 else x if rowvar else transpose(x)


@implements(np.cov)
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
        aweights: Any = None, *, dtype: Any = None) -> Any:  # fmt: skip
    parts = [array_of(part) for part in (m, y) if part is not None]
    dtype = np.result_type(*[part.dtype for part in parts], np.float64) if dtype is None else dtype
    X = concatenate([_observations(part, rowvar, dtype) for part in parts], 0)
    free = ddof if ddof is not None else 0 if bias else 1
    weights = None
    for name, of in (("fweights", fweights), ("aweights", aweights)):
        if of is None:
            continue
        of = array_of(of)
        if of.shape != (X.shape[1],):
            raise ShapeError(f"np.cov with {name} of shape {of.shape}", where=here(),
                             why=f"there are {X.shape[1]} observations")  # fmt: skip
        if known(of) and np.any(np.asarray(plain(of)) < 0):
            raise ValueError(f"{name} cannot be negative")
        if name == "fweights" and isinstance(of, Traced) and of.dtype.kind == "f":
            raise UnsupportedError("np.cov with traced fweights", where=here(), why="they are whole numbers",
                                   fix="give them as aweights")  # fmt: skip
        of = of.astype(float)
        weights = of if weights is None else weights * of
    means, total = average(X, axis=1, weights=weights, returned=True)
    X = X - means[:, None]
    if weights is None:
        factor: Any = X.shape[1] - free
    else:
        factor = total[0]
        if free != 0:
            factor = factor - (free if aweights is None else free * np.sum(weights * aweights) / factor)
    if known(factor) and plain(factor) <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
        factor = np.float64(0.0)
    product = matmul(X, transpose(X if weights is None else X * weights))
    return np.squeeze(product * np.true_divide(1, factor))


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    d = np.sqrt(np.diag(c))
    return np.clip(c / d[:, None] / d[None, :], -1, 1)


# truths ---------------------------------------------------------------------------------------------------------


def _truths(x: Any) -> Any:
    return x if x.dtype.kind == "b" else x != 0


def _held(function: Any, x: Any, axis: Any, keepdims: Any, where: Any) -> Any:
    """In how many entries the mask holds: where there are no numbers, as a node."""
    mask = _truths(x)
    return np_sum(mask if where is True else np.where(where, mask, False), axis=axis, keepdims=keepdims)


@implements(np.any)
def any_of(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, *, where: Any = True) -> Any:
    """Plain truths, without a derivative; where there are no numbers, a node that will find them."""
    if known(a, where):
        return into(out, "any", np.any(plain(a), axis=axis, keepdims=keep(keepdims), where=plain(where)))
    return into(out, "any", _held(np.any, a, axis, keepdims, where) != 0)


@implements(np.all)
def all_of(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, *, where: Any = True) -> Any:
    if known(a, where):
        return into(out, "all", np.all(plain(a), axis=axis, keepdims=keep(keepdims), where=plain(where)))
    return into(out, "all", _held(np.all, np.logical_not(_truths(a)), axis, keepdims, where) == 0)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    if known(a):
        return np.count_nonzero(plain(a), axis=axis, keepdims=keepdims)
    return _held(np.count_nonzero, a, axis, keepdims, True)


METHODS.update(var=var, std=std, prod=prod, cumsum=cumsum, cumprod=cumprod, any=any_of, all=all_of)
