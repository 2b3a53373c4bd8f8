"""What reaches the terminal, a pipe, a file: text that can do nothing, one JSON object, no stray escapes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from payback.cli import terminal
from payback.cli.terminal import Output, Progress, plain, to_json, truncate, width
from payback.errors import InputError
from payback.train import progress

NASTY = "size [cm] [red] [/] :smile: \x1b[31m \u202egpj.exe"
SHOWN = "size [cm] [red] [/] :smile: \\x1b[31m \\u202egpj.exe"


class Terminal:
    """A pseudo-terminal: `stream` to write to, `shown()` what arrived at the other side."""

    def __init__(self) -> None:
        pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of Unix")
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", encoding="utf-8")

    def shown(self) -> str:
        self.stream.flush()
        os.set_blocking(self.master, False)
        parts = []
        try:
            while part := os.read(self.master, 65536):
                parts.append(part)
        except BlockingIOError:
            pass
        return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    opened = Terminal()
    yield opened
    opened.stream.close()
    os.close(opened.master)


def piped(json: bool = False) -> tuple[Output, io.StringIO, io.StringIO]:
    stdout, stderr = io.StringIO(), io.StringIO()
    return Output(json, stdout, stderr), stdout, stderr


# --- text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("size [cm]", "size [cm]"),
        ("naïve 价格 😀 é e\u0301", "naïve 价格 😀 é e\u0301"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\rd\x00\x7f\x9b", "a\\nb\\tc\\rd\\x00\\x7f\\x9b"),
        ("\u200e\u200f\u202a\u202e\u2066\u2069\u061c", "\\u200e\\u200f\\u202a\\u202e\\u2066\\u2069\\u061c"),
        ("\u200b\u200d\ufeff\xad\u2028\u2029", "\\u200b\\u200d\\ufeff\\xad\\u2028\\u2029"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\udcff"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_width_and_truncate_count_columns() -> None:
    assert [width(t) for t in ("abc", "价格", "e\u0301")] == [3, 4, 1]
    assert truncate("价格价格", 5) == "价格…"
    assert truncate("价格", 4) == "价格"
    assert truncate("abc", 2) == "a…"


def test_lines_and_errors_in_a_pipe() -> None:
    out, stdout, stderr = piped()
    out.line(NASTY, style="red")
    out.result({"unused": 1})
    out.error(InputError("no column 'prise'", where="houses.csv", fix="did you mean price?"))
    out.error(KeyError("a\nb"))
    assert stdout.getvalue() == SHOWN + "\n"
    assert stderr.getvalue() == (
        "payback: no column 'prise' (houses.csv). Did you mean price?\npayback: KeyError: 'a\\nb'\n"
    )


def test_an_error_is_one_line_of_bounded_length() -> None:
    out, _, stderr = piped()
    out.error(InputError("the cell is " + "x" * 10_000_000))
    assert len(stderr.getvalue()) < 2_100


def test_an_encoding_without_the_character_shows_its_number() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stream:
        Output(stdout=stream, stderr=stream).line("W₃·x")
        assert raw.getvalue() == b"W\\u2083\\xb7x" + os.linesep.encode()


# --- tables


def test_table_in_a_pipe() -> None:
    out, stdout, _ = piped()
    out.table([(NASTY, 1, 0.5), ("价格", 22, 1 / 3)], headers=("column", "n", "share"))
    w = len(SHOWN)
    assert stdout.getvalue().splitlines() == [
        "column".ljust(w) + "   n     share",
        SHOWN + "   1       0.5",
        "价格".ljust(w - 2) + "  22  0.333333",
    ]


def test_table_alignment_and_shapes() -> None:
    out, stdout, _ = piped()
    out.table([("a", "bb"), ("ccc", "d")], align="rl")
    assert stdout.getvalue() == "  a  bb\nccc  d\n"
    out.table([])
    with pytest.raises(ValueError, match="one length"):
        out.table([("a", "b"), ("c",)])
    with pytest.raises(ValueError, match="one length"):
        out.table([("a", "b")], align="r")


# --- a terminal


def test_a_terminal_gets_styles_and_users_text_verbatim(tty: Terminal) -> None:
    out = Output(stdout=tty.stream, stderr=tty.stream)
    out.line(NASTY, style="bold")
    out.table([(NASTY, 1)], headers=("[red]column", "n"))
    line, header, row, end = tty.shown().split("\n")
    assert line == f"\x1b[1m{SHOWN}\x1b[0m"
    assert "\x1b[1m[red]column" in header
    assert SHOWN in row
    assert end == ""


def test_a_narrow_terminal_loses_no_digit_and_no_letter(tty: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "columns_of", lambda stream: 30)
    numbers = [0.123456, 123456.0, -9.87654]
    Output(stdout=tty.stream).table([("a long name of a column", *numbers)], headers=("name", "x", "y", "z"))
    shown = tty.shown()
    assert all(f"{x:.6g}" in shown for x in numbers)
    assert "…" not in shown
    letters = "".join(line.split("  ")[0] for line in shown.splitlines()[1:])
    assert letters.replace(" ", "") == "alongnameofacolumn"


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_escape_without_styles(tty: Terminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    out = Output(stdout=tty.stream, stderr=tty.stream)
    out.line("hello", style="bold")
    out.table([("a", 1)], headers=("name", "n"))
    with out.progress(2) as bar:
        bar.update(1, loss=0.5)
    out.error("no")
    shown = tty.shown()
    assert "\x1b" not in shown
    assert "hello\nname  n\na     1\n" in shown


# --- progress


def test_progress_on_a_terminal(tty: Terminal) -> None:
    out = Output(stdout=tty.stream, stderr=tty.stream)
    with out.progress(4) as bar:
        bar.update(1, loss=0.31234567)
        first = tty.shown()
        bar.update(2, loss=0.2)  # too soon after the first: not drawn
        assert tty.shown() == ""
        out.line("between")
        assert tty.shown() == "\r" + " " * (len(first) - 1) + "\rbetween\n"
        bar.update(4, loss=float("nan"))
        assert "epoch 4/4 [####################] 0:00 left  loss nan" in tty.shown()
    assert first == "\repoch 1/4 [#####---------------] 0:00 left  loss 0.3123"
    assert tty.shown().strip() == ""  # the line is taken off


def test_waiting_is_told_after_a_while(tty: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Output(stdout=tty.stream, stderr=tty.stream).waiting("reading \x1b[31m.csv") as told:
        told(0.25)
        assert tty.shown() == ""
        now[0] = 1.0
        told(0.5)
        assert tty.shown() == "\rreading \\x1b[31m.csv 50 %"
        now[0] = 1.05
        told(0.55)
        assert tty.shown() == ""
    assert tty.shown().strip() == ""


def test_what_does_not_know_how_far_it_is_tells_how_long_it_takes(
    tty: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "_TICK", 1e-3)
    line = Output(stdout=tty.stream, stderr=tty.stream)
    with line.working("counting \x1b[31m digits"):
        now[0], shown = 2.2, ""
        while not shown.endswith("2"):
            shown += tty.shown()
    assert shown == "\rcounting \\x1b[31m digits … 0:02"
    assert tty.shown().strip() == ""
    assert "elapsed" not in [thread.name for thread in threading.enumerate()]
    with Output(stdout=io.StringIO(), stderr=io.StringIO()).working("nobody looks"):
        assert "elapsed" not in [thread.name for thread in threading.enumerate()]


def test_progress_tells_the_time_left_and_fits_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bar = Progress(100, drawn.append, 48)
    now[0] = 60.0
    bar.update(10, accuracy=0.5)
    bar.clear()
    now[0] = 7200.0
    bar.update(50)
    assert drawn[0] == "\repoch 10/100 [##------------------] 9:00 left …"
    assert drawn[2].startswith("\repoch 50/100 [##########----------] 2:00:00")


def test_progress_elsewhere_is_silent() -> None:
    out, stdout, stderr = piped()
    with out.progress(3) as bar:
        bar.update(1, loss=0.5)
    assert stdout.getvalue() + stderr.getvalue() == ""


def test_a_shorter_picture_covers_a_longer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    drawn: list[str] = []
    bar = Progress(2, drawn.append, 80)
    bar.update(1, loss=0.123456)
    bar.update(2, loss=1)
    assert len(drawn[0]) == len(drawn[1])


def interrupted(out: Output) -> None:
    with out.progress(3) as bar:
        bar.update(1)
        raise KeyboardInterrupt


def test_an_interrupted_progress_leaves_a_clean_line(tty: Terminal) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(Output(stdout=tty.stream, stderr=tty.stream))
    assert tty.shown().endswith(" \r")


def test_progress_of_no_epochs(tty: Terminal) -> None:
    with Output(stdout=tty.stream, stderr=tty.stream).progress(0) as bar:
        bar.update(0)
    assert "epoch 0/1" in tty.shown()


# --- JSON


@dataclass
class Score:
    name: str
    value: float


def test_json_values() -> None:
    value = {
        "nan": float("nan"),
        "inf": [np.float32("inf"), -np.inf],
        "big": [2**53, 2**53 + 1, -(2**60), np.uint64(2**64 - 1)],
        "numpy": [np.float32(0.5), np.int64(3), np.bool_(True), np.array([[1, 2]]), np.array(7.0), np.array(["a"])],
        "plain": [None, True, "x\u202e\x1b\x7f", (1, 2.5)],
        "score": Score("r2", 0.9),
        "path": Path("a") / "b",
        "surrogate \udcff": "\udcff",
        3: np.str_("key"),
    }
    text = to_json(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == {
        "nan": "NaN",
        "inf": ["Infinity", "-Infinity"],
        "big": [2**53, str(2**53 + 1), str(-(2**60)), str(2**64 - 1)],
        "numpy": [0.5, 3, True, [[1, 2]], 7.0, ["a"]],
        "plain": [None, True, "x\u202e\x1b\x7f", [1, 2.5]],
        "score": {"name": "r2", "value": 0.9},
        "path": os.path.join("a", "b"),
        "surrogate \\udcff": "\\udcff",
        "3": "key",
    }


def test_json_refuses_what_it_does_not_know() -> None:
    for value in (1j, b"bytes", {1, 2}, object(), Score, np.array([None, 1j], dtype=object)):
        with pytest.raises(TypeError, match="cannot be written as JSON"):
            to_json({"x": value})
    with pytest.raises(ValueError, match="one spelling"):
        to_json({1: "a", "1": "b"})


def test_json_output_is_one_object_and_text_goes_to_standard_error() -> None:
    out, stdout, stderr = piped(json=True)
    out.line("found 4 columns")
    out.table([("a", 1)])
    out.result({"accuracy": 0.98})
    out.error("too late for an object")
    assert json.loads(stdout.getvalue()) == {"accuracy": 0.98}
    assert stderr.getvalue() == "found 4 columns\na  1\npayback: too late for an object\n"
    with pytest.raises(RuntimeError, match="one JSON object"):
        out.result({})


def test_a_json_error_is_an_object_too() -> None:
    out, stdout, stderr = piped(json=True)
    out.error(InputError("no column 'x'", where="a.csv"))
    assert json.loads(stdout.getvalue()) == {
        "error": {"message": "no column 'x' (a.csv).", "what": "no column 'x'", "where": "a.csv", "exit_code": 2}
    }
    assert stderr.getvalue() == "payback: no column 'x' (a.csv).\n"


# --- readers that go away, disks that are full, streams that are closed


def test_a_closed_pipe_is_quiet_and_the_command_goes_on() -> None:
    program = (
        "from payback.cli.terminal import Output\nimport sys\nout = Output()\n"
        "for i in range(50_000): out.line(f'line {i}')\nprint('finished', file=sys.stderr)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == b"line 0\n"
    child.stdout.close()
    assert child.stderr.read() == b"finished\n"
    child.stderr.close()
    assert child.wait() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error() -> None:
    stderr = io.StringIO()
    with open("/dev/full", "w", encoding="utf-8") as full:
        out = Output(json=True, stdout=full, stderr=stderr)
        with pytest.raises(InputError, match="the output cannot be written: No space left on device"):
            out.result({"x": 1})
        out.error("first")
    with open("/dev/full", "w", encoding="utf-8") as full:
        Output(json=True, stdout=full, stderr=stderr).error("second")
    assert stderr.getvalue() == "payback: first\npayback: second\n"


def test_streams_that_the_shell_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    out = Output()
    out.line("nobody listens")
    out.table([("a", 1)])
    with out.progress(1) as bar:
        bar.update(1)
    out.error("nobody")


def test_rich_is_not_imported_without_a_terminal() -> None:
    program = (
        "from payback.cli.terminal import Output\nOutput().table([(1, 2)])\nimport sys\nsys.exit('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"1  2" + os.linesep.encode())
