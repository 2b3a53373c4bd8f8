"""Numbers of paths as they are told: exact up to 2**1024, beyond that by their logarithm.

A loop of 10,000 steps has some 2**10,000 paths.  Exact integers of that size (`Ledger.counts`) take a kilobyte on each
node, and nobody reads their digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log2, log10
from typing import TYPE_CHECKING

from payback.ad.algebra import PathCount, Walks
from payback.ad.sweep import Entry
from payback.ir.node import Node

if TYPE_CHECKING:
    from payback.glass.accounts import Edge
    from payback.glass.ledger import Ledger

Count = int | float  # a float is a logarithm, to base 2
EXACT = 1024  # bits
_GROUPED = 40  # digits that are written in groups of three


class RoughCount(PathCount):
    """`PathCount` whose large numbers are logarithms."""

    def pull(self, node: Node, slot: int, bar: Walks) -> Walks:
        return Walks(bar.paths, plus((bar.walks, bar.paths)))  # type: ignore[arg-type]

    def total(self, node: Node, pile: list[Entry]) -> Walks:
        if len(pile) == 1:
            return pile[0][2]
        return Walks(plus(e[2].paths for e in pile), plus(e[2].walks for e in pile))  # type: ignore[arg-type]


def rough_race(ledger: Ledger) -> tuple[Count, Count]:
    """Paths to all leaves together, and edges walked on them."""
    found = ledger.rough_counts
    those = [found[leaf.node] for leaf in ledger.leaves if leaf.node in found]
    return plus(c.paths for c in those), plus(c.walks for c in those)


def rough_walks(ledger: Ledger) -> dict[Edge, Count]:
    """How often each edge is walked, as `walks_per_edge` counts."""
    found, leaves = ledger.rough_counts, set(ledger.leaves)
    below: dict[object, Count] = {account: int(account in leaves) for account in ledger.nodes}
    for edge in ledger.edges:  # ascending payer: what a payer adds up is complete
        below[edge.payer] = plus((below[edge.payer], below[edge.arg]))
    return {edge: times(found[edge.payer.node].paths, below[edge.arg]) for edge in ledger.edges}


def plus(counts: Iterable[Count]) -> Count:
    """The sum.

    >>> plus([2, 3]), plus([2000.0, 2000.0, 5])
    (5, 2001.0)
    """
    large: list[float] = []
    small = 0
    for count in counts:
        if type(count) is float:
            large.append(count)
        else:
            small += count  # type: ignore[assignment]
    if not large:
        return small if small.bit_length() <= EXACT else log2(small)
    if small:
        large.append(log2(small))
    most = max(large)
    return most + log2(sum(2.0 ** (one - most) for one in large))


def times(a: Count, b: Count) -> Count:
    """The product.

    >>> times(2, 3), times(2000.0, 8), times(2000.0, 0)
    (6, 2003.0, 0)
    """
    if type(a) is not float and type(b) is not float:
        return plus((a * b,))
    if 0 in (a, b):
        return 0
    return _log(a) + _log(b)


def _log(count: Count) -> float:
    return count if type(count) is float else log2(count)


def quotient(a: Count, b: Count) -> float:
    """a / b; 0 for 0 / 0.

    >>> quotient(6, 4), quotient(2003.0, 2000.0)
    (1.5, 8.0)
    """
    if type(a) is not float and type(b) is not float:
        return a / b if b else 0.0
    return 2.0 ** (_log(a) - _log(b))


def counted(count: Count) -> str:
    """In words: all digits, or how many there are.

    >>> counted(1234), counted(2**2000), counted(2000.0)
    ('1,234', 'about 1.1·10^602', 'about 1.1·10^602')
    """
    if type(count) is not float and count < 10**_GROUPED:
        return f"{count:,}"
    digits, first = _scientific(count)
    return f"about {first:.1f}·10^{digits}"


def written(count: Count) -> str:
    """For JSON: all digits, or as a floating number is written, whatever its exponent.

    >>> written(1234), written(2000.0)
    ('1234', '1.148e+602')
    """
    if type(count) is not float and count.bit_length() <= EXACT:  # type: ignore[union-attr]
        return str(count)
    digits, first = _scientific(count)
    return f"{first:.3f}e+{digits}"


def _scientific(count: Count) -> tuple[int, float]:
    logarithm = _log(count) * log10(2)
    digits = int(logarithm)
    first = round(10 ** (logarithm - digits), 3)
    return (digits + 1, 1.0) if first >= 9.95 else (digits, first)  # 10 to the places that are shown
