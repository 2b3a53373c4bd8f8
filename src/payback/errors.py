"""Every error that payback shows to its users: what · where · why · what to do.

An error is one line.  `what` happened, `where` (the user's file and line, or the option or cell
that is wrong), `why` it is an error, and the `fix`.  The classes also inherit from the built-in
exception that a Python programmer would catch.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

# What is told of each error while a function is traced, for its `try` may swallow it: see `trace/refusals/handled.py`.
witness: ContextVar[Any] = ContextVar("witness", default=None)


class PaybackError(Exception):
    """The base of all errors that payback raises on purpose.

    what, where, why, fix: phrases without a final full stop; all but `what` may be None.  where: a position, too.
    exit_code: what the command line exits with (2: bad input, 3: a run that failed).

    >>> print(InputError("the option --lr is 'nan'", why="a step length is a positive number", fix="try --lr 0.001"))
    the option --lr is 'nan': a step length is a positive number. Try --lr 0.001.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object = None, why: str | None = None, fix: str | None = None):
        self.what = _one_line(what)
        told = None if where is None else str(where)
        self.where, self.why, self.fix = (part and _one_line(part) for part in (told, why, fix))
        super().__init__(self.what, self.where, self.why, self.fix)
        if (seen := witness.get()) is not None:
            seen.add(self)

    def __str__(self) -> str:
        text = self.what + (f" ({self.where})" if self.where else "") + (f": {self.why}" if self.why else "")
        if self.fix:
            text += f". {self.fix[0].upper()}{self.fix[1:]}"
        return text if text.endswith(("?", "!")) else text.rstrip(".") + "."


def _one_line(text: str) -> str:
    """What an array says of itself takes several."""
    return " ".join(text.split()) if "\n" in text else text


class InputError(PaybackError, ValueError):
    """A value that the user gave cannot be used: an option, an argument, a cell of a table."""


class ShapeError(PaybackError, ValueError):
    """Shapes that do not go together."""


class ArgumentError(PaybackError, TypeError):
    """A function was called with an argument that it does not have, with too many, or without one that it needs."""


class DifferentiationError(PaybackError, TypeError):
    """A derivative was asked for that does not exist, or that payback does not know."""


class UnsupportedError(PaybackError, TypeError):
    """A NumPy function or form of call that has no row in the table."""


class MissingAttributeError(UnsupportedError, AttributeError):
    """A method or an attribute of arrays that a traced value does not have."""


class MissingNameError(PaybackError, ImportError):
    """A name of another library that was to be imported from payback."""


class TraceError(PaybackError, TypeError):
    """A traced value was used where only a plain one can be: a branch inside compile, math.ldexp(x, 3), ..."""


class MutationError(PaybackError, RuntimeError):
    """Something that a graph depends on was changed after it was recorded."""


class FieldError(PaybackError, AttributeError):
    """A field of a network was assigned again, or one that its class does not declare."""


class ModelFileError(PaybackError, ValueError):
    """A model folder that is wrong, truncated, altered or foreign."""


class GradientCheckError(PaybackError, AssertionError):
    """A derivative that differs from finite differences."""


class NonFiniteError(PaybackError, ArithmeticError):
    """A cost became NaN or infinite; training stops before such a step is applied."""

    exit_code = 3


def no_function(f: Any) -> InputError:
    return InputError(f"an object of type {type(f).__name__} was given where a function belongs",
                      why="there is nothing to call", fix="give the function itself, f and not f(x)")  # fmt: skip
