"""payback beside its peers, in one run.

    python -m benchmarks                                      # everything, 1 and 2 threads
    python -m benchmarks tiny mnist --threads 1 --dtype float32
    python -m benchmarks 100-300-300-7:48 logistic            # sizes and batch of a training of your own
    python -m benchmarks --coverage                           # the rows that native code does not lower

Peers that are not installed are left out and named.  `--peers PYTHON` runs the peers with another interpreter.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.arena import Row, contest, disagree, ratio
from benchmarks.contestants.__main__ import work_of
from benchmarks.machine import bandwidth, fma_peak, told
from benchmarks.works import FUNCTIONS, TRAININGS

PEERS = {"numpy_by_hand": [""], "torch_": ["eager", "compile"], "jax_": ["jit", "scan"], "sklearn_": [""],
         "autograd_": [""], "casadi_": ["sx", "mx"], "micrograd_": [""]}  # fmt: skip
NEEDS = {"torch_": "torch", "jax_": "jax", "sklearn_": "sklearn", "autograd_": "autograd", "casadi_": "casadi",
         "micrograd_": "micrograd"}  # fmt: skip


def report(work: Any, rows: list[Row], threads: int) -> list[str]:
    """The table of one work, in Markdown."""
    out = disagree(rows, work.dtype)
    lines = [f"### {work.name}, {threads} thread{'s' if threads > 1 else ''}", ""]
    lines += ["| contestant | time | first result | peak memory | payback is faster by |", "|---|---|---|---|---|"]
    own = next((row for row in rows if row.contestant == "payback" and not row.cannot), None)
    for row in sorted(rows, key=lambda r: r.median if r.seconds else float("inf")):
        if row.cannot:
            lines.append(f"| {row.contestant} | – | | | {row.cannot.splitlines()[0][:90]} |")
            continue
        beside = ""
        if own is not None and row is not own:
            middle, least, most = ratio(own, row)
            beside = f"**{middle:.2f}×** ({least:.2f}–{most:.2f})"
        void = " (void: other numbers)" if row.contestant in out else ""
        lines.append(f"| {row.contestant}{void} | {_time(row.median)} | {_time(row.first)} "
                     f"| {row.peak / 1e6:.0f} MB | {beside} |")  # fmt: skip
    if own is not None and (work.flops or work.moved):
        by_flops, by_bytes = work.flops / fma_peak(work.dtype, threads), work.moved / bandwidth(threads)
        if work.kind == "training" and work.moved < 16e6:
            by_bytes = 0.0  # parameters and moments stay in the caches
        limit = max(by_flops, by_bytes)
        lines += ["", f"limit {_time(limit)} ({'arithmetic' if by_flops >= by_bytes else 'memory'}); "
                      f"payback reaches {100 * limit / own.median:.0f} % of it"]  # fmt: skip
    return [*lines, ""]


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _installed(python: str, module: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec(module) is not None
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def _enters(library: str, variant: str, name: str, kind: str) -> bool:
    """Whether a contestant has this kind of work at all."""
    if kind == "training":
        return library in ("payback_", "numpy_by_hand", "torch_", "jax_", "sklearn_")
    if library in ("casadi_", "micrograd_"):
        return name.startswith("scalar")
    return library not in ("numpy_by_hand", "sklearn_") and (library, variant) != ("jax_", "scan")


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", help=f"of {', '.join([*TRAININGS, *FUNCTIONS])}, or WIDTHS:BATCH")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", help="contestants, by the names of their files")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the interpreter that has the peers")
    parser.add_argument("--coverage", action="store_true")
    given = parser.parse_args(None if arguments is None else list(arguments))
    if given.coverage:
        from payback.native import coverage

        print(coverage())
        return
    names = given.works or [*TRAININGS, *FUNCTIONS]
    python = given.peers
    missing = [library for library, module in NEEDS.items() if not _installed(python, module)]
    contestants = [("payback_", "")]
    contestants += [(lib, v) for lib, variants in PEERS.items() if lib not in missing for v in variants]
    if given.only:
        contestants = [pair for pair in contestants if pair[0].rstrip("_") in {n.rstrip("_") for n in given.only}]
    pythons = dict.fromkeys(PEERS, python)
    print(f"{told()}; not installed: {', '.join(missing) or 'none'}\n")
    for threads in given.threads:
        single, double = (fma_peak(dtype, threads) / 1e9 for dtype in ("float32", "float64"))
        speed = bandwidth(threads) / 1e9
        print(f"with {threads}: {single:.0f} GF/s in float32, {double:.0f} in float64; memory {speed:.1f} GB/s\n")
    for name in names:
        for dtype in given.dtype:
            options = {"dtype": dtype}
            work = work_of(name, options)
            if name in FUNCTIONS and dtype == "float32" and name != "options":
                continue  # numerical code is written for float64
            for threads in given.threads:
                entrants = [pair for pair in contestants if _enters(*pair, name, work.kind)]
                unit = work.batches if work.kind == "training" else 1
                rows = contest(name, options, threads, entrants, given.rounds, unit, pythons)
                print("\n".join(report(work, rows, threads)), flush=True)


if __name__ == "__main__":
    main()
