"""np.where: a choice between traced values."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import settled, snapshot
from payback.ops.namespace import Values
from payback.ops.row import CONST, TABLE
from payback.trace.array import NODE_TYPES, Traced
from payback.trace.dispatch import emit, implements
from payback.trace.operators import made, where_of_caller
from payback.trace.plain_arrays import now, watched


@implements(np.where)
def where(condition: Any, *cases: Any) -> Any:
    if not cases:
        return np.nonzero(condition)
    if len(cases) == 2 and (chosen := _chosen_at_once(condition, *cases)) is not None:
        return chosen
    if type(condition) is not np.ndarray or condition.dtype != np.bool_:
        condition = condition if isinstance(condition, Traced) and condition.dtype.kind == "b" else _truth(condition)
    return emit("select", condition, *cases)


def _chosen_at_once(condition: Any, high: Any, low: Any) -> Traced | None:
    """np.where with numbers at hand, of one floating dtype; None for all others."""
    place, row = where_of_caller(3), TABLE["select"]
    if type(condition) in NODE_TYPES:
        node = condition.node
    elif type(condition) is np.ndarray:
        node = Node(CONST, (), NO_PARAMS, snapshot(condition), place)
    else:
        return None
    truth = node.value
    if type(truth) is not np.ndarray or truth.dtype.kind != "b" or watched():
        return None
    cases = settled([case.node if type(case) in NODE_TYPES else now(case) for case in (high, low)], place, True)
    if cases is None or (cases[0].op is CONST and cases[1].op is CONST):
        return None
    first, second = cases[0].value, cases[1].value
    try:
        return made(row, (node, *cases), NO_PARAMS, row.value(Values, truth, first, second), place)
    except ValueError:
        return None


def _truth(condition: Any) -> Any:
    return condition != 0 if isinstance(condition, Traced) else np.asarray(condition).astype(bool)
