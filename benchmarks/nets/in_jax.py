"""The same for JAX: its own convolutions, pools and functions; one call a step, or an epoch in one `lax.scan`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.nets.listed import Net


def conv(x: Any, weight: Any, padding: str = "valid", stride: int = 1, groups: int = 1) -> Any:
    axes = ("NHWC", "HWIO", "NHWC") if x.ndim == 4 else ("NHC", "HIO", "NHC")
    return jax.lax.conv_general_dilated(x, weight, (stride,) * (x.ndim - 2), padding.upper(), dimension_numbers=axes,
                                        feature_group_count=groups)  # fmt: skip


def pool(x: Any) -> Any:
    window = (1, *(2,) * (x.ndim - 2), 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def depthwise(x: Any, weight: Any) -> Any:
    return conv(x, weight[:, :, None], "same", groups=x.shape[-1])


LIB = SimpleNamespace(conv=conv, pool=pool, depthwise=depthwise, scan=jax.lax.scan, sigmoid=jax.nn.sigmoid,
                      softmax=jax.nn.softmax, gelu=jax.nn.gelu, jvp=jax.jvp, sums=jax.ops.segment_sum)  # fmt: skip


def cost_of(loss: str, made: Any, y: Any) -> Any:
    if loss == "cross_entropy":
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(made), y[:, None], 1))
    if loss == "squared_error":
        return jnp.mean((made - y) ** 2)
    logits, mean, spread, x = made[:, :196], made[:, 196:212], made[:, 212:], y[:, :196]
    likelihood = jnp.sum(x * logits - jnp.logaddexp(0.0, logits), axis=1)
    divergence = -0.5 * jnp.sum(1.0 + spread - mean**2 - jnp.exp(spread), axis=1)
    return jnp.mean(divergence - likelihood)


def moved(optimizer: str, p: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
    """One step of all parameters, as `optax` writes it."""
    each = jax.tree.map
    if optimizer == "clip":
        norm = jnp.sqrt(sum(jnp.sum(a * a) for a in jax.tree.leaves(g)))
        g = each(lambda a: a * (0.1 / jnp.maximum(norm, 0.1)), g)
    if optimizer == "sgd":
        return each(lambda p, g: p - 1e-2 * g, p, g), m, v
    if optimizer == "momentum":
        m = each(lambda m, g: 0.9 * m + g, m, g)
        return each(lambda p, m: p - 1e-2 * m, p, m), m, v
    if optimizer == "rmsprop":
        v = each(lambda v, g: 0.9 * v + 0.1 * g * g, v, g)
        return each(lambda p, g, v: p - 1e-3 * g / (jnp.sqrt(v) + 1e-8), p, g, v), m, v
    m = each(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    root = jnp.sqrt(1 - 0.999**t)
    rate = 1e-3 * root / (1 - 0.9**t)

    def one(p: Any, m: Any, v: Any) -> Any:
        kept = p * (1 - 1e-5) if optimizer == "adamw" and p.ndim > 1 else p
        return kept - rate * m / (jnp.sqrt(v) + 1e-8 * root)

    return each(one, p, m, v), m, v


def training(work: Net, data: Any, variant: str) -> Any:
    f, loss = work.entry.f, work.entry.loss
    p = {key: jnp.asarray(value) for key, value in data["p"].items()}
    xs, ys = (jnp.asarray(data[key].reshape(work.batches, data["batch"], *data[key].shape[1:])) for key in "xy")

    def step(state: Any, batch: Any) -> Any:
        p, m, v, t = state
        cost, g = jax.value_and_grad(lambda p: cost_of(loss, f(jnp, LIB, p, batch[0]), batch[1]))(p)
        return (*moved(work.optimizer, p, g, m, v, t + 1), t + 1), cost

    fresh = lambda: (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.asarray(0, work.dtype))  # noqa: E731
    one, batches = jax.jit(step), [(xs[k], ys[k]) for k in range(work.batches)]
    many = jax.jit(lambda state: jax.lax.scan(step, state, (xs, ys)))

    def epoch(state: Any) -> Any:
        if variant == "scan":
            return many(state)
        costs = []
        for batch in batches:
            state, cost = one(state, batch)
            costs.append(cost)
        return state, costs

    state = [fresh()]

    def repeat(count: int) -> None:
        for _ in range(max(count // work.batches, 1)):
            state[0], costs = epoch(state[0])
        jax.block_until_ready(costs)

    return lambda: [float(np.mean(epoch(epoch(fresh())[0])[1]))], repeat
