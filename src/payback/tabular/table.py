"""A table: named columns of equal length that know where each row came from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from payback.errors import InputError
from payback.tabular import cells
from payback.tabular.cells import quoted
from payback.tabular.column import Column
from payback.tabular.kinds import with_missing


@dataclass(frozen=True, eq=False)
class Table:
    """What `read_csv` and `table_from_frame` return.

    columns: in the order of the file.  n_rows: rows of data.  source: the file's name as the user wrote it, or what
    kind of data frame.  notes: what was decided while reading and should be said.
    lines: int64 (n_rows,), the line of the file where each row begins; None for a data frame.
    """

    columns: tuple[Column, ...]
    n_rows: int
    source: str
    notes: tuple[str, ...] = ()
    lines: NDArray[np.int64] | None = None

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> Column:
        """The column called `name`; raises InputError with the nearest names."""
        if name in self._by_name:
            return self._by_name[name]
        raise InputError(
            f"there is no column {quoted(name)}",
            where=self.source,
            why=f"its columns are {listed(self.names)}",
            fix=nearest(name, self.names),
        )

    def with_missing(self, marks: Collection[str]) -> Table:
        """The table without the values that are one of these texts, or the same number."""
        columns = tuple(with_missing(column, marks) for column in self.columns) if marks else self.columns
        return self if columns == self.columns else replace(self, columns=columns)

    def place(self, row: int) -> str:
        """Where row `row` (from 0) stands, in the user's terms: 'data.csv, line 17'."""
        if self.lines is None:
            return f"{self.source}, row {row}"
        return f"{self.source}, line {int(self.lines[row])}"

    def places(self, rows: NDArray[np.intp], limit: int = 5) -> str:
        """The same for several rows: 'data.csv, lines 3, 8 and 12', shortened after `limit`."""
        if len(rows) == 1:
            return self.place(int(rows[0]))
        at = [str(int(row if self.lines is None else self.lines[row])) for row in rows[:limit]]
        more = len(rows) - len(at)
        text = ", ".join(at) + f" and {more:,} more" if more else ", ".join(at[:-1]) + " and " + at[-1]
        return f"{self.source}, {'rows' if self.lines is None else 'lines'} {text}"

    def summary(self, told: Callable[[float], object] = lambda share: None) -> list[dict[str, object]]:
        """One row per column for printing: name, kind, missing, distinct (counts), values (a range or the most
        frequent categories), note.  told: called now and then with the share that is done."""
        rows: list[dict[str, object]] = []
        for column in self.columns:
            told(len(rows) / len(self.columns))
            distinct, values = _distinct(column)
            rows.append(
                {
                    "name": column.name,
                    "kind": column.kind,
                    "missing": int(column.missing.sum()),
                    "distinct": distinct,
                    "values": values,
                    "note": column.note,
                }
            )
        return rows


def _distinct(column: Column) -> tuple[int, str]:
    """How many different values there are, and which: from least to greatest, or the most frequent."""
    if column.numbers is not None:
        distinct = np.unique(column.numbers[~column.missing])
        return len(distinct), f"{distinct[0]:.6g} … {distinct[-1]:.6g}" if len(distinct) else ""
    counts = column.counts()
    if column.kind == "date":
        by_day = sorted((cells.day_number(text, column.date_order) or 0.0, text) for text, _ in counts)
        return len(counts), f"{by_day[0][1]} … {by_day[-1][1]}"
    top = ", ".join(f"{text if len(text) <= 24 else text[:23] + '…'} ({count:,})" for text, count in counts[:3])
    return len(counts), top + (f", {len(counts) - 3:,} more" if len(counts) > 3 else "")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """'did you mean …?' with the names most like `name`, or None if none is.

    >>> nearest("Pric", ["size", "price", "prize"])
    "did you mean 'price' or 'prize'?"
    """
    names = list(dict.fromkeys(known))[:5000]
    close = [known for known in names if known.casefold() == name.casefold()][:1]
    if not close:
        folded: dict[str, str] = {}
        for known_name in names:
            folded.setdefault(known_name.casefold()[:100], known_name)
        close = [folded[key] for key in difflib.get_close_matches(name.casefold()[:100], folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(map(quoted, close))}?" if close else None


def listed(names: Iterable[str], limit: int = 10) -> str:
    """The first names in quotes, and how many more there are."""
    all_names = list(names)
    text = ", ".join(quoted(name, 40) for name in all_names[:limit])
    return text + (f" and {len(all_names) - limit:,} more" if len(all_names) > limit else "")
