"""payback beside its peers, in one run.

    python -m benchmarks                                      # everything, 1 and 2 threads
    python -m benchmarks tiny mnist --threads 1 --dtype float32
    python -m benchmarks 100-300-300-7:48 --seed 3            # sizes and batch of a training of your own, other data
    python -m benchmarks gmm:d=10,k=5 logistic:rows=1000      # sizes of a function
    python -m benchmarks --coverage                           # the rows that native code does not lower

Peers that are not installed are left out and named.  `--peers PYTHON` runs the peers with another interpreter.  What
was measured of the works named here replaces their sections and lines in RESULTS.md; with `--only` or `--no-write`, and
for sizes, data or types of your own, it is printed alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterable

from benchmarks.arena import contest
from benchmarks.contestants.__main__ import work_of
from benchmarks.machine import bandwidth, fma_peak, handoff, told
from benchmarks.report import HEAD, keep, line, section
from benchmarks.works import FUNCTIONS, TRAININGS

PEERS = {"numpy_by_hand": [""], "torch_": ["eager", "compile"], "jax_": ["jit", "scan"], "sklearn_": [""],
         "autograd_": [""], "casadi_": ["sx", "mx"], "micrograd_": [""]}  # fmt: skip
NEEDS = {"torch_": "torch", "jax_": "jax", "sklearn_": "sklearn", "autograd_": "autograd", "casadi_": "casadi",
         "micrograd_": "micrograd"}  # fmt: skip


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
    parser.add_argument(
        "works",
        nargs="*",
        metavar="WORK",
        help=f"of {', '.join([*TRAININGS, *FUNCTIONS])}, WIDTHS:BATCH, or a function with SIZE=NUMBER",
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", nargs="+", help="default: both, of functions but for options only float64")
    parser.add_argument("--seed", type=int, default=0, help="of the data")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", help="contestants, by the names of their files")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the interpreter that has the peers")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, help="into RESULTS.md")
    given = parser.parse_args(None if arguments is None else list(arguments))
    if given.coverage:
        from payback.native import coverage

        print(coverage())
        return
    names = given.works or [*TRAININGS, *FUNCTIONS]
    for name in names:
        work_of(name, {})  # who cannot be read is told now, not after an hour
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
        apart = f"; a cache line goes to the other core in {1e9 * handoff():.0f} ns" if threads > 1 else ""
        print(
            f"with {threads}: {single:.0f} GF/s in float32, {double:.0f} in float64; memory {speed:.1f} GB/s{apart}\n"
        )
    lines: list[str] = []
    writes = given.write if given.write is not None else not given.only
    for name in names:
        base = name.partition(":")[0]
        usual = ["float64"] if base in FUNCTIONS and base != "options" else ["float32", "float64"]
        for dtype in given.dtype or usual:  # numerical code is written for float64
            options = {"dtype": dtype} | ({"seed": given.seed} if given.seed else {})
            work = work_of(name, options)
            for threads in given.threads:
                entrants = [pair for pair in contestants if _enters(*pair, name, work.kind)]
                unit = work.batches if work.kind == "training" else 1
                rows = contest(name, options, threads, entrants, given.rounds, unit, pythons)
                whole = section(work, rows, threads)
                lines.append(line(base, work, rows, threads))
                print(whole, flush=True)
                if writes and (name in TRAININGS or name in FUNCTIONS) and dtype in usual and not given.seed:
                    keep([whole], lines[-1:])  # at once: a long run may be cut short
    print("\n".join([*HEAD, *lines]))


if __name__ == "__main__":
    main()
