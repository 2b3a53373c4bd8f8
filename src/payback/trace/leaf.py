"""What a function is differentiated by, before there is anything traced: a snapshot of floating numbers."""

from __future__ import annotations

from typing import Any

from payback.errors import DifferentiationError
from payback.ir.aval import WEAK_DTYPES
from payback.ops.append import floated, freeze, of_rows, snapshot
from payback.trace.plain_arrays import native


def leaf_value(value: Any, name: str) -> Any:
    """A value to differentiate by, as a snapshot: Python ints count as floats, integer arrays are refused.

    Raises DifferentiationError for integer and boolean arrays, complex numbers and objects.
    """
    if type(value) in (int, bool):
        return floated(value, name)
    if isinstance(value, (list, tuple)):
        value = of_rows([[floated(v, name) if type(v) is int else v for v in row] if isinstance(row, (list, tuple))
                         else floated(row, name) if type(row) is int else row for row in value])  # fmt: skip
    value = snapshot(value)
    if type(value) not in WEAK_DTYPES and value.dtype.kind != "f":
        raise DifferentiationError(f"{name} is an array of {value.dtype} and has no derivative",
                                   why="integers and booleans do not vary continuously",
                                   fix=f"give {name}.astype(float), or leave it out of argnums")  # fmt: skip
    return freeze(native(value))
