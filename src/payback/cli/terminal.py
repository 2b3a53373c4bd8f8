"""Everything that the command line prints goes through here.

Three promises.  What a user's file or argument contains is shown as text and can do nothing to the terminal.  With
`--json` standard output carries one JSON object and nothing else.  Without a terminal, or with NO_COLOR, there is no
escape sequence in the output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import math
import numbers
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, TextIO, TypeVar

import numpy as np

from payback.errors import InputError, PaybackError
from payback.train.progress import Elapsed, Line, Progress, Waiting, columns_of, is_terminal

_Line = TypeVar("_Line", bound=Line)

# Controls; format characters (bidirectional marks, zero-width, soft hyphen); lone surrogates; line and paragraph ends.
_UNSAFE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_LONGEST_ERROR = 2_000  # a file whose one line is its whole content must not fill the screen


def plain(text: str) -> str:
    r"""The text with every character that could steer a terminal, or hide, written as an escape; no line breaks remain.

    >>> print(plain("size [cm] \x1b[31m \u202egpj.exe naïve 价格"))
    size [cm] \x1b[31m \u202egpj.exe naïve 价格
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNSAFE else c for c in text)


def truncate(text: str, columns: int) -> str:
    """The text cut to so many columns of a terminal; an ellipsis shows the cut.

    >>> truncate("sepal length", 6)
    'sepal…'
    """
    if width(text) <= columns:
        return text
    used, kept = 0, ""
    for character in text:
        used += width(character)
        if used > columns - 1:
            break
        kept += character
    return kept + "…"


def width(text: str) -> int:
    """How many columns of a terminal the text takes: 2 for a wide character (价), 0 for a combining accent.

    >>> width("价格 x")
    6
    """
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def to_json(value: object) -> str:
    """Strict JSON in ASCII.  NaN and infinities become "NaN", "Infinity", "-Infinity"; integers beyond 2**53, which
    most readers round, become strings; NumPy values become Python's; a dataclass becomes an object, a path a string.

    Raises TypeError for anything else that JSON does not know, ValueError for two keys with one spelling.

    >>> to_json({"loss": float("nan"), "paths": 2**60, "w": np.array([1.5, np.inf])})
    '{"loss": "NaN", "paths": "1152921504606846976", "w": [1.5, "Infinity"]}'
    """
    return json.dumps(_plain_data(value), allow_nan=False)


def _plain_data(value: object) -> Any:
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # a lone surrogate is no Unicode text
    if isinstance(value, PurePath):
        return _plain_data(str(value))
    if isinstance(value, numbers.Integral):
        return int(value) if abs(int(value)) <= 2**53 else str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isfinite(number):
            return number
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if isinstance(value, np.ndarray):
        return _plain_data(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        members = {_plain_data(str(key)): _plain_data(member) for key, member in value.items()}
        if len(members) < len(value):
            raise ValueError("two keys of a JSON object have one spelling")
        return members
    if isinstance(value, list | tuple):
        return [_plain_data(member) for member in value]
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


class Output:
    """Where a command's text, errors, progress and result go.

    With json=True the result (or the error) is the one JSON object on standard output and all text goes to standard
    error; without, text goes to standard output and `result` prints nothing.  A reader that has gone away
    (`payback … | head`) is not an error: the rest is dropped and the command finishes its work.

    >>> out = Output()
    >>> out.table([("size [cm]", 2), ("[/]", 10)], headers=("column", "rows"))
    column     rows
    size [cm]     2
    [/]          10
    """

    def __init__(self, json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None):
        self.json = json
        self._stdout = sys.stdout if stdout is None else stdout
        self._stderr = sys.stderr if stderr is None else stderr
        self._text = self._stderr if json else self._stdout
        self._bar: Line | None = None
        self._answered = False
        self._gone: set[int] = set()  # ids of the streams whose reader has gone away

    @property
    def styled(self) -> bool:
        """Whether text goes to a terminal that shows styles."""
        return _styled(self._text)

    def line(self, text: str = "", style: str | None = None) -> None:
        """Print one line; style is bold, dim, red, green or yellow, where the terminal shows styles.

        Raises InputError if the output cannot be written (a full disk), as all methods here do.
        """
        shown = plain(text)
        styled = style is not None and _styled(self._text)
        self._write(self._text, f"\x1b[{_STYLES[style or 'bold']}m{shown}\x1b[0m\n" if styled else f"{shown}\n")

    def table(
        self, rows: Sequence[Sequence[object]], headers: Sequence[object] | None = None, align: str | None = None
    ) -> None:
        """Print a table of the cells' text.

        align: a letter per column, "l" or "r"; without it a column of numbers goes right and all others left.
        Raises ValueError for rows of different lengths.
        """
        lines = [[_cell(cell) for cell in row] for row in ([headers] if headers else []) + list(rows)]
        columns = len(lines[0]) if lines else 0
        if any(len(cells) != columns for cells in lines) or len(align or "l" * columns) != columns:
            raise ValueError("the rows, headers and align of a table must have one length")
        if align is None:
            numeric = [all(isinstance(row[i], numbers.Real | np.number) for row in rows) for i in range(columns)]
            align = "".join("r" if right and rows else "l" for right in numeric)
        if lines and _styled(self._text):
            self._write(self._text, _rich_table(lines, bool(headers), align, columns_of(self._text)))
            return
        widths = [max(width(cells[i]) for cells in lines) for i in range(columns)]
        for cells in lines:
            padded = [
                " " * (w - width(c)) + c if side == "r" else c + " " * (w - width(c))
                for c, w, side in zip(cells, widths, align, strict=True)
            ]
            self._write(self._text, "  ".join(padded).rstrip() + "\n")

    def raw(self, text: str) -> None:
        """Print data for another program, a CSV file for instance, as it is: only for files, never for messages."""
        self._write(self._text, text)

    def note(self, text: str) -> None:
        """Print one line to standard error: for what must not stand among data."""
        self._write(self._stderr, f"{plain(text)}\n")

    def result(self, value: object) -> None:
        """With json=True, print `value` as the one JSON object; raises RuntimeError for a second one."""
        if not self.json:
            return
        if self._answered:
            raise RuntimeError("a command prints one JSON object")
        text = to_json(value) + "\n"
        self._answered = True
        self._write(self._stdout, text)

    def error(self, error: BaseException | str) -> None:
        """Print one line, `payback: …`, to standard error; with json=True also as the JSON object {"error": …},
        unless the result is already out."""
        message = str(error) or type(error).__name__
        if isinstance(error, BaseException) and not isinstance(error, PaybackError):
            message = f"{type(error).__name__}: {message}"
        self._write(self._stderr, f"payback: {truncate(plain(message), _LONGEST_ERROR)}\n")
        if self.json and not self._answered:
            parts = {key: getattr(error, key, None) for key in ("what", "where", "why", "fix", "exit_code")}
            told = {"message": message} | {key: part for key, part in parts.items() if part is not None}
            with contextlib.suppress(InputError):  # a full disk must not hide the first error
                self.result({"error": told})

    @contextlib.contextmanager
    def progress(self, total_epochs: int) -> Iterator[Progress]:
        """While the block runs, a progress bar with the time left on standard error; nothing if that is no terminal."""
        with self._shown(Progress(total_epochs, *self._terminal())) as bar:
            yield bar

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[float], object]]:
        """While the block runs, a line on standard error with the share that the block tells; elsewhere nothing."""
        with self._shown(Waiting(truncate(plain(what), 60), *self._terminal())) as line:
            yield line.update

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """While the block computes, and prints nothing, a line on standard error with the time, from a second on."""
        with self._shown(Elapsed(truncate(plain(what), 60), *self._terminal())) as line, line.ticking():
            yield

    def _terminal(self) -> tuple[Callable[[str], object], int]:
        columns = columns_of(self._stderr) if is_terminal(self._stderr) else 0
        return lambda text: self._send(self._stderr, text), columns

    @contextlib.contextmanager
    def _shown(self, line: _Line) -> Iterator[_Line]:
        self._bar = line
        try:
            yield line
        finally:
            self._bar = None
            line.clear()

    def _write(self, stream: TextIO | None, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()  # a line must not start behind the bar; the next update draws it again
        self._send(stream, text)

    def _send(self, stream: TextIO | None, text: str) -> None:
        if stream is None or id(stream) in self._gone:  # None: the shell closed it (`>&-`)
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except OSError as error:
            self._gone.add(id(stream))
            _discard(stream)
            if not isinstance(error, BrokenPipeError) and error.errno != errno.EINVAL and stream is not self._stderr:
                raise InputError("the output cannot be written", why=error.strerror or str(error)) from error


def _cell(value: object) -> str:
    return plain(f"{value:.6g}" if isinstance(value, float | np.floating) else str(value))


def _rich_table(lines: list[list[str]], headers: bool, align: str, columns: int) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # cells are Text, never str: a str may be read as markup

    # A column of numbers is never narrowed: a terminal that is too small breaks the lines, and no digit is lost.
    natural = [max(width(cells[i]) for cells in lines) + 2 for i in range(len(align))]
    needed = sum(n if side == "r" else min(n, 10) for n, side in zip(natural, align, strict=True))
    table = Table(box=None, pad_edge=False, show_header=headers, header_style="bold", padding=(0, 2, 0, 0))
    for i, side in enumerate(align):
        header = Text(lines[0][i]) if headers else ""
        table.add_column(header, justify="right" if side == "r" else "left", no_wrap=side == "r", overflow="fold")
    for cells in lines[headers:]:
        table.add_row(*map(Text, cells))
    picture = io.StringIO()
    console = Console(
        file=picture, force_terminal=True, color_system="standard", width=max(columns, needed), legacy_windows=False,
        markup=False, highlight=False, emoji=False,
    )  # fmt: skip
    console.print(table)
    return picture.getvalue()


def _styled(stream: TextIO | None) -> bool:
    old_windows = os.name == "nt" and "WT_SESSION" not in os.environ  # a console that prints escapes as they are
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and not old_windows


def _discard(stream: TextIO) -> None:
    """Point the stream at nothing: what is still in its buffer would fail again when Python closes it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
