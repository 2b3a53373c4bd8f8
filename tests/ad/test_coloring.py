"""Colorings: columns that share a row differ, paths over four variables have three colors, every entry is readable."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payback.ad.coloring import color_columns, color_star, readable
from payback.ad.sets import Sets, union
from payback.transforms.compressed import plan_hessian, plan_jacobian


def sets(matrix):
    rows, columns = np.nonzero(matrix)
    return Sets.of_pairs(rows, columns, *np.shape(matrix))


def dense(pattern):
    made = np.zeros((pattern.height, pattern.width), bool)
    made[pattern.rows(), pattern.members] = True
    return made


def band(n, width):
    i, j = np.indices((n, n))
    return abs(i - j) <= width // 2


def arrow(n, hub=0):
    made = np.eye(n, dtype=bool)
    made[hub] = made[:, hub] = True
    return made


def grid(side):
    """The Hessian of a sum over the edges of a square grid."""
    at = np.arange(side * side).reshape(side, side)
    made = np.eye(side * side, dtype=bool)
    for a, b in ((at[1:], at[:-1]), (at[:, 1:], at[:, :-1])):
        made[a, b] = made[b, a] = True
    return made


MATRICES = {
    "nothing": np.zeros((3, 4), bool),
    "no rows": np.zeros((0, 4), bool),
    "diagonal": np.eye(7, dtype=bool),
    "dense": np.ones((5, 6), bool),
    "band": band(40, 5),
    "an empty column": np.array([[1, 0, 1], [0, 0, 1]], bool),
    "arrow": arrow(30, 29),
    "grid": grid(7),
    **{
        f"random {k}": np.random.default_rng(k).random((30, 20)) < density for k, density in enumerate((0.02, 0.1, 0.5))
    },
}


def recovered(matrix, plan):
    """The entries read off from compressed products, as the transform does."""
    matrix = matrix if plan.mode == "forward" else matrix.T
    seeds = (plan.colors[:, None] == np.arange(plan.number)).astype(float)
    return (matrix @ seeds)[plan.place, plan.shade]


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
def test_columns_that_share_a_row_differ(name, mode):
    filled = MATRICES[name]
    pattern = sets(filled)
    plan = plan_jacobian(pattern, mode)
    values = np.where(filled, np.random.default_rng(1).normal(size=filled.shape), 0.0)
    np.testing.assert_array_equal(recovered(values, plan), values[filled])
    side = filled if plan.mode == "forward" else filled.T
    for row in side:
        used = plan.colors[row]
        assert len(set(used)) == len(used)
    assert set(plan.colors[plan.colors >= 0]) == set(range(plan.number))
    assert ((plan.colors == -1) == ~side.any(axis=0)).all()


@pytest.mark.parametrize(
    ("name", "fewest"), [("nothing", 0), ("no rows", 0), ("diagonal", 1), ("dense", 5), ("band", 5), ("arrow", 30)]
)
def test_as_few_colors_as_there_can_be(name, fewest):
    assert plan_jacobian(sets(MATRICES[name])).number == fewest


def test_auto_takes_the_cheaper_side():
    wide, tall = np.zeros((4, 20), bool), np.zeros((20, 4), bool)
    wide[0], tall[:, 0] = True, True
    assert plan_jacobian(sets(wide)).mode == "reverse"
    assert plan_jacobian(sets(wide)).number == 1
    assert plan_jacobian(sets(tall)).mode == "forward"
    assert plan_jacobian(sets(tall)).number == 1


def is_star(filled, colors):
    """By the definition, path by path."""
    neighbors = [np.flatnonzero(row & (np.arange(len(row)) != i)) for i, row in enumerate(filled)]
    for a in range(len(filled)):
        for b in neighbors[a]:
            if colors[a] == colors[b]:
                return False
            for c in neighbors[b]:
                for d in neighbors[c]:
                    if len({a, b, c, d}) == 4 and len({colors[a], colors[b], colors[c], colors[d]}) < 3:
                        return False
    return True


@st.composite
def symmetric(draw):
    n = draw(st.integers(1, 12))
    edges = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
    made = np.zeros((n, n), bool)
    for a, b in edges:
        made[a, b] = made[b, a] = True
    return made


def check_symmetric(filled):
    pattern = sets(filled)
    colors, number = color_star(pattern)
    assert is_star(filled, colors)
    assert len(set(colors[filled.any(axis=0)])) == number
    plan = plan_hessian(pattern)
    assert plan.number <= color_columns(pattern)[1]
    values = np.random.default_rng(2).normal(size=filled.shape)
    values = np.where(filled, values + values.T, 0.0)
    np.testing.assert_allclose(recovered(values, plan), values[filled], rtol=0, atol=0)


@given(symmetric())
def test_star_colorings(filled):
    check_symmetric(filled)


@pytest.mark.parametrize(
    ("filled", "most"),
    [
        (band(50, 3), 3),
        (arrow(40), 2),
        (arrow(40, 39), 2),
        (arrow(40, 17), 2),
        (grid(9), 7),
        (np.eye(3, dtype=bool), 1),
    ],
)
def test_symmetry_saves_colors(filled, most):
    check_symmetric(filled)
    assert plan_hessian(sets(filled)).number <= most


def test_what_is_not_symmetric_goes_by_columns():
    filled = arrow(6)
    assert plan_hessian(sets(filled), symmetric=False).number == 6
    filled[2, 0] = False
    assert plan_hessian(sets(filled)).number == 6


@pytest.mark.parametrize("filled", [band(8, 3), arrow(6), grid(3), np.ones((4, 4), bool)])
def test_a_wrong_coloring_is_caught(filled):
    """Any two colors made one: something is unreadable."""
    pattern = sets(filled)
    colors, number = color_columns(pattern)
    assert readable(pattern, colors).all()
    for a, b in itertools.combinations(range(number), 2):
        assert not readable(pattern, np.where(colors == a, b, colors)).all()
    colors, number = color_star(pattern)
    assert is_star(filled, colors)
    for a, b in itertools.combinations(range(number), 2):
        assert not is_star(filled, np.where(colors == a, b, colors))


def test_a_coloring_that_is_no_star_is_refused(monkeypatch):
    monkeypatch.setattr("payback.transforms.compressed.color_star", lambda pattern: (np.arange(pattern.width) % 2, 2))
    with pytest.raises(AssertionError, match="no star coloring"):
        plan_hessian(sets(band(9, 3)))


def test_a_hundred_thousand_variables():
    n = 100_000
    i = np.arange(n)
    pattern = Sets.of_pairs(np.concatenate([i, i[1:], i[:-1]]), np.concatenate([i, i[:-1], i[1:]]), n, n)
    assert plan_jacobian(pattern).number == 3
    colors, number = color_star(pattern)
    assert number == 3
    direct, twin = readable(pattern, colors), np.argsort(pattern.members, kind="stable")
    assert (direct | direct[twin]).all()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6))), st.lists(st.integers(0, 4), max_size=8))
def test_sets(pairs, places):
    filled = np.zeros((5, 7), bool)
    for pair in pairs:
        filled[pair] = True
    rows, columns = (np.array([pair[k] for pair in pairs], int) for k in (0, 1))
    made, places = Sets.of_pairs(rows, columns, 5, 7), np.array(places, int)
    np.testing.assert_array_equal(dense(made), filled)
    np.testing.assert_array_equal(dense(made.transposed()), filled.T)
    taken = made.take(places)
    np.testing.assert_array_equal(dense(taken), filled[places])
    united = union([(places, taken), (None, made), (None, made)], 5, 7)
    np.testing.assert_array_equal(dense(united), filled)
    np.testing.assert_array_equal(dense(union([(np.array([2, 5, 6, 8, 9]), made)], 10, 7))[[2, 5, 6, 8, 9]], filled)
    alone = union([(places, taken)], 5, 7)
    kept = np.isin(np.arange(5), places)
    np.testing.assert_array_equal(dense(alone), filled & kept[:, None])
    assert (np.diff(alone.rows() * 7 + alone.members) > 0).all()
