"""How a CSV file is written: its delimiter, its decimal mark, and whether it begins with names.

All three are decided from the first lines, by rules that can be said in a sentence each.  Where the rules cannot
decide, nothing is guessed: the cells stay text, and a numeric column with such cells is an error that names the cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from payback.errors import InputError
from payback.tabular import cells
from payback.tabular.cells import quoted

# In the order preferred when all else is equal: commas are the likeliest to stand inside a text.
DELIMITERS = ("\t", ";", "|", ",")
_SAMPLE = 1 << 16


def find_delimiter(text: str) -> str:
    r"""The delimiter of a CSV text.

    Each candidate splits the first 64 KB (quotes respected).  The winner splits the most rows into as many cells as the
    first row, at least two; then it makes the largest share of cells that are numbers; then the most cells a row.  A
    text that no candidate splits has spaces between its cells if they make all rows equally long and half of the cells
    numbers, else one column.

    >>> find_delimiter("a;b\n1,5;2\n3,5;4\n"), find_delimiter('a,b\n"x;y",1\n'), find_delimiter("a b\n1\n")
    (';', ',', ',')
    >>> find_delimiter("a   b\n1.5 2\n  3  4\n")
    ' '
    """
    best, winner = (0.0, 0.0, 0), ","
    for delimiter in DELIMITERS:
        if delimiter not in text[:_SAMPLE]:
            continue
        rows = _sample(text, delimiter)
        width = len(rows[0]) if rows else 0
        if len({len(row) for row in rows}) > 1 and width < 2:  # a title line above the table: go by the commonest width
            widths = [len(row) for row in rows]
            width = max(widths, key=widths.count)
        even = [row for row in rows if len(row) == width]
        if width < 2:
            continue
        values = [cell.strip() for row in even for cell in row]
        marks = "." if delimiter == "," else ".,"
        numbers = sum(any(cells.number(value, mark) is not None for mark in marks) for value in values)
        score = (len(even) / len(rows), numbers / len(values), width)
        if score > best:
            best, winner = score, delimiter
    if not best[0] and " " in text[:_SAMPLE]:
        head = text[:_SAMPLE]
        rows = _sample(by_tabs(head[: head.rfind("\n") + 1] if len(text) > _SAMPLE else head), "\t")
        values = [cell for row in rows for cell in row]
        numbers = sum(any(cells.number(value, mark) is not None for mark in ".,") for value in values)
        if rows and len({len(row) for row in rows}) == 1 < len(rows[0]) and 2 * numbers >= len(values):
            return " "
    return winner


def by_tabs(text: str) -> str:
    r"""A text whose cells any number of spaces divide, with a tab in their place; those in quotes stay.

    >>> by_tabs(' 1  2\n30 "a  b" \n')
    '1\t2\n30\t"a  b"\n'
    """
    return re.sub(r'("(?:[^"]|"")*")|[ \t]+', _tab, text)


def _tab(found: re.Match[str]) -> str:
    before, after = found.string[max(found.start() - 1, 0) : found.start()], found.string[found.end() : found.end() + 1]
    return found[1] or ("" if before in "\r\n" or after in "\r\n" else "\t")


def named_delimiter(text: str) -> tuple[str | None, str]:
    r"""The delimiter that a first line such as `sep=;`, Excel's, tells, or None; and the text with that line blank.

    >>> named_delimiter("sep=;\na;b"), named_delimiter("sep=x,y\n1,2")
    ((';', '\na;b'), (None, 'sep=x,y\n1,2'))
    """
    found = re.match(r'(?i:"?sep=)([^\s\w"]|\t)"?(?=[\r\n])', text)
    return (found[1], text[found.end() :]) if found else (None, text)


def _sample(text: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text[:_SAMPLE], newline=""), delimiter=delimiter, skipinitialspace=True)
    rows = [row for row in reader if row][:1000]
    if len(text) > _SAMPLE and len(rows) > 1:
        del rows[-1]  # cut off in the middle
    return rows


def check_delimiter(delimiter: str) -> str:
    """The delimiter a user asked for, one character; "tab" and a written-out backslash-t are a tab, " " and "space" any
    number of spaces."""
    delimiter = {"tab": "\t", "\\t": "\t", "space": " "}.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(
            f"the delimiter is {quoted(delimiter)}",
            why="it must be one character",
            fix="use ',', ';', '|', 'tab' or 'space'",
        )
    return delimiter


def find_decimal(columns: Sequence[Sequence[str]]) -> str:
    """The decimal mark, from the first cells of each column: "," if some column of numbers proves it, else ".".

    `1,234` alone is no proof: it may be a thousand.  It is then no number either.

    >>> find_decimal([["1,5", "2"]]), find_decimal([["1,234", "5,678"]]), find_decimal([["1,5", "a", "b"]])
    (',', '.', '.')
    """
    for column in columns:
        present = [cell for cell in map(str.strip, column) if cell not in cells.MISSING]
        commas = [cell for cell in present if "," in cell and cells.number(cell, ",") is not None]
        if not commas:
            continue
        numbers = sum(cells.number(cell, ",") is not None for cell in present)
        proofs = any(not cells.grouped(cell) or cell.lstrip("+-")[0] == "0" for cell in commas)
        if proofs and 10 * numbers >= 9 * len(present):
            return ","
    return "."


def has_names(rows: Sequence[Sequence[str]], mark: str) -> bool:
    """Whether the first of these rows names the columns.

    It does not if all its cells are numbers (unless they count up: 0, 1, 2 …), or if the file looks like a UCI one: no
    text stands above a column of numbers, and at least half of the row's texts occur again below themselves.

    >>> has_names([["a", "b"], ["1", "2"]], "."), has_names([["5.1", "setosa"], ["4.9", "setosa"]], ".")
    (True, False)
    """
    first = [cell.strip() for cell in rows[0]]
    values = [cells.number(cell, mark) for cell in first]
    is_text = [value is None and cell not in cells.MISSING for value, cell in zip(values, first, strict=True)]
    if not any(is_text):
        present = [value for value in values if value is not None]
        counts_up = len(present) == len(first) > 2 and present[0] in (0, 1)
        return not present or (counts_up and present == [present[0] + i for i in range(len(present))])
    if len(rows) == 1:
        return True
    again = 0
    for j, text in enumerate(first):
        if not is_text[j]:
            continue
        below = {row[j].strip() for row in rows[1:]} - cells.MISSING
        if below and all(cells.number(cell, mark) is not None for cell in below):
            return True
        again += text in below
    return 2 * again < sum(is_text)
