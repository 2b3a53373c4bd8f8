"""Programs of numerical users: mechanics, fields, likelihoods, control, quantum circuits.  NumPy and SciPy alone, in
loops, classes and writes, as such programs are; none knows of payback.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.ndimage
from scipy import stats
from scipy.special import gammaln, logsumexp

PROGRAMS = {}
G = np.random.default_rng(11)


def program(x, looks=False):
    def listed(f):
        PROGRAMS[f.__name__] = f, np.asarray(x, float), looks
        return f

    return listed


@program([1.2, -0.3, 0.1, 0.4, 1.0, 0.7])
def double_pendulum(s):
    m1, l1, (m2, l2) = 1.0, 1.0, s[4:]

    def slope(y):
        t1, t2, w1, w2 = y
        d = t1 - t2
        den = 2 * m1 + m2 - m2 * np.cos(2 * d)
        near = -9.81 * (2 * m1 + m2) * np.sin(t1) - m2 * 9.81 * np.sin(t1 - 2 * t2)
        a1 = (near - 2 * np.sin(d) * m2 * (w2**2 * l2 + w1**2 * l1 * np.cos(d))) / (l1 * den)
        far = w1**2 * l1 * (m1 + m2) + 9.81 * (m1 + m2) * np.cos(t1) + w2**2 * l2 * m2 * np.cos(d)
        return np.array([w1, w2, a1, 2 * np.sin(d) * far / (l2 * den)])

    y, h = np.array(s[:4]), 0.02
    for _ in range(4):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(y + h * k3))
    return y[0] * y[1] + np.sum(y[2:] ** 2)


class Cloth:
    def __init__(self, n, stiffness, damping):
        self.n, self.stiffness, self.damping = n, stiffness, damping
        xs, ys = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
        self.x = np.stack([xs, ys, np.zeros((n, n))], axis=-1)
        self.v = np.zeros((n, n, 3))
        self.fixed = np.zeros((n, n), dtype=bool)
        self.fixed[0, 0] = self.fixed[0, -1] = True

    def forces(self):
        f = np.zeros_like(self.x)
        f[..., 2] -= 0.981
        for i, j in [(1, 0), (0, 1), (1, 1)]:
            d = self.x[i:, j:] - self.x[: self.n - i, : self.n - j]
            length = np.sqrt((d**2).sum(-1, keepdims=True))
            pull = self.stiffness * (length - np.hypot(i, j) / (self.n - 1)) * d / length
            f[: self.n - i, : self.n - j] += pull
            f[i:, j:] -= pull
        f -= self.damping * self.v
        f[self.fixed] = 0
        return f

    def step(self, dt):
        self.v += dt * self.forces() / 0.1
        self.v[self.fixed] = 0.0
        self.x += dt * self.v


@program([50.0, 0.05])
def cloth(p):
    sheet = Cloth(4, *p)
    for _ in range(5):
        sheet.step(0.02)
    return np.sum(sheet.x[..., 2] ** 2) + sheet.x[-1, -1, 2]


@program([0.0, 0.3, 2.0, 1.0, 0.8])
def bouncing_ball(s):
    p, v, e = s[:2].copy(), s[2:4].copy(), s[4]
    for _ in range(30):
        v[1] -= 0.0981
        p += 0.01 * v
        hit = (p[1] < 0) & (v[1] < 0)
        v[1] = np.where(hit, -e * v[1], v[1])
        p[1] = np.where(hit, -p[1], p[1])
    return p[0] ** 2 + p[1] + v[0] * v[1]


@program(0.5 + G.random((2, 12)))
def darcy_flow(s):
    """A tridiagonal system whose bands are what is looked for."""
    k, q = s
    bands = np.zeros((3, len(k)))
    bands[1] = k + np.roll(k, -1) + 0.1
    bands[0, 1:] = bands[2, :-1] = -k[1:]
    u = scipy.linalg.solve_banded((1, 1), bands, q)
    return u @ u


@program(G.random((6, 6)))
def gray_scott(u0):
    u, v = 1 - 0.5 * u0, 0.25 * u0
    laplacian = np.array([[0.05, 0.2, 0.05], [0.2, -1, 0.2], [0.05, 0.2, 0.05]])
    for _ in range(3):
        spread = [scipy.ndimage.convolve(w, laplacian, mode="wrap") for w in (u, v)]
        uvv = u * v * v
        u += 0.16 * spread[0] - uvv + 0.03 * (1 - u)
        v += 0.08 * spread[1] + uvv - 0.09 * v
    return np.mean(v**2) + np.mean(u)


def smoothed(u, f, h, n=3):
    for _ in range(n):
        u = u.copy()
        u[1:-1] = u[1:-1] + (u[:-2] + u[2:] - 2 * u[1:-1] + h * h * f[1:-1]) / 3
    return u


def v_cycle(u, f, h):
    u = smoothed(u, f, h)
    if len(u) <= 5:
        return smoothed(u, f, h, 10)
    r = np.zeros_like(f)
    r[1:-1] = f[1:-1] + (u[:-2] - 2 * u[1:-1] + u[2:]) / h**2
    coarse = np.zeros((len(u) - 1) // 2 + 1)
    coarse[1:-1] = 0.25 * (r[1:-3:2] + 2 * r[2:-2:2] + r[3:-1:2])
    small = v_cycle(np.zeros_like(coarse), coarse, 2 * h)
    e = np.zeros_like(u)
    e[::2] = small
    e[1::2] = 0.5 * (small[:-1] + small[1:])
    return smoothed(u + e, f, h)


@program(np.sin(np.linspace(0, 3, 17)))
def multigrid(f):
    return 100 * np.sum(v_cycle(np.zeros_like(f), f, 1 / 16) ** 2)


X = G.standard_normal((12, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3 * G.standard_t(3, 12)
GROUPS, COUNTS, SEEN = np.arange(12) % 3, G.poisson(4, 12), G.integers(0, 4, 6)


@program([0.5, -1, 0.2, 0.1, -0.5])
def mixed_effects(p):
    r, loss = Y - X @ p[:3], 0.0
    for g in np.unique(GROUPS):
        own = r[g == GROUPS]
        n = len(own)
        low = np.linalg.cholesky(np.exp(2 * p[3]) * np.eye(n) + np.exp(2 * p[4]) * np.ones((n, n)))
        z = scipy.linalg.solve_triangular(low, own, lower=True)
        loss += 0.5 * z @ z + np.log(np.diag(low)).sum()
    return loss


@program([0.5, -1, 0.2, 0.1, 1.0])
def student_t(p):
    s, nu = np.exp(p[3]), np.exp(p[4])
    by_hand = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi) - np.log(s)
    by_hand = by_hand - (nu + 1) / 2 * np.log1p(((Y - X @ p[:3]) / s) ** 2 / nu)
    return -by_hand.sum() - np.sum(stats.t.logpdf(Y, nu, loc=X @ p[:3], scale=s))


@program([0.2, 0.4, 0.3])
def zero_inflated(p):
    rate, zero = np.exp(p[0] + 0.1 * X[:, 0]), COUNTS < 3
    ll = np.zeros(12)
    ll[zero] = np.logaddexp(np.log(p[1]), np.log1p(-p[1]) - rate[zero])
    ll[~zero] = np.log1p(-p[1]) + stats.poisson.logpmf(COUNTS[~zero], rate[~zero])
    return -ll.sum() + p[2] ** 2


@program(G.standard_normal(24))
def hidden_states(p):
    move, show, first = p[:9].reshape(3, 3), p[9:21].reshape(3, 4), p[21:]
    move = move - logsumexp(move, axis=1, keepdims=True)
    show = show - logsumexp(show, axis=1)[:, None]
    a = np.empty((len(SEEN), 3))
    a[0] = first - logsumexp(first) + show[:, SEEN[0]]
    for t in range(1, len(SEEN)):
        for j in range(3):
            a[t, j] = logsumexp(a[t - 1] + move[:, j]) + show[j, SEEN[t]]
    return -logsumexp(a[-1])


def joined(*matrices):
    return functools.reduce(np.kron, matrices)


@program(G.random(6))
def variational_circuit(angles):
    def ry(t):
        return np.array([[np.cos(t / 2), -np.sin(t / 2)], [np.sin(t / 2), np.cos(t / 2)]])

    def rz(t):
        return np.array([[np.exp(-1j * t / 2), 0], [0, np.exp(1j * t / 2)]])

    one, x, z = np.eye(2), np.array([[0, 1], [1, 0]], complex), np.diag([1.0 + 0j, -1])
    flip = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    psi = np.zeros(8, complex)
    psi[0] = 1
    psi = joined(ry(angles[0]), ry(angles[1]), ry(angles[2])) @ psi
    psi = joined(flip, one) @ psi
    psi = joined(rz(angles[3]), rz(angles[4]), ry(angles[5])) @ psi
    energy = joined(z, z, one) + 0.5 * joined(x, one, x) + joined(one, x, one)
    return np.real(np.vdot(psi, energy @ psi))


@program(0.1 * G.standard_normal(6))
def differential_dynamic_programming(u):
    def moved(x, u):
        return x + 0.1 * np.array([x[1], -9.8 * np.sin(x[0]) + u])

    path, cost = [np.array([0.5, 0.0])], 0.0
    for force in u:
        cost += 0.01 * force**2 + 0.1 * path[-1] @ path[-1]
        path.append(moved(path[-1], force))
    v_x, v_xx = 2 * path[-1], 2 * np.eye(2)
    for t in range(len(u) - 1, -1, -1):
        a, b = np.array([[1.0, 0.1], [-0.98 * np.cos(path[t][0]), 1.0]]), np.array([[0.0], [0.1]])
        q_x, q_u = 0.2 * path[t] + a.T @ v_x, 0.02 * u[t : t + 1] + b.T @ v_x
        q_xx, q_uu, q_ux = 0.2 * np.eye(2) + a.T @ v_xx @ a, 0.02 * np.eye(1) + b.T @ v_xx @ b, b.T @ v_xx @ a
        k, gain = -np.linalg.solve(q_uu, q_u), -np.linalg.solve(q_uu, q_ux)
        v_x = q_x + gain.T @ q_uu @ k + gain.T @ q_u + q_ux.T @ k
        v_xx = q_xx + gain.T @ q_uu @ gain + gain.T @ q_ux + q_ux.T @ gain
    return cost + 0.1 * v_x @ v_x + np.trace(v_xx)


@dataclass
class Epidemic:
    susceptible: float
    exposed: float
    ill: float
    well: float


@program([0.3, 0.1, 0.05, 1e-2])
def epidemic(p):
    infects, shows, heals, first = p
    s, new = Epidemic(1 - first, 0.0, first, 0.0), np.zeros(15)
    for day in range(15):
        caught, shown, healed = infects * s.susceptible * s.ill, shows * s.exposed, heals * s.ill
        s = Epidemic(s.susceptible - caught, s.exposed + caught - shown, s.ill + shown - healed, s.well + healed)
        new[day] = shows * s.exposed
    return 1e4 * np.sum((new - 1e-3 * np.exp(0.02 * np.arange(15))) ** 2) + math.log(2.0) * s.well
