"""`payback bisect A B`: two ways of running the user's function, two versions, two inputs."""

from __future__ import annotations

import json
import os

import pytest

from payback import native
from payback.cli import main


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(
        "import numpy as np\n\n\n"
        "def cost(x, k=1e6):\n    far = x + k\n    near = far - k\n    return (near * x).sum()\n"
        "\n\ndef mended(x, k=1e6):\n    far = x + k\n    near = far - k\n    return (near + x).sum()\n"
    )
    return path


def test_in_float32_the_digits_are_lost_at_one_line(file, capsys):
    assert main(["bisect", f"{file}:cost", "float32", "x=[0.1,0.2]"]) == 3
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("the runs part at node 3 of 10: far - k[0], sub (")
    assert told[0].endswith("model.py:6): 0.09999999997671694 against 0.125")
    assert told[1].startswith("they are 0.13 apart, beyond 3.1e-05; made here, its operands were ")
    assert main(["bisect", f"{file}:cost", "float32", "x=[0.1,0.2]", "--tol", "0.5"]) == 0
    assert "the runs agree to 0.13, within 0.5, in all 10 nodes" in capsys.readouterr().out


@pytest.mark.skipif(not native.available(), reason="native code is off")
def test_machine_code_agrees(file, capsys):
    assert main(["bisect", f"{file}:cost", "native", "x=[0.1,0.2]", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["parted"], told["compared"], told["first"], told["programs"]) == (False, 10, None, None)


def test_two_versions_and_two_inputs_from_a_file(file, tmp_path, capsys):
    saved = str(tmp_path / "before.json")
    assert main(["bisect", f"{file}:cost", "--save", saved, "x=[0.1,0.2]"]) == 0
    assert f"saved 10 nodes in {saved}" in capsys.readouterr().out
    assert main(["bisect", saved, f"{file}:cost", "x=[0.1,0.2]"]) == 0
    assert "the runs agree to the bit in all 10 nodes" in capsys.readouterr().out
    assert main(["bisect", saved, f"{file}:cost", "x=[0.1,0.25]"]) == 3
    assert "x[1], input: 0.2 against 0.25" in capsys.readouterr().out
    assert main(["bisect", saved, f"{file}:mended", "x=[0.1,0.2]", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [program["op"] for program in told["programs"]] == ["mul", "add"]
    assert main(["bisect", saved, saved]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{file}:cost"], "B is missing"),
        (["{file}:cost", "x=1"], "B is missing"),
        (["{file}:cost", "float32"], "x of cost(x, k=1000000.0) is missing"),
        (["nothing.json", "{file}:cost", "x=1"], "(nothing.json): No such file or directory. Give a file that --save"),
        (["{file}:cost", "half", "x=1"], "the evaluation cannot be read (half)"),
        (["{file}:cost", "float32", "x=[1,2]", "--tol", "-1"], "tol is -1"),
        (["{file}", "float32"], "the file is not JSON"),
        ([os.devnull, "{file}:cost", "x=1"], "it is a device or a pipe, not a file"),
        (["{file}:cost", "x=1", "--save", "{file}"], "it is no evaluation, and would be lost"),
    ],
)
def test_bad_use(file, capsys, arguments, message):
    assert main(["bisect", *(argument.format(file=file) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_too_large(tmp_path, capsys):
    with (tmp_path / "a.json").open("wb") as sparse:
        sparse.truncate(2**34)
    assert main(["bisect", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 2
    assert "a.json): the limit is 1024 MiB" in capsys.readouterr().err


def test_a_file_cannot_be_run_another_way(file, tmp_path, capsys):
    saved = str(tmp_path / "a.json")
    assert main(["bisect", f"{file}:cost", "--save", saved, "x=1"]) == 0
    assert main(["bisect", saved, "float32"]) == 2
    assert "is a file of numbers, which cannot be run" in capsys.readouterr().err


def test_two_trainings(tmp_path, capsys):
    for name, rate in (("a", "0.01"), ("b", "0.02")):
        assert main(["train", "iris", "--epochs", "2", "--record", str(tmp_path / name), "--lr", rate]) == 0
    capsys.readouterr()
    assert main(["bisect", str(tmp_path / "a"), str(tmp_path / "b")]) == 3
    assert "the trainings part at step 1: rate 0.01 against 0.02" in capsys.readouterr().out
    assert main(["bisect", str(tmp_path / "a"), str(tmp_path / "a"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parted"] is False
