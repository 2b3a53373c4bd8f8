"""Optimizers against their papers' formulas, written out in plain NumPy with no code of payback's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError
from payback.optim import OPTIMIZERS, Adam, AdamW, GradientDescent, Momentum, Nesterov, RMSprop, global_norm

STEPS = 50
TARGET = {"w": np.arange(6.0).reshape(2, 3) / 3, "b": np.array([1.0, -2.0, 0.5])}
CURVATURE = {"w": np.array([[1.0, 5.0, 0.1], [2.0, 0.3, 9.0]]), "b": np.array([1.0, 30.0, 0.5])}
START = {"w": np.full((2, 3), 0.2), "b": np.array([-0.5, 0.1, 2.0])}


def slope(p):
    """The gradient of Σ ½·curvature·(p − target)² + sin p: it changes its sign on the way."""
    return {name: CURVATURE[name] * (p[name] - TARGET[name]) + np.cos(p[name]) for name in p}


def by_payback(optimizer, dtype=np.float64, gradient=slope):
    p = {name: value.astype(dtype) for name, value in START.items()}
    state, path = optimizer.init(p), []
    for t in range(STEPS):
        g = {name: value.astype(dtype) for name, value in gradient(p).items()}
        p, state = optimizer.update(g, state, p, optimizer.schedule(t, STEPS), float(t + 1))
        path.append(p)
    return path


def by_hand(step, gradient=slope):
    p, memory, path = {name: value.copy() for name, value in START.items()}, {}, []
    for t in range(1, STEPS + 1):
        g = gradient(p)
        p = {name: step(p[name], g[name], memory.setdefault(name, {}), t) for name in p}
        path.append(p)
    return path


def hand_gd(p, g, memory, t):
    return p - 0.03 * g


def hand_momentum(p, g, memory, t):
    memory["v"] = 0.8 * memory.get("v", 0) + g
    return p - 0.02 * memory["v"]


def hand_nesterov(p, g, memory, t):
    memory["v"] = 0.8 * memory.get("v", 0) + g
    return p - 0.02 * (g + 0.8 * memory["v"])


def hand_rmsprop(p, g, memory, t):
    memory["s"] = 0.95 * memory.get("s", 0) + 0.05 * g**2
    return p - 0.01 * g / (np.sqrt(memory["s"]) + 1e-6)


def hand_adam(p, g, memory, t):
    memory["m"] = 0.85 * memory.get("m", 0) + 0.15 * g
    memory["v"] = 0.99 * memory.get("v", 0) + 0.01 * g**2
    m, v = memory["m"] / (1 - 0.85**t), memory["v"] / (1 - 0.99**t)
    return p - 0.05 * m / (np.sqrt(v) + 1e-7)


def hand_adamw(p, g, memory, t):
    return hand_adam(p, g, memory, t) - (0.05 * 0.3 * p if p.ndim > 1 else 0)


ALL = {
    "gd": (GradientDescent(0.03), hand_gd),
    "momentum": (Momentum(0.02, momentum=0.8), hand_momentum),
    "nesterov": (Nesterov(0.02, momentum=0.8), hand_nesterov),
    "rmsprop": (RMSprop(0.01, decay=0.95, epsilon=1e-6), hand_rmsprop),
    "adam": (Adam(0.05, beta1=0.85, beta2=0.99, epsilon=1e-7), hand_adam),
    "adamw": (AdamW(0.05, beta1=0.85, beta2=0.99, epsilon=1e-7, weight_decay=0.3), hand_adamw),
}
by_name = pytest.mark.parametrize("name", ALL)


def test_these_are_all():
    assert {name: type(optimizer) for name, (optimizer, _) in ALL.items()} == OPTIMIZERS


@by_name
def test_fifty_steps(name):
    optimizer, step = ALL[name]
    for found, expected in zip(by_payback(optimizer), by_hand(step), strict=True):
        for part in START:
            np.testing.assert_allclose(found[part], expected[part], rtol=1e-11, atol=1e-13)


@by_name
def test_fifty_steps_in_float32(name):
    optimizer, step = ALL[name]
    found = by_payback(optimizer, np.float32)[-1]
    for part in START:
        assert found[part].dtype == np.float32
        np.testing.assert_allclose(found[part], by_hand(step)[-1][part], rtol=2e-3, atol=2e-4)


def test_numbers_that_were_published():
    """The first steps of Adam from bias correction: each is as long as the rate, whatever the gradient's size."""
    p = np.array([1.0, 1.0, 1.0])
    first, _ = Adam(0.001).update(np.array([1e-4, 1.0, -1e4]), Adam(0.001).init(p), p, 0.001, 1.0)
    np.testing.assert_allclose(p - first, [0.001, 0.001, -0.001], rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_name
def test_moments_do_not_stay_in_the_subnormal_range(name, dtype):
    """0.9 of the smallest number is that number again: what decays must end, and leave NaN and infinity as they are."""
    optimizer, tiny = ALL[name][0], np.finfo(dtype).tiny
    p, edges = np.ones(4, dtype), np.array([tiny / 2, 1.5 * tiny, np.nan, np.inf], dtype)
    state = [tuple(edges for _ in range(optimizer.slots))]
    with np.errstate(invalid="ignore"):
        _, [slots] = optimizer.update(np.zeros(4, dtype), state, p, 0.1, 5.0)
    assert len(slots) == optimizer.slots
    for slot in slots:
        assert slot.dtype == dtype
        assert slot[0] == 0.0
        assert tiny <= slot[1] <= 1.5 * tiny
        assert np.isnan(slot[2])
        assert np.isinf(slot[3])


@by_name
def test_the_numbers_of_many_steps_are_those_of_each(name):
    optimizer, steps = ALL[name][0], np.array([1.0, 2.0, 3.0, 500.0, 4e4, 1e6])
    rates = np.linspace(0.1, 0.2, len(steps))
    together = optimizer.numbers(rates, steps)
    for k, (rate, step) in enumerate(zip(rates.tolist(), steps.tolist(), strict=True)):
        one = optimizer.numbers(rate, step)
        assert all(type(number) is float for number in one)  # weak: a float32 network stays one
        np.testing.assert_allclose([number[k] for number in together], one, rtol=1e-14)
    if isinstance(optimizer, Adam):
        none = type(optimizer)(0.1, beta1=0.0, beta2=0.0)
        assert [n.tolist() for n in none.numbers(rates[:1], steps[:1])] == [[rates[0]], [1.0]]


def test_momentum_tends_to_the_rate_over_one_minus_momentum():
    p, state = np.zeros(1), Momentum(0.1).init(np.zeros(1))
    for t in range(400):
        before = p
        p, state = Momentum(0.1).update(np.ones(1), state, p, 0.1, float(t + 1))
    assert (before - p)[0] == pytest.approx(0.1 / (1 - 0.9))


@by_name
def test_clipping_by_the_norm_of_all_parameters_together(name):
    optimizer, step = ALL[name]
    clipped = type(optimizer)(**{**vars(optimizer), "clip_norm": 1.5})

    def shortened(p):
        g = slope(p)
        norm = math.sqrt(sum(float((value**2).sum()) for value in g.values()))
        return {part: value * min(1.0, 1.5 / norm) for part, value in g.items()}

    for found, expected in zip(by_payback(clipped), by_hand(step, shortened), strict=True):
        for part in START:
            np.testing.assert_allclose(found[part], expected[part], rtol=1e-10, atol=1e-12)


def test_a_short_gradient_is_not_clipped():
    p, g = np.zeros(2), np.array([0.3, 0.4])
    assert GradientDescent(1.0, clip_norm=0.5).update(g, [()], p, 1.0, 1.0)[0].tolist() == [-0.3, -0.4]
    np.testing.assert_allclose(GradientDescent(1.0, clip_norm=0.1).update(g, [()], p, 1.0, 1.0)[0], [-0.06, -0.08])
    assert GradientDescent(1.0, clip_norm=1.0).update(0 * g, [()], p, 1.0, 1.0)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_beyond_the_numbers_of_the_dtype(dtype):
    """1e60 and 1e-60 are infinite and 0 in float32: the one clips nothing, the other leaves next to nothing."""
    p, g = np.zeros(2, dtype), np.array([0.3, 0.4], dtype)

    def step(clip_norm, gradient):
        return GradientDescent(1.0, clip_norm=clip_norm).update(gradient, [()], p, 1.0, 1.0)[0]

    for found in (step, lambda clip_norm, gradient: pb.compile(lambda g: step(clip_norm, g))(gradient)):
        assert found(1e60, g).tolist() == (-g).tolist()
        for gradient in (g, 0 * g):
            np.testing.assert_allclose(found(1e-60, gradient), 0.0, atol=1e-36)


def test_only_matrices_decay():
    p = {"w": np.ones((2, 2)), "b": np.ones(2), "scalar": np.float64(1.0)}
    nothing = {name: 0 * value for name, value in p.items()}
    optimizer = AdamW(0.1, weight_decay=0.5)
    found, _ = optimizer.update(nothing, optimizer.init(p), p, 0.1, 1.0)
    assert found["w"].tolist() == [[0.95, 0.95], [0.95, 0.95]]
    assert found["b"].tolist() == [1.0, 1.0]
    assert found["scalar"] == 1.0


def test_parameters_that_are_exempt_do_not_decay():
    net = pb.nn.MLP([2, 3, 1], dtype=float, skip=True)
    object.__setattr__(net, "skip", np.ones((2, 1)))
    nothing = pb.grad(lambda net: 0.0 * net(np.ones((1, 2))).sum())(net)
    optimizer = AdamW(0.1, weight_decay=0.5, exempt=("skip",))
    found, _ = optimizer.update(nothing, optimizer.init(net), net, 0.1, 1.0)
    assert found.skip.tolist() == [[1.0], [1.0]]
    np.testing.assert_allclose(found.layers[2].weight, 0.95 * net.layers[2].weight)
    with pytest.raises(InputError, match="exempt is 'skip': it is a tuple of names"):
        AdamW(exempt="skip")


def test_the_state_lies_beside_the_parameters():
    p = {"w": np.zeros((2, 3), np.float32), "b": np.zeros(3)}
    assert [[s.shape for s in slots] for slots in Adam().init(p)] == [[(2, 3)] * 2, [(3,)] * 2]
    assert [slots[0].dtype for slots in Adam().init(p)] == [np.float32, np.float64]
    assert GradientDescent().init(p) == [(), ()]


@by_name
def test_nothing_is_changed_in_place(name):
    optimizer = ALL[name][0]
    p = {part: value.copy() for part, value in START.items()}
    state = optimizer.init(p)
    optimizer.update(slope(p), state, p, 0.1, 1.0)
    assert all((p[part] == START[part]).all() for part in p)
    assert all(not slot.any() for slots in state for slot in slots)


def test_modules_and_traced_values_too():
    net = pb.nn.MLP([2, 3, 1], dtype=float)
    gradient = pb.grad(lambda net: (net(np.ones((1, 2))) ** 2).sum())(net)
    new, _ = Adam(0.1).update(gradient, Adam(0.1).init(net), net, 0.1, 1.0)
    assert type(new) is pb.nn.MLP
    assert (new.layers[2].bias != net.layers[2].bias).all()

    def after(rate):  # a derivative by the step length goes through the optimizer
        p = GradientDescent(1.0).update(np.array([2.0]), [()], np.array([1.0]), rate, 1.0)[0]
        return (p**2).sum()

    assert pb.grad(after)(0.25) == pytest.approx(2 * (1 - 0.5) * -2)


def test_global_norm():
    assert global_norm({"w": np.array([[3.0]]), "b": [np.array([4.0]), np.array(12.0)]}) == 13.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(0), "the step length is 0: it must be a positive number"),
        (lambda: Adam(lambda step: 0.1), "Write a class of pb.optim.Schedule with __call__(self, step, total)"),
        (lambda: Adam(-1.0), "the step length is -1.0"),
        (lambda: Adam(float("nan")), "the step length is nan"),
        (lambda: Adam(float("inf")), "the step length is inf"),
        (lambda: Adam("fast"), "the step length is 'fast'"),
        (lambda: Adam(True), "the step length is True"),
        (lambda: Adam(beta1=1.0), "beta1 is 1.0: it must be at least 0 and less than 1"),
        (lambda: Adam(beta2=-0.1), "beta2 is -0.1"),
        (lambda: Adam(epsilon=0.0), "epsilon is 0.0"),
        (lambda: AdamW(weight_decay=-1.0), "weight_decay is -1.0: it must be a number from 0 up"),
        (lambda: Momentum(momentum=1), "momentum is 1"),
        (lambda: RMSprop(decay=1.5), "decay is 1.5"),
        (lambda: GradientDescent(clip_norm=0.0), "clip_norm is 0.0"),
    ],
)
def test_settings_that_cannot_be(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert message in str(caught.value)


def test_numbers_of_numpy_are_numbers():
    assert Adam(np.float32(0.5)).schedule(0, 1) == 0.5
    p, g = np.ones(3, np.float32), np.full(3, 0.1, np.float32)
    for kind in pb.optim.OPTIMIZERS.values():
        plain = {name: value for name, value in vars(kind()).items() if type(value) is float}
        by_numpy = kind(**{name: np.float64(value) for name, value in plain.items()})
        assert by_numpy == kind()
        assert by_numpy.update(g, by_numpy.init(p), p, 0.1, 1)[0].dtype == np.float32


def test_of_ones_own_it_is_not_known_that_it_treats_all_entries_alike():
    class Sign(pb.optim.Optimizer):
        def leaf(self, p, g, slots, rate, step):
            return p - rate * np.sign(g), slots

    parameters = {"w": np.ones(2)}
    assert Sign().flat(parameters) is None
    assert type("Mine", (pb.optim.Adam,), {})().flat(parameters) is None
    assert pb.optim.Adam().flat(parameters) == pb.optim.Adam()
