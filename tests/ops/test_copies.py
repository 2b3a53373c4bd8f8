"""Memory of large copies is used again only when nobody can see it any more."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import payback as pb
from payback.ops import copies
from payback.ops.copies import frozen_copy

N = 40_000  # 320 kB


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(copies, "_kept", [])


def test_the_memory_of_a_copy_that_nobody_holds_is_used_again():
    first = frozen_copy(np.zeros(N))
    place = first.ctypes.data
    del first
    second = frozen_copy(np.ones(N))
    assert second.ctypes.data == place
    assert (second == 1.0).all()
    assert not second.flags.writeable


@pytest.mark.parametrize("hold", [lambda x: x, lambda x: x[3:], memoryview, weakref.ref, lambda x: {"x": [x]}])
def test_what_somebody_holds_stays(hold):
    array = np.arange(N, dtype=float)
    first = frozen_copy(array)
    held = hold(first)
    del first
    frozen_copy(np.zeros(N))
    frozen_copy(np.zeros(N))
    seen = held() if isinstance(held, weakref.ref) else held["x"][0] if isinstance(held, dict) else held
    assert (np.asarray(seen) == array[-len(seen) :]).all()


def test_other_shapes_dtypes_and_layouts_have_their_own():
    kinds = [np.zeros((200, 300)), np.zeros((300, 200)), np.zeros((200, 300), order="F"), np.zeros((200, 300), "f4"),
             np.zeros((200, 600))[:, ::2]]  # fmt: skip
    for array in kinds * 2:
        made = frozen_copy(array + 1.0 if array.flags.forc else array)
        assert made.shape == array.shape
        assert made.dtype == array.dtype
        assert made.flags.fnc == array.flags.fnc


def test_what_is_kept_is_bounded():
    for size in range(1 << 20, 1 << 22, 1 << 18):
        frozen_copy(np.zeros(size // 8))
    gc.collect()
    assert sum(copy.nbytes for copy in copies._kept) <= copies._MOST
    kept = list(copies._kept)
    frozen_copy(np.zeros(copies._MOST // 8 + 1))
    assert len(copies._kept) == len(kept)


def test_a_work_array_that_is_written_into_gives_the_right_gradient_again_and_again():
    work = np.empty(N)

    def f(x):
        total = 0.0
        for k in range(3):
            work[:] = k + 1.0
            total = total + np.sum(work * x)
        return total

    for _ in range(3):
        assert (pb.grad(f)(np.ones(N)) == 6.0).all()


def test_threads_do_not_share_memory():
    wrong = []

    def work(k):
        for _ in range(50):
            data = np.full(N, float(k))
            if not (pb.grad(lambda x, data: np.sum(data * x))(np.ones(N), data) == k).all():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
