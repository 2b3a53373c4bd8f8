"""From a file to its text: what can be wrong with the bytes, said with offset and line."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import zlib
from pathlib import Path

from payback.errors import InputError
from payback.tabular.cells import quoted
from payback.tabular.table import nearest

MAX_BYTES = 1 << 31
_PATH = 1000  # characters of a path that are shown
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    **{b"\x80" + bytes([version]): ("a Python pickle", "write the table as CSV") for version in range(2, 6)},
    b"\x93NUMPY": ("an array of NumPy's", "write the table as CSV"),
    b"\x89HDF": ("an HDF5 file", "write the table as CSV"),
    b"BZh": ("a file packed by bzip2", "unpack it, or pack it by gzip"),
    b"\xfd7zXZ": ("a file packed by xz", "unpack it, or pack it by gzip"),
    b"\x28\xb5\x2f\xfd": ("a file packed by zstd", "unpack it, or pack it by gzip"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV"),
    b"PAR1": ("a Parquet file", "write it as CSV"),
    b"%PDF": ("a PDF", "give a CSV file"),
    b"SQLite format 3": ("an SQLite database", "write the table as CSV"),
}
_WRITTEN = (
    (re.compile(r"\s*(\[\s*[\[{]|\{\s*[\"}])"), "JSON", "write the table as CSV"),
    (re.compile(r"\s*<(!doctype|html|\?xml|table)\b", re.IGNORECASE), "a page in HTML or XML", "save the table as CSV"),
)
_LOOKED_AT = 4096  # bytes, for what no text in a known encoding holds
_BREAK = re.compile(rb"\r\n|\r|\n")


def read_text(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> str:
    """The text of a file in UTF-8 (with or without byte-order mark) or UTF-16 (with one), plain or gzipped.

    limit: the largest number of bytes accepted, after decompression.
    Raises InputError: the file is missing (with the nearest names), a folder, unreadable, too large, not text.
    """
    name = os.fspath(path)
    return text_of(_read_bytes(Path(name), name, limit), name, limit)


def text_of(data: bytes, name: str, limit: int = MAX_BYTES) -> str:
    """The text of such a file's content; errors call it `name`.  Raises InputError: too large, not text.

    >>> text_of(gzip.compress(b"a,b"), "a note")
    'a,b'
    """
    if data.startswith(_GZIP):
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(limit + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            what = f"{quoted(name, _PATH)} is a broken gzip file"
            raise InputError(what, why=str(error), fix="compress it again") from None
    if len(data) > limit:
        raise InputError(f"{quoted(name, _PATH)} is too large", why=f"more than {limit:,} bytes", fix="split the table")
    for start, (what, fix) in _FOREIGN.items():
        if data.startswith(start):
            raise InputError(f"{quoted(name, _PATH)} is {what}", why="payback reads tables as CSV text", fix=fix)
    return _decode(data, name)


def check_text(text: str, name: str) -> None:
    """Raises InputError if `text`, from the source `name`, is empty, holds a NUL character, or is no table."""
    if "\0" in text:
        at = text.index("\0")
        raise InputError(
            f"{quoted(name, _PATH)} holds a NUL character",
            where=f"line {_line_of(text[:at].encode())}",
            why="text files have none: it may be UTF-16 without a byte-order mark, or not text at all",
            fix="save the file as UTF-8",
        )
    if not text or text.isspace():
        raise InputError(f"{quoted(name, _PATH)} is empty", why="a table needs a line of names and rows of data")
    for start, what, fix in _WRITTEN:
        if start.match(text):
            raise InputError(f"{quoted(name, _PATH)} is {what}", why="payback reads tables as CSV text", fix=fix)


def _read_bytes(path: Path, name: str, limit: int) -> bytes:
    try:
        is_folder = bool(name) and path.is_dir()
    except (OSError, ValueError):  # no such name can exist: opening it says why
        is_folder = False
    if is_folder:
        raise InputError(
            f"{quoted(name, _PATH)} is a folder", why="a table is read from one CSV file", fix=_inside(path)
        )
    try:
        with open(name, "rb") as file:
            return file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path, name) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read {quoted(name, _PATH)}", why=why) from None


def _missing(path: Path, name: str) -> InputError:
    folder = path.parent
    if re.match(r"\w+://", name):
        return InputError(
            f"there is no file {quoted(name, _PATH)}",
            why="payback downloads nothing",
            fix="fetch it first, as in: curl -L URL | payback train -",
        )
    if not folder.is_dir():
        return InputError(
            f"there is no file {quoted(name, _PATH)}", why=f"there is no folder {quoted(str(folder), _PATH)}"
        )
    try:
        names = sorted(os.listdir(folder))[:5000]
    except OSError:
        names = []
    return InputError(f"there is no file {quoted(name, _PATH)}", fix=nearest(path.name, names))


def _inside(folder: Path) -> str | None:
    try:
        tables = sorted(entry for entry in os.listdir(folder) if entry.lower().endswith((".csv", ".csv.gz", ".tsv")))
    except OSError:
        return None
    return (
        f"did you mean {' or '.join(quoted(str(folder / table), _PATH) for table in tables[:3])}?" if tables else None
    )


def _decode(data: bytes, name: str) -> str:
    encoding, shown, skip = "utf-8", "UTF-8", 0
    if data.startswith(codecs.BOM_UTF8):
        skip = 3
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        skip, shown = 2, "UTF-16"
        encoding = "utf-16-le" if data.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    try:
        return (data[skip:] if skip else data).decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start + skip
        before = data[skip:at] if skip != 2 else data[skip:at].decode(encoding, "replace").encode()
        raise InputError(
            f"{quoted(name, _PATH)} is not {shown} text",
            where=f"line {_line_of(before)}, byte {at:,} of the file is 0x{data[at]:02x}",
            why="it holds NUL characters: it may be UTF-16 without a byte-order mark, or no text at all"
            if b"\0" in data[:_LOOKED_AT]
            else "it may be written in Latin-1 or Windows-1252",
            fix="save it as UTF-8",
        ) from None


def _line_of(before: bytes) -> int:
    return 1 + len(_BREAK.findall(before))
