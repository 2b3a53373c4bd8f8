"""Training steps of networks that are no multilayer perceptrons, beside JAX and PyTorch, as one table.

    python -m benchmarks.nets --peers PYTHON                       # all, float32, 1 and 2 threads
    python -m benchmarks.nets --peers PYTHON lenet_5 text --threads 1 --dtype float64 --optimizer clip

All begin with the same weights and see the same batches; the mean cost of the second epoch must agree, or the row is
void.  A ratio is the best peer's time by payback's within a round: above 1 payback is faster.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from benchmarks import report
from benchmarks.arena import contest, disagree, ratio
from benchmarks.machine import told
from benchmarks.nets import NETS
from benchmarks.nets.listed import STEPS

PEERS = [("jax_", "jit"), ("jax_", "scan"), ("torch_", "eager")]
SLOW = ("torch_", "compile")  # tens of seconds before its first step
# in loops XLA's convolutions take many times as long
IMAGES = ("lenet_5", "convolutions", "strided", "signals", "separable", "unet", "densely_connected")


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETS)}")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--optimizer", default="adam", help="adam, adamw, momentum, sgd, rmsprop, clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the interpreter that has them")
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    given = parser.parse_args(None if arguments is None else list(arguments))
    contestants = [("payback_", ""), *PEERS, *[SLOW] * given.compile]
    names = [f"{library.rstrip('_')} {variant}" for library, variant in contestants[1:]]
    print(f"{told()}\n")
    print(f"| network | type, threads | payback | {' | '.join(names)} | faster than the best by | first steps, its |")
    print("|---" * (len(contestants) + 4) + "|")
    for threads in given.threads:
        for dtype in given.dtype:
            for name in given.networks or NETS:
                options = {"dtype": dtype, "optimizer": given.optimizer}
                pythons = dict.fromkeys(("jax_", "torch_"), given.peers)
                asked = [one for one in contestants if name not in IMAGES or one != ("jax_", "scan")]
                own, *others = rows = contest(name, options, threads, asked, given.rounds, STEPS, pythons)
                wrong = disagree(rows, dtype)
                told_of = {
                    one: (row.cannot.splitlines() or [""])[0][:60] if row.cannot
                    else report.told(row.median) + (" (void)" if row.contestant in wrong else "")
                    for one, row in zip(asked, rows, strict=True)
                }  # fmt: skip
                cells = [told_of.get(one, "–") for one in contestants]
                able = [row for row in others if not row.cannot]
                end = ["–", "–"]
                if able and not own.cannot:
                    best = min(able, key=lambda row: row.median)
                    middle, least, most = ratio(own, best)
                    end = [f"**{middle:.2f}×** ({least:.2f}–{most:.2f})",
                           f"{report.told(own.first)}, {report.told(best.first)}"]  # fmt: skip
                print(f"| {' | '.join([name, f'{dtype}, {threads}', *cells, *end])} |", flush=True)


if __name__ == "__main__":
    main()
