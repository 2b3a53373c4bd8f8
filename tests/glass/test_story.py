"""How a ledger is told: numbers in their shortest form, and listings that end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import payback as pb
from payback.cli.terminal import to_json
from payback.glass import Ledger, story
from payback.glass.record import STATIONS, record


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((2.0, "2"), (0.1, "0.1"), (1e30, "1e+30"), (-0.0, "0"), (-1.5, "-1.5"), (1e15, "1000000000000000")),
        *((0.1 + 0.2, "0.30000000000000004"), (float("inf"), "inf")),
    ],
)
def test_numbers(number, text):
    assert story.shown(number) == text


@given(st.floats(allow_nan=False))
def test_a_number_reads_back_as_itself(number):
    assert float(story.shown(number)) == number
    assert float(story.factor(number).strip("()")) == number


def test_negative_numbers_stand_in_parentheses():
    assert story.factor(-2.0) == "(-2)"
    assert story.total([1.0, -1.0]) == "1+(-1) = 0"
    assert story.total([-1.0]) == "-1"


def test_a_long_sum_is_cut_and_counted():
    assert story.total([1.0] * 1234) == "1" + "+1" * 19 + "+… (1,214 more) = 1234"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda a, b: a + b, "a+b"),
        (lambda a, b: a - 1, "a-1"),
        (lambda a, b: -2 * a, "(-2)·a"),
        (lambda a, b: a / b, "a/b"),
        (lambda a, b: a**3, "a**3"),
        (lambda a, b: -a, "-a"),
        (lambda a, b: np.exp(a), "exp(a)"),
        (lambda a, b: np.maximum(a, b), "max(a, b)"),
    ],
)
def test_formulas(make, text):
    a, b = pb.variable(np.float64(2.0), "a"), pb.variable(np.float64(1.0), "b")
    assert story.formula(make(a, b).node, {a.node: "a", b.node: "b"}) == text


def doublings(n):
    x = leaf = pb.variable(1.0, "x0")
    names = {}
    for i in range(n):
        x = x + x
        names[x.node] = f"x{i + 1}"
    return Ledger(x.node, [leaf.node], names)


def test_paths_are_capped_and_counted_exactly():
    lines = story.collecting(doublings(20))
    assert len(lines) == story.PATHS_SHOWN + 2
    assert lines[-2:] == ["… and 1,048,556 more", "∂x20/∂x0 = 1048576, known from paying back"]
    assert len(set(lines)) == len(lines)  # routes over parallel edges are told apart


def test_a_long_path_shows_its_ends():
    assert story.collecting(doublings(60))[0].startswith("x0-x1-x2-x3-x4-x5-…-x55-x56-x57-x58-x59-x60 1·1·1·1·1·1·…·1")


def test_the_most_walked_edges_come_first():
    line = story.race(doublings(4))
    assert line.startswith("16 paths, 64 walks, edge x0-x1 (1st) walked 8 times, edge x0-x1 (2nd) walked 8 times, ")
    assert line.endswith(", 3 more edges walked more than once")


def test_an_infinite_partial_says_what_the_op_needs():
    a = pb.variable(np.float64(0), "a")
    top = np.sqrt(a)
    assert story.partials(Ledger(top.node, [a.node], {top.node: "b"})) == [
        "∂b/∂a = inf (sqrt has a finite partial where x > 0)"
    ]


def test_nothing_is_owed_below_what_was_not_taken():
    a, b = pb.variable(np.float64(0), "a"), pb.variable(np.float64(1), "b")
    c = np.sqrt(a)
    d = np.maximum(c, b)
    book = Ledger(d.node, [a.node], {c.node: "c", d.node: "d"})
    assert story.collecting(book) == ["a-c-d 0·inf = 0 (not taken: pays 0)", "∂d/∂a = 0"]
    assert story.paying_back(book)[1] == "c pays a 0·inf (not taken: pays 0)"


def test_counts_beyond_a_float_are_exact_in_json():
    told = record(doublings(60))
    assert told["paths"]["count"] == str(2**60)
    assert f'"count": "{2**60}"' in to_json(told)
    assert len(told["paths"]["by_leaf"]["x0"]["listed"]) == story.PATHS_SHOWN
    assert told["paths"]["by_leaf"]["x0"]["sum"] is None


def test_long_paths_are_counted_and_few_are_listed():
    x = y = pb.variable(0.5, "x")
    for _ in range(STATIONS // 4):
        y = y * x
    told = record(Ledger(y.node, [x.node]))["paths"]["by_leaf"]["x"]
    count, walks = int(told["count"]), int(told["walks"])
    assert count == STATIONS // 4 + 1
    assert len(told["listed"]) == STATIONS * count // walks < story.PATHS_SHOWN
    assert told["sum"] is None
