"""The shim: plain NumPy for all others while a function is traced, and for everyone afterwards."""

from __future__ import annotations

import math
import sys
import threading
import types

import numpy as np
import pytest

import payback as pb
from payback.trace.proof.pure import Known
from payback.trace.shim import shim
from programs.assignments import X, check, triangle


def names():
    np.fft, np.ma, np.random  # NumPy loads them when they are first used
    return dict(np.__dict__), dict(math.__dict__), dict(globals()), (np.vectorize.__call__, type(np), type(math))


def unchanged(before):
    after = names()
    return all(
        a.keys() == b.keys() and all(a[key] is b[key] for key in a) for a, b in zip(before[:3], after[:3], strict=True)
    ) and (before[3] == after[3])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_everything_is_restored_when_it_raises(error):
    def f(x):
        np.zeros(3)[0] = x[0]
        pb.grad(lambda y: y[0] * y[1])(x)
        raise error("stop")

    before = names()
    with pytest.raises(error):
        pb.grad(f)(X)
    assert unchanged(before)


def test_nested_transforms_keep_the_shim():
    def f(x):
        inner = pb.grad(lambda y: np.sum(triangle(y)))(x)
        out = np.zeros(3)
        out[:] = inner * x
        return out.sum()

    before = names()
    check(lambda x: f(x) * x[0], X)
    assert unchanged(before)


def test_a_generator_inside():
    def rows(x):
        out = np.zeros((3, 2))
        for i in range(3):
            out[i] = x[i]
            yield out[i] * 2

    check(lambda x: sum(rows(x)) * np.ones(2), X)
    # one that outlives its trace goes on without the shim
    kept = []

    def f(x):
        lazy = (np.zeros(2) for _ in range(2))
        kept.append(lazy)
        return next(lazy).sum() + x.sum()

    before = names()
    pb.grad(f)(X)
    assert type(next(kept[0])) is np.ndarray
    assert unchanged(before)


def test_other_threads_see_plain_numpy():
    before = names()
    inside, done = threading.Event(), threading.Event()
    kinds = []

    def other():
        inside.wait(10)
        made = np.zeros(3)
        kinds.append(type(made))
        with pytest.raises(ValueError, match="sequence"):
            made[0] = [1.0, 2.0]
        done.set()

    def f(x):
        inside.set()
        done.wait(10)
        out = np.zeros(3)
        out[0] = x[0]
        return out.sum()

    thread = threading.Thread(target=other)
    thread.start()
    pb.grad(f)(X)
    thread.join()
    assert kinds == [np.ndarray]
    assert unchanged(before)


def test_eight_threads():
    before = names()
    wrong = []
    start = threading.Barrier(8)

    def work(seed):
        x = np.random.default_rng(seed).standard_normal(3)
        start.wait()
        for _ in range(40):
            found = pb.grad(lambda v: np.sum(triangle(v)))(x)
            expected = pb.grad(lambda v: np.sum(np.array([v[0], v[1], v[2]])))(x)
            if type(np.zeros(1)) is not np.ndarray or not np.isfinite(found).all() or (expected != 1).any():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert unchanged(before)


def test_a_replaced_function_stays_replaced(monkeypatch):
    mine = lambda *args, **kwargs: np.ones(3)  # noqa: E731
    monkeypatch.setattr(np, "zeros", mine)
    pb.grad(lambda x: np.zeros(3) @ x)(X)
    assert np.zeros is mine

    def f(x):
        np.empty = mine
        return x.sum()

    original = np.empty
    pb.grad(f)(X)
    assert np.empty is mine
    np.empty = original


def test_what_fails_inside_a_trace_that_needs_little_is_put_there_by_the_next(monkeypatch):
    def f(x):
        return x

    kept, whole = shim.INSTALLED, shim.INSTALLED.modules
    looked: list[bool] = []

    def failing_once(state):
        looked.append(True)
        if len(looked) == 1:
            raise KeyboardInterrupt
        whole(state)

    monkeypatch.setattr(kept, "modules", failing_once)
    kept.enter(f, Known(plain=False, shown=True))
    try:
        with pytest.raises(KeyboardInterrupt):
            kept.enter(f)
        for _ in range(2):
            kept.enter(f)
            kept.leave()
        assert len(looked) == 2
    finally:
        kept.leave()
    assert type(math) is types.ModuleType
    assert not any(finder is kept.watch for finder in sys.meta_path)
