"""Auditing a ledger: everything is added up again, and the graph, not the book, says what has to be in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ad.sweep import Entry
from payback.errors import InputError
from payback.glass.accounts import Account, Edge, LedgerError, Settles
from payback.glass.entries import no_collecting
from payback.ir.node import Node, by_id
from payback.ir.where import position
from payback.trace.backward import seed_for

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger


def check(book: Ledger) -> None:
    """Go through the events with an empty book and add everything up again.

    Every edge that has a derivative is paid exactly once, after its payer has settled; every payment is what the
    payer holds × the partial; a node settles once, after all its users have paid, on the sum of its pile.
    Raises LedgerError naming the first thing that does not add up.
    """
    received: dict[Account, list[Edge]] = {}
    settled: set[Account] = set()
    paid: dict[Edge, Any] = {}  # the payments as the sweep makes them, made again
    due = _due(book)
    with np.errstate(all="ignore"), no_collecting():
        for event in book.events:
            if isinstance(event, Settles):
                mine = received.pop(event.account, [])
                _check_settlement(book, event.account, mine, paid, due, settled)
                settled.add(event.account)
            else:
                edge = event.edge
                if edge.payer not in settled or edge.arg in settled or edge in paid:
                    raise LedgerError(f"{edge.payer.name} pays {edge.arg.name} at the wrong time, or twice")
                paid[edge] = _check_payment(book, edge)
                received.setdefault(edge.arg, []).append(edge)
    told = {(edge.payer.node, edge.slot) for edge in paid}
    if paid.keys() != set(book.edges) or told != set().union(*due.values()):
        raise LedgerError("an edge was not paid, or is not of this graph")
    if settled != {account for account in book.nodes if account.settled is not None}:
        raise LedgerError("a node has not settled")


def _due(book: Ledger) -> dict[Node, set[tuple[Node, int]]]:
    """Who has to pay each node, (payer, slot): read off the graph."""
    bars = book.bars
    due: dict[Node, set[tuple[Node, int]]] = {node: set() for node in bars}
    for payer in bars:
        no_edge, own = payer.op.no_edge, payer.op.kind == "own"
        for slot, arg in enumerate(payer.args):
            if arg in bars and slot not in no_edge and not (own and (payer, slot) in book.unpaid):
                due[arg].add((payer, slot))
    return due


def _check_settlement(
    book: Ledger,
    account: Account,
    received: list[Edge],
    paid: dict[Edge, Any],
    due: dict[Node, set[tuple[Node, int]]],
    settled: set[Account],
) -> None:
    if account in settled or {(e.payer.node, e.slot) for e in received} != due.get(account.node):
        raise LedgerError(f"{account.name} settles before all have paid, or twice")
    received.sort(key=lambda e: (e.payer.id, e.slot), reverse=True)
    entries: list[Entry] = [(e.payer.node, e.slot, paid[e]) for e in received]
    if account is book.top:
        entries = [(None, 0, seed_for(account.node))]
    if not same(book.plain(book.gradient.total(account.node, entries)), account.settled):
        why = f"its pile comes to another sum than {account.settled!r}"
        raise LedgerError(f"the pile of {account.name} does not add up", why=why)
    for edge in received:
        paid[edge] = None  # an array need not be held any longer


def _check_payment(book: Ledger, edge: Edge) -> Any:
    payer, slot = edge.payer.node, edge.slot
    pulled = book.gradient.pull(payer, slot, book.bars[payer])
    paid = book.amount(payer.args[slot], pulled)
    partial = book.partial(payer, slot)
    if not same(paid, edge.paid) or not same(partial, edge.partial):
        why = f"it holds {edge.payer.settled!r}, and the partial is {partial!r}, not {edge.partial!r}"
        raise LedgerError(f"{edge.payer.name} pays {edge.arg.name} a wrong amount, {edge.paid!r}", why=why)
    return pulled


def check_replay(book: Ledger) -> None:
    """Run the function again and compare the values, node by node.

    Raises LedgerError at the first that differs: the function reads something else than its arguments.
    """
    if book.again is None:
        raise InputError("the ledger cannot be replayed", why="it was not made from a function", fix="use pb.explain")
    pairs: dict[Node, Node] = {}
    stack = [(book.top.node, book.again())]
    while stack:
        old, new = stack.pop()
        if old not in pairs:
            pairs[old] = new
            if len(old.args) == len(new.args):
                stack.extend(zip(old.args, new.args, strict=True))
    for old in sorted(pairs, key=by_id):
        new = pairs[old]
        if old.op is not new.op or len(old.args) != len(new.args) or not same(old.value, new.value):
            raise LedgerError(
                "the function gives other values when it is run again",
                where=position(new.where),
                why="it depends on something else than its arguments: a random state, a counter, a file",
                fix="give all that varies as arguments; for random numbers use pb.random with a key",
            )


def same(x: Any, y: Any) -> bool:
    """Whether two amounts have the same bits, NaN among them."""
    if type(x) is float and type(y) is float:
        return x == y or (x != x and y != y)
    if isinstance(x, tuple) and isinstance(y, tuple):
        return len(x) == len(y) and all(same(a, b) for a, b in zip(x, y, strict=True))
    if isinstance(x, str) or isinstance(y, str):
        return type(x) is type(y) and bool(x == y)
    if x is None or y is None:
        return x is y
    return np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f")
