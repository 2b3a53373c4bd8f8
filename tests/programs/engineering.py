"""Filters, structures, circuits, machines and markets, as engineers write them.  None of them knows of payback."""

import bisect
import collections
import dataclasses
import functools
import logging
import math

import numpy as np
import scipy.linalg

from programs.points import collection

PROGRAMS, program, normal = collection(11)
TRACK = normal(4, 2).cumsum(axis=0)
log = logging.getLogger(__name__)


@program([-1.0, 0.2, 0.5])
def rauch_tung_striebel(p):
    """A Kalman filter forwards, its smoother backwards, means and covariances kept in arrays."""
    F, H, n = np.array([[1.0, 1.0], [0.0, 1.0]]), np.eye(2), len(TRACK)
    Q, R = np.exp(p[0]) * np.eye(2), np.exp(p[1]) * np.eye(2)
    m, P = np.zeros((n + 1, 2)), np.zeros((n + 1, 2, 2))
    P[0] = np.eye(2) * np.exp(p[2])
    ahead = []
    for k, y in enumerate(TRACK, 1):
        a, S = F @ m[k - 1], F @ P[k - 1] @ F.T + Q
        ahead.append((a, S))
        K = np.linalg.solve((H @ S @ H.T + R).T, (S @ H.T).T).T
        m[k] = a + K @ (y - H @ a)
        P[k] = S - K @ H @ S
    for k in range(n - 1, -1, -1):
        a, S = ahead[k]
        G = P[k] @ F.T @ np.linalg.inv(S)
        m[k] += G @ (m[k + 1] - a)
        P[k] += G @ (P[k + 1] - S) @ G.T
    return np.sum((m[1:] - TRACK) ** 2) + sum(np.log(np.linalg.det(part)) for part in P[1:])


@program([0.9, -0.3, 0.1])
def particle_filter(p):
    """Systematic resampling: the ancestors are constant in pieces."""
    draws, n = np.random.default_rng(3), 12
    x, total = draws.normal(size=n) * np.exp(p[1]), 0.0
    for y in TRACK[:3, 0]:
        x = p[0] * x + np.exp(p[1]) * draws.standard_normal(n)
        weights = -0.5 * (y - x) ** 2 / np.exp(2 * p[2]) - p[2]
        top = weights.max()
        w = np.exp(weights - top)
        total += top + np.log(w.mean())
        w /= w.sum()
        x = x[np.searchsorted(np.cumsum(w), (np.arange(n) + 0.37) / n).clip(0, n - 1)]
    return total


@program([0.4, 3.0, 2.0])
def stiff_kinetics(p):
    """Two steps of BDF2 for Robertson's reactions, each solved by Newton's method."""

    def f(y):
        fast = p[1] * y[1] * y[2]
        return np.array([-p[0] * y[0] + fast, p[0] * y[0] - fast - p[2] * y[1] ** 2, p[2] * y[1] ** 2])

    def jacobian(y):
        J = np.zeros((3, 3))
        J[0] = [-p[0], p[1] * y[2], p[1] * y[1]]
        J[1] = -J[0]
        J[2, 1] = 2 * p[2] * y[1]
        J[1, 1] -= J[2, 1]
        return J

    past, h = [np.array([1.0, 0.0, 0.0])], 0.05
    for n in range(2):
        rhs, b = (past[-1], 1.0) if n == 0 else (4 / 3 * past[-1] - 1 / 3 * past[-2], 2 / 3)
        y = past[-1].copy()
        for _ in range(3):
            y = y - np.linalg.solve(np.eye(3) - h * b * jacobian(y), y - rhs - h * b * f(y))
        past.append(y)
    return 10 * np.sum(np.array(past)[1:, 1]) + past[-1][2]


@program(np.random.default_rng(0).uniform(0.5, 2, 5))
def finite_elements(k):
    """A bar of elements: stiffness scattered with np.add.at, one end held."""
    n = len(k)
    ends = np.stack([np.arange(n), np.arange(1, n + 1)], axis=1)
    K, load = np.zeros((n + 1, n + 1)), np.zeros(n + 1)
    np.add.at(K, (ends[:, :, None], ends[:, None, :]), k[:, None, None] * np.array([[n, -n], [-n, n]]))
    np.add.at(load, ends, np.full((n, 2), 0.5 / n))
    free = np.setdiff1d(np.arange(n + 1), [0])
    u = np.zeros(n + 1)
    u[free] = np.linalg.solve(K[np.ix_(free, free)], load[free])
    return u.max() + u @ load


@program(normal(9))
def over_relaxation(f):
    """Gauss-Seidel sweeps of Poisson's equation, entry by entry in place."""
    b, u = f.reshape(3, 3), np.zeros((5, 5))
    for _ in range(2):
        for i in range(1, 4):
            for j in range(1, 4):
                u[i, j] += 1.3 * (
                    0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] + b[i - 1, j - 1]) - u[i, j]
                )
    return np.sum(u * u)


@program(normal(6))
def spline_basis(c):
    """Cox and de Boor's recursion; it remembers what it has computed of plain numbers."""
    t = np.array([0, 0, 0, 0, 0.3, 0.6, 1, 1, 1, 1.0])

    @functools.cache
    def basis(i, k, x):
        if k == 0:
            return float(t[i] <= x < t[i + 1])
        low = 0.0 if t[i + k] == t[i] else (x - t[i]) / (t[i + k] - t[i]) * basis(i, k - 1, x)
        high = (
            0.0 if t[i + k + 1] == t[i + 1] else (t[i + k + 1] - x) / (t[i + k + 1] - t[i + 1]) * basis(i + 1, k - 1, x)
        )
        return low + high

    return sum(sum(c[i] * basis(i, 3, x) for i in range(len(c))) ** 2 for x in [0.1, 0.4, 0.7, 0.95])


@program(normal(8) * 0.3, looks=True)
def spline_by_its_knots(p):
    """A natural cubic spline in Python lists; the piece is found with bisect."""
    x, y, n = np.cumsum(np.exp(p[:4])), p[4:], 4
    h = x[1:] - x[:-1]
    pull = [0.0] + [3 * (y[i + 1] - y[i]) / h[i] - 3 * (y[i] - y[i - 1]) / h[i - 1] for i in range(1, n - 1)]
    mu, z, b, c, d = [0.0] * n, [0.0] * n, [0.0] * n, [0.0] * n, [0.0] * n
    for i in range(1, n - 1):
        pivot = 2 * (x[i + 1] - x[i - 1]) - h[i - 1] * mu[i - 1]
        mu[i], z[i] = h[i] / pivot, (pull[i] - h[i - 1] * z[i - 1]) / pivot
    for j in range(n - 2, -1, -1):
        c[j] = z[j] - mu[j] * c[j + 1]
        b[j] = (y[j + 1] - y[j]) / h[j] - h[j] * (c[j + 1] + 2 * c[j]) / 3
        d[j] = (c[j + 1] - c[j]) / 3 / h[j]
    at = x[0] + 0.37 * (x[-1] - x[0])
    j = bisect.bisect_right(list(x), at) - 1
    s = at - x[j]
    return y[j] + b[j] * s + c[j] * s**2 + d[j] * s**3


@program(normal(15))
def procrustes(flat):
    """The best rotation by Kabsch's method, reflections put right."""
    A, B = flat.reshape(5, 3), np.random.default_rng(9).normal(size=(5, 3))
    A, B = A - A.mean(axis=0), B - B.mean(axis=0)
    U, _, Vt = np.linalg.svd(A.T @ B)
    R = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))]) @ Vt
    return np.sum((A @ R - B) ** 2) + np.trace(R)


def camera(p):
    """A pinhole camera with radial distortion, turned by Rodrigues' formula."""
    r, shift = p[:3], p[3:]
    angle = np.sqrt(np.sum(r * r))
    K = np.array([[0, -r[2], r[1]], [r[2], 0, -r[0]], [-r[1], r[0], 0]])
    if angle < 1e-8:
        R = np.eye(3) + K
    else:
        R = np.eye(3) + np.sin(angle) / angle * K + (1 - np.cos(angle)) / angle**2 * (K @ K)
    seen = np.array([[0.1, 0.2, 2.0], [0.5, -0.1, 3], [-0.3, 0.3, 2.5]]) @ R.T + shift
    uv = seen[:, :2] / seen[:, 2:]
    r2 = np.sum(uv**2, axis=1, keepdims=True)
    return np.sum((uv * (1 + 0.1 * r2 + 0.01 * r2**2) - 0.1) ** 2)


program([0.2, 0.3, -0.1, 0.01, 0.02, 0.03], looks=True)(camera)


@program([0.0, 0.0, 0.0])
def rotation_at_rest(r):
    """The same formula without a branch, where its angle is zero."""
    square = np.sum(r * r)
    small = square < 1e-12
    angle = np.sqrt(np.where(small, 1.0, square))
    a = np.where(small, 1 - square / 6, np.sin(angle) / angle)
    b = np.where(small, 0.5 - square / 24, (1 - np.cos(angle)) / angle**2)
    v = np.array([0.1, 0.2, 2.0])
    return np.sum((v + a * np.cross(r, v) + b * np.cross(r, np.cross(r, v))) ** 3)


@dataclasses.dataclass
class Link:
    name: str
    a: float
    alpha: float
    d: float
    children: list = dataclasses.field(default_factory=list)
    theta: float = 0.0

    def transform(self):
        ct, st, ca, sa = math.cos(self.theta), math.sin(self.theta), math.cos(self.alpha), math.sin(self.alpha)
        return np.array([
            [ct, -st * ca, st * sa, self.a * ct], [st, ct * ca, -ct * sa, self.a * st],
            [0, sa, ca, self.d], [0, 0, 0, 1],
        ])  # fmt: skip


@program([0.3, -0.2, 0.5, 0.7], looks=True)
def robot(q):
    """A tree of joints, gone through by recursion; the state of each is set on the way, and told to a log."""
    middle = Link("middle", 0.5, -0.4, 0.1, [Link("tip", 0.3, 0.1, 0.2), Link("side", 0.2, 0.5, 0.0)])
    places = {}

    def walk(link, T, angles):
        link.theta = next(angles)
        T = T @ link.transform()
        places[link.name] = T[:3, 3]
        for child in link.children:
            walk(child, T, angles)

    walk(Link("base", 0.4, 1.2, 0.3, [middle]), np.eye(4), iter(q))
    log.debug(f"the tip is at {places['tip']}, the first angle {q[0]:.3f}")
    return sum(np.sum((place - [0.1, 0.2, 0.3]) ** 2) for _, place in sorted(places.items()))


class Netlist:
    def __init__(self):
        self.nodes, self.parts = {"0": -1}, []

    def add(self, kind, a, b, value):
        ends = [self.nodes.setdefault(name, len(self.nodes) - 1) for name in (a, b)]
        self.parts.append((kind, *ends, value))

    def solve(self):
        v = np.zeros(len(self.nodes) - 1)
        for _ in range(60):
            J, F = np.zeros((len(v), len(v))), np.zeros(len(v))
            for kind, a, b, value in self.parts:
                drop = (v[a] if a >= 0 else 0.0) - (v[b] if b >= 0 else 0.0)
                if kind == "R":
                    current, slope = drop / value, 1 / value
                elif kind == "D":
                    e = np.exp(np.minimum(drop / 0.05, 30))
                    current, slope = value * (e - 1), value * e / 0.05
                else:
                    current, slope = -value, 0.0
                for p, sign in ((a, 1), (b, -1)):
                    if p < 0:
                        continue
                    F[p] += sign * current
                    for q, other in ((a, 1), (b, -1)):
                        if q >= 0:
                            J[p, q] += sign * other * slope
            step = np.linalg.solve(J, -F)
            v = v + np.clip(step, -0.3, 0.3)
            if np.max(np.abs(step)) < 1e-13:
                return v
        raise RuntimeError("no convergence")


@program([0.5, 2.0, 0.01], looks=True)
def circuit(p):
    """A diode between resistors: nodal analysis by Newton's method until it has converged."""
    net = Netlist()
    for part in [("I", "in", "0", p[0]), ("R", "in", "mid", p[1]), ("D", "mid", "0", p[2]), ("R", "mid", "0", 10.0)]:
        net.add(*part)
    net.add("R", "in", "0", 5.0)
    v = net.solve()
    return v[0] ** 2 + v[1]


@program([0.1, -0.5, -1.0, -1.2])
def pharmacokinetics(p):
    """Two compartments and a gut, by the exponential of a matrix."""
    absorbed, cleared, out, back = np.exp(p)
    A = np.array([[-absorbed, 0, 0], [absorbed, -cleared - out, back], [0, out, -back]])
    start = np.array([100.0, 0, 0])
    return sum(
        (np.log((scipy.linalg.expm(A * t) @ start)[1]) - np.log(seen)) ** 2 for t, seen in [(0.5, 10.0), (1, 20.0)]
    )


@program([1.05, 0.3, 0.05])
def trinomial_option(p):
    """Backward induction in place, node by node."""
    spot, sigma, rate = p
    n = 4
    dt = 1 / n
    up, a, b = np.exp(sigma * np.sqrt(2 * dt)), np.exp(rate * dt / 2), np.exp(sigma * np.sqrt(dt / 2))
    high, low = ((a - 1 / b) / (b - 1 / b)) ** 2, ((b - a) / (b - 1 / b)) ** 2
    V = np.maximum(spot * up ** np.arange(-n, n + 1.0) - 1, 0)
    for step in range(n - 1, -1, -1):
        for j in range(2 * step + 1):
            V[j] = np.exp(-rate * dt) * (high * V[j + 2] + (1 - high - low) * V[j + 1] + low * V[j])
    return V[0]


@program([1.02, 0.25, 0.03])
def asian_option(p):
    """Monte Carlo with the geometric mean as control."""
    spot, sigma, rate = p
    z, dt = np.random.default_rng(7).standard_normal((40, 6)), 1 / 6
    paths = spot * np.exp(np.cumsum((rate - sigma**2 / 2) * dt + sigma * np.sqrt(dt) * z, axis=1))
    pay = np.exp(-rate) * np.maximum(paths.mean(axis=1) - 1, 0)
    control = np.exp(-rate) * np.maximum(np.exp(np.log(paths).mean(axis=1)) - 1, 0)
    beta = np.cov(pay, control)[0, 1] / np.var(control, ddof=1)
    return np.mean(pay - beta * (control - 0.05))


@program([-0.5, *normal(8)], looks=True)
def discrete_choice(p):
    """Rust's model: a value function iterated until it is settled, then the likelihood of what was chosen."""
    beta, reward = 1 / (1 + np.exp(-p[0])), p[1:].reshape(4, 2)
    move = np.stack([np.roll(np.eye(4), 1, axis=1) * 0.9 + 0.025, np.eye(4) * 0.8 + 0.05])
    V, error, rounds = np.zeros(4), 1.0, 0
    while error > 1e-13 and rounds < 300:
        Q = reward + beta * np.einsum("ast,t->sa", move, V)
        new = np.logaddexp(Q[:, 0], Q[:, 1])
        error, V, rounds = np.max(np.abs(new - V)), new, rounds + 1
    chosen = np.exp(Q - V[:, None])
    assert np.allclose(chosen.sum(axis=1), 1)
    return -np.sum(np.log(chosen[np.arange(4), [0, 1, 1, 0]]))


class Quantity:
    __array_ufunc__ = None

    def __init__(self, value, units):
        self.value, self.units = value, collections.Counter(units)

    def _with(self, value, other, sign):
        units = collections.Counter(self.units)
        for unit, power in other.units.items():
            units[unit] += sign * power
        return Quantity(value, {unit: power for unit, power in units.items() if power})

    def __mul__(self, other):
        if not isinstance(other, Quantity):
            return Quantity(self.value * other, self.units)
        return self._with(self.value * other.value, other, 1)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self._with(self.value / other.value, other, -1)

    def __add__(self, other):
        if self.units != other.units:
            raise ValueError("the units differ")
        return Quantity(self.value + other.value, self.units)


def magnitude(x):
    return x.value if hasattr(x, "value") else x


@program([1.0, 2.0, 3.0])
def units(p):
    """A class of quantities with units; it asks what has a value."""
    speed = Quantity(p[0], {"m": 1}) / Quantity(p[1], {"s": 1})
    mass = Quantity(2.0, {"kg": 1})
    energy = mass * speed * speed * 0.5 + p[2] * mass * Quantity(3.0, {"m": 2, "s": -2})
    return magnitude(energy) * magnitude(p[2])
