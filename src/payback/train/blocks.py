"""Epochs by native code, many a call where nobody looks in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from payback.optim.schedules import Schedule
from payback.train.compiled import Compiled
from payback.train.epochs import Now, Progressing, check_finite
from payback.train.failing import BadStep
from payback.train.metrics import right_answers
from payback.train.orders import Orders
from payback.train.recording import Watched

STEPS, ROWS = 1 << 16, 1 << 20  # of a block at most: what stands in its arrays
HITS = 1 << 16  # entries of predictions that are looked at at a time: what is made of them stays in a cache
Array = np.ndarray[Any, Any]


class Part(NamedTuple):
    """Steps with one number of rows each: the order of their rows (None: all, as they stand), and shares of steps."""

    order: Array | None
    size: int
    shares: Array


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
        # whether all epochs have the same steps of one size: a batch of samples that weigh nothing is left out
        self._alike = self.n % size == 0 and (size >= self.n or weights is None or bool((weights > 0).all()))
        self._truth: Any = None  # what predictions are compared with
        self._fixed: list[Part] | None = None  # the parts of any epoch, where rows are taken as they stand

    def epochs(self, looked: bool) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
        """The record of every epoch, and what makes the network after it.

        looked: whether each epoch is looked at before the next one may begin.
        """
        first, epochs = len(self.at.history) + 1, self.orders.epochs
        while first <= epochs:
            count = 1
            if not looked and self._alike:
                count = max(min(STEPS // self.steps, ROWS // self.n, epochs + 1 - first), 1)
            yield from self._block(first, count)
            first += count

    def _parts(self, first: int, count: int) -> list[Part]:
        if self.orders.key is None and count == 1 and self._fixed is not None:
            return self._fixed
        if self.size >= self.n:
            share = float(self.n) if self.weights is None else float(self.weights.sum())
            made = [Part(None, self.n, np.full(count, share))]
        else:
            order = self.orders.of(first, count).reshape(-1)
            whole = len(order) // self.size * self.size
            made = [self._part(order[:whole], self.size), self._part(order[whole:], len(order) - whole)]
            made = [part for part in made if len(part.shares)]
        if count == 1:
            self._fixed = made
        return made

    def _part(self, rows: Array, size: int) -> Part:
        if self.weights is None or not len(rows):
            return Part(np.ascontiguousarray(rows), size, np.full(len(rows) // max(size, 1), float(size)))
        batches = rows.reshape(-1, size)
        shares = self.weights[batches].sum(1, dtype=float)
        some = shares > 0.0  # samples that all weigh nothing are left out
        return Part(np.ascontiguousarray(batches[some].reshape(-1)), size, shares[some])

    def _block(self, first: int, count: int) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
        at, total = self.at, self.orders.epochs * self.steps
        parts = self._parts(first, count)
        shares = parts[0].shares if len(parts) == 1 else np.concatenate([part.shares for part in parts])
        rows_of_table = 6 if self.right else 4
        earlier = np.reshape(at.taken[1][at.told - at.taken[0] :], (-1, rows_of_table)).T  # of an epoch begun before
        each, done, told, end = len(shares) // count, earlier.shape[1], 0, 0  # steps an epoch and so far, epochs told
        begun = at.step - done
        rates = self.schedule.rates(begun, len(shares), total)
        # of every step: its share, times its cost, norm, length, rows, right predictions
        table = np.empty((rows_of_table, len(shares)))
        table[0], table[1:, :done] = shares, earlier[1:]
        at.taken = begun, table[:, :done].T
        if done == each:  # the epoch was still to be told
            for record in self._records(table, rates, each, 0, 1):
                told = 1
                yield record | {"epoch": first, "step": at.step, "seconds": time.perf_counter()}, Now(self.fast.net)
        for order, size, of_part in parts:
            end += len(of_part)
            while done < end:
                at.interrupts.open()
                self.fast.ready(size, order is not None)
                at.interrupts.close()
                since, start = done, time.perf_counter()
                rows = order if order is None or end - done == len(of_part) else order[(done - end) * size :]
                lasting, most = count > 1, end - done
                if lasting and self.fast.apart(each, size, order is not None):
                    lasting, most = False, min(most, each - done % each)
                taken = self.fast.take(rows, size, most, rates[done:], at.step + 1, lasting)
                now = time.perf_counter()
                done += len(taken.costs)
                at.step = begun + done
                np.multiply(taken.costs, shares[since:done], out=table[1, since:done])
                table[2, since:done], table[3, since:done] = taken.norms, taken.lengths
                if self.right is not None:
                    table[4, since:done], table[5, since:done] = size, self._hits(taken.predictions, rows)
                at.taken = begun, table[:, :done].T
                pace = (now - start) / max(done - since, 1)
                for record in self._records(table, rates, each, told, done // each):
                    there = (told + 1) * each
                    record["epoch"], record["step"] = first + told, begun + there
                    # where several epochs are one call, when each of them ended is told from the call's time
                    record["seconds"] = start + pace * (there - since)
                    told += 1
                    yield record, partial(taken.after, there - since) if lasting else Now(self.fast.net)
                if taken.bad is not None:
                    k = len(taken.costs)
                    failed = None if rows is None else rows[k * size : (k + 1) * size]
                    at.bad = BadStep(failed, float(rates[done]), *taken.bad)
                    check_finite(at.step, first + told, *taken.bad)

    def _records(self, table: Array, rates: Array, each: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """What is told of the epochs from `start` to `stop` of a block; their numbers, which come first, are 0."""
        if stop == start:
            return
        sums = table[:, start * each : stop * each].reshape(len(table), -1, each).sum(2)
        sums[2:4] /= each
        last = rates[(start + 1) * each - 1 : stop * each : each].tolist()
        for rate, (mass, costs, norm, length, *scores) in zip(last, sums.T.tolist(), strict=True):
            record = {"epoch": 0, "step": 0, "loss": costs / mass}
            if scores:
                record["accuracy"] = scores[1] / scores[0]
            record["gradient_norm"], record["step_length"], record["rate"] = norm, length, rate
            yield record

    def _hits(self, predictions: Any, rows: Array | None) -> Array:
        """How many predictions of each step are right."""
        steps, size, *_ = predictions.shape
        assert self.right is not None
        if self._truth is None:
            self._truth = self.y > 0.5 if self.right is right_answers else self.y
        made, some = np.empty(steps), max(HITS * steps // max(predictions.size, 1), 1)
        for start in range(0, steps, some):
            part = predictions[start : start + some]
            if rows is None:
                target = np.broadcast_to(self._truth, (len(part), *self._truth.shape))
            else:
                target = self._truth[rows[start * size : (start + len(part)) * size]]
            right = self.right(part.reshape(-1, *part.shape[2:]), target.reshape(-1, *self.y.shape[1:]))
            made[start : start + some] = right.reshape(len(part), size).sum(1)
        return made
