"""Texts of traced values that a program reads numbers from again: `float(f"{x:.3f}")`, `json.loads(str(x))`, ...

A text has no history, so the number read from it has no gradient, and nothing would tell.  Shown or written away it
loses nothing.  Which of the two a text is made for is read off the program: the statement that makes it, what the
function does with the names that it is given, and, where it is returned, the same of the caller.
"""

from __future__ import annotations

import ast
import functools
import inspect
from types import CodeType, FrameType
from typing import Any, SupportsIndex

from payback.errors import TraceError
from payback.ir.where import Position, is_inner, position, syntax
from payback.trace.cures import BARE_NUMBER

_READERS = {
    "float", "complex", "eval", "literal_eval", "Decimal", "Fraction", "float64", "float32", "float16", "longdouble",
    "fromstring", "fromhex", "loadtxt", "genfromtxt", "loads", "atof",
}  # fmt: skip
_MAKERS = {"array", "asarray", "fromiter", "astype"}  # of arrays of a dtype that is given
_PASSING = {
    "str", "list", "tuple", "map", "sorted", "reversed", "zip", "iter", "next", "filter", "enumerate", "bytes", "sub",
    "array", "asarray", "search", "match", "fullmatch", "findall", "finditer", "join",
    "StringIO", "BytesIO", "b64encode", "b64decode",
}  # fmt: skip
_KEEPING = {"append", "appendleft", "extend", "insert", "add", "write", "writelines", "writerow", "update", "put"}
_WRITERS = {"writer", "DictWriter", "TextIOWrapper"}
_RETURNED, _READ, _SHOWN = "returned", "read", "shown"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module)


def shown(text: str) -> str:
    """A text of a traced value; TraceError where the program reads a number from it."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and is_inner(frame):
        frame = frame.f_back
    first = frame
    while frame is not None:
        fate = _fate(frame.f_code, frame.f_lasti)
        if fate is _READ:
            assert first is not None
            raise lost(position((first.f_code, first.f_lasti)))
        frame = frame.f_back if fate is _RETURNED else None
        while frame is not None and is_inner(frame):
            frame = frame.f_back
    return Text(text)


def lost(place: Position | None) -> TraceError:
    return TraceError("a number read from a text would lose the derivative", where=str(place) if place else None,
                      why="a text of a traced value has no history, so what is computed from the number would have no "
                      "gradient",
                      fix="compute with the value itself, and round it with np.round(x, digits); "
                      f"{BARE_NUMBER}")  # fmt: skip


class Text(str):
    """A text of a traced value, which says so where a float is made of it while functions are traced."""

    __slots__ = ()

    def __float__(self) -> float:
        from payback.trace.wrappers import TRACING

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

    def __getitem__(self, key: SupportsIndex | slice) -> str:  # type: ignore[override]
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


@functools.lru_cache(maxsize=4096)
def _fate(code: CodeType, offset: int) -> str:
    """What becomes of the text that is made there: read again, returned to the caller, or none of it."""
    place = position((code, offset))
    if place is None or place.end_line is None:
        return _SHOWN
    above = _parents(code)
    found = [node for node in above if isinstance(node, ast.expr) and _holds(node, place)]
    if not found:
        return _SHOWN
    made = min(found, key=lambda node: (_end(node)[0] - node.lineno, _end(node)[1] - node.col_offset))
    scope: Any = made
    while scope is not None and not isinstance(scope, _SCOPES):
        scope = above.get(scope)
    inside = list(ast.walk(scope)) if scope is not None else []
    names: set[str] = set()
    for _ in range(8):  # names of names
        before = len(names)
        for node in inside:
            names |= _named(node, made, names)
        if len(names) == before:
            break
    if any(_reads(node, made, names) for node in inside):
        return _READ
    gives = [node.value for node in inside if isinstance(node, ast.Return | ast.Yield) and node.value is not None]
    if isinstance(scope, ast.Lambda):
        gives.append(scope.body)
    return _RETURNED if any(_textual(value, made, names) for value in gives) else _SHOWN


@functools.lru_cache(maxsize=256)
def _parents(code: CodeType) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(syntax(code)) for child in ast.iter_child_nodes(node)}


def _end(node: Any) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or 0


def _holds(node: ast.expr, place: Position) -> bool:
    return (node.lineno, node.col_offset) <= (place.line, place.column) and _end(node) >= (
        place.end_line,
        place.end_column,
    )


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _given(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(word.value for word in node.keywords)]


def _textual(node: Any, made: ast.AST, names: set[str]) -> bool:
    """Whether an expression holds the text that is made there, or a part of it."""
    if node is made:
        return True
    match node:
        case ast.Name() | ast.Attribute():
            return ast.unparse(node) in names
        case ast.Subscript(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value):
            return _textual(value, made, names)
        case ast.FormattedValue(value=value):
            return _textual(value, made, names)
        case ast.Call(func=function):
            if isinstance(function, ast.Attribute) and _textual(function.value, made, names):
                return True
            return _called(node) in _PASSING and any(_textual(part, made, names) for part in _given(node))
        case ast.BinOp(left=left, right=right):
            return _textual(left, made, names) or _textual(right, made, names)
        case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return any(_textual(part, made, names) for part in parts)
        case ast.Dict(values=parts):
            return any(_textual(part, made, names) for part in parts)
        case ast.IfExp(body=body, orelse=other):
            return _textual(body, made, names) or _textual(other, made, names)
        case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
            return _textual(node.elt, made, names)
    return False


def _named(node: Any, made: ast.AST, names: set[str]) -> set[str]:
    """The names that a statement gives the text to."""
    match node:
        case ast.Assign(targets=targets, value=value) if _textual(value, made, names):
            return {name for target in targets for name in _targets(target)}
        case ast.AnnAssign(target=target, value=value) | ast.AugAssign(target=target, value=value) if value is not None:
            return _targets(target) if _textual(value, made, names) else set()
        case ast.NamedExpr(target=target, value=value) if _textual(value, made, names):
            return _targets(target)
        case ast.For(target=target, iter=over) | ast.comprehension(target=target, iter=over):
            return _targets(target) if _textual(over, made, names) else set()
        case ast.Call(func=ast.Attribute(value=owner, attr=method)) if method in _KEEPING:
            if node is not made and not any(_textual(part, made, names) for part in _given(node)):
                return set()
            return {ast.unparse(part) for part in (owner, *(_given(owner) if isinstance(owner, ast.Call) else ()))}
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if name in names:
            return {ast.unparse(part) for part in _given(call)} if _called(call) in _WRITERS else set()
        case ast.Call(func=ast.Name(id="print"), keywords=words) if node is made or any(
            _textual(part, made, names) for part in _given(node)
        ):
            return {ast.unparse(word.value) for word in words if word.arg == "file"}
    return set()


def _targets(target: ast.expr) -> set[str]:
    match target:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return {name for part in parts for name in _targets(part)}
        case ast.Subscript(value=value) | ast.Starred(value=value):
            return _targets(value)
    return {ast.unparse(target)}


def _reads(node: Any, made: ast.AST, names: set[str]) -> bool:
    """Whether a call makes numbers of the text."""
    if not isinstance(node, ast.Call) or node is made:
        return False
    name, given = _called(node), _given(node)
    if name == "map" and len(given) > 1 and isinstance(given[0], ast.Name | ast.Attribute):
        name, given = ast.unparse(given[0]).rpartition(".")[2], given[1:]
    elif name in _MAKERS:
        if isinstance(node.func, ast.Attribute) and name == "astype":
            return _textual(node.func.value, made, names)
        given = given if len(given) > 1 else []
    elif name not in _READERS:
        return False
    return (name in _READERS or name in _MAKERS) and any(_textual(part, made, names) for part in given)
