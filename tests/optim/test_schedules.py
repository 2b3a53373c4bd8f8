"""Schedules: the step length at every step."""

from __future__ import annotations

import math

import pytest

from payback.errors import InputError
from payback.optim import Adam, Constant, Cosine, Momentum, StepDecay, WarmUp
from payback.optim.schedules import Schedule


def rates(schedule, total):
    return [schedule(step, total) for step in range(total)]


def test_constant():
    assert rates(Constant(0.3), 4) == [0.3] * 4
    assert rates(Adam(0.3).schedule, 4) == [0.3] * 4


def test_step_decay():
    assert rates(StepDecay(8.0, every=3, factor=0.5), 8) == [8, 8, 8, 4, 4, 4, 2, 2]


@pytest.mark.parametrize("final", [0.0, 0.2])
def test_cosine(final):
    found = rates(Cosine(1.0, final=final), 11)
    assert found[0] == 1.0
    assert found[-1] == pytest.approx(final, abs=1e-15)
    assert found[5] == pytest.approx((1 + final) / 2)
    assert found == pytest.approx([final + (1 - final) * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(11)])
    assert found == sorted(found, reverse=True)


def test_cosine_of_one_step_and_beyond_the_end():
    assert rates(Cosine(1.0), 1) == [1.0]
    assert Cosine(1.0, final=0.1)(50, 11) == pytest.approx(0.1)


def test_warm_up():
    assert rates(WarmUp(1.0, steps=4), 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    then = Cosine(1.0)
    assert rates(WarmUp(1.0, steps=2, then=then), 7) == [0.5, 1.0, *rates(then, 5)]


def test_an_optimizer_takes_a_schedule():
    assert Momentum(Cosine(0.5)).schedule == Cosine(0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(0.0),
        lambda: Cosine(math.nan),
        lambda: Cosine(1.0, final=-0.1),
        lambda: StepDecay(1.0, every=0),
        lambda: StepDecay(1.0, factor=0.0),
        lambda: WarmUp(1.0, steps=0),
    ],
)
def test_settings_that_cannot_be(make):
    with pytest.raises(InputError, match="it must be a"):
        make()


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(0.3), StepDecay(0.1, every=7, factor=0.3), Cosine(0.37, final=0.01), WarmUp(0.2, steps=5),
        WarmUp(0.2, steps=5, then=Cosine(0.2)), WarmUp(0.2, steps=2.5), WarmUp(1.0, 3, StepDecay(1.0, every=4)),
    ],
    ids=repr,
)  # fmt: skip
def test_the_rates_of_many_steps_are_those_of_each_to_the_bit(schedule):
    whole = rates(schedule, 40)
    for first, count in ((0, 40), (0, 0), (3, 11), (4, 1), (30, 10)):
        assert schedule.rates(first, count, 40).tolist() == whole[first : first + count]


def test_a_schedule_that_others_wrote_needs_no_more_than_a_call():
    class Halves(Schedule):
        def __call__(self, step, total):
            return self.rate / (1 + step % 2)

    assert Halves(1.0).rates(0, 4, 4).tolist() == [1.0, 0.5, 1.0, 0.5]
