"""`y = DATA * 2; y += x`: a plain array that only one local variable refers to becomes traced, and no one can tell.

The operator's result is what the name is given, so another array can stand there, if nothing else refers to the old
one: Python counts the references to it, and the bytecode says that the result goes to a local name.  How many
references such an array has in this place is measured, on one made for that, not written down: it differs between
versions of Python.  Everything else is refused, with both lines named (`outside.py`).

Python 3.14 and newer lend: a local variable's array is computed with, and given to a function, without a further
reference where the compiler sees that the variable outlives it.  So there the bytecode is asked too whether the operand
is counted, and the callers' variables whether they have lent what the name of an argument refers to.
"""

from __future__ import annotations

import dis
import inspect
import sys
import threading
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

import numpy as np

from payback.ops.append import const
from payback.trace.array import Traced
from payback.trace.assignment.outside import users_frame
from payback.trace.operators import HOOKS

_BINARY_OP, _CACHE = dis.opmap.get("BINARY_OP"), dis.opmap.get("CACHE")
_IN_PLACE = 13  # the arguments of BINARY_OP from here on are those of += and its kin
_LENDS = any("BORROW" in name for name in dis.opmap)
_count = getattr(sys, "getrefcount", None)
_expected: dict[int, int] = {}  # the method of Traced that was called -> the references to an array of one local name
_measuring: dict[int, int] = {}  # the thread that measures -> what it has found


def adopt(targets: tuple[Any, ...]) -> Any:
    """A buffer with the numbers of the target of an in-place operator; None where something else can see the target."""
    if _count is None or len(targets) > 1 or type(targets[0]) is not np.ndarray or targets[0].base is not None:
        return None
    found = _count(targets[0])
    thread = threading.get_ident()
    if thread in _measuring:
        _measuring[thread] = found
        return targets[0]
    frame = users_frame(2)
    if frame is None or not _goes_to_a_local_name(frame):
        return None
    way = id(Traced.__array_ufunc__)  # an audit puts a function of its own there
    if way not in _expected:
        _measuring[thread] = 0
        try:
            _measure(Traced(const(1.0)))
            _expected[way] = _measuring[thread]
        finally:
            del _measuring[thread]
    if _LENDS and found == _expected[way] + 1 and _is_counted(frame.f_code, frame.f_lasti):
        found -= 1
    if found != _expected[way] or (_LENDS and _is_lent(frame, targets[0])):
        return None
    return HOOKS["buffer"](targets[0].copy())


def _measure(x: Any) -> None:
    y = np.ones(2)
    y += x


def _goes_to_a_local_name(frame: FrameType) -> bool:
    """Whether the frame is at an in-place operator whose result is stored in a local variable."""
    code, at = frame.f_code.co_code, frame.f_lasti
    if at < 0 or code[at] != _BINARY_OP or code[at + 1] < _IN_PLACE:
        return False
    at += 2
    while at < len(code) and code[at] == _CACHE:
        at += 2
    return at < len(code) and dis.opname[code[at]].startswith("STORE_FAST")


@lru_cache(maxsize=1024)
def _is_counted(code: CodeType, at: int) -> bool:
    """Whether the target of the in-place operator was loaded with a reference of its own: where a branch comes before
    the operator is reached, and where the name may not be bound yet."""
    depth, later = 0, None
    for step in reversed([step for step in dis.get_instructions(code) if step.offset <= at]):
        if later is not None:
            if "JUMP" in step.opname or "SEND" in step.opname or "FOR_ITER" in step.opname:
                return True
            depth -= dis.stack_effect(step.opcode, step.arg, jump=False)
            if depth <= -2:  # the target lies under the other operand
                return "LOAD_FAST" in step.opname and "BORROW" not in step.opname
        if step.is_jump_target:
            return True
        later = step
    return False


def _is_lent(frame: FrameType, array: Any) -> bool:
    """Whether a caller's variable refers to what an argument of the frame's function does."""
    code, names = frame.f_code, frame.f_locals
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if all(names.get(name) is not array for name in arguments):
        return False
    caller = frame.f_back
    while caller is not None:
        if caller.f_code.co_flags & inspect.CO_OPTIMIZED and any(x is array for x in caller.f_locals.values()):
            return True
        caller = caller.f_back
    return False
