"""Epochs by native code, many a call where nobody looks in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from payback.optim.schedules import Schedule
from payback.train.compiled import Compiled, Taken
from payback.train.epochs import Progressing, check_finite
from payback.train.failing import BadStep
from payback.train.orders import Orders
from payback.train.recording import Watched

STEPS, ROWS = 1 << 16, 1 << 20  # of a block at most: what stands in its arrays
Array = np.ndarray[Any, Any]


class Blocks:
    """What `epochs_of` does, by native code.

    right: tells of every prediction whether it is, where that is recorded.
    """

    def __init__(
        self, at: Progressing, fast: Compiled | Watched, schedule: Schedule, y: Any, weights: Any, size: int,
        orders: Orders, right: Callable[[Any, Any], Any] | None,
    ):  # fmt: skip
        self.at, self.fast, self.schedule, self.y, self.weights, self.right = at, fast, schedule, y, weights, right
        self.size, self.orders, self.n = size, orders, len(y)
        self.steps = -(-self.n // size)  # an epoch

    def epochs(self, looked: bool) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
        """The record of every epoch, and what makes the network after it.

        looked: whether each epoch is looked at before the next one may begin.
        """
        first, epochs = 1, self.orders.epochs
        while first <= epochs:
            count = 1
            if not looked and self.weights is None and self.n % self.size == 0:
                count = max(min(STEPS // self.steps, ROWS // self.n, epochs + 1 - first), 1)
            yield from self._block(first, count)
            first += count

    def _parts(self, first: int, count: int) -> list[tuple[Array | None, int, Array]]:
        """(order of rows or None, rows a step, share of each step), with one number of rows a step."""
        if self.size >= self.n:
            share = float(self.n) if self.weights is None else float(self.weights.sum())
            return [(None, self.n, np.full(count, share))]
        order = self.orders.of(first, count).reshape(-1)
        whole = len(order) // self.size * self.size
        parts: list[tuple[Array | None, int, Array]] = []
        for rows, size in ((order[:whole], self.size), (order[whole:], len(order) - whole)):
            if not len(rows):
                continue
            shares = np.full(len(rows) // size, float(size))
            if self.weights is not None:
                batches = rows.reshape(-1, size)
                shares = self.weights[batches].sum(1, dtype=float)
                rows, shares = batches[shares > 0.0].reshape(-1), shares[shares > 0.0]
            if len(shares):  # samples that all weigh nothing are left out
                parts.append((np.ascontiguousarray(rows, np.int64), size, shares))
        return parts

    def _block(self, first: int, count: int) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
        at, total = self.at, self.orders.epochs * self.steps
        parts = self._parts(first, count)
        shares = np.concatenate([part[2] for part in parts])
        each, begun, done, told = len(shares) // count, at.step, 0, 0  # steps an epoch and so far, epochs told
        rates = self.schedule.rates(begun, len(shares), total)
        costs, norms, lengths, hits = np.zeros((4, len(shares)))
        seen = np.concatenate([np.full(len(part[2]), part[1]) for part in parts])
        for order, size, of_part in parts:
            end = done + len(of_part)
            while done < end:
                since, start = done, time.perf_counter()
                rows = None if order is None else order[(done - end) * size :]
                taken = self.fast.take(rows, size, end - done, rates[done:], at.step + 1)
                now = time.perf_counter()
                here = slice(done, done + len(taken.costs))
                done = here.stop
                at.step = begun + done
                costs[here], norms[here], lengths[here] = taken.costs, taken.norms, taken.lengths
                if self.right is not None:
                    hits[here] = self._hits(taken.predictions, rows)
                finished = slice(told, done // each)
                if finished.stop > told:
                    shape, steps = (-1, each), slice(told * each, finished.stop * each)
                    mass = shares[steps].reshape(shape).sum(1)
                    columns = {"loss": (costs[steps] * shares[steps]).reshape(shape).sum(1) / mass}
                    if self.right is not None:
                        columns["accuracy"] = hits[steps].reshape(shape).sum(1) / seen[steps].reshape(shape).sum(1)
                    columns["gradient_norm"] = norms[steps].reshape(shape).sum(1) / each
                    columns["step_length"] = lengths[steps].reshape(shape).sum(1) / each
                    columns["rate"] = rates[steps][each - 1 :: each]
                    values = np.stack(list(columns.values()), axis=1).tolist()
                    for epoch, row in enumerate(values, told + 1):
                        steps_there = epoch * each
                        # where several epochs are one call, their times are told from its
                        moment = start + (now - start) * (steps_there - since) / max(done - since, 1)
                        head = {"epoch": first + epoch - 1, "step": begun + steps_there}
                        record = head | dict(zip(columns, row, strict=True)) | {"seconds": moment}
                        told = epoch
                        yield record, self._net(taken, steps_there - since, count == 1)
                if taken.bad is not None:
                    k = len(taken.costs)
                    failed = None if rows is None else rows[k * size : (k + 1) * size]
                    at.bad = BadStep(failed, float(rates[done]), *taken.bad)
                    check_finite(at.step, first + told, *taken.bad)

    def _hits(self, predictions: Any, rows: Array | None) -> Array:
        """How many predictions of each step are right."""
        steps, size, *_ = predictions.shape
        target = np.broadcast_to(self.y, (steps, *self.y.shape)) if rows is None else self.y[rows[: steps * size]]
        assert self.right is not None
        right = self.right(predictions.reshape(-1, *predictions.shape[2:]), target.reshape(-1, *self.y.shape[1:]))
        return right.reshape(steps, size).sum(1)

    def _net(self, taken: Taken, steps: int, last: bool) -> Callable[[], Any]:
        """What makes the network after so many steps of a call: a copy, or the steps taken again."""
        net = self.fast.net() if last else None
        return lambda: taken.after(steps) if net is None else net
