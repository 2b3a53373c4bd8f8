"""The defaults of training on a table: one set, derived from rows, columns and task.

They were chosen on random splits of many tables (`benchmarks/accuracy.py`, seeds 100–109) and look at nothing else:
not at a table's name, and never at test rows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import log2
from typing import Any, Literal

from payback.errors import InputError
from payback.nn.activations import ACTIVATIONS
from payback.nn.layers import Dropout, known
from payback.optim.optimizers import OPTIMIZERS, AdamW, GradientDescent, Optimizer
from payback.optim.schedules import Constant, Cosine, Schedule, positive

STEPS = 3000  # steps that small tables get, however few rows they have
WATCHED_STEPS = 20_000  # that tables get which are watched, and stop early: up to WATCHED_EPOCHS
LARGE_STEPS, LARGE_EPOCHS = 40_000, 20  # the least that large tables get, if not MIN_EPOCHS
MIN_EPOCHS, MAX_EPOCHS, WATCHED_EPOCHS = 100, 400, 200
LARGE = 50_000  # rows from which on gradients agree
MANY_ROWS = 2000  # from here on a second layer pays, and rows can be spared to watch the training by
RATES = {"gd": 0.1, "momentum": 0.02, "nesterov": 0.02, "rmsprop": 1e-3, "adam": 3e-3, "adamw": 5e-3}


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained.  None: derived by `complete`.

    hidden: units of each hidden layer, () for a linear model.  skip: see `nn.MLP`; layers that were asked for stand
    alone, the derived ones have it.  rate: the (highest) step length.
    line_search: for "gd" only.  valid: share of the rows to hold out of training.  dropout: see `nn.MLP`.
    pieces: the most that columns of numbers are given in, beside the number; see `tabular.plans`.
    clip_norm: see `optim.Optimizer`.  class_weight: "balanced", or numbers by the names of classes; see `fit`.
    """

    hidden: tuple[int, ...] | None = None
    skip: bool | None = None
    activation: str | None = None
    optimizer: str | None = None
    rate: float | None = None
    weight_decay: float | None = None
    dropout: float = 0.0
    pieces: int | None = None
    clip_norm: float | None = None
    class_weight: str | dict[str, float] | None = None
    line_search: bool = False
    epochs: int | None = None
    batch_size: int | Literal["all"] | None = None
    patience: int | None = None
    tol: float | None = None
    valid: float | None = None
    dtype: Literal["float32", "float64"] | None = None

    def share_to_watch(self, rows: int) -> float:
        """The share of these rows to hold out of training: by default a tenth of many rows, none of few.

        Raises InputError for values that cannot be, of any part of the recipe.
        """
        self._check()
        if self.valid is not None:
            return self.valid
        return 0.1 if rows >= MANY_ROWS else 0.0

    def complete(self, rows: int, columns: int, classes: int) -> Recipe:
        """Every None replaced.  rows: of the training; columns: after encoding; classes: 0 for values.

        Raises InputError for values that cannot be.
        """
        self._check()
        hidden = self.hidden
        if hidden is None:
            first = 128 if classes <= 4 else 256  # many classes share the layer
            hidden = (first,) if rows < MANY_ROWS else (first, 64)
        # a linear path of its own helps values, which are often nearly linear in the columns; classes it overfits
        skip = self.skip if self.skip is not None else self.hidden is None and classes == 0
        optimizer = self.optimizer or ("gd" if self.line_search else "adamw")
        if self.line_search and optimizer != "gd":
            raise InputError(
                f"a line search with {optimizer}",
                why="only plain gradient descent searches along its gradient",
                fix="choose the optimizer gd",
            )
        batch: int | Literal["all"] = self.batch_size or ("all" if self.line_search else _batch(rows))
        size = rows if batch == "all" else min(batch, rows)
        derived = _epochs(rows, size, self.line_search, bool(self.valid))
        epochs = self.epochs if self.epochs is not None else derived
        return dataclasses.replace(
            self,
            hidden=hidden,
            skip=skip and bool(hidden),
            activation=self.activation or "relu",
            optimizer=optimizer,
            rate=self.rate or (1.0 if self.line_search else RATES[optimizer]),
            pieces=self.pieces or 0,
            weight_decay=self.weight_decay
            if self.weight_decay is not None
            else (_decay(rows, columns, classes) if optimizer == "adamw" else 0.0),
            epochs=epochs,
            batch_size=batch,
            # the rate falls over all epochs, and the best ones come late: to give up after 20 of 200 lost points
            patience=self.patience or max(20, epochs // 5),
            valid=self.valid or 0.0,
            dtype=self.dtype or ("float32" if hidden else "float64"),
        )

    def _check(self) -> None:
        if self.hidden is not None and any(
            isinstance(h, bool) or not isinstance(h, int) or not 1 <= h <= 100_000 for h in self.hidden
        ):
            raise InputError(f"hidden layers of {', '.join(map(str, self.hidden))} units", why="each has 1 to 100,000")
        if self.activation is not None:
            known(self.activation, ACTIVATIONS, "activation")
        if self.optimizer is not None:
            known(self.optimizer, OPTIMIZERS, "optimizer")
        if self.rate is not None:
            positive("the step length", self.rate)
        if self.weight_decay is not None:
            positive("the weight decay", self.weight_decay, zero=True)
            if self.weight_decay and self.optimizer not in (None, "adamw"):
                raise InputError(
                    f"weight decay with {self.optimizer}", why="only adamw has it", fix="choose the optimizer adamw"
                )
        if self.tol is not None:
            positive("the tolerance", self.tol, zero=True)
        if self.clip_norm is not None:
            positive("the largest norm", self.clip_norm)
        Dropout(self.dropout)
        if self.dropout and (self.line_search or self.hidden == ()):
            why = "its cost is another one in each step" if self.line_search else "dropout is of hidden units"
            raise InputError(f"dropout {'with a line search' if self.line_search else 'in a linear model'}", why=why,
                             fix="leave one of them out")  # fmt: skip
        if self.pieces and self.hidden == ():
            raise InputError("numbers in pieces for a linear model", why="its slopes are those of the table's columns",
                             fix="leave one of them out")  # fmt: skip
        for name, value, least in (
            ("epochs", self.epochs, 0),
            ("patience", self.patience, 1),
            ("the batch size", self.batch_size, 1),
            ("the number of pieces", self.pieces, 0),
        ):
            if (
                value is not None
                and value != "all"
                and (isinstance(value, bool) or not isinstance(value, int) or value < least)
            ):
                raise InputError(f"{name} is {value!r}", why=f"it must be a whole number from {least} up")
        if self.valid is not None and not 0 <= self.valid < 1:
            raise InputError(f"the validation share is {self.valid!r}", why="it is at least 0 and less than 1")

    def make_optimizer(self) -> Optimizer:
        """The optimizer of a complete recipe.  Adaptive methods and momentum end with short steps (a cosine)."""
        assert self.optimizer is not None, "complete the recipe first"
        assert self.rate is not None, "complete the recipe first"
        if self.optimizer == "gd":
            return GradientDescent(self.rate, line_search=self.line_search, clip_norm=self.clip_norm)
        schedule: Schedule = Cosine(self.rate) if self.tol is None else Constant(self.rate)
        if self.optimizer == "adamw":
            decay = self.weight_decay or 0.0
            return AdamW(schedule, weight_decay=decay, exempt=("skip",), clip_norm=self.clip_norm)
        return OPTIMIZERS[self.optimizer](schedule, clip_norm=self.clip_norm)

    def describe(self) -> dict[str, Any]:
        """The recipe as texts and numbers, for people and for files."""
        return dataclasses.asdict(self) | {"hidden": list(self.hidden or ())}


def _decay(rows: int, columns: int, classes: int) -> float:
    """How strongly weights shrink: more where few rows a column leave much room for chance.

    2 for up to 50 rows a column, or 100 where rows are spared to choose the epoch by, then less; as much more as a step
    has more rows, for each step shrinks them; and less for many classes, since the label of one of k tells log₂ k bits.
    Classes that two layers tell by still more columns make it 4: without that they know the rows by heart in an epoch.
    """
    most = 2.0 if rows < MANY_ROWS or classes == 0 else 4.0
    enough = (50 if rows < MANY_ROWS else 100) * columns * (_batch(rows) / _batch(1))
    return round(min(most, 2.0 * enough / rows) / log2(max(2, classes)), 3)


def _batch(rows: int) -> int:
    """Rows a step: 64, and more for large tables, whose gradients agree."""
    return 64 if rows < LARGE else 256


def _epochs(rows: int, size: int, line_search: bool, watched: bool) -> int:
    """Epochs for about STEPS steps on small tables, more where rows are watched; at least MIN_EPOCHS, but on large
    tables no more than for LARGE_STEPS steps."""
    if line_search:
        return 10_000
    per_epoch = -(-rows // size)
    most = max(min(MAX_EPOCHS, STEPS / per_epoch), min(WATCHED_EPOCHS, WATCHED_STEPS / per_epoch) if watched else 0)
    least = MIN_EPOCHS if rows < LARGE else min(MIN_EPOCHS, max(LARGE_EPOCHS, round(LARGE_STEPS / per_epoch)))
    return max(least, round(most))
