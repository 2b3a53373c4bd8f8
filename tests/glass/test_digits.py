"""`ledger.digits`: beside mpmath's numbers, and nothing lost where nothing is."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import payback as pb

WIDE = np.finfo(np.longdouble).eps < np.finfo(float).eps
needs_long_double = pytest.mark.skipif(not WIDE, reason="NumPy's long double is float64")


def cancelling(x):
    return (1.0 - np.cos(x)) / x**2


def midnight(b):
    return -b + np.sqrt(b * b - 4.0)


def smooth(x):
    return np.exp(np.sin(x)) * x


@needs_long_double
@pytest.mark.parametrize("f", [cancelling, midnight, smooth])
@pytest.mark.parametrize("x", [1e-4, 1e-2, 3.0, 1e3])
def test_right_digits_are_those_that_are_right(f, x):
    if f is midnight and x < 2:
        x = 1 / x
    with mpmath.workdps(60):
        exact = {
            cancelling: lambda x: (1 - mpmath.cos(x)) / x**2,
            midnight: lambda b: -b + mpmath.sqrt(b * b - 4),
            smooth: lambda x: mpmath.exp(mpmath.sin(x)) * x,
        }[f]
        truth = mpmath.diff(exact, mpmath.mpf(x))
        error = abs((mpmath.mpf(float(pb.grad(f)(x))) - truth) / truth)
        right = float(min(15.65, -mpmath.log10(error))) if error else 15.65
    found = pb.explain(f, x).digits()
    assert found[next(iter(found.leaves))].least == pytest.approx(max(right, 0.0), abs=0.5)


@needs_long_double
def test_what_not_even_the_wider_dtype_knows_counts_as_lost():
    (place, *_) = (found := pb.explain(lambda x: ((1e20 + x) - 1e20) * x, 1.0).digits()).places
    assert found["x"].least == 0.0
    assert place.what == "(1e20 + x) - 1e20"


@needs_long_double
def test_digits_that_both_dtypes_round_away_count_as_lost():
    """1 + 1e-13 is 1 beside 1e10 in long doubles, too."""
    found = pb.explain(lambda x: 1 / (((1.0 + x**2) + 1e10) - 1e10) * x, 3e-7).digits()
    assert found.value.least < 13


@needs_long_double
def test_a_difference_that_is_exact_loses_nothing():
    found = pb.explain(lambda x: ((3.0 + x) - 5.0) * x, 2.0).digits()
    assert (found["x"].least, found.value.least, found.places) == (found["x"].most, found.value.most, ())


def test_a_bias_before_a_mean_is_0_but_for_rounding():
    X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)

    def cost(w, b):
        h = np.tanh(X @ w) + b
        return ((h - h.mean(axis=0)) ** 2).sum()

    found = pb.explain(cost, np.ones((3, 2), np.float32), np.full(2, 0.3, np.float32)).digits()
    assert found["b"].noise == 2
    assert found["w"].least > 5
    assert "2 of 2 entries are 0 but for rounding" in str(found)


def test_what_loses_is_named_once_with_its_numbers():
    def rounds(x):
        for _ in range(3):
            x = (x + 1e4) - 1e4
        return x * x

    (place,) = pb.explain(rounds, np.float32(0.1)).digits().places
    assert place.what == "(x + 1e4) - 1e4"
    assert place.lost > 3
    assert place.fact == "10000.09961 - 10000 = 0.099609375"


def test_of_what_is_beyond_the_dtype_no_digit_is_right():
    """But where nothing depends on it, as behind a `where`, that loses nothing."""
    x = np.array([1.0, 2.0, 100.0], np.float32)
    found = pb.explain(lambda x: np.log(np.sum(np.exp(x))), x).digits()
    assert (found.value.least, found["x"].noise) == (0.0, 3)
    (place,) = found.places
    assert (place.what, place.fact) == ("np.exp(x)", "it is 2.7e+43, beyond float32")
    found = pb.explain(lambda x: np.sum(np.where(x < 50, np.exp(x), x)), x).digits()
    assert (found.value.least, found["x"].noise, found.places) == (found.value.most, 0, ())


def test_a_leaf_that_nothing_reads_has_no_digits():
    assert list(pb.explain(lambda x, y: y * 2, 1.0, 2.0).digits().leaves) == ["y"]
