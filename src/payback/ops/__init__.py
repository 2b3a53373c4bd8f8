"""The table of primitives.  Importing this package fills it."""

from payback.ops import (  # noqa: F401
    contract,
    control,
    elementary,
    factorizations,
    floats,
    index,
    linalg,
    matrix_functions,
    move,
    order,
    pointwise,
    random,
    reduce,
    scans,
    several,
    smooth,
    special,
)
from payback.ops.row import TABLE, Row

__all__ = ["TABLE", "Row"]
