"""Whether the program handles an exception itself: `try: y = 1 / x`, `except ZeroDivisionError:` is a branch.

With numbers the branch is taken as on plain numbers: Python's division by zero gives what IEEE says unless somebody
waits for the exception.  Without numbers nobody can tell which way it goes, and that is said.
"""

from __future__ import annotations

import ast
import contextlib
import functools
from sys import _getframe
from types import CodeType, FrameType, ModuleType
from typing import Any

import numpy as np

from payback.errors import (
    DifferentiationError,
    MissingAttributeError,
    MutationError,
    PaybackError,
    TraceError,
    UnsupportedError,
    witness,
)
from payback.ir.where import caller, is_inner, position, syntax
from payback.ops import namespace

BOUNDARIES: set[CodeType] = set()  # of what calls the traced function: what stands above it is not the program's
_RULES, _INNER = "payback.", ("payback.", "numpy.")
_RECORDS = ("payback.trace.", "payback.ops.")  # what stands between the program's line and a value computed for it


def catcher(error: type[BaseException], frame: FrameType | None, *, of_users: bool = False, alone: bool = False) -> Any:
    """The type by which a `try` or `contextlib.suppress` of the program, around this frame, catches the error, or None.

    BaseException where it catches all, or where what it catches cannot be read off its text.
    of_users: those of libraries do not count; else only those of NumPy and payback do not.
    alone: nor those of the frame's callers.
    """
    while frame is not None and frame.f_code not in BOUNDARIES:
        code = frame.f_code
        inner = of_users and is_inner(frame)
        if code.co_exceptiontable and not inner and not frame.f_globals.get("__name__", "").startswith(_INNER):
            for kinds in _around(code, code.co_filename, frame.f_lineno):
                for kind in _types(frame, kinds):
                    if issubclass(error, kind):
                        return kind
        frame = None if alone else frame.f_back
    return None


@functools.lru_cache(maxsize=1024)
def _around(code: CodeType, file: str, line: int) -> tuple[Any, ...]:
    """What the handlers around a line catch, as expressions, the innermost first; None for a bare `except:`."""
    found: list[tuple[int, Any]] = []
    for node in ast.walk(syntax(code)):
        if isinstance(node, ast.Try | ast.TryStar) and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0):
            found += [(node.lineno, handler.type) for handler in node.handlers]
        elif isinstance(node, ast.With) and node.lineno <= line <= (node.end_lineno or 0):
            found += [
                (node.lineno, item.context_expr) for item in node.items if isinstance(item.context_expr, ast.Call)
            ]
    return tuple(kind for _, kind in sorted(found, key=lambda pair: -pair[0]))


def _types(frame: FrameType, expression: Any) -> list[Any]:
    match expression:
        case None:
            return [BaseException]
        case ast.Tuple(elts=elements):
            return [kind for element in elements for kind in _types(frame, element)]
        case ast.Call(func=function, args=arguments):
            if _named(frame, function) is not contextlib.suppress:
                return []  # another context manager
            return [kind for argument in arguments for kind in _types(frame, argument)]
    found = _named(frame, expression)
    kinds = found if isinstance(found, tuple) else (found,)
    return [kind if isinstance(kind, type) and issubclass(kind, BaseException) else BaseException for kind in kinds]


def _named(frame: FrameType, expression: Any) -> Any:
    """What a name, or an attribute of a module or a class, stands for; None for anything else."""
    match expression:
        case ast.Name(id=name):
            for names in (frame.f_locals, frame.f_globals, frame.f_builtins):
                if name in names:
                    return names[name]
        case ast.Attribute(value=value, attr=attribute):
            owner = _named(frame, value)
            if isinstance(owner, (ModuleType, type)):
                return getattr(owner, attribute, None)
    return None


def _waits(error: type[BaseException]) -> bool:
    """Whether the line of the program for which a value is computed waits for this error: not a sweep, not a solver."""
    frame: FrameType | None = _getframe(2)
    while frame is not None and (module := frame.f_globals.get("__name__", "")).startswith(_RULES):
        if not module.startswith(_RECORDS) or frame.f_code in BOUNDARIES:
            return False
        frame = frame.f_back
    # where nothing marks the begin of the program, a caller's `try` may be that of a notebook or of a test runner
    return catcher(error, frame, alone=witness.get() is None) is not None


namespace.waits = _waits


class Witness:
    """Errors of ours that the program may swallow with a `try` that was not written for them.

    What it does instead is not what it does on plain numbers: `try: n = float(x)`, `except TypeError: n = 1`.
    """

    def __init__(self) -> None:
        self.errors: list[PaybackError] = []

    def add(self, error: PaybackError) -> None:
        if isinstance(error, _LOSING) and not isinstance(error, MissingAttributeError):
            kind = catcher(type(error), _getframe(2), of_users=True)
            if kind is not None and not issubclass(kind, PaybackError):
                self.errors.append(error)


_LOSING = (TraceError, UnsupportedError, MutationError, DifferentiationError)  # where plain numbers are no error
_CALLED = {"div": "a division", "mod": "a remainder", "floor_divide": "a division", "power": "a power"}
FAILING = {*_CALLED}  # of Python numbers
FACTORIZING = {"inv", "solve", "cholesky", "eigh", "svd", "pinv", "lstsq", "solve_triangular", "solve_sylvester"}


def unsure(name: str, frame: FrameType, second: Any = None) -> None:
    """Raises TraceError if it is not known whether an operation on Python numbers, a function of `math` or one of
    linear algebra fails, and the program waits for that.  `second`: the second operand, if it is known.
    """
    if name in FACTORIZING:
        errors: tuple[type[BaseException], ...] = (np.linalg.LinAlgError,)
    elif name not in FAILING:
        errors = (ValueError, OverflowError)
    elif name == "power":
        errors = (ZeroDivisionError, OverflowError)
    elif type(second) in (float, int) and second != 0:
        return
    else:
        errors = (ZeroDivisionError,)
    users: FrameType | None = frame
    while users is not None and users.f_globals.get("__name__", "").startswith(_RULES):
        if users.f_code in BOUNDARIES:
            return
        users = users.f_back
    if users is None or witness.get() is None:  # an optimizer of ours
        return
    if any(catcher(error, users) is not None for error in errors):
        raise TraceError(
            f"whether {_CALLED.get(name, name)} fails is not known while a function is compiled",
            where=str(position((users.f_code, users.f_lasti))),
            why="compiled code is traced with shapes only, so nobody can tell which way the try goes",
            fix="choose with np.where instead of try, or give what decides it as a plain argument",
        )


def errors_raised(original: Any, self: Any, unknown: Any) -> Any:
    """`with np.errstate(all="raise")`, which compiled code does not do; `unknown`: whether nothing is computed now."""
    entered = original(self)
    if {"raise", "call"} & {*np.geterr().values()} and unknown():
        self.__exit__(None, None, None)
        raise TraceError("np.errstate cannot raise errors while a function is compiled",
                         where=position(caller(2)),
                         why="compiled code is traced with shapes only and computes as IEEE says: infinities and NaN",
                         fix="look at the result with np.isfinite, or choose with np.where")  # fmt: skip
    return entered
