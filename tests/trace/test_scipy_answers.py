"""SciPy's filters, rules of integration, banded systems and normal distribution: its own values, and derivatives."""

import numpy as np
import pytest
import scipy.integrate as si
import scipy.linalg as sl
import scipy.signal as sg
import scipy.stats

import amount
import payback as pb
from payback.errors import PaybackError

norm = scipy.stats.norm
X = np.array([0.3, -0.2, 0.9])
IMAGE = np.arange(12.0).reshape(4, 3) / 7 + 0.1
KERNEL = np.array([[0.5, -1.0], [2.0, 0.25]])
BANDS = np.array([[9.0, -1.0, 0.5], [3.0, 4.0, 5.0], [1.0, -0.5, 9.0], [0.25, 9.0, 9.0]])
LONG = np.sin(np.arange(60.0) ** 1.1).reshape(30, 2)
SECTIONS = np.array([[0.2, 0.3, 0.1, 1.0, -0.5, 0.1], [1.0, 0.5, 0.0, 1.0, 0.2, 0.0]])


def sections(x):
    return np.concatenate([SECTIONS[:, :4], SECTIONS[:, 4:] * (1 + x[0])], axis=1)


CALLS = {
    "convolve": lambda x: sg.convolve(np.arange(5.0), x) + sg.convolve(x, np.arange(5.0)),
    "convolve, same": lambda x: sg.convolve(np.arange(4.0), x, mode="same"),
    "convolve, same as the shorter": lambda x: sg.convolve(x, np.arange(4.0), "same"),
    "convolve, valid": lambda x: sg.convolve(x, np.arange(5.0), "valid"),
    "convolve images": lambda x: sg.convolve(IMAGE, np.outer(x, x[:2]), "same"),
    "fftconvolve": lambda x: sg.fftconvolve(np.arange(5.0), x, mode="same"),
    "correlate": lambda x: sg.correlate(np.arange(5.0), x),
    "correlate images": lambda x: sg.correlate(IMAGE * x, KERNEL, "valid"),
    "convolve2d": lambda x: sg.convolve2d(IMAGE * x, KERNEL),
    "convolve2d around": lambda x: sg.convolve2d(IMAGE * x, KERNEL, "same", boundary="wrap"),
    "convolve2d mirrored": lambda x: sg.convolve2d(IMAGE, np.outer(x, x), "same", "symm"),
    "convolve2d filled": lambda x: sg.convolve2d(IMAGE * x, KERNEL, fillvalue=2.0),
    "correlate2d wrapped": lambda x: sg.correlate2d(IMAGE * x, KERNEL, mode="same", boundary="wrap"),
    "correlate2d filled": lambda x: sg.correlate2d(IMAGE * x, KERNEL, fillvalue=2.0),
    "correlate2d": lambda x: sg.correlate2d(IMAGE * x, KERNEL, mode="same"),
    "a filter's taps": lambda x: sg.lfilter(x, [1.0], np.sin(np.arange(10.0))),
    "a filter with feedback": lambda x: sg.lfilter([0.5, 0.25], [2.0, -0.5, 0.25], x),
    "a filter along an axis": lambda x: sg.lfilter(x, [1.0, 0.5], IMAGE * x, axis=0),
    "simpson": lambda x: si.simpson(x, dx=0.5),
    "simpson of an even number": lambda x: si.simpson(np.append(x, 1.0), x=[0.0, 0.5, 1.5, 1.75]),
    "simpson's points": lambda x: si.simpson([1.0, 3.0, 2.0, 5.0], x=np.cumsum(np.append(x * x, 0.5))),
    "simpson along an axis": lambda x: si.simpson(IMAGE * x, axis=0),
    "trapezoid": lambda x: si.trapezoid(x, x=[0.0, 1.0, 1.5]),
    "cumulative_trapezoid at places": lambda x: si.cumulative_trapezoid(IMAGE[0], x=np.cumsum(IMAGE[0] ** 2 * x + 0.1)),
    "cumulative_trapezoid": lambda x: si.cumulative_trapezoid(IMAGE * x, dx=0.5, axis=0, initial=0),
    "solve_banded": lambda x: sl.solve_banded((2, 1), BANDS, x),
    "solve_banded of columns": lambda x: sl.solve_banded((2, 1), BANDS, np.outer(x, x[:2])),
    "solveh_banded": lambda x: sl.solveh_banded(BANDS[:2], x),
    "solve_banded of its bands": lambda x: sl.solve_banded((2, 1), BANDS * (1 + x * x), x),
    "solve_banded of upper bands": lambda x: sl.solve_banded((0, 2), np.outer([1.0, 2.0, 3.0], x), X[:, None]),
    "solveh_banded of its bands": lambda x: sl.solveh_banded(np.stack([x[[0, 0, 1]] / 4, 2 + x * x]), x),
    "solveh_banded of its lower bands": lambda x: sl.solveh_banded(np.stack([2 + x * x, x / 4]), X, lower=True),
    "normal densities": lambda x: norm.pdf(x) + norm.logpdf(x, 0.5, scale=x * x),
    "normal probabilities": lambda x: norm.cdf(x, loc=x[0]) + norm.sf(x) * norm.logcdf(x) + norm.logsf(x),
    "normal quantiles": lambda x: norm.ppf(x * x) + norm.isf(0.25, x, 2.0),
    "a frozen normal": lambda x: norm(x[0], x[2]).logpdf(x) + norm(0, 2).cdf(x),
}


def told(z):
    """Complex numbers by one real one."""
    return np.sum(z.real * np.arange(1.0, len(z) + 1)) + np.sum(z.imag)


FILTERS = {
    "a filter's feedback": lambda x: sg.lfilter([0.5, 0.25], np.append(2.0, x / 4), np.sin(np.arange(9.0) + x[0])),
    "a filter of nothing but feedback": lambda x: sg.lfilter(x[:1], np.append(1.0, x / 4), IMAGE, axis=0),
    "a filter's states": lambda x: np.concatenate(sg.lfilter(x, [1.0, 0.5], IMAGE[0], zi=x[1:]), axis=-1),
    "states of a long filter": lambda x: np.concatenate(
        sg.lfilter(np.append(x, x), [2.0, 0.5], X[:2], zi=x[[0, 1, 2, 0, 1]])
    ),
    "states along an axis": lambda x: np.concatenate(
        sg.lfilter([1.0, 0.2], np.append(1.0, x / 4), IMAGE, axis=0, zi=np.outer(x, x)), axis=0
    ),
    "steady states": lambda x: sg.lfilter_zi([1.0, x[0]], np.append(2.0, x / 4)),
    "filtfilt": lambda x: sg.filtfilt(x, [1.0, 0.3], np.sin(np.arange(12.0) * x[2])),
    "filtfilt's feedback": lambda x: sg.filtfilt([0.5], np.append(1.0, x / 4), LONG * x[0], axis=0, padtype="even"),
    "filtfilt without an edge": lambda x: sg.filtfilt([0.5, x[1]], [1.0, 0.2], LONG * x[0], axis=0, padtype=None),
    "filtfilt of constant edges": lambda x: sg.filtfilt([0.5, x[1]], [1.0], LONG * x[0], 0, "constant", 4),
    "sosfilt": lambda x: sg.sosfilt(sections(x), LONG * x[0], axis=0),
    "sosfilt's states": lambda x: np.concatenate(
        sg.sosfilt(sections(x), X, zi=sg.sosfilt_zi(sections(x)))[::-1], axis=None
    ),
    "sosfiltfilt": lambda x: sg.sosfiltfilt(SECTIONS, LONG * x[0], axis=0),
    "sosfiltfilt's sections": lambda x: sg.sosfiltfilt(sections(x), LONG, axis=0, padlen=5),
    "savgol_filter": lambda x: sg.savgol_filter(LONG * x[0], 5, 2, axis=0),
    "freqz": lambda x: (
        told(sg.freqz(x, [1.0, 0.5], 5)[1])
        + told(sg.freqz(2.0, np.append(x, 9.0), [0.1, 3.0], fs=7)[1])
        + told(sg.freqz([x[0], x[1]], 1, 4, whole=True)[1]) * sg.freqz(x, worN=3, include_nyquist=True)[0][1]
    ),
    "medfilt": lambda x: sg.medfilt(IMAGE * x[0], 3)[1:] + sg.medfilt(IMAGE * x[1], [1, 3])[1:] + sg.medfilt(x)[0],
    "savgol_filter's slope": lambda x: sg.savgol_filter(LONG[:, 0] * x[0], 5, 3, 1, 0.5, mode="nearest"),
}


@pytest.mark.parametrize("name", [*CALLS, *list(FILTERS)[:: amount.cases(4, 1)]])
def test_calls(name):
    f = (CALLS | FILTERS)[name]
    value, moved = pb.jvp(f, (X,), (np.array([1.0, -2.0, 0.5]),))
    np.testing.assert_allclose(value, f(X), rtol=1e-13, atol=1e-14)
    assert np.shape(value) == np.shape(f(X))
    pb.check_grads(lambda x: np.sum(f(x) ** 2), X)
    one = pb.jacobian(f)(X)
    np.testing.assert_allclose(one @ np.array([1.0, -2.0, 0.5]), moved, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pb.compile(pb.jacobian(f))(X), one, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pb.vmap(pb.jacobian(f))(np.stack([-X, X]))[1], one, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shape", [(1, 4), (2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm"])
@pytest.mark.parametrize("mode", ["same", "full"])
def test_every_boundary_of_every_kernel(mode, boundary, shape):
    kernel = np.sin(np.arange(float(np.prod(shape)))).reshape(shape)
    for name in ("convolve2d", "correlate2d"):
        f = lambda x, name=name: getattr(sg, name)(x, kernel, mode, boundary)  # noqa: E731
        np.testing.assert_allclose(pb.jvp(f, (IMAGE,), (IMAGE,))[1], f(IMAGE), rtol=1e-12, atol=1e-13)


def test_a_long_filter_is_one_solve():
    n = 100_000
    slope = pb.grad(lambda x: np.sum(sg.lfilter([1.0], [1.0, -0.5], x)))(np.ones(n))
    np.testing.assert_allclose(slope, 2 - 0.5 ** np.arange(n)[::-1], rtol=1e-13)


def test_types_are_scipys():
    single = X.astype(np.float32)
    for bands in (BANDS, BANDS.astype(np.float32)):
        f = lambda x, bands=bands: sl.solve_banded((2, 1), bands, x)  # noqa: E731
        assert pb.jvp(f, (single,), (single,))[0].dtype == f(single).dtype


def test_a_scale_that_is_not_positive_is_nan_as_in_scipy():
    assert np.isnan(norm.pdf(0.5, 0, -1.0))
    assert np.isnan(pb.value_and_grad(lambda s: norm.pdf(0.5, 0, s))(-1.0)[0])


def test_outside_of_a_trace_the_distribution_is_scipys():
    pb.grad(lambda x: norm.pdf(x))(0.5)
    assert "pdf" not in vars(type(norm))


def test_what_is_refused_has_a_cure():
    with pytest.raises(PaybackError, match="se method='pad'"):
        pb.grad(lambda a: np.sum(sg.filtfilt([1.0], a, X, method="gust")))(np.array([1.0, 0.5]))
    with pytest.raises(PaybackError, match="one x for each value"):
        pb.grad(lambda x: np.sum(si.simpson(IMAGE * x, x=IMAGE * x)))(X)


def test_a_plain_arrays_feedback_is_read_when_it_is_compiled():
    """And again when it has changed."""
    a, x = np.array([1.0, -0.5]), np.ones(5)
    f = pb.compile(lambda x: np.sum(sg.lfilter(np.array([1.0]), a, x)))
    np.testing.assert_allclose(f(x), np.sum(sg.lfilter([1.0], a, x)))
    a[1] = 0.25
    np.testing.assert_allclose(f(x), np.sum(sg.lfilter([1.0], a, x)))
