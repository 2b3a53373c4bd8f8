"""Texts of traced values that a program reads numbers from again: `float(f"{x:.3f}")`, `json.loads(str(x))`, ...

A text has no history, so the number read from it has no gradient, and nothing would tell.  Shown or written away it
loses nothing.  Which of the two a text is made for is read off the program: the statement that makes it, what the
function does with the names that hold it and what those do that it gives it to (`flow.py`); and, where it is
returned or put into an argument, an object or a name of the module, the same of the caller.
"""

from __future__ import annotations

import ast
import functools
import inspect
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any, SupportsIndex

from payback.errors import TraceError
from payback.ir.where import Position, is_inner, position
from payback.trace.refusals.cures import BARE, BARE_NUMBER
from payback.trace.text.calls import (
    NONE,
    SCOPES,
    UNKNOWN,
    definition,
    first_of,
    parameters,
    parents,
    placed,
)
from payback.trace.text.flow import Fate, Flow, looked_at

_kept_fates: dict[Any, tuple[list[tuple[str, Any]], Fate]] = {}


def shown(text: str) -> str:
    """A text of a traced value; TraceError where the program reads a number from it."""
    frame: FrameType | None = _users(inspect.currentframe())
    first, value, after = frame, True, NONE
    while frame is not None:
        fate = _fate(frame, value, after)
        if fate.read:
            assert first is not None
            raise lost(position((first.f_code, first.f_lasti)))
        above = _caller(frame) if fate.returned or fate.given else None
        if above is not None:
            value, after = fate.returned, _in_the_caller(frame, above, fate.given)
            above = above if value or after else None
        frame = above
    return Text(text)


def _caller(frame: FrameType) -> FrameType | None:
    """The user's frame that has called a function; None beyond the one that is traced, where all texts are read."""
    above, left = frame.f_back, False
    while above is not None and is_inner(above):
        left |= _begins(above)
        above = above.f_back
    around = above
    while left and around is not None:  # another function may be traced, which has called the transform of this one
        left = not _begins(around)
        around = around.f_back
    return None if left else above


def _begins(frame: FrameType) -> bool:
    return frame.f_code.co_name == "call" and frame.f_globals.get("__name__") == "payback.trace.shim.shim"


def _users(frame: FrameType | None) -> FrameType | None:
    while frame is not None and is_inner(frame):
        frame = frame.f_back
    return frame


@functools.lru_cache(maxsize=4096)
def _expression(code: CodeType, offset: int) -> Any:
    """The smallest expression that is being computed there, or None."""
    place = position((code, offset))
    if place is None or place.end_line is None:
        return None
    found = [node for node in parents(code) if isinstance(node, ast.expr) and _holds(node, place)]
    made = min(found, key=lambda node: (_end(node)[0] - node.lineno, _end(node)[1] - node.col_offset), default=None)
    part, above = made, parents(code)
    while isinstance(part, ast.expr):
        up: Any = above.get(part)
        if isinstance(up, (ast.For, ast.comprehension)) and part is up.target:  # it asks for the next value
            return up.iter
        part = up
    return made


def _fate(frame: FrameType, value: bool, after: frozenset[str]) -> Fate:
    """What becomes of the text that is made there, in this function and in those that it gives it to."""
    key = (frame.f_code, frame.f_lasti, value, after)
    if key in _kept_fates:
        asked, fate = _kept_fates[key]
        space = _space(frame) if asked else None
        if space is None or all(_kind_of(space(name)) is kind for name, kind in asked):
            return fate
    made = _expression(frame.f_code, frame.f_lasti)
    if made is None:
        return Fate(False, False, NONE)
    scope: Any = made
    above = parents(frame.f_code)
    while scope is not None and not isinstance(scope, SCOPES):
        scope = above.get(scope)
    if scope is None:
        return Fate(False, False, NONE)
    looked_at.clear()
    flow = Flow(scope, _space(frame), made=made, value=value, after=after)
    fate = flow.run()
    if len(_kept_fates) > 4096:
        _kept_fates.clear()
    _kept_fates[key] = ([(name, _kind_of(flow.space(name))) for name in sorted(flow.asked)], fate)
    return fate


def _kind_of(x: Any) -> Any:
    """What decides which function a name, or a method of what it stands for, is."""
    if isinstance(x, MethodType):
        x = x.__func__
    return x.__code__ if isinstance(x, FunctionType) else x if isinstance(x, type | ModuleType) else type(x)


def _space(frame: FrameType) -> Any:
    """What names of a running function stand for."""
    spaces = (frame.f_locals, frame.f_globals, frame.f_builtins)
    return lambda name: next((space[name] for space in spaces if name in space), UNKNOWN)


def _in_the_caller(frame: FrameType, above: FrameType, given: frozenset[str]) -> frozenset[str]:
    """What the caller calls those arguments that hold the text afterwards."""
    if not given:
        return NONE
    call = _expression(above.f_code, above.f_lasti)
    scope = definition(frame.f_code)
    if not isinstance(call, ast.Call) or scope is None:
        return frozenset(name for name in given if first_of(name) not in above.f_code.co_varnames)
    own = parameters(scope)
    bound = isinstance(call.func, ast.Attribute) and bool(own) and len(own) > len(call.args) + len(call.keywords)
    places = {name: ast.unparse(part) for name, part in placed(scope, call, bound or None).items()}
    if bound:
        places[own[0]] = ast.unparse(call.func.value)
    names = set()
    for name in given:
        first = first_of(name)
        if first in places:
            names.add(places[first] + name[len(first) :])
        elif first not in above.f_code.co_varnames or first in above.f_code.co_cellvars:  # a name of both
            names.add(name)
    return frozenset(names)


def _end(node: Any) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or 0


def _holds(node: ast.expr, place: Position) -> bool:
    return (node.lineno, node.col_offset) <= (place.line, place.column) and _end(node) >= (
        place.end_line,
        place.end_column,
    )


def lost(place: Position | None) -> TraceError:
    return TraceError("a number read from a text would lose the derivative", where=place,
                      why="a text of a traced value has no history, so what is computed from the number would have no "
                      "gradient",
                      fix="compute with the value itself, and round it with np.round(x, digits); "
                      f"{BARE_NUMBER}, for those of an array {BARE}")  # fmt: skip


class Text(str):
    """A text of a traced value, which says so where a float is made of it while functions are traced."""

    __slots__ = ()

    def __float__(self) -> float:
        from payback.trace.shim.wrappers import TRACING

        if not TRACING.get():
            return float(str.__str__(self))
        frame: FrameType | None = inspect.currentframe()
        while frame is not None and is_inner(frame):
            frame = frame.f_back
        raise lost(position((frame.f_code, frame.f_lasti)) if frame is not None else None)

    def __str__(self) -> str:
        return self

    def __format__(self, spec: str) -> str:
        return Text(format(str.__str__(self), spec)) if spec else self

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        return Text(super().__getitem__(key))

    def __add__(self, other: str) -> str:
        return Text(super().__add__(other))

    def __radd__(self, other: str) -> str:
        return Text(other + str.__str__(self)) if isinstance(other, str) else NotImplemented

    def __reduce__(self) -> Any:
        return str, (str.__str__(self),)


def _kept(name: str) -> Any:
    method = getattr(str, name)
    return lambda self, *args, **kwargs: Text(method(self, *args, **kwargs))


def _each(name: str) -> Any:
    method = getattr(str, name)
    return lambda self, *args, **kwargs: type(parts := method(self, *args, **kwargs))(map(Text, parts))


_KEPT = "strip lstrip rstrip replace removeprefix removesuffix lower upper ljust rjust center zfill"
for _name in _KEPT.split():
    setattr(Text, _name, _kept(_name))
for _name in ["split", "rsplit", "partition", "rpartition", "splitlines"]:
    setattr(Text, _name, _each(_name))
