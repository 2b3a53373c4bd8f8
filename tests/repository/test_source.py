"""Laws that can be read off the source: nothing is evaluated or unpickled, files are short, no machine is named."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))

FORBIDDEN_CALLS = {"eval", "exec", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "cloudpickle", "dill", "joblib"}
WORDS = re.compile("|".join([*FORBIDDEN_CALLS, *FORBIDDEN_MODULES]))


def offences(text):
    """What the source `text` does that no file of payback may do."""
    found: list[str] = []
    if not WORDS.search(text):  # nor can it be
        return found
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                found.append(f"line {node.lineno}: calls {name}")
            case ast.Import(names=names):
                imported = {alias.name.partition(".")[0] for alias in names}
                found += [f"line {node.lineno}: imports {name}" for name in sorted(imported & FORBIDDEN_MODULES)]
            case ast.ImportFrom(module=str(module), level=0) if module.partition(".")[0] in FORBIDDEN_MODULES:
                found.append(f"line {node.lineno}: imports {module}")
            case ast.keyword(arg="allow_pickle", value=value) if getattr(value, "value", None) is not False:
                found.append(f"line {node.value.lineno}: allows pickle")
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = eval('1')", ["line 1: calls eval"]),
        ("def f():\n    exec('x = 1')", ["line 2: calls exec"]),
        ("import os, pickle", ["line 1: imports pickle"]),
        ("from marshal import loads", ["line 1: imports marshal"]),
        ("np.load(f, allow_pickle=True)", ["line 1: allows pickle"]),
        ("np.load(f, allow_pickle=False); model.eval()", []),
    ],
)
def test_the_scan_finds_what_it_looks_for(text, found):
    assert offences(text) == found


def test_no_file_evaluates_or_unpickles():
    assert SOURCES
    assert {str(p.relative_to(ROOT)): found for p in SOURCES if (found := offences(p.read_text("utf-8")))} == {}


def test_a_file_fits_in_a_head():
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text("utf-8").splitlines())) > 450}
    assert long == {}


IMPORT = re.compile(r"^ *from payback[\w.]* import (\([^)]*\)|.*)", re.M)


def private_names(text):
    return [
        name
        for names in IMPORT.findall(text)
        for name in re.findall(r"(?<!\w)(?<!as )_[^_]\w*", names.partition("#")[0])
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from payback.ops.row import _rule", ["_rule"]),
        ("    from payback import (\n    a,\n    _b as c,\n    d as _e,\n)\n_d = 1", ["_b"]),
        ("from payback.ops import __version__, a_b  # _c\nfrom other import _d", []),
    ],
)
def test_a_private_name_is_seen(text, found):
    assert private_names(text) == found


def test_what_several_modules_use_has_a_public_name():
    assert {str(p.relative_to(ROOT)): found for p in SOURCES if (found := private_names(p.read_text("utf-8")))} == {}


def test_a_file_that_the_text_speaks_of_is_there():
    """In backticks, in a docstring or a comment; it outlives no file that is renamed."""
    files = {
        path.relative_to(ROOT).as_posix()
        for place in ("src", "tests", "benchmarks")
        for path in (ROOT / place).rglob("*.py")
    }
    for path in [*SOURCES, ROOT / "docs" / "design.md", ROOT / "CONTRIBUTING.md"]:
        for name in re.findall(r"`([\w/]+\.py)`", path.read_text("utf-8")):
            assert name in files or any(file.endswith(f"/{name}") for file in files), (path, name)


# Written so that it does not match itself.
MACHINE = re.compile(
    r"(?<![\w.])/(?:root|work|home|Users)/|\bpypi\.(?:org|python)|pythonhosted\.(?:org)|npmjs\.(?:org|com)|\.py(?:env)\b"
)
TEXT = {".py", ".md", ".toml", ".ts", ".css", ".html", ".json", ".yml", ".yaml", ".csv", ".sh", ""}


def test_the_pattern_knows_a_machine_when_it_sees_one():
    for text in ("/wor" + "k/main/x.py", "see '/roo" + "t/.cache'", "https://pypi" + ".org/simple"):
        assert MACHINE.search(text)
    for text in ("docs/work/notes.md", "a/root/b", "pypi", "https://numpy.org"):
        assert not MACHINE.search(text)


def test_no_file_names_a_machine_or_a_registry():
    places = [ROOT / part for part in ("src", "tests", "docs", "benchmarks", "ui", ".ci")]
    files = [p for place in places for p in place.rglob("*")] + list(ROOT.glob("[!.]*.*"))
    named = {}
    for path in files:
        if path.is_file() and path.suffix in TEXT and not {"node_modules", ".git"} & set(path.parts):
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                if MACHINE.search(line):
                    named[f"{path.relative_to(ROOT)}:{number}"] = line.strip()
    assert named == {}
