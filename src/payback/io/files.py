"""Files that appear whole or not at all, and files that are read with care."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from payback.errors import ModelFileError

OLD = ".old"  # what a file is called while its successor is moved into place


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
            handle, temporary[name] = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary[name], 0o666 & ~_umask())
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a file that lies in its folder: no pipe, no device, no link that leads out of it, nothing endless.

    Raises FileNotFoundError, and ModelFileError for all else that is wrong.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ModelFileError(f"{path.name} is not a file", where=str(path))
        if path.resolve().parent != path.parent.resolve():
            raise ModelFileError(
                f"{path.name} is a link that leads out of the folder",
                where=str(path),
                why="a model is read from its own folder only",
                fix="put a copy of the file there",
            )
        if facts.st_size > limit:
            raise ModelFileError(f"{path.name} is too large", where=str(path), why=f"the limit is {limit >> 20} MiB")
        with path.open("rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError) as problem:  # RuntimeError: links that go in a circle
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ModelFileError(f"{path.name} cannot be read", where=str(path), why=why) from None
