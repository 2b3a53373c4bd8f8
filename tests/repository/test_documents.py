"""The documents tell the truth: their Python examples run, and their programs print what is shown.

In README*.md and docs/**/*.md a block marked `python` is run (one session per file; `>>>` examples are compared as
doctests), and a block marked `console` holds payback commands after `$ ` with exactly what they print.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    name: str
    line: int
    kind: str
    text: str


def blocks(text, name, kind):
    return [Block(name, text.count("\n", 0, m.start(2)) + 1, m[1], m[2]) for m in FENCE.finditer(text) if m[1] == kind]


def run_python(parts):
    """Run the Python blocks of one document in one namespace; return what doctest has to say."""
    session, complaints = {"__name__": "__main__"}, []
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for block in parts:
        if ">>>" in block.text:
            test = parser.get_doctest(block.text, session, block.name, block.name, block.line - 1)
            runner.run(test, out=complaints.append, clear_globs=False)
            session.update(test.globs)
        else:
            # Empty lines in front, so that a traceback names the line of the document.
            exec(compile("\n" * (block.line - 1) + block.text, block.name, "exec"), session)
    return "".join(complaints)


def run_console(block, folder):
    """Run the commands of a console block; return the block as it should read."""
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")} | {"NO_COLOR": "1"}
    told = ""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            program, *arguments = shlex.split(line[2:])
            assert program == "payback", f"{block.name}:{block.line}: only payback is run, not {program}"
            done = subprocess.run(
                [sys.executable, "-m", "payback", *arguments],
                cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            told += f"{line}\n{done.stdout}"
    return told


def lines(text):
    return [line.rstrip() for line in text.rstrip().splitlines()]


def without_comments(text):
    """A translation has the same programs, with other comments: those are not run twice."""
    return re.sub(r"(^|  +)#.*", "", text, flags=re.MULTILINE)


PYTHON = {without_comments("".join(block.text for block in parts)): parts for p in DOCUMENTS[::-1]
          if (parts := blocks(p.read_text("utf-8"), p.name, "python"))}  # fmt: skip


@pytest.mark.parametrize("parts", PYTHON.values(), ids=lambda parts: parts[0].name)
def test_the_python_examples_run(parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_python(parts) == ""


CONSOLE = {block.text: block for p in DOCUMENTS[::-1] for block in blocks(p.read_text("utf-8"), p.name, "console")}


@pytest.mark.parametrize("block", CONSOLE.values(), ids=lambda b: f"{b.name}:{b.line}")
def test_the_programs_print_what_is_shown(block, tmp_path):
    assert lines(run_console(block, tmp_path)) == lines(block.text)


INSTALL = "python3 -m venv .venv && .venv/bin/python -m pip install . && .venv/bin/payback train digits"
TEST = '.venv/bin/python -m pip install -e ".[test]" && .venv/bin/python -m pytest -n auto'


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_first_screen_has_the_two_commands_and_the_example(name):
    first_screen = "\n".join((ROOT / name).read_text("utf-8").splitlines()[:60])
    assert f"\n{INSTALL}\n" in first_screen
    assert f"\n{TEST}\n" in first_screen
    assert '\n$ payback explain "(a+b)*(b+1)" a=2 b=1\n' in first_screen


def test_the_test_command_is_what_ci_runs():
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert '-m pip install --quiet -e ".[test]"\n' in ci
    assert "-m pytest -n auto --full" in ci


NAMED = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|ts|txt|toml))`")


def unknown_files(text, files):
    """The files that a text names and that are nowhere: by the end of a path, as `ad/sweep.py`."""
    return [name for name in NAMED.findall(text) if not any(f"/{file}".endswith(f"/{name}") for file in files)]


def test_a_file_that_is_nowhere_is_found():
    files = ["src/payback/ad/sweep.py", "docs/glass.md"]
    assert unknown_files("see `sweep.py`, `ad/sweep.py` and `docs/glass.md`", files) == []
    assert unknown_files("see `weep.py`, `run/sweep.py`", files) == ["weep.py", "run/sweep.py"]


def test_the_files_that_notes_and_sources_name_are_there():
    texts = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "design.md", *(ROOT / "src").rglob("*.py")]
    folders = [ROOT / name for name in ("src", "tests", "benchmarks", "docs", "ui/src")]
    files = [p.as_posix() for p in ROOT.glob("*.*")] + [p.as_posix() for folder in folders for p in folder.rglob("*.*")]
    missing = {str(p.relative_to(ROOT)): unknown_files(p.read_text("utf-8"), files) for p in texts}
    assert {name: found for name, found in missing.items() if found} == {}


DOCUMENT = """
```python
a = 2
```
```python
>>> a + 1
{answer}
```
```sh
not run
```
"""


def test_a_wrong_answer_in_a_document_is_found():
    assert run_python(blocks(DOCUMENT.format(answer=3), "x.md", "python")) == ""
    assert "x.md" in run_python(blocks(DOCUMENT.format(answer=4), "x.md", "python"))
    with pytest.raises(ZeroDivisionError):
        run_python(blocks("text\n\n```python\n1 / 0\n```\n", "x.md", "python"))
