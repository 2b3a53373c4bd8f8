"""The rule of tests/conftest.py: with --full, or where CI=true, a test that was skipped is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = {
    "test_skipped.py": "import pytest\ndef test_that_needs_a_program():\n    pytest.skip('no such program')\n",
    "test_not_collected.py": "import pytest\npytest.importorskip('no_such_module', reason='no such module')\n",
    "test_expected.py": "import pytest\n@pytest.mark.xfail\ndef test_known_bug():\n    assert False\n",
    "test_many.py": "import amount, pytest\n"
    "@pytest.mark.parametrize('i', range(amount.cases(2, 5)))\ndef test_case(i):\n    pass\n",
}
FAILURES = {  # what must be told where every test must run
    "FAILED test_skipped.py": "no such program (with --full or CI=true every test must run)",
    "ERROR test_not_collected.py": "no such module (with --full or CI=true every test must run)",
}


@pytest.mark.parametrize(
    ("options", "environment", "failures", "passed"),
    [([], {}, {}, 2), (["--full"], {}, FAILURES, 5), ([], {"CI": "true"}, FAILURES, 2)],
    ids=["usual", "full", "CI"],
)
def test_a_skip_is_a_failure_where_every_test_must_run(options, environment, failures, passed, tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-rA",
               "--continue-on-collection-errors", *options]  # fmt: skip
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    variables |= {"PYTHONPATH": str(TESTS), **environment}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == bool(failures)
    for outcome, reason in FAILURES.items():
        assert (outcome in done.stdout) == bool(failures)
        assert (reason in done.stdout) == bool(failures)
    assert f"{passed} passed" in done.stdout  # `amount.cases(2, 5)`, in the usual run and with --full
    assert "1 xfailed" in done.stdout  # an expected failure did run
