"""`payback data`: the tables that payback carries."""

from __future__ import annotations

import json
import os

import pytest

from payback import datasets


def read(name):
    with open(name, encoding="utf-8", newline="") as stream:
        return stream.read()


def test_the_list_names_source_and_licence(run):
    code, out, err = run("data")
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split()[:4] == ["name", "rows", "inputs", "classes"]
    assert [row.split()[0] for row in rows] == datasets.names()
    for row, name in zip(rows, datasets.names(), strict=True):
        known = datasets.describe(name)
        assert known.license in row
        assert known.source in row
        assert str(known.rows) in row


def test_the_list_in_json(run):
    code, out, _ = run("data", "--json")
    assert code == 0
    tables = json.loads(out)["tables"]
    assert [table["name"] for table in tables] == datasets.names()
    assert tables[0].keys() == {"name", "title", "rows", "inputs", "target", "classes", "license", "source"}


@pytest.mark.parametrize("name", datasets.names())
def test_a_table_to_standard_output_and_to_a_file(run, name):
    assert run("data", name) == (0, datasets.csv_text(name), "")
    code, out, err = run("data", name, "-o", "F.csv")
    assert (code, err) == (0, "")
    assert out.startswith(f"{datasets.describe(name).rows:,} rows written to F.csv")
    assert datasets.describe(name).license in out
    assert read("F.csv") == datasets.csv_text(name)


def test_json(run):
    code, out, err = run("data", "iris", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["csv"] == datasets.csv_text("iris")
    code, out, err = run("data", "iris", "-o", "F.csv", "--json")
    assert json.loads(out)["file"] == "F.csv"
    assert "csv" not in json.loads(out)
    assert err.startswith("150 rows written")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data", "irs"), "Did you mean iris?"),
        (("data", "[red]\x1b[31m"), r"unknown data set '[red]\x1b[31m'"),
        (("data", "iris", "-o", "there.csv"), "'there.csv' exists already"),
        (("data", "iris", "-o", "."), "it is a folder"),
        (("data", "iris", "-o", "none/F.csv"), "cannot write 'none/F.csv'"),
        (("data", "iris", "-o", "there.csv/F.csv"), "cannot write 'there.csv/F.csv'"),
        (("data", "iris", "-o"), "needs a value"),
        (("data", "iris", "wine"), "'wine' is one argument too many"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(run, arguments, message):
    with open("there.csv", "w", encoding="utf-8") as stream:
        stream.write("mine")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("payback: ")
    assert err.count("\n") == 1
    assert message in err
    assert "\x1b" not in err
    assert os.listdir() == ["there.csv"]
    assert read("there.csv") == "mine"


def test_overwrite(run):
    run("data", "iris", "-o", "F.csv")
    assert run("data", "wine", "-o", "F.csv")[0] == 2
    assert read("F.csv") == datasets.csv_text("iris")
    assert run("data", "wine", "-o", "F.csv", "--overwrite")[0] == 0
    assert read("F.csv") == datasets.csv_text("wine")
