"""`payback train`: from a table on disk to a trained network."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

import amount
import payback as pb
from cli.program import LINE, good
from payback import datasets
from payback.io import model as model_files
from payback.tabular import table_from_text
from payback.trace.tree import leaves
from payback.train import table as training
from payback.train.recipe import Recipe
from payback.train.table import TableModel, prepare

QUICK = ("--epochs", "3")


def write(name, text):
    with open(name, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
    return name


def table(rows, names="a,c,y", n=60):
    return "\n".join([names, *(rows(i) for i in range(n))]) + "\n"


def mixed(i):
    return f"{i * 37 % 71 / 10},{['red', 'green', 'blue'][i % 3]},{'yes' if i * 37 % 71 > 30 else 'no'}"


def bits(folder):
    return [p.tobytes() for p in leaves(pb.load(folder))]


# What it prints


@pytest.mark.parametrize("name", datasets.names())
def test_every_table_that_payback_carries(run, name):
    out = good(run, "train", name, *QUICK)
    known = datasets.describe(name)
    assert f"{name}: {known.rows:,} rows, {known.inputs + 1} columns" in out
    assert f"target    {known.target} (the last column): {known.classes} classes" in out
    assert re.search(
        r"test      accuracy \d+\.\d\d % \(\d+ of \d+ rows\), balanced \d+\.\d\d %; always \w+: \d+\.\d\d %\n", out
    )
    assert "confusion matrix: rows are true classes, columns predicted ones" in out
    assert out.endswith("model not saved: add --out DIR\n")
    assert os.listdir() == []


def test_what_it_found_is_told(run):
    text = table(
        lambda i: f"{'' if i == 4 else i / 7},{i % 2 == 0},n{i},7,{mixed(i).split(',')[2]}", "size,ok,id,same,kind"
    )
    write("t.csv", text)
    out = good(run, "train", "t.csv", *QUICK)
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert "numeric" in rows["size"]
    assert "  1  " in rows["size"]
    assert "boolean" in rows["ok"]
    assert "left out" in rows["id"]
    assert "left out: it is constant" in rows["same"]
    assert rows["kind"].endswith("target")
    assert "1 missing cell\n" in out


def test_columns_left_out_categorical_ones_and_marks_of_missing_values(run):
    text = table(lambda i: f"{-99 if i % 9 == 4 else i % 7},{i % 4 + 10},{i},{i % 3 + 1}", "size,zip,row of,grade")
    write("t.csv", text)
    out = good(run, "train", "t.csv", *QUICK, "--without", "row of", "--categorical", "zip", "--missing", "-99,n. s.",
               "--out", "m")  # fmt: skip
    rows = {line.split("  ")[0]: line for line in out.splitlines() if line}
    assert rows["row of"].endswith("left out: as asked for")
    assert "categorical" in rows["zip"]
    assert "0 … 6" in rows["size"]
    assert "cells with '-99', 'n. s.' taken as missing" in out
    assert "target    grade (the last column): 3 classes; if these are amounts, add --task regress" in out
    encoder = TableModel.load("m").encoder
    assert encoder.feature_names_out == ["size", "size is missing", "zip=10", "zip=11", "zip=12", "zip=13"]
    write("new.csv", "size,zip\n-99,10\n?,10\n-98,10\n")
    code, told, err = run("predict", "m", "new.csv", "--proba")
    lines = told.splitlines()
    assert (code, lines[1] == lines[2], lines[1] == lines[3]) == (0, True, False)
    assert "1 cell of 'size' lies far beyond the 0 … 6 of training (-98)" in err
    for wrong, said in (
        (("--hidden", "none", "--pieces", "4"), "numbers in pieces for a linear model"),
        (("--pieces", "-1"), "the option --pieces is -1"),
        (("--without", "grade"), "column 'grade' is the target and left out"),
        (("--without", "sise"), "there is no column 'sise' (t.csv)"),
        (("--without", "size,zip,row of"), "there is no column to predict from (t.csv): all others are left out"),
        (("--categorical", "sip"), "there is no column 'sip'"),
    ):
        code, _, err = run("train", "t.csv", *wrong)
        assert (code, said in err) == (2, True), err


def test_the_network_and_its_training_are_told(run):
    out = good(
        run,
        "train",
        "iris",
        *QUICK,
        "--hidden",
        "8,5",
        "--activation",
        "tanh",
        "--optimizer",
        "nesterov",
        "--lr",
        0.02,
        "--batch-size",
        16,
        "--seed",
        4,
    )
    assert "network   y = W₃·tanh(W₂·tanh(W₁·x+b₁)+b₂)+b₃: 4 → 8 → 5 → 3, 103 parameters, float32" in out
    assert "training  nesterov, step length 0.02" in out
    assert "16 rows a step, at most 3 epochs, seed 4" in out
    assert re.search(r"trained   3 epochs in [\d.]+ s, cost [\d.]+ → [\d.]+; stopped: epochs", out)
    assert "rows      120 to train on, 30 to test" in out


OPTIONS = dict(dropout=0.25, clip_norm=0.5, class_weight={"versicolor": 4.0, "setosa": 0.5})


@pytest.mark.parametrize(
    ("given", "weight"), [("versicolor=4, setosa=0.5", OPTIONS["class_weight"]), ("balanced", "balanced")]
)
def test_dropout_clipping_and_weights_of_classes_are_those_of_fit(run, given, weight):
    told = ("--dropout", 0.25, "--clip-norm", 0.5, "--class-weight", given, "--valid", 0.2, "--seed", 2)
    out = good(run, "train", "iris", *QUICK, *told, "--out", "m")
    assert "dropout 0.25, gradients of norm 0.5 at most, classes weighted: " in out
    iris = table_from_text(datasets.csv_text("iris"), "iris")
    recipe = Recipe(epochs=3, valid=0.2, **OPTIONS | {"class_weight": weight})
    prepared = prepare(iris, ["species"], recipe=recipe, seed=2)
    model, recipe = prepared.model, prepared.recipe
    X, held = (model.encoder.transform(iris, rows) for rows in (prepared.train, prepared.valid))
    y, held_y = (model.target.encode(iris, rows) for rows in (prepared.train, prepared.valid))
    assert [layer.rate for layer in model.net.layers if isinstance(layer, pb.nn.Dropout)] == [0.25]
    by_number = weight if weight == "balanced" else {0: 0.5, 1: 4.0}
    optimizer = recipe.make_optimizer()
    plain = pb.fit(model.net, X, y, optimizer=optimizer, epochs=3, batch_size=recipe.batch_size,
                   validation=(held, held_y), patience=20, class_weight=by_number, seed=2)  # fmt: skip
    assert optimizer.clip_norm == 0.5
    assert bits("m") == [p.tobytes() for p in leaves(plain.net)]
    assert "dropout 0.25" in good(run, "show", "m")


def test_a_table_of_many_columns_is_told_by_kinds(run):
    out = good(run, "train", "digits", *QUICK)
    assert "columns  kind" in out
    assert "pixel_0_0 left out: it is constant" in out
    assert "pixel_3_3" not in out


def test_regression_prints_rmse_and_r2(run):
    write("t.csv", table(lambda i: f"{i},{(i * 7) % 11},{2 * i + (i * 7) % 11 / 3:.3f}"))
    out = good(run, "train", "t.csv", *QUICK)
    assert "target    y (the last column): a number" in out
    assert re.search(r"test      RMSE [\d.]+, R² -?[\d.]+ \(12 rows\)", out)


# The table's form


@pytest.mark.parametrize(
    "text",
    [
        table(mixed),
        table(mixed).replace(",", ";"),
        table(mixed).replace(",", "\t"),
        "\ufeff" + table(mixed),
        table(mixed).replace("\n", "\r\n"),
        re.sub(r"(\w+)$", r'"\1"', table(mixed), flags=re.MULTILINE),
        re.sub(r"(\d)\.(\d)", r"\1,\2", table(mixed).replace(",", ";")),
    ],
    ids=["plain", "semicolons", "tabs", "byte-order mark", "windows", "quotes", "decimal commas"],
)
def test_the_same_table_in_other_forms_gives_the_same_model(run, text, tmp_path):
    write("plain.csv", table(mixed))
    write("t.csv", text)
    good(run, "train", "plain.csv", *QUICK, "--out", "plain")
    good(run, "train", "t.csv", *QUICK, "--out", "m")
    assert bits("m") == bits("plain")


def test_a_quoted_cell_may_hold_the_delimiter_and_a_line_break(run):
    write(
        "t.csv", table(lambda i: f'{i * 37 % 71},"{"a,b" if i % 2 else "c" + chr(10) + "d"}",{mixed(i).split(",")[2]}')
    )
    good(run, "train", "t.csv", *QUICK, "--out", "m")
    assert TableModel.load("m").encoder.feature_names_out == ["a", "c=a,b", "c=c\nd"]


def test_delimiter_and_decimal_can_be_said(run):
    write("t.csv", table(mixed).replace(",", ":"))
    out = good(run, "train", "t.csv", *QUICK, "--delimiter", ":", "--decimal", ".")
    assert "60 rows, 3 columns" in out


def test_one_target_several_and_none(run):
    write("t.csv", table(lambda i: f"{i},{i * 7 % 11}.5,{i * 3 % 7}.25"))
    assert "target    y (the last column)" in good(run, "train", "t.csv", *QUICK)
    out = good(run, "train", "t.csv", *QUICK, "--target", "a")
    assert "target    a: a number" in out
    assert "last column" not in out
    out = good(run, "train", "t.csv", *QUICK, "--target", "a, y")
    assert "target    a, y: 2 numbers" in out
    assert "RMSE of a " in out
    assert "RMSE of y " in out


def test_a_target_whose_name_has_a_comma(run):
    write("t.csv", table(lambda i: f"{i},{i * 3 % 7}.25", '"a","b, c"'))
    assert "target    b, c: a number" in good(run, "train", "t.csv", *QUICK, "--target", "b, c")


def test_the_task_can_be_said(run):
    write("t.csv", table(lambda i: f"{i * 37 % 71},{i % 3},{i % 2}"))
    assert "2 classes" in good(run, "train", "t.csv", *QUICK)
    assert "a number" in good(run, "train", "t.csv", *QUICK, "--task", "regress")
    assert "2 classes" in good(run, "train", "t.csv", *QUICK, "--task", "classify")


def test_columns_left_out_are_said(run):
    write("t.csv", table(lambda i: f"{i * 37 % 71},n{i * 7919 % 1009},{5},{mixed(i).split(',')[2]}", "a,name,same,y"))
    code, out, err = run("train", "t.csv", *QUICK, "--json")
    assert code == 0
    left_out = json.loads(out)["left_out"]
    assert set(left_out) == {"name", "same"}
    for name, why in left_out.items():
        assert re.search(rf"{name} .*left out: {re.escape(why)}", err)


# What it makes


def test_skewed_columns_are_said_and_a_line_has_none(run, tmp_path):
    rows = [f"{4.0 ** (k % 13)},{k % 7},{'ab'[k % 3 > 1]}" for k in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["money,day,kind", *rows]))
    told = good(run, "train", "t.csv", *QUICK, "--out", "m")
    assert re.search(r"\nmoney .*skewed: its logarithm is a column too", told)
    assert told.count("skewed") == 1
    assert TableModel.load("m").encoder.feature_names_out == ["money", "log(money)", "day"]
    assert "skewed" not in good(run, "train", "t.csv", *QUICK, "--hidden", "none")
    told = good(run, "train", "t.csv", *QUICK, "--pieces", "3", "--out", "cut")
    assert "pieces    columns of numbers are given in up to 3 pieces too" in told
    assert len(TableModel.load("cut").encoder.feature_names_out) == 9
    assert "predicted" in good(run, "predict", "cut", "t.csv").splitlines()[0]


def test_a_linear_model(run):
    out = good(run, "train", "iris", *QUICK, "--hidden", "none")
    assert "network   y = W₁·x+b₁: 4 → 3, 15 parameters" in out


def line_tables():
    for seed in range(amount.cases(4, 10, 40)):
        drawn = np.random.default_rng(seed)
        middle, spread, scale = [(0, 1, 1), (1e6, 10, 1e-3), (-1e3, 1e-2, 1e4), (3e-4, 1e-4, 1e-3)][seed % 4]
        x = middle + spread * drawn.normal(size=int(drawn.integers(3, 80)))
        k, b = drawn.normal(size=2) * scale / np.array([spread, 1])
        yield x, k * (x - middle) + b + 0.1 * scale * drawn.normal(size=len(x))


@pytest.mark.parametrize(("x", "y"), list(line_tables()), ids=lambda values: f"{values[0]:.3g}")
def test_a_line_agrees_with_least_squares(run, x, y, monkeypatch):
    expected = np.linalg.lstsq(np.stack([x - x.mean(), np.ones(len(x))], 1), y, rcond=None)[0]
    k, b = expected[0], expected[1] - expected[0] * x.mean()

    def no_least_squares(*arguments, **options):
        raise AssertionError("a least-squares routine was called")

    for name in ("lstsq", "solve", "pinv", "inv", "qr", "svd"):
        monkeypatch.setattr(np.linalg, name, no_least_squares)
    monkeypatch.setattr(np, "polyfit", no_least_squares)
    write("LINE.csv", "x,y\n" + "".join(f"{a!r},{c!r}\n" for a, c in zip(x.tolist(), y.tolist(), strict=True)))
    out = good(run, "train", "LINE.csv", *LINE, "--out", "m")
    found = re.search(r"^line      y = (\S+)·x ([+-]) (\S+)$", out, re.MULTILINE)
    assert float(found[1]) == pytest.approx(k, rel=1e-6)
    assert float(found[2] + found[3]) == pytest.approx(b, rel=1e-6, abs=1e-6 * abs(y).max())
    with open("m/history.jsonl", encoding="utf-8") as stream:
        costs = [json.loads(line)["loss"] for line in stream]
    assert len(costs) >= 2
    assert (np.diff(costs) <= 0).all()
    assert costs[-1] < costs[0]
    assert re.search(r"stopped: (gradient norm|change of cost)", out)


def test_the_line_of_several_columns_has_their_names(run):
    write("t.csv", table(lambda i: f"{i},{i * i % 17},{3 * i - 2 * (i * i % 17) + 5}", "size [cm],b,price"))
    out = good(run, "train", "t.csv", *LINE)
    assert "line      price = 3·size [cm] - 2·b + 5\n" in out


def test_starts_print_their_costs_and_the_lowest_is_kept(run):
    out = good(run, "train", "moons", *QUICK, "--starts", 5, "--seed", 20, "--out", "m")
    rows = re.findall(r"^ +(\d+) +([\d.]+)  epochs( +kept)?$", out, re.MULTILINE)
    assert [int(seed) for seed, _, _ in rows] == [20, 21, 22, 23, 24]
    costs = [float(cost) for _, cost, _ in rows]
    assert len(set(costs)) == 5
    assert [bool(kept) for _, _, kept in rows] == [cost == min(costs) for cost in costs]
    with open("m/history.jsonl", encoding="utf-8") as stream:
        assert json.loads(stream.readlines()[-1])["loss"] == pytest.approx(min(costs), rel=1e-5)


def test_a_table_by_name_and_as_a_file_give_the_same_model(run):
    good(run, "data", "wine", "-o", "F.csv")
    good(run, "train", "wine", *QUICK, "--out", "by-name")
    good(run, "train", "F.csv", *QUICK, "--out", "by-file")
    assert bits("by-name") == bits("by-file")


def test_the_seed_decides(run):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        good(run, "train", "iris", *QUICK, "--seed", seed, "--out", folder)
    assert bits("a") == bits("b")
    assert bits("a") != bits("c")


def test_out_writes_three_files(run):
    out = good(run, "train", "iris", *QUICK, "--out", "deep/m")
    assert out.endswith("model     saved in deep/m\n")
    assert set(os.listdir("deep/m")) == {"model.safetensors", "model.json", "history.jsonl"}
    with open("deep/m/history.jsonl", encoding="utf-8") as stream:
        assert len(stream.readlines()) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_a_model_that_finds_no_room_is_kept_elsewhere(run, monkeypatch, tmp_path):
    import resource

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    write, calls = model_files.write_files, []

    def first_fails(*arguments):
        calls.append(arguments)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50 if len(calls) in fails else before[0], before[1]))
        try:
            write(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(model_files, "write_files", first_fails)
    fails = {1}
    code, out, err = run("train", "iris", *QUICK, "--out", "m", "--json")
    told = json.loads(out)
    assert (code, os.path.exists("m")) == (2, False)
    kept = (
        rf"the model cannot be written \(m\): File too large\. It is kept in ({tmp_path}\S+): move it to where .*\.\n"
    )
    assert told["model"] == re.search(f"payback: {kept}$", err)[1]
    assert model_files.read_model(told["model"])[1].extra["test"] == told["test"]
    fails = {3, 4}
    code, out, err = run("train", "iris", *QUICK, "--out", "m")
    assert "test      accuracy" in out
    assert (code, err) == (2, "payback: the model cannot be written (m): File too large. Choose another folder.\n")


def test_a_folder_that_is_not_empty_wants_overwrite(run):
    good(run, "train", "iris", *QUICK, "--out", "m")
    before = bits("m")
    code, out, err = run("train", "iris", *QUICK, "--seed", 1, "--out", "m")
    assert (code, out) == (2, "")
    assert "the folder is not empty (m)" in err
    assert "--overwrite" in err
    assert bits("m") == before
    good(run, "train", "iris", *QUICK, "--seed", 1, "--out", "m", "--overwrite")
    assert bits("m") != before


def test_json(run):
    code, out, err = run("train", "iris", *QUICK, "--starts", 2, "--out", "m", "--json")
    assert code == 0
    assert out.count("\n") == 1
    found = json.loads(out)
    assert found["table"] == "iris"
    assert found["model"] == "m"
    assert found["epochs"] == len(found["history"]) == 3
    assert found["stopped"] == "epochs"
    assert len(found["starts"]) == 2
    assert 0 <= found["test"]["accuracy"] <= 1
    assert found["target"] == ["species"]
    assert "iris: 150 rows" in err
    assert "confusion matrix" in err


# A run that fails, and one that is interrupted


def test_a_cost_that_is_not_finite_is_exit_3_and_names_the_step(run):
    code, _, err = run("train", "iris", "--lr", "1e30")
    assert code == 3
    assert err.count("\n") == 1
    assert re.match(r"payback: the (cost|gradient|step) became (nan|inf) at step \d+ \(epoch \d+\): ", err)
    assert "smaller --lr" in err
    assert "add --out DIR" in err
    assert os.listdir() == []


@pytest.mark.parametrize("options", [("--lr", "1e30"), ("--lr", "30", "--optimizer", "gd", "--task", "regress")])
def test_the_best_weights_so_far_are_saved(run, options):
    write("t.csv", table(lambda i: f"{i},{i * 7 % 11},{i % 2}"))
    code, _, err = run("train", "t.csv", *options, "--out", "m")
    assert code == 3
    assert "are saved in m" in err
    assert all(np.isfinite(p).all() for p in leaves(pb.load("m")))
    assert run("evaluate", "m", "t.csv")[0] == 0
    assert run("show", "m")[0] == 0


def test_a_failure_in_json(run):
    code, out, err = run("train", "iris", "--lr", "1e30", "--json")
    assert code == 3
    assert json.loads(out)["error"]["exit_code"] == 3
    assert err.splitlines()[-1].startswith("payback: the ")


def interrupting(epoch):
    def stop(record, net):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return stop


def test_an_interruption_keeps_the_best_so_far(run, monkeypatch):
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **o: fit(*a, **o, callbacks=[interrupting(2)]))
    code, out, err = run("train", "iris", "--out", "m")
    assert (code, err) == (130, "")
    assert "stopped: interrupted" in out
    assert out.endswith("model     saved in m\n")
    pb.load("m")
    code, out, _ = run("train", "iris", "--json")
    assert (code, json.loads(out)["stopped"]) == (130, "interrupted")


def test_an_interruption_before_the_first_epoch_ends(run, monkeypatch):
    def stop(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("payback.train.step.Steps.train", stop)
    monkeypatch.setattr("payback.train.compiled.Compiled.take", stop)
    assert run("train", "iris", "--out", "m")[:2] == (130, "")  # while the weight decay is cross-validated
    code, out, _ = run("train", "iris", *QUICK, "--out", "m")
    assert code == 130
    assert "not one whole epoch; stopped: interrupted" in out
    assert out.endswith("model     saved in m\n")
    assert run("show", "m")[0] == 0


def test_ctrl_c(tmp_path, heard):
    model, recorded = tmp_path / "m", tmp_path / "run"
    command = [sys.executable, "-m", "payback", "train", "iris", "--hidden", "4", "--epochs", "100000",
               "--out", str(model), "--record", str(recorded)]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        log = recorded / "log.jsonl"
        while not (log.exists() and '"kind":"epoch"' in log.read_text()):
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, err) == (130, "")
    assert "stopped: interrupted" in out
    assert f"--resume {recorded}" in out
    assert len(TableModel.load(model).target.classes) == 3
    with open(model / "history.jsonl", encoding="utf-8") as stream:
        assert stream.readline()


def on_a_terminal(command, cwd):
    """What a terminal shows: both streams."""
    here, there = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    running = subprocess.Popen(command, stdin=there, stdout=there, stderr=there, cwd=cwd, env=environment)
    os.close(there)
    seen = b""
    while select.select([here], [], [], 60)[0]:
        try:
            data = os.read(here, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    os.close(here)
    return running.wait(), seen.decode()


def test_a_terminal_shows_progress_and_no_escape_of_the_table(tmp_path):
    strange = "\x1b]0;owned\x07"
    rows = table(
        lambda i: f"[/]{'ab'[i % 2]}{strange},{i},{'[red]' if i % 2 else chr(0x202E) + 'no'}",
        "size [cm],[red]\x1b[31m,y\u202e",
    )
    (tmp_path / "t.csv").write_text(rows, encoding="utf-8")
    code, seen = on_a_terminal([sys.executable, "-m", "payback", "train", "t.csv", "--epochs", "400"], tmp_path)
    assert code == 0, seen
    assert re.search(r"\repoch \d+/400 \[#*-*\] \d+:\d\d left  loss [\d.]+", seen)
    assert "\x1b]" not in seen
    assert "\x07" not in seen
    assert "\u202e" not in seen
    assert "\x1b[31m" not in seen
    for text in ("size [cm]", r"[red]\x1b[31m", r"y\u202e", "[red]", r"\u202eno"):
        assert text in seen


def test_names_and_cells_that_could_steer_a_terminal_are_shown_as_text(run):
    rows = table(
        lambda i: f"[/]{'ab'[i % 2]}\x1b]0;t\x07,{i},{'[red]' if i % 3 else chr(0x202E) + 'no'}",
        "size [cm],[red]\x1b[31m,y\u202e",
    )
    write("t.csv", rows)
    out = good(run, "train", "t.csv", *QUICK, "--out", "m")
    shown = out + good(run, "show", "m") + good(run, "evaluate", "m", "t.csv")
    for text in (
        "size [cm]",
        r"[red]\x1b[31m",
        r"y\u202e (the last column)",
        "[red]",
        r"\u202eno",
        r"[/]a\x1b]0;t\x07",
    ):
        assert text in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", shown)
    code, _, err = run("train", "t.csv", "--target", "\x1b[31mz")
    assert code == 2
    assert "\x1b" not in err
    assert r"\x1b[31mz" in err


# Bad input: one line, exit 2, nothing written

NUMBERS = table(lambda i: f"{i},{i * 7 % 11},{i % 2}")
FILES = {
    "empty.csv": b"",
    "names.csv": b"a,b\n",
    "ragged.csv": b"a,b,y\n1,2,3\n1,2\n",
    "bytes.csv": b"a,y\n1,\xff\xfe\xfa\n",
    "text.csv": (table(lambda i: f"{i},{i % 2}", "a,y") + "x,1\n").encode(),
    "one.csv": table(lambda i: f"{i},cat", "a,y").encode(),
    "missing.csv": table(lambda i: f"{i},{'' if i in (5, 9) else i % 2}", "a,y").encode(),
    "constant.csv": table(lambda i: f"5,{i % 2}", "a,y").encode(),
    "many.csv": table(lambda i: f"n{i * 7919 % 1009},{i % 2}", "a,y").encode(),
    "classes.csv": table(lambda i: f"{i},c{i // 2}", "a,y").encode(),
    "alone.csv": table(lambda i: f"{i % 2}", "y").encode(),
    "good.csv": NUMBERS.encode(),
    "file": b"x",
}
BAD = [
    ("nothing.csv", ["there is no file 'nothing.csv'"]),
    ("god.csv", ["there is no file 'god.csv'", "Did you mean 'good.csv'"]),
    ("irs", ["there is no file 'irs'", "Did you mean the table iris?"]),
    (".", ["'.'", "folder"]),
    ("empty.csv", ["'empty.csv' is empty"]),
    ("names.csv", ["no rows of data"]),
    ("ragged.csv", ["a row with 2 cells in a table with 3 columns (ragged.csv, line 3)"]),
    ("bytes.csv", ["'bytes.csv' is not UTF-8 text", "line 2", "Save it as UTF-8"]),
    ("text.csv", ["text in the numeric column 'a' (text.csv, line 62): 'x' is not a number"]),
    ("one.csv", ["the target 'y' has one class only", "'cat'"]),
    ("missing.csv", ["2 missing values in the target 'y' (missing.csv, lines 7 and 11)", "Fill them in"]),
    ("constant.csv", ["there is no column to learn from", "constant"]),
    ("many.csv", ["there is no column to learn from"]),
    ("classes.csv --task classify", ["classes in", "a class is learned from several examples"]),
    ("alone.csv", ["there is no column to predict from"]),
    ("good.csv --target Y", ["there is no column 'Y' (good.csv): its columns are 'a', 'c', 'y'. Did you mean 'y'?"]),
    ("good.csv --target a,z", ["there is no column 'z' (good.csv)"]),
    ("good.csv --target a,a", ["a target is named twice"]),
    ("good.csv --out file", ["the model cannot be written (file)", "a file, not a folder"]),
    ("good.csv --out file/m", ["the model cannot be written (file/m): file is a file, not a folder"]),
    ("good.csv --out /proc/m", ["the model cannot be written (/proc/m)"]),
    ("good.csv --out .", ["the folder is not empty (.)", "--overwrite"]),
    ("good.csv --hidden banana", ["the option --hidden is 'banana'", "--hidden 128,64", "--hidden none"]),
    ("good.csv --hidden 4,,3", ["the option --hidden is '4,,3'"]),
    ("good.csv --hidden 0", ["the option --hidden is '0'"]),
    ("good.csv --hidden -5", ["the option --hidden is '-5'"]),
    ("good.csv --hidden 100000,100000", ["has 10,000,600,002 parameters", "Give smaller hidden layers"]),
    ("good.csv --hidden 99999999999", ["hidden layers of 99999999999 units: each has 1 to 100,000"]),
    ("good.csv --epochs -3", ["the option --epochs is -3: it wants a whole number from 1 up"]),
    ("good.csv --epochs 0", ["the option --epochs is 0"]),
    ("good.csv --epochs many", ["the option --epochs is 'many': a whole number is needed"]),
    ("good.csv --lr nan", ["the option --lr is nan: it wants a positive number. Write for example --lr 0.001"]),
    ("good.csv --lr -1", ["the option --lr is -1"]),
    ("good.csv --lr 0", ["the option --lr is 0"]),
    ("good.csv --lr inf", ["the option --lr is inf"]),
    ("good.csv --lr fast", ["the option --lr is 'fast': a number is needed"]),
    ("good.csv --batch-size x", ["the option --batch-size is 'x': it wants a whole number from 1 up, or all"]),
    ("good.csv --batch-size -3", ["the option --batch-size is '-3'"]),
    ("good.csv --valid 2", ["the option --valid is 2.0: it is a share of the rows, at least 0 and less than 1"]),
    ("good.csv --dropout 1.5", ["the option --dropout is 1.5: it is a share of the hidden units, at least 0"]),
    ("good.csv --valid nan", ["the option --valid is nan"]),
    ("good.csv --test -1", ["the option --test is -1.0", "at least 0 and less than 1"]),
    ("good.csv --test 1", ["the option --test is 1.0"]),
    ("good.csv --seed -1", ["the option --seed is -1: it wants a whole number from 0 up"]),
    ("good.csv --seed 99999999999999999999", ["a seed is a whole number from 0 to 2**64"]),
    ("good.csv --starts 0", ["the option --starts is 0"]),
    ("good.csv --patience 0", ["the option --patience is 0"]),
    ("good.csv --tol -1", ["the option --tol is -1.0: it wants a number from 0 up"]),
    ("good.csv --weight-decay -1", ["the option --weight-decay is -1.0"]),
    ("good.csv --weight-decay 1 --optimizer gd", ["weight decay with gd", "adamw"]),
    ("good.csv --optimizer foo", ["the option --optimizer is 'foo': it must be gd, momentum, nesterov, rmsprop"]),
    ("good.csv --optimizer admaw", ["Did you mean adamw?"]),
    ("good.csv --activation mish", ["the option --activation is 'mish': it must be relu, tanh, sigmoid, softplus"]),
    ("good.csv --task foo", ["the option --task is 'foo': it must be auto, classify or regress"]),
    ("good.csv --line-search --optimizer adam", ["a line search with adam"]),
    ("good.csv --line-search --batch-size 8", ["--batch-size is '8' with --line-search", "--batch-size all"]),
    ("good.csv --delimiter ab", ["the delimiter is 'ab'"]),
    ("good.csv --decimal x", ["the decimal mark is 'x'"]),
    ("good.csv --table x", ["there is no option --table"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[arguments for arguments, _ in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(run, arguments, words):
    for name, data in FILES.items():
        with open(name, "wb") as stream:
            stream.write(data)
    arguments = arguments.split()
    if "--out" not in arguments:
        arguments += ["--out", "m"]
    code, out, err = run("train", *arguments)
    assert code == 2, (out, err)
    assert err.startswith("payback: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert out == ""
    assert set(os.listdir()) == set(FILES)
    code, out, err = run("train", *arguments, "--json")
    assert code == 2
    assert json.loads(out)["error"]["exit_code"] == 2
    assert err.count("\n") == 1


def test_a_constant_column_is_left_out_and_said(run):
    write("t.csv", table(lambda i: f"{i},5,{i % 2}"))
    assert re.search(r"\nc .*left out: it is constant", good(run, "train", "t.csv", *QUICK))


def test_more_categories_than_can_be_learned_are_left_out_and_said(run):
    write("t.csv", table(lambda i: f"{i},n{i * 7919 % 1009},{i % 2}"))
    assert re.search(r"^c .*left out: ", good(run, "train", "t.csv", *QUICK), re.MULTILINE)


def test_a_training_that_goes_on(run):
    """The recording of one that was cut short, and the same command again: the same model, to the bit."""
    told = ("iris", "--seed", "4", "--hidden", "5", "--lr", "0.01", "--optimizer", "gd", "--tol", "1e-9")
    good(run, "train", *told, "--epochs", "9", "--out", "whole")
    good(run, "train", *told, "--epochs", "5", "--record", "first")
    good(run, "train", *told, "--epochs", "9", "--resume", "first", "--record", "second", "--out", "again")
    for a, b in zip(leaves(pb.load("whole")), leaves(pb.load("again")), strict=True):
        assert a.tobytes() == b.tobytes()
    assert len(pb.open_run("second").history) == 9
    for options, message in {
        ("--resume", "first", "--record", "first", "--overwrite"): "--resume and --record name one folder",
        ("--resume", "first", "--batch-size", "7"): "batch_size is 7 where the training goes on",
        ("--resume", "first", "--valid", "0.5"): "rows is 60 where the training goes on",
        ("--resume", "nowhere"): "this is not a run folder",
    }.items():
        code, _, err = run("train", *told, "--epochs", "9", *options)
        assert (code, message in err) == (2, True), err


def test_one_of_several_starts_goes_on(run):
    told = ("iris", "--hidden", "5", "--lr", "0.01", "--optimizer", "gd", "--tol", "1e-9", "--seed", "4")
    told += ("--starts", "3")
    good(run, "train", *told, "--epochs", "4", "--record", "whole")
    good(run, "train", *told, "--epochs", "2", "--record", "first")
    for k in (1, 3):
        out = good(run, "train", *told, "--epochs", "4", "--resume", f"first/start-{k}", "--record", f"on-{k}")
        assert f"resumed   first/start-{k}, after 2 epochs\n" in out
        assert f"recorded in on-{k}\n" in out
        for a, b in zip(leaves(pb.open_run(f"whole/start-{k}").net), leaves(pb.open_run(f"on-{k}").net), strict=True):
            assert a.tobytes() == b.tobytes()
    for options, message in {
        ("--starts", "1"): "seed is 4 where the training goes on: it was 6",
        ("--starts", "2"): "the training to go on with has the seed 6: the 2 starts have those from 4 to 5",
    }.items():
        code, _, err = run("train", *told[:-2], *options, "--epochs", "4", "--resume", "first/start-3")
        assert (code, message in err) == (2, True), err
