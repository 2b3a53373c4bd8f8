"""`fit`: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from payback import random
from payback.errors import InputError, NonFiniteError
from payback.io.model import save_model
from payback.nn.layers import known
from payback.nn.losses import LOSSES
from payback.optim.minimize import has_converged
from payback.optim.optimizers import Adam, GradientDescent, Optimizer
from payback.optim.schedules import positive
from payback.trace.tree import leaves, unflatten
from payback.train.blocks import Blocks
from payback.train.checks import check_parameters, fit_target, hold_out, metric_of, right_of, whole
from payback.train.compiled import compiled
from payback.train.data import check_rows
from payback.train.epochs import Progressing, epochs_of
from payback.train.history import History
from payback.train.orders import Orders
from payback.train.progress import Progress, progress_on_stderr
from payback.train.step import Steps, in_chunks

MIN_ROWS_TO_STOP = 100  # a smaller validation part is too noisy to decide when to stop
CLASSIFYING = ("cross_entropy", "binary_cross_entropy")  # losses whose target is a class: split class by class
Callback = Callable[[dict[str, Any], Any], None]


@dataclass(frozen=True)
class Run:
    """A training and what came of it.

    net         the trained network (the best one, where the best is known)
    history     one record an epoch
    stopped     "epochs", "early stopping", "gradient norm", "change of cost" or "interrupted"
    best_epoch  the epoch that net is of; 0: before the end of the first
    settings    what the training was told, for the record
    """

    net: Any
    history: History
    stopped: str
    best_epoch: int
    settings: dict[str, Any] = field(repr=False)

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
) -> Run:
    """Train a network.

    net: a module, or any callable container whose floating leaves are its parameters; not changed.
    X: (n, …) numbers; converted to the parameters' dtype.  y: (n,) class numbers, (n,) or (n, k) numbers.
    loss: a name in `pb.nn.LOSSES` or a function (prediction, target, weights) -> scalar; by default cross-entropy
    for whole numbers and squared error for others.
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
    """
    parameters = leaves(net)
    check_parameters(net)
    dtype = np.result_type(*parameters)
    X, y, weights = check_rows(X, y, sample_weight, dtype)
    if loss is None:
        loss = "cross_entropy" if y.dtype.kind in "iu" else "squared_error"
    loss_of = known(loss, LOSSES, "loss") if isinstance(loss, str) else loss
    loss = next((name for name, function in LOSSES.items() if function is loss), loss)
    optimizer = Adam() if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise InputError(f"the optimizer is {optimizer!r:.60}", why="that is none", fix="write pb.optim.Adam(1e-3)")
    epochs = whole("epochs", epochs, 0)
    patience = None if patience is None else whole("patience", patience, 1)
    tol = None if tol is None else positive("tol", tol, zero=True)
    net = unflatten(net, iter([np.array(p, dtype) for p in parameters]))
    keys = random.split(random.key(seed), 2)
    y = fit_target(net, X, y, loss, "y")
    X, y, weights, held = hold_out(X, y, weights, validation, keys[0], loss in CLASSIFYING)
    if held is not None:
        held = (held[0], fit_target(net, held[0], held[1], loss, "the validation y"), held[2])
        if held[1].dtype != y.dtype:
            raise InputError(f"the validation y holds {held[1].dtype}", why=f"y holds {y.dtype}")
    size = len(X) if batch_size == "all" else min(whole("batch_size", batch_size, 1), len(X))
    if isinstance(optimizer, GradientDescent) and optimizer.line_search and size < len(X):
        raise InputError(
            "a line search with batches",
            why="each batch has another cost, so there is no line to search along",
            fix='give batch_size="all"',
        )
    name = loss if isinstance(loss, str) else ""
    metric, right = metric_of(name), right_of(name)
    steps = Steps(net, loss_of, optimizer)
    at = Progressing(net, optimizer.init(net))
    orders = Orders(len(X), keys[1] if shuffle else None, epochs)
    fast = compiled(steps, optimizer, net, at.state, X, y, weights, right is not None)
    settings = {
        "loss": loss if isinstance(loss, str) else getattr(loss, "__name__", "custom"),
        "optimizer": repr(optimizer),
        "epochs": epochs,
        "batch_size": size,
        "shuffle": bool(shuffle),
        "patience": patience,
        "tol": tol,
        "seed": int(seed),
        "rows": len(X),
        "validation_rows": 0 if held is None else len(held[0]),
        "dtype": str(dtype),
    }
    watch = held is not None and patience is not None and len(held[0]) >= MIN_ROWS_TO_STOP
    shown = (
        progress if isinstance(progress, Progress) else progress_on_stderr(epochs) if progress is not False else None
    )
    looked = held is not None or bool(callbacks) or tol is not None
    ends: Iterator[tuple[dict[str, Any], Callable[[], Any]]]
    if fast is not None:
        ends = Blocks(at, fast, optimizer.schedule, y, weights, size, orders, right).epochs(looked)
    else:
        records = epochs_of(at, steps, optimizer, X, y, weights, size, orders, metric)
        ends = ((record, partial(_same, at.net)) for record in records)
    stopped = "epochs"
    begun = time.perf_counter()
    try:
        for epoch, (record, network) in enumerate(ends, 1):
            moment = record.pop("seconds", None)
            if held is not None:
                cost, prediction = in_chunks(steps, network(), *held)
                if not np.isfinite(cost):
                    raise NonFiniteError(
                        f"the validation cost became {cost} after step {at.step}",
                        where=f"epoch {epoch}",
                        why="the steps are too long, or the validation rows hold extreme values",
                        fix="give a smaller step length, or look at those rows",
                    )
                record["validation_loss"] = cost
                if metric:
                    record[f"validation_{metric[0]}"] = metric[1](prediction, held[1])
            record["seconds"] = (time.perf_counter() if looked or moment is None else moment) - begun
            at.history.append(record)
            at.offer(record["validation_loss" if watch else "loss"], epoch, network)
            for callback in callbacks:
                callback(record, network())
            if shown:
                shown.update(epoch, **{name: record[name] for name in ("loss", "validation_loss") if name in record})
            previous = at.history[-2]["loss"] if len(at.history) > 1 else np.inf
            reason = has_converged(record["loss"], previous, record["gradient_norm"], tol) if tol is not None else None
            if record["step_length"] == 0.0 and getattr(optimizer, "line_search", False):
                reason = reason or "change of cost"
            if watch and at.best is not None and epoch - at.best[1] >= (patience or 0):
                reason = reason or "early stopping"
            if reason:
                stopped = reason
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    except NonFiniteError as problem:
        # without a best one, the network given: the steps since may be what led astray
        problem.run = _finish(at, net, "a cost that is not finite", True, settings)  # type: ignore[attr-defined]
        raise
    finally:
        if shown:
            shown.clear()
    last = at.net if fast is None else fast.net()
    return _finish(at, last, stopped, watch or stopped == "interrupted", settings)


def _same(net: Any) -> Any:
    return net


def _finish(at: Progressing, last: Any, stopped: str, restore: bool, settings: dict[str, Any]) -> Run:
    if restore and at.best is not None:
        return Run(at.best[2](), at.history, stopped, at.best[1], settings)
    return Run(last, at.history, stopped, len(at.history), settings)
