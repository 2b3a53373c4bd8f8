"""What a diagnosis goes by: a recorded training looked at in a few places, each made when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from payback.glass.explain import Seen, run
from payback.glass.findings import Finding, short
from payback.glass.units import Units, units
from payback.ir.node import Node, ancestors
from payback.nn.drawing import training
from payback.nn.module import parameters
from payback.optim.minimize import minimize
from payback.trace.tree import is_leaf, leaves, unflatten
from payback.train.explanations import Cost
from payback.train.replay import Batch
from payback.train.runs import RecordedRun
from payback.transforms.gradient import value_and_grad

Array = np.ndarray[Any, Any]
LOOKS, ROWS = 9, 2_000
FAR = 1e6  # answers beyond it are on their way to infinity
LENGTHS = 2.0 ** np.arange(-8, 13, 2)  # by which a step is multiplied to see which would have been best


@dataclass(frozen=True)
class Look:
    """A step.

    before, after: the network.  gradient: of the cost of its batch, by the network before.  costs: of that batch, for
    the step taken LENGTHS times as long; cost: for none.  promise: what the gradient says of the step as it is.
    """

    n: int
    batch: Batch
    before: Any
    after: Any
    gradient: dict[str, Array]
    cost: float
    costs: Array
    promise: float

    @property
    def best(self) -> float:
        """How many times as long the step should have been for its own batch; 0: no length lowers its cost."""
        k = int(np.nanargmin(self.costs)) if np.isfinite(self.costs).any() else 0
        return float(LENGTHS[k]) if self.costs[k] < self.cost else 0.0

    @property
    def rose(self) -> bool:
        """Whether the cost of its own batch rose by the step, though the gradient said that it falls."""
        return self.promise < 0 and not self.costs[LENGTHS == 1.0][0] <= self.cost


class Shown(NamedTuple):
    """The graph of the cost of some rows, with values.  result: what the network answered, and the leaves by name."""

    seen: Seen
    result: Node
    leaves: dict[str, Node]

    @property
    def units(self) -> list[Units]:
        return list(units(self.seen.top, self.result))


class Evidence:
    """A recorded training, as the rules ask of it."""

    def __init__(self, recorded: RecordedRun):
        self.found: list[Finding] = []  # by the rules before
        self.run, self.loss, self.settings = recorded, recorded.loss, recorded.settings
        self.rows, self.optimizer = recorded.rows, recorded.optimizer
        self.name = recorded.loss_name
        first, last = recorded.first + 1, len(recorded)
        self.looked = sorted({round(n) for n in np.linspace(first, last, LOOKS)}) if last >= first else []
        self.numbers = np.unique(np.linspace(0, len(self.rows.X) - 1, ROWS).astype(int))
        X, y, weights, *_ = self.rows
        self.X, self.y, self.weights = (
            X[self.numbers],
            y[self.numbers],
            None if weights is None else weights[self.numbers],
        )

    def cost_of(self, net: Any, X: Any, y: Any, weights: Any, key: Any = None) -> Any:
        with training(key):
            prediction = net(X)
        return self.loss(prediction, y, weights)

    @cached_property
    def looks(self) -> list[Look]:
        with np.errstate(all="ignore"):
            return [self._look(n) for n in self.looked]

    def _look(self, n: int) -> Look:
        before, after, batch = self.run.step(n - 1).net, self.run.step(n).net, self.run.batch(n)
        rows = batch.X, batch.y, batch.weights, batch.key
        cost, gradient = value_and_grad(self.cost_of)(before, *rows)
        old, new, slopes = leaves(before), leaves(after), leaves(gradient)
        moved = [b - a for a, b in zip(old, new, strict=True)]
        promise = sum(float(np.sum(g * d, dtype=float)) for g, d in zip(slopes, moved, strict=True))
        costs = []
        for by in LENGTHS:
            there = [np.asarray(a + a.dtype.type(by) * d) for a, d in zip(old, moved, strict=True)]
            costs.append(float(self.cost_of(unflatten(before, iter(there)), *rows)))
        return Look(n, batch, before, after, parameters(gradient), float(cost), np.array(costs), promise)

    @cached_property
    def first(self) -> Any:
        return self.run.step(self.run.first).net

    @cached_property
    def last(self) -> Any:
        return self.run.step(len(self.run)).net

    def cost(self, net: Any) -> float:
        """Of the rows that are looked at, nothing drawn."""
        with np.errstate(all="ignore"):
            return float(self.cost_of(net, self.X, self.y, self.weights))

    @cached_property
    def began(self) -> float:
        return self.cost(self.first)

    @cached_property
    def ended(self) -> float:
        return self.cost(self.last)

    @cached_property
    def held(self) -> float | None:
        """The cost of the rows held out, at the end."""
        if self.rows.held is None:
            return None
        X, y, weights = self.rows.held
        with np.errstate(all="ignore"):
            return float(self.cost_of(self.last, X[:ROWS], y[:ROWS], None if weights is None else weights[:ROWS]))

    def shown(self, net: Any, batch: Batch | None = None) -> Shown:
        """The graph of the cost of a batch, by default of the rows that are looked at."""
        some = batch or Batch(0, self.numbers, self.X, self.y, self.weights)
        cost = Cost(self.loss, some)
        seen = run(cost, (net, some.X, some.y, some.weights), {}, 0)
        seen = seen._replace(names=cost.called(seen, net))
        by_name = dict(zip(parameters(net), seen.wrt, strict=True))
        return Shown(seen, max(cost.result, key=lambda node: node.id, default=seen.top), by_name)

    @cached_property
    def at_first(self) -> Shown:
        return self.shown(self.first)

    @cached_property
    def at_last(self) -> Shown:
        return self.shown(self.last)

    @cached_property
    def nodes(self) -> list[Node]:
        return list(ancestors([self.at_last.seen.top]))

    @cached_property
    def answers(self) -> Array | None:
        """What the network answers in the end; None for one of several results."""
        with np.errstate(all="ignore"):
            found = self.last(self.X)
        return np.asarray(found) if is_leaf(found) else None

    @cached_property
    def probabilities(self) -> bool:
        """Whether the network answers with probabilities of classes, from the start."""
        if self.answers is None or self.answers.ndim != 2 or len(self.answers) < 20:
            return False
        with np.errstate(all="ignore"):
            both = np.asarray(self.first(self.X)), self.answers
        return all(bool(((a >= 0) & (a <= 1)).all()) and np.allclose(a.sum(axis=1), 1, atol=1e-3) for a in both)

    @cached_property
    def classes(self) -> int:
        """How many classes y holds; 0 where it holds values."""
        if self.y.dtype.kind in "iu":
            return int(self.y.max()) + 1
        binary = self.name == "binary_cross_entropy" and bool(np.isin(self.rows.y, (0, 1)).all())
        return 2 if binary and self.y[0].size == 1 else 0

    @cached_property
    def labels(self) -> Array:
        """The classes of the training rows."""
        return np.asarray(self.rows.y.reshape(-1).astype(int))

    def perfect(self, y: Any) -> Array | None:
        """Answers that hit targets, in the form of the network's; None where nobody knows what these would be."""
        answers = self.answers
        if answers is None:
            return None
        if y.dtype.kind in "iu" and answers.ndim == 2 and y.ndim == 1 and 0 <= y.min() <= y.max() < answers.shape[1]:
            return np.asarray((np.arange(answers.shape[1]) == y[:, None]).astype(answers.dtype))
        if y.size == answers.size and answers.shape[0] == len(y):
            return np.asarray(y.reshape(answers.shape).astype(answers.dtype))
        return None

    def cost_at(self, answers: Any) -> float:
        """What answers cost, put in the place of the network's; NaN where the loss has no number for them."""
        with np.errstate(all="ignore"):
            try:
                return float(self.loss(answers, self.y, self.weights))
            except Exception:  # somebody's function, of what it was not made for
                return float("nan")

    @cached_property
    def floor(self) -> float:
        """What a cost can fall to, as far as that is known: what perfect answers cost."""
        if self.name in ("cross_entropy", "binary_cross_entropy", "squared_error", "huber"):
            return 0.0
        perfect = self.perfect(self.y)
        return float("nan") if perfect is None or self.y.dtype.kind in "iu" else self.cost_at(perfect)

    @cached_property
    def constant(self) -> float:
        """What the best answer costs that is the same for all rows; NaN where that cannot be told."""
        answers = self.answers
        if answers is None:
            return float("nan")
        like = np.zeros(answers.shape, answers.dtype)
        begin: Any = np.zeros(answers.shape[1:], answers.dtype)
        if self.y.dtype.kind == "f" and self.y.size == answers.size:
            mean = self.y.reshape(answers.shape).mean(axis=0, dtype=float)
            begin = mean
            if self.name == "binary_cross_entropy":
                begin = np.log(np.clip(mean, 1e-6, 1) / np.clip(1 - mean, 1e-6, 1))
        elif self.classes and self.name == "cross_entropy" and answers.ndim == 2:
            share = np.bincount(self.y, minlength=answers.shape[1]) / len(self.y)
            begin = np.log(np.maximum(share, 1e-6))
        elif self.classes and self.probabilities:
            begin = np.bincount(self.y, minlength=answers.shape[1]) / len(self.y)
            return self.cost_at(like + begin.astype(like.dtype))
        if self.name in ("squared_error", "binary_cross_entropy") or (self.name == "cross_entropy" and begin.any()):
            return self.cost_at(like + begin.astype(like.dtype))  # it is known
        begin = begin.astype(like.dtype)
        try:
            found = minimize(lambda c: self.loss(like + c, self.y, self.weights), begin, step=0.1, line_search=True,
                             max_steps=100)  # fmt: skip
        except Exception:  # somebody's function, of what it was not made for
            return float("nan")
        return float(found.cost) if np.max(np.abs(found.x)) < FAR else float("nan")  # else it has no least

    @cached_property
    def poor(self) -> bool:
        """Whether the training has come to hardly more than an answer that is the same for all rows."""
        floor = self.floor if np.isfinite(self.floor) else min(0.0, self.ended)
        if not np.isfinite(self.ended):
            return True
        return np.isfinite(self.constant) and self.ended - floor > 0.8 * (self.constant - floor)

    @property
    def learned(self) -> str:
        steps = f"{len(self.run):,} step{'s' * (len(self.run) != 1)}"
        went = "fell" if self.ended < self.began else "rose" if self.ended > self.began else "went"
        told = f"{steps}: the cost {went} from {short(self.began)} to {short(self.ended)}"
        if np.isfinite(self.constant):
            told += f"; the best answer that is the same for all rows costs {short(self.constant)}"
        return told + (f"; that of the rows held out is {short(self.held)}" if self.held is not None else "")
