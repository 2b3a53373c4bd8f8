"""The weight decay of small tables, by cross-validation."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import payback as pb
from payback.errors import NonFiniteError
from payback.train import strength
from payback.train.recipe import Recipe
from payback.train.strength import chosen_decay, is_tried, pieces_help, pieces_to_try

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 3))
NOISY = (X[:, :1] + 2 * RANDOM.normal(size=(80, 1))).round(3)
CURVED = np.abs(X[:, :1]) - X[:, 1:2] ** 2
ASKED = Recipe(valid=0.0)
RECIPE = dataclasses.replace(ASKED.complete(80, 3, 0), hidden=(16,), epochs=150, rate=0.02, weight_decay=1.0)


def net(outputs=1):
    return pb.nn.MLP([3, 16, outputs], seed=0)


def test_noise_wants_more_and_curves_want_less():
    decays = [chosen_decay(net(), X, y, RECIPE, None, 1) for y in (NOISY, CURVED)]
    assert decays == [4.0, 0.25]
    assert decays[0] == chosen_decay(net(), X, NOISY, RECIPE, None, 1)
    labels = (NOISY[:, 0] > 0).astype(int)
    assert chosen_decay(net(2), X, labels, RECIPE, None, 1) == 4.0


def test_rows_that_weigh_nothing_are_not_looked_at():
    labels = (NOISY[:, 0] > 0).astype(int)
    both = np.concatenate([labels, np.full(40, 2)])
    rows = np.concatenate([X, 100 * X[:40]])
    given = chosen_decay(net(3), rows, both, RECIPE, {0: 1.0, 1: 1.0, 2: 0.0}, 1)
    assert given == chosen_decay(net(3), X, labels, RECIPE, None, 1)


@pytest.mark.parametrize(
    ("asked", "rows", "tried"),
    [
        ({}, 80, True),
        ({}, 39, False),
        ({}, 2000, False),
        (dict(weight_decay=1.0), 80, False),
        (dict(epochs=100), 80, False),
        (dict(hidden=()), 80, False),
        (dict(optimizer="adam"), 80, False),
        (dict(hidden=(1500, 1500)), 80, False),
    ],
)
def test_what_is_told_is_kept(asked, rows, tried):
    asked = Recipe(valid=0.0, **asked)
    recipe = asked.complete(rows, 3, 0)
    assert is_tried(asked, recipe, pb.nn.MLP([3, *(recipe.hidden or ()), 1]), rows) is tried


def test_pieces_are_taken_where_they_help():
    draw = np.random.default_rng(1)
    x, noise = draw.uniform(-1, 1, (300, 1)), draw.normal(size=(300, 1))
    ends = np.linspace(-1, 1, 9)
    cut = np.concatenate([x, 2 * np.clip((x - ends[:-1]) / np.diff(ends), 0, 1) - 1], axis=1)
    recipe = dataclasses.replace(RECIPE, epochs=40)
    nets = pb.nn.MLP([1, 16, 1], seed=0), pb.nn.MLP([9, 16, 1], seed=0)
    for y, helps in ((np.sin(12 * x), True), (x + noise, False)):
        assert pieces_help(recipe, nets, (x, cut), y, None, 0) is helps
    weights = np.where(x[:, 0] > 0, 1.0, 0.0)  # what weighs nothing is not looked at
    y = np.where(x > 0, x + noise, np.sin(12 * x))
    assert not pieces_help(recipe, nets, (x, cut), y, weights, 0)
    assert not pieces_help(recipe, nets, (x, cut), y, 0 * weights, 0)
    assert not pieces_help(dataclasses.replace(recipe, epochs=10**6), nets, (x, cut), np.sin(12 * x), None, 0)


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

    monkeypatch.setattr(strength, "fit", failing)
    assert chosen_decay(net(), X, NOISY, RECIPE, None, 1) == 0.25
    monkeypatch.setattr(strength, "fit", lambda *args, **options: SimpleNamespace(stopped="interrupted"))
    with pytest.raises(KeyboardInterrupt):
        chosen_decay(net(), X, NOISY, RECIPE, None, 1)
