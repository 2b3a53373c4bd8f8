"""From cells to a column: how its kind is decided.

In this order, by the cells that are not missing (n of them, k distinct):

==============  =====================================================================================================
empty           no cell has a value
constant        one value, nothing missing
identifier      text: k = n.  Whole numbers: all present and distinct, in a column *named* like an identifier (`id`,
                `customer_id`, `PassengerId`), or counting up by one in a column without a name or called `index`,
                `row`, `no`; in any order in more than 20 rows (of a table that was shuffled, or is part of another).  A
                counting column with any other name is numeric: it may well be the x of a line
numeric         every cell is a number (0/1 too); `00123` is a code and not a number when all cells have one width.
                Also where all are written with one currency or unit, or in groups of three digits (see `written`)
boolean         both words of a pair true/false, yes/no, t/f, y/n, on/off, in any case, and no third word
date            every cell a date in the same order of day, month and year (see `cells.date_orders`)
mixed           half of the cells or more look like numbers, and the other texts look like mistakes or marks for missing
                values: they are one cell or a tenth of the cells at most, or at most 3 different ones.  It cannot be
                trained on.  It counts as categorical instead if it clearly is: k <= 20, and each text in it occurs at
                least 3 times and in at least n/(10 k) rows (`3+` among the numbers of dependents; but not one `abc`
                among 2,000 ages)
categorical     all other text
==============  =====================================================================================================
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from payback.tabular import cells
from payback.tabular.column import Column
from payback.tabular.written import Written, find_written

_ID_NAME = re.compile(r"(?i:id|ids|uuid|guid|.*[_\s.-]id)|.*[a-z]I[dD]")
_INDEX_NAME = re.compile(
    r"(?i)|#|index|idx|row|rows?[_\s.-]?(names?|numbers?|nums?|nr|no|id)|no\.?|nr\.?|unnamed: \d+|column_\d+"
)
_ROUNDED = "whole numbers of more than 15 digits are rounded"
_MOST_DIGITS = 309  # of a finite float64
NUL = "\0"


class _Codes(dict[str, int]):
    """Numbers texts in the order in which they are first asked for."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


def column_from_cells(
    name: str, joined: str, mark: str = ".", kind: str | None = None, *, sure: bool = False
) -> Column:
    r"""A column from the texts of its cells, joined by NUL characters (which no cell holds; one string is far smaller
    than 100,000 strings).  `kind` overrules what is recognized: "numeric", "categorical" or "identifier".
    sure: whether the decimal mark is known, not just likely.

    >>> column_from_cells("size", "1.5\0?\0002").kind, column_from_cells("fruit", "fig\0kiwi\0fig").kind
    ('numeric', 'categorical')
    """
    wanted = kind in (None, "numeric")
    numbers = _all_numbers(joined, mark) if wanted else None
    if numbers is not None:
        return _rounded(column_from_numbers(name, numbers, mark, kind), joined)
    codes, labels = _factorize(joined.split(NUL))
    numbers = _numbers_of(labels, mark) if wanted else None
    if numbers is not None and (kind == "numeric" or not _is_code(labels)):
        return _rounded(column_from_numbers(name, np.append(numbers, np.nan)[codes], mark, kind), joined)
    written = find_written(labels, mark, sure) if wanted and numbers is None else None
    return (
        _text_column(name, codes, labels, mark, kind)
        if written is None
        else _written_column(name, codes, labels, mark, kind, written)
    )


def column_from_numbers(name: str, numbers: NDArray[np.float64], mark: str = ".", kind: str | None = None) -> Column:
    """A column from float64 numbers (n,), NaN where missing."""
    note = ""
    if kind is None:
        missing = int(np.isnan(numbers).sum())
        if missing == len(numbers):
            kind = "empty"
        elif missing:
            kind = "numeric"
        elif numbers.min() == numbers.max():
            kind = "constant"
        elif _numbers_rows(name, numbers):
            kind, note = "identifier", "a different whole number in each row"
        else:
            kind = "numeric"
    return Column(name, kind, numbers=numbers, mark=mark, note=note)


def with_missing(column: Column, marks: Collection[str], kind: str | None = None, *, sure: bool = False) -> Column:
    """The column without the values that are one of these texts, or the same number, and its kind decided anew.
    kind, sure: as of `column_from_cells`.

    >>> with_missing(column_from_cells("age", "20\\0-999\\0n. s.\\0-999.0"), ["-999", "n. s."]).values.tolist()
    [20.0, nan, nan, nan]
    """
    values = {value for text in marks if (value := cells.number(text, column.mark)) is not None}
    if column.codes is None:
        assert column.numbers is not None
        gone = np.isin(column.numbers, list(values))
        if not gone.any():
            return column
        made = column_from_numbers(column.name, np.where(gone, np.nan, column.numbers), column.mark, kind)
        return dataclasses.replace(made, note=made.note or (column.note if made.kind == column.kind else ""))
    texts = [
        text if text not in marks and cells.number(text, column.mark) not in values else "" for text in column.labels
    ]
    if tuple(texts) == column.labels:
        return column
    joined = NUL.join([[*texts, ""][code] for code in column.codes.tolist()])
    return column_from_cells(column.name, joined, column.mark, kind, sure=sure)


def _written_column(
    name: str, codes: NDArray[np.int32], labels: list[str], mark: str, kind: str | None, written: Written
) -> Column:
    read = [written.number(text) for text in labels]
    values = np.array([np.nan if value is None else value for value in read] + [np.nan])
    others = np.isnan(values[codes]) & (codes >= 0)
    if not others.any():
        column = column_from_numbers(name, values[codes], mark, kind)
        note = "; ".join(filter(None, (column.note, written.note)))
        return dataclasses.replace(column, codes=codes, labels=tuple(labels), note=note, written=written)
    if kind is None and (10 * others.sum() > len(codes) or len(set(codes[others])) > 3):
        return _text_column(name, codes, labels, mark, kind)
    note = f"numbers with some text, {written.note}"
    return Column(name, "mixed", None, codes, tuple(labels), mark, note=note, written=written)


def _rounded(column: Column, joined: str) -> Column:
    """The column with a note if its cells write whole numbers of so many digits that float64 rounds them."""
    assert column.numbers is not None
    if not (np.abs(column.numbers) >= 2.0**53).any():
        return column
    texts = {text for cell in joined.split(NUL) if (text := cell.strip().lstrip("+-")).isdecimal()}
    if all(int(float(text)) == int(text) for text in texts if len(text) < _MOST_DIGITS):
        return column
    return dataclasses.replace(column, note=f"{column.note}; {_ROUNDED}".lstrip("; "))


def _all_numbers(joined: str, mark: str) -> NDArray[np.float64] | None:
    """float64 (n,) if all cells are plain JSON numbers; None says nothing yet.

    A JSON decoder reads a list of numbers about six times as fast as `float` reads the cells, with the same rounding,
    and takes none of the odd spellings of `float` (1_000, inf, ١).
    """
    import msgspec

    if not joined.isascii() or ("," if mark == "." else ".") in joined:
        return None
    try:
        values = msgspec.json.decode("[" + joined.replace(",", ".").replace(NUL, ",") + "]", type=list[float])
    except msgspec.DecodeError:
        return None
    # the only cell of a column may be blank, and [ ] is a list too
    return np.array(values, dtype=np.float64) if len(values) == joined.count(NUL) + 1 else None


def _numbers_of(labels: list[str], mark: str) -> NDArray[np.float64] | None:
    """float64 (n,) if all labels are numbers."""
    numbers = _all_numbers(NUL.join(labels), mark)
    if numbers is not None:
        return numbers
    values = np.empty(len(labels))
    for i, text in enumerate(labels):
        if (value := cells.number(text, mark)) is None:
            return None
        values[i] = value
    return values


def _factorize(texts: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Codes and labels by first appearance, without surrounding spaces; -1 where missing."""
    raw, bare = _Codes(), _Codes()
    codes = np.fromiter(map(raw.__getitem__, texts), dtype=np.int32, count=len(texts))
    new = [-1 if (text := cell.strip()) in cells.MISSING else bare[text] for cell in raw]
    return np.array(new, dtype=np.int32)[codes], list(bare)


def _is_code(labels: list[str]) -> bool:
    """Whether these numbers are codes such as 00123: whole, of one width, with a leading zero somewhere."""
    widths = {len(text) for text in labels}
    return (
        len(widths) == 1
        and max(widths) > 1
        and any(text[0] == "0" for text in labels)
        and all(text.isascii() and text.isdigit() for text in labels)
    )


def _numbers_rows(name: str, numbers: NDArray[np.float64]) -> bool:
    """Whether the column only tells the rows apart."""
    index = bool(_INDEX_NAME.fullmatch(name))
    if index and len(numbers) > 2 and bool((np.diff(numbers) == 1).all()):
        return True
    if not (_ID_NAME.fullmatch(name) or (index and len(numbers) > 20 and numbers.min() >= 0)):
        return False
    return bool((numbers == np.floor(numbers)).all()) and len(np.unique(numbers)) == len(numbers)


def _text_column(name: str, codes: NDArray[np.int32], labels: list[str], mark: str, kind: str | None) -> Column:
    def made(kind: str, note: str = "", date_order: str = "") -> Column:
        return Column(name, kind, None, codes, tuple(labels), mark, date_order, note)

    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    n, k = int(counts.sum()), len(labels)
    if kind is not None and kind != "numeric":
        return made(kind)
    if k == 0:
        return made("empty")
    if kind == "numeric":
        return made("mixed", "not all cells are numbers")
    if k == 1 and n == len(codes):
        return made("constant")
    words = {text.casefold() for text in labels}
    if any(words == {yes, no} for yes, no in cells.TRUE_WORDS.items()):
        return made("boolean")
    orders = cells.date_orders(labels)
    if len(orders) == 1:
        return made("date", date_order=orders[0])
    if orders:
        note = "dates whose day and month cannot be told apart: write them as 2024-12-31"
        return made("identifier" if k == n else "categorical", note)
    if _is_mixed(labels, counts, mark):
        return made("mixed", "numbers with some text")
    if k == n:
        return made("identifier", "a different text in each row")
    return made("categorical", "codes with leading zeros" if _is_code(labels) else "")


def _is_mixed(labels: list[str], counts: NDArray[np.intp], mark: str) -> bool:
    plain = np.array([cells.number(text, mark) is not None for text in labels])
    if plain.all():  # codes such as 00123
        return False
    doubtful = np.array([cells.doubtful_number(text, mark) for text in labels])
    text = ~plain & ~doubtful
    n, k, n_text = int(counts.sum()), len(labels), int(counts[text].sum())
    if 2 * n_text > n or (n_text > max(1, n / 10) and text.sum() > 3):
        return False
    rarest = int(counts[~plain].min())
    return bool(doubtful.any()) or k > 20 or rarest < max(3, n / (10 * k))
