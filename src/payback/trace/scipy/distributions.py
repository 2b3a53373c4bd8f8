"""The distributions of `scipy.stats` of traced values, by SciPy's own formulas for standardized numbers.

What SciPy computes for a number that has been shifted and scaled is written with NumPy's functions and those of
`scipy.special`, which look at protocols: `_logpdf`, `_cdf`, `_ppf` and the like.  Around them its methods do with
masks what is done here with `np.where`.  A distribution that integrates numerically or calls compiled code is refused.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from payback.errors import MutationError, PaybackError, UnsupportedError
from payback.trace.array import plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import known, listed_or_now
from payback.trace.scipy.bodies import original


def _base(of_counts: bool) -> Any:
    module = sys.modules["scipy.stats._distn_infrastructure"]
    return module.rv_discrete if of_counts else module.rv_continuous


def _formula(dist: Any, name: str, of_counts: bool) -> Any:
    """The method of a distribution that has a formula of its own for it, or None."""
    return getattr(dist, name) if getattr(type(dist), name) is not getattr(_base(of_counts), name) else None


def _refused(dist: Any, method: str) -> UnsupportedError:
    return UnsupportedError(f"scipy.stats.{dist.name}.{method} of traced values", where=here(),
                            why="SciPy has no formula for it, but computes it numerically",
                            fix="write the density with functions of scipy.special, or give its derivative with "
                            "pb.custom_gradient(plain=True)")  # fmt: skip


class _Call:
    """One call of a method: the distribution's parameters, and the place in its standard form."""

    def __init__(self, dist: Any, method: str, of_counts: bool, args: Any, kwargs: Any):
        args, kwargs = tuple(map(listed_or_now, args)), {name: listed_or_now(value) for name, value in kwargs.items()}
        self.dist, self.method, self.of_counts = dist, method, of_counts
        shapes, self.loc, scale = dist._parse_args(*args, **kwargs)
        self.shapes = tuple(shapes)
        self.good = self._in_range() & (scale > 0)
        self.scale = 1.0 if of_counts else np.where(scale > 0, scale, 1.0)

    def _in_range(self) -> Any:
        if type(self.dist)._argcheck is not _base(self.of_counts)._argcheck:
            return self.tried(self.dist._argcheck, *self.shapes)
        return functools.reduce(np.logical_and, [shape > 0 for shape in self.shapes], True)

    def support(self) -> tuple[Any, Any]:
        low, high = self.tried(self.dist._get_support, *self.shapes)
        return low, high

    def middle(self) -> Any:
        """A plain place within the support, for what lies outside of it."""
        if all(known(listed_or_now(shape)) for shape in self.shapes):
            with np.errstate(all="ignore"):
                found = self.dist._ppf(0.5, *[np.asarray(plain(shape), float) for shape in self.shapes])
            return np.floor(found) if self.of_counts else found
        low, high = (plain(end) if known(listed_or_now(end)) else None for end in self.support())
        if low is None or high is None or np.ndim(low) or np.ndim(high):
            raise _refused(self.dist, self.method)
        if np.isfinite(low) and np.isfinite(high):
            return low + (high - low) / 2
        return low + 1.0 if np.isfinite(low) else high - 1.0 if np.isfinite(high) else 0.0

    def of(self, *names: str) -> Any:
        """The first of these formulas that the distribution has for its own."""
        for name in names:
            if (formula := _formula(self.dist, name, self.of_counts)) is not None:
                return lambda z: self.tried(formula, z, *self.shapes)
        return None

    def tried(self, formula: Any, *args: Any) -> Any:
        """What a formula of SciPy's gives, which may do with arrays what traced ones do not take."""
        try:
            with np.errstate(all="ignore"):
                return formula(*args)
        except Exception as problem:
            if isinstance(problem, PaybackError) and not isinstance(problem, MutationError):
                raise
            raise _refused(self.dist, self.method) from problem

    def checked(self, made: Any, *cases: tuple[Any, Any]) -> Any:
        """What has been computed, or the value of the case that holds; NaN for parameters that SciPy refuses."""
        for condition, value in cases:
            made = np.where(condition, value, made)
        return np.where(self.good, made, np.nan)


def _density(call: _Call, x: Any) -> Any:
    z = (listed_or_now(x) - call.loc) / call.scale
    low, high = call.support()
    there = (z >= low) & (z <= high) if not call.of_counts else (z >= low) & (z <= high) & (np.floor(z) == z)
    log = call.method.startswith("log")
    name = "_pmf" if call.of_counts else "_pdf"
    formula = call.of(f"_log{name[1:]}") if log else call.of(name)
    other = None if formula is not None else call.of(name) if log else call.of(f"_log{name[1:]}")
    if formula is None and other is None:
        raise _refused(call.dist, call.method)
    at = np.where(there, z, call.middle())
    made = formula(at) if formula is not None else np.log(other(at)) if log else np.exp(other(at))
    if not call.of_counts:
        made = made - np.log(call.scale) if log else made / call.scale
    return call.checked(made, (np.logical_not(there), -np.inf if log else 0.0), (np.isnan(z), np.nan))


def _probability(call: _Call, x: Any) -> Any:
    """Of a place and less, or (sf) more: what SciPy has a formula for, or one less it."""
    z = (listed_or_now(x) - call.loc) / call.scale
    z = np.floor(z) if call.of_counts else z
    low, high = call.support()
    log, upper = call.method.startswith("log"), call.method.endswith("sf")
    below, above = z < low, z >= high
    at = np.where(below | above, call.middle(), z)
    mine, others = ("_sf", "_cdf") if upper else ("_cdf", "_sf")
    direct = call.of(f"_log{mine[1:]}") if log else None
    if direct is not None:
        made = direct(at)
    else:
        formula, other = call.of(mine), call.of(others)
        if formula is None and other is None:
            raise _refused(call.dist, call.method)
        made = formula(at) if formula is not None else 1.0 - other(at)
        made = np.log(made) if log else made
    none, all_of_it = (-np.inf, 0.0) if log else (0.0, 1.0)
    ends = (all_of_it, none) if upper else (none, all_of_it)
    return call.checked(made, (below, ends[0]), (above, ends[1]), (np.isnan(z), np.nan))


def _quantile(call: _Call, q: Any) -> Any:
    if call.of_counts:
        raise UnsupportedError(f"scipy.stats.{call.dist.name}.{call.method} of traced values", where=here(),
                               why="it is a whole number, which jumps", fix="use pb.stop_gradient(x)")  # fmt: skip
    q = listed_or_now(q)
    upper = call.method == "isf"
    formula, other = call.of("_isf" if upper else "_ppf"), call.of("_ppf" if upper else "_isf")
    if formula is None and other is None:
        raise _refused(call.dist, call.method)
    inside = (q > 0) & (q < 1)
    at = np.where(inside, q, 0.5)
    made = formula(at) if formula is not None else other(1.0 - at)
    low, high = call.support()
    ends = (high, low) if upper else (low, high)
    made = np.where(q == 0, ends[0], np.where(q == 1, ends[1], made)) * call.scale + call.loc
    return call.checked(made, (np.logical_not((q >= 0) & (q <= 1)), np.nan))


def _moment(call: _Call) -> Any:
    if (formula := _formula(call.dist, "_stats", call.of_counts)) is not None:
        mean, variance = call.tried(formula, *call.shapes)[:2]
    elif (formula := _formula(call.dist, "_munp", call.of_counts)) is not None:
        mean = call.tried(formula, 1, *call.shapes)
        variance = call.tried(formula, 2, *call.shapes) - mean * mean
    else:
        raise _refused(call.dist, call.method)
    found = mean if call.method == "mean" else variance
    if found is None:
        raise _refused(call.dist, call.method)
    found = found * call.scale + call.loc if call.method == "mean" else found * call.scale * call.scale
    return call.checked(np.sqrt(found) if call.method == "std" else found)


def _entropy(call: _Call) -> Any:
    formula = _formula(call.dist, "_entropy", call.of_counts)
    if formula is None:
        raise _refused(call.dist, call.method)
    return call.checked(call.tried(formula, *call.shapes) + (0.0 if call.of_counts else np.log(call.scale)))


_METHODS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("cdf", "sf", "logcdf", "logsf"), _probability), **dict.fromkeys(("ppf", "isf"), _quantile),
    **dict.fromkeys(("mean", "var", "std"), _moment), "entropy": _entropy,
}  # fmt: skip
_OF_NUMBERS = dict.fromkeys(("pdf", "logpdf"), _density) | _METHODS
_OF_COUNTS = dict.fromkeys(("pmf", "logpmf"), _density) | _METHODS


_NONE: dict[str, Any] = {}


def _answering(method: str, answer: Callable[..., Any], f: FunctionType, own: dict[type, dict[str, Any]]) -> Any:
    takes_place = answer is not _moment and answer is not _entropy
    plainly = original(f)
    of_counts = _base(True)

    @functools.wraps(f)
    def answered(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any_traced((args, kwargs)):
            return plainly(self, *args, **kwargs)
        for kind in type(self).__mro__:
            if (better := own.get(kind, _NONE).get(method)) is not None:
                return better(self, *args, **kwargs)
        place, args = (args[:1], args[1:]) if takes_place else ((), args)
        return answer(_Call(self, method, isinstance(self, of_counts), args, kwargs), *place)

    return answered


def answers(own: dict[type, dict[str, Any]]) -> dict[FunctionType, Any]:
    """The methods of SciPy's distributions, and what stands for them; `own`: better answers of some classes.

    Where a class has inherited the method, the one of the class that it is derived from asks for the better answer.
    """
    found: dict[FunctionType, Any] = {}
    for of_counts, methods in ((False, _OF_NUMBERS), (True, _OF_COUNTS)):
        for method, answer in methods.items():
            f = getattr(_base(of_counts), method)
            found[f] = _answering(method, answer, f, own)
    for kind, methods in own.items():
        found |= {f: answer for method, answer in methods.items() if (f := getattr(kind, method)) not in found}
    return found


# what SciPy's formulas choose with: they write into arrays of numbers -------------------------------------------


def _chosen(condition: Any, high: Callable[[], Any], low: Callable[[], Any]) -> Any:
    """One of two where that is known for all entries, else both and `np.where`."""
    if known(listed_or_now(condition)):
        bare = np.asarray(plain(condition))
        if bare.all() or not bare.any():
            return high() if bare.all() else low()
    with np.errstate(all="ignore"):
        return np.where(condition, high(), low())


def apply_where(cond: Any, args: Any, f1: Any, f2: Any = None, /, *, fill_value: Any = None, **_: Any) -> Any:
    args = args if isinstance(args, (tuple, list)) else (args,)
    shape = np.broadcast_shapes(np.shape(cond), *map(np.shape, args))
    made = _chosen(cond, lambda: f1(*args), (lambda: fill_value) if f2 is None else lambda: f2(*args))
    return made if np.shape(made) == shape else np.broadcast_to(made, shape)


def lazyselect(condlist: Any, choicelist: Any, arrays: Any, default: Any = 0) -> Any:
    made: Any = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        made = _chosen(condition, lambda choice=choice: choice(*arrays), lambda made=made: made)
    return made


FUNCTIONS: dict[str, dict[str, Any]] = {
    "scipy._lib.array_api_extra": {"apply_where": apply_where},
    "scipy._external.array_api_extra": {"apply_where": apply_where},  # since SciPy 1.18
    "scipy.stats._continuous_distns": {"_lazyselect": lazyselect},
    "scipy.stats._discrete_distns": {},
}
