"""Pages that commands write: where they go, and the browser."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

from payback.glass.page import write


def show_page(text: str, file: str | None, browser: bool, name: str = "page.html") -> Path:
    """Write a page (without a file name into a new private temporary folder) and open it if asked to."""
    target = Path(file) if file is not None else Path(tempfile.mkdtemp(prefix="payback-")) / name
    write(target, text)
    if browser:
        webbrowser.open(target.resolve().as_uri())
    return target
