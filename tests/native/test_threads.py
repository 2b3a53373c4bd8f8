"""One native program in several threads: every part runs, barriers hold, nothing waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import amount
from payback import native
from payback.errors import InputError
from payback.native import ir
from payback.native.codegen.emit import INT, POINTER, Compiled, Emitter
from payback.native.running import cores, threads
from payback.native.running.program import Program
from payback.trace.abstract import trace

ROUNDS = 200


def program(body) -> Compiled:
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, INT, INT]), "program")
    e = Emitter(module, ir.IRBuilder(function.append_basic_block()))
    body(e, *function.args)
    e.b.ret_void()
    return Compiled(module)


def barrier_program(wait=threads.emit_barrier) -> Compiled:
    """Every thread adds up what all wrote in this round: wrong, if one reads too early or writes too soon.

    Memory: the barrier's state, then a sum for each thread, then two rows of one number for each thread.
    """

    def body(e, memory, thread, count):
        b = e.b
        sums, row = e.at(memory, 16, INT), e.at(memory, 32, INT)
        with e.loop(0, ROUNDS) as i:
            mine = b.add(b.mul(b.and_(i, e.int(1)), e.int(16)), thread)
            e.store(b.mul(i, b.add(thread, e.int(1))), row, mine)
            wait(e, memory, count)
            with e.loop(0, count) as other:
                at = b.add(b.mul(b.and_(i, e.int(1)), e.int(16)), other)
                e.store(b.add(e.load(sums, thread, INT), e.load(row, at, INT)), sums, thread)

    return program(body)


def memory_of_job() -> np.ndarray:
    memory = np.zeros(80, np.int64)
    start = -memory.ctypes.data % 64 // 8
    return memory[start : start + 64]


def run_rounds(compiled: Compiled, count: int) -> None:
    memory = memory_of_job()
    threads.run(compiled.address("program"), memory.ctypes.data, count)
    total = sum(range(ROUNDS)) * count * (count + 1) // 2
    assert memory[16 : 16 + count].tolist() == [total] * count


@pytest.fixture(scope="module")
def rounds():
    return barrier_program()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_a_barrier_holds_also_with_more_threads_than_cores(rounds, count):
    for _ in range(amount.cases(5, 50, 200)):
        run_rounds(rounds, count)


def test_a_missing_barrier_is_caught():
    """That the test above can fail: three threads on their own see what others have not written yet."""
    loose = barrier_program(lambda e, memory, count: None)

    def many_times():
        for _ in range(1000):
            run_rounds(loose, 3)

    with pytest.raises(AssertionError):
        many_times()


def test_several_python_threads_run_jobs_at_once(rounds):
    failures = []

    def user():
        try:
            for _ in range(10):
                run_rounds(rounds, 3)
        except BaseException as error:
            failures.append(error)

    users = [threading.Thread(target=user) for _ in range(4)]
    for one in users:
        one.start()
    for one in users:
        one.join()
    assert not failures


def test_workers_are_kept_and_do_nothing_between_jobs(rounds):
    run_rounds(rounds, 4)
    kept = {thread for thread in threading.enumerate() if thread.name == "payback"}
    for _ in range(5):
        run_rounds(rounds, 4)
    assert {thread for thread in threading.enumerate() if thread.name == "payback"} == kept
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1  # a thread that spins would have used 0.2 s


@pytest.fixture
def no_more_threads(monkeypatch):
    """The system lets this process start no further thread, but for so many."""
    monkeypatch.setattr(threads, "_idle", [])
    monkeypatch.setattr(threads, "_warned", False)
    left, start = [0], threading.Thread.start

    def refusing(self):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    return lambda count: left.__setitem__(0, count)


@pytest.mark.parametrize("more", [0, 2])
def test_fewer_threads_than_asked_for(rounds, no_more_threads, more):
    """One does it all, with one warning; as soon as all can be had, they are used."""
    no_more_threads(more)
    memory = memory_of_job()
    with pytest.warns(RuntimeWarning, match=r"on one thread, not on 5: can't start new thread; .*PAYBACK_THREADS$"):
        threads.run(rounds.address("program"), memory.ctypes.data, 5)
    assert memory[16:21].tolist() == [sum(range(ROUNDS)), 0, 0, 0, 0]
    no_more_threads(4 - more)
    run_rounds(rounds, 5)


def test_a_program_for_many_threads_on_one(no_more_threads, monkeypatch):
    """Also compiled without helpers: the bits that it has on one thread."""
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)

    def f(w, x):
        h = np.tanh(x @ w)
        return h @ w.T + np.mean(h, axis=1, keepdims=True), np.sum(h, axis=0), np.sum(np.exp(h)), h.T @ x

    x = np.random.default_rng(0).standard_normal((3000, 70))
    graph = trace(f, x[:70, :60], x).graph
    cores.set_threads(1)
    try:
        expected = Program(graph)(x[:70, :60], x)
        cores.set_threads(6)
        program = Program(graph)
        assert program.segment.threads == 6
        monkeypatch.setattr(threads, "_warned", True)
        for more in (0, 2, 3):  # two of them are there then
            no_more_threads(more)
            found = program(x[:70, :60], x)
            assert [a.tobytes() for a in found] == [b.tobytes() for b in expected]
    finally:
        cores.set_threads(None)


@pytest.mark.parametrize("fork", [os.fork] if hasattr(os, "fork") else [])
def test_the_child_of_a_fork_makes_its_own_workers(rounds, fork):
    run_rounds(rounds, 3)
    child = fork()
    if child == 0:
        try:
            run_rounds(rounds, 3)
            os._exit(42)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


INTERRUPTED = """
import signal, sys
sys.path[:0] = {path!r}
from native.test_threads import barrier_program, run_rounds
armed = pending = False

def interrupt(*_):
    global armed, pending
    if armed:
        armed = False
        raise KeyboardInterrupt
    pending = True

signal.signal(signal.SIGINT, interrupt)
compiled = barrier_program()
run_rounds(compiled, 3)
print("ready", flush=True)
while True:
    try:
        armed = True
        while not pending:
            run_rounds(compiled, 3)
    except KeyboardInterrupt:
        pass
    armed = pending = False
    run_rounds(compiled, 3)
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("interrupt", [signal.SIGINT] if sys.platform != "win32" else [])
def test_ctrl_c_comes_between_jobs_and_leaves_them_whole(interrupt):
    script = INTERRUPTED.format(path=sys.path)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for i in range(amount.cases(10, 200)):
            time.sleep(0.001 * (i % 7))
            process.send_signal(interrupt)
            assert process.stdout.readline() == "interrupted\n"
        process.kill()


@pytest.mark.parametrize(
    ("f", "shape", "count"),
    [
        (lambda x: x @ x, (600, 600), 3),
        (lambda x: np.tanh(x) + 1.0, (2000, 1000), 3),
        (lambda x: x @ x, (50, 50), 1),  # is done before another has begun
        (lambda x: np.cumsum(np.sum(x.T + 1.0, axis=0)), (100, 80), 1),
    ],
)
def test_who_wakes_others(f, shape, count):
    """Only what gains by it: much is computed for each number that goes from one core to another."""
    cores.set_threads(3)
    try:
        program = Program(trace(f, np.ones(shape)).graph)
    finally:
        cores.set_threads(None)
    assert program.segment.threads == count


def test_how_many_threads(monkeypatch):
    monkeypatch.delenv(cores.VARIABLE, raising=False)
    assert cores.threads() == cores.cores()
    monkeypatch.setenv(cores.VARIABLE, "3")
    assert cores.threads() == 3
    cores.set_threads(5)
    try:
        assert cores.threads() == 5
    finally:
        cores.set_threads(None)


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", True, cores.MOST + 1])
def test_a_number_of_threads_is_a_whole_number(count):
    with pytest.raises(InputError, match=r"^set_threads\(.*\): .* is a whole number from 1 to 1,024, or None\.$"):
        cores.set_threads(count)


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5", "1025", "9" * 5000])
def test_the_variable_is_checked(text, monkeypatch):
    monkeypatch.setenv(cores.VARIABLE, text)
    told = r"^PAYBACK_THREADS='.*: a number of threads is a whole number from 1 to 1,024\. Unset PAYBACK_THREADS\.$"
    with pytest.raises(InputError, match=told):
        cores.threads()


def test_machine_code_is_turned_off_by_words_that_say_so(monkeypatch):
    for word, on in (("", True), ("1", True), ("on", True), ("0", False), ("off", False)):
        monkeypatch.setenv(native.VARIABLE, word)
        assert native.available() is on
    monkeypatch.setenv(native.VARIABLE, "no")
    with pytest.raises(InputError, match=r"^PAYBACK_NATIVE='no': .* Unset PAYBACK_NATIVE\.$"):
        native.available()
