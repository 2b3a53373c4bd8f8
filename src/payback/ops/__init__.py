"""The table of primitives.  Importing this package fills it."""

from payback.ops import contract, control, elementary, index, move, pointwise, random, reduce, several
from payback.ops import batching  # isort: skip  (rules for rows that must be there)
from payback.ops.control import batching as control_batching
from payback.ops.row import TABLE, Row

__all__ = [
    "TABLE",
    "Row",
    "batching",
    "contract",
    "control",
    "control_batching",
    "elementary",
    "index",
    "move",
    "pointwise",
    "random",
    "reduce",
    "several",
]
