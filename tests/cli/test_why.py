"""`payback explain FILE.py:f`, `explain MODEL TABLE`, `why-nan` and `why-zero`, as a user types them."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest

import payback as pb
from payback.cli.app import main
from payback.cli.explain import _tell_book, tell_more
from payback.cli.terminal import Output, width

PROGRAM = """
import numpy as np

def cost(w, x, y):
    z = x @ w
    return np.mean((np.log(z) - y) ** 2)

def gate(x):
    return np.maximum(x, 0.0).sum()

if __name__ == "__main__":
    raise SystemExit("not run")
"""
CALL = ["w=[1,2]", "x=[[1,2],[3,4]]", "y=[1,2]"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(PROGRAM)
    return tmp_path


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def data(capsys, *arguments):
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_a_function_of_the_user_s_program(capsys, folder):
    code, out, err = run(capsys, "explain", "model.py:cost", *CALL)
    assert (code, err) == (0, "")
    assert "np.log(z)" in out
    assert "path by path: 3 paths, 13 walks" in out
    found = data(capsys, "explain", "model.py:cost", *CALL, "--paths", "--flow", "--cost")
    assert (found["payback"], found["version"], found["target"]) == ("explain", 2, "model.py:cost")
    assert found["wrt"] == ["w", "x", "y"]
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 2.0])
    expected = pb.grad(lambda w: np.mean((np.log(x @ w) - y) ** 2))(np.array([1.0, 2.0]))
    np.testing.assert_allclose(found["gradient"]["w"]["values"], expected, rtol=1e-12)
    assert found["cost"]["ratio"] <= 5
    assert len(found["flow"]) == len(found["edges"])
    assert found["kappa"]["w"] == {"shape": [2], "max": 1.0}


def test_one_entry_number_by_number(capsys, folder):
    code, out, _ = run(capsys, "explain", "model.py:cost", *CALL, "--wrt", "w[1]", "--paths")
    assert code == 0
    assert "w[1]: 2 paths, cancellation κ = 1" in out
    found = data(capsys, "explain", "model.py:cost", *CALL, "--wrt", "w[1]")
    assert (found["level"], found["wrt"], found["paths"]["count"]) == ("entry", ["w[1]"], "2")


def test_narrowed_by_names(capsys, folder):
    assert data(capsys, "explain", "model.py:cost", *CALL, "--wrt", "w,y")["wrt"] == ["w", "y"]


def test_a_model_on_a_table(capsys, folder):
    assert run(capsys, "train", "iris", "--epochs", "2", "--out", "m", "--seed", "0")[0] == 0
    found = data(capsys, "explain", "m", "iris", "--row", "3")
    assert found["wrt"][:2] == ["W1", "b1"]
    (prediction,) = [node for node in found["nodes"] if node["name"] == "prediction"]
    assert prediction["shape"] == [1, 3]
    assert found["places"][prediction["where"]]["text"] == "net(x)"
    entry = data(capsys, "explain", "m", "iris", "--row", "3", "--wrt", "b2[1]")
    index = [node["name"] for node in found["nodes"]].index("b2")
    assert entry["gradient"]["b2[1]"] == pytest.approx(found["nodes"][index]["settled"]["values"][1], rel=1e-5)
    assert data(capsys, "why-nan", "m", "iris")["origins"] == []
    zeros = data(capsys, "why-zero", "m", "iris", "--wrt", "W1", "--row", "all")["leaves"]["W1"]
    assert sum(zeros["counts"].values()) == zeros["zeros"]


def test_why_nan_of_a_function(capsys, folder):
    code, out, _ = run(capsys, "why-nan", "model.py:cost", "w=[1,-2]", "x=[[1,2],[2,1]]", "y=[1,2]")
    assert code == 0
    assert out.splitlines()[1].endswith("cost: np.log(z)[0] is nan (z = -3): log needs x > 0; 2 of 2 entries")
    (origin,) = data(capsys, "why-nan", "model.py:cost", "w=[1,-2]", "x=[[1,2],[2,1]]", "y=[1,2]")["origins"]
    assert (origin["what"], origin["index"], origin["operands"]) == ("np.log(z)", [0], {"z": -3.0})
    assert (origin["place"]["line"], origin["place"]["text"]) == (6, "np.log(z)")


def test_why_nan_of_an_expression(capsys):
    told = run(capsys, "why-nan", "log(a)*b", "a=0", "b=1")[1].splitlines()
    assert told[:2] == ["the value is -inf", "1. log(a) is -inf (a = 0): log needs x > 0"]
    assert told[2].startswith("what helps: keep its argument above 0")
    assert "everything is finite" in run(capsys, "why-nan", "a*b", "a=1", "b=1")[1]


def test_why_zero_of_an_expression_and_a_function(capsys, folder):
    assert run(capsys, "why-zero", "max(a,0)+(c-c)", "a=-1", "c=2")[1] == (
        "a: 1 of 1 entries have a zero gradient: zero partial 1\n"
        "  zero partial 1: max(a,0) (maximum, 1 of 1 entries): dead: it is below the limit\n"
        "c: 1 of 1 entries have a zero gradient: cancellation 1\n"
        "  cancellation 1: c (input, 1 of 1 entries): what it is paid by c-c adds up to 0\n"
        "what helps: a leak (pb.nn.leaky_relu), a smaller step length, inputs of mean 0 and a size near 1\n"
    )
    found = data(capsys, "why-zero", "model.py:gate", "x=[1,-2,-3]")["leaves"]["x"]
    assert (found["zeros"], found["counts"]["zero partial"]) == (2, 2)
    assert found["causes"][0]["what"] == "np.maximum(x, 0.0)"


def test_more_about_an_expression(capsys):
    out = run(capsys, "explain", "(a+b)*(b+1)", "a=2", "b=1", "--paths", "--flow", "--cost")[1]
    assert "largest paths\n  a: 1 path, cancellation κ = 1\n    a-c-e 2·1 = 2\n  b: 2 paths" in out
    assert "flops 3 + 3 for the gradient, ratio 2.00 (bound 5)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "model.py:cost", "w=[1,2]"], "x and y of cost(w, x, y) are missing"),
        (["explain", "model.py:cost", *CALL, "--wrt", "q"], "wrt names 'q': the leaves are w, x, y"),
        (["explain", "model.py:cost", *CALL, "--wrt", "w[9]"], "w[9] is no entry"),
        (["explain", "model.py:cost", *CALL, "--wrt", "w[0],w[1]"], "of entries one at a time is explained"),
        (["explain", "a*b", "a=1", "b=2", "--row", "1"], "only a model on a table has rows"),
        (["explain", "model.py:cost", *CALL, "--row", "1"], "only a model on a table has rows"),
        (["explain", ".", "x=1"], ". is a model: it is looked at on a table"),
        (["why-nan", "2*3"], "the expression is constant"),
        (["why-zero", "model.py:nothing"], "model.py has no function nothing"),
        (["why-zorro"], "there is no command 'why-zorro'. Did you mean why-zero"),
    ],
)
def test_bad_input_is_one_line(capsys, folder, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_row_that_is_not_there(capsys, folder):
    assert run(capsys, "train", "iris", "--epochs", "1", "--out", "m")[0] == 0
    code, _, err = run(capsys, "explain", "m", "iris", "--row", "150")
    assert (code, err) == (2, "payback: --row is '150': it is 'all' or a number from 0 to 149.\n")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_on_a_terminal_a_tree_that_fits(folder, columns):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    screen = Screen()
    book = pb.explain(lambda w, x: np.mean((np.log(x @ w) - w[0]) ** 2), np.ones(2), np.ones((3, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("payback.cli.terminal.columns_of", lambda stream: columns)
        patch.setenv("TERM", "xterm-256color")
        patch.delenv("NO_COLOR", raising=False)
        out = Output(stdout=screen)
        assert out.styled
        _tell_book(book, out)
        tell_more(book, out, paths=True, flow=True, cost=True, digits=False)
    lines = re.sub("\x1b\\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert any(line.startswith("├─") for line in lines)
    assert max(width(line) for line in lines if ";" not in line) <= columns  # sentences are the terminal's to break
    plain = io.StringIO()
    _tell_book(book, Output(stdout=plain))
    assert "paid by" in plain.getvalue()
    assert "├─" not in plain.getvalue()


def test_a_model_s_own_operations_are_called_by_their_layers(capsys, folder):
    assert main(["train", "iris", "--epochs", "2", "--hidden", "6", "--out", "m"]) == 0
    capsys.readouterr()
    code, out, _ = run(capsys, "why-zero", "m", "iris", "--row", "0")
    assert code == 0
    assert "subject.py" not in out
    assert "at layers[0]" in out
    sources = data(capsys, "explain", "m", "iris")["sources"]
    assert sources == [
        {"file": "<model>", "first": 2, "lines": ["    prediction = net(x)", "    return loss(prediction, y)"]}
    ]
    code, out, err = run(capsys, "explain", "m", "iris", "--row", "all", "--wrt", "W1[0,99]")
    assert (code, out) == (2, "")
    assert "W1[0, 99] is no entry" in err
