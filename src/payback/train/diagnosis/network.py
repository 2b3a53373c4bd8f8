"""Rules on the network: what its gradients reach, and what its units do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from payback.errors import PaybackError
from payback.glass.findings import Finding, short
from payback.glass.units import straight
from payback.glass.why_zero import WhyZero, zero_causes
from payback.nn.layers import Dropout
from payback.nn.module import Module
from payback.train.diagnosis.evidence import Array, Evidence, Look
from payback.transforms.gradient import grad

MANY = 0.5  # of the units of a layer
DEPTH = 1e-3  # of the gradient in one layer, beside another's
_DEAD = "biases of 0 at the start, inputs of mean 0 and a size near 1, a leak (pb.nn.leaky_relu)"
_INITIAL = "initial weights of a size of 1/√inputs, as pb.nn layers have them"


def unreached(at: Evidence) -> Iterator[Finding]:
    """Parameters that no look has found a gradient for."""
    if not at.looks:
        return
    still = [name for name in at.looks[0].gradient if ".frozen" not in name and not _any(at.looks, name)]
    if not still or any(finding.kind in ("dead units", "saturated units") for finding in at.found):
        return
    why = _why(at, still)
    alone = " (a batch has one row: what is taken from its mean is 0)" if at.settings["batch_size"] == 1 else ""
    by_cause: dict[tuple[str, str], list[str]] = {}
    for name in still:
        by_cause.setdefault(_cause(why, name), []).append(name)
    for (fact, cure), names in by_cause.items():
        if alone:
            cure = "batches of more rows, or a layer that needs none (pb.nn.LayerNorm)"
        elif not cure and any(len(leaf.shape) > 1 and not np.any(leaf.value) for leaf in at.at_first.leaves.values()):
            cure = "initial weights at random, not 0: " + _INITIAL
        yield Finding("no gradient", f"{', '.join(names)}: the gradient is 0 in every step that was looked at",
                      fact + alone, cure or "look at pb.why_zero of the step: run.explain(1)")  # fmt: skip


def _any(looks: list[Look], name: str) -> bool:
    return any(bool(np.any(look.gradient[name])) for look in looks)


def _why(at: Evidence, names: list[str]) -> WhyZero | None:
    look = at.looks[0]
    try:
        shown = at.shown(look.before, look.batch)
        called = {**shown.seen.names, **{node: name for name, node in shown.leaves.items()}}
        return zero_causes(shown.seen.top, [shown.leaves[name] for name in names], called, shown.seen.rounded)
    except PaybackError:  # what has no derivative inside: told as the fact that it is
        return None


def _cause(why: WhyZero | None, name: str) -> tuple[str, str]:
    zeros = None if why is None else why[name]
    if zeros is None or not zeros.causes:
        return "nothing pays it", ""
    cause = max(zeros.causes, key=lambda cause: cause.count)
    return f"{cause.kind}: {cause}", cause.cure


def alike(at: Evidence) -> Iterator[Finding]:
    """Units that began as one, and stay so."""
    for name, array in at.at_last.leaves.items():
        weights = np.asarray(array.value)
        if weights.ndim != 2 or min(weights.shape) < 2 or ".frozen" in name or not weights.any():
            continue
        size = float(np.abs(weights).max())
        began = np.asarray(at.at_first.leaves[name].value)
        if np.ptp(weights, axis=1).max() <= 1e-4 * size and not np.ptp(began, axis=1).any():
            yield Finding("equal units", f"the {weights.shape[1]} units of {name} are one and the same",
                          "they began equal and are paid equally: no gradient tells them apart",
                          "initial weights at random: those that pb.nn layers begin with")  # fmt: skip


def linear(at: Evidence) -> Iterator[Finding]:
    """Layers with nothing between them."""
    names = {node: name for name, node in at.at_last.leaves.items()}
    for first, second in straight(at.at_last.seen.top, [node for node in names if len(node.shape) == 2]):
        yield Finding("no activation", f"between {names[first]} and {names[second]} there is no activation",
                      "two layers that are linear are one: what bends they cannot learn",
                      'put pb.nn.Activation("relu") between them')  # fmt: skip


def units(at: Evidence) -> Iterator[Finding]:
    """Dead and saturated units."""
    first, last = at.at_first.units, at.at_last.units
    for began, now in zip(first, last, strict=False):
        layer = _layer(at, now.node)
        op = now.node.op.name
        rate = f"a smaller rate (it is {short(at.run.steps[at.looks[0].n].rate)})" if at.looks else "a smaller rate"
        if now.dead >= MANY * now.width and now.dead > 1:
            when = "from the start" if began.dead >= 0.9 * now.dead else f"{began.dead} at the start: steps led there"
            yield Finding("dead units", f"{now.dead} of {now.width} units of the {op} after {layer} answer 0 to all "
                          f"rows, {when}", "they pay nothing back, so what leads to them does not learn any more",
                          f"{rate}, {_DEAD}")  # fmt: skip
        elif now.flat >= MANY and at.poor:
            when = "from the start" if began.flat >= MANY else f"{began.flat:.0%} at the start: steps led there"
            yield Finding("saturated units", f"{now.flat:.0%} of the answers of the {op} after {layer} are at its ends "
                          f"({when})", "the slope is next to nothing there: hardly anything is paid back",
                          f"standardized inputs, {rate}, {_INITIAL}")  # fmt: skip


def _layer(at: Evidence, node: Any) -> str:
    """The last parameter that was read before a node was made."""
    found = "the input"
    for name, leaf in at.at_last.leaves.items():
        users = [user for user in at.nodes if leaf in user.args and user.id < node.id]
        if users:
            found = name.rpartition(".")[0] or name
    return found


def depth(at: Evidence) -> Iterator[Finding]:
    """Gradients that vanish or grow on their way back."""
    if not at.looks or not at.poor:
        return
    sizes: dict[str, float] = {}
    for name, g in at.looks[0].gradient.items():
        layer = name.rpartition(".")[0] or name
        if ".frozen" not in name and np.any(g):
            sizes[layer] = max(sizes.get(layer, 0.0), _size(g))
    if len(sizes) < 3:
        return
    names = list(sizes)
    first, last = sizes[names[0]], sizes[names[-1]]
    if first < DEPTH * last:
        slopes = at.at_first.units
        mean = float(np.mean([unit.slope for unit in slopes])) if slopes else 1.0
        cause = (
            f"the slope of {slopes[0].node.op.name} is {short(mean)} in the mean" if mean < 0.3 else "weights are small"
        )
        fix = "relu or tanh" if mean < 0.3 else _INITIAL
        by = (first / last) ** (1 / (len(names) - 1))
        yield Finding("vanishing gradient", f"the gradient of {names[0]} is {first / last:.1g} of that of {names[-1]}, "
                      f"×{short(by)} with each layer back", f"{cause}: layers near the input hardly learn",
                      f"{fix}, pb.nn.LayerNorm or pb.nn.Residual, fewer layers")  # fmt: skip
    grown = _growth(at)
    if at.began > 1e3 * max(abs(at.constant), 1e-30) and grown > 1.5:
        yield Finding("exploding", f"the first cost is {at.began / at.constant:.1g} times that of a constant answer: "
                      f"what units answer grows ×{short(grown)} with each layer", "gradients grow as much, and no step "
                      "length suits them", _INITIAL + ", pb.nn.LayerNorm")  # fmt: skip


def time(at: Evidence) -> Iterator[Finding]:
    """Gradients that vanish on their way back through the steps of a sequence."""
    if not at.poor or not at.looks or at.X.ndim != 3 or at.X.dtype.kind != "f" or at.X.shape[1] < 5:
        return
    batch = at.looks[0].batch
    try:
        paid = grad(lambda X: at.cost_of(at.first, X, batch.y, batch.weights, batch.key))(batch.X)
    except PaybackError:  # of these rows it has no derivative
        return
    sizes = [_size(paid[:, k]) for k in range(paid.shape[1])]
    if sizes[-1] > 0 and sizes[0] < DEPTH * sizes[-1]:
        by = (sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1)) if sizes[0] else 0.0
        yield Finding("vanishing gradient", f"the first step of a sequence is owed {sizes[0] / sizes[-1]:.1g} of "
                      f"what the last is, ×{short(by)} with each step back", "what is long past hardly teaches",
                      "pb.nn.LSTM or GRU, pb.nn.Attention, shorter sequences")  # fmt: skip


def _size(gradient: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(np.square(gradient, dtype=float))))


def _growth(at: Evidence) -> float:
    """By what answers grow from layer to layer, in the mean."""
    sizes = [_size(np.asarray(unit.node.value)) for unit in at.at_first.units] + [
        _size(np.asarray(at.at_first.result.value))
    ]
    return float((sizes[-1] / sizes[0]) ** (1 / max(len(sizes) - 1, 1))) if len(sizes) > 1 and sizes[0] else 1.0


def certain(at: Evidence) -> Iterator[Finding]:
    """Answers that are far too large from the start."""
    if not at.poor or not np.isfinite(at.constant) or at.name in ("squared_error", "huber") or _growth(at) > 1.5:
        return
    if at.constant > 0 and at.began > 4 * at.constant:
        largest = float(np.abs(np.asarray(at.first(at.X))).max())
        silent = _silent(at)
        told = f"; {silent:.0%} of the rows pay nothing back" if silent > 0.2 else ""
        yield Finding("sure and wrong", f"the first cost is {short(at.began)}, where a constant answer costs "
                      f"{short(at.constant)}: the network begins sure of wrong answers (up to {short(largest)}){told}",
                      "a softmax or a sigmoid is saturated, and its slope next to nothing",
                      _INITIAL + "; standardized inputs; a loss of logits (pb.nn.cross_entropy)")  # fmt: skip


def _silent(at: Evidence) -> float:
    """The share of rows that pay less than a thousandth of what the others pay, at the start."""
    from payback.glass.explain import ledger_of

    try:
        settled = ledger_of(at.at_first.seen).settled(_before(at))
    except PaybackError:
        return 0.0
    sizes = np.abs(np.asarray(settled)).reshape(len(at.X), -1).max(axis=1)
    return float(np.mean(sizes < 1e-3 * sizes.max())) if sizes.max() else 1.0


def _before(at: Evidence) -> Any:
    """The last node that a parameter was added to: logits, where what follows has none."""
    node = at.at_first.result
    leaves = set(at.at_first.leaves.values())
    while node.args and not leaves.intersection(node.args):
        node = node.args[0]
    return node


def meant(at: Evidence) -> Iterator[Finding]:
    """What somebody has asked for, and what may be too much of it."""
    for layer in _modules(at.last):
        if isinstance(layer, Dropout) and layer.rate >= 0.8 and at.poor:
            yield Finding("dropout", f"Dropout({layer.rate:g}) leaves {short(1 - layer.rate)} of the units in a step",
                          "what is left says hardly anything, and is multiplied "
                          f"by {short(1 / (1 - layer.rate))}", "a rate of 0.1 to 0.5")  # fmt: skip
            break
    frozen = [name for name in at.at_last.leaves if ".frozen" in name]
    if frozen and at.poor:
        free = [name for name in at.at_last.leaves if ".frozen" not in name]
        yield Finding("frozen layers", f"{', '.join(frozen)} are frozen: only {', '.join(free)} are trained",
                      "what the frozen layers make of the rows is not enough",
                      "train them too (without pb.nn.Frozen), or freeze layers of another training")  # fmt: skip


def _modules(tree: Any) -> Iterator[Any]:
    if isinstance(tree, Module):
        yield tree
        tree = list(vars(tree).values())
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ():
        yield from _modules(part)


RULES = (linear, alike, units, unreached, depth, time, certain, meant)
