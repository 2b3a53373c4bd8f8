"""The training step as a pure function, traced once per batch size: parameters and state in, new ones out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback import native
from payback.errors import UnsupportedError
from payback.ir.aval import Aval
from payback.optim.optimizers import Optimizer, global_norm
from payback.trace.abstract import TracedFunction, trace
from payback.trace.tree import leaves, tree_map
from payback.train.flat import Flat
from payback.transforms.around import drawn, generators_of
from payback.transforms.gradient import traced_gradient, value_and_grad

Loss = Callable[..., Any]


def _like(array: Any, rows: int) -> Aval | None:
    return None if array is None else Aval((rows, *array.shape[1:]), array.dtype)


class Steps:
    """The traced functions of one training, made when first needed and kept by the number of rows.

    train(net, state, x, y, weights, rate, step) -> (net, state, cost, prediction, gradient norm, step length)
    gradient(net, x, y, weights)                 -> (cost, prediction, gradient, its norm)
    cost(net, x, y, weights)                     -> (cost, prediction)
    """

    def __init__(self, net: Any, loss: Loss, optimizer: Optimizer, *, interpreted: bool = False):
        self.net, self.loss, self.optimizer = net, loss, optimizer
        self.native = native.available() and not interpreted
        self._traced: dict[tuple[str, int, bool], TracedFunction] = {}

    def _get(self, name: str, f: Callable[..., Any], x: Any, y: Any, weights: Any, *others: Any) -> TracedFunction:
        key = (name, len(x), weights is None)
        if key not in self._traced:
            rows = len(x)
            batch = _like(x, rows), _like(y, rows), _like(weights, rows)
            traced = self._trace(f, self.net, *others[:1], *batch, *others[1:])
            if self.native and name != "train":  # whole trainings have a loop of their own
                from payback.native.running.reuse import program_again

                traced.run = program_again(traced.graph)
            self._traced[key] = traced
        return self._traced[key]

    def _cost(self, net: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        prediction = net(x)
        return self.loss(prediction, y, weights), prediction

    def _gradient(self, net: Any, x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
        (cost, prediction), gradient = value_and_grad(self._cost, has_aux=True)(net, x, y, weights)
        return cost, prediction, gradient, global_norm(gradient)

    def _train(self, net: Any, state: Any, x: Any, y: Any, weights: Any, rate: Any, step: Any) -> tuple[Any, ...]:
        cost, prediction, gradient, norm = self._gradient(net, x, y, weights)
        new, state = self.optimizer.update(gradient, state, net, rate, step)
        length = global_norm(tree_map(lambda a, b: a - b, new, net))
        return new, state, cost, prediction, norm, length

    def cost(self, net: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        return self._get("cost", self._cost, x, y, weights)(net, x, y, weights)

    def gradient(self, net: Any, x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
        return self._get("gradient", self._gradient, x, y, weights)(net, x, y, weights)

    def traced_train(self, state: Any, x: Any, y: Any, weights: Any) -> TracedFunction:
        """The traced step for batches like these."""
        return self._get("train", self._train, x, y, weights, state, 1.0, 1.0)

    def traced_flat(self, flat: Flat, state: Any, x: Any, y: Any, weights: Any) -> TracedFunction:
        """The same with all parameters in one vector: (vector, state, x, y, weights, numbers) -> …

        numbers: the optimizer's for the step (`Optimizer.numbers`).
        """

        def train(vector: Any, state: Any, x: Any, y: Any, weights: Any, numbers: Any) -> tuple[Any, ...]:
            net = flat.spread(vector)
            parts = [leaf.node for leaf in leaves(net)]
            cost, prediction, by_leaf = traced_gradient(self._cost, (net, x, y, weights), parts)
            gradient = [flat.join(by_leaf)]
            (new,), state = flat.optimizer.taken(gradient, state, [vector], numbers)
            return new, state, cost, prediction, global_norm(gradient), global_norm([new - vector])

        rows = len(x)
        numbers = flat.optimizer.numbers(1.0, 1.0)
        return self._trace(train, flat.aval, state, _like(x, rows), _like(y, rows), _like(weights, rows), numbers)

    def _trace(self, f: Callable[..., Any], *arguments: Any) -> TracedFunction:
        """`trace`.  Raises UnsupportedError where the network or the loss draws random numbers."""
        generators = generators_of((self.net, self.loss))
        for _ in range(3):  # some draw once, and other threads may draw
            before = drawn(generators)
            traced = trace(f, *arguments)
            if drawn(generators) == before:
                return traced
        raise UnsupportedError("the network or the loss of a training draws random numbers",
                               why="a step is traced once, so all steps would see the same ones",
                               fix="make them part of the rows, or write the loop yourself: pb.compile of a step that "
                               "takes a pb.random.key")  # fmt: skip

    def train(self, net: Any, state: Any, x: Any, y: Any, weights: Any, rate: float, step: float) -> tuple[Any, ...]:
        return self.traced_train(state, x, y, weights)(net, state, x, y, weights, rate, step)


def in_chunks(
    steps: Steps, net: Any, x: Any, y: Any, weights: Any, size: int = 4096
) -> tuple[float, np.ndarray[Any, Any]]:
    """Cost and predictions over any number of rows, chunk by chunk."""
    total, mass, predictions = 0.0, 0.0, []
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        w = None if weights is None else weights[part]
        share = float(len(x[part]) if w is None else w.sum())
        cost, prediction = steps.cost(net, x[part], y[part], w)
        predictions.append(prediction)
        if share > 0:  # a chunk whose samples all weigh nothing has no mean
            total += float(cost) * share
            mass += share
    return total / mass, np.concatenate(predictions)
