"""Where code without a file has its text from: the program still holds it, and it must be that very text."""

from __future__ import annotations

import json
import linecache
import subprocess
import sys

import numpy as np
import pytest

import payback as pb
from payback.errors import MutationError, TraceError
from payback.ir import loops

TEXT = "def f(x, y):\n    z = np.log(x - y) * np.exp(y); return z + np.sqrt(x)\n"


def made(text, name="<string>"):
    space = {"np": np, "__name__": "user"}
    exec(compile(text, name, "exec"), space)
    return space["f"]


def told(f):
    return [str(origin) for origin in pb.why_nan(f, 1.0, 1.0)]


def test_a_string_that_the_program_holds():
    text = TEXT
    assert told(made(text)) == ["<string>:2 in f: np.log(x - y) is -inf (x - y = 0): log needs x > 0"]
    book = pb.explain(made(text, "<program>"), 2.0, 1.0)
    assert book["z"].where.text == "np.log(x - y) * np.exp(y)"
    (source,) = json.loads(book.to_json())["sources"]
    assert source == {"file": "<program>", "first": 2, "lines": [TEXT.splitlines()[1]]}


def test_a_string_in_the_code_itself():
    space = {"np": np, "__name__": "user"}
    exec("f = lambda x, y: [np.log(x * k - y) for k in (2, 1)][1] + np.exp(x)", space)
    (origin,) = told(space["f"])
    assert origin.startswith("<string>:1 in <listcomp>: np.log(x * k - y) is -inf" if sys.version_info < (3, 12)
                             else "<string>:1 in <lambda>: np.log(x * k - y) is -inf")  # fmt: skip


@pytest.mark.parametrize(
    "other", [TEXT.replace("x - y", "y - x"), TEXT.replace("z = ", "z =  "), "\n" + TEXT, TEXT.replace("sqrt", "tanh")]
)
def test_another_text_is_not_taken_for_it(monkeypatch, other):
    monkeypatch.setattr("payback.ir.source._found", {})
    monkeypatch.setattr("payback.ir.source._strings", lambda: iter([other, "f(x, y):", "\0"]))
    (origin,) = told(made(TEXT))
    assert origin == "<string>:2, columns 9 to 21 in f: log is -inf (sub = 0): log needs x > 0"


def test_lines_that_are_known_by_the_name_of_all_strings(monkeypatch):
    """Python 3.13.0 keeps those of `python -c`."""
    other = "import payback\n" * 5
    monkeypatch.setitem(linecache.cache, "<string>", (len(other), None, other.splitlines(True), "<string>"))
    text = TEXT
    assert told(made(text)) == ["<string>:2 in f: np.log(x - y) is -inf (x - y = 0): log needs x > 0"]


def test_errors_show_lines_of_a_string(monkeypatch):
    text = "KEPT = np.ones(2)\ndef f(x):\n    KEPT[0] = x[0]\n    return KEPT[0]\n"
    with pytest.raises(MutationError, match=r"<string>:1.*KEPT = np\.ones\(2\)"):
        pb.grad(made(text))(np.ones(2))
    text = "def f(x):\n    for _ in range(100):\n        x = x * 2.0\n    return x\n"
    monkeypatch.setattr(loops, "LIMIT", 50)
    with pytest.raises(TraceError, match=r"the loop 'for _ in range\(100\):' \(<string>:2\)"):
        pb.compile(made(text))(np.ones(2))


def test_a_cell_of_a_notebook():
    linecache.cache["<cell 7>"] = (len(TEXT), None, TEXT.splitlines(True), "<cell 7>")
    try:
        assert told(made(TEXT, "<cell 7>"))[0].startswith("<cell 7>:2 in f: np.log(x - y) is -inf")
    finally:
        del linecache.cache["<cell 7>"]


def test_the_command_line():
    program = f"import numpy as np, payback as pb\n{TEXT}print(pb.why_nan(f, 1.0, 1.0)[0])"
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert made.stdout == "<string>:3 in f: np.log(x - y) is -inf (x - y = 0): log needs x > 0\n"
