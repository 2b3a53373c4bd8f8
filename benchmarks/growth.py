"""How the time of a training step grows with width, depth and batch, as a plot for each.

    python -m benchmarks.growth FOLDER [--peers PYTHON] [--rounds N] [--threads N]

Writes width.svg, depth.svg and batch.svg, and prints the tables that they show.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.__main__ import NEEDS, _installed
from benchmarks.arena import contest
from benchmarks.contestants.__main__ import work_of
from benchmarks.machine import told

CONTESTANTS = [("payback_", ""), ("jax_", "scan"), ("torch_", "eager"), ("sklearn_", ""), ("numpy_by_hand", "")]
SERIES = {
    "width": ([8, 16, 32, 64, 128, 256, 512, 1024], lambda n: f"{n}-{n}-{n}-{n}:64"),
    "depth": ([1, 2, 4, 8, 16, 32, 64], lambda n: "-".join(["32"] * (n + 1)) + ":64"),
    "batch": ([1, 4, 16, 64, 256, 1024, 4096], lambda n: f"64-64-64-10:{n}"),
}
COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#666666"]  # told apart by colour-blind eyes too
MARKS = ["circle", "square", "diamond", "up", "down"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 70, 50, 30, 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("series", nargs="*", help=f"of {', '.join(SERIES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    missing = [library for library, module in NEEDS.items() if not _installed(given.peers, module)]
    entrants = [pair for pair in CONTESTANTS if pair[0] not in missing]
    pythons = dict.fromkeys((library for library, _ in CONTESTANTS[1:]), given.peers)
    print(f"{told()}, {given.threads} thread{'s' if given.threads > 1 else ''}, float32, µs a step\n")
    for title in given.series or SERIES:
        sizes, named = SERIES[title]
        lines: dict[str, list[tuple[int, float]]] = {}
        for n in sizes:
            work = work_of(named(n), {"dtype": "float32"})
            rows = contest(named(n), {"dtype": "float32"}, given.threads, entrants, given.rounds, work.batches, pythons)
            for row in rows:
                if not row.cannot:
                    lines.setdefault(row.contestant, []).append((n, 1e6 * row.median))
        print(f"| {title} | {' | '.join(map(str, sizes))} |")
        print("|---" * (len(sizes) + 1) + "|")
        for name, points in lines.items():
            known = dict(points)
            print(f"| {name} | {' | '.join(f'{known[n]:.3g}' if n in known else '–' for n in sizes)} |")
        print(flush=True)
        (given.folder / f"{title}.svg").write_text(plot(title, lines), encoding="utf-8")


def plot(title: str, lines: dict[str, list[tuple[int, float]]]) -> str:
    """Time against size, both logarithmic, as SVG."""
    from math import ceil, floor, log2, log10

    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    low, high = floor(log10(min(ys))), ceil(log10(max(ys)))
    first, last = log2(xs[0]), log2(xs[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (log2(x) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (log10(y) - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><title>Time of a training step against {title}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    ]
    for power in range(low, high + 1):
        left, y = at(xs[0], 10.0**power)
        parts.append(
            f'<path d="M{left:.1f} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{_unit(10.0**power)}</text>'
        )  # fmt: skip
    for x in xs:
        across, base = at(x, 10.0**low)
        parts.append(f'<text x="{across:.1f}" y="{base + 18:.1f}" text-anchor="middle">{x}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{title}</text>')
    ends = sorted(((at(*points[-1])[1], name) for name, points in lines.items()), reverse=False)
    places: dict[str, float] = {}
    for y, name in ends:  # labels do not lie on each other
        places[name] = max(y, max(places.values(), default=-1e9) + 14)
    for (name, points), color, mark in zip(lines.items(), COLORS, MARKS, strict=False):
        track = "L".join(f"{x:.1f} {y:.1f}" for x, y in (at(*point) for point in points))
        parts.append(f'<path d="M{track}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [_mark(mark, *at(*point), color) for point in points]
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{places[name] + 4:.1f}" fill="{color}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _mark(kind: str, x: float, y: float, color: str) -> str:
    shapes = {"square": "m-3.5-3.5h7v7h-7z", "diamond": "m0-5l5 5l-5 5l-5-5z", "up": "m0-5l5 8h-10z",
              "down": "m0 5l5-8h-10z"}  # fmt: skip
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>'
    return f'<path d="M{x:.1f} {y:.1f}{shapes[kind]}" fill="{color}"/>'


def _unit(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:g} {unit}"
    return f"{microseconds:g} µs"


if __name__ == "__main__":
    main()
