"""From the start of the process to 97 % of the test digits: import, compile, train, all of it.

    python -m benchmarks.digits_to_97 [--peers PYTHON]

Everybody trains 64-128-64-10 with ReLU, Adam(1e-3), batches of 64, on the same rows, looks at the test rows after every
epoch and ends with the first that classifies 97 % of them.  Whole processes are timed, in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

SIZES, BATCH, RATE, WANTED, MOST = [64, 128, 64, 10], 64, 1e-3, 0.97, 200


def rows(csv: str) -> tuple[Any, Any, Any, Any]:
    """Training and test rows: the same split for all."""
    import numpy as np

    table = np.loadtxt(csv, delimiter=",", skiprows=1)
    order = np.random.default_rng(0).permutation(len(table))
    x, y = (table[order, :64] / 16).astype(np.float32), table[order, 64].astype(np.int64)
    return x[360:], y[360:], x[:360], y[:360]


def payback(csv: str, seed: int) -> int:
    import payback as pb

    x, y, test_x, test_y = rows(csv)
    reached = []

    def look(record: Any, net: Any) -> None:
        if (net(test_x).argmax(1) == test_y).mean() >= WANTED:
            reached.append(record["epoch"])
            raise KeyboardInterrupt  # ends the training and keeps it

    net = pb.nn.MLP(SIZES, activation="relu", seed=seed)
    pb.fit(net, x, y, optimizer=pb.optim.Adam(RATE), batch_size=BATCH, epochs=MOST, validation=0, seed=seed,
           progress=False, callbacks=[look])  # fmt: skip
    return reached[0] if reached else -1


def sklearn(csv: str, seed: int) -> int:
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    x, y, test_x, test_y = rows(csv)
    net = MLPClassifier((128, 64), batch_size=BATCH, learning_rate_init=RATE, alpha=0, random_state=seed)
    for epoch in range(MOST):
        net.partial_fit(x, y, classes=np.arange(10))
        if (net.predict(test_x) == test_y).mean() >= WANTED:
            return epoch + 1
    return -1


def torch(csv: str, seed: int) -> int:
    import torch

    x, y, test_x, test_y = map(torch.from_numpy, rows(csv))
    torch.manual_seed(seed)
    relu, linear = torch.nn.ReLU, torch.nn.Linear
    net = torch.nn.Sequential(linear(64, 128), relu(), linear(128, 64), relu(), linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), RATE, fused=True)
    for epoch in range(MOST):
        for part in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[part]), y[part]).backward()
            optimizer.step()
        with torch.no_grad():
            if (net(test_x).argmax(1) == test_y).float().mean() >= WANTED:
                return epoch + 1
    return -1


def jax(csv: str, seed: int) -> int:
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, y, test_x, test_y = rows(csv)
    rng = np.random.default_rng(seed)
    layers = [(jnp.asarray(rng.standard_normal((a, b), np.float32) * np.sqrt(2 / a)), jnp.zeros(b, np.float32))
              for a, b in pairwise(SIZES)]  # fmt: skip

    def logits(layers: Any, x: Any) -> Any:
        for w, b in layers[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ layers[-1][0] + layers[-1][1]

    def loss(layers: Any, x: Any, y: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(layers, x)), y[:, None], 1).mean()

    def step(state: Any, part: Any) -> Any:
        layers, m, v, t = state
        g = jax.grad(loss)(layers, xs[part], ys[part])
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        root = jnp.sqrt(1 - 0.999**t)
        rate = RATE * root / (1 - 0.9**t)
        return (jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), layers, m, v), m, v, t), None

    xs, ys = jnp.asarray(x), jnp.asarray(y)
    epoch_of = jax.jit(lambda state, order: jax.lax.scan(step, state, order)[0])
    right = jax.jit(lambda layers: (logits(layers, jnp.asarray(test_x)).argmax(1) == jnp.asarray(test_y)).mean())
    zeros = jax.tree.map(jnp.zeros_like, layers)
    state = (layers, zeros, zeros, jnp.float32(0))
    for epoch in range(MOST):
        order = rng.permutation(len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
        state = epoch_of(state, jnp.asarray(order))
        if right(state[0]) >= WANTED:
            return epoch + 1
    return -1


ENTRANTS = {"payback": payback, "sklearn": sklearn, "torch": torch, "jax": jax}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", nargs=3, metavar=("NAME", "CSV", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        name, csv, seed = given.run
        print(ENTRANTS[name](csv, int(seed)))
        return
    from importlib.resources import files

    csv = str(files("payback.datasets") / "digits.csv")
    times: dict[str, list[float]] = {name: [] for name in ENTRANTS}
    epochs: dict[str, list[int]] = {name: [] for name in ENTRANTS}
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "PYTHONDONT"))}
    for seed in range(given.rounds):
        for name in list(times):
            python = sys.executable if name == "payback" else given.peers
            start = time.perf_counter()
            done = subprocess.run([python, "-m", "benchmarks.digits_to_97", "--run", name, csv, str(seed)],
                                  capture_output=True, text=True, env=environment, check=False)  # fmt: skip
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1][:120]}")
                del times[name]
                continue
            times[name].append(time.perf_counter() - start)
            epochs[name].append(int(done.stdout))
    print("| contestant | whole process | epochs | payback is faster by |\n|---|---|---|---|")
    for name, seconds in times.items():
        ratios = [b / a for a, b in zip(times["payback"], seconds, strict=True)]
        print(f"| {name} | {statistics.median(seconds):.2f} s | {statistics.median(epochs[name]):.0f} "
              f"| {statistics.median(ratios):.2f}× ({min(ratios):.2f}–{max(ratios):.2f}) |")  # fmt: skip


if __name__ == "__main__":
    main()
