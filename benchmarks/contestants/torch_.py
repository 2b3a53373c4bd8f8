"""PyTorch: eager with the fused Adam, or the loss through `torch.compile`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from benchmarks.works import BETA1, BETA2, EPSILON, RATE, in_python

VARIANTS = ["eager", "compile"]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    torch.set_num_threads(threads)
    if work.kind == "net":
        from benchmarks.nets.in_torch import training

        return training(work, data, variant)
    if work.kind == "blocks":
        return _blocks(work, data, variant)
    return (_training if work.kind == "training" else _function)(work, data, variant)


def _training(work: Any, data: Any, variant: str | None) -> Any:
    modules: list[Any] = []
    for (a, b), (w, bias) in zip(pairwise(work.sizes), data["layers"], strict=True):
        linear = torch.nn.Linear(a, b).to(getattr(torch, work.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*modules[:-1])
    optimizer = torch.optim.Adam(net.parameters(), RATE, (BETA1, BETA2), EPSILON, fused=True)
    x, y = (torch.from_numpy(data[key]).split(work.batch) for key in ("x", "y"))

    def loss(x: Any, y: Any) -> Any:
        return torch.nn.functional.mse_loss(net(x), y)

    if variant == "compile":
        loss = torch.compile(loss)
    done = 0

    def steps(count: int) -> Any:
        nonlocal done
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            cost = loss(x[done % work.batches], y[done % work.batches])
            cost.backward()
            optimizer.step()
            done += 1
        return cost

    return lambda: [float(steps(21))], steps


class _Names:
    """The functions that the works use, under NumPy's names."""

    exp, log, sqrt, tanh, logaddexp, sin, cos, stack, ones, tril = (
        torch.exp, torch.log, torch.sqrt, torch.tanh, torch.logaddexp, torch.sin, torch.cos, torch.stack, torch.ones,
        torch.tril
    )  # fmt: skip
    __name__ = "torch"
    # einsum is a function of Python: without `staticmethod` a method, which is given the names as its first operand
    einsum, mean = staticmethod(torch.einsum), staticmethod(torch.mean)

    @staticmethod
    def sum(x: Any, axis: Any = None) -> Any:
        return x.sum() if axis is None else x.sum(axis)

    @staticmethod
    def max(x: Any, axis: Any = None) -> Any:
        return x.max() if axis is None else x.amax(axis)


def _tensors(tree: Any) -> Any:
    return tuple(map(_tensors, tree)) if isinstance(tree, tuple) else torch.from_numpy(np.asarray(tree))


def _function(work: Any, data: Any, variant: str | None) -> Any:
    args = _tensors(data)
    wrt = args[0] if isinstance(args[0], tuple) else (args[0],)
    for part in wrt:
        part.requires_grad_()
    if "GMM" in work.name:
        torch.set_default_dtype(getattr(torch, work.dtype))

    value = work.of(_Names(), in_python(_Names()))

    f = torch.compile(value) if variant == "compile" else value

    def once() -> Any:
        cost = f(*args)
        return cost, torch.autograd.grad(cost, wrt)

    def repeat(count: int) -> None:
        for _ in range(count):
            once()

    def check() -> list[float]:
        cost, gradient = once()
        return [float(cost), *(float(g.sum()) for g in gradient)]

    return check, repeat


def _blocks(work: Any, data: Any, variant: str | None) -> Any:
    args, slots = _tensors(data), work.slots

    def block(*args: Any) -> Any:
        def residual(*wrt: Any) -> Any:
            return work.one(_Names(), *wrt, *args[slots:])

        value, pull = torch.func.vjp(residual, *args[:slots])
        return value, torch.vmap(pull)(torch.eye(2, dtype=value.dtype))

    f = torch.vmap(block)
    f = torch.compile(f) if variant == "compile" else f

    def repeat(count: int) -> None:
        for _ in range(count):
            f(*args)

    def check() -> list[float]:
        residuals, parts = f(*args)
        rows = range(residuals.shape[-1])
        return [float(residuals.sum()), *(float(part[:, k].sum()) for k in rows for part in parts)]

    return check, repeat
