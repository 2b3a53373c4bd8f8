"""What `fit` is told, checked: parameters, targets, metric, and the rows that are held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from payback.errors import InputError, ShapeError
from payback.ir.aval import Aval
from payback.nn.layers import known
from payback.trace.abstract import trace
from payback.trace.tree import is_leaf, leaves, paths
from payback.train.data import check_rows, in_dtype, split_rows
from payback.train.metrics import (
    METRICS,
    OF_VALUES,
    Metric,
    accuracy,
    binary_accuracy,
    r2,
    right_answers,
    right_classes,
)

CLASSES = ("cross_entropy", "binary_cross_entropy")


def check_parameters(net: Any) -> None:
    if isinstance(net, type) or not callable(net):
        raise InputError(
            f"the network is {f'the class {net.__name__}' if isinstance(net, type) else f'a {type(net).__name__}'}",
            why="a network with parameters is needed, callable on a batch",
            fix="make one, for example pb.nn.MLP([4, 16, 1], seed=0)",
        )
    parameters = leaves(net)
    if not parameters:
        raise InputError("the network has no parameters", why="there is nothing to train")
    places: dict[int, str] = {}
    for name, leaf in zip(paths(net, "net"), parameters, strict=True):
        if not isinstance(leaf, (np.ndarray, np.floating)) or leaf.dtype.kind != "f":
            raise InputError(
                f"{name} is {leaf!r:.60}",
                why="parameters are floating arrays",
                fix="declare other fields with pb.nn.static()",
            )
        # what stays as it is may be there twice, and numbers are no arrays of somebody's
        if isinstance(leaf, np.ndarray) and ".frozen" not in name and places.setdefault(id(leaf), name) != name:
            raise InputError(
                f"{name} is {places[id(leaf)]} again",
                why="each place of a network is trained for itself, so that they would part",
                fix="for weights that are tied keep the layer in one field of a class of your own, whose __call__ uses "
                "it twice; for others make another layer, with a key of its own",
            )


def whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}", why=f"it must be a whole number from {least} up")
    return int(value)


def yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} is {value!r:.60}", why="it must be True or False")
    return bool(value)


def _outputs(count: int) -> str:
    return f"{count} output{'s' * (count != 1)}"


def takes_whole_numbers(net: Any, dtype: Any) -> Callable[[Any], bool]:
    """Whether a network takes rows of whole numbers as they are and not as floating ones: an embedding of them.

    The rows that are tried hold the least and the greatest number of each column, so none of the others is out of
    its range.
    """

    def refused(rows: Any) -> str:
        try:
            net(rows)
        except Exception as problem:
            return f"{type(problem).__name__}: {problem}"
        return ""

    def tried(X: Any) -> bool:
        with np.errstate(all="ignore"):
            if not refused(X[:1].astype(dtype)):
                return False
            ends = np.stack([X.min(axis=0), X.max(axis=0)])
            as_floats, as_they_are = refused(ends.astype(dtype)), refused(ends)
            if as_they_are and as_they_are != as_floats:
                net(ends)  # which raises: a number out of range
        return as_they_are != as_floats  # the same trouble is none of the dtype, and the training says what it is

    return tried


def fit_target(net: Any, X: Any, y: Any, loss: Any, name: str, loss_of: Callable[..., Any]) -> Any:
    """The target in the shape of the network's result: (n,) becomes (n, 1) for one output, unless a loss of the user's
    (loss_of: with three arguments) wants it as it is.

    Raises ShapeError or InputError when they do not go together.
    """
    with np.errstate(all="ignore"):  # what is not finite is found, and told, by the step
        try:
            result, dtype = net(X[:1]), np.result_type(*leaves(net))
        except ShapeError as problem:
            raise ShapeError(f"X has the shape {X.shape}, which does not fit the network", where=problem.where,
                             why="; ".join(filter(None, (f"for a single row, {problem.what}", problem.why))),
                             fix=problem.fix) from problem  # fmt: skip
    if not is_leaf(result):
        if isinstance(loss, str):
            raise ShapeError(f"the network's result is a {type(result).__name__} of {len(leaves(result))} arrays",
                             why=f"{loss} takes one", fix="write a loss of all, a function (prediction, target), or "
                             "np.concatenate them in the network")  # fmt: skip
        return y
    made = np.shape(result)[1:]
    if y.dtype.kind in "iu" and loss == "cross_entropy":
        if y.shape[1:] == made[:-1] and made and (y.min() < 0 or y.max() >= made[-1]):
            two = made == (1,) and y.min() >= 0 and y.max() <= 1
            one_up = y.min() == 1 and y.max() == made[-1]
            raise InputError(
                f"{name} has classes from {y.min()} to {y.max()}",
                why="whole numbers are classes to cross_entropy, and the network has "
                f"{_outputs(made[-1])}, one a class",
                fix='write loss="binary_cross_entropy", or give the last layer an output for each class; for targets '
                "that are numbers, y.astype(float)"
                if two
                else f"number the classes from 0: write {name} - 1; for targets that are numbers, {name}.astype(float)"
                if one_up
                else "number the classes from 0 and give the last layer an output for each; for targets that are "
                "numbers, write y.astype(float)",
            )
        if y.shape[1:] != made[:-1]:
            fix = "write y[:, 0]" if y.size == len(y) else "write y.astype(float) for the probabilities of classes"
            why = "a class is one whole number a sample"
            if len(made) > 1:
                why = f"the network's results are {(len(X), *made)}: a class for each of {(len(X), *made[:-1])}"
                fix = "end the network with what makes one answer a sample: a recurrent layer with last=True, Flatten"
            raise ShapeError(f"{name} has the shape {y.shape}", why=why, fix=fix)
        return y
    if y.dtype.kind in "iu" and isinstance(loss, str):
        y = in_dtype(y, dtype, name)
    if y.ndim == 1 and made == (1,) and (isinstance(loss, str) or not _wants_flat(loss_of, result, y)):
        y = y[:, None]
    if isinstance(loss, str) and y.shape[1:] != made:
        fix = f"give the last layer {_outputs(int(np.prod(y.shape[1:], dtype=int)))}, or y as many columns"
        if y.ndim <= 2 and y.size == len(y) and made and made[-1] > 1 and (y == np.rint(y)).all():
            flat = f"{name}.astype(int)" if y.ndim == 1 else f"{name}[:, 0].astype(int)"
            fix += f'; for classes, which are whole numbers, {flat} and loss="cross_entropy"'
            if loss == "cross_entropy":
                fix = f"write {flat}: classes are whole numbers"
        raise ShapeError(f"{name} has the shape {y.shape} and the network's results have {(len(X), *made)}", fix=fix)
    if loss in ("cross_entropy", "binary_cross_entropy") and not (y.min() >= 0 and y.max() <= 1 + 1e-6):
        raise InputError(
            f"{name} has numbers from {y.min()} to {y.max()}",
            why=f"{loss} wants probabilities, from 0 to 1",
            fix="give 0 and 1, or another loss",
        )
    return y


def _wants_flat(loss: Callable[..., Any], result: Any, y: Any) -> bool:
    """Whether a loss compares one output a sample with an (n,) target: `prediction[:, 0] - target`, which with (n, 1)
    would be every sample with every other, as `prediction - target` would be with (n,)."""

    def numbers(shape: tuple[int, ...]) -> float:
        """How many numbers it computes with for this shape of the target; infinite where it refuses it."""
        try:
            traced = trace(loss, Aval((7, 1), np.asarray(result).dtype), Aval(shape, y.dtype), None)
        except Exception:
            return np.inf
        return sum(node.aval.size for node in traced.graph.nodes)

    return numbers((7,)) < numbers((7, 1))


def hold_out(net: Any, X: Any, y: Any, weights: Any, validation: Any, key: Any, classify: bool) -> tuple[Any, ...]:
    """X, y and weights to train on, those of the validation rows or None, and the numbers of the former."""
    everything = np.arange(len(X))
    if isinstance(validation, tuple) and len(validation) == 2:
        dtype = np.result_type(*leaves(net))
        held_x, held_y, _ = check_rows(*validation, None, dtype, takes_whole_numbers(net, dtype))
        if held_x.dtype != X.dtype:
            raise InputError(f"the validation X holds {held_x.dtype}", why=f"X holds {X.dtype}")
        if held_x.shape[1:] != X.shape[1:]:
            shapes = f"the others have {X.shape[1:]}"
            raise ShapeError(f"the validation rows have the shape {held_x.shape[1:]}", why=shapes)
        return X, y, weights, (held_x, held_y, None), everything
    if isinstance(validation, bool) or not isinstance(validation, (float, int, np.floating)) or not 0 <= validation < 1:
        why = "it is the share of the rows to hold out, at least 0 and less than 1, or a pair (X, y)"
        raise InputError(f"validation is {validation!r:.60}", why=why)
    if not validation:
        return X, y, weights, None, everything
    rest, part = split_rows(len(X), float(validation), key, y.reshape(len(y)) if classify and y[0].size == 1 else None)
    if len(part) == 0:
        return X, y, weights, None, everything
    if weights is None:
        return X[rest], y[rest], None, (X[part], y[part], None), rest
    for rows, name in ((rest, "training"), (part, "validation")):
        if weights[rows].sum() == 0:
            raise InputError(f"the {name} rows all weigh nothing", why="sample_weight is 0 for each of them",
                             fix="leave out the rows without weight, or give another seed")  # fmt: skip
    return X[rest], y[rest], weights[rest], (X[part], y[part], weights[part]), rest


def right_of(loss: str) -> Callable[[Any, Any], Any] | None:
    """What tells of every prediction of a training step whether it is right, where that is recorded."""
    return {"cross_entropy": right_classes, "binary_cross_entropy": right_answers}.get(loss)


def scored_by(metrics: Any, loss: str, held: bool, result: Any) -> dict[str, Metric]:
    """What tells how good a network is on the rows held out, by name: the metric of the loss, and those asked for.

    held: whether there are such rows.  result: of the network, for a row.
    Raises InputError for what is no metric, or none of such predictions.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise InputError(f"metrics is {metrics!r:.60}", why="it is a list of names and functions",
                         fix=f"write metrics=[{metrics!r}]" if isinstance(metrics, str) else None)  # fmt: skip
    found = dict([usual] if (usual := metric_of(loss)) else [])
    for metric in metrics:
        if not held:
            raise InputError("metrics are given and no rows are held out", why="metrics are computed of those",
                             fix="give validation=0.2, or (X, y)")  # fmt: skip
        if not is_leaf(result):
            kind = type(result).__name__
            raise InputError(f"metrics of a network whose result is a {kind}", why="they take one array",
                             fix="leave them out; a callback may compute anything of the network")  # fmt: skip
        if isinstance(metric, str):
            score = known(metric, METRICS, "metric")
            if loss in (CLASSES if metric in OF_VALUES else ("squared_error", "huber")):
                raise InputError(f"the metric {metric!r} with the loss {loss!r}", why="one is of classes, the other of "
                                 "values", fix="give a function (prediction, target) if it is meant")  # fmt: skip
            found.setdefault(metric, score)
        elif callable(metric):
            found[getattr(metric, "__name__", type(metric).__name__)] = metric
        else:
            raise InputError(f"a metric is {metric!r:.60}", why="it is a name or a function (prediction, target)")
    return found


def metric_of(loss: str) -> tuple[str, Callable[[Any, Any], float]] | None:
    """The metric of a loss: its name, and what computes it from predictions and targets."""
    return {
        "cross_entropy": ("accuracy", accuracy),
        "binary_cross_entropy": ("accuracy", binary_accuracy),
        "squared_error": ("r2", r2),
        "huber": ("r2", r2),
    }.get(loss)
