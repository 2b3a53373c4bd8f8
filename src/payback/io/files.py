"""Files that are read with care."""

from __future__ import annotations

import stat
from pathlib import Path

from payback.errors import ModelFileError


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
