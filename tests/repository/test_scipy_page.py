"""docs/scipy.md names every function of SciPy that is answered; `python test_scipy_page.py` writes their names."""

from pathlib import Path

from payback.trace.shim.libraries import LIBRARIES
from payback.trace.shim.methods import CURVES

PAGE = Path(__file__).parents[2] / "docs" / "scipy.md"
HEAD = "## What is answered\n"


def listed():
    """A line for each part of SciPy."""
    parts = {
        name: {called for called, f in answers.items() if getattr(f, "__name__", "") != "refused"}
        for name, answers in LIBRARIES.items()
        if name.startswith("scipy.") and "._" not in name and answers
    }
    parts["scipy.interpolate"] |= {
        name for name, answers in CURVES.items() if answers["__call__"].__name__ != "refused"
    }
    return "".join(f"* `{part}`: {', '.join(f'`{name}`' for name in sorted(parts[part]))}\n" for part in sorted(parts))


def test_the_page_names_what_is_answered():
    assert PAGE.read_text("utf-8").endswith(HEAD + "\n" + listed()), "run python tests/repository/test_scipy_page.py"


if __name__ == "__main__":
    text = PAGE.read_text("utf-8").partition(HEAD)[0]
    PAGE.write_text(f"{text}{HEAD}\n{listed()}", "utf-8")
