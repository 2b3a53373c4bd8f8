"""The table of primitives.  Importing this package fills it."""

from payback.ops import (
    contract,
    elementary,
    floats,
    index,
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

__all__ = [
    "TABLE",
    "Row",
    "contract",
    "elementary",
    "floats",
    "index",
    "move",
    "order",
    "pointwise",
    "random",
    "reduce",
    "scans",
    "several",
    "smooth",
]
