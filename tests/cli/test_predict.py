"""`payback predict` and `payback evaluate`: a saved model on other rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import stat

import numpy as np
import pytest

import amount
import payback as pb
from cli.program import good
from payback import datasets
from payback.cli import main
from payback.tabular import read_csv
from payback.train.table import TableModel

COLORS = ["red", "green", "blue"]
CLASSES = "a,c,y\n" + "".join(
    f"{i * 37 % 71 / 10},{COLORS[i % 3]},{'[yes], /' if i % 2 else 'no'}\n" for i in range(60)
)
CLASSES = CLASSES.replace("[yes], /", '"[yes], /"')
VALUES = "a,b,u,v\n" + "".join(f"{i},{i * 7 % 11},{2 * i},{i - 3 * (i * 7 % 11)}\n" for i in range(60))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a model of classes, one of two values, and their tables."""
    folder = tmp_path_factory.mktemp("home")
    before = os.getcwd()
    os.chdir(folder)
    try:
        (folder / "classes.csv").write_text(CLASSES, encoding="utf-8")
        (folder / "values.csv").write_text(VALUES, encoding="utf-8")
        assert main(["train", "classes.csv", "--epochs", "20", "--out", "classes"]) == 0
        assert main(["train", "values.csv", "--target", "u,v", "--epochs", "20", "--out", "values"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(run, home, capsys, tmp_path):
    """The same in a copy of that folder."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    capsys.readouterr()
    return run


@pytest.mark.parametrize("packed", [False, True])
def test_a_dash_is_standard_input(run, monkeypatch, packed):
    data = CLASSES.encode()
    stream = io.TextIOWrapper(io.BytesIO(gzip.compress(data) if packed else data), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stream)
    assert good(run, "predict", "classes", "-") == good(run, "predict", "classes", "classes.csv")
    code, _, err = run("predict", "classes", "-")  # it has been read
    assert (code, err) == (2, "payback: '<stdin>' is empty: a table needs a line of names and rows of data.\n")
    code, _, err = run("predict", "classes", "classes.csv", "-o", "-")
    assert (code, err) == (2, "payback: the option -o needs a value. Write -o VALUE.\n")


def test_many_rows_are_predicted_block_by_block(run, monkeypatch):
    whole = cells(good(run, "predict", "values", "values.csv"))
    given = []
    network = type(TableModel.load("values").net)
    call = network.__call__
    monkeypatch.setattr(network, "__call__", lambda net, x: (given.append(len(x)), call(net, x))[1])
    monkeypatch.setattr("payback.train.table._ROWS", 25)
    in_blocks = cells(good(run, "predict", "values", "values.csv"))
    assert given == [25, 25, 10]
    assert in_blocks[0] == whole[0]
    np.testing.assert_allclose(np.array(in_blocks[1:], float), np.array(whole[1:], float), rtol=1e-6)


def cells(text):
    return list(csv.reader(io.StringIO(text)))


def write(name, text):
    with open(name, "w", encoding="utf-8") as stream:
        stream.write(text)


def test_a_row_for_each_row(run):
    header, *rows = cells(good(run, "predict", "classes", "classes.csv"))
    model, table = TableModel.load("classes"), read_csv("classes.csv")
    assert header == ["predicted_y"]
    assert [row[0] for row in rows] == model.decode(model.outputs(table)).tolist()
    assert {row[0] for row in rows} <= {"no", "[yes], /"}


def test_the_target_need_not_be_there_and_columns_may_stand_in_another_order(run):
    rows = ["c;other;a"] + [f"{c};x;{a}" for a, c, _ in cells(CLASSES)[1:]]
    write("t.csv", "\n".join(rows).replace(".", ","))
    assert good(run, "predict", "classes", "t.csv") == good(run, "predict", "classes", "classes.csv")


def test_one_row(run):
    write("t.csv", "a,c\n1.5,red\n")
    assert len(cells(good(run, "predict", "classes", "t.csv"))) == 2


def test_probabilities_sum_to_1(run):
    header, *rows = cells(good(run, "predict", "classes", "classes.csv", "--proba"))
    assert header == ["predicted_y", "probability_[yes], /", "probability_no"]
    numbers = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_allclose(numbers.sum(axis=1), 1, rtol=1e-12)
    assert ((numbers >= 0) & (numbers <= 1)).all()
    assert [row[0] for row in rows] == [["[yes], /", "no"][int(p[1] > p[0])] for p in numbers]


def test_values_in_the_tables_units(run):
    header, *rows = cells(good(run, "predict", "values", "values.csv"))
    assert header == ["predicted_u", "predicted_v"]
    model = TableModel.load("values")
    expected = model.decode(model.outputs(read_csv("values.csv")))
    np.testing.assert_array_equal(np.array(rows, float), expected)


def test_into_a_file(run):
    expected = good(run, "predict", "classes", "classes.csv", "--proba")
    out = good(run, "predict", "classes", "classes.csv", "--proba", "-o", "p.csv")
    assert out == "60 predictions written to p.csv\n"
    with open("p.csv", encoding="utf-8", newline="") as stream:
        assert stream.read() == expected
    code, out, err = run("predict", "classes", "values.csv", "-o", "p.csv")
    assert (code, out) == (2, "")
    assert "the file exists already (p.csv)" in err
    good(run, "predict", "classes", "classes.csv", "-o", "p.csv", "--overwrite")
    with open("p.csv", encoding="utf-8") as stream:
        assert stream.readline() == "predicted_y\n"


def test_the_file_has_the_permissions_that_the_umask_leaves(run):
    before = os.umask(0o077)
    try:
        good(run, "predict", "classes", "classes.csv", "-o", "p.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("p.csv").st_mode) == 0o600


def test_json(run):
    code, out, err = run("predict", "classes", "classes.csv", "--proba", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["rows"] == 60
    assert set(found["predictions"]) == {"predicted_y", "probability_[yes], /", "probability_no"}
    assert all(len(column) == 60 for column in found["predictions"].values())
    code, out, err = run("predict", "values", "values.csv", "-o", "p.csv", "--json")
    assert json.loads(out)["file"] == "p.csv"
    assert err == "60 predictions written to p.csv\n"


def test_missing_cells_where_training_had_none_are_noted_beside_the_data(run):
    write("t.csv", "a,c\n1.5,red\n?,red\n")
    code, out, err = run("predict", "classes", "t.csv")
    assert code == 0
    assert len(cells(out)) == 3
    assert err.startswith("note: ")
    assert err.count("\n") == 1


def test_unseen_categories_are_read_as_none_if_that_is_asked_for(run):
    write("t.csv", "a,c\n1.5,pink\n1.5,?\n")
    code, _, err = run("predict", "classes", "t.csv")
    assert code == 2
    assert "unseen category 'pink' in column 'c' (t.csv, line 2)" in err
    assert err.endswith("or write ? if the value is missing, or add --unseen none.\n")
    code, out, err = run("predict", "classes", "t.csv", "--proba", "--unseen", "none")
    assert code == 0
    assert cells(out)[1] == cells(out)[2]
    assert "1 cell of 'c' with categories not seen in training" in err


def test_an_accuracy_is_told_beside_what_one_answer_has(run):
    write("t.csv", "a,c,y\n1.5,red,no\n2.5,red,no\n3.5,green,no\n3.5,red,perhaps\n")
    found = json.loads(run("evaluate", "classes", "t.csv", "--json")[1])
    assert found["always"] == {"class": "no", "accuracy": 0.75}
    row = found["confusion"][found["classes"].index("no")]
    assert found["balanced_accuracy"] == max(row) / 3 if found["accuracy"] > 0.3 else min(row) / 3
    assert "; always no: 75.00 %" in good(run, "evaluate", "classes", "t.csv")


def test_evaluate_agrees_with_the_test_of_the_training(run):
    _, out, _ = run("train", "iris", "--epochs", 3, "--test", 0.3, "--out", "m", "--json")
    trained = json.loads(out)
    model = TableModel.load("m")
    table = read_csv("classes.csv")
    good(run, "data", "iris", "-o", "iris.csv")
    table = read_csv("iris.csv")
    assert trained["rows"]["test"] == 45
    found = json.loads(run("evaluate", "m", "iris.csv", "--json")[1])
    predicted = model.decode(model.outputs(table))
    assert found["accuracy"] == pytest.approx(np.mean(predicted == np.array(table.column("species").values)))
    out = good(run, "evaluate", "m", "iris")
    assert f"table     accuracy {100 * found['accuracy']:.2f} % (" in out
    assert "confusion matrix" in out
    assert np.sum(found["confusion"]) == 150


def test_evaluate_values(run):
    out = good(run, "evaluate", "values", "values.csv")
    assert "table     RMSE of u " in out
    found = json.loads(run("evaluate", "values", "values.csv", "--json")[1])
    predicted = np.array(cells(good(run, "predict", "values", "values.csv"))[1:], float)
    true = np.array([row[2:] for row in cells(VALUES)[1:]], float)
    np.testing.assert_allclose(found["rmse"], np.sqrt(((predicted - true) ** 2).mean(axis=0)), rtol=1e-9)
    share = 1 - ((predicted - true) ** 2).sum(axis=0) / ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found["r2"], share, rtol=1e-9)


def test_evaluate_equal_values(run):
    write("t.csv", "a,b,u,v\n1,2,3,4\n2,5,3,5\n")
    out = good(run, "evaluate", "values", "t.csv")
    assert "R² undefined, for the true values are all equal (2 rows)" in out
    assert json.loads(run("evaluate", "values", "t.csv", "--json")[1])["r2"][0] is None


def test_evaluate_classes_and_categories_that_training_did_not_have(run):
    write("t.csv", "a,c,y\n1.5,red,no\n2.5,pink,no\n3.5,red,perhaps\n")
    code, out, err = run("evaluate", "classes", "t.csv")
    assert code == 0
    assert "1 row is of a class that the model does not know" in out
    assert err.startswith("note: 1 cell of 'c' with categories not seen in training")


BAD = [
    ("predict classes nothing.csv", "there is no file 'nothing.csv'"),
    ("predict nothing classes.csv", "this is not a model folder (nothing): there is no such folder"),
    ("predict classes.csv classes.csv", "it is a file"),
    ("predict . classes.csv", "there is no model.json (.)"),
    ("predict foreign classes.csv", "model.json is not payback's (foreign/model.json)"),
    ("predict truncated classes.csv", "model.json is damaged or not payback's (truncated/model.json)"),
    ("predict flipped classes.csv", "model.safetensors is damaged or belongs to another model (flipped/model.safe"),
    ("predict plain classes.csv", "the model was not trained on a table (plain)"),
    ("predict classes unseen.csv", "unseen category 'pink' in column 'c' (unseen.csv, line 3)"),
    ("predict classes text.csv", "'big' is not a number"),
    (
        "predict classes short.csv",
        "there is no column 'c' (short.csv): its columns are 'a', and the training had it. Add it, with ?",
    ),
    ("predict classes ragged.csv", "(ragged.csv, line 3)"),
    ("predict classes far.csv", "column 'a'"),
    (
        "predict values values.csv --proba",
        "a model of values has no probabilities: only classes have. Leave --proba away",
    ),
    ("predict classes classes.csv -o classes.csv", "the file exists already (classes.csv)"),
    ("predict classes classes.csv -o classes", "the file cannot be written (classes): it is a folder"),
    ("predict classes classes.csv -o none/p.csv", "the file cannot be written (none/p.csv)"),
    ("predict classes classes.csv -o values.csv/p.csv", "the file cannot be written (values.csv/p.csv)"),
    ("predict classes", "TABLE is missing"),
    ("evaluate classes short.csv", "there is no column 'c'"),
    ("evaluate classes unlabeled.csv", "there is no column 'y' (unlabeled.csv)"),
    ("evaluate classes missing.csv", "1 missing value in the target 'y' (missing.csv, line 3)"),
    ("evaluate nothing classes.csv", "there is no such folder"),
    ("evaluate flipped classes.csv", "model.safetensors is damaged"),
]


def make_bad_files():
    write("unseen.csv", "a,c\n1,red\n1,pink\n")
    write("text.csv", "a,c\nbig,red\n")
    write("short.csv", "a\n1\n2\n")
    write("ragged.csv", "a,c\n1,red\n1\n")
    write("far.csv", "a,c\n1e308,red\n1e309,blue\n")
    write("unlabeled.csv", "a,c\n1,red\n")
    write("missing.csv", "a,c,y\n1,red,no\n1,red,?\n")
    os.mkdir("foreign")
    write("foreign/model.json", '{"format": "keras"}')
    for name, file in (("truncated", "model.json"), ("flipped", "model.safetensors")):
        shutil.copytree("classes", name)
        with open(f"{name}/{file}", "r+b") as stream:
            if name == "truncated":
                stream.truncate(200)
            else:
                stream.seek(-5, os.SEEK_END)
                byte = stream.read(1)[0]
                stream.seek(-5, os.SEEK_END)
                stream.write(bytes([byte ^ 1]))
    X = np.ones((4, 2))
    pb.fit(pb.nn.MLP([2, 1]), X, X[:, 0], epochs=1, validation=0).save("plain")


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[arguments for arguments, _ in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(run, arguments, message):
    make_bad_files()
    before = {path: os.path.getmtime(path) for path in os.listdir()}
    code, out, err = run(*arguments.split())
    assert (code, out) == (2, ""), (out, err)
    assert err.startswith("payback: ")
    assert err.count("\n") == 1
    assert message in err
    assert {path: os.path.getmtime(path) for path in os.listdir()} == before
    code, out, err = run(*arguments.split(), "--json")
    assert json.loads(out)["error"]["message"] in err.removeprefix("payback: ")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "history.jsonl"])
def test_a_flipped_bit_anywhere_is_refused(run, name):
    with open(f"classes/{name}", "rb") as stream:
        data = stream.read()
    drawn = np.random.default_rng(0)
    for place in drawn.integers(0, 8 * len(data), amount.cases(15, 60, 300)).tolist():
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        with open(f"classes/{name}", "wb") as stream:
            stream.write(changed)
        for command in (["predict", "classes", "classes.csv"], ["show", "classes"]):
            code, out, err = run(*command)
            assert (code, out, err.count("\n")) == (2, "", 1), (place, out, err)
            assert err.startswith("payback: ")


@pytest.mark.parametrize("name", datasets.names())
def test_train_predict_and_evaluate_go_together(run, name):
    good(run, "train", name, "--epochs", 2, "--out", "m")
    predicted = [row[0] for row in cells(good(run, "predict", "m", name))[1:]]
    found = json.loads(run("evaluate", "m", name, "--json")[1])
    known = datasets.describe(name)
    true = [row[-1] for row in cells(datasets.csv_text(name))[1:]]
    assert len(predicted) == found["rows"] == known.rows
    assert found["accuracy"] == pytest.approx(np.mean(np.array(predicted) == np.array(true)))
