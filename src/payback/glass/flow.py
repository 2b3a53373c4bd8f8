"""`flow`: how large the adjoints are on their way down, and which ops make them larger or smaller.

For each payment the norm of what the payer holds, the op's gain, and the norm of what arrives, in powers of two:
before + gain = after.  Gradients that vanish or explode do so somewhere; this says where.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ops.index import Scattered

if TYPE_CHECKING:
    from payback.glass.accounts import Account, Edge
    from payback.glass.ledger import Ledger

_SHOWN = 40
_REPEATED = 5  # times from which on it is told
_GROUPS = 10  # that are looked at


@dataclass(frozen=True, slots=True)
class Step:
    """One payment: log2 of the norms before and after, and of the op's gain.  −inf: nothing is left."""

    edge: Edge
    before: float
    gain: float
    after: float

    def __str__(self) -> str:
        place = self.edge.payer.where
        text = f"  {place.text}" if place is not None else ""
        names = f"{self.edge.payer.name} → {self.edge.arg.name}"
        return f"{self.before:9.2f} {self.gain:+9.2f} {self.after:9.2f}  {names} ({self.edge.payer.op}){text}"


@dataclass(frozen=True, slots=True)
class Repeated:
    """What one sub-expression pays one of its arguments, time after time: how often, and its gains added up."""

    first: Step
    times: int
    gain: float

    def __str__(self) -> str:
        edge = self.first.edge
        between = f"{_base(edge.payer.name)} → {_base(edge.arg.name)} ({edge.payer.op})"
        place = f"  {edge.payer.where}" if edge.payer.where is not None else ""
        return f"{self.times:9,} {self.gain / self.times:+9.2f} {self.gain:+9.2f}  {between}{place}"


@dataclass(frozen=True, slots=True)
class Trend:
    """What a variable of a loop is owed, round by round from the last one back: log2 of norms."""

    name: str
    norms: list[float]

    @property
    def factor(self) -> float:
        """How many times as much it is owed a round earlier, in the mean."""
        return float(2.0 ** ((self.norms[-1] - self.norms[0]) / (len(self.norms) - 1)))

    def __str__(self) -> str:
        how = "grows" if self.norms[-1] > self.norms[0] else "shrinks"
        return (f"what {self.name} is owed {how} with each round back, ×{self.factor:.3g} in the mean: "
                f"2^{self.norms[0]:.1f} to 2^{self.norms[-1]:.1f} in {len(self.norms):,} rounds")  # fmt: skip


def _base(name: str) -> str:
    return name.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Flow:
    """All payments in the order of their story.

    layers: for each distance from the top log2 of the norm of all that its nodes are owed.
    """

    steps: tuple[Step, ...]
    layers: tuple[float, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def shrinking(self, k: int = 10) -> list[Step]:
        """The k payments with the smallest gain."""
        return sorted(self.steps, key=lambda step: step.gain)[:k]

    def growing(self, k: int = 10) -> list[Step]:
        """The k payments with the largest gain."""
        return sorted((step for step in self.steps if not math.isnan(step.gain)), key=lambda step: -step.gain)[:k]

    def repeated(self) -> list[Repeated]:
        """Payments that one sub-expression makes again and again along a path, those first that change most in all.

        It is there that gradients vanish and explode with the number of steps: what each step of a loop pays a leaf, or
        something that is no part of the next step, goes no further.
        """
        groups: dict[Any, list[Step]] = {}
        for step in self.steps:
            where = step.edge.payer.node.where
            if where is not None and step.edge.arg.node.args and math.isfinite(step.gain):
                groups.setdefault((where[:2], step.edge.payer.op, step.edge.slot), []).append(step)
        made = [Repeated(steps[0], len(steps), sum(step.gain for step in steps))
                for steps in groups.values() if len(steps) >= _REPEATED]  # fmt: skip
        by_first = {steps[0]: {step.edge for step in steps} for steps in groups.values()}
        made.sort(key=lambda group: -abs(group.gain))
        return [group for group in made[:_GROUPS] if self._in_a_row(by_first[group.first], group.times)]

    def _in_a_row(self, chosen: Collection[Any], times: int) -> bool:
        """Whether more than half of these edges, or payers, lie on one path."""
        most: dict[Any, int] = {}
        for step in self.steps:  # who pays comes before whom it pays
            payer, arg = step.edge.payer, step.edge.arg
            count = most.get(payer, 0) + (step.edge in chosen or payer in chosen)
            if count > most.get(arg, 0):
                most[arg] = count
        return 2 * max(most.values(), default=0) > times

    def __str__(self) -> str:
        lines = ["   before      gain     after  (log2 of norms)", *map(str, self.steps[:_SHOWN])]
        more = len(self.steps) - _SHOWN
        return "\n".join([*lines, *([f"… and {more:,} more"] if more > 0 else []), *self.telling()])

    def trends(self) -> list[Trend]:
        """How what the variables of loops are owed grows or shrinks from round to round, back from the last; those
        first that change most.  A variable without a name in the program is none."""
        variables: dict[tuple[str, Any], dict[Account, float]] = {}
        for step in self.steps:
            payer = step.edge.payer
            name, where = _base(payer.name), payer.node.where
            on = bool(step.edge.arg.node.args)  # what pays leaves alone is handed to the loop from without
            if on and where is not None and not name.startswith(payer.op) and math.isfinite(step.before):
                variables.setdefault((name, where[:2]), {})[payer] = step.before
        made = [(Trend(name, list(norms.values())), norms) for (name, _), norms in variables.items()
                if len(norms) >= _REPEATED]  # fmt: skip
        made.sort(key=lambda pair: -abs(pair[0].norms[-1] - pair[0].norms[0]))
        return [trend for trend, norms in made[:_GROUPS] if self._in_a_row(norms, len(norms))]

    def telling(self) -> list[str]:
        """What is repeated, in words, if it makes a factor of 2 or more in all."""
        trends = [trend for trend in self.trends() if abs(trend.norms[-1] - trend.norms[0]) >= 1]
        again = [group for group in self.repeated() if abs(group.gain) >= 1]
        return [*map(str, trends), *(["repeated: times, mean gain, together", *map(str, again)] if again else [])]


def flow(book: Ledger) -> Flow:
    """The waterfall of a ledger's sweep, payment by payment."""
    size = {account: log2_norm(account.settled) for account in book.nodes if account.settled is not None}
    edges = sorted(book.edges, key=lambda edge: (edge.payer.layer or 0, edge.payer.id, edge.slot))
    steps = []
    for edge in edges:
        before, after = size[edge.payer], _paid(book, edge)
        gain = after - before if not (math.isinf(before) and before == after) else math.nan
        steps.append(Step(edge, before, gain, after))
    layers: dict[int, list[float]] = {}
    for account, norm in size.items():
        layers.setdefault(account.layer or 0, []).append(norm)
    return Flow(tuple(steps), tuple(_together(layers[k]) for k in sorted(layers)))


def _paid(book: Ledger, edge: Edge) -> float:
    """The norm of a payment; one to some entries of an array is not made an array of all for it."""
    if not edge.arg.shape:
        return log2_norm(edge.paid)
    payer = edge.payer.node
    with np.errstate(all="ignore"):
        paid = book.gradient.pull(payer, edge.slot, book.bars[payer])
    whole = type(paid) is not Scattered or bool(paid.arrays)  # an array may name an entry twice
    return log2_norm(book.amount(edge.arg.node, paid) if whole else book.plain(paid.value))


def log2_norm(value: Any) -> float:
    """log2 of √Σ x², also where the squares would overflow or vanish.

    >>> log2_norm(2.0**-700)
    -700.0
    """
    if type(value) is float:
        return math.log2(abs(value)) if value else -math.inf
    if isinstance(value, tuple):
        return _together([log2_norm(part) for part in value if part is not None])
    size = np.abs(np.asarray(value, np.float64)).ravel()
    largest = float(size.max()) if size.size else 0.0
    if largest == 0.0:
        return -math.inf
    if not math.isfinite(largest):
        return math.nan if math.isnan(largest) else math.inf
    power = math.frexp(largest)[1]
    return power + 0.5 * math.log2(float(np.sum(np.ldexp(size, -power) ** 2)))


def _together(logs: list[float]) -> float:
    largest = max(logs, default=-math.inf)
    if not math.isfinite(largest):
        return largest
    return largest + 0.5 * math.log2(sum(4.0 ** (log - largest) for log in logs))
