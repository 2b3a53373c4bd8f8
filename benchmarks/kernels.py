"""Where the time of a training step goes: each command of the native loop, with its operations a second.

    python -m benchmarks.kernels 784-512-256-10:128 --threads 1 2 --dtype float32

The step is that of `python -m benchmarks`: ReLU, mean squared loss, Adam.  The least of several epochs is printed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import payback as pb
from benchmarks.gemm import peak
from benchmarks.works import BETA1, BETA2, EPSILON, RATE, Training
from payback.native.running.cores import cores
from payback.native.running.report import seconds_of, table, ticks_of
from payback.nn.losses import LOSSES
from payback.train.compiled import Compiled
from payback.train.step import Steps


def report(work: Training, rounds: int) -> list[str]:
    """The table of one step."""
    data = work.data()
    net = pb.nn.MLP(list(work.sizes), activation="relu", seed=0, dtype=work.dtype)
    optimizer = pb.optim.Adam(RATE, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
    steps, state = Steps(net, LOSSES["squared_error"], optimizer), optimizer.init(net)
    training = Compiled(steps, optimizer, net, state, data["x"], data["y"], None, predictions=False)
    loop, count = training._loop(work.batch, True), work.batches
    records = dict(zip(loop.recorded, training._made((work.batch, True), count), strict=True))
    inputs = [*training._arrays, *training._data, np.full(count, RATE), np.arange(1.0, count + 1)]
    segment, best, least = loop.machine.segment, None, float("inf")
    for _ in range(rounds + 1):
        ticks, begun = ticks_of(segment), time.perf_counter()
        loop.run(inputs, np.arange(count * work.batch), records, count, ticks)
        took = time.perf_counter() - begun
        if took < least:
            best, least = seconds_of(ticks) / count, took
    head = f"{work.name}: {least / count * 1e6:,.1f} µs a step on {segment.threads} of {cores()} cores"
    return [head, *table(loop.planner.commands, best), ""]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="+", metavar="WIDTHS:BATCH")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for dtype in given.dtype:
        print(f"peak of one core, {dtype}: {peak(np.dtype(dtype)) / 1e9:.1f} GF/s\n")
        for name in given.works:
            widths, batch = name.split(":")
            for threads in given.threads:
                pb.set_threads(threads)
                work = Training(tuple(map(int, widths.split("-"))), int(batch), dtype)
                print("\n".join(report(work, given.rounds)), flush=True)


if __name__ == "__main__":
    main()
