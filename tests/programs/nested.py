"""Programs that differentiate inside what is differentiated: physics-informed, implicit, bilevel and meta-learning."""

import numpy as np

import payback as pb
from programs.points import collection

PROGRAMS, program, normal = collection(17)
TIMES = np.linspace(0.1, 1, 4)


@program(normal(12))
def oscillator(p):
    """A network that is to obey u'' + 4u = 0, point by point and as a batch."""
    u = lambda t: np.dot(p[8:], np.tanh(p[:4] * t + p[4:8]))  # noqa: E731
    du = pb.grad(u)
    ddu = pb.grad(du)
    alone = sum((ddu(t) + 4 * u(t)) ** 2 for t in TIMES[:2])
    return alone + np.mean((pb.vmap(ddu)(TIMES) + 4 * pb.vmap(u)(TIMES)) ** 2) + (u(0.0) - 1) ** 2 + du(0.0) ** 2


@program(normal(9))
def laplacian(p):
    u = lambda x: p[6:] @ np.sin(p[:6].reshape(3, 2) @ x)  # noqa: E731
    return sum((np.trace(pb.hessian(u)(x)) + x[0] * u(x)) ** 2 for x in (np.array([0.1, 0.2]), np.array([0.4, -0.3])))


@program([0.2, 0.5, -0.3])
def hamiltonian_steps(q):
    energy = lambda q: 0.5 * q @ q + 0.1 * np.sum(q**4) + np.sin(q[0] * q[1])  # noqa: E731
    p = np.array([0.3, -0.4, 0.1]) - 0.05 * pb.grad(energy)(q)
    for _ in range(3):
        q = q + 0.1 * p
        p = p - 0.1 * pb.grad(energy)(q)
    return energy(q) + 0.5 * p @ p


@program(normal(12))
def equilibrium_layer(p):
    z = pb.fixed_point(lambda z: np.tanh(0.3 * p[:9].reshape(3, 3) @ z + p[9:]), np.zeros(3))
    return np.sum(z**3)


X = np.random.default_rng(0).normal(size=(8, 3))
Y = X @ [1.0, 2.0, 3.0] + 0.1


@program([0.1, -0.3, 0.4])
def bilevel(penalty):
    """The penalties of a regression by what it costs on other samples."""
    cost = lambda w, l: np.sum((X[:5] @ w - Y[:5]) ** 2) + np.sum(np.exp(l) * w**2)  # noqa: E731, E741
    w = pb.root(pb.grad(cost), np.zeros(3), penalty)
    return np.mean((X[5:] @ w - Y[5:]) ** 2)


@program(normal(9))
def few_shots(w):
    """MAML: two steps of descent on each task, and then its cost."""
    x, total = np.linspace(-1, 1, 6), 0.0
    for a, b in [(1.0, 0.2), (0.5, -0.1)]:
        y = a * np.sin(3 * x) + b
        cost = lambda w, y=y: np.mean((np.tanh(np.outer(x, w[:3]) + w[3:6]) @ w[6:] - y) ** 2)  # noqa: E731
        v = w
        for _ in range(2):
            v = v - 0.1 * pb.grad(cost)(v)
        total += cost(v)
    return total


@program([-2.0, 1.0])
def learned_rate(h):
    """Adam's rate and decay by what five of its steps lead to."""
    cost = lambda w: np.sum(w**2 * np.array([1.0, 5.0])) + np.cos(w[0])  # noqa: E731
    rate, decay = np.exp(h[0]), 1 / (1 + np.exp(-h[1]))
    w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t in range(1, 6):
        g = pb.grad(cost)(w)
        m, v = decay * m + (1 - decay) * g, 0.9 * v + 0.1 * g * g
        w = w - rate * m / (1 - decay**t) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
    return cost(w)


@program([0.3, 0.1])
def laplace_approximation(t):
    """Newton's steps to the mode, and the determinant of the Hessian there."""
    inputs = X[:6, :2]
    labels = (inputs[:, 0] > 0) * 1.0
    energy = lambda w: (  # noqa: E731
        np.sum(np.log1p(np.exp(inputs @ w)) - labels * (inputs @ w)) + 0.5 * np.exp(t[0]) * w @ w + t[1] * w[0]
    )
    w = np.zeros(2)
    for _ in range(3):
        w = w - np.linalg.solve(pb.hessian(energy)(w), pb.grad(energy)(w))
    return energy(w) + 0.5 * np.linalg.slogdet(pb.hessian(energy)(w))[1] - t[0]


@program([1.0, 2.0, 0.3])
def optimal_design(p):
    """Fisher's information of a decay, and a natural-gradient step."""
    t = np.linspace(0, 1, 6)
    J = pb.jacobian(lambda p: p[0] * np.exp(-p[1] * t) + p[2])(p)
    step = np.linalg.lstsq(J.T @ J + 0.1 * np.eye(3), J.T @ t, rcond=None)[0]
    return -np.linalg.slogdet(J.T @ J)[1] + np.sum(step**2)


@program([-1.0, -1.5])
def interior_point(c):
    A, b, x, mu = np.array([[1.0, 1.0], [2.0, 0.5]]), np.array([1.0, 1.2]), np.array([0.3, 0.3]), 1.0
    for _ in range(2):
        barrier = lambda x, mu=mu: c @ x - mu * (np.sum(np.log(b - A @ x)) + np.sum(np.log(x)))  # noqa: E731
        for _ in range(3):
            x = x - 0.5 * np.linalg.solve(pb.hessian(barrier)(x), pb.grad(barrier)(x))
        mu *= 0.7
    return c @ x


@program([2.0, 0.3])
def solver_in_a_scan_in_a_branch(p):
    """Implicit steps through time inside a condition."""

    def implicit(y, t):
        z = pb.root(lambda z, y: z - y + 0.1 * (p[0] * z + p[1] * z**3) - 0.05 * t, y, y)
        return z, z[0]

    def run(start):
        end, path = pb.scan(implicit, start, np.array([1.0, 0.5, 0.2]))
        return np.sum(path**2) + end[1]

    return pb.cond(p[0] > 0, run, lambda start: np.sum(start), np.array([1.0, 0.5]) * p[1])
