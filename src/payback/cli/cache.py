"""`payback cache`: the compiled code that is kept on disk; shown, or cleared."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from payback.cli.options import Out
from payback.errors import InputError


def cache(
    *, clear: Annotated[bool, Parameter(help="Remove the compiled code that is kept.", negative="")] = False, out: Out
) -> None:
    """Show where compiled code is kept and how much of it there is, or remove it.

    It is the one thing that payback writes without being asked, in a folder that only you can read and write.
    PAYBACK_CACHE=off turns it off, PAYBACK_CACHE=DIR puts it elsewhere.  What is removed is compiled again when needed.

    With --json one object: payback ("cache"), version (1), folder (null: nothing is kept), entries, bytes, removed.
    """
    where = _folder()
    entries = _entries(where)
    size = sum(map(_size, entries))
    removed = 0
    if clear:
        for entry in entries:
            try:
                os.unlink(entry.path)
            except FileNotFoundError:  # another process was quicker
                continue
            except OSError as problem:
                raise InputError(f"{entry.path} cannot be removed", why=problem.strerror or str(problem)) from None
            removed += 1
    if where is None:
        out.line("no compiled code is kept")
    elif clear:
        out.line(f"{removed} entries ({size / 1e6:.1f} MB) removed from {where}")
    else:
        out.line(f"{len(entries)} entries ({size / 1e6:.1f} MB) in {where}")
    counted = {"entries": len(entries) - removed, "bytes": 0 if clear else size, "removed": removed}
    out.result({"payback": "cache", "version": 1, "folder": None if where is None else str(where)} | counted)


def _folder() -> Path | None:
    if find_spec("llvmlite") is None:  # nothing is compiled
        return None
    from payback.native.codegen.cache import folder

    return folder()


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # another process has removed it
        return 0


def _entries(where: Path | None) -> list[os.DirEntry[str]]:
    """The files that payback wrote there, and no other."""
    if where is None:
        return []
    from payback.native.codegen.cache import SUFFIXES

    try:
        with os.scandir(where) as found:
            return [e for e in found if e.name.endswith(SUFFIXES) and e.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise InputError(f"the folder {where} cannot be read", why=problem.strerror or str(problem)) from None
