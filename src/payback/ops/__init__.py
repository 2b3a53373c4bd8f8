"""The table of primitives.  Importing this package fills it."""

from payback.ops import (
    contract,
    elementary,
    factorizations,
    index,
    linalg,
    matrix_functions,
    move,
    pointwise,
    random,
    reduce,
    several,
    special,
)
from payback.ops.row import TABLE, Row

__all__ = [
    "TABLE",
    "Row",
    "contract",
    "elementary",
    "factorizations",
    "index",
    "linalg",
    "matrix_functions",
    "move",
    "pointwise",
    "random",
    "reduce",
    "several",
    "special",
]
