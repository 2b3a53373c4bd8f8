"""What errors of compiled code mean: those that hide one of ours, or that a traced value has led to."""

from __future__ import annotations

import re
import struct
import traceback
from typing import Any

from payback.errors import PaybackError, TraceError
from payback.ir.where import is_inner, position
from payback.trace.array import Traced
from payback.trace.assignment.buffer import MARK, Buffer
from payback.trace.assignment.outside import refused
from payback.trace.refusals.cures import BARE, BARE_NUMBER, BARE_NUMBERS, NO_INDEX
from payback.trace.scipy.sparse_solves import superlu

# What Python says of the operands of a statement of the program's own: no library is to blame.
_OPERANDS = re.compile("unsupported operand|can only concatenate|'.*' not supported between")
_OURS = re.compile(r"\bTraced\b")  # what C, Cython and classes that look at types say of an argument
_TYPE = re.compile(r"'Traced'|\btype Traced\b")  # of any exception: those of databases are classes of their own
_FORMAT = "format: a real number is required, not Traced"
_SHAPE = "expected a sequence of integers or a single integer, got"  # NumPy, of a shape that would not be a number
_NUMBER_AS_SHAPE = re.compile(_SHAPE + r" '-?[\d.]+(e[+-]?\d+)?'$")
_BARE = {
    "decimal.Decimal": BARE_NUMBER,
    "what looks at an array's memory": f"for the bare numbers write np.array({BARE})",
    "json": f"{BARE_NUMBER}, for those of an array {BARE}.tolist()",
}
_BOUND = "argument 1 must be numpy.ndarray, not Traced"  # of a method that was taken before: solve = splu(A).solve
_IN_PLACE = "'NotImplementedType' object has no attribute 'reindex_like'"  # of pandas' `column *= x`
_NO_ARRAY = "object __array__ method not producing an array"  # of an object whose method gives what it holds


def meant(problem: BaseException) -> PaybackError | None:
    """The error of ours that compiled code has put behind, or replaced by, one of its own.

    NumPy does so where it stores an entry, MINPACK where it reads a result; SciPy's root finders call the function
    again though it has failed, which Python tells by a SystemError.
    """
    text = " ".join(str(problem).split())  # one line
    if text == "Error setting single item of array." or type(problem).__module__ == "_minpack":
        return refused.get()
    if (
        text == "array is read-only"
        and (frame := _last_frame(problem)) is not None
        and any(isinstance(x, Buffer) and isinstance(x.now(), Traced) for x in frame.f_locals.values())
    ):  # random generators shuffle the memory itself
        return TraceError("compiled code cannot write into an array that holds traced values", where=_place(problem),
                          why="it sees the memory only, in which there are no numbers",
                          fix="compute a new array; to shuffle, y = y[rng.permutation(len(y))]")  # fmt: skip
    if MARK in text:  # C code has met the memory of a traced array
        return TraceError("an array that holds traced values cannot become a plain array", where=_place(problem),
                          why="compiled code takes bare numbers, and what it computes from them has no history",
                          fix=f"compute with NumPy functions; {BARE_NUMBERS}")  # fmt: skip
    if (taker := _wants_floats(problem)) is not None:
        return TraceError(f"{taker} takes bare numbers", where=_place(problem),
                          why="what it makes of them has no history, so what follows would have no gradient",
                          fix=f"compute with NumPy functions; {_BARE.get(taker, BARE_NUMBERS)}")  # fmt: skip
    ours = "payback.trace." in text or (_OURS.search(text) and not _OPERANDS.match(text))
    if (
        (told := refused.get()) is not None
        and ours
        and (text.endswith(_FORMAT) or text.startswith(_SHAPE))
        and told.where == (place := _place(problem))
        and place is not None
    ):
        return told
    if text == _BOUND and superlu() is not None:
        return TraceError("a library cannot compute with a traced value", where=_place(problem), why=text,
                          fix="keep the factors, lu = scipy.sparse.linalg.splu(A), and call lu.solve(b) in the "
                          f"function; {BARE_NUMBERS}")  # fmt: skip
    if text == _IN_PLACE:
        return TraceError("a column of pandas cannot come to hold a traced value", where=_place(problem),
                          why="pandas takes bare numbers", fix="make a new one: column = column * x")  # fmt: skip
    if text == _NO_ARRAY:
        return TraceError("an object that NumPy makes an array of holds a traced value", where=_place(problem),
                          why="its __array__ must give a plain array, which would have no history",
                          fix="give NumPy what the object holds")  # fmt: skip
    if type(problem) in (TypeError, IndexError) and (text == NO_INDEX or _NUMBER_AS_SHAPE.match(text)):
        return TraceError("a floating value stands where a whole number is needed", where=_place(problem),
                          why="a range, a count, a shape and an index are whole numbers, which have no derivative",
                          fix="give a Python int for it and leave it out of argnums, or write int(x)")  # fmt: skip
    if type(problem) is TypeError and _OPERANDS.match(text) and "'NoneType'" in text:
        return TraceError("None is computed with", where=_place(problem), why=text,
                          fix="give a number or an array for it; a step of pb.scan is given None for x where there "
                          "are no xs")  # fmt: skip
    if (ours and isinstance(problem, TypeError)) or _TYPE.search(text):
        return TraceError("a library cannot compute with a traced value", where=_place(problem), why=text,
                          fix="compute with NumPy functions, on plain arrays of its data (.to_numpy() of a table); "
                          f"{BARE_NUMBERS}")  # fmt: skip
    cause = problem.__cause__
    while type(cause) is SystemError:
        cause = cause.__cause__
    if isinstance(cause, PaybackError):
        return cause
    told = refused.get()  # replaced by an error of C code in the same expression, which Python tells by no context
    return told if told is not None and problem.__context__ is None and told.where == _place(problem) else None


def _wants_floats(problem: BaseException) -> str | None:
    """What of Python's library looks at the type of a number itself, and not at what isinstance is told; or None."""
    text = str(problem)
    if isinstance(problem, TypeError) and text in (
        "Object of type float is not JSON serializable",
        "Object of type float64 is not JSON serializable",
    ):
        return "json"
    if isinstance(problem, TypeError) and text == "conversion from Traced to Decimal is not supported":
        return "decimal.Decimal"
    if isinstance(problem, AttributeError) and text.endswith(("'__array_interface__'", "'__array_struct__'")):
        return "what looks at an array's memory"
    if isinstance(problem, struct.error) and text == "required argument is not a float":
        return "struct"
    return None


def _last_frame(problem: BaseException) -> Any:
    """The last of the user's frames that an exception has passed."""
    found = None
    for frame, _ in traceback.walk_tb(problem.__traceback__):
        if not is_inner(frame):
            found = frame
    return found


def _place(problem: BaseException) -> str | None:
    """The last of the user's lines that an exception has passed."""
    frame = _last_frame(problem)
    place = position((frame.f_code, frame.f_lasti)) if frame is not None else None
    return str(place) if place else None
