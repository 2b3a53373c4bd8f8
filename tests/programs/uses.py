"""What NumPy has many of: windows, choices, products, writes, views, options.  None of them knows of payback."""

import functools
import math
from collections import deque

import numpy as np

from programs.points import collection

PROGRAMS, program, normal = collection(8)


@program(normal(9))
def moving_median(x):
    w = np.lib.stride_tricks.sliding_window_view(x, 3)
    med = np.median(w, axis=-1)
    return np.sum((x[1:-1] - med) ** 2) + np.percentile(x, [10, 40, 75]).sum()


@program(normal(8))
def piecewise(x):
    return np.sum(np.piecewise(x, [x < -0.5, (x >= -0.5) & (x < 0.5)], [lambda t: t**2, np.sin, lambda t: np.exp(-t)]))


@program(normal(3, 4))
def select(x):
    return np.sum(np.select([x > 1, x > 0, x > -1], [x**2, np.sqrt(np.abs(x) + 1), x[:1]], default=x.mean()) ** 2)


@program(normal(6))
def fromiter(x):
    y = np.fromiter((v * v + i for i, v in enumerate(x)), dtype=float, count=len(x))
    z = np.fromiter(map(math.tanh, x), float)
    return y @ z


@program(normal(2, 3, 3))
def einsum_paths(x):
    a = np.einsum("bij,bjk->bik", x, x)
    b = np.einsum("bii->b", a)
    c = np.einsum("...ij,...j", x, np.ones(3), optimize=True)
    d = np.einsum(x, [0, 1, 2], x, [0, 1, 3], [2, 3])
    e = np.einsum("abc,abd,ce,de->", x, x, d, d, optimize="greedy")
    return b.sum() + (c**2).sum() + e / 100


class Adagrad:
    def __init__(self, x, lr=0.1):
        self.x, self.g2, self.lr = np.array(x), np.zeros_like(x), lr

    def step(self, g):
        self.g2 += g**2
        self.x -= self.lr * g / np.sqrt(self.g2 + 1e-8)
        return self


@program(normal(4))
def optimizer_state(x):
    opt = Adagrad(x)
    for _ in range(4):
        opt.step(2 * opt.x + np.cos(opt.x))
    return np.sum(opt.x**3)


@program(normal(8))
def deques(x):
    q = deque(maxlen=3)

    def running():
        for v in x:
            q.append(v)
            yield sum(q) / len(q)

    return sum(v**2 * (i + 1) for i, v in enumerate(running()))


@functools.lru_cache(None)
def binom(n, k):
    return 1 if k in (0, n) else binom(n - 1, k - 1) + binom(n - 1, k)


@program(normal(5))
def bernstein(c):
    n = len(c) - 1
    t = np.linspace(0, 1, 6)
    y = sum(c[k] * binom(n, k) * t**k * (1 - t) ** (n - k) for k in range(n + 1))
    return np.sum(np.diff(y, n=2) ** 2) + y.max()


@program(normal(3, 2, 2))
def stacked(x):
    A = x @ x.swapaxes(-1, -2) + np.eye(2)
    L = np.linalg.cholesky(A)
    s = np.linalg.solve(A, x)
    w, V = np.linalg.eigh(A)
    ld = np.linalg.slogdet(A)[1]
    return (
        np.sum(L * s)
        + np.sum(w**1.5)
        + ld.sum()
        + np.linalg.norm(x, axis=(1, 2)).sum()
        + np.trace(np.linalg.inv(A), axis1=1, axis2=2).sum()
        + np.sum((V * w[:, None] ** 0.5) @ V.mT)
    )


NANS = np.array([[1, np.nan, 2.0], [np.nan, 0.5, 1.0], [0.2, 0.3, np.nan]])


@program(normal(3, 3))
def nans(x):
    y = x + NANS
    return (
        np.nansum(y**2)
        + np.nanmean(y, axis=0).sum()
        + np.nanstd(y)
        + np.nanmax(y)
        + np.nanmedian(y, axis=1).sum()
        + np.nanprod(y[0])
        + np.nan_to_num(y).sum()
        + np.nanvar(y, axis=1, ddof=1).sum()
        + np.nancumsum(y)[-2]
        + np.nanpercentile(y, 30)
    )


@program(normal(3))
def monte_carlo(x):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20, 3))
    s = np.exp(x[0] + 0.1 * z @ x)
    idx = rng.permutation(20)[:10]
    u = rng.uniform(0, 1, 20)
    return np.mean(np.maximum(s - 1, 0)) + s[idx].mean() * np.where(u < 0.5, s, 2 * s).mean()


@program([0.3, 0.4, 1.2])
def mathmod(p):
    a, b, c = p
    return (
        math.hypot(a, b)
        + math.atan2(a, c)
        + math.exp(-b) * math.sqrt(c)
        + math.log(c, 3)
        + math.pow(c, a)
        + math.erf(a)
        + math.lgamma(c)
        + math.fsum([a, b, c])
        + math.degrees(a) / 100
        + math.dist([a, b], [c, 0.0])
        + math.fabs(-b)
        + math.prod([a, b, c])
        + math.log1p(a)
        + math.expm1(b)
    )


@program(normal(6))
def inplace(x):
    y = x.copy()
    y += 1
    y *= x
    y -= x[::-1]
    y /= 2 + x**2
    y **= 2
    y[2:] += y[:-2]
    y[::2] *= -1
    y[[0, 0, 1]] += x[:3]
    y[x > 0] -= 0.5
    z = y[1:4]
    z *= 2
    np.add(y, 1, out=y)
    np.multiply(y, x, out=y, where=x > 0)
    y[...] = np.tanh(y)
    y %= 0.7
    return y @ np.arange(6.0)


@program(normal(4, 4))
def views(x):
    a = x.copy()
    b = a[1:]
    c = b.T
    d = c[::2]
    e = d.reshape(2, 3)
    f = a.ravel()
    d[0] = 3 * d[1]
    c[1, 1] *= 5
    f[-1] = f[0]
    v = a.diagonal()
    s = np.swapaxes(a, 0, 1)[2:]
    s += 1
    return np.sum(a**2) + e.sum() + v.sum() + np.squeeze(b[:1]).prod()


@program(normal(5))
def outs(x):
    buf = np.empty(5)
    np.exp(x, out=buf)
    np.add(buf, x, out=buf)
    acc = np.zeros(5)
    np.sqrt(np.abs(x) + 1, out=acc, where=x > 0)
    t = np.sum(buf, where=x > 0) + np.mean(buf, where=x < 1)
    np.divide(x, x**2 + 1, out=acc, where=x != 0)
    m = np.max(x, where=x < 0.5, initial=-10.0)
    np.matmul(np.outer(x, x), x, out=buf)
    np.cumsum(x, out=acc)
    return t + acc.sum() * m + buf.sum()


@program(normal(5))
def polys(c):
    q = np.polyadd(c, [1, 2])
    r = np.polymul(q, c)
    d = np.polyder(r)
    i = np.polyint(c)
    quo, rem = np.polydiv(r, [1.0, 2.0])
    ch = (
        np.polynomial.chebyshev.chebval(0.3, c)
        + np.polynomial.polynomial.polyval(0.5, c)
        + np.polynomial.legendre.legval(0.2, c)
        + np.polynomial.hermite.hermval(0.1, c)
    )
    return np.polyval(d, 0.3) + np.polyval(i, 0.4) + quo.sum() + rem.sum() + ch


@np.vectorize
def clipped(a, b):
    if a > b:
        return a * b
    return a + b


@program(normal(6), looks=True)
def vectorized(x):
    return np.sum(clipped(x, x[::-1]) ** 2) + np.vectorize(lambda t: t**2 if t > 0 else -t, otypes=[float])(x).sum()


@program(normal(6))
def ufunc_at(x):
    out = np.zeros(3)
    i = np.array([0, 2, 1, 0, 2, 2])
    np.add.at(out, i, x**2)
    np.subtract.at(out, [0, 0], x[:2])
    np.multiply.at(out, [1, 1], x[2:4])
    np.maximum.at(out, i, x)
    return np.sum(out**2) + np.add.reduceat(x**2, [0, 2, 4]).prod()


@program(normal(7))
def fit(y):
    t = np.linspace(-1, 1, 7)
    V = np.vander(t, 3, increasing=True)
    c, *_ = np.linalg.lstsq(V, y, rcond=None)
    c2 = np.polyfit(t, y, 2)
    Q, R = np.linalg.qr(V * (1 + y[:, None] ** 2))
    return np.sum((V @ c - y) ** 2) + c2[0] ** 2 + np.sum(np.abs(R)) + (Q.T @ y).sum()


@program(normal(6))
def soft_sort(x):
    s = np.sort(x)
    P = np.exp(-np.abs(s[:, None] - x[None]))
    P = P / P.sum(-1, keepdims=True)
    return np.cumprod(1 + 0.1 * (P @ x))[-1] + np.maximum.accumulate(x).sum() + np.ptp(x) + np.cumsum(x**2)[::2].sum()
