"""`fit`: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from payback import random
from payback.errors import InputError, NonFiniteError
from payback.io.model import save_model
from payback.optim.minimize import has_converged
from payback.optim.optimizers import Adam, GradientDescent, Optimizer
from payback.optim.schedules import positive
from payback.trace.tree import leaves, tree_map, unflatten
from payback.train.blocks import Blocks
from payback.train.checks import check_parameters, metric_of, right_of, whole, yes_or_no
from payback.train.compiled import compiled
from payback.train.epochs import Progressing, epochs_of, same
from payback.train.failing import Failing, check_on_nan, tell
from payback.train.history import History
from payback.train.orders import Orders
from payback.train.progress import Progress, progress_on_stderr
from payback.train.recording import Recorder, Recording, Watched, recording
from payback.train.resume import MIN_ROWS_TO_STOP, Standing, ended, progressing, standing
from payback.train.rows import Rows, called_after_epochs, training_rows
from payback.train.step import Steps, in_chunks

if TYPE_CHECKING:
    from payback.train.runs import RecordedRun

Callback = Callable[[dict[str, Any], Any], None]


@dataclass(frozen=True)
class Run:
    """A training and what came of it.

    net         the trained network (the best one, where the best is known)
    history     one record an epoch
    stopped     "epochs", "early stopping", "gradient norm", "change of cost" or "interrupted"
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
    optimizer: Optimizer | None = None,
    epochs: int = 60,
    batch_size: int | str = 64,
    shuffle: bool = True,
    validation: float | tuple[Any, Any] = 0.1,
    patience: int | None = 10,
    tol: float | None = None,
    sample_weight: Any = None,
    seed: int = 0,
    progress: bool | Progress | None = None,
    callbacks: Sequence[Callback] = (),
    record: str | Path | Recording | None = None,
    on_nan: str = "refuse",
    resume: Run | RecordedRun | str | Path | None = None,
) -> Run:
    """Train a network.

    net: a module, or any callable container whose floating leaves are its parameters; not changed.
    X: (n, …) numbers; converted to the parameters' dtype.  y: (n,) class numbers, (n,) or (n, k) numbers.
    loss: a name in `pb.nn.LOSSES` or a function (prediction, target) or (prediction, target, weights) -> scalar, where
    weights are None without sample_weight; by default cross-entropy for whole numbers and squared error for others.
    optimizer: `pb.optim.Adam(1e-3)` by default.  epochs: passes over the rows, at most.
    batch_size: rows a step; "all" is one batch.  shuffle: take the rows in another order in every epoch.
    validation: the share of the rows to hold out (of every class the same share), or (X, y); 0: none.
    patience: stop after so many epochs without a better validation cost and restore the best weights; None: never.
    Only where at least 100 rows are held out.
    tol: stop when the gradient's norm is at most tol, or the cost of an epoch changes by at most tol² of itself.
    sample_weight: (n,) numbers ≥ 0, which weigh the validation cost too.
    seed: of the split and of the order of the rows.
    progress: False: none; by default a line with the time left, if standard error is a terminal.
    callbacks: called with (record, network) after every epoch.
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
    loss, loss_of, rows = training_rows(net, X, y, sample_weight, loss, validation, keys[0])
    X, y, weights, held, _ = rows
    whole_data = isinstance(batch_size, str) and batch_size == "all"
    size = len(X) if whole_data else min(whole("batch_size", batch_size, 1), len(X))
    if isinstance(optimizer, GradientDescent) and optimizer.line_search and size < len(X):
        raise InputError(
            "a line search with batches",
            why="each batch has another cost, so there is no line to search along",
            fix='give batch_size="all"',
        )
    name = loss if isinstance(loss, str) else None
    metric, right = metric_of(name or ""), right_of(name or "")
    steps = Steps(net, loss_of, optimizer)
    watch = held is not None and patience is not None and len(held[0]) >= MIN_ROWS_TO_STOP
    watched = "validation_loss" if watch else "loss"
    settings = {
        "loss": loss if isinstance(loss, str) else getattr(loss, "__name__", "custom"),
        "optimizer": repr(optimizer),
        "epochs": epochs,
        "batch_size": size,
        "shuffle": shuffle,
        "patience": patience,
        "tol": tol,
        "seed": int(seed),
        "rows": len(X),
        "validation_rows": 0 if held is None else len(held[0]),
        "dtype": str(dtype),
    }
    begun = time.perf_counter()
    if before is None:
        at = Progressing(net, optimizer.init(net))
    else:
        before.check(net, rows, optimizer, settings, watched, steps.native)
        at = progressing(before)
        begun -= at.history[-1]["seconds"] if at.history.records else 0.0
    orders = Orders(len(X), keys[1] if shuffle else None, epochs)
    fast: Any = compiled(steps, optimizer, at.net, at.state, X, y, weights, right is not None, not callbacks)
    if options is not None:
        told = settings | {"validation": None if isinstance(validation, tuple) else float(validation)}
        at.recorder = _recorder(options, at, steps, rows, name, told)
        fast = fast and Watched(fast, at.recorder)
    shown = (
        progress if isinstance(progress, Progress) else progress_on_stderr(epochs) if progress is not False else None
    )
    looked = held is not None or bool(callbacks) or tol is not None or at.recorder is not None
    ends: Iterator[tuple[dict[str, Any], Callable[[], Any]]]
    if fast is not None:
        ends = Blocks(at, fast, optimizer.schedule, y, weights, size, orders, right).epochs(looked)
    else:
        records = epochs_of(at, steps, optimizer, X, y, weights, size, orders, metric)
        ends = ((record, partial(same, at.net)) for record in records)
    stopped, astray, opened = "epochs", None, at.interrupts.opened
    searches = getattr(optimizer, "line_search", False)

    def reason_to_stop() -> str | None:
        reason = _converged(at.history, tol, searches)
        if watch and at.best is not None and len(at.history) - at.best[1] >= (patience or 0):
            reason = reason or "early stopping"
        return reason

    try:
        with at.interrupts:
            if at.history.records and (reason := reason_to_stop()):
                stopped, ends = reason, iter(())
            for entry, network in ends:
                epoch, moment = entry["epoch"], entry.pop("seconds", None)
                if held is not None:
                    astray = network()
                    with opened():
                        entry |= _validated(steps, astray, held, metric, at.step, epoch)
                    astray = None
                entry["seconds"] = (time.perf_counter() if looked or moment is None else moment) - begun
                at.history.append(entry)
                if at.recorder is not None:
                    at.recorder.epoch(entry)
                at.offer(entry[watched], epoch, network)
                for callback in callbacks:
                    trained = network()
                    with opened():
                        callback(entry, trained)
                if shown:
                    shown.update(epoch, **{name: entry[name] for name in ("loss", "validation_loss") if name in entry})
                if reason := reason_to_stop():
                    stopped = reason
                    break
    except KeyboardInterrupt:
        stopped = "interrupted"
    except NonFiniteError as problem:
        if shown:
            shown.clear()
        if at.bad is not None or astray is not None:
            last, state = (at.net, at.state) if fast is None else fast.now()
            failing = Failing(last if astray is None else astray, state, at.step, rows, loss_of, name, optimizer,
                              settings)  # fmt: skip
            tell(problem, at.bad, failing, at.recorder, on_nan)
        # without a best one, the network given: the steps since may be what led astray
        at.net = tree_map(np.copy, at.net)
        problem.run = _finish(at, net, "a cost that is not finite", True, settings)  # type: ignore[attr-defined]
        raise
    finally:
        if shown:
            shown.clear()
    last = fast.last() if fast is not None else at.net if at.step else tree_map(np.copy, at.net)
    run = _finish(at, last, stopped, watch or stopped == "interrupted", settings)
    if at.recorder is not None:
        at.recorder.end(stopped, run.best_epoch)
    if stopped == "interrupted" and at.interrupts.closed:  # by a handler that does not wait
        return run
    net, state = (at.net, at.state) if fast is None else fast.now()
    stands = ended(at, net, state, run, watched, optimizer, steps.native, rows)
    return replace(run, standing=stands)


def _recorder(
    options: Recording, at: Progressing, steps: Steps, rows: Rows, loss: str | None, settings: dict[str, Any]
) -> Recorder:
    """What writes the steps to come into a new folder; the epochs before them are in it too."""
    if at.step:
        settings = settings | {"resumed": at.step - at.told}  # steps of the epoch that are not in this recording
    recorder = Recorder(
        options, at.net, at.state, loss=loss, optimizer=steps.optimizer, settings=settings, data=rows.named(),
        steps=settings["epochs"] * -(-len(rows.X) // settings["batch_size"]), first=at.step, native_steps=steps.native,
    )  # fmt: skip
    for past in at.history:
        recorder.epoch(past)
    return recorder


def _validated(steps: Steps, net: Any, held: tuple[Any, ...], metric: Any, step: int, epoch: int) -> dict[str, Any]:
    """What the record of an epoch says of the rows held out.  Raises NonFiniteError for a cost that is not finite."""
    cost, prediction = in_chunks(steps, net, *held)
    if not np.isfinite(cost):
        raise NonFiniteError(
            f"the validation cost became {cost} after step {step}",
            where=f"epoch {epoch}",
            why="the steps are too long, or the validation rows hold extreme values",
            fix="give a smaller step length, or look at those rows",
        )
    scored = {f"validation_{metric[0]}": metric[1](prediction, held[1])} if metric else {}
    return {"validation_loss": cost} | scored


def _converged(history: History, tol: float | None, searches: bool) -> str | None:
    """Why the last epoch was the last, if it was: its gradient, its cost, or a line search that found no step."""
    last, reason = history[-1], None
    if tol is not None:
        previous = history[-2]["loss"] if len(history) > 1 else np.inf
        reason = has_converged(last["loss"], previous, last["gradient_norm"], tol)
    if searches and last["step_length"] == 0.0:
        reason = reason or "change of cost"
    return reason


def _finish(at: Progressing, last: Any, stopped: str, restore: bool, settings: dict[str, Any]) -> Run:
    if restore and at.best is not None:
        return Run(at.best[2](), at.history, stopped, at.best[1], settings)
    return Run(last, at.history, stopped, len(at.history), settings)
