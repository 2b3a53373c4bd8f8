"""Programs find out by themselves whether several threads are quicker; a clock of the test's own tells them."""

from __future__ import annotations

import pytest

from payback.native.running.pace import Pace


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
