"""What is asked about a table: each doubt where its cause was planted, and none elsewhere."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from payback.tabular import doubts

PLANTED = {
    "alone": "'copy' alone tells 'y' of every row: will it be known when that is to be predicted? If not, add "
    "--without copy",
    "mark": "-999 stands {} times in 'a', far from its other values: add --missing -999 if it means a missing value",
    "copies": "{} rows are the same as others: where one is trained on and the other tested, nothing is tested",
    "time": "the rows are in the order of 'at': to predict later ones is harder than the test, which draws rows from "
    "among them; add --last to test on the last ones",
}
ORDER = ("alone", "mark", "time", "copies")


def drawn(seed, planted, classes):
    draw = np.random.default_rng(seed)
    n = int(draw.integers(60, 400))
    a, b = draw.normal(size=n).round(3), draw.normal(size=n).round(3)
    z = a + draw.normal(size=n)
    y = (np.digitize(z, [-1, 1]) + 4).tolist() if classes else z.round(3).tolist()
    noise = draw.normal(size=n)
    copy = [f"{np.exp(v) * 7 if not classes else v % 6:.6g}" for v in y] if "alone" in planted else noise.round(3)
    days = np.sort(draw.permutation(3000)[:n]) if "time" in planted else draw.permutation(3000)[:n]
    at = [(datetime.date(2020, 1, 1) + datetime.timedelta(int(day))).isoformat() for day in days]
    cells = [f"{x:.3f}" for x in a]
    spoilt = np.flatnonzero(draw.random(n) < 0.1) if "mark" in planted else []
    for row in spoilt:
        cells[row] = "-999"
    rows = [",".join(map(str, row)) for row in zip(cells, b, copy, at, y, strict=True)]
    again = 0
    if "copies" in planted:
        again = int(draw.integers(5, 20))
        rows += [rows[k] for k in draw.choice(n, again)]
        if "time" in planted:
            rows.sort(key=lambda row: row.split(",")[3])
    return "a,b,copy,at,y\n" + "\n".join(rows) + "\n", again


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_what_was_planted_is_found_and_nothing_else(table, seed, classes):
    planted = [kind for k, kind in enumerate(PLANTED) if (seed * 5 + 3 * classes) >> k & 1]
    text, again = drawn(seed, planted, classes)
    counts = {"copies": f"{again:,}", "mark": str(sum(row.startswith("-999,") for row in text.splitlines()))}
    expected = [PLANTED[kind].format(counts.get(kind)) for kind in ORDER if kind in planted]
    toys = table(text)
    assert doubts(toys, ["y"], toys.names[:-1]) == expected
    said = doubts(toys, ["y"], toys.names[:-1], last=True)
    assert said == [doubt for doubt in expected if "--last" not in doubt]


def test_a_class_that_hardly_occurs(table):
    def said(*counts, classes=True):
        rows = [f"{k * 7 % 11},c{kind}" for kind, count in enumerate(counts) for k in range(count)]
        return doubts(table("a,y\n" + "\n".join(rows) + "\n"), ["y"], ["a"], classes=classes)

    assert said(2, 100, 3) == [
        "'c0' has 2 rows of 105: an answer that is always 'c1' is hardly ever wrong; look at the balanced accuracy, "
        "and add --class-weight balanced if rare classes matter as much"
    ]
    assert not said(2, 100, classes=False)
    assert not said(3, 100)
    assert not said(1, 51, 51)


def test_a_column_that_counts_the_rows(table):
    draw = np.random.default_rng(0).normal(size=(100, 2)).round(3)
    rows = "".join(f"{k},{a},{b}\n" for k, (a, b) in enumerate(draw, 7))
    said = "'no. of client' counts the rows: add --without 'no. of client' if it is but their number"
    toys = table("no. of client,a,y\n" + rows)
    assert doubts(toys, ["y"], ["no. of client", "a"]) == [said]
    assert doubts(toys, ["y"], ["no. of client"]) == []


def test_few_values_make_rows_alike_by_chance(table):
    draw = np.random.default_rng(0)
    rows = "".join(f"{'abc'[i]},{'xyz'[j]},{k}\n" for i, j, k in draw.integers(0, 3, (300, 3)))
    assert doubts(table("a,b,y\n" + rows), ["y"], ["a", "b"]) == []


def test_a_single_column_may_tell_the_target(table):
    rows = "".join(f"{k},{2 * k + 1}\n" for k in range(100))
    assert doubts(table("a,y\n" + rows), ["y"], ["a"]) == []
