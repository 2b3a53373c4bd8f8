"""Programs that keep state: rows written in place, views, buffers handed about, classes.  None knows of payback."""

import copy
import functools
import itertools
import math

import numpy as np

from programs.points import collection

LA = np.linalg
PROGRAMS, program, normal = collection(23)


LA = np.linalg


@program(normal(4, 3))
def rows_in_place(x):
    A = np.array(x)
    for row in A:
        row -= row.mean()
    for r, v in zip(A, x[:, 0], strict=True):
        r *= v
    for i, r in enumerate(A):
        A[i] = r / np.sqrt(r @ r + 1)
    for c in A.T:
        c += c[0] ** 2
    return np.sum(A**3)


@program(normal(4, 4))
def chained(x):
    A = x.copy()
    A[1][2] = A[0][0] * 3
    A.T[0][1:] += A[0, 1:]
    A.ravel()[::5] *= 2
    A.flat[::5] += 1
    A[np.diag_indices(4)] -= x[0]
    A[np.ix_([0, 2], [1, 3])] *= x[:2, :2]
    A[[0, 1]] = A[[1, 0]]
    A[:, [1, 3]] = A[:, [3, 1]]
    A[2, :] = A[:, 2]
    np.einsum("ii->i", A)[1:] *= A[0, 1:]
    A[np.tril_indices(4, -1)] += A.T[np.tril_indices(4, -1)]
    A[..., -1] -= A[..., 0]
    A[None][0, 1] += 1
    A[::2][1] *= 0.5
    A[1:3, 1:3] = A[1:3, 1:3] @ A[1:3, 1:3]
    return np.sum(np.sin(A))


@program(normal(8))
def overlap(x):
    a = x.copy()
    a[1:] += a[:-1]
    a[:-1] = a[1:]
    a[::-1] -= 0.5 * a
    np.add(a[2:], a[:-2], out=a[1:-1])
    np.cumsum(a, out=a)
    np.minimum(a, 1.5, out=a)
    a.clip(-3, 3, out=a)
    b, c = np.split(a, 2)
    b += c[::-1]
    c *= b
    a[a < 0] *= 0.1
    np.negative(a, out=a, where=x > 0)
    np.maximum.accumulate(a, out=a)
    return a @ np.cos(np.arange(8.0))


def helper(buf, i, v, scale=1.0):
    buf[i] += scale * v
    return buf


@program(normal(5))
def through_helpers(x):
    store = {"a": np.zeros(5), "b": [np.ones(2), np.zeros((2, 2))]}
    for i in range(5):
        helper(store["a"], i, x[i] ** 2, scale=x[(i + 1) % 5])
    helper(store["b"][0], slice(None), x[:2])
    helper(store["b"][1], (0, 1), x[3])
    helper(store["b"][1][1], 1, x[4])
    alias = store["a"]
    alias[0] = 7 * x[0]
    c = copy.deepcopy(store)
    c["a"][1] = 0
    d = copy.copy(store["a"])
    d *= 2
    return store["a"].sum() + store["b"][0].prod() + store["b"][1].trace() + c["a"][2] + d[0]


class Grid:
    def __init__(self, n):
        self.u = np.zeros((n, n))
        self.hist = []

    def step(self, k):
        lap = -4 * self.u
        lap[1:] += self.u[:-1]
        lap[:-1] += self.u[1:]
        lap[:, 1:] += self.u[:, :-1]
        lap[:, :-1] += self.u[:, 1:]
        self.u += k * lap
        self.hist.append(self.u.copy())
        return self

    @property
    def mass(self):
        return self.u.sum()

    def __getitem__(self, key):
        return self.u[key]

    def __setitem__(self, key, v):
        self.u[key] = v


@program(normal(3) * 0.3)
def grid_class(p):
    g = Grid(4)
    g[1, 2] = p[0]
    g[2] = p[1]
    g[:, 0] += p[2] ** 2
    for _ in range(3):
        g.step(0.1 + 0.01 * p[0]).u[0, 0] = 1.0
    return g.mass**2 + sum(np.max(h) for h in g.hist) + g[1:3, 2].sum()


@program(normal(6))
def nonlocal_state(x):
    total, seen = 0.0, []

    def visit(v):
        nonlocal total
        total += v * len(seen)
        seen.append(v)
        return total

    out = [visit(v) for v in x if v is not None]
    gen = (a * b for a, b in itertools.pairwise(out))
    it = iter(x)
    nxt = next(it)
    return (
        sum(gen)
        + nxt * next(it, 0)
        + functools.reduce(lambda a, b: a * 0.5 + b, reversed(seen))
        + max(range(6), key=lambda i: -i) * x[0]
    )


@program(normal(5), looks=True)
def math_mixed(x):
    s = 0.0
    for v in x:
        t = float.__mul__(2.0, 1.5) * v
        s = (
            s
            + (math.sqrt(v * v + 1) if abs(v) > 10 else math.cosh(v)) * t
            + divmod(v, 0.7)[1]
            + v // 0.4
            + (-v) % 0.3
            + abs(v) ** 1.5
            + pow(v, 2)
            + round(1.4)
        )
    return s + np.hypot(*x[:2]) + math.gamma(abs(x[0]) + 1.5)


@program(normal(7))
def stable_sigmoid_mask(x):
    out = np.empty_like(x)
    pos = x >= 0
    out[pos] = 1 / (1 + np.exp(-x[pos]))
    e = np.exp(x[~pos])
    out[~pos] = e / (1 + e)
    ll = np.zeros(7)
    ll[pos] = np.log(out[pos])
    ll[~pos] += np.log1p(-out[~pos])
    return ll.sum() + out[x > 0.5].sum() * np.sum(out[pos] ** 2) / (1 + np.sum(pos))


@program(normal(4) * 0.5)
def bezier(p):
    pts = np.stack([p, np.sin(p)], axis=1)
    out = []
    for t in np.linspace(0, 1, 5):
        q = pts.copy()
        for r in range(1, 4):
            q[:-r] = (1 - t) * q[:-r] + t * q[1 : len(q) - r + 1]
        out.append(q[0])
    c = np.vstack(out)
    seg = np.diff(c, axis=0)
    return np.sum(np.sqrt((seg**2).sum(1) + 1e-9))


@program(normal(10))
def autocorr(x):
    x = x - x.mean()
    c = np.correlate(x, x, "full")[9:]
    rho = c / c[0]
    phi = np.zeros((4, 4))
    phi[0, 0] = rho[1]
    for k in range(1, 4):
        phi[k, k] = (rho[k + 1] - phi[k - 1, :k] @ rho[k:0:-1]) / (1 - phi[k - 1, :k] @ rho[1 : k + 1])
        phi[k, :k] = phi[k - 1, :k] - phi[k, k] * phi[k - 1, :k][::-1]
    T = rho[np.abs(np.subtract.outer(np.arange(4), np.arange(4)))]
    return np.diag(phi).sum() + LA.solve(T, rho[1:5]).sum() + np.convolve(x, np.ones(3) / 3, "valid").var()


@program(normal(9))
def median_filter(x):
    p = np.pad(x, 2, mode="edge")
    out = np.array([np.median(p[i : i + 5]) for i in range(9)])
    tr = np.sort(x)[2:-2].mean()
    iqr = np.subtract(*np.percentile(x, [75, 25]))
    mad = np.median(np.abs(x - np.median(x)))
    return ((x - out) ** 2).sum() + tr * iqr / mad + np.quantile(x, [0.1, 0.9], method="nearest").sum()


@program(normal(4, 3) * 0.5)
def quaternion_chain(q):
    R = np.eye(3)
    for v in q:
        th = np.sqrt(v @ v)
        k = v / th
        K = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
        R = R @ (np.eye(3) + np.sin(th) * K + (1 - np.cos(th)) * K @ K)
    return np.arccos(0.5 * (np.trace(R) - 1)) + R[0, 1]


@program(normal(3, 3))
def sym_funcs(A):
    S = A + A.T
    w, V = LA.eigh(S)
    f = (V * np.exp(w)) @ V.T
    u, _, vt = LA.svd(A)
    P = u @ vt
    return (
        np.trace(f)
        + np.sum(np.abs(P))
        + LA.cond(A)
        + LA.norm(A, "nuc")
        + LA.norm(A, -1)
        + np.log(np.abs(LA.det(A)))
        + LA.matrix_power(A, 3)[0, 1]
        + LA.multi_dot([A, S, f]).sum()
    )


@program(normal(6))
def dp_knapsack_soft(v):
    w = [1, 2, 3, 2, 1, 4]
    best = np.zeros(8)
    for i, wi in enumerate(w):
        new = best.copy()
        new[wi:] = np.maximum(best[wi:], best[:-wi] + v[i])
        best = new
    return best[-1] + np.log(np.exp(best).sum())


@program(np.abs(normal(5)) + 0.5)
def michaelis_fit(p):
    S = np.linspace(0.1, 3, 8)
    v = p[0] * S / (p[1] + S * (1 + S / p[2]))
    J = np.column_stack([S / (p[1] + S), -p[0] * S / (p[1] + S) ** 2])
    step = LA.lstsq(J, v - p[3], rcond=None)[0]
    H = J.T @ J + p[4] * np.diag(np.diag(J.T @ J))
    return step @ LA.solve(H, step) + np.trapezoid(v, S) + np.average(v, weights=S**2)


@program(normal(5))
def zero_dim(x):
    acc = np.zeros(())
    b = acc
    for v in x:
        acc += v**2
    c = np.array(x[0])
    c *= 2
    d = x.sum()
    d += 1
    e = x[1, ...].copy()
    e -= c
    out = np.zeros(3)
    np.add(x[0], x[1], out=out[1:2].reshape(()))
    out[0, ...] = b
    s = np.asarray(x[2])
    s = s + acc
    m = np.empty((2, 2))
    m[0, 0], m[1] = x[0], x[1:3]
    m[0, 1] = m[1, 1] * m[0, 0]
    return b + c + d + e + out.sum() + s + LA.det(m) + np.float64(3.0) * x[4]


@program(normal(2, 4))
def logic_where(x):
    a, b = x
    m = (a > 0) & (b < 1) | ~(a < b)
    n = np.logical_xor(a > 0, b > 0)
    r = np.where(m, a * b, np.where(n, np.abs(a), -b))
    r[np.isclose(a, 0)] = 9
    r = np.nan_to_num(r / np.where(n, 1.0, np.inf))
    t = np.where([True, False, True, False], a, b)
    u = np.choose([0, 1, 1, 0], [a, b])
    k = np.count_nonzero(m)
    z = np.sum(m) * a[0] + (a > 0) @ b + np.dot(m, a)
    return r.sum() + t @ u + k * z + np.any(m) * 1.0 + np.sum(a, where=m) + a[m].sum() + np.all(n) * a[0]


@program(normal(3, 2), looks=True)
def object_lists(x):
    rows = [list(r) for r in x]
    rows[0][1] = rows[1][0] ** 2
    flat = [*itertools.chain(*rows)]
    A = np.array(rows)
    tot = sum(map(sum, rows))
    B = np.array([r[::-1] for r in rows])
    Cc = np.stack([np.array(r) * i for i, r in enumerate(rows)])
    D = np.asarray(flat).reshape(2, 3)
    E = np.array([*map(np.exp, flat)])
    return (
        tot
        + (A * B).sum()
        + Cc.prod()
        + D[1] @ D[0]
        + np.dot(flat, flat)
        + E.mean()
        + np.max(rows)
        + np.linalg.norm(rows)
        + sorted(flat)[2]
        + min(flat, key=abs)
    )
