"""Columns and frames of pandas beside traced values, which take their entries by place and not by label."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from payback.errors import TraceError
from payback.ir.where import caller, position

# those of the rows that have come to traced values in this trace, by how many they are
LABELS: ContextVar[dict[int, Any] | None] = ContextVar("labels", default=None)


def without_labels(operand: Any) -> Any:
    """The entries, in their order.  Raises TraceError where pandas would have put them in another one.

    Nothing traced has labels, so of the rows of all operands of one length it is asked that they be labelled alike.
    """
    labels, known = getattr(operand, "index", None), LABELS.get()
    if known is not None and hasattr(labels, "equals") and not known.setdefault(len(labels), labels).equals(labels):
        place = position(caller())
        raise TraceError("rows that are labelled in two ways", where=str(place) if place else None,
                         why="pandas brings together what has the same label, and a traced value has no labels",
                         fix="take plain arrays of the columns, .to_numpy(), with their rows in one order")  # fmt: skip
    return np.asarray(operand)
