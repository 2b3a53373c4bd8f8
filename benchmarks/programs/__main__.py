"""Programs as people write them, value and gradient compiled, beside JAX's jit, as one table.

    python -m benchmarks.programs --peers PYTHON                       # all, float32 and float64, 1 and 2 threads
    python -m benchmarks.programs --peers PYTHON attention spline --threads 1 --dtype float64

Both get the same text, with `np` or `jnp`; values and sums of gradients must agree, or the row is void.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from benchmarks import report
from benchmarks.arena import contest, disagree, ratio
from benchmarks.machine import told
from benchmarks.programs import PROGRAMS

CONTESTANTS = [("payback_", ""), ("jax_", "jit")]


def main(arguments: Iterable[str] | None = None) -> None:
    table(__doc__, PROGRAMS, arguments)


def table(description: str | None, works: Iterable[str], arguments: Iterable[str] | None) -> None:
    """Asks the command line which of the works, how and how often, and prints the table."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", help=f"of {', '.join(works)}")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the interpreter that has JAX")
    given = parser.parse_args(None if arguments is None else list(arguments))
    print(f"{told()}\n")
    print("| program | type, threads | payback | JAX | payback is faster by | first call | of JAX | memory | of JAX |")
    print("|---|---|---|---|---|---|---|---|---|")
    for threads in given.threads:
        for dtype in given.dtype:
            lines = []
            for name in given.programs or works:
                rows = contest(name, {"dtype": dtype}, threads, CONTESTANTS, given.rounds,
                               pythons={"jax_": given.peers})  # fmt: skip
                own, other = rows
                cannot = own.cannot or other.cannot
                if cannot:
                    lines.append((0.0, f"| {name} | {dtype}, {threads} | {cannot.splitlines()[0][:90]} | | | | | | |"))
                    continue
                middle, least, most = ratio(own, other)
                void = " (void: other numbers)" if disagree(rows, dtype) else ""
                times = [report.told(seconds) for seconds in (own.median, other.median, own.first, other.first)]
                peaks = [f"{row.peak / 1e6:.0f} MB" for row in rows]
                told_ratio = f"**{middle:.2f}×** ({least:.2f}–{most:.2f})"
                cells = [name + void, f"{dtype}, {threads}", *times[:2], told_ratio, *times[2:], *peaks]
                lines.append((middle, f"| {' | '.join(cells)} |"))
            print("\n".join(line for _, line in sorted(lines, reverse=True)), flush=True)


if __name__ == "__main__":
    main()
