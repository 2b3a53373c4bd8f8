"""Paths: the routes from the top to a leaf, which the sweep replaces and never walks.

They are walked here, one after the other and only on request, to show what the sweep's answer means: the derivative
is the sum over all paths of the product of their partials.  How many there are is known without walking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ad.algebra import Gradient, PathCount, Walks
from payback.ad.sweep import sweep
from payback.trace.backward import seed_for

if TYPE_CHECKING:
    from payback.glass.ledger import Account, Edge, Ledger


@dataclass(frozen=True, slots=True)
class Path:
    """One route, told from the leaf up as in the article: the accounts a, c, e over the edges c→a and e→c.

    factors: the partials from the top down.  product: theirs; None if one of them is a rule and no number.
    """

    accounts: tuple[Account, ...]
    edges: tuple[Edge, ...]
    product: float | None

    @property
    def factors(self) -> tuple[float | str, ...]:
        return tuple(edge.partial for edge in reversed(self.edges))


class Paths:
    """All paths from `top` to `leaf`, two accounts of a ledger.

    count, walks: exact numbers of paths and of edges walked on them together; 0 if no path leads there.
    """

    def __init__(self, ledger: Ledger, top: Account, leaf: Account):
        self.ledger, self.top, self.leaf = ledger, top, leaf
        if top is ledger.top:
            counts = ledger.counts
        else:
            counts = sweep(PathCount(), {top.node: Walks(1, 0)}, [leaf.node], keep=lambda _: True)
        self._reached = counts.keys()
        self.count, self.walks = counts.get(leaf.node, Walks(0, 0))

    def all(self) -> Iterator[Path]:
        """One path after the other, from the leaf up, at every node in the order of its pile.

        Every node that has paid is on the way from the top, so that no step leads into a dead end: the first of 2**60
        paths come at once.

        >>> import payback as pb
        >>> from payback.glass import Ledger
        >>> a = pb.variable(3.0, "a")
        >>> book = Ledger((a * a).node, [a.node])
        >>> [path.product for path in book.paths(book.top, "a").all()]
        [3.0, 3.0]
        """
        if self.count and self.leaf is self.top:
            yield Path((self.leaf,), (), 1.0)
            return
        trail: list[Edge] = []
        climbs = [self._payers(self.leaf)]
        while climbs:
            edge = next(climbs[-1], None)
            if edge is None:
                climbs.pop()
                del trail[-1:]
            elif edge.payer is self.top:
                yield self._path((*trail, edge))
            else:
                trail.append(edge)
                climbs.append(self._payers(edge.payer))

    def _payers(self, account: Account) -> Iterator[Edge]:
        return (edge for edge in self.ledger.pile(account) if edge.payer.node in self._reached)

    def _path(self, edges: tuple[Edge, ...]) -> Path:
        accounts = (edges[0].arg, *(edge.payer for edge in edges))
        if any(isinstance(edge.partial, str) for edge in edges):
            return Path(accounts, edges, None)
        gradient = Gradient(on_graph=False)
        bar: Any = seed_for(self.top.node)
        with np.errstate(all="ignore"):
            for edge in reversed(edges):  # the sweep's own product: what it masks out is masked here
                bar = gradient.pull(edge.payer.node, edge.slot, bar)
            return Path(accounts, edges, float(gradient.dense(bar)))


def walks_per_edge(ledger: Ledger) -> dict[Edge, int]:
    """How often each edge is walked when all leaves collect path by path: paths above it × paths below it.

    Above is known from the sweep of path counts.  Below is added up over the ledger's own edges, from the leaves up.

    >>> import payback as pb
    >>> from payback.glass import Ledger
    >>> a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
    >>> book = Ledger(((a + b) * (b + 1)).node, [a.node, b.node])
    >>> sorted(walks_per_edge(book).values())
    [1, 1, 1, 1, 2]
    """
    leaves = set(ledger.leaves)
    below = {account: int(account in leaves) for account in ledger.nodes}
    for edge in ledger.edges:  # ascending payer: what a payer adds up is complete
        below[edge.payer] += below[edge.arg]
    return {edge: ledger.counts[edge.payer.node].paths * below[edge.arg] for edge in ledger.edges}
