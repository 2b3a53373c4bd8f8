"""Rules on the loss: whether it wants what the targets say, and whether the network can answer so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from payback.glass.findings import Finding, short
from payback.train.diagnosis.evidence import Evidence
from payback.train.explanations import crossed

_LEAST = {"relu": (0.0, np.inf), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "exp": (0.0, np.inf),
          "softplus": (0.0, np.inf), "maximum": (-np.inf, np.inf)}  # fmt: skip
MOST_CLASSES, ROWS_A_CLASS = 30, 3


def sign(at: Evidence) -> Iterator[Finding]:
    """A loss of one's own that wants the opposite, or does not see which answer belongs to which target."""
    if at.name is not None or len(at.y) < 4:
        return
    answers = at.perfect(at.y)
    if answers is None:
        return
    if at.y.dtype.kind in "iu":  # by classes of their own, and those of others
        answers = answers * 0.8 + 0.1
    right = at.cost_at(answers)
    others = [at.cost_at(np.roll(answers, k, axis=0)) for k in (1, len(answers) // 3, len(answers) // 2)]
    if not np.isfinite([right, *others]).all():
        return
    wrong = float(np.mean(others))
    scale = max(abs(right), abs(wrong))
    if np.ptp([right, *others]) <= 1e-5 * scale and scale > 0:
        found = crossed(at.at_last.seen.top, len(at.X))
        yield Finding("targets not matched", f"the loss is the same ({short(right)}) whichever answer goes with which "
                      "target", found or "targets are compared with all answers, or not at all",
                      "bring both to one shape: prediction[:, 0] - target for targets (n,)")  # fmt: skip
    elif right > max(others):
        yield Finding("wrong sign", f"answers that hit their targets cost {short(right)}, those of other rows "
                      f"{short(wrong)}", "the loss is made smaller: the network learns to be wrong",
                      "turn its sign: a cost is a distance, or minus a logarithm of what is likely")  # fmt: skip


def combined(at: Evidence) -> Iterator[Finding]:
    """(n,) with (n, 1) in what the network or the loss computes."""
    found = crossed(at.at_last.seen.top, len(at.X))
    if found and not any(finding.kind == "targets not matched" for finding in at.found):
        yield Finding("crossed rows", found.partition(":")[0], "an (n, n) table was made of what has n entries",
                      "reshape one of them: x[:, 0], or y[:, None]")  # fmt: skip


def twice(at: Evidence) -> Iterator[Finding]:
    """An end of the network that the loss has in it."""
    answers = at.answers
    if answers is None or answers.ndim != 2 or len(answers) < 20 or at.name not in _TWICE:
        return
    with np.errstate(all="ignore"):
        first = np.asarray(at.first(at.X))
    name, op = _TWICE[at.name], at.at_last.result.op.name
    inside = all(bool(((a >= 0) & (a <= 1)).all()) for a in (first, answers))
    if at.probabilities if name == "softmax" else inside and op in ("sigmoid", "div", "reciprocal"):
        yield Finding("output activation twice", f"the network's answers are probabilities already, and {at.name} "
                      f"takes a {name} of them", "it can never be sure: gradients stay small and costs large",
                      f"end the network without {name}: pb.nn.{name}(run.net(X)) is what it made")  # fmt: skip


_TWICE = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


def reach(at: Evidence) -> Iterator[Finding]:
    """Targets that the network's last operation cannot come to."""
    answers, op = at.answers, at.at_last.result.op.name
    if answers is None or at.y.dtype.kind != "f" or at.y.size != answers.size or op not in _LEAST:
        return
    if at.name in _TWICE:
        return
    least, most = _LEAST[op]
    if op == "maximum":
        least = float(answers.min())
        if not any(arg.op.name == "const" for arg in at.at_last.result.args):
            return
    out = float(np.mean((at.y < least) | (at.y > most)))
    if out > 0.05:
        span = f"from {least:g} up" if np.isinf(most) else f"from {least:g} to {most:g}"
        yield Finding("targets out of reach", f"the network ends with {op}, whose answers go {span}, and {out:.0%} of "
                      "the targets are outside", "it can never answer them", "end it with a Linear layer, or scale "
                      "the targets")  # fmt: skip


def kind(at: Evidence) -> Iterator[Finding]:
    """Classes that are learned as amounts, and amounts as classes."""
    y = at.rows.y.reshape(-1) if at.rows.y[0].size == 1 else None
    if y is None or len(y) < 30:
        return
    if at.name == "cross_entropy" and at.classes > MOST_CLASSES:
        labels = np.unique(y)
        if len(y) < ROWS_A_CLASS * len(labels):
            yield Finding("amounts as classes", f"y has {len(labels):,} classes in {len(y):,} rows",
                          "cross_entropy learns each for itself, and nothing of one class from its neighbors",
                          "y.astype(float), one output, and loss=\"squared_error\"")  # fmt: skip
    if at.name not in ("squared_error", "huber") or not (y == np.rint(y)).all():
        return
    labels, counts = np.unique(y, return_counts=True)
    if not 3 <= len(labels) <= MOST_CLASSES or not (np.diff(labels) == 1).all() or counts.min() < 5:
        return
    variance = float(y.var(dtype=float))
    means = np.stack([at.rows.X[y == label].reshape(count, -1).mean(axis=0, dtype=float)
                      for label, count in zip(labels, counts, strict=True)])  # fmt: skip
    # amounts lie along a line: where each class is, seen along the one direction that tells its number best
    flat = at.rows.X.reshape(len(y), -1).astype(float)
    between = float((counts[:, None] * (means - flat.mean(axis=0)) ** 2).sum())
    slope = np.linalg.lstsq(np.c_[np.ones(len(labels)), labels], means, rcond=None)[0]
    rest = float((counts[:, None] * (means - np.c_[np.ones(len(labels)), labels] @ slope) ** 2).sum())
    noise = float(((flat - means[np.searchsorted(labels, y)]) ** 2).sum()) / (len(y) - len(labels)) * (len(labels) - 2)
    if at.ended > 0.1 * variance and rest > 0.5 * between and rest > 5 * noise:
        yield Finding("classes as amounts", f"y holds the whole numbers {labels[0]:g} to {labels[-1]:g}, and rows of "
                      "one number lie nowhere between those of its neighbors", f"{at.name} wants class "
                      f"{labels[1]:g} between {labels[0]:g} and {labels[2]:g}", f"y.astype(int), {len(labels)} "
                      'outputs, and loss="cross_entropy"')  # fmt: skip


RULES = (sign, combined, twice, reach, kind)
