"""`fit`: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from payback import random
from payback.errors import InputError, NonFiniteError
from payback.io.model import save_model
from payback.optim.minimize import backtrack, has_converged
from payback.optim.optimizers import Adam, GradientDescent, Optimizer
from payback.optim.schedules import positive
from payback.trace.tree import leaves, tree_map, unflatten
from payback.train.compiled import Compiled, compiled
from payback.train.failing import BadStep, Failing, check_on_nan, tell
from payback.train.history import History
from payback.train.metrics import accuracy, binary_accuracy, r2
from payback.train.progress import Progress, progress_on_stderr
from payback.train.recording import Recorder, Recording, Watched, recording
from payback.train.rows import check_parameters, training_rows
from payback.train.step import Steps, in_chunks

MIN_ROWS_TO_STOP = 100  # a smaller validation part is too noisy to decide when to stop
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


@dataclass
class _Progressing:
    """Where a training is: what a run is made of when it ends, however it ends."""

    net: Any
    state: Any
    recorder: Recorder | None = None
    history: History = field(default_factory=History)
    step: int = 0
    best: tuple[float, int, Any] | None = None  # cost, epoch, network
    bad: BadStep | None = None

    def offer(self, cost: float, epoch: int) -> None:
        if self.best is None or cost < self.best[0]:
            self.best = (cost, epoch, self.net)


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
    record: a new folder (or a `Recording`) for every step, so that `pb.open_run` can go back to each of them.
    on_nan: what becomes of a cost that is not finite. "refuse": NonFiniteError, saying where it was born. "explain":
    its whole story on standard error too, and what is needed to replay the step, in `record` or a temporary folder.

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
    options = recording(record)
    check_on_nan(on_nan)
    optimizer = Adam() if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise InputError(f"the optimizer is {optimizer!r:.60}", why="that is none", fix="write pb.optim.Adam(1e-3)")
    epochs = _whole("epochs", epochs, 0)
    patience = None if patience is None else _whole("patience", patience, 1)
    tol = None if tol is None else positive("tol", tol, zero=True)
    net = unflatten(net, iter([np.array(p, dtype) for p in parameters]))
    keys = random.split(random.key(seed), 2)
    loss, loss_of, rows = training_rows(net, X, y, sample_weight, loss, validation, keys[0])
    X, y, weights, held, _ = rows
    size = len(X) if batch_size == "all" else min(_whole("batch_size", batch_size, 1), len(X))
    if isinstance(optimizer, GradientDescent) and optimizer.line_search and size < len(X):
        raise InputError(
            "a line search with batches",
            why="each batch has another cost, so there is no line to search along",
            fix='give batch_size="all"',
        )
    metric = _metric(loss if isinstance(loss, str) else "")
    steps = Steps(net, loss_of, optimizer)
    at = _Progressing(net, optimizer.init(net))
    fast: Any = compiled(steps, optimizer, net, at.state, X, y, weights)
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
    if options is not None:
        told = settings | {"validation": None if isinstance(validation, tuple) else float(validation)}
        at.recorder = Recorder(
            options, net, at.state, loss=loss if isinstance(loss, str) else None, optimizer=optimizer, settings=told,
            data=rows.named(), steps=epochs * -(-len(X) // size), native_steps=steps.native,
        )  # fmt: skip
        fast = fast and Watched(fast, at.recorder)
    watch = held is not None and patience is not None and len(held[0]) >= MIN_ROWS_TO_STOP
    shown = (
        progress if isinstance(progress, Progress) else progress_on_stderr(epochs) if progress is not False else None
    )
    stopped = "epochs"
    begun = time.perf_counter()
    try:
        for epoch in range(1, epochs + 1):
            order_key = random.fold_in(keys[1], epoch) if shuffle else None
            order = order_key
            if fast is None:
                entry = _epoch(at, steps, optimizer, X, y, weights, size, epochs, order, epoch, metric)
            else:
                entry = _native_epoch(at, fast, optimizer, y, weights, size, epochs, order, epoch, metric)
            if held is not None:
                cost, prediction = in_chunks(steps, at.net, *held)
                if not np.isfinite(cost):
                    raise NonFiniteError(
                        f"the validation cost became {cost} after step {at.step}",
                        where=f"epoch {epoch}",
                        why="the steps are too long, or the validation rows hold extreme values",
                        fix="give a smaller step length, or look at those rows",
                    )
                entry["validation_loss"] = cost
                if metric:
                    entry[f"validation_{metric[0]}"] = metric[1](prediction, held[1])
            entry["seconds"] = time.perf_counter() - begun
            at.history.append(entry)
            if at.recorder is not None:
                at.recorder.epoch(entry)
            at.offer(entry["validation_loss" if watch else "loss"], epoch)
            for callback in callbacks:
                callback(entry, at.net)
            if shown:
                shown.update(epoch, **{name: entry[name] for name in ("loss", "validation_loss") if name in entry})
            previous = at.history[-2]["loss"] if len(at.history) > 1 else np.inf
            reason = has_converged(entry["loss"], previous, entry["gradient_norm"], tol) if tol is not None else None
            if entry["step_length"] == 0.0 and getattr(optimizer, "line_search", False):
                reason = reason or "change of cost"
            if watch and at.best is not None and epoch - at.best[1] >= (patience or 0):
                reason = reason or "early stopping"
            if reason:
                stopped = reason
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    except NonFiniteError as problem:
        if shown:
            shown.clear()
        if at.bad is not None:
            state = at.state if fast is None else fast.now()[1]
            named = loss if isinstance(loss, str) else None
            now = Failing(at.net, state, at.step, rows, loss_of, named, optimizer, settings)
            tell(problem, at.bad, now, at.recorder, on_nan)
        if at.best is None:
            at.net = net  # the steps since may be what led astray
        problem.run = _finish(at, "a cost that is not finite", True, settings)  # type: ignore[attr-defined]
        raise
    finally:
        if shown:
            shown.clear()
    run = _finish(at, stopped, watch or stopped == "interrupted", settings)
    if at.recorder is not None:
        at.recorder.end(stopped, run.best_epoch)
    return run


def _finish(at: _Progressing, stopped: str, restore: bool, settings: dict[str, Any]) -> Run:
    if restore and at.best is not None:
        return Run(at.best[2], at.history, stopped, at.best[1], settings)
    return Run(at.net, at.history, stopped, len(at.history), settings)


def _epoch(
    at: _Progressing,
    steps: Steps,
    optimizer: Optimizer,
    X: Any,
    y: Any,
    weights: Any,
    size: int,
    epochs: int,
    key: Any,
    epoch: int,
    metric: Any,
) -> dict[str, Any]:
    """One pass over the rows.  Costs are those of each batch before its step, averaged over samples."""
    n = len(X)
    per_epoch = -(-n // size)
    total, mass, norms, lengths, rates, scores, seen, first = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, at.step
    for rows in _batches(n, size, key):
        x_batch, y_batch = (X, y) if rows is None else (X[rows], y[rows])
        w_batch = None if weights is None else weights if rows is None else weights[rows]
        share = float(n if rows is None else len(rows)) if w_batch is None else float(w_batch.sum())
        if share == 0.0:  # samples that all weigh nothing
            continue
        rate = optimizer.schedule(at.step, epochs * per_epoch)
        if getattr(optimizer, "line_search", False):
            net, state, cost, prediction, norm, length, rate = _line_search(at, steps, x_batch, y_batch, w_batch, rate)
        else:
            net, state, cost, prediction, norm, length = steps.train(
                at.net, at.state, x_batch, y_batch, w_batch, rate, float(at.step + 1)
            )
        if at.recorder is not None:
            at.recorder.step(rows, len(x_batch), rate, (cost, norm, length), (net, state), (at.net, at.state))
        _check_finite(at, epoch, cost, norm, length, rows, rate)
        at.net, at.state, at.step = net, state, at.step + 1
        total, mass = total + float(cost) * share, mass + share
        norms, lengths, rates = norms + float(norm), lengths + float(length), float(rate)
        if metric and metric[0] == "accuracy":
            scores, seen = scores + metric[1](prediction, y_batch) * len(y_batch), seen + len(y_batch)
    record = {"epoch": epoch, "step": at.step, "loss": total / mass}
    if seen:
        record["accuracy"] = scores / seen
    count = at.step - first
    return record | {"gradient_norm": norms / count, "step_length": lengths / count, "rate": rates}


def _check_finite(at: _Progressing, epoch: int, cost: Any, norm: Any, length: Any, rows: Any, rate: float) -> None:
    if np.isfinite(cost) and np.isfinite(norm) and np.isfinite(length):
        return
    at.bad = BadStep(rows, rate, float(cost), float(norm), float(length))
    what = "cost" if not np.isfinite(cost) else "gradient" if not np.isfinite(norm) else "step"
    value = {"cost": cost, "gradient": norm, "step": length}[what]
    raise NonFiniteError(
        f"the {what} became {float(value)} at step {at.step + 1}",
        where=f"epoch {epoch}",
        why="the steps are too long, or the data hold extreme values",
        fix="give a smaller step length, or clip the gradient with clip_norm",
    )


def _native_epoch(
    at: _Progressing,
    fast: Compiled | Watched,
    optimizer: Optimizer,
    y: Any,
    weights: Any,
    size: int,
    epochs: int,
    key: Any,
    epoch: int,
    metric: Any,
) -> dict[str, Any]:
    """What `_epoch` does, by native code: the whole batches in one call, then the rest."""
    n = len(y)
    batches = [rows if rows is None else np.asarray(rows, np.int64) for rows in _batches(n, size, key)]
    shares = [
        float(n if rows is None else len(rows)) if weights is None
        else float((weights if rows is None else weights[rows]).sum())
        for rows in batches
    ]  # fmt: skip
    kept = [(rows, share) for rows, share in zip(batches, shares, strict=True) if share > 0.0]
    total, schedule = epochs * -(-n // size), optimizer.schedule
    sums, mass, scores, seen, first, rate = np.zeros(3), 0.0, 0.0, 0, at.step, 0.0
    try:
        while kept:
            rows = kept[0][0]
            length = n if rows is None else len(rows)
            count = next((i for i, (r, _) in enumerate(kept) if r is not None and len(r) != length), len(kept))
            part, kept = kept[:count], kept[count:]
            order = None if rows is None else np.concatenate([r for r, _ in part])
            rates = [schedule(at.step + i, total) for i in range(count)]
            taken = fast.take(order, length, count, rates, at.step + 1)
            at.step += len(taken.costs)
            if taken.bad is not None:
                k = len(taken.costs)
                _check_finite(at, epoch, *taken.bad, part[k][0], rates[k])
            share = np.array([s for _, s in part])
            sums += [taken.costs @ share, taken.norms.sum(dtype=float), taken.lengths.sum(dtype=float)]
            mass, rate = mass + share.sum(), rates[-1]
            if metric and metric[0] == "accuracy":
                target = y if order is None else y[order]
                scores += metric[1](taken.predictions.reshape(-1, *taken.predictions.shape[2:]), target) * len(target)
                seen += len(target)
    finally:
        at.net = fast.net()
    record = {"epoch": epoch, "step": at.step, "loss": float(sums[0] / mass)}
    if seen:
        record["accuracy"] = scores / seen
    count = at.step - first
    return record | {
        "gradient_norm": float(sums[1] / count), "step_length": float(sums[2] / count), "rate": float(rate)
    }  # fmt: skip


def _line_search(at: _Progressing, steps: Steps, x: Any, y: Any, weights: Any, rate: float) -> tuple[Any, ...]:
    """One step of descent whose length a backtracking search finds; at.state keeps the last accepted length."""
    cost, prediction, gradient, norm = steps.gradient(at.net, x, y, weights)
    net, rate = at.net, at.state[0] if isinstance(at.state, tuple) and at.state else rate
    if not (np.isfinite(cost) and np.isfinite(norm)):
        return net, at.state, cost, prediction, norm, 0.0, rate

    def moved(by: float) -> Any:
        return tree_map(lambda p, g: p - g.dtype.type(by) * g, net, gradient)

    length, _ = backtrack(
        lambda by: float(steps.cost(moved(by), x, y, weights)[0]), float(cost), float(norm) ** 2, rate
    )
    return moved(length), (2 * length or rate,), cost, prediction, norm, length * float(norm), length


def _batches(n: int, size: int, key: Any) -> Iterator[Any]:
    """Row numbers, batch by batch, in an order made from the key (None: as they stand); None: all rows at once."""
    if size >= n:
        yield None
        return
    order = np.arange(n) if key is None else random.permutation(key, n)
    for start in range(0, n, size):
        yield order[start : start + size]


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}", why=f"it must be a whole number from {least} up")
    return int(value)


def _metric(loss: str) -> tuple[str, Callable[[Any, Any], float]] | None:
    return {
        "cross_entropy": ("accuracy", accuracy),
        "binary_cross_entropy": ("accuracy", binary_accuracy),
        "squared_error": ("r2", r2),
        "huber": ("r2", r2),
    }.get(loss)
