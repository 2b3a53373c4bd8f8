"""Training on a table: from columns to a network that predicts a column.

`prepare` splits the rows and encodes them by what the training rows alone show; `train_prepared` trains, and tests on
rows that nothing else has looked at.  The command line and the benchmarks call them; what they make is saved and loaded
as a `TableModel`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from payback import random
from payback.elsewhere import near
from payback.errors import InputError, ModelFileError, NonFiniteError
from payback.io.model import read_model, save_model
from payback.nn.activations import softmax
from payback.nn.layers import MLP
from payback.tabular import Encoder, Table, TargetEncoder, task_of
from payback.tabular.cells import quoted
from payback.train.data import split_rows, weighted_by_class, weights_of_classes
from payback.train.fit import Run, fit
from payback.train.metrics import confusion_matrix, r2, rmse
from payback.train.progress import Progress
from payback.train.recipe import Recipe
from payback.train.recording import Recording, clear_for_starts, start_of
from payback.train.runs import open_run
from payback.train.selection import SAMPLE, chosen_recipe, crowded, pieces_to_try, second_helps, to_try

Array = np.ndarray[Any, Any]
_ROWS = 1 << 16  # that the network is given at once: of millions the hidden layers would take gigabytes
MAX_PARAMETERS = 10**8  # the memory of an ordinary machine holds them, their gradient and two arrays of state


@dataclass(frozen=True)
class TableModel:
    """A network with the encoders of its columns."""

    net: Any
    encoder: Encoder
    target: TargetEncoder

    def outputs(
        self, table: Table, rows: Any = None, *, unseen: Any = "error", notes: list[str] | None = None
    ) -> Array:
        """The network's raw results: (n, k) logits, or standardized values."""
        x = self.encoder.transform(table, rows, unseen=unseen, notes=notes)
        with np.errstate(all="ignore"):  # what is not finite raises below
            dtype = self.net.layers[0].weight.dtype
            blocks = [x[start : start + _ROWS] for start in range(0, max(len(x), 1), _ROWS)]
            made = np.concatenate([self.net(np.ascontiguousarray(block, dtype)) for block in blocks])
        if not np.isfinite(made).all():
            row = int(np.argwhere(~np.isfinite(made))[0][0])
            raise InputError(
                "a prediction is not a finite number",
                where=table.place(row if rows is None else int(np.asarray(rows)[row])),
                why="the row holds values far beyond those of the training rows",
            )
        return made

    def decode(self, outputs: Array) -> Array:
        """Class names, or values in the table's units: (n,) for one target, (n, k) for several."""
        if self.target.task == "classify":
            return self.target.decode(np.argmax(outputs, axis=1))
        values = self.target.decode(outputs.astype(np.float64))
        return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values

    def probabilities(self, outputs: Array) -> Array:
        """(n, classes), rows summing to 1.  Raises InputError when the model predicts values."""
        if self.target.task != "classify":
            raise InputError(
                "a model of values has no probabilities", why="only classes have", fix="leave --proba away"
            )
        return softmax(outputs.astype(np.float64), axis=1)

    def evaluate(self, table: Table, rows: Any = None, *, notes: list[str] | None = None) -> dict[str, Any]:
        """Metrics on rows of a table that has the target column(s).  notes: as in `Encoder.transform`.

        The share of the variance explained, r2, is None where the true values are all equal.
        """
        table = table.with_missing(self.encoder.missing)
        outputs = self.outputs(table, rows, unseen="zero", notes=notes)
        count = len(outputs)
        if self.target.task == "classify":
            true = self.target.encode(table, rows, unseen="mark")
            predicted = np.argmax(outputs, axis=1)
            named = true >= 0
            confusion = confusion_matrix(predicted[named], true[named], len(self.target.classes))
            log = -np.log(np.maximum(self.probabilities(outputs)[np.arange(count), true], np.finfo(float).tiny))
            return {
                "rows": count,
                "accuracy": float(np.mean(predicted == true)),
                "cross_entropy": float(np.mean(log[named])) if named.any() else None,
                "unknown_classes": int(count - named.sum()),
                "classes": list(self.target.classes),
                "confusion": confusion.tolist(),
            } | _beside(confusion, count, self.target.classes)
        true = self.target.decode(self.target.encode(table, rows)).reshape(count, -1)
        values = self.decode(outputs).reshape(count, -1)
        return {
            "rows": count,
            "rmse": [rmse(values[:, i], true[:, i]) for i in range(true.shape[1])],
            "r2": [share if isfinite(share := r2(values[:, i], true[:, i])) else None for i in range(true.shape[1])],
            "targets": list(self.target.names),
        }

    def line(self) -> tuple[Array, Array] | None:
        """Slopes (features, targets) and intercepts (targets,) in the table's units, if the network is linear."""
        if len(self.net.layers) != 1 or self.target.task == "classify":
            return None
        mean, scale = self.encoder.affine
        weight, bias = (np.asarray(p, np.float64) for p in (self.net.layers[0].weight, self.net.layers[0].bias))
        slopes = weight / scale[:, None] * np.asarray(self.target.scale)
        return slopes, np.asarray(self.target.mean) + bias * np.asarray(self.target.scale) - mean @ slopes

    def save(self, folder: str | Path, run: Run, *, extra: dict[str, Any], overwrite: bool = False) -> None:
        """Write the model folder: network, encoders, history.  Errors as in `io.save_model`."""
        table = {"encoder": self.encoder.to_dict(), "target": self.target.to_dict()}
        save_model(folder, self.net, history=run.history.records, extra={"table": table, **extra}, overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> TableModel:
        """The model that was saved.  Raises ModelFileError for other folders, also for models not made from a table."""
        net, document = read_model(folder)
        table = document.extra.get("table")
        if not isinstance(table, dict):
            raise ModelFileError(
                "the model was not trained on a table",
                where=str(folder),
                why="it has no column encoders",
                fix="load it in Python with pb.load",
            )
        encoder, target = Encoder.from_dict(table.get("encoder")), TargetEncoder.from_dict(table.get("target"))
        ends = (net.layers[0].weight.shape[0], net.layers[-1].weight.shape[1]) if isinstance(net, MLP) else None
        if ends != (len(encoder.feature_names_out), target.n_outputs):
            raise ModelFileError("the model's network and columns do not fit together", where=str(folder))
        return cls(net, encoder, target)


def _beside(confusion: Array, count: int, classes: Sequence[str]) -> dict[str, Any]:
    """What an accuracy is to be compared with: the mean over the classes of how many of a class are told, and what one
    answer for all rows would have.  Nothing of rows of which no class is known."""
    occurs = confusion.sum(axis=1)
    if not occurs.any():
        return {}
    told, most = (confusion.diagonal()[occurs > 0] / occurs[occurs > 0]).mean(), int(occurs.argmax())
    always = {"class": classes[most], "accuracy": float(occurs[most] / count)}
    return {"balanced_accuracy": float(told), "always": always}


@dataclass(frozen=True)
class Start:
    """One of several trainings from different initial weights."""

    seed: int
    run: Run
    cost: float  # on the validation rows where they decide, else on the training rows


@dataclass(frozen=True)
class Trained:
    """What `train_prepared` made: the model of the best start, and how it came about."""

    model: TableModel
    run: Run
    recipe: Recipe
    starts: list[Start] = field(repr=False)
    rows: dict[str, int]
    test: dict[str, Any] | None


@dataclass(frozen=True)
class Prepared:
    """A table split and encoded, before any training."""

    table: Table
    model: TableModel
    recipe: Recipe
    train: Array
    valid: Array
    test: Array
    notes: list[str]
    tried: tuple[str, ...] = ()  # what of the recipe was cross-validated: "weight_decay", "hidden"


def prepare(
    table: Table,
    targets: Sequence[str],
    *,
    task: str = "auto",
    recipe: Recipe | None = None,
    test: float = 0.2,
    last: bool = False,
    without: Sequence[str] = (),
    missing: Sequence[str] = (),
    seed: int = 0,
    waiting: Callable[[float], object] = lambda share: None,
) -> Prepared:
    """Split the rows (test, validation, training; classes in equal shares) and fit the encoders on the training rows.

    last: the last rows are tested and those before them watched, as they stand, instead of random ones.
    without: columns that are not predicted from.  missing: see `read_csv`.
    waiting: called with the share that is done, where a cross-validation (`selection.chosen_recipe`) takes a while.
    The network of the model that is returned has its initial weights.
    Raises InputError for columns, shares or options that do not go together.
    """
    if not 0 <= test < 1:
        raise InputError(f"the test share is {test!r}", why="it is at least 0 and less than 1")
    table = table.with_missing(missing)
    if both := [name for name in without if name in targets]:
        raise InputError(f"column {quoted(both[0])} is the target and left out", fix="choose one of them")
    spared = {table.column(name).name for name in without}
    features = [name for name in table.names if name not in targets and name not in spared]
    if not features:
        why = "all others are left out" if without else "the target is the only one"
        raise InputError("there is no column to predict from", where=table.source, why=why)
    chosen = task_of(table, targets) if task == "auto" else task
    everything = TargetEncoder.fit(table, targets, chosen)  # names what is wrong with the target, in any row
    classes = everything.encode(table) if everything.task == "classify" else None
    keys = random.split(random.key(seed), 2)
    rest, test_rows = split_rows(table.n_rows, test, None if last else keys[0], classes)
    recipe = recipe or Recipe()
    share = recipe.share_to_watch(len(rest))
    kept, held = split_rows(len(rest), share, None if last else keys[1], None if classes is None else classes[rest])
    train_rows, valid_rows = rest[kept], rest[held]
    if len(train_rows) < 2:
        raise InputError(
            f"{len(train_rows)} rows are left to train on",
            where=table.source,
            why=f"the table has {table.n_rows}",
            fix="hold out fewer, or bring more",
        )
    target = TargetEncoder.fit(table, targets, everything.task, train_rows)
    by_class, curved, weights = _weights_of_classes(target, recipe.class_weight), recipe.hidden != (), None
    if by_class is not None:
        y = target.encode(table, train_rows)
        weights = weighted_by_class(y, weights_of_classes(y, by_class))

    def encoded(pieces: int, without: Sequence[str] = ()) -> Encoder:
        # a line is in the table's units
        used = [name for name in features if name not in without]
        made = Encoder.fit(table, used, train_rows, logarithms=curved, pieces=pieces)
        left_out = (*made.left_out, *((name, "as asked for") for name in table.names if name in spared))
        left_out += tuple((name, "rows held out are told better without it (cross-validated)") for name in without)
        return dataclasses.replace(made, left_out=left_out, missing=tuple(missing))

    def better(new: Encoder, asked: Recipe) -> bool:
        few = np.arange(len(train_rows))
        if len(few) > SAMPLE:
            few = np.sort(random.permutation(random.split(random.key(seed), 3)[2], len(few))[:SAMPLE])
        columns, both = len(encoder.feature_names_out), (encoder, new)
        short = dataclasses.replace(asked, valid=0.0).complete(len(few), columns, len(target.classes))
        nets = _network(encoder, target, short, seed), _network(new, target, short, seed)
        xs, y = [made.transform(table, train_rows[few]) for made in both], target.encode(table, train_rows[few])
        return second_helps(short, nets, (xs[0], xs[1]), y, None if weights is None else weights[few], seed)

    encoder, gone = encoded(0), list[str]()
    if (wide := crowded(recipe, len(train_rows), encoder)) and better(less := encoded(0, wide), recipe):
        encoder, gone = less, wide
    columns = len(encoder.feature_names_out)  # not the pieces of them
    if pieces := pieces_to_try(recipe, len(train_rows), len(encoder.numbers)):
        if better(cut := encoded(pieces, gone), recipe):
            encoder, recipe = cut, dataclasses.replace(recipe, pieces=pieces)
    elif recipe.pieces:
        encoder = encoded(recipe.pieces, gone)
    recipe = dataclasses.replace(recipe, valid=share)
    complete = recipe.complete(len(train_rows), columns, len(target.classes))
    net = _network(encoder, target, complete, seed)
    notes, tried = list[str](), list[str]()
    if len(several := to_try(recipe, complete, net, len(train_rows), len(target.classes))) > 1:
        x, y = encoder.transform(table, train_rows), target.encode(table, train_rows)
        strengths = {other.weight_decay for other in several if other.hidden}
        tried = ["weight_decay"] * (len(strengths) > 1) + ["hidden"] * any(not other.hidden for other in several)
        complete = chosen_recipe(several, lambda r: _network(encoder, target, r, seed), x, y, weights, seed,
                                 waiting=waiting)  # fmt: skip
        net = _network(encoder, target, complete, seed)
    model = TableModel(net, encoder, target)
    return Prepared(table, model, complete, train_rows, valid_rows, test_rows, notes, tuple(tried))


def _network(encoder: Encoder, target: TargetEncoder, recipe: Recipe, seed: int) -> MLP:
    sizes = [len(encoder.feature_names_out), *(recipe.hidden or ()), target.n_outputs]
    count = sum(n_in * n_out + n_out for n_in, n_out in pairwise(sizes))
    if count > MAX_PARAMETERS:
        raise InputError(
            f"a network of {' → '.join(map(str, sizes))} has {count:,} parameters",
            why=f"more than {MAX_PARAMETERS:,} are not trained on a table",
            fix="give smaller hidden layers",
        )
    skip, dropout = bool(recipe.skip), recipe.dropout
    return MLP(sizes, recipe.activation or "relu", seed=seed, dtype=recipe.dtype, skip=skip, dropout=dropout)


def _weights_of_classes(target: TargetEncoder, given: str | dict[str, float] | None) -> Any:
    """Weights by the numbers of classes that were given by their names.  Raises InputError for other names."""
    if given is not None and target.task != "classify":
        raise InputError("weights of classes for a target of values", why="there are no classes",
                         fix="leave them out, or say that the task is classify")  # fmt: skip
    if not isinstance(given, dict):
        return given
    numbers = {name: k for k, name in enumerate(target.classes)}
    if unknown := [name for name in given if name not in numbers]:
        close = near(unknown[0], target.classes)
        raise InputError(f"there is no class {unknown[0]!r:.60} to weigh", why=f"known are {', '.join(numbers):.200}",
                         fix=f"did you mean {close!r}?" if close else None)  # fmt: skip
    return {numbers[name]: weight for name, weight in given.items()}


def train_prepared(
    prepared: Prepared,
    *,
    seed: int = 0,
    starts: int = 1,
    progress: bool | Progress | None = None,
    record: Recording | None = None,
    on_nan: str = "refuse",
    resume: Any = None,
) -> Trained:
    """Train on prepared rows, from `starts` different initial weights; the lowest final cost is kept.

    record, on_nan, resume: as of `fit`; of several starts the one that the run is of goes on, alone.  Rows are recorded
    by their numbers in the table.  Of several starts each is recorded in a folder of its own: record/start-1, …

    Raises NonFiniteError as `fit` does; its `trained` then holds what was best before, if anything was.
    """
    table, recipe, base = prepared.table, prepared.recipe, prepared.model
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise InputError(f"the number of starts is {starts!r}", why="it must be a whole number from 1 up")
    which = range(starts)
    if resume is not None and starts > 1:
        if isinstance(resume, (str, Path)):
            resume = open_run(resume)
        which = which[_start_of(resume, seed, starts) :][:1]
    alone = len(which) == 1
    if record is not None:
        record = dataclasses.replace(record, numbers=prepared.train)
        if not alone:
            clear_for_starts(record)
    random.key(seed + starts - 1)  # all seeds are good, or none is tried
    x, y, validation = _encoded(prepared)
    made: list[Start] = []
    failures: list[NonFiniteError] = []
    interrupted = False
    for start in which:
        net = base.net if start == 0 else _network(base.encoder, base.target, recipe, seed + start)
        try:
            run = fit(
                net,
                x,
                y,
                optimizer=recipe.make_optimizer(),
                epochs=recipe.epochs or 0,
                batch_size=recipe.batch_size or 64,
                validation=validation,
                patience=recipe.patience,
                tol=recipe.tol,
                class_weight=_weights_of_classes(base.target, recipe.class_weight),
                seed=seed + start,
                progress=progress,
                record=record if record is None or alone else start_of(record, start + 1),
                on_nan=on_nan,
                resume=resume,
            )
        except NonFiniteError as problem:
            if alone:
                problem.trained = _trained(prepared, [_start(seed + start, problem.run)], None)  # type: ignore[attr-defined]
                raise
            made.append(Start(seed + start, problem.run, float("inf")))  # type: ignore[attr-defined]
            failures.append(problem)
            continue
        made.append(_start(seed + start, run))
        if run.stopped == "interrupted":
            interrupted = True
            break
    if all(start.cost == float("inf") for start in made):
        first = failures[0]
        why = f"in the first {first.what}"
        failure = NonFiniteError(f"all {starts} starts failed", where=first.where, why=why, fix=first.fix)
        failure.trained = _trained(prepared, made, None)  # type: ignore[attr-defined]
        raise failure
    best = min(made, key=lambda start: start.cost)
    test = None
    if len(prepared.test) and not interrupted:
        test = dataclasses.replace(base, net=best.run.net).evaluate(table, prepared.test, notes=prepared.notes)
    return _trained(prepared, made, test)


def _encoded(prepared: Prepared) -> tuple[Any, Any, Any]:
    """The training rows as numbers, and (X, y) of the validation rows, or 0.0 where there are none."""
    table, encoder, target = prepared.table, prepared.model.encoder, prepared.model.target
    x, y = encoder.transform(table, prepared.train), target.encode(table, prepared.train)
    if not len(prepared.valid):
        return x, y, 0.0
    held = encoder.transform(table, prepared.valid, unseen="zero", notes=prepared.notes)
    return x, y, (held, target.encode(table, prepared.valid))


def _start_of(resume: Any, seed: int, starts: int) -> int:
    """Which of the starts a run is of, from 0."""
    begun = (getattr(resume, "settings", None) or {}).get("seed", seed)
    if not 0 <= begun - seed < starts:
        raise InputError(f"the training to go on with has the seed {begun}",
                         why=f"the {starts} starts have those from {seed} to {seed + starts - 1}",
                         fix="give seed and starts as they were")  # fmt: skip
    return int(begun - seed)


def _start(seed: int, run: Run) -> Start:
    """The start with its final cost: the validation cost of the weights that are kept, or the last training cost."""
    records = run.history.records
    if not records:
        return Start(seed, run, float("nan"))  # no epoch was run
    record = records[max(0, run.best_epoch - 1)]
    return Start(seed, run, float(record.get("validation_loss", record["loss"])))


def _trained(prepared: Prepared, starts: list[Start], test: dict[str, Any] | None) -> Trained:
    best = min(starts, key=lambda start: start.cost)
    model = dataclasses.replace(prepared.model, net=best.run.net)
    rows = {"training": len(prepared.train), "validation": len(prepared.valid), "test": len(prepared.test)}
    return Trained(model, best.run, prepared.recipe, starts, rows, test)
