"""`TargetEncoder`: what a network is to predict, as class numbers or as standardized values, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from payback.errors import InputError, ModelFileError
from payback.tabular import record
from payback.tabular.cells import counted, quoted
from payback.tabular.coerce import numbers_of, rows_of, too_many_categories
from payback.tabular.column import Column
from payback.tabular.plans import category_positions, in_order, mean_and_scale
from payback.tabular.table import Table, listed

Task = Literal["classify", "regress"]
_WRONG = "the target in the model file is wrong"


def task_of(table: Table, target_names: Sequence[str], rows: object = None) -> Task:
    """Whether these targets are classes or values.

    Several targets are values.  Text and truth values are classes.  Numbers are classes if they are two whole numbers,
    or at most 20 whole numbers close together (from the least to the greatest at most twice as many numbers as occur:
    0 … 9, 3 … 9, 1 2 3 5 6 7), with at least 10 rows for each on average; else they are values.

    >>> from payback.tabular import Table, column_from_cells
    >>> columns = column_from_cells("kind", "a\\0b\\0a"), column_from_cells("price", "1.5\\0002\\0003")
    >>> toys = Table(columns, 3, "toys.csv")
    >>> task_of(toys, ["kind"]), task_of(toys, ["price"])
    ('classify', 'regress')
    """
    if len(target_names) != 1:
        return "regress"
    column = table.column(target_names[0])
    if column.numbers is None:
        return "regress" if column.kind in ("mixed", "date") else "classify"
    values = column.numbers[rows_of(table, rows)]
    distinct = np.unique(values[~np.isnan(values)])
    k = len(distinct)
    if k < 2 or not (distinct == np.floor(distinct)).all():
        return "regress"
    few_and_close = k <= 20 and len(values) >= 10 * k and distinct[-1] - distinct[0] < 2 * k
    binary = k == 2 and (len(values) >= 20 or distinct.tolist() == [0.0, 1.0])
    return "classify" if few_and_close or binary else "regress"


@dataclass(frozen=True)
class TargetEncoder:
    """Fitted on training rows, saved with the model.

    names: the target columns, one for classes.  classes: their texts as in the table (numbers in their shortest form),
    in order.  mean, scale: of each target, for values.  numeric: whether the classes were written as numbers.

    >>> from payback.tabular import Table, column_from_cells
    >>> toys = Table((column_from_cells("kind", "car\\0bus\\0car"),), 3, "toys.csv")
    >>> target = TargetEncoder.fit(toys, ["kind"])
    >>> target.classes, target.encode(toys).tolist(), target.decode([1, 0]).tolist()
    (('bus', 'car'), [1, 0, 1], ['car', 'bus'])
    """

    names: tuple[str, ...]
    task: Task
    classes: tuple[str, ...] = ()
    numeric: bool = False
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        sizes = (0, 0) if self.task == "classify" else (len(self.names), len(self.names))
        fits = (len(self.mean), len(self.scale)) == sizes and len(set(self.names)) == len(self.names) > 0
        if self.task == "classify":
            fits = fits and len(self.names) == 1 and len(set(self.classes)) == len(self.classes) >= 2
        else:
            fits = fits and not self.classes and not self.numeric
        if not fits or not all(map(math.isfinite, self.mean)) or not all(0 < s < math.inf for s in self.scale):
            raise ValueError("names, classes, means and scales do not fit together")

    @classmethod
    def fit(cls, table: Table, target_names: Sequence[str], task: str = "auto", rows: object = None) -> TargetEncoder:
        """A target encoder from these training rows (None: all).

        task: "classify", "regress", or "auto" for `task_of` the training rows.
        Raises InputError: no such column; missing values anywhere in a target (with lines); an identifier, a date or an
        empty column; one class only; a constant; nearly as many classes as rows; text among the values.
        """
        if task not in ("auto", "classify", "regress"):
            raise InputError(f"the task is {quoted(task)}", why="it is 'auto', 'classify' or 'regress'")
        if not target_names:
            raise InputError("no target is named", where=table.source)
        if len(set(target_names)) != len(target_names):
            raise InputError("a target is named twice", where=table.source, why=listed(target_names))
        if task == "classify" and len(target_names) > 1:
            why = f"{listed(target_names)} are several"
            raise InputError("classes are told by one target column", where=table.source, why=why)
        columns = [table.column(name) for name in target_names]
        for column in columns:
            _check_target(table, column)
        index = rows_of(table, rows)
        if not len(index):
            raise InputError("there are no training rows", where=table.source)
        chosen = task_of(table, target_names, index) if task == "auto" else task
        if chosen == "classify":
            return _fit_classes(table, columns[0], index)
        return _fit_values(table, columns, index)

    @property
    def n_outputs(self) -> int:
        """How many numbers the network gives for a row: one per class, or one per target."""
        return len(self.classes) or len(self.names)

    def encode(self, table: Table, rows: object = None, *, unseen: Literal["error", "mark"] = "error") -> NDArray[Any]:
        """Classes: int64 (n,), the index into `classes`.  Values: float64 (n, k), standardized, C-contiguous.

        unseen: what a class that training did not have is: an "error", or -1 ("mark").
        Raises InputError: no such column, missing values, an unseen class, text among the values.
        """
        index = rows_of(table, rows)
        for name in self.names:
            _check_missing(table, table.column(name), index)
        if self.task == "regress":
            values = np.stack([numbers_of(table, name)[index] for name in self.names], axis=1)
            return np.asarray((values - np.array(self.mean)) / np.array(self.scale))
        column = table.column(self.names[0])
        codes, labels = column.as_labels()
        position = category_positions(labels, self.classes, column.mark)
        if not self.numeric:
            position = {text: i for text, i in position.items() if text == self.classes[i]}
        encoded = np.array([position.get(text, -1) for text in labels], dtype=np.int64)[codes[index]]
        unknown = np.flatnonzero(encoded < 0)
        if len(unknown) and unseen == "error":
            raise InputError(
                f"unseen class {quoted(labels[codes[index[unknown[0]]]])} in the target {quoted(column.name)}",
                where=table.places(index[unknown]),
                why=f"the training rows had {listed(self.classes)}",
            )
        return encoded

    def decode(self, encoded: ArrayLike) -> NDArray[Any]:
        """Classes: integers (n,) → their texts, objects (n,).  Values: (n, k) standardized → the table's units."""
        if self.task == "classify":
            texts: NDArray[Any] = np.array(self.classes, dtype=object)[np.asarray(encoded, dtype=np.int64)]
            return texts
        values: NDArray[Any] = np.asarray(encoded, dtype=np.float64) * np.array(self.scale) + np.array(self.mean)
        return values

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON; floats survive exactly."""
        fields = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}

    @classmethod
    def from_dict(cls, data: object) -> TargetEncoder:
        """The encoder that `to_dict` described; raises ModelFileError if anything about it is wrong."""
        fields = record.take(data, "target", {field.name for field in dataclasses.fields(cls)})
        if not all(len(value) <= record.MAX_ITEMS for value in fields.values() if isinstance(value, list)):
            raise ModelFileError(_WRONG, why=f"more than {record.MAX_ITEMS:,} items")
        return record.convert(fields, cls, "target")


def _check_target(table: Table, column: Column) -> None:
    if column.kind == "empty":
        raise InputError(f"the target {quoted(column.name)} is empty", where=table.source, why="all cells are missing")
    _check_missing(table, column, np.arange(table.n_rows))
    if column.kind in ("identifier", "date"):
        what, why = {
            "identifier": ("an identifier", "no two rows have the same"),
            "date": ("a date", "only classes and numbers can be learned"),
        }[column.kind]
        what = f"the target {quoted(column.name)} is {what}"
        raise InputError(what, where=table.source, why=why, fix="name another target column")


def _check_missing(table: Table, column: Column, index: NDArray[np.intp]) -> None:
    missing = index[column.missing[index]]
    if len(missing):
        raise InputError(
            f"{counted(len(missing), 'missing value')} in the target {quoted(column.name)}",
            where=table.places(missing),
            why="a cell such as ?, NA, None or an empty one is a missing value",
            fix="fill them in, or remove these rows",
        )


def _fit_classes(table: Table, column: Column, index: NDArray[np.intp]) -> TargetEncoder:
    codes, labels = column.as_labels()
    seen = np.unique(codes[index]).tolist()
    name = quoted(column.name)
    if len(seen) == 1:
        why = f"every training row has {quoted(labels[seen[0]])}"
        fix = "choose another target, or bring rows of another class"
        raise InputError(f"the target {name} has one class only", where=table.source, why=why, fix=fix)
    if too_many_categories(len(seen), len(index)) and len(seen) > 2:
        raise InputError(
            f"the target {name} has {counted(len(seen), 'class')} in {counted(len(index), 'training row')}",
            where=table.source,
            why="a class is learned from several examples",
            fix="name another target" if column.numbers is None else "name another target, or take the task 'regress'",
        )
    classes = in_order([labels[code] for code in seen], column.mark)
    return TargetEncoder((column.name,), "classify", classes, numeric=column.numbers is not None)


def _fit_values(table: Table, columns: list[Column], index: NDArray[np.intp]) -> TargetEncoder:
    means, scales = [], []
    for column in columns:
        mean, scale, varies = mean_and_scale(numbers_of(table, column.name)[index])
        if not varies:
            why = f"every training row has {mean:.6g}"
            raise InputError(f"the target {quoted(column.name)} is constant", where=table.source, why=why)
        means.append(mean)
        scales.append(scale)
    return TargetEncoder(tuple(column.name for column in columns), "regress", mean=tuple(means), scale=tuple(scales))
