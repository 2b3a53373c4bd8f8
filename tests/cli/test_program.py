"""The program's frame: its commands and options, exit codes, help, and errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from typing import Annotated, Literal

import pytest
from cyclopts import Parameter

import payback
from payback.cli import app, main
from payback.cli.app import COMMANDS
from payback.cli.options import Out, whole_number
from payback.errors import InputError, NonFiniteError


def positive(_, value):
    if value <= 0:
        raise InputError(f"the option --epochs is {value}", why="a number above 0 is needed")


def small(_, value):
    if value > 9:
        raise ValueError("at most 9 are possible")


def probe(
    table: str,
    /,
    *,
    epochs: Annotated[int, whole_number("", validator=positive)] = 3,
    layers: Annotated[int, Parameter(validator=small)] = 1,
    lr: float = 0.1,
    task: Literal["auto", "classify", "regress"] = "auto",
    out: Out,
) -> int | None:
    """Try the frame.

    Parameters
    ----------
    table
        What to do.
    """
    if table == "interrupt":
        raise KeyboardInterrupt
    if table == "nan":
        raise NonFiniteError("the cost became NaN", where="step 3")
    if table == "bug":
        raise RuntimeError("a \x1b[31mbug")
    out.line(f"{table} {epochs} {layers} {lr} {task}")
    out.result({"table": table})
    return 7 if table == "seven" else None


@pytest.fixture(autouse=True)
def _one_more_command(monkeypatch):
    module = types.ModuleType("payback.cli.probe")
    module.probe = probe
    monkeypatch.setitem(sys.modules, "payback.cli.probe", module)
    monkeypatch.setattr(app, "COMMANDS", {"explain": COMMANDS["explain"], "probe": "Try the frame."})


def run(capsys, *arguments):
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_command_gets_its_options(capsys):
    arguments = ("probe", "x", "--epochs", "5", "--lr=1e-3", "--task", "regress")
    assert run(capsys, *arguments) == (0, "x 5 1 0.001 regress\n", "")


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_json_may_stand_anywhere(capsys, place):
    arguments = ["probe", "x", "--epochs", "5"]
    code, out, err = run(capsys, *arguments[:place], "--json", *arguments[place:])
    assert (code, json.loads(out), err) == (0, {"table": "x"}, "x 5 1 0.1 auto\n")


def test_after_two_dashes_nothing_is_an_option(capsys):
    assert run(capsys, "probe", "--", "--json")[:2] == (0, "--json 3 1 0.1 auto\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prob"], "there is no command 'prob'. Did you mean probe?"),
        (["zzz"], "there is no command 'zzz'. The commands are explain and probe."),
        (["--jsn"], "there is no option --jsn. Did you mean --json?"),
        (["probe"], "TABLE is missing. See payback probe --help."),
        (["probe", "x", "y"], "'y' is one argument too many. See payback probe --help."),
        (["probe", "x", "--epoch", "3"], "there is no option --epoch. Did you mean --epochs?"),
        (["probe", "x", "--what"],
         "there is no option --what. The options are --debug, --epochs, --help, --json, --layers, --lr and --task."),
        (["probe", "x", "--epochs", "three"],
         "the option --epochs is 'three': a whole number is needed."),
        (["probe", "x", "--epochs", "1.5"], "the option --epochs is '1.5': a whole number is needed."),
        (["probe", "x", "--epochs", "-3"], "the option --epochs is -3: a number above 0 is needed."),
        (["probe", "x", "--layers", "10"], "the option --layers is '10': at most 9 are possible."),
        (["probe", "x", "--lr", "fast"], "the option --lr is 'fast': a number is needed. See payback probe --help."),
        (["probe", "x", "--lr"], "the option --lr needs a value. Write --lr VALUE."),
        (["probe", "x", "--task", "clasify"],
         "the option --task is 'clasify': it must be auto, classify or regress. Did you mean classify?"),
        (["probe", "x", "--lr", "1", "--lr", "2"], "the option --lr is given twice. Remove one."),
        (["probe", "x", "--epochs", "\x1b[31m[/]"],
         r"the option --epochs is '\x1b[31m[/]': a whole number is needed."),
    ],
)  # fmt: skip
def test_options_that_cannot_be_read_are_named(capsys, arguments, message):
    assert run(capsys, *arguments) == (2, "", f"payback: {message}\n")


def test_an_option_that_cannot_be_read_in_json(capsys):
    code, out, err = run(capsys, "probe", "x", "--lr", "fast", "--json")
    assert (code, json.loads(out)["error"]["what"]) == (2, "the option --lr is 'fast'")
    assert err.count("\n") == 1


def test_exit_codes(capsys):
    assert run(capsys, "probe", "seven")[0] == 7
    assert run(capsys, "probe", "nan") == (3, "", "payback: the cost became NaN (step 3).\n")
    assert run(capsys, "probe", "interrupt") == (130, "", "payback: interrupted\n")


def test_an_interruption_while_the_program_is_loaded(capsys, monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    loading = types.ModuleType("payback.cli.app")
    loading.__getattr__ = interrupted
    monkeypatch.setitem(sys.modules, "payback.cli.app", loading)
    assert main(["--version"]) == 130
    assert capsys.readouterr() == ("", "payback: interrupted\n")


def test_a_bug_is_one_line(capsys):
    told = r"payback: internal error: RuntimeError: a \x1b[31mbug (run with --debug for the traceback)"
    assert run(capsys, "probe", "bug") == (1, "", f"{told}\n")
    code, out, err = run(capsys, "probe", "bug", "--debug")
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith("payback: internal error: RuntimeError: a \\x1b[31mbug\n")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("Usage: payback COMMAND\n")
    assert "  explain: Show where a derivative comes from" in out
    assert "  probe: Try the frame." in out
    assert "--json" in out
    assert out.isascii()
    assert "\x1b" not in out


@pytest.mark.parametrize("arguments", [["probe", "--help"], ["probe", "x", "-h"], ["--help", "probe"]])
def test_help_of_a_command(capsys, arguments):
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert out.startswith("Usage: payback probe [OPTIONS] TABLE\n\nTry the frame.\n")
    assert "TABLE: What to do. [required]" in out
    assert "--epochs INT" in out
    assert "--debug" in out


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"payback {payback.__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_begins_as_the_help_of_each_does(capsys, name):
    word = name.replace("-", "_")
    module = __import__(f"payback.cli.{word}", fromlist=[word])
    assert getattr(module, word).__doc__[:20] == COMMANDS[name][:20]


def in_a_new_process(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_command_loads_only_what_it_needs():
    heavy = "('payback.tabular', 'payback.nn', 'payback.train.fit', 'payback.io', 'narwhals', 'safetensors', 'msgspec')"
    code = "import sys; from payback.cli import main; main({}); print([m for m in {} if m in sys.modules])"
    assert in_a_new_process(code.format("['explain', 'a', 'a=1']", heavy)) == "[]"
    assert in_a_new_process(code.format("['--help']", "('payback.glass', 'payback.cli.explain')")) == "[]"


def test_a_reader_that_has_gone_away_is_no_error():
    command = [sys.executable, "-m", "payback", "explain", "+".join(["a"] * 900), "a=1"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running.stdout.readline()
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait() == 0
