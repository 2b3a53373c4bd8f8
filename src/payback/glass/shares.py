"""The share of each sample in the gradient of one entry of one parameter.

A mean cost pays every row of the network's result what it owes that row; a sample's share is what comes through its
row.  Shares add up to the gradient, whatever the loss.  One forward pass along the entry gives the rows' derivatives
for the whole batch, so a step costs two evaluations of the network and no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback import native
from payback.ir.aval import Aval
from payback.trace.abstract import TracedFunction, trace
from payback.trace.tree import leaves, unflatten
from payback.transforms.forward import jvp
from payback.transforms.gradient import grad

Array = np.ndarray[Any, Any]


class Shares:
    """The samples' shares in d loss(net(x), y, weights) / d entry, for networks of one structure.

    net: a container of parameters, callable on a batch; call(net, x, key) does so in a step.
    leaf: the number of the parameter; entry: its index.
    Calling it gives one float64 a row.  Rows that are equal to the bit have equal shares, to the bit.

    >>> import payback as pb
    >>> line = pb.nn.MLP([1, 1], dtype=float)
    >>> x, y = np.array([[1.0], [2.0], [2.0]]), np.zeros((3, 1))
    >>> shares = Shares(line, pb.nn.squared_error, 0, (0, 0))(line, x, y, None)
    >>> gradient = pb.grad(lambda net: pb.nn.squared_error(net(x), y))(line).layers[0].weight[0, 0]
    >>> bool(shares[1] == shares[2]), bool(abs(shares.sum() - gradient) < 1e-12)
    (True, True)
    """

    def __init__(
        self, net: Any, loss: Callable[..., Any], leaf: int, entry: tuple[int, ...], *, interpreted: bool = False,
        call: Callable[[Any, Any, Any], Any] = lambda net, x, key: net(x),
    ):  # fmt: skip
        self.net, self.loss, self.leaf, self.call = net, loss, leaf, call
        along = np.zeros_like(leaves(net)[leaf])
        along[entry] = 1
        self._along = along
        self._native = native.available() and not interpreted
        self._traced: dict[tuple[int, bool], TracedFunction] = {}

    def __call__(self, net: Any, x: Array, y: Array, weights: Array | None, key: Array | None = None) -> Array:
        """key: what the network draws with, if it draws."""
        kind = len(x), weights is None
        if kind not in self._traced:
            self._traced[kind] = self._trace(x, y, weights, key)
        owed, moved = self._traced[kind](net, self._along, x, y, weights, key)
        by_array = [
            (a.astype(np.float64) * b.astype(np.float64)).reshape(len(x), -1).sum(axis=1)
            for a, b in zip(leaves(owed), leaves(moved), strict=True)  # a network may return several
        ]
        found: Array = sum(by_array[1:], by_array[0])
        return found[_first_equal(x, y, weights)] if key is None else found  # equal rows may have drawn otherwise

    def _trace(self, x: Array, y: Array, weights: Array | None, key: Array | None) -> TracedFunction:
        def both(net: Any, along: Any, x: Any, y: Any, weights: Any, key: Any) -> tuple[Any, Any]:
            parts = leaves(net)

            def result(part: Any) -> Any:
                whole = [*parts[: self.leaf], part, *parts[self.leaf + 1 :]]
                return self.call(unflatten(net, iter(whole)), x, key)

            prediction, moved = jvp(result, (parts[self.leaf],), (along,))
            owed = grad(lambda prediction: self.loss(prediction, y, weights))(prediction)
            return owed, moved

        shapes = [None if a is None else Aval(a.shape, a.dtype) for a in (x, y, weights, key)]
        traced = trace(both, self.net, self._along, *shapes)
        if self._native:
            from payback.native.running.program import Program

            traced.run = Program(traced.graph)
        return traced


def _first_equal(*columns: Array | None) -> Array:
    """For each row the number of the first row that is equal to it, to the bit."""
    rows = [np.ascontiguousarray(c).reshape(len(c), -1).view(np.uint8) for c in columns if c is not None]
    first: dict[bytes, int] = {}
    together = np.concatenate([row.reshape(len(row), -1) for row in rows], axis=1)
    return np.array([first.setdefault(row.tobytes(), i) for i, row in enumerate(together)])
