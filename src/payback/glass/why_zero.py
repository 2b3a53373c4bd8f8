"""`why_zero`: the zeros of a gradient, told apart.

Five different things look like 0.0, and an entry belongs to the first that applies:

no path       nothing that the result depends on reads the entry, or a step without derivative cuts it off
masked        a choice (where, max, the maximum of two, …) has not taken what the entry leads to
zero partial  on every path some partial is exactly 0: a dead ReLU (also np.maximum(z, 0)), a clip, a saturated sigmoid,
              a factor that is 0
underflow     no partial is 0, but their products are too small for a floating-point number
cancellation  paths that are not 0 add up to 0

Each is one sweep under another algebra; the entries where two of them first differ are the causes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.paths import Links, Sizes
from payback.ad.sweep import everything, live_nodes, reach, sweep
from payback.errors import DifferentiationError, InputError
from payback.glass.explain import Wrt, chosen_nodes, run
from payback.glass.inside import Opened
from payback.glass.lost import Lost, fact_of, lost
from payback.glass.names import read_last
from payback.ir.node import Node, ancestors
from payback.ir.where import Position, position
from payback.ops.several import PART
from payback.trace.backward import seed_for
from payback.transforms.gradient import ArgNums

KINDS = ("no path", "masked", "zero partial", "underflow", "cancellation", "not told apart")
MOST_LAYERS = 20  # that run one sub-expression and are told apart
_FLAT = {"relu": "dead: its input is not above 0", "clip": "outside of the limits", "contract": "the other factor is 0",
         "mul": "the other factor is 0", "maximum": "dead: it is below the limit", "minimum": "it is above the limit",
         "fmax": "dead: it is below the limit", "fmin": "it is above the limit"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cause:
    """Where entries of a gradient become zero.

    kind      as above
    count     entries of the leaf's gradient below it that are zero for this reason (of some there are several causes)
    what      the user's sub-expression; op: the operation; place: where it is
    stopped   entries at which it stops the sweep, of `size`; 0 where the edge has no derivative at all
    fact      why
    after     the leaf that was read last, where one sub-expression is run by several layers; else empty
    """

    kind: str
    count: int
    what: str
    op: str
    place: Position | None
    stopped: int
    size: int
    fact: str
    after: str = ""

    def __str__(self) -> str:
        where = f"{self.place.at}: " if self.place else ""
        op = f"{self.op} after {self.after}" if self.after else self.op
        part = f", {self.stopped:,} of {self.size:,} entries" if self.stopped else ""
        return f"{where}{self.what} ({op}{part}): {self.fact}"


@dataclass(frozen=True, slots=True)
class Zeros:
    """The zeros of one leaf's gradient.

    size: entries of the leaf.  zeros: those whose gradient is exactly 0, or that have none.  counts: by kind, exact,
    together `zeros`.  entries: by kind a mask.
    """

    leaf: str
    size: int
    zeros: int
    counts: dict[str, int]
    causes: tuple[Cause, ...]
    entries: dict[str, Any]

    def __str__(self) -> str:
        if not self.zeros:
            return f"{self.leaf}: none of {self.size:,} entries has a zero gradient"
        told = ", ".join(f"{kind} {count:,}" for kind, count in self.counts.items() if count)
        lines = [f"{self.leaf}: {self.zeros:,} of {self.size:,} entries have a zero gradient: {told}"]
        return "\n".join([*lines, *(f"  {cause.kind} {cause.count:,}: {cause}" for cause in self.causes)])


@dataclass(frozen=True, slots=True)
class WhyZero:
    """What `why_zero` found, leaf by leaf: `found["W1"].counts["zero partial"]`."""

    leaves: dict[str, Zeros]
    value: float

    def __getitem__(self, name: str) -> Zeros:
        if name not in self.leaves:
            raise InputError(f"there is no leaf {name}", fix=f"its leaves are {', '.join(self.leaves)}")
        return self.leaves[name]

    def __iter__(self) -> Iterator[Zeros]:
        return iter(self.leaves.values())

    def __len__(self) -> int:
        return len(self.leaves)

    def __str__(self) -> str:
        return "\n".join(map(str, self.leaves.values()))


def why_zero(f: Any, *args: Any, wrt: Wrt = None, argnums: ArgNums | None = None, **kwargs: Any) -> WhyZero:
    """Which entries of a gradient are zero, and why: no path, masked, zero partial, underflow, cancellation.

    f, wrt, argnums: as for `pb.explain`.  Loops, branches and calls are looked into, step by step.

    Returns a WhyZero: for each leaf the exact number of entries of each kind, and the causes, with the user's
    sub-expressions.

    Raises InputError for a name that is none of the leaves.

    >>> import numpy as np, payback as pb
    >>> found = pb.why_zero(lambda w: (np.maximum(w, 0.0) ** 2).sum() + (w - w)[0], np.array([1.0, -2.0, 0.0, 3.0]))
    >>> found["w"].zeros, {kind: n for kind, n in found["w"].counts.items() if n}
    (2, {'zero partial': 2})
    """
    seen = run(f, args, kwargs, argnums)
    return zero_causes(seen.top, chosen_nodes(seen, wrt), seen.names, seen.rounded)


def zero_causes(
    top: Node, wrt: Sequence[Node], names: Mapping[Node, str], rounded: Sequence[tuple[Node, Any]]
) -> WhyZero:
    """The same for a graph that has values: a scalar node, the leaves to differentiate by, what nodes are called, and
    the nodes of which the program has had a bare whole number, with the place."""
    opened = Opened(top, wrt, values=True)
    root = opened.top
    with np.errstate(all="ignore"):
        gradient = Gradient(on_graph=False)
        settled = sweep(gradient, {root: seed_for(root)}, wrt, keep=everything)
        found = {rule: Links(rule) for rule in ("edges", "choices", "nonzero")}
        linked = {rule: sweep(links, {root: 1.0}, wrt, keep=everything) for rule, links in found.items()}
        known = not found["nonzero"].opaque
        try:
            gross = sweep(Sizes(), {root: seed_for(root)}, wrt, keep=everything) if known else {}
        except DifferentiationError:
            gross, known = {}, False
        stops = _stops(linked, found)
        leaves = {}
        called = {opened.of.get(node, node): name for node, name in names.items()}
        read = read_last(root, wrt, called)
        gone: list[Lost] | None = None
        for leaf in wrt:
            bar = gradient.dense(settled[leaf]) if leaf in settled else None
            masks = _kinds(leaf, bar, linked, gross.get(leaf), known)
            causes = [*_cuts(root, leaf, masks["no path"], called, rounded),
                      *_below(root, leaf, masks, stops, called, read)]  # fmt: skip
            if masks["underflow"].any() or masks["cancellation"].any():
                gone = lost(settled, gross, linked["nonzero"]) if gone is None else gone
                causes += _gone(leaf, masks, gone, called)
            counts = {kind: int(mask.sum()) for kind, mask in masks.items()}
            name = names.get(leaf) or leaf.params.get("name") or f"%{leaf.id}"
            leaves[name] = Zeros(name, leaf.aval.size, sum(counts.values()), counts, tuple(causes), masks)
    return WhyZero(leaves, float(np.asarray(root.value)))


def _kinds(leaf: Node, bar: Any, linked: dict[str, Any], gross: Any, known: bool) -> dict[str, Any]:
    """A mask for each kind; together they are the entries whose gradient is zero."""
    full = np.ones(leaf.shape, bool)
    if bar is None:
        return dict(zip(KINDS, (full, *(~full for _ in KINDS[1:])), strict=True))
    zero = np.broadcast_to(np.equal(bar, 0), leaf.shape)
    reached = {rule: np.broadcast_to(np.not_equal(found[leaf], 0), leaf.shape) if leaf in found else ~full
               for rule, found in linked.items()}  # fmt: skip
    none = zero & ~reached["edges"]
    masked = zero & reached["edges"] & ~reached["choices"]
    flat = zero & reached["choices"] & ~reached["nonzero"]
    rest = zero & reached["nonzero"]
    small = rest & np.equal(gross, 0) if known else ~full
    equal = rest & ~small if known else ~full
    return dict(zip(KINDS, (none, masked, flat, small, equal, rest & ~small & ~equal), strict=True))


def _stops(linked: dict[str, Any], found: dict[str, Links]) -> list[tuple[str, Node, dict[Node, Any], int]]:
    """Where the sweep goes on under one algebra and stops under the next: (kind, payer, masks of arguments, number)."""
    stops = []
    for kind, loose, strict in (("masked", "edges", "choices"), ("zero partial", "choices", "nonzero")):
        for node, bar in linked[strict].items():
            if isinstance(bar, list) or node.op is PART or node.op.kind == "own":
                continue
            masks: dict[Node, Any] = {}
            count = 0
            for slot, arg in enumerate(node.args):
                if arg not in linked[loose] or slot in node.op.no_edge or np.all(linked[strict].get(arg, 0)):
                    continue
                more, less = (
                    found[rule].total(arg, [(None, 0, found[rule].pull(node, slot, bar))]) for rule in (loose, strict)
                )
                # an entry that something else leads to is stopped further down
                stopped = np.not_equal(more, 0) & np.equal(less, 0) & np.equal(linked[strict].get(arg, 0), 0)
                if stopped.any():
                    masks[arg] = stopped | masks.get(arg, False)
                    count += int(stopped.sum())
            if masks:
                stops.append((kind, node, masks, count))
    return stops


def _gone(leaf: Node, masks: dict[str, Any], gone: Sequence[Lost], names: Mapping[Node, str]) -> Iterator[Cause]:
    """Where products that zeros of a leaf lie below are too small, and payments cancel."""
    for group in gone:
        below = masks[group.kind] & group.below(leaf)
        if below.any():
            node = group.payers[0] if group.kind == "underflow" else next(iter(group.entries))
            fact = fact_of(group, [_text(payer, names) for payer in group.payers])
            yield Cause(group.kind, int(below.sum()), _text(node, names), node.op.name, position(node.where),
                        group.count, group.size, fact)  # fmt: skip


def _below(
    top: Node,
    leaf: Node,
    masks: dict[str, Any],
    stops: list[tuple[str, Node, dict[Node, Any], int]],
    names: Mapping[Node, str],
    read: Mapping[Node, str],
) -> Iterator[Cause]:
    """The stops that zeros of a leaf lie below, one for each sub-expression and, where there are only some of them,
    each layer that runs it; first those that would do alone."""
    places: dict[Any, dict[str, list[tuple[str, Node, dict[Node, Any], int]]]] = {}
    for stop in stops:
        kind, node = stop[:2]
        if masks[kind].any():
            where = node.where[:2] if node.where is not None else node
            places.setdefault((kind, where, node.op), {}).setdefault(read[node], []).append(stop)
    groups = []
    for (kind, _, row), layers in places.items():
        if 1 < len(layers) <= MOST_LAYERS:
            groups += [(kind, row, after, group) for after, group in layers.items()]
        else:
            groups.append((kind, row, "", [stop for group in layers.values() for stop in group]))
    causes: list[tuple[bool, Cause]] = []
    for kind, row, after, group in groups:
        tops: dict[Node, Any] = {}
        for _, _, stopped, _ in group:
            for arg, mask in stopped.items():
                tops[arg] = np.maximum(tops.get(arg, 0.0), mask * 1.0)
        under = sweep(Links("edges" if kind == "masked" else "choices"), tops, [leaf])
        below = masks[kind] & np.not_equal(under[leaf], 0) if leaf in under else np.zeros(leaf.shape, bool)
        if not below.any():
            continue
        node = group[0][1]
        count_stopped = sum(part[3] for part in group)
        size = sum(arg.aval.size for part in group for arg in part[2])
        flat = _FLAT.get(row.name) or f"flat: {row.facts.get('flat', 'its partial is 0')}"
        fact = "it is not taken" if kind == "masked" else flat
        alone = sweep(_Stopping(kind, {part[1] for part in group}), {top: 1.0}, [leaf])
        enough = leaf not in alone or not (below & np.not_equal(alone[leaf], 0)).any()
        cause = Cause(
            kind, int(below.sum()), _text(node, names), row.name, position(node.where), count_stopped, size, fact, after
        )
        causes.append((enough, cause))
    yield from (cause for _, cause in sorted(causes, key=lambda pair: not pair[0]))


class _Stopping(Links):
    """Links that only some nodes stop, in the way of a kind of zeros."""

    def __init__(self, kind: str, nodes: Set[Node]):
        self.loose, self.strict = ("edges", "choices") if kind == "masked" else ("choices", "nonzero")
        super().__init__(self.loose)
        self.nodes = nodes

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        self.rule = self.strict if node in self.nodes else self.loose
        return super().pull(node, slot, bar)


def _cuts(
    top: Node, leaf: Node, mask: Any, names: Mapping[Node, str], rounded: Sequence[tuple[Node, Any]]
) -> Iterator[Cause]:
    """Steps without derivative between a leaf and the top."""
    if not mask.any():
        return
    depends, users = {leaf}, []
    for node in ancestors([top], leaf.id):
        if node is not leaf and any(arg in depends for arg in node.args):
            depends.add(node)
            users.append(node)
    moving = set(live_nodes(reach([top], leaf.id, [leaf]), {leaf})[1]) | {leaf}
    smooth = {leaf}
    for node in users:
        if any(arg in smooth and slot not in node.op.no_edge for slot, arg in enumerate(node.args)):
            smooth.add(node)
    further = _steps_to(top, users)
    whole = {node.args[0] for node in users if node.op.name == "cast" and node.aval.dtype.kind != "f"}
    cuts: dict[int, dict[Any, list[tuple[Node, Node]]]] = {}
    for node in users:
        for slot, arg in enumerate(node.args):
            if arg in smooth and slot in node.op.no_edge and node not in moving and node in further:
                place = (node.where[:2] if node.where is not None else node, node.op)
                cuts.setdefault(further[node], {}).setdefault(place, []).append((node, arg))
    # An entry is told the cuts after which it would be nearest to the top: what s > 0 in np.where(s > 0, s, 0) cuts
    # goes on beside it, and is cut in earnest where the s that was chosen is.
    left = mask
    for level in sorted(cuts):
        covered = np.zeros(leaf.shape, bool)
        for group in cuts[level].values():
            below = left & _leads(leaf, [arg for _, arg in group])
            if below.any():
                node = group[0][0]
                op, fact = node.op.name, str(node.op.facts.get("math", "no derivative"))
                if node in whole:
                    op, fact = "cast", "whole numbers are constant in pieces"
                yield Cause("no path", int(below.sum()), _text(node, names), op, position(node.where), 0,
                            node.aval.size, f"cut: {fact}")  # fmt: skip
                covered |= below
        left = left & ~covered
        if not left.any():
            return
    covered = np.zeros(leaf.shape, bool)
    for (where, op), nodes in _places(rounded).items():
        below = left & _leads(leaf, [arg for node in nodes for arg in _floating_in(node)])
        if below.any():
            at, node = position(where), nodes[0]
            fact = "a condition that only decides what is done" if op == "if" else "its bare whole number is taken"
            yield Cause("no path", int(below.sum()), at.text if at and at.text else op, op, at, 0,
                        node.aval.size, f"cut: {fact}, which is constant in pieces")  # fmt: skip
            covered |= below
    left = left & ~covered
    count = int(left.sum())
    if not count:
        return
    if leaf not in moving or top not in moving:
        yield Cause("no path", count, names.get(leaf, "it"), "unused", None, 0, leaf.aval.size,
                    "the result does not depend on it, or on its bare value only")  # fmt: skip
    else:
        fact = "nothing that the result depends on reads these entries, or what is made of them is written over"
        yield Cause("no path", count, names.get(leaf, "it"), "index", None, 0, leaf.aval.size, fact)


def _places(rounded: Sequence[tuple[Node, Any]]) -> dict[tuple[Any, str], list[Node]]:
    """By the user's sub-expression, and what it is, the values of which the program has had bare numbers."""
    places: dict[tuple[Any, str], list[Node]] = {}
    for node, where in rounded:
        kind = node.aval.dtype.kind
        op = "if" if kind == "b" else "int" if kind == "f" else node.op.name
        at = where if kind == "f" or node.where is None else node.where
        places.setdefault((at and at[:2], op), []).append(node)
    return places


def _floating_in(node: Node) -> list[Node]:
    """The floating values that a condition or a whole number was made of; a floating value itself."""
    found, stack, seen = [], [node], {node}
    while stack:
        node = stack.pop()
        if node.aval.dtype.kind == "f":
            found.append(node)
            continue
        stack += {arg: None for arg in node.args if arg not in seen}
        seen.update(node.args)
    return found


def _steps_to(top: Node, users: Sequence[Node]) -> dict[Node, int]:
    """How many steps without derivative there are from a node to the top, at least."""
    steps = {top: 0}
    for node in reversed(users):
        if node in steps:
            for slot, arg in enumerate(node.args):
                more = steps[node] + (slot in node.op.no_edge)
                steps[arg] = min(more, steps.get(arg, more))
    return steps


def _leads(leaf: Node, nodes: Sequence[Node]) -> Any:
    """A mask: which entries of the leaf lead to one of the nodes."""
    under = sweep(Links("edges"), {node: np.ones(node.shape) for node in nodes}, [leaf])
    return np.broadcast_to(np.not_equal(under[leaf], 0) if leaf in under else False, leaf.shape)


def _text(node: Node, names: Mapping[Node, str]) -> str:
    if node in names:
        return names[node]
    place = position(node.where)
    return place.text if place is not None and place.text else node.op.name
