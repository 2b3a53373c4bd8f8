"""Who is to thank for a gradient, in parts that add up to it: what passes a place, what is left without an edge, whose
line, term or sample it comes from.

A derivative is a sum over paths, so it splits into parts wherever the paths do.  Each part is one more sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.paths import Amounts, Through, Without
from payback.ad.sweep import Entry, reach, sweep
from payback.errors import InputError
from payback.glass.accounts import Account, Edge
from payback.glass.inside import Opened
from payback.glass.samples import owners
from payback.ir.node import Node, by_id
from payback.ir.where import position
from payback.ops.index import Scattered
from payback.ops.row import CONST
from payback.trace.backward import seed_for

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger

BY = ("line", "layer", "op", "term", "sample")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a gradient.

    name      what it belongs to: a line, a term, a sample, …
    gradient  by leaf; None: no path of that part leads there
    share     of the whole: Σ part·whole / Σ whole², so that the shares add up to 1; NaN where the whole is 0
    norm      √Σ part²
    """

    name: Any
    gradient: dict[str, Any]
    share: float
    norm: float


@dataclass(frozen=True, slots=True)
class Blame:
    """The parts of a gradient, largest share first; `total` is what they add up to."""

    by: str
    parts: tuple[Part, ...]
    total: dict[str, Any]

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, name: Any) -> Part:
        found = next((part for part in self.parts if part.name == name), None)
        if found is None:
            raise InputError(f"there is no {self.by} {name}",
                             fix=f"they are {', '.join(str(p.name) for p in self.parts[:20])}")  # fmt: skip
        return found

    def __str__(self) -> str:
        lines = [f"the gradient by {self.by}"]
        lines += [f"  {part.share:8.2%}  {part.norm:.6g}  {part.name}" for part in self.parts[:20]]
        return "\n".join([*lines, *([f"  … and {len(self) - 20:,} more"] if len(self) > 20 else [])])


@dataclass(frozen=True, slots=True)
class Cut:
    """The gradient without an edge.

    gradient  by leaf; None: no path is left
    cosine    of the angle to the real gradient; NaN where one of them is 0
    unpaid    the accounts that no path leads to any more
    """

    edge: Edge
    gradient: dict[str, Any]
    cosine: float
    unpaid: tuple[Account, ...]

    def __str__(self) -> str:
        left = ", ".join(account.name for account in self.unpaid)
        return (f"without {self.edge.payer.name} → {self.edge.arg.name}: cosine to the real gradient {self.cosine:.6g}"
                + (f"; nobody pays {left} any more" if left else ""))  # fmt: skip


def cut(book: Ledger, edge: Edge) -> Cut:
    """The exact gradient without an edge: one more sweep, in which that edge pays nothing."""
    if book.by_slot.get((edge.payer.node, edge.slot)) is not edge:
        raise InputError("the edge is not of this ledger", fix="take it from ledger.edges, or ledger.edge(payer, arg)")
    algebra = Without([(edge.payer.node, edge.slot)])
    found = book.swept(algebra, seed_for(book.top.node))
    gradient = {leaf.name: book.plain(found[leaf.node]) if leaf.node in found else None for leaf in book.leaves}
    unpaid = tuple(account for account in book.nodes if account.settled is not None and account.node not in found)
    return Cut(edge, gradient, _cosine(gradient, _whole(book)), unpaid)


def through(
    book: Ledger,
    predicate: Callable[[Account], Any] | None = None,
    *,
    layer: int | None = None,
    line: int | str | None = None,
    term: Any = None,
    sample: int | None = None,
    samples: str | Sequence[str] | None = None,
) -> Part:
    """The part of the gradient that comes along paths through some nodes (the predicate's, a layer's, a line's), a term
    of the loss, or a sample."""
    given = [thing for thing in (predicate, layer, line, term, sample) if thing is not None]
    if len(given) != 1:
        raise InputError(f"through() got {len(given)} places", why="it tells what passes one of them",
                         fix="give one of a predicate, layer=, line=, term=, sample=")  # fmt: skip
    whole = _whole(book)
    size = _dot(whole, whole)
    if term is not None:
        return blame(book, "term")[term.name if isinstance(term, Account) else term]
    if sample is not None:
        split = _by_sample(book, samples)
        if not 0 <= sample < split.count:
            raise InputError(f"there is no sample {sample}", why=f"there are {split.count}, counted from 0")
        return _part(sample, split.part(sample), whole, size)
    name: Any = given[0]
    if layer is not None:
        chosen = {account.node for account in book.nodes if account.layer == layer}
    elif line is not None:
        chosen = {account.node for account in book.nodes if account.where is not None
                  and line in (account.where.line, f"{account.where.file}:{account.where.line}")}  # fmt: skip
    else:
        assert predicate is not None
        chosen = {account.node for account in book.nodes if predicate(account)}
        name = getattr(predicate, "__name__", "predicate")
    if not chosen:
        raise InputError(f"no node of the ledger is in {'layer' if layer is not None else 'line'} {name}"
                         if predicate is None else "the predicate holds for no node")  # fmt: skip
    gradient, _ = _passing(book, book.top.node, lambda node: (True, False) if node in chosen else None)
    return _part(name, gradient, whole, size)


def blame(book: Ledger, by: str, samples: str | Sequence[str] | None = None) -> Blame:
    """The gradient in parts that add up to it.

    by  "line", "layer", "op": who pays the leaf in the end; "term": through which term of the loss (what the top adds
        up); "sample": through which row of the arrays `samples`
    """
    whole = _whole(book)
    if by in ("line", "layer", "op"):
        parts = _by_payer(book, by)
    elif by == "term":
        parts = _by_term(book)
    elif by == "sample":
        split = _by_sample(book, samples)
        parts = [(i, split.part(i)) for i in range(split.count)]
        rest = split.part(None)
        if any(amount is not None and np.any(amount) for amount in rest.values()):
            parts.append(("no sample", rest))
    else:
        raise InputError(f"by is {by!r}", why=f"it is one of {', '.join(BY)}")
    size = _dot(whole, whole)
    made = [_part(name, gradient, whole, size) for name, gradient in parts]
    return Blame(by, tuple(sorted(made, key=lambda part: -abs(np.nan_to_num(part.share)))), whole)


def _by_payer(book: Ledger, by: str) -> list[tuple[Any, dict[str, Any]]]:
    groups: dict[Any, dict[str, Any]] = {}
    name: Any
    for leaf in book.leaves:
        if leaf is book.top:
            groups.setdefault("the top itself", {})[leaf.name] = leaf.settled
        entries: dict[Any, list[Entry]] = {}  # payments to some entries: all of a group in one buffer
        for node, paid in _payments(book, leaf.node):
            payer = book.accounts[node]
            if by == "line":
                name = f"{payer.where.file}:{payer.where.line}" if payer.where is not None else "no line"
            else:
                name = payer.layer if by == "layer" else payer.op
            group = groups.setdefault(name, {})
            if type(paid) is Scattered:
                entries.setdefault(name, []).append((None, 0, paid))
                continue
            amount = book.amount(leaf.node, paid)
            group[leaf.name] = amount if leaf.name not in group else group[leaf.name] + amount
        for name, pile in entries.items():
            amount = book.plain(book.gradient.total(leaf.node, pile[::-1]))
            group = groups[name]
            group[leaf.name] = amount if leaf.name not in group else group[leaf.name] + amount
    return [(name, {leaf.name: group.get(leaf.name) for leaf in book.leaves}) for name, group in groups.items()]


def _payments(book: Ledger, node: Node) -> Iterator[tuple[Node, Any]]:
    """Who pays a node how much, ascending; what comes through a change of the dtype, or through the entries that a scan
    hands to a step, is its payer's, for nobody wrote that."""
    gradient = book.gradient
    with np.errstate(all="ignore"):
        for payer, slot, kept in reversed(book.piles.get(node, ())):
            if payer is None:
                continue
            unwritten = payer.op.name == "cast" or (payer.where is None and payer.op.name == "index")
            if unwritten and payer is not book.top.node:
                for further, paid in _payments(book, payer):
                    whole = gradient.total(payer, [(None, 0, paid)]) if type(paid) is Scattered else paid
                    yield further, gradient.pull(payer, slot, whole)
            else:
                yield payer, kept if kept is not None else gradient.pull(payer, slot, book.bars[payer])


_SUMS = frozenset({"add", "sub", "neg", "identity", "cast"})
_MOST_TERMS = 200  # that are told apart, a sweep for each; of more those of one sub-expression are one part


def _by_term(book: Ledger) -> list[tuple[Any, dict[str, Any]]]:
    """What the top adds up, and multiplies by constants: maximal nodes below it that do neither."""
    leaves = set(book._leaves)
    terms: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = [book.top.node]
    while stack:
        node = stack.pop()
        if node not in book.bars or node in seen:
            continue
        seen.add(node)
        scaled = (
            node.op.name in ("mul", "div") and sum(arg.op is not CONST and arg in book.bars for arg in node.args) == 1
        )
        if (node.op.name in _SUMS or scaled) and node not in leaves and node.args:
            stack.extend(reversed(node.args))
        else:
            terms[node] = None
    groups = _term_groups(book, terms)
    upper = Without([(term, slot) for term in terms for slot in range(len(term.args))])
    parts = []
    with np.errstate(all="ignore"):
        owed = sweep(upper, {book.top.node: seed_for(book.top.node)}, terms)  # along paths through no other term
        floor = min(leaf.id for leaf in leaves)
        names, none = {leaf.node: leaf.name for leaf in book.leaves}, dict.fromkeys(leaf.name for leaf in book.leaves)
        for name, members in groups.items():
            below = reach(members, floor, leaves)
            start = {term: owed[term] for term in members if term in owed}
            found = sweep(Gradient(on_graph=False), start, below.as_set & leaves, reached=below)
            gradient: dict[str, Any] = none | {names[leaf]: book.plain(bar) for leaf, bar in found.items()}
            parts.append((name, gradient))
    return parts


def _term_groups(book: Ledger, terms: Collection[Node]) -> dict[str, list[Node]]:
    """Terms by their sub-expressions; where one makes several the later ones are t#2, t#3, …, and of too many all are
    one part, t (×1,000)."""
    same: dict[Any, list[Node]] = {}
    for term in sorted(terms, key=by_id):
        same.setdefault(term.where[:2] if term.where is not None and term.args else term, []).append(term)
    together = len(terms) > _MOST_TERMS
    found: dict[str, list[Node]] = {}
    count: dict[str, int] = {}
    for members in same.values():
        for group in [members] if together else [[term] for term in members]:
            place = position(group[0].where)
            name = book.accounts[group[0]].name
            if place is not None and 0 < len(place.text) <= 60 and group[0].args:
                name = place.text
            name += f" (×{len(group):,})" * (len(group) > 1)
            count[name] = count.get(name, 0) + 1
            found[name if count[name] == 1 else f"{name}#{count[name]}"] = group
    return found


class _Samples:
    """The gradient by sample: the rows of some arrays, followed through the computation."""

    def __init__(self, book: Ledger, arrays: list[Node], count: int):
        self.book, self.count = book, count
        opened = Opened(book.top.node, [leaf.node for leaf in book.leaves], values=True)
        self._top = opened.top
        self._owners = owners(opened.top, {opened.of.get(node, node) for node in arrays})

    def part(self, sample: int | None) -> dict[str, Any]:
        """Along the paths that come to that sample's entries first; None: along those that come to no sample's."""

        def place(node: Node) -> tuple[Any, Any] | None:
            owner = self._owners.get(node)
            if owner is None or not np.any(owner >= 0):
                return None
            return owner == sample if sample is not None else np.zeros(owner.shape, bool), owner >= 0

        passed, rest = _passing(self.book, self._top, place)
        return rest if sample is None else passed


def _by_sample(book: Ledger, samples: str | Sequence[str] | None) -> _Samples:
    names = [samples] if isinstance(samples, str) else list(samples or [])
    arrays = {name: nodes for name, nodes in book.arrays().items() if nodes[0].shape}
    if not names:
        parameters = {*book._aliases, *book._aliases.values()}  # of a network: those have no samples
        likely = next((name for name in arrays if name not in parameters), "X")
        raise InputError("it is not said what the samples are", why="they are the rows of some of the arrays",
                         fix=f"name them: samples={likely!r}")  # fmt: skip
    chosen: list[Node] = []
    for name in names:
        if name not in arrays:
            raise InputError(f"samples names {name!r}", why=f"the arrays that are read are {', '.join(arrays)}",
                             fix="let the array be an argument of the function, and leave argnums out")  # fmt: skip
        chosen += arrays[name]
    counts = {node.shape[0] for node in chosen}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"{', '.join(names)} have no rows in common",
                         why=f"their shapes are {', '.join(str(node.shape) for node in chosen)}")  # fmt: skip
    return _Samples(book, chosen, counts.pop())


def _passing(
    book: Ledger, top: Node, place: Callable[[Node], tuple[Any, Any] | None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the leaves are owed along the paths that have passed the place, and along those that have come to none."""
    algebra = Through(place)
    with np.errstate(all="ignore"):
        found = sweep(algebra, {top: Amounts(None, seed_for(top))}, [leaf.node for leaf in book.leaves])
        passed: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for leaf in book.leaves:
            amounts = found.get(leaf.node, Amounts(None, None))
            passed[leaf.name] = None if amounts.passed is None else book.plain(amounts.passed)
            rest[leaf.name] = None if amounts.open is None else book.plain(amounts.open)
    return passed, rest


def _whole(book: Ledger) -> dict[str, Any]:
    return {leaf.name: leaf.settled for leaf in book.leaves}


def _dot(a: dict[str, Any], b: dict[str, Any]) -> float:
    with np.errstate(all="ignore"):
        return float(sum(
            np.sum(np.asarray(a[name], np.float64) * np.asarray(b[name], np.float64))
            for name in a
            if a[name] is not None and b[name] is not None
        ))  # fmt: skip


def _part(name: Any, gradient: dict[str, Any], whole: dict[str, Any], size: float) -> Part:
    """size: of the whole, squared."""
    share = _dot(gradient, whole) / size if size else float("nan")
    return Part(name, gradient, share, _dot(gradient, gradient) ** 0.5)


def _cosine(a: dict[str, Any], b: dict[str, Any]) -> float:
    size = (_dot(a, a) * _dot(b, b)) ** 0.5
    return _dot(a, b) / size if size else float("nan")
