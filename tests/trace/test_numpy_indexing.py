"""Functions that choose entries: NumPy's value, derivatives in every mode, with and without numbers."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from ops import calls
from ops.calls import apart, table
from ops.samples import traced
from payback.errors import TraceError
from payback.trace.abstract import trace

G = np.random.default_rng(14)
V, M, T, S = apart(G, 6), apart(G, 3, 4), apart(G, 2, 3, 4), np.float64(0.75)
CHOICES = np.array([0, 2, 1, 0, 2, 1])

# fmt: off
# ruff: noqa: E501 (a table of calls)
CASES = [
    *table(
        (lambda x: np.take(x, [[0, 5], [5, 2]]), V), (lambda x: x.take([2, 0, 2], axis=1), M), (lambda x: np.take(x, [-7, 9, 3], mode="wrap"), V),
        (lambda x: np.take(x, [-7, 9, 3], axis=-1, mode="clip"), T), (lambda x: np.take(x, 1, axis=0), M), (lambda x: x[np.newaxis, ..., 1:], T),
        (lambda x: np.take_along_axis(x, np.argsort(M, 1), 1), M), (lambda x: np.take_along_axis(x, np.array([[0], [1], [0]]), 1), M),
        (lambda x: np.take_along_axis(x, np.array([3, 3, 0]), None), M), (lambda x: np.take_along_axis(x, np.array([[0, 2, 1, 1]]), 0), M),
        (lambda x: np.take_along_axis(x, np.array([[[1]], [[2]]]), 1), T),
        (lambda x: np.take_along_axis(x, np.argsort(x[:, ::-1], axis=1), 1), M), (lambda x: np.where(x > 0, x, 0.5 * x), M), (lambda x: np.where(x > 0, x, 0), V),
        (lambda x: np.select([x > 0.5, x > -0.5], [x, x**2], 7.0), M), (lambda x: np.select([x > 0], [2 * x]), M), (lambda x, y: np.select([M > 0, M < -1], [x, y], x * y), M, M[0]),
        (lambda x, y: np.choose(CHOICES, [x, y, 1.0]), V, V**2), (lambda x: np.choose([0, 4, -1], [x[:3], x[3:]], mode="wrap"), V), (lambda x: np.choose([[1], [0]], x), M[:2]),
        (lambda x: np.piecewise(x, [x < 0, x > 1], [lambda t: -t, 2.0, lambda t: t**2]), V), (lambda x: np.piecewise(x, x > 0, [lambda t, k: k * t, 1.5], 3.0), V),
        (lambda x: np.piecewise(x, [x < 0.5], [np.exp, np.sin]), S), (lambda x: x[np.lexsort((V, CHOICES))], V), (lambda x: np.apply_over_axes(np.sum, x, [0, 2]), T),
        (lambda x: np.apply_along_axis(lambda r: r * r[0], 1, x), T), (lambda x: np.apply_along_axis(np.sum, 0, x), M), (lambda x: np.apply_along_axis(lambda r: np.outer(r, r[:2]), -1, x), M),
        (lambda x: x[np.ix_([0, 2], [1, 3])], M), (lambda x: np.extract(CHOICES > 0, x), V), (lambda x: x[[0, 1], :, [2, 3]], T), (lambda x: np.compress([True, False, True], x, axis=0), M),
        (lambda x: x[CHOICES > 0], V),
    ),
    *table(
        (lambda x: np.compress(x[0] > 0.01, x, axis=1), M), (lambda x: np.extract(x > 0, x), M), (lambda x: x[np.nonzero(x > 0)], M), (lambda x: x.ravel()[np.flatnonzero(x < 0)], M),
        (lambda x: x[np.where(x > 0)], M), (lambda x: x[x.argmax(0), np.arange(4)], M), (lambda x: x[np.isin(CHOICES, [0, 1])] * np.isin(x > 0, [True])[CHOICES < 2], V),
        (lambda x: x[x.nonzero()[0][0]], V), (lambda x: x[tuple(np.argwhere(x > 0)[0])], M), (lambda x: x.compress([False, True, True]), V), (lambda x: x[np.lexsort((x, CHOICES))], V),
        abstract=False,
    ),
]
# fmt: on
test_value, test_derivatives, test_without_numbers = calls.tests(CASES)


def test_masks_of_choices_sink():
    """What is not chosen is owed nothing, though its partial is infinite."""
    x = np.array([0.0, -1.0, 2.0])
    with np.errstate(all="ignore"):
        for call in (
            lambda z: np.select([z > 0], [np.log(z)], 0.0),
            lambda z: np.choose((z > 0).astype(int), [0.0, np.log(z)]),
            lambda z: np.piecewise(z, [z > 0], [np.log, 0.0]),
            lambda z: np.compress(z > 0, np.log(z)),
        ):
            np.testing.assert_array_equal(pb.grad(lambda z, call=call: call(z).sum())(x), [0, 0, 0.5])


def test_how_many_there_are_is_not_known_without_numbers():
    for call in (
        lambda x: np.extract(x > 0, x),
        lambda x: np.unique(x),
        lambda x: x[np.nonzero(x)],
        lambda x: np.trim_zeros(x),
    ):
        with pytest.raises(TraceError):
            trace(call, V)


def test_errors():
    x = traced(V)
    for call, error, text in (
        (lambda: np.take(x, [9]), IndexError, "out of bounds"),
        (lambda: np.take(x, 1, mode="around"), ValueError, "mode"),
        (lambda: np.choose([0, 3], [x, x]), ValueError, "invalid entry in choice array"),
        (lambda: np.select([x > 0], [x, x]), ValueError, "same length"),
        (lambda: np.select([x], [x]), TypeError, "boolean"),
        (lambda: np.take_along_axis(x, np.array([[1]]), 0), ValueError, "same number of dimensions"),
        (lambda: np.piecewise(x, [x > 0], [1, 2, 3]), ValueError, "functions are expected"),
    ):
        with pytest.raises(error) as caught:
            call()
        assert text in str(caught.value)
