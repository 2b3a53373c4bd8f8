"""A graph gives the same bits whatever the number of BLAS threads, and leaves that number as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import amount
from payback.run import blas

PROGRAM = """
import hashlib, numpy as np, payback as pb
generator = np.random.default_rng(0)
X, y = generator.standard_normal((2000, 64)), np.arange(2000) % 10
run = pb.fit(pb.nn.MLP([64, 300, 10]), X, y, epochs=3, batch_size="all", validation=0)
print(hashlib.sha256(b"".join(p.tobytes() for p in pb.nn.parameters(run.net).values())).hexdigest())
"""


def test_the_same_bits_for_any_number_of_threads():
    found = set()
    for threads in ("1", "4", "2")[: amount.cases(2, 3)]:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads}
        made = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        found.add(made.stdout)
    assert len(found) == 1


def test_the_number_is_restored_when_the_last_of_several_leaves(monkeypatch):
    state = {"threads": 7}
    monkeypatch.setattr(blas, "_calls", lambda: (lambda: state["threads"], lambda n: state.update(threads=n)))
    inside, leave = threading.Event(), threading.Event()

    def other():
        with blas.OneThread():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with blas.OneThread():
        thread.start()
        assert inside.wait(10)
        assert state["threads"] == 1
    assert state["threads"] == 1  # the other is still in
    leave.set()
    thread.join()
    assert state["threads"] == 7


def test_another_blas_is_left_alone(monkeypatch):
    monkeypatch.setattr(blas, "_calls", lambda: None)
    with blas.OneThread():
        pass
