"""One column of a table: its kind, and its values stored in one of two ways.

Cells that are all numbers are stored as float64; everything else as integer codes into the distinct texts; numbers with
a unit or in groups of digits as both.  The kind says how a network will read the column, and is decided in `kinds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payback.tabular import cells
from payback.tabular.written import Written

KINDS = ("numeric", "categorical", "boolean", "date", "identifier", "constant", "empty", "mixed")


@dataclass(frozen=True, eq=False, slots=True)
class Column:
    """A named column; made by `read_csv` or `table_from_frame`.

    name: as in the header.  kind: one of KINDS; "mixed" is a numeric column with some text in it.
    numbers: float64 (n,), NaN where missing; or None, and then
    codes: int32 (n,), the index into `labels`, -1 where missing; labels: the distinct texts by first appearance.
    mark: the decimal mark of the file.  date_order: how a date column writes its dates.
    note: what should be said about this column, or "".  written: how its numbers are written, unless plainly.
    """

    name: str
    kind: str
    numbers: NDArray[np.float64] | None = None
    codes: NDArray[np.int32] | None = None
    labels: tuple[str, ...] = ()
    mark: str = "."
    date_order: str = ""
    note: str = ""
    written: Written | None = None

    def __post_init__(self) -> None:
        for array in (self.numbers, self.codes):
            if array is not None:
                array.setflags(write=False)

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def _stored(self) -> NDArray[Any]:
        if self.numbers is not None:
            return self.numbers
        assert self.codes is not None
        return self.codes

    @property
    def missing(self) -> NDArray[np.bool_]:
        """bool (n,): which cells hold no value."""
        return np.isnan(self.numbers) if self.numbers is not None else self._stored < 0

    @property
    def values(self) -> NDArray[Any]:
        """The cells: float64 with NaN for numbers, else an object array of str with None where missing."""
        if self.numbers is not None:
            return self.numbers
        texts: NDArray[Any] = np.array([*self.labels, None], dtype=object)[self._stored]
        return texts

    def as_labels(self) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """(codes, labels) of any column; numbers become their shortest text, so that 3 and 3.0 are one category."""
        if self.numbers is None or self.codes is not None:
            assert self.codes is not None
            return self.codes, self.labels
        codes = np.full(len(self), -1, dtype=np.int32)
        present = ~self.missing
        distinct, inverse = np.unique(self.numbers[present], return_inverse=True)
        codes[present] = inverse
        return codes, tuple(cells.number_text(value) for value in distinct.tolist())

    def counts(self) -> list[tuple[str, int]]:
        """The distinct values with how often they occur: the most frequent first, then by text."""
        codes, labels = self.as_labels()
        many = np.bincount(codes[codes >= 0], minlength=len(labels)).tolist()
        return sorted(zip(labels, many, strict=True), key=lambda pair: (-pair[1], pair[0]))
