"""The error for a traced value that is stored in a plain array: where it is stored, and where the array was made.

NumPy asks the value for a bare number while it executes `array[key] = value` of the user's frame; the frame tells which
name was assigned to, and the source of its function or module where that name was given its array.  Nothing is executed
for this.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from contextvars import ContextVar
from types import FrameType
from typing import Any

import numpy as np

from payback.errors import MutationError, PaybackError, TraceError
from payback.ir.where import NOT_USERS, position

# The last of these errors in this context: compiled code may replace it by one of its own.
refused: ContextVar[PaybackError | None] = ContextVar("refused", default=None)

_STORES = {dis.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in dis.opmap}  # slices: Python 3.12


# what · why · what to do, where a library asks a traced value for its bare number
_FRAME = "compute with the plain arrays of its columns: .to_numpy()"
_NO_HISTORY = "what it computes from them has no history"
BY_LIBRARY = {
    "scipy": (
        "SciPy's compiled code takes bare numbers",
        _NO_HISTORY,
        "write this step with NumPy functions, or give its derivative by the implicit function theorem",
    ),
    "pandas": ("pandas takes bare numbers", _NO_HISTORY, _FRAME),
    "polars": ("polars takes bare numbers", _NO_HISTORY, _FRAME),
    "sklearn": ("scikit-learn takes bare numbers", _NO_HISTORY, "write this step with NumPy functions"),
}


def users_frame(depth: int) -> FrameType | None:
    """The nearest frame that is the user's."""
    frame: FrameType | None = inspect.currentframe()
    for _ in range(depth):
        frame = frame.f_back if frame else None
    while frame is not None and frame.f_globals.get("__name__", "").startswith(NOT_USERS):
        frame = frame.f_back
    return frame


def storing() -> MutationError | None:
    """The error if the user's frame is at `array[key] = value`; None if something else asks for a bare number."""
    frame = users_frame(2)
    if frame is None or frame.f_lasti < 0 or frame.f_code.co_code[frame.f_lasti] not in _STORES:
        return None
    target = _subscripted(frame)
    array, name = _look_up(frame, target) if target is not None else (None, None)
    if array is not None and not isinstance(array, np.ndarray):
        return None
    problem = into_plain_array(array, "a traced value cannot be stored in a plain array", frame, name)
    refused.set(problem)
    return problem


def bare(what: str, why: str, fix: str) -> PaybackError:
    """The error for a traced value that is asked for its bare numbers: by an assignment, a library, anything else."""
    problem = storing()
    if problem is not None:
        return problem
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and (module := frame.f_globals.get("__name__", "")).startswith(NOT_USERS):
        what, why, fix = BY_LIBRARY.get(module.partition(".")[0], (what, why, fix))
        frame = frame.f_back
    place = position((frame.f_code, frame.f_lasti)) if frame is not None else None
    found = TraceError(what, where=str(place) if place else None, why=why, fix=fix)
    refused.set(found)
    return found


def into_plain_array(array: Any, what: str, frame: FrameType | None = None, name: str | None = None) -> MutationError:
    """The error that names the line that stores, and the line where the array was made if its source can be found."""
    frame = frame or users_frame(2)
    if frame is None:
        return MutationError(what, why="a plain array has no history")
    place = position((frame.f_code, frame.f_lasti))
    name = name or _name_of(frame, array)
    made = _made(frame, name) if name else None
    label = f"the array {name}" if name else "the array"
    if made is None:
        why = f"{label} was made where payback could not see it, and a plain array has no history"
    else:
        line, text, before = made
        when = "before the differentiated function ran" if before else "from plain arrays only"
        why = f"{label} was made {when} ({line}: {text}), and a plain array has no history"
    fix = f"write into a new one, made inside the function: np.zeros(...), np.array({name or 'a'})"
    return MutationError(what, where=str(place), why=why, fix=fix)


def _subscripted(frame: FrameType) -> ast.expr | None:
    """What stands before the brackets of the assignment that is running."""
    place = position((frame.f_code, frame.f_lasti))
    if place is None or not place.text:
        return None
    try:
        tree = ast.parse(place.text.strip())
    except SyntaxError:
        return None
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    return found[0].value if found else None


def _look_up(frame: FrameType, target: ast.expr) -> tuple[Any, str | None]:
    """The object of a name or of attributes of it, without calling anything; and its text."""
    match target:
        case ast.Name(id=name):
            return frame.f_locals.get(name, frame.f_globals.get(name)), name
        case ast.Attribute(value=value, attr=attribute):
            owner, text = _look_up(frame, value)
            if text is None:
                return None, None
            if attribute in ("flat", "T") and isinstance(owner, np.ndarray):
                return owner, text
            return getattr(owner, "__dict__", {}).get(attribute), f"{text}.{attribute}"
        case ast.Subscript(value=value):
            return _look_up(frame, value)
    return None, None


def _name_of(frame: FrameType, array: Any) -> str | None:
    parts = [part for part in (array, getattr(array, "base", None)) if part is not None]  # it may be a view, BUF[1:]
    for names in (frame.f_locals, frame.f_globals):
        for name, known in names.items():
            if any(known is part for part in parts):
                return name
    return None


def _made(frame: FrameType, name: str) -> tuple[str, str, bool] | None:
    """(file:line, its text, whether that was before the function ran) of where a name was given its array."""
    code, file = frame.f_code, frame.f_code.co_filename
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None

    def told(line: int, before: bool) -> tuple[str, str, bool]:
        return f"{file}:{line}", linecache.getline(file, line).strip(), before

    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    own = next((f for f in functions if code.co_firstlineno in (f.lineno, *(d.lineno for d in f.decorator_list))), None)
    if own is not None and name in code.co_varnames:
        lines = _assignments(own, name)
        before = [line for line in lines if line <= frame.f_lineno]
        if before:
            return told(before[-1], False)
        arguments = own.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = [*zip(reversed(positional), reversed(arguments.defaults), strict=False),
                 *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]  # fmt: skip
        for argument, default in pairs:
            if argument.arg == name and default is not None:
                return told(default.lineno, True)
        return None
    if "." in name:
        lines = _assignments(tree, name.rpartition(".")[2], ast.Attribute)
        return told(lines[-1], True) if lines else None
    for scope in [*functions, tree] if name in code.co_freevars else [tree]:
        lines = _assignments(scope, name)
        if lines:
            return told(lines[-1], True)
    return None


def _assignments(scope: ast.AST, name: str, kind: type = ast.Name) -> list[int]:
    """The lines on which a name (or an attribute of that name) is assigned in a scope."""
    lines = []
    for node in ast.walk(scope):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, kind) and (target.attr if isinstance(target, ast.Attribute) else target.id) == name:  # type: ignore[attr-defined]
                lines.append(node.lineno)
    return sorted(lines)
