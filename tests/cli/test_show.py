"""`payback show`: the composite function that a model is, and how it came about."""

from __future__ import annotations

import hashlib
import json
import os
import re

import numpy as np
import pytest

import payback as pb
from cli.program import LINE, good
from payback.cli import main


def test_the_function_and_the_shape_of_each_weight(run):
    good(run, "train", "iris", "--hidden", "8,5", "--epochs", 2, "--seed", 1, "--out", "m")
    lines = good(run, "show", "m").splitlines()
    assert lines[0] == "y = W₃·relu(W₂·relu(W₁·x+b₁)+b₂)+b₃"
    assert [line.split() for line in lines[1:8]] == [
        ["shape", "parameters"], ["W₁", "8×4", "32"], ["b₁", "8", "8"], ["W₂", "5×8", "40"], ["b₂", "5", "5"],
        ["W₃", "3×5", "15"], ["b₃", "3", "3"],
    ]  # fmt: skip
    assert lines[8] == "103 parameters in all; W1[i,j] in explain and account leads from input i to output j"
    assert lines[9] == "x         sepal_length, sepal_width, petal_length, petal_width"
    assert lines[10] == "y         species: one of setosa, versicolor, virginica"
    assert lines[11] == "trained   on iris: 2 epochs, stopped: epochs"
    assert "confusion matrix" in "\n".join(lines)


def test_what_it_shows_of_the_test_is_what_the_training_printed(run):
    trained = good(run, "train", "wine", "--epochs", 2, "--out", "m")
    shown = good(run, "show", "m")
    assert trained[trained.index("test ") : trained.index("model ")] == shown[shown.index("test ") :]


def test_a_model_whose_test_had_equal_values(run):
    with open("t.csv", "w", encoding="utf-8") as stream:
        stream.write("a,y\n" + "".join(f"{i},{1.5 if i < 4 else 0.5}\n" for i in range(12)))
    for seed in range(20):
        options = ("--task", "regress", "--test", 0.2, "--epochs", 1, "--seed", seed, "--out", f"m{seed}")
        if "undefined" in good(run, "train", "t.csv", *options):
            break
    assert "R² undefined, for the true values are all equal" in good(run, "show", f"m{seed}")
    assert json.loads(run("show", f"m{seed}", "--json")[1])["test"]["r2"] == [None]


def test_a_line(run):
    with open("t.csv", "w", encoding="utf-8") as stream:
        stream.write("x,y\n" + "".join(f"{i},{3 - 2 * i}\n" for i in range(12)))
    trained = good(run, "train", "t.csv", *LINE, "--out", "m")
    line = re.search(r"line      y = .*", trained)[0]
    assert line in good(run, "show", "m").splitlines()
    assert line == "line      y = -2·x + 3"


def test_columns_left_out(run):
    with open("t.csv", "w", encoding="utf-8") as stream:
        stream.write("a,same,y\n" + "".join(f"{i},5,{i % 2}\n" for i in range(60)))
    good(run, "train", "t.csv", "--epochs", 1, "--out", "m")
    assert "left out  same: it is constant" in good(run, "show", "m")


def test_json(run):
    good(run, "train", "iris", "--hidden", "8", "--epochs", 2, "--out", "m")
    code, out, err = run("show", "m", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["function"] == "y = W₂·relu(W₁·x+b₁)+b₂"
    assert found["weights"][0] == {"name": "W₁", "shape": [8, 4]}
    assert found["parameters"] == 67
    assert found["classes"] == ["setosa", "versicolor", "virginica"]
    assert found["stopped"] == "epochs"
    assert 0 <= found["test"]["accuracy"] <= 1
    assert err.startswith("y = W₂·relu(W₁·x+b₁)+b₂\n")


def test_a_model_saved_from_python(run):
    X = np.ones((6, 2, 3))
    net = pb.nn.Sequential(pb.nn.Flatten(), pb.nn.MLP([6, 4, 1], "tanh"))
    pb.fit(net, X, X[:, 0, 0], epochs=1, validation=0).save("m")
    lines = good(run, "show", "m").splitlines()
    assert lines[0] == "y = W₂·tanh(W₁·flatten(x)+b₁)+b₂"
    assert lines[-1].startswith("33 parameters in all; W1[i,j]")


def test_a_model_of_classes_that_are_not_paybacks(run):
    class Own(pb.nn.Module):
        factor: np.ndarray

        def __call__(self, x):
            return x * self.factor

    X = np.ones((6, 1))
    pb.fit(Own(np.ones(1)), X, X, epochs=1, validation=0).save("m")
    code, out, err = run("show", "m")
    assert (code, out) == (2, "")
    assert "the model is a Own (m): its code is not in the file" in err


def test_no_model(run):
    code, out, err = run("show", "m")
    assert (code, out) == (2, "")
    assert err.startswith("payback: this is not a model folder (m): there is no such folder. Give the folder that")
    os.mkdir("m")
    assert "there is no model.json (m)" in run("show", "m")[2]
    assert main(["train", "iris", "--epochs", "1", "--record", "r", "--out", "both"]) == 0
    err = run("show", "r")[2]
    assert err.startswith("payback: this is not a model folder (r): it is a recorded training. Look at it with payback")
    assert "there is no run.json (both): it is a model." in run("account", "both", "W1[0,0]")[2]


@pytest.mark.parametrize(
    "extra",
    [
        {"test": []},
        {"test": {"accuracy": 1.0}},
        {"test": {"rows": "many"}},
        {"line": "y = x"},
        {"recipe": 3},
        {"epochs": "two"},
        {"table": {}},
        {"table": {"encoder": None, "target": None}},
        {"table": 3},
    ],
    ids=str,
)
def test_a_document_that_was_made_up_is_refused_too(run, extra):
    """Its digest agrees: whoever made it wanted it to be read."""
    good(run, "train", "iris", "--epochs", 1, "--out", "m")
    with open("m/model.json", encoding="utf-8") as stream:
        document = json.load(stream)
    document["extra"].update(extra)
    document["digest"] = "0" * 64
    text = json.dumps(document)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with open("m/model.json", "w", encoding="utf-8") as stream:
        stream.write(digest.join(text.rsplit("0" * 64, 1)))
    code, _, err = run("show", "m")
    assert code == 2
    assert err.startswith("payback: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", []), ("classes", ["a"]), ("confusion", []), ("confusion", [[1], [2], [3]]), ("accuracy", 1e308),
        ("accuracy", None), ("rows", -1), ("targets", ["y"]), ("rmse", [1.0]),
    ],
)  # fmt: skip
def test_a_test_that_somebody_made_up(run, name, value):
    good(run, "train", "iris", "--hidden", "none", "--epochs", 1, "--out", "m")
    with open("m/model.json", encoding="utf-8") as stream:
        document = json.load(stream)
    document["extra"]["test"][name] = value
    document["digest"] = "0" * 64
    text = json.dumps(document)
    place = text.rindex("0" * 64)
    seal = hashlib.sha256(text.encode()).hexdigest()
    with open("m/model.json", "w", encoding="utf-8") as stream:
        stream.write(text[:place] + seal + text[place + 64 :])
    code, _, err = run("show", "m")
    assert code == 2
    assert err.startswith("payback: what model.json tells of the training is wrong (m): ")
