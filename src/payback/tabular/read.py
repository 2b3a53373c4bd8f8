"""`read_csv` and `table_from_text`: from a file or its text to a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping

from payback.errors import InputError
from payback.tabular import dialect
from payback.tabular.cells import counted, quoted
from payback.tabular.column import Column
from payback.tabular.kinds import NUL, column_from_cells, with_missing
from payback.tabular.source import check_text, read_text
from payback.tabular.split import split_text
from payback.tabular.table import Table, listed, nearest

_SPLITTING = 0.5  # the share of the time that it takes to split a text into cells; the rest goes to what they say


def read_csv(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    kinds: Mapping[str, str] | None = None,
    missing: Collection[str] = (),
    told: Callable[[float], object] | None = None,
) -> Table:
    r"""Read a CSV file (also .csv.gz; UTF-8, or UTF-16 with a byte-order mark) into a `Table`.

    Quoting is RFC 4180's, strictly.  Spaces around a cell do not count.  Blank lines are skipped, and said.
    delimiter: comma, semicolon, tab or | are recognized, or a line `sep=;` says it; any one character may be given.  A
    space means any number of them.
    decimal: "." or ","; recognized.  Thousands separators, currencies and units are read where a whole column has them
    and proves its decimal mark, or `decimal` is given; else such a number is text.
    header: whether the first line names the columns; recognized.  Without names they are x1, x2, …, and this is said.
    kinds: overrules the recognized kind of a column: {"zip": "categorical"}; "numeric", "categorical" or "identifier".
    told: called now and then with the share that is done, 0 to 1.
    Missing cells are: nothing, ?, -, --, ., NA, N/A, n.a., NaN, null, None, NaT, #N/A, #NA, <NA>, in any usual case,
    and those of `missing`: texts, or numbers such as "-999", which is -999.0 too.

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
    return table_from_text(read_text(path), source, delimiter=delimiter, decimal=decimal, header=header, kinds=kinds,
                           missing=missing, told=told)  # fmt: skip


def table_from_text(
    text: str,
    source: str,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    kinds: Mapping[str, str] | None = None,
    missing: Collection[str] = (),
    told: Callable[[float], object] | None = None,
) -> Table:
    r"""The same for the text of a CSV file; errors call it `source`.

    >>> table_from_text("a,b\n1,2\n", "a note").names
    ['a', 'b']
    """
    told = told or (lambda share: None)
    check_text(text, source)
    if decimal not in (None, ".", ","):
        raise InputError(f"the decimal mark is {quoted(decimal)}", why="it is a point or a comma", fix="use '.' or ','")
    named, text = dialect.named_delimiter(text)
    if delimiter is not None:
        delimiter = dialect.check_delimiter(delimiter)
    delimiter = delimiter or named or dialect.find_delimiter(text)
    spaces = delimiter == " "
    if spaces:
        text, delimiter = dialect.by_tabs(text), "\t"
    given = [text]
    del text  # so that it can go as soon as it is split
    rows = split_text(given.pop(), delimiter, source, lambda share: told(_SPLITTING * share))
    columns = rows.columns

    mark = decimal or dialect.find_decimal(list(zip(*(rows.sample[1:] or rows.sample), strict=True)))
    notes = ["cells are divided by spaces"] if spaces else []
    if dialect.has_names(rows.sample, mark) if header is None else header:
        names, unnamed = _names(rows.sample[0], source, rows.lines[0])
        if len(rows.lines) == 1:
            what = f"{quoted(source, 1000)} has {counted(len(names), 'column name')} but no rows of data"
            raise InputError(what, why="the first line is taken for the names", fix="add rows below it")
        for j, cells in enumerate(columns):
            columns[j] = cells.split(NUL, 1)[1]
        lines = rows.lines[1:]
        if unnamed:
            notes.append(f"{counted(len(unnamed), 'column')} without a name: called {listed(unnamed, 3)}")
    else:
        names, lines = [f"x{j}" for j in range(1, len(columns) + 1)], rows.lines
        if header is None:
            notes.append(f"the first line holds data, not names: the columns are called x1 … x{len(names)}")
    if mark == ",":
        notes.append("numbers are read with a decimal comma")
    if blank := rows.blank - bool(named):
        notes.append(f"{counted(blank, 'blank line')} skipped")

    kinds = _check_kinds(kinds, names, source)
    made: list[Column] = []
    gone = 0
    for j, name in enumerate(names):
        told(_SPLITTING + (1 - _SPLITTING) * j / len(names))
        texts, columns[j] = columns[j], ""
        column = column_from_cells(name, texts, mark, kind := kinds.get(name), sure=decimal is not None)
        if missing:
            column = with_missing(before := column, missing, kind, sure=decimal is not None)
            gone += int(column.missing.sum() - before.missing.sum())
        made.append(column)
    if missing:
        notes.append(f"{counted(gone, 'cell')} with {listed(missing)} taken as missing")
    return Table(tuple(made), len(lines), source, tuple(notes), lines)


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
