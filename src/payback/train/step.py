"""The training step as a pure function, traced once per batch size: parameters and state in, new ones out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback import native, random
from payback.ir.aval import Aval
from payback.nn.drawing import draws, training
from payback.ops.philox import folded
from payback.optim.optimizers import Optimizer, global_norm
from payback.trace.abstract import TracedFunction, trace
from payback.trace.tree import is_leaf, leaves, tree_map
from payback.train.flat import Flat
from payback.transforms.gradient import traced_gradient, value_and_grad
from payback.transforms.retracing import steady

Loss = Callable[..., Any]
KEY = Aval((2,), np.dtype(np.uint32))


def _like(array: Any, rows: int) -> Aval | None:
    return None if array is None else Aval((rows, *array.shape[1:]), array.dtype)


class Draws:
    """What networks draw with in the steps of a training: another key in each, from the training's seed.

    It is of no order of the rows and of no split: see `Orders` and `fit`.
    """

    def __init__(self, seed: int):
        self._root = random.split(random.key(seed), 3)[2]

    def keys(self, first: int, count: int) -> Any:
        """(count, 2): of so many steps, the first of them being number `first`."""
        return folded(self._root, np.arange(first, first + count))

    def key(self, step: int) -> Any:
        return self.keys(step, 1)[0]


def draws_of(net: Any, X: Any, seed: int) -> Draws | None:
    """What a network draws with, or None for one that draws nothing."""
    with np.errstate(all="ignore"):
        return Draws(seed) if draws(net, X[:1]) else None


class Steps:
    """The traced functions of one training, made when first needed and kept by the number of rows.

    train(net, state, x, y, weights, rate, step) -> (net, state, cost, prediction, gradient norm, step length)
    gradient(net, x, y, weights)                 -> (cost, prediction, gradient, its norm)
    cost(net, x, y, weights)                     -> (cost, prediction)

    draws: what networks draw with in the steps, or None where they draw nothing.
    """

    def __init__(
        self, net: Any, loss: Loss, optimizer: Optimizer, draws: Draws | None = None, *, interpreted: bool = False
    ):
        self.net, self.loss, self.optimizer, self.draws = net, loss, optimizer, draws
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

    def _cost(self, net: Any, x: Any, y: Any, weights: Any, key: Any = None) -> tuple[Any, Any]:
        with training(key):
            prediction = net(x)
        cost = self.loss(prediction, y, weights)
        # of several arrays nobody but the loss makes anything
        return cost, prediction if is_leaf(prediction) else cost.reshape(1)

    def _gradient(self, net: Any, x: Any, y: Any, weights: Any, key: Any = None) -> tuple[Any, ...]:
        (cost, prediction), gradient = value_and_grad(self._cost, has_aux=True)(net, x, y, weights, key)
        return cost, prediction, gradient, global_norm(gradient)

    def _train(
        self, net: Any, state: Any, x: Any, y: Any, weights: Any, rate: Any, step: Any, key: Any
    ) -> tuple[Any, ...]:
        cost, prediction, gradient, norm = self._gradient(net, x, y, weights, key)
        new, state = self.optimizer.update(gradient, state, net, rate, step)
        length = global_norm(tree_map(lambda a, b: a - b, new, net))
        return new, state, cost, prediction, norm, length

    def cost(self, net: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        return self._get("cost", self._cost, x, y, weights)(net, x, y, weights)

    def gradient(self, net: Any, x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
        return self._get("gradient", self._gradient, x, y, weights)(net, x, y, weights)

    def traced_train(self, state: Any, x: Any, y: Any, weights: Any) -> TracedFunction:
        """The traced step for batches like these."""
        return self._get("train", self._train, x, y, weights, state, 1.0, 1.0, self._key)

    @property
    def _key(self) -> Aval | None:
        return None if self.draws is None else KEY

    def traced_flat(self, flat: Flat, state: Any, x: Any, y: Any, weights: Any) -> TracedFunction:
        """The same with all parameters in one vector: (vector, state, x, y, weights, numbers, key) -> …

        numbers: the optimizer's for the step (`Optimizer.numbers`).
        """

        def train(vector: Any, state: Any, x: Any, y: Any, weights: Any, numbers: Any, key: Any) -> tuple[Any, ...]:
            net = flat.spread(vector)
            parts = [leaf.node for leaf in leaves(net)]
            cost, prediction, by_leaf = traced_gradient(self._cost, (net, x, y, weights, key), parts)
            gradient = [flat.join(by_leaf)]
            (new,), state = flat.optimizer.taken(gradient, state, [vector], numbers)
            return new, state, cost, prediction, global_norm(gradient), global_norm([new - vector])

        rows = len(x)
        numbers = flat.optimizer.numbers(1.0, 1.0)
        return self._trace(
            train, flat.aval, state, _like(x, rows), _like(y, rows), _like(weights, rows), numbers, self._key
        )

    def _trace(self, f: Callable[..., Any], *arguments: Any) -> TracedFunction:
        """`trace`.  Raises UnsupportedError where the network or the loss draws random numbers, or counts its calls."""
        return steady((self.net, self.loss), lambda: trace(f, *arguments), "the network or the loss of a training",
                      None, "draw with pb.nn.Dropout, or with the key of pb.nn.key_for(x) in a layer, make it part of "
                      "the rows, or write the loop yourself: pb.compile of a step that takes it, or a pb.random.key",
                      large=False)  # fmt: skip

    def train(self, net: Any, state: Any, x: Any, y: Any, weights: Any, rate: float, step: float) -> tuple[Any, ...]:
        key = None if self.draws is None else self.draws.key(int(step))
        return self.traced_train(state, x, y, weights)(net, state, x, y, weights, rate, step, key)


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
