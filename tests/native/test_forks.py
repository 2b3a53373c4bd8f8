"""A fork while other threads trace, compile and train: the child has what it needs, and waits for nobody."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import payback as pb
from payback.ir import source
from payback.native.codegen import library
from payback.native.running import reuse
from payback.run import blas
from payback.trace.scalars import floats
from payback.trace.shim import shim
from payback.transforms import audit, bare_numbers

FORK = [os.fork] if hasattr(os, "fork") else []


def f(x):
    return np.sum(np.sin(x) * np.concatenate([x, x])[3:6] + float(threading.get_native_id() % 97))


def works():
    """Traces, compiles something new, trains."""
    x = np.arange(3.0)
    for g in (pb.grad(f), pb.compile(pb.grad(f))):
        np.testing.assert_allclose(g(x), np.cos(x) * np.array([0, 1, 2]) + np.sin(x), rtol=1e-12)
    pb.fit(pb.nn.MLP([1, 1], seed=0), x[:, None], x, epochs=1, validation=0, progress=False)
    return shim.INSTALLED.depth == 0 and shim.INSTALLED.names == []


def in_child(fork, seconds=60):
    child = fork()
    if child == 0:
        signal.alarm(seconds)  # who waits for ever is ended
        try:
            os._exit(42 if works() else 1)
        except BaseException as problem:
            print(problem, flush=True)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def beside():
    """Runs something in a thread, which goes on when the test ends."""
    begun, done, threads = threading.Event(), threading.Event(), []

    def start(run):
        threads.append(threading.Thread(target=run, args=(begun, done)))
        threads[-1].start()
        assert begun.wait(60)

    yield start
    done.set()
    for thread in threads:
        thread.join()


LOCKS = {
    "floats": floats._giving,
    "audit": audit._lock,
    "plainly": bare_numbers._lock,
    "reuse": reuse._lock,
    "blas": blas._lock,
}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("fork", FORK)
def test_locks_that_others_hold_are_free_in_the_child(fork, beside):
    def hold(begun, done):
        for lock in LOCKS.values():
            lock.acquire()
        begun.set()
        done.wait(60)
        for lock in LOCKS.values():
            lock.release()

    beside(hold)
    assert in_child(fork) == 42


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("fork", FORK)
@pytest.mark.parametrize(
    "lock", [library._lock, shim.INSTALLED.lock, source.parsing], ids=["library", "shim", "parser"]
)
def test_a_fork_waits_for_what_is_half_done(fork, beside, lock):
    left = []

    def hold(begun, done):
        with lock:
            begun.set()
            time.sleep(0.2)
            left.append(True)

    beside(hold)
    assert in_child(lambda: (fork(), left)[0]) == 42
    assert left


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("fork", FORK)
def test_a_trace_of_another_thread_is_none_of_the_childs(fork, beside):
    def tracing(begun, done):
        def waits(x):
            begun.set()
            done.wait(60)
            return np.sum(x * x)

        pb.grad(waits)(np.ones(2))

    beside(tracing)
    assert shim.INSTALLED.depth == 1
    assert in_child(fork) == 42
    assert shim.INSTALLED.depth == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("fork", FORK)
def test_a_fork_inside_a_trace_goes_on_in_both(fork):
    home, children = os.getpid(), []

    def forks(x):
        children.append(fork())
        return np.sum(np.sin(x) * np.concatenate([x, x])[1:4])

    x = np.array([0.5, 1.0, 2.0])
    gradient = pb.grad(forks)(x)
    right = np.allclose(gradient, np.cos(x) * x[[1, 2, 0]] + np.sin(x)[[2, 0, 1]], rtol=1e-12)
    if os.getpid() != home:
        os._exit(42 if right and shim.INSTALLED.depth == 0 else 1)
    assert right
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 42
