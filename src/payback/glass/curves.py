"""A recorded training as a still picture: the cost and the gradient's norm of every step, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite, log10
from typing import TYPE_CHECKING

from payback.glass.story import shown

if TYPE_CHECKING:
    from payback.train.runs import RecordedRun

WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM = 640, 190, 78, 14, 30, 30
MOST = 600  # points of a line; of more steps the least and the most of each stretch are drawn
_STYLE = "".join(
    f".payback {rule}"
    for rule in (
        "text{font:12.5px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1d2329}",
        ".axis{fill:none;stroke:#b6bfc7}",
        ".track{fill:none;stroke:#0b62a8;stroke-width:1.5;stroke-linejoin:round}",
        ".bad{fill:#c8501e}",
        ".quiet{fill:#5d6770;font-size:11px}",
    )
)


def run_svg(run: RecordedRun) -> str:
    """Two panels: the cost of each step's batch, the norm of its gradient; a triangle where one is not finite."""
    steps = [step.n for step in run.steps]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {2 * HIGH}" width="{WIDE}" height="{2 * HIGH}" '
        f'class="payback" role="img"><title>{escape(run.folder.name)}: {len(steps):,} steps</title>'
        f"<style>{_STYLE}</style>"
    ]
    costs, norms = [step.cost for step in run.steps], [step.norm for step in run.steps]
    parts += _panel("cost of the batch", steps, costs, 0) + _panel("norm of the gradient", steps, norms, HIGH)
    return "\n".join([*parts, "</svg>"])


def _panel(name: str, steps: Sequence[int], values: Sequence[float | None], above: int) -> list[str]:
    known = [(n, value) for n, value in zip(steps, values, strict=True) if value is not None and isfinite(value)]
    logs = bool(known) and all(value > 0 for _, value in known)
    low, high = min((value for _, value in known), default=0.0), max((value for _, value in known), default=1.0)
    first, last = (steps[0], steps[-1]) if steps else (0, 1)
    scale = (lambda value: log10(value)) if logs else (lambda value: value)
    floor, height = scale(low) if known else 0.0, (scale(high) - scale(low) if known else 0.0) or 1.0

    def x(n: float) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * (n - first) / ((last - first) or 1)

    def y(value: float) -> float:
        return above + HIGH - BOTTOM - (HIGH - TOP - BOTTOM) * (scale(value) - floor) / height

    base = above + HIGH - BOTTOM
    parts = [
        f'<path class="axis" d="M{LEFT} {above + TOP - 6}V{base}H{WIDE - RIGHT}"/>',
        f'<text x="{LEFT}" y="{above + 16}">{name}{", logarithmic" if logs else ""}</text>',
        f'<text class="quiet" x="{LEFT}" y="{base + 16}">step {first:,}</text>',
        f'<text class="quiet" x="{WIDE - RIGHT}" y="{base + 16}" text-anchor="end">{last:,}</text>',
    ]
    if known:
        parts += [
            f'<text class="quiet" x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">'
            f"{shown(float(f'{value:.3g}'))}</text>"
            for value in sorted({low, high})
        ]
        parts.append(
            f'<path class="track" d="M{"L".join(f"{x(n):.1f} {y(value):.1f}" for n, value in _thinned(known))}"/>'
        )
    parts += [
        f'<path class="bad" d="M{x(n) - 5:.1f} {base}h10l-5 -9z"/>'
        for n, value in zip(steps, values, strict=True)
        if value is not None and not isfinite(value)
    ]
    return parts


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """No more than MOST of them; no peak and no trough is left out."""
    if len(points) <= MOST:
        return list(points)
    size = -(-2 * len(points) // MOST)
    chosen: list[tuple[int, float]] = []
    for at in range(0, len(points), size):
        part = points[at : at + size]
        chosen += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return chosen
