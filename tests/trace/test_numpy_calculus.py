"""Differences, integrals, interpolation, convolutions, polynomials: NumPy's value, derivatives in every mode."""

from __future__ import annotations

import numpy as np
import numpy.polynomial as polynomial
import pytest

import payback as pb
from ops import calls
from ops.calls import table
from ops.samples import traced
from payback.errors import UnsupportedError
from payback.trace.abstract import trace

pytestmark = pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")  # NumPy 2.5
G = np.random.default_rng(13)
V, M, T, S = G.normal(size=6), G.normal(size=(3, 4)), G.normal(size=(2, 3, 4)), np.float64(0.75)
X = np.array([-0.5, 0.3, 1.1, 2.6, 3.9, 4.5])  # points between those of XP, and outside
XP, FP = np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 3.0, -2.0, 0.5])
UNEVEN = np.array([0.0, 0.4, 1.5, 1.9, 3.0, 3.2])
F64 = (np.float64,)

# fmt: off
# ruff: noqa: E501 (a table of calls)
CASES = [
    *table(
        (np.diff, V), (lambda x: np.diff(x, 2, axis=0), M), (lambda x: np.diff(x, n=0), V), (lambda x: np.diff(x, prepend=0.5, append=x[:2]), V),
        (lambda x, p: np.diff(x, axis=0, prepend=p), M, S), (lambda x: np.diff(x, axis=1, append=x[:, :1]), M), (np.ediff1d, M),
        (lambda x: np.ediff1d(x, to_begin=9.0, to_end=x[:2]), V), (np.trapezoid, V), (lambda y, x: np.trapezoid(y, x, axis=0), M, [0.0, 0.5, 2.0]),
        (lambda y, x: np.trapezoid(y, x), M, M**2), (lambda y, d: np.trapezoid(y, dx=d, axis=1), M, S),
        (lambda y, x: np.trapezoid(y[:, 0], x.T), M, M**2),
        (np.gradient, V), (np.gradient, M), (lambda x: np.gradient(x, axis=0), M), (lambda x: np.gradient(x, 2.0, axis=(1, 0)), M),
        (lambda x: np.gradient(x, edge_order=2), V), (lambda x: np.gradient(x, 0.5, edge_order=2, axis=1), M),
        (lambda p, x: np.polyval(p, x), [2.0, -1.0, 0.5], V), (lambda x: np.polyval([1.0, 2.0], x), S), (np.polyadd, V, V[:2]), (np.polysub, V[:2], V),
        (np.polyder, V), (lambda p: np.polyder(p, 2), V), (np.sinc, V), (np.sinc, [0.0, 1e-3, 1.0, 2.5]), (np.real, V), (np.conjugate, V),
        (lambda x: x * np.angle(x), V), (lambda x: x + np.imag(x), V), (lambda x: x * np.fix(x * 3), V), (lambda x: x * np.round(x, 1) + np.around(x * 30, -1) + np.round(x), V),
        (lambda x: np.real_if_close(x).conj(), V), (lambda x: np.bincount([0, 2, 2, 1, 5, 0], x, 8), V), (lambda x: x.round() * x, V),
    ),
    *table(
        (lambda x, h: np.gradient(x, h), V, S), (lambda f, x: np.gradient(f, x), V, UNEVEN), (lambda f, x: np.gradient(f, x, edge_order=2), V, UNEVEN),
        (lambda f, x: np.gradient(f, 2.0, x), M, [0.0, 1.0, 1.5, 4.0]), (lambda p: np.polyint(p), V), (lambda p, k: np.polyint(p, 2, k), V, [1.0, 2.0]),
        (np.polymul, V, V[:3]), (np.unwrap, 4 * V), (lambda x: np.unwrap(x, axis=0, period=1.5), M), (lambda x, p: np.unwrap(x, period=p), 3 * V, 1.75),
        (lambda x: np.unwrap(x, discont=4.0), 4 * V),
        *[(lambda a, v, mode=mode: np.convolve(a, v, mode), a, v) for mode in ("full", "same", "valid") for a, v in ((V, V[:3]), (V[:2], V), (V, V))],
        *[(lambda a, v, mode=mode: np.correlate(a, v, mode), a, v) for mode in ("full", "same", "valid") for a, v in ((V, V[:4]), (V[:3], V), (V[:5], V), (V, V[:1]))],
        (lambda a: np.convolve(a, [1.0, 2.0]), V), (lambda v: np.convolve([1, 2, 3], v), V), (lambda a: np.correlate(a, [1.0, 2.0, -1.0]), V),
        ulps=8,
    ),
    *table(
        (np.interp, X, XP, FP), (lambda x: np.interp(x, XP, FP), X), (lambda x, end: np.interp(x, XP, FP, left=end, right=-end), X, S),
        (lambda x: np.interp(x, XP, FP), 1.5), (lambda f: np.interp([0.5, 1.0, 4.0, 5.0], XP, f), FP), (lambda x, f: np.interp(x, XP, f, period=5.0), X + 7, FP),
        (lambda x, p: np.interp(x, p, FP, period=5.0), X, XP[::-1] + 0.2), (lambda x: np.interp(x.reshape(2, 3), XP, FP), X),
        dtypes=F64, ulps=8,
    ),
    *table((lambda a, b: np.polydiv(a, b), V, V[:3] + 2), (lambda a: np.polydiv(a[:2], [1.0, 2.0, 3.0]), V), ulps=32, dtypes=F64),
    *table((lambda x, y: np.polyfit(x, y, 2), XP, FP), (lambda y: np.polyfit(UNEVEN, y, 1, w=UNEVEN + 1), V), (lambda x, y: np.polyfit(x, y, 1), UNEVEN[:3], M), ulps=64, dtypes=F64),
    *table((np.poly, V[:4]), ulps=8),
    *table(
        (np.i0, V * 3), (lambda a, b: np.logspace(a, b, 5), 0.25, 1.5), (lambda a, b: np.geomspace(a, b, 4), 0.25, 1.5), (lambda a, b: np.geomspace(a, b, 4, endpoint=False), -0.25, -1.5),
        (lambda x: np.fft.fftshift(x) + np.fft.ifftshift(x * x), V[:5]), (lambda x: np.fft.fftshift(x, axes=1), M), (lambda x: x.mT @ np.ones(3) + x.real[0] + x.imag[0], M),
        (lambda x: np.astype(x, np.float64), V), (lambda x: x * x.itemsize + x.nbytes, V),
        ulps=8, dtypes=F64,
    ),
    *table((lambda x: np.histogram(x, 4), V), (lambda x: np.histogram(x, [-1.0, 0.0, 1.0])[0] * x[:2], V), abstract=False, dtypes=F64, ulps=2),
    *table(
        (lambda x: np.histogram(x, 4, density=True), V), (lambda x, w: np.histogram(x, 3, weights=w)[0], V, V[::-1]), (lambda b: np.histogram(V, b, density=True), [-9.0, 0.1, 9.0]),
        (lambda x, r: np.histogram(x, 3, (r[0] - 5, r[1] + 5), density=True), V, V[:2]), (lambda x: np.histogram_bin_edges(x, 3), V), (lambda x: np.histogram(x, "sturges")[1], V),
        (lambda x, y: np.histogram2d(x, y, 3, density=True), V, V[::-1] * 2), (lambda x: np.histogramdd(x[:, :2], [2, 3]), M), (lambda x: np.histogramdd(x.T, [[-9.0, 0.0, 9.0]] * 3, density=True)[0] * x[0, 0], M),
        abstract=False, dtypes=F64, ulps=16,
    ),
    *table(
        (lambda w: np.histogram(V, 4, weights=w)[0], V), (lambda w: np.histogram(V, [-9.0, 0.0, 0.5, 9.0], weights=w, density=True)[0], V**2), (lambda w: np.histogram(X, 3, (-0.5, 3.9), weights=w)[0], X),
        (lambda w: np.histogram2d(V, V**2, 3, weights=w)[0], V), (lambda w: np.histogram2d(V, V**2, [-9.0, 0.1, 9.0], density=True, weights=w), V**2),
        (lambda w: np.histogramdd(np.stack([V, V**2, V**3], 1), 2, weights=w, density=True)[0], V**2),
        abstract=True, dtypes=F64, ulps=16,
    ),
]
# fmt: on
test_value, test_derivatives, test_without_numbers = calls.tests(CASES)


def test_the_slope_at_a_point_of_an_interpolation_is_that_of_the_piece_after_it():
    slopes = np.diff(FP) / np.diff(XP)
    found = pb.grad(lambda x: np.interp(x, XP, FP).sum())(XP)
    np.testing.assert_array_equal(found, [*slopes, slopes[-1]])
    np.testing.assert_array_equal(pb.grad(lambda x: np.interp(x, XP, FP).sum())(np.array([-1.0, 9.0])), [0.0, 0.0])


def test_sinc_is_smooth_at_zero_to_every_order():
    """The derivatives of sin(πx)/(πx) at 0 are 0, −π²/3, 0, π⁴/5."""
    f, found = np.sinc, []
    for _ in range(4):
        f = pb.grad(f)
        found.append(f(0.0))
    np.testing.assert_allclose(found, [0.0, -(np.pi**2) / 3, 0.0, np.pi**4 / 5], rtol=1e-15)


@pytest.mark.parametrize("order", range(5))
def test_sinc_against_exact_derivatives(order):
    import mpmath as mp

    from payback.ops.namespace import Values

    points = np.array([0.0, 1e-9, 1e-3, 0.2, 0.317, 0.63, 0.95, 1.3, 1.59, 1.61, 2.0, 7.25, 40.5, -0.4, -3.1])
    with mp.workdps(60):
        exact = [mp.diff(mp.sincpi, mp.mpf(float(x)), order) for x in points]
    found = Values.sinc(points, order=order)
    assert max(abs(float(e - mp.mpf(float(y)))) for e, y in zip(exact, found, strict=True)) < 4e-15 * np.pi**order


def test_a_constant_in_pieces_has_no_path():
    """A structural zero: no edge leads from these to the argument."""
    for call in (np.round, np.fix, np.floor, np.spacing, np.sign, lambda x: np.heaviside(x, 0.5), lambda x: np.round(x, 2),
                 np.angle, lambda x: np.argsort(x) * 1.0, lambda x: np.histogram(x)[0] * 1.0):  # fmt: skip
        x = pb.variable(V)
        y = np.sum(call(x) * 1.0)
        if hasattr(y, "backward"):
            y.backward()
        assert x.grad is None


def test_what_cannot_be_differentiated_says_so():
    for call, text in (
        (lambda x: np.poly(np.outer(x, x)), "np.poly of a traced matrix"),
        (lambda x: np.sort_complex(x), "np.sort_complex has no derivative"),
    ):
        with pytest.raises(UnsupportedError) as caught:
            call(traced(V))
        assert text in str(caught.value)


@pytest.mark.parametrize("order", range(5))
def test_bessel_functions_against_exact_values(order):
    import mpmath as mp

    from payback.ops.namespace import Values

    points = np.array([0.0, 1e-8, 0.1, 1.0, -2.5, 7.9, 8.1, -30.0, 120.0, 650.0])
    exact = [mp.besseli(order, mp.mpf(float(x))) for x in points]
    for e, y in zip(exact, Values.bessel_i(points, order=order), strict=True):
        assert abs(mp.mpf(float(y)) - e) <= 8 * np.finfo(float).eps * abs(e)


C = np.array([1.0, 2.0, -1.0, 0.5])
SERIES = {
    f"{module.__name__.rpartition('.')[2]} {what}": call
    for module, name in ((polynomial.polynomial, "polyval"), (polynomial.chebyshev, "chebval"), (polynomial.legendre, "legval"),
                         (polynomial.hermite, "hermval"), (polynomial.hermite_e, "hermeval"), (polynomial.laguerre, "lagval"))
    for what, call in {
        "points": lambda x, m=module, n=name: getattr(m, n)(x, C), "coefficients": lambda c, m=module, n=name: getattr(m, n)(C, c),
        "both": lambda x, m=module, n=name: getattr(m, n)(x[:3], x), "one": lambda x, m=module, n=name: getattr(m, n)(x, [2.0]) + x,
        "two": lambda x, m=module, n=name: getattr(m, n)(x[0], x[:2]), "matrix": lambda x, m=module, n=name: getattr(m, n)(x, np.outer(C, C)),
        "no tensor": lambda x, m=module, n=name: getattr(m, n)(x[:4], np.outer(C, C), tensor=False),
    }.items()
} | {
    "Polynomial": lambda x: polynomial.Polynomial(C)(x), "Chebyshev": lambda x: polynomial.Chebyshev(C, domain=[0, 2])(x),
    "derivative": lambda x: polynomial.Legendre(C).deriv()(x) + polynomial.Polynomial(C, [0, 3]).integ(2)(x),
    "polyvander": lambda x: polynomial.polynomial.polyvander(x, 3), "poly1d": lambda x: np.poly1d(C)(x), "poly1d of": lambda x: np.poly1d(x)(0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", SERIES)
def test_polynomials_written_in_python(name):
    call = SERIES[name]
    new = np.lib.NumpyVersion(np.__version__) >= "2.3.0"  # before, it computed Legendre's series in another order
    np.testing.assert_allclose(pb.vjp(call, V)[0], call(V), rtol=0 if new else 1e-14)
    pb.check_grads(call, V)
    if name == "poly1d of":  # which leading coefficients are zero is not known without numbers
        return
    value = lambda x: np.sum(call(x))  # noqa: E731
    for found, expected in zip(trace(pb.value_and_grad(value), V)(V), pb.value_and_grad(value)(V), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_numbers_that_are_not_known_are_counted_up_to_minlength():
    k, x = np.array([0, 2, 1, 2, 0]), np.arange(1.0, 6.0)

    def f(x, k):
        return np.sum(np.bincount(k, weights=x, minlength=4) ** 2) + np.bincount(k, minlength=4) @ np.arange(4) * x[0]

    compiled = pb.compile(pb.grad(f))
    for places in (k, k[::-1], np.array([3, 3, 3, 0, 3])):
        np.testing.assert_allclose(compiled(x, places), pb.grad(f)(x, places))
    for places in (k + 2, k - 1):
        with pytest.raises(IndexError, match="index 4 is out of bounds"):
            compiled(x, places)


def test_no_area_over_one_point_of_each_row():
    x = np.arange(4.0)[:, None]
    np.testing.assert_array_equal(pb.vjp(lambda y: np.trapezoid(y, x), np.ones(1))[0], np.trapezoid(np.ones(1), x))
