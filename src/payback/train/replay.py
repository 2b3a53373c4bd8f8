"""The steps of a run: their log, their rows, and taking them again, by machine code or by the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from payback.errors import NonFiniteError
from payback.io import runs as files
from payback.trace.tree import tree_map
from payback.train.checks import right_of
from payback.train.compiled import Compiled
from payback.train.rows import Rows
from payback.train.step import Steps

Array = np.ndarray[Any, Any]


class Batch(NamedTuple):
    """The rows of one step.  samples: their numbers in the X that `fit` was given; weights: None where none were; key:
    what the network draws with, None for one that draws nothing; of: where those numbers count."""

    n: int
    samples: Array
    X: Array
    y: Array
    weights: Array | None
    key: Array | None = None
    of: str = "X"


class Log:
    """The steps of a run: `log[n]` is the n-th, `log["cost"]` a column, iteration goes over all."""

    def __init__(self, lines: list[files.Step], first: int):
        self._lines, self._first = lines, first

    def __getitem__(self, which: int | str) -> Any:
        if isinstance(which, str):
            return np.array([getattr(line, which) for line in self._lines])
        if not self._first < which <= self._first + len(self._lines):
            raise IndexError(f"there is no step {which}")
        return self._lines[which - self._first - 1]

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._lines)

    def __repr__(self) -> str:
        return f"Log({len(self)} steps: n, epoch, rows, size, rate, cost, norm, length, weights)"


class Native:
    """Steps taken by machine code."""

    def __init__(self, steps: Steps, net: Any, state: Any, rows: Rows, loss: str | None):
        predictions = right_of(loss or "") is not None  # as `fit` has it: another program might have other bits
        self._fast = Compiled(steps, steps.optimizer, net, state, *rows[:3], predictions)

    def take(self, lines: list[Any], rows: list[Any]) -> None:
        size, first, done = lines[0].size, lines[0].n, 0
        rates = np.array([line.rate for line in lines])
        order = None if rows[0] is None else np.concatenate([np.asarray(part, np.int64) for part in rows])
        while done < len(lines):
            some = None if order is None else order[done * size :]
            taken = self._fast.take(some, size, len(lines) - done, rates[done:], first + done)
            done += len(taken.costs)
            if taken.bad is not None:
                raise NonFiniteError(f"step {first + done} is not finite", why="it was when it was recorded")

    def copy(self) -> tuple[Any, Any]:
        net, state = tree_map(np.copy, self._fast.now())
        return net, state


class Interpreted:
    """Steps taken by the interpreter."""

    def __init__(self, steps: Steps, net: Any, state: Any, rows: Rows, loss: str | None):
        self._steps, self._net, self._state, self._rows = steps, net, state, rows

    def take(self, lines: list[Any], rows: list[Any]) -> None:
        for line, part in zip(lines, rows, strict=True):
            X, y, weights = (a if a is None or part is None else a[part] for a in self._rows[:3])
            self._net, self._state = self._one(line, X, y, weights)

    def _one(self, line: Any, X: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        net, state, *_ = self._steps.train(self._net, self._state, X, y, weights, line.rate, float(line.n))
        return net, state

    def copy(self) -> tuple[Any, Any]:
        return self._net, self._state


class Searched(Interpreted):
    """Steps of a line search, whose lengths the log has."""

    def _one(self, line: Any, X: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        gradient = self._steps.gradient(self._net, X, y, weights)[2]
        return tree_map(lambda p, g: p - g.dtype.type(line.rate) * g, self._net, gradient), self._state
