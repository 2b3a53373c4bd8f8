"""What a gradient costs beside its value, against the bound of Baur–Strassen and Griewank (5; less is wanted).

    python -m benchmarks.value_and_gradient [works] [--peers PYTHON] [--rounds N]

The value is the function compiled alone, by payback or by JAX, whichever is faster in that round; the gradient is
payback's `compile(value_and_grad(f))`.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.arena import contest
from benchmarks.contestants.__main__ import work_of
from benchmarks.machine import told
from benchmarks.works import FUNCTIONS

BOUND, WANTED, MEDIAN = 5.0, 3.5, 2.5
CONTESTANTS = [("payback_", ""), ("payback_", "value"), ("jax_", "value")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", help=f"of {', '.join(FUNCTIONS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON")
    given = parser.parse_args()
    print(f"{told()}, {given.threads} thread{'s' if given.threads > 1 else ''}\n")
    print("| function | value and gradient | value, payback | value, JAX | gradient by the better value |")
    print("|---|---|---|---|---|")
    ratios = []
    for name in given.works or [n for n in FUNCTIONS if n != "bundle"]:
        entrants = CONTESTANTS if not name.startswith("scalar") else CONTESTANTS[:2]  # JAX does not finish compiling
        rows = contest(name, {}, given.threads, entrants, given.rounds, 1, {"jax_": given.peers})
        if rows[0].cannot or rows[1].cannot:
            print(f"| {work_of(name, {}).name} | {rows[0].cannot or rows[1].cannot} |")
            continue
        values = [row for row in rows[1:] if not row.cannot]
        per_round = [
            both / min(row.seconds[k] for row in values) for k, both in enumerate(rows[0].seconds)
        ]  # fmt: skip
        ratios.append(statistics.median(per_round))
        times = [f"{1e6 * row.median:.4g} µs" if not row.cannot else "–" for row in rows] + ["–"] * (3 - len(rows))
        print(f"| {work_of(name, {}).name} | {' | '.join(times)} | **{ratios[-1]:.2f}** "
              f"({min(per_round):.2f}–{max(per_round):.2f}) |", flush=True)  # fmt: skip
    print(f"\nmedian {statistics.median(ratios):.2f}, most {max(ratios):.2f}; wanted {MEDIAN} and {WANTED}, "
          f"bound {BOUND:g}")  # fmt: skip


if __name__ == "__main__":
    main()
