"""A program of the list: one text for both libraries, its data, and what they call what NumPy has no name for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

PROGRAMS: dict[str, Entry] = {}


@dataclass(frozen=True)
class Entry:
    """f(xp, lib, parameters, *data) -> number, and what makes parameters and data."""

    name: str
    f: Callable[..., Any]
    made: Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Program:
    """An entry with a precision, in the form that contestants are given works in."""

    entry: Entry
    dtype: str = "float64"

    kind = "function"
    flops = moved = 0.0

    @property
    def name(self) -> str:
        return f"{self.entry.name}, {self.dtype}"

    def data(self) -> tuple[Any, ...]:
        return tuple(cast(part, self.dtype) for part in self.entry.made(np.random.default_rng(0)))

    def of(self, xp: Any, scan: Callable[..., Any]) -> Callable[..., Any]:
        """The function of its data alone, for NumPy's names (payback) or JAX's."""
        return partial(self.entry.f, xp, _payback(scan) if xp is np else _jax(scan))


def program(made: Callable[[np.random.Generator], tuple[Any, ...]]) -> Callable[[Any], Any]:
    """Puts a function on the list, by its name."""

    def listed(f: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[f.__name__] = Entry(f.__name__, f, made)
        return f

    return listed


def named(name: str, dtype: str = "float64") -> Program:
    return Program(PROGRAMS[name], dtype)


def cast(part: Any, dtype: str) -> Any:
    """Data with its floating numbers in this precision; containers too."""
    if isinstance(part, dict):
        return {key: cast(part[key], dtype) for key in sorted(part)}  # the order that JAX gives gradients in
    if isinstance(part, tuple | list):
        return type(part)(cast(value, dtype) for value in part)
    part = np.asarray(part)
    return part.astype(dtype) if part.dtype.kind == "f" else part


@dataclass(frozen=True)
class Library:
    """What is no function of NumPy, and what NumPy has as a statement."""

    scan: Callable[..., Any]
    grad: Callable[..., Any]
    jvp: Callable[..., Any]
    vmap: Callable[..., Any]
    jacobian: Callable[..., Any]
    hessian: Callable[..., Any]
    put: Callable[..., Any]  # x[i] = v
    add_at: Callable[..., Any]  # np.add.at(x, i, v)
    expm: Callable[..., Any]
    logsumexp: Callable[..., Any]
    correlate: Callable[..., Any]  # images (b, c, y, x) with weights (o, c, k, l), where they lie whole


def _payback(scan: Callable[..., Any]) -> Library:
    import scipy.linalg
    import scipy.special

    import payback as pb

    def put(x: Any, i: Any, v: Any) -> Any:
        x = x.copy()
        x[i] = v
        return x

    def add_at(x: Any, i: Any, v: Any) -> Any:
        np.add.at(x, i, v)
        return x

    def correlate(x: Any, w: Any) -> Any:
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
        return np.einsum("bcyxkl,ockl->boyx", windows, w)

    return Library(scan, pb.grad, pb.jvp, pb.vmap, pb.jacobian, pb.hessian, put, add_at, lambda a: scipy.linalg.expm(a),
                   lambda a, **how: scipy.special.logsumexp(a, **how), correlate)  # fmt: skip


def _jax(scan: Callable[..., Any]) -> Library:
    import jax

    def correlate(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(x, w, (1, 1), "VALID")

    return Library(scan, jax.grad, jax.jvp, jax.vmap, jax.jacobian, jax.hessian, lambda x, i, v: x.at[i].set(v),
                   lambda x, i, v: x.at[i].add(v), jax.scipy.linalg.expm, jax.scipy.special.logsumexp,
                   correlate)  # fmt: skip
