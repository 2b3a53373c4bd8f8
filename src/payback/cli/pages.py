"""Pages that commands write: where they go, and the browser."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

from payback.errors import InputError
from payback.files import replaceable
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
    """Raises InputError where a page would replace what is none: a table, a program, a device."""
    if file is not None:
        check_new(file, _BEGINNING, "page")


def check_new(file: str, beginning: bytes, what: str) -> None:
    """Raises InputError where a file that begins so would replace one that does not, or cannot be."""
    try:
        free = replaceable(Path(file), beginning)
    except (OSError, ValueError) as problem:  # ValueError: a null character
        why = getattr(problem, "strerror", None) or str(problem)
        raise InputError(f"{file} cannot be written", why=why, fix="choose another name") from None
    if not free:
        raise InputError("the file exists already", where=file, why=f"it is no {what}, and would be lost",
                         fix="choose another name")  # fmt: skip
