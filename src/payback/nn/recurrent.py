"""Recurrent layers: what they make of a step of a sequence depends on the steps before it."""

from __future__ import annotations

from typing import Any

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
    """A random orthogonal matrix, so that what is carried neither grows nor fades at first (Saxe, McClelland & Ganguli,
    ICLR 2014)."""
    q, r = np.linalg.qr(random.normal(key, (size, size)).astype(np.float64))
    return (q * np.sign(np.diag(r))).astype(random.floating(dtype))


class _Recurrent(Module):
    """What recurrent layers have in common: one product for the inputs of all steps, one a step for what is carried."""

    weight: Any
    recurrent: Any
    bias: Any
    last: bool = static()
    reverse: bool = static()

    def _make(self, biases: list[int], n_in: int, n_out: int, key: Any, last: Any, reverse: Any, dtype: Any) -> None:
        """biases: of each gate, at first."""
        n_in, n_out = check_size(n_in, "inputs"), check_size(n_out, "units")
        for name, value in (("last", last), ("reverse", reverse)):
            if not isinstance(value, bool):
                raise InputError(f"{name} is {value!r:.40}", why="it must be True or False")
        first, *others = random.split(key, len(biases) + 1)
        self.weight = glorot_uniform(first, n_in, len(biases) * n_out, dtype)
        self.recurrent = np.concatenate([orthogonal(each, n_out, dtype) for each in others], axis=1)
        self.bias = np.repeat(np.array(biases, dtype), n_out)
        self.last, self.reverse = last, reverse

    def _along(self, x: Any, step: Any, carries: int) -> Any:
        """What `step` makes of what is carried and a step's part of the inputs, along the sequence."""
        if not isinstance(x, Traced):
            x = np.asarray(x)
        n_in, n_out = self.weight.shape[0], self.recurrent.shape[0]
        if len(x.shape) < 2 or x.shape[-1] != n_in:
            raise ShapeError(
                f"a layer of sequences of {n_in} features was given an array of shape {x.shape}",
                why=f"it must be (samples, steps, {n_in})",
                fix="write x[:, :, None] for sequences of numbers" if len(x.shape) == 2 and n_in == 1 else None,
            )
        inputs = np.moveaxis(x @ self.weight + self.bias, -2, 0)
        start = np.zeros((*inputs.shape[1:-1], n_out), inputs.dtype)
        carry, states = scan(step, (start,) * carries, inputs, reverse=self.reverse)
        return carry[0] if self.last else np.moveaxis(states, 0, -2)


class GRU(_Recurrent):
    """Gated recurrent units along sequences (Cho et al., EMNLP 2014), reset after the product, as cuDNN has them.

        r, z = σ(x·W + h·U + b),   c = tanh(x·W + r·(h·U + b′) + b),   h ← (1 − z)·c + z·h

    n_in: features of a step; n_out: units.  x is (…, steps, n_in); the state h is zero before the first step.
    last: the state after the last step alone, (…, n_out), for one answer a sequence; else those of all steps,
    (…, steps, n_out).  reverse: from the last step to the first.
    key: of the initial weights, dtype: of the parameters, as of `Linear`.
    `weight`, (n_in, 3·n_out), `recurrent`, (n_out, 3·n_out), and `bias`, (3·n_out,), have the columns of r, z and c
    side by side; `candidate_bias`, (n_out,), is b′.  PyTorch has the first two transposed, b′ at the end of `bias_hh`.

    Raises InputError for sizes below 1, ShapeError for an x that does not fit.

    >>> import numpy as np, payback as pb
    >>> layer = pb.nn.GRU(3, 5, key=pb.random.key(0))
    >>> layer(np.ones((2, 7, 3), np.float32)).shape
    (2, 7, 5)
    """

    candidate_bias: Any

    @told("pb.nn.GRU")
    def __init__(
        self, n_in: int, n_out: int, *, key: Any, last: bool = False, reverse: bool = False, dtype: Any = np.float32
    ):  # fmt: skip
        self._make([0, 0, 0], n_in, n_out, key, last, reverse, dtype)
        self.candidate_bias = np.zeros(n_out, dtype)

    @told("pb.nn.GRU")
    def __call__(self, x: Any) -> Any:
        n = self.recurrent.shape[0]

        def step(carry: Any, given: Any) -> Any:
            (h,) = carry
            held = h @ self.recurrent
            gates = sigmoid(given[..., : 2 * n] + held[..., : 2 * n])
            reset, keep = gates[..., :n], gates[..., n:]
            candidate = np.tanh(given[..., 2 * n :] + reset * (held[..., 2 * n :] + self.candidate_bias))
            h = candidate + keep * (h - candidate)
            return (h,), h

        return self._along(x, step, 1)


class LSTM(_Recurrent):
    """Long short-term memory along sequences (Hochreiter & Schmidhuber, Neural Computation 9, 1997), with the forget
    gate of Gers, Schmidhuber & Cummins (Neural Computation 12, 2000).

        i, f, o = σ(x·W + h·U + b),   g = tanh(x·W + h·U + b),   c ← f·c + i·g,   h ← o·tanh(c)

    n_in, n_out, x, last, reverse, key, dtype, and what is raised: as of `GRU`; c is zero before the first step.
    `weight`, (n_in, 4·n_out), `recurrent`, (n_out, 4·n_out), and `bias`, (4·n_out,), have the columns of i, f, g and o
    side by side.  The bias of f is 1 at first, so that c is kept (Jozefowicz, Zaremba & Sutskever, ICML 2015).

    >>> import numpy as np, payback as pb
    >>> layer = pb.nn.LSTM(3, 5, last=True, key=pb.random.key(0))
    >>> layer(np.ones((2, 7, 3), np.float32)).shape
    (2, 5)
    """

    @told("pb.nn.LSTM")
    def __init__(
        self, n_in: int, n_out: int, *, key: Any, last: bool = False, reverse: bool = False, dtype: Any = np.float32
    ):  # fmt: skip
        self._make([0, 1, 0, 0], n_in, n_out, key, last, reverse, dtype)

    @told("pb.nn.LSTM")
    def __call__(self, x: Any) -> Any:
        n = self.recurrent.shape[0]

        def step(carry: Any, given: Any) -> Any:
            h, c = carry
            sums = given + h @ self.recurrent
            gates = sigmoid(sums[..., : 2 * n])
            c = gates[..., n:] * c + gates[..., :n] * np.tanh(sums[..., 2 * n : 3 * n])
            h = sigmoid(sums[..., 3 * n :]) * np.tanh(c)
            return (h, c), h

        return self._along(x, step, 2)
