"""Randomness in networks: where layers that draw get their keys from while a network is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from payback import random
from payback.errors import InputError
from payback.ir.arguments import told
from payback.trace.array import Traced
from payback.trace.shim.shim import tracing


class _Drawing:
    """A pass through a network: the n-th that asks for a key gets one of its own.

    traced: whether it began in a function that is traced.
    """

    def __init__(self, key: Any):
        self.key, self.count, self.traced = key, 0, bool(tracing())

    def next(self) -> Any:
        self.count += 1
        return random.fold_in(self.key, self.count - 1)


_drawing: ContextVar[_Drawing | None] = ContextVar("drawing", default=None)


@contextmanager
def training(key: Any) -> Iterator[None]:
    """Meanwhile `Dropout` draws: `with pb.nn.training(key): net(x)`.  Elsewhere it changes nothing.

    key: of `pb.random`, another one each time; None: as elsewhere.  Raises InputError for what is no key.

    >>> import numpy as np, payback as pb
    >>> net, X = pb.nn.MLP([2, 8, 1], dropout=0.5), np.ones((4, 2), np.float32)
    >>> def cost(net, key):
    ...     with pb.nn.training(key):
    ...         return pb.nn.squared_error(net(X), np.ones((4, 1), np.float32))
    >>> gradients = [pb.grad(cost)(net, key) for key in pb.random.split(pb.random.key(0))]
    >>> bool((gradients[0].layers[0].weight == gradients[1].layers[0].weight).all())
    False
    """
    token = _drawing.set(None if key is None else _Drawing(random.checked(key)))
    try:
        yield
    finally:
        _drawing.reset(token)


@told("pb.nn.key_for")
def key_for(x: Any) -> Any:
    """The key that a layer of one's own draws with for x, another one at each call; None where nothing is trained.

    x: what the layer was given.  `pb.fit` draws anew in each step, from its seed; in a loop of your own write
    `with pb.nn.training(key):`.
    Raises InputError where that is around a function which is traced once.

    >>> import numpy as np, payback as pb
    >>> class Noise(pb.nn.Module):
    ...     def __call__(self, x):
    ...         key = pb.nn.key_for(x)
    ...         return x if key is None else x + 0.1 * pb.random.normal(key, x.shape)
    >>> layer, x = Noise(), np.zeros(2)
    >>> layer(x)
    array([0., 0.])
    >>> with pb.nn.training(pb.random.key(0)):
    ...     bool((layer(x) == layer(x)).any())
    False
    """
    drawing = _drawing.get()
    if drawing is None:
        return None
    if isinstance(x, Traced) and x.node.value is None and not drawing.traced:
        raise InputError("a layer draws with a key from outside of the function that is traced",
                         why="that of compile, vmap or scan is called once, so each time would have the same numbers",
                         fix="give the key to the function, and write `with pb.nn.training(key):` in it")  # fmt: skip
    return drawing.next()


def draws(net: Any, x: Any) -> bool:
    """Whether a network draws anything for x while it is trained."""
    drawing = _Drawing(random.key(0))
    token = _drawing.set(drawing)
    try:
        net(x)
    finally:
        _drawing.reset(token)
    return drawing.count > 0
