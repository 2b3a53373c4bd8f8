"""What a small table's network is like: how strongly its weights shrink, whether it has hidden layers at all, whether
numbers are given in pieces, and columns of many categories at all.  Cross-validated, for no count of rows and columns
tells how noisy the target is, nor how curved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback import random
from payback.errors import NonFiniteError
from payback.nn.activations import sigmoid, softmax
from payback.nn.module import parameters
from payback.tabular import Encoder
from payback.train.fit import fit
from payback.train.recipe import MANY_ROWS, Recipe

FACTORS = (0.25, 4.0)  # of the derived decay
FOLDS = 4
MIN_ROWS = 40  # fewer tell nothing
FEW_OF_A_CLASS = 50  # rows, on average: a line between such classes often tells more than hidden layers that learn them
FAILED = 1e100  # the error of each row where a training fails
PIECES, LEAST = 16, 3  # that a column of numbers is given in at most, if there are so many
MAX_PIECES, ROWS_A_PIECE = 128, 50  # of all columns; of the training
MAX_NUMBERS = 1 << 25  # that the pieces of all rows may be
SAMPLE, FEW = 1600, 800  # rows that tell whether pieces help; so few are cut into FOLDS, else into two
PATHS = (0.25, 1.0)  # lengths of a linear model's descent, in rows
CATEGORIES, ROWS_A_CATEGORY = 20, 30  # so many, with fewer rows each: more may be learned by heart than told
SURE = 2.0  # standard errors that another encoding must gain
MAX_WORK = 1e10  # products of a training, about a quarter of a second: done a dozen times, or ten times as much once
Array = np.ndarray[Any, Any]


def to_try(asked: Recipe, recipe: Recipe, net: Any, rows: int, classes: int) -> list[Recipe]:
    """The recipe, and complete ones that are to be tried beside it: other strengths, and no hidden layers where classes
    are told.  What was asked for is kept; who tells the epochs, or the weight decay, wants no other training.

    asked: the recipe before it was completed.  net: what it makes.  classes: 0 for values, whose networks have a linear
    path.  Where a training takes long, or rows are watched, only the linear model is tried, which costs little.
    """
    work = 6 * rows * (recipe.epochs or 0) * sum(np.size(p) for p in parameters(net).values())
    if asked.weight_decay is not None or asked.epochs is not None or not recipe.hidden or not recipe.weight_decay:
        return [recipe]
    if not MIN_ROWS <= rows < max(MANY_ROWS, FEW_OF_A_CLASS * classes) or work > 10 * MAX_WORK:
        return [recipe]
    made = [recipe]
    if rows < MANY_ROWS and work <= MAX_WORK:
        made += [dataclasses.replace(recipe, weight_decay=round(f * recipe.weight_decay, 3)) for f in FACTORS]
    told = (asked.hidden, asked.skip, asked.activation, asked.optimizer, asked.rate, asked.tol)
    if classes and not any(part is not None for part in told) and not recipe.dropout and not recipe.pieces:
        made += [_linear(asked, recipe, rows, path) for path in PATHS]
    return made


def _linear(asked: Recipe, recipe: Recipe, rows: int, path: float) -> Recipe:
    """The recipe of a linear model of classes.

    Trained by Adam with decay it told less than a ridge where few columns tell.  Plain steps with momentum go as a
    penalty of squares does: a descent of length t shrinks like a ridge of 1/t a row (Ali, Kolter, Tibshirani, AISTATS
    2019), so path · rows is 1/path for all rows together.
    """
    size = rows if recipe.batch_size == "all" else min(recipe.batch_size or rows, rows)
    steps = (recipe.epochs or 1) * -(-rows // size)
    # the rate falls along a cosine to 0, which halves the length, and momentum of 0.9 makes it ten times as long
    rate = float(f"{path * rows / (5 * steps):.3g}")
    dtype = asked.dtype or "float64"
    return dataclasses.replace(recipe, hidden=(), optimizer="nesterov", rate=rate, weight_decay=0.0, dtype=dtype)


def pieces_to_try(asked: Recipe, rows: int, numbers: int) -> int:
    """In how many pieces each of these columns of numbers is to be tried; 0 for none.  asked: as for `to_try`."""
    if asked.pieces is not None or asked.epochs is not None or asked.hidden == () or rows < MIN_ROWS or not numbers:
        return 0
    pieces = min(PIECES, MAX_PIECES // numbers, rows // ROWS_A_PIECE, MAX_NUMBERS // (rows * numbers))
    return pieces if pieces >= LEAST else 0


def crowded(asked: Recipe, rows: int, encoder: Encoder) -> list[str]:
    """The columns that are to be tried without: one of so many categories may tell but chance.  asked: see `to_try`."""
    if asked.epochs is not None or asked.hidden == () or rows < MIN_ROWS:
        return []
    wide = [plan.name for plan in encoder.plans if plan.kind == "categorical" and len(plan.outputs) >= CATEGORIES
            and rows < ROWS_A_CATEGORY * len(plan.outputs)]  # fmt: skip
    return wide if len(wide) < len(encoder.plans) else []


def second_helps(
    recipe: Recipe, nets: tuple[Any, Any], xs: tuple[Array, Array], y: Array, weights: Array | None, seed: int
) -> bool:
    """Whether rows held out are told better by the second of two networks, which is given its rows in another encoding.

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


def chosen_recipe(
    recipes: Sequence[Recipe],
    net_of: Callable[[Recipe], Any],
    x: Array,
    y: Array,
    weights: Array | None,
    seed: int,
    loss: str | None = None,
    waiting: Callable[[float], object] = lambda share: None,
) -> Recipe:
    """The one of these recipes whose squared errors are least on rows held out; the first unless another one's are less
    by more than a standard error of the difference.

    net_of: what makes a recipe's network, with its initial weights.  x, y: the encoded training rows.  weights: of
    the rows.  loss: what is trained for, as `fit` has it.  waiting: called with the share that is done.
    Errors of classes are those of their probabilities (Brier, Monthly Weather Review 78, 1950): they are bounded, so
    that a few rows that are surely wrong do not decide.  Nothing is random but the folds, which follow from the seed.
    """
    if len(recipes) == 1:
        return recipes[0]
    if weights is not None:
        x, y, weights = x[weights > 0], y[weights > 0], weights[weights > 0]
        if len(x) < MIN_ROWS:
            return recipes[0]
    folds = FOLDS if any(other.hidden for other in recipes[1:]) else 2
    best, most = recipes[0], 0.0
    errors = _errors(net_of(best), x, y, best, weights, seed, folds, loss)
    for done, recipe in enumerate(recipes[1:], 1):
        waiting(done / len(recipes))
        less = errors - _errors(net_of(recipe), x, y, recipe, weights, seed, folds, loss)
        gain = float(less.mean())
        if gain > most and gain > less.std() / np.sqrt(len(less)):
            best, most = recipe, gain
    return best


def _errors(
    net: Any, x: Array, y: Array, recipe: Recipe, weights: Array | None, seed: int, folds: int, loss: str | None = None
) -> Array:
    """The squared error of each row that was held out; beyond 1 that of `huber` grows as the loss does."""
    order = random.permutation(random.split(random.key(seed), 4)[3], len(x))
    size, found = len(x) // folds, []  # folds of one size: steps of one shape
    for fold in range(folds):
        held = order[fold * size : (fold + 1) * size]
        rest = np.delete(np.arange(len(x)), held)
        try:
            run = fit(
                net, x[rest], y[rest], loss=loss, optimizer=recipe.make_optimizer(), epochs=recipe.epochs or 0,
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
            errors = np.abs((sigmoid(made) if loss == "binary_cross_entropy" else made) - y[held])
            errors = np.where(errors > 1, 2 * errors - 1, errors**2) if loss == "huber" else errors**2
            errors = errors.mean(axis=1)
        found.append(errors if weights is None else errors * weights[held] / weights.mean())
    return np.concatenate(found)
