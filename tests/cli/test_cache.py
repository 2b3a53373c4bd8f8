"""`payback cache`: what is kept of compiled code, and how it is removed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from payback.cli import main

COMPILE = "import numpy as np, payback as pb; print(pb.compile(lambda x: np.sin(x).sum() * 3)(np.ones(5)))"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "kept"
    monkeypatch.setenv("PAYBACK_CACHE", str(place))
    return place


def told(capsys, *arguments):
    assert main(["cache", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_shown_and_cleared(folder, capsys):
    assert told(capsys)["entries"] == 0
    assert not folder.exists()  # looking makes nothing
    subprocess.run([sys.executable, "-c", COMPILE], check=True, capture_output=True)
    kept = told(capsys)
    assert kept["folder"] == str(folder)
    assert kept["entries"] > 0
    assert kept["bytes"] > 0
    (folder / "mine.txt").write_text("not payback's")
    cleared = told(capsys, "--clear")
    assert cleared["removed"] == kept["entries"]
    assert told(capsys)["entries"] == 0
    assert (folder / "mine.txt").exists()
    subprocess.run([sys.executable, "-c", COMPILE], check=True, capture_output=True)  # compiled again
    assert told(capsys)["entries"] == kept["entries"]


def test_off(monkeypatch, capsys):
    monkeypatch.setenv("PAYBACK_CACHE", "off")
    assert main(["cache"]) == 0
    assert "no compiled code is kept" in capsys.readouterr().out
    assert told(capsys, "--clear")["folder"] is None


def test_a_folder_that_is_a_file(folder, capsys):
    folder.write_text("")
    assert main(["cache"]) == 2
    assert "cannot be read" in capsys.readouterr().err
