"""`foreign`: a function that takes plain numbers and is run on them, by whatever runs the graph.

It has no derivative of its own: what it stands for says what is paid, see `transforms/foreign.py`.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from payback.errors import DifferentiationError, ShapeError
from payback.ir.aval import Aval, Avals
from payback.ops.row import Row


def _plainly(x: Any) -> Any:
    """An array of its own: compiled code may ask for memory that it can write."""
    return np.array(x) if isinstance(x, np.ndarray) else x


def foreign_values(*args: Any, function: Any, avals: tuple[Aval, ...], label: str) -> tuple[Any, ...]:
    found = function(*map(_plainly, args))
    made = tuple(np.asarray(x, aval.dtype)[()] for x, aval in zip(found, avals, strict=True))
    for x, aval in zip(made, avals, strict=True):
        if np.shape(x) != aval.shape:
            raise ShapeError(f"{label} returns an array of shape {np.shape(x)}", why=f"it was to be {aval.shape}",
                             fix="look at what like= says of these arguments")  # fmt: skip
    return made


def _no_derivative(m: Any, *given: Any, label: str, **params: Any) -> NoReturn:
    raise DifferentiationError(
        f"what {label} pays cannot be differentiated again, nor pushed forward",
        why="it is computed by plain code, which has no derivative",
        fix="use reverse mode, first order (grad, vjp, jacobian(mode='reverse')), or write it without plain=True",
    )


Row(
    "foreign",
    "own",
    lambda m, *args, **params: m.foreign(*args, **params),
    shape=lambda *args, function, avals, label: Avals(avals),
    vjp=_no_derivative,
    jvp=_no_derivative,
    math="as its author says",
)


def _left(m: Any, *given: Any, **params: Any) -> NoReturn:
    raise DifferentiationError(
        "a value that a function has left elsewhere, while a solver of SciPy's ran it, is differentiated",
        why="it was computed at places that the solver tried",
        fix="compute it again from the solution",
    )


# the argument of a function that is traced at a solution; around: what the function uses, and so the solution
Row("tried", "own", lambda m, *around, at: at, shape=lambda *around, at: Aval(np.shape(at), np.dtype(np.float64)),
    vjp=_left, jvp=_left, math="none: it is gone when the solver has ended")  # fmt: skip
