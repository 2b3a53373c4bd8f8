"""The error for a traced value that is stored in a plain array: where it is stored, and where the array was made.

NumPy asks the value for a bare number while it executes `array[key] = value` of the user's frame; the frame tells which
name was assigned to, and the source of its function or module where that name was given its array.  Nothing is executed
for this.
"""

from __future__ import annotations

import ast
import dis
import inspect
from contextvars import ContextVar
from types import FrameType
from typing import Any

import numpy as np

from payback.errors import MutationError, PaybackError, TraceError
from payback.ir.source import line_of
from payback.ir.where import is_inner, parsing, position, syntax
from payback.trace.refusals.cures import of_library

# The last of these errors in this context: compiled code may replace it by one of its own.
refused: ContextVar[PaybackError | None] = ContextVar("refused", default=None)

_STORES = {dis.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in dis.opmap}  # slices: Python 3.12
_BINARY = dis.opmap["BINARY_OP"]
_POP_TOP, _SWAP, _CACHE = dis.opmap["POP_TOP"], dis.opmap["SWAP"], dis.opmap.get("CACHE")
_OF_TEXTS = {"__repr__", "__str__", "__format__"}
_REMAINDERS = {step.arg for step in dis.get_instructions("x % y; x %= y") if step.opcode == _BINARY}

_DRAWN = (
    "a random generator takes bare numbers",
    "what it draws has no derivative by its parameters",
    "draw with plain ones and move what was drawn: loc + scale * rng.standard_normal(size)",
)

_IN_A_THREAD = (
    "it runs in a thread of its own, where payback answers neither np.zeros nor the functions of math",
    "call it in the function's own thread, or give the thread its context: "
    "pool.submit(contextvars.copy_context().run, work, i)",
)


def elsewhere() -> bool:
    """Whether a function is traced now, but not in this thread; `shim.py` knows."""
    return False


def users_frame(depth: int) -> FrameType | None:
    """The nearest frame that is the user's."""
    frame: FrameType | None = inspect.currentframe()
    for _ in range(depth):
        frame = frame.f_back if frame else None
    while frame is not None and is_inner(frame):
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


def _past_guards(frame: FrameType) -> FrameType:
    """An audit's guards stand between a value's methods and those that call them."""
    while frame.f_globals.get("__name__") == "payback.transforms.audit" and frame.f_back is not None:
        frame = frame.f_back
    return frame


def by_percent(frame: FrameType) -> bool:
    """Whether a frame is at a `text % x`: what makes the text asks for a float, and no derivative is lost.

    No number's own % asks its right operand for a float; it leaves what it does not know to the operand.
    """
    frame = _past_guards(frame)
    at, code = frame.f_lasti, frame.f_code.co_code
    return at >= 0 and code[at] == _BINARY and code[at + 1] in _REMAINDERS


def looked_at(frame: FrameType) -> bool:
    """Whether the program may look at a text that is made of a value in this frame.

    What `print(x)` gives is thrown away; libraries (tracebacks, debuggers) show what they are given.
    """
    up: FrameType | None = _past_guards(frame)
    while up is not None and (
        up.f_code.co_name in _OF_TEXTS or up.f_globals.get("__name__") in ("reprlib", "dataclasses")
    ):
        up = up.f_back
    if up is None or is_inner(up):
        return False
    at, code = up.f_lasti + 2, up.f_code.co_code
    while at < len(code) and code[at] == _CACHE:
        at += 2
    return at < len(code) and code[at] != _POP_TOP


def is_stored_back() -> bool:
    """Whether the user's frame is at the operator of `x[i] += y`, which stores the result in x itself."""
    frame = users_frame(2)
    if frame is None or frame.f_lasti < 0 or frame.f_code.co_code[frame.f_lasti] != _BINARY:
        return False
    at, code = frame.f_lasti + 2, frame.f_code.co_code
    while at < len(code) and code[at] in (_CACHE, _SWAP):
        at += 2
    return at < len(code) and code[at] in _STORES


def by_compiled_code() -> bool:
    """Whether it is no statement of the user's frame that stores, but something that the frame has called."""
    frame = users_frame(2)
    return frame is not None and frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] not in _STORES


def bare(what: str, why: str, fix: str) -> PaybackError:
    """The error for a traced value that is asked for its bare numbers: by an assignment, a library, anything else."""
    problem = storing()
    if problem is not None:
        return problem
    frame: FrameType | None = inspect.currentframe()
    found: tuple[str, str, str] | None = None
    while frame is not None and is_inner(frame):
        module = frame.f_globals.get("__name__", "")
        if not (found and module.startswith("scipy._")):  # SciPy's decorators: what they call has said it
            found = of_library(module) or found
        frame = frame.f_back
    what, why, fix = found or (what, why, fix)
    if frame is not None and _draws(frame):
        what, why, fix = _DRAWN
    if elsewhere():
        why, fix = _IN_A_THREAD
    place = position((frame.f_code, frame.f_lasti)) if frame is not None else None
    told = TraceError(what, where=str(place) if place else None, why=why, fix=fix)
    refused.set(told)
    return told


def calling() -> tuple[str, str, str] | None:
    """What is said of the library between the user's line and this, if one is: see `cures.py`."""
    frame: FrameType | None = inspect.currentframe()
    found = None
    while frame is not None and is_inner(frame):
        module = frame.f_globals.get("__name__", "")
        found = (None if module.startswith("numpy.") else of_library(module)) or found
        frame = frame.f_back
    return found


def into_plain_array(array: Any, what: str, frame: FrameType | None = None, name: str | None = None) -> MutationError:
    """The error that names the line that stores, and the line where the array was made if its source can be found."""
    frame = frame or users_frame(2)
    if frame is None:
        return MutationError(what, why="a plain array has no history")
    place = position((frame.f_code, frame.f_lasti))
    name = name or _name_of(frame, array)
    label = f"the array {name}" if name else "the array"
    made, above = _made(frame, name) if name else None, frame.f_back
    while made is None and array is not None and above is not None:  # an argument: where the caller has it from
        known = None if is_inner(above) else _name_of(above, array)
        made, above = _made(above, known) if known else None, above.f_back
    if made is None:
        why = f"{label} was made where payback could not see it, and a plain array has no history"
    else:
        line, text, how = made
        if how != _BEFORE and isinstance(getattr(array, "base", None), np.ndarray):
            how = "is a view of a plain array"
        why = f"{label} {how} ({line}: {text}), and a plain array has no history"
    fix = f"write into a new one, made inside the function: np.zeros(...), np.array({name or 'a'})"
    if any(getattr(part, "dtype", np.dtype(float)).names for part in (array, getattr(array, "base", None))):
        why, fix = f"{label} has named fields, and no field has a history", "use an array for each field"
    if elsewhere():
        why, fix = _IN_A_THREAD
    return MutationError(what, where=str(place), why=why, fix=fix)


def drawing() -> TraceError | None:
    """The error if the user's frame is at a call of a random generator; None elsewhere."""
    frame = users_frame(2)
    if frame is None or not _draws(frame):
        return None
    what, why, fix = _DRAWN
    return TraceError(what, where=str(position((frame.f_code, frame.f_lasti))), why=why, fix=fix)


def _draws(frame: FrameType) -> bool:
    """Whether the user's frame calls a method of a random generator of NumPy's."""
    for call in _running(frame, ast.Call):
        owner = _look_up(frame, call.func.value)[0] if isinstance(call.func, ast.Attribute) else None
        if owner is np.random or isinstance(owner, (np.random.Generator, np.random.RandomState)):
            return True
    return False


def _running(frame: FrameType, kind: type) -> list[Any]:
    """The expressions of one kind in what the frame is executing, the outermost first."""
    place = position((frame.f_code, frame.f_lasti))
    if place is None or not place.text:
        return []
    try:
        with parsing:
            tree = ast.parse(place.text.strip())
    except (SyntaxError, SystemError):
        return []
    return [node for node in ast.walk(tree) if isinstance(node, kind)]


def _subscripted(frame: FrameType) -> ast.expr | None:
    """What stands before the brackets of the assignment that is running."""
    found = _running(frame, ast.Subscript)
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
        case ast.Subscript(value=value, slice=ast.Constant(value=key)):
            owner, text = _look_up(frame, value)
            if type(owner) is dict:
                return owner.get(key), f"{text}[{key!r}]"
            if type(owner) in (list, tuple) and type(key) is int and -len(owner) <= key < len(owner):
                return owner[key], f"{text}[{key}]"
            return owner, text
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


_BEFORE, _FROM_PLAIN = "was made before the differentiated function ran", "was made from plain arrays only"
_ALIAS = "is one that was there before"


def _made(frame: FrameType, name: str) -> tuple[str, str, str] | None:
    """(file:line, its text, how it was made) of where a name was given its array."""
    code = frame.f_code
    tree = syntax(code)

    def told(line: int, how: str) -> tuple[str, str, str]:
        return f"{code.co_filename}:{line}", line_of(code, line), how

    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    own = next((f for f in functions if code.co_firstlineno in (f.lineno, *(d.lineno for d in f.decorator_list))), None)
    if own is not None and name in code.co_varnames:
        before = [found for found in _assignments(own, name) if found[0] <= frame.f_lineno]
        if before:
            line, value = before[-1]
            return told(line, _ALIAS if isinstance(value, (ast.Name, ast.Attribute, ast.Subscript)) else _FROM_PLAIN)
        arguments = own.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = [*zip(reversed(positional), reversed(arguments.defaults), strict=False),
                 *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]  # fmt: skip
        for argument, default in pairs:
            if argument.arg == name and default is not None:
                return told(default.lineno, _BEFORE)
        return None
    if "." in name:
        found = _assignments(tree, name.rpartition(".")[2], ast.Attribute)
        return told(found[-1][0], _BEFORE) if found else None
    for scope in [*functions, tree] if name in code.co_freevars else [tree]:
        found = _assignments(scope, name)
        if found:
            return told(found[-1][0], _BEFORE)
    return None


def _assignments(scope: ast.AST, name: str, kind: type = ast.Name) -> list[tuple[int, ast.expr | None]]:
    """The lines on which a name (or an attribute of that name) is given a value in a scope, and what it is given."""
    found: list[tuple[int, ast.expr | None]] = []
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                targets = [target]
            case ast.For(target=target, iter=value):
                targets = [part for part in ast.walk(target) if isinstance(part, ast.expr)]
            case _:
                continue
        for target in targets:
            if isinstance(target, kind) and (target.attr if isinstance(target, ast.Attribute) else target.id) == name:
                found.append((node.lineno, value))
    return sorted(found, key=lambda pair: pair[0])
