"""A guard for graphs traced without numbers: how many nodes one place of the user's code has made.

A Python loop is repeated in such a graph for each of its rounds.  `pb.scan` is one node, whatever its length.
"""

from __future__ import annotations

import ast
import sys
from contextvars import ContextVar
from types import CodeType
from typing import Any

from payback.errors import TraceError
from payback.ir.source import line_of
from payback.ir.where import NOT_USERS, position, syntax

LIMIT = 50_000
_TRACED = ("call", "payback.trace.shim.shim")  # the function, and its module, that calls the user's
# (code, instruction) -> how many nodes it has made in the trace that is running; None outside one
counts: ContextVar[dict[tuple[int, int], int] | None] = ContextVar("counts", default=None)


def count(where: Any) -> None:
    """One more node of this place.  Raises TraceError, naming the loop, beyond LIMIT."""
    made = counts.get()
    if made is None or where is None or len(where) != 2:  # a sweep's own nodes follow from those of the function
        return
    key = (id(where[0]), where[1])
    made[key] = number = made.get(key, 0) + 1
    if number > LIMIT:
        line, text = _loop() or (None, None)
        place = position(where)
        told = f"the loop {text!r} ({line}) makes" if line else "one line makes"
        raise TraceError(f"{told} more than {LIMIT:,} nodes of {place.text if place else 'the graph'!r}",
                         where=place,
                         why="a Python loop is repeated in the graph for each of its rounds",
                         fix="write it with pb.scan, which is one node of any length")  # fmt: skip


def _loop() -> tuple[str, str] | None:
    """(file:line, text) of the innermost loop of the user's that is running in the traced function."""
    frame: Any = sys._getframe(2)
    while frame is not None and (frame.f_code.co_name, frame.f_globals.get("__name__")) != _TRACED:
        if not frame.f_globals.get("__name__", "").startswith(NOT_USERS):
            code, running = frame.f_code, frame.f_lineno
            for loop in _loops(code):
                if loop.lineno <= running <= (loop.end_lineno or 0) and loop.lineno >= code.co_firstlineno:
                    return f"{code.co_filename}:{loop.lineno}", line_of(code, loop.lineno)
        frame = frame.f_back
    return None


def _loops(code: CodeType) -> list[ast.For | ast.While]:
    """The loops of the file of some code, the innermost first."""
    found = [node for node in ast.walk(syntax(code)) if isinstance(node, (ast.For, ast.While))]
    return sorted(found, key=lambda loop: -loop.lineno)
