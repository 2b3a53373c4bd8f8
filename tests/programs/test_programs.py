"""Small real programs: first and second order against finite differences, and hand-written gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import amount
import payback as pb

RNG = np.random.default_rng(42)
X, LABELS = RNG.standard_normal((7, 3)), RNG.integers(0, 2, 7).astype(float)
ONE_HOT = np.eye(4)[RNG.integers(0, 4, 7)]


def logistic(w):
    z = X @ w["w"] + w["b"]
    return np.mean(pb.nn.softplus(z) - LABELS * z)


def softmax_cross_entropy(w):
    z = X @ w
    return np.mean(pb.nn.logsumexp(z, axis=1) - np.sum(z * ONE_HOT, axis=1))


def recurrent(p):
    h = np.zeros(2)
    for t, x in enumerate(X):
        h = np.tanh(p["u"] @ h + p["v"] @ x + p["b"])
        if t % 3 == 2:
            h = h * 0.5
    return np.sum(h * h)


def mixture(p):
    """Log-likelihood of a Gaussian mixture with diagonal precisions."""
    d = (X[:, None, :] - p["mean"]) * np.exp(p["log_precision"])
    terms = (
        p["weight"] - pb.nn.logsumexp(p["weight"]) + np.sum(p["log_precision"], axis=-1) - 0.5 * np.sum(d * d, axis=-1)
    )
    return np.sum(pb.nn.logsumexp(terms, axis=1))


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def pendulum(p):
    angle, speed, dt = p[0], p[1], 0.05
    for _ in range(20):
        angle, speed = angle + dt * speed, speed - dt * p[2] * np.sin(angle)
    return angle**2 + speed**2


A = RNG.standard_normal((4, 4))


def quadratic(x):
    return 0.5 * x @ A @ x - np.ones(4) @ x


def attention(p):
    """Batched: queries, keys, values of (batch, time, width)."""
    scores = np.matmul(p["q"], np.swapaxes(p["k"], -1, -2)) / np.sqrt(p["q"].shape[-1])
    weights = np.exp(scores - pb.nn.logsumexp(scores, axis=-1, keepdims=True))
    return np.sum(np.matmul(weights, p["v"]) ** 2)


def horner(c, x):
    y = 0.0
    for k in c:
        y = y * x + k
    return y


def newton_root(a):
    x = a
    while abs(x * x - a) > 1e-13:
        x = 0.5 * (x + a / x)
    return 0.5 * (x + a / x)


def moving_average(x):
    window = sum(x[i : len(x) - 4 + i] for i in range(5)) / 5.0
    return np.sum((window - x[2:-2]) ** 2)


def distances(x):
    d = x[:, None, :] - x[None, :, :]
    squared = np.sum(d * d, axis=-1)
    return np.sum(np.where(squared > 0, np.sqrt(squared), 0.0))


def embedding(p):
    """Rows looked up by number, one of them several times, and averaged by group."""
    rows = p["table"][np.array([[0, 2, 2], [1, 0, 3]])]
    return np.sum(np.tanh(np.mean(rows, axis=1) @ p["w"]) ** 2) + np.max(p["table"]) * np.min(p["w"])


def network(p):
    h = X
    for w, b in p[:-1]:
        h = np.maximum(h @ w + b, 0.0)
    w, b = p[-1]
    return np.mean((h @ w + b - LABELS[:, None]) ** 2)


def normal(*shape):
    return RNG.standard_normal(shape)


PROGRAMS = {
    "logistic regression": (logistic, {"w": normal(3), "b": 0.25}),
    "softmax cross-entropy": (softmax_cross_entropy, normal(3, 4)),
    "recurrent network": (recurrent, {"u": normal(2, 2), "v": normal(2, 3), "b": normal(2)}),
    "Gaussian mixture": (mixture, {"mean": normal(2, 3), "log_precision": normal(2, 3) / 4, "weight": normal(2)}),
    "Rosenbrock": (rosenbrock, normal(5)),
    "pendulum by Euler": (pendulum, np.array([0.5, 0.1, 9.81])),
    "quadratic form": (quadratic, normal(4)),
    "attention": (attention, {"q": normal(2, 3, 4), "k": normal(2, 5, 4), "v": normal(2, 5, 2)}),
    "polynomial": (lambda p: horner(p[:-1], p[-1]), [1.0, -2.0, 0.5, 3.0, 1.25]),
    "Newton's square root": (newton_root, 2.5),
    "moving average": (moving_average, normal(9)),
    "pairwise distances": (distances, normal(4, 2)),
    "embedding": (embedding, {"table": normal(4, 3), "w": normal(3, 2)}),
    "network": (network, [(normal(3, 4), normal(4)), (normal(4, 4), normal(4)), (normal(4, 1), normal(1))]),
}


@pytest.mark.parametrize("seed", range(amount.cases(1, 8)))
@pytest.mark.parametrize("name", PROGRAMS)
def test_against_finite_differences(name, seed):
    program, point = PROGRAMS[name]
    pb.check_grads(program, point, order=2, seed=seed, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in ("polynomial", "Newton's square root")])
def test_in_float32(name):
    """The same gradient to single precision, in float32 throughout."""
    from payback.trace.tree import leaves, tree_map

    program, point = PROGRAMS[name]
    small = tree_map(lambda leaf: leaf.astype(np.float32) if isinstance(leaf, np.ndarray) else leaf, point)
    exact = pb.grad(program)(
        tree_map(lambda leaf: leaf.astype(np.float64) if isinstance(leaf, np.ndarray) else leaf, small)
    )
    for found, expected, leaf in zip(leaves(pb.grad(program)(small)), leaves(exact), leaves(small), strict=True):
        assert np.asarray(found).dtype == np.asarray(leaf).dtype
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-4 * max(1.0, float(np.max(np.abs(expected)))))


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_a_graph(name):
    """Traced by shapes and run by the interpreter, value and gradient have the eager bits."""
    from payback.trace.abstract import trace
    from payback.trace.tree import leaves

    program, point = PROGRAMS[name]
    if name == "Newton's square root":  # its loop looks at a number
        with pytest.raises(pb.errors.TraceError):
            trace(pb.value_and_grad(program), point)
        return
    found = leaves(trace(pb.value_and_grad(program), point)(point))
    for a, b in zip(found, leaves(pb.value_and_grad(program)(point)), strict=True):
        assert np.array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_hand_written_gradients():
    w = PROGRAMS["logistic regression"][1]
    p = 1 / (1 + np.exp(-(X @ w["w"] + w["b"])))
    g = pb.grad(logistic)(w)
    assert np.allclose(g["w"], X.T @ (p - LABELS) / 7, rtol=1e-13, atol=1e-13)
    assert np.isclose(g["b"], np.mean(p - LABELS), rtol=1e-13, atol=1e-13)
    v = PROGRAMS["softmax cross-entropy"][1]
    s = np.exp(X @ v)
    assert np.allclose(
        pb.grad(softmax_cross_entropy)(v), X.T @ (s / s.sum(1, keepdims=True) - ONE_HOT) / 7, rtol=1e-12, atol=1e-13
    )
    x = PROGRAMS["Rosenbrock"][1]
    expected = np.zeros(5)
    expected[1:] += 200 * (x[1:] - x[:-1] ** 2)
    expected[:-1] += -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    assert np.allclose(pb.grad(rosenbrock)(x), expected, rtol=1e-13, atol=1e-13)
    q = PROGRAMS["quadratic form"][1]
    assert np.allclose(pb.grad(quadratic)(q), (A + A.T) @ q / 2 - 1, rtol=1e-13, atol=1e-13)
    assert np.isclose(pb.grad(newton_root)(2.5), 0.5 / np.sqrt(2.5), rtol=1e-12, atol=1e-13)
    assert np.isclose(pb.grad(pb.grad(newton_root))(2.5), -0.25 * 2.5**-1.5, rtol=1e-9)
    c = [1.0, -2.0, 0.5, 3.0]
    assert np.allclose(pb.grad(horner)(c, 1.25), [1.25**3, 1.25**2, 1.25, 1.0])
    assert np.isclose(pb.grad(horner, argnums=1)(c, 1.25), np.polyval(np.polyder(c), 1.25))


def test_a_hessian_by_rows():
    x = PROGRAMS["Rosenbrock"][1]
    rows = [pb.grad(lambda v, i=i: pb.grad(rosenbrock)(v)[i])(x) for i in range(5)]
    hessian = np.diag(np.r_[1200 * x[:-1] ** 2 - 400 * x[1:] + 2, 0]) + np.diag(np.r_[0, np.full(4, 200.0)])
    hessian += np.diag(-400 * x[:-1], 1) + np.diag(-400 * x[:-1], -1)
    assert np.allclose(rows, hessian, rtol=1e-12, atol=1e-13)


def test_descent_with_variables():
    w = pb.variable(np.zeros(3))
    b = pb.variable(0.0)
    costs = []
    for _ in range(60):
        z = X @ w + b
        cost = np.mean(pb.nn.softplus(z) - LABELS * z)
        cost.backward()
        w.value -= 0.5 * w.grad
        b.value -= 0.5 * b.grad
        costs.append(cost.value)
    assert all(later < earlier for earlier, later in itertools.pairwise(costs))
