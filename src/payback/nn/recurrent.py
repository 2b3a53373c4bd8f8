"""Recurrent layers: of a sequence of rows, each step takes what the step before it has handed on."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from payback import random
from payback.errors import InputError, ShapeError
from payback.ir.arguments import told
from payback.nn.activations import sigmoid
from payback.nn.initializers import glorot_uniform
from payback.nn.layers import check_size
from payback.nn.module import Module, static
from payback.trace.array import Traced
from payback.transforms.control import scan


def orthogonal(key: Any, size: int, dtype: Any) -> Any:
    """A random orthogonal matrix, so that what is handed on neither grows nor fades at first (Saxe, McClelland &
    Ganguli, ICLR 2014)."""
    q, r = np.linalg.qr(random.normal(key, (size, size)).astype(np.float64))
    return (q * np.sign(np.diag(r))).astype(dtype)


class _Recurrent(Module):
    """weight: (n_in, gates·n_out), recurrent: (n_out, gates·n_out), bias: (gates·n_out,); the gates side by side."""

    weight: Any
    recurrent: Any
    bias: Any
    last: bool = static()
    reverse: bool = static()

    gates: ClassVar[int] = 1

    def __init__(
        self, n_in: int, n_out: int, *, key: Any, last: bool = False, reverse: bool = False, dtype: Any = np.float32
    ):
        n_in, n_out = check_size(n_in, "inputs"), check_size(n_out, "units")
        for name, value in (("last", last), ("reverse", reverse)):
            if not isinstance(value, bool):
                raise InputError(f"{name} is {value!r:.40}", why="it must be True or False")
        dtype = random.floating(dtype)
        keys = random.split(key, 2 * self.gates)
        inputs = [glorot_uniform(each, n_in, n_out, dtype) for each in keys[: self.gates]]
        carried = [orthogonal(each, n_out, dtype) for each in keys[self.gates :]]
        self.weight, self.recurrent = np.concatenate(inputs, axis=1), np.concatenate(carried, axis=1)
        self.bias = np.zeros(self.gates * n_out, dtype)
        self.last, self.reverse = last, reverse

    @property
    def size(self) -> int:
        """The number of units."""
        return int(self.recurrent.shape[0])

    def _begin(self, zeros: Any) -> Any:
        """What the first step is handed, of zeros (n, size)."""
        return zeros

    def _step(self, handed: Any, x: Any) -> tuple[Any, Any]:
        """What is handed on, and the step's result; x: (n, gates·size), what the inputs give the gates."""
        raise NotImplementedError

    def __call__(self, x: Any) -> Any:
        if not isinstance(x, Traced):
            x = np.asarray(x)
        n_in = self.weight.shape[0]
        if len(x.shape) != 3 or x.shape[2] != n_in or not x.shape[1]:
            fix = None
            if len(x.shape) == 2:
                fix = "write x[..., None] for one feature" if n_in == 1 else "write x[:, None] for one step"
            raise ShapeError(
                f"a layer was given an array of shape {x.shape}",
                why=f"it wants (samples, steps, features), {n_in} features here, and a step at least",
                fix=fix,
            )
        given = np.swapaxes(x @ self.weight + self.bias, 0, 1)  # of all steps in one product
        zeros = np.zeros((x.shape[0], self.size), given.dtype)
        _, made = scan(self._step, self._begin(zeros), given, reverse=self.reverse)
        return made[0 if self.reverse else -1] if self.last else np.swapaxes(made, 0, 1)


class RNN(_Recurrent):
    """hₜ = tanh(xₜ·weight + hₜ₋₁·recurrent + bias), from h₀ = 0 (Elman, Cognitive Science 14, 1990).

    n_in, n_out: numbers of features and of units; x is (n, steps, n_in), the result (n, steps, n_out).
    last: of the last step alone, (n, n_out).  reverse: from the last step to the first, which then is the last one.
    key, dtype: as of `Linear`; `weight` is Glorot's at first, `recurrent` orthogonal, bias zero.
    Its parameters are `weight`, (n_in, n_out), `recurrent`, (n_out, n_out), and `bias`, (n_out,).

    Raises InputError for sizes below 1, ShapeError for an x that does not fit.

    >>> import numpy as np, payback as pb
    >>> pb.nn.RNN(3, 8, key=pb.random.key(0))(np.ones((5, 20, 3), np.float32)).shape
    (5, 20, 8)
    """

    @told("pb.nn.RNN")
    def __init__(
        self, n_in: int, n_out: int, *, key: Any, last: bool = False, reverse: bool = False, dtype: Any = np.float32
    ):
        super().__init__(n_in, n_out, key=key, last=last, reverse=reverse, dtype=dtype)

    @told("pb.nn.RNN")
    def __call__(self, x: Any) -> Any:
        return super().__call__(x)

    def _step(self, handed: Any, x: Any) -> tuple[Any, Any]:
        h = np.tanh(x + handed @ self.recurrent)
        return h, h


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber, Neural Computation 9, 1997), with a gate to forget.

    Of the gates i, f, g, o, side by side in xₜ·weight + hₜ₋₁·recurrent + bias:
    cₜ = σ(f)·cₜ₋₁ + σ(i)·tanh(g), hₜ = σ(o)·tanh(cₜ), from h₀ = c₀ = 0.
    The part of `bias` for f starts at one, so that little is forgotten at first (Jozefowicz et al., ICML 2015).
    Its parameters are `weight`, (n_in, 4·n_out), `recurrent`, (n_out, 4·n_out), and `bias`, (4·n_out,): those of
    PyTorch, turned.
    Arguments, result and what is raised: as of `RNN`.

    >>> import numpy as np, payback as pb
    >>> first, second = pb.random.split(pb.random.key(0))
    >>> net = pb.nn.Sequential(pb.nn.LSTM(3, 16, key=first, last=True), pb.nn.Linear(16, 2, key=second))
    >>> net(np.ones((5, 20, 3), np.float32)).shape
    (5, 2)
    """

    gates: ClassVar[int] = 4

    @told("pb.nn.LSTM")
    def __init__(
        self, n_in: int, n_out: int, *, key: Any, last: bool = False, reverse: bool = False, dtype: Any = np.float32
    ):
        super().__init__(n_in, n_out, key=key, last=last, reverse=reverse, dtype=dtype)
        self.bias[n_out : 2 * n_out] = 1.0

    @told("pb.nn.LSTM")
    def __call__(self, x: Any) -> Any:
        return super().__call__(x)

    def _begin(self, zeros: Any) -> Any:
        return zeros, zeros

    def _step(self, handed: Any, x: Any) -> tuple[Any, Any]:
        h, c = handed
        i, f, g, o = np.split(x + h @ self.recurrent, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h, c), h


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al., EMNLP 2014) that reset after the product, as PyTorch's and cuDNN's do.

    Of a = xₜ·weight + bias and b = hₜ₋₁·recurrent, each in parts r, z, n side by side: r = σ(aᵣ + bᵣ),
    z = σ(a_z + b_z), hₜ = (1 − z)·tanh(aₙ + r·(bₙ + inner)) + z·hₜ₋₁, from h₀ = 0.
    Its parameters are `weight`, (n_in, 3·n_out), `recurrent`, (n_out, 3·n_out), `bias`, (3·n_out,), and `inner`,
    (n_out,).
    Arguments, result and what is raised: as of `RNN`.

    >>> import numpy as np, payback as pb
    >>> pb.nn.GRU(3, 8, key=pb.random.key(0), last=True)(np.ones((5, 20, 3), np.float32)).shape
    (5, 8)
    """

    inner: Any

    gates: ClassVar[int] = 3

    @told("pb.nn.GRU")
    def __init__(
        self, n_in: int, n_out: int, *, key: Any, last: bool = False, reverse: bool = False, dtype: Any = np.float32
    ):
        super().__init__(n_in, n_out, key=key, last=last, reverse=reverse, dtype=dtype)
        self.inner = np.zeros(n_out, self.bias.dtype)

    @told("pb.nn.GRU")
    def __call__(self, x: Any) -> Any:
        return super().__call__(x)

    def _step(self, handed: Any, x: Any) -> tuple[Any, Any]:
        b, size = handed @ self.recurrent, self.size
        r, z = sigmoid(x[:, :size] + b[:, :size]), sigmoid(x[:, size : 2 * size] + b[:, size : 2 * size])
        h = (1.0 - z) * np.tanh(x[:, 2 * size :] + r * (b[:, 2 * size :] + self.inner)) + z * handed
        return h, h
