"""`payback verify FILE.py:f`: machine code beside the interpreter, on the user's own function."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest

from payback.cli import main, verify


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(
        textwrap.dedent("""
        import numpy as np

        def cost(x, k=2.0):
            return np.sum(np.sin(x) * k) + np.log(np.sum(np.exp(x)))

        def several(x):
            return {"a": x * 2, "b": np.cumsum(x)}

        def branches(x):
            return x if x > 0 else -x
    """)
    )
    return path


def test_value_and_gradient_agree(file, capsys):
    assert main(["verify", f"{file}:cost", "x=[1,2,3]", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agree"] is True
    assert [result["name"] for result in told["results"]] == ["value", "gradient['x']"]
    assert [result["shape"] for result in told["results"]] == [[], [3]]
    assert main(["verify", f"{file}:cost", "x=[1,2,3]", "k=3.5"]) == 0
    shown = capsys.readouterr().out
    assert "gradient['k']" in shown
    assert "agree" in shown


def test_several_results_have_no_gradient(file, capsys):
    assert main(["verify", f"{file}:several", "x=[1,2]"]) == 0
    shown = capsys.readouterr().out
    assert "value['a']" in shown
    assert "no gradient" in shown


def test_a_difference_is_found(file, capsys, monkeypatch):
    """What the interpreter computes is bent by a thousandth."""
    plain = verify._compared
    monkeypatch.setattr(verify, "_compared", lambda name, a, b: plain(name, a, np.asarray(b) * 1.001))
    assert main(["verify", f"{file}:cost", "x=[1,2,3]"]) == 3
    assert "DIFFER" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "expected", "agree"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), False),
        (np.array([1.0, np.inf]), np.array([1.0, -np.inf]), False),
        (np.array([1.0, 1e-300]), np.array([1.0, 0.0]), True),
        (np.float32(1.0), np.float64(1.0), False),
        (np.array([1, 2]), np.array([1, 3]), False),
        (1.0 + 100 * 2.0**-52, 1.0, True),
        (1.0 + 300 * 2.0**-52, 1.0, False),
    ],
)
def test_what_agrees(found, expected, agree):
    assert verify._compared("x", found, expected)["agree"] is agree


@pytest.mark.parametrize("body", ["yield x", "pass", "return 'a'", "return [], None"])
def test_a_function_without_numbers_is_not_said_to_agree(tmp_path, capsys, body):
    (tmp_path / "model.py").write_text(f"def f(x):\n    {body}\n")
    assert main(["verify", f"{tmp_path}/model.py:f", "x=[1,2]"]) == 2
    told = "returns a generator" if body == "yield x" else "there is nothing to compare"
    assert told in capsys.readouterr().err
    (tmp_path / "folder.py").mkdir()
    assert main(["verify", f"{tmp_path}/folder.py:f", "x=[1,2]"]) == 2
    assert f"{tmp_path}/folder.py is a folder" in capsys.readouterr().err


def test_bad_use(file, capsys, monkeypatch):
    assert main(["verify", f"{file}:branches", "x=1.0"]) != 0
    assert "model.py" in capsys.readouterr().err
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    assert main(["verify", f"{file}:cost", "x=[1,2]"]) == 2
    assert "there is no compiler here" in capsys.readouterr().err
