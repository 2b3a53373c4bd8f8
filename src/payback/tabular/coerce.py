"""A column read as the kind that is wanted, whatever kind it looks like in this table.

A table for prediction may have one row, and then every column of it is constant.  So an encoder never asks what kind a
column *is*: it reads the cells as the kind the column had in training, and a cell that cannot be read so is an error.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from payback.errors import InputError
from payback.tabular import cells
from payback.tabular.cells import quoted
from payback.tabular.column import Column
from payback.tabular.table import Table
from payback.tabular.written import Written

FloatArray = NDArray[np.float64]


def numbers_like(table: Table, name: str, written: Written | None) -> FloatArray:
    """The same as `numbers_of` where training had the numbers written so.  Raises InputError for another unit, and
    where what separated thousands in training may be a decimal mark here."""
    column = table.column(name)
    here = column.written
    if here is not None and here.unit != (written.unit if written else ""):
        raise InputError(
            f"the numbers of column {quoted(name)} are written with {quoted(here.unit) if here.unit else 'no unit'}",
            where=table.source,
            why=f"in training they had {quoted(written.unit) if written and written.unit else 'none'}",
            fix="write them as in training",
        )
    if column.numbers is None:
        return numbers_of(table, name, written)
    if written is not None and here is None and written.group == column.mark:
        broken = np.flatnonzero(column.numbers % 1 > 0)
        if len(broken):
            raise InputError(
                f"the numbers in column {quoted(name)} are unclear",
                where=table.place(int(broken[0])),
                why=f"{quoted(column.mark)} separated thousands in training, and is a decimal mark here",
                fix="write the numbers as in training, and give the decimal mark",
            )
    return column.numbers


def numbers_of(table: Table, name: str, written: Written | None = None) -> FloatArray:
    """float64 (n,), NaN where missing.  written: how numbers may be written in a column that does not show it.
    Raises InputError naming the first cell that is not a number."""
    column = table.column(name)
    if column.numbers is not None:
        return column.numbers
    known = column.written or written
    values, bad = _read(column, known.number if known else lambda text: cells.number(text, column.mark))
    if not len(bad):
        return values
    text = _cell(column, int(bad[0]))
    present = int((~column.missing).sum())
    numbers = present - len(bad)
    if cells.doubtful_number(text, column.mark):
        raise InputError(
            f"the number {quoted(text)} in column {quoted(name)} is unclear",
            where=table.place(int(bad[0])),
            why=f"this table is read with the decimal mark {quoted(column.mark)} and without thousands separators",
            fix="write the numbers without separators, or give the decimal mark",
        )
    if cells.infinite(text, column.mark):
        raise InputError(
            f"the number {quoted(text)} in column {quoted(name)} is not finite",
            where=table.place(int(bad[0])),
            why="the largest number that can be told is 1.8e308",
            fix="correct the cell, or write ? if the value is missing",
        )
    raise InputError(
        f"text in the numeric column {quoted(name)}" if numbers else f"column {quoted(name)} must hold numbers",
        where=table.place(int(bad[0])),
        why=f"{quoted(text)} is not a number; {numbers:,} of {present:,} cells are",
        fix="correct the cell, or write ? if the value is missing",
    )


def truths_of(table: Table, name: str) -> FloatArray:
    """float64 (n,): 1, 0, or NaN where missing.  Raises InputError naming the first cell that is neither."""
    column = table.column(name)
    values, bad = _read(column, cells.truth)
    if len(bad):
        raise InputError(
            f"column {quoted(name)} must hold truth values",
            where=table.place(int(bad[0])),
            why=f"{quoted(_cell(column, int(bad[0])))} is neither true nor false (yes, no; t, f; y, n; on, off; 1, 0)",
            fix="correct the cell, or write ? if the value is missing",
        )
    return values


def days_of(table: Table, name: str, order: str) -> FloatArray:
    """float64 (n,): days since 1970-01-01, NaN where missing.  Raises InputError naming the first cell that is no date
    in this order of day, month and year."""
    column = table.column(name)
    values, bad = _read(column, lambda text: cells.day_number(text, order))
    if len(bad):
        example = {"ymd": "2024-12-31", "dmy": "31.12.2024", "mdy": "12/31/2024", "named": "31 Dec 2024"}[order]
        raise InputError(
            f"column {quoted(name)} must hold dates",
            where=table.place(int(bad[0])),
            why=f"{quoted(_cell(column, int(bad[0])))} is not a date like {example}",
            fix="correct the cell, or write ? if the value is missing",
        )
    return values


def _read(column: Column, parse: Callable[[str], float | None]) -> tuple[FloatArray, NDArray[np.intp]]:
    """(the parsed cells, the rows that hold something which does not parse).  Each distinct text is parsed once."""
    codes, labels = column.as_labels()
    parsed = [parse(text) for text in labels]
    values = np.array([np.nan if value is None else value for value in parsed] + [np.nan], dtype=np.float64)
    wrong = np.array([value is None for value in parsed] + [False])
    return values[codes], np.flatnonzero(wrong[codes])


def _cell(column: Column, row: int) -> str:
    codes, labels = column.as_labels()
    return labels[int(codes[row])]


def rows_of(table: Table, rows: object) -> NDArray[np.intp]:
    """The chosen rows as indices (m,): `rows` is None for all, an index array, a boolean mask (n_rows,), or a slice."""
    every = np.arange(table.n_rows)
    if rows is None:
        return every
    try:
        return every[rows] if isinstance(rows, slice) else every[np.asarray(rows)]
    except IndexError as error:
        raise InputError("the rows chosen are not in the table", where=table.source, why=str(error)) from None


def too_many_categories(distinct: int, rows: int) -> bool:
    """Whether so many different texts in so many rows are names of the rows rather than categories: every row has its
    own, or there are more than 20 and fewer than two rows for each on average.

    >>> too_many_categories(4, 4), too_many_categories(3, 4), too_many_categories(60, 100)
    (True, False, True)
    """
    return distinct == rows > 1 or (distinct > 20 and 2 * distinct > rows)
