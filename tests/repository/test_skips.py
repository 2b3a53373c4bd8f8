"""The rule of tests/conftest.py: with --full, or where CI=true, a test that was skipped is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SKIPPED = "import pytest\ndef test_that_needs_a_program():\n    pytest.skip('no such program')\n"
NOT_COLLECTED = "import pytest\npytest.importorskip('no_such_module', reason='no such module')\n"
EXPECTED_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_known_bug():\n    assert False\n"


def run(folder, text, *options, **environment):
    (folder / "test_inner.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", *options, "test_inner.py"]
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    variables |= {"PYTHONPATH": str(TESTS), **environment}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "reason"), [(SKIPPED, "no such program"), (NOT_COLLECTED, "no such module")], ids=["test", "module"]
)
@pytest.mark.parametrize(("options", "environment"), [(["--full"], {}), ([], {"CI": "true"})], ids=["full", "CI"])
def test_a_skip_is_a_failure(text, reason, options, environment, tmp_path):
    done = run(tmp_path, text, *options, **environment)
    assert done.returncode != 0
    assert reason in done.stdout
    assert "every test must run" in done.stdout


def test_a_skip_is_a_skip_otherwise(tmp_path):
    done = run(tmp_path, SKIPPED)
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_an_expected_failure_is_not_a_skip(tmp_path):
    done = run(tmp_path, EXPECTED_FAILURE, "--full")
    assert done.returncode == 0
    assert "1 xfailed" in done.stdout


def test_full_reaches_the_number_of_cases(tmp_path):
    text = (
        "import amount, pytest\n@pytest.mark.parametrize('i', range(amount.cases(2, 5)))\ndef test_case(i):\n    pass\n"
    )
    assert "2 passed" in run(tmp_path, text).stdout
    assert "5 passed" in run(tmp_path, text, "--full").stdout
