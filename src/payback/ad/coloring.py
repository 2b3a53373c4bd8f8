"""Coloring: which columns (rows) of a sparse matrix can share one sweep, so that every entry can still be read off.

Jacobians: two columns with an entry in the same row get different colors (a distance-2 coloring of the columns).
Hessians: a star coloring, in which every path over four variables has three colors: by symmetry an entry may be read
from its row or its column, so fewer colors do.  Both greedy, in two orders, the better result is taken; a row keeps
the colors around it as the bits of one integer, so that the work grows with the number of entries.
Gebremedhin, Manne, Pothen: What Color Is Your Jacobian? SIAM Review 47 (2005); the star coloring is that of its
section 4.3 after Powell and Toint (1979): of three variables in a line the ends may be alike if the middle's color is
lower.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from payback.ad.sets import Ints, Sets


def color_columns(pattern: Sets) -> tuple[Ints, int]:
    """A color for each column, and their number; a column without entries gets -1.

    pattern: for each row the columns in which it has entries.
    """
    by_column = pattern.transposed()
    fewest = int(pattern.counts.max(initial=0))  # the columns of one row all differ
    crowd = np.bincount(pattern.members, pattern.counts[pattern.rows()], minlength=pattern.width)
    best, least = np.full(pattern.width, -1), pattern.width + 1
    for order in _orders(crowd):
        colors, number = _columns_in(order, by_column)
        if number < least:
            best, least = colors, number
        if least == fewest:
            break
    return best, least


def color_star(pattern: Sets) -> tuple[Ints, int]:
    """A color for each variable, and their number; one without entries gets -1.

    pattern: symmetric; for each variable those that it has a second derivative with.
    """
    best, least = np.full(pattern.width, -1), pattern.width + 1
    for order in _orders(pattern.counts):
        colors, number = _star_in(order, pattern)
        if number < least:
            best, least = colors, number
        if least <= 2:
            break
    return best, least


def _orders(degrees: Ints) -> Iterator[list[int]]:
    """As they stand (best for bands), and the largest first; ties as they stand."""
    used = np.flatnonzero(degrees)
    yield used.tolist()
    yield used[np.argsort(-degrees[used], kind="stable")].tolist()


def _columns_in(order: list[int], by_column: Sets) -> tuple[Ints, int]:
    starts, members = by_column.starts.tolist(), by_column.members.tolist()
    taken = [0] * by_column.width  # for each row the colors of its columns so far, as bits
    colors, number = np.full(by_column.height, -1), 0
    for column in order:
        rows = members[starts[column] : starts[column + 1]]
        forbidden = 0
        for row in rows:
            forbidden |= taken[row]
        bit = ~forbidden & (forbidden + 1)  # the lowest that is free
        for row in rows:
            taken[row] |= bit
        colors[column] = color = bit.bit_length() - 1
        number = max(number, color + 1)
    return colors, number


def _star_in(order: list[int], pattern: Sets) -> tuple[Ints, int]:
    starts, members = pattern.starts.tolist(), pattern.members.tolist()
    own, around = [0] * pattern.width, [0] * pattern.width  # its color, and those of its neighbors, as bits
    for variable in order:
        neighbors = members[starts[variable] : starts[variable + 1]]
        forbidden = 0
        for other in neighbors:
            bit = own[other]
            # at its other neighbors only the colors above its own may be had again
            forbidden |= bit | (around[other] & (bit - 1)) if bit else around[other]
        bit = ~forbidden & (forbidden + 1)
        own[variable] = bit
        for other in neighbors:
            if other != variable:
                around[other] |= bit
    colors = np.array([bit.bit_length() - 1 for bit in own], np.int64).reshape(-1)
    return colors, int(colors.max(initial=-1)) + 1


def readable(pattern: Sets, colors: Ints) -> Ints:
    """Whether each entry of the pattern is alone of its color in its row, and so can be read off there."""
    rows, shades = pattern.rows(), colors[pattern.members]
    _, at, times = np.unique(rows * (int(colors.max(initial=0)) + 1) + shades, return_inverse=True, return_counts=True)
    return times[at] == 1
