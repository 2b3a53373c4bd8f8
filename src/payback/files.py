"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
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
    for name in files:
        _check_kind(folder / name)
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


def replaceable(path: Path, beginning: bytes) -> bool:
    """Whether nothing is lost by writing what begins so: no file is there, an empty one, or one that begins so too.

    Raises OSError where none can be: there is a folder, a device, a file that cannot be read.
    """
    _check_kind(path)
    try:
        with path.open("rb") as old:
            return old.read(len(beginning)) in (b"", beginning)
    except FileNotFoundError:
        return True


def _check_kind(path: Path) -> None:
    """Raises OSError for what no file may take the place of: root could do away with /dev/null."""
    with contextlib.suppress(FileNotFoundError):
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise OSError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(kind):
            raise OSError(errno.EEXIST, "it is a device or a pipe, not a file")


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
