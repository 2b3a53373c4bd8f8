"""Rows: what may be trained on, and how they are split."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, ShapeError
from payback.train.data import check_rows, split_rows

KEY = pb.random.key(7)


@pytest.mark.parametrize("name", ["X", "y", "sample_weight"])
def test_what_is_masked_is_missing(name):
    given = {"X": np.ones((3, 2)), "y": np.ones(3), "sample_weight": np.ones(3)}
    masked = np.ma.masked_array(given[name], given[name] < 0)
    found = check_rows(*(given | {name: masked}).values(), np.dtype(float))
    assert all(type(array) is np.ndarray for array in found)
    masked[1] = np.ma.masked
    with pytest.raises(InputError, match=rf"^{name}\[1.*\] is masked: missing values cannot be trained on"):
        check_rows(*(given | {name: masked}).values(), np.dtype(float))


def test_weights_that_a_network_cannot_hold():
    X, y = np.ones((3, 2)), np.ones(3)
    with pytest.raises(InputError, match=r"sample_weight\[0\] is 1e\+39: it is too large for float32"):
        check_rows(X, y, np.full(3, 1e39), np.dtype(np.float32))
    with pytest.raises(InputError, match="its sum is beyond the largest float32"):
        check_rows(X, y, np.full(3, 2e38), np.dtype(np.float32))
    _, _, weights = check_rows(X, y, np.full(3, 1e38), np.dtype(np.float32))
    assert weights is not None


@pytest.mark.parametrize(("loss", "outputs"), [("binary_cross_entropy", 1), ("cross_entropy", 2)])
@pytest.mark.parametrize("wrong", [2.0, -1.0])
def test_targets_that_are_no_probabilities(loss, outputs, wrong):
    """The cost would have no least value, and the training no end."""
    X, y = np.ones((4, 2)), np.full((4, outputs), 0.5)
    net = pb.nn.MLP([2, outputs], seed=0)
    pb.fit(net, X, y, loss=loss, epochs=1, progress=False, validation=0)
    y[2] = wrong
    with pytest.raises(InputError, match=r"y has numbers from .*: .*cross_entropy wants probabilities, from 0 to 1"):
        pb.fit(net, X, y, loss=loss, epochs=1, progress=False, validation=0)
    with pytest.raises(InputError, match=r"^the validation y has numbers"):
        pb.fit(net, X, abs(y) / 2, loss=loss, epochs=1, progress=False, validation=(X, y))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_every_row_is_in_one_part(n, fraction):
    rest, part = split_rows(n, fraction, KEY)
    assert sorted([*rest, *part]) == list(range(n))
    assert len(part) == round(n * fraction)
    assert rest.tolist() == sorted(rest)
    assert part.tolist() == sorted(part)


@pytest.mark.parametrize("seed", range(amount.cases(5, 100)))
def test_every_class_is_split_alike(seed):
    drawn = np.random.default_rng(seed)
    classes = drawn.integers(0, 5, 200) ** 2
    rest, part = split_rows(200, 0.2, pb.random.key(seed), classes)
    assert sorted([*rest, *part]) == list(range(200))
    assert len(part) == 40
    for label, count in zip(*np.unique(classes, return_counts=True), strict=True):
        held = np.sum(classes[part] == label)
        assert abs(held - 0.2 * count) < 1


def test_a_class_of_one_row_stays_in_training():
    classes = np.array([0] * 9 + [1])
    for seed in range(20):
        rest, _ = split_rows(10, 0.9, pb.random.key(seed), classes)
        assert 9 in rest


def test_the_split_comes_from_the_key():
    parts = [split_rows(100, 0.3, pb.random.key(seed))[1].tolist() for seed in (1, 1, 2)]
    assert parts[0] == parts[1]
    assert parts[0] != parts[2]
    assert parts[0] != list(range(30))


def test_arrays_as_they_are_trained_on():
    X, y, weights = check_rows([[1, 2], [3, 4]], [True, False], [1, 2], np.dtype(np.float32))
    assert (X.dtype, y.dtype, weights.dtype) == (np.float32, np.int64, np.float32)
    X, y, weights = check_rows(np.asfortranarray(np.ones((3, 2))), np.ones((3, 2), np.float32), None, np.dtype(float))
    assert X.flags.c_contiguous
    assert y.dtype == np.float64
    assert weights is None


GOOD = np.ones((4, 2))


@pytest.mark.parametrize(
    ("X", "y", "weights", "kind", "message"),
    [
        (np.ones(4), np.ones(4), None, ShapeError, "Write X[:, None] for one feature"),
        (GOOD, np.ones(3), None, ShapeError, "X has 4 rows and y has the shape (3,)"),
        (GOOD, np.float64(1), None, ShapeError, "each sample needs its target"),
        ((GOOD, GOOD), np.ones(4), None, ShapeError, "put arrays side by side, np.concatenate(X, axis=1)"),
        (np.ones((0, 2)), np.ones(0), None, InputError, "X has no rows"),
        (GOOD, np.ones(4), np.ones(3), ShapeError, "give one number a sample"),
        (GOOD, np.ones(4), np.ones((4, 1)), ShapeError, "there are 4 samples"),
        (GOOD, np.ones(4), [1, -1, 1, 1], InputError, "negative numbers or only zeros"),
        (GOOD, np.ones(4), np.zeros(4), InputError, "negative numbers or only zeros"),
        (GOOD, np.ones(4), [1, np.nan, 1, 1], InputError, "sample_weight[1] is nan"),
        (np.where(np.arange(8).reshape(4, 2) == 5, np.nan, 1.0), np.ones(4), None, InputError, "X[2, 1] is nan"),
        (GOOD, [1, 2, np.inf, 3], None, InputError, "y[2] is inf"),
        (np.array([["a"]] * 4), np.ones(4), None, InputError, "encode text and dates first"),
        (GOOD, np.array(["a"] * 4), None, InputError, "y holds <U1"),
        (GOOD * 1j, np.ones(4), None, InputError, "X holds complex128"),
        (np.array([[None]] * 4), np.ones(4), None, InputError, "X holds object"),
    ],
)
def test_what_cannot_be_trained_on_is_named(X, y, weights, kind, message):
    with pytest.raises(kind) as caught:
        check_rows(X, y, weights, np.dtype(np.float32))
    assert message.lower() in str(caught.value).lower()


def test_a_number_too_large_for_float32_is_named():
    with pytest.raises(InputError, match=r"X\[1, 0\] is 1e\+300: it is too large for float32"):
        check_rows([[1.0], [1e300]], [1.0, 2.0], None, np.dtype(np.float32))


def ends(*layers):
    return pb.nn.Sequential(pb.nn.Linear(2, 2, key=pb.random.key(0)), *layers)


@pytest.mark.parametrize(
    ("net", "loss", "name"),
    [
        (ends(pb.nn.softmax), "cross_entropy", "softmax"),
        (ends(ends(pb.nn.softmax)), None, "softmax"),
        (ends(ends(pb.nn.sigmoid)), "binary_cross_entropy", "sigmoid"),
        (ends(pb.nn.Activation("sigmoid")), pb.nn.binary_cross_entropy, "sigmoid"),
    ],
)
def test_a_network_does_not_end_with_what_the_loss_does(net, loss, name):
    y = np.array([0, 1, 1, 0])
    target = y if loss in (None, "cross_entropy") else np.stack([y, 1 - y], axis=1)
    with pytest.raises(InputError, match=f"the network ends with a {name}: .* takes logits"):
        pb.fit(net, GOOD, target, loss=loss, epochs=1)
    assert pb.fit(net, GOOD, y.astype(float)[:, None] + [0, 1], loss="squared_error", epochs=1).stopped == "epochs"


def test_a_loss_of_the_network_is_refused():
    def cost(net, X, y):
        return net(X).sum()

    with pytest.raises(InputError, match=r"the loss cost takes \(net, X, y\): it is called with"):
        pb.fit(ends(), GOOD, np.array([0, 1, 1, 0]), loss=cost)
