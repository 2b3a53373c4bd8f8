"""SciPy's splines and tables: of traced data, at traced places; values, derivatives and integrals are SciPy's own."""

import numpy as np
import pytest
import scipy.interpolate as si

import amount
import payback as pb
from payback.errors import PaybackError

G = np.random.default_rng(0)
X, Y, Z = np.sort(G.uniform(0, 5, 7)), G.normal(size=7), G.normal(size=(2, 7, 3))
T = np.array([X[0], 1.3, X[3], 2.7, X[-1], 6.0, -0.5])  # on a break, between, at the ends and beyond
ROUND, KNOTS = np.append(X, 5.5), np.arange(11.0) / 2


def around(y):
    return np.concatenate([y, y[:1]])


def grid(y, **options):
    return si.RegularGridInterpolator((X, np.arange(3.0)), np.outer(y, y[:3]), **options)


OF_DATA = {
    "cubic": lambda y: si.CubicSpline(X, y)(T),
    "clamped": lambda y: si.CubicSpline(X, y, bc_type="clamped")(T),
    "natural": lambda y: si.CubicSpline(X, y, bc_type="natural", extrapolate=False)(T[:5], 1),
    "given slopes": lambda y: si.CubicSpline(X, y, bc_type=((1, y[0]), (2, 0.3)))(T, 2),
    "given curvatures": lambda y: si.CubicSpline(X, y, bc_type=("not-a-knot", (2, y[1])))(T),
    "periodic": lambda y: si.CubicSpline(ROUND, around(y), bc_type="periodic")(T * 2),
    "of three": lambda y: si.CubicSpline(X[:3], y[:3])(T),
    "of three, periodic": lambda y: si.CubicSpline(X[:3], y[[0, 1, 0]], bc_type="periodic")(T),
    "of four, periodic": lambda y: si.CubicSpline(X[:4], y[[0, 1, 2, 0]], bc_type="periodic")(T),
    "of two": lambda y: si.CubicSpline(X[:2], y[:2])(T) + si.CubicSpline(X[:2], y[:2], bc_type="natural")(T),
    "cubic along an axis": lambda y: si.CubicSpline(X, Z * y[:, None], axis=1)(T[:6].reshape(2, 3)),
    "antiderivatives": lambda y: si.CubicSpline(X, y).antiderivative()(T) + si.CubicSpline(X, y).antiderivative(2)(T),
    "derivatives": lambda y: si.CubicSpline(X, y).derivative()(T) + si.CubicSpline(X, y).derivative(3)(T),
    "integral": lambda y: si.CubicSpline(X, y).integrate(y[0], X[4]),
    "periodic integral": lambda y: si.CubicSpline(ROUND, around(y), bc_type="periodic").integrate(y[0] - 20, 33.0),
    "cubic at moving places": lambda y: si.CubicSpline(X + 0.01 * y, y)(T),
    "periodic at moving places": lambda y: si.CubicSpline(ROUND + 0.01 * around(y), around(y), bc_type="periodic")(T),
    "pchip": lambda y: si.PchipInterpolator(X, y)(T),
    "pchip of a rise": lambda y: si.PchipInterpolator(X + 0.01 * y, np.cumsum(y * y + 0.1))(T),
    "pchip along an axis": lambda y: si.PchipInterpolator(X, Z * y[:, None], axis=1)(T),
    "pchip of two": lambda y: si.PchipInterpolator(X[:2], y[:2])(T) + si.pchip_interpolate(X, y, T, der=1),
    "akima": lambda y: si.Akima1DInterpolator(X, y)(T[:5]),
    "makima": lambda y: si.Akima1DInterpolator(X, y, method="makima", extrapolate=True)(T),
    "akima of lines": lambda y: si.Akima1DInterpolator(np.arange(7.0), y[0] * np.arange(7.0))([0.5, 2.0, 3.1]),
    "hermite": lambda y: si.CubicHermiteSpline(X, y, y**2)(T),
    "b-spline": lambda y: si.make_interp_spline(X, y)(T),
    "quadratic b-spline": lambda y: si.make_interp_spline(X, Z * y[:, None], k=2, axis=1)(T, 1),
    "linear b-spline": lambda y: si.make_interp_spline(X, y, k=1)(T[[1, 3, 5]]),
    "quintic b-spline": lambda y: si.make_interp_spline(X, y, k=5)(T, 5) + si.make_interp_spline(X, y, k=0)(T),
    "natural b-spline": lambda y: si.make_interp_spline(X, y, bc_type="natural")(T),
    "b-spline of given slopes": lambda y: si.make_interp_spline(X, y, bc_type=([(1, y[0])], [(2, 0.5)]))(T),
    "quintic of given ends": lambda y: si.make_interp_spline(
        X, y, k=5, bc_type=([(1, 0.0), (2, y[0])], [(1, 0.0), (2, y[1])]))(T),
    "periodic b-spline": lambda y: si.make_interp_spline(ROUND, around(y), bc_type="periodic")(T * 2),
    "coefficients": lambda y: si.BSpline(KNOTS, y, 3)(T),
    "derivative of coefficients": lambda y: si.BSpline(KNOTS, y, 3).derivative()(T),
    "antiderivative of coefficients": lambda y: si.BSpline(KNOTS, y, 3).antiderivative()(T),
    "integral of coefficients": lambda y: si.BSpline(KNOTS, y, 3).integrate(y[0], 3.0),
    "integral of the base": lambda y: si.BSpline(KNOTS, y, 3).integrate(-3.0, 30.0, extrapolate=False),
    "moving knots": lambda y: si.BSpline(KNOTS + 0.01 * np.append(y, y[:4]), y, 3)(T),
    "pieces": lambda y: si.PPoly(np.outer(y[:3], y[:6]), X)(T),
    "table": lambda y: si.interp1d(X, y, fill_value="extrapolate")(T),
    "table along an axis": lambda y: si.interp1d(
        X[::-1], Z * y[:, None], axis=1, bounds_error=False, fill_value=0.5)(T[:6].reshape(2, 3)),
    "cubic table": lambda y: si.interp1d(X, y, kind="cubic", bounds_error=False, fill_value=(1.0, y[0]))(T),
    "quadratic table": lambda y: si.interp1d(X, y, kind="quadratic", fill_value="extrapolate")(T),
    "nearest": lambda y: si.interp1d(X, y, kind="nearest", fill_value="extrapolate")(T),
    "previous": lambda y: si.interp1d(X, y, kind="previous")(T[:5]) + si.interp1d(X, y, kind="zero")(T[:5]),
    "next": lambda y: si.interp1d(X, y, kind="next", fill_value="extrapolate")(T[[0, 1, 2, 3, 4, 6]]),
    "grid": lambda y: grid(y)(np.stack([X, y[0] + 1 + 0 * X], -1)),
    "nearest of a grid": lambda y: grid(y, method="nearest")(np.stack([X, y[0] + 1 + 0 * X], -1)),
    "descending grid": lambda y: si.RegularGridInterpolator(
        (X, -np.arange(3.0)), np.outer(y, y[:3])[..., None] * y[:2], bounds_error=False, fill_value=None)(
            (T, -1.5 + 0 * T)),
    "interpn": lambda y: si.interpn((X, np.arange(3.0)), Z[0], (X[2:4] + 0.01 * y[:2], 1 + 0.1 * y[:2])),
}  # fmt: skip
CURVES = {
    "cubic": si.CubicSpline(X, Z, axis=1), "pchip": si.PchipInterpolator(X, Y),
    "akima": si.Akima1DInterpolator(X, Y, extrapolate=True), "b-spline": si.make_interp_spline(X, Y),
    "bernstein": si.BPoly.from_derivatives(X, Y[:, None]), "fitpack": si.UnivariateSpline(X, Y, s=0),
    "derivative": si.UnivariateSpline(X, Y, s=0).derivative(), "ends": si.UnivariateSpline(X, Y, s=0, ext=3),
    "table": si.interp1d(X, Z, axis=1), "cubic table": si.interp1d(X, Y, kind="cubic"),
    "splev": lambda t: si.splev(t, CURVES["fitpack"]._eval_args, 1),
    "integral": lambda t: CURVES["cubic"].integrate(*t[:2]),
}  # fmt: skip
AT = {f"{name} at": lambda y, curve=curve: curve(T[[1, 2, 3]] + 0.01 * y[:3]) for name, curve in CURVES.items()}
CALLS = OF_DATA | AT

COMPILED = ["cubic", "periodic", "natural b-spline", "cubic table", "grid", "bernstein at"]  # the rest is alike


@pytest.mark.parametrize("name", list(CALLS)[:: amount.cases(5, 1)])
def test_derivatives(name):
    f, move = CALLS[name], np.cos(np.arange(7.0))
    value, moved = pb.jvp(f, (Y,), (move,))
    assert np.shape(value) == np.shape(f(Y))
    np.testing.assert_allclose(value, f(Y), rtol=1e-10, atol=1e-10)
    change = (f(Y + 1e-6 * move) - f(Y - 1e-6 * move)) / 2e-6
    near = {"atol": 1e-5 * max(1.0, np.nanmax(np.abs(change)))}
    np.testing.assert_allclose(moved, change, rtol=1e-5, **near)
    one = pb.jacobian(f)(Y)
    np.testing.assert_allclose(one @ move, moved, rtol=1e-9, atol=1e-9 * np.nanmax(np.abs(one)))
    if name in COMPILED:
        np.testing.assert_allclose(pb.compile(pb.jacobian(f))(Y), one, rtol=1e-9, atol=1e-9 * np.nanmax(np.abs(one)))


def test_the_second_order():
    f = lambda y: np.sum(si.CubicSpline(X, y * y)(T[1:4] + 0.1 * y[:3]) ** 2)  # noqa: E731
    pb.check_grads(f, Y, order=2)
    slope = si.CubicSpline(X, Y)
    np.testing.assert_allclose(pb.grad(pb.grad(lambda t: slope(t)))(1.3), slope(1.3, 2), rtol=1e-10)


def test_a_curve_looks_like_scipys():
    def f(y):
        made, bare = si.CubicSpline(X, y), si.CubicSpline(X, Y)
        assert isinstance(made, si.CubicSpline)
        assert isinstance(bare, si.PPoly)
        assert issubclass(si.CubicSpline, si.PPoly)
        return made(1.0)

    cubic, called = si.CubicSpline, vars(si.PPoly).get("__call__")
    pb.grad(f)(Y)
    assert vars(si.PPoly).get("__call__") is called
    assert si.CubicSpline is cubic


def test_what_is_refused_has_a_cure():
    for f, cure in (
        (lambda y: si.CubicSpline(X, y).roots()[0], "pb.root"),
        (lambda y: si.PPoly.from_spline(si.make_interp_spline(X, y))(1.0), "pb.root"),
        (lambda y: si.make_interp_spline(X + 0.1 * y, Y)(1.0), "CubicSpline"),
        (lambda y: si.CubicSpline(X, y).solve(0.0)[0], "pb.root"),
    ):
        with pytest.raises(PaybackError, match=cure):
            pb.grad(f)(Y)
    with pytest.raises(ValueError, match="out of bounds"):
        pb.grad(lambda y: si.interp1d(X, y)(9.0))(Y)
    with pytest.raises(ValueError, match="strictly increasing"):
        pb.grad(lambda y: si.CubicSpline(X[::-1], y)(1.0))(Y)
