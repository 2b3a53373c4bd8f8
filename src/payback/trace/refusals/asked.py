"""The error where a program asks for a number while it is traced with shapes only, and what to write instead of that.

The cure depends on the question: `if`, `while`, `max(a, b)`, `sorted`, `assert`, a text with the number in it.
"""

from __future__ import annotations

import ast
import dis
import functools
import re
from sys import _getframe
from types import CodeType, FrameType
from typing import Any

from payback.elsewhere import missing_method
from payback.errors import TraceError, witness
from payback.ir.source import line_of
from payback.ir.where import is_inner, parsing, position
from payback.trace.assignment.outside import looked_at, refused

_PLAIN = "or give what decides it as a plain argument"
_CURES = {
    "if": f"use np.where or pb.cond instead of if, {_PLAIN}",
    "while": "use pb.while_loop or pb.fixed_point instead of while, or a fixed number of rounds",
    "assert": "look at it before or after, outside of the compiled function",
    "max": "use np.maximum(a, b), or np.max of an array",
    "min": "use np.minimum(a, b), or np.min of an array",
    "sorted": "use np.sort, or np.argsort and an index",
    "text": "return it and show it outside, or leave the text out of the compiled function",
    "index": "give the index as a Python int or an array of them, not as a float",
    "isnan": "use np.isnan, np.isinf, np.isfinite or np.isclose, and np.where instead of if",
    "number": f"keep it an array: np.floor, np.ceil, np.trunc and np.rint do not ask for the number, {_PLAIN}",
}
_KNOWN = {"max": "max", "min": "min", "sorted": "sorted", "sort": "sorted", "nlargest": "sorted", "nsmallest": "sorted",
          "format": "text", "print": "text", "str": "text", "repr": "text", "isnan": "isnan", "isinf": "isnan",
          "isfinite": "isnan", "isclose": "isnan", "int": "number", "round": "number", "floor": "number",
          "ceil": "number", "trunc": "number", "range": "number"}  # fmt: skip

# of a part of an f-string
_FORMATS = {code for name, code in dis.opmap.items() if name.startswith(("FORMAT_", "CONVERT_VALUE"))}


def not_known(name: str | None) -> TraceError:
    """The error for the value of a node that has none, asked for by the user's line that is running.

    name: the user's own, of a variable; an expression is told by its place.
    """
    frame: FrameType | None = _getframe(2)
    while frame is not None and is_inner(frame):
        frame = frame.f_back
    place = position((frame.f_code, frame.f_lasti)) if frame is not None else None
    if frame is not None and frame.f_code.co_code[frame.f_lasti] in _FORMATS:
        asked = "text"
    else:
        asked = _question(place.text, line_of(frame.f_code, place.line)) if place is not None and frame else "if"
    told = TraceError(
        f"{f'the value of {name}' if name else 'a value that is looked at'} is not known while a function is compiled",
        where=place,
        why="compiled code is traced with shapes only, as are vmap and the bodies of scan, cond and while_loop, so no "
        "number can be looked at and no branch taken",
        fix=_CURES[asked],
    )
    refused.set(told)  # "%d" % x puts an error of its own in the place of this one
    return told


def _question(text: str, line: str) -> str:
    """Which of the cures fits the expression that is running, and its line."""
    try:
        with parsing:
            node: ast.AST = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, SystemError):
        node = ast.Constant(None)
    left = node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) else None
    if isinstance(left, ast.Constant) and isinstance(left.value, str):
        return "text"
    if isinstance(node, ast.Subscript):
        return "index"
    if isinstance(node, ast.Call):
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if called in _KNOWN:
            return _KNOWN[called]
    word = line.split(maxsplit=1)[0] if line.strip() else ""
    return word if word in ("while", "assert") else "if"


def asked_whether(frame: FrameType) -> bool:
    """Whether a traced function's frame asks with hasattr or getattr, which its text tells."""
    if witness.get() is None or not by_name(frame) or frame.f_globals.get("__name__", "").startswith("payback."):
        return False
    return _asks(frame.f_code, frame.f_lasti)


@functools.lru_cache(maxsize=4096)
def _asks(code: CodeType, offset: int) -> bool:
    place = position((code, offset))
    return place is not None and bool(re.match(r"(hasattr|getattr)\s*\(", place.text))


_CALLS = {code for name, code in dis.opmap.items() if "CALL" in name}


def by_name(frame: FrameType) -> bool:
    """Whether a frame asks for an attribute by its name, with hasattr or getattr, and not with a dot."""
    return frame.f_code.co_code[frame.f_lasti] in _CALLS


class Elsewhere:
    """What arrays of other libraries have under this name: an error that says what to write."""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, x: Any, owner: Any = None) -> Any:
        if x is None or by_name(_getframe(1)):  # hasattr, getattr: a program that knows other arrays
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")
        raise missing_method("a traced value", x, self.name)


def unknown_text(kind: Any, frame: FrameType) -> str:
    """What is shown of a value without a number.  Raises TraceError where the program may look at it."""
    if witness.get() is not None and looked_at(frame):
        raise not_known(None)
    return f"Traced({kind})"
