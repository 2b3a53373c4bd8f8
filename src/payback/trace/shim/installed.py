"""What stands for names of NumPy, `math` and libraries while functions are traced: it is put there and taken away."""

from __future__ import annotations

import functools
import math
import sys
import threading
import weakref
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from payback.ir.forks import whole_in_children
from payback.ir.loops import counts
from payback.trace.assignment import outside
from payback.trace.numpy.creation import ANSWERS
from payback.trace.numpy.saving import LOADING
from payback.trace.proof.pure import Known
from payback.trace.shim.holders import Places, holds
from payback.trace.shim.kinds import Asking, asks
from payback.trace.shim.libraries import FORMULAS, LIBRARIES, TRUSTING, Watch, complete, numpy_of_formulas, wrapper_of
from payback.trace.shim.methods import Methods, calls_methods
from payback.trace.shim.pairs import Pair, attributes, bare_numpy, registered
from payback.trace.shim.python_math import MATHEMATICS
from payback.trace.shim.shown import Shown
from payback.trace.shim.specials import SPECIAL
from payback.trace.shim.wrappers import NOT_USERS, TRACING, creation_wrapper, mathematics_wrapper

_CALL = "__call__"
_NEVER = sys.stdlib_module_names - {"__main__"} | NOT_USERS | {"dateutil", "mpmath", "rich"}


_ANSWERS = ANSWERS | LOADING
_OF_NUMPY = {name: getattr(np, name) for name in _ANSWERS}
_OF_MATH = {name: f for name in MATHEMATICS if (f := getattr(math, name, None)) is not None}  # cbrt: Python 3.11
_NUMPY_WRAPPERS = {name: creation_wrapper(f, _ANSWERS[name]) for name, f in _OF_NUMPY.items()}
_MATH_WRAPPERS = {name: mathematics_wrapper(f) for name, f in _OF_MATH.items()}
WRAPPERS = {id(f): _NUMPY_WRAPPERS[name] for name, f in _OF_NUMPY.items()}
WRAPPERS |= {id(f): _MATH_WRAPPERS[name] for name, f in _OF_MATH.items()}
_ORIGINALS = {id(w): f for ws, fs in ((_NUMPY_WRAPPERS, _OF_NUMPY), (_MATH_WRAPPERS, _OF_MATH))
              for w, f in zip(ws.values(), fs.values(), strict=True)}  # fmt: skip


def _pair(originals: dict[str, Any]) -> Pair | None:
    return Pair(originals, {name: WRAPPERS[id(f)] for name, f in originals.items()}) if originals else None


_NUMPY = Shown(np, _OF_NUMPY, _NUMPY_WRAPPERS)
_MATH = Shown(math, _OF_MATH, _MATH_WRAPPERS)


def standing_for(f: Any) -> Any:
    """What is called where f was given: a function that answers, with what it is to be given already."""
    return Places(WRAPPERS).of(f) if type(f) is functools.partial else WRAPPERS.get(id(f), f)


class _Installed:
    """The wrappers that are in place now, for all threads together, and what they stand for."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.full = False  # or NumPy's own names are all that is replaced,
        self.begun = False  # or the rest in part, where that has failed inside a trace that needs it not
        self.count = 0  # of modules when the first trace began
        self.names: list[tuple[dict[str, Any], Pair]] = []  # a namespace, and what stands for what in it
        self.cells: list[tuple[CellType, Any]] = []
        self.spaces: dict[int, dict[str, Any]] = {}
        # Modules that have been looked through.  Those that hold originals, or may come to hold some because they are
        # not a library's, are watched: how many names they had then, and what is to be replaced.
        self.known: dict[str, weakref.ref[ModuleType]] = {}
        self.watched: dict[str, tuple[weakref.ref[ModuleType], int, Pair | None]] = {}
        self.holders: dict[str, Places] = {}  # modules, and what of theirs holds functions under no name
        self.places: list[Places] = []  # where such functions have been replaced
        self.asking = Asking()
        self.ask: set[str] = set()  # modules whose functions name `type` or `hasattr`
        self.methods = Methods()
        self.call: set[str] = set()  # modules whose functions call methods of arrays that are to answer
        self.seen: Any = None
        self.libraries: dict[str, Shown] = {}
        # of those whose own functions call each other by these names
        self.inside: list[tuple[dict[str, Any], Pair]] = []
        self.watch = Watch(self.imported)
        # since sys.modules was seen last: NumPy, `math` and libraries that are complete, whether some are not, whether
        # some may yet come
        self.shown: list[Shown] = []
        self.busy = False
        self.watching = False

    def enter(self, f: Any, known: Known | None = None) -> None:
        """known: what is known of f, if that is enough to need no more than `np.f`, `math.f` and methods of arrays."""
        with self.lock:
            self.depth += 1
            if self.depth == 1:
                self.count = len(sys.modules)
            try:
                if known is not None:
                    _NUMPY.show()
                    _MATH.show()
                    if known.asks:
                        self.methods.put()
                    return
                if not self.full:
                    self.begun = True
                    for owner, name, _, wrapper in SPECIAL:
                        setattr(owner, name, wrapper)
                    modules = sys.modules
                    last = next(reversed(modules))
                    state = (len(modules), last, id(modules[last]))
                    if state != self.seen or self.busy:
                        self.watching = any(name not in modules for name in LIBRARIES)
                        found = {name: module for name in LIBRARIES if (module := complete(name)) is not None}
                        self.busy = any(name in modules and name not in found for name in LIBRARIES)
                        self.shown, self.inside = [_NUMPY, _MATH], []
                        for name, module in found.items():
                            self.library(name, module)
                    if self.watching:
                        self.watch.start()
                    for shown in self.shown:
                        shown.show()
                    for space, pair in self.inside:
                        self.put(space, pair)
                    self.methods.put_of_scipy()
                    self.modules(state)
                    self.full = True
                self.function(f, set())
            except BaseException:
                self.leave()
                raise

    def library(self, name: str, module: ModuleType) -> None:
        """A library that the user has imported: its functions are to be answered."""
        known = self.libraries.get(name)
        if known is None or known.module is not module:
            answers = LIBRARIES[name]
            originals = {n: f for n in answers if callable(f := getattr(module, n, None))}
            wrappers = {n: wrapper_of(name, n, f)(f, answers[n]) for n, f in originals.items()}
            WRAPPERS.update({id(f): wrappers[n] for n, f in originals.items()})
            _ORIGINALS.update({id(w): originals[n] for n, w in wrappers.items()})
            known = self.libraries[name] = Shown(module, originals, wrappers)
            self.known.clear()  # modules that have been looked through may have imported these by name
            self.seen = None
        self.shown.append(known)
        space = module.__dict__
        if name in TRUSTING and space.get("np") is np:
            self.inside.append((space, Pair({"np": np}, {"np": bare_numpy()})))
        elif name in FORMULAS:
            names = {"np": numpy_of_formulas(), **known.wrappers}
            self.inside.append((space, Pair({"np": np, **known.originals}, names)))
        elif any(getattr(f, "__globals__", None) is space for f in known.originals.values()):
            self.inside.append((space, Pair(known.originals, known.wrappers)))

    def imported(self, name: str, module: ModuleType) -> None:
        """A library has been imported while functions are traced."""
        with self.lock:
            if self.depth:
                inside = len(self.inside)
                self.library(name, module)
                self.shown[-1].show()
                self.methods.put_of_scipy()
                for space, pair in self.inside[inside:]:
                    self.put(space, pair)

    def put(self, space: dict[str, Any], pair: Pair) -> None:
        """Replace names of a namespace, but for those that someone else has replaced already."""
        if not pair.stands(space, pair.originals):
            kept = [name for name, f in pair.originals.items() if space.get(name) is f]
            if not kept:
                return
            pair = Pair({n: pair.originals[n] for n in kept}, {n: pair.wrappers[n] for n in kept})
        space.update(pair.wrappers)
        self.names.append((space, pair))

    def modules(self, state: Any) -> None:
        """Put wrappers into the modules that imported originals by name; `state`: what sys.modules is told by."""
        modules = sys.modules
        if state != self.seen:
            for name, module in list(modules.items()):
                known = self.known.get(name)
                if (known is None or known() is not module) and isinstance(module, ModuleType):
                    self.look_through(name, module)
            for name in self.known.keys() - modules.keys():
                del self.known[name]
                self.watched.pop(name, None)
                self.holders.pop(name, None)
            self.seen = state
        for name, (ref, count, pair) in list(self.watched.items()):
            module = ref()
            if module is None:
                continue
            space = module.__dict__
            if len(space) != count:  # it has gone on executing since
                pair = self.look_through(name, module)
            if pair is not None:
                self.spaces[id(space)] = space
                self.put(space, pair)
            if name in self.holders:
                self.replaced(self.holders[name])
            if name in self.ask:
                self.asking.put(space)
            if name in self.call:
                self.methods.put()

    def look_through(self, name: str, module: ModuleType) -> Pair | None:
        self.known[name] = weakref.ref(module)
        self.watched.pop(name, None)
        self.holders.pop(name, None)
        if name.partition(".")[0] in _NEVER:
            return None
        space = module.__dict__
        installed = "site-packages" in (getattr(module, "__file__", None) or "")
        pair = _pair({key: value for key, value in list(space.items()) if id(value) in WRAPPERS})
        if not installed and (places := Places(WRAPPERS).of_space(space)):
            self.holders[name] = places
        for of_such, is_such in ((self.ask, asks), (self.call, calls_methods)):
            (of_such.add if not installed and is_such(space.values()) else of_such.discard)(name)
        busy = getattr(getattr(module, "__spec__", None), "_initializing", False)
        if pair or busy or not installed:  # a library's module is looked through once, when it is complete
            self.watched[name] = (weakref.ref(module), len(space), pair)
        return pair

    def function(self, f: Any, seen: set[int]) -> None:
        """The namespace and the closure of a function, and of those in its closure."""
        while type(f) is not FunctionType:
            if isinstance(f, functools.partial):
                f = f.func
            elif isinstance(f, MethodType):
                self.module(f.__self__)
                f = f.__func__
            elif not isinstance(f, FunctionType) and isinstance(method := getattr(type(f), _CALL, None), FunctionType):
                self.module(f)
                f = method
            else:
                break
        if not isinstance(f, FunctionType) or id(f) in seen or id(f) in _ORIGINALS:
            return
        seen.add(id(f))
        space, places = f.__globals__, Places(WRAPPERS)
        if f.__defaults__ or f.__kwdefaults__:
            places.of(f)
        self.foreign(f, seen)
        if calls_methods([f]):
            self.methods.put()
        is_users = space.get("__name__", "").partition(".")[0] not in NOT_USERS
        if is_users and asks([f]):
            self.asking.put(space)
        if id(space) not in self.spaces and is_users:
            names: Any = f.__code__.co_names
            if not registered(space):  # nothing has looked through it
                names = list(space)
                self.spaces[id(space)] = space
                if asks([f, *space.values()]):
                    self.asking.put(space)
                if calls_methods(space.values()):
                    self.methods.put()
                places.of_space(space)
            held = {n: space[n] for n in names if id(space.get(n)) in WRAPPERS}
            if held and (pair := _pair(held)) is not None:
                self.put(space, pair)
        for cell in f.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not yet bound
                continue
            wrapper = WRAPPERS.get(id(content))
            if wrapper is not None:
                cell.cell_contents = wrapper
                self.cells.append((cell, content))
            elif isinstance(content, (FunctionType, MethodType, functools.partial)):
                self.function(content, seen)
            elif holds(type(content)):
                places.look(cell, "cell_contents", True, content)
            else:
                self.module(content)
        self.replaced(places)

    def replaced(self, places: Places) -> None:
        if places:
            places.put()
            self.places.append(places)

    def foreign(self, f: FunctionType, seen: set[int]) -> None:
        """What f names that `modules` does not see: functions that sympy.lambdify makes, modules not in sys.modules."""
        space = f.__globals__
        for name in f.__code__.co_names:
            other = space.get(name)
            if type(other) is FunctionType:
                if (names := other.__globals__) is not space and not registered(names):
                    self.function(other, seen)
            elif other is not None:
                self.module(other)

    def module(self, thing: Any) -> None:
        """A module that f names, unless it was looked through in sys.modules, or an object that may keep functions."""
        space = thing.__dict__ if isinstance(thing, ModuleType) else attributes(thing)
        if space and id(space) not in self.spaces and not registered(space):
            self.spaces[id(space)] = space
            pair = _pair({name: thing for name, thing in space.items() if id(thing) in WRAPPERS})
            if pair is not None:
                self.put(space, pair)
            holding = [name for name, part in space.items() if holds(type(part))]
            if holding and not isinstance(thing, ModuleType):
                places = Places(WRAPPERS)
                for name in holding:
                    places.look(space, name, False, space[name])
                self.replaced(places)

    def leave(self) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth:
                return
            if not self.begun:
                _NUMPY.hide()
                _MATH.hide()
                self.methods.take_away()
                if len(sys.modules) != self.count:
                    self.newcomers()
                return
            self.full = self.begun = False
            for shown in self.shown:
                shown.hide()
            for places in reversed(self.places):
                places.take_away()
            self.places.clear()
            for space, pair in reversed(self.names):
                if pair.stands(space, pair.wrappers):
                    space.update(pair.originals)
                else:  # someone has replaced a name meanwhile: that stays
                    space.update({n: f for n, f in pair.originals.items() if space.get(n) is pair.wrappers[n]})
            for cell, content in self.cells:
                cell.cell_contents = content
            self.asking.take_away()
            self.methods.take_away()
            for owner, name, original, _ in SPECIAL:
                setattr(owner, name, original)
            if self.watching:
                self.watch.stop()
            self.names.clear()
            self.cells.clear()
            self.spaces.clear()
            if self.seen is None or len(sys.modules) != self.seen[0]:
                self.newcomers()

    def newcomers(self) -> None:
        """Modules imported meanwhile may have bound wrappers by name: they get the originals."""
        for name, module in list(sys.modules.items()):
            if name not in self.known and isinstance(module, ModuleType):
                space = module.__dict__
                space.update({n: _ORIGINALS[id(v)] for n, v in list(space.items()) if id(v) in _ORIGINALS})


def _alone() -> None:
    """In the child of a fork other threads' traces do not end: there are none."""
    if INSTALLED.depth and counts.get() is None:
        INSTALLED.depth = 1
        INSTALLED.leave()


INSTALLED = _Installed()
whole_in_children(INSTALLED.lock, _alone)
outside.elsewhere = lambda: INSTALLED.depth > 0 and not TRACING.get()
