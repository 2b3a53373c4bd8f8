"""What the benchmark lets its contestants do: each work with its data, and the least that it costs.

A function is written once, against `xp`: numpy for payback, jax.numpy, autograd.numpy; PyTorch has its own versions.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

# Flops of an elementary function within 2 ulp in float64: reduction of the argument, polynomial (a fused multiply-add
# is two) and reconstruction; a division or root counts as one.
FLOPS = {"exp": 33.0, "log": 27.0, "tanh": 48.0}

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8  # of Adam, with bias correction, for everybody


@dataclass(frozen=True)
class Training:
    """Training steps of a ReLU network with mean squared loss and Adam, on batches taken in turn."""

    sizes: tuple[int, ...]
    batch: int
    dtype: str = "float32"
    seed: int = 0

    kind = "training"

    @property
    def batches(self) -> int:
        """As many as make an epoch of 100 steps, or fit into 32 MB."""
        item = np.dtype(self.dtype).itemsize
        return int(min(100, max(8, 32e6 // (item * self.batch * (self.sizes[0] + self.sizes[-1])))))

    @property
    def name(self) -> str:
        widths = self.sizes
        inner = widths[1:-1]
        if len(inner) > 4 and len(set(inner)) == 1:
            told = f"{widths[0]}-{inner[0]}×{len(inner)}-{widths[-1]}"
        else:
            told = "-".join(map(str, widths))
        return f"step {told}, batch {self.batch}, {self.dtype}"

    def data(self) -> dict[str, Any]:
        generator = np.random.default_rng(self.seed)
        rows = self.batch * self.batches
        x = generator.standard_normal((rows, self.sizes[0])).astype(self.dtype)
        y = generator.standard_normal((rows, self.sizes[-1])).astype(self.dtype)
        layers = [
            ((generator.standard_normal((a, b)) * np.sqrt(2 / a)).astype(self.dtype), np.zeros(b, self.dtype))
            for a, b in pairwise(self.sizes)
        ]
        return {"x": x, "y": y, "layers": layers}

    @property
    def flops(self) -> float:
        """Of one step: a product forwards and two backwards a layer, but for the first one's input."""
        products = [2.0 * a * b * self.batch for a, b in pairwise(self.sizes)]
        parameters = sum(a * b + b for a, b in pairwise(self.sizes))
        return 3 * sum(products) - products[0] + 12.0 * parameters

    @property
    def moved(self) -> float:
        """Bytes that must move in a step: parameters and both moments read and written once, the batch read."""
        item = np.dtype(self.dtype).itemsize
        parameters = sum(a * b + b for a, b in pairwise(self.sizes))
        return item * (6.0 * parameters + self.batch * (self.sizes[0] + self.sizes[-1]))


@dataclass(frozen=True)
class Function:
    """Value and gradient of a scalar function f(xp, *data) by its first argument; with `loops`, f(xp, scan, *data)."""

    name: str
    f: Callable[..., Any]
    data: Callable[[], tuple[Any, ...]]
    flops: float
    moved: float
    dtype: str = "float64"
    loops: bool = False
    kind: str = "function"

    def of(self, xp: Any, scan: Callable[..., Any]) -> Callable[..., Any]:
        """The function of its data alone, for a library with these names and this loop."""
        return partial(self.f, xp, scan) if self.loops else partial(self.f, xp)


def logistic(xp: Any, w: Any, x: Any, y: Any) -> Any:
    """Mean of log(1 + exp(−y·(x·w)))."""
    z = y * (x @ w)
    return xp.mean(xp.logaddexp(0.0 * z, -z))


def logistic_data(rows: int = 100_000, columns: int = 50, dtype: str = "float64", seed: int = 0) -> Function:
    def data() -> tuple[Any, ...]:
        generator = np.random.default_rng(seed)
        x = generator.standard_normal((rows, columns)).astype(dtype)
        y = np.sign(generator.standard_normal(rows)).astype(dtype)
        return generator.standard_normal(columns).astype(dtype), x, y

    item = np.dtype(dtype).itemsize
    return Function(f"logistic regression {rows}×{columns}, {dtype}", logistic, data,
                    4.0 * rows * columns, item * (rows * columns + rows), dtype)  # fmt: skip


def option_prices(xp: Any, theta: Any, spot: Any, strike: Any, time: Any) -> Any:
    """The sum of Black–Scholes prices of European calls, by (volatility, rate) of each option stacked."""
    volatility, rate = theta[0], theta[1]
    root = volatility * xp.sqrt(time)
    d1 = (xp.log(spot / strike) + (rate + 0.5 * volatility * volatility) * time) / root
    d2 = d1 - root
    return xp.sum(spot * normal(xp, d1) - strike * xp.exp(-rate * time) * normal(xp, d2))


def normal(xp: Any, x: Any) -> Any:
    """The normal distribution function through tanh (Page, 1977): elementary functions only, for everybody."""
    return 0.5 * (1.0 + xp.tanh(0.7988 * x * (1.0 + 0.04417 * x * x)))


def options(count: int = 1_000_000, dtype: str = "float64", seed: int = 0) -> Function:
    def data() -> tuple[Any, ...]:
        generator = np.random.default_rng(seed)
        theta = np.stack([generator.uniform(0.1, 0.5, count), generator.uniform(0.01, 0.05, count)]).astype(dtype)
        spot, strike, time = (generator.uniform(a, b, count).astype(dtype) for a, b in ((50, 150), (50, 150), (0.1, 2)))
        return theta, spot, strike, time

    item = np.dtype(dtype).itemsize
    # value and gradient are 80 operations, divisions and a root among them, and four functions of the weights above
    flops = 80.0 + FLOPS["log"] + FLOPS["exp"] + 2 * FLOPS["tanh"]
    return Function(f"Black–Scholes Greeks, {count} options, {dtype}", option_prices, data, flops * count,
                    item * 7.0 * count, dtype)  # fmt: skip


def small(xp: Any, x: Any) -> Any:
    """A chained Rosenbrock function."""
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def small_function(parameters: int = 10, dtype: str = "float64", seed: int = 0) -> Function:
    def data() -> tuple[Any, ...]:
        return (np.random.default_rng(seed).standard_normal(parameters).astype(dtype),)

    return Function(f"one call of a function of {parameters} parameters, {dtype}", small, data, 0.0, 0.0, dtype)


def mixture(xp: Any, theta: Any, x: Any) -> Any:
    """ADBench's GMM objective: log-likelihood with Wishart prior; theta = (weights, means, log diagonals, triangles).

    Q of each component is lower triangular with exp(log diagonal) on the diagonal.
    """
    alphas, means, logs, lower = theta
    n, d = x.shape
    strict = lower * xp.tril(xp.ones((d, d), dtype=x.dtype), -1)  # of x's type, or NumPy alone would go on in float64
    centered = x[:, None, :] - means[None, :, :]  # n, k, d
    q = xp.exp(logs)[None, :, :] * centered + xp.einsum("kij,nkj->nki", strict, centered)
    main = alphas + xp.sum(logs, axis=1) - 0.5 * xp.sum(q * q, axis=2)
    top = xp.max(main, axis=1)
    slse = xp.sum(top + xp.log(xp.sum(xp.exp(main - top[:, None]), axis=1)))
    weight = xp.max(alphas)
    total = weight + xp.log(xp.sum(xp.exp(alphas - weight)))
    gamma, m = 1.0, 0.0
    prior = 0.5 * gamma * gamma * (xp.sum(xp.exp(2.0 * logs)) + xp.sum(strict * strict)) - m * xp.sum(logs)
    return slse - n * total + prior


def mixtures(d: int = 20, k: int = 25, n: int = 10_000, dtype: str = "float64", seed: int = 0) -> Function:
    def data() -> tuple[Any, ...]:
        generator = np.random.default_rng(seed)
        theta = (generator.standard_normal(k), generator.standard_normal((k, d)),
                 0.1 * generator.standard_normal((k, d)), 0.1 * generator.standard_normal((k, d, d)))  # fmt: skip
        return tuple(t.astype(dtype) for t in theta), generator.standard_normal((n, d)).astype(dtype)

    return Function(f"GMM log-likelihood, d = {d}, k = {k}, n = {n}, {dtype}", mixture, data, 6.0 * n * k * d * d,
                    0.0, dtype)  # fmt: skip


def lstm(xp: Any, scan: Callable[..., Any], parameters: Any, state: Any, x: Any) -> Any:
    """ADBench's LSTM objective: layers whose gates act entry by entry, a linear read-out, and a log-softmax.

    parameters = (layers, 8, width): four weights and four biases of forget, in, out and change gates; (3, width): the
    weight of what comes in, weight and bias of what goes out.  state: (layers, 2, width), hidden and cell; x: one row a
    character.  Only what needs the state before it is in the loop, `scan(step, state, rows) -> (state, stacked)`.
    """
    layers, outside = parameters
    count = layers.shape[0]

    def step(state: Any, h: Any) -> tuple[Any, Any]:
        new = []
        for k in range(count):
            (hidden, cell), w = state[k], layers[k]
            forget = sigmoid(xp, h * w[0] + w[4])
            ingate = sigmoid(xp, hidden * w[1] + w[5])
            outgate = sigmoid(xp, h * w[2] + w[6])
            change = xp.tanh(hidden * w[3] + w[7])
            cell = cell * forget + ingate * change
            h = outgate * xp.tanh(cell)
            new.append((h, cell))
        return tuple(new), h

    start = tuple((state[k, 0], state[k, 1]) for k in range(count))
    _, h = scan(step, start, x[:-1] * outside[0])
    y = h * outside[1] + outside[2]
    total = xp.log(2.0 + xp.sum(xp.exp(y), 1))
    return -xp.sum(x[1:] * (y - total[:, None])) / ((x.shape[0] - 1) * x.shape[1])


def sigmoid(xp: Any, x: Any) -> Any:
    return 1.0 / (1.0 + xp.exp(-x))


def in_python(xp: Any) -> Callable[..., Any]:
    """The `scan` of who has none: the loop itself."""

    def scan(step: Callable[..., Any], state: Any, rows: Any) -> Any:
        made = []
        for t in range(rows.shape[0]):
            state, y = step(state, rows[t])
            made.append(y)
        return state, xp.stack(made)

    return scan


def lstms(layers: int = 2, characters: int = 1024, width: int = 14, dtype: str = "float64", seed: int = 0) -> Function:
    """Of ADBench's size and distribution: parameters and state uniform in [0, 1), characters by the bits of their code,
    as wide as the widest in its text."""

    def data() -> tuple[Any, ...]:
        generator = np.random.default_rng(seed)
        parameters = generator.random((layers, 8, width)), generator.random((3, width))
        state = generator.random((layers, 2, width))
        letters = generator.integers(32, 127, characters)
        bits = (letters[:, None] >> np.arange(width)) & 1
        return tuple(part.astype(dtype) for part in parameters), state.astype(dtype), bits.astype(dtype)

    return Function(f"LSTM, {layers} layers, {characters:,} characters × {width} bits, {dtype}", lstm, data, 0.0, 0.0,
                    dtype, loops=True)  # fmt: skip


@dataclass(frozen=True)
class Blocks:
    """Residuals of many observations and the block of the Jacobian that belongs to each.

    one(xp, *rows) -> (r,) is the residual of one observation, whose rows of `data` are what it depends on: its first
    `slots` arguments.  All blocks together are the sparse Jacobian.  `many` is the same on all rows at once, for those
    who have no vmap.
    """

    name: str
    one: Callable[..., Any]
    many: Callable[..., Any]
    slots: int
    data: Callable[[], tuple[Any, ...]]
    flops: float = 0.0
    moved: float = 0.0
    dtype: str = "float64"
    kind: str = "blocks"


def reprojection(xp: Any, camera: Any, point: Any, weight: Any, seen: Any) -> Any:
    """ADBench's bundle adjustment: (…, 11), (…, 3), (…,), (…, 2) -> (…, 2).

    A camera is a rotation vector, a centre, a focal length, a principal point and two radial distortions.
    """
    turn, centre, focal = camera[..., 0:3], camera[..., 3:6], camera[..., 6:7]
    principal, radial = camera[..., 7:9], camera[..., 9:11]
    x = point - centre
    square = xp.sum(turn * turn, -1)[..., None]
    theta = xp.sqrt(square)
    axis = turn / theta
    dot = xp.sum(axis * x, -1)[..., None]
    a0, a1, a2 = axis[..., 0], axis[..., 1], axis[..., 2]
    x0, x1, x2 = x[..., 0], x[..., 1], x[..., 2]
    cross = xp.stack([a1 * x2 - a2 * x1, a2 * x0 - a0 * x2, a0 * x1 - a1 * x0], -1)
    cosine = xp.cos(theta)
    moved = x * cosine + cross * xp.sin(theta) + axis * dot * (1.0 - cosine)
    flat = moved[..., 0:2] / moved[..., 2:3]
    r2 = xp.sum(flat * flat, -1)[..., None]
    distorted = flat * (1.0 + radial[..., 0:1] * r2 + radial[..., 1:2] * r2 * r2)
    return weight[..., None] * (distorted * focal + principal - seen)


def bundles(observations: int = 1_000, dtype: str = "float64", seed: int = 0) -> Blocks:
    def data() -> tuple[Any, ...]:
        generator = np.random.default_rng(seed)
        cameras = generator.standard_normal((observations, 11)) * 0.1 + np.array([0.1] * 3 + [0, 0, -5, 1] + [0] * 4)
        points, weights = generator.standard_normal((observations, 3)), generator.uniform(0.5, 1.5, observations)
        seen = generator.standard_normal((observations, 2))
        return tuple(array.astype(dtype) for array in (cameras, points, weights, seen))

    name = f"bundle adjustment, {observations:,} observations × 15, {dtype}"
    return Blocks(name, reprojection, reprojection, 3, data, dtype=dtype)


def network(xp: Any, layers: Any, x: Any, y: Any) -> Any:
    """Mean squared error of a tanh network: layers = (W, b, W, b, …)."""
    h = x
    for k in range(0, len(layers), 2):
        h = h @ layers[k] + layers[k + 1]
        if k + 2 < len(layers):
            h = xp.tanh(h)
    return xp.mean((h - y) ** 2)


def networks(
    sizes: tuple[int, ...] = (64, 128, 64, 10), batch: int = 64, dtype: str = "float64", seed: int = 0
) -> Function:
    def data() -> tuple[Any, ...]:
        generator = np.random.default_rng(seed)
        layers = [part for a, b in pairwise(sizes) for part in (generator.standard_normal((a, b)) / np.sqrt(a),
                                                                 np.zeros(b))]  # fmt: skip
        x, y = generator.standard_normal((batch, sizes[0])), generator.standard_normal((batch, sizes[-1]))
        return tuple(layer.astype(dtype) for layer in layers), x.astype(dtype), y.astype(dtype)

    products = [2.0 * a * b * batch for a, b in pairwise(sizes)]
    told = "-".join(map(str, sizes))
    return Function(f"tanh network {told}, batch {batch}, {dtype}", network, data, 3 * sum(products) - products[0],
                    0.0, dtype)  # fmt: skip


def recurrence(xp: Any, x: Any, rounds: int) -> Any:
    """A loop on numbers: a driven map of one state, ten operations a round, and a cost of it."""
    n, state, cost = len(x), x[0], 0.0
    for k in range(rounds):
        u = x[k % n]
        state = 0.5 * xp.sin(state + u) + u * state / (1.0 + state * state)
        cost = cost + state * state
    return cost


def scalars(nodes: int = 1_000_000, dtype: str = "float64", seed: int = 0) -> Function:
    """A program of so many operations on numbers: 11 a round."""

    def f(xp: Any, x: Any) -> Any:
        return recurrence(xp, x, nodes // 11)

    def data() -> tuple[Any, ...]:
        return (np.random.default_rng(seed).uniform(0.5, 1.5, 10).astype(dtype),)

    return Function(f"scalar program of {nodes:,} operations, {dtype}", f, data, 0.0, 0.0, dtype)


TRAININGS = {
    "tiny": ((2, 16, 16, 1), 32),
    "digits": ((64, 128, 64, 10), 64),
    "deep": ((32,) * 21, 64),
    "mnist": ((784, 512, 256, 10), 128),
    "wide": ((1024, 2048, 2048, 1024), 256),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "logistic": logistic_data,
    "options": options,
    "small": small_function,
    "gmm": mixtures,
    "bundle": bundles,
    "lstm": lstms,
    "network": networks,
    "scalar": partial(scalars, nodes=10_000),
    "scalars": scalars,
}


def parsed(name: str) -> tuple[str, dict[str, Any]]:
    """A work's name and sizes: "gmm:d=10,k=5" -> "gmm" and d and k; widths are joined: "network:sizes=8-4-1"."""
    base, _, told = name.partition(":")
    if base not in FUNCTIONS:
        raise SystemExit(f"{name!r} is none of {', '.join([*TRAININGS, *FUNCTIONS])}, and not WIDTHS:BATCH")
    own = [key for key in inspect.signature(FUNCTIONS[base]).parameters if key not in ("dtype", "seed")]
    sizes: dict[str, Any] = {}
    for part in filter(None, told.split(",")):
        key, _, number = part.partition("=")
        if key not in own or not re.fullmatch(r"\d+(-\d+)*", number):
            raise SystemExit(f"{part!r} of {name!r}: {base} has the sizes {', '.join(f'{k}=NUMBER' for k in own)}")
        sizes[key] = tuple(map(int, number.split("-"))) if key == "sizes" else int(number)
    return base, sizes
