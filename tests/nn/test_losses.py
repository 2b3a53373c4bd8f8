"""Losses: by hand, with weights, and what does not match raises."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, ShapeError


def hand_squared_error(p, t):
    return [(a - b) ** 2 for a, b in zip(p, t, strict=True)]


def hand_huber(p, t, delta=1.0):
    d = [abs(a - b) for a, b in zip(p, t, strict=True)]
    return [x * x / 2 if x <= delta else delta * (x - delta / 2) for x in d]


def hand_binary(z, t):
    with mpmath.workdps(200):
        probability = [1 / (1 + mpmath.exp(-mpmath.mpf(float(x)))) for x in z]
        return [float(-b * mpmath.log(p) - (1 - b) * mpmath.log(1 - p)) for p, b in zip(probability, t, strict=True)]


def hand_cross_entropy(rows, t):
    with mpmath.workdps(50):
        return [float(mpmath.log(sum(mpmath.exp(x) for x in row)) - row[k]) for row, k in zip(rows, t, strict=True)]


P = np.array([0.0, 3.0, -0.5, 2.0])
T = np.array([0.5, 1.0, -0.25, -4.0])
Z = np.array([-200.0, -1.0, 0.3, 200.0])
B = np.array([1.0, 0.0, 0.25, 0.0])
LOGITS = np.array([[1.0, 2.0, 0.5], [300.0, -300.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 4.0, 4.0]])
K = np.array([0, 1, 2, 1])
SOFT = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
CASES = {
    "squared_error": (pb.nn.squared_error, P, T, hand_squared_error(P, T)),
    "huber": (pb.nn.huber, P, T, hand_huber(P, T)),
    "binary_cross_entropy": (pb.nn.binary_cross_entropy, Z, B, hand_binary(Z, B)),
    "cross_entropy": (pb.nn.cross_entropy, LOGITS, K, hand_cross_entropy(LOGITS, K)),
}
by_loss = pytest.mark.parametrize("name", CASES)


def test_these_are_all():
    assert set(pb.nn.LOSSES) == set(CASES)
    assert all(pb.nn.LOSSES[name] is CASES[name][0] for name in CASES)


@by_loss
def test_the_mean_of_the_costs_by_hand(name):
    loss, prediction, target, costs = CASES[name]
    assert float(loss(prediction, target)) == pytest.approx(np.mean(costs), rel=1e-12)


@by_loss
def test_in_float32(name):
    loss, prediction, target, costs = CASES[name]
    target = target if target.dtype.kind == "i" else target.astype(np.float32)
    found = loss(prediction.astype(np.float32), target)
    assert found.dtype == np.float32
    assert float(found) == pytest.approx(np.mean(costs), rel=1e-5)


@pytest.mark.parametrize("delta", [0.1, 1.0, 3.0])
def test_where_huber_bends(delta):
    assert float(pb.nn.huber(P, T, delta=delta)) == pytest.approx(np.mean(hand_huber(P, T, delta)), rel=1e-12)
    at = np.array([delta])
    assert float(pb.nn.huber(at, 0 * at, delta=delta)) == pytest.approx(delta * delta / 2)


def test_cross_entropy_of_probabilities():
    expected = np.mean([sum(s * (c - x) for s, x in zip(row_s, row, strict=True))
                        for row_s, row, c in zip(SOFT, LOGITS, pb.nn.logsumexp(LOGITS, 1), strict=True)])  # fmt: skip
    assert float(pb.nn.cross_entropy(LOGITS, SOFT)) == pytest.approx(expected, rel=1e-12)
    classes = np.eye(3)[K]
    assert float(pb.nn.cross_entropy(LOGITS, classes)) == pytest.approx(float(pb.nn.cross_entropy(LOGITS, K)))


@by_loss
def test_weights_by_hand(name):
    loss, prediction, target, costs = CASES[name]
    weights = np.array([0.5, 2.0, 0.0, 1.0])
    expected = np.dot(weights, costs) / weights.sum()
    assert float(loss(prediction, target, weights)) == pytest.approx(expected, rel=1e-12)


@by_loss
def test_weight_2_is_a_row_twice_and_weight_0_a_row_left_out(name):
    loss, prediction, target, _ = CASES[name]
    rows = [0, 1, 1, 3]
    weights = np.array([1.0, 2.0, 0.0, 1.0])
    assert float(loss(prediction, target, weights)) == pytest.approx(float(loss(prediction[rows], target[rows])))

    def with_weights(p):
        return loss(p, target, weights)

    def with_rows(p):
        return loss(p[np.array(rows)], target[np.array(rows)])

    np.testing.assert_allclose(pb.grad(with_weights)(prediction), pb.grad(with_rows)(prediction), atol=1e-15)


def test_weights_of_several_outputs_are_those_of_rows():
    prediction, target = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    weights = np.array([1.0, 0.0, 3.0])
    expected = (1 * np.mean([1.0, 0.0]) + 3 * np.mean([9.0, 16.0])) / 4
    assert float(pb.nn.squared_error(prediction, target, weights)) == pytest.approx(expected)


@by_loss
@pytest.mark.parametrize("seed", range(amount.cases(2, 40)))
@pytest.mark.parametrize("weighted", [False, True])
def test_derivatives(name, seed, weighted):
    loss, prediction, target, _ = CASES[name]
    drawn = np.random.default_rng(seed)
    at = drawn.normal(scale=2, size=prediction.shape)
    weights = drawn.uniform(0.1, 2, 4) if weighted else None
    pb.check_grads(lambda p: loss(p, target, weights), at)


def test_derivatives_by_the_target_too():
    pb.check_grads(pb.nn.squared_error, P, T)
    pb.check_grads(pb.nn.huber, P, T)
    pb.check_grads(pb.nn.cross_entropy, LOGITS / 100, SOFT)


def test_the_gradient_of_cross_entropy_is_softmax_minus_the_class():
    found = pb.grad(pb.nn.cross_entropy)(LOGITS, K)
    np.testing.assert_allclose(found, (pb.nn.softmax(LOGITS) - np.eye(3)[K]) / 4, atol=1e-15)


@pytest.mark.parametrize("name", ["squared_error", "huber", "binary_cross_entropy"])
@pytest.mark.parametrize(
    ("prediction", "target", "fix"),
    [
        ((3,), (3, 1), "Write prediction[:, 0]"),
        ((3, 1), (3,), "Write target[:, None] for one output"),
        ((3,), (4,), ""),
    ],
)
def test_shapes_that_do_not_match_raise(name, prediction, target, fix):
    message = rf"prediction of shape \({prediction[0]},.*must be equal"
    with pytest.raises(ShapeError, match=message) as caught:
        pb.nn.LOSSES[name](np.zeros(prediction), np.zeros(target))
    assert fix in str(caught.value)
    with pytest.raises(ShapeError):  # traced too
        pb.grad(pb.nn.LOSSES[name])(np.zeros(prediction), np.zeros(target))


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (np.zeros(3), np.zeros(3, int), "they must be (samples, …, classes)"),
        (np.zeros((3, 2)), np.zeros((3, 1), int), "Give one whole number a sample"),
        (np.zeros((3, 2)), np.zeros((2,), int), "Give one whole number a sample"),
        (np.zeros((3, 2)), np.zeros((3,)), "they must be equal"),
        (np.zeros((3, 2)), np.zeros((3, 3)), "they must be equal"),
    ],
)
def test_cross_entropy_of_shapes_that_do_not_match(logits, target, message):
    with pytest.raises(ShapeError) as caught:
        pb.nn.cross_entropy(logits, target)
    assert message in str(caught.value)


@pytest.mark.parametrize("classes", [[0, 1, 2], [0, -1, 1]])
def test_classes_out_of_range(classes):
    with pytest.raises(InputError, match="2 logits stand for the classes 0 to 1"):
        pb.nn.cross_entropy(np.zeros((3, 2)), np.array(classes))


@by_loss
@pytest.mark.parametrize("shape", [(3,), (4, 1), ()])
def test_weights_that_do_not_match(name, shape):
    loss, prediction, target, _ = CASES[name]
    with pytest.raises(ShapeError, match="one weight a sample"):
        loss(prediction, target, np.ones(shape))
