"""`ledger.digits`: beside mpmath's numbers, and nothing lost where nothing is."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import payback as pb
from payback.glass.wide import Wide

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


def hilbert(n):
    return 1.0 / (np.arange(n)[:, None] + np.arange(n) + 1.0)


@needs_long_double
@pytest.mark.parametrize("name", ["solve", "cholesky", "slogdet"])
def test_a_matrix_loses_the_digits_of_its_condition_number(name):
    f = {
        "solve": lambda A: np.linalg.solve(A, np.ones(len(A))).sum(),
        "cholesky": lambda A: np.linalg.cholesky(A)[-1, -1],
        "slogdet": lambda A: np.linalg.slogdet(A)[1],
    }[name]
    found = pb.explain(f, hilbert(8)).digits()
    assert not found.narrow
    assert 4 < found["A"].median < 10
    if name == "solve":
        with mpmath.workdps(50):
            exact = sum(mpmath.lu_solve(mpmath.matrix(hilbert(8).tolist()), mpmath.ones(8, 1)))
            truth = float(-mpmath.log10(abs(mpmath.mpf(f(hilbert(8))) / exact - 1)))
        assert found.value.least == pytest.approx(truth, abs=0.3)
        assert found.places[0].fact == "the condition number of A is 1.5e+10"
    healthy = pb.explain(f, np.eye(8) + 0.1 * hilbert(8)).digits()
    assert healthy.value.least > 14
    assert not healthy.places


@needs_long_double
def test_elimination_in_long_double_is_lapacks():
    wide, rng = Wide(), np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5, 5)), rng.normal(size=(3, 5, 2))
    s = a @ np.swapaxes(a, -1, -2)
    A, B, S = (x.astype(np.longdouble) for x in (a, b, s))
    pairs = [
        (wide.solve(A, B), np.linalg.solve(a, b)),
        (wide.inv(A), np.linalg.inv(a)),
        (wide.det(A), np.linalg.det(a)),
        (wide.cofactor(A), np.linalg.det(a)[:, None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)),
        (wide.slogdet(A)[0], np.linalg.slogdet(a)[0]),
        (wide.slogdet(A)[1], np.linalg.slogdet(a)[1]),
        (wide.cholesky(S, upper=False), np.linalg.cholesky(s)),
        (wide.cholesky(S, upper=True), np.linalg.cholesky(s, upper=True)),
    ]
    for found, expected in pairs:
        assert found.dtype == np.longdouble
        assert np.allclose(found.astype(float), expected, rtol=1e-10)
    low = np.tril(a[0])
    for trans, unit in ((False, False), (True, True)):
        found = wide.solve_triangular(A[0], B[0], lower=True, trans=trans, unit=unit)
        matrix = low - np.diag(np.diag(low)) + np.eye(5) if unit else low
        assert np.allclose((matrix.T if trans else matrix) @ found.astype(float), b[0])
    with pytest.raises(np.linalg.LinAlgError):
        wide.solve(np.zeros((2, 2), np.longdouble), np.ones((2, 1), np.longdouble))


@needs_long_double
def test_what_lapack_alone_has_is_said_to_be_narrow():
    A = np.random.default_rng(0).normal(size=(4, 4))
    found = pb.explain(lambda A, unused: np.linalg.norm(A, 2), A, 1.0).digits()  # and a leaf without a path
    assert found.narrow == ("svd",)
    assert list(found.leaves) == ["A"]
    assert found["A"].least > 14


@needs_long_double
def test_a_series_that_cancels_little_by_little_is_named():
    def series(x):
        total, term = 0.0, 1.0
        for k in range(60):
            total = total + term
            term = -term * x / (k + 1.0)
        return total

    assert "little by little" in next(p.fact for p in pb.explain(series, 18.0).digits().places if "total" in p.what)
    assert not pb.explain(series, -1.0).digits().places


@needs_long_double
@pytest.mark.parametrize(
    ("f", "x", "cure"),
    [
        (lambda x: np.log(1 + x), 1e-10, "np.log1p"),
        (lambda x: np.exp(x) - 1, 1e-10, "np.expm1"),
        (lambda x: 1 - np.cos(x), 1e-5, "np.sin(x/2)"),
        (lambda x: np.sqrt(x * x + 1) - x, 1e7, "sqrt(p) + a"),
    ],
)
def test_it_says_what_helps(f, x, cure):
    found = pb.explain(f, x).digits()
    assert cure in found.places[0].cure
    assert "what helps: " in str(found)
