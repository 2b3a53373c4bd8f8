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


class TooManyError(DifferentiationError):
    """The sets of one node would have more members than there may be."""


class Sets:
    """starts[r]:starts[r + 1] is where row r's columns stand in `members`; `width` is how many columns there are.

    most: how many members they, and sets made of them, may have (None: MOST).
    """

    __slots__ = ("members", "most", "starts", "width")

    def __init__(self, starts: Ints, members: Ints, width: int, most: int | None = None):
        self.starts, self.members, self.width, self.most = starts, members, width, most

    @staticmethod
    def identity(size: int, first: int = 0, width: int | None = None, most: int | None = None) -> Sets:
        """Each row has the column of its own number, counted from `first` on."""
        return Sets(np.arange(size + 1), np.arange(first, first + size), size if width is None else width, most)

    @staticmethod
    def empty(rows: int, width: int) -> Sets:
        return Sets(np.zeros(rows + 1, np.int64), np.zeros(0, np.int64), width)

    @staticmethod
    def of_pairs(rows: Ints, columns: Ints, height: int, width: int, most: int | None = None) -> Sets:
        """From (row, column) pairs in any order; a pair may stand twice."""
        keys = np.sort(rows * width + columns)
        if keys.size:
            keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
        rows, members = np.divmod(keys, max(width, 1))
        return Sets(_starts(np.bincount(rows, minlength=height)), members, width, most)

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
        most = MOST if self.most is None else self.most
        if starts[-1] > most:
            raise TooManyError(
                f"a sparsity pattern grows beyond {most:,} entries",
                why="some value depends on very many others, and very many depend on it",
                fix="ask for the dense derivative, or for products with it: pb.hvp, pb.jvp, pb.vjp",
            )
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return Sets(starts, self.members[np.repeat(self.starts[places], counts) + within], self.width, self.most)

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
            return Sets(_starts(counts), sets.members, width, sets.most)
    rows = [sets.rows() if to is None else np.repeat(to, sets.counts) for to, sets in parts]
    members = np.concatenate([sets.members for _, sets in parts])
    return Sets.of_pairs(np.concatenate(rows), members, height, width, parts[0][1].most)


def _starts(counts: Ints) -> Ints:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
