"""±0, ±∞, NaN, subnormals and kinks: NumPy's value; the true derivative, or the documented one."""

from __future__ import annotations

from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

import amount
import payback as pb
from ops import checks
from ops.samples import FLOATS, POINTWISE, traced
from payback.ops import TABLE

INF, NAN = float("inf"), float("nan")
UNARY = [name for name, sample in POINTWISE.items() if len(sample.points) == 1 and not name.startswith("logical")]
BINARY = [name for name, sample in POINTWISE.items() if len(sample.points) == 2 and not name.startswith("logical")]


def specials(dtype):
    info = np.finfo(dtype)
    return np.array(
        [0.0, -0.0, INF, -INF, NAN, info.smallest_subnormal, -info.tiny, info.max, info.min, 1, -1, info.eps], dtype
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_unary_value(name, dtype):
    x = specials(dtype)
    with np.errstate(all="ignore"):
        found = POINTWISE[name].call(traced(x)).node.value
        if POINTWISE[name].ulps is None:
            checks.assert_same(found, POINTWISE[name].numpy(x))
        expected = {"sigmoid": {INF: 1.0, -INF: 0.0, 0.0: 0.5}, "softplus": {INF: INF, -INF: 0.0}}.get(name, {})
    for point, y in zip(x, found, strict=True):
        assert point not in expected or expected[point] == y
        assert not np.isnan(point) or np.isnan(y) or found.dtype == bool


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_value(name, dtype):
    a, b = (grid.ravel() for grid in np.meshgrid(specials(dtype), specials(dtype)))
    with np.errstate(all="ignore"):
        checks.assert_same(POINTWISE[name].call(traced(a), traced(b)).node.value, POINTWISE[name].numpy(a, b))


def slope(call, x):
    with np.errstate(all="ignore"):
        return pb.grad(lambda z: call(z).sum())(np.array([x]))[0]


@pytest.mark.parametrize(("name", "table"), [
    ("abs", {0.0: 0.0, INF: 1.0, -INF: -1.0}),
    ("relu", {0.0: 0.0, INF: 1.0, -INF: 0.0, 5e-324: 1.0}),
    ("exp", {0.0: 1.0, -INF: 0.0, INF: INF, 1000.0: INF, -1000.0: 0.0}),
    ("expm1", {0.0: 1.0, -INF: 0.0, INF: INF}),
    ("log", {0.0: INF, INF: 0.0, 5e-324: INF}),
    ("log1p", {0.0: 1.0, -1.0: INF, INF: 0.0, 1e-300: 1.0}),
    ("sqrt", {0.0: INF, INF: 0.0}),
    ("tanh", {0.0: 1.0, INF: 0.0, -INF: 0.0, 1000.0: 0.0}),
    ("sigmoid", {0.0: 0.25, INF: 0.0, -INF: 0.0, 800.0: 0.0, -800.0: 0.0}),
    ("softplus", {0.0: 0.5, INF: 1.0, -INF: 0.0, 1000.0: 1.0, -1000.0: 0.0}),
    ("sin", {0.0: 1.0, 5e-324: 1.0}),
    ("cos", {0.0: 0.0}),
])  # fmt: skip
def test_slopes_at_special_points(name, table):
    for x, expected in table.items():
        assert slope(POINTWISE[name].call, x) == expected, (name, x)


@pytest.mark.parametrize(
    "name", ["exp", "expm1", "log", "log1p", "sqrt", "tanh", "sigmoid", "softplus", "sin", "cos", "abs"]
)
def test_a_nan_is_not_hidden(name):
    assert np.isnan(slope(POINTWISE[name].call, NAN))


@pytest.mark.parametrize("name", ["maximum", "minimum", "abs", "relu", "clip", "power"])
def test_kinks_are_documented(name):
    assert TABLE[name].facts["kink"]


@pytest.mark.parametrize("call", [np.maximum, np.minimum])
def test_ties_are_shared(call):
    assert pb.grad(call, argnums=(0, 1))(1.5, 1.5) == (0.5, 0.5)
    assert pb.grad(call, argnums=(0, 1))(0.0, -0.0) == (0.5, 0.5)
    assert pb.grad(lambda x: call(x, x))(2.0) == 1.0


def test_clip_takes_x_at_its_bounds():
    for x, expected in {1.0: (1, 0, 0), 2.0: (1, 0, 0), 0.5: (0, 1, 0), 2.5: (0, 0, 1)}.items():
        assert pb.grad(np.clip, argnums=(0, 1, 2))(x, 1.0, 2.0) == expected
    assert pb.grad(np.clip, argnums=(0, 1, 2))(1.5, 2.0, 1.0) == (0, 0, 1)  # low > high: NumPy takes high


@pytest.mark.parametrize(("x", "y", "by_x", "by_y"), [
    (0.0, 0.0, 0.0, NAN), (2.0, 0.0, 0.0, np.log(2.0)), (-2.0, 0.0, 0.0, NAN), (INF, 0.0, 0.0, INF),  # x**0 = 1
    (0.0, 1.0, 1.0, 0.0), (0.0, 2.0, 0.0, 0.0), (0.0, 3.0, 0.0, 0.0), (0.0, 0.5, INF, 0.0), (0.0, -1.0, -INF, NAN),
    (-2.0, 3.0, 12.0, NAN), (-2.0, 2.0, -4.0, NAN), (-2.0, -1.0, -0.25, NAN), (-0.5, 1.0, 1.0, NAN),
    (-8.0, 0.5, NAN, NAN), (1.0, 5.0, 5.0, 0.0),
])  # fmt: skip
def test_power(x, y, by_x, by_y):
    """In x it is a polynomial for whole y, whatever the sign; for x < 0 it has no derivative in y."""
    for make in (float, lambda v: np.array([v]), np.float64):
        with np.errstate(all="ignore"):
            found = pb.grad(lambda a, b: np.sum(a**b), argnums=(0, 1))(make(x), make(y))
        assert np.array_equal(np.ravel(found), [by_x, by_y], equal_nan=True), found


@pytest.mark.parametrize(("y", "by_x_twice", "mixed", "by_y_twice"), [
    (3.0, 0.0, 0.0, 0.0), (2.0, 2.0, 0.0, 0.0), (1.5, INF, 0.0, 0.0), (1.0, 0.0, -INF, 0.0), (0.5, -INF, -INF, 0.0),
    (-1.5, INF, NAN, NAN), (-1.0, INF, NAN, NAN),
])  # fmt: skip
def test_second_derivatives_of_a_power_of_zero(y, by_x_twice, mixed, by_y_twice):
    """x**y·log x is NaN at x = 0 for y < 0, and so is what is computed from it; for 0 < y <= 1 it falls steeply."""
    with np.errstate(all="ignore"):
        found = pb.hessian(lambda z: z[0] ** z[1])(np.array([0.0, y]))
        np.testing.assert_array_equal(found[0, 0], by_x_twice)
        assert found[0, 1] == mixed or np.isnan(found[0, 1]), found
        np.testing.assert_array_equal(found[1], [mixed, by_y_twice])
        assert np.isnan(pb.hessian(lambda x: 0.0**x)(-1.5))
        assert np.isnan(pb.compile(pb.hessian(lambda x: 0.0**x))(-1.5))


@pytest.mark.parametrize("a", [0.5, 2.0, 7.0])
def test_second_derivatives_of_a_power_to_the_zero(a):
    """x**y is 1 at y = 0 for all x, but its slope by x is not 0 for all y around: the mixed derivative is 1/x."""
    for hessian in (pb.hessian(lambda z: z[0] ** z[1]), pb.compile(pb.hessian(lambda z: z[0] ** z[1]))):
        np.testing.assert_allclose(hessian(np.array([a, 0.0])), [[0.0, 1 / a], [1 / a, np.log(a) ** 2]], rtol=1e-15)
    for x in (NAN, 0.0, 1e-310, -1e-310, INF):
        for power in (0, 0.0):
            assert pb.grad(lambda x, power=power: x**power)(x) == 0.0
            assert pb.compile(pb.grad(lambda x, y: x**y))(x, power) == 0.0


# Bounded domains end before; at poles (gamma), and where SciPy has no value (Bessel), the truth is another question.
SMOOTH = [name for name in UNARY if POINTWISE[name].exact is not None and "1" not in TABLE[name].facts.get("domain", "")
          and name not in ("fraction", "gamma", "gammaln", "digamma", "i0e", "i1e", "ndtri", "erfcinv")
          and name[-1] not in "01"]  # fmt: skip
FAR = (INF, -INF, 40.0, -40.0, 1e3, -1e3, 1e10, -1e10, 1.7e308)


def true_slope(exact, x, order):
    """A derivative by differences; at an infinity its limit.  None: there is no such number."""
    if mp.isinf(x):
        near, far = (true_slope(exact, mp.sign(x) * mp.mpf(10) ** k, order) for k in (50, 60))
        return far if far is not None and abs(far - near) <= 1e-12 * min(1, abs(far)) + 1e-40 else None
    with mp.workdps(400 if abs(x) < 1e300 else 900):
        z, h = mp.mpf(x), mp.mpf(10) ** -70
        try:
            below, here, above = exact(z - h), exact(z), exact(z + h)
        except (ValueError, OverflowError):  # mpmath has no value so far out
            return None
        slope = (above - below) / (2 * h) if order == 1 else (above - 2 * here + below) / h**2
        return slope if isinstance(slope, mp.mpf) and abs(slope) < 1e300 else None


@pytest.mark.parametrize("name", SMOOTH)
def test_first_and_second_derivatives_far_out(name):
    """What is finite is found, though parts of the rule are 0·∞ there."""
    call, exact = POINTWISE[name].call, POINTWISE[name].exact
    compared = 0
    for x in FAR:
        with np.errstate(all="ignore"):
            if np.isnan(call(traced(np.array([x]))).node.value[0]):
                continue
            slope = pb.grad(lambda z: call(z).sum())
            found = slope(np.array([x]))[0], pb.jvp(slope, (np.array([x]),), (np.ones(1),))[1][0]
        for got, order in zip(found, (1, 2), strict=True):
            true = true_slope(exact, x, order)
            if true is not None:
                assert abs(got - true) <= 1e-9 * abs(true) + 1e-14, (x, got, true)
                compared += 1
    assert compared


@pytest.mark.parametrize("far", [INF, -INF])
@pytest.mark.parametrize(("f", "slopes"), [
    (np.hypot, lambda s: (s, 0.0)), (np.arctan2, lambda s: (0.0, 0.0)),
    (lambda a, b: np.hypot(b, a), lambda s: (s, 0.0)), (lambda a, b: np.arctan2(b, a), lambda s: (0.0, 0.0)),
])  # fmt: skip
def test_an_infinite_side(f, slopes, far):
    for b in (0.5, -2.0, 0.0):
        z = np.array([far, b])
        np.testing.assert_array_equal(pb.grad(lambda z: f(z[0], z[1]))(z), slopes(np.sign(far)))
        np.testing.assert_array_equal(pb.hessian(lambda z: f(z[0], z[1]))(z), np.zeros((2, 2)))
    with np.errstate(all="ignore"):
        assert np.isnan(pb.grad(lambda z: np.hypot(z[0], z[1]))(np.array([far, far]))).all()


@pytest.mark.parametrize("name", ["rel_entr", "kl_div"])
@pytest.mark.parametrize("v", [0.5, 2.0])
def test_entropies_of_nothing(name, v):
    """By v the slope is −x/v, or 1 − x/v: so the mixed derivative is −1/v at x = 0 too."""
    with np.errstate(all="ignore"):
        found = pb.hessian(lambda z: POINTWISE[name].call(z[0], z[1]))(np.array([0.0, v]))
    np.testing.assert_array_equal(found, [[INF, -1 / v], [-1 / v, 0.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_far_out(dtype):
    """Where erfcx is infinite, or 0, and around the places where the rule changes."""
    from scipy.stats import norm

    points = [-3e8, -1e7, 5.0, 12.0, 12.4, 12.6, 13.0] if dtype is np.float32 else [-3e8, 30.0, 36.9, 37.1, 38.0]
    x = np.array(points, dtype)
    slope = pb.grad(lambda x: np.sum(norm.logcdf(x)))
    for f in (slope, pb.compile(slope)):
        assert f(x).dtype == dtype
        for point, got in zip(x, f(x), strict=True):
            with mp.workdps(400):
                exact = mp.npdf(mp.mpf(float(point))) / mp.ncdf(mp.mpf(float(point)))
                assert abs(got - exact) <= 1000 * np.finfo(dtype).eps * exact + np.finfo(dtype).tiny, (point, got)


def test_power_of_a_literal():
    assert pb.grad(lambda x: 2**x)(3.0) == 8 * np.log(2)
    assert pb.grad(lambda x: x**3)(-2.0) == 12.0
    assert pb.grad(pb.grad(lambda x: x**2))(0.0) == 2.0
    assert pb.grad(pb.grad(lambda x: x**1))(0.0) == 0.0
    assert pb.grad(pb.grad(lambda x: x**0))(0.0) == 0.0
    assert pb.grad(pb.grad(pb.grad(lambda x: x**2)))(0.0) == 0.0
    with np.errstate(all="ignore"):
        assert np.isnan(pb.vjp(lambda x: (-8) ** x, 0.5)[0])
        assert pb.vjp(lambda x: 0**x, -1.0)[0] == INF


@pytest.mark.parametrize("f", [np.remainder, np.fmod])
def test_how_often_a_divisor_goes_into_what_is_nearly_a_multiple(f):
    """a/b is 10 for 1.0 and 0.1, and 1.0 % 0.1 is nearly 0.1: of nine times."""
    assert f(1.0, 0.1) > 0.09
    assert pb.grad(f, 1)(1.0, 0.1) == pb.compile(pb.grad(f, 1))(1.0, 0.1) == -9.0
    b = np.arange(1, 60) / 10
    for a in (7 * b, np.nextafter(7 * b, 0), -np.nextafter(7 * b, np.inf)):
        slopes = pb.grad(lambda b, a=a: np.sum(f(a, b)))(b)
        exact = [Fraction(p) - Fraction(q) for p, q in zip(a, f(a, b), strict=True)]
        np.testing.assert_array_equal(slopes, [-round(p / Fraction(q)) for p, q in zip(exact, b, strict=True)])


def test_division_by_zero():
    with np.errstate(all="ignore"):
        assert pb.grad(lambda a, b: a / b, argnums=(0, 1))(1.0, 0.0) == (INF, -INF)
        assert pb.vjp(lambda x: 1.0 / x, np.float32([0.0]))[0][0] == INF


def test_softplus_far_out():
    softplus = POINTWISE["softplus"].call
    assert softplus(traced(1000.0)).node.value == 1000.0
    assert softplus(traced(-1000.0)).node.value == 0.0
    assert pb.grad(softplus)(-50.0) == pytest.approx(float(mp.exp(-50)), rel=1e-15)
    assert pb.grad(pb.grad(softplus))(-50.0) == pytest.approx(float(mp.exp(-50)), rel=1e-15)
    assert pb.grad(pb.grad(softplus))(1000.0) == 0.0


def test_naive_softplus_is_never_silently_flat():
    """log(exp(x) + 1) at 1000 is ∞ in floating numbers; its derivative is 1, and 0 would be a lie."""
    with np.errstate(all="ignore"):
        for x in (1000.0, np.float64(1000.0), np.array([1000.0])):
            found = pb.grad(lambda z: np.sum(np.log(np.exp(z) + 1)))(x)
            assert np.isnan(found) or found == 1.0


def test_logsumexp_far_out():
    logsumexp = pb.nn.logsumexp
    with np.errstate(all="ignore"):
        assert pb.value_and_grad(logsumexp)(np.array([1000.0, 1000.0]))[0] == 1000 + np.log(2.0)
        assert (pb.grad(logsumexp)(np.array([1000.0, -INF])) == [1, 0]).all()
        assert (pb.grad(logsumexp)(np.array([-INF, -INF])) == [0, 0]).all()
        value, slopes = pb.value_and_grad(logsumexp)(np.array([-INF, 3.0, -1000.0]))
        assert value == 3.0
        assert (slopes == [0, 1, 0]).all()
        second = pb.grad(lambda x: (pb.grad(logsumexp)(x) * np.array([1.0, 2.0])).sum())(np.array([1000.0, 1000.0]))
    assert np.allclose(second, [-0.25, 0.25], rtol=1e-12)


@pytest.mark.parametrize("seed", range(amount.cases(1, 20)))
@pytest.mark.parametrize("name", ["expm1", "log1p", "sigmoid", "softplus", "sqrt", "log", "exp"])
def test_careful_rules_keep_their_digits(name, seed):
    """Relative error over many magnitudes, where a naive formula would have lost everything."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-12, 1.2, 12)
    x = size if name in ("log", "sqrt", "log1p") else size * rng.choice([-1, 1], 12)
    found = pb.grad(lambda z: POINTWISE[name].call(z).sum())(x)
    for point, got in zip(x, found, strict=True):
        exact = mp.diff(POINTWISE[name].exact, mp.mpf(float(point)))
        assert abs(mp.mpf(float(got)) - exact) <= 8 * np.finfo(float).eps * abs(exact)


@pytest.mark.parametrize("extreme", [np.max, np.min])
@pytest.mark.parametrize("axis", [1, (1,), None])
def test_as_many_winners_as_groups_are_not_one_each(extreme, axis):
    """Two entries share the first row and nobody wins the second: NaN there, though two of two rows' places are won."""
    x = np.array([[1.0, 1.0, 0.5], [NAN, 0.0, 7.0]])
    x = -x if extreme is np.min else x
    found = pb.grad(lambda x: np.sum(extreme(x, axis=axis)))(x)
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0.0], [NAN] * 3] if axis else np.full((2, 3), NAN))
    alone = pb.grad(lambda x: np.sum(extreme(x, axis=axis) * [3.0, 5.0]) if axis else 3.0 * extreme(x))
    x = np.array([[1.0, 2.0, 0.5], [9.0, 0.0, 7.0]])
    x = -x if extreme is np.min else x
    np.testing.assert_array_equal(alone(x), [[0.0, 3.0, 0.0], [5.0, 0.0, 0.0]] if axis else [[0] * 3, [3.0, 0, 0]])


def test_ties_of_a_maximum_share_where_others_win():
    a, b = np.array([1.0, 2.0, 0.0, NAN]), np.array([0.0, 2.0, 3.0, 1.0])
    for f, order in ((np.maximum, 1.0), (np.minimum, -1.0)):
        by_a, by_b = pb.grad(lambda a, b, f=f: np.sum(f(a, b)), (0, 1))(order * a, order * b)
        np.testing.assert_array_equal(by_a, [1.0, 0.5, 0.0, NAN])
        np.testing.assert_array_equal(by_b, [0.0, 0.5, 1.0, NAN])
        by_a, by_b = pb.grad(lambda a, b, f=f: np.sum(f(a, b)), (0, 1))(order * a[::2], order * b[::2])
        np.testing.assert_array_equal([by_a, by_b], [[1.0, 0.0], [0.0, 1.0]])
