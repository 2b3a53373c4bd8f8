"""What small tables are trained with, by cross-validation."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import payback as pb
from payback.errors import NonFiniteError
from payback.tabular import Encoder, table_from_text
from payback.train import selection
from payback.train.recipe import Recipe
from payback.train.selection import chosen_recipe, crowded, pieces_to_try, second_helps, to_try
from payback.train.table import prepare

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 3))
NOISY = (X[:, :1] + 2 * RANDOM.normal(size=(80, 1))).round(3)
CURVED = np.abs(X[:, :1]) - X[:, 1:2] ** 2
ASKED = Recipe(valid=0.0)
RECIPE = dataclasses.replace(ASKED.complete(80, 3, 0), hidden=(16,), epochs=150, rate=0.02, weight_decay=1.0)


def net(outputs=1):
    return pb.nn.MLP([3, 16, outputs], seed=0)


def decay(y, outputs=1, x=X, weights=None, loss=None):
    """The strength that is chosen of three."""
    three = to_try(Recipe(hidden=(16,)), RECIPE, net(outputs), len(x), outputs if y.ndim == 1 else 0)
    assert [recipe.weight_decay for recipe in three] == [1.0, 0.25, 4.0]
    return chosen_recipe(three, lambda recipe: net(outputs), x, y, weights, 1, loss).weight_decay


def test_noise_wants_more_and_curves_want_less():
    decays = [decay(y) for y in (NOISY, CURVED)]
    assert decays == [4.0, 0.25]
    assert decays[0] == decay(NOISY)
    assert decay((NOISY[:, 0] > 0).astype(int), 2) == 4.0


def test_rows_that_weigh_nothing_are_not_looked_at():
    labels = (NOISY[:, 0] > 0).astype(int)
    both = np.concatenate([labels, np.full(40, 2)])
    rows = np.concatenate([X, 100 * X[:40]])
    assert decay(both, 3, rows, (both < 2).astype(float)) == decay(labels, 3)
    assert decay(both, 3, rows, (np.arange(120) < 39).astype(float)) == 1.0  # too few that weigh


def test_a_loss_is_that_of_the_training():
    """A row that is far off, and many classes at once."""
    far = CURVED.copy()
    far[7] = 1e3
    assert decay(far, loss="huber") < decay(far) == 4.0
    assert decay((CURVED > 0).astype(float), loss="binary_cross_entropy") == 0.25


@pytest.mark.parametrize(
    ("asked", "rows", "classes", "tried"),
    [
        ({}, 80, 0, "DD"),
        ({}, 80, 2, "DDLL"),
        ({}, 39, 2, ""),
        ({}, 2000, 0, ""),
        ({}, 2000, 39, ""),
        ({}, 2000, 100, "LL"),
        ({}, 5000, 100, ""),
        (dict(weight_decay=1.0), 80, 2, ""),
        (dict(epochs=100), 80, 2, ""),
        (dict(hidden=()), 80, 2, ""),
        (dict(hidden=(16,)), 80, 2, "DD"),
        (dict(activation="tanh"), 80, 2, "DD"),
        (dict(rate=0.01), 80, 2, "DD"),
        (dict(tol=0.01), 80, 2, "DD"),
        (dict(dropout=0.2), 80, 2, "DD"),
        (dict(pieces=4), 80, 2, "DD"),
        (dict(optimizer="adam"), 80, 2, ""),
        (dict(hidden=(1500, 1500)), 80, 2, ""),
    ],
)
def test_what_is_told_is_kept(asked, rows, classes, tried):
    asked = Recipe(valid=0.0, **asked)
    recipe = asked.complete(rows, 3, classes)
    several = to_try(asked, recipe, pb.nn.MLP([3, *(recipe.hidden or ()), max(1, classes)]), rows, classes)
    assert several[0] is recipe
    assert "".join("D" if other.hidden else "L" for other in several[1:]) == tried


def test_a_linear_model_goes_as_far_as_there_are_rows():
    for rows, batch in ((80, 64), (1000, 64), (1000, "all"), (1900, 100)):
        asked = Recipe(valid=0.0, batch_size=batch)
        own = asked.complete(rows, 3, 2)
        *_, linear, longer = to_try(asked, own, net(2), rows, 2)
        steps = linear.epochs * (1 if batch == "all" else -(-rows // batch))
        momentum = linear.make_optimizer()
        path = sum(momentum.schedule(n, steps) for n in range(steps)) / (1 - momentum.momentum)
        assert abs(path / rows - 0.25) < 0.02
        assert abs(longer.rate / linear.rate - 4) < 0.05


def test_noisy_classes_get_a_linear_model_and_those_inside_of_others_hidden_layers():
    own = dataclasses.replace(RECIPE, weight_decay=0.01)
    linear = to_try(ASKED, own, net(2), 80, 2)[-1]

    def net_of(recipe):
        return pb.nn.MLP([3, *recipe.hidden, 2], seed=0, dtype=recipe.dtype)

    for y, chosen in ((NOISY[:, 0] > 0, linear), (np.abs(X[:, 0]) > 0.7, own)):
        assert chosen_recipe([own, linear], net_of, X, y.astype(int), None, 1) is chosen


@pytest.mark.parametrize("told", [False, True])
def test_a_column_of_many_categories_stays_where_it_tells(told, monkeypatch):
    for name in ("MIN_EPOCHS", "MAX_EPOCHS"):
        monkeypatch.setattr(f"payback.train.recipe.{name}", 100)
    draw = np.random.default_rng(3)
    x, code = draw.normal(size=200), draw.integers(25, size=200)
    y = x + (2.0 * draw.normal(size=25)[code] if told else 0) + 0.3 * draw.normal(size=200)
    rows = "\n".join(f"{a:.3f},k{k},{b:.3f}" for a, k, b in zip(x, code, y, strict=True))
    asked = Recipe(hidden=(4,), rate=0.03, weight_decay=1.0, pieces=0)
    for recipe, stays in ((asked, told), (dataclasses.replace(asked, epochs=2), True)):
        made = prepare(table_from_text(f"x,code,y\n{rows}\n", "t.csv"), ["y"], recipe=recipe, seed=1).model.encoder
        assert (made.feature_names == ["x", "code"]) is stays
        assert stays or made.left_out == (("code", "rows held out are told better without it (cross-validated)"),)


def test_which_columns_are_tried_without():
    def columns(rows, categories, asked=ASKED, others="ab"):
        cells = [f"{k},{others[k % len(others)]},c{k % categories},{k}" for k in range(rows)]
        table = table_from_text("x,few,many,y\n" + "\n".join(cells) + "\n", "t.csv")
        return crowded(asked, rows, Encoder.fit(table, ["x", "few", "many"]))

    assert columns(500, 20) == ["many"]
    assert columns(600, 20) == columns(500, 19) == columns(500, 20, Recipe(hidden=())) == []


def test_pieces_are_taken_where_they_help():
    draw = np.random.default_rng(1)
    x, noise = draw.uniform(-1, 1, (300, 1)), draw.normal(size=(300, 1))
    ends = np.linspace(-1, 1, 9)
    cut = np.concatenate([x, 2 * np.clip((x - ends[:-1]) / np.diff(ends), 0, 1) - 1], axis=1)
    recipe = dataclasses.replace(RECIPE, epochs=40)
    nets = pb.nn.MLP([1, 16, 1], seed=0), pb.nn.MLP([9, 16, 1], seed=0)
    for y, helps in ((np.sin(12 * x), True), (x + noise, False)):
        assert second_helps(recipe, nets, (x, cut), y, None, 0) is helps
    weights = np.where(x[:, 0] > 0, 1.0, 0.0)  # what weighs nothing is not looked at
    y = np.where(x > 0, x + noise, np.sin(12 * x))
    assert not second_helps(recipe, nets, (x, cut), y, weights, 0)
    assert not second_helps(recipe, nets, (x, cut), y, 0 * weights, 0)
    assert not second_helps(dataclasses.replace(recipe, epochs=10**6), nets, (x, cut), np.sin(12 * x), None, 0)


@pytest.mark.parametrize(
    ("asked", "rows", "numbers", "pieces"),
    [
        ({}, 1000, 2, 16),
        ({}, 1000, 20, 6),
        ({}, 200, 2, 4),
        ({}, 100, 2, 0),
        ({}, 1000, 64, 0),
        ({}, 1000, 0, 0),
        ({}, 10**6, 10, 3),
        ({}, 10**7, 2, 0),
        (dict(pieces=0), 1000, 2, 0),
        (dict(epochs=10), 1000, 2, 0),
        (dict(hidden=()), 1000, 2, 0),
    ],
)
def test_how_many_pieces_are_tried(asked, rows, numbers, pieces):
    assert pieces_to_try(Recipe(**asked), rows, numbers) == pieces


def test_a_training_that_fails_is_not_chosen_and_one_that_is_ended_ends_all(monkeypatch):
    def failing(*args, optimizer, **options):
        if optimizer.weight_decay != 0.25:
            raise NonFiniteError("the cost became nan")
        return pb.fit(*args, optimizer=optimizer, **options)

    monkeypatch.setattr(selection, "fit", failing)
    assert decay(NOISY) == 0.25
    monkeypatch.setattr(selection, "fit", lambda *args, **options: SimpleNamespace(stopped="interrupted"))
    with pytest.raises(KeyboardInterrupt):
        decay(NOISY)
