"""A typed program of a user: `mypy` reads it as strictly as it can, so public names have types, and right ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import payback as pb

Array = npt.NDArray[np.float64]


def cost(w: Array, x: Array) -> float:
    return float(np.sum((x @ w) ** 2))


def gradient(w: Array, x: Array) -> Array:
    found: Array = pb.grad(cost)(w, x)
    return found


@pb.compile
def fast(x: Array) -> Array:
    return np.tanh(x)


@pb.compile(donate="x")
def step(x: Array) -> Array:
    return x * 0.5


@pb.custom_gradient
def straight_through(x: Array) -> tuple[Array, object]:
    return np.rint(x), lambda bar: bar


@pb.custom_gradient(check=True)
def doubled(x: Array) -> tuple[Array, object]:
    return 2 * x, lambda bar: 2 * bar


@pb.remat
def block(x: Array) -> Array:
    return x * 2


class Scaled(pb.nn.Module):
    weight: Array
    power: int = pb.nn.static()

    def __init__(self, key: Array):
        self.weight = pb.random.normal(key, (3,))
        self.power = 2

    def __call__(self, x: Array) -> Array:
        return x * self.weight**self.power


def train(X: Array, y: Array) -> float:
    net = pb.nn.Sequential(Scaled(pb.random.key(0)), pb.nn.MLP([3, 8, 1], activation="tanh", seed=1))
    run = pb.fit(net, X, y, loss="squared_error", optimizer=pb.optim.Adam(1e-3), epochs=3, validation=0.1, record="run")
    run.save("model")
    print(run.stopped, run.history[-1]["cost"], pb.load("model")(X), pb.nn.summary(run.net))
    recorded = pb.open_run("run")
    print(recorded.account("W1", (0, 1)).lines, recorded.why_nan().origins, recorded.explain(1).to_text())
    best = pb.minimize(lambda w: np.sum(w**2), np.ones(2), step=0.1)
    last: float = best.x[0]
    return last


def explained() -> str:
    a, b = pb.variable(2.0, name="a"), pb.variable(1.0)
    y = (a + b) * (b + 1)
    y.backward()
    book = pb.explain(cost, np.ones(3), np.ones((2, 3)), wrt="w")
    print(a.grad, b.value, book.kappa, book.settled("w"), book.paths().top(3), pb.why_nan(cost, np.ones(3)).origins)
    try:
        pb.check_grads(cost, np.ones(3), np.ones((2, 3)), order=1)
    except pb.errors.PaybackError as problem:
        print(problem.what, problem.where, problem.why, problem.fix)
    return fast.explain_compilation() + step.llvm + str(pb.audit(cost, np.ones(3)))
