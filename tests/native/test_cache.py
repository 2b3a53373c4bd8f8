"""Compiled code on disk: found again, never trusted blindly, never in the way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from typing import NamedTuple

import numpy as np
import pytest

import amount
from payback.native.codegen import cache

SCRIPT = """
import numpy as np, payback as pb
from payback.native.codegen import library
f = pb.compile(lambda x: np.tanh(x * 3.0) + x.sum())
assert np.allclose(f(np.arange(9.0)), np.tanh(np.arange(9.0) * 3.0) + 36.0)
print(library.seconds["emit"] > 0)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.SETTING, str(tmp_path / "code"))
    monkeypatch.setattr(cache, "_warned", False)
    monkeypatch.setattr(cache, "_keys", {})
    return tmp_path / "code"


# A process that has imported what compiling takes, and has compiled nothing: its children do what is asked for.
PARENT = """
import json, os, sys, traceback
import numpy, payback
from payback.native.codegen import assemble, cache, library

for line in sys.stdin:
    script, where = json.loads(line)
    pipes = [os.pipe() for _ in range(2)]
    child = os.fork()
    if child == 0:
        os.environ[cache.SETTING] = where
        for number, (_, end) in enumerate(pipes, 1):
            os.dup2(end, number)
        failed = 0
        try:
            exec(script, {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
            failed = 1
        sys.stdout.flush()
        os._exit(failed)
    told = []
    for start, end in pipes:
        os.close(end)
        with open(start) as stream:
            told.append(stream.read())
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), *told]), flush=True)
"""


@pytest.fixture(scope="module", autouse=True)
def parent():
    global _parent
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as _parent:
        yield


def run(where, script):
    """(exit code, standard output, standard error) of a process that has compiled nothing before."""
    print(json.dumps([script, str(where)]), file=_parent.stdin, flush=True)
    return Done(*json.loads(_parent.stdout.readline()))


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def compiled(where):
    """Whether such a process had to compile; its warnings."""
    done = run(where, SCRIPT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True", done.stderr


def test_another_process_finds_the_code(home):
    for first in (True, False):
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=os.environ | {cache.SETTING: str(home)},
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert (done.stdout.strip() == "True", done.stderr) == (first, "")
    assert home.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in home.iterdir())


COMMON = """
import numpy as np, payback as pb
from payback.native.codegen import library
asked, module_of = [], library.module_of
library.module_of = lambda keys: asked.extend(keys) or module_of(keys)
{}
print(len(asked), len(library._addresses))
"""
FIRST = "pb.compile(lambda x, y: (np.tanh(x) @ y).sum(0))(np.ones((5, 6)), np.ones((6, 7)))"
SECOND = "pb.compile(lambda x, y: (np.exp(np.tanh(x) @ y)).sum(0))(np.ones((15, 16)), np.ones((16, 17)))"


def asked_for(where, *programs):
    """How many kernels a fresh process compiled, and how many it used."""
    done = run(where, COMMON.format("\n".join(programs)))
    assert done.returncode == 0, done.stderr
    return tuple(map(int, done.stdout.split()))


def test_another_program_finds_what_it_has_in_common(home, tmp_path):
    made, used = asked_for(home, FIRST)
    assert made == used
    alone, of_second = asked_for(tmp_path / "other", SECOND)
    assert alone == of_second
    new, used_again = asked_for(home, SECOND)
    assert 0 < new < alone
    assert used_again == of_second
    assert asked_for(home, SECOND, FIRST)[0] == 0  # of several entries, some kernels asked for twice


def test_a_list_that_names_what_is_gone_is_no_trouble(home):
    assert compiled(home) == (True, "")
    for entry in home.glob("*.code"):
        entry.unlink()
    assert compiled(home) == (True, "")
    assert compiled(home) == (False, "")
    for entry in home.glob("*.list"):
        entry.write_bytes(b"")
    for entry in home.glob("*.plan"):  # which names code itself
        entry.unlink()
    assert compiled(home) == (True, "")
    assert compiled(home) == (False, "")


def test_kernels_in_several_objects_need_all_of_them(home):
    """What one part calls, another has: without it LLVM would end the process."""
    script = SCRIPT.replace("\nf =", "\nlibrary.PART = 1000\nf =")

    def run_parts():
        return run(home, script).stdout.strip() == "True"

    assert run_parts()
    entries = sorted(home.glob("*.code"))
    assert len(entries) > 2
    for entry in entries[: amount.cases(1, 9)]:
        entry.unlink()
        assert run_parts()  # it is compiled again,
        assert not run_parts()  # and then all of them are there


def test_an_altered_entry_is_compiled_again(home):
    compiled(home)
    entry = max(home.glob("*.code"), key=lambda path: path.stat().st_size)
    good = entry.read_bytes()
    for bad in (good[:-1], b"", good[:40] + bytes([good[40] ^ 1]) + good[41:], bytes(len(good))):
        assert cache.load(entry.name) is not None
        entry.write_bytes(bad)
        assert cache.load(entry.name) is None
        entry.write_bytes(good)
    entry.write_bytes(bad)
    assert compiled(home) == (True, "")
    assert entry.read_bytes()[:32] == good[:32]


def test_an_entry_of_another_name_or_key_is_not_used(home):
    cache.save("a.code", b"code of a")
    assert cache.load("a.code") == b"code of a"
    os.link(home / "a.code", home / "b.code")
    assert cache.load("b.code") is None
    (home / "key.bin").write_bytes(bytes(32))
    cache._keys.clear()
    assert cache.load("a.code") is None


TROUBLES = ["open to others", "link", "file", "entry is a link", "key is short"]
PIPE = ["entry is a pipe"] if hasattr(os, "mkfifo") else []


@pytest.mark.parametrize("trouble", TROUBLES + PIPE)
def test_a_folder_that_cannot_be_trusted_is_not_used(home, trouble, tmp_path):
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    if trouble == "open to others":
        home.mkdir(mode=0o755)
        home.chmod(0o755)
    elif trouble == "link":
        home.symlink_to(real)
    elif trouble == "file":
        home.write_text("")
    elif trouble == "entry is a link":
        cache.save("x.code", b"code")
        (home / "x.code").rename(real / "x.code")
        (home / "x.code").symlink_to(real / "x.code")
    elif trouble == "entry is a pipe":
        home.mkdir(mode=0o700)
        os.mkfifo(home / "x.code", 0o600)  # who opens one waits for somebody who writes
    else:
        home.mkdir(mode=0o700)
        (home / "key.bin").write_bytes(b"short")
        (home / "key.bin").chmod(0o600)
        (home / "x.code").write_bytes(bytes(64))
        (home / "x.code").chmod(0o600)
    with pytest.warns(RuntimeWarning, match="PAYBACK_CACHE"):
        assert cache.load("x.code") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.save("x.code", b"code")  # it is said once
        assert cache.load("x.code") is None


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    again, said = compiled(blocked / "code")
    assert again
    assert said.count("RuntimeWarning") == 1


def test_a_full_disk(home, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        cache.save("x.code", b"code")
    assert not list(home.glob("*.part"))


def test_off(monkeypatch):
    monkeypatch.setenv(cache.SETTING, "off")
    assert cache.folder() is None
    cache.save("x.code", b"code")
    assert cache.load("x.code") is None


def test_the_oldest_entries_go(home, monkeypatch):
    monkeypatch.setattr(cache, "MOST_ENTRIES", 8)
    monkeypatch.setattr(cache, "EACH", 1)
    for k in range(12):
        cache.save(f"{k}.code", b"code")
        os.utime(home / f"{k}.code", (k, k))
    left = {path.stem for path in home.glob("*.code")}
    assert {"9", "10", "11"} <= left
    assert len(left) <= 8
    assert "0" not in left


def test_the_folder_is_looked_through_now_and_then(home, monkeypatch):
    monkeypatch.setattr(cache, "MOST_ENTRIES", 100)
    monkeypatch.setattr(cache, "EACH", 32)
    looked = []
    monkeypatch.setattr(cache, "_prune", lambda home, prune=cache._prune: [looked.append(home), prune(home)])
    for first in range(0, 500, 10):  # several at once count one by one
        cache.save_all({hashlib.sha256(b"%d" % k).hexdigest() + ".code": b"" for k in range(first, first + 10)})
    assert 5 <= len(looked) <= 40
    assert len(list(home.glob("*.code"))) <= 100 + 2 * cache.EACH


def test_what_another_process_has_removed_meanwhile_is_no_trouble(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.SETTING, str(tmp_path / "code"))
    monkeypatch.setattr(cache, "MOST_ENTRIES", 8)
    monkeypatch.setattr(cache, "EACH", 1)
    for k in range(8):
        cache.save(f"{k:040x}.code", b"code")
    scandir = os.scandir

    def removing(folder):
        entries = list(scandir(folder))
        for entry in entries[::2]:
            os.unlink(entry.path)
        return iter(entries)

    monkeypatch.setattr(cache.os, "scandir", removing)
    cache.save(f"{8:040x}.code", b"code")
    monkeypatch.undo()
    assert 2 <= len(list((tmp_path / "code").glob("*.code"))) <= 5


def test_names_depend_on_the_kernels():
    assert cache.name_of(["a", "b"]) != cache.name_of(["a", "c"])
    assert cache.name_of(["a"]) == cache.name_of(["a"])
    assert np.all([len(cache.name_of([str(k)])) == 45 for k in range(3)])


def test_a_disk_that_takes_nothing_more(home):
    """The system refuses every byte that is written to a file: one warning, and the right result."""
    resource = pytest.importorskip("resource")
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + SCRIPT
    assert resource.RLIMIT_FSIZE >= 0
    done = run(home, script)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
    assert not list(home.glob("*.part"))
    assert compiled(home) == (True, "")  # and later it is kept


def test_a_folder_that_may_only_be_read(home):
    """What is there is used without a word; what is new is compiled each time, with one warning."""
    assert compiled(home) == (True, "")
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    only_read = """
import tempfile
def refused(*_, **__):
    raise OSError(30, "Read-only file system")
tempfile.mkstemp = refused
"""
    done = run(home, only_read + SCRIPT)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
    done = run(home, only_read + SCRIPT.replace("np.tanh(x * 3.0)", "np.tanh(x * 3.0) + (x * x - x * x)"))
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip(), done.stderr.count("RuntimeWarning")) == ("True", 1)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


@pytest.mark.parametrize(
    ("number", "again"), [(1, True), (2, True), (4, False), (7, False)][: amount.cases(1, 4)]
)  # the key, the code, then what lists kernels
def test_a_process_that_is_killed_while_it_writes(home, number, again):
    """What was written before is whole, what was not yet is not there, and the next process is not disturbed: it
    compiles `again`, or finds the code."""
    killed = f"""
import os, signal
real, count = os.replace, []
def replace(*paths):
    count.append(paths)
    if len(count) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*paths)
os.replace = replace
"""
    assert run(home, killed + SCRIPT).returncode == -9
    assert len(list(home.glob("*.part"))) == 1
    assert compiled(home) == (again, "")


def test_two_processes_at_once(home):
    command = [sys.executable, "-c", SCRIPT]
    both = [subprocess.Popen(command, env=os.environ | {cache.SETTING: str(home)}, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True) for _ in range(2)]  # fmt: skip
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [error for _, error in told] == ["", ""]
    assert compiled(home) == (False, "")
