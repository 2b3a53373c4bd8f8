"""The contest: every contestant a process, all of them asked in turn, round after round.

The time of a work is the median over the rounds; a ratio is the median of the ratios within each round, so a machine
that slows down does so for all.  A contestant whose numbers after the same work differ from the others' is out.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
PATIENCE = 120.0  # seconds for one answer, compiling included
ENOUGH = 0.2  # seconds a round lasts at least


class Contestant:
    """A process that does works when it is asked to."""

    def __init__(self, library: str, variant: str, threads: int, python: str):
        self.library, self.variant = library, variant
        count = str(threads)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "PYTHONDONT"))
        }
        environment |= {
            "BENCHMARK_THREADS": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count,
            "OPENBLAS_NUM_THREADS": count, "PAYBACK_THREADS": count, "PYTHONPATH": _here() + os.pathsep + _here("src"),
            "JAX_PLATFORMS": "cpu", "PAYBACK_CACHE": "off",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.contestants", library],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            ready = select.select([self.process.stdout], [], [], PATIENCE)[0]
            line = self.process.stdout.readline() if ready else ""
        except BrokenPipeError:
            ready, line = [True], ""
        if line:
            return json.loads(line)
        return {"cannot": "the process ended" if ready else f"did not finish in {PATIENCE:.0f} s"}

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def _here(part: str = "") -> str:
    return str(Path(__file__).resolve().parent.parent / part)


@dataclass
class Row:
    """What one contestant did in one work."""

    contestant: str
    first: float = 0.0
    seconds: list[float] = field(default_factory=list)  # for one repetition, by round
    check: list[float] = field(default_factory=list)
    peak: float = 0.0
    planned: int = 0  # bytes, of who plans its memory
    cannot: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def contest(
    work: str, options: dict[str, Any], threads: int, contestants: list[tuple[str, str]], rounds: int = 7,
    unit: int = 1, pythons: dict[str, str] | None = None,
) -> list[Row]:  # fmt: skip
    """All contestants on one work.  unit: repetitions come in multiples of it."""
    rows, running = [], []
    for library, variant in contestants:
        contestant = Contestant(library, variant, threads, (pythons or {}).get(library, sys.executable))
        name = f"{library.rstrip('_')} {variant}".strip()
        answer = contestant.ask(do="prepare", work=work, options=options, variant=variant)
        row = Row(name, cannot=answer.get("cannot"))
        rows.append(row)
        if row.cannot:
            contestant.end()
            continue
        row.first, row.check = answer["first"], answer["check"]
        row.peak = contestant.ask(do="memory")["peak"]
        running.append((contestant, row, unit))
    running = [(contestant, row, _enough(contestant, row, unit)) for contestant, row, _ in running]
    for turn in range(rounds):
        order = running[turn % len(running) :] + running[: turn % len(running)] if running else []
        for contestant, row, count in order:
            if row.cannot:
                continue
            answer = contestant.ask(do="time", count=count)
            row.cannot = answer.get("cannot")
            if not row.cannot:
                row.seconds.append(answer["seconds"] / count)
            time.sleep(0.15)  # threads that spin after their work go to sleep: OpenBLAS's after 0.1 s
    for contestant, row, _ in running:
        if row.cannot:
            contestant.end()
            continue
        memory = contestant.ask(do="memory")
        row.peak, row.planned = max(row.peak, memory["peak"]), memory.get("planned", 0)
        contestant.end()
    return rows


def _enough(contestant: Contestant, row: Row, unit: int) -> int:
    """How many repetitions make a round last long enough."""
    count, seconds = unit, 0.0
    while True:
        answer = contestant.ask(do="time", count=count)
        row.cannot = answer.get("cannot")
        if row.cannot or answer["seconds"] >= ENOUGH / 2:
            return count
        seconds = answer["seconds"]
        count = unit * max(2 * count // unit, int(count / unit * ENOUGH / max(seconds, 1e-6) * 0.9))


def disagree(rows: list[Row], dtype: str) -> list[str]:
    """Who did not compute what most others did."""
    told = [row for row in rows if not row.cannot]
    if not told:
        return []
    length = min(len(row.check) for row in told)
    truth = [statistics.median(row.check[k] for row in told) for k in range(length)]
    scale = max(map(abs, truth))
    return [
        row.contestant
        for row in told
        if any(not abs(a - b) <= TOLERANCE[dtype] * max(abs(b), scale) for a, b in zip(row.check, truth, strict=False))
    ]


def ratio(row: Row, other: Row) -> tuple[float, float, float]:
    """How many times faster `row` is than `other`: the median over the rounds, the least and the most."""
    ratios = [b / a for a, b in zip(row.seconds, other.seconds, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)
