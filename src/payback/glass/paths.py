"""Paths: the routes from the top to a leaf, which the sweep replaces and never walks.

They are walked here, one after the other and only on request, to show what the sweep's answer means: the derivative
is the sum over all paths of the product of their partials.  How many there are is known without walking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ad.algebra import Gradient, PathCount, Walks
from payback.ad.paths import Candidate, Heaviest, Sizes
from payback.errors import InputError
from payback.glass.counts import RoughCount, counted
from payback.trace.backward import seed_for

if TYPE_CHECKING:
    from payback.glass.accounts import Account, Edge
    from payback.glass.ledger import Ledger


MOST_ARRAY_PATHS = 10_000  # that are walked to find the largest


def _norm(value: Any) -> float:
    size = float(np.linalg.norm(np.asarray(value, np.float64).ravel()))
    return size if size == size else float("inf")


@dataclass(frozen=True, slots=True)
class Path:
    """One route, told from the leaf up as in the article: the accounts a, c, e over the edges c→a and e→c.

    product: of the partials; None if one of them is a rule and no number.
    """

    accounts: tuple[Account, ...]
    edges: tuple[Edge, ...]
    product: float | None

    @property
    def factors(self) -> tuple[float | str, ...]:
        """The partials on its edges, from the top down: numbers, or between arrays the texts of the rules."""
        return tuple(edge.partial for edge in reversed(self.edges))

    @property
    def paid(self) -> Any:
        """What the leaf is paid along this path alone, in its shape: the product, also between arrays."""
        if not self.edges:
            return self.product
        book = self.edges[0].book
        bar: Any = seed_for(self.edges[-1].payer.node)
        with np.errstate(all="ignore"):
            for edge in reversed(self.edges):
                gradient = book.apart()  # it must not remember what the whole gradient has paid
                bar = gradient.total(edge.arg.node, [(None, 0, gradient.pull(edge.payer.node, edge.slot, bar))])
            return book.plain(bar)


class Paths:
    """All paths from `top` to `leaf`, two accounts of a ledger; their numbers are exact."""

    def __init__(self, ledger: Ledger, top: Account, leaf: Account):
        self.ledger, self.top_account, self.leaf = ledger, top, leaf
        if top is ledger.top:
            self._reached = ledger.rough_counts.keys()
        else:
            self._reached = ledger.swept(RoughCount(), Walks(1, 0), top.node, [leaf.node]).keys()

    @cached_property
    def _exact(self) -> Walks:
        if self.top_account is self.ledger.top and self.leaf in self.ledger.leaves:
            counts = self.ledger.leaf_counts
        else:
            counts = self.ledger.swept(PathCount(), Walks(1, 0), self.top_account.node, [self.leaf.node])
        return counts.get(self.leaf.node, Walks(0, 0))

    @property
    def count(self) -> int:
        """How many paths there are; 0 if none leads to the leaf."""
        return self._exact.paths

    @property
    def walks(self) -> int:
        """How many edges one would walk on all paths together, which the sweep does not."""
        return self._exact.walks

    @property
    def between_arrays(self) -> bool:
        """Whether some payment on the way is an array: a path is then one of ops, and is walked to be compared."""
        return any(not edge.scalar for edge in self.ledger.edges if edge.payer.node in self._reached)

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
        if self.leaf is self.top_account and self.count:
            yield Path((self.leaf,), (), 1.0)
            return
        trail: list[Edge] = []
        climbs = [self._payers(self.leaf)]
        while climbs:
            edge = next(climbs[-1], None)
            if edge is None:
                climbs.pop()
                del trail[-1:]
            elif edge.payer is self.top_account:
                yield self._path((*trail, edge))
            else:
                trail.append(edge)
                climbs.append(self._payers(edge.payer))

    def top(self, k: int = 10) -> list[Path]:
        """The k largest paths by |product|, largest first: the k best of every pile, in one sweep.

        Between arrays a path is a path of ops, each payment an array; then they are walked one by one and compared by
        the norm of what the leaf is paid, and there may be no more than 10,000.

        Raises InputError for a leaf that no path leads to, or too many paths between arrays.

        >>> import payback as pb
        >>> from payback.glass import Ledger
        >>> a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
        >>> book = Ledger(((a + b) * (b + 1)).node, [b.node])
        >>> [path.product for path in book.paths().top(1)]
        [3.0]
        """
        self._refuse_none()
        if k < 1:
            raise InputError(f"the number of paths is {k}", why="it is at least 1")
        if self.between_arrays:
            if self.count > MOST_ARRAY_PATHS:
                raise InputError(f"there are {counted(self.count)} paths between arrays", where=self.leaf.name,
                                 why="sizes of paths are numbers, of one entry each",
                                 fix=f'ask for one entry: ledger["{self.leaf.name}"][i, j].paths().top()')  # fmt: skip
            return sorted(self.all(), key=lambda path: -_norm(path.paid))[:k]
        start = [Candidate(1.0, seed_for(self.top_account.node), None)]
        found = self.ledger.swept(Heaviest(k), start, self.top_account.node, [self.leaf.node])[self.leaf.node]
        edges = self.ledger.by_slot
        heaviest = []
        for candidate in found:
            trail, came = [], candidate.trail
            while came is not None:
                node, slot, came = came
                trail.append(edges[node, slot])
            accounts = (self.leaf, *(edge.payer for edge in trail))
            with np.errstate(all="ignore"):
                heaviest.append(Path(accounts, tuple(trail), float(self.ledger.gradient.dense(candidate.bar))))
        return heaviest

    @property
    def sum(self) -> Any:
        """Σ of the products: the derivative, found by one sweep."""
        self._refuse_none()
        gradient = Gradient(on_graph=False)
        return self.ledger.plain(self._swept(gradient))

    @property
    def gross(self) -> Any:
        """Σ |product|, for each entry of the leaf."""
        self._refuse_none()
        if self.top_account is self.ledger.top and self.leaf in self.ledger.leaves:
            return self.ledger.gross[self.leaf.node]
        return self.ledger.plain(self._swept(Sizes()))

    def share(self, paths: list[Path]) -> float:
        """The part of the gross that these paths carry, between scalars: 0.9 of them means little is elsewhere."""
        gross = self.gross
        carried = sum(abs(path.product) for path in paths if path.product is not None)
        return carried / gross if gross else 1.0

    def _swept(self, algebra: Any) -> Any:
        top = self.top_account.node
        return self.ledger.swept(algebra, seed_for(top), top, [self.leaf.node])[self.leaf.node]

    def _refuse_none(self) -> None:
        if self.leaf.node not in self._reached:
            raise InputError(f"no path leads from {self.top_account.name} to {self.leaf.name}")

    def _payers(self, account: Account) -> Iterator[Edge]:
        return (edge for edge in self.ledger.pile(account) if edge.payer.node in self._reached)

    def _path(self, edges: tuple[Edge, ...]) -> Path:
        accounts = (edges[0].arg, *(edge.payer for edge in edges))
        if any(isinstance(edge.partial, str) for edge in edges):
            return Path(accounts, edges, None)
        gradient = self.ledger.apart()
        bar: Any = seed_for(self.top_account.node)
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
