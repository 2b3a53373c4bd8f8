"""docs/reference.md lists the public names, and each says what it does, with an example that runs.

`python tests/repository/test_reference.py` writes the page anew from the docstrings.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import payback as pb
import payback.nn
import payback.optim
import payback.random

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
MODULES = {"pb.nn": payback.nn, "pb.optim": payback.optim, "pb.random": payback.random}
HEAD = """# Reference

Every public name, with the first line of what it says about itself; `help(pb.grad)` says the rest: shapes and dtypes,
what is raised, the source of the method, an example.
"""


def functions():
    """(name, object) of everything public at the top level."""
    return [
        (f"pb.{name}", getattr(pb, name))
        for name in pb.__all__
        if name != "__version__" and callable(getattr(pb, name))
    ]


def first_line(thing):
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]


def page():
    parts = [HEAD, "## payback (`import payback as pb`)\n", _table(functions())]
    for name, module in MODULES.items():
        members = [(f"{name}.{member}", getattr(module, member)) for member in module.__all__]
        parts += [f"## {name}\n", f"{first_line(module)}\n", _table([m for m in members if callable(m[1])])]
        closed = {member: value for member, value in members if isinstance(value, dict)}
        parts += [f"`{member}`: {', '.join(value)}.\n" for member, value in closed.items()]
    return "\n".join(parts)


def _table(members):
    rows = [f"| `{name}` | {first_line(thing).replace('|', chr(92) + '|')} |" for name, thing in members]
    return "\n".join(["| name | what it does |", "|---|---|", *rows, ""])


def test_the_page_is_what_the_docstrings_say():
    assert PAGE.read_text("utf-8") == page(), "run python tests/repository/test_reference.py"


@pytest.mark.parametrize(("name", "thing"), functions())
def test_public_functions_have_an_example(name, thing):
    text = inspect.getdoc(thing) or ""
    if name != "pb.load":  # its example needs a folder: the README's is run
        assert ">>>" in text, f"{name} has no example"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
