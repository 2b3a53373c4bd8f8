"""Training on rows that come bit by bit: what is carried from one pass over some of them to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from payback import random
from payback.errors import InputError
from payback.optim.optimizers import Optimizer
from payback.trace.tree import tree_map
from payback.train.blocks import Blocks
from payback.train.compiled import compiled
from payback.train.epochs import Progressing, epochs_of
from payback.train.orders import Orders
from payback.train.rows import training_rows
from payback.train.step import Steps, draws_of


@dataclass(frozen=True)
class Stream:
    """A network, the optimizer's state and the number of steps taken.

    >>> import payback as pb
    >>> X = np.linspace(-1, 1, 32)[:, None]
    >>> stream = Stream(pb.nn.MLP([1, 1], seed=0, dtype=float), "squared_error", pb.optim.Adam(0.1), 0)
    >>> for _ in range(100):
    ...     stream = stream.take(X, 3 * X, None, 16)
    >>> stream.steps, bool(abs(stream.net(X) - 3 * X).max() < 0.01)
    (200, True)
    """

    net: Any
    loss: str | Callable[..., Any]
    optimizer: Optimizer
    seed: int
    state: Any = field(default=None, repr=False)
    steps: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a schedule that asks how many steps there will be, and for a line search."""
        schedule = self.optimizer.schedule
        if not np.array_equal(schedule.rates(0, 8, 10), schedule.rates(0, 8, 1000)):
            raise InputError(f"the rate is {self.optimizer.rate!r:.60} where no end is known",
                             why="it follows from the number of all steps", fix="give a constant rate")  # fmt: skip
        if self.optimizer.line_search:
            raise InputError("a line search on rows that come bit by bit", why="each pass has another cost",
                             fix="give another optimizer")  # fmt: skip

    def take(self, X: Any, y: Any, weights: Any, size: int) -> Self:
        """The same after one pass over these rows, in batches of `size` and in an order that the seed decides.

        Raises as `fit` does for rows, and NonFiniteError.
        """
        key = random.key(self.seed)
        _, loss, rows = training_rows(self.net, X, y, weights, self.loss, 0.0, key)
        steps = Steps(self.net, loss, self.optimizer, draws_of(self.net, rows.X, self.seed))
        at = Progressing(self.net, self.optimizer.init(self.net) if self.state is None else self.state, step=self.steps)
        orders = Orders(len(rows.X), random.fold_in(random.split(key, 2)[1], self.steps), 1)
        fast = compiled(steps, self.optimizer, at.net, at.state, *rows[:3], False)
        with at.interrupts:
            if fast is None:
                made = epochs_of(at, steps, self.optimizer, *rows[:3], size, orders, None)
            else:
                blocks = Blocks(at, fast, self.optimizer.schedule, rows.y, rows.weights, size, orders, None)
                made = (record for record, _ in blocks.epochs(True))
            for _ in made:
                pass
        net, state = (at.net, at.state) if fast is None else tree_map(np.copy, fast.now())
        return replace(self, net=net, state=state, steps=at.step)
