"""`payback COMMAND --help`: nothing that is written for the user gets lost on the way through markup."""

from __future__ import annotations

import inspect

import pytest

from payback.cli import main
from payback.cli.app import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_says_every_word_of_the_docstring(capsys, name):
    word = name.replace("-", "_")
    command = getattr(__import__(f"payback.cli.{word}", fromlist=[word]), word)
    told = inspect.getdoc(command).partition("\nParameters\n")[0].replace("`", "").split()
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out.split()
    assert any(shown[i : i + len(told)] == told for i in range(len(shown)))
