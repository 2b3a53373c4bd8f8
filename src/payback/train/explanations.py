"""What training asks of the glass box: the account of a weight, and the story of a number that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.errors import InputError
from payback.glass.bisect import Parting, bisect
from payback.glass.evaluation import Evaluation, evaluate
from payback.glass.ledger import Ledger
from payback.glass.origins import Origin
from payback.glass.shares import Shares
from payback.glass.statement import Statement, Taken
from payback.ir.node import Node, ancestors
from payback.ir.where import caller
from payback.nn.convolution import Conv
from payback.nn.drawing import training
from payback.nn.layers import Linear, Sequential
from payback.nn.module import parameters
from payback.optim.linear import line
from payback.optim.optimizers import AdamW
from payback.trace.array import Traced
from payback.trace.tree import leaves
from payback.transforms.gradient import grad

if TYPE_CHECKING:
    from payback.glass.explain import Seen
    from payback.glass.why_nan import WhyNan
    from payback.train.replay import Batch
    from payback.train.runs import RecordedRun

BOUNDS = {"float64": 1e-12, "float32": 1e-5}  # how far machine code and the interpreter may be apart, relative

_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def statement(recorded: RecordedRun, name: str, entry: Any, start: int | None, stop: int | None) -> Statement:
    """The account of one entry; see `RecordedRun.account`."""
    first, (path, index) = recorded.first_net, _entry(recorded.first_net, name, entry)
    names = list(parameters(first))
    leaf = names.index(path)
    array = parameters(first)[path]
    optimizer = recorded.optimizer
    decays = (
        isinstance(optimizer, AdamW) and array.ndim > 1 and path.rsplit(".", 1)[-1] not in optimizer.exempt
    )  # as AdamW.update has it
    shares = Shares(first, recorded.loss, leaf, index, interpreted=recorded.interpreted, call=_trained)
    walk = recorded.walk(start, stop)
    before = next(walk)
    opening = float(parameters(before.net)[path][index])
    kept = float(before.state[leaf][0][index]) if _carries(optimizer) else 0.0
    taken = []
    weight, old = opening, before
    for now in walk:
        told, batch = recorded.steps[now.n], recorded.batch(now.n)
        after = float(parameters(now.net)[path][index])
        slots = [slot[index] for slot in now.state[leaf]] if optimizer.slots else []
        coefficients = line(
            optimizer, slots, array.dtype, step=now.n, rate=told.rate, norm=told.norm, decays=decays
        )  # fmt: skip
        labels = batch.y.astype(object) if batch.y.dtype.kind in "iu" and batch.y.ndim == 1 else None
        taken.append(
            Taken(now.n, told.rate, told.norm, *coefficients, weight, after, batch.samples, labels,
                  shares(old.net, batch.X, batch.y, batch.weights, batch.key))
        )  # fmt: skip
        weight, old = after, now
    made = Statement(path, index, array.dtype, opening, kept, taken)
    made.check()
    return made


Loss = Callable[..., Any]


def evaluation(loss: Loss, net: Any, batch: Batch, native: bool) -> Evaluation:
    """See `RecordedRun.evaluation`."""
    return evaluate(lambda net: loss(_trained(net, batch.X, batch.key), batch.y, batch.weights), net, native=native)


def _trained(net: Any, X: Any, key: Any) -> Any:
    """The network's result in a step."""
    with training(key):
        return net(X)


def agreement(by_machine: Evaluation, by_interpreter: Evaluation) -> Parting:
    """The two beside each other, within the bound of their dtype."""
    dtypes = {record.value.dtype.name for record in by_interpreter.records}
    return bisect(by_machine, by_interpreter, tol=max(BOUNDS.get(name, 0.0) for name in dtypes) or 1e-2)


def ledger(loss: Loss, net: Any, batch: Batch, options: dict[str, Any]) -> Ledger:
    """See `RecordedRun.explain`."""

    def cost(net: Any, X: Any, y: Any, weights: Any) -> Any:
        return loss(_trained(net, X, batch.key), y, weights)

    from payback.glass.explain import explain

    return explain(cost, net, batch.X, batch.y, batch.weights, **({"argnums": 0} | options))


def picture(recorded: RecordedRun) -> str:
    """The run as SVG."""
    from payback.glass.curves import run_svg

    return run_svg(recorded)


def why(loss: Loss, net: Any, batch: Batch, told: Any = None) -> WhyNan:
    """Where what is not finite in the cost of a batch, in its gradient, or in the step, was born.

    told: the rate, norm and length of the step as it was taken; None where no step was.

    What payback's own layers and losses compute has no line of the user's: it is called by its layer.
    """
    from payback.glass.explain import run
    from payback.glass.why_nan import nan_origins

    result: list[Node] = []
    here: list[Any] = []

    def cost(net: Any, X: Any, y: Any, weights: Any) -> Any:
        here.append(caller(1))
        prediction = _trained(net, X, batch.key)
        result.extend(part.node for part in leaves(prediction) if isinstance(part, Traced))
        return loss(prediction, y, weights)

    seen = run(cost, (net, batch.X, batch.y, batch.weights), {}, 0)
    names = called_by_layers(seen, net, result, lambda where: tuple(where[:2]) == here[0])
    found = nan_origins(seen.top, seen.wrt, names, seen.data)
    if not found and told is not None:
        return replace(found, origins=tuple(_of_step(loss, net, batch, *map(float, told))))
    return replace(found, origins=tuple(replace(origin, row=_row(origin, batch)) for origin in found.origins))


_SMALLER = "a smaller step length, or clip_norm="
_SCALED = (
    "bring columns and targets to sizes near 1, or train in float64: clip_norm= would divide by a norm that is infinite"
)


def _of_step(loss: Loss, net: Any, batch: Batch, rate: float, norm: float, length: float) -> Iterator[Origin]:
    """Of a step whose cost and gradient are finite: what is not."""
    if np.isfinite(norm) and np.isfinite(length):
        return
    gradient = parameters(grad(lambda net: loss(_trained(net, batch.X, batch.key), batch.y, batch.weights))(net))
    path, array = max(gradient.items(), key=lambda item: np.max(np.abs(item[1]), initial=0.0))
    index = tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(array)), array.shape))
    largest = f"the largest {array.dtype}, {float(np.finfo(array.dtype).max):.3g}"
    given, entry = ("gradient", float(array[index])), (path, index, 1, 1)
    if not np.isfinite(norm):
        with np.errstate(over="ignore"):
            squares = np.square(array)
        fact = (
            f"its square is beyond {largest}" if np.isinf(squares).any() else f"the sum of squares is beyond {largest}"
        )
        yield Origin("step", *entry, (given,), norm, "square", f"{what} is beyond {largest}", None, cure=_SCALED)
        return
    operands = (given, ("rate", rate), ("norm of the gradient", norm))
    yield Origin("step", *entry, operands, length, "step", f"the step, or its square, is beyond {largest}", None,
                 cure=_SMALLER)  # fmt: skip


def _row(origin: Origin, batch: Batch) -> str:
    """The row of the table that an entry of a value belongs to, if the value has one for each row of the batch."""
    rows = len(batch.samples)
    if origin.phase != "value" or not origin.index or origin.size % rows or origin.index[0] >= rows:
        return ""
    return f"row {batch.samples[origin.index[0]]} of {batch.of}"


def called_by_layers(seen: Seen, net: Any, result: Sequence[Node], ours: Callable[[Any], bool]) -> dict[Node, str]:
    """What nodes are called that no line of the user's has made: by the layer that they belong to.

    result: the nodes of what the network returned; those made later belong to the loss.  ours: whether a `where` is the
    place that called the network, which says nothing; such nodes lose it.
    """
    names = dict(seen.names)
    last = max((node.id for node in result), default=0)
    layers = {node: path.rpartition(".")[0] or path for node, path in zip(seen.wrt, parameters(net), strict=True)}
    layer = "the network"
    for node in ancestors([seen.top]):
        layer = next((layers[arg] for arg in node.args if arg in layers), layer)
        if node.args and (node.where is None or ours(node.where)):
            node.where = None
            names.setdefault(node, f"{node.op.name} {'in the loss' if node.id > last else f'at {layer}'}")
    return names


def _carries(optimizer: Any) -> bool:
    """Whether the first array that the optimizer keeps is what momentum carries."""
    return optimizer.slots > 0 and line(
        optimizer, [1.0] * optimizer.slots, np.dtype(float), step=1, rate=1.0, norm=1.0, decays=False
    ).keep != 0.0  # fmt: skip


def _entry(net: Any, name: Any, entry: Any) -> tuple[str, tuple[int, ...]]:
    """(path, index) of an entry of a parameter, named by its path or by its letter: W1 is the first weight."""
    known = parameters(net)
    letters = _letters(net)
    index = tuple(int(i) for i in ((entry,) if isinstance(entry, (int, np.integer)) else entry))
    path = str(name)
    letter = path.translate(_DIGITS)
    if path not in known and letter in letters:
        path = letters[letter]
    if path not in known:
        fix = f"its parameters are {', '.join([*letters, *known][:20])}"
        raise InputError(f"the network has no parameter {name}", fix=fix)
    shape = np.shape(known[path])
    if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise InputError(f"{name} has no entry {list(index)}", why=f"its shape is {tuple(shape)}, counted from 0")
    return path, index


def _letters(net: Any, path: str = "", found: dict[str, str] | None = None) -> dict[str, str]:
    """The letters of `nn.formula` and the parameters that they stand for."""
    found = {} if found is None else found
    if isinstance(net, Sequential):
        for i, layer in enumerate(net.layers):
            _letters(layer, f"{path}layers[{i}].", found)
        if getattr(net, "skip", None) is not None:
            found.setdefault("W0", f"{path}skip")
    elif isinstance(net, (Linear, Conv)):
        number = 1 + sum(letter[0] == "W" and letter != "W0" for letter in found)
        found[f"W{number}"] = f"{path}weight"
        if net.bias is not None:
            found[f"b{number}"] = f"{path}bias"
    return found
