"""Densities of scipy.stats of traced values: SciPy's numbers, and derivatives as finite differences see them."""

import numpy as np
import pytest
import scipy.stats as stats

import payback as pb

X = np.array([0.3, 0.7, 1.9, 4.0])
U = np.array([0.2, 0.5, 0.9])
K = np.array([0.0, 1.0, 2.0, 5.0])
P = np.array([1.3, 0.6, 0.2, 1.7])  # two shapes, loc, scale

CALLS = {
    "gamma": lambda p: stats.gamma.logpdf(X, p[0], p[2], p[3]),
    "beta": lambda p: stats.beta.logpdf(U, p[0], p[1], scale=p[3]),
    "t": lambda p: stats.t.logpdf(X, p[0], loc=p[2], scale=p[3]),
    "chi2": lambda p: stats.chi2.logpdf(X, p[0], scale=p[3]),
    "invgamma": lambda p: stats.invgamma.logpdf(X, p[0], scale=p[3]),
    "lognorm": lambda p: stats.lognorm.logpdf(X, p[0], scale=p[3]),
    "weibull_min": lambda p: stats.weibull_min.logpdf(X, p[0], scale=p[3]),
    "pareto": lambda p: stats.pareto.logpdf(X + 2, p[0], scale=p[3]),
    "expon": lambda p: stats.expon.logpdf(X, p[2], p[3]),
    "halfnorm": lambda p: stats.halfnorm.logpdf(X, p[2], p[3]),
    "uniform": lambda p: stats.uniform.logpdf(U, p[2] - 1, p[3] + 1),
    "cauchy": lambda p: stats.cauchy.logpdf(X, p[2], p[3]),
    "laplace": lambda p: stats.laplace.logpdf(X, p[2], p[3]),
    "logistic": lambda p: stats.logistic.logpdf(X, p[2], p[3]),
    "poisson": lambda p: stats.poisson.logpmf(K, p[0]),
    "binom": lambda p: stats.binom.logpmf(K, 6, p[1]),
    "bernoulli": lambda p: stats.bernoulli.logpmf(K[:2], p[1]),
    "nbinom": lambda p: stats.nbinom.logpmf(K, p[0], p[1]),
    "geom": lambda p: stats.geom.logpmf(K + 1, p[1]),
    "by x": lambda p: stats.gamma.pdf(p, 2.0) + stats.t.pdf(p, 3) + stats.beta.pdf(p / 2, 2, 3),
    "frozen": lambda p: stats.gamma(p[0], scale=p[3]).logpdf(X) + stats.norm(p[2], p[3]).logpdf(X),
    "normal vector": lambda p: stats.multivariate_normal.logpdf(np.outer(X, [1.0, -0.5]), p[:2],
                                                                np.outer(p[2:], p[2:]) + np.eye(2)),
    "normal, diagonal": lambda p: stats.multivariate_normal.pdf(p[:2], mean=p[1:3], cov=p[2:]),
    "normal, one number": lambda p: stats.multivariate_normal.logpdf(X, p[0], p[3]),
    "dirichlet": lambda p: stats.dirichlet.logpdf(np.array([0.2, 0.3, 0.1, 0.4]), p),
    "dirichlet, the last left away": lambda p: stats.dirichlet.logpdf(np.array([0.2, 0.3, 0.1]), p),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives(name):
    f = CALLS[name]
    found, _ = pb.vjp(f, P)
    expected = f(P)
    assert np.shape(found) == np.shape(expected)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    pb.check_grads(lambda p: np.sum(f(p)), P)


@pytest.mark.parametrize("name", ["norm", "logistic", "cauchy", "t"])
def test_curvature_at_the_middle(name):
    """Where all smooth densities are symmetric, the second derivative is the limit of those beside."""
    f = lambda x: getattr(stats, name).logpdf(x, *([3.0] if name == "t" else []))  # noqa: E731
    second = pb.grad(pb.grad(f))
    assert second(0.0) == pytest.approx(second(1e-7), rel=1e-6)
    assert abs(second(0.0)) > 0.1


def test_where_there_is_no_density_and_where_parameters_are_none():
    x = np.array([-1.0, 0.5, 2.0, np.nan])
    for f in (lambda x, s: stats.gamma.logpdf(x, s), lambda x, s: stats.beta.pdf(x, s, 2.0),
              lambda x, s: stats.expon.logpdf(x, scale=s), lambda x, s: stats.poisson.logpmf(x, s),
              lambda x, s: stats.uniform.pdf(x, 0.0, s)):  # fmt: skip
        for s in (1.5, -1.5):
            value, (by_x, by_s) = pb.vjp(f, x, s)[0], pb.vjp(f, x, s)[1](np.ones(4))
            np.testing.assert_allclose(value, f(x, s), rtol=1e-12)
            if s > 0:
                assert by_x[0] == 0.0
                assert np.isfinite(by_s)


def test_scipys_own_methods_are_back_afterwards():
    kinds = [type(stats.gamma), type(stats.poisson), type(stats.multivariate_normal)]
    before = [dict(vars(kind)) for kind in kinds]
    pb.grad(lambda p: np.sum(stats.gamma.logpdf(X, p[0])))(P)
    assert [dict(vars(kind)) for kind in kinds] == before
