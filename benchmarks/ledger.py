"""What a ledger costs beside the sweep that it is made of, number by number and between arrays.

python -m benchmarks.ledger
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import payback as pb
from benchmarks.machine import told
from payback.ad.algebra import Gradient
from payback.ad.sweep import sweep
from payback.glass import Ledger
from payback.trace.backward import seed_for

ROUNDS = 15


def scalar_network() -> Ledger:
    """2-32×8-1 with tanh, one sample, every number a node: 29,315 edges."""
    rng = np.random.default_rng(0)
    sizes = [2, *[32] * 8, 1]
    params = [(rng.normal(size=(m, n)) / m**0.5, rng.normal(size=n)) for m, n in itertools.pairwise(sizes)]

    def cost(params: Any, x: Any) -> Any:
        for w, b in params[:-1]:
            x = np.tanh(x @ w + b)
        w, b = params[-1]
        d = (x @ w + b)[0] - 0.3
        return d * d

    return pb.explain(cost, params, rng.normal(size=2)).by_entry()


def large_network() -> tuple[Any, Any, tuple[Any, ...]]:
    net = pb.nn.MLP([784, 1000, 200, 10], "relu", seed=0)
    X = np.random.default_rng(0).normal(size=(128, 784)).astype(np.float32)
    return lambda net, X, y: pb.nn.cross_entropy(net(X), y), net, (X, np.arange(128) % 10)


def compared(ways: dict[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of each: medians, the ways taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            begun = time.perf_counter()
            made = way()
            seconds[name].append(time.perf_counter() - begun)
            del made
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def peak(way: Callable[[], Any]) -> int:
    tracemalloc.start()
    made = way()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del made
    return most


def main() -> None:
    print(f"{told()}\n")
    whole = scalar_network()
    top, leaves = whole.top.node, [leaf.node for leaf in whole.leaves]

    def book(*parts: str) -> Ledger:
        made = Ledger(top, leaves)
        for part in parts:
            getattr(made, part)
        return made

    taken = compared({
        "the plain sweep": lambda: sweep(Gradient(on_graph=False), {top: seed_for(top)}, leaves),
        "the ledger": book,
        "its accounts, edges and piles, with what was paid": lambda: book("edges"),
        "and its events in order": lambda: book("events"),
        "check()": lambda: book().check(),
    })  # fmt: skip
    print(f"| {whole.race().visits:,} edges between numbers | time | sweeps |\n|---|---|---|")
    for name, seconds in taken.items():
        print(f"| {name} | {1e3 * seconds:.0f} ms | {seconds / taken['the plain sweep']:.1f} |")

    loss, net, args = large_network()
    count = sum(np.size(p) for layer in net.layers for p in (getattr(layer, "weight", ()), getattr(layer, "bias", ())))
    ways: dict[str, Callable[[], Any]] = {
        "pb.grad": lambda: pb.grad(loss)(net, *args),
        "pb.explain, its events and check()": lambda: _checked(pb.explain(loss, net, *args, argnums=0)),
    }
    taken = compared(ways)
    print(f"\n| {count:,} parameters, 128 samples | time | memory at most |\n|---|---|---|")
    for name, way in ways.items():
        print(f"| {name} | {1e3 * taken[name]:.0f} ms | {peak(way) / 1e6:.1f} MB |")
    large = pb.explain(loss, net, *args, argnums=0)
    print("\n| one entry of it | edges | time |\n|---|---|---|")
    for name in ("W3", "W2", "W1"):
        cone = large[name][3, 7]
        seconds = compared({name: lambda name=name: large[name][3, 7]}, 3)[name]  # type: ignore[misc]
        print(f"| {name}[3,7] | {cone.race().visits:,} | {seconds:.2f} s |", flush=True)


def _checked(book: Ledger) -> Ledger:
    list(book.events)
    book.check()
    return book


if __name__ == "__main__":
    main()
