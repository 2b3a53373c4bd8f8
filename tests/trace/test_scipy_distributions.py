"""Distributions of scipy.stats: SciPy's values inside and outside of the support, derivatives by all arguments."""

import numpy as np
import pytest
import scipy.stats as st

import amount
import payback as pb
from payback.errors import PaybackError, UnsupportedError

# a distribution and its shape parameters
CONTINUOUS = {
    "norm": (), "expon": (), "gamma": (2.3,), "beta": (1.7, 0.8), "t": (3.5,), "chi2": (4.2,), "f": (3.0, 7.5),
    "lognorm": (0.7,), "weibull_min": (1.6,), "weibull_max": (1.4,), "pareto": (2.4,), "lomax": (1.8,), "uniform": (),
    "cauchy": (), "laplace": (), "logistic": (), "halfnorm": (), "halfcauchy": (), "invgamma": (2.6,),
    "invgauss": (0.8,), "rayleigh": (), "maxwell": (), "gumbel_r": (), "gumbel_l": (), "genextreme": (0.2,),
    "genpareto": (0.3,), "exponnorm": (1.5,), "exponweib": (1.2, 1.9), "powerlaw": (1.7,), "triang": (0.4,),
    "skewnorm": (1.3,), "nakagami": (1.4,), "gengamma": (1.3, 0.9), "fisk": (2.2,), "burr12": (2.1, 1.3), "levy": (),
    "arcsine": (), "johnsonsu": (0.4, 1.2), "loggamma": (1.1,), "vonmises": (1.5,),
}  # fmt: skip
COUNTS = {"poisson": (2.6,), "binom": (7, 0.4), "bernoulli": (0.3,), "geom": (0.35,), "nbinom": (4.0, 0.4)}
METHODS = ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf", "mean", "var", "std", "entropy")
_CHANCES = {"cdf", "sf", "logcdf", "logsf", "ppf", "isf"}
_MOMENTS = {"mean", "var", "std"}
WITHOUT = {  # what SciPy computes numerically or in compiled code
    "skewnorm": {*_CHANCES, "entropy"}, "exponnorm": {"ppf", "isf", "entropy"}, "invgauss": {"ppf", "isf", "entropy"},
    "vonmises": {*_CHANCES, *_MOMENTS}, "pareto": _MOMENTS, "lomax": _MOMENTS, "exponweib": {*_MOMENTS, "entropy"},
    "burr12": {"entropy"}, "levy": {*_MOMENTS, "entropy"}, "johnsonsu": {"entropy"}, "cauchy": _MOMENTS,
    "halfcauchy": _MOMENTS,
}  # fmt: skip
TABLE = [(name, method) for name in CONTINUOUS for method in METHODS if method not in WITHOUT.get(name, ())]


def slopes(f, x):
    """By differences of five points."""
    made = []
    for i in range(len(x)):
        e = np.zeros_like(x)
        e[i] = h = 3e-4 * max(1.0, abs(x[i]))
        made.append((8 * (f(x + e) - f(x - e)) - f(x + 2 * e) + f(x - 2 * e)) / (12 * h))
    return np.array(made)


@pytest.mark.parametrize(("name", "method"), TABLE[:: amount.cases(9, 1)])
def test_continuous(name, method):
    dist, shapes = getattr(st, name), CONTINUOUS[name]
    parameters = np.array([*shapes, 0.3, 1.7])
    n = len(shapes)
    if method in ("mean", "var", "std", "entropy"):
        f = lambda v: getattr(dist, method)(*v[:n], loc=v[n], scale=v[n + 1])  # noqa: E731
        x = parameters
    else:
        q = np.array([0.13, 0.37, 0.81])
        places = q if method in ("ppf", "isf") else dist.ppf(q, *shapes, loc=0.3, scale=1.7)
        f = lambda v: getattr(dist, method)(v[:3], *v[3 : n + 3], loc=v[n + 3], scale=v[n + 4]) @ [1, 2, 3]  # noqa: E731
        x = np.concatenate([places, parameters])
    value, found = pb.value_and_grad(f)(x)
    np.testing.assert_allclose(value, f(x), rtol=1e-10)
    np.testing.assert_allclose(found, slopes(f, x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    dist, shapes = getattr(st, name), COUNTS[name]
    k = np.array([-1.0, 0.0, 1.0, 2.5, 3.0])
    live = [i for i, shape in enumerate(shapes) if isinstance(shape, float)]
    for method in ("logpmf", "pmf", "cdf", "sf", "logcdf", "logsf"):

        def f(v, method=method):
            given = [v[live.index(i)] if i in live else shape for i, shape in enumerate(shapes)]
            made = getattr(dist, method)(k, *given)
            return np.sum(np.where(np.isfinite(made), made, 0.0) * np.arange(1, 6))

        x = np.array([shapes[i] for i in live])
        with np.errstate(all="ignore"):
            value, found = pb.value_and_grad(f)(x)
            np.testing.assert_allclose(value, f(x), rtol=1e-11)
            np.testing.assert_allclose(found, slopes(f, x), rtol=1e-6, atol=1e-8)
    with pytest.raises(UnsupportedError, match="whole number"):
        pb.grad(lambda p: dist.ppf(0.3, *shapes[:-1], p))(0.3)


def test_outside_of_the_support_and_of_the_parameters():
    x = np.array([-1.0, 0.0, 0.4, 1.0, 1.5, np.nan])
    for name, shapes in (("beta", (2.0, 3.0)), ("genextreme", (0.5,)), ("triang", (0.3,)), ("gamma", (1.5,))):
        dist = getattr(st, name)
        for method in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf"):
            f = lambda x, dist=dist, method=method, shapes=shapes: getattr(dist, method)(x, *shapes)  # noqa: E731
            with np.errstate(all="ignore"):
                np.testing.assert_allclose(pb.vjp(f, x)[0], f(x), rtol=1e-12, atol=1e-14)
        assert np.isnan(pb.vjp(lambda s, dist=dist, shapes=shapes: dist.cdf(0.4, *shapes, scale=s), -1.0)[0])
    assert np.isnan(pb.vjp(lambda a: st.gamma.cdf(1.0, a), -1.0)[0])
    with np.errstate(all="ignore"):
        inside = pb.grad(lambda x: np.sum(np.where(x > 0, st.lognorm.logcdf(x, 0.5), 0.0)))(x[:4])
    assert np.isfinite(inside).all()
    assert inside[0] == 0


def test_frozen_compiled_batched_and_fitted():
    x = np.array([0.3, 0.9, 2.2])
    f = lambda v: -np.sum(st.gumbel_r(v[0], v[1]).logpdf(x)) + st.gamma.cdf(x, v[1]).sum()  # noqa: E731
    v = np.array([0.5, 1.2])
    np.testing.assert_allclose(pb.compile(pb.grad(f))(v), pb.grad(f)(v), rtol=1e-11)
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(np.stack([v, v])), np.stack([pb.grad(f)(v)] * 2), rtol=1e-12)
    pb.check_grads(lambda v: np.sum(st.genpareto.logpdf(x, v[0], 0.0, v[1])), np.array([0.3, 1.2]), order=2)
    pb.check_grads(lambda c: np.sum(st.genextreme.logpdf(x, c)), 0.2, order=2)


@pytest.mark.parametrize("f", [
    lambda a: st.skewnorm.ppf(0.3, a), lambda a: st.vonmises.cdf(0.3, a), lambda a: st.norminvgauss.cdf(0.3, a, 0.1),
    lambda a: st.ncf.pdf(0.3, a, 2.0, 0.2), lambda a: st.levy_stable.pdf(0.3, a, 0.2),
])  # fmt: skip
def test_what_has_no_formula_is_refused(f):
    with pytest.raises(PaybackError, match="scipy"):
        pb.grad(f)(1.5)
