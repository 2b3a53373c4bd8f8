"""The ledger: one reverse sweep whose payments stay apart, so that a gradient can show what it is made of.

The sweep is the engine's own (`ad.sweep`); nothing here walks the graph.  It keeps what every node holds, and every
pile: who has paid, for which argument.  Between numbers the amounts stay in the piles; between arrays what a node pays
is what it holds × the partial, the same bits whenever it is asked, and is computed when somebody looks.  Counts and
sizes of paths come from the same sweep under other algebras.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient, Masked, PathCount, Walks
from payback.ad.paths import Sizes
from payback.ad.sweep import Entry, everything, live_nodes, reach, sweep
from payback.errors import InputError
from payback.glass.accounts import Account, Edge, Events, LedgerError, Pays, Race, Settles, plain_number, ratio
from payback.glass.counts import RoughCount
from payback.glass.entries import EntryNames, no_collecting
from payback.glass.expand import Expansion
from payback.glass.inside import Opened
from payback.glass.names import name_nodes
from payback.glass.questions import Questions, Which
from payback.ir.aval import Avals
from payback.ir.node import Node, ancestors, by_id
from payback.ops.index import Scattered
from payback.ops.row import first, one, second
from payback.ops.several import Share
from payback.trace.backward import seed_for

__all__ = ["Account", "Edge", "Ledger", "LedgerError", "Pays", "Race", "Settles", "plain_number"]


class Ledger(Questions):
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

    level = "op"  # or "entry": number by number
    origin: Callable[[Node], tuple[str, tuple[int, ...], str] | None] | None = (
        None  # level "entry": (array, index, part)
    )
    data: Mapping[str, Any] = MappingProxyType({})  # the arrays among the arguments, by name
    texts: Mapping[Node, str] = MappingProxyType({})  # sub-expressions that the graph does not know
    again: Callable[[], Node] | None = None  # runs the function once more, for `check(replay=True)`

    def __init__(self, top: Node, leaves: Iterable[Node], names: Mapping[Node, str] | None = None):
        self._top, self._leaves = top, list(dict.fromkeys(leaves))
        self._given: Any = dict(names or {})
        self._aliases: dict[str, str] = {}
        self.gradient = Gradient(on_graph=False)
        seed = seed_for(top)
        floor = min((leaf.id for leaf in self._leaves), default=0)
        self._reached = reach([top], floor, set(self._leaves))
        self.piles: dict[Node, list[Entry]] = {}
        with np.errstate(all="ignore"), no_collecting():
            self.bars = sweep(
                self.gradient, {top: seed}, self._leaves, reached=self._reached, keep=everything, ledger=self.piles
            )
        self._numbers = all(map(_is_number, self.bars.values()))
        if not self._numbers:  # an array on a pile would be held, or used again for a sum
            self.piles = {node: [(p, slot, None) for p, slot, _ in pile] for node, pile in self.piles.items()}

    # what is in it

    @cached_property
    def accounts(self) -> dict[Node, Account]:
        """The account of each node that is paid, of the leaves and of the top; the youngest first."""
        nodes = [*reversed(self.bars)]  # they have settled by descending id
        missing = {*self._leaves, self._top}.difference(nodes)
        if missing:
            nodes = sorted([*nodes, *missing], key=by_id)
        return {node: Account(self, node) for node in nodes}

    @cached_property
    def names(self) -> dict[Node, str]:
        """What the nodes are called; no two of them alike."""
        names: dict[Node, str] = {}
        taken: set[str] = set()
        for node in self.accounts:
            base = name = self._given.get(node) or node.params.get("name") or f"%{node.id}"
            count = 1
            while name in taken:
                count += 1
                name = f"{base}#{count}"
            taken.add(name)
            names[node] = name
        return names

    @cached_property
    def top(self) -> Account:
        """The account of what is differentiated."""
        return self.accounts[self._top]

    @cached_property
    def leaves(self) -> tuple[Account, ...]:
        """The accounts of what it is differentiated by."""
        return tuple(self.accounts[leaf] for leaf in self._leaves)

    @cached_property
    def nodes(self) -> tuple[Account, ...]:
        """All accounts, the youngest first."""
        return tuple(self.accounts.values())

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All payments, by payer and slot."""
        with no_collecting():
            edges = [edge for pile in self.received.values() for edge in pile]
            edges.sort(key=attrgetter("slot"))
            edges.sort(key=attrgetter("payer.node.id"))
            return tuple(edges)

    @cached_property
    def by_slot(self) -> dict[tuple[Node, int], Edge]:
        """Payments by (node that pays, slot of the argument that is paid)."""
        return {(edge.payer.node, edge.slot): edge for edge in self.edges}

    @cached_property
    def events(self) -> Sequence[Settles | Pays]:
        """What happens, in the order of the story: layer by layer, accounts settle and pay."""
        with no_collecting():
            distance, accounts = self.layers, self.accounts
            layers: list[list[Account | Edge]] = [[] for _ in range(1 + max(distance.values(), default=-1))]
            for node in reversed(distance):  # ascending id
                layers[distance[node]].append(accounts[node])
            for edge in self.edges:
                layers[distance[edge.payer.node]].append(edge)
            return Events([thing for layer in layers for thing in layer], self.received)

    @cached_property
    def received(self) -> dict[Account, tuple[Edge, ...]]:
        """The payments that each account gets, in the order in which they are added up."""
        accounts = self.accounts
        received: dict[Account, tuple[Edge, ...]] = {}
        with no_collecting():
            for node, pile in self.piles.items():
                arg = accounts[node]
                if len(pile) == 1:
                    payer, slot, paid = pile[0]
                    if payer is not None:  # None: what the top is owed to begin with
                        received[arg] = (Edge(self, accounts[payer], slot, arg, paid),)
                else:
                    edges = [Edge(self, accounts[payer], slot, arg, paid) for payer, slot, paid in pile]  # type: ignore[index]
                    received[arg] = (*reversed(edges),)
        return received

    @cached_property
    def unpaid(self) -> frozenset[tuple[Node, int]]:
        """Arguments that a rule of its own kind pays nothing."""
        with np.errstate(all="ignore"):
            return frozenset(
                (payer, slot)
                for payer, bar in self.bars.items()
                if payer.op.kind == "own"
                for slot, arg in enumerate(payer.args)
                if arg in self.bars and slot not in payer.op.no_edge and self.gradient.pull(payer, slot, bar) is None
            )

    # looking things up

    @cached_property
    def _by_name(self) -> dict[str, Account]:
        return {account.name: account for account in self.nodes}

    def account(self, which: Which) -> Account:
        """The account of a node, or of a name; raises InputError, with the nearest names, if it has none."""
        node = which.node if isinstance(which, Account) else which
        if isinstance(node, Node):
            found = self.accounts.get(node)
        else:
            name = self._aliases.get(node, node)
            found = self._by_name.get(name)
        if found is not None:
            return found
        names = [account.name for account in self.nodes]
        near = difflib.get_close_matches(str(which), names, 3)
        known = ", ".join(names[:20]) + ", …" * (len(names) > 20)
        fix = f"did you mean {' or '.join(near)}?" if near else f"its nodes are {known}"
        raise InputError(f"there is no node {node} in the ledger", fix=fix)

    def __getitem__(self, which: Which) -> Account:
        return self.account(which)

    def pile(self, which: Which) -> tuple[Edge, ...]:
        """The payments that a node has received, ascending (payer, slot); raises InputError as `account` does."""
        return self.received.get(self.account(which), ())

    def settled(self, which: Which) -> Any:
        """The derivative of the top by a node, or None: no path.  Raises InputError as `account` does."""
        return self.account(which).settled

    def edge(self, payer: Which, arg: Which, slot: int | None = None) -> Edge:
        """The payment from one node to another; `slot` tells which, where there are several.  Raises InputError."""
        payer, arg = self.account(payer), self.account(arg)
        found = [e for e in self.pile(arg) if e.payer is payer and slot in (None, e.slot)]
        if len(found) == 1:
            return found[0]
        if not found:
            payers = ", ".join(dict.fromkeys(e.payer.name for e in self.pile(arg))) or "nobody"
            raise InputError(f"{payer.name} does not pay {arg.name}", why=f"it is paid by {payers}")
        raise InputError(f"{payer.name} pays {arg.name} {len(found)} times",
                         fix=f"say which: slot={' or '.join(str(e.slot) for e in found)}")  # fmt: skip

    # amounts

    def plain(self, bar: Any) -> Any:
        """What a node is owed as people get it: a Python number or an array; of several results a tuple."""
        if type(bar) is float:
            return bar
        if type(bar) is np.float64:
            return float(bar)
        if isinstance(bar, list):
            return tuple(None if part is None else plain_number(self.gradient.dense(part)) for part in bar)
        return plain_number(self.gradient.dense(bar))

    def payment(self, payer: Node, slot: int) -> Any:
        """What a node pays one of its arguments, as an array of the argument's shape."""
        with np.errstate(all="ignore"):
            return self.amount(payer.args[slot], self.gradient.pull(payer, slot, self.bars[payer]))

    def amount(self, arg: Node, paid: Any) -> Any:
        """A payment as the sweep hands it over, in the shape of the argument."""
        if type(paid) is Share:
            return self.plain(paid.bar)
        if type(paid) is Scattered:
            return self.plain(self.gradient.total(arg, [(None, 0, paid)]))  # in one buffer
        return self.plain(paid)

    def partial(self, payer: Node, slot: int) -> float | str:
        """What the payer would pay if it held 1; between arrays the text of the rule."""
        arg = payer.args[slot]
        if not self._numbers and (
            payer.shape or arg.shape or isinstance(payer.aval, Avals) or isinstance(arg.aval, Avals)
        ):
            return str(payer.op.facts.get("math", payer.op.name))
        if payer.op.kind == "pointwise":
            rule = payer.op.partials[slot]
            if rule is one:
                return 1.0
            if rule is first or rule is second:
                return float(payer.args[rule is second].value)
        with np.errstate(all="ignore"):
            gradient = self._alone
            gradient._payments = (None, [])
            return float(self.plain(gradient.pull(payer, slot, seed_for(payer))))

    @cached_property
    def _alone(self) -> Gradient:
        return self.apart()

    def apart(self) -> Gradient:
        """The algebra of payments for other amounts than those of this ledger: rules of their own kind keep theirs."""
        gradient = Gradient(on_graph=False)
        gradient.live = self.bars.keys()  # type: ignore[assignment]
        return gradient

    # other algebras

    def swept(self, algebra: Any, start: Any, top: Node | None = None, leaves: list[Node] | None = None) -> Any:
        """The same sweep under another algebra: node -> what it comes to."""
        wrt = self._leaves if leaves is None else leaves
        reached = self._reached if top is None and leaves is None else None
        with np.errstate(all="ignore"):
            return sweep(self._allowed(algebra), {top or self._top: start}, wrt, reached=reached, keep=everything)

    def _allowed(self, algebra: Any) -> Any:
        if self.unpaid:
            algebra.pull = _skipping(algebra.pull, self.unpaid)
        return algebra

    @cached_property
    def layers(self) -> dict[Node, int]:
        """Edges from the top, along the longest path: read off the piles, whose payers have all settled before."""
        layers: dict[Node, int] = {}
        for node, pile in self.piles.items():
            layers[node] = 0 if pile[0][0] is None else 1 + max([layers[payer] for payer, _, _ in pile])  # type: ignore[index]
        return layers

    @cached_property
    def counts(self) -> dict[Node, Walks]:
        """The exact numbers of paths from the top to each node, and of the edges walked on them."""
        counts: dict[Node, Walks] = self.swept(PathCount(), Walks(1, 0))
        return counts

    @cached_property
    def leaf_counts(self) -> dict[Node, Walks]:
        """Those of the leaves alone: of a long loop each is a number of a thousand digits."""
        with np.errstate(all="ignore"):
            return sweep(self._allowed(PathCount()), {self._top: Walks(1, 0)}, self._leaves, reached=self._reached)

    @cached_property
    def rough_counts(self) -> dict[Node, Walks]:
        """The same for telling: beyond 2**1024 by their logarithm, see `counts.py`."""
        counts: dict[Node, Walks] = self.swept(RoughCount(), Walks(1, 0))
        return counts

    @cached_property
    def gross(self) -> dict[Node, Any]:
        """Σ |product of the partials| over the paths to each leaf (and to what the ledger and its opened loops share).

        Raises DifferentiationError where a row has no paths inside ("not defined for `solve`").
        """
        opened = Opened(self._top, self._leaves)
        with np.errstate(all="ignore"):
            found = sweep(Sizes(), {opened.top: seed_for(opened.top)}, self._leaves, keep=everything)
        return {node: self.plain(bar) for node, bar in found.items()}

    @property
    def kappa(self) -> dict[str, Any]:
        """Σ |paths| / |Σ paths| for each entry of each leaf: what cancels.  1: nothing; 1e6: six digits are lost.

        Infinite where the paths cancel exactly; 1 where they are all 0, and None for a leaf without a path.
        """
        return {leaf.name: ratio(self.gross.get(leaf.node), leaf.settled) for leaf in self.leaves}

    @cached_property
    def opened(self) -> Ledger:
        """The same gradient with its loops and branches opened: every step told apart, under its variables' names
        (c, c#2, …); itself if it has none.  Raises InputError for more than 1,000,000 operations in them.
        """
        inside = Opened(self._top, self._leaves)
        if not inside.of:
            return self
        known = {inside.of.get(node, node): account.name for node, account in self.accounts.items()
                 if node not in inside.of or not account.name.startswith(account.op)}  # fmt: skip
        between = ancestors([inside.top], min(leaf.id for leaf in self._leaves))
        names = name_nodes(live_nodes(between, set(self._leaves))[0], known)
        book = Ledger(inside.top, self._leaves, names)
        book._aliases, book.data = self._aliases, self.data
        return book

    def entry(self, which: Which, index: Any = ()) -> Ledger:
        """The ledger of one entry of an array, number by number: its cone alone, see `expand.py`.

        Raises InputError for an index that is none, and for an entry that no path leads to.
        """
        account = self.account(which)
        mask = np.zeros(account.shape, bool)
        places = index if isinstance(index, tuple) else (index,)
        try:
            mask[index] = True
        except (IndexError, ValueError, TypeError):
            mask[...] = False
        if mask.sum() != 1 or not all(isinstance(i, (int, np.integer)) for i in places):
            example = f"{account.name}{[0] * len(account.shape)}"
            raise InputError(f"{account.name}{list(places)} is no entry", why=f"it has the shape {account.shape}",
                             fix=f"give one whole number for each axis, as in {example}")  # fmt: skip
        return self._expanded({account.node: mask})

    def by_entry(self, *leaves: Which) -> Ledger:
        """The whole ledger number by number: every entry of the leaves (all, or those named) is a leaf."""
        chosen = [self.account(leaf).node for leaf in leaves] or self._leaves
        return self._expanded(dict.fromkeys(chosen))

    def _expanded(self, wanted: dict[Node, Any]) -> Ledger:
        opened = Opened(self._top, list(wanted))
        made = Expansion(opened.top, wanted)
        found = made.entries.get(opened.top)
        top = None if found is None else found[()]
        known = {opened.of.get(node, node): account.name for node, account in self.accounts.items()}
        names = EntryNames(made.labels, known)
        if top is None:
            leaf = made.leaves[0] if made.leaves else None
            what = names.get(leaf) or "the entry"
            raise InputError(
                f"no path leads from {self.top.name} to {what}", why="nothing that the result depends on reads it"
            )
        book = Ledger(top, made.leaves)
        book._given, book.level = names, "entry"
        book.origin = names.origin
        return book

    def race(self) -> Race:
        """How much walking the sweep saved.  The counts are exact integers, found without walking any path."""
        counts = [self.leaf_counts.get(leaf.node, Walks(0, 0)) for leaf in self.leaves]
        return Race(sum(c.paths for c in counts), sum(c.walks for c in counts), self._visits())

    def _visits(self) -> int:
        return sum(map(len, self.piles.values())) - (self._top in self.piles)

    def arrays(self) -> dict[str, list[Node]]:
        """The nodes of what was given, by name: the leaves, and arguments that are constants."""
        found = {leaf.name: [leaf.node] for leaf in self.leaves}
        ends = [node for node in ancestors([self._top]) if not node.args and node.shape]
        for name, array in self.data.items():
            nodes = [n for n in ends if n.shape == array.shape and np.array_equal(n.value, array)]
            if nodes and name not in found:
                found[name] = nodes
        return found

    def __repr__(self) -> str:
        return f"<ledger of {self.top.name}: {len(self.nodes):,} nodes, {self._visits():,} edges>"


_NUMBERS = frozenset({float, np.float64, np.float32, np.float16})


def _is_number(bar: Any) -> bool:
    return type(bar) in _NUMBERS or (type(bar) is Masked and type(bar.value) in _NUMBERS)


def _skipping(pull: Callable[..., Any], unpaid: frozenset[tuple[Node, int]]) -> Callable[..., Any]:
    return lambda node, slot, bar: None if (node, slot) in unpaid else pull(node, slot, bar)
