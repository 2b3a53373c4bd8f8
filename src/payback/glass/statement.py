"""The statement of one weight: its opening value, every deposit of a training, its closing value.

With the denominators of the actual run held fixed, each update is linear in the gradients of all steps so far.  So
what a sample does to a weight at a step, then and through momentum in all later steps, is its share of the gradient
times one number of the step; these numbers come from one sweep back over the steps.  Decay and what the optimizer
brought along have lines of their own.  What remains is the rounding of the run's arithmetic, which has a bound.

Related: Loss Change Allocation (Lan et al., NeurIPS 2019) and TracIn (Pruthi et al., NeurIPS 2020) allocate the change
of a loss; this allocates the change of a weight, and adds up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.errors import InputError
from payback.glass.accounts import LedgerError

Array = np.ndarray[Any, Any]
# Roundings of a step, in eps: of the weight itself, of what is added to it by the size of all its payments, and of the
# gradient's norm, for an entry of a gradient may be what is left of numbers that cancel.
OF_WEIGHT, OF_PAYMENTS, OF_NORM = 1.0, 16.0, 1.0


class Taken(NamedTuple):
    """What a statement needs of one step.

    line: the coefficients of `optim.linear.Line`.  norm: of the whole gradient.  before, after: the weight.
    rows: the numbers of the batch's rows; labels: their classes, or None.  shares: of the rows in the gradient.
    """

    n: int
    rate: float
    norm: float
    line: Any
    before: float
    after: float
    rows: Array
    labels: Array | None
    shares: Array


class Deposit(NamedTuple):
    """What one sample did to the weight by one step: at once, and carried later by momentum; amount: both."""

    step: int
    sample: int
    share: float
    at_once: float
    carried: float
    amount: float


class Statement:
    """The account of one weight from after step `start` to after step `stop`.

    opening + Σ deposits + Σ decay + initial + rounding = closing.  Deposits are in columns: `steps`, `samples`,
    `shares` (of the gradient, before clipping), `at_once`, `amounts`; iteration gives them one by one.
    decay: one number a step.  initial: what the optimizer's state at the opening has added since.  rounding: the rest;
    bound: what it is at most by the run's dtype.
    """

    def __init__(self, name: str, entry: tuple[int, ...], dtype: Any, opening: float, kept: float, taken: list[Taken]):
        self.name, self.entry, self.dtype = name, entry, np.dtype(dtype)
        self.opening, self.closing = opening, taken[-1].after if taken else opening
        self.start, self.stop = (taken[0].n - 1, taken[-1].n) if taken else (0, 0)
        reach = _reach(taken)
        size = [len(step.rows) for step in taken]

        def column(parts: Iterable[Any], dtype: Any) -> Array:
            return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)

        self.steps = np.repeat(np.array([step.n for step in taken], np.int64), size)
        self.samples = column((step.rows for step in taken), np.int64)
        self.shares = column((step.shares for step in taken), np.float64)
        now = [-s.rate * s.line.scale * (s.line.direct + s.line.through * s.line.take) for s in taken]
        whole = [s.line.scale * (-s.rate * s.line.direct + s.line.take * r) for s, r in zip(taken, reach, strict=True)]
        self.at_once = self.shares * np.repeat(np.array(now, float), size)
        self.amounts = self.shares * np.repeat(np.array(whole, float), size)
        self.labels = column((s.labels for s in taken), object) if taken and taken[0].labels is not None else None
        self.decay = np.array([-step.line.decay * step.before for step in taken])
        self.initial = taken[0].line.keep * reach[0] * kept + 0.0 if taken else 0.0
        self.rounding = self._rest()
        self.bound = self._bound(taken, whole)
        self._numbers = np.array([step.n for step in taken], np.int64)

    def _rest(self) -> float:
        return math.fsum([self.closing, -self.opening, -self.initial, *-self.amounts, *-self.decay])

    def _bound(self, taken: list[Taken], whole: list[float]) -> float:
        gross = (
            np.add.reduceat(np.abs(self.amounts), np.cumsum([0, *(len(s.rows) for s in taken[:-1])])) if taken else 0
        )
        weight = sum(max(abs(step.before), abs(step.after)) for step in taken)
        paid = float(np.sum(gross)) + float(np.abs(self.decay).sum()) + abs(self.initial)
        norms = sum(abs(unit) * step.norm for unit, step in zip(whole, taken, strict=True))
        return float(np.finfo(self.dtype).eps) * (OF_WEIGHT * weight + OF_PAYMENTS * paid + OF_NORM * norms)

    def __len__(self) -> int:
        return len(self.amounts)

    def __iter__(self) -> Iterator[Deposit]:
        columns = (self.steps, self.samples, self.shares, self.at_once, self.amounts - self.at_once, self.amounts)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            yield Deposit(*row)

    @property
    def deposits(self) -> float:
        """The sum of all deposits."""
        return math.fsum(self.amounts)

    def check(self) -> None:
        """Add everything up again.  Raises LedgerError where it does not come to the closing value within `bound`."""
        rest = self._rest()
        if not (abs(rest) <= self.bound and rest == self.rounding):
            raise LedgerError(
                f"the account of {self.label} does not add up",
                why=f"{rest:.3g} is left over, and roundings come to at most {self.bound:.3g}",
            )

    @property
    def label(self) -> str:
        """The parameter's name, and which entry: "W1[3, 7]"."""
        return f"{self.name}[{', '.join(map(str, self.entry))}]" if self.entry else self.name

    def by(self, what: str) -> list[tuple[Any, float]]:
        """Deposits added up by "step", "sample" or "class", the largest size first (steps: in order).

        Raises InputError for another word, or where there are no classes.
        """
        columns = {"step": self.steps, "sample": self.samples, "class": self.labels}
        if what not in columns:
            raise InputError(f"deposits by {what!r}", why='they add up by "step", "sample" or "class"')
        keys = columns[what]
        if keys is None:
            raise InputError("deposits by class", why="the targets of this training are not classes")
        parts: dict[Any, list[float]] = {}
        for key, amount in zip(keys.tolist(), self.amounts.tolist(), strict=True):
            parts.setdefault(key, []).append(amount)
        sums = [(key, math.fsum(amounts)) for key, amounts in parts.items()]
        return sums if what == "step" else sorted(sums, key=lambda pair: (-abs(pair[1]), pair[0]))

    def to_json(self) -> dict[str, Any]:
        """The statement as one object.

        payback ("account"), version (1), name, entry, dtype, start, stop, opening, closing, initial, rounding, bound;
        steps: columns n, decay; deposits: columns step, sample, class (or null), share, at_once, amount.
        """
        return {
            "payback": "account", "version": 1, "name": self.name, "entry": list(self.entry), "dtype": str(self.dtype),
            "start": self.start, "stop": self.stop, "opening": self.opening, "closing": self.closing,
            "initial": self.initial, "rounding": self.rounding, "bound": self.bound,
            "steps": {"n": self._numbers.tolist(), "decay": self.decay.tolist()},
            "deposits": {
                "step": self.steps.tolist(), "sample": self.samples.tolist(),
                "class": None if self.labels is None else self.labels.tolist(), "share": self.shares.tolist(),
                "at_once": self.at_once.tolist(), "amount": self.amounts.tolist(),
            },
        }  # fmt: skip

    def lines(self) -> list[tuple[str, float]]:
        """The statement in a few lines, from opening to closing."""
        carried = self.deposits - math.fsum(self.at_once)
        return [
            ("opening", self.opening),
            (f"{len(self):,} deposits, at once", math.fsum(self.at_once)),
            ("and carried by momentum", carried),
            ("weight decay", math.fsum(self.decay)),
            ("the optimizer's state at the opening", self.initial),
            (f"rounding of {self.dtype}", self.rounding),
            ("closing", self.closing),
        ]

    def __str__(self) -> str:
        wide = max(len(name) for name, _ in self.lines())
        told = [f"{name.ljust(wide)}  {amount:+.17g}" for name, amount in self.lines()]
        steps = f"steps {self.start + 1} to {self.stop}" if self.stop > self.start else "no step"
        return "\n".join([f"{self.label}, {steps}", *told])

    def __repr__(self) -> str:
        return f"<{self.label}: {self.opening!r} + {len(self)} deposits = {self.closing!r}>"


def _reach(taken: Sequence[Taken]) -> list[float]:
    """For each step: what 1 in its momentum has added to the weight by the last step, swept back from there."""
    reach, later, keep = [], 0.0, 0.0
    for step in reversed(taken):
        later = -step.rate * step.line.through + keep * later
        keep = step.line.keep
        reach.append(later)
    return reach[::-1]
