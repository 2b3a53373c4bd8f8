"""A set of numbers for each row: boolean CSR matrices, as arrays of integers and nothing more.

Rows hold their columns ascending, each once.  All operations are vectorized; none is slower than a sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.errors import DifferentiationError

Ints = np.ndarray[Any, Any]
MOST = 2**28  # members of one node's sets: 2 GB, and as much again on the way


class Sets:
    """starts[r]:starts[r + 1] is where row r's columns stand in `members`; `width` is how many columns there are."""

    __slots__ = ("members", "starts", "width")

    def __init__(self, starts: Ints, members: Ints, width: int):
        self.starts, self.members, self.width = starts, members, width

    @staticmethod
    def identity(size: int) -> Sets:
        return Sets(np.arange(size + 1), np.arange(size), size)

    @staticmethod
    def empty(rows: int, width: int) -> Sets:
        return Sets(np.zeros(rows + 1, np.int64), np.zeros(0, np.int64), width)

    @staticmethod
    def of_pairs(rows: Ints, columns: Ints, height: int, width: int) -> Sets:
        """From (row, column) pairs in any order; a pair may stand twice."""
        keys = np.sort(rows * width + columns)
        if keys.size:
            keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
        rows, members = np.divmod(keys, max(width, 1))
        return Sets(_starts(np.bincount(rows, minlength=height)), members, width)

    @property
    def height(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> Ints:
        """The number of members of each row."""
        return np.diff(self.starts)

    def rows(self) -> Ints:
        """The row of every member."""
        return np.repeat(np.arange(self.height), self.counts)

    def take(self, places: Ints) -> Sets:
        """Row r of the result is row places[r]."""
        counts = self.counts[places]
        starts = _starts(counts)
        if starts[-1] > MOST:
            raise DifferentiationError(
                f"a sparsity pattern grows beyond {MOST:,} entries",
                why="some value depends on very many others, and very many depend on it",
                fix="ask for the dense derivative, or for products with it: pb.hvp, pb.jvp, pb.vjp",
            )
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return Sets(starts, self.members[np.repeat(self.starts[places], counts) + within], self.width)

    def transposed(self) -> Sets:
        order = np.argsort(self.members, kind="stable")
        return Sets(_starts(np.bincount(self.members, minlength=self.width)), self.rows()[order], self.height)

    def __or__(self, other: Sets) -> Sets:
        return union([(None, self), (None, other)], self.height, self.width)


def union(parts: Sequence[tuple[Ints | None, Sets]], height: int, width: int) -> Sets:
    """The union of parts (to, sets): row r of the sets goes to row to[r] of the result, or, without `to`, to row r."""
    parts = list({(id(to), id(sets)): (to, sets) for to, sets in parts}.values())
    if len(parts) == 1:
        to, sets = parts[0]
        if to is None:
            return sets
        if (to[1:] > to[:-1]).all():  # a slice: rows only move apart
            counts = np.zeros(height, np.int64)
            counts[to] = sets.counts
            return Sets(_starts(counts), sets.members, width)
    rows = [sets.rows() if to is None else np.repeat(to, sets.counts) for to, sets in parts]
    return Sets.of_pairs(np.concatenate(rows), np.concatenate([sets.members for _, sets in parts]), height, width)


def _starts(counts: Ints) -> Ints:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
