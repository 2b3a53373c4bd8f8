"""`Encoder`: the features of a table as the matrix that a network reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from payback.errors import InputError, ModelFileError
from payback.tabular import record
from payback.tabular.cells import quoted
from payback.tabular.coerce import FloatArray, rows_of
from payback.tabular.plans import (
    PLANS,
    CategoricalPlan,
    NumericPlan,
    Plan,
    SkewedPlan,
    Unseen,
    UselessColumnError,
    fit_plan,
)
from payback.tabular.table import Table, listed, nearest


@dataclass(frozen=True)
class Encoder:
    """Fitted on training rows, saved with the model, applied to any table with the same columns.

    plans: one per column that is used, in the order given.  left_out: (column, reason) for the others.
    missing: texts and numbers that mean that a value is missing, beside the usual ones; see `read_csv`.

    >>> from payback.tabular import Table, column_from_cells
    >>> columns = column_from_cells("size", "1\\0?\\0003\\0002"), column_from_cells("color", "red\\0blue\\0red\\0blue")
    >>> toys = Table(columns, 4, "toys.csv")
    >>> encoder = Encoder.fit(toys, ["size", "color"])
    >>> encoder.feature_names_out
    ['size', 'size is missing', 'color=blue', 'color=red']
    >>> encoder.transform(toys, rows=[1]).tolist()
    [[0.0, 1.0, 1.0, 0.0]]
    """

    plans: tuple[Plan, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        table: Table,
        feature_names: Sequence[str],
        rows: object = None,
        *,
        logarithms: bool = True,
        pieces: int = 0,
    ) -> Encoder:
        """An encoder for these columns, from these training rows (indices, a mask, a slice; None: all).

        Standardization, categories and the replacement of missing values look at the training rows only.  Left out,
        with the reason: identifiers, empty and constant columns, nearly as many categories as rows.  Of more than 256
        categories the rarest are one.
        logarithms: whether numbers that mostly differ by factors (skewness above 2.5) are given with their logarithms.
        pieces: the most that a column of numbers is given in, beside the number; see `plans`.
        Raises InputError: no such column, a name twice, text in a numeric column, no rows, nothing left to learn from.
        """
        index = rows_of(table, rows)
        if not len(index):
            raise InputError("there are no training rows", where=table.source)
        if len(set(feature_names)) != len(feature_names):
            raise InputError("a feature is named twice", where=table.source, why=listed(feature_names))
        plans, left_out = [], []
        for name in feature_names:
            try:
                plans.append(fit_plan(table, table.column(name), index, logarithms, pieces))
            except UselessColumnError as reason:
                left_out.append((name, str(reason)))
        if not plans:
            reasons = "; ".join(f"{quoted(name, 40)}: {reason}" for name, reason in left_out[:5])
            raise InputError(
                "there is no column to learn from",
                where=table.source,
                why=reasons or "the table has no column beside the target",
                fix="add a column that varies from row to row",
            )
        return cls(tuple(plans), tuple(left_out))

    @property
    def feature_names(self) -> list[str]:
        """The columns that are read."""
        return [plan.name for plan in self.plans]

    @property
    def feature_names_out(self) -> list[str]:
        """The names of the d outputs."""
        return [name for plan in self.plans for name in plan.outputs]

    @property
    def grouped(self) -> list[str]:
        """The columns of which the rarest categories are one."""
        return [plan.name for plan in self.plans if isinstance(plan, CategoricalPlan) and plan.others]

    @property
    def with_logarithms(self) -> list[str]:
        """The columns that are read as numbers and their logarithms."""
        return [plan.name for plan in self.plans if isinstance(plan, SkewedPlan)]

    @property
    def numbers(self) -> list[str]:
        """The columns that are read as numbers."""
        return [plan.name for plan in self.plans if isinstance(plan, NumericPlan | SkewedPlan)]

    @property
    def affine(self) -> tuple[FloatArray, FloatArray]:
        """(mean, scale), float64 (d,) each: output = (value − mean) / scale, where value is what its name says.
        (0, 1) for what is not a number."""
        pairs = [pair for plan in self.plans for pair in _affine(plan)]
        mean, scale = np.array(pairs, dtype=np.float64).T
        return mean, scale

    def transform(
        self, table: Table, rows: object = None, *, unseen: Unseen = "error", notes: list[str] | None = None
    ) -> FloatArray:
        """The rows (None: all) as float64 (n, d), C-contiguous and finite.

        unseen: what a category that training did not have is: an "error", or all zeros ("zero").
        notes: a list that receives what should be said (missing values where training had none, unseen categories).
        Raises InputError: a column is missing, a cell cannot be read as in training; it names the line.
        """
        if unseen not in ("error", "zero"):
            raise InputError(f"unseen is {quoted(str(unseen))}", why="it is 'error' or 'zero'")
        self._check_names(table)
        table = table.with_missing(self.missing)
        index = rows_of(table, rows)
        out = np.zeros((len(index), len(self.feature_names_out)))
        said: list[str] = [] if notes is None else notes
        at = 0
        for plan in self.plans:
            width = len(plan.outputs)
            part = out[:, at : at + width]
            with np.errstate(over="ignore"):
                plan.write(table, index, part, unseen, said)
            if not (finite := np.isfinite(part).all(axis=1)).all():
                place = table.places(index[~finite])
                raise InputError(f"a number in column {quoted(plan.name)} is too large", where=place)
            at += width
        return out

    def _check_names(self, table: Table) -> None:
        if absent := [plan.name for plan in self.plans if plan.name not in table.names]:
            them = "it" if len(absent) == 1 else "them"
            raise InputError(
                f"there {'is no column' if len(absent) == 1 else 'are no columns'} {listed(absent)}",
                where=table.source,
                why=f"its columns are {listed(table.names)}, and the training had {them}",
                fix=nearest(absent[0], table.names) or f"add {them}, with ? where nothing is known",
            )

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON; floats survive exactly."""
        plans = [{"kind": plan.kind} | dataclasses.asdict(plan) for plan in self.plans]
        left_out = [list(pair) for pair in self.left_out]
        return {"plans": plans, "left_out": left_out} | ({"missing": list(self.missing)} if self.missing else {})

    @classmethod
    def from_dict(cls, data: object) -> Encoder:
        """The encoder that `to_dict` described; raises ModelFileError if anything about it is wrong."""
        given = {"missing": []} | data if isinstance(data, dict) else data
        fields = record.take(given, "encoder", {"plans", "left_out", "missing"})
        plans = []
        for item in record.convert(fields["plans"], list[dict[str, object]], "encoder"):
            kind = item.get("kind")
            if not isinstance(kind, str) or kind not in PLANS:
                why = f"the kind of a column is {quoted(str(kind))}, known are {listed(PLANS)}"
                raise ModelFileError("the encoder in the model file is wrong", why=why)
            fields_of = dataclasses.fields(PLANS[kind])
            keys = {field.name for field in fields_of}
            later = {field.name: field.default for field in fields_of if field.default is not dataclasses.MISSING}
            body = record.take(later | item, "encoder", keys | {"kind"})  # models made before a field was have it not
            plans.append(record.convert({key: body[key] for key in keys}, PLANS[kind], "encoder"))
        names = [plan.name for plan in plans]
        if not plans or len(set(names)) != len(names) or not all(plan.outputs for plan in plans):
            why = "each column is named once, and is used"
            raise ModelFileError("the encoder in the model file is wrong", why=why)
        left_out = record.convert(fields["left_out"], list[tuple[str, str]], "encoder")
        return cls(tuple(plans), tuple(left_out), record.convert(fields["missing"], tuple[str, ...], "encoder"))


def _affine(plan: Plan) -> list[tuple[float, float]]:
    known = []
    if isinstance(plan, SkewedPlan):
        known = [(plan.mean, plan.scale), (plan.log_mean, plan.log_scale)]
    elif isinstance(plan, NumericPlan) and plan.varies:
        known = [(plan.mean, plan.scale)]
    return known + [(0.0, 1.0)] * (len(plan.outputs) - len(known))
