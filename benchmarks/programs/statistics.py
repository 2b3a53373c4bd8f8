"""Likelihoods, losses, filters and orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.programs.listed import program
from benchmarks.programs.networks import dense, sigmoid, softmax


def squared_distances(xp: Any, x: Any, y: Any) -> Any:
    return xp.sum(x**2, 1)[:, None] + xp.sum(y**2, 1) - 2.0 * (x @ y.T)


@program(lambda g: ((np.zeros(5), np.array(-2.0)), g.standard_normal((300, 5)), g.standard_normal(300)))
def kernel_ridge(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    x = x * xp.exp(p[0])
    k = xp.exp(-0.5 * squared_distances(xp, x, x)) + xp.exp(p[1]) * xp.eye(300, dtype=x.dtype)
    a = xp.linalg.solve(k, y)
    return xp.mean((a / xp.diagonal(xp.linalg.inv(k))) ** 2)  # leave one out


@program(lambda g: (np.array([0.0, 0.0, -1.0]), g.standard_normal((200, 3)), g.standard_normal(200)))
def gaussian_process(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    d = xp.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=2)
    k = xp.exp(p[0]) * xp.exp(-0.5 * d * xp.exp(p[1])) + xp.exp(p[2]) * xp.eye(200, dtype=x.dtype)
    low = xp.linalg.cholesky(k)
    z = xp.linalg.solve(low, y)
    return 0.5 * xp.sum(z**2) + xp.sum(xp.log(xp.diagonal(low)))


def kalman_data(g: Any) -> Any:
    p = np.eye(4) + 0.1 * np.eye(4, k=2), g.standard_normal((2, 4)), 0.1 * np.eye(4), np.eye(2)
    return p, g.standard_normal((100, 2))


@program(kalman_data)
def kalman_filter(xp: Any, lib: Any, p: Any, y: Any) -> Any:
    f, h, q, r = p

    def step(state: Any, y: Any) -> Any:
        m, c = f @ state[0], f @ state[1] @ f.T + q
        e, s = y - h @ m, h @ c @ h.T + r
        gain = xp.linalg.solve(s, h @ c).T
        cost = 0.5 * (e @ xp.linalg.solve(s, e) + xp.log(xp.linalg.det(s)))
        return (m + gain @ e, c - gain @ h @ c), cost

    start = xp.zeros_like(f[0]), xp.eye(4, dtype=f.dtype)
    return xp.sum(lib.scan(step, start, y)[1])


def markov_data(g: Any) -> Any:
    return (g.standard_normal((16, 16)), g.standard_normal((16, 20))), g.integers(0, 20, 200)


@program(markov_data)
def hidden_markov(xp: Any, lib: Any, p: Any, seen: Any) -> Any:
    move = p[0] - lib.logsumexp(p[0], axis=1, keepdims=True)
    show = p[1] - lib.logsumexp(p[1], axis=1, keepdims=True)

    def step(a: Any, k: Any) -> Any:
        return lib.logsumexp(a[:, None] + move, axis=0) + show[:, k], None

    return -lib.logsumexp(lib.scan(step, show[:, 0], seen)[0])


def ratings_data(g: Any) -> Any:
    p = {"u": 0.1 * g.standard_normal((1000, 16)), "v": 0.1 * g.standard_normal((500, 16)), "b": np.zeros(500)}
    return p, g.integers(0, 1000, 20_000), g.integers(0, 500, 20_000), g.standard_normal(20_000)


@program(ratings_data)
def factorization(xp: Any, lib: Any, p: Any, i: Any, j: Any, y: Any) -> Any:
    z = xp.sum(p["u"][i] * p["v"][j], axis=1) + p["b"][j]
    return xp.mean((z - y) ** 2) + 1e-3 * (xp.sum(p["u"] ** 2) + xp.sum(p["v"] ** 2))


@program(lambda g: (dense(g, 16, 16), g.standard_normal((1000, 16)), g.integers(0, 1000, 5000),
                    g.integers(0, 1000, 5000)))  # fmt: skip
def graph_messages(xp: Any, lib: Any, w: Any, x: Any, i: Any, j: Any) -> Any:
    for _ in range(3):
        x = xp.tanh(x + lib.add_at(xp.zeros_like(x), i, (x @ w)[j]))
    return xp.mean(x**2)


def attention_on_graph(g: Any) -> Any:
    p = {"w": dense(g, 16, 16), "to": g.standard_normal(16), "of": g.standard_normal(16)}
    return p, g.standard_normal((1000, 16)), *g.integers(0, 1000, (2, 8000)), g.standard_normal((1000, 16))


@program(attention_on_graph)
def graph_attention(xp: Any, lib: Any, p: Any, x: Any, i: Any, j: Any, y: Any) -> Any:
    """A softmax over the edges that lead to each node (Velickovic 2018)."""
    h = x @ p["w"]
    s = (h @ p["of"])[i] + (h @ p["to"])[j]
    s = xp.exp(xp.where(s > 0, s, 0.2 * s))
    total = lib.add_at(xp.zeros_like(x[:, 0]), j, s)
    return xp.mean((lib.add_at(xp.zeros_like(h), j, (s / total[j])[:, None] * h[i]) - y) ** 2)


@program(lambda g: (g.standard_normal(20), g.standard_normal((100_000, 20)), np.sign(g.standard_normal(100_000))))
def hinge(xp: Any, lib: Any, w: Any, x: Any, y: Any) -> Any:
    return xp.mean(xp.maximum(0.0, 1.0 - y * (x @ w))) + 0.01 * xp.sum(w**2)


@program(lambda g: (g.standard_normal(3), g.standard_normal(1_000_000), g.standard_normal(1_000_000)))
def huber(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    r = p[0] + p[1] * x + p[2] * x**2 - y
    a = xp.abs(r)
    return xp.mean(xp.where(a < 1.0, 0.5 * r**2, a - 0.5))


@program(lambda g: (g.standard_normal(1_000_000), g.standard_normal(1_000_000)))
def pinball(xp: Any, lib: Any, q: Any, y: Any) -> Any:
    d = y - q
    return xp.mean(xp.maximum(0.9 * d, -0.1 * d))


@program(lambda g: (g.standard_normal((3, 10)), g.standard_normal(20_000)))
def logistic_mixture(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    z = (x[:, None] - p[1]) * xp.exp(-p[2])
    density = -z - p[2] - 2.0 * xp.logaddexp(0.0, -z)
    return -xp.mean(lib.logsumexp(density + p[0] - lib.logsumexp(p[0]), axis=1))


def sinkhorn_data(g: Any) -> Any:
    return g.random((128, 2)), g.random((128, 2))


@program(sinkhorn_data)
def sinkhorn_loop(xp: Any, lib: Any, x: Any, y: Any) -> Any:
    c = squared_distances(xp, x, y)
    k, u = xp.exp(-c / 0.1), xp.ones_like(x[:, 0])
    for _ in range(50):
        v = 1.0 / (k.T @ u)
        u = 1.0 / (k @ v)
    return xp.sum(u[:, None] * k * v * c)


@program(sinkhorn_data)
def sinkhorn_scan(xp: Any, lib: Any, x: Any, y: Any) -> Any:
    c = squared_distances(xp, x, y)

    def step(f: Any, _: Any) -> Any:
        g = -0.1 * lib.logsumexp((f[:, None] - c) / 0.1, axis=0)
        return -0.1 * lib.logsumexp((g - c) / 0.1, axis=1), None

    f, _ = lib.scan(step, xp.zeros_like(x[:, 0]), None, length=50)
    g = -0.1 * lib.logsumexp((f[:, None] - c) / 0.1, axis=0)
    return xp.sum(f) + xp.sum(g)


@program(lambda g: (g.standard_normal((16, 8)), g.standard_normal((5000, 8))))
def soft_means(xp: Any, lib: Any, centers: Any, x: Any) -> Any:
    d = squared_distances(xp, x, centers)
    return xp.mean(xp.sum(softmax(xp, -d) * d, axis=1))


@program(lambda g: (0.01 * g.standard_normal(100_000), g.standard_normal(100_000)))
def cumulated(xp: Any, lib: Any, x: Any, y: Any) -> Any:
    walk = xp.cumsum(x)
    return xp.mean((xp.tanh(walk) - y) ** 2) + xp.mean(xp.cumsum(x[::-1] ** 2) * y)


@program(lambda g: (0.01 * g.standard_normal((64, 252)),))
def returns(xp: Any, lib: Any, r: Any) -> Any:
    wealth = xp.cumprod(1.0 + r, axis=1)
    return -xp.mean(xp.log(wealth[:, -1])) + xp.mean(xp.std(wealth, axis=1))


@program(lambda g: (g.standard_normal(5), g.standard_normal((20_000, 5)), g.standard_normal(20_000)))
def trimmed(xp: Any, lib: Any, w: Any, x: Any, y: Any) -> Any:
    return xp.mean(xp.sort((x @ w - y) ** 2)[:15_000])


@program(lambda g: (g.standard_normal(5), g.standard_normal((20_001, 5)), g.standard_normal(20_001)))
def medians(xp: Any, lib: Any, w: Any, x: Any, y: Any) -> Any:
    r = xp.abs(x @ w - y)
    return xp.median(r) + xp.quantile(r, 0.9)


def logistic_hessian_data(g: Any) -> Any:
    return g.standard_normal(30), g.standard_normal((200, 30))


@program(logistic_hessian_data)
def laplace(xp: Any, lib: Any, w: Any, x: Any) -> Any:
    def cost(w: Any) -> Any:
        return xp.sum(xp.logaddexp(0.0, x @ w)) + 0.5 * xp.sum(w**2)

    return cost(w) + 0.5 * xp.linalg.slogdet(lib.hessian(cost)(w))[1]


@program(lambda g: (np.array([0.04, 1.5, 0.05, 0.3, -0.6]), g.standard_normal((20, 2, 1000))))
def heston_paths(xp: Any, lib: Any, p: Any, noise: Any) -> Any:
    """A call on paths of a stochastic variance, by Euler's steps."""
    price, variance = xp.full(1000, 100.0, dtype=noise.dtype), xp.full(1000, 1.0, dtype=noise.dtype) * p[0]
    for a, b in noise:
        held = xp.maximum(variance, 0.0)
        price = price * xp.exp((0.02 - held / 2) / 20 + xp.sqrt(held / 20 + 1e-12) * a)
        both = p[4] * a + xp.sqrt(1 - p[4] ** 2) * b
        variance = variance + p[1] * (p[2] - held) / 20 + p[3] * xp.sqrt(held / 20 + 1e-12) * both
    return xp.exp(-0.02) * xp.mean(xp.maximum(price - 100.0, 0.0))


@program(lambda g: (np.array(0.5), g.standard_normal((200, 20)), g.standard_normal(200)))
def ridge(xp: Any, lib: Any, penalty: Any, x: Any, y: Any) -> Any:
    """By the penalty alone, an array without axes."""
    w = xp.linalg.solve(x.T @ x + penalty * xp.eye(20, dtype=x.dtype), x.T @ y)
    return xp.mean((y - x @ w) ** 2)


def edges_data(g: Any) -> Any:
    return g.standard_normal(2000), *g.integers(0, 2000, (2, 40_000)), g.standard_normal(40_000)


@program(edges_data)
def power_iteration(xp: Any, lib: Any, x: Any, i: Any, j: Any, v: Any) -> Any:
    """With a sparse matrix, given by the places of its entries."""
    y = x
    for _ in range(3):
        y = lib.add_at(xp.zeros_like(x), i, v * y[j])
        y = y / xp.sqrt(xp.sum(y**2))
    return xp.sum(y * x)


@program(lambda g: (g.standard_normal((20_000, 8)), g.integers(0, 50, 20_000)))
def cluster_means(xp: Any, lib: Any, x: Any, k: Any) -> Any:
    count = lib.add_at(xp.zeros_like(x[:50, 0]), k, xp.ones_like(x[:, 0]))
    mean = lib.add_at(xp.zeros_like(x[:50]), k, x) / count[:, None]
    return xp.mean((x - mean[k]) ** 2)


def grades_data(g: Any) -> Any:
    p = 0.1 * g.standard_normal(7), np.array([-1.0, 0.2, 0.3, 0.1])
    return p, g.standard_normal((10_000, 7)), g.integers(0, 5, 10_000)


@program(grades_data)
def ordinal(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    """Five grades: what lies between cuts of one scale."""
    w, c = p
    cuts = xp.cumsum(xp.concatenate([c[:1], xp.exp(c[1:])]))
    z = sigmoid(xp, cuts - (x @ w)[:, None])
    below = xp.concatenate([xp.zeros_like(z[:, :1]), z, xp.ones_like(z[:, :1])], axis=1)
    return -xp.mean(xp.log(xp.diff(below, axis=1)[xp.arange(10_000), y] + 1e-9))


def tagged_data(g: Any) -> Any:
    p = {"w": dense(g, 20, 9), "t": 0.1 * g.standard_normal((9, 9))}
    return p, g.standard_normal((16, 40, 20)), g.integers(0, 9, (16, 40))


@program(tagged_data)
def random_field(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    """Tags of words in a chain (Lafferty 2001)."""
    s = x @ p["w"]
    gold = xp.sum(s[xp.arange(16)[:, None], xp.arange(40), y]) + xp.sum(p["t"][y[:, :-1], y[:, 1:]])

    def step(a: Any, e: Any) -> Any:
        return lib.logsumexp(a[:, :, None] + p["t"], axis=1) + e, None

    a, _ = lib.scan(step, s[:, 0], xp.transpose(s[:, 1:], (1, 0, 2)))
    return (xp.sum(lib.logsumexp(a, axis=1)) - gold) / 16


@program(lambda g: (0.1 * g.standard_normal(12), g.standard_normal((5000, 12)), g.random(5000) < 0.6))
def proportional_hazards(xp: Any, lib: Any, w: Any, x: Any, seen: Any) -> Any:
    """Who is still at risk is a running sum from the end (Cox 1972)."""
    z = x @ w
    most = xp.max(z)
    at_risk = xp.log(xp.cumsum(xp.exp(z - most)[::-1])[::-1]) + most
    return -xp.sum(xp.where(seen, z - at_risk, 0.0)) / 5000


@program(lambda g: (np.zeros(8), g.standard_normal((256, 8)), g.standard_normal(256)))
def relevance(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    """A Gaussian process with Matérn's kernel and a length for each column."""
    z = x * xp.exp(p)
    r = xp.sqrt(xp.maximum(squared_distances(xp, z, z), 0.0) + 1e-6) * 5.0**0.5
    k = (1.0 + r + r * r / 3.0) * xp.exp(-r) + 0.1 * xp.eye(256, dtype=x.dtype)
    return 0.5 * y @ xp.linalg.solve(k, y) + xp.sum(xp.log(xp.diagonal(xp.linalg.cholesky(k))))


def counts_data(g: Any) -> Any:
    return (0.05 * g.standard_normal(200), np.array(0.0)), g.standard_normal((5000, 200)), 1.0 * g.integers(0, 6, 5000)


@program(counts_data)
def poisson_columns(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    """Many columns, and a penalty that is nearly that of the lasso."""
    z = x @ p[0] + p[1]
    return xp.mean(xp.exp(z) - y * z) + 0.01 * xp.sum(xp.sqrt(p[0] ** 2 + 1e-6))


@program(lambda g: (1e-2 * g.standard_normal((300, 2)), g.random((300, 300))))
def embedding(xp: Any, lib: Any, y: Any, p: Any) -> Any:
    """t-SNE (van der Maaten 2008)."""
    near = 1.0 / (1.0 + squared_distances(xp, y, y)) * (1.0 - xp.eye(300, dtype=y.dtype))
    p, q = p / xp.sum(p), near / xp.sum(near)
    return xp.sum(p * xp.log((p + 1e-12) / (q + 1e-12)))


@program(lambda g: ([0.3 * g.standard_normal((n, 8)) for n in (40, 50, 60)], g.standard_normal((40, 50, 60))))
def tensor_factors(xp: Any, lib: Any, p: Any, t: Any) -> Any:
    return xp.sum((xp.einsum("ir,jr,kr->ijk", *p) - t) ** 2)


@program(lambda g: (np.array([0.1, 0.1, 0.8]), g.standard_normal(1000)))
def volatility(xp: Any, lib: Any, p: Any, r: Any) -> Any:
    """A variance that depends on those before it (Bollerslev 1986)."""

    def step(v: Any, e: Any) -> Any:
        v = p[0] + p[1] * e**2 + p[2] * v
        return v, xp.log(v) + e**2 / v

    return xp.mean(lib.scan(step, p[0] + 1.0, r)[1])


@program(lambda g: g.standard_normal((2, 40, 3)))
def time_warping(xp: Any, lib: Any, x: Any, y: Any) -> Any:
    """A soft minimum over all alignments of two series (Cuturi & Blondel 2017)."""
    d = squared_distances(xp, x, y)

    def row(before: Any, d: Any) -> Any:
        def cell(left: Any, at: Any) -> Any:
            d, below, beside = at
            least = d - lib.logsumexp(xp.stack([-left, -below, -beside]))
            return least, least

        start = xp.full_like(before[0], 1e3)
        _, made = lib.scan(cell, start, (d, before[1:], before[:-1]))
        return xp.concatenate([start[None], made]), None

    first = xp.concatenate([xp.zeros_like(d[0, :1]), xp.full_like(d[0], 1e3)])
    return lib.scan(row, first, d)[0][-1]


def components_data(g: Any) -> Any:
    p = {"mean": g.standard_normal((8, 5)), "l": np.eye(5) + 0.1 * g.standard_normal((8, 5, 5)), "a": np.zeros(8)}
    return p, g.standard_normal((3000, 5))


@program(components_data)
def gaussian_mixture(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    """By the inverses' triangular factors."""
    z = xp.einsum("kij,nkj->nki", xp.tril(p["l"]), x[:, None] - p["mean"])
    size = xp.sum(xp.log(xp.abs(xp.diagonal(p["l"], axis1=1, axis2=2))), axis=1)
    return -xp.mean(lib.logsumexp(size - 0.5 * xp.sum(z * z, axis=2) + p["a"] - lib.logsumexp(p["a"]), axis=1))


@program(lambda g: (dense(g, 50, 50), g.standard_normal((300, 50))))
def principal_axes(xp: Any, lib: Any, w: Any, x: Any) -> Any:
    z = x @ w
    spread = xp.linalg.eigh(z.T @ z / 300)[0]
    return xp.sum(spread) - xp.sum(xp.log(spread[-5:]))


@program(lambda g: (g.standard_normal((200, 200)), np.full(200, 1 / 200), g.random(200)))
def page_rank(xp: Any, lib: Any, links: Any, start: Any, wanted: Any) -> Any:
    """How links are to be weighted for pages to have the ranks that are wanted (Brin & Page 1998)."""
    w = softmax(xp, links)
    rank, _ = lib.scan(lambda rank, _: (0.85 * (rank @ w) + 0.15 / 200, None), start, None, length=50)
    return xp.sum((200 * rank - wanted) ** 2)


def spoken_data(g: Any) -> Any:
    return g.standard_normal((16, 100, 30)), g.integers(1, 30, (16, 20))


@program(spoken_data)
def alignments(xp: Any, lib: Any, z: Any, labels: Any) -> Any:
    """All ways to stretch letters, blanks between them, over the frames of a recording (Graves 2006)."""
    logp = z - lib.logsumexp(z, axis=2, keepdims=True)
    letters = lib.put(xp.zeros((16, 41), dtype=int), (slice(None), slice(1, None, 2)), labels)
    seen = xp.take_along_axis(logp, xp.broadcast_to(letters[:, None, :], (16, 100, 41)), axis=2)
    differ = (letters[:, 2:] != letters[:, :-2]) & (letters[:, 2:] != 0)
    skips = xp.concatenate([xp.zeros((16, 2), dtype=bool), differ], axis=1)
    edge = xp.full((16, 2), -1e5, z.dtype)

    def step(a: Any, seen: Any) -> Any:
        one = xp.concatenate([edge[:, :1], a[:, :-1]], axis=1)
        two = xp.where(skips, xp.concatenate([edge, a[:, :-2]], axis=1), -1e5)
        return lib.logsumexp(xp.stack([a, one, two]), axis=0) + seen, None

    first = xp.where(xp.arange(41) < 2, seen[:, 0], -1e5)
    a, _ = lib.scan(step, first, xp.moveaxis(seen[:, 1:], 1, 0))
    return -xp.mean(xp.logaddexp(a[:, -1], a[:, -2]))


def inducing_data(g: Any) -> Any:
    p = {"z": g.standard_normal((40, 3)), "mean": g.standard_normal(40), "scale": np.zeros(3), "noise": np.array(-1.0)}
    p["l"] = np.tril(0.1 * g.standard_normal((40, 40))) + np.eye(40)
    return p, g.standard_normal((1000, 3)), g.standard_normal(1000)


@program(inducing_data)
def sparse_gaussian_process(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    """By a distribution over the values at 40 points (Hensman 2013)."""
    scale, noise, q = xp.exp(p["scale"]), xp.exp(p["noise"]), xp.tril(p["l"])
    k = xp.exp(-0.5 * squared_distances(xp, p["z"] / scale, p["z"] / scale)) + 1e-3 * xp.eye(40, dtype=x.dtype)
    beside = xp.exp(-0.5 * squared_distances(xp, p["z"] / scale, x / scale))
    low, a = xp.linalg.cholesky(k), xp.linalg.solve(k, beside)
    spread = 1.0 - xp.sum(a * beside, axis=0) + xp.sum((q.T @ a) ** 2, axis=0)
    fit = 0.5 * xp.sum((y - a.T @ p["mean"]) ** 2 + spread) / noise + 500 * xp.log(noise)
    size = xp.sum(xp.log(xp.diag(low))) - xp.sum(xp.log(xp.abs(xp.diag(q))))
    return fit + size + 0.5 * (xp.sum(xp.linalg.solve(low, q) ** 2) + xp.sum(xp.linalg.solve(low, p["mean"]) ** 2))
