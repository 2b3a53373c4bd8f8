"""Training in native code: whole steps, many a call, on arrays that are updated in place."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from payback import native
from payback.optim.optimizers import Optimizer
from payback.trace.tree import leaves, unflatten
from payback.train.step import Steps

SLICE = 0.1  # seconds in native code at a time: how long Ctrl-C may have to wait


class Taken(NamedTuple):
    """What the steps of an epoch came to, one entry a step; `bad`: the step after them is not finite."""

    costs: np.ndarray[Any, Any]
    norms: np.ndarray[Any, Any]
    lengths: np.ndarray[Any, Any]
    rates: np.ndarray[Any, Any]
    predictions: np.ndarray[Any, Any]
    bad: tuple[float, float, float] | None


class Compiled:
    """A training whose steps run natively.  net and state are the arrays as they are now, changed in place."""

    def __init__(self, steps: Steps, net: Any, state: Any, X: Any, y: Any, weights: Any):
        self.steps = steps
        self._net, self._state = net, state
        self._arrays = [np.array(leaf, _native(leaf), order="C") for leaf in leaves((net, state))]
        self._data = [np.ascontiguousarray(array, _native(array)) for array in (X, y, weights) if array is not None]
        self._weighted = weights is not None
        self._loops: dict[tuple[int, bool], Any] = {}
        self._pace: dict[tuple[int, bool], int] = {}  # steps a call, so that Ctrl-C is heard soon

    def net(self) -> Any:
        """A copy of the network as it is now."""
        return unflatten(self._net, iter([array.copy() for array in self._arrays]))

    def _loop(self, size: int, chosen: bool) -> Any:
        if (size, chosen) not in self._loops:
            from payback.native.stepwise import loop_of

            X, y, *rest = self._data
            traced = self.steps.traced_train(self._state, X[:size], y[:size], rest[0][:size] if rest else None)
            graph, carried = traced.graph, len(self._arrays)
            rows = {carried + k: array.shape for k, array in enumerate(self._data)}
            rate, step = carried + len(rows), carried + len(rows) + 1
            cost, prediction, norm, length = range(carried, carried + 4)
            self._loops[size, chosen] = loop_of(
                graph, carried={i: i for i in range(carried)}, rows=rows, chosen=chosen, streams=[rate, step],
                recorded=[cost, prediction, norm, length], before=[cost, norm], after=[length],
            )  # fmt: skip
        return self._loops[size, chosen]

    def take(self, order: np.ndarray[Any, Any] | None, size: int, steps: int, rates: Any, first: int) -> Taken:
        """Take `steps` steps on batches of `size` rows in this order (None: on all); stop before one that fails."""
        loop = self._loop(size, order is not None)
        carried = len(self._arrays)
        made = [np.empty((steps, *node.aval.shape), node.aval.dtype) for node in loop.graph.outputs[carried:]]
        numbers = np.arange(first, first + steps, dtype=np.float64)
        rates = np.array(rates, np.float64)
        pace = size, order is not None
        done, some, bad = 0, self._pace.get(pace, 1), None
        while done < steps and bad is None:
            count = min(some, steps - done)
            records = {carried + k: array[done:] for k, array in enumerate(made)}
            inputs = [*self._arrays, *self._data, rates[done:], numbers[done:]]
            begun = time.perf_counter()
            result = loop.run(inputs, None if order is None else order[done * size :], records, count)
            took = time.perf_counter() - begun
            if result.bad is not None:
                bad = tuple(float(array[done + result.steps]) for array in (made[0], made[2], made[3]))
                if result.before:
                    bad = (*bad[:2], 0.0)
            done += result.steps
            some = max(1, min(some * 8, int(SLICE * count / max(took, 1e-9))))
        self._pace[pace] = some
        costs, predictions, norms, lengths = (array[:done] for array in made)
        return Taken(costs, norms, lengths, rates[:done], predictions, bad)  # type: ignore[arg-type]


def _native(array: Any) -> Any:
    """The dtype in this machine's byte order."""
    return array.dtype.newbyteorder("=")


def compiled(steps: Steps, optimizer: Optimizer, net: Any, state: Any, X: Any, y: Any, weights: Any) -> Compiled | None:
    """The training in native code, or None where it runs on the interpreter."""
    if not native.available() or getattr(optimizer, "line_search", False):
        return None
    return Compiled(steps, net, state, X, y, weights)
