"""Numbers that describe samples, of `scipy.stats`, and spectra of signals, of `scipy.signal`, on traced values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import array_of, axis_of
from payback.trace.scipy.curves import doubles


def _sample(name: str, a: Any, axis: Any, nan_policy: str = "propagate") -> tuple[Any, Any]:
    """As numbers that are not whole, and along which axis."""
    if nan_policy != "propagate":
        raise UnsupportedError(f"scipy.stats.{name} of traced values with nan_policy={nan_policy!r}", where=here(),
                               fix="leave NaN away before")  # fmt: skip
    a = array_of(a)
    a = a if a.dtype.kind == "f" else a.astype(float)
    return (np.reshape(a, (-1,)), 0) if axis is None else (a, axis_of(axis, a.ndim))


def _mean(a: Any, axis: int, weights: Any, keepdims: bool) -> Any:
    return np.mean(a, axis, keepdims=keepdims) if weights is None else np.average(a, axis, weights, keepdims=keepdims)


def zscore(a: Any, axis: Any = 0, ddof: int = 0, nan_policy: str = "propagate") -> Any:
    shape = np.shape(a)
    a, axis = _sample("zscore", a, axis, nan_policy)
    made = (a - np.mean(a, axis, keepdims=True)) / np.std(a, axis, ddof=ddof, keepdims=True)
    return np.reshape(made, shape)


def gmean(a: Any, axis: Any = 0, dtype: Any = None, weights: Any = None, *, nan_policy: str = "propagate",
          keepdims: bool = False) -> Any:  # fmt: skip
    a, axis = _sample("gmean", a, axis, nan_policy)
    return np.exp(_mean(np.log(a if dtype is None else a.astype(dtype)), axis, weights, keepdims))


def hmean(a: Any, axis: Any = 0, dtype: Any = None, *, weights: Any = None, nan_policy: str = "propagate",
          keepdims: bool = False) -> Any:  # fmt: skip
    a, axis = _sample("hmean", a, axis, nan_policy)
    return 1.0 / _mean(1.0 / (a if dtype is None else a.astype(dtype)), axis, weights, keepdims)


def moment(a: Any, order: int = 1, axis: Any = 0, nan_policy: str = "propagate", *, center: Any = None,
           keepdims: bool = False) -> Any:  # fmt: skip
    a, axis = _sample("moment", a, axis, nan_policy)
    off = a - (np.mean(a, axis, keepdims=True) if center is None else center)
    return np.mean(off**order, axis, keepdims=keepdims)


def skew(a: Any, axis: Any = 0, bias: bool = True, nan_policy: str = "propagate", *, keepdims: bool = False) -> Any:
    n = np.size(a) if axis is None else np.shape(a)[axis]
    second, third = (moment(a, k, axis, nan_policy, keepdims=keepdims) for k in (2, 3))
    made = third / second**1.5
    return made if bias or n < 3 else made * (((n - 1.0) * n) ** 0.5 / (n - 2.0))


def kurtosis(a: Any, axis: Any = 0, fisher: bool = True, bias: bool = True, nan_policy: str = "propagate", *,
             keepdims: bool = False) -> Any:  # fmt: skip
    n = np.size(a) if axis is None else np.shape(a)[axis]
    second, fourth = (moment(a, k, axis, nan_policy, keepdims=keepdims) for k in (2, 4))
    made = fourth / (second * second)
    if not bias and n > 3:
        made = ((n * n - 1.0) * made - 3.0 * (n - 1) ** 2) / ((n - 2.0) * (n - 3.0)) + 3.0
    return made - 3.0 if fisher else made


def sem(a: Any, axis: Any = 0, ddof: int = 1, nan_policy: str = "propagate", *, keepdims: bool = False) -> Any:
    a, axis = _sample("sem", a, axis, nan_policy)
    return np.std(a, axis, ddof=ddof, keepdims=keepdims) / a.shape[axis] ** 0.5


def variation(a: Any, axis: Any = 0, nan_policy: str = "propagate", ddof: int = 0, *, keepdims: bool = False) -> Any:
    a, axis = _sample("variation", a, axis, nan_policy)
    return np.std(a, axis, ddof=ddof, keepdims=keepdims) / np.mean(a, axis, keepdims=keepdims)


def entropy(pk: Any, qk: Any = None, base: Any = None, axis: Any = 0, *, nan_policy: str = "propagate",
            keepdims: bool = False) -> Any:  # fmt: skip
    special = sys.modules["scipy.special"]
    pk, along = _sample("entropy", pk, axis, nan_policy)
    pk = pk / np.sum(pk, along, keepdims=True)
    if qk is None:
        terms = special.entr(pk)
    else:
        qk, _ = _sample("entropy", qk, axis, nan_policy)
        terms = special.rel_entr(pk, qk / np.sum(qk, along, keepdims=True))
    made = np.sum(terms, along, keepdims=keepdims)
    return made if base is None else made / np.log(base)


# signals --------------------------------------------------------------------------------------------------------


def hilbert(x: Any, N: Any = None, axis: int = -1) -> Any:
    """What is left of a transform whose negative frequencies are taken away: complex."""
    x = doubles(x)
    n = x.shape[axis] if N is None else int(N)
    if n < 1:
        raise ValueError("N must be positive.")  # SciPy's words
    kept = np.zeros(n)
    kept[0] = 1.0
    kept[1 : (n + 1) // 2] = 2.0
    kept[n // 2 : n // 2 + (n % 2 == 0)] = 1.0
    spectrum = np.fft.fft(x, n, axis)
    return np.fft.ifft(spectrum * np.reshape(kept, (-1,) + (1,) * (x.ndim - 1 - axis_of(axis, x.ndim))), axis=axis)


def detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: bool = False) -> Any:
    """Less the mean, or less a line in each piece: the projection of each is a product with a matrix."""
    data = array_of(data)
    axis = axis_of(axis, data.ndim)
    if type in ("constant", "c"):
        return data - np.mean(data, axis, keepdims=True)
    if type not in ("linear", "l"):
        raise ValueError("Trend type must be 'linear' or 'constant'.")  # SciPy's words
    x = np.moveaxis(doubles(data), axis, 0)
    n = x.shape[0]
    ends = np.unique(np.concatenate([[0, n], np.atleast_1d(bp)]))
    pieces = []
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        line = np.linalg.qr(np.stack([np.arange(end - start) + 1.0, np.ones(end - start)], axis=-1))[0]
        piece = x[start:end]
        pieces.append(piece - np.tensordot(line, np.tensordot(line.T, piece, 1), 1))
    return np.moveaxis(np.concatenate(pieces), 0, axis)


def welch(x: Any, fs: float = 1.0, window: Any = "hann_periodic", nperseg: Any = None, noverlap: Any = None,
          nfft: Any = None, detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density",
          axis: int = -1, average: str = "mean") -> Any:  # fmt: skip
    """The mean of squared spectra of overlapping pieces (P. Welch 1967)."""
    x = np.moveaxis(doubles(x), axis, -1)
    n = x.shape[-1]
    signal = sys.modules["scipy.signal"]
    if isinstance(window, (str, tuple)):
        size = min(256 if nperseg is None else int(nperseg), n)
        periodic = "hann" if window == "hann_periodic" else window
        win = signal.get_window(periodic, size)
    else:
        win = np.asarray(window, float)
        size = len(win)
    overlap = size // 2 if noverlap is None else int(noverlap)
    count = size if nfft is None else int(nfft)
    if not return_onesided or overlap >= size or count < size or size > n or callable(detrend) or average != "mean":
        raise UnsupportedError("scipy.signal.welch of traced values with these options", where=here(),
                               why="payback knows the mean of one-sided spectra of pieces that fit into the signal",
                               fix="leave return_onesided=, average= and the like away")  # fmt: skip
    starts = np.arange(0, n - size + 1, size - overlap)
    pieces = x[..., starts[:, None] + np.arange(size)]
    if detrend is not False:
        pieces = _detrend(pieces, -1, detrend)
    spectrum = np.fft.rfft(pieces * win, count)
    power = spectrum.real**2 + spectrum.imag**2
    scale = 1.0 / (fs * np.sum(win * win)) if scaling == "density" else 1.0 / np.sum(win) ** 2
    double = np.full(power.shape[-1], 2.0 * scale)
    double[0] = scale
    if count % 2 == 0:
        double[-1] = scale
    made = np.mean(power * double, axis=-2)
    return np.fft.rfftfreq(count, 1.0 / fs), np.moveaxis(made, -1, axis)


_detrend = detrend


def periodogram(x: Any, fs: float = 1.0, window: Any = "boxcar", nfft: Any = None, detrend: Any = "constant",
                return_onesided: bool = True, scaling: str = "density", axis: int = -1) -> Any:  # fmt: skip
    n = np.shape(x)[axis]
    if nfft is not None and nfft < n:
        raise UnsupportedError("scipy.signal.periodogram of traced values with nfft below their number", where=here(),
                               fix="cut the signal before")  # fmt: skip
    window = "boxcar" if window is None else window
    return welch(x, fs, window, n, 0, nfft, detrend, return_onesided, scaling, axis)


_STATISTICS = (zscore, gmean, hmean, moment, skew, kurtosis, sem, variation, entropy)
FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.stats": {f.__name__: f for f in _STATISTICS},
    "scipy.signal": {f.__name__: f for f in (hilbert, detrend, welch, periodogram)},
}
