"""`import payback` is light, and every module can be the first one that a program imports."""

import json
import subprocess
import sys

import amount


def fresh(code):
    """Run `code` in a new interpreter, and return the JSON that it prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_payback_loads_numpy_and_nothing_heavier():
    loaded = fresh(
        "import sys, json\n"
        "before = set(sys.modules)\n"
        "import payback\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(json.dumps(sorted(tops - set(sys.stdlib_module_names))))\n"
    )
    assert set(loaded) <= {"numpy", "payback"}
    assert "payback" in loaded


def test_a_small_program_is_compiled_without_what_it_does_not_need():
    loaded = fresh(
        "import json, os, sys, numpy as np, payback as pb\n"
        "os.environ['PAYBACK_CACHE'] = 'off'\n"
        "pb.compile(pb.grad(lambda x: np.sum(np.sin(x) * x)))(np.ones(5))\n"
        "print(json.dumps([name.removeprefix('payback.native.') for name in sys.modules]))\n"
    )
    if "lower.nests.nest" in loaded:  # there is machine code
        assert "vector_math.trigonometric" in loaded
        unneeded = (
            "lower.linalg.factored",
            "lower.fourier",
            "lower.walk",
            "tape.bodies",
            "vector_math.gamma",
            "statistics",
        )
        assert not set(unneeded) & set(loaded)


def test_what_is_imported_when_it_is_called_is_there():
    """Names of functions in texts, which no linter looks into."""
    missing = fresh(
        "import importlib, inspect, json, numpy, payback.ir.later as named\n"
        "made = []\n"
        "later, named.later = named.later, lambda *names: made.append(names) or later(*names)\n"
        "for place in ('running.program', 'vector_math', 'tape.recorder', 'lower.linalg.halves'):\n"
        "    importlib.import_module('payback.native.' + place)\n"
        "assert len(made) > 40\n"
        "found = [(name, hasattr(importlib.import_module('payback.' + file), name)) for file, name in made]\n"
        "print(json.dumps([name for name, there in found if not there]))\n"
    )
    assert not missing


def test_every_module_can_be_imported_first():
    """A cycle of imports shows only in some orders, so payback is forgotten before each module is imported."""
    apart = amount.cases(40, 1)  # few in the everyday run
    broken = fresh(
        "import importlib, json, pkgutil, sys, numpy, payback\n"
        "names = [m.name for m in pkgutil.walk_packages(payback.__path__, 'payback.')]\n"
        "broken = {}\n"
        f"for name in names[::{apart}]:\n"
        "    if name == 'payback.__main__':\n"
        "        continue\n"
        "    for known in [m for m in sys.modules if m.partition('.')[0] == 'payback']:\n"
        "        del sys.modules[known]\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except Exception as error:\n"
        "        broken[name] = repr(error)\n"
        "assert 'payback.errors' in names\n"
        "print(json.dumps(broken))\n"
    )
    assert broken == {}
