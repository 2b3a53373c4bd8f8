"""A ledger as data: what `ledger.to_json()` and `payback explain --json` write and what pages are drawn from.

The format, version 2 (a number is a JSON number, or one of the strings "NaN", "Infinity", "-Infinity"; numbers of paths
and walks are strings of digits, for they go beyond 2**53, and above 2**1024 rounded, "1.148e+602"; *no path* is null;
nodes are referred to by their names, which are unique, and stand in ascending order: a node's arguments before it):

    format      "payback ledger"
    version     2
    level       "op": a node is an operation on arrays; "entry": a node is one number
    top         name
    nodes       [{name, op, leaf, shape, dtype, value, layer, settled, where, entry}]
                  layer: edges from the top on the longest path; settled: what it is owed in all
                  where: a number in places, or null
                  entry: {of: name of the array, index: [..], part} at level "entry", else null; part: "" for the entry
                  itself, "·3" and "+3" for the 3rd product and the 3rd partial sum that it is made of
                  value and settled of a node with several results are lists
    edges       [{payer, slot, arg, partial, rule, paid, walks}]; partial: a number, or between arrays the rule's text;
                  walks: how often collecting path by path passes the edge
    paths       {count, walks, visits, by_leaf: {name: {count, walks, sum, listed: [{nodes, factors, product}]}}}
                  visits: edges the sweep went along; listed: the first 20 (fewer if they have over 1,000 edges, none
                  beyond the 20th leaf), nodes from the leaf up, factors from the top down; sum: of the products if all
                  are listed, else null
    events      [{event: "settles", node, terms, sum} | {event: "pays", payer, slot, arg, owes, partial, paid}]
    ledger      {name: [{payer, slot, owes, local, paid, sum}]}: the piles; sum: the running sum
    gradient    {leaf: amount}
    places      [{file, function, line, end_line, column, end_column, text}], as Python's `ast` counts
    sources     [{file, first, lines}]: the lines of the program that the places refer to

An amount is a number, or an array: {shape, dtype, norm, min, max, zeros, nonfinite, values}, `values` flat in row-major
order and null where the array is larger than asked for.  In events and piles an array is {shape, norm} only.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ad.algebra import Walks
from payback.glass.accounts import Account, Edge, Pays, Settles
from payback.glass.counts import quotient, rough_race, rough_walks, written
from payback.glass.story import PATHS_SHOWN, running
from payback.ir.aval import Avals
from payback.ir.source import lines_of_file
from payback.ir.where import Position
from payback.ops.index import Scattered, full_index

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger

VERSION = 2
LEAVES_LISTED = 20
STATIONS = 20_000  # of the paths of a leaf together, as long as its paths are in the mean
_STRINGS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def to_json(ledger: Ledger, values: int = 64) -> str:
    """The JSON text; arrays of up to `values` entries in full.

    >>> import payback as pb
    >>> from payback.glass import Ledger
    >>> a = pb.variable(3.0, "a")
    >>> json.loads(to_json(Ledger((a * a).node, [a.node])))["gradient"]
    {'a': 6.0}
    """
    return json.dumps(record(ledger, values), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def record(ledger: Ledger, values: int = 64) -> dict[str, Any]:
    """The ledger in dicts and lists as the format says."""
    with np.errstate(all="ignore"):
        return _record(ledger, values)


def _record(ledger: Ledger, values: int) -> dict[str, Any]:
    (paths, walked), walks = rough_race(ledger), rough_walks(ledger)
    full = _amounts(values)
    payments = _Payments(ledger, values)
    places: dict[Position, int] = {}
    return {
        "format": "payback ledger",
        "version": VERSION,
        "level": ledger.level,
        "top": ledger.top.name,
        "nodes": [_node(ledger, account, full, places) for account in ledger.nodes],
        "edges": [
            {"payer": e.payer.name, "slot": e.slot, "arg": e.arg.name, "partial": number(e.partial), "rule": e.rule,
             "paid": payments.full(e), "walks": written(walks[e])}
            for e in ledger.edges
        ],
        "paths": {
            "count": written(paths),
            "walks": written(walked),
            "visits": len(ledger.edges),
            "by_leaf": {leaf.name: _paths(ledger, leaf, k < LEAVES_LISTED) for k, leaf in enumerate(ledger.leaves)},
        },
        "events": [_event(event, payments) for event in ledger.events],
        "ledger": {
            node.name: [
                {"payer": e.payer.name, "slot": e.slot, "owes": short(e.payer.settled), "local": number(e.partial),
                 "paid": payments.short(e), "sum": so_far}
                for e, so_far in zip(ledger.pile(node), payments.running(ledger.pile(node)), strict=True)
            ]
            for node in ledger.nodes
        },
        "gradient": {leaf.name: full(leaf.settled) for leaf in ledger.leaves},
        "places": [place._asdict() for place in places],
        "sources": sources(places),
    }  # fmt: skip


def number(value: Any) -> Any:
    """A number as JSON has it; texts and None as they are.

    >>> number(2.0), number(float("-inf")), number(None)
    (2.0, '-Infinity', None)
    """
    if isinstance(value, float) and not np.isfinite(value):
        return _STRINGS[repr(float(value))]
    return value


def short(value: Any) -> Any:
    """An amount in events and piles."""
    if isinstance(value, (tuple, list)):
        return [short(part) for part in value]
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "norm": number(_norm(value))}
    return number(value)


def _amounts(limit: int) -> Callable[[Any], Any]:
    def full(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [full(part) for part in value]
        if isinstance(value, np.generic):
            return number(value.item())
        if not isinstance(value, np.ndarray):
            return number(value)
        sized = bool(value.size)
        return {
            **short(value),
            "dtype": str(value.dtype),
            "min": number(float(value.min())) if sized else None,
            "max": number(float(value.max())) if sized else None,
            "zeros": int(value.size - np.count_nonzero(value)),
            "nonfinite": int(value.size - np.count_nonzero(np.isfinite(value))),
            "values": [number(x) for x in value.ravel().tolist()] if value.size <= limit else None,
        }

    return full


class _Payments:
    """Payments; one to some entries of an array is not made an array of all to be told, or the book of a loop over an
    array would hold the square of its steps."""

    def __init__(self, ledger: Ledger, limit: int):
        self._ledger, self._full, self._limit = ledger, _amounts(limit), limit
        self._short: dict[Edge, Any] = {}
        self._scattered: dict[Edge, Scattered | None] = {}

    def full(self, edge: Edge) -> Any:
        found = self._some(edge) or self._full(edge.paid)
        self._short[edge] = _brief(found)
        return found

    def short(self, edge: Edge) -> Any:
        return self._short[edge]

    def running(self, pile: Sequence[Edge]) -> Iterator[Any]:
        """The sums of a pile as it grows, one array at a time."""
        if not pile or not pile[0].arg.shape or isinstance(pile[0].arg.node.aval, Avals):
            yield from map(short, running(pile))
            return
        total: Any = None
        for edge in pile:
            some = self._entries(edge)
            if total is None:
                total = np.array(edge.paid)
            elif some is None:
                total = total + edge.paid
            else:
                total[full_index(some.template, ())] += self._ledger.plain(some.value)
            yield short(total)

    def _entries(self, edge: Edge) -> Scattered | None:
        """What is paid to some entries of a large array, none of them named twice."""
        if edge.arg.node.aval.size <= self._limit or edge.payer.op != "index":
            return None
        if edge not in self._scattered:
            book, payer = self._ledger, edge.payer.node
            paid = book.gradient.pull(payer, edge.slot, book.bars[payer])
            self._scattered[edge] = paid if type(paid) is Scattered and not paid.arrays else None
        return self._scattered[edge]

    def _some(self, edge: Edge) -> Any:
        paid = None if isinstance(edge.arg.node.aval, Avals) else self._entries(edge)
        if paid is None:
            return None
        size = edge.arg.node.aval.size
        value = np.asarray(self._ledger.plain(paid.value), edge.arg.node.aval.dtype)
        rest = [0.0] if value.size < size else []
        return {
            "shape": list(edge.arg.shape),
            "norm": number(_norm(value)),
            "dtype": str(value.dtype),
            "min": number(float(np.min([*rest, *map(np.min, [value] * (value.size > 0))]))),
            "max": number(float(np.max([*rest, *map(np.max, [value] * (value.size > 0))]))),
            "zeros": int(size - np.count_nonzero(value)),
            "nonfinite": int(value.size - np.count_nonzero(np.isfinite(value))),
            "values": None,
        }


def _brief(amount: Any) -> Any:
    """An amount in full as it is in events and piles."""
    if isinstance(amount, list):
        return [_brief(part) for part in amount]
    return {"shape": amount["shape"], "norm": amount["norm"]} if isinstance(amount, dict) else amount


def _norm(value: Any) -> float:
    flat = np.asarray(value, np.float64).ravel()
    return sqrt(flat.dot(flat))  # as np.linalg.norm has it


def _node(ledger: Ledger, account: Account, full: Callable[[Any], Any], places: dict[Position, int]) -> dict[str, Any]:
    aval = account.node.aval
    several = isinstance(aval, Avals)
    avals: list[Any] = list(aval)
    entry = ledger.origin(account.node) if ledger.origin is not None else None
    return {
        "name": account.name,
        "op": account.op,
        "leaf": account in ledger.leaves,
        "shape": [list(part.shape) for part in avals] if several else list(account.shape),
        "dtype": [str(part.dtype) for part in avals] if several else str(aval.dtype),
        "value": full(account.value),
        "layer": account.layer,
        "settled": full(account.settled),
        "where": places.setdefault(account.where, len(places)) if account.where is not None else None,
        "entry": {"of": entry[0], "index": list(entry[1]), "part": entry[2]} if entry is not None else None,
    }


def _paths(ledger: Ledger, leaf: Account, listing: bool) -> dict[str, Any]:
    counts = ledger.rough_counts.get(leaf.node, Walks(0, 0))
    if not listing:
        return {"count": written(counts.paths), "walks": written(counts.walks), "sum": None, "listed": []}
    paths = ledger.paths(ledger.top, leaf)
    listed = list(itertools.islice(paths.all(), min(PATHS_SHOWN, int(STATIONS / max(quotient(*reversed(counts)), 1)))))
    products = [path.product for path in listed if path.product is not None]
    with np.errstate(all="ignore"):
        collected = list(itertools.accumulate(products))
    return {
        "count": written(counts.paths),
        "walks": written(counts.walks),
        "sum": number(collected[-1]) if products and len(products) == counts.paths else None,
        "listed": [
            {"nodes": [a.name for a in path.accounts], "factors": [number(f) for f in path.factors],
             "product": number(path.product)}
            for path in listed
        ],
    }  # fmt: skip


def _event(event: Settles | Pays, payments: _Payments) -> dict[str, Any]:
    if isinstance(event, Pays):
        e = event.edge
        return {
            "event": "pays", "payer": e.payer.name, "slot": e.slot, "arg": e.arg.name, "owes": short(e.payer.settled),
            "partial": number(e.partial), "paid": payments.short(e),
        }  # fmt: skip
    terms = [payments.short(e) for e in event.pile]
    return {"event": "settles", "node": event.account.name, "terms": terms, "sum": short(event.account.settled)}


def sources(places: Iterable[Position]) -> list[dict[str, Any]]:
    reach: dict[str, tuple[int, int]] = {}
    for place in places:
        first, last = reach.get(place.file, (place.line, place.end_line))
        reach[place.file] = (min(first, place.line), max(last, place.end_line))
    return [
        {"file": file, "first": first,
         "lines": [line.rstrip("\n") for line in lines_of_file(file)[first - 1 : last]] or [""] * (last - first + 1)}
        for file, (first, last) in reach.items()
    ]  # fmt: skip
