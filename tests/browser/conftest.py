"""A headless Chromium without network: a page is opened from its file, asks for nothing and complains of nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTHS = (390, 1200)


@pytest.fixture(scope="session")
def browser():
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    assert path, "install Chromium to run the tests of the pages"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where screenshots are kept: PAYBACK_SCREENSHOTS, or the run's own folder."""
    folder = Path(os.environ.get("PAYBACK_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(browser, pictures, request):
    """visit(file, hash="", width=1200, **context) -> page; at the end: no request, no error, no sideways scrolling."""
    seen = []

    def go(file: Path, hash: str = "", width: int = 1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        page = context.new_page()
        page.set_default_timeout(8_000)
        complaints: list[str] = []
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        page.goto(file.resolve().as_uri() + hash)
        page.wait_for_selector(".top")
        seen.append((context, page, complaints))
        return page

    yield go
    for k, (context, page, complaints) in enumerate(seen):
        name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:80]
        page.screenshot(path=pictures / f"{name}-{k}.png", full_page=True)
        sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        context.close()
        assert complaints == []
        assert sideways <= 0, "the page is wider than its window"
