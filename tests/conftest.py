"""Options and rules for all tests: see CONTRIBUTING.md."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import zlib
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, settings

import amount


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="generate more cases of the same tests (for CI)")
    parser.addoption("--soak", action="store_true", help="generate far more cases still (for a night)")
    parser.addoption(
        "--browser", action="store_true", help="also test the pages in a headless Chromium (tests/browser)"
    )


def pytest_ignore_collect(collection_path, config):
    """What needs a browser is not collected without one, rather than skipped."""
    if collection_path.name == "browser" and not config.getoption("--browser"):
        return True
    return None


def pytest_configure(config):
    soak = config.getoption("--soak")
    full = soak or config.getoption("--full")
    os.environ[amount.VARIABLE] = "2" if soak else "1" if full else "0"
    if not hasattr(config, "workerinput"):  # of several processes the first knows what was asked for
        everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        os.environ[DRAWN] = str(int(everything and not full))
    if "PAYBACK_CACHE" not in os.environ:  # compiled code goes into a folder of this run, not into the user's
        config.folder_of_run = tempfile.TemporaryDirectory(prefix="payback-tests-")
        os.environ["PAYBACK_CACHE"] = os.path.join(config.folder_of_run.name, "code")
        if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # bytecode too: each process would compile all anew
            os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(config.folder_of_run.name, "bytecode")
    config.pluginmanager.register(OneFile())
    # Deterministic: the same examples in every run.  No deadlines: a slow machine is not a failure.
    rules = dict(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("everyday", max_examples=25, **rules)
    settings.register_profile("full", max_examples=100, **rules)
    settings.register_profile("soak", max_examples=1000, **rules)
    settings.load_profile("soak" if soak else "full" if full else "everyday")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is collected stays: the garbage collector does not look through it, neither now nor with every test.  It
    comes seldom, for most of what tests make goes without it, and hypothesis takes the time whenever it comes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


class OneFile:
    """As in a program of one file, of the files of tests only the one that runs is in sys.modules: a trace goes through
    all modules of the user's, and with hundreds of them that was a fifth of the time of all tests."""

    def __init__(self):
        self.running = None

    def pytest_collection_finish(self):
        for name in [name for name in sys.modules if name.startswith("tests.")]:
            del sys.modules[name]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        if isinstance(item, pytest.Function) and item.module is not self.running:
            if self.running is not None:
                sys.modules.pop(self.running.__name__, None)
            self.running = item.module
            sys.modules[self.running.__name__] = self.running
        return (yield)


DRAWN = "PAYBACK_TEST_DRAWN"


def pytest_collection_modifyitems(config, items):
    """Where all tests are run, a part of the cases of those that have many, drawn by name; all of them with --full."""
    if os.environ[DRAWN] == "0":
        return
    families = defaultdict(list)
    for item in items:
        families[item.nodeid.partition("[")[0]].append(item)
    drawn = {
        item
        for family in families.values()
        for item in sorted(family, key=lambda item: zlib.crc32(item.nodeid.encode()))[: _kept(len(family))]
    }
    if len(drawn) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in drawn])
        items[:] = [item for item in items if item in drawn]


def _kept(cases):
    """Of so many cases of one test: all, or a third."""
    return cases if cases <= 3 else -(-cases // 3)


@pytest.fixture
def heard():
    """As in a terminal: a program that a shell starts in the background ignores Ctrl-C, and so does what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _skips_are_failures(config) -> bool:
    return config.getoption("--full") or config.getoption("--soak") or os.environ.get("CI") == "true"


def _fail_if_skipped(report):
    """A test that was not run proves nothing.  (An expected failure also counts as skipped; it did run.)"""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome, report.longrepr = "failed", f"{reason} (with --full or CI=true every test must run)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if _skips_are_failures(item.config):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if _skips_are_failures(collector.config):
        _fail_if_skipped(report)
    return report
