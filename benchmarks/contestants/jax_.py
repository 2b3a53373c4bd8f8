"""JAX: jit once per step, or many steps in one `lax.scan`."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.works import BETA1, BETA2, EPSILON, RATE

VARIANTS = ["jit", "scan"]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    jax.config.update("jax_enable_x64", work.dtype == "float64")
    if work.kind == "net":
        from benchmarks.nets.in_jax import training

        return training(work, data, variant)
    if work.kind == "blocks":
        return _blocks(work, data, variant)
    if work.kind == "derivative":
        return _derivative(work, data)
    return (_training if work.kind == "training" else _function)(work, data, variant)


def _loss(layers: Any, x: Any, y: Any) -> Any:
    for i, (w, b) in enumerate(layers):
        x = x @ w + b
        if i < len(layers) - 1:
            x = jax.nn.relu(x)
    return ((x - y) ** 2).mean()


def _step(state: Any, x: Any, y: Any) -> Any:
    layers, m, v, t = state
    cost, g = jax.value_and_grad(_loss)(layers, x, y)
    t = t + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)
    root = jnp.sqrt(1 - BETA2**t)
    rate = RATE * root / (1 - BETA1**t)
    layers = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON * root), layers, m, v)
    return (layers, m, v, t), cost


def _training(work: Any, data: Any, variant: str | None) -> Any:
    layers = jax.tree.map(jnp.asarray, data["layers"])
    zeros = jax.tree.map(jnp.zeros_like, layers)
    t = jnp.asarray(0, work.dtype)
    state = [(layers, zeros, jax.tree.map(jnp.zeros_like, layers), t)]
    shape = (work.batches, work.batch, -1)
    xs, ys = (jnp.asarray(data[key].reshape(shape)) for key in ("x", "y"))
    if variant == "scan":

        @partial(jax.jit, donate_argnums=0)
        def run(state: Any) -> Any:
            return jax.lax.scan(lambda s, xy: _step(s, *xy), state, (xs, ys))

        def repeat(count: int) -> None:
            for _ in range(max(count // work.batches, 1)):
                state[0], costs = run(state[0])
            costs.block_until_ready()

        def check() -> list[float]:
            costs: list[float] = []
            while len(costs) < 21:
                state[0], more = run(state[0])
                costs += np.asarray(more).tolist()
            return costs[20:21]

        return check, repeat
    one = jax.jit(_step, donate_argnums=0)
    batches = [(xs[i], ys[i]) for i in range(work.batches)]
    done = 0

    def steps(count: int) -> Any:
        nonlocal done
        for _ in range(count):
            state[0], cost = one(state[0], *batches[done % work.batches])
            done += 1
        return cost.block_until_ready()

    return lambda: [float(steps(21))], steps


def _function(work: Any, data: Any, variant: str | None) -> Any:
    if variant == "scan":
        raise NotImplementedError("one call is one call")
    cost = work.of(jnp, partial(jax.lax.scan, unroll=2))  # the fastest of 1, 2, 4, 8 for the LSTM
    f = jax.jit(cost if variant == "value" else jax.value_and_grad(cost))
    args = jax.tree.map(jnp.asarray, data)

    def repeat(count: int) -> None:
        for _ in range(count):
            out = f(*args)
        jax.block_until_ready(out)

    def check() -> list[float]:
        if variant == "value":
            return [float(f(*args))]
        value, gradient = f(*args)
        return [float(value), *(float(jnp.sum(g)) for g in jax.tree.leaves(gradient))]

    return check, repeat


def _derivative(work: Any, data: Any) -> Any:
    def product(f: Any, x: Any, v: Any) -> Any:
        return jax.jvp(jax.grad(f), (x,), (v,))[1]

    def pulled(f: Any, x: Any, bar: Any) -> Any:
        return jax.vjp(f, x)[1](bar)[0]

    lib = SimpleNamespace(grad=jax.grad, hessian=jax.hessian, jacobian=jax.jacrev, jacfwd=jax.jacfwd, jvp=jax.jvp,
                          vmap=jax.vmap, hvp=product, vjp=pulled)  # fmt: skip
    f = jax.jit(work.of(jnp, lib))
    args = jax.tree.map(jnp.asarray, data)

    def repeat(count: int) -> None:
        for _ in range(count):
            out = f(*args)
        jax.block_until_ready(out)

    return lambda: [float(jnp.sum(jnp.abs(part))) for part in jax.tree.leaves(f(*args))], repeat


def _blocks(work: Any, data: Any, variant: str | None) -> Any:
    if variant == "scan":
        raise NotImplementedError("one call is one call")
    one, slots = partial(work.one, jnp), tuple(range(work.slots))

    def block(*args: Any) -> Any:
        residual, pull = jax.vjp(lambda *wrt: one(*wrt, *args[len(slots) :]), *args[: len(slots)])
        return residual, jax.vmap(pull)(jnp.eye(residual.shape[0], dtype=residual.dtype))

    f = jax.jit(jax.vmap(block))
    args = jax.tree.map(jnp.asarray, data)

    def repeat(count: int) -> None:
        for _ in range(count):
            out = f(*args)
        jax.block_until_ready(out)

    def check() -> list[float]:
        residuals, parts = f(*args)
        rows = range(residuals.shape[-1])
        return [float(jnp.sum(residuals)), *(float(jnp.sum(part[:, k])) for k in rows for part in parts)]

    return check, repeat
