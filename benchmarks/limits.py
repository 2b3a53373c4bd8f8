"""The time limits that payback promises, measured: exit 1 if one does not hold.

    python -m benchmarks.limits

Whole processes are timed, the median of several; run it on a machine that does nothing else.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 7


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _import_overhead() -> float:
    """Seconds that `import payback` takes beyond NumPy's import: the median of paired processes."""
    pairs = [
        _seconds([sys.executable, "-c", "import payback, numpy"]) - _seconds([sys.executable, "-c", "import numpy"])
        for _ in range(3 * ROUNDS)
    ]
    return statistics.median(pairs)


def _train_digits() -> float:
    return statistics.median(_seconds([sys.executable, "-m", "payback", "train", "digits"]) for _ in range(3))


def _read_csv() -> float:
    """Seconds to load 100,000 rows × 20 columns: 15 of numbers, 5 of categories."""
    from payback.tabular import read_csv

    generator = np.random.default_rng(0)
    numbers, labels = generator.standard_normal((100_000, 15)), generator.integers(0, 8, (100_000, 5))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.csv")
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([f"column {i}" for i in range(20)])
            writer.writerows(
                [*map(repr, row), *(f"kind {k}" for k in kinds)]
                for row, kinds in zip(numbers.tolist(), labels.tolist(), strict=True)
            )
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            read_csv(path)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, {os.cpu_count()} cores\n")
    print("| what | measured | limit |\n|---|---|---|")
    held = True
    for what, measure, limit in (
        ("`import payback` beyond NumPy's import", _import_overhead, 0.040),
        ("`payback train digits`, whole process", _train_digits, 15.0),
        ("`read_csv` of 100,000 rows × 20 columns", _read_csv, 2.0),
    ):
        seconds = measure()
        held = held and seconds <= limit
        print(f"| {what} | {seconds:.3f} s | {limit:g} s {'holds' if seconds <= limit else 'MISSED'} |", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
