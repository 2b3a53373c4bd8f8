"""`FILE.py:function`: how the file is loaded."""

from __future__ import annotations

import math
import sys

import pytest

import payback as pb
from payback.cli.target import MODULE, program
from payback.cli.terminal import Output
from payback.errors import InputError

FILES = {
    "helper.py": "def double(x): return 2 * x\n",
    "inner/beside.py": "def square(x): return x * x\n",
    "inner/mod.py": "import numpy as np\n"
    "import beside\n"
    "from ..helper import double\n"
    "from . import beside as again\n\n"
    "def f(x):\n    from .beside import square\n"
    "    return np.sin(double(x)) + square(x) + again.square(beside.square(x))\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """outer/inner/mod.py and what it imports, in a folder without packages."""
    for name, text in FILES.items():
        file = tmp_path / "outer" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name == "beside" or name.partition(".")[0] in ("outer", "inner")]:
        del sys.modules[name]


@pytest.mark.parametrize("cwd", [".", "outer", "outer/inner"])
def test_a_file_in_a_package_imports_as_with_python_m(folder, monkeypatch, cwd):
    (folder / "outer" / "__init__.py").touch()
    (folder / "outer" / "inner" / "__init__.py").touch()
    monkeypatch.chdir(cwd)
    path = list(sys.path)
    with program(f"{'outer/inner/mod.py'.removeprefix(cwd).lstrip('/')}:f", Output()) as target:
        assert pb.grad(target.function)(1.5) == pytest.approx(2 * math.cos(3.0) + 3.0 + 4 * 1.5**3, rel=1e-14)
        assert target.function.__module__ == MODULE
    assert sys.path == path


def test_without_a_package_the_error_says_what_is_missing(folder):
    with (
        pytest.raises(InputError, match="Put an __init__"),
        program("outer/inner/mod.py:f", Output()),
    ):
        pass
