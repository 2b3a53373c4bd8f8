"""From a CSV text to columns of cells.

`csv.reader` makes a list of every row, which costs several times what the cells do.  So a block of lines is cut at
its delimiters at once, and every n-th piece is a cell of the same column.  `csv.reader` reads the blocks where quotes
hold a delimiter, or are around some cells of a column, and those where something is wrong, and says what.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from payback.errors import InputError
from payback.tabular.cells import counted, quoted
from payback.tabular.kinds import NUL

MAX_COLUMNS = 100_000
# A block's cells are joined at once: a hundred thousand rows of small strings would take five times the memory, and the
# garbage collector would walk them again and again.
_BLOCK = 1 << 16  # characters
_CELLS = 256  # characters of a column in a block, at least, on average: a string has some 50 bytes besides
_SAMPLE = 512  # rows that the dialect is decided by
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True)
class Split:
    """The cells of a text, and where they were.

    columns: the cells of each column, the first row's included, joined by NUL.  lines: int64 (rows,), the line on which
    each row begins.  sample: the first rows.  blank: the number of blank lines.
    """

    columns: list[str]
    lines: NDArray[np.int64]
    sample: list[list[str]]
    blank: int


def split_text(text: str, delimiter: str, source: str, told: Callable[[float], object]) -> Split:
    r"""The rows of a CSV text.  told: called now and then with the share that is done.

    Raises InputError: no rows, rows of different length, a quote that is not closed, too many columns.

    >>> split_text("a,b\n1,2\n", ",", "a note", lambda share: None).columns == ["a\0001", "b\0002"]
    True
    """
    rows, length = _Rows(text, delimiter, source), len(text)
    del text
    while rows.at < length:
        told(rows.at / length)
        size = max(_BLOCK, _CELLS * rows.width)
        end = rows.text.rfind("\n", rows.at, rows.at + size) + 1
        if not (end and rows.width > 0 and rows.cut(end)):
            rows.read(end or rows.at + size)
    if not rows.blocks:
        raise InputError(f"{quoted(source, 1000)} is empty", why="a table needs a line of names and rows of data")
    rows.text = ""  # if nobody else holds it; the cells twice beside it would be the most memory that reading takes
    columns = []
    for j in range(rows.width):
        columns.append(NUL.join([block[j] for block in rows.blocks]))
        for block in rows.blocks:
            block[j] = ""
    return Split(columns, np.concatenate(rows.lines), rows.sample, rows.blank)


@dataclass
class _Rows:
    """What has been read of a text."""

    text: str
    delimiter: str
    source: str
    at: int = 0  # where the next row begins
    line: int = 1  # on which line that is
    width: int = -1  # no row has this width: the first one gives it
    first: int = 1  # the line of the first row
    blank: int = 0
    blocks: list[list[str]] = field(default_factory=list)
    lines: list[NDArray[np.int64]] = field(default_factory=list)
    sample: list[list[str]] = field(default_factory=list)

    def cut(self, end: int) -> bool:
        """Cut the lines up to `end` into cells, if all are rows, and a column is in quotes as a whole or not at all."""
        block = self.text[self.at : end]
        if "\r" in block:
            block = block.replace("\r\n", "\n")
        block = block[:-1]
        lines = block.split("\n")
        if (
            "\r" in block
            or set(map(str.count, lines, repeat(self.delimiter))) != {self.width - 1}
            or (self.width == 1 and "" in lines)
            or max(map(len, lines)) > csv.field_size_limit()
        ):
            return False
        cells = block.replace("\n", self.delimiter).split(self.delimiter)
        columns = [NUL.join(cells[j :: self.width]) for j in range(self.width)]
        if '"' in block:
            if not all('"' not in column or _is_quoted(column, len(lines)) for column in columns):
                return False
            columns = [column.replace('"', "") for column in columns]
        self.blocks.append(columns)
        self.lines.append(np.arange(self.line, self.line + len(lines)))
        self.at, self.line = end, self.line + len(lines)
        return True

    def read(self, end: int) -> None:
        """Read rows until one ends at `end` or beyond it."""
        reader = csv.reader(self._ahead(), delimiter=self.delimiter, skipinitialspace=True, strict=True)
        rows: list[list[str]] = []
        lines: list[int] = []
        line = before = self.line
        try:
            while self.at < end and (row := next(reader, None)) is not None:
                line, self.line = self.line, before + reader.line_num
                if len(row) != self.width:
                    if not row or (self.width != 1 and len(row) == 1 and not row[0].strip()):
                        self.blank += 1
                        continue
                    self._begin(row, line)
                rows.append(row)
                lines.append(line)
        except csv.Error as error:
            raise _not_csv(error, self.source, self.line, before + reader.line_num - 1) from None
        if rows:
            self.sample = self.sample or rows[:_SAMPLE]
            self.blocks.append(list(map(NUL.join, zip(*rows, strict=True))))
            self.lines.append(np.array(lines))

    def _ahead(self) -> Iterator[str]:
        """The lines from here on."""
        while self.at < len(self.text):
            match = _LINE.match(self.text, self.at)
            assert match is not None
            self.at = match.end()
            yield match[0]

    def _begin(self, row: list[str], line: int) -> None:
        """Take the table's width from its first row.  Raises InputError for a row that has another."""
        if self.width > 0:
            raise _ragged(row, self.width, self.source, line, self.first)
        if len(row) > MAX_COLUMNS:
            why = f"its first line has {len(row):,} cells, and more than {MAX_COLUMNS:,} columns are not read"
            raise InputError(f"{quoted(self.source, 1000)} has too many columns", why=why)
        self.width, self.first = len(row), line


def _is_quoted(column: str, count: int) -> bool:
    """Whether each of these cells is in quotes, and there are no others."""
    between = column.count(f'"{NUL}"') == count - 1
    return between and column.count('"') == 2 * count and column[0] == column[-1] == '"'


def _ragged(row: list[str], width: int, source: str, line: int, first_line: int) -> InputError:
    if len(row) < width:
        fix = "add the missing cells, or remove the line"
    elif width == 1:
        fix = "remove the lines above the names, or name the delimiter"
    else:
        fix = "put a text that contains the delimiter in double quotes"
    return InputError(
        f"a row with {counted(len(row), 'cell')} in a table with {counted(width, 'column')}",
        where=f"{source}, line {line}",
        why=f"line {first_line} has {counted(width, 'cell')}",
        fix=fix,
    )


def _not_csv(error: csv.Error, source: str, start: int, end: int) -> InputError:
    where = f"{source}, line {start}"
    text = str(error)
    if "unexpected end of data" in text or ("field limit" in text and end > start):
        fix = "close the quote, or write a quote inside a quoted text twice"
        return InputError(
            "a double quote is not closed", where=where, why="the text runs on through the next lines", fix=fix
        )
    if "field limit" in text:
        fix = "check that this is a table, and its delimiter"
        return InputError(f"a cell longer than {csv.field_size_limit():,} characters", where=where, fix=fix)
    if "expected after" in text:
        fix = "write a quote inside a quoted text twice"
        return InputError("text after a closing double quote", where=where, why="a quoted cell ends there", fix=fix)
    return InputError("this is not CSV", where=where, why=text)
