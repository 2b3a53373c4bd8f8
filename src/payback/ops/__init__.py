"""The table of primitives.  Importing this package fills it."""

from payback.ops import (  # noqa: F401
    contract,
    control,
    elementary,
    factorizations,
    floats,
    index,
    linalg,
    move,
    order,
    pointwise,
    random,
    reduce,
    scans,
    several,
    smooth,
)
from payback.ops.row import TABLE, Row

__all__ = ["TABLE", "Row"]
