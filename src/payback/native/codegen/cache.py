"""Compiled code kept on disk: a private folder, and entries that only this user can have written.

PAYBACK_CACHE names another folder, or "off".  An entry is object code behind a keyed digest (HMAC-SHA256) of itself and
its name; the key is made once and lies in the folder.  Whatever does not look right is not used: then code is compiled
again, and where the folder is at fault one warning says so.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from payback import __version__

SETTING = "PAYBACK_CACHE"
MOST_ENTRIES = 10_000  # then the oldest go
EACH = 256  # one in so many names has the folder looked through when it is written, for that takes milliseconds
SUFFIXES = (".code", ".list", ".plan", ".part")
DIGEST = 32

_BEGUN = time.time_ns()
_warned = False
_keys: dict[Path, bytes] = {}


def folder() -> Path | None:
    """Where entries are kept; None: nowhere."""
    told = os.environ.get(SETTING)
    if told is not None and told.lower() in ("off", "0", ""):
        return None
    if told:
        return Path(told)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base) / "payback" / "code" if base else None
    home = os.path.expanduser("~")
    if not os.path.isdir(home):  # a service without a home
        return None
    if sys.platform == "darwin":
        return Path(home) / "Library" / "Caches" / "payback" / "code"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path(home) / ".cache") / "payback" / "code"


def _complain(where: Path, why: object) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"compiled code is not kept in {where}: {why}; set {SETTING} to a folder of your own, or to off",
            RuntimeWarning,
            stacklevel=2,
        )


class _UnsafeError(OSError):
    """A folder or file that somebody else may have written."""


def _check(status: os.stat_result, where: Path, is_kind: bool) -> None:
    if not is_kind:
        raise _UnsafeError(f"{where} is a link or no plain {'file' if where.suffix else 'folder'}")
    if hasattr(os, "geteuid"):
        if status.st_uid != os.geteuid():
            raise _UnsafeError(f"{where} belongs to another user")
        if status.st_mode & 0o077:
            raise _UnsafeError(f"others may use {where}: its mode is {stat.S_IMODE(status.st_mode):o}, not 700 or 600")


def _open(where: Path) -> Path:
    """The folder, made if need be, private."""
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = os.lstat(where)
    _check(status, where, stat.S_ISDIR(status.st_mode))
    return where


def _read(where: Path) -> bytes:
    kind = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_BINARY", "O_NONBLOCK"))  # nor is a pipe waited for
    handle = os.open(where, sum(kind, os.O_RDONLY))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        _check(status, where, stat.S_ISREG(status.st_mode))
        return file.read()


def _write(where: Path, content: bytes) -> None:
    """All of it or nothing, whoever reads or is killed meanwhile."""
    handle, name = tempfile.mkstemp(dir=where.parent, suffix=".part")  # mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, where)
    except BaseException:
        os.unlink(name)
        raise


def _key(home: Path) -> bytes:
    if home not in _keys:
        place = home / "key.bin"
        try:
            key = _read(place)
        except FileNotFoundError:
            _write(place, os.urandom(DIGEST))
            key = _read(place)  # another process's, where it was quicker
        if len(key) != DIGEST:
            raise _UnsafeError(f"{place} is no key")
        _keys[home] = key
    return _keys[home]


@cache
def _basis() -> bytes:
    """What all code here depends on: this compiler, LLVM, and the CPU.  Files are read only where times do not tell."""
    stamp = _stamp()
    if stamp is not None:
        return stamp
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    digest.update(_host())
    return digest.digest()


@cache
def _host() -> bytes:
    features = llvm.get_host_cpu_features().flatten()
    parts = (llvmlite.__version__, str(llvm.llvm_version_info), llvm.get_process_triple(), llvm.get_host_cpu_name())
    return b"".join(part.encode() + b"\0" for part in (*parts, features))


@cache
def _stamp() -> bytes | None:
    """What all that a plan depends on is: every file of payback, by size and times, for reading them takes long;
    Python and NumPy.  None: a file is younger than this process's payback, so what is written there may be another.
    """
    digest, newest = hashlib.sha256(_host()), 0
    told: list[Any] = [sys.version, np.__version__, __version__]
    for entry in sorted(_files(str(Path(__file__).parents[2])), key=lambda entry: entry.path):
        status = entry.stat()
        told += (entry.path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        newest = max(newest, status.st_mtime_ns)
    digest.update(repr(told).encode())
    return digest.digest() if newest < _BEGUN else None


def _files(where: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(where) as entries:
        for entry in entries:
            if entry.name.endswith((".py", ".pyc")):  # what lies in __pycache__ is made of these
                yield entry
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _files(entry.path)


def plan_of(key: bytes) -> str | None:
    """The entry for what planning came to; the key says what was planned.  None: it cannot be kept."""
    stamp = _stamp() if folder() is not None else None
    return None if stamp is None else hashlib.sha256(stamp + key).hexdigest()[:40] + ".plan"


def name_of(symbols: list[str]) -> str:
    """The entry for kernels of these names."""
    return _digest(symbols) + ".code"


def list_of(symbols: list[str]) -> str:
    """The entry that says where kernels of these names are."""
    return _digest(sorted(symbols)) + ".list"


def _digest(symbols: list[str]) -> str:
    basis = _basis() if folder() is not None else b""  # where nothing is kept, nothing is found
    return hashlib.sha256(basis + "\0".join(symbols).encode()).hexdigest()[:40]


def _seal(home: Path, name: str, code: bytes) -> bytes:
    return hmac.digest(_key(home), name.encode() + b"\0" + code, "sha256")


def load(name: str) -> bytes | None:
    """The object code of an entry, or None."""
    home = folder()
    if home is None:
        return None
    try:
        content = _read(_open(home) / name)
        seal, code = content[:DIGEST], content[DIGEST:]
        if hmac.compare_digest(seal, _seal(home, name, code)):
            return code
        return None  # cut short, altered, or sealed with another key: compiled again and written anew
    except FileNotFoundError:
        return None
    except OSError as problem:
        _complain(home, problem)
        return None


def objects_of(symbols: list[str]) -> dict[str, list[bytes]]:
    """The objects that hold kernels of these names, as far as they are kept: names of entries -> their object code.

    Entries that end in .list say which objects hold some kernels, those that need each other in one line; there is one
    for each set that a program asked for and one for each kernel, so that another program finds what it has in common
    with earlier ones.
    """
    if folder() is None:
        return {}
    together = load(list_of(symbols))
    lists = [together] if together is not None else [load(list_of([symbol])) for symbol in symbols]
    lines = dict.fromkeys(line for told in lists if told is not None for line in told.decode().splitlines())
    found = {line: [load(name) for name in line.split()] for line in lines}
    return {line: codes for line, codes in found.items() if None not in codes}


def keep_objects(
    made: dict[str, bytes], homes: Mapping[str, Sequence[str]], symbols: list[str], others: Sequence[str]
) -> None:
    """Keep objects.  homes: of each kernel, the entries that hold it and what it calls; symbols: all that a program
    asked for; others: the lines of those that were there."""
    entries = dict(made)
    for symbol, home in homes.items():
        entries[list_of([symbol])] = " ".join(home).encode()
    entries[list_of(symbols)] = "\n".join(dict.fromkeys([*map(" ".join, homes.values()), *others])).encode()
    save_all(entries)


def save(name: str, code: bytes) -> None:
    """Keep object code; where that fails, one warning and nothing else."""
    save_all({name: code})


def save_all(entries: dict[str, bytes]) -> None:
    """Keep several entries, in this order."""
    home = folder()
    if home is None or _warned:
        return
    try:
        _open(home)
        for name, content in entries.items():
            _write(home / name, _seal(home, name, content) + content)
        if any(crc32(name.encode()) % EACH == 0 for name in entries):  # nobody need count, in whatever process
            _prune(home)
    except OSError as problem:
        _complain(home, problem)


def _prune(home: Path) -> None:
    """Where there are too many, the oldest go, down to three quarters.  Other processes may be at it too."""
    entries = [entry for entry in os.scandir(home) if entry.name.endswith(SUFFIXES)]
    if len(entries) > MOST_ENTRIES:
        ages = []
        for entry in entries:
            with suppress(FileNotFoundError):
                ages.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
        for _, path in sorted(ages)[: max(len(ages) - MOST_ENTRIES * 3 // 4, 0)]:
            with suppress(FileNotFoundError):
                os.unlink(path)
