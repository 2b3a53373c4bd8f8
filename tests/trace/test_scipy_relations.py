"""SciPy's spectra of pieces, filters by order, correlations, densities of samples: its own values, and derivatives."""

import math

import numpy as np
import pytest
import scipy.integrate as si
import scipy.ndimage as nd
import scipy.optimize as so
import scipy.signal as sg
import scipy.spatial
import scipy.stats as st

import amount
import payback as pb
from payback.errors import UnsupportedError
from told import told

X = np.array([0.9, 0.3, 1.7, 0.6, 1.2, 0.4])
TIME = np.arange(40.0)
IMAGE = np.sin(np.arange(30.0) ** 1.3).reshape(6, 5)


def signal(x):
    return np.sin(TIME * x[0]) + x[1] * np.cos(TIME * TIME / 9)


CALLS = {
    "stft": lambda x: (
        told(sg.stft(signal(x), nperseg=8)) + told(sg.stft(signal(x), 2.0, "hamming", 9, 3, 16, padded=False))
    ),
    "stft of columns": lambda x: told(sg.stft(IMAGE * x[:5], nperseg=4, axis=0, boundary=None, scaling="psd")),
    "spectrogram": lambda x: (
        told(sg.spectrogram(signal(x), nperseg=8)) + told(sg.spectrogram(signal(x), nperseg=9, mode="magnitude"))
    ),
    "csd": lambda x: told(sg.csd(signal(x), signal(x[::-1]), nperseg=9, scaling="spectrum", detrend=False)),
    "coherence": lambda x: told(sg.coherence(signal(x), signal(x[::-1]), nperseg=8)),
    "resample": lambda x: sum(told(sg.resample(x[:n], m)) for n, m in ((5, 4), (6, 3), (6, 4), (5, 8), (6, 9), (6, 6))),
    "upfirdn": lambda x: told(sg.upfirdn(x[:3], IMAGE * x[:5], 2, 3)),
    "find_peaks": lambda x: told(x[sg.find_peaks(x)[0]]) + told(sg.find_peaks(x, height=0)[1]["peak_heights"]),
    "nquad": lambda x: si.nquad(lambda t, y, c: t * y * x[0] + c, [lambda y, c: (0, y * x[1]), [0, 1]], args=(2.0,))[0],
    "jensenshannon": lambda x: told(scipy.spatial.distance.jensenshannon(x, X[::-1], 2)),
    "distance_matrix": lambda x: sum(
        told(scipy.spatial.distance_matrix(IMAGE * x[0], IMAGE[:3] * x[1], p)) for p in (1, 2, 3)
    ),
    "rosen": lambda x: so.rosen(x) + told(so.rosen_der(x)),
    "linear_sum_assignment": lambda x: told(np.outer(x, x[::-1])[so.linear_sum_assignment(np.outer(x, x[::-1]))]),
    "derivatives of Gaussians": lambda x: (
        told(nd.gaussian_laplace(IMAGE * x[:5], 1.0)) + told(nd.gaussian_gradient_magnitude(IMAGE * x[:5], [1.0, 2.0]))
    ),
    "orders": lambda x: (
        told(nd.maximum_filter(IMAGE * x[:5], 3))
        + told(nd.minimum_filter(IMAGE * x[:5], 4, mode="wrap"))
        + told(nd.median_filter(IMAGE * x[:5], (2, 3)))
        + told(nd.percentile_filter(IMAGE * x[:5], 30, 3))
    ),
    "other orders": lambda x: (
        told(nd.rank_filter(IMAGE * x[:5], 2, 3))
        + told(nd.grey_dilation(IMAGE * x[:5], 4))
        + told(nd.grey_erosion(IMAGE * x[:5], size=(2, 4)))
        + told(nd.center_of_mass(IMAGE**2 * x[:5]))
    ),
    "pearsonr": lambda x: told(st.pearsonr(x, np.arange(6.0))) + st.pearsonr(x, X**2).statistic,
    "distances of samples": lambda x: st.wasserstein_distance(x, X[:4] + 0.05) + st.energy_distance(x, [0.5, 2.0]),
    "boxcox": lambda x: told(st.boxcox(x, 0.3)) + st.boxcox_llf(x[0], x),
    "gaussian_kde": lambda x: (
        told(st.gaussian_kde(x)([0.5, x[0]]))
        + st.gaussian_kde(np.outer([1, 2], x) + IMAGE[:2, [0, 1, 2, 3, 4, 0]], "silverman", X).logpdf([0.3, 0.2])[0]
    ),
    "gaussian_kde of plain samples": lambda x: (
        told(st.gaussian_kde(X)(x[:2])) + told(st.gaussian_kde(X, 0.5).logpdf(x[2]))
    ),
    "frozen vectors": lambda x: (
        st.multivariate_normal(x[:2], np.diag(x[2:4])).logpdf([1.0, 2.0]) + st.dirichlet(x[:2]).pdf([0.3, 0.7])
    ),
    "vectors": lambda x: (
        st.multivariate_t.logpdf(x[:2], x[2:4], np.diag(x[4:]) + 0.1, 3 + x[0])
        + st.multivariate_normal.entropy(x[:2], np.diag(x[2:4]))
        + st.multinomial.logpmf([1, 2, 3], 6, x[:3] / np.sum(x[:3]))
    ),
    "lists": lambda x: (
        told(st.norm.logpdf([x[0], 1.0]))
        + told(st.gamma.cdf([x[0], 1.0], [2.0, 3.0]))
        + st.multivariate_normal.logpdf([x[0], 1.0], [x[1], 0.0], [[1.0, 0.0], [0.0, x[2]]])
        + told(np.linalg.eig([[x[0], 1.0], [2.0, x[1]]]))
    ),
    "a quantile of a plain number": lambda x: st.expon.ppf(0.3, scale=x[0]) + st.gamma.isf(0.2, 2.0, x[1]),
    "remainder": lambda x: math.remainder(x[0], x[1]) + math.remainder(-2 * x[0], 1.5 * x[1]),
}


@pytest.mark.parametrize("name", list(CALLS)[:: amount.cases(3, 1)])
def test_values_and_derivatives(name):
    f = CALLS[name]
    np.testing.assert_allclose(pb.value_and_grad(f)(X)[0], f(X), rtol=1e-10)
    pb.check_grads(f, X, order=1 if "quad" in name else 2)


def test_machine_code():
    names = (
        "stft",
        "csd",
        "resample",
        "upfirdn",
        "jensenshannon",
        "rosen",
        "orders",
        "pearsonr",
        "distances of samples",
        "gaussian_kde",
        "gaussian_kde of plain samples",
        "frozen vectors",
        "vectors",
        "remainder",
    )
    f = lambda x: sum(CALLS[name](x) for name in names)  # noqa: E731
    compiled = pb.compile(pb.value_and_grad(f))
    compiled(X)
    for found, want in zip(compiled(X[::-1].copy()), pb.value_and_grad(f)(X[::-1].copy()), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-8)


@pytest.mark.parametrize(("x", "y"), [(x, y) for x in (3.0, 5.0, 1.0, -3.0, 2.5, 0.0, 1e17) for y in (2.0, -2.0, 0.3)])
def test_a_remainder_is_python_s(x, y):
    assert pb.vjp(lambda t: math.remainder(t, y), x)[0] == math.remainder(x, y)
    assert pb.grad(lambda t: math.remainder(t, y))(x) == 1.0


def test_an_integral_of_three_variables():
    f = lambda a: si.tplquad(lambda z, y, x: a * z + y, 0, 1, 0, lambda x: x, 0.0, lambda x, y: 2.0)[0]  # noqa: E731
    assert pb.vjp(f, 3.0)[0] == pytest.approx(f(3.0), rel=1e-12)  # its derivative is an integral of as many points


def test_what_is_not_answered_says_so():
    for f in (
        lambda x: sg.stft(x, nperseg=4, return_onesided=False)[2],
        lambda x: sg.find_peaks(x, prominence=0)[1]["prominences"] * 1.0,
        lambda x: sg.resample(x, 4, window="hann"),
        lambda x: nd.maximum_filter(np.outer(x, x), footprint=np.ones((2, 2))),
        lambda x: st.boxcox(x)[0],
        lambda x: st.pearsonr(x, X**2, alternative="less")[1],
        lambda x: st.wasserstein_distance(x, X, X),
    ):
        with pytest.raises((UnsupportedError, pb.errors.TraceError)):
            pb.grad(lambda x, f=f: told(f(x)))(X)
