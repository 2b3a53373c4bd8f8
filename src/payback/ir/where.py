"""Source positions: from (code object, instruction offset) to the exact sub-expression (PEP 657).

A node stores the pair, which costs some 90 ns; the text is looked up only when someone asks.
"""

from __future__ import annotations

import ast
import dis
import functools
import itertools
import os
import sys
from types import CodeType, FrameType
from typing import Any, NamedTuple

from payback.ir.source import lines_of, lines_of_file, parsing

# Modules whose lines are not the user's: this package, and those that call the user's functions or are called by them.
NOT_USERS = (__name__.split(".", maxsplit=1)[0] + ".", "numpy.", "scipy.", "pandas.", "polars.", "sklearn.")
_PYTHON = os.path.dirname(os.__file__) + os.sep
_inner: dict[int, Any] = {}  # the namespaces of such modules, kept, so that no other gets the same id


class Position(NamedTuple):
    """Lines and columns are as in `ast`: lines from 1, columns in UTF-8 bytes from 0."""

    file: str
    function: str
    line: int
    end_line: int
    column: int
    end_column: int
    text: str

    @property
    def at(self) -> str:
        """`file:line in function`; of code whose text is not to be had also the columns, from 1."""
        columns = ""
        if not self.text and self.end_column > self.column:
            lines = f"line {self.end_line}, " if self.end_line > self.line else ""
            columns = f", columns {self.column + 1} to {lines}{self.end_column}"
        return f"{self.file}:{self.line}{columns} in {self.function}"

    def __str__(self) -> str:
        return f"{self.at}: {self.text}" if self.text else self.at


def syntax(source: str | CodeType) -> ast.Module:
    """The syntax tree of a source file, or of what a piece of code was made from; empty where that is not to be had."""
    try:
        lines = lines_of_file(source) if isinstance(source, str) else lines_of(source)
        with parsing:
            return ast.parse("".join(lines))
    except (SyntaxError, ValueError, SystemError):
        return ast.Module([], [])


@functools.lru_cache(maxsize=4096)
def _of_python(file: str) -> bool:
    """Whether a file is one of Python's own library."""
    return file.startswith("<frozen ") or (file.startswith(_PYTHON) and "-packages" not in file[len(_PYTHON) :])


def is_inner(frame: FrameType) -> bool:
    """Whether a frame is not the user's: of this package, of NumPy, SciPy and the like, of Python's own library."""
    return is_inner_code(frame.f_code, frame.f_globals.get("__name__", ""))


def is_inner_code(code: CodeType, module: str) -> bool:
    """Whether code of a module is not the user's."""
    return module.startswith(NOT_USERS) or _of_python(code.co_filename) or _is_generated(code)


def _is_generated(code: CodeType) -> bool:
    """Whether it is a method that `dataclasses` wrote, in the user's own namespace: nobody can look at its lines."""
    return code.co_filename == "<string>" and code.co_qualname.startswith("__create_fn__.")


def caller(depth: int = 2) -> tuple[CodeType, int] | None:
    """The place in the user's code that is running: the nearest frame outside this package and NOT_USERS."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        space = frame.f_globals
        if id(space) not in _inner:
            if not is_inner(frame):
                return frame.f_code, frame.f_lasti
            if not _is_generated(frame.f_code):
                _inner[id(space)] = space
        frame = frame.f_back
    return None


# What lies between a jump and the instruction that made the value which decides it.
_BETWEEN = {dis.opmap[name] for name in ("CACHE", "EXTENDED_ARG", "COPY", "TO_BOOL", "NOT_TAKEN") if name in dis.opmap}
_NEXT, _CACHE = dis.opmap["FOR_ITER"], dis.opmap["CACHE"]
_JUMPS = {number for name, number in dis.opmap.items() if name.startswith("POP_JUMP")}


def _asked(code: CodeType, offset: int) -> int:
    """The instruction whose value a conditional jump looks at; any other instruction itself.

    Of `if a and b` both jumps stand at the whole, of `assert a and b` at `a`.
    """
    if not 0 < offset < len(code.co_code) or code.co_code[offset] not in _JUMPS:
        return offset
    offset -= 2
    while offset > 0 and code.co_code[offset] in _BETWEEN:
        offset -= 2
    return offset


Span = tuple[int | None, int | None, int | None, int | None]  # line, end line, column, end column


@functools.lru_cache(maxsize=1024)
def _targets(code: CodeType) -> dict[int, Span]:
    """Where the loops of a piece of code give the next value: the names that it goes to, `v` of `for v in x`.

    That instruction's own span is the whole loop before Python 3.13, what is looped over since.
    """
    spans, loops = list(code.co_positions()), [i for i, op in enumerate(code.co_code[::2]) if op == _NEXT]
    named: dict[Span, list[Span]] = {}
    for node in ast.walk(syntax(code)) if loops else ():
        if isinstance(node, (ast.For, ast.comprehension)):
            named.setdefault(span_of(node.iter), []).append(span_of(_valued(node)))
        if isinstance(node, ast.For):
            named.setdefault(span_of(node), []).append(span_of(_valued(node)))
        for part in getattr(node, "generators", ()):
            named.setdefault(span_of(node), []).append(span_of(_valued(part)))
    found = {2 * i: named[spans[i]] for i in loops if spans[i] in named}
    # all loops of a comprehension have its span
    return {offset: targets.pop(0) if len(targets) > 1 else targets[0] for offset, targets in found.items()}


def _valued(loop: ast.For | ast.comprehension) -> ast.expr:
    """What a loop gives the value to: of `for k, v in enumerate(x)` that is `v`."""
    target, over = loop.target, loop.iter
    counted = isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "enumerate"
    return target.elts[1] if counted and isinstance(target, ast.Tuple) and len(target.elts) == 2 else target


def _loop_variable(code: CodeType, offset: int) -> Span | None:
    """Where the names are that a loop's instruction gives the next value to; None for any other instruction."""
    while 0 < offset < len(code.co_code) and code.co_code[offset] == _CACHE:  # while Python 3.12 runs a generator
        offset -= 2
    if not 0 < offset < len(code.co_code) or code.co_code[offset] != _NEXT:
        return None
    return _targets(code).get(offset)


def span_of(node: Any) -> Span:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


_positions: dict[tuple[str, CodeType, int], Position] = {}  # equal code may have several files
_KEPT = 1 << 14


def position(where: Any) -> Position | None:
    """The source position of a node's `where`; None if the node was made by no user's line."""
    if where is None:
        return None
    key = where[0].co_filename, where[0], where[1]
    found = _positions.get(key)
    if found is None:
        found = _position(where[0], where[1])
        if found.text and found.file != "<string>":  # else it may be to be had later
            if len(_positions) >= _KEPT:
                _positions.clear()
            _positions[key] = found
    return found


def _position(code: CodeType, offset: int) -> Position:
    offset = _asked(code, offset)
    positions = _loop_variable(code, offset) or next(itertools.islice(code.co_positions(), offset // 2, None), None)
    line, end_line, column, end_column = positions or (None, None, None, None)
    if line is None:
        return Position(code.co_filename, code.co_name, code.co_firstlineno, code.co_firstlineno, 0, 0, "")
    text = _text(code, (line, end_line, column, end_column))
    if end_line is None or column is None or end_column is None:
        return Position(code.co_filename, code.co_name, line, line, 0, 0, text)
    return Position(code.co_filename, code.co_name, line, end_line, column, end_column, text)


def _text(code: CodeType, span: Span) -> str:
    """What is written there, in one line."""
    line, end_line, column, end_column = span
    source = [text.rstrip("\n") for text in lines_of(code)[(line or 1) - 1 : end_line or line]] or [""]
    if end_line is None or column is None or end_column is None:  # python -X no_debug_ranges
        return source[0].strip()
    lines = [text.encode() for text in source]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    return " ".join(part.decode(errors="replace").strip() for part in lines)


_TEXTS = 60  # characters of an operand that can be told in a line


@functools.lru_cache(maxsize=256)
def _expressions(file: str, code: CodeType) -> dict[Span, ast.expr]:
    """Where a program's expressions stand -> the expression."""
    return {span_of(node): node for node in ast.walk(syntax(code)) if isinstance(node, ast.expr)}


def written_operands(where: Any) -> tuple[str, ...]:
    """What a sub-expression is made of in the user's words: `("s", "s.max()")` of `s - s.max()`, and the arguments of a
    call of a function; empty where that is not to be had."""
    place = position(where)
    if place is None or not place.text:
        return ()
    node = _expressions(place.file, where[0]).get((place.line, place.end_line, place.column, place.end_column))
    parts: list[ast.expr] = []
    if isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Call) and not node.keywords:
        parts = node.args
    texts = tuple(_text(where[0], span_of(part)) for part in parts)
    return texts if all(0 < len(text) <= _TEXTS for text in texts) else ()
