"""NumPy's functions that pass over NaN: such an entry is replaced by what changes nothing, and is owed nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from payback.trace.assignment.views import is_number
from payback.trace.dispatch import Function, implements, into
from payback.trace.numpy.arguments import NONE, given, known, traced_array
from payback.trace.numpy.map import astype, np_max, np_mean, np_min, np_sum
from payback.trace.numpy.statistics import cumprod, cumsum, prod, std, var


def _there(a: Any) -> tuple[Any, Any]:
    """The array, and where it is not NaN."""
    a = traced_array(a)
    return a, a == a


def _both(there: Any, where: Any) -> Any:
    return there if where is True or where is NONE else np.logical_and(there, where)


def _filled(function: Function, fill: float) -> Function:
    def ignoring(a: Any, *args: Any, **kwargs: Any) -> Any:
        a, there = _there(a)
        return function(np.where(there, a, fill) if a.dtype.kind == "f" else a, *args, **kwargs)

    return ignoring


nansum, nanprod = implements(np.nansum)(_filled(np_sum, 0.0)), implements(np.nanprod)(_filled(prod, 1.0))
implements(np.nancumsum)(_filled(cumsum, 0.0))
implements(np.nancumprod)(_filled(cumprod, 1.0))


def _warn(empty: Any, text: str) -> None:
    if known(empty) and np.any(getattr(empty, "value", empty)):
        warnings.warn(text, RuntimeWarning, stacklevel=4)


def _extreme(name: str, function: Function, worst: float) -> Function:
    def ignoring(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, initial: Any = NONE,
                 where: Any = True) -> Any:  # fmt: skip
        a, there = _there(a)
        if a.dtype.kind != "f":
            return function(a, axis, out, keepdims, initial, where)
        made = function(np.where(there, a, worst), axis, None, keepdims, initial, where)
        nothing = np_sum(_both(there, where), axis, keepdims=keepdims) == 0
        if given(initial):
            return into(out, name, made)
        _warn(nothing, "All-NaN slice encountered")
        return into(out, name, np.where(nothing, np.nan, made))

    return ignoring


implements(np.nanmax)(_extreme("nanmax", np_max, -np.inf))
implements(np.nanmin)(_extreme("nanmin", np_min, np.inf))


@implements(np.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE, *,
            where: Any = NONE) -> Any:  # fmt: skip
    a, there = _there(a)
    mask = _both(there, where)
    _warn(np_sum(mask, axis) == 0, "Mean of empty slice")
    with np.errstate(invalid="ignore"):
        return np_mean(a, axis, dtype, out, keepdims, where=mask)


def _variance(function: Function) -> Function:
    def ignoring(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = NONE, *,
                 where: Any = NONE, mean: Any = NONE, correction: Any = NONE) -> Any:  # fmt: skip
        a, there = _there(a)
        axis = () if not a.ndim and axis in (0, -1) else axis  # of a number
        mask = _both(there, where)
        free = np_sum(mask, axis, keepdims=keepdims) - (ddof if correction is NONE else correction)
        _warn(free <= 0, "Degrees of freedom <= 0 for slice.")
        with np.errstate(invalid="ignore", divide="ignore"):
            made = function(a, axis, dtype, None, ddof, keepdims, where=mask, mean=mean, correction=correction)
            return into(out, f"nan{function.__name__}", np.where(free <= 0, made * np.nan, made))

    return ignoring


implements(np.nanvar)(_variance(var))
implements(np.nanstd)(_variance(std))


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """What is replaced has no derivative."""
    x = traced_array(x)
    if x.dtype.kind != "f":
        return x
    info = np.finfo(x.dtype)
    made = np.where(x != x, nan, x)
    made = np.where(x == np.inf, info.max if posinf is None else posinf, made)
    made = astype(np.where(x == -np.inf, info.min if neginf is None else neginf, made), x.dtype)
    if not copy and not is_number(x):
        x[...] = made
        return x
    return made
