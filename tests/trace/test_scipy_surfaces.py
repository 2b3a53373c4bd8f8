"""SciPy's interpolation in several dimensions, on grids and of scattered data: its own values, and derivatives."""

import numpy as np
import pytest
import scipy.interpolate as si
from scipy.sparse.linalg import spsolve

import amount
import payback as pb
from payback.errors import PaybackError

G = np.random.default_rng(3)
X, Y = np.array([0.0, 0.3, 0.9, 1.4, 2.0, 2.2, 3.1]), np.array([-1.0, -0.2, 0.1, 0.8, 1.0, 1.7])
Z = np.sin(X)[:, None] * np.cos(Y) + 0.1 * G.normal(size=(7, 6))
P, V = G.uniform(0, 2, (25, 2)), G.normal(size=(25, 2))
V0 = V[:, 0].copy()
A = np.array([0.41, 1.23, 0.77, 1.61])
TABLE = si.RegularGridInterpolator((X, -Y), Z, method="cubic", bounds_error=False, fill_value=None)
SURFACE, SMOOTHED = si.RectBivariateSpline(X, Y, Z), si.SmoothBivariateSpline(P[:, 0], P[:, 1], V0, s=20)
CUBES = G.normal(size=(5, 4, 6))
TRIANGLES, NEAREST = si.LinearNDInterpolator(P, V), si.NearestNDInterpolator(P, V0)
RADIAL = {kernel: si.RBFInterpolator(P, V, kernel=kernel, epsilon=1.3) for kernel in
          ("linear", "thin_plate_spline", "cubic", "quintic", "multiquadric", "inverse_multiquadric",
           "inverse_quadratic", "gaussian")}  # fmt: skip


def pairs(a):
    return np.stack([a, 0.9 * a[::-1] + 0.05], -1)


def grid(values, method):
    """Solved for at once: SciPy's own way, by iteration, is good to 1e-5."""
    return si.RegularGridInterpolator((X, Y), values, method=method, solver=spsolve)


CALLS = {
    "cubic table at": lambda a: TABLE(pairs(a)),
    "cubic table differentiated": lambda a: TABLE(pairs(a), nu=(1, 0)) + TABLE(pairs(a), nu=(0, 2)),
    "cubic table beyond": lambda a: TABLE((a + 3, a)),
    "cubic table of data": lambda a: grid(Z * a[0] + a[1], "cubic")(pairs(A)),
    "quintic table of data": lambda a: grid(Z * a[0], "quintic")(pairs(a)),
    "lines of a table": lambda a: grid(Z * a[0] ** 2, "slinear")(pairs(a)),
    "three dimensions": lambda a: si.interpn(
        (X[:5], Y[:4], np.arange(6.0)), CUBES, np.stack([a, a / 3, a], -1), method="cubic"),
    "surface of interpn": lambda a: si.interpn((X, Y), Z * a[0], pairs(a), "splinef2d", False, 2.0),
    "beyond a surface": lambda a: si.interpn((X, Y), Z, (a + 2, a), "splinef2d", False, 2.0),
    "surface at": lambda a: SURFACE.ev(a, a[::-1]) + SURFACE(a, 0.5, grid=False),
    "surface on a grid": lambda a: SURFACE(np.sort(a), np.sort(a) / 2),
    "surface beyond": lambda a: SURFACE(a + 2.5, a - 2, grid=False),
    "surface differentiated": lambda a: SURFACE(a, a, dx=1, grid=False) + SURFACE.ev(a, a, dx=2, dy=1),
    "surface of data": lambda a: si.RectBivariateSpline(X, Y, Z * a[0] + a[1] ** 2)(a, a / 2, grid=False),
    "other degrees": lambda a: si.RectBivariateSpline(X, Y, Z * a[0], kx=2, ky=5).ev(A, A),
    "smoothed": lambda a: SMOOTHED.ev(a, a),
    "bisplev": lambda a: si.bisplev(np.sort(a), a[0], (*SURFACE.tck, 3, 3))
        + si.bisplev(a[0], a[1], (*SURFACE.tck, 3, 3)),
    **{f"{kernel} at": lambda a, rbf=rbf: rbf(pairs(a)) for kernel, rbf in RADIAL.items()},
    "radial of data": lambda a: si.RBFInterpolator(P, V * a[0] + np.cos(a[1] * V))(pairs(A)),
    "radial of places": lambda a: si.RBFInterpolator(P + 0.1 * np.cos(a[0] * P), V, kernel="linear")(pairs(A)),
    "width of a kernel": lambda a: si.RBFInterpolator(
        P, V, kernel="gaussian", epsilon=a[0] + 1, smoothing=a[1] / 9, degree=1)(pairs(A)),
    "radial of neighbors": lambda a: si.RBFInterpolator(P, V0 * a[0], neighbors=8, kernel="cubic")(pairs(a)),
    "at the data": lambda a: si.RBFInterpolator(P, V0 * a[0])(P[:3]),
    "triangles at": lambda a: TRIANGLES(pairs(a)) + TRIANGLES(a, a),
    "triangles of data": lambda a: si.LinearNDInterpolator(P, V0 * a[0], fill_value=7.0, rescale=True)(
        np.concatenate([pairs(a), [[9.0, 9.0]]])),
    "griddata": lambda a: si.griddata(P, V * a[0], pairs(a)) + si.griddata(P, V, (a, a)),
    "griddata of a line": lambda a: si.griddata(X, Z[:, 0] * a[0], a, "cubic") + si.griddata(X, Z[:, 0], a, "nearest"),
    "nearest": lambda a: NEAREST(pairs(a)) + si.NearestNDInterpolator(P, V0 * a[0])(a, a)
        + si.griddata(P, V0 * a[0], (a, a), "nearest"),
}  # fmt: skip
COMPILED = ["cubic table at", "surface of data", "thin_plate_spline at", "radial of data"]


@pytest.mark.parametrize("name", list(CALLS)[:: amount.cases(3, 1)])
def test_derivatives(name):
    f, move = CALLS[name], np.array([0.7, -0.4, 0.2, 0.9])
    value, moved = pb.jvp(f, (A,), (move,))
    np.testing.assert_allclose(value, f(A), rtol=1e-9, atol=1e-9)
    change = (f(A + 1e-6 * move) - f(A - 1e-6 * move)) / 2e-6
    scale = max(1.0, np.max(np.abs(change)))
    np.testing.assert_allclose(moved, change, rtol=2e-6, atol=2e-6 * scale)
    one = pb.jacobian(f)(A)
    np.testing.assert_allclose(one @ move, moved, rtol=1e-9, atol=1e-9 * scale)
    if name in COMPILED:
        np.testing.assert_allclose(pb.compile(pb.jacobian(f))(A), one, rtol=1e-9, atol=1e-9 * scale)


def test_the_second_order():
    pb.check_grads(lambda a: SURFACE.ev(a, a).sum() + RADIAL["gaussian"](pairs(a)).sum(), A, order=2)


def test_a_thin_plate_is_smooth_at_its_data():
    at = pb.jacobian(lambda x: RADIAL["thin_plate_spline"](x))(P[:1])
    near = pb.jacobian(lambda x: RADIAL["thin_plate_spline"](x))(P[:1] + 1e-9)
    np.testing.assert_allclose(at, near, rtol=1e-5, atol=1e-6)


def test_what_is_refused_has_a_cure():
    for f, cure in (
        (lambda a: si.CloughTocher2DInterpolator(P, V0)(pairs(a))[0], "RBFInterpolator"),
        (lambda a: si.LinearNDInterpolator(P * a[0], V0)(1.0, 1.0), "RBFInterpolator"),
        (lambda a: si.RectBivariateSpline(X * a[0], Y, Z)(1.0, 1.0), "plain x and y"),
        (lambda a: si.RegularGridInterpolator((X, Y), Z * a[0], method="pchip")([[1.0, 1.0]])[0], "'cubic'"),
        (pb.compile(lambda a: si.LinearNDInterpolator(P, V0)(pairs(a))[0]), "RBFInterpolator"),
    ):
        with pytest.raises(PaybackError, match=cure):
            pb.grad(f)(A)
    with pytest.raises(ValueError, match="strictly increasing"):
        pb.grad(lambda a: SURFACE(a[::-1] * [1, 2, 3, 4], a).sum())(A)
