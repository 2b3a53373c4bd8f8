"""`audit`: all places of a function that cannot be differentiated, found in one run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from payback.errors import (
    DifferentiationError,
    InputError,
    MissingAttributeError,
    PaybackError,
    TraceError,
    UnsupportedError,
    no_function,
    witness,
)
from payback.ir.forks import free_in_children
from payback.ir.where import is_inner, position
from payback.trace.array import Method, Traced, plain
from payback.trace.assignment.buffer import READING_METHODS, Buffer
from payback.trace.plain_arrays import now
from payback.trace.refusals.cures import BARE_NUMBERS, of_library
from payback.trace.shim import shim, wrappers
from payback.trace.text.texts import Text
from payback.trace.tree import leaves, tree_map
from payback.transforms.argnums import ArgNums, Function
from payback.transforms.bare_numbers import Plainly, raised_at
from payback.transforms.gradient import Opened, scalar_result


@dataclass(frozen=True)
class Obstacle:
    """A place that cannot be differentiated: where it is, what happens there, why, and what to write instead."""

    file: str
    line: int
    function: str
    expression: str
    what: str
    why: str | None
    fix: str | None

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        cure = f"\n    {self.fix[0].upper()}{self.fix[1:]}." if self.fix else ""
        return f"{self.file}:{self.line} in {self.function}: {self.expression}\n    {self.what}{why}.{cure}"


@dataclass(frozen=True)
class Audit:
    """What `audit` found: the obstacles in the order in which they were met, and the function's plain value."""

    obstacles: tuple[Obstacle, ...]
    value: Any

    def __len__(self) -> int:
        return len(self.obstacles)

    def __iter__(self) -> Iterator[Obstacle]:
        return iter(self.obstacles)

    def __str__(self) -> str:
        if not self.obstacles:
            return "nothing stands in the way of a derivative"
        count = len(self.obstacles)
        head = f"{count} place{'s' if count > 1 else ''} cannot be differentiated:"
        return "\n".join([head, *map(str, self.obstacles)])


_found: ContextVar[dict[Any, Obstacle] | None] = ContextVar("found", default=None)
_lock = free_in_children(threading.RLock())
_depth = 0
_replaced: list[tuple[Any, str, Any]] = []


def _note(problem: PaybackError) -> None:
    """Remember an obstacle, at the user's line that is running: not one in NumPy, SciPy or payback."""
    frame = sys._getframe(1)
    what, why, fix = problem.what, problem.why, problem.fix
    while frame.f_back is not None and is_inner(frame):
        module = frame.f_globals.get("__name__", "")
        what, why, fix = of_library(module) or (what, why, fix)
        frame = frame.f_back
    place = position((frame.f_code, frame.f_lasti))
    if place is None:
        return
    found = _found.get()
    assert found is not None
    key = (place.file, place.line, place.column, what)
    found.setdefault(key, Obstacle(place.file, place.line, place.function, place.text, what, why, fix))


_ITERATORS = {type(iter(())), type(iter([])), type(_ for _ in ()), map, zip, filter, enumerate}


def _is_whole(arg: Any) -> bool:
    """Arrays of integers or truth values and nothing else: classes, indices, masks."""
    found = leaves(arg)
    return bool(found) and all(isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "iub" for x in found)


def _bare(x: Any) -> Any:
    """Arguments with plain values in the places of traced ones; plain arrays are the same objects."""
    if isinstance(x, (tuple, list)) and not hasattr(x, "_fields"):
        return type(x)(_bare(part) for part in x)
    if type(x) is dict:
        return {key: _bare(part) for key, part in x.items()}
    if type(x) in _ITERATORS:
        return (_bare(item) for item in x)
    x = now(x)
    if not isinstance(x, Traced):
        return plain(x)
    return np.array(x.value) if isinstance(x.value, np.ndarray) else x.value


def _guarded(call: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    """A function that, in an audit, notes what it would raise and goes on with plain values."""

    def guard(*args: Any, **kwargs: Any) -> Any:
        if _found.get() is None:
            return call(*args, **kwargs)
        try:
            return call(*args, **kwargs)
        except (PaybackError, AttributeError) as problem:
            cause = problem if isinstance(problem, PaybackError) else PaybackError(str(problem))
            _note(cause)
            witness.get().errors.clear()  # a `try` of the function will not meet it
            return instead(*args, **kwargs)

    return guard


def _ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    out = kwargs.pop("out", None)
    if method == "at":
        target = inputs[0]
        plain = _bare(target)
        getattr(ufunc, method)(plain, *_bare(inputs[1:]))
        if plain is not target and not isinstance(target, np.ndarray):
            target[...] = plain
        return None
    if out is None:
        return getattr(ufunc, method)(*_bare(inputs), **_bare(kwargs))
    results = _bare(out)
    getattr(ufunc, method)(*_bare(inputs), out=results, **_bare(kwargs))
    for target, result in zip(out, results, strict=True):
        if isinstance(now(target), Traced):
            target[...] = result
    return out[0] if len(out) == 1 else out


def _array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    return function(*_bare(args), **_bare(kwargs))


def _method(self: Traced, name: str) -> Any:
    return lambda *args, **kwargs: getattr(np.asarray(_bare(self)), name)(*_bare(args), **_bare(kwargs))


def _setitem(self: Any, key: Any, value: Any) -> None:
    self[_bare(key)] = np.asarray(_bare(value)).astype(self.dtype)


def _mathematics(name: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return original(*_bare(args), **_bare(kwargs))


_OPERATORS = ["add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "and", "or", "matmul"]


def _operator(name: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: getattr(np.asarray(_bare(self)), name)(_bare(other))


def _places() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """Where payback raises what an audit notes, and what is done there instead."""
    for kind in (Traced, Buffer):
        yield kind, "__array_ufunc__", _ufunc
        yield kind, "__array_function__", _array_function
        yield kind, "__setitem__", _setitem
    yield Traced, "__hash__", id  # equal to no key that was there before: a cache computes, and keeps nothing wrong
    yield Traced, "__reduce_ex__", lambda self, protocol: np.asarray(_bare(self)).__reduce_ex__(protocol)
    yield Traced, "__float__", lambda self: float(self.value)
    yield Traced, "__int__", lambda self: int(self.value)
    yield Traced, "__array__", lambda self, *args, **kwargs: np.array(self.value, *args)
    yield Traced, "__str__", lambda self: str(self.value)
    yield Traced, "__repr__", lambda self: repr(_bare(self))
    yield Traced, "__format__", lambda self, spec: format(self.value, spec)
    yield Text, "__float__", lambda self: float(str.__str__(self))
    yield Traced, "tolist", lambda self: np.asarray(_bare(self)).tolist()
    yield wrappers, "mathematics", _mathematics
    for name in _OPERATORS:
        for prefix in ("", "r"):
            yield Traced, f"__{prefix}{name}__", _operator(f"__{prefix}{name}__")
    for name in READING_METHODS:
        if name in Buffer.__dict__ and name not in ("__bool__", "__iter__"):
            yield Buffer, name, lambda self, *args, _n=name, **kw: getattr(np.asarray(_bare(self)), _n)(*args, **kw)


def _found_method(call: Callable[..., Any]) -> Callable[..., Any]:
    """A method that payback does not have, or that raises, is NumPy's on the plain value."""

    def guard(self: Traced, name: str) -> Any:
        if _found.get() is None or not hasattr(np.ndarray, name):
            return call(self, name)
        try:
            method = call(self, name)
        except MissingAttributeError as problem:
            _note(problem)
            plain = getattr(np.asarray(_bare(self)), name)
            return (lambda *args, **kwargs: plain(*_bare(args), **_bare(kwargs))) if callable(plain) else plain
        return _guarded(method, _method(self, name))

    return guard


def _enter() -> None:
    global _depth
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        for owner, name, instead in list(_places()):
            original = vars(owner)[name]
            _replaced.append((owner, name, original))
            setattr(owner, name, _guarded(original, instead))
        _replaced.append((Method, "find", vars(Method)["find"]))
        Method.find = staticmethod(_found_method(Method.find))  # type: ignore[method-assign]


def _leave() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if not _depth:
            for owner, name, original in reversed(_replaced):
                setattr(owner, name, original)
            _replaced.clear()


_TAKEN = (TraceError, UnsupportedError, DifferentiationError)


def _ended(problem: Exception, place: Any, found: dict[Any, Obstacle]) -> None:
    """Remember what ended the run: compiled code that has raised."""
    at = position(place)
    assert at is not None
    ours = problem if isinstance(problem, PaybackError) else None
    what = ours.what if ours else "a library cannot compute with a traced value"
    why = ours.why if ours else f"it says {type(problem).__name__}: {problem}"
    fix = ours.fix if ours else f"compute with NumPy functions; {BARE_NUMBERS}"
    key = (at.file, at.line, at.column, what)
    found.setdefault(key, Obstacle(at.file, at.line, at.function, at.text, what, why, fix))


def _narrowed(opened: Opened, wrt: str | Sequence[str]) -> tuple[Any, Any]:
    """The arguments, of which only the leaves with these names are differentiated by."""
    known = {node.params["name"]: node for node in opened.wrt if node is not None}
    wanted = [wrt] if isinstance(wrt, str) else [*wrt]
    for name in wanted:
        if name not in known:
            raise InputError(f"wrt names {name!r}", why=f"the leaves are {', '.join([*known][:20])}")
    if not wanted:
        raise InputError("wrt is empty", fix="leave it out, or name a leaf")
    others = set(known.values()) - {known[name] for name in wanted}

    def leaf(made: Any) -> Any:
        return plain(made) if isinstance(made, Traced) and made.node in others else made

    return tree_map(leaf, (opened.args, opened.kwargs))


def audit(
    f: Function, *args: Any, wrt: str | Sequence[str] | None = None, argnums: ArgNums | None = None, **kwargs: Any
) -> Audit:
    """Run `f(*args, **kwargs)` once, to its end, and list all places of it that cannot be differentiated.

    args: numbers, floating arrays and containers of them, as for `grad`.
    argnums: which arguments to differentiate by: a position, a name, or several of them; if None all positional ones
        but those of integers and truth values alone, such as the classes of a loss.
    wrt: narrows that to some leaves, by their names: "x", "params['w']".
    Where a derivative would be lost (a function without a row, `math.ldexp(x, 3)`, a plain array that is written into,
    compiled code, ...) the place is noted and the run goes on with the plain value, so that one run finds them all.

    Compiled code that raises at a traced value ends a run; f is then run again, with bare numbers at that expression.

    Returns an Audit: print it, or go through its obstacles (file, line, expression, what, why, fix).
    Raises what f raises on plain values, and DifferentiationError if there is nothing to differentiate by.

    >>> import numpy as np, payback as pb
    >>> print(pb.audit(lambda x: (x * x).sum(), np.ones(3)))
    nothing stands in the way of a derivative
    """
    if not callable(f):
        raise no_function(f)
    if argnums is None:
        argnums = tuple(k for k, arg in enumerate(args) if not _is_whole(arg)) or tuple(range(len(args)))
        if not args:
            raise InputError("audit was given no arguments of the function", why="it is run once, on real values",
                             fix="write pb.audit(f, x)")  # fmt: skip
    opened = Opened(f, args, kwargs, argnums)
    args, kwargs = (opened.args, opened.kwargs) if wrt is None else _narrowed(opened, wrt)
    found: dict[Any, Obstacle] = {}
    plainly = Plainly(_bare)
    ended: dict[Any, Exception] = {}
    token = _found.set(found)
    try:
        _enter()
        try:
            while True:
                try:
                    with plainly.running():
                        out = shim.call(f, args, kwargs)
                    break
                except Exception as problem:
                    if isinstance(problem, PaybackError) and not isinstance(problem, _TAKEN):
                        raise
                    stood = raised_at(problem)
                    if stood is None:
                        raise
                    if not plainly.add(*stood):  # not even bare numbers help
                        raise ended.get(position(stood), problem) from None
                    ended[position(stood)] = problem
                    _ended(problem, stood, found)
        finally:
            _leave()
    finally:
        _found.reset(token)
    obstacles = list(found.values())
    code = getattr(f, "__code__", None)
    for leaf in leaves(out):
        try:
            top = scalar_result(leaf, f)
            if top.dtype.kind == "f":
                continue
            what = f"the result is of {top.dtype}"
        except PaybackError as problem:
            what = problem.what
        if code is not None:
            why, fix = "only floating results have a derivative", "return floating numbers"
            place = (code.co_filename, code.co_firstlineno, code.co_name, "")
            obstacles.append(Obstacle(*place, what, why, fix))
    return Audit(tuple(obstacles), _bare(out))
