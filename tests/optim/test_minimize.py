"""`minimize`: plain descent, its path, and how it ends; `surface`: what it went down on."""

from __future__ import annotations

import math

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError, NonFiniteError
from payback.optim.minimize import ARMIJO, backtrack


def quartic(w):
    return w**4 - 3 * w**2 + w


def slope(w):
    return 4 * w**3 - 6 * w + 1


STEPS = [
    {},
    {"step": 0.02},
    {"step": 0.04},
    {"line_search": True},
    {"line_search": True, "step": 0.02},
    {"step": 0.003},
]


@pytest.mark.parametrize("options", STEPS, ids=str)
@pytest.mark.parametrize(("start", "end"), [(-2.0, -1.30084), (2.0, 1.13090), (-2, -1.30084), (2, 1.13090)])
def test_the_two_valleys(start, end, options):
    found = pb.minimize(quartic, start, **options)
    assert round(found.x, 5) == end
    assert abs(slope(found.x)) < 1e-6
    assert type(found.x) is float
    assert found.path[0] == start
    assert found.path[-1] == found.x
    assert found.costs == pytest.approx([quartic(w) for w in found.path], rel=1e-14)
    assert found.cost == found.costs[-1]
    assert found.gradient_norms == pytest.approx([abs(slope(w)) for w in found.path], rel=1e-9, abs=1e-12)
    assert len(found.costs) == len(found.path) == len(found.gradient_norms) == len(found.steps) + 1
    for before, after, length in zip(found.path[:-1], found.path[1:], found.steps, strict=True):
        assert after == pytest.approx(before - length * slope(before), rel=1e-12)
    assert found.stopped in ("gradient norm", "change of cost")


def rosenbrock(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


@pytest.mark.parametrize(
    ("f", "start"), [(quartic, 2.0), (quartic, -30.0), (rosenbrock, np.array([-1.2, 1.0]))], ids=["2", "-30", "valley"]
)
@pytest.mark.parametrize("step", [1e-4, 1.0, 1e6])
def test_armijo_holds_on_every_step_and_the_cost_falls(f, start, step):
    found = pb.minimize(f, start, line_search=True, step=step, max_steps=300)
    assert len(found.steps) > 3
    falls = [before - after for before, after in zip(found.costs[:-1], found.costs[1:], strict=True)]
    for fall, length, norm, cost in zip(falls, found.steps, found.gradient_norms[:-1], found.costs[:-1], strict=True):
        assert length > 0
        assert fall >= ARMIJO * length * norm**2 - 4 * np.finfo(float).eps * abs(cost)
        assert fall >= 0


def test_backtracking_by_itself():
    calls = []

    def cost_at(length):
        calls.append(length)
        return (1 - length) ** 2  # from 1, the slope is 2: cost(t) = (1 − t)², best at 1

    assert backtrack(cost_at, 1.0, 4.0, 8.0) == (1.0, 0.0)
    assert calls == [8.0, 4.0, 2.0, 1.0]
    assert backtrack(lambda _: 2.0, 1.0, 1.0, 1.0) == (0.0, 1.0)
    assert backtrack(lambda length: math.nan if length > 0.1 else 0.5, 1.0, 1.0, 1.0) == (0.0625, 0.5)


def test_it_stops_for_three_reasons():
    assert pb.minimize(lambda w: w * w, 1.0, step=0.1, tol=1e-3).stopped == "gradient norm"
    assert pb.minimize(lambda w: w * w + 1e6, 1.0, step=0.1, tol=1e-5).stopped == "change of cost"
    short = pb.minimize(lambda w: w * w, 1.0, step=0.1, max_steps=7)
    assert short.stopped == "steps"
    assert len(short.steps) == 7
    assert pb.minimize(lambda w: w * w, 0.0).stopped == "gradient norm"
    assert pb.minimize(lambda w: w * w, 3.0, max_steps=0).path == [3.0]


def test_containers():
    start = {"a": np.array([1.0, 2.0]), "b": [3.0, (np.array([[1.0]], np.float32), 2)]}

    def bowl(p):
        parts = [p["a"], p["b"][1][0]]
        return sum(((part - 0.5) ** 2).sum() for part in parts) + p["b"][0] ** 2 + p["b"][1][1] ** 2

    found = pb.minimize(bowl, start, step=0.1)
    np.testing.assert_allclose(found.x["a"], 0.5, atol=1e-6)
    assert found.x["b"][0] == pytest.approx(0, abs=1e-6)
    assert found.x["b"][1][0].dtype == np.float32
    assert type(found.x["b"][1]) is tuple
    assert start["a"].tolist() == [1.0, 2.0]


def test_a_network_as_the_point():
    X = np.linspace(-1, 1, 9)[:, None]
    found = pb.minimize(
        lambda net: pb.nn.squared_error(net(X), 3 * X + 1), pb.nn.MLP([1, 1], dtype=float), line_search=True
    )
    assert found.x.layers[0].weight[0, 0] == pytest.approx(3, abs=1e-5)
    assert found.x.layers[0].bias[0] == pytest.approx(1, abs=1e-5)


def test_the_path_is_not_the_callers_array():
    start = np.array([1.0, 2.0])
    found = pb.minimize(lambda w: (w * w).sum(), start, step=0.1)
    start[:] = 99.0
    assert found.path[0].tolist() == [1.0, 2.0]


def test_float32_stays_float32_whatever_the_step_is():
    found = pb.minimize(lambda w: (w * w).sum(), np.ones(2, np.float32), step=np.float64(0.1), max_steps=3)
    assert found.x.dtype == np.float32


@pytest.mark.parametrize(
    ("f", "start", "step", "message"),
    [
        (quartic, 2.0, 1.0, "the cost is inf after step 5"),
        (np.log, 1.0, 10.0, "the cost is nan after step 1"),
        (lambda w: np.sqrt(w), 0.0, 0.1, "the gradient is inf at the start. Start where"),
    ],
)
def test_what_is_not_finite_raises(f, start, step, message):
    with pytest.raises(NonFiniteError) as caught:
        pb.minimize(f, start, step=step)
    assert message in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "step is 0"),
        ({"step": math.nan}, "step is nan"),
        ({"tol": -1.0}, "tol is -1.0"),
        ({"max_steps": -1}, "max_steps is -1"),
        ({"max_steps": 2.5}, "max_steps is 2.5"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError) as caught:
        pb.minimize(quartic, 2.0, **options)
    assert message in str(caught.value)
