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

import functools
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.paths import MULTILINEAR, Links, Sizes
from payback.ad.sweep import everything, reach, sweep
from payback.errors import DifferentiationError, InputError
from payback.glass.bound import with_elements
from payback.glass.explain import Wrt, chosen_nodes, run
from payback.glass.flat import why_flat
from payback.glass.inside import Opened
from payback.glass.lost import Lost, fact_of, lost
from payback.glass.names import read_last
from payback.glass.origins import MOVES
from payback.glass.unreached import Cause, cuts, text_of
from payback.ir.aval import Aval
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.trace.backward import seed_for
from payback.transforms.argnums import ArgNums

KINDS = ("no path", "masked", "zero partial", "underflow", "cancellation", "not told apart")
_RULES = {"masked": ("edges", "choices"), "zero partial": ("choices", "nonzero")}  # goes on under, stops under
MOST_LAYERS = 20  # that run one sub-expression and are told apart


@dataclass(frozen=True, slots=True)
class Zeros:
    """The zeros of one leaf's gradient.

    size: entries of the leaf.  zeros: those whose gradient is exactly 0, or that have none.  counts: by kind, exact,
    together `zeros`.  entries: by kind a mask.  nonfinite: of how many it is not finite (see `why_nan`).
    """

    leaf: str
    size: int
    zeros: int
    counts: dict[str, int]
    causes: tuple[Cause, ...]
    entries: dict[str, Any]
    nonfinite: int = 0

    def __str__(self) -> str:
        bad = f"; of {self.nonfinite:,} it is not finite: pb.why_nan tells why" if self.nonfinite else ""
        if not self.zeros:
            return f"{self.leaf}: none of {self.size:,} entries has a zero gradient{bad}"
        told = ", ".join(
            f"{kind} {count:,}{_lines(self.entries[kind])}" for kind, count in self.counts.items() if count
        )
        lines = [f"{self.leaf}: {self.zeros:,} of {self.size:,} entries have a zero gradient: {told}{bad}"]
        return "\n".join([*lines, *(f"  {cause.kind} {cause.count:,}: {cause}" for cause in self.causes)])


_AXES = ("row", "column")
_LISTED = 8


def _lines(mask: Any) -> str:
    """Which they are, if they are whole rows or columns of a matrix, or entries of a vector, and few; else nothing."""
    if mask.ndim not in (1, 2) or mask.all():
        return ""
    for axis in range(mask.ndim):
        those = mask if mask.ndim == 1 else mask.any(axis=1 - axis)
        if those.sum() <= _LISTED and (mask.ndim == 1 or (mask.all(axis=1 - axis) == those).all()):
            which = "entry" if mask.ndim == 1 else _AXES[axis]
            more = {"entry": "entries"}.get(which, f"{which}s") if those.sum() > 1 else which
            return f" ({more} {', '.join(map(str, np.flatnonzero(those).tolist()))})"
    return ""


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
        cures = dict.fromkeys(cause.cure for zeros in self for cause in zeros.causes if cause.cure)
        return "\n".join([*map(str, self), *map("what helps: {}".format, cures)])


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
    called = with_elements(ancestors([root]), {opened.of.get(node, node): name for node, name in names.items()})
    with np.errstate(all="ignore"):
        kinds = _Kinds(root, wrt)
        causes = _Causes(kinds, called, rounded)
        leaves = {}
        for leaf in wrt:
            masks = kinds.masks(leaf)
            counts = {kind: int(mask.sum()) for kind, mask in masks.items()}
            name = names.get(leaf) or leaf.params.get("name") or f"%{leaf.id}"
            leaves[name] = Zeros(
                name,
                leaf.aval.size,
                sum(counts.values()),
                counts,
                tuple(causes.of(leaf, masks)),
                masks,
                kinds.nonfinite[leaf],
            )
    return WhyZero(leaves, float(np.asarray(root.value)))


class _Kinds:
    """The sweeps that tell kinds of zeros apart, each made when a zero is left that the ones before do not explain."""

    def __init__(self, top: Node, wrt: Sequence[Node]):
        self.top, self.wrt = top, wrt
        self.reached = reach([top], min(node.id for node in wrt), wrt)
        self.links = {rule: Links(rule) for rule in ("edges", "choices", "nonzero")}
        self._linked: dict[str, dict[Node, Any]] = {}
        self._zero: dict[Node, Any] = {}
        self.nonfinite: dict[Node, int] = {}
        gradient = Gradient(on_graph=False)
        self.settled = self.swept(gradient, seed_for(top))
        for leaf in wrt:
            bar = gradient.dense(self.settled[leaf]) if leaf in self.settled else 0
            self.nonfinite[leaf] = int(np.size(bar) - np.count_nonzero(np.isfinite(bar)))
            self._zero[leaf] = np.broadcast_to(np.equal(bar, 0), leaf.shape)

    def swept(self, algebra: Any, seed: Any) -> dict[Node, Any]:
        return sweep(algebra, {self.top: seed}, self.wrt, reached=self.reached, keep=everything)

    def linked(self, rule: str) -> dict[Node, Any]:
        if rule not in self._linked:
            self._linked[rule] = self.swept(self.links[rule], 1.0)
        return self._linked[rule]

    @functools.cached_property
    def gross(self) -> dict[Node, Any] | None:
        """What each node would be owed if nothing cancelled; None if that is not known."""
        self.linked("nonzero")
        if self.links["nonzero"].opaque:
            return None
        try:
            return self.swept(Sizes(), seed_for(self.top))
        except DifferentiationError:
            return None

    def masks(self, leaf: Node) -> dict[str, Any]:
        """A mask for each kind; together they are the entries whose gradient is zero."""
        found = dict.fromkeys(KINDS, np.zeros(leaf.shape, bool))
        left = self._zero[leaf]
        for kind, rule in (("no path", "edges"), ("masked", "choices"), ("zero partial", "nonzero")):
            if not left.any():
                return found
            led = np.not_equal(self.linked(rule).get(leaf, 0), 0)
            found[kind], left = left & ~led, left & led
        if left.any() and self.gross is None:
            found["not told apart"] = left
        elif left.any() and self.gross is not None:
            small = np.equal(self.gross[leaf], 0)
            found["underflow"], found["cancellation"] = left & small, left & ~small
        return found


class _Causes:
    """Where entries of gradients become zero."""

    def __init__(self, kinds: _Kinds, names: Mapping[Node, str], rounded: Sequence[tuple[Node, Any]]):
        self.kinds, self.names, self.rounded = kinds, names, rounded
        self._groups: dict[str, list[_Group]] = {}

    def of(self, leaf: Node, masks: dict[str, Any]) -> Iterator[Cause]:
        """Those that zeros of a leaf lie below."""
        if masks["no path"].any():
            yield from cuts(self.kinds.top, leaf, masks["no path"], self.names, self.rounded)
        for kind in ("masked", "zero partial"):
            if masks[kind].any():
                yield from self._below(kind, leaf, masks[kind])
        if masks["not told apart"].any():
            count = int(masks["not told apart"].sum())
            for node in sorted(self.kinds.links["nonzero"].opaque, key=lambda node: node.id):
                fact = "its rule has a derivative and no paths inside"
                yield Cause("not told apart", count, text_of(node, self.names), node.op.name, position(node.where), 0,
                            node.aval.size if isinstance(node.aval, Aval) else 1, fact)  # fmt: skip
        for group in self._gone if masks["underflow"].any() or masks["cancellation"].any() else ():
            below = masks[group.kind] & group.below(leaf)
            if below.any():
                node = group.payers[0] if group.kind == "underflow" else next(iter(group.entries))
                fact = fact_of(group, [text_of(payer, self.names) for payer in group.payers])
                yield Cause(group.kind, int(below.sum()), text_of(node, self.names), node.op.name, position(node.where),
                            group.count, group.size, fact)  # fmt: skip

    @functools.cached_property
    def _gone(self) -> list[Lost]:
        return lost(self.kinds.settled, self.kinds.gross or {}, self.kinds.linked("nonzero"))

    @functools.cached_property
    def _read(self) -> dict[Node, str]:
        return read_last(self.kinds.top, self.kinds.wrt, self.names)

    def _below(self, kind: str, leaf: Node, mask: Any) -> Iterator[Cause]:
        """The stops of a kind that zeros of a leaf lie below, one for each sub-expression and, where there are only
        some of them, each layer that runs it; first those that would do alone."""
        if kind not in self._groups:
            self._groups[kind] = self._grouped(kind)
        causes: list[tuple[bool, Cause]] = []
        for group in self._groups[kind]:
            below = mask & np.not_equal(group.under(self.kinds).get(leaf, 0), 0)
            if not below.any():
                continue
            node = group.stops[0].payer
            size = sum(arg.aval.size for stop in group.stops for arg in stop.masks)
            fact = "it is not taken"
            if kind != "masked":
                arg, stopped = next(iter(group.stops[0].masks.items()))
                fact = why_flat(node, arg, stopped, self.names)
            enough = not (below & np.not_equal(group.beside(self.kinds).get(leaf, 0), 0)).any()
            cause = Cause(kind, int(below.sum()), text_of(node, self.names), node.op.name, position(node.where),
                          sum(stop.count for stop in group.stops), size, fact, group.after)  # fmt: skip
            causes.append((enough, cause))
        yield from (cause for _, cause in sorted(causes, key=lambda pair: not pair[0]))

    def _grouped(self, kind: str) -> list[_Group]:
        places: dict[Any, dict[str, list[_Stop]]] = {}
        for stop in _stops(kind, self.kinds):
            node = stop.payer
            where = node.where[:2] if node.where is not None else node
            places.setdefault((where, node.op), {}).setdefault(self._read[node], []).append(stop)
        groups = []
        for layers in places.values():
            if 1 < len(layers) <= MOST_LAYERS:
                groups += [_Group(kind, stops, after) for after, stops in layers.items()]
            else:
                groups.append(_Group(kind, [stop for stops in layers.values() for stop in stops]))
        return groups


@dataclass(eq=False)
class _Stop:
    """A node at which a sweep goes on under one algebra and stops under the next: masks of its arguments' entries, and
    how many there are."""

    payer: Node
    masks: dict[Node, Any]
    count: int


def _stops(kind: str, kinds: _Kinds) -> Iterator[_Stop]:
    rules = _RULES[kind]
    loose, strict = map(kinds.linked, rules)
    links = [kinds.links[rule] for rule in rules]
    for node, bar in strict.items():
        if node.op.name in MOVES or (node.op.kind == "own" and node.op.name not in MULTILINEAR):
            continue  # it pays the same under both
        masks: dict[Node, Any] = {}
        count = 0
        for slot, arg in enumerate(node.args):
            there = strict.get(arg, 0)
            if arg not in loose or slot in node.op.no_edge or (there if type(there) is float else np.all(there)):
                continue
            paid = [algebra.pull(node, slot, bar) for algebra in links]
            more, less = (
                0 if amount is None else algebra.total(arg, [(None, 0, amount)])
                for algebra, amount in zip(links, paid, strict=True)
            )
            # an entry that something else leads to is stopped further down
            stopped = np.not_equal(more, 0) & np.equal(less, 0) & np.equal(there, 0)
            if stopped.any():
                masks[arg] = stopped | masks.get(arg, False)
                count += int(stopped.sum())
        if masks:
            yield _Stop(node, masks, count)


@dataclass(eq=False)
class _Group:
    """Stops of one sub-expression, or of one layer that runs it."""

    kind: str
    stops: list[_Stop]
    after: str = ""
    _under: dict[Node, Any] | None = None
    _beside: dict[Node, Any] | None = None

    def under(self, kinds: _Kinds) -> dict[Node, Any]:
        """Leaf -> the entries that they lead to."""
        if self._under is None:
            tops: dict[Node, Any] = {}
            for stop in self.stops:
                for arg, mask in stop.masks.items():
                    tops[arg] = np.maximum(tops.get(arg, 0.0), mask * 1.0)
            self._under = sweep(Links(_RULES[self.kind][0]), tops, kinds.wrt)
        return self._under

    def beside(self, kinds: _Kinds) -> dict[Node, Any]:
        """Leaf -> the entries that are still led to where only these stops are."""
        if self._beside is None:
            algebra = _Stopping(self.kind, {stop.payer for stop in self.stops})
            self._beside = sweep(algebra, {kinds.top: 1.0}, kinds.wrt, reached=kinds.reached)
        return self._beside


class _Stopping(Links):
    """Links that only some nodes stop, in the way of a kind of zeros."""

    def __init__(self, kind: str, nodes: Set[Node]):
        self.loose, self.strict = _RULES[kind]
        super().__init__(self.loose)
        self.nodes = nodes

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        self.rule = self.strict if node in self.nodes else self.loose
        return super().pull(node, slot, bar)
