"""Rules on the rows: what X and y hold, in which order, and what the rows held out share with the others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from payback.glass.findings import Finding, short
from payback.train.diagnosis.evidence import Array, Evidence

MOST = 1_000  # rows that are compared with each other
NEAREST = 5
SURE, NONE = 7.0, 3.0  # standard deviations from chance: what is there, and what need not be
LARGE, APART = 30.0, 1e3  # sizes of columns
MOST_CLASSES = 30
ALONE = 0.999  # of the target's variance, told by one column


def _columns(X: Array) -> Array:
    return X.reshape(len(X), -1).astype(float)


def _named(numbers: Array) -> str:
    shown = ", ".join(map(str, numbers[:5].tolist()))
    return f"column{'s' * (len(numbers) != 1)} {shown}" + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def sizes(at: Evidence) -> Iterator[Finding]:
    """Columns of other sizes than 1."""
    if not at.poor or at.X.dtype.kind != "f":
        return
    X = _columns(at.X)
    size, spread = np.sqrt((X * X).mean(axis=0)), X.std(axis=0)
    large = size > LARGE
    still = large & (spread < 1e-6 * size)
    if still.any():
        numbers = np.flatnonzero(still)
        yield Finding("constant column", f"{_named(numbers)} of X is {X[0, numbers[0]]:.6g} in every row",
                      "it tells nothing apart, and its weights drown all others", "leave it out")  # fmt: skip
    moving = ~still & (spread > 0)
    if (large & moving).any() or (moving.any() and size[moving].max() > APART * size[moving].min()):
        k, least = int(np.argmax(np.where(moving, size, 0))), float(size[moving].min())
        beside = f", others of {short(least)}" if size[k] > LARGE * least else ""
        yield Finding("unscaled inputs", f"column {k} of X has numbers of size {short(size[k])}{beside}",
                      "units saturate, and one step length cannot suit weights whose gradients differ as much",
                      "standardize: (X - X.mean(axis=0)) / X.std(axis=0), by the training rows")  # fmt: skip


def targets(at: Evidence) -> Iterator[Finding]:
    """Values to learn that are far from where networks begin."""
    if not at.poor or at.classes or at.name not in ("squared_error", "huber"):
        return
    y = _columns(at.rows.y)
    size, spread = float(np.sqrt((y * y).mean())), float(y.std(axis=0).mean())
    if size > LARGE * max(1.0, min(spread, 1.0)) or spread > LARGE:
        yield Finding("unscaled targets", f"y has numbers of size {short(size)}, and they differ by {short(spread)}",
                      "a network begins with answers near 0 and has a long way to go",
                      "train on (y - y.mean()) / y.std(), and turn the answers back")  # fmt: skip


def alone(at: Evidence) -> Iterator[Finding]:
    """One column that tells the target."""
    X, y = _columns(at.rows.X), at.rows.y
    if at.rows.X.ndim != 2 or X.shape[1] < 2 or y[0].size != 1 or len(y) < 20:
        return
    told = np.zeros(X.shape[1])
    total = ((X - X.mean(axis=0)) ** 2).sum(axis=0)
    moving = total > 0
    if at.classes:
        labels, counts = np.unique(at.labels, return_counts=True)
        means = np.stack([X[at.labels == label].mean(axis=0) for label in labels])
        between = (counts[:, None] * (means - X.mean(axis=0)) ** 2).sum(axis=0)
        told[moving] = between[moving] / total[moving]
        told = np.where(len(np.unique(np.round(means, 9), axis=0)) == len(labels), told, 0.0)
        for k in np.flatnonzero(told > ALONE).tolist():  # each class with a number of its own
            if len(np.unique(np.round(means[:, k] / np.sqrt(total[k] / len(X)), 3))) < len(labels):
                told[k] = 0.0
    else:
        centered = y.reshape(-1).astype(float) - y.mean(dtype=float)
        both = centered @ X
        told[moving] = both[moving] ** 2 / (total[moving] * max(float(centered @ centered), 1e-300))
    if (told > ALONE).any():
        k = int(np.argmax(told))
        yield Finding("label leakage", f"column {k} of X alone tells y, but for {max(0.0, 1 - told[k]):.1g} of its "
                      "variance", "a network learns that column and nothing else", "is it known when answers are "
                      "wanted? else leave it out")  # fmt: skip


def shared(at: Evidence) -> Iterator[Finding]:
    """Rows that are trained on and held out."""
    if at.rows.held is None or at.rows.X.dtype.kind != "f":
        return
    X, held = _columns(at.rows.X), _columns(at.rows.held[0])
    if max(len(np.unique(column)) for column in X[:MOST].T) <= 20:
        return  # of few values that a row may have, two that are equal are two
    known = {row.tobytes() for row in np.ascontiguousarray(X)}
    twice = sum(row.tobytes() in known for row in np.ascontiguousarray(held))
    if twice > max(1, len(held) // 50):
        yield Finding("shared rows", f"{twice:,} of the {len(held):,} rows held out are among the training rows too",
                      "what is learned by heart passes for a good answer there",
                      "remove duplicates before the rows are split, or hold out whole groups of them")  # fmt: skip


def elsewhere(at: Evidence) -> Iterator[Finding]:
    """Rows held out that are not of the kind that is trained on."""
    if at.rows.held is None:
        return
    held_X, held_y, _ = at.rows.held
    if at.classes:
        missing = np.setdiff1d(held_y.reshape(-1).astype(int), at.labels)
        if len(missing):
            yield Finding("class never trained", f"class {', '.join(map(str, missing[:5].tolist()))} of the rows held "
                          "out is in no training row", "it cannot be learned", "shuffle the rows before they are "
                          "split, or let pb.fit split them: validation=0.1")  # fmt: skip
    if at.rows.X.dtype.kind != "f" or at.held is None or len(held_X) < 10:
        return
    X, held = _columns(at.rows.X), _columns(held_X)
    spread = X.std(axis=0)
    away = np.abs(held.mean(axis=0) - X.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    wide = held.std(axis=0) / np.where(spread > 0, spread, np.inf)
    worse = at.held - at.ended > 0.5 * abs(at.constant - at.ended) if np.isfinite(at.constant) else at.held > at.ended
    if worse and (away.max() > 3 or wide.max() > 5):
        k = int(np.argmax(np.maximum(away / 3, wide / 5)))
        there, here = (f"a mean of {short(A[:, k].mean())} and a spread of {short(A[:, k].std())}" for A in (held, X))
        yield Finding("other rows held out", f"column {k} of the rows held out has {there}, in training {here}",
                      "the network answers to numbers that it has never seen", "scale both by the mean and the spread "
                      "of the training rows, and split at random")  # fmt: skip


def order(at: Evidence) -> Iterator[Finding]:
    """Batches of one class each."""
    size, y = at.settings["batch_size"], at.rows.y
    if at.settings["shuffle"] or size >= len(y) or y[0].size != 1 or not (at.classes or at.poor):
        return
    parts = [slice(k, k + size) for k in range(0, len(y), size)]
    values = np.eye(at.classes)[at.labels] if at.classes else y.reshape(-1, 1).astype(float)
    total = float(((values - values.mean(axis=0)) ** 2).sum())
    within = sum(float(((values[part] - values[part].mean(axis=0)) ** 2).sum()) for part in parts)
    if total > 0 and within < 0.5 * total:
        what = "class" if at.classes else "value"
        yield Finding("ordered rows", f"the rows come in the order of their {what}, and shuffle=False: batches hold "
                      f"{within / total:.0%} of the differences in y", "each batch pulls all answers to its own, and "
                      "what others have taught is forgotten", "shuffle=True, or shuffle them once")  # fmt: skip


@cache
def _whole(at: Evidence) -> tuple[Array, Array]:
    """X and y in the order in which they were given, held out ones too, where `fit` has split them."""
    X, y, _, held, numbers = at.rows
    if held is not None and len(numbers) and numbers.max() >= len(X) and at.settings.get("validation") is not None:
        count = len(X) + len(held[0])
        rest = np.setdiff1d(np.arange(count), numbers)
        if len(rest) == len(held[0]) and numbers.max() < count:
            places = np.argsort(np.concatenate([numbers, rest]))
            X, y = np.concatenate([X, held[0]])[places], np.concatenate([y, held[1]])[places]
    return _columns(X[:MOST]), y[:MOST]


def _told(values: Array, near: Array, X: Array) -> float:
    """How sure X tells anything of values (n, k), in standard deviations: by the rows nearest, or by a plane."""
    n, d = X.shape
    centered = values - values.mean(axis=0)
    variance = float((centered**2).mean()) or 1.0
    by_near = float((centered * centered[near].mean(axis=1)).mean()) / variance * np.sqrt(n * near.shape[1] / 2)
    if d >= n // 4:
        return by_near
    design = np.c_[np.ones(n), X]
    rest = centered - design @ np.linalg.lstsq(design, centered, rcond=None)[0]
    share = 1 - float((rest**2).mean()) / variance
    return max(by_near, (n * share - d) / np.sqrt(2 * d))


def matched(at: Evidence) -> Iterator[Finding]:
    """Targets that belong to other rows."""
    X, y = _whole(at)
    n = len(X)
    if n < 100 or X.shape[1] > 5_000 or y[0].size != 1 or at.rows.X.dtype.kind != "f":
        return
    spread = X.std(axis=0)
    X = ((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1))[:, spread > 0]
    if not X.shape[1]:
        return
    squares = (X * X).sum(axis=1)
    distances = squares[:, None] + squares - 2 * X @ X.T
    np.fill_diagonal(distances, np.inf)
    near = np.argpartition(distances, NEAREST, axis=1)[:, :NEAREST]
    flat = y.reshape(n)
    values: Any = flat.astype(float)[:, None]
    if 0 < at.classes <= MOST_CLASSES:
        values = np.eye(at.classes)[flat.astype(int)]
    here = _told(values, near, X)
    if here > NONE:
        return
    by = {s: _told(np.roll(values, s, axis=0), near, X) for s in (-3, -2, -1, 1, 2, 3)}
    best = max(by, key=lambda s: by[s])
    if by[best] > SURE:
        fix = f"y[i] goes with X[i {'+' if best > 0 else '-'} {abs(best)}]: look at how the two were read"
        yield Finding("shifted targets", f"y is shifted by {abs(best)} row{'s' * (abs(best) > 1)} against X",
                      f"as it stands X tells nothing of y, shifted back it does ({by[best]:.0f} standard deviations)",
                      fix)  # fmt: skip
    elif at.held is None or not np.isfinite(at.constant) or at.held > 0.95 * at.constant:
        yield Finding("nothing to learn", "rows that are alike have targets that are not",
                      "neither the nearest rows nor a plane tells anything of y: it was shuffled against X, or X knows "
                      "nothing of it; what is learned is learned by heart",
                      "look at some rows by hand; sort or shuffle X and y by one order")  # fmt: skip


def _right(at: Evidence) -> tuple[float, float, float] | None:
    """The shares of classes that are answered rightly: by the most frequent one always, by the network of the rows that
    it knows, and of those held out; None where there are no classes."""
    if at.name != "cross_entropy" or not at.classes or at.rows.held is None:
        return None
    held_X, held_y, _ = at.rows.held
    shares = [float(np.mean(np.asarray(at.last(X)).argmax(axis=-1) == y)) for X, y in ((at.X, at.y), (held_X, held_y))]
    return float(np.bincount(held_y.reshape(-1)).max() / held_y.size), shares[0], shares[1]


def by_heart(at: Evidence) -> Iterator[Finding]:
    """What holds for the training rows and for no others."""
    if at.found or at.held is None or not np.isfinite([at.constant, at.floor]).all():
        return
    gained, kept = at.constant - at.ended, at.constant - at.held
    if (shares := _right(at)) is not None:  # a cost may be high by a few answers that are sure and wrong
        usual, here, there = shares
        kept = max(kept, gained * (there - usual) / max(here - usual, 1e-9))
    if gained > 0.5 * (at.constant - at.floor) and kept < 0.2 * gained:
        yield Finding("learned by heart", f"training rows cost {short(at.ended)}, those held out {short(at.held)}, "
                      f"hardly less than with a constant answer ({short(at.constant)})", "the network knows rows, not "
                      "what they have in common", "more rows; a smaller network; fewer epochs (patience=), "
                      "pb.optim.AdamW with weight_decay, pb.nn.Dropout")  # fmt: skip


RULES = (matched, alone, sizes, targets, order, shared, elsewhere, by_heart)
