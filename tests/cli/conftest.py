"""The program, called in this process."""

from __future__ import annotations

import pytest

from payback.cli import main


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the program in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
