"""What training asks of the glass box: the account of a weight, and the story of a number that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.errors import InputError
from payback.glass.bisect import Parting, bisect
from payback.glass.evaluation import Evaluation, evaluated
from payback.glass.explain import Seen, Wrt, ledger_of, run
from payback.glass.ledger import Ledger
from payback.glass.origins import Origin
from payback.glass.shares import Shares
from payback.glass.statement import Statement, Taken
from payback.ir.node import Node, ancestors
from payback.ir.where import caller, position
from payback.nn.convolution import Conv
from payback.nn.drawing import training
from payback.nn.layers import Linear, Sequential
from payback.nn.module import parameters
from payback.optim.linear import line
from payback.optim.optimizers import AdamW
from payback.trace.array import Traced
from payback.trace.tree import leaves
from payback.transforms.argnums import ArgNums
from payback.transforms.gradient import grad

if TYPE_CHECKING:
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
    decays = isinstance(optimizer, AdamW) and optimizer.decays(path, array)
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
            Taken(now.n, told.rate, told.norm, coefficients, weight, after, batch.samples, labels,
                  shares(old.net, batch.X, batch.y, batch.weights, batch.key))
        )  # fmt: skip
        weight, old = after, now
    made = Statement(path, index, array.dtype, opening, kept, taken)
    made.check()
    return made


Loss = Callable[..., Any]


def evaluation(loss: Loss, net: Any, batch: Batch, native: bool) -> Evaluation:
    """See `RecordedRun.evaluation`."""
    cost = Cost(loss, batch)
    return evaluated(lambda net: cost(net, batch.X, batch.y, batch.weights), (net,), {}, native,
                     lambda top, wrt: cost.called(Seen(top, wrt, {}, {}, None, {}), net))  # fmt: skip


class Cost:
    """The cost of a batch.

    What payback's own layers and losses compute in it has no line of the user's: the place that asked is taken off.
    """

    def __init__(self, loss: Loss, batch: Batch):
        self.loss, self.batch = loss, batch
        self.result: list[Node] = []
        self.asked: Any = None

    def __call__(self, net: Any, X: Any, y: Any, weights: Any) -> Any:
        self.asked = caller(1)
        prediction = _trained(net, X, self.batch.key)
        self.result.extend(part.node for part in leaves(prediction) if isinstance(part, Traced))
        return self.loss(prediction, y, weights)

    def called(self, seen: Seen, net: Any) -> dict[Node, str]:
        """What such nodes are called: by their layer."""
        return called_by_layers(seen, net, self.result, lambda where: tuple(where[:2]) == self.asked)


def _trained(net: Any, X: Any, key: Any) -> Any:
    """The network's result in a step."""
    with training(key):
        return net(X)


def agreement(by_machine: Evaluation, by_interpreter: Evaluation) -> Parting:
    """The two beside each other, within the bound of their dtype."""
    dtypes = {record.value.dtype.name for record in by_interpreter.records}
    return bisect(by_machine, by_interpreter, tol=max(BOUNDS.get(name, 0.0) for name in dtypes) or 1e-2)


def ledger(loss: Loss, net: Any, batch: Batch, wrt: Wrt, argnums: ArgNums | None) -> Ledger:
    """See `RecordedRun.explain`."""
    cost = Cost(loss, batch)
    seen = run(cost, (net, batch.X, batch.y, batch.weights), {}, 0 if argnums is None else argnums)
    cost.called(seen, net)
    return ledger_of(seen, wrt)


def picture(recorded: RecordedRun) -> str:
    """The run as SVG."""
    from payback.glass.curves import run_svg

    return run_svg(recorded)


def why(loss: Loss, net: Any, batch: Batch, told: Any = None) -> WhyNan:
    """Where what is not finite in the cost of a batch, in its gradient, or in the step, was born.

    told: the rate, norm and length of the step as it was taken; None where no step was.

    What payback's own layers and losses compute has no line of the user's: it is called by its layer.
    """
    from payback.glass.why_nan import nan_origins

    cost = Cost(loss, batch)
    seen = run(cost, (net, batch.X, batch.y, batch.weights), {}, 0)
    names = cost.called(seen, net)
    found = nan_origins(seen.top, seen.wrt, names, seen.data)
    crossing = crossed(seen.top, len(batch.samples))
    origins = found.origins or (() if told is None else tuple(_of_step(loss, net, batch, *map(float, told))))
    return replace(found, origins=tuple(replace(o, row=_row(o, batch, crossing)) for o in origins))


def _of_step(loss: Loss, net: Any, batch: Batch, rate: float, norm: float, length: float) -> Iterator[Origin]:
    """Of a step whose cost and gradient are finite: what is not."""
    if np.isfinite(norm) and np.isfinite(length):
        return
    gradient = parameters(grad(lambda net: loss(_trained(net, batch.X, batch.key), batch.y, batch.weights))(net))
    path, array = max(gradient.items(), key=lambda item: np.max(np.abs(item[1]), initial=0.0))
    index = tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(array)), array.shape))
    largest = f"the largest {array.dtype}, {float(np.finfo(array.dtype).max):.3g}"
    given, entry = ("gradient", float(array[index])), (path, index, 1, 1)
    if np.isfinite(norm):
        operands = (given, ("rate", rate), ("norm of the gradient", norm))
        cure = "a smaller step length, or clip_norm="
        yield Origin("step", *entry, operands, length, "step", f"the step, or its square, is beyond {largest}", None,
                     cure=cure)  # fmt: skip
        return
    with np.errstate(over="ignore"):
        what = "its square" if np.isinf(np.square(array)).any() else "the sum of all squares"
    cure = "columns and targets of sizes near 1" + (", or float64" if array.dtype.itemsize < 8 else "")
    if batch.n > 1:  # steps before it led there
        cure = f"a smaller step length, clip_norm= from the start, or {cure}"
    yield Origin("step", *entry, (given,), norm, "square", f"{what} is beyond {largest}", None, cure=cure)


def crossed(top: Node, rows: int) -> str:
    """What combines every row with every other, (n,) with (n, 1), which is hardly meant; else empty."""
    for node in ancestors([top]) if rows > 1 else ():
        if node.op.kind == "pointwise" and {arg.shape for arg in node.args} == {(rows,), (rows, 1)}:
            place = position(node.where)
            text = place.text if place is not None and place.text else node.op.name
            return f"{text} combines {(rows,)} with {(rows, 1)}, each row with every other: reshape one of them"
    return ""


def _row(origin: Origin, batch: Batch, crossing: str) -> str:
    """The row of the table that an entry of a value belongs to, if the value has one for each row of the batch; of a
    table of rows by rows what has made it."""
    rows = len(batch.samples)
    if origin.phase == "step":
        return crossing
    if origin.phase != "value" or not origin.index or origin.size % rows or origin.index[0] >= rows:
        return ""
    return (
        crossing if crossing and origin.size == rows * rows else f"row {batch.samples[origin.index[0]]} of {batch.of}"
    )


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
