"""What it takes to get from a network to its compiled training step, phase by phase.

    python -m benchmarks.compile_time                       # three networks, and 3 and 100 layers of one shape
    python -m benchmarks.compile_time 100-300-300-7:48      # sizes and batch of your own
    python -m benchmarks.compile_time --threads 1 --rounds 9
    python -m benchmarks.compile_time 32x3:64 32x100:64 --cold --rounds 15

Each round is two fresh processes for each network, one with an empty cache folder and one that finds what the first has
left, and each compiles the step twice: the second time as a second training in the same process would.  Times in ms:
medians over the rounds, in brackets the least.  The import of llvmlite is beside them: it is no part of the sums.
Networks take turns, and the last line compares the last two of them: the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import wraps
from pathlib import Path
from typing import Any

NETWORKS = ["2-16-16-1:32", "64-128-64-10:64", "784-512-256-10:128", "32x3:64", "32x100:64"]
PHASES = ["trace", "sweep", "passes", "plan", "emit", "LLVM", "load", "first step", "together", "llvmlite"]


def sizes_of(text: str) -> tuple[list[int], int]:
    """`784-512-256-10:128`, or `32x100:64` for a hundred layers of 32."""
    widths, _, batch = text.partition(":")
    if "x" in widths:
        width, _, layers = widths.partition("x")
        return [int(width)] * (int(layers) + 1), int(batch or 64)
    return [int(width) for width in widths.split("-")], int(batch or 64)


class Clock:
    """Seconds that functions take, those that they call from each other taken out."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.inside: list[float] = []

    def watch(self, owner: Any, name: str, phase: str) -> None:
        function = getattr(owner, name)

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            self.inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - begun
                self.seconds[phase] = self.seconds.get(phase, 0.0) + took - self.inside.pop()
                if self.inside:
                    self.inside[-1] += took

        setattr(owner, name, timed)


def child(text: str) -> None:
    """One process: the phases of the first compilation and of the second, as JSON."""
    import numpy as np

    import payback as pb

    begun = time.perf_counter()
    importlib.import_module("llvmlite.binding")
    imported = time.perf_counter() - begun
    from payback.native.codegen import library
    from payback.native.running import loop
    from payback.train import compiled
    from payback.train.step import Steps
    from payback.transforms import pullback

    clock = Clock()
    clock.watch(Steps, "traced_train", "trace")
    clock.watch(Steps, "traced_flat", "trace")
    clock.watch(pullback, "sweep", "sweep")
    clock.watch(loop, "simplified", "passes")
    clock.watch(compiled.Compiled, "_loop", "plan")
    clock.watch(library, "get", "kernels")
    clock.watch(library, "get_named", "kernels")
    clock.watch(loop.Loop, "run", "first step")
    widths, batch = sizes_of(text)
    net = pb.nn.MLP(widths, activation="relu", seed=0)
    generator = np.random.default_rng(0)
    X, y = (generator.standard_normal((batch, n)).astype(np.float32) for n in (widths[0], widths[-1]))
    rounds = []
    for _ in range(2):
        clock.seconds.clear()
        library.seconds.update(dict.fromkeys(library.seconds, 0.0))
        pb.fit(net, X, y, loss="squared_error", epochs=1, batch_size=batch, validation=0, progress=False)
        took = {**clock.seconds, "emit": library.seconds["emit"], "load": library.seconds["load"]}
        kernels = took.pop("kernels", 0.0)
        took["LLVM"] = max(kernels - took["emit"] - took["load"], 0.0)
        took["together"] = sum(took[phase] for phase in ("trace", "sweep", "passes", "plan") if phase in took) + kernels
        rounds.append({**took, "llvmlite": imported})
    print(json.dumps(rounds))


def measured(text: str, threads: int | None, cold: bool = False) -> dict[str, dict[str, float]]:
    """Phases of a compilation: cold, from the cache on disk (unless `cold`), and again in one process."""
    found: dict[str, dict[str, float]] = {}
    root = Path(__file__).resolve().parent.parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "PYTHONDONT"))}
    environment["PYTHONPATH"] = f"{root}{os.pathsep}{root / 'src'}"
    if threads is not None:
        environment["PAYBACK_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        environment["PAYBACK_CACHE"] = str(Path(folder) / "code")
        for kind in ("cold",) if cold else ("cold", "from cache"):
            done = subprocess.run([sys.executable, "-m", "benchmarks.compile_time", "--child", text],
                                  env=environment, capture_output=True, text=True, check=True)  # fmt: skip
            found[kind], found["again"] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_time")
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="the first compilation only")
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    rounds = [{text: measured(text, given.threads, given.cold) for text in given.networks} for _ in range(given.rounds)]
    print(f"| network | | {' | '.join(PHASES)} |")
    print("|" + "---|" * (len(PHASES) + 2))
    for text in given.networks:
        for kind in sorted(rounds[0][text], key=["cold", "from cache", "again"].index):
            cells = []
            for phase in PHASES:
                times = [1e3 * found[text][kind].get(phase, 0.0) for found in rounds]
                shown = f"{statistics.median(times):.1f}"
                cells.append(f"**{shown}** ({min(times):.1f})" if phase == "together" else shown)
            print(f"| {text} | {kind} | {' | '.join(cells)} |", flush=True)
    if len(given.networks) > 1:
        few, many = given.networks[-2:]
        for kind in ("cold",) if given.cold else ("cold", "from cache"):
            ratios = sorted(found[many][kind]["together"] / found[few][kind]["together"] for found in rounds)
            quartiles = [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]]
            middle, (low, high) = statistics.median(ratios), quartiles
            print(f"\n{many} against {few}, {kind}: {middle:.2f} (quartiles {low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
