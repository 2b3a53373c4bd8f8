"""One of several results: what takes the tuple apart that a row of its own kind may return."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.ir.aval import Aval, Avals
from payback.ops.row import Row


class Share(NamedTuple):
    """A payment to one of the results of a node that has several."""

    k: int
    bar: Any


def _shape(x: Avals, k: int) -> Aval:
    return x[k]


def _adjoint(m: Any, bar: Any, slot: int, x: Any, k: int) -> Share:
    return Share(k, bar)


PART = Row("part", "linear", lambda m, x, k: m.part(x, k=k), shape=_shape, adjoint=_adjoint, math="1")
PART.no_edge = frozenset({1})  # no slot of its own: parts that are whole numbers have no derivative, which is looked at
