"""Algorithms written out: factorizations, iterations, transforms, tables, trees.  None of them knows of payback."""

import itertools

import numpy as np

from programs.points import collection

PROGRAMS, program, normal = collection(11)


@program(normal(5))
def secant_root(c):
    "Newton iteration on polynomial w/ branch"

    def f(t):
        return np.polyval(np.concatenate([[1.0], 0.1 * c, [-2.0]]), t)

    a, b = 0.5, 1.5
    for _ in range(4):
        fa, fb = f(a), f(b)
        a, b = b, b - fb * (b - a) / (fb - fa)
    return b**2


@program(normal(12))
def lstm_like(w):
    h, c = np.zeros(2), np.zeros(2)

    def sig(z):
        return 1 / (1 + np.exp(-z))

    W = w.reshape(2, 6)
    for x in [0.5, -1.0, 2.0]:
        z = np.concatenate((h, c, [x, 1.0])) @ W.T
        f, i = sig(z), np.tanh(z[::-1])
        c = f * c + (1 - f) * i
        h = np.tanh(c) * f
    return h @ c


@program(normal(3, 4))
def batchnorm(x):
    mu = x.mean(0, keepdims=True)
    sd = x.std(axis=0, ddof=1)
    z = (x - mu) / (sd + 1e-5)
    return (z**3).sum() + np.cov(x, rowvar=False).trace() + np.corrcoef(x.T)[0, 1]


@program(normal(4, 4) * 0.4)
def expm_series(A):
    E = np.eye(4)
    term = np.eye(4)
    for k in range(1, 8):
        term = term @ A / k
        E += term
    return (
        np.trace(E)
        + np.linalg.det(E)
        + np.linalg.norm(E, "fro")
        + np.linalg.norm(E, 1)
        + np.linalg.norm(E, 2)
        + np.linalg.norm(E, "nuc")
    )


@program(normal(4))
def householder(v):
    A = np.outer(v, v) + np.diag(v**2 + 1)
    for k in range(3):
        x = A[k:, k].copy()
        x[0] += np.copysign(np.linalg.norm(x), x[0])
        x /= np.linalg.norm(x)
        A[k:, k:] -= 2 * np.outer(x, x @ A[k:, k:])
    return np.sum(np.abs(np.diag(A))) + A[0, 3]


@program(normal(4, 4), looks=True)
def lu_pivot(M):
    A = M.copy()
    n = 4
    sign = 1.0
    for k in range(n - 1):
        p = k + np.argmax(np.abs(A[k:, k]))
        if p != k:
            A[[k, p]] = A[[p, k]]
            sign = -sign
        A[k + 1 :, k] /= A[k, k]
        A[k + 1 :, k + 1 :] -= A[k + 1 :, k : k + 1] * A[k, k + 1 :]
    return sign * np.prod(np.diagonal(A)) + np.sum(np.triu(A))


@program(normal(4, 4))
def jacobi_rotation(M):
    A = M + M.T
    for p, q in itertools.combinations(range(4), 2):
        th = 0.5 * np.arctan2(2 * A[p, q], A[q, q] - A[p, p])
        c, s = np.cos(th), np.sin(th)
        J = np.eye(4)
        J[p, p] = J[q, q] = c
        J[p, q], J[q, p] = s, -s
        A = J.T @ A @ J
    return np.sum(np.diag(A) ** 2)


@program(normal(5))
def conjugate_gradient(b):
    A = np.diag(np.arange(1.0, 6)) + 0.1
    x = np.zeros_like(b)
    r = b - A @ x
    p = r.copy()
    rs = r @ r
    for _ in range(3):
        Ap = A @ p
        alpha = rs / (p @ Ap)
        x += alpha * p
        r -= alpha * Ap
        new = r @ r
        p = r + new / rs * p
        rs = new
    return x @ x + rs


@program(normal(8))
def haar_wavelet(x):
    out = x.copy()
    n = 8
    while n > 1:
        a = (out[0:n:2] + out[1:n:2]) / np.sqrt(2)
        d = (out[0:n:2] - out[1:n:2]) / np.sqrt(2)
        out[: n // 2], out[n // 2 : n] = a, d
        n //= 2
    soft = np.sign(out) * np.maximum(np.abs(out) - 0.3, 0)
    return np.sum(soft**2)


@program(normal(8))
def fft_recursive(x):
    def fft(re, im):
        n = len(re)
        if n == 1:
            return re, im
        er, ei = fft(re[::2], im[::2])
        orr, oi = fft(re[1::2], im[1::2])
        k = np.arange(n // 2)
        c, s = np.cos(2 * np.pi * k / n), -np.sin(2 * np.pi * k / n)
        tr, ti = c * orr - s * oi, c * oi + s * orr
        return np.concatenate([er + tr, er - tr]), np.concatenate([ei + ti, ei - ti])

    re, im = fft(x, np.zeros_like(x))
    return np.sum(np.log(re**2 + im**2 + 1))


@program([0.05, 0.2, 0.03])
def bond(p):
    y, s, c = p
    t = np.arange(1, 6)
    price = np.sum(c * np.exp(-y * t)) + np.exp(-5 * y)
    ytm = 0.04
    for _ in range(5):
        f = np.sum(c / (1 + ytm) ** t) + 1 / (1 + ytm) ** 5 - price
        df = np.sum(-t * c / (1 + ytm) ** (t + 1)) - 5 / (1 + ytm) ** 6
        ytm = ytm - f / df
    return ytm + s**2


@program(normal(4, 4))
def sinkhorn(C):
    u = np.zeros(4)
    v = np.zeros(4)
    lse = np.logaddexp.reduce
    for _ in range(4):
        u = -lse(-C + v[None, :], axis=1)
        v = -lse(-C + u[:, None], axis=0)
    P = np.exp(-C + u[:, None] + v)
    return np.sum(P * C)


@program(normal(3, 3), looks=True)
def viterbi_hard(A):
    d = np.zeros(3)
    back = []
    for _ in range(4):
        s = d[:, None] + A
        back.append(np.argmax(s, axis=0))
        d = np.max(s, axis=0)
    path = [int(np.argmax(d))]
    for b in back[::-1]:
        path.append(int(b[path[-1]]))
    return d.max() + sum(A[i, j] ** 2 for i, j in itertools.pairwise(path))


@program(normal(3, 3))
def floyd(W):
    d = np.abs(W) + 0.1
    np.fill_diagonal(d, 0)
    for k in range(3):
        d = np.minimum(d, d[:, [k]] + d[[k], :])
    return d.sum()


@program(normal(7), looks=True)
def isotonic_pava(y):
    blocks = [[v, 1] for v in y]
    i = 0
    while i < len(blocks) - 1:
        if blocks[i][0] > blocks[i + 1][0]:
            a, b = blocks[i], blocks.pop(i + 1)
            a[0] = (a[0] * a[1] + b[0] * b[1]) / (a[1] + b[1])
            a[1] += b[1]
            i = max(i - 1, 0)
        else:
            i += 1
    fit = np.concatenate([np.full(n, v) for v, n in blocks])
    return np.sum((y - fit) ** 2) + fit[0]


class Tree:
    def __init__(self, val, left=None, right=None):
        self.val, self.left, self.right = val, left, right

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.val
        if self.right:
            yield from self.right

    def depth_sum(self, d=1):
        return d * self.val + sum(c.depth_sum(d + 1) for c in (self.left, self.right) if c is not None)


@program(normal(5))
def trees(x):
    t = Tree(x[0] * x[1], Tree(x[1], Tree(x[2])), Tree(x[3], None, Tree(x[4] ** 2)))
    return t.depth_sum() * np.prod(list(t)) + max(t) - min(t)


@program(normal(3, 5, 5))
def conv2d_im2col(x):
    w = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    k = np.arange(27.0).reshape(3, 3, 3) / 27
    y = np.einsum("chwij,cij->hw", w, k)
    y = np.where(y > 0, y, np.expm1(y))
    return y.reshape(-1)[:8].reshape(2, 2, 2).max(axis=(0, 1)).sum() + y.mean()


@program(normal(5))
def ad_hoc_spline(y):
    x = np.array([0.0, 0.5, 1.2, 2.0, 3.1])
    h = np.diff(x)
    d = np.diff(y) / h
    m = np.empty(5)
    m[1:-1] = (d[:-1] * h[1:] + d[1:] * h[:-1]) / (h[1:] + h[:-1])
    m[0], m[-1] = d[0], d[-1]
    q = np.linspace(0.1, 3, 8)
    i = np.clip(np.searchsorted(x, q) - 1, 0, 3)
    t = (q - x[i]) / h[i]
    H = (
        (1 + 2 * t) * (1 - t) ** 2 * y[i]
        + t * (1 - t) ** 2 * h[i] * m[i]
        + t * t * (3 - 2 * t) * y[i + 1]
        + t * t * (t - 1) * h[i] * m[i + 1]
    )
    return np.sum(H**2) + np.interp(q, x, y).sum() + np.gradient(y, x).prod()


@program(normal(5))
def interp_in_x(p):
    xs = np.cumsum(np.exp(p[:4]))
    ys = np.sin(xs)
    return np.interp(p[4] + 2, xs, ys) * np.interp([0.5, 3.0], xs, ys, left=-1, right=p[0]).sum()


@program(normal(6))
def kinematics(q):
    T = np.eye(3)
    pts = []
    for a, length in zip(q, [1.0, 0.8, 0.6, 0.5, 0.4, 0.3], strict=True):
        M = np.eye(3)
        M[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
        M[:2, 2] = length * np.cos(a), length * np.sin(a)
        T = T @ M
        pts.append(T[:2, 2])
    P = np.asarray(pts)
    return np.sum((P[-1] - [1, 2]) ** 2) + np.ptp(P)


@program(normal(6), looks=True)
def order_stats(x):
    k = np.argpartition(x, 2)[:3]
    top = x[k]
    o = np.lexsort((x, [0, 1, 0, 1, 0, 1]))
    u = np.unique(np.round(np.abs(x))).size
    return (
        np.sum(top**2)
        + (x[o] * np.arange(6)).sum()
        + u
        + np.partition(x, 3)[3] * x[np.argmin(np.abs(x))]
        + np.take_along_axis(x, np.argsort(x)[::-1], 0)[1]
        + np.digitize(x, [0]).sum()
    )


@program(normal(8), looks=True)
def segment_means(x):
    g = np.array([0, 1, 0, 2, 2, 1, 0, 2])
    s = np.bincount(g, weights=x, minlength=3) / np.bincount(g)
    s2 = np.array([x[g == k].var() for k in range(3)])
    t = np.zeros(3)
    np.add.at(t, g, x**2)
    r = x - s[g]
    return (s * s2).sum() + t.prod() + r @ r + np.histogram(r, bins=3)[0].max()
