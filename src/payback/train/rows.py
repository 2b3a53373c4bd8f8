"""Rows made ready for a training: targets in the shape of the network's results, and the part that is held out."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from payback.errors import InputError
from payback.nn.activations import ACTIVATIONS, sigmoid, softmax
from payback.nn.layers import Activation, Sequential, known
from payback.nn.losses import LOSSES
from payback.trace.tree import leaves
from payback.train.checks import fit_target, hold_out, takes_whole_numbers
from payback.train.data import check_rows, in_dtype, weighted_by_class, weights_of_classes

Loss = str | Callable[..., Any]
CLASSIFYING = ("cross_entropy", "binary_cross_entropy")  # losses whose target is a class: split class by class


class Rows(NamedTuple):
    """What is trained on, and what is held out: (X, y, weights) or None.

    weights: one a sample, or None.  numbers: which rows of the caller's X they are.
    """

    X: Any
    y: Any
    weights: Any
    held: tuple[Any, Any, Any] | None
    numbers: Any

    def named(self) -> dict[str, Any]:
        """The arrays that there are, by name."""
        held = self.held or (None, None, None)
        names = ("X", "y", "weights", "held_X", "held_y", "held_weights", "numbers")
        arrays = (*self[:3], *held, self.numbers)
        return {name: array for name, array in zip(names, arrays, strict=True) if array is not None}


def loss_function(loss: Loss) -> tuple[Loss, Callable[..., Any]]:
    """(its name, or itself; the function of (prediction, target, weights))."""
    function = known(loss, LOSSES, "loss") if isinstance(loss, str) else loss
    return next((name for name, found in LOSSES.items() if found is function), function), _with_weights(function)


def _with_weights(loss: Any) -> Callable[..., Any]:
    """A loss of (prediction, target) as one of three arguments; others as they are.

    Raises InputError for what cannot be called with either.
    """
    if not callable(loss):
        raise InputError(f"the loss is {loss!r:.60}", why="it is a name or a function (prediction, target, weights)")
    signature = _signature(loss)
    if signature is None:
        return loss
    if (first := next(iter(signature.parameters), "")) in ("net", "model", "network", "module"):
        raise InputError(
            f"the loss {getattr(loss, '__name__', loss)} takes {signature}",
            why="it is called with (prediction, target) or (prediction, target, weights)",
            fix=f"a cost of {first} itself is trained by a loop of your own, with pb.value_and_grad",
        )
    if _takes(signature, 3):
        return loss
    if not _takes(signature, 2):
        raise InputError(
            f"the loss {getattr(loss, '__name__', loss)} takes {signature}",
            why="it is called with (prediction, target) or (prediction, target, weights)",
        )

    @functools.wraps(loss)
    def unweighted(prediction: Any, target: Any, weights: Any) -> Any:
        if weights is not None:
            raise InputError(
                f"the loss {getattr(loss, '__name__', loss)} takes no weights",
                why="sample_weight is given",
                fix="write it as a function (prediction, target, weights), or leave sample_weight away",
            )
        return loss(prediction, target)

    return unweighted


def _signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):  # some callables of C have none
        return None


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def called_after_epochs(callbacks: Any) -> list[Callable[..., Any]]:
    """The callbacks, checked.  Raises InputError unless they are functions of (record, network), before any step."""
    told = dict(why="they are functions that are called with (record, network) after every epoch")
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, (str, bytes)):
        fix = "write callbacks=[f]" if callable(callbacks) else "leave callbacks away for none"
        raise InputError(f"callbacks is {callbacks!r:.60}, not a list of functions", **told, fix=fix)
    for callback in (made := list(callbacks)):
        if not callable(callback):
            raise InputError(f"a callback is {callback!r:.60}", **told)
        if (signature := _signature(callback)) is not None and not _takes(signature, 2):
            raise InputError(f"the callback {getattr(callback, '__name__', callback)} takes {signature}", **told)
    return made


def _check_end(net: Any, loss: Loss) -> None:
    """Raises InputError for a network that ends with what the loss does to its result: twice is another cost."""
    last = net
    while isinstance(last, Sequential) and last.layers:
        last = last.layers[-1]
    last = ACTIVATIONS[last.name] if isinstance(last, Activation) else getattr(last, "function", last)
    twice = {"cross_entropy": softmax, "binary_cross_entropy": sigmoid}.get(loss) if isinstance(loss, str) else None
    if twice is not None and last is twice:
        name = twice.__name__
        raise InputError(f"the network ends with a {name}", why=f"{loss} takes logits, and has the {name} in it",
                         fix=f"leave the last layer out: pb.nn.{name}(run.net(X)) is then what it made")  # fmt: skip


def _usual_loss(y: Any) -> str:
    return "cross_entropy" if y.dtype.kind in "iu" else "squared_error"


def training_rows(
    net: Any, X: Any, y: Any, sample_weight: Any, loss: Loss | None, validation: Any, key: Any,
    class_weight: Any = None,
) -> tuple[Loss, Callable[..., Any], Rows]:  # fmt: skip
    """The loss (see `loss_function`) and the rows of a training.

    key: of the split.  Raises ShapeError and InputError for data that do not go together.
    """
    dtype = np.result_type(*leaves(net))
    if class_weight is not None:
        class_weight = weights_of_classes(y, class_weight)
        sample_weight = weighted_by_class(y, class_weight, sample_weight)
    X, y, weights = check_rows(X, y, sample_weight, dtype, takes_whole_numbers(net, dtype))
    loss, loss_of = loss_function(loss if loss is not None else _usual_loss(y))
    _check_end(net, loss)
    y = fit_target(net, X, y, loss, "y", loss_of)
    X, y, weights, held, numbers = hold_out(net, X, y, weights, validation, key, loss in CLASSIFYING)
    if held is not None:
        held_y = fit_target(net, held[0], held[1], loss, "the validation y", loss_of)
        held_weights = held[2]
        if held_weights is None and class_weight is not None:
            held_weights = in_dtype(weighted_by_class(held_y, class_weight), dtype, "class_weight")
            if not held_weights.any():
                raise InputError("the validation rows all weigh nothing", why="class_weight is 0 for their classes")
        held = (held[0], held_y, held_weights)
        if held[1].dtype != y.dtype:
            raise InputError(f"the validation y holds {held[1].dtype}", why=f"y holds {y.dtype}")
    return loss, loss_of, Rows(X, y, weights, held, numbers)
