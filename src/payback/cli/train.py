"""`payback train`: from a table on disk to a trained network."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter

from payback.cli.options import Out, whole_number
from payback.cli.program import listed
from payback.cli.tables import (
    Decimal,
    Delimiter,
    TableName,
    columns_named,
    open_table,
    target_names,
    tell_columns,
    tell_metrics,
    texts_of,
)
from payback.cli.terminal import Output
from payback.errors import InputError, NonFiniteError
from payback.io.model import check_folder
from payback.io.runs import start_name
from payback.nn.activations import ACTIVATIONS
from payback.nn.formula import formula
from payback.nn.module import parameters
from payback.optim.optimizers import OPTIMIZERS
from payback.tabular import doubts
from payback.tabular.cells import counted
from payback.train.recipe import Recipe
from payback.train.recording import Recording, recording
from payback.train.runs import open_run
from payback.train.table import Prepared, Trained, prepare, train_prepared

_INTERRUPTED = 130


def _option(text: str) -> Parameter:
    return Parameter(help=text)


def train(
    table: TableName,
    /,
    *,
    target: Annotated[
        str | None, _option("The column to predict, or several with commas; by default the last one.")
    ] = None,
    task: Annotated[
        Literal["auto", "classify", "regress"], _option("What the target is; by default recognized.")
    ] = "auto",
    without: Annotated[str | None, _option("Columns that are not predicted from, with commas.")] = None,
    categorical: Annotated[
        str | None, _option("Columns of numbers that are names, such as postal codes, with commas.")
    ] = None,
    missing: Annotated[
        str | None,
        Parameter(
            help="What means a missing value beside ?, NA and an empty cell: -999, or several with commas.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    hidden: Annotated[str | None, _option("Units of the hidden layers, such as 128,64; none: a linear model.")] = None,
    activation: Annotated[str | None, _option(f"Between the layers: {', '.join(ACTIVATIONS)}.")] = None,
    optimizer: Annotated[str | None, _option("gd, momentum, nesterov, rmsprop, adam or adamw.")] = None,
    lr: Annotated[float | None, _option("The step length.")] = None,
    line_search: Annotated[
        bool, Parameter(help="Find each step's length by backtracking (with gd).", negative="")
    ] = False,
    weight_decay: Annotated[float | None, _option("How strongly weights shrink (with adamw).")] = None,
    dropout: Annotated[float, _option("The share of hidden units that each training step leaves out.")] = 0.0,
    pieces: Annotated[
        int | None, whole_number("Pieces that columns of numbers are given in, beside the number; 0: none.")
    ] = None,
    clip_norm: Annotated[float | None, _option("Scale gradients down whose norm is larger than this.")] = None,
    class_weight: Annotated[
        str | None, _option("How much rows of a class count: balanced, or NAME=WEIGHT, several with commas.")
    ] = None,
    epochs: Annotated[int | None, whole_number("Passes over the training rows, at most.")] = None,
    batch_size: Annotated[str | None, _option("Rows a step, or all.")] = None,
    tol: Annotated[float | None, _option("Stop at this gradient norm, or when the cost no longer changes.")] = None,
    patience: Annotated[int | None, whole_number("Epochs without a better validation cost before stopping.")] = None,
    starts: Annotated[int, whole_number("Trainings from different initial weights; the best is kept.")] = 1,
    seed: Annotated[int, whole_number("Of the split, the initial weights and the order of the rows.")] = 0,
    valid: Annotated[
        float | None, _option("Share of the rows to watch while training; by default 0.1 of 2,000 rows or more.")
    ] = None,
    test: Annotated[float, _option("Share of the rows kept for the test.")] = 0.2,
    last: Annotated[
        bool, Parameter(help="Test on the last rows, not random ones: for rows in the order of time.", negative="")
    ] = False,
    out_dir: Annotated[str | None, Parameter(name="--out", help="A folder for the model.")] = None,
    overwrite: Annotated[bool, Parameter(help="Write into a folder that is not empty.", negative="")] = False,
    record: Annotated[
        str | None,
        _option("A folder for the whole training: every step can be had again. Of several starts: start-1, ... in it."),
    ] = None,
    record_every: Annotated[int | None, whole_number("Steps from one recorded state to the next.")] = None,
    resume: Annotated[
        str | None,
        _option("The --record folder of a training that was cut short, to go on with; all else as before."),
    ] = None,
    on_nan: Annotated[Literal["refuse", "explain"], _option("What becomes of a cost that is not finite.")] = "refuse",
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    out: Out,
) -> int:
    """Train a network on a table: a CSV file, or digits, iris, wine, breast_cancer or moons.

    Prints what it found in the table, the network and how it is trained, and how well it predicts rows that were kept
    apart. Defaults come from the numbers of rows and columns and the task; from cross-validation come the weight decay
    of fewer than 2,000 rows, whether few rows of classes get hidden layers, whether columns of many categories are
    used, and whether numbers are given in pieces. All are printed.
    """
    recipe = Recipe(
        hidden=_hidden(hidden),
        activation=_choice("--activation", activation, ACTIVATIONS),
        optimizer=_choice("--optimizer", optimizer, OPTIMIZERS),
        rate=_positive("--lr", lr),
        line_search=line_search,
        weight_decay=_number("--weight-decay", weight_decay),
        dropout=_share("--dropout", dropout, "hidden units") or 0.0,
        pieces=_least("--pieces", pieces, 0),
        clip_norm=_positive("--clip-norm", clip_norm),
        class_weight=_weights(class_weight),
        epochs=_least("--epochs", epochs, 1),
        batch_size=_batch(batch_size),
        patience=_least("--patience", patience, 1),
        tol=_number("--tol", tol),
        valid=_share("--valid", valid),
    )
    _share("--test", test)
    _least("--starts", starts, 1)
    _least("--seed", seed, 0)
    if line_search and batch_size not in (None, "all"):
        what = f"the option --batch-size is {batch_size!r} with --line-search"
        why = "each batch has another cost, so there is no line to search along"
        raise InputError(what, why=why, fix="write --batch-size all")
    if out_dir is not None:
        check_folder(out_dir, overwrite)
    if record is None and record_every is not None:
        raise InputError("the option --record-every without --record", fix="name a folder: --record RUN")
    _least("--record-every", record_every, 1)
    if resume is not None and record is not None and Path(resume).resolve() == Path(record).resolve():
        raise InputError("--resume and --record name one folder", why="a recording is read, then written over",
                         fix="give --record another folder")  # fmt: skip
    before = None if resume is None else open_run(resume)
    recorded = None if record is None else recording(Recording(record, every=record_every, overwrite=overwrite))
    marks = texts_of(missing)
    data = open_table(out, table, delimiter, decimal, kinds=dict.fromkeys(texts_of(categorical), "categorical"),
                      missing=marks)  # fmt: skip
    targets = target_names(data, target)
    spared = [] if without is None else columns_named(data, without)
    with out.waiting("cross-validating") as waiting:
        prepared = prepare(data, targets, task=task, recipe=recipe, test=test, last=last, without=spared, missing=marks,
                           seed=seed, waiting=waiting)  # fmt: skip
    unweighted = bool(prepared.model.target.classes) and recipe.class_weight is None
    asked = doubts(data, targets, prepared.model.encoder.feature_names, last=last, classes=unweighted)
    _tell_table(out, prepared, target is None, task == "auto", asked)
    _tell_training(out, prepared, seed, starts if before is None else 1)
    if before is not None:
        out.line(f"resumed   {resume}, after {_epochs(len(before.history))}")
    failed: NonFiniteError | None = None
    try:
        with out.progress(prepared.recipe.epochs or 0) as bar:
            bar.update(0)  # rows are made numbers, the first epoch runs: with millions of rows that takes a while
            trained = train_prepared(prepared, seed=seed, starts=starts, progress=bar, record=recorded, on_nan=on_nan,
                                     resume=before)  # fmt: skip
    except NonFiniteError as problem:
        failed = problem
        if not hasattr(problem, "trained"):
            raise
        trained = problem.trained
    saved, misplaced = None, None
    if out_dir is not None:
        saved, misplaced = _save(trained, out_dir, overwrite, _record(trained, data.source, seed))
    if failed is not None:
        which = "best weights so far" if trained.run.best_epoch else "weights before the training"
        kept = f"the {which} are saved in {saved}" if saved else f"add --out DIR to keep the {which}"
        fix = f"give a smaller --lr; {kept}"
        raise NonFiniteError(failed.what, where=failed.where, why=failed.why, fix=fix) from failed
    _tell_result(out, trained)
    for note in prepared.notes:
        out.line(f"note      {note}")
    if misplaced is None or saved is not None:
        out.line(f"model     saved in {saved}" if saved else "model not saved: add --out DIR")
    if record is not None:
        best = next(k for k, start in enumerate(trained.starts, 1) if start.run is trained.run)
        alone = starts == 1 or resume is not None
        kept = record if alone else str(Path(record) / start_name(best))
        others = f"; all {len(trained.starts)} starts in {record}" if not alone else ""
        on = f"; to go on: the same options and --resume {kept}" if trained.run.stopped == "interrupted" else ""
        out.line(f"run       recorded in {kept}{others}{on}")
        record = kept
    out.result(
        {
            "table": data.source,
            **_record(trained, data.source, seed),
            "left_out": dict(prepared.model.encoder.left_out),
            "with_logarithms": prepared.model.encoder.with_logarithms,
            "doubts": asked,
            "history": trained.run.history.records,
            "model": saved,
            "run": record,
        }
    )
    if misplaced is not None:
        raise misplaced
    return _INTERRUPTED if trained.run.stopped == "interrupted" else 0


def _save(
    trained: Trained, folder: str, overwrite: bool, record: dict[str, Any]
) -> tuple[str | None, InputError | None]:
    """Where the model is, and an error if that is not where it was to be: a training is not lost to a full disk."""
    try:
        trained.model.save(folder, trained.run, extra=record, overwrite=overwrite)
        return folder, None
    except InputError as problem:
        try:
            place = tempfile.mkdtemp(prefix="payback-model-")
            trained.model.save(place, trained.run, extra=record)
        except (InputError, OSError):
            return None, problem
        fix = f"it is kept in {place}: move it to where there is room"
        return place, InputError(problem.what, where=problem.where, why=problem.why, fix=fix)


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count:,} epochs"


def _hidden(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if text.strip().lower() == "none":
        return ()
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise InputError(
            f"the option --hidden is {text!r}",
            why="it wants the units of each hidden layer",
            fix="write for example --hidden 128,64, or --hidden none for a linear model",
        )
    return sizes


def _weights(text: str | None) -> Any:
    if text is None or text == "balanced":
        return text
    try:
        parts = [part.rpartition("=") for part in text.split(",")]
        weights = {name.strip(): float(weight) for name, _, weight in parts}
    except ValueError:
        weights = {"": 0.0}
    if "" in weights or not all(isfinite(weight) and weight >= 0 for weight in weights.values()):
        raise InputError(
            f"the option --class-weight is {text!r}",
            why="it wants a number from 0 up for the name of each class",
            fix="write --class-weight balanced, or for example --class-weight yes=5,no=1",
        )
    return weights


def _choice(name: str, value: str | None, known: Iterable[str]) -> str | None:
    if value is not None and value not in known:
        near = difflib.get_close_matches(value, list(known), 1)
        fix = f"did you mean {near[0]}?" if near else None
        raise InputError(f"the option {name} is {value!r}", why=f"it must be {listed(list(known), 'or')}", fix=fix)
    return value


def _batch(text: str | None) -> Any:
    if text is None or text == "all":
        return text
    try:
        return _least("--batch-size", int(text), 1)
    except ValueError:
        raise InputError(
            f"the option --batch-size is {text!r}", why="it wants a whole number from 1 up, or all"
        ) from None


def _number(name: str, value: float | None) -> float | None:
    if value is not None and not (isfinite(value) and value >= 0):
        why, fix = "it wants a number from 0 up", f"write for example {name} 0.001"
        raise InputError(f"the option {name} is {value}", why=why, fix=fix)
    return value


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not (isfinite(value) and value > 0):
        why, fix = "it wants a positive number", f"write for example {name} {'0.001' if name == '--lr' else '1.0'}"
        raise InputError(f"the option {name} is {value}", why=why, fix=fix)
    return value


def _least(name: str, value: int | None, least: int) -> int | None:
    if value is not None and value < least:
        raise InputError(f"the option {name} is {value}", why=f"it wants a whole number from {least} up")
    return value


def _share(name: str, value: float | None, of: str = "rows") -> float | None:
    if value is not None and not 0 <= value < 1:
        raise InputError(
            f"the option {name} is {value}",
            why=f"it is a share of the {of}, at least 0 and less than 1",
            fix=f"write for example {name} 0.1",
        )
    return value


def _tell_table(out: Output, prepared: Prepared, chosen: bool, recognized: bool, asked: list[str]) -> None:
    table, target = prepared.table, prepared.model.target
    out.line(f"table     {table.source}: {counted(table.n_rows, 'row')}, {counted(len(table.columns), 'column')}")
    tell_columns(out, table, target.names, prepared.model.encoder)
    numbers = "a number" if len(target.names) == 1 else f"{len(target.names)} numbers"
    kind = f"{len(target.classes)} classes" if target.task == "classify" else numbers
    if recognized and target.numeric and len(target.classes) > 2:
        kind += "; if these are amounts, add --task regress"
    out.line(f"target    {', '.join(target.names)}{' (the last column)' if chosen else ''}: {kind}")
    parts = ((prepared.train, "to train on"), (prepared.valid, "to watch"), (prepared.test, "to test"))
    out.line("rows      " + ", ".join(f"{len(rows):,} {use}" for rows, use in parts if len(rows)))
    for doubt in asked:
        out.line(f"doubt     {doubt}")


def _tell_training(out: Output, prepared: Prepared, seed: int, starts: int) -> None:
    recipe, net = prepared.recipe, prepared.model.net
    sizes = [net.layers[0].weight.shape[0], *(recipe.hidden or ()), prepared.model.target.n_outputs]
    count = sum(np.size(p) for p in parameters(net).values())
    if recipe.pieces:
        out.line(
            f"pieces    columns of numbers are given in up to {recipe.pieces} pieces too, where the network can bend"
        )
    linear = ", linear (cross-validated)" if "hidden" in prepared.tried and not recipe.hidden else ""
    out.line(f"network   {formula(net)}{linear}: {' → '.join(map(str, sizes))}, {count:,} parameters, {recipe.dtype}")
    falling = "" if recipe.optimizer == "gd" or recipe.tol is not None else " falling to 0"
    rate = "found by line search" if recipe.line_search else f"{recipe.rate:g}{falling}"
    tried = " (cross-validated)" if "weight_decay" in prepared.tried else ""
    more = f", weight decay {recipe.weight_decay:g}{tried}" if recipe.weight_decay else ""
    more += f", dropout {recipe.dropout:g}" if recipe.dropout else ""
    more += f", gradients of norm {recipe.clip_norm:g} at most" if recipe.clip_norm else ""
    if recipe.class_weight:
        given = {} if isinstance(recipe.class_weight, str) else recipe.class_weight
        named = " ".join(f"{name} {weight:g}" for name, weight in given.items())
        more += f", classes weighted: {named or recipe.class_weight}"
    batch = "all rows" if isinstance(recipe.batch_size, str) else counted(recipe.batch_size or 0, "row")
    most = counted(recipe.epochs or 0, "epoch")
    out.line(
        f"training  {recipe.optimizer}, step length {rate}{more}, {batch} a step, at most {most}, seed {seed}"
        + (f", {starts} starts" if starts > 1 else "")
    )


def _tell_result(out: Output, trained: Trained) -> None:
    run = trained.run
    if len(trained.starts) > 1:
        out.table(
            [(s.seed, f"{s.cost:.6g}", s.run.stopped, "kept" if s.run is run else "") for s in trained.starts],
            headers=("start's seed", "final cost", "stopped", ""),
            align="rrll",
        )
    if run.history.records:
        last = run.history[-1]
        of = f", weights of epoch {run.best_epoch}" if run.best_epoch != len(run.history) else ""
        out.line(
            f"trained   {counted(len(run.history), 'epoch')} in {last['seconds']:.2f} s, "
            f"cost {run.history[0]['loss']:.6g} → {last['loss']:.6g}; stopped: {run.stopped}{of}"
        )
    else:
        out.line(f"trained   not one whole epoch; stopped: {run.stopped}")
    line = _line(trained)
    if line:
        out.line(f"line      {line['text']}")
    if trained.test is not None:
        tell_metrics(out, trained.test)


def _line(trained: Trained) -> dict[str, Any] | None:
    """y = k·x + b in the table's units, for a linear model of one target."""
    found = trained.model.line()
    if found is None or len(trained.model.target.names) != 1:
        return None
    slopes, intercepts = found[0][:, 0], float(found[1][0])
    names = trained.model.encoder.feature_names_out
    terms = [(k, f"·{name}") for k, name in zip(slopes.tolist(), names, strict=True)] + [(intercepts, "")]
    signed = "".join(f" {'-' if number < 0 else '+'} {abs(number):.10g}{rest}" for number, rest in terms)
    text = f"{trained.model.target.names[0]} = " + (signed[3:] if signed[1] == "+" else signed[1] + signed[3:])
    return {"text": text, "slopes": dict(zip(names, slopes.tolist(), strict=True)), "intercept": intercepts}


def _record(trained: Trained, source: str, seed: int) -> dict[str, Any]:
    run = trained.run
    made: dict[str, Any] = {
        "task": trained.model.target.task,
        "target": list(trained.model.target.names),
        "rows": trained.rows,
        "recipe": trained.recipe.describe(),
        "seed": seed,
        "trained_on": source,
        "epochs": len(run.history),
        "best_epoch": run.best_epoch,
        "stopped": run.stopped,
        "test": trained.test,
    }
    if len(trained.starts) > 1:
        made["starts"] = [
            {"seed": s.seed, "cost": s.cost if isfinite(s.cost) else None, "stopped": s.run.stopped}
            for s in trained.starts
        ]
    line = _line(trained)
    return made | ({"line": line} if line else {})
