"""Which kind a column is."""

from __future__ import annotations

import pytest

from payback.tabular import column_from_cells


def kind(cells, name="x", **options):
    return column_from_cells(name, "\0".join(map(str, cells)), **options).kind


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["", "?", "NA"], "empty"),
        ([5, 5, 5], "constant"),
        (["a", "a"], "constant"),
        ([5, "", 5], "numeric"),
        ([0, 1, 1, 0], "numeric"),
        ([1.5, "?", -2e-3], "numeric"),
        (["0", "007", "12"], "numeric"),
        (["00123", "01234", "99999", "00123"], "categorical"),
        (["yes", "no", "yes"], "boolean"),
        (["TRUE", "false", "True", ""], "boolean"),
        (["yes", "true", "no"], "identifier"),
        (["yes", "maybe", "no", "no"], "categorical"),
        (["yes", "yes", ""], "categorical"),
        (["2024-01-31", "2024-02-01"], "date"),
        (["2024/1/31", ""], "identifier"),
        (["2024-01-31T10:00:00Z", "2024-01-31 11:30:00.25+02:00"], "date"),
        (["31.01.2024", "01.02.2024"], "date"),
        (["01/31/2024", "02/01/2024"], "date"),
        (["31/01/2024", "02/01/2024"], "date"),
        (["3 Jan 2024", "12-Feb-2024", "March 4, 2024"], "date"),
        (["01/02/2024", "03/04/2024", "03/04/2024"], "categorical"),
        (["2024-02-30", "2024-01-01"], "identifier"),
        (["a", "b", "c"], "identifier"),
        (["a", "b", "a"], "categorical"),
        ([1, 2, "abc"], "mixed"),
        (["0", "1", "2", "3+"] * 10, "categorical"),
        (["2", "3", "4", "5more"] * 10, "categorical"),
        (["A1", "B2", "3", "A1"], "categorical"),
        (["1,234", "2,345", "1"], "mixed"),
        ([*range(70), *["unknown"] * 30], "mixed"),  # a mark for missing values
        ([*range(70), *[f"A/5 {i}" for i in range(30)]], "identifier"),  # numbers of tickets
        ([*range(70), *[f"A/5 {i}" for i in range(30)], 7], "categorical"),
    ],
)
def test_kinds(cells, expected):
    if expected == "identifier" and "" in cells:
        cells = [*cells, "x"]
    assert kind(cells) == expected


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("id", [7, 3, 9], "identifier"),
        ("customer_id", [7, 3, 9], "identifier"),
        ("PassengerId", [7, 3, 9], "identifier"),
        ("customer_id", [7, 7, 9], "numeric"),
        ("width", [7, 3, 9], "numeric"),
        ("grid", [7, 3, 9], "numeric"),
        ("index", [1, 2, 3], "identifier"),
        ("index", [1, 2, 4], "numeric"),
        ("column_1", [0, 1, 2], "identifier"),
        ("", [k * 37 % 1009 for k in range(21)], "identifier"),
        ("", [k * 37 % 1009 for k in range(20)], "numeric"),
        ("size", [k * 37 % 1009 for k in range(21)], "numeric"),
        ("x", [0, 1, 2, 3, 4], "numeric"),
        ("id", [0.5, 1.5, 2], "numeric"),
    ],
)
def test_numbers_are_identifiers_only_by_name(name, cells, expected):
    assert kind(cells, name) == expected


def test_kinds_can_be_given():
    assert kind([1, 2, 3, 1], kind="categorical") == "categorical"
    assert kind(["001", "002"], kind="numeric") == "numeric"
    assert kind([3, 1, 2], kind="identifier") == "identifier"
    assert kind(["a", "1"], kind="numeric") == "mixed"


def test_underscores_and_foreign_digits_are_no_numbers():
    assert kind(["1_000", "2_000", "1_000"], kind="numeric") == "mixed"
    assert kind(["١٢", "١٣", "١٢"]) == "categorical"


@pytest.mark.parametrize("blank", ["", " "])
def test_long_whole_numbers_that_are_rounded_are_said(blank):
    for first in (2**53, 10**22, -(10**30)):
        column = column_from_cells("x", "\0".join(f"{blank}{first + i}" for i in range(3)))
        assert "rounded" in column.note
        assert column.kind == ("numeric" if first == 2**53 else "constant")
    for exact in ("9007199254740992\0-4", f"{blank}1e300\0002.5", f"{2**1000}\0001"):
        assert column_from_cells("x", exact).note == ""
