"""`fit`: the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from payback import random
from payback.errors import InputError, NonFiniteError, ShapeError
from payback.io.model import save_model
from payback.nn.layers import known
from payback.nn.losses import LOSSES
from payback.optim.minimize import backtrack, has_converged
from payback.optim.optimizers import Adam, GradientDescent, Optimizer
from payback.optim.schedules import positive
from payback.trace.tree import leaves, paths, tree_map, unflatten
from payback.train.compiled import Compiled, compiled
from payback.train.data import check_rows, split_rows
from payback.train.history import History
from payback.train.metrics import accuracy, binary_accuracy, r2
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


@dataclass
class _Progressing:
    """Where a training is: what a run is made of when it ends, however it ends."""

    net: Any
    state: Any
    history: History = field(default_factory=History)
    step: int = 0
    best: tuple[float, int, Any] | None = None  # cost, epoch, network

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
    _check_parameters(net)
    dtype = np.result_type(*parameters)
    X, y, weights = check_rows(X, y, sample_weight, dtype)
    if loss is None:
        loss = "cross_entropy" if y.dtype.kind in "iu" else "squared_error"
    loss_of = known(loss, LOSSES, "loss") if isinstance(loss, str) else loss
    loss = next((name for name, function in LOSSES.items() if function is loss), loss)
    optimizer = Adam() if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise InputError(f"the optimizer is {optimizer!r:.60}", why="that is none", fix="write pb.optim.Adam(1e-3)")
    epochs = _whole("epochs", epochs, 0)
    patience = None if patience is None else _whole("patience", patience, 1)
    tol = None if tol is None else positive("tol", tol, zero=True)
    net = unflatten(net, iter([np.array(p, dtype) for p in parameters]))
    keys = random.split(random.key(seed), 2)
    y = _fit_target(net, X, y, loss, "y")
    X, y, weights, held = _hold_out(X, y, weights, validation, keys[0], loss in CLASSIFYING)
    if held is not None:
        held = (held[0], _fit_target(net, held[0], held[1], loss, "the validation y"), held[2])
        if held[1].dtype != y.dtype:
            raise InputError(f"the validation y holds {held[1].dtype}", why=f"y holds {y.dtype}")
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
    fast = compiled(steps, optimizer, net, at.state, X, y, weights)
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
    stopped = "epochs"
    begun = time.perf_counter()
    try:
        for epoch in range(1, epochs + 1):
            order_key = random.fold_in(keys[1], epoch) if shuffle else None
            order = order_key
            if fast is None:
                record = _epoch(at, steps, optimizer, X, y, weights, size, epochs, order, epoch, metric)
            else:
                record = _native_epoch(at, fast, optimizer, y, weights, size, epochs, order, epoch, metric)
            if held is not None:
                cost, prediction = in_chunks(steps, at.net, *held)
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
            record["seconds"] = time.perf_counter() - begun
            at.history.append(record)
            at.offer(record["validation_loss" if watch else "loss"], epoch)
            for callback in callbacks:
                callback(record, at.net)
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
        if at.best is None:
            at.net = net  # the steps since may be what led astray
        problem.run = _finish(at, "a cost that is not finite", True, settings)  # type: ignore[attr-defined]
        raise
    finally:
        if shown:
            shown.clear()
    return _finish(at, stopped, watch or stopped == "interrupted", settings)


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
        _check_finite(at, epoch, cost, norm, length)
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


def _check_finite(at: _Progressing, epoch: int, cost: Any, norm: Any, length: Any) -> None:
    if np.isfinite(cost) and np.isfinite(norm) and np.isfinite(length):
        return
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
    fast: Compiled,
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
                _check_finite(at, epoch, *taken.bad)
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


def _check_parameters(net: Any) -> None:
    if not callable(net):
        raise InputError(
            f"the network is a {type(net).__name__}",
            why="it must be callable on a batch",
            fix="make one with pb.nn.MLP",
        )
    parameters = leaves(net)
    if not parameters:
        raise InputError("the network has no parameters", why="there is nothing to train")
    for name, leaf in zip(paths(net, "net"), parameters, strict=True):
        if not isinstance(leaf, (np.ndarray, np.floating)) or leaf.dtype.kind != "f":
            raise InputError(
                f"{name} is {leaf!r:.60}",
                why="parameters are floating arrays",
                fix="declare other fields with pb.nn.static()",
            )


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}", why=f"it must be a whole number from {least} up")
    return int(value)


def _fit_target(net: Any, X: Any, y: Any, loss: Any, name: str) -> Any:
    """The target in the shape of the network's result: (n,) becomes (n, 1) for one output.

    Raises ShapeError or InputError when they do not go together.
    """
    made = net(X[:1]).shape[1:]
    if y.dtype.kind in "iu" and loss == "cross_entropy":
        if y.ndim == 1 and len(made) == 1 and (y.min() < 0 or y.max() >= made[0]):
            raise InputError(
                f"{name} has classes from {y.min()} to {y.max()}",
                why=f"the network's {made[0]} outputs stand for the classes 0 to {made[0] - 1}",
                fix="number the classes from 0, or give the last layer more outputs",
            )
        if y.ndim != 1:
            fix = "write y[:, 0]" if y.size == len(y) else "write y.astype(float) for the probabilities of classes"
            raise ShapeError(f"{name} has the shape {y.shape}", why="a class is one whole number a sample", fix=fix)
        return y
    if y.dtype.kind in "iu" and isinstance(loss, str):
        y = y.astype(X.dtype)
    if y.ndim == 1 and made == (1,):
        return y[:, None]
    if isinstance(loss, str) and y.shape[1:] != made:
        raise ShapeError(
            f"{name} has the shape {y.shape} and the network's results have {(len(X), *made)}",
            fix=f"give the last layer {int(np.prod(y.shape[1:], dtype=int))} outputs, or y as many columns",
        )
    return y


def _hold_out(X: Any, y: Any, weights: Any, validation: Any, key: Any, classify: bool) -> tuple[Any, ...]:
    """X, y and weights to train on, and those of the validation rows or None."""
    if isinstance(validation, tuple) and len(validation) == 2:
        held_x, held_y, _ = check_rows(*validation, None, X.dtype)
        if held_x.shape[1:] != X.shape[1:]:
            shapes = f"the others have {X.shape[1:]}"
            raise ShapeError(f"the validation rows have the shape {held_x.shape[1:]}", why=shapes)
        return X, y, weights, (held_x, held_y, None)
    if isinstance(validation, bool) or not isinstance(validation, (float, int, np.floating)) or not 0 <= validation < 1:
        why = "it is the share of the rows to hold out, at least 0 and less than 1, or a pair (X, y)"
        raise InputError(f"validation is {validation!r:.60}", why=why)
    rest, part = split_rows(len(X), float(validation), key, y.reshape(len(y)) if classify and y[0].size == 1 else None)
    if len(part) == 0:
        return X, y, weights, None
    if weights is None:
        return X[rest], y[rest], None, (X[part], y[part], None)
    for rows, name in ((rest, "training"), (part, "validation")):
        if weights[rows].sum() == 0:
            raise InputError(f"the {name} rows all weigh nothing", why="sample_weight is 0 for each of them",
                             fix="leave out the rows without weight, or give another seed")  # fmt: skip
    return X[rest], y[rest], weights[rest], (X[part], y[part], weights[part])


def _metric(loss: str) -> tuple[str, Callable[[Any, Any], float]] | None:
    return {
        "cross_entropy": ("accuracy", accuracy),
        "binary_cross_entropy": ("accuracy", binary_accuracy),
        "squared_error": ("r2", r2),
        "huber": ("r2", r2),
    }.get(loss)
