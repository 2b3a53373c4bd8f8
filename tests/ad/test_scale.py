"""Long, many, and often: no recursion, no leak, the same bits in every process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np

import amount
import payback as pb
from payback.ad.algebra import PathCount, Walks
from payback.ad.sweep import sweep


def test_a_chain_of_very_many_nodes():
    """Built, swept and dropped without recursion, with the usual recursion limit."""
    n = amount.cases(100_000, 1_000_000)
    x = pb.variable(1.0)
    y = x
    for _ in range(n):
        y = y * 1.0
    y.backward()
    assert x.grad == 1.0
    assert y.node.id - x.node.id >= n
    del y
    gc.collect()


def test_a_long_chain_on_a_graph():
    n = amount.cases(20_000, 100_000, 200_000)

    def f(x):
        for _ in range(n):
            x = x * 1.0
        return x * x

    assert pb.grad(pb.grad(f))(3.0) == 2.0


def test_a_long_sum_of_reads():
    """Reading every entry of a large array costs a buffer once, not once a read."""
    x = np.arange(20_000.0)
    assert (pb.grad(lambda v: sum(v[i] * v[i] for i in range(0, 20_000, 10)))(x)[::10] == 2 * x[::10]).all()


def test_memory_stays_flat():
    """A long-lived weight keeps no old graph alive: round after round of loss(w).backward()."""
    rounds = amount.cases(3_000, 30_000, 100_000)
    w = pb.variable(np.array([0.5, -0.25]))
    x = np.array([1.0, 2.0])

    def step():
        loss = np.sum((w * x - 1.0) ** 2)
        loss.backward()
        w.value -= 1e-9 * w.grad

    for _ in range(100):
        step()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(rounds // 2):
            step()
        half = tracemalloc.get_traced_memory()[0]
        for _ in range(rounds // 2):
            step()
        assert tracemalloc.get_traced_memory()[0] - half < 20_000
    finally:
        tracemalloc.stop()


def test_a_dropped_result_is_freed_at_once():
    """Nothing lists the nodes: no tape, no cycle, no waiting for the garbage collector."""
    x = pb.variable(np.ones(1000))
    gc.disable()
    try:
        y = np.sin(x) * 2
        y.sum().backward()
        ghost = weakref.ref(y.node.value) if hasattr(y.node.value, "__weakref__") else weakref.ref(y)
        del y
        assert ghost() is None
    finally:
        gc.enable()


PROGRAM = """
import numpy as np, payback as pb
rng = np.random.default_rng(0)
x = rng.standard_normal((5, 4))
w = {"a": rng.standard_normal((4, 3)), "b": rng.standard_normal(3), "c": {"d": rng.standard_normal(3)}}
def loss(w):
    h = np.tanh(x @ w["a"] + w["b"])
    pool = [h, h * w["c"]["d"], np.exp(-h * h), h[::-1] * w["b"]]
    return sum(np.sum(p * q) for p in pool for q in pool) / 7
value, g = pb.value_and_grad(loss)(w)
g2 = pb.grad(lambda w: np.sum(pb.grad(loss)(w)["a"] ** 2))(w)
print(value.hex(), g["a"].tobytes().hex(), g["b"].tobytes().hex(), g["c"]["d"].tobytes().hex(), g2["a"].tobytes().hex())
"""


def test_the_same_bits_in_every_process():
    """Whatever the hashes of strings and the addresses of objects are."""
    printed = set()
    for seed in ("0", "1", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        printed.add(
            subprocess.run(
                [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
            ).stdout
        )
    assert len(printed) == 1


def test_counting_paths_needs_no_numbers():
    x = pb.variable(1.0)
    y = x
    for _ in range(1000):
        y = y + y
    assert sweep(PathCount(), {y.node: Walks(1, 0)}, [x.node])[x.node].paths == 2**1000
