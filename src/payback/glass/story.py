"""The story of a ledger in sentences: the partials, collecting path by path, paying back, and the account book.

Numbers are written in the shortest form that reads back as the same float; a negative one inside a product or a sum
stands in parentheses.  Listings that could be endless are cut, and what is left out is counted exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from payback.glass.accounts import Edge, Pays, Settles, plain_number
from payback.glass.counts import counted
from payback.glass.paths import Path, walks_per_edge
from payback.ir.aval import Avals
from payback.ir.node import Node

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger

PATHS_SHOWN = 20  # of each leaf
TERMS_SHOWN = 20  # of one sum
EDGES_SHOWN = 5  # of those walked more than once
STATIONS_SHOWN = 12  # of one path
_SIGNS = {"add": "+", "sub": "-", "mul": "·", "div": "/", "power": "**"}
_SHORT = {"maximum": "max", "minimum": "min"}
_ORDINALS = ("1st", "2nd", "3rd")  # which use, where an op uses one argument more than once; no row has more slots


def shown(number: object) -> str:
    """A number in its shortest form; anything else (an array, a rule) as text.

    >>> [shown(x) for x in (2.0, 0.1, 1e30, -0.0)]
    ['2', '0.1', '1e+30', '0']
    """
    if not isinstance(number, float):
        return str(number)
    return repr(number + 0.0).removesuffix(".0")  # + 0.0: no minus before a zero


def factor(number: object) -> str:
    """The number as it stands inside a product or a sum.

    >>> factor(-1.0)
    '(-1)'
    """
    text = shown(number)
    return f"({text})" if text.startswith("-") else text


def formula(node: Node, names: Mapping[Node, str]) -> str:
    """What a node computes, in the names of its arguments; constants as numbers.

    >>> import payback as pb
    >>> a, b = pb.variable(2.0), pb.variable(1.0)
    >>> formula((a * b).node, {a.node: "a", b.node: "b"})
    'a·b'
    """
    args = [names.get(arg) or factor(plain_number(arg.value)) for arg in node.args]
    if node.op.name in _SIGNS:
        return _SIGNS[node.op.name].join(args)
    return f"-{args[0]}" if node.op.name == "neg" else f"{_SHORT.get(node.op.name, node.op.name)}({', '.join(args)})"


def partials(ledger: Ledger) -> list[str]:
    """`∂c/∂a = 1`, one line an edge; a partial that is not finite with what the op needs."""
    lines = []
    for edge in ledger.edges:
        line = f"∂{edge.payer.name}/∂{edge.arg.name} = {shown(edge.partial)}{_which(edge)}"
        if isinstance(edge.partial, float) and not np.isfinite(edge.partial):
            domain = edge.payer.node.op.facts.get("domain")
            line += f" ({edge.payer.op} has a finite partial where {domain})" if domain else ""
        lines.append(line)
    return lines


def collecting(ledger: Ledger) -> list[str]:
    """`b-d-e 3·1 = 3`: every leaf collects along its paths and adds up; the lines of a leaf end with its sum."""
    lines = []
    for leaf in ledger.leaves:
        paths = ledger.paths(ledger.top, leaf)
        if not paths.count:
            lines.append(f"{leaf.name}: no path from {ledger.top.name}, nothing to collect")
            continue
        walked = list(itertools.islice(paths.all(), PATHS_SHOWN))
        lines += [along(path) for path in walked]
        derivative = f"∂{ledger.top.name}/∂{leaf.name}"
        if paths.count > len(walked):
            lines.append(f"… and {counted(paths.count - len(walked))} more")
            lines.append(f"{derivative} = {shown(leaf.settled)}, known from paying back")
        else:
            lines.append(f"{derivative} = {total([path.product for path in walked])}")
    return lines


def along(path: Path) -> str:
    """`a-c-e 2·1 = 2`; of a long path the ends."""
    names = "-".join(_ends([account.name for account in path.accounts]))
    if not path.edges:
        return f"{names} {shown(path.product)}, the top itself"
    factors = "·".join(_ends([factor(f) for f in path.factors]))
    marks = ", ".join(_ends([_ORDINALS[edge.slot] for edge in path.edges if edge.parallel]))
    product = f"{factors} = {shown(path.product)}" if len(path.edges) > 1 else shown(path.product)
    return f"{names} {product}" + (f" ({marks})" if marks else "") + _not_taken(path.factors, path.product)


def race(ledger: Ledger) -> str:
    """`3 paths, 6 walks, edge c-e walked twice`: what collecting costs."""
    count = ledger.race()
    walks = walks_per_edge(ledger)
    again = sorted((edge for edge in ledger.edges if walks[edge] > 1), key=lambda edge: -walks[edge])
    told = [f"edge {edge.arg.name}-{edge.payer.name}{_which(edge)} walked {times(walks[edge])}" for edge in again]
    if len(told) > EDGES_SHOWN:
        told[EDGES_SHOWN:] = [f"{_count(len(told) - EDGES_SHOWN, 'more edge')} walked more than once"]
    return ", ".join([_count(count.paths, "path"), _count(count.walks, "walk"), *(told or ["no edge walked twice"])])


def paying_back(ledger: Ledger) -> list[str]:
    """The events, a line a layer: `e pays c 1·2, e pays d 1·3`, `a settled 2, b settled 2+3 = 5`.

    A node that passes on a single payment settles without a word: what it holds is what it was paid.
    """
    layers: dict[int, list[str]] = {}
    for event in ledger.events:
        if isinstance(event, Pays):
            edge = event.edge
            owed = f"{factor(edge.payer.settled)}·{factor(edge.partial)}"
            owed += _not_taken((edge.payer.settled, edge.partial), edge.paid)
            layers.setdefault(edge.payer.layer or 0, []).append(f"{edge.payer.name} pays {edge.arg.name} {owed}")
        elif len(event.pile) > 1 or event.account in ledger.leaves:
            layers.setdefault(event.account.layer or 0, []).append(_settlement(event))
    lines = [", ".join(told) for _, told in sorted(layers.items())]
    return lines + [f"{leaf.name}: not reached, no path" for leaf in ledger.leaves if leaf.settled is None]


def visits(ledger: Ledger) -> str:
    """`5 edges, each paid once`: what paying back costs."""
    count = ledger.race().visits
    return f"{_count(count, 'edge')}, {'each paid once' if count > 1 else 'paid once' if count else 'nothing to pay'}"


def book(ledger: Ledger) -> list[tuple[str, ...]]:
    """The ledger of every node, row by row: node, payer, owes, × local, = paid, running sum."""
    rows: list[tuple[str, ...]] = []
    for event in ledger.events:
        if isinstance(event, Settles):
            name = event.account.name
            if event.account is ledger.top:
                rows.append((name, "(the top)", "", "", "1", "1"))
            for edge, sum_so_far in zip(event.pile, running(event.pile), strict=True):
                numbers = (edge.payer.settled, edge.partial, edge.paid, sum_so_far)
                rows.append((name, edge.payer.name, *(shown(number) for number in numbers)))
                name = ""
    return rows


def running(pile: Sequence[Edge]) -> list[float]:
    """The sums of a pile as it grows, in the order in which the sweep adds it up: ascending payer.

    What several results of one node are paid is not added up: there the payments themselves.
    """
    if pile and isinstance(pile[0].arg.node.aval, Avals):
        return [edge.paid for edge in pile]
    with np.errstate(all="ignore"):
        return list(itertools.accumulate(edge.paid for edge in pile))


def total(terms: Sequence[object]) -> str:
    """`2+3 = 5`; one term stands alone.

    >>> total([1.0, -1.0]), total([2.0])
    ('1+(-1) = 0', '2')
    """
    if len(terms) == 1:
        return shown(terms[0])
    told = [factor(term) for term in terms[:TERMS_SHOWN]]
    if len(terms) > TERMS_SHOWN:
        told.append(f"… ({len(terms) - TERMS_SHOWN:,} more)")
    with np.errstate(all="ignore"):
        return f"{'+'.join(told)} = {shown(list(itertools.accumulate(terms))[-1])}"


def times(count: int) -> str:
    """How often.

    >>> times(2), times(2**20)
    ('twice', '1,048,576 times')
    """
    return "twice" if count == 2 else f"{counted(count)} times"


def _settlement(event: Settles) -> str:
    if not event.pile:
        return f"{event.account.name} settled {shown(event.account.settled)}, the top itself"
    return f"{event.account.name} settled {total([edge.paid for edge in event.pile])}"


def _which(edge: Edge) -> str:
    return f" ({_ORDINALS[edge.slot]})" if edge.parallel else ""


def _not_taken(factors: Sequence[object], product: object) -> str:
    """Why 0·inf is 0: the sweep masks out what a max or relu has not taken, whatever the partials below are."""
    if product == 0.0 and not all(np.isfinite(f) for f in factors if isinstance(f, float)):
        return " (not taken: pays 0)"
    return ""


def _count(number: int, noun: str) -> str:
    return f"{counted(number)} {noun}{'' if number == 1 else 's'}"


def _ends(parts: Sequence[str]) -> list[str]:
    half = STATIONS_SHOWN // 2
    return list(parts) if len(parts) <= STATIONS_SHOWN else [*parts[:half], "…", *parts[-half:]]
