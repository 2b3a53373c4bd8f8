"""What a careful person would ask about a table before training on it.  Nothing is changed: the user decides."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from payback.tabular import cells
from payback.tabular.cells import counted, quoted
from payback.tabular.column import Column
from payback.tabular.table import Table

SAMPLE = 5000  # rows that are looked at where all of them would take long
RARE = 50  # times as many rows as the rarest class has the commonest, of which it is said
FEW = 30  # rows of which nothing is said
_MARKS = tuple(sign * float("9" * digits) for sign in (-1, 1) for digits in (2, 3, 4, 5, 6))


def doubts(
    table: Table, targets: Sequence[str], features: Sequence[str], *, last: bool = False, classes: bool = False
) -> list[str]:
    """What should be said: a column that tells the target by itself, a class that hardly occurs (if the target's are
    classes, which count by their rows), a number that may mean missing, rows that are there twice, rows in the order of
    time (unless the last ones are tested)."""
    if table.n_rows < FEW:
        return []
    rows = np.unique(np.linspace(0, table.n_rows - 1, min(SAMPLE, table.n_rows)).astype(int))
    used = [table.column(name) for name in features]
    said = []
    if len(targets) == 1 and len(used) > 1:
        target = table.column(targets[0])
        said += [
            f"{quoted(column.name)} alone tells {quoted(target.name)} of every row: "
            f"will it be known when that is to be predicted? If not, add --without {_written(column.name)}"
            for column in used
            if _tells(column, target, rows)
        ]
    if classes:
        said += _rare(table.column(targets[0]))
    for column in used:
        said += _marks(column)
    if len(used) > 1:
        said += [
            f"{quoted(column.name)} counts the rows: add --without {_written(column.name)} if it is but their number"
            for column in used
            if column.kind == "numeric" and column.numbers is not None and (np.diff(column.numbers) == 1).all()
        ]
    said += [
        f"the rows are in the order of {quoted(column.name)}: to predict later ones is harder than the test, which "
        "draws rows from among them; add --last to test on the last ones"
        for column in used
        if not last and column.kind == "date" and _ascends(column, rows)
    ]
    return said + _copies(table)


def _written(name: str) -> str:
    """A column's name as it is written on the command line."""
    return shlex.quote(name)


def _tells(column: Column, target: Column, rows: NDArray[np.intp]) -> bool:
    """Whether the target's classes are those of the column or intervals of it, or its values go up or down with it."""
    rows = rows[~column.missing[rows] & ~target.missing[rows]]
    if len(rows) < FEW:
        return False
    x: NDArray[Any] = column.numbers[rows] if column.numbers is not None else column.as_labels()[0][rows]
    if target.numbers is not None and len(np.unique(target.numbers[rows])) > 20:
        if column.numbers is None:
            return False
        ranks = np.argsort(np.argsort([x, target.numbers[rows]]))
        together: NDArray[Any] = np.asarray(np.corrcoef(ranks))
        return bool(np.ptp(x) > 0 and abs(together[0, 1]) > 0.9999)
    y = np.unique(target.as_labels()[0][rows], return_inverse=True)[1]
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    changes = int((y[1:] != y[:-1]).sum())
    pure = not bool(((y[1:] != y[:-1]) & (x[1:] == x[:-1])).any())
    groups = int((x[1:] != x[:-1]).sum()) + 1
    alike = changes == y.max() if column.numbers is not None else 20 * groups < len(x)
    return bool(pure and alike and y.max() > 0)


def _rare(target: Column) -> Iterator[str]:
    """One class of nearly all rows: a network that always answers it is nearly always right."""
    codes, labels = target.as_labels()
    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    least, most = int(counts.argmin()), int(counts.argmax())
    if 2 * counts[most] > len(codes) and counts[most] >= RARE * counts[least] > 0:
        yield (
            f"{quoted(labels[least])} has {counted(int(counts[least]), 'row')} of {len(codes):,}: an answer that is "
            f"always {quoted(labels[most])} is hardly ever wrong; look at the balanced accuracy, and add "
            "--class-weight balanced if rare classes matter as much"
        )


def _marks(column: Column) -> Iterator[str]:
    """Numbers such as -999 that occur often, at one end and far from all others."""
    values = column.numbers
    if values is None or column.kind != "numeric":
        return
    least, greatest = float(np.nanmin(values)), float(np.nanmax(values))
    for mark in {least, greatest} & set(_MARKS):
        many = int((values == mark).sum())
        others = values[(values != mark) & ~np.isnan(values)]
        if many < 3 or 2 * many > len(values) or not len(others):
            continue
        low, high = float(others.min()), float(others.max())
        gap = low - mark if mark == least else mark - high
        if gap > 2 * (high - low) and high > low:
            yield (
                f"{cells.number_text(mark)} stands {many:,} times in {quoted(column.name)}, far from its other values: "
                f"add --missing {cells.number_text(mark)} if it means a missing value"
            )


def _ascends(column: Column, rows: NDArray[np.intp]) -> bool:
    codes, labels = column.as_labels()
    codes = codes[rows][codes[rows] >= 0]
    days = np.array([cells.day_number(labels[code], column.date_order) or 0.0 for code in codes.tolist()])
    steps = np.diff(days)
    return bool(2 * len(np.unique(days)) > len(rows) and ((steps >= 0).all() or (steps <= 0).all()))


def _copies(table: Table) -> list[str]:
    """Rows that are there twice, if most rows are there once (else few values make rows alike by chance)."""
    digest = np.zeros(table.n_rows, np.uint64)
    for column in table.columns:
        if column.kind == "identifier":
            continue
        bits = column.numbers.view(np.uint64) if column.numbers is not None else column.as_labels()[0].astype(np.uint64)
        digest = (digest ^ bits) * np.uint64(0x9E3779B97F4A7C15)
        digest ^= digest >> np.uint64(29)
    again = table.n_rows - len(np.unique(digest))
    if not table.n_rows <= 100 * again < 50 * table.n_rows:
        return []
    are, other = ("is", "another") if again == 1 else ("are", "others")
    said = f"{counted(again, 'row')} {are} the same as {other}"
    return [f"{said}: where one is trained on and the other tested, nothing is tested"]
