"""Methods of science and engineering, in whole.  None of them knows of payback."""

import math

import numpy as np

from programs.points import collection

PROGRAMS, program, normal = collection(7)


ZS = normal(6)


@program(normal(4) * 0.3)
def ekf(p):
    x = np.array([1.0, 0.5])
    P = np.eye(2)
    ll = 0.0
    for z in ZS:
        F = np.array([[1.0, 0.1], [-0.1 * p[0], 1.0 - 0.05 * np.exp(p[1])]])
        x = F @ x
        P = F @ P @ F.T + np.exp(p[2]) * np.eye(2)
        H = np.array([[np.cos(x[0]), 2 * x[1] * p[3]]])
        S = H @ P @ H.T + 0.1
        K = np.linalg.solve(S.T, (P @ H.T).T).T
        y = z - (np.sin(x[0]) + p[3] * x[1] ** 2)
        x = x + K.ravel() * y
        P = P - K @ S @ K.T
        P = 0.5 * (P + P.T)
        ll -= 0.5 * (np.log(np.linalg.det(S)) + y**2 / S[0, 0])
    return ll


@program(normal(6) * 0.5)
def unscented(p):
    m = p[:2]
    L = np.array([[np.exp(p[2]), 0.0], [p[3], np.exp(p[4])]])
    P = L @ L.T
    n = 2
    lam = 1.0
    S = np.linalg.cholesky((n + lam) * P)
    sig = np.vstack([m, m + S.T, m - S.T])
    w = np.r_[lam / (n + lam), np.full(2 * n, 0.5 / (n + lam))]
    ys = np.apply_along_axis(lambda s: np.array([np.hypot(s[0], s[1] + 2), np.arctan2(s[1], s[0] + 3)]), 1, sig)
    mean = np.average(ys, axis=0, weights=w)
    d = ys - mean
    C = (d * w[:, None]).T @ d
    return np.linalg.slogdet(C + 0.1 * np.eye(2))[1] + p[5] * mean.sum()


@program(normal(6, 6) * 0.2)
def red_black(u0):
    u = u0.copy()
    for _ in range(3):
        for par in (0, 1):
            for i in range(1, 5):
                s = 1 + (i + par) % 2
                u[i, s:-1:2] = 0.25 * (u[i - 1, s:-1:2] + u[i + 1, s:-1:2] + u[i, s - 1 : -2 : 2] + u[i, s + 1 :: 2])
    return np.sum(u[1:-1, 1:-1] ** 2) + u[2, 3] ** 3


@program(np.sin(np.linspace(0, 6, 12)) + 0.1)
def burgers(u):
    dt, dx = 0.02, 0.5
    for _ in range(4):
        up = np.roll(u, -1)
        um = np.roll(u, 1)
        f = np.where(u > 0, u * (u - um), u * (up - u)) / dx
        u = u - dt * f + 0.01 * (up - 2 * u + um) / dx**2
    return np.trapezoid(u**2, dx=dx)


@program(normal(10))
def minmod(u):
    a = np.diff(u)[:-1]
    b = np.diff(u)[1:]
    s = 0.5 * (np.sign(a) + np.sign(b))
    lim = s * np.minimum(np.abs(a), np.abs(b))
    flux = np.zeros_like(u)
    flux[1:-1] = u[1:-1] + 0.5 * lim
    flux[[0, -1]] = u[[0, -1]]
    return np.sum(np.diff(flux) ** 2)


@program(normal(9))
def goertzel(x):
    out = np.empty(4)
    for k in range(4):
        c = 2 * math.cos(2 * math.pi * k / 9)
        s1 = s2 = 0.0
        for v in x:
            s1, s2 = v + c * s1 - s2, s1
        out[k] = s1 * s1 + s2 * s2 - c * s1 * s2
    return np.log1p(out).sum()


@program(normal(5, 3))
def gravity(x):
    d = x[:, None] - x
    r2 = (d**2).sum(-1)
    np.fill_diagonal(r2, np.inf)
    pot = -0.5 * np.sum(1 / np.sqrt(r2))
    return pot + np.max(np.linalg.norm(x, axis=1))


@program(normal(3, 3) * 0.5)
def hmm_scaled(a):
    A = np.exp(a)
    A /= A.sum(axis=1, keepdims=True)
    B = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    alpha = np.full((5, 3), np.nan)
    c = np.zeros(5)
    obs = [0, 2, 1, 1, 0]
    alpha[0] = B[:, obs[0]] / 3
    c[0] = alpha[0].sum()
    alpha[0] /= c[0]
    for t in range(1, 5):
        alpha[t] = alpha[t - 1] @ A * B[:, obs[t]]
        c[t] = alpha[t].sum()
        alpha[t] /= c[t]
    return np.log(c).sum()


S = np.random.default_rng(7).choice([-1, 1], (4, 4))


@program(normal(2, 4, 4))
def ising(J):
    e = -(J[0] * S * np.roll(S, 1, 0)).sum() - (J[1] * S * np.roll(S, 1, axis=1)).sum()
    flips = np.empty((4, 4))
    for i, j in np.ndindex(4, 4):
        nb = (
            J[0, i, j] * S[i - 1, j]
            + J[0, (i + 1) % 4, j] * S[(i + 1) % 4, j]
            + J[1, i, j] * S[i, j - 1]
            + J[1, i, (j + 1) % 4] * S[i, (j + 1) % 4]
        )
        flips[i, j] = 2 * S[i, j] * nb
    return e + np.log1p(np.exp(-flips)).mean()


@program([0.2, -0.1, 3.0, 1.2, 0.5])
def raytrace(p):
    c, r, light = p[:3], p[3], p[4]
    img = np.zeros((4, 4))
    ys, xs = np.mgrid[-1:1:4j, -1:1:4j]
    d = np.stack([xs, ys, np.ones_like(xs)], -1)
    d = d / np.linalg.norm(d, axis=-1, keepdims=True)
    b = d @ c
    disc = b**2 - (c @ c - r**2)
    hit = disc > 0
    t = b - np.sqrt(np.where(hit, disc, 1.0))
    pt = d * t[..., None]
    nrm = (pt - c) / r
    L = np.array([light, 1.0, -1.0])
    L = L / np.sqrt((L**2).sum())
    shade = np.clip(nrm @ L, 0, None)
    img[hit] = shade[hit]
    return img.sum() + img.var()


REL = np.array([2, 0, 1, 0, 2])


@program(normal(5))
def lambdarank(s):
    rank = np.empty(5, int)
    rank[np.argsort(-s)] = np.arange(5)
    disc = 1 / np.log2(rank + 2.0)
    gain = 2.0**REL - 1
    dS = s[:, None] - s[None, :]
    w = np.abs((gain[:, None] - gain) * (disc[:, None] - disc))
    m = REL[:, None] > REL
    return np.sum(np.where(m, w * np.logaddexp(0, -dS), 0))


@program(normal(6) * 0.4)
def lqr(p):
    A = np.array([[1.0, 0.1], [0.0, 1.0]]) + 0.1 * p[:4].reshape(2, 2)
    B = np.array([[0.0], [1.0]])
    Q = np.diag(np.exp(p[4:]))
    R = np.eye(1)
    P = Q
    for _ in range(5):
        K = np.linalg.inv(R + B.T @ P @ B) @ (B.T @ P @ A)
        P = Q + A.T @ P @ (A - B @ K)
    return np.trace(P) + np.linalg.norm(K)


@program(normal(6) * 0.3)
def cartpole(u):
    th, w, x, v = 0.1, 0.0, 0.0, 0.0
    cost = 0.0
    for f in u:
        s, c = math.sin(th), math.cos(th)
        tmp = (f + 0.05 * w**2 * s) / 1.1
        al = (9.8 * s - c * tmp) / (0.5 * (4 / 3 - 0.1 * c**2 / 1.1))
        acc = tmp - 0.05 * al * c / 1.1
        x += 0.1 * v
        v += 0.1 * acc
        th += 0.1 * w
        w += 0.1 * al
        cost += x**2 + 10 * th**2 + 0.01 * f**2
    return cost


@program(normal(7))
def de_boor(c):
    t = np.r_[[0.0] * 4, [1.0, 2.0, 3.0], [4.0] * 4]

    def basis(i, k, x):
        if k == 0:
            return 1.0 if t[i] <= x < t[i + 1] else 0.0
        out = 0.0
        if t[i + k] > t[i]:
            out += (x - t[i]) / (t[i + k] - t[i]) * basis(i, k - 1, x)
        if t[i + k + 1] > t[i + 1]:
            out += (t[i + k + 1] - x) / (t[i + k + 1] - t[i + 1]) * basis(i + 1, k - 1, x)
        return out

    def curve(x, k=3):
        j = min(max(np.searchsorted(t, x, side="right") - 1, 3), 6)
        d = [c[i + j - k] for i in range(k + 1)]
        for r in range(1, k + 1):
            for i in range(k, r - 1, -1):
                al = (x - t[i + j - k]) / (t[i + 1 + j - r] - t[i + j - k])
                d[i] = (1 - al) * d[i - 1] + al * d[i]
        return d[k]

    total = 0
    for x in np.linspace(0.1, 3.9, 7):
        total += curve(x) ** 2 + sum(c[i] * basis(i, 3, x) for i in range(7))
    return total
