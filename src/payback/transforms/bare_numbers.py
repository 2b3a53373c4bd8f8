"""Running a program with bare numbers at some of its expressions, where compiled code takes no other.

Python cannot go on after an expression that has raised.  An audit runs the function again, and this expression is then
given bare operands: its source is compiled anew with a call around each of them, and the functions that hold it are
given that code for as long as the run lasts.
"""

from __future__ import annotations

import ast
import dis
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from payback.ir.forks import free_in_children
from payback.ir.where import Position, is_inner, position, span_of, syntax

_NAME = "__payback_bare__"
_RAISES = {dis.opmap[name] for name in ("RAISE_VARARGS", "RERAISE") if name in dis.opmap}
_lock = free_in_children(threading.RLock())


def raised_at(problem: BaseException | None) -> tuple[CodeType, int] | None:
    """The innermost of the user's expressions that an exception, or the one it stands for, has passed.

    None if a statement of the user's raised it.
    """
    found = None
    while problem is not None and found is None:
        link = problem.__traceback__
        while link is not None:
            if not is_inner(link.tb_frame):
                found = link.tb_frame.f_code, link.tb_lasti
            link = link.tb_next
        problem = problem.__context__
    if found is None or found[0].co_code[found[1]] in _RAISES:
        return None
    return found


class Plainly:
    """The expressions that are given bare operands, of any number of files."""

    def __init__(self, bare: Callable[[Any], Any]):
        self.bare = bare
        self.places: dict[tuple[Any, ...], tuple[CodeType, Position]] = {}

    def add(self, code: CodeType, offset: int) -> bool:
        """Whether another expression is dealt with: not where it is known already, or where its source is not had."""
        place = position((code, offset))
        if place is None or not place.text or place[:-1] in self.places:
            return False
        self.places[place[:-1]] = code, place
        if self._compiled(place.file) is not None:
            return True
        del self.places[place[:-1]]
        return False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meanwhile the functions that hold these expressions run with bare operands there."""
        with _lock:
            changed: list[tuple[FunctionType, CodeType]] = []
            spaces: dict[int, dict[str, Any]] = {}
            try:
                files = {place.file for _, place in self.places.values()}
                compiled = {file: self._compiled(file) or {} for file in files}
                for function in _functions() if compiled else ():
                    code = function.__code__
                    codes = compiled.get(code.co_filename)
                    new = codes.get(_key(code)) if codes else None
                    if new is not None:
                        changed.append((function, code))
                        spaces[id(function.__globals__)] = function.__globals__
                        function.__globals__[_NAME] = self.bare
                        function.__code__ = new
                yield
            finally:
                for function, code in changed:
                    function.__code__ = code
                for space in spaces.values():
                    space.pop(_NAME, None)

    def _compiled(self, file: str) -> dict[Any, CodeType] | None:
        """The code of a file's functions that hold one of the expressions; None if an expression is not found."""
        places = [(code, place) for code, place in self.places.values() if place.file == file]
        tree: ast.Module = syntax(places[0][0])
        for _, place in places:
            if not _give_bare(tree, place):
                return None
        try:
            made = compile(ast.fix_missing_locations(tree), file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return None
        return {_key(code): code for code in _holding(made)}


def _functions() -> list[FunctionType]:
    """All that there are, those that `gc.freeze` has put aside too: the garbage collector tells nothing of them."""
    frozen = gc.get_freeze_count()
    if frozen:
        gc.unfreeze()
    try:
        return [x for x in gc.get_objects() if type(x) is FunctionType]
    finally:
        if frozen:
            gc.freeze()


def _key(code: CodeType) -> tuple[Any, ...]:
    return code.co_qualname, code.co_firstlineno, code.co_freevars, code.co_varnames


def _holding(code: CodeType) -> list[CodeType]:
    """The functions inside a piece of code that name the wrapper, or hold one that does."""
    found = []
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            below = _holding(inner)
            if below or _NAME in inner.co_names:
                found += [inner, *below]
    return found


def _give_bare(tree: ast.Module, place: Position) -> bool:
    wanted = place.line, place.end_line, place.column, place.end_column
    for parent in ast.walk(tree):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.expr) and span_of(node) == wanted:
                return _wrap(node, parent)
    return False


def _wrap(node: Any, parent: Any) -> bool:
    """A call around each operand of an expression."""
    match node:
        case ast.Call(func=function):
            if isinstance(function, ast.Attribute):
                function.value = _around(function.value)
            node.args = [_around(part) for part in node.args]
            for word in node.keywords:
                word.value = _around(word.value)
        case ast.BinOp():
            node.left, node.right = _around(node.left), _around(node.right)
        case ast.UnaryOp():
            node.operand = _around(node.operand)
        case ast.Compare():
            node.left, node.comparators = _around(node.left), [_around(part) for part in node.comparators]
        case ast.Subscript():
            if not isinstance(node.slice, ast.Slice):
                node.slice = _around(node.slice)
            if isinstance(node.ctx, ast.Load):
                node.value = _around(node.value)
            elif isinstance(parent, ast.Assign | ast.AugAssign):
                parent.value = _around(parent.value)
        case ast.Attribute() if isinstance(node.ctx, ast.Load):
            node.value = _around(node.value)
        case ast.FormattedValue():
            node.value = _around(node.value)
        case ast.JoinedStr():
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    part.value = _around(part.value)
        case _:
            return _replace(node, parent)
    return True


def _replace(node: ast.expr, parent: ast.AST) -> bool:
    """The expression itself, where something above it, a loop or an unpacking, takes it apart."""
    for field, value in ast.iter_fields(parent):
        if value is node and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            setattr(parent, field, _around(node))
            return True
    return False


def _around(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Starred):
        node.value = _around(node.value)
        return node
    name = ast.copy_location(ast.Name(_NAME, ast.Load()), node)
    return ast.copy_location(ast.Call(name, [node], []), node)
