"""What training asks of the glass box: the account of a weight, and the story of a number that is not finite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from payback.errors import InputError
from payback.glass.account import Statement, Taken
from payback.glass.shares import Shares
from payback.nn.layers import Linear, Sequential
from payback.nn.module import parameters
from payback.optim.linear import line
from payback.optim.optimizers import AdamW

if TYPE_CHECKING:
    from payback.train.runs import RecordedRun

_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def statement(run: RecordedRun, name: str, entry: Any, start: int | None, stop: int | None) -> Statement:
    """The account of one entry; see `RecordedRun.account`."""
    first, (path, index) = run.first_net, _entry(run.first_net, name, entry)
    names = list(parameters(first))
    leaf = names.index(path)
    array = parameters(first)[path]
    optimizer = run.optimizer
    decays = (
        isinstance(optimizer, AdamW) and array.ndim > 1 and path.rsplit(".", 1)[-1] not in optimizer.exempt
    )  # as AdamW.update has it
    shares = Shares(first, run.loss, leaf, index, interpreted=run.interpreted)
    walk = run.walk(start, stop)
    before = next(walk)
    opening = float(parameters(before.net)[path][index])
    kept = float(before.state[leaf][0][index]) if _carries(optimizer) else 0.0
    taken = []
    weight, old = opening, before
    for now in walk:
        told, batch = run.steps[now.n], run.batch(now.n)
        after = float(parameters(now.net)[path][index])
        slots = [slot[index] for slot in now.state[leaf]] if optimizer.slots else []
        coefficients = line(
            optimizer, slots, array.dtype, step=now.n, rate=told.rate, norm=told.norm, decays=decays
        )  # fmt: skip
        labels = batch.y.astype(object) if batch.y.dtype.kind in "iu" and batch.y.ndim == 1 else None
        taken.append(
            Taken(now.n, told.rate, *coefficients, weight, after, batch.samples, labels,
                  shares(old.net, batch.X, batch.y, batch.weights))
        )  # fmt: skip
        weight, old = after, now
    made = Statement(path, index, array.dtype, opening, kept, taken)
    made.check()
    return made


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
    elif isinstance(net, Linear):
        number = 1 + sum(letter[0] == "W" and letter != "W0" for letter in found)
        found[f"W{number}"] = f"{path}weight"
        if net.bias is not None:
            found[f"b{number}"] = f"{path}bias"
    return found
