"""Numbers of scipy.stats that describe samples, spectra of scipy.signal: SciPy's values, derivatives."""

import numpy as np
import pytest
import scipy.signal as sg
import scipy.stats as st

import amount
import payback as pb
from payback.errors import PaybackError

RANDOM = np.random.default_rng(3)
X = RANDOM.uniform(0.2, 2.0, (5, 4))
LONG = RANDOM.normal(size=(2, 61))
W = np.arange(1.0, 6.0)
CALLS = {
    "zscore": lambda x: st.zscore(x) + st.zscore(x, axis=None, ddof=1),
    "gmean": lambda x: st.gmean(x, axis=1, weights=W[:4]) + st.gmean(x, axis=None),
    "hmean": lambda x: st.hmean(x) + st.hmean(x, axis=None), "moment": lambda x: st.moment(x, 3, axis=1, keepdims=True),
    "skew": lambda x: st.skew(x) + st.skew(x, bias=False), "kurtosis": lambda x: st.kurtosis(x, axis=1, bias=False),
    "kurtosis of Pearson": lambda x: st.kurtosis(x, fisher=False), "sem": lambda x: st.sem(x) + st.sem(x, axis=None),
    "variation": lambda x: st.variation(x, ddof=1), "entropy": lambda x: st.entropy(x, base=2.0),
    "relative entropy": lambda x: st.entropy(x, x[::-1] ** 2, axis=1),
}  # fmt: skip
SIGNALS = {
    "hilbert": lambda x: np.abs(sg.hilbert(x)) + sg.hilbert(x, N=70).imag[:, :61],
    "hilbert of an even number": lambda x: sg.hilbert(x[:, :60], axis=0).imag + np.angle(sg.hilbert(x[:, :60])),
    "detrend": lambda x: sg.detrend(x) + sg.detrend(x, axis=0, type="constant") + sg.detrend(x, bp=[20, 45]),
    "welch": lambda x: sg.welch(x, 2.0, nperseg=16)[1],
    "welch's options": lambda x: sg.welch(x.T, 2.0, ("tukey", 0.3), 15, 4, 20, "linear", scaling="spectrum", axis=0)[1],
    "periodogram": lambda x: sg.periodogram(x, 3.0)[1] + sg.periodogram(x, window="hann", detrend=False)[1],
}  # fmt: skip


@pytest.mark.parametrize("name", [*CALLS, *SIGNALS][:: amount.cases(3, 1)])
def test_values_and_derivatives(name):
    f, x = (CALLS[name], X) if name in CALLS else (SIGNALS[name], LONG)
    value = pb.vjp(f, x)[0]
    np.testing.assert_allclose(value, f(x), rtol=1e-11, atol=1e-12)
    assert np.shape(value) == np.shape(f(x))
    weights = np.cos(np.arange(value.size)).reshape(value.shape)
    pb.check_grads(lambda x: np.sum(f(x) * weights), x)


def test_compiled():
    f = lambda x: np.sum(sg.welch(x, nperseg=16)[1]) + np.sum(np.abs(sg.hilbert(x))) + st.gmean(x[0] ** 2)  # noqa: E731
    np.testing.assert_allclose(pb.compile(pb.grad(f))(LONG), pb.grad(f)(LONG), rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(pb.vjp(lambda x: sg.welch(x, 2.0, nperseg=16)[1], LONG)[0].shape, (2, 9))


def test_what_is_refused():
    for f in (lambda x: sg.welch(x, average="median")[1], lambda x: st.zscore(x, nan_policy="omit"),
              lambda x: sg.periodogram(x, nfft=20)[1]):  # fmt: skip
        with pytest.raises(PaybackError, match=r"(Leave|Cut)"):
            pb.grad(lambda x, f=f: np.sum(f(x)))(LONG)
