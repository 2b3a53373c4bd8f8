"""How strongly the weights of a small table's network shrink, and whether numbers are given in pieces: cross-validated,
for no count of rows and columns tells how noisy the target is, nor how curved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from payback import random
from payback.errors import NonFiniteError
from payback.nn.activations import softmax
from payback.nn.module import parameters
from payback.train.data import weighted_by_class, weights_of_classes
from payback.train.fit import fit
from payback.train.recipe import MANY_ROWS, Recipe

FACTORS = (0.25, 4.0)  # of the derived decay
FOLDS = 4
MIN_ROWS = 40  # fewer tell nothing
FAILED = 1e100  # the error of each row where a training fails
PIECES, LEAST = 16, 3  # that a column of numbers is given in at most, if there are so many
MAX_PIECES, ROWS_A_PIECE = 128, 50  # of all columns; of the training
MAX_NUMBERS = 1 << 25  # that the pieces of all rows may be
SAMPLE, FEW = 1600, 800  # rows that tell whether pieces help; so few are cut into FOLDS, else into two
SURE = 2.0  # standard errors that pieces must gain, for they make a network larger
MAX_WORK = 1e10  # products of a training, about a quarter of a second: it is done a dozen times
Array = np.ndarray[Any, Any]


def is_tried(asked: Recipe, recipe: Recipe, net: Any, rows: int) -> bool:
    """Whether several strengths are to be tried.  asked: the recipe before it was completed; what is told is kept, and
    who tells the epochs wants so many and no more."""
    free = asked.weight_decay is None and asked.epochs is None and recipe.weight_decay
    work = 6 * rows * (recipe.epochs or 0) * sum(np.size(p) for p in parameters(net).values())
    return bool(free) and bool(recipe.hidden) and MIN_ROWS <= rows < MANY_ROWS and work <= MAX_WORK


def pieces_to_try(asked: Recipe, rows: int, numbers: int) -> int:
    """In how many pieces each of these columns of numbers is to be tried; 0 for none.  asked: as for `is_tried`."""
    if asked.pieces is not None or asked.epochs is not None or asked.hidden == () or rows < MIN_ROWS or not numbers:
        return 0
    pieces = min(PIECES, MAX_PIECES // numbers, rows // ROWS_A_PIECE, MAX_NUMBERS // (rows * numbers))
    return pieces if pieces >= LEAST else 0


def pieces_help(
    recipe: Recipe, nets: tuple[Any, Any], xs: tuple[Array, Array], y: Array, weights: Array | None, seed: int
) -> bool:
    """Whether rows held out are told better by the second of two networks, which is given its numbers in pieces.

    recipe: complete, for these rows, none of which are watched.  xs: what each network is given.  weights: of the rows.
    """
    if weights is not None:
        xs, y, weights = (xs[0][weights > 0], xs[1][weights > 0]), y[weights > 0], weights[weights > 0]
    work = 6 * len(y) * (recipe.epochs or 0) * sum(np.size(p) for net in nets for p in parameters(net).values())
    if len(y) < MIN_ROWS or work > 5 * MAX_WORK:
        return False
    folds = FOLDS if len(y) < FEW else 2
    plain, cut = (_errors(net, x, y, recipe, weights, seed, folds) for net, x in zip(nets, xs, strict=True))
    less = plain - cut
    return bool(less.mean() > SURE * less.std() / np.sqrt(len(less)))


def chosen_decay(
    net: Any,
    x: Array,
    y: Array,
    recipe: Recipe,
    class_weight: Any,
    seed: int,
    waiting: Callable[[float], object] = lambda share: None,
) -> float:
    """The weight decay, of the recipe's times each of FACTORS, whose squared errors are least on rows held out; the
    recipe's own unless another one's are less by more than a standard error of the difference.

    net: with its initial weights.  x, y: the encoded training rows.  class_weight: by number of class; see `fit`.
    waiting: called with the share that is done.
    Errors of classes are those of their probabilities (Brier, Monthly Weather Review 78, 1950): they are bounded, so
    that a few rows that are surely wrong do not decide.  Nothing is random but the folds, which follow from the seed.
    """
    weights = None if class_weight is None else weighted_by_class(y, weights_of_classes(y, class_weight))
    if weights is not None:
        x, y, weights = x[weights > 0], y[weights > 0], weights[weights > 0]
    own, most = recipe.weight_decay or 0.0, 0.0
    errors, chosen = _errors(net, x, y, recipe, weights, seed), own
    for done, strength in enumerate([factor * own for factor in FACTORS], 1):
        waiting(done / (1 + len(FACTORS)))
        less = errors - _errors(net, x, y, dataclasses.replace(recipe, weight_decay=strength), weights, seed)
        gain = float(less.mean())
        if gain > most and gain > less.std() / np.sqrt(len(less)):
            chosen, most = strength, gain
    return round(chosen, 3)


def _errors(
    net: Any, x: Array, y: Array, recipe: Recipe, weights: Array | None, seed: int, folds: int = FOLDS
) -> Array:
    """The squared error of each row that was held out."""
    order = random.permutation(random.split(random.key(seed), 4)[3], len(x))
    size, found = len(x) // folds, []  # folds of one size: steps of one shape
    for fold in range(folds):
        held = order[fold * size : (fold + 1) * size]
        rest = np.delete(np.arange(len(x)), held)
        try:
            run = fit(
                net, x[rest], y[rest], optimizer=recipe.make_optimizer(), epochs=recipe.epochs or 0,
                batch_size=recipe.batch_size or 64, validation=0.0, seed=seed, progress=False,
                sample_weight=None if weights is None else weights[rest],
            )  # fmt: skip
        except NonFiniteError:
            return np.full(folds * size, FAILED)
        if run.stopped == "interrupted":
            raise KeyboardInterrupt
        made = run.net(x[held].astype(recipe.dtype))
        if y.dtype.kind in "iu":
            errors = ((softmax(made) - np.eye(made.shape[1])[y[held]]) ** 2).sum(axis=1)
        else:
            errors = ((made - y[held]) ** 2).mean(axis=1)
        found.append(errors if weights is None else errors * weights[held] / weights.mean())
    return np.concatenate(found)
