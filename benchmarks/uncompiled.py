"""Uncompiled derivatives of ordinary NumPy code, beside HIPS autograd's: time and memory.

    python -m benchmarks.uncompiled [NAMES] [--sizes 3 100 10000 1000000] [--seconds 0.05]

Each program is one text for both libraries.  Of a cell the first number says how many times faster payback is than
autograd (above 1: payback is faster), the second how much of autograd's memory it takes at its peak (below 1: less),
told from 10,000 numbers on.  Times are the least of alternating turns, memory is what tracemalloc is told.  Values must
agree.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy

import payback as pb

Program = Callable[[Any, int], tuple[Callable[[Any], Any], Any]]  # (np, size) -> a function of one array, and where
PROGRAMS: dict[str, tuple[Program, int]] = {}
SIZES = (3, 100, 10_000, 1_000_000)


def program(f: Any, name: str, most: int = 1_000_000, matrix: bool = False) -> None:
    """Put f(np, x, y) on the list, for x and constant y of n numbers; matrix: for squares of about as many."""

    def made(np: Any, n: int) -> tuple[Callable[[Any], Any], Any]:
        shape = (max(2, round(n**0.5)),) * 2 if matrix else (n,)
        x, y = numpy.random.default_rng(0).normal(size=(2, *shape))
        return lambda x: f(np, x, y), x

    PROGRAMS[name] = made, most


def method(cls: Any, most: int, matrix: bool = False) -> None:
    """Put the loss of an object on the list, that of `cls(np, y)`, as `program` does it."""
    program(None, cls.__doc__, most, matrix)
    arrays, _ = PROGRAMS[cls.__doc__]

    def made(np: Any, n: int) -> tuple[Callable[[Any], Any], Any]:
        x = arrays(np, n)[1]
        return cls(np, numpy.random.default_rng(1).normal(size=x.shape)).loss, x

    PROGRAMS[cls.__doc__] = made, most


class _Springs:
    """a method"""

    def __init__(self, np: Any, y: Any):
        self.np, self.rest, self.stiffness = np, y, 2.0

    def stretch(self, x: Any) -> Any:
        return x - self.rest

    def loss(self, x: Any) -> Any:
        d = self.stretch(x)
        return 0.5 * self.stiffness * self.np.sum(d * d)


class _Layer:
    def __init__(self, weight: Any, act: Any):
        self.weight, self.act = weight, act

    def __call__(self, x: Any) -> Any:
        return self.act(x @ self.weight)


class _Layers:
    """objects that are called"""

    def __init__(self, np: Any, y: Any):
        self.np = np
        self.layers = [_Layer(y / len(y), act) for act in (np.tanh, np.sin, lambda x: np.maximum(x, 0.1 * x))]

    def loss(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.np.mean(x**2)


class _Kept:
    """a model that counts and keeps"""

    def __init__(self, np: Any, y: Any):
        self.np, self.y, self.calls, self.z = np, y, 0, None

    def loss(self, x: Any) -> Any:
        self.calls += 1
        self.z = self.np.tanh(x * self.y)
        return self.np.sum(self.z * x)


def _recurrent(np: Any, x: Any, y: Any) -> Any:
    h, states = np.zeros(len(x)), []
    for t in range(30):
        h = np.tanh(np.dot(x, h) / len(x) + y[t % len(y)])
        states.append(h)
    return np.sum(np.stack(states) ** 2)


def _trajectory(np: Any, x: Any, y: Any) -> Any:
    def rates(z: Any) -> Any:
        return np.array([x[0] * z[0] - x[1] * z[0] * z[1], x[2] * z[0] * z[1] - z[1]])

    z = np.array([1.0, 0.5])
    for _ in range(10):
        a = rates(z)
        b = rates(z + 0.02 * a)
        z = z + 0.02 * (a + b)
    return np.sum(z**2)


def _hidden(np: Any, x: Any, y: Any) -> Any:
    def total(z: Any) -> Any:
        most = np.max(z, axis=0)
        return most + np.log(np.sum(np.exp(z - most), axis=0))

    steps, seen = x - total(x.T)[:, None], y - total(y.T)[:, None]
    state = seen[:, 0]
    for t in range(20):
        state = total(state[:, None] + steps) + seen[:, t % len(y)]
    return total(state)


def _guarded(np: Any, x: Any, y: Any) -> Any:
    try:
        with numpy.errstate(divide="ignore"):
            ratio = x / y
    except FloatingPointError:
        return np.sum(x)
    return np.sum(np.tanh(ratio))


def _scaled(z: Any, **options: Any) -> Any:
    return z * options.get("scale", 1.0) + options["shift"]


def _options(np: Any, x: Any, y: Any) -> Any:
    layers = {}
    layers["first"] = _scaled(x, scale=2.0, shift=y)
    layers["second"] = np.tanh(layers["first"])
    return sum(map(np.sum, layers.values())) / math.sqrt(2.0 * math.pi)


def _attention(np: Any, x: Any, y: Any) -> Any:
    scores = (x @ y) @ x.T / len(x)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.mean((weights / np.sum(weights, axis=-1, keepdims=True) @ x) ** 2)


def _windows(np: Any, x: Any, y: Any) -> Any:
    n = len(x)
    edges = [(n + i - 1) // 2 for i in range(2)]
    rows = [y[i, j] * x[i : i + edges[0], j : j + edges[0]] for i in range(2) for j in range(2)]
    return np.sum(np.maximum(sum(rows), 0.0) ** 2)


def _chain(np: Any, x: Any, y: Any) -> Any:
    for _ in range(20):
        x = np.sin(x) * 1.01 + 0.1
    return np.sum(x)


def _rosenbrock(np: Any, x: Any, y: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _by_entries(np: Any, x: Any, y: Any) -> Any:
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
    return total


def _logistic(np: Any, x: Any, y: Any) -> Any:
    return np.sum(np.log(1.0 + np.exp(np.dot(y, x[0]) / len(x)))) + 0.01 * np.sum(x[0] * x[0])


def _softmax(np: Any, x: Any, y: Any) -> Any:
    z = x - np.max(x, axis=1, keepdims=True)
    return np.sum(np.log(np.sum(np.exp(z), axis=1)) - z[:, 0])


def _normalized(np: Any, x: Any, y: Any) -> Any:
    d = x - np.mean(x, axis=0)
    return np.sum((d / np.sqrt(np.mean(d**2, axis=0) + 1e-5)) ** 3)


def _oscillation(np: Any, x: Any, y: Any) -> Any:
    for _ in range(50):
        half = x + 0.05 * x * (1.0 - x)
        x = x + 0.1 * half * (1.0 - half)
    return np.sum(x)


def _network(np: Any, x: Any, y: Any) -> Any:
    h = np.tanh(np.dot(x, y / len(x)))
    return np.mean(np.tanh(np.dot(h, y / len(x))) ** 2)


def _process(np: Any, x: Any, y: Any) -> Any:
    n = len(x)
    factor = np.linalg.cholesky(np.dot(x, x.T) + n * np.eye(n))
    return np.sum(np.log(np.diag(factor))) + np.sum(np.linalg.solve(factor, y[0]) ** 2)


program(_chain, "chain of 20 sines")
program(lambda np, x, y: np.sum(((x * 0.3 + 1.0) * x - 0.5) * x + x**3), "polynomial")
program(
    lambda np, x, y: np.sum(np.log(1.0 + np.exp(-x)) + np.sqrt(x * x + 1.0) / (1.0 + np.tanh(x) ** 2)), "elementary"
)
program(lambda np, x, y: np.prod(1.0 + x / x.size), "prod")
program(lambda np, x, y: np.sum(np.prod(x, axis=0)), "prod of columns", matrix=True)
program(lambda np, x, y: np.var(x), "var")
program(lambda np, x, y: np.sum(np.std(x, axis=0)), "std of columns", matrix=True)
program(lambda np, x, y: np.mean(x) ** 2, "mean")
program(lambda np, x, y: np.max(x) * np.min(x), "max, min")
program(lambda np, x, y: np.sum(np.max(x, axis=1)), "max of rows", matrix=True)
program(lambda np, x, y: np.linalg.norm(x), "norm")
program(lambda np, x, y: np.sum(np.roll(x, 1) * x), "roll")
program(lambda np, x, y: np.sum(np.sort(x) * x), "sort")
program(lambda np, x, y: np.sum(np.cumsum(x) ** 2), "cumsum")
program(lambda np, x, y: np.sum(np.logaddexp(x, 0.3 * x)), "logaddexp")
program(lambda np, x, y: np.sum(np.maximum(x, 0.0) + np.minimum(x, 0.5 * x)), "maximum, minimum")
program(lambda np, x, y: np.sum(np.clip(x, -1.0, 1.0) * x), "clip")
program(lambda np, x, y: np.sum(np.abs(x)) + np.sum(np.sign(x) * x), "abs, sign")
program(lambda np, x, y: np.sum(np.where(x > 0, x * x, np.exp(x))), "where")
program(lambda np, x, y: np.sum((x[1:] - x[:-1]) ** 2) + np.sum(x[::2]) ** 2, "slices")
program(lambda np, x, y: np.sum(x[y.argsort()] ** 2), "gather")
program(lambda np, x, y: np.sum(x[y > 0] ** 2), "mask")
program(lambda np, x, y: np.sum(np.concatenate([x, 2 * x, np.sin(x)]) ** 2), "concatenate")
program(lambda np, x, y: np.sum(np.stack([x, x * x, x + 1.0]) ** 2), "stack")
program(lambda np, x, y: np.sum(np.tile(x, 3) ** 2) + np.sum(np.repeat(x, 2) ** 3), "tile, repeat")
program(lambda np, x, y: np.sum(x[::-1] * x), "flip")
program(lambda np, x, y: np.sum(np.diff(x) ** 2), "diff")
program(lambda np, x, y: np.sum(np.transpose(x) * x + np.reshape(x, (-1,)).reshape(x.shape)), "transpose", matrix=True)
program(lambda np, x, y: np.sum(np.exp(-((x[0][:, None] - x[1][None, :]) ** 2))), "distances", matrix=True)
program(lambda np, x, y: np.sum(np.outer(x[0], x[1]) ** 2), "outer", matrix=True)
program(lambda np, x, y: np.sum(np.einsum("ij,ij->i", x, x) ** 2), "einsum", matrix=True)
program(lambda np, x, y: np.sum(np.dot(np.tanh(np.dot(x, x)), x)), "products", 250_000, matrix=True)
program(lambda np, x, y: np.sum((x[:-2] * 0.2 + x[1:-1] * 0.5 + x[2:] * 0.3) ** 2), "stencil")
program(_rosenbrock, "rosenbrock")
program(_by_entries, "rosenbrock by entries", 100)
program(_logistic, "logistic regression", matrix=True)
program(_softmax, "cross entropy", matrix=True)
program(_normalized, "normalization", matrix=True)
program(_oscillation, "50 steps of an equation", 10_000)
program(_network, "network", 250_000, matrix=True)
program(_process, "cholesky, solve", 90_000, matrix=True)
method(_Springs, 1_000_000)
method(_Kept, 1_000_000)
program(_guarded, "try, with")
program(_options, "dictionaries, options")
method(_Layers, 250_000, matrix=True)
program(_recurrent, "recurrent", 10_000, matrix=True)
program(_trajectory, "steps of np.array([...])", 3)
program(_hidden, "hidden Markov", 10_000, matrix=True)
program(_attention, "attention", 250_000, matrix=True)
program(_windows, "windows", 10_000, matrix=True)
program(lambda np, x, y: np.sum(np.array([np.sum(np.sin(k * x)) for k in range(1, 6)]) ** 2), "comprehension")
program(lambda np, x, y: sum(np.sum(np.abs(part)) for part in (x, x * y, x * x)), "generator")
program(lambda np, x, y: np.linalg.slogdet(np.dot(x, x.T) + np.eye(len(x)))[1], "slogdet", 90_000, matrix=True)


def turns(ours: Callable[[], Any], theirs: Callable[[], Any], seconds: float) -> list[float]:
    """The least times of a call of each, taken in turn."""
    calls, best, many = (ours, theirs), [math.inf, math.inf], [1, 1]
    for k, call in enumerate(calls):
        start = time.perf_counter()
        call()
        many[k] = max(1, int(seconds / 10 / max(time.perf_counter() - start, 1e-6)))
    until = time.perf_counter() + 2 * seconds
    while time.perf_counter() < until or math.inf in best:
        for k, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(many[k]):
                call()
            best[k] = min(best[k], (time.perf_counter() - start) / many[k])
    return best


def peak(call: Callable[[], Any]) -> int:
    gc.collect()
    tracemalloc.start()
    call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def cell(ours: Callable[[Any], Any], theirs: Callable[[Any], Any], x: Any, seconds: float) -> tuple[str, float]:
    for _ in range(3):  # much is found out in the first two calls
        found, expected = ours(x), theirs(x)
    for a, b in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9 + 1e-7 * float(numpy.max(numpy.abs(b))))
    mine, other = turns(lambda: ours(x), lambda: theirs(x), seconds)
    text = f"{other / mine:.2f}"
    if x.size >= 9000:
        text += f", {peak(lambda: ours(x)) / peak(lambda: theirs(x)):.2f}"
    return f"{text} ({1e6 * mine:,.0f} µs)", other / mine


def main() -> None:
    import autograd
    import autograd.numpy as theirs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--seconds", type=float, default=0.05)
    given = parser.parse_args()
    warnings.filterwarnings("ignore", module="autograd")
    ratios: dict[int, list[float]] = {n: [] for n in given.sizes}
    print(f"| value and gradient | {' | '.join(f'{n:,}' for n in given.sizes)} |\n|---|{'---|' * len(given.sizes)}")
    for name, (made, most) in PROGRAMS.items():
        if given.names and not any(part in name for part in given.names):
            continue
        cells = []
        for n in given.sizes:
            size = min(n, most)
            if size * 20 < n:
                cells.append("")
                continue
            f, x = made(numpy, size)
            text, ratio = cell(pb.value_and_grad(f), autograd.value_and_grad(made(theirs, size)[0]), x, given.seconds)
            cells.append(text)
            ratios[n].append(ratio)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    means = [f"{math.exp(sum(map(math.log, r)) / len(r)):.2f}" if r else "" for r in ratios.values()]
    print(f"| geometric mean | {' | '.join(means)} |")
    second(autograd, theirs, given)


def second(autograd: Any, anp: Any, given: Any) -> None:
    """Hessians, products with them and Jacobians, of few numbers."""
    derivatives: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
        "hessian": (pb.hessian, autograd.hessian),
        "hvp": (lambda f: lambda x: pb.hvp(f, x, x), lambda f: _times_itself(autograd.hessian_vector_product(f))),
        "jacobian": (pb.jacobian, autograd.jacobian),
    }
    names = [name for name in derivatives if not given.names or name in given.names]
    if names:
        print("\n| derivative | 3 | 20 |\n|---|---|---|")
    for name in names:
        of_ours, of_theirs = derivatives[name]
        for title, f in {"rosenbrock": _rosenbrock, "rosenbrock by entries": _by_entries, "waves": _waves}.items():
            if (title == "waves") is (name == "jacobian"):
                cells = []
                for n in (3, 20):
                    ours, theirs = of_ours(_of(numpy, f)), of_theirs(_of(anp, f))
                    text, _ = cell(lambda x, d=ours: [d(x)], lambda x, d=theirs: [d(x)],
                                   numpy.random.default_rng(0).normal(size=n), given.seconds)  # fmt: skip
                    cells.append(text)
                print(f"| {name}, {title} | {' | '.join(cells)} |", flush=True)


def _of(np: Any, f: Any) -> Callable[[Any], Any]:
    return lambda x: f(np, x, None)


def _times_itself(product: Any) -> Callable[[Any], Any]:
    return lambda x: product(x, x)


def _waves(np: Any, x: Any, y: Any) -> Any:
    return np.sin(x) * np.sum(x**2) + np.exp(x)


if __name__ == "__main__":
    main()
