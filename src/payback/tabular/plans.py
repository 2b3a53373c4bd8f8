"""How one column becomes numbers: fitted on the training rows, saved with the model, applied to any table.

A plan knows the names of its outputs (`outputs`) and writes them (`write`).  A missing value becomes what is neutral
for a network: the training mean of a number (0 after standardization), the share of true, the middle of a circle.  If
the training rows had missing values, one more output says so (missing values are rarely missing at random).

Numbers may also be given in pieces, for a network bends a straight line slowly (Gorishniy, Rubachev and Babenko, On
Embeddings for Numerical Features, NeurIPS 2022): between two knots an output goes from −1 to 1, and stays.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from payback.errors import InputError
from payback.tabular import cells
from payback.tabular.cells import counted, quoted
from payback.tabular.coerce import FloatArray, days_of, numbers_like, numbers_of, too_many_categories, truths_of
from payback.tabular.column import Column
from payback.tabular.table import Table, listed
from payback.tabular.written import Written

MAX_CATEGORIES = 256
SKEWED = 2.5  # surely more than an exponential distribution, whose skewness is 2: its logarithm helps nobody
Unseen = Literal["error", "zero"]
Rows = NDArray[np.intp]


class UselessColumnError(Exception):
    """A column that cannot help, with the reason; `Encoder.fit` collects them."""


class UnseenError(InputError):
    """A category that the training rows had not."""


@dataclass(frozen=True)
class NumericPlan:
    """(x − mean) / scale.  scale: the standard deviation in training; varies: whether there was any.
    range: the least and the greatest value in training, beyond which predictions are guesses.
    knots: the ends of its pieces, in order; () for none."""

    kind: ClassVar[str] = "numeric"
    name: str
    mean: float
    scale: float
    varies: bool
    has_missing: bool
    written: Written | None = None
    range: tuple[float, float] | None = None
    knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_affine(self.mean, self.scale)
        _check_range(self.range)
        _check_knots(self.knots)

    @property
    def outputs(self) -> list[str]:
        own = [self.name] * self.varies + _pieces(self.name, self.knots)
        return own + [f"{self.name} is missing"] * self.has_missing

    def write(self, table: Table, rows: Rows, out: FloatArray, unseen: Unseen, notes: list[str]) -> None:
        values = numbers_like(table, self.name, self.written)[rows]
        missing = _missing(self, values, out, notes)
        _far(self, values, notes)
        if self.varies:
            out[:, 0] = np.where(missing, 0.0, (values - self.mean) / self.scale)
        _write_pieces(values, self.knots, missing, out[:, int(self.varies) :])


@dataclass(frozen=True)
class SkewedPlan:
    """x and log(x + shift), each standardized as a number is: for money, areas and counts, which differ by factors.
    least: of the training rows; what is less has its logarithm.  x itself is there for sums of such columns."""

    kind: ClassVar[str] = "skewed"
    name: str
    mean: float
    scale: float
    shift: float
    least: float
    log_mean: float
    log_scale: float
    has_missing: bool
    written: Written | None = None
    range: tuple[float, float] | None = None
    knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_affine(self.mean, self.scale)
        _check_affine(self.log_mean, self.log_scale)
        _check_range(self.range)
        _check_knots(self.knots)
        _check(self.shift >= 0 and self.least >= 0 and 0 < self.least + self.shift < math.inf, "a logarithm's range")

    @property
    def outputs(self) -> list[str]:
        inside = f"{self.name} + {self.shift:g}" if self.shift else self.name
        own = [self.name, f"log({inside})", *_pieces(self.name, self.knots)]
        return own + [f"{self.name} is missing"] * self.has_missing

    def write(self, table: Table, rows: Rows, out: FloatArray, unseen: Unseen, notes: list[str]) -> None:
        values = numbers_like(table, self.name, self.written)[rows]
        missing = _missing(self, values, out, notes)
        _far(self, values, notes)
        logarithms = np.log(np.maximum(values, self.least) + self.shift)
        out[:, 0] = np.where(missing, 0.0, (values - self.mean) / self.scale)
        out[:, 1] = np.where(missing, 0.0, (logarithms - self.log_mean) / self.log_scale)
        _write_pieces(values, self.knots, missing, out[:, 2:])


@dataclass(frozen=True)
class BooleanPlan:
    """true → 1, false → 0.  share: the share of true in training, taken for a missing value."""

    kind: ClassVar[str] = "boolean"
    name: str
    share: float
    varies: bool
    has_missing: bool

    def __post_init__(self) -> None:
        _check(0 <= self.share <= 1, "a share between 0 and 1")

    @property
    def outputs(self) -> list[str]:
        return [self.name] * self.varies + [f"{self.name} is missing"] * self.has_missing

    def write(self, table: Table, rows: Rows, out: FloatArray, unseen: Unseen, notes: list[str]) -> None:
        values = truths_of(table, self.name)[rows]
        missing = _missing(self, values, out, notes)
        if self.varies:
            out[:, 0] = np.where(missing, self.share, values)


@dataclass(frozen=True)
class DatePlan:
    """Days, standardized; and the month, the day of the week and the time of day as points on a circle (sine, cosine),
    so that December is beside January.  Only those that varied in training."""

    kind: ClassVar[str] = "date"
    name: str
    order: Literal["ymd", "named", "dmy", "mdy"]
    mean: float
    scale: float
    varies: bool
    circles: tuple[Literal["month", "weekday", "hour"], ...]
    has_missing: bool

    def __post_init__(self) -> None:
        _check_affine(self.mean, self.scale)
        _check(len(set(self.circles)) == len(self.circles), "circles named once")

    @property
    def outputs(self) -> list[str]:
        waves = [f"{self.name} {circle} {wave}" for circle in self.circles for wave in ("sin", "cos")]
        return [self.name] * self.varies + waves + [f"{self.name} is missing"] * self.has_missing

    def write(self, table: Table, rows: Rows, out: FloatArray, unseen: Unseen, notes: list[str]) -> None:
        days = days_of(table, self.name, self.order)[rows]
        missing = _missing(self, days, out, notes)
        if self.varies:
            out[:, 0] = np.where(missing, 0.0, (days - self.mean) / self.scale)
        for j, circle in enumerate(self.circles):
            angle = 2 * math.pi * _turn(circle, np.where(missing, 0.0, days))
            at = self.varies + 2 * j
            out[:, at], out[:, at + 1] = np.where(missing, 0.0, [np.sin(angle), np.cos(angle)])


@dataclass(frozen=True)
class CategoricalPlan:
    """One output per category of the training rows, 1 where the cell is it.  A missing cell is a category of its own if
    it occurred in training; else it is all zeros, as is an unseen category when that was asked for.
    others: whether there is an output for all other categories, rare ones of training and unseen ones alike."""

    kind: ClassVar[str] = "categorical"
    name: str
    categories: tuple[str, ...]
    has_missing: bool
    others: bool = False

    def __post_init__(self) -> None:
        _check(len(set(self.categories)) == len(self.categories) > 0, "categories named once")

    @property
    def outputs(self) -> list[str]:
        texts = [f"{self.name}={text}" for text in self.categories] + [f"{self.name} is another"] * self.others
        return texts + [f"{self.name} is missing"] * self.has_missing

    def write(self, table: Table, rows: Rows, out: FloatArray, unseen: Unseen, notes: list[str]) -> None:
        column = table.column(self.name)
        codes, labels = column.as_labels()
        codes = codes[rows]
        position = dict.fromkeys(labels, -1) | category_positions(labels, self.categories, column.mark)
        target = np.array([position[text] for text in labels] + [-1])[codes]
        missing = _missing(self, np.where(codes < 0, np.nan, 0.0), out, notes)
        if self.others:
            target[(target < 0) & ~missing] = len(self.categories)
        unknown = np.flatnonzero((target < 0) & ~missing)
        if len(unknown) and unseen == "error":
            raise UnseenError(
                f"unseen category {quoted(labels[codes[unknown[0]]])} in column {quoted(self.name)}",
                where=table.places(rows[unknown]),
                why=f"the training rows had {listed(self.categories)}",
                fix="correct the cell, or write ? if the value is missing",
            )
        if len(unknown):
            many = f"{counted(len(unknown), 'cell')} of {quoted(self.name)}"
            notes.append(f"{many} with categories not seen in training: read as none of the categories")
        known = np.flatnonzero(target >= 0)
        out[known, target[known]] = 1.0


Plan = NumericPlan | SkewedPlan | BooleanPlan | DatePlan | CategoricalPlan
# The closed list of what a file may name.
PLANS: dict[str, type[Plan]] = {
    "numeric": NumericPlan,
    "skewed": SkewedPlan,
    "boolean": BooleanPlan,
    "date": DatePlan,
    "categorical": CategoricalPlan,
}


def fit_plan(table: Table, column: Column, rows: Rows, logarithms: bool = True, pieces: int = 0) -> Plan:
    """The plan for a column, from its training rows only.  logarithms: whether skewed numbers may get theirs.
    pieces: the most that numbers are given in, beside the number itself.

    Raises UselessColumnError: the column cannot help.  InputError: text in a numeric column.
    """
    if column.kind == "empty":
        raise UselessColumnError("all its cells are missing")
    if column.kind == "constant":
        raise UselessColumnError("it is constant" + (f", for {column.note}" if column.note else ""))
    if column.kind == "identifier":
        raise UselessColumnError("it only tells the rows apart")
    has_missing = bool(column.missing[rows].any())
    if column.missing[rows].all():
        raise UselessColumnError("all its cells are missing in the training rows")
    plan: Plan
    if column.kind == "categorical":
        plan = _fit_categories(column, rows, has_missing)
    elif column.kind == "boolean":
        truths = _present(truths_of(table, column.name)[rows])
        plan = BooleanPlan(column.name, float(truths.mean()), bool(truths.min() < truths.max()), has_missing)
    elif column.kind == "date":
        plan = _fit_date(table, column, rows, has_missing)
    else:
        values = _present(numbers_of(table, column.name)[rows])
        plan = dataclasses.replace(
            _fit_numbers(column.name, values, has_missing, logarithms),
            written=column.written,
            range=(float(values.min()), float(values.max())),
            knots=_knots(values, pieces),
        )
    if not plan.outputs:
        raise UselessColumnError("it is constant in the training rows")
    return plan


def _fit_numbers(name: str, values: FloatArray, has_missing: bool, logarithms: bool) -> NumericPlan | SkewedPlan:
    """Numbers as they are, or with their logarithms where those are far more even: skewness beyond SKEWED without, and
    a third of that or less with."""
    mean, scale, varies = mean_and_scale(values)
    plain = NumericPlan(name, mean, scale, varies, has_missing)
    if not (logarithms and varies and values.min() >= 0):
        return plain
    skewness = _skewness((values - mean) / scale)
    if not skewness > SKEWED:
        return plain
    least = float(values.min())
    # zeros have no logarithm: a small one of the other values is added, so that the unit of a column does not matter
    shift = 0.0 if least > 0 else float(np.quantile(values[values > 0], 0.1))
    logs = np.log(values + shift)
    log_mean, log_scale, varies = mean_and_scale(logs)
    if not varies or 3 * abs(_skewness((logs - log_mean) / log_scale)) > skewness:
        return plain
    return SkewedPlan(name, mean, scale, shift, least, log_mean, log_scale, has_missing)


def _knots(values: FloatArray, pieces: int) -> tuple[float, ...]:
    """The ends of `pieces` pieces that hold the same number of values, fewer where values repeat; () for one piece."""
    if not pieces:
        return ()
    ends = np.unique(np.quantile(values, np.linspace(0, 1, pieces + 1), method="nearest"))
    return tuple(ends.tolist()) if len(ends) > 2 else ()


def _pieces(name: str, knots: tuple[float, ...]) -> list[str]:
    return [f"{name} from {cells.number_text(a)} to {cells.number_text(b)}" for a, b in pairwise(knots)]


def _write_pieces(values: FloatArray, knots: tuple[float, ...], missing: NDArray[np.bool_], out: FloatArray) -> None:
    for j, (a, b) in enumerate(pairwise(knots)):
        inside = np.clip((values - a) / (b - a), 0.0, 1.0)
        out[:, j] = np.where(missing, 0.0, 2.0 * inside - 1.0)


def _skewness(standardized: FloatArray) -> float:
    return float(np.mean(standardized**3))


def _fit_categories(column: Column, rows: Rows, has_missing: bool) -> CategoricalPlan:
    codes, labels = column.as_labels()
    seen = np.unique(codes[rows][codes[rows] >= 0])
    present = int((codes[rows] >= 0).sum())
    if too_many_categories(len(seen), present):
        many = f"{counted(len(seen), 'category')} in {counted(present, 'training row')}"
        raise UselessColumnError(f"{many}: nearly every row has its own")
    if len(seen) > MAX_CATEGORIES:  # the rarest are one
        counts = np.bincount(codes[rows][codes[rows] >= 0], minlength=len(labels))
        kept = sorted((-int(counts[code]), labels[code]) for code in seen.tolist())[: MAX_CATEGORIES - 1]
        return CategoricalPlan(column.name, in_order([text for _, text in kept], column.mark), has_missing, True)
    if len(seen) == 1 and not has_missing:
        raise UselessColumnError("it is constant in the training rows")
    return CategoricalPlan(column.name, in_order([labels[code] for code in seen], column.mark), has_missing)


def _fit_date(table: Table, column: Column, rows: Rows, has_missing: bool) -> DatePlan:
    if column.date_order not in cells.DATE_ORDERS:
        raise UselessColumnError("its dates are not written in one known way")
    days = _present(days_of(table, column.name, column.date_order)[rows])
    mean, scale, varies = mean_and_scale(days)
    circles = tuple(circle for circle in ("month", "weekday", "hour") if np.ptp(_turn(circle, days)) > 0)
    return DatePlan(column.name, column.date_order, mean, scale, varies, circles, has_missing)  # type: ignore[arg-type]


def _turn(circle: str, days: FloatArray) -> FloatArray:
    """Where on its circle a day stands, 0 to 1."""
    if circle == "month":
        return (np.floor(days).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12) / 12
    if circle == "weekday":
        return (np.floor(days) % 7) / 7
    return days % 1.0


def mean_and_scale(values: FloatArray) -> tuple[float, float, bool]:
    """(mean, standard deviation, whether the values vary beyond rounding); the scale is 1 where they do not.

    >>> mean_and_scale(np.array([1.0, 3.0])), mean_and_scale(np.array([0.1, 0.1, 0.1]))[1:]
    ((2.0, 1.0, True), (1.0, False))
    """
    unit = float(np.abs(values).max())
    if values.min() == values.max() or unit == 0:
        return float(values[0]), 1.0, False
    part = values / unit  # so that no square overflows
    mean, scale = float(part.mean()) * unit, float(part.std()) * unit
    varies = math.isfinite(scale) and scale > 10 * float(np.finfo(np.float64).eps) * unit
    return mean, scale if varies else 1.0, varies


def in_order(labels: list[str], mark: str = ".") -> tuple[str, ...]:
    """Labels in an order that does not depend on the rows: by value if all are numbers, else by text."""
    values = {text: cells.number(text, mark) for text in labels}
    if None not in values.values():
        return tuple(sorted(labels, key=lambda text: (values[text] or 0.0, text)))
    return tuple(sorted(labels))


def category_positions(labels: tuple[str, ...], categories: tuple[str, ...], mark: str) -> dict[str, int]:
    """{label: its index in `categories`} for the labels that are known.  A label must equal its category; but among
    categories that are numbers, 3 and 3.0 are the same."""
    exact = {text: i for i, text in enumerate(categories)}
    by_value: dict[float, int] = {}
    for text, i in exact.items():
        if (value := cells.number(text, mark)) is not None:
            by_value.setdefault(value, i)
    found = {text: exact[text] for text in labels if text in exact}
    for text in labels:
        if text not in exact and by_value and (value := cells.number(text, mark)) in by_value:
            found[text] = by_value[value]
    return found


def _present(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def _missing(plan: Plan, values: FloatArray, out: FloatArray, notes: list[str]) -> NDArray[np.bool_]:
    """Which values are missing; marks them in the last output if the plan has one, and says so if it has none."""
    missing = np.isnan(values)
    if plan.has_missing:
        out[:, -1] = missing
    elif missing.any():
        neutral = "none of the categories" if plan.kind == "categorical" else "the training mean"
        many = counted(int(missing.sum()), "missing cell")
        notes.append(f"{many} in {quoted(plan.name)}, where training had none: read as {neutral}")
    return missing


def _far(plan: NumericPlan | SkewedPlan, values: FloatArray, notes: list[str]) -> None:
    """Says which values lie beyond those of training by more than these differ."""
    low, high = plan.range or (0.0, 0.0)
    if low == high:
        return
    far = (values < low - (high - low)) | (values > high + (high - low))
    if many := int(far.sum()):
        example = cells.number_text(float(values[far][0]))
        lies = "lies" if many == 1 else "lie"
        notes.append(f"{counted(many, 'cell')} of {quoted(plan.name)} {lies} far beyond the {low:.6g} … {high:.6g} of "
                     f"training ({example}): what is predicted from there is a guess")  # fmt: skip


def _check_affine(mean: float, scale: float) -> None:
    _check(math.isfinite(mean) and math.isfinite(scale) and scale > 0, "a finite mean and a positive finite scale")


def _check_range(given: tuple[float, float] | None) -> None:
    _check(given is None or -math.inf < given[0] <= given[1] < math.inf, "a range from the least to the greatest value")


def _check_knots(knots: tuple[float, ...]) -> None:
    rising = all(-math.inf < a < b < math.inf and math.isfinite(b - a) for a, b in pairwise(knots))
    _check(len(knots) != 1 and rising, "pieces from lower to higher numbers")


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"a plan needs {what}")
