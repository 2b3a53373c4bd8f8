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


def test_every_module_can_be_imported_first():
    """A cycle of imports shows only in some orders, so payback is forgotten before each module is imported."""
    apart = amount.cases(16, 1)  # few in the everyday run
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
