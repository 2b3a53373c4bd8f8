"""Epochs, step by step on the interpreter, and where a training is after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from payback.errors import NonFiniteError
from payback.optim.minimize import backtrack
from payback.optim.optimizers import Optimizer
from payback.trace.tree import leaves, tree_map
from payback.train.failing import BadStep
from payback.train.history import History
from payback.train.interrupts import Interrupts
from payback.train.orders import Orders
from payback.train.recording import Recorder
from payback.train.step import Steps


class Now:
    """The network as it is when this is first called, which is before another step is taken; later, that again.

    copy() makes it; copy(True) in the memory of the last one that was made so.
    """

    def __init__(self, copy: Callable[[bool], Any]):
        self._copy, self._made = copy, None

    def __call__(self) -> Any:
        if self._made is None:
            self._made = self._copy(False)
        return self._made

    def kept(self) -> Any:
        """The same, for the one who keeps but the last of these."""
        return self._copy(True) if self._made is None else self._made


@dataclass
class Progressing:
    """Where a training is: what a run is made of when it ends, however it ends."""

    net: Any
    state: Any
    recorder: Recorder | None = None
    history: History = field(default_factory=History)
    step: int = 0
    bad: BadStep | None = None
    best: tuple[float, int, Callable[[], Any]] | None = None  # cost, epoch, what makes its network
    taken: tuple[int, Any] = (0, ())  # how many steps went before some, and what is told of each of these
    accepted: tuple[Any, float] | None = None  # by a line search: a network and its cost
    interrupts: Interrupts = field(default_factory=Interrupts)

    @property
    def told(self) -> int:
        """The number of steps up to the end of the last epoch in the history."""
        return self.history[-1]["step"] if self.history.records else 0

    def offer(self, cost: float, epoch: int, network: Callable[[], Any]) -> None:
        if self.best is None or cost < self.best[0]:
            if isinstance(network, Now):
                self.best = None  # if Ctrl-C comes here, the network as it is now is the best
                network = partial(same, network.kept())
            self.best = (cost, epoch, network)


def epochs_of(
    at: Progressing,
    steps: Steps,
    optimizer: Optimizer,
    X: Any,
    y: Any,
    weights: Any,
    size: int,
    orders: Orders,
    metric: Any,
) -> Iterator[dict[str, Any]]:
    """The record of every epoch.  Costs are those of each batch before its step, averaged over samples."""
    n = len(X)
    all_steps = orders.epochs * -(-n // size)
    before = np.asarray(at.taken[1]).tolist()  # steps of an epoch that was begun before
    for epoch in range(len(at.history) + 1, orders.epochs + 1):
        taken, count = before, 0  # of every step: its share, cost, norm, length, rate, right predictions, rows
        before, at.taken = [], (at.step - len(taken), taken)
        for rows in orders.batches(epoch, size):
            at.interrupts.open()
            x_batch, y_batch = (X, y) if rows is None else (X[rows], y[rows])
            w_batch = None if weights is None else weights if rows is None else weights[rows]
            share = float(n if rows is None else len(rows)) if w_batch is None else float(w_batch.sum())
            if share == 0.0:  # samples that all weigh nothing
                continue
            count += 1
            if count <= len(taken):
                continue
            rate = optimizer.schedule(at.step, all_steps)
            if optimizer.line_search:
                searched = _line_search(at, steps, x_batch, y_batch, w_batch, rate)
                net, state, cost, prediction, norm, length, rate = searched
            else:
                net, state, cost, prediction, norm, length = steps.train(
                    at.net, at.state, x_batch, y_batch, w_batch, rate, float(at.step + 1)
                )
            at.interrupts.close()
            if at.recorder is not None:
                now, earlier = partial(_both, net, state), partial(_both, at.net, at.state)
                at.recorder.step(rows, len(x_batch), rate, (cost, norm, length), leaves(net), now, earlier)
            at.bad = BadStep(rows, rate, float(cost), float(norm), float(length))
            check_finite(at.step, epoch, cost, norm, length)
            at.net, at.state, at.step = net, state, at.step + 1
            told: tuple[float, ...] = share, float(cost), float(norm), float(length), float(rate)
            if metric and metric[0] == "accuracy":
                told = *told, metric[1](prediction, y_batch) * len(y_batch), len(y_batch)
            taken.append(told)
        at.bad = None
        yield {"epoch": epoch, "step": at.step} | _summed(taken)


def _summed(taken: list[tuple[float, ...]]) -> dict[str, float]:
    """What the record of an epoch says of its steps."""
    total = mass = norms = lengths = scores = seen = 0.0
    for share, cost, norm, length, _, *right in taken:
        total, mass = total + cost * share, mass + share
        norms, lengths = norms + norm, lengths + length
        if right:
            scores, seen = scores + right[0], seen + right[1]
    record = {"loss": total / mass} | ({"accuracy": scores / seen} if seen else {})
    return record | {"gradient_norm": norms / len(taken), "step_length": lengths / len(taken), "rate": taken[-1][4]}


def same(net: Any) -> Any:
    """With `partial`: what makes a network that is there."""
    return net


def _both(net: Any, state: Any) -> tuple[Any, Any]:
    return net, state


def check_finite(step: int, epoch: int, cost: Any, norm: Any, length: Any) -> None:
    """Raises NonFiniteError, naming what is not finite in the step after `step` steps."""
    if np.isfinite(cost) and np.isfinite(norm) and np.isfinite(length):
        return
    what = "cost" if not np.isfinite(cost) else "gradient" if not np.isfinite(norm) else "step"
    value = {"cost": cost, "gradient": norm, "step": length}[what]
    raise NonFiniteError(
        f"the {what} became {float(value)} at step {step + 1}",
        where=f"epoch {epoch}",
        why="the steps are too long, or the data hold extreme values",
        fix="give a smaller step length, or clip the gradient with clip_norm",
    )


def _line_search(at: Progressing, steps: Steps, x: Any, y: Any, weights: Any, rate: float) -> tuple[Any, ...]:
    """One step of descent whose length a backtracking search finds; at.state keeps the last accepted length."""
    cost, prediction, gradient, norm = steps.gradient(at.net, x, y, weights)
    net, rate = at.net, at.state[0] if isinstance(at.state, tuple) and at.state else rate
    if not (np.isfinite(cost) and np.isfinite(norm)):
        return net, at.state, cost, prediction, norm, 0.0, rate

    def moved(by: float) -> Any:
        return tree_map(lambda p, g: p - g.dtype.type(by) * g, net, gradient)

    def cost_of(net: Any) -> float:
        return float(steps.cost(net, x, y, weights)[0])

    # costs are compared with costs of the same program: that of the gradient may round in another way
    here = at.accepted[1] if at.accepted is not None and at.accepted[0] is net else cost_of(net)
    length, there = backtrack(lambda by: cost_of(moved(by)), here, float(norm) ** 2, rate)
    at.accepted = moved(length), there
    return at.accepted[0], (2 * length or rate,), cost, prediction, norm, length * float(norm), length
