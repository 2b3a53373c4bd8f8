"""`payback train --record` and `payback account`: a table's training, written down, and where one weight came from."""

from __future__ import annotations

import json
import math
import re

import pytest

from payback.cli import main
from payback.train.runs import open_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert (
        main(["train", "iris", "--record", str(folder), "--epochs", "5", "--hidden", "6", "--record-every", "3"]) == 0
    )
    return folder


def test_train_records_and_says_so(run, capsys, tmp_path):
    opened = open_run(run)
    assert (opened.finished, opened.stopped, len(opened.history)) == (True, "epochs", 5)
    assert main(["train", "iris", "--record", str(tmp_path / "b"), "--epochs", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == str(tmp_path / "b")
    assert main(["train", "iris", "--epochs", "1"]) == 0
    assert "recorded" not in capsys.readouterr().out


def test_rows_are_called_by_their_numbers_in_the_table(run):
    """The training rows of a table are some of its rows; an account names them as the table counts them, from 0."""
    numbers = open_run(run).rows.numbers
    assert len(numbers) == 120
    assert (numbers != range(120)).any()
    assert set(open_run(run).account("b1", 0).samples.tolist()) == set(numbers.tolist())


def test_a_statement(run, capsys):
    assert main(["account", str(run), "W1[3,2]", "--top", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "layers[0].weight[3, 2]: steps 1 to 10, 600 deposits"
    assert lines[2].split() == ["step", "sample", "share", "of", "gradient", "at", "once", "carried", "=", "deposit"]
    assert "and 596 more" in lines
    assert any(line.startswith("opening") for line in lines)
    assert lines[-1].startswith("reconciled: roundings of float32 come to ")
    assert main(["account", str(run), "layers[0].weight[3,2]", "--by", "class"]) == 0
    by_class = capsys.readouterr().out
    assert "class" in by_class
    assert main(["account", str(run), "b2[1]", "--by", "step", "--start", "2", "--stop", "4", "--top", "9"]) == 0
    assert "layers[2].bias[1]: steps 3 to 4, 120 deposits" in capsys.readouterr().out


def test_as_json(run, capsys):
    assert main(["account", str(run), "W1[0,0]", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    amounts = told["deposits"]["amount"]
    assert (told["payback"], told["name"], told["stop"], len(amounts)) == ("account", "layers[0].weight", 10, 600)
    rest = math.fsum([told["closing"], -told["opening"], *(-a for a in amounts), *(-a for a in told["steps"]["decay"])])
    assert abs(rest) <= told["bound"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["W1"], "'W1' names no entry: it wants a parameter and a place in it"),
        (["W1[a]"], "'W1[a]' names no entry"),
        (["W5[0]"], "the network has no parameter W5. Its parameters are W1, b1, W2, b2"),
        (["W1[4,0]"], "W1 has no entry [4, 0]: its shape is (4, 6), counted from 0"),
        (["W1[0,0]", "--stop", "11"], "there is no step 11: the run has the steps 0 to 10"),
        (["W1[0,0]", "--start", "9", "--stop", "5"], "the steps from 9 to 5 are none: the first comes after the last"),
        (["W1[0,0]", "--top", "-1"], "--top is -1"),
        (["W1[0,0]", "--by", "day"], "--by is 'day'"),
    ],
)
def test_bad_use(run, capsys, arguments, message):
    assert main(["account", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--record", "{run}"], "the folder is not empty"),
        (["--record", "{run}/run.json"], "run.json is a file, not a folder. Choose another folder.\n"),
        (["--record-every", "3"], "the option --record-every without --record"),
        (["--record", "{new}", "--record-every", "0"], "the option --record-every is 0"),
        (["--on-nan", "shrug"], "the option --on-nan is 'shrug'"),
    ],
)
def test_bad_use_of_record(run, capsys, tmp_path, arguments, message):
    given = [argument.format(run=run, new=tmp_path / "new") for argument in arguments]
    assert main(["train", "iris", "--epochs", "1", *given]) == 2
    assert message in capsys.readouterr().err


def test_each_of_several_starts_has_a_folder(capsys, tmp_path):
    arguments = ["train", "iris", "--epochs", "2", "--starts", "3", "--seed", "5", "--record", str(tmp_path / "runs")]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    (best,) = re.findall(r"recorded in \S+(start-\d); all 3 starts in", told)
    runs = {k: open_run(tmp_path / "runs" / f"start-{k}") for k in (1, 2, 3)}
    assert [run.settings["seed"] for run in runs.values()] == [5, 6, 7]
    costs = {f"start-{k}": run.history[-1]["loss"] for k, run in runs.items()}
    assert costs[best] == min(costs.values())
    assert main(["account", str(tmp_path / "runs"), "W1[0,0]"]) == 2
    message = capsys.readouterr().err
    assert "holds the recordings of 3 trainings" in message
    assert "start-1" in message
    assert main(arguments) == 2
    assert "the folder is not empty" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["start-1", "start-2", "start-3"]
    assert main(["train", "iris", "--epochs", "1", "--record", str(tmp_path / "runs"), "--overwrite"]) == 0
    assert not list((tmp_path / "runs").glob("start-*"))  # nothing old is left
    assert len(open_run(tmp_path / "runs").history) == 1


def test_no_run(capsys, tmp_path):
    assert main(["account", str(tmp_path), "W1[0,0]"]) == 2
    assert "there is no run.json" in capsys.readouterr().err


def test_a_training_that_fails_is_explained(capsys, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i / 10},{i % 7}\n" for i in range(60)))
    run = tmp_path / "run"
    told = ["train", str(table), "--task", "regress", "--optimizer", "gd", "--lr", "1e10", "--hidden", "4"]
    assert main([*told, "--epochs", "3", "--on-nan", "explain", "--record", str(run)]) == 3
    error = capsys.readouterr().err
    assert "which was not applied" in error
    assert f"the step is kept in {run}" in error
    assert "is beyond the largest float32" in error
    assert open_run(run).failed.n == 1 + len(open_run(run))
