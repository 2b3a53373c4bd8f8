"""How soon large pages are there: 100,000 nodes of a ledger, and the map of a long run.

python -m benchmarks.pages          # needs playwright and a Chromium
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

import payback as pb
from payback.glass.ledger import Ledger
from payback.glass.page import document, html_of, write

ROUNDS = 5
MAP_CLICK = (
    "() => { const t = performance.now(); document.querySelector('[aria-pressed]').click(); "
    "return performance.now() - t; }"
)


def chain(rounds: int) -> Ledger:
    x = [pb.variable(0.1 * k, f"x{k}") for k in range(5)]
    total = x[0] * 0.0
    for k in range(rounds):
        total = np.sin(total + x[k % 5]) * 0.5 + x[(k + 1) % 5]
    return Ledger(total.node, [v.node for v in x])


def run_map(rows: int, steps: int) -> str:
    sizes = (10.0 ** np.random.default_rng(0).normal(-2, 1, (rows, steps))).tolist()
    return document({
        "kind": "run", "title": "map", "facts": [], "curves": [], "statements": [], "looks": [],
        "map": {"rows": [f"layer {k}" for k in range(rows)], "steps": list(range(steps)), "gradient": sizes,
                "update": sizes, "dead": sizes},
    })  # fmt: skip


def main() -> None:
    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        ledger = chain(20_000)
        book = write(Path(folder) / "ledger.html", html_of(ledger))
        long_run = write(Path(folder) / "run.html", run_map(224, 5_000))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        opened, drawn = [], []
        for _ in range(ROUNDS):
            page = browser.new_page()
            page.goto(book.as_uri())
            page.wait_for_selector(".node")
            opened.append(page.evaluate("performance.now()"))
            page.goto(long_run.as_uri())
            page.wait_for_selector("canvas")
            drawn.append(page.evaluate(MAP_CLICK))
            page.close()
        browser.close()
    print("| what | measured | limit |")
    print("|---|---|---|")
    print(f"| a ledger of {len(ledger.nodes):,} nodes opens | {statistics.median(opened):.0f} ms | 3,000 ms |")
    print(f"| a map of 224 rows × 5,000 steps is sorted and drawn | {statistics.median(drawn):.0f} ms | 300 ms |")


if __name__ == "__main__":
    main()
