"""Derivatives by few sweeps: columns (rows) of a Jacobian that share no entry are asked for together.

The pattern is found by one sweep over sets (`ad/pattern.py`).  The columns or rows of one color share no entry of the
result, so that a sweep with the sum of their unit vectors gives them all at once, and every entry is read off as it is:
nothing is solved for, nothing is subtracted.  Seeds are masked as unit vectors are: a zero of a seed stays zero
whatever it meets.

Dense derivatives are made so too where that saves most of the work: nobody has to say that a matrix has a band.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from payback.ad.coloring import color_columns, color_star, readable
from payback.ad.pattern import jacobian_patterns
from payback.ad.sets import Ints, Sets, TooManyError
from payback.ir.node import Node
from payback.ops.index import Place
from payback.trace.array import Traced
from payback.trace.dispatch import emit
from payback.trace.plain_arrays import held

_FEWEST = 32  # unit vectors below which nothing is looked for
_SAVED = 4  # a sweep for each color must be at most one of so many
_MEMBERS = 64  # of a node's sets for each row and column, at most: a pattern with more has no few colors
_NODES = 20_000  # of a graph at most: each takes some 50 µs
_PATTERN = 160_000  # numbers computed in the time that a node's sets take, without machine code


class Plan(NamedTuple):
    """How the entries of a sparse derivative are found.

    mode    "forward" (columns share a sweep) or "reverse" (rows do)
    colors  of the columns or rows, -1 where there is no entry; number: of the colors
    shade   for each entry of the pattern the sweep that it is read from; place: and which entry of what that one gives
    """

    mode: str
    colors: Ints
    number: int
    shade: Ints
    place: Ints


def plan_jacobian(pattern: Sets, mode: str = "auto") -> Plan:
    """The cheaper of columns in forward mode and rows in reverse mode, or the one that is asked for."""
    plans = []
    if mode != "reverse":
        colors, number = color_columns(pattern)
        plans.append(Plan("forward", colors, number, colors[pattern.members], pattern.rows()))
    if mode != "forward" and not (plans and plans[0].number <= pattern.transposed().counts.max(initial=0)):
        colors, number = color_columns(pattern.transposed())
        plans.append(Plan("reverse", colors, number, colors[pattern.rows()], pattern.members))
    return min(plans, key=lambda plan: plan.number)


def plan_hessian(pattern: Sets, symmetric: bool = True) -> Plan:
    """By a star coloring, if the pattern is symmetric and so are the numbers; else as any Jacobian, by columns."""
    by_columns = plan_jacobian(pattern, "forward")
    twin = np.argsort(pattern.members, kind="stable")  # entry (i, j) and entry (j, i)
    rows = pattern.rows()
    if not symmetric or by_columns.number <= 2 or not np.array_equal(pattern.members[twin], rows):
        return by_columns
    if not np.array_equal(rows[twin], pattern.members):
        return by_columns
    colors, number = color_star(pattern)
    if number >= by_columns.number:
        return by_columns
    direct = readable(pattern, colors)
    assert (direct | direct[twin]).all(), "a coloring that is no star coloring"
    shade = np.where(direct, colors[pattern.members], colors[rows])
    return Plan("forward", colors, number, shade, np.where(direct, rows, pattern.members))


def seeds(plan: Plan, node: Node) -> Any:
    """The sum of the unit vectors of each color, in the node's shape, along a leading axis."""
    return (plan.colors == np.arange(plan.number)[:, None]).reshape(plan.number, *node.shape).astype(node.aval.dtype)


class Structure:
    """Which entries the derivatives of some results by some arguments may have.

    patterns: for each argument; the rows are the entries of all results, which begin at `starts`.
    """

    def __init__(self, patterns: list[Sets], tops: list[Node], symmetric: bool):
        self.patterns, self.tops, self.symmetric = patterns, tops, symmetric
        self.starts = np.cumsum([0, *(top.aval.size for top in tops)])

    @staticmethod
    def of(called: Any, count: int, symmetric: bool = False) -> Structure | None:
        """None where it does not pay to look for few sweeps in the place of `count`, or they are not few.

        symmetric: whether it is a Hessian of one array.
        """
        if count < _FEWEST:
            return None
        tops, wrt, reached = called.tops, called.wrt, called.reached
        if len(reached) > _NODES:
            return None
        once = all(top.value is not None for top in tops)  # computed here and now
        if once and count * sum(node.aval.size for node in reached) < _PATTERN * len(reached):
            return None
        most = _MEMBERS * sum(node.aval.size for node in (*tops, *wrt))
        try:
            return Structure(jacobian_patterns(tops, wrt, reached, held, most), tops, symmetric)
        except TooManyError:
            return None

    def by_columns(self, k: int) -> Plan | None:
        """Few forward passes for argument k; None where they would not be few."""
        pattern = self.patterns[k]
        if self.symmetric:
            return self._few(plan_hessian(pattern), pattern.width)
        if pattern.counts.max(initial=0) * _SAVED > pattern.width:
            return None
        return self._few(plan_jacobian(pattern, "forward"), pattern.width)

    def by_rows(self, r: int) -> tuple[Plan, Sets] | None:
        """Few reverse sweeps for result r, and its rows of all arguments side by side; None where they are not few."""
        columns = np.cumsum([0, *(pattern.width for pattern in self.patterns)])
        start, end = self.starts[r], self.starts[r + 1]
        parts = [(pattern.rows(), pattern.members, left) for pattern, left in zip(self.patterns, columns, strict=False)]
        kept = [(rows >= start) & (rows < end) for rows, _, _ in parts]
        pattern = Sets.of_pairs(
            np.concatenate([rows[on] - start for (rows, _, _), on in zip(parts, kept, strict=True)]),
            np.concatenate([members[on] + left for (_, members, left), on in zip(parts, kept, strict=True)]),
            int(end - start), int(columns[-1]),
        )  # fmt: skip
        if np.bincount(pattern.members, minlength=1).max(initial=0) * _SAVED > pattern.height:
            return None
        plan = self._few(plan_jacobian(pattern, "reverse"), pattern.height)
        return None if plan is None else (plan, pattern)

    @staticmethod
    def _few(plan: Plan, count: int) -> Plan | None:
        return plan if 0 < plan.number * _SAVED <= count else None


def entries(plan: Plan, found: Any, which: slice | Ints, start: int, size: int) -> Any:
    """The values of some entries of the pattern.

    found: what the sweeps gave of one node, of `size` entries, along a leading axis; it counts them from `start` on.
    """
    return found.reshape(-1)[plan.shade[which] * size + (plan.place[which] - start)]


def scattered(values: Any, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Any:
    """The dense matrix with these values at these places."""
    at, size = rows * shape[1] + columns, shape[0] * shape[1]
    if isinstance(values, Traced):
        made = emit("scatter", values, at, shape=(size,), templates=((Place(0),),), counts=(1,), dtype=values.dtype)
        return made.reshape(shape)
    dense = np.zeros(size, values.dtype)
    dense[at] = values
    return dense.reshape(shape)
