"""Ways of differentiating and running a function, for tests that compare two functions in all of them."""

from __future__ import annotations

import functools
import queue
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.trace.abstract import trace
from payback.trace.tree import leaves, tree_map, unflatten

Function = Callable[..., Any]
N = 3


def assert_close(found: Any, expected: Any, rtol: float = 1e-12) -> None:
    """Equal in structure, shapes and dtypes, and up to rounding in their numbers; plain values both."""
    assert len(leaves(found)) == len(leaves(expected))
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if a.dtype.kind == "f":
            tolerance = max(rtol, 100 * float(np.finfo(a.dtype).eps))
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(np.max(np.abs(b), initial=1.0)))
        else:
            np.testing.assert_array_equal(a, b)


def looped(f: Function, in_axes: Any = 0) -> Function:
    """What vmap is to return: a Python loop over the samples, its results stacked."""

    def loop(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)

        def one(i: int) -> list[Any]:
            return [
                arg if axis is None else tree_map(lambda leaf, axis=axis: np.take(leaf, i, axis), arg)
                for arg, axis in zip(args, axes, strict=True)
            ]

        size = next(np.shape(leaves(arg)[0])[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
        made = [f(*one(i)) for i in range(size)]
        return unflatten(made[0], iter([np.stack(column) for column in zip(*map(leaves, made), strict=True)]))

    return loop


def total(f: Function) -> Function:
    """A scalar made of all floating results, each entry weighed differently."""

    def summed(*args: Any) -> Any:
        made = [np.float64(x) if type(x) is float else x for x in leaves(f(*args))]
        parts = [x for x in made if not isinstance(x, int) and x.dtype.kind == "f"]
        return sum((np.sum(np.sin(x) * np.linspace(0.5, 1.5, x.size, dtype=x.dtype).reshape(x.shape)) for x in parts),
                   0.0)  # fmt: skip

    return summed


def every(args: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(range(len(args)))


def directions(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Tangents that depend on nothing but the shapes."""

    def one(leaf: Any) -> Any:
        x = np.asarray(leaf)
        return np.cos(np.arange(x.size) + 1.0).astype(x.dtype).reshape(x.shape)[()]

    return tuple(tree_map(one, arg) for arg in args)


def along(f: Function) -> Function:
    """The derivative along fixed directions, forwards."""
    return lambda *args: pb.jvp(f, args, directions(args))[1]


def against(f: Function) -> Function:
    """The same of a scalar function, backwards: the gradient times the directions."""

    def slope(*args: Any) -> Any:
        found = leaves(pb.grad(f, every(args))(*args))
        return sum((np.sum(g * d) for g, d in zip(found, leaves(directions(args)), strict=True)), 0.0)

    return slope


def batch(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """N samples near the arguments."""

    def one(leaf: Any) -> Any:
        x = np.asarray(leaf)
        return np.stack([x * x.dtype.type(1 + 0.125 * i) for i in range(N)])

    return tuple(tree_map(one, arg) for arg in args)


def _grad(f: Function) -> Function:
    return lambda *args: pb.grad(total(f), every(args))(*args)


# name: (what is done with the function, what the reference does to come to the same, whether the samples are batched)
MODES: dict[str, tuple[Function, Function, bool]] = {
    "value": (lambda f: f, lambda f: f, False),
    "abstract": (lambda f: lambda *args: trace(f, *args)(*args), lambda f: f, False),
    "compiled": (pb.compile, lambda f: f, False),
    "grad": (_grad, _grad, False),
    "vjp": (lambda f: lambda *a: pb.vjp(f, *a)[1](tree_map(np.ones_like, f(*a))),) * 2 + (False,),
    "jvp": (along, along, False),
    "grad of grad": (lambda f: _grad(against(total(f))), lambda f: _grad(against(total(f))), False),
    "jvp of grad": (lambda f: along(_grad(f)), lambda f: lambda *a: pb.grad(against(total(f)), every(a))(*a), False),
    "grad of jvp": (lambda f: _grad(along(total(f))), lambda f: _grad(against(total(f))), False),
    "jvp of jvp": (lambda f: along(along(total(f))), lambda f: against(against(total(f))), False),
    "third order": (lambda f: _grad(along(against(total(f)))), lambda f: _grad(against(against(total(f)))), False),
    "jacobian, forward": (lambda f: pb.jacobian(f, mode="forward"), lambda f: pb.jacobian(f, mode="reverse"), False),
    "jacobian, reverse": (lambda f: pb.jacobian(f, mode="reverse"), lambda f: pb.jacobian(f, mode="forward"), False),
    "hessian": (lambda f: pb.hessian(total(f)), lambda f: pb.jacobian(pb.grad(total(f)), mode="reverse"), False),
    "abstract grad": (lambda f: lambda *args: trace(_grad(f), *args)(*args), _grad, False),
    "compiled grad": (lambda f: pb.compile(_grad(f)), _grad, False),
    "grad of compiled": (lambda f: _grad(pb.compile(f)), _grad, False),
    "jvp of compiled": (lambda f: along(pb.compile(f)), along, False),
    "remat": (lambda f: _grad(pb.remat(f)), _grad, False),
    "vmap": (pb.vmap, looped, True),
    "vmap of grad": (lambda f: pb.vmap(_grad(f)), lambda f: looped(_grad(f)), True),
    "grad of vmap": (lambda f: _grad(pb.vmap(f)), lambda f: _grad(stacked(f)), True),
    "jvp of vmap": (lambda f: along(pb.vmap(f)), lambda f: along(stacked(f)), True),
    "compiled vmap": (lambda f: pb.compile(pb.vmap(f)), looped, True),
    "vmap of compiled": (lambda f: pb.vmap(pb.compile(f)), looped, True),
    "vmap of vmap": (lambda f: lambda *a: pb.vmap(pb.vmap(f))(*tree_map(lambda x: np.stack([x, x]), a)),
                     lambda f: lambda *a: tree_map(lambda x: np.stack([x, x]), looped(f)(*a)), True),
}  # fmt: skip
REVERSE = [name for name in MODES if name in ("vjp", "remat", "hessian", "third order") or "grad" in name
           or "reverse" in name]  # fmt: skip


def stacked(f: Function) -> Function:
    """A loop over the samples that can be differentiated."""

    def loop(*args: Any) -> Any:
        size = leaves(args)[0].shape[0]
        made = [f(*[tree_map(lambda leaf, i=i: leaf[i], arg) for arg in args]) for i in range(size)]
        columns = zip(*map(leaves, made), strict=True)
        return unflatten(made[0], iter([np.stack([x if hasattr(x, "node") else np.asarray(x) for x in column])
                                        for column in columns]))  # fmt: skip

    return loop


def chosen(names: Any, modes: Any) -> list[Any]:
    """Pairs of a program and a mode: a fifth of them, in which each has its turn; all with --full."""
    every = cases(5, 1)
    return [
        pytest.param(name, mode, id=f"{name}-{mode}")
        for i, name in enumerate(names)
        for j, mode in enumerate(modes)
        if (i + j) % every == 0
    ]


def check(mode: str, f: Function, reference: Function, args: tuple[Any, ...], rtol: float = 1e-11) -> None:
    """What the mode makes of `f` is what it makes of the reference."""
    done, expected, batched = MODES[mode]
    given = batch(args) if batched else args
    with np.errstate(all="ignore"):
        assert_close(done(f)(*given), expected(reference)(*given), rtol)


class Count(queue.SimpleQueue):
    """How often something has happened: where no name leads, so that no function is taken to read it."""

    def __len__(self):
        return self.qsize()


def counted(f):
    """The function, and what grows with each trace."""
    traces = Count()

    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        traces.put(1)
        return f(*args, **kwargs)

    return wrapper, traces
