"""What `python -m benchmarks` says: a section for each work with all contestants, and one table with a line a work.

Both are kept in RESULTS.md: a run replaces the sections and lines of the works that it measured, and no others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.arena import Row, disagree, ratio
from benchmarks.machine import bandwidth, fma_peak
from benchmarks.targets import TARGETS

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
SECTIONS = ("<!-- sections: begin -->", "<!-- sections: end -->")
TABLE = ("<!-- table: begin -->", "<!-- table: end -->")
HEAD = ["| work | payback | best peer | times faster | wanted | share of the limit | wanted | |", "|" + "---|" * 8]


def heading(work: Any, threads: int) -> str:
    return f"{work.name}, {threads} thread{'s' if threads > 1 else ''}"


def limit(work: Any, threads: int) -> tuple[float, str] | None:
    """The least time that the machine needs, in seconds, and what bounds it."""
    if not (work.flops or work.moved):
        return None
    by_flops, by_bytes = work.flops / fma_peak(work.dtype, threads), work.moved / bandwidth(threads)
    if work.kind == "training" and work.moved < 16e6:
        by_bytes = 0.0  # parameters and moments stay in the caches
    return max(by_flops, by_bytes), "arithmetic" if by_flops >= by_bytes else "memory"


def section(work: Any, rows: list[Row], threads: int) -> str:
    """All contestants on one work, in Markdown."""
    out = disagree(rows, work.dtype)
    lines = [f"### {heading(work, threads)}", ""]
    lines += ["| contestant | time | first result | peak memory | payback is faster by |", "|---|---|---|---|---|"]
    own = _own(rows)
    for row in sorted(rows, key=lambda r: r.median if r.seconds else float("inf")):
        if row.cannot:
            lines.append(f"| {row.contestant} | – | | | {row.cannot.splitlines()[0][:90]} |")
            continue
        beside = ""
        if own is not None and row is not own:
            middle, least, most = ratio(own, row)
            beside = f"**{middle:.2f}×** ({least:.2f}–{most:.2f})"
        void = " (void: other numbers)" if row.contestant in out else ""
        lines.append(f"| {row.contestant}{void} | {told(row.median)} | {told(row.first)} "
                     f"| {row.peak / 1e6:.0f} MB | {beside} |")  # fmt: skip
    bound = limit(work, threads)
    if own is not None and bound is not None:
        lines += ["", f"limit {told(bound[0])} ({bound[1]}); payback reaches {100 * bound[0] / own.median:.0f} % of it"]
    if own is not None and own.planned:
        lines += ["", f"planned between arguments and results: {own.planned:,} bytes"]
    return "\n".join([*lines, ""])


def line(name: str, work: Any, rows: list[Row], threads: int) -> str:
    """The work's line in the table of all works."""
    out = disagree(rows, work.dtype)
    own = _own(rows)
    if own is None or own.contestant in out:
        return f"| {heading(work, threads)} | void | | | | | | missed |"
    peers = [row for row in rows if row is not own and not row.cannot and row.contestant not in out]
    best = min(peers, key=lambda row: row.median, default=None)
    times = ratio(own, best)[0] if best is not None else None
    bound = limit(work, threads)
    share = bound[0] / own.median if bound is not None else None
    target = TARGETS.get(name)
    peer = "–" if best is None else f"{best.contestant} {told(best.median)}"
    cells = [heading(work, threads), told(own.median), peer, "–" if times is None else f"{times:.2f}"]
    cells += [f"{target.ratio:g}" if target else "", "" if share is None else f"{100 * share:.0f} %"]
    cells += [f"{100 * target.share:.0f} %" if target and target.share else "", "" if target is None else "met"]
    if target is not None:
        missed = ["no peer"] * (times is None) + ["ratio"] * (times is not None and times < target.ratio)
        missed += ["share"] * (target.share is not None and (share is None or share < target.share))
        missed += ["time"] * (target.seconds is not None and own.median > target.seconds)
        cells[-1] = f"**missed:** {', '.join(missed)}" if missed else "met"
    return f"| {' | '.join(cells)} |"


def keep(sections: list[str], lines: list[str], path: Path = RESULTS) -> None:
    """Puts sections and lines where those of the same works stood in `path`, or after the others."""
    text = path.read_text(encoding="utf-8")
    text = _between(text, SECTIONS, _replaced(_split(_inside(text, SECTIONS)), _split("\n".join(sections))), "\n")
    old = {_key(row): row for row in _inside(text, TABLE).splitlines() if row.startswith("| ") and row != HEAD[0]}
    old |= {_key(row): row for row in lines}
    text = _between(text, TABLE, "\n".join([*HEAD, *old.values()]) + "\n", "\n")
    path.write_text(text, encoding="utf-8")


def told(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _own(rows: list[Row]) -> Row | None:
    return next((row for row in rows if row.contestant == "payback" and not row.cannot), None)


def _key(row: str) -> str:
    return row.split("|")[1].strip()


def _split(text: str) -> dict[str, str]:
    return {part.splitlines()[0]: part.strip() for part in re.split(r"^### ", text, flags=re.MULTILINE) if part.strip()}


def _replaced(old: dict[str, str], new: dict[str, str]) -> str:
    return "\n\n".join(f"### {part}" for part in (old | new).values()) + "\n"


def _inside(text: str, marks: tuple[str, str]) -> str:
    begin, end = marks
    if begin not in text or end not in text:
        raise SystemExit(f"{RESULTS.name} has no lines {begin} and {end} to write between")
    return text[text.index(begin) + len(begin) : text.index(end)]


def _between(text: str, marks: tuple[str, str], inside: str, gap: str) -> str:
    return text[: text.index(marks[0]) + len(marks[0])] + gap + "\n" + inside + gap + text[text.index(marks[1]) :]
