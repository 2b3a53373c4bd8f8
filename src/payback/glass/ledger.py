"""The ledger: one reverse sweep whose payments stay apart, so that a gradient can show what it is made of.

The sweep is the engine's own (`ad.sweep`), asked to leave its piles; nothing here walks the graph.  A pile holds who
paid, for which argument and how much.  Layers and counts of paths come from the same sweep under other algebras.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from payback.ad.algebra import Distance, Gradient, PathCount, Walks
from payback.ad.sweep import Entry, sweep
from payback.errors import InputError, PaybackError
from payback.glass.paths import Paths
from payback.ir.node import Node
from payback.trace.backward import seed_for


class LedgerError(PaybackError, AssertionError):
    """A ledger that does not add up."""


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """One node in the book.

    layer: edges from the top on the longest path.  settled: the sum of its pile, the derivative of the top by this
    node; None, as layer, where no path leads from the top to it, which is not the same as 0.
    """

    node: Node
    name: str
    layer: int | None
    settled: Any

    @property
    def id(self) -> int:
        return self.node.id

    @property
    def op(self) -> str:
        return str(self.node.op.name)

    @property
    def value(self) -> Any:
        return plain_number(self.node.value)

    def __repr__(self) -> str:
        return f"<{self.name} = {self.value!r}, settled {self.settled!r}>"


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """One payment: `payer` pays `arg`, its argument in `slot`, what it holds × the partial on the edge.

    partial: a number; between arrays the text of the op's rule, for the partial itself would be a large matrix.
    """

    payer: Account
    slot: int
    arg: Account
    partial: float | str
    paid: Any

    @property
    def parallel(self) -> bool:
        """Whether the payer uses the same argument more than once, as in a·a."""
        return self.payer.node.args.count(self.arg.node) > 1

    def __repr__(self) -> str:
        return f"<{self.payer.name} pays {self.arg.name} {self.paid!r}>"


class Settles(NamedTuple):
    """The event: all its users have paid, and the node adds up its pile (the top: what it is owed to begin with)."""

    account: Account
    pile: tuple[Edge, ...]


class Pays(NamedTuple):
    """The event: a settled node pays one argument."""

    edge: Edge


class Race(NamedTuple):
    """Collecting path by path against paying back: exact numbers of paths, edges walked on them, edges swept."""

    paths: int
    walks: int
    visits: int


class Ledger:
    """The account book of one gradient: the top's derivative by each of the leaves, payment by payment.

    top       the scalar to differentiate: a node with a value
    leaves    the nodes to differentiate by; any nodes that the top may have been made from
    names     what nodes are called; a variable without an entry keeps its own name, other nodes are %id

    nodes     the accounts: the leaves, and whatever lies between them and the top; ascending id
    edges     the payments, ascending (payer, slot); constants are paid nothing and have none
    events    what happened, told layer by layer from the top (layer = longest distance), then ascending id: the
              nodes of a layer settle, then they pay

    Raises DifferentiationError if the top is no floating scalar.

    >>> import payback as pb
    >>> a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
    >>> c = a + b
    >>> e = c * (b + 1)
    >>> book = Ledger(e.node, [a.node, b.node], {c.node: "c", e.node: "e"})
    >>> book.settled("b"), [edge.paid for edge in book.pile("b")]
    (5.0, [2.0, 3.0])
    >>> book.race()
    Race(paths=3, walks=6, visits=5)
    >>> book.check()
    """

    def __init__(self, top: Node, leaves: Iterable[Node], names: Mapping[Node, str] | None = None):
        self._algebra = Gradient(on_graph=False)
        piles: dict[Node, list[Entry]] = {}
        wrt = list(dict.fromkeys(leaves))
        with np.errstate(all="ignore"):
            self._bars = sweep(self._algebra, {top: seed_for(top)}, wrt, keep=lambda _: True, ledger=piles)
            layers = sweep(Distance(), {top: 0}, wrt, keep=lambda _: True)
            accounts: dict[Node, Account] = {}
            for node in sorted({*self._bars, *wrt, top}, key=lambda node: node.id):
                name = (names or {}).get(node) or node.params.get("name") or f"%{node.id}"
                settled = self._plain(self._bars[node]) if node in self._bars else None
                accounts[node] = Account(node, name, layers.get(node), settled)
            self._accounts = accounts
            self.top, self.leaves = accounts[top], tuple(accounts[leaf] for leaf in wrt)
            self.nodes = tuple(accounts.values())
            entries = [(p, slot, arg, paid) for arg, pile in piles.items() for p, slot, paid in pile if p is not None]
            entries.sort(key=lambda entry: (entry[0].id, entry[1]))
            self.edges = tuple(
                Edge(accounts[payer], slot, accounts[arg], self._partial(payer, slot), self._payment(arg, paid))
                for payer, slot, arg, paid in entries
            )
        self.events = self._tell()

    def account(self, which: Account | Node | str) -> Account:
        """The account of a node, or of a name; raises InputError, with the nearest names, if it has none."""
        node = which.node if isinstance(which, Account) else which
        if isinstance(node, Node):
            found = self._accounts.get(node)
        else:
            found = next((account for account in self.nodes if account.name == node), None)
        if found is not None:
            return found
        names = [account.name for account in self.nodes]
        near = difflib.get_close_matches(str(which), names, 3)
        known = ", ".join(names[:20]) + ", …" * (len(names) > 20)
        fix = f"did you mean {' or '.join(near)}?" if near else f"its nodes are {known}"
        raise InputError(f"there is no node {node} in the ledger", fix=fix)

    def pile(self, which: Account | Node | str) -> tuple[Edge, ...]:
        """The payments that a node has received, ascending (payer, slot); raises InputError as `account` does."""
        return self._received.get(self.account(which), ())

    def settled(self, which: Account | Node | str) -> Any:
        """The derivative of the top by a node, or None: no path.  Raises InputError as `account` does."""
        return self.account(which).settled

    def paths(self, top: Account | Node | str, leaf: Account | Node | str) -> Paths:
        """The paths from one node down to another; raises InputError as `account` does."""
        return Paths(self, self.account(top), self.account(leaf))

    def race(self) -> Race:
        """How much walking the sweep saved.  The counts are exact integers, found without walking any path."""
        counts = [self.counts.get(leaf.node, Walks(0, 0)) for leaf in self.leaves]
        return Race(sum(c.paths for c in counts), sum(c.walks for c in counts), len(self.edges))

    def check(self) -> None:
        """Go through the events with an empty book and add everything up again.

        Every edge that has a derivative is paid exactly once, after its payer has settled; every payment is what the
        payer holds × the partial; a node settles once, after all its users have paid, on the sum of its pile.
        Raises LedgerError naming the first thing that does not add up.
        """
        received: dict[Account, list[Edge]] = {}
        settled: set[Account] = set()
        paid: set[Edge] = set()
        with np.errstate(all="ignore"):
            due = self._due()
            for event in self.events:
                if isinstance(event, Settles):
                    self._check_settlement(event, received.get(event.account, []), due, settled)
                    settled.add(event.account)
                else:
                    edge = event.edge
                    if edge.payer not in settled or edge.arg in settled or edge in paid:
                        raise LedgerError(f"{edge.payer.name} pays {edge.arg.name} at the wrong time, or twice")
                    self._check_payment(edge)
                    paid.add(edge)
                    received.setdefault(edge.arg, []).append(edge)
        if paid != set(self.edges) or {(edge.payer.node, edge.slot) for edge in paid} != set().union(*due.values()):
            raise LedgerError("an edge was not paid, or is not of this graph")
        if settled != {account for account in self.nodes if account.settled is not None}:
            raise LedgerError("a node has not settled")

    def _due(self) -> dict[Node, set[tuple[Node, int]]]:
        """Who must pay each node, read off the graph and not off the book."""
        due: dict[Node, set[tuple[Node, int]]] = {node: set() for node in self._bars}
        for node, bar in self._bars.items():
            for slot, arg in enumerate(node.args):
                if arg in due and slot not in node.op.no_edge and self._algebra.pull(node, slot, bar) is not None:
                    due[arg].add((node, slot))
        return due

    def _check_settlement(
        self, event: Settles, received: list[Edge], due: dict[Node, set[tuple[Node, int]]], settled: set[Account]
    ) -> None:
        account = event.account
        if account in settled or {(e.payer.node, e.slot) for e in received} != due.get(account.node):
            raise LedgerError(f"{account.name} settles before all have paid, or twice")
        entries: list[Entry] = [
            (e.payer.node, e.slot, self._algebra.pull(e.payer.node, e.slot, self._bars[e.payer.node]))
            for e in sorted(received, key=lambda e: (e.payer.id, e.slot), reverse=True)
        ]
        if account is self.top:
            entries = [(None, 0, seed_for(account.node))]
        if not _same(self._plain(self._algebra.total(account.node, entries)), account.settled):
            why = f"its pile comes to another sum than {account.settled!r}"
            raise LedgerError(f"the pile of {account.name} does not add up", why=why)

    def _check_payment(self, edge: Edge) -> None:
        payer = edge.payer.node
        paid = self._payment(edge.arg.node, self._algebra.pull(payer, edge.slot, self._bars[payer]))
        partial = self._partial(payer, edge.slot)
        if not _same(paid, edge.paid) or not _same(partial, edge.partial):
            why = f"it holds {edge.payer.settled!r}, and the partial is {partial!r}, not {edge.partial!r}"
            raise LedgerError(f"{edge.payer.name} pays {edge.arg.name} a wrong amount, {edge.paid!r}", why=why)

    @cached_property
    def counts(self) -> dict[Node, Walks]:
        """The exact numbers of paths from the top to each node, and of the edges walked on them."""
        leaves = [leaf.node for leaf in self.leaves]
        return sweep(PathCount(), {self.top.node: Walks(1, 0)}, leaves, keep=lambda _: True)

    @cached_property
    def _received(self) -> dict[Account, tuple[Edge, ...]]:
        received: dict[Account, list[Edge]] = {}
        for edge in self.edges:
            received.setdefault(edge.arg, []).append(edge)
        return {account: tuple(edges) for account, edges in received.items()}

    def _tell(self) -> tuple[Settles | Pays, ...]:
        layers: dict[int, list[Account]] = {}
        payments: dict[Account, list[Edge]] = {}
        for account in self.nodes:
            if account.layer is not None:
                layers.setdefault(account.layer, []).append(account)
        for edge in self.edges:
            payments.setdefault(edge.payer, []).append(edge)
        events: list[Settles | Pays] = []
        for _, layer in sorted(layers.items()):
            events += [Settles(account, self._received.get(account, ())) for account in layer]
            events += [Pays(edge) for account in layer for edge in payments.get(account, [])]
        return tuple(events)

    def _partial(self, payer: Node, slot: int) -> float | str:
        """What the payer would pay if it held 1."""
        if payer.shape or payer.args[slot].shape:
            return str(payer.op.facts.get("math", payer.op.name))
        number = self._plain(self._algebra.pull(payer, slot, seed_for(payer)))
        assert isinstance(number, float)
        return number

    def _payment(self, arg: Node, paid: Any) -> Any:
        return self._plain(self._algebra.total(arg, [(None, 0, paid)]))  # a scattered payment becomes an array

    def _plain(self, bar: Any) -> Any:
        return plain_number(self._algebra.dense(bar))


def plain_number(value: Any) -> Any:
    """A scalar as a Python float, whatever type computed it; an array as it is.

    >>> plain_number(np.float64(2.0))
    2.0
    """
    return float(value) if np.ndim(value) == 0 else value


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, str) or isinstance(y, str):
        return type(x) is type(y) and bool(x == y)
    return y is not None and np.array_equal(x, y, equal_nan=True)
