"""The interpreter against what users would use: micrograd for scalar programs, HIPS autograd for array programs.

    python -m benchmarks.interpreter [scalars] [arrays] [sparse] [growth] [--rounds 9]

Contestants take turns of milliseconds within a round, so that a busy machine is busy for both; the least time of a call
in a round counts, and what is told is the ratio within a round: its median over the rounds, and its quartiles.  A
number above 1 says that payback is faster.  All run on one thread, and what is measured is the processor time of the
process.  Needs the extra `benchmarks` (micrograd, autograd); the gradients of both are compared before they are timed.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # another processor's kernels would run at half speed
    if _name in os.environ:
        os.environ.pop(_name)
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.interpreter", *sys.argv[1:]])
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import autograd  # noqa: E402
import autograd.numpy as anp  # noqa: E402
import micrograd.engine  # noqa: E402
import numpy as np  # noqa: E402

import payback as pb  # noqa: E402

Call = Callable[[], Any]
TURNS = 8  # of each contestant in a round


def seconds(call: Call, least: float = 0.002) -> float:
    """The time of one call: the least of as many as fill `least` seconds, one at the least."""
    best, spent = float("inf"), 0.0
    while spent < least:
        start = time.process_time()
        call()
        took = time.process_time() - start
        best, spent = min(best, took), spent + took
    return best


def compare(name: str, ours: Call, theirs: Call, rounds: int) -> tuple[str, float]:
    """A row of the table, and the median ratio theirs / ours."""
    ours(), theirs()
    mine, others = [], []
    for _ in range(rounds):
        gc.collect()
        turns: tuple[list[float], list[float]] = [], []
        for k in range(TURNS):
            pair = [(turns[0], ours), (turns[1], theirs)]
            for found, call in pair if k % 2 else pair[::-1]:
                found.append(seconds(call))
        mine.append(min(turns[0]))
        others.append(min(turns[1]))
    ratios = [b / a for a, b in zip(mine, others, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    row = f"{1e3 * min(mine):.3f} | {1e3 * min(others):.3f} | {median:.2f} ({low:.2f} – {high:.2f})"
    return f"| {name} | {row} |", median


# scalar programs: each takes the leaves and returns the result; all operators are micrograd's


def chain(x: list[Any], nodes: int) -> Any:
    """One long dependence: two nodes a round."""
    y = x[0]
    for _ in range(nodes // 2):
        y = y * x[1] + x[2]
    return y


def sums(x: list[Any], nodes: int) -> Any:
    """A polynomial's terms, as a loop would write them: five nodes a term."""
    total, power = x[0], x[1]
    for _ in range(nodes // 5):
        power = power * x[1]
        total = total + (power - x[2]) ** 2 * x[3]
    return total


def perceptron(x: list[Any], nodes: int) -> Any:
    """Layers of eight neurons written out in scalars, as in micrograd's own demonstration: two nodes a weight."""
    layer, made = x[:8], 0
    while made < nodes:
        following = []
        for neuron in range(8):
            y = x[8 + neuron]
            for i in range(8):
                y = y + layer[i] * x[(5 * neuron + 3 * i) % 16]
            following.append(y * 0.3)
        layer = following
        made += 8 * 17
    return sum(layer[1:], layer[0])


SCALARS: dict[str, tuple[Callable[[list[Any], int], Any], int]] = {
    "chain": (chain, 3), "sums": (sums, 4), "perceptron": (perceptron, 16),
}  # fmt: skip


def scalar_program(f: Callable[[list[Any], int], Any], leaf: Callable[[float], Any], count: int, nodes: int) -> Any:
    leaves = [leaf(0.3 + 0.04 * i) for i in range(count)]
    y = f(leaves, nodes)
    y.backward()
    return [leaf.grad for leaf in leaves], y


def peak(call: Call) -> int:
    """The bytes that a program holds when it ends, its graph with it."""
    call()
    gc.collect()
    tracemalloc.start()
    kept = call()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return held


def scalars(rounds: int) -> None:
    sys.setrecursionlimit(100_000)  # micrograd sorts by recursion
    print("| scalar program, nodes | payback ms | micrograd ms | times faster | bytes a node, payback | micrograd |")
    print("|---|---|---|---|---|---|")
    for name, (f, count) in SCALARS.items():
        for nodes in (1000, 3000, 10_000):
            ours = partial(scalar_program, f, pb.variable, count, nodes)
            theirs = partial(scalar_program, f, micrograd.engine.Value, count, nodes)
            np.testing.assert_allclose(ours()[0], theirs()[0], rtol=1e-9)
            row, _ = compare(f"{name}, {nodes:,}", ours, theirs, rounds)
            print(f"{row} {peak(ours) / nodes:.0f} | {peak(theirs) / nodes:.0f} |", flush=True)


# array programs: `np` is numpy for payback, autograd's copy of it for autograd


def logistic(np: Any, w: Any, X: Any, y: Any) -> Any:
    """The negative log likelihood of labels ±1, with a small penalty."""
    margin = y * (X @ w)
    return np.sum(np.log1p(np.exp(-margin))) + 0.01 * np.sum(w * w)


def gmm(np: Any, p: Any, x: Any, place: Any) -> Any:
    """Log likelihood of a mixture of Gaussians, ADBench's objective without the prior: weights, means, factors."""
    weights, means, factors = p
    d = x.shape[1]
    scale = factors[:, :d]
    padded = np.concatenate([np.exp(scale), factors[:, d:], np.zeros((len(factors), 1))], axis=1)
    lower = padded[:, place]
    centered = x[None, :, :] - means[:, None, :]
    white = np.matmul(centered, np.swapaxes(lower, 1, 2))
    inner = weights + np.sum(scale, axis=1) - 0.5 * np.sum(white * white, axis=2).T
    top = np.max(inner, axis=1, keepdims=True)
    each = np.log(np.sum(np.exp(inner - top), axis=1)) + top[:, 0]
    return np.sum(each) - len(x) * np.log(np.sum(np.exp(weights)))


def euler(np: Any, p: Any, y: Any, steps: int) -> Any:
    """A neural differential equation: y' = tanh(W y + b), and the square of where it ends."""
    W, b = p
    for _ in range(steps):
        y = y + 0.02 * np.tanh(W @ y + b)
    return np.sum(y * y)


def mlp(np: Any, p: Any, X: Any, labels: Any) -> Any:
    """Three layers, ReLU, cross entropy."""
    h = X
    for k in range(0, 4, 2):
        h = np.maximum(h @ p[k] + p[k + 1], 0.0)
    z = h @ p[4] + p[5]
    z = z - np.max(z, axis=1, keepdims=True)
    logs = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(logs[np.arange(len(X)), labels])


def triangle(d: int) -> Any:
    """Where an entry of a lower triangle stands among the factors; what is above reads a zero."""
    place = np.full((d, d), d + d * (d - 1) // 2)
    place[np.arange(d), np.arange(d)] = np.arange(d)
    place[np.tril_indices(d, -1)] = d + np.arange(d * (d - 1) // 2)
    return place


def array_programs() -> dict[str, tuple[Callable[..., Any], Any, tuple[Any, ...]]]:
    """name -> (f, what it is differentiated by, the other arguments)."""
    rng = np.random.default_rng(0)
    programs: dict[str, tuple[Callable[..., Any], Any, tuple[Any, ...]]] = {}
    for n, d in ((200, 10), (5000, 50)):
        labels = np.where(rng.random(n) < 0.5, 1.0, -1.0)
        programs[f"logistic regression {n}×{d}"] = (logistic, rng.normal(size=d), (rng.normal(size=(n, d)), labels))
    for n, d, k in ((100, 3, 5), (1000, 10, 10)):
        p = [rng.normal(size=k), rng.normal(size=(k, d)), 0.3 * rng.normal(size=(k, d * (d + 1) // 2))]
        programs[f"GMM {n} points, d {d}, K {k}"] = (gmm, p, (rng.normal(size=(n, d)), triangle(d)))
    for steps, d in ((100, 4), (1000, 16)):
        p = [rng.normal(size=(d, d)), rng.normal(size=d)]
        programs[f"ODE, {steps} Euler steps, d {d}"] = (euler, p, (rng.normal(size=d), steps))
    for sizes, batch in (((16, 32, 16, 4), 32), ((64, 128, 64, 10), 64)):
        p = [m for a, b in pairwise(sizes) for m in (rng.normal(size=(a, b)) / a**0.5, np.zeros(b))]
        data = (rng.normal(size=(batch, sizes[0])), rng.integers(0, sizes[-1], batch))
        programs[f"MLP {'-'.join(map(str, sizes))}, batch {batch}"] = (mlp, p, data)
    return programs


def arrays(rounds: int) -> None:
    print("| array program, value and gradient | payback ms | autograd ms | times faster |")
    print("|---|---|---|---|")
    medians = []
    for name, (f, p, rest) in array_programs().items():
        ours = partial(pb.value_and_grad(f, argnums=1), np, p, *rest)
        theirs = partial(autograd.value_and_grad(f, argnum=1), anp, p, *rest)
        (a, da), (b, db) = ours(), theirs()
        np.testing.assert_allclose(a, b, rtol=1e-10)
        for x, y in zip(*(g if isinstance(g, list) else [g] for g in (da, db)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-10)
        row, median = compare(name, ours, theirs, rounds)
        print(row, flush=True)
        medians.append(median)
    print(f"\nmedian of the medians {statistics.median(medians):.2f}, the least {min(medians):.2f}")


def growth(rounds: int) -> None:
    """Time against nodes: the exponent of the least-squares line through the logarithms; 1 is linear."""
    print("| program | nodes | ms | µs a node |\n|---|---|---|---|")
    W, b, y = np.eye(4), np.ones(4), np.ones(4)
    kinds: dict[str, tuple[Callable[[int], Any], tuple[int, ...]]] = {
        "scalar chain": (lambda n: scalar_program(chain, pb.variable, 3, n), (1000, 10_000, 100_000, 1_000_000)),
        "Euler steps": (lambda n: pb.value_and_grad(euler, argnums=1)(np, [W, b], y, n // 5), (500, 5000, 50_000)),
    }
    for name, (run, sizes) in kinds.items():
        times = []
        for n in sizes:
            times.append(min(seconds(partial(run, n)) for _ in range(1 if n > 200_000 else rounds)))
            print(f"| {name} | {n:,} | {1e3 * times[-1]:.2f} | {1e6 * times[-1] / n:.2f} |", flush=True)
        slope = np.polyfit(np.log(sizes), np.log(times), 1)[0]
        print(f"| {name} | time ~ nodes^{slope:.3f} | | |")


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def sparse(rounds: int) -> None:
    print("| sparse Hessian, chained Rosenbrock | entries | ms |\n|---|---|---|")
    for n in (1000, 10_000, 100_000, 1_000_000):
        hessian, x = pb.hessian(rosenbrock, sparse=True), np.linspace(-1.5, 2.0, n)
        took = min(seconds(partial(hessian, x)) for _ in range(1 if n > 200_000 else 3))
        print(f"| {n:,} variables | {hessian(x).nnz:,} | {1e3 * took:.1f} |", flush=True)


def main() -> None:
    parts = {"scalars": scalars, "arrays": arrays, "growth": growth, "sparse": sparse}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", choices=[[], *parts], help="which tables; all of them if none is named")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, one BLAS thread\n")
    for name in given.parts or parts:
        parts[name](given.rounds)
        print()


if __name__ == "__main__":
    main()
