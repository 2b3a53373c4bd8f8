"""The same bits on any number of threads; many Python threads at once; forks."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import payback as pb
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 200)).astype(np.float32)
W = RNG.standard_normal((200, 170)).astype(np.float32)


def work(x, w):
    h = np.tanh(x @ w)
    return (h * h).sum(), h.sum(axis=0), np.exp(h - h.max(axis=1, keepdims=True)).mean(axis=1), h.T @ x


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_the_bits_do_not_depend_on_the_threads(monkeypatch, count):
    monkeypatch.setenv("PAYBACK_THREADS", "1")
    graph = trace(work, X, W).graph
    expected = Program(graph)(X, W)
    monkeypatch.setenv("PAYBACK_THREADS", str(count))
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)  # however little there is to do
    program = Program(graph)
    assert program.segment.threads == count
    assert sum(getattr(c.kernel, "split", False) for c in program.commands) >= 3
    for _ in range(3):
        for a, b in zip(program(X, W), expected, strict=True):
            assert a.tobytes() == b.tobytes()


AXES = [axes for n in range(1, 5) for axes in itertools.combinations(range(4), n)]


@pytest.mark.parametrize("reduced", [np.sum, np.max], ids=["sum", "max"])
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_axes_that_cannot_be_merged_are_reduced_by_every_thread(monkeypatch, axes, reduced):
    """What stands beside the array has every other axis alone, so each axis is a loop of its own."""
    for rank in range(max(axes) + 1, 5):
        shape = {1: (20_000,), 2: (150, 120), 3: (5, 60, 70), 4: (3, 7, 30, 40)}[rank]
        x = RNG.integers(-16, 17, shape) / 8.0
        other = RNG.integers(-16, 17, tuple(n if k % 2 else 1 for k, n in enumerate(shape))) / 8.0
        graph = trace(lambda x, y, axes=axes: reduced(x * y + x, axis=axes), x, other).graph
        monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
        for count in (1, 2, 3, 8):
            monkeypatch.setenv("PAYBACK_THREADS", str(count))
            program = Program(graph)
            assert np.array_equal(program(x, other)[0], reduced(x * other + x, axis=axes)), (shape, count)


SCRIPT = """
import hashlib, numpy as np, payback as pb
from payback.trace.tree import leaves
rng = np.random.default_rng(0)
X, y = rng.normal(size=(300, 200)), rng.integers(0, 3, 300)
net = pb.fit(pb.nn.MLP([200, 400, 300, 3]), X, y, epochs=2, batch_size=128, validation=0, progress=False).net
print(hashlib.sha256(b"".join(p.tobytes() for p in leaves(net))).hexdigest())
"""


def test_a_training_has_the_same_bits_on_one_thread_and_on_three():
    said = [
        subprocess.run([sys.executable, "-c", SCRIPT], env=os.environ | {"PAYBACK_THREADS": count},
                       capture_output=True, text=True, check=True).stdout
        for count in ("1", "3")
    ]  # fmt: skip
    assert len(said[0].strip()) == 64
    assert said[0] == said[1]


def test_many_python_threads_call_one_program():
    f = pb.compile(lambda x, s: np.cumsum(np.sin(x) * s))
    x = np.arange(1000.0)
    expected = [f(x, float(k)) for k in range(8)]
    wrong = []

    def call(k):
        for _ in range(50):
            if not np.array_equal(f(x, float(k)), expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=call, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


STOPPING = """
import numpy as np
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

def f(x, i):
    h = np.tanh(x)
    return x[(h[:, 0] * 0.0).astype(int) + i], h

x, wrong = np.random.default_rng(0).standard_normal((200, 200)), np.full(200, 999)
cores.WORTHWHILE = 0.0
program = Program(trace(f, x, wrong).graph)
assert program.segment.threads == 8
memory = program.memory()
bases = memory.bases
arrays = [x, wrong, *[np.empty(view.shape, view.buffer.dtype) for view in program.outputs]]
for base, array in enumerate(arrays, 1):
    bases[base] = array.ctypes.data
said = {program.segment.run(bases) for _ in range(300)}
print(sorted(said), [command.text for command in program.commands].index("check indices") + 1)
"""


def test_a_program_that_stops_stops_on_all_threads():
    """A thread that is slow to leave a barrier is told of a stop behind it: it must come to the next one too."""
    env = os.environ | {"PAYBACK_THREADS": "8"}
    done = subprocess.run([sys.executable, "-c", STOPPING], env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    statuses, expected = done.stdout.rsplit(maxsplit=1)
    assert statuses == f"[{expected}]"


def test_arithmetic_alone_is_worth_a_second_thread(monkeypatch):
    """However little memory it reads: what counts is how long it takes."""

    def repeated(count):
        def f(x):
            y = x
            for _ in range(count):
                y = y * x * 0.5 + x
            return np.sum(y)

        return f

    monkeypatch.setenv("PAYBACK_THREADS", "2")
    for count, threads in ((1, 1), (100, 2)):
        compiled = pb.compile(repeated(count))
        compiled(np.linspace(0.0, 1.0, 1 << 15))
        assert compiled._program().segment.threads == threads
