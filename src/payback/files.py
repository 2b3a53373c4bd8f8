"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

OLD = ".old"  # what a file is called while its successor is moved into place
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace all these files of a folder, or none of them.

    The last one decides: until it is in place, those that it belongs with are still there as `name.old`, so that
    whoever reads the folder can take the set that belongs together, however the writing ended.
    Raises OSError; the folder is then as it was.
    """
    *first, last = files
    temporary = {}
    try:
        for name, data in files.items():
            place = str(folder / f".{name}.{os.urandom(8).hex()}")
            handle = os.open(place, _NEW, 0o666)  # less what the user's umask takes away
            temporary[name] = place
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        try:
            for name in first:
                if os.path.lexists(folder / name):
                    os.replace(folder / name, folder / (name + OLD))
                os.replace(temporary[name], folder / name)
            os.replace(temporary[last], folder / last)
        except BaseException:
            for name in first:
                _take_back(folder / name, placed=not os.path.exists(temporary[name]))
            raise
        for name in first:
            (folder / (name + OLD)).unlink(missing_ok=True)
        _sync(folder)
    finally:
        for path in temporary.values():
            Path(path).unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write one file, whole or not at all.  Raises OSError."""
    write_files(path.parent, {path.name: data})


def _take_back(path: Path, placed: bool) -> None:
    old = path.with_name(path.name + OLD)
    if os.path.lexists(old):
        os.replace(old, path)
    elif placed:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Have the names on the disk too, where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
