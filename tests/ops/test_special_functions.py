"""Special functions: SciPy's values and dtypes, derivatives as mpmath has them, second ones, machine code, float32."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import scipy.special as sp

import amount
import payback as pb
from ops.special_functions import USES, use
from payback.errors import DifferentiationError
from payback.trace.tree import leaves

NAMES = list(USES)[:: amount.cases(12, 1)]
# whose second derivative by a parameter is not known
TWICE = {"gammainc", "gammaincc", "gammaincinv", "gammainccinv", "betainc", "betaincc", "betaincinv", "betainccinv",
         "stdtr", "stdtrit", "chdtr", "chdtri", "gdtr", "gdtrix", "fdtr", "fdtrc", "fdtri"}  # fmt: skip
LOOSE = {"hyperu": 1e-11, "voigt_profile": 1e-11}  # as SciPy's function is, and where two terms of the rule cancel


def slopes(f, points):
    return pb.grad(lambda *xs: np.sum(f(*xs)), tuple(range(len(points))))(*points)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives(name):
    f, points = use(name)
    _, exact, *columns = USES[name]
    with np.errstate(all="ignore"):
        value, pull = pb.vjp(f, *points)
        np.testing.assert_allclose(value, f(*points), rtol=2e-14, atol=1e-300)
        assert value.dtype == np.asarray(f(*points)).dtype
        paid = pull(np.ones_like(value))
        moved = pb.jvp(f, points, points)[1]
    total = sum(p * x for p, x in zip(paid, points, strict=True))
    np.testing.assert_allclose(moved, total, rtol=1e-13, atol=1e-13 * np.max(np.abs(total)))
    live = [i for i, column in enumerate(columns) if isinstance(column, tuple)]
    for k in range(len(points[0])):
        for slot, found in zip(live, paid, strict=True):

            def along(z, k=k, slot=slot):
                at = [mp.mpf(c[k]) if isinstance(c, tuple) else c if type(c) is int else mp.mpf(c) for c in columns]
                at[slot] = z
                return exact(*at)

            true = mp.re(mp.diff(along, mp.mpf(float(columns[slot][k]))))
            assert abs(found[k] - true) <= LOOSE.get(name, 1e-12) * (abs(true) + 1e-9), (k, slot, found[k], true)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives(name):
    f, points = use(name)
    with np.errstate(all="ignore"):
        if name in TWICE:
            with pytest.raises(DifferentiationError, match="twice"):
                pb.jvp(lambda *xs: slopes(f, xs), points, points)
            f, points = (lambda x, f=f, first=points[:-1]: f(*first, x)), points[-1:]  # by the argument it is
        along = tuple(np.where(p == 0, 0.5, p) * (0.5 + 0.2 * k) for k, p in enumerate(points))
        found = leaves(pb.jvp(lambda *xs: slopes(f, xs), points, along)[1])
        h = 1e-5
        steps = [[p + s * h * d for p, d in zip(points, along, strict=True)] for s in (-2, -1, 1, 2)]
        at = [leaves(slopes(f, tuple(step))) for step in steps]
    for got, a, b, c, d in zip(found, *at, strict=True):
        np.testing.assert_allclose(got, (a - d + 8 * (c - b)) / (12 * h), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("group", range(amount.cases(1, 3)))
def test_compiled_and_in_batches(group):
    """The same numbers by machine code, several functions in one program, and one sample at a time."""
    names = list(USES)[group :: amount.cases(23, 6)]
    uses = [use(name) for name in names]

    def everything(*points):
        given = iter(points)
        return [slopes(f, tuple(next(given) for _ in own)) for f, own in uses]

    points = [p for _, own in uses for p in own]
    with np.errstate(all="ignore"):
        wanted = leaves(everything(*points))
        for got, want in zip(leaves(pb.compile(everything)(*points)), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
        twice = leaves(pb.vmap(everything)(*[np.stack([p, p]) for p in points]))
    for got, want in zip(twice, wanted, strict=True):
        np.testing.assert_allclose(got, np.stack([want, want]), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_float32(name):
    f, points = use(name, np.float32)
    with np.errstate(all="ignore"):
        value, paid = pb.value_and_grad(lambda *xs: np.sum(f(*xs)), tuple(range(len(points))))(*points)
        assert value.dtype == np.asarray(np.sum(f(*points))).dtype
        exact = leaves(slopes(use(name)[0], tuple(p.astype(float) for p in points)))
    for got, want in zip(leaves(paid), exact, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", ["xlogy", "beta", "gammainc", "kl_div", "boxcox"])
def test_python_numbers_beside_float32(name):
    """SciPy's dtype, which depends on the order of the function's loops; compiled too."""
    function, x = getattr(sp, name), np.array([0.5, 1.5], np.float32)
    for f in (lambda x: function(2.0, x), lambda x: function(np.float32(2), x)):
        for found in (pb.vjp(f, x)[0], pb.compile(f)(x)):
            assert found.dtype == f(x).dtype
            np.testing.assert_allclose(found, f(x), rtol=1e-6)


def test_orders_are_arrays_too():
    """A design matrix of polynomials, Bessel functions of several orders."""
    n, x = np.arange(5)[:, None], np.linspace(-0.9, 0.9, 4)
    for f in (sp.eval_legendre, sp.jv, sp.eval_hermite):
        np.testing.assert_allclose(pb.vjp(lambda x, f=f: f(n, x), x)[0], f(n, x), rtol=1e-14)
        pb.check_grads(lambda x, f=f: np.sum(f(n, x) * np.cos(n)), x, order=2)


def test_hankel_functions_are_complex():
    for f in (sp.hankel1, sp.hankel2, sp.hankel1e, sp.hankel2e):
        pb.check_grads(lambda x, f=f: (z := f(1.5, x)).real + 2 * z.imag + np.abs(z), np.array([0.5, 3.0]), order=2)
        np.testing.assert_allclose(pb.vjp(lambda x, f=f: f(1.5, x).imag, 0.75)[0], f(1.5, 0.75).imag)


@pytest.mark.parametrize(("f", "text"), [
    (lambda x: sp.jv(x, 1.0), "jv has no derivative by its order"),
    (lambda x: sp.hyp2f1(1.0, x, 2.0, 0.5), "hyp2f1 has no derivative by its second parameter"),
    (lambda x: sp.ellipkinc(0.5, x), "ellipkinc has no derivative by its parameter m"),
    (lambda x: sp.zeta(x), "zeta has no derivative by its exponent"),
    (lambda x: sp.zeta(x, 2.0), "zeta has no derivative by its exponent"),
    (lambda x: sp.eval_jacobi(2, x, 1.0, 0.5), "eval_jacobi has no derivative by its parameter 1"),
])  # fmt: skip
def test_by_what_there_is_no_derivative_in_either_mode(f, text):
    for differentiated in (lambda: pb.grad(f)(1.5), lambda: pb.jvp(f, (1.5,), (1.0,))):
        with pytest.raises(DifferentiationError, match=text):
            differentiated()


def test_a_mask_ends_at_an_infinite_slope():
    x = np.array([0.0, 4.0])
    with np.errstate(all="ignore"):
        found = pb.grad(lambda x: np.sum(np.where(x > 0, sp.boxcox(x, 0.5) + sp.expn(2, x) + sp.kve(1, x), 0.0)))(x)
        assert np.isfinite(found).all()
        assert found[0] == 0


def test_probabilities_at_their_ends():
    with np.errstate(all="ignore"):
        assert pb.grad(lambda a: sp.gammainc(a, 0.0))(2.0) == 0.0
        assert pb.grad(lambda a: sp.betainc(a, 2.0, 1.0))(2.0) == 0.0
        assert np.isnan(pb.grad(lambda a: sp.gammainc(a, 1.0))(-2.0))
        assert pb.grad(lambda df: sp.stdtr(df, 0.0))(3.0) == 0.0
    np.testing.assert_allclose(pb.grad(lambda s: sp.voigt_profile(0.5, s, 0.25))(0.0), 0.0)
    np.testing.assert_allclose(pb.vjp(lambda g: sp.voigt_profile(0.5, 0.0, g), 0.25)[0], sp.voigt_profile(0.5, 0, 0.25))


def test_compiled_rows_of_numbers_that_are_no_scalar_rows():
    """The parts of a complex number go to one row together, which has no place on a tape."""

    def f(x):
        return np.abs(sp.erf(x + 0.3j)) * sp.wofz(1j * x + 0.1).real

    for derived in (f, pb.grad(f), pb.grad(pb.grad(f))):
        assert pb.compile(derived)(0.5) == pytest.approx(derived(0.5), rel=1e-13)
