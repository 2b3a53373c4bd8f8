"""`read_csv` and `table_from_text`: from a file or its text to a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from payback.errors import InputError
from payback.tabular import dialect
from payback.tabular.cells import counted, quoted
from payback.tabular.kinds import NUL, column_from_cells
from payback.tabular.source import check_text, read_text
from payback.tabular.table import Table, listed, nearest

MAX_COLUMNS = 100_000
# Rows are turned into columns a block at a time, and a block's cells are joined at once: a hundred thousand rows of
# small strings would take five times the memory, and the garbage collector would walk them again and again.
_BLOCK = 512


def read_csv(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Table:
    r"""Read a CSV file (also .csv.gz; UTF-8, or UTF-16 with a byte-order mark) into a `Table`.

    Quoting is RFC 4180's, strictly.  Spaces around a cell do not count.  Blank lines are skipped, and said.
    delimiter: comma, semicolon, tab or | are recognized; any one character may be given.
    decimal: "." or ","; recognized.  Thousands separators are never read: a number with one is text.
    header: whether the first line names the columns; recognized.  Without names they are x1, x2, …, and this is said.
    kinds: overrules the recognized kind of a column: {"zip": "categorical"}; "numeric", "categorical" or "identifier".
    Missing cells are: nothing, ?, -, --, ., NA, N/A, n.a., NaN, null, None, NaT, #N/A, #NA, <NA>, in any usual case.

    Raises InputError: file missing, empty, not text; rows of different length; a quote that is not closed; names twice.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "fruit.csv")
    ...     _ = file.write_text("name;grams\nfig;50,5\nkiwi;?\nfig;48,0\n")
    ...     fruit = read_csv(file)
    >>> [(column.name, column.kind, column.values.tolist()) for column in fruit.columns]
    [('name', 'categorical', ['fig', 'kiwi', 'fig']), ('grams', 'numeric', [50.5, nan, 48.0])]
    """
    source = os.fspath(path)
    return table_from_text(read_text(path), source, delimiter=delimiter, decimal=decimal, header=header, kinds=kinds)


def table_from_text(
    text: str,
    source: str,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Table:
    r"""The same for the text of a CSV file; errors call it `source`.

    >>> table_from_text("a,b\n1,2\n", "a note").names
    ['a', 'b']
    """
    check_text(text, source)
    if decimal not in (None, ".", ","):
        raise InputError(f"the decimal mark is {quoted(decimal)}", why="it is a point or a comma", fix="use '.' or ','")
    delimiter = dialect.find_delimiter(text) if delimiter is None else dialect.check_delimiter(delimiter)
    rows = _split(text, delimiter, source)

    mark = decimal or dialect.find_decimal(list(zip(*(rows.sample[1:] or rows.sample), strict=True)))
    notes = []
    if dialect.has_names(rows.sample, mark) if header is None else header:
        names, unnamed = _names(rows.sample[0], source, rows.lines[0])
        if len(rows.lines) == 1:
            what = f"{quoted(source, 1000)} has {counted(len(names), 'column name')} but no rows of data"
            raise InputError(what, why="the first line is taken for the names", fix="add rows below it")
        columns, lines = [column.split(NUL, 1)[1] for column in rows.columns], rows.lines[1:]
        if unnamed:
            notes.append(f"{counted(len(unnamed), 'column')} without a name: called {listed(unnamed, 3)}")
    else:
        names, columns, lines = [f"x{j}" for j in range(1, len(rows.columns) + 1)], rows.columns, rows.lines
        if header is None:
            notes.append(f"the first line holds data, not names: the columns are called x1 … x{len(names)}")
    if mark == ",":
        notes.append("numbers are read with a decimal comma")
    if rows.blank:
        notes.append(f"{counted(rows.blank, 'blank line')} skipped")

    kinds = _check_kinds(kinds, names, source)
    made = [column_from_cells(name, texts, mark, kinds.get(name)) for name, texts in zip(names, columns, strict=True)]
    return Table(tuple(made), len(lines), source, tuple(notes), np.array(lines, dtype=np.int64))


class _Split(NamedTuple):
    columns: list[str]  # the cells of a column, the first row's included, joined by NUL
    lines: list[int]  # on which each row begins
    sample: list[list[str]]  # the first rows
    blank: int  # number of blank lines


def _split(text: str, delimiter: str, source: str) -> _Split:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    sample: list[list[str]] = []
    blocks: list[list[str]] = []
    lines: list[int] = []
    line, width, blank = 1, -1, 0  # no row has this width: the first one gives it
    try:
        for row in reader:
            if len(row) != width:
                if not row or (width != 1 and len(row) == 1 and not row[0].strip()):
                    blank += 1
                    line = reader.line_num + 1
                    continue
                if width > 0:
                    raise _ragged(row, width, source, line, lines[0])
                width = len(row)
                if width > MAX_COLUMNS:
                    why = f"its first line has {width:,} cells, and more than {MAX_COLUMNS:,} columns are not read"
                    raise InputError(f"{quoted(source, 1000)} has too many columns", why=why)
            rows.append(row)
            lines.append(line)
            line = reader.line_num + 1
            if len(rows) == _BLOCK:
                blocks.append(list(map(NUL.join, zip(*rows, strict=True))))
                sample, rows = sample or rows, []
    except csv.Error as error:
        raise _not_csv(error, source, line, reader.line_num) from None
    if rows:
        blocks.append(list(map(NUL.join, zip(*rows, strict=True))))
    if not blocks:
        raise InputError(f"{quoted(source, 1000)} is empty", why="a table needs a line of names and rows of data")
    return _Split([NUL.join(column) for column in zip(*blocks, strict=True)], lines, sample or rows, blank)


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


def _names(row: list[str], source: str, line: int) -> tuple[list[str], list[str]]:
    """(the names of the columns, those that had none in the file)."""
    names = [cell.strip() for cell in row]
    seen: dict[str, int] = {}
    for j, name in enumerate(names):
        if name and seen.setdefault(name, j) != j:
            raise InputError(
                f"two columns are called {quoted(name)}",
                where=f"{source}, line {line}, columns {seen[name] + 1} and {j + 1}",
                why="a column is known by its name",
                fix="rename one of them",
            )
    unnamed = []
    for j, name in enumerate(names):
        if not name:
            names[j] = f"column_{j + 1}"
            while names[j] in seen:
                names[j] += "_"
            unnamed.append(names[j])
    return names, unnamed


def _check_kinds(kinds: Mapping[str, str] | None, names: list[str], source: str) -> Mapping[str, str]:
    allowed = ("numeric", "categorical", "identifier")
    for name, kind in (kinds or {}).items():
        if name not in names:
            raise InputError(f"there is no column {quoted(name)}", where=source, fix=nearest(name, names))
        if kind not in allowed:
            why = f"a kind that can be given is {listed(allowed)}"
            raise InputError(f"the kind of column {quoted(name)} is {quoted(kind)}", why=why)
    return kinds or {}
