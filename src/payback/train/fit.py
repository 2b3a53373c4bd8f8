"""`fit`: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from payback import random
from payback.elsewhere import missing_method
from payback.errors import InputError, NonFiniteError
from payback.io.model import save_model
from payback.nn.layers import known
from payback.optim.minimize import has_converged
from payback.optim.optimizers import OPTIMIZERS, Adam, GradientDescent, Optimizer
from payback.optim.schedules import positive
from payback.trace.tree import leaves, tree_map, unflatten
from payback.train.blocks import Blocks
from payback.train.checks import check_parameters, metric_of, right_of, scored_by, whole, yes_or_no
from payback.train.compiled import compiled
from payback.train.epochs import Progressing, epochs_of, same
from payback.train.failing import Failing, check_on_nan, tell
from payback.train.history import History
from payback.train.metrics import Metric
from payback.train.orders import Orders
from payback.train.progress import Progress, progress_on_stderr
from payback.train.recording import Recorder, Recording, Watched, recording
from payback.train.resume import MIN_ROWS_TO_STOP, Standing, ended, progressing, standing
from payback.train.rows import Rows, called_after_epochs, training_rows
from payback.train.step import Steps, draws_of, in_chunks

if TYPE_CHECKING:
    from payback.train.runs import RecordedRun

Callback = Callable[[dict[str, Any], Any], object]


@dataclass(frozen=True)
class Run:
    """A training and what came of it.

    net         the trained network (the best one, where the best is known)
    history     one record an epoch
    stopped     "epochs", "early stopping", "gradient norm", "change of cost", "callback" or "interrupted"
    best_epoch  the epoch that net is of; 0: before the end of the first
    settings    what the training was told, for the record
    standing    what `fit(resume=run)` goes on from (the last network, the optimizer's state), or None if nothing can
    """

    net: Any
    history: History
    stopped: str
    best_epoch: int
    settings: dict[str, Any] = field(repr=False)
    standing: Standing | None = field(default=None, repr=False, compare=False)

    def __getattr__(self, name: str) -> Any:
        raise missing_method("a run", self, name)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write `model.safetensors`, `model.json` and `history.jsonl` into a new folder; `pb.load` reads it.

        Raises InputError for a folder that is not empty (unless overwrite=True) or cannot be written.
        """
        save_model(
            folder, self.net, history=self.history.records, extra={"settings": self.settings}, overwrite=overwrite
        )


def fit(
    net: Any,
    X: Any,
    y: Any,
    *,
    loss: str | Callable[..., Any] | None = None,
    optimizer: Optimizer | str | None = None,
    epochs: int = 60,
    batch_size: int | str = 64,
    shuffle: bool = True,
    validation: float | tuple[Any, Any] = 0.1,
    patience: int | None = 10,
    tol: float | None = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    metrics: Sequence[str | Metric] = (),
    seed: int = 0,
    progress: bool | Progress | None = None,
    callbacks: Sequence[Callback] = (),
    record: str | Path | Recording | None = None,
    on_nan: str = "refuse",
    resume: Run | RecordedRun | str | Path | None = None,
) -> Run:
    """Train a network.

    net: a module, or any callable container whose floating leaves are its parameters; not changed.
    X: (n, …) numbers; converted to the parameters' dtype, unless they are whole ones that the network takes as they are
    (`pb.nn.Embedding`).  y: (n,) class numbers, or (n, steps) of sequences; (n,) or (n, k) numbers.
    loss: a name in `pb.nn.LOSSES` or a function (prediction, target) or (prediction, target, weights) -> scalar, where
    weights are None without sample_weight and prediction is what the network returns, be it several arrays; by default
    cross-entropy for whole numbers and squared error for others.  A function gets an (n,) target beside (n, 1)
    predictions in the shape in which it does not compare every sample with every other.
    optimizer: `pb.optim.Adam(1e-3)` by default; or a name in `pb.optim.OPTIMIZERS`, with its usual options.
    epochs: passes over the rows, at most.
    batch_size: rows a step; "all" is one batch.  shuffle: take the rows in another order in every epoch.
    validation: the share of the rows to hold out (of every class the same share), or (X, y); 0: none.
    patience: stop after so many epochs without a better validation cost and restore the best weights; None: never.
    Only where at least 100 rows are held out.
    tol: stop when the gradient's norm is at most tol, or the cost of an epoch changes by at most tol² of itself.
    sample_weight: (n,) numbers ≥ 0, which weigh the validation cost too.
    class_weight: numbers ≥ 0 by class, {0: 1.0, 1: 5.0} (1 for the others), or "balanced": the inverse of how often
    each class is in y, one on average over the samples.  It is multiplied with sample_weight, and weighs a validation
    (X, y) too.
    metrics: what is computed of the rows held out after each epoch, for the history as `validation_…`: "accuracy",
    "balanced_accuracy", "precision", "recall", "f1", "auc", "mae", "rmse", "r2", or functions (prediction, target) ->
    number.  Precision, recall and f1 are those of class 1 of two, else averages over the classes.
    seed: of the split and of the order of the rows.
    progress: False: none; by default a line with the time left, if standard error is a terminal.
    callbacks: called with (record, network) after every epoch; one that returns True ends the training.
    record: a new folder (or a `Recording`) for every step, so that `pb.open_run` can go back to each of them.
    on_nan: what becomes of a cost that is not finite. "refuse": NonFiniteError, saying where it was born. "explain":
    its whole story on standard error too, and what is needed to replay the step, in `record` or a temporary folder.
    resume: a run to go on with, or the folder of a recorded one, which counts up to its last whole epoch. All else is
    told again as it was; epochs, those before included, tol and patience may be others. The result has the bits of a
    training that was never interrupted.

    Ctrl-C ends the training and keeps the best network so far.
    Returns a Run.  Raises NonFiniteError when the cost or the gradient becomes NaN or infinite, before such a step is
    applied: its attribute `run` holds the best so far.  ShapeError, InputError for data and options that do not fit.

    >>> import numpy as np, payback as pb
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> line = pb.nn.MLP([1, 1], seed=0, dtype=float)
    >>> run = pb.fit(line, X, 3 * X[:, 0] + 1, optimizer=pb.optim.GradientDescent(line_search=True),
    ...              batch_size="all", validation=0, epochs=200, tol=1e-8)
    >>> run.net(np.array([[2.0]])).round(6)
    array([[7.]])
    >>> told = dict(X=X, y=X[:, 0] ** 2, validation=0, batch_size=5)
    >>> half = pb.fit(line, **told, epochs=3)
    >>> whole = pb.fit(line, **told, epochs=6, resume=half)
    >>> whole.history["loss"] == pb.fit(line, **told, epochs=6).history["loss"]
    True
    """
    parameters = leaves(net)
    check_parameters(net)
    dtype = np.result_type(*parameters)
    options = recording(record)
    check_on_nan(on_nan)
    before = standing(resume)
    callbacks = called_after_epochs(callbacks)
    if isinstance(optimizer, str):
        optimizer = known(optimizer, OPTIMIZERS, "optimizer")()
    optimizer = Adam() if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise InputError(f"optimizer is {optimizer!r:.60}, which is none of pb.optim", fix="write pb.optim.Adam(1e-3)")
    epochs, shuffle = whole("epochs", epochs, 0), yes_or_no("shuffle", shuffle)
    if progress is not None and not isinstance(progress, Progress):
        progress = yes_or_no("progress", progress)
    patience = None if patience is None else whole("patience", patience, 1)
    tol = None if tol is None else positive("tol", tol, zero=True)
    net = unflatten(net, iter([np.asarray(p, dtype) for p in parameters]))
    keys = random.split(random.key(seed), 2)
    loss, loss_of, rows = training_rows(net, X, y, sample_weight, loss, validation, keys[0], class_weight)
    with np.errstate(all="ignore"):
        result = net(rows.X[:1])
    scores = scored_by(metrics, loss if isinstance(loss, str) else "", rows.held is not None, result)
    settings = {
        "loss": loss if isinstance(loss, str) else getattr(loss, "__name__", "custom"),
        "optimizer": repr(optimizer),
        "epochs": epochs,
        "batch_size": _rows_of_step(batch_size, len(rows.X), optimizer),
        "shuffle": shuffle,
        "patience": patience,
        "tol": tol,
        "seed": int(seed),
        "rows": len(rows.X),
        "validation_rows": 0 if rows.held is None else len(rows.held[0]),
        "dtype": str(dtype),
    }
    orders = Orders(len(rows.X), keys[1] if shuffle else None, epochs)
    name = loss if isinstance(loss, str) else None
    draws = draws_of(net, rows.X, int(seed))
    if draws is not None and optimizer.line_search:
        raise InputError("a line search in a network that draws numbers", why="its cost is another one in each step",
                         fix="leave out the dropout, or take another optimizer")  # fmt: skip
    training = _Training(net, Steps(net, loss_of, optimizer, draws), rows, orders, name, settings, callbacks, scores)
    training.begin(before)
    if options is not None:
        training.record(options, None if isinstance(validation, tuple) else float(validation))
    if progress is not False:
        training.shown = progress if isinstance(progress, Progress) else progress_on_stderr(epochs)
    return training.run(on_nan)


def _rows_of_step(batch_size: int | str, rows: int, optimizer: Optimizer) -> int:
    whole_data = isinstance(batch_size, str) and batch_size == "all"
    size = rows if whole_data else min(whole("batch_size", batch_size, 1), rows)
    if isinstance(optimizer, GradientDescent) and optimizer.line_search and size < rows:
        raise InputError(
            "a line search with batches",
            why="each batch has another cost, so there is no line to search along",
            fix='give batch_size="all"',
        )
    return size


class _Training:
    """A training: its epochs, and what comes of it however it ends.

    net    as it was given
    name   of the loss, if it has one
    at     where the training is
    fast   steps in machine code; None: they run on the interpreter
    watch  whether the validation cost decides which network is kept, and when to stop
    """

    at: Progressing
    fast: Any

    def __init__(
        self, net: Any, steps: Steps, rows: Rows, orders: Orders, name: str | None, settings: dict[str, Any],
        callbacks: Sequence[Callback], scores: Mapping[str, Metric],
    ):  # fmt: skip
        self.net, self.steps, self.rows, self.orders = net, steps, rows, orders
        self.name, self.settings, self.callbacks = name, settings, callbacks
        self.metric, self.right, self.scores = metric_of(name or ""), right_of(name or ""), scores
        held, patience = settings["validation_rows"], settings["patience"]
        self.watch = patience is not None and held >= MIN_ROWS_TO_STOP
        self.watched = "validation_loss" if self.watch else "loss"
        self.shown: Progress | None = None
        self._ended = False  # by a callback
        self._astray: Any = None  # the network whose validation cost is computed

    def begin(self, before: Standing | None) -> None:
        """From the start, or where a training ended."""
        steps, rows = self.steps, self.rows
        self._begun = time.perf_counter()
        if before is None:
            self.at = Progressing(self.net, steps.optimizer.init(self.net))
        else:
            before.check(self.net, rows, steps.optimizer, self.settings, self.watched, steps.native)
            self.at = progressing(before)
            self._begun -= self.at.history[-1]["seconds"] if self.at.history.records else 0.0
        self.fast = compiled(
            steps,
            steps.optimizer,
            self.at.net,
            self.at.state,
            *rows[:3],
            self.right is not None,
            not self.callbacks,
            self.orders.key is None,
        )

    def record(self, options: Recording, validation: float | None) -> None:
        """Write the steps to come into a new folder; the epochs before them are in it too."""
        at, settings = self.at, self.settings | {"validation": validation}
        if at.step:
            settings["resumed"] = at.step - at.told  # steps of the epoch that are not in this recording
        at.recorder = Recorder(
            options, at.net, at.state, loss=self.name, optimizer=self.steps.optimizer, settings=settings,
            data=self.rows.named(), steps=settings["epochs"] * -(-settings["rows"] // settings["batch_size"]),
            first=at.step, native_steps=self.steps.native,
        )  # fmt: skip
        for past in at.history:
            at.recorder.epoch(past)
        self.fast = self.fast and Watched(self.fast, at.recorder)

    def run(self, on_nan: str) -> Run:
        at, fast, restored = self.at, self.fast, self.watch
        try:
            with at.interrupts:
                stopped = self._epochs()
        except KeyboardInterrupt:
            stopped, restored = "interrupted", True
        except NonFiniteError as problem:
            self._clear()
            self._tell(problem, on_nan)
            # without a best one, the network given: the steps since may be what led astray
            at.net = tree_map(np.copy, at.net)
            problem.run = self._result(self.net, "a cost that is not finite", True)  # type: ignore[attr-defined]
            raise
        finally:
            self._clear()
        last = fast.last() if fast is not None else at.net if at.step else tree_map(np.copy, at.net)
        run = self._result(last, stopped, restored)
        if at.recorder is not None:
            at.recorder.end(stopped, run.best_epoch)
        if stopped == "interrupted" and at.interrupts.closed:  # by a handler that does not wait
            return run
        net, state = self._now()
        stands = ended(at, net, state, run, self.watched, self.steps.optimizer, self.steps.native, self.rows)
        return replace(run, standing=stands)

    def _epochs(self) -> str:
        """All epochs that there are to be, and why there are no more."""
        if self.at.history.records and (reason := self._reason_to_stop()):
            return reason
        for record, network in self._ends():
            self._end(record, network)
            if reason := self._reason_to_stop():
                return reason
        return "epochs"

    @property
    def _looked(self) -> bool:
        """Whether each epoch is looked at before the next one may begin."""
        told = self.settings["tol"] is not None or self.at.recorder is not None
        return told or self.rows.held is not None or bool(self.callbacks)

    def _ends(self) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
        """The record of every epoch at its end, and what makes the network."""
        at, optimizer, size = self.at, self.steps.optimizer, self.settings["batch_size"]
        X, y, weights, *_ = self.rows
        if self.fast is not None:
            blocks = Blocks(at, self.fast, optimizer.schedule, y, weights, size, self.orders, self.right)
            return blocks.epochs(self._looked)
        records = epochs_of(at, self.steps, optimizer, X, y, weights, size, self.orders, self.metric)
        return ((record, partial(same, at.net)) for record in records)

    def _end(self, record: dict[str, Any], network: Callable[[], Any]) -> None:
        """What is done at the end of an epoch."""
        at, opened, epoch = self.at, self.at.interrupts.opened, record["epoch"]
        moment = record.pop("seconds", None)
        if (held := self.rows.held) is not None:
            self._astray = network()
            with opened():
                record |= self._validated(self._astray, held, epoch)
            self._astray = None
        record["seconds"] = (time.perf_counter() if self._looked or moment is None else moment) - self._begun
        at.history.append(record)
        if at.recorder is not None:
            at.recorder.epoch(record)
        at.offer(record[self.watched], epoch, network)
        for callback in self.callbacks:
            trained = network()
            with opened():
                answer = callback(record, trained)
            self._ended = self._ended or (isinstance(answer, (bool, np.bool_)) and bool(answer))
        if self.shown:
            costs = ("loss", "validation_loss")
            self.shown.update(epoch, **{name: record[name] for name in costs if name in record})

    def _validated(self, net: Any, held: tuple[Any, Any, Any], epoch: int) -> dict[str, Any]:
        """What the record of an epoch says of the rows held out.  Raises NonFiniteError for a cost not finite."""
        cost, prediction = in_chunks(self.steps, net, *held)
        if not np.isfinite(cost):
            raise NonFiniteError(
                f"the validation cost became {cost} after step {self.at.step}",
                where=f"epoch {epoch}",
                why="the steps are too long, or the validation rows hold extreme values",
                fix="give a smaller step length, or look at those rows",
            )
        scored = {f"validation_{name}": float(score(prediction, held[1])) for name, score in self.scores.items()}
        return {"validation_loss": cost} | scored

    def _reason_to_stop(self) -> str | None:
        """Why the last epoch was the last, if it was: its gradient, its cost, a line search, or patience."""
        at, last, reason = self.at, self.at.history[-1], None
        if self.settings["tol"] is not None:
            previous = at.history[-2]["loss"] if len(at.history) > 1 else np.inf
            reason = has_converged(last["loss"], previous, last["gradient_norm"], self.settings["tol"])
        if self.steps.optimizer.line_search and last["step_length"] == 0.0:
            reason = reason or "change of cost"
        if self.watch and at.best is not None and len(at.history) - at.best[1] >= self.settings["patience"]:
            reason = reason or "early stopping"
        return reason or ("callback" if self._ended else None)

    def _tell(self, problem: NonFiniteError, on_nan: str) -> None:
        """Add to an error of a step or of a validation what is known of it."""
        at, astray = self.at, self._astray
        if at.bad is None and astray is None:
            return
        net, state = self._now()
        failing = Failing(net if astray is None else astray, state, at.step, self.rows, self.steps, self.name,
                          self.settings)  # fmt: skip
        tell(problem, at.bad, failing, at.recorder, on_nan)

    def _now(self) -> tuple[Any, Any]:
        """The network and the optimizer's state as they are."""
        return (self.at.net, self.at.state) if self.fast is None else self.fast.now()

    def _result(self, last: Any, stopped: str, restore: bool) -> Run:
        """The run that a training is when it ends; its network is the best one, where that is to be restored."""
        history, best = self.at.history, self.at.best
        if restore and best is not None:
            return Run(best[2](), history, stopped, best[1], self.settings)
        return Run(last, history, stopped, len(history), self.settings)

    def _clear(self) -> None:
        if self.shown:
            self.shown.clear()
