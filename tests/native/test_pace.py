"""Programs find out by themselves whether several threads are quicker; a clock of the test's own tells them."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest

import payback as pb
from payback.errors import NonFiniteError
from payback.native.running import cores
from payback.native.running.pace import GIVEN_UP, TRIAL, Pace
from payback.native.running.program import Program
from payback.trace.abstract import trace
from payback.trace.tree import leaves


def run(pace: Pace, seconds: float, rounds: int, alone: float, shared: float, waking: float = 0.0) -> float:
    """Calls of so many rounds for so long; returns what they took, by what the quicker way would have taken."""
    spent = wanted = 0.0
    while spent < seconds:
        left = rounds
        while left:
            on, some = pace.next(left)
            assert 1 <= some <= left
            took = some * shared + waking if on else some * alone
            pace.learn(on, some, took)
            spent, left = spent + took, left - some
        wanted += min(rounds * alone, rounds * shared + waking)
    return spent / wanted


@pytest.mark.parametrize("rounds", [1, 20, 5000])
@pytest.mark.parametrize("alone", [5e-4, 0.1])
@pytest.mark.parametrize("ratio", [0.1, 0.7, 1.3, 3.0])
def test_the_quicker_way_is_taken(rounds, alone, ratio):
    pace = Pace(1e-3 if ratio > 1 else 0.0)  # it begins with the slower way
    shared = alone * ratio
    run(pace, max(3.0, 100 * max(alone, shared)), rounds, alone, shared)
    assert run(pace, max(3.0, 100 * max(alone, shared)), rounds, alone, shared) < 1.1


def test_it_follows_a_machine_that_changes():
    pace = Pace(1e-3)
    for alone, shared in [(1e-3, 0.6e-3), (1e-3, 2.5e-3), (1e-3, 0.7e-3)]:
        run(pace, 4.0, 50, alone, shared)
        assert run(pace, 4.0, 50, alone, shared) < 1.1


def test_waking_counts_where_calls_are_short():
    assert run(Pace(1e-3), 3.0, 1, 2e-4, 1e-4, 2e-4) < 1.1
    assert run(Pace(0.0), 5.0, 1, 1e-3, 5e-4, 1e-4) < 1.1


def test_what_is_seldom_quicker_or_slow_once_is_not_what_counts():
    """Cores that come and go, and memory that is touched for the first time."""
    pace, rng, alone = Pace(1e-3), np.random.default_rng(0), 3e-4
    shared = []
    for _ in range(30_000):
        on, _ = pace.next(1)
        shared.append(on)
        pace.learn(on, 1, alone * (0.6 if rng.random() < 0.2 else 1.4) if on else alone)
    assert np.mean(shared[10_000:]) < 0.1
    pace = Pace(1e-3)
    pace.learn(True, 1, 0.1)
    assert run(pace, 3.0, 1, 12e-3, 7e-3) < 1.1


@pytest.mark.parametrize(("ratio", "calls"), [(1.1, ceil(TRIAL / 1.1e-4)), (1.3, GIVEN_UP)])
def test_a_trial_ends_early_where_it_is_much_slower_and_only_there(ratio, calls):
    pace, alone = Pace(0.0), 1e-4
    shared = [False]
    while shared[-1] or not any(shared):
        shared.append(pace.next(1)[0])
        pace.learn(shared[-1], 1, alone * ratio if shared[-1] else alone)
    assert sum(shared) == calls


@pytest.mark.parametrize("rate", [1e-2, 1e9], ids=["to the end", "until it is not finite"])
def test_rounds_that_are_shared_and_rounds_that_are_not_take_turns(monkeypatch, rate):
    """The bits and the end of a training do not depend on who runs which of its steps."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((330, 61)), rng.standard_normal((330, 3))
    turns: list[tuple[bool, int]] = []

    def alternately(self: Pace, rounds: int) -> tuple[bool, int]:
        turns.append((len(turns) % 2 == 1, min(rounds, len(turns) % 5 + 1)))
        return turns[-1]

    def train(threads: int) -> list[bytes]:
        pb.set_threads(threads)
        try:
            net = pb.nn.MLP([61, 240, 170, 3], activation="relu", seed=0)
            net = pb.fit(net, x, y, epochs=6, batch_size=110, optimizer=pb.optim.Adam(rate), validation=0,
                         progress=False, seed=0).net  # fmt: skip
        except NonFiniteError as error:
            return [str(error).encode()]
        finally:
            pb.set_threads(None)
        return [array.tobytes() for array in leaves(net)]

    expected = train(1)
    assert not turns
    monkeypatch.setattr(cores, "WORTHWHILE", 1e-9)
    monkeypatch.setattr(Pace, "next", alternately)
    assert train(3) == expected
    assert (len(expected) == 1) == (rate > 1.0)
    assert {on for on, _ in turns} == {False, True}


def test_calls_that_are_shared_and_calls_that_are_not_take_turns(monkeypatch):
    """By the fast way in, too: value and gradient to the bit, and an array of another kind is refused by both."""
    turns: list[bool] = []

    def alternately(self: Pace, rounds: int) -> tuple[bool, int]:
        turns.append(len(turns) % 2 == 1)
        return turns[-1], rounds

    def of(threads: int):
        pb.set_threads(threads)
        try:
            f = pb.compile(pb.value_and_grad(lambda x: np.sum(np.exp(-x * x) * np.tanh(x))))
            return [f(x) for x in arrays], f
        finally:
            pb.set_threads(None)

    arrays = [*np.random.default_rng(1).standard_normal((6, 40_000))]
    expected, _ = of(1)
    monkeypatch.setattr(Pace, "next", alternately)
    found, f = of(3)
    assert set(turns) == {False, True}
    assert f._fast is not None
    assert [(v, g.tobytes()) for v, g in found] == [(v, g.tobytes()) for v, g in expected]
    for array in (arrays[0][::2], arrays[0].astype(np.float32)):  # another length, another dtype
        assert f(array)[1].shape == array.shape
        assert f(array)[1].dtype == array.dtype


def test_threads_that_stay_each_at_its_part_of_memory_are_worth_planning_for(monkeypatch):
    """Kernels that do little with each number: the next one finds it in the same core's cache."""
    monkeypatch.setattr(cores, "_chosen", 2)

    def blocks(x):
        n = len(x)
        return np.sum(np.max(np.maximum(x - 0.1, 0).reshape(n, 14, 2, 14, 2, 8), (2, 4)) * 2)

    for images, threads in ((32, 2), (1, 1)):
        graph = trace(pb.value_and_grad(blocks), np.zeros((images, 28, 28, 8), np.float32)).graph
        assert [part.threads for part in Program(graph)._parts] == [threads]
