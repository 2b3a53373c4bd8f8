"""Methods of plain arrays: `X.dot(w)` is np.dot(X, w), and `out = X.copy(); out[0] = w` can be written into.

NumPy's functions ask their arguments by a protocol; the methods of its arrays ask nobody, and neither Python nor NumPy
lets a class made in C be given others.  So while a function is differentiated, and only if the user's code calls such a
method by name, the class's own dictionary has a function in that place, which calls NumPy's function where something
traced is given and the method itself in all else; those that make a new array make one that can be written into, in
code that writes into arrays.  Methods of ufuncs, as in `np.minimum.reduce([a, b])`, make an array of such a list first.
Where Python has no such dictionary (it is CPython's) nothing is replaced, and the call raises as any other that wants
bare numbers.
"""

from __future__ import annotations

import ctypes
import dis
import functools
import gc
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from payback.trace.assignment.buffer import any_traced
from payback.trace.numpy.creation import listed
from payback.trace.proof.writers import for_writer, writes
from payback.trace.scipy import curves as scipy_curves
from payback.trace.scipy import densities as scipy_densities
from payback.trace.scipy import distributions, grids, relations, rotations, scattered, sparse_solves
from payback.trace.scipy import interpolate as scipy_interpolate
from payback.trace.scipy import stats as scipy_stats
from payback.trace.scipy.bodies import Bodies
from payback.trace.shim.libraries import complete
from payback.trace.shim.wrappers import TRACING, is_answered

_LOADS = ("LOAD_METHOD", "LOAD_ATTR")


def _answering(method: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def answered(self: Any, *args: Any, **kwargs: Any) -> Any:
        if any_traced((args, kwargs)):
            return function(self, *args, **kwargs)
        return method(self, *args, **kwargs)

    return answered


def _making(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def made(self: Any, *args: Any, **kwargs: Any) -> Any:
        new = method(self, *args, **kwargs)
        given = any(new is x for x in (self, *args, *kwargs.values()))  # with out=, or where nothing had to be copied
        if type(new) is np.ndarray and not given and TRACING.get():
            frame = sys._getframe(1)
            return for_writer(new, frame.f_code) if is_answered(frame) else new
        return new

    return made


CURVES = scipy_interpolate.METHODS | grids.METHODS | scattered.METHODS


@functools.cache
def _of_curves() -> dict[Any, dict[str, Any]]:
    kinds = {scipy_curves.of_scipy(name): name for name in CURVES}
    return {
        kind: {method: _answering(getattr(kind, method), f) for method, f in CURVES[name].items()}
        for kind, name in kinds.items()
    }


@functools.cache
def _of_rotations() -> dict[Any, dict[str, Any]]:
    kind = rotations.of_scipy()
    return {kind: {method: _answering(getattr(kind, method), f) for method, f in rotations.METHODS.items()}}


@functools.cache
def _of_densities() -> dict[Any, dict[str, Any]]:
    kind = vars(sys.modules["scipy.stats._kde"])["gaussian_kde"]
    return {kind: {method: _answering(getattr(kind, method), f) for method, f in relations.METHODS.items()}}


@functools.cache
def _of_distributions() -> Bodies:
    return Bodies(distributions.answers({scipy_stats.norm(): scipy_stats.answers()} | scipy_densities.answers()))


def _of_lists(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def listing(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *map(listed, args), **kwargs)

    return listing


_FUNCTIONS = {"dot": np.dot, "clip": np.clip, "searchsorted": np.searchsorted}
_MAKERS = {
    "copy", "astype", "flatten", "cumprod", "cumsum", "max", "mean", "min", "prod", "repeat", "round", "std", "sum",
    "take", "var",
}  # fmt: skip
_ORIGINALS: dict[str, Any] = {name: vars(np.ndarray)[name] for name in [*_FUNCTIONS, *sorted(_MAKERS)]}
_ANSWERS = {name: _answering(_ORIGINALS[name], function) for name, function in _FUNCTIONS.items()}
_ANSWERS |= {name: _making(_ORIGINALS[name]) for name in _MAKERS}
_UFUNC_ORIGINALS = {name: vars(np.ufunc)[name] for name in ("reduce", "accumulate", "outer")}
_UFUNC_ANSWERS = {name: _of_lists(method) for name, method in _UFUNC_ORIGINALS.items()}
_ASKED = _FUNCTIONS.keys() | _UFUNC_ORIGINALS.keys()  # for what they are given, whatever becomes of their results


@functools.cache
def _dictionary(kind: Any) -> tuple[dict[str, Any] | None, Any]:
    """The dictionary behind `vars(kind)`, or None where it cannot be had; and the class as C takes it."""
    found = [thing for thing in gc.get_referents(vars(kind)) if type(thing) is dict]
    is_it = len(found) == 1 and found[0].keys() == vars(kind).keys()
    return found[0] if is_it else None, ctypes.py_object(kind)


# What Python remembers of a class's attributes is forgotten.
_MODIFIED = getattr(getattr(ctypes, "pythonapi", None), "PyType_Modified", None)
_known: dict[int, tuple[CodeType, bool]] = {}  # codes, and whether they call such a method
_MOST_CODES = 4000  # code that is made while a program runs is not kept for ever


_Replaced = tuple[Any, list[tuple[str, Any]]]  # a class, and what it had itself under these names


class Methods:
    """The methods that are replaced now: of arrays, and of SciPy's factors, distributions and curves."""

    def __init__(self) -> None:
        self.there = False
        self.factors: Any = None  # their class, where its methods are replaced
        self.distributions: Bodies | None = None
        self.classes: dict[str, list[_Replaced]] = {}  # SciPy's, by its parts

    def put(self) -> None:
        if not self.there:
            self.there = True
            _set(np.ndarray, _ANSWERS)
            _set(np.ufunc, _UFUNC_ANSWERS)

    def put_of_scipy(self) -> None:
        if scipy_stats.norm() is not None and self.distributions is None:
            self.distributions = _of_distributions()
            self.distributions.put()
        if complete("scipy.stats") is not None:
            self.of_classes("stats", _of_densities)
        if complete("scipy.spatial.transform") is not None:
            self.of_classes("rotations", _of_rotations)
        if complete("scipy.interpolate") is not None:
            self.of_classes("interpolate", _of_curves)
        kind = sparse_solves.superlu()
        if kind is not None and self.factors is None:
            self.factors = kind
            _set(kind, sparse_solves.answers()[0])

    def of_classes(self, part: str, answers: Callable[[], dict[Any, dict[str, Any]]]) -> None:
        if part not in self.classes:
            self.classes[part] = replaced = []
            for kind, methods in answers().items():
                own = vars(kind)
                replaced.append((kind, [(name, own.get(name)) for name in methods]))
                for name, method in methods.items():
                    setattr(kind, name, method)

    def take_away(self) -> None:
        if self.there:
            self.there = False
            _set(np.ndarray, _ORIGINALS)
            _set(np.ufunc, _UFUNC_ORIGINALS)
        if self.factors is not None:
            kind, self.factors = self.factors, None
            _set(kind, sparse_solves.answers()[1])
        if self.distributions is not None:
            self.distributions.take_away()
            self.distributions = None
        for replaced in self.classes.values():
            for kind, methods in replaced:
                for name, method in methods:
                    if method is not None:
                        setattr(kind, name, method)
                    elif name in vars(kind):
                        delattr(kind, name)  # it has inherited its own
        self.classes.clear()


def _set(kind: Any, methods: Mapping[str, Any]) -> None:
    space, handle = _dictionary(kind)
    if space is not None and _MODIFIED is not None:
        space.update(methods)
        _MODIFIED(handle)


def calls_methods(things: Iterable[Any]) -> bool:
    """Whether one of these functions, or a method of one of these classes, calls such a method of something."""
    for thing in things:
        if isinstance(thing, FunctionType):
            if _calls(thing.__code__, thing.__globals__):
                return True
        elif isinstance(thing, type) and any(
            isinstance(part, FunctionType) and _calls(part.__code__, part.__globals__) for part in vars(thing).values()
        ):
            return True
    return False


def _calls(code: CodeType, space: dict[str, Any]) -> bool:
    known = _known.get(id(code))
    if known is None:
        if len(_known) >= _MOST_CODES:
            _known.clear()
        known = _known[id(code)] = code, _looked_through(code, space)
    return known[1]


def _looked_through(code: CodeType, space: dict[str, Any]) -> bool:
    named = code.co_names
    if not _ASKED.isdisjoint(named) or (not _MAKERS.isdisjoint(named) and writes(code)):
        wanted = _ASKED | _MAKERS if writes(code) else _ASKED
        before = None
        for step in dis.get_instructions(code):
            if step.opname in _LOADS and step.argval in wanted and not _is_module(before, space):
                return True
            before = step
    return any(isinstance(part, CodeType) and _calls(part, space) for part in code.co_consts)


def _is_module(load: dis.Instruction | None, space: dict[str, Any]) -> bool:
    """Whether it puts a module on the stack, as in `np.dot`."""
    return load is not None and load.opname == "LOAD_GLOBAL" and isinstance(space.get(load.argval), ModuleType)
