"""Pages that commands write: where they go, and the browser."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

from payback.errors import InputError
from payback.glass.page import write

_BEGINNING = b"<!doctype html>"


def show_page(text: str, file: str | None, browser: bool, name: str = "page.html") -> Path:
    """Write a page (without a file name into a new private temporary folder) and open it if asked to.

    An older page is replaced; whoever computes long before there is a page calls `check_place` first.
    """
    check_place(file)
    target = Path(file) if file is not None else Path(tempfile.mkdtemp(prefix="payback-")) / name
    write(target, text)
    if browser:
        webbrowser.open(target.resolve().as_uri())
    return target


def check_place(file: str | None) -> None:
    """Raises InputError where a page would replace what is none: a table, a program."""
    if file is not None and (target := Path(file)).is_file() and not _is_page(target):
        raise InputError("the file exists already", where=target, why="it is no page, and would be lost",
                         fix="choose another name")  # fmt: skip


def _is_page(file: Path) -> bool:
    """Whether a file begins as pages do, or is empty."""
    try:
        with file.open("rb") as old:
            return old.read(len(_BEGINNING)) in (b"", _BEGINNING)
    except OSError:
        return False
