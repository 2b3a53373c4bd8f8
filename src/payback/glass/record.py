"""A ledger as data: what `payback explain --json` prints and what pages are drawn from."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from payback.glass.ledger import Account, Ledger, Pays, Settles
from payback.glass.paths import walks_per_edge
from payback.glass.story import PATHS_SHOWN, running


def record(ledger: Ledger) -> dict[str, Any]:
    """The parts of a ledger as lists and dicts of numbers and names; counts are exact integers.

    nodes      name, op, value, layer, settled (layer and settled are None where no path leads)
    edges      payer, slot, arg, partial, paid, walks (how often collecting passes it)
    paths      count, walks, and by leaf: count, sum (None: too many to collect), listed (the first of them: nodes from
               the leaf up, factors from the top down, product)
    events     {"event": "settles", node, terms, sum} and {"event": "pays", payer, slot, arg, owes, partial, paid}
    ledger     by node: the pile's entries with payer, slot, owes, local, paid, sum (running)
    gradient   by leaf: the derivative; None: no path

    >>> import payback as pb
    >>> a = pb.variable(3.0, "a")
    >>> record(Ledger((a * a).node, [a.node]))["gradient"]
    {'a': 6.0}
    """
    count, walks = ledger.race(), walks_per_edge(ledger)
    return {
        "nodes": [
            {"name": n.name, "op": n.op, "value": n.value, "layer": n.layer, "settled": n.settled} for n in ledger.nodes
        ],
        "edges": [
            {"payer": e.payer.name, "slot": e.slot, "arg": e.arg.name, "partial": e.partial, "paid": e.paid,
             "walks": walks[e]}
            for e in ledger.edges
        ],
        "paths": {
            "count": count.paths,
            "walks": count.walks,
            "visits": count.visits,
            "by_leaf": {leaf.name: _paths(ledger, leaf) for leaf in ledger.leaves},
        },
        "events": [_event(event) for event in ledger.events],
        "ledger": {
            node.name: [
                {"payer": e.payer.name, "slot": e.slot, "owes": e.payer.settled, "local": e.partial, "paid": e.paid,
                 "sum": so_far}
                for e, so_far in zip(ledger.pile(node), running(ledger.pile(node)), strict=True)
            ]
            for node in ledger.nodes
        },
        "gradient": {leaf.name: leaf.settled for leaf in ledger.leaves},
    }  # fmt: skip


def _paths(ledger: Ledger, leaf: Account) -> dict[str, Any]:
    paths = ledger.paths(ledger.top, leaf)
    listed = list(itertools.islice(paths.all(), PATHS_SHOWN))
    products = [path.product for path in listed if path.product is not None]
    with np.errstate(all="ignore"):
        collected = list(itertools.accumulate(products))
    return {
        "count": paths.count,
        "walks": paths.walks,
        "sum": collected[-1] if products and len(products) == paths.count else None,
        "listed": [
            {"nodes": [a.name for a in path.accounts], "factors": list(path.factors), "product": path.product}
            for path in listed
        ],
    }


def _event(event: Settles | Pays) -> dict[str, Any]:
    if isinstance(event, Pays):
        e = event.edge
        return {
            "event": "pays", "payer": e.payer.name, "slot": e.slot, "arg": e.arg.name, "owes": e.payer.settled,
            "partial": e.partial, "paid": e.paid,
        }  # fmt: skip
    terms = [e.paid for e in event.pile]
    return {"event": "settles", "node": event.account.name, "terms": terms, "sum": event.account.settled}
