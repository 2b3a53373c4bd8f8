"""`table_from_frame`: a table from a polars, pandas or pyarrow data frame."""

from __future__ import annotations

import datetime
import numbers
from decimal import Decimal
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.tabular.cells import quoted
from payback.tabular.column import Column
from payback.tabular.kinds import NUL, column_from_cells, column_from_numbers
from payback.tabular.table import Table


def table_from_frame(frame: object) -> Table:
    """A `Table` from a data frame that narwhals knows; kinds are decided as for a file with these cells.

    Numbers are kept as float64; truth values, dates and all else are taken as the text a CSV file would hold.
    Raises InputError: not a data frame, no rows or columns, infinite numbers, a column name that is not text or is
    there twice, a text with a NUL character.
    """
    import narwhals as nw

    try:
        data: nw.DataFrame[Any] = nw.from_native(frame, eager_only=True)
    except (TypeError, ValueError) as error:  # narwhals names duplicate columns with a ValueError
        what = f"{quoted(type(frame).__name__)} cannot be read as a data frame"
        why = " ".join(str(error).split())[:200]
        raise InputError(what, why=why, fix="give a polars, pandas or pyarrow table") from None
    source = f"{data.implementation} data frame"
    if not data.columns or not len(data):
        raise InputError(f"the {source} has no {'rows' if data.columns else 'columns'}")
    columns: list[Column] = []
    for name in data.columns:
        if not isinstance(name, str):
            raise InputError(f"the column name {name!r} is not text", where=source, fix="rename the column")
        columns.append(_column(name, data[name], source))
    return Table(tuple(columns), len(data), source)


def _column(name: str, series: object, source: str) -> Column:
    import narwhals as nw

    assert isinstance(series, nw.Series)
    missing = series.is_null().to_numpy().astype(bool)
    if series.dtype.is_numeric():
        values = series.cast(nw.Float64).to_list() if series.dtype.is_decimal() else series.to_list()
        pairs = zip(values, missing, strict=True)
        floats = np.array([np.nan if gone else value for value, gone in pairs], dtype=np.float64)
        if np.isinf(floats).any():
            row = int(np.flatnonzero(np.isinf(floats))[0])
            raise InputError(f"an infinite number in column {quoted(name)}", where=f"{source}, row {row}")
        return column_from_numbers(name, floats)
    texts = []
    for row, (value, gone) in enumerate(zip(series.to_list(), missing, strict=True)):
        text = "" if gone else _text(value)
        if text is None or NUL in text:
            what = "a text with a NUL character" if text else f"a value of type {type(value).__name__}"
            raise InputError(f"{what} in column {quoted(name)}", where=f"{source}, row {row}", fix="write it as text")
        texts.append(text)
    return column_from_cells(name, NUL.join(texts))


def _text(value: object) -> str | None:
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value) if isinstance(value, (str, bool, numbers.Number, Decimal)) else None
