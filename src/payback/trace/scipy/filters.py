"""Filters of `scipy.signal` on traced values: a convolution, and a recursion that feeds what comes out back.

The recursion is a triangular system, which SciPy's own filter solves; its adjoint runs backwards through time.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.ops.constant_systems import Factors
from payback.trace.array import Traced, plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import emit, here
from payback.trace.numpy.arguments import known
from payback.trace.numpy.map import astype
from payback.trace.numpy.products import array_of
from payback.trace.plain_arrays import decides, now
from payback.trace.scipy import ndimage


def _coefficients(x: Any) -> Any:
    """A vector of coefficients: plain ones stay so, and what is compiled holds for these."""
    if any_traced(x):
        return np.reshape(array_of(now(x)), (-1,))
    x = np.asarray(x)
    decides(x)
    return np.atleast_1d(x)


def _late(x: Any, k: int) -> Any:
    """x, k samples later along the first axis."""
    return np.pad(x[: x.shape[0] - k], [(k, 0)] + [(0, 0)] * (x.ndim - 1)) if k else x


def _filter(b: Any, a: Any, x: Any, zi: Any) -> tuple[Any, Any]:
    """What comes out, along the first axis, and with a state zi that the filter begins in the one that it ends in."""
    n, order = x.shape[0], max(b.shape[0], a.shape[0]) - 1
    b, a = b / a[0], a / a[0]
    made: Any = 0.0
    for k in range(min(b.shape[0], n)):
        made = made + b[k] * _late(x, k)
    if zi is not None:
        begin = np.broadcast_to(zi, (order, *x.shape[1:]))
        rest = max(n - order, 0)
        made = made + np.pad(begin[:n], [(0, rest)] + [(0, 0)] * (x.ndim - 1))
    if a.shape[0] > 1:
        made = _recursion(a, made)
    if zi is None:
        return made, None
    state = []
    for i in range(order):
        left = begin[n + i] if n + i < order else 0.0 * (x[0] + made[0])
        for k in range(i + 1, min(order, n + i) + 1):
            left = left + (b[k] * x[n + i - k] if k < b.shape[0] else 0.0)
            left = left - (a[k] * made[n + i - k] if k < a.shape[0] else 0.0)
        state.append(left)
    return made, np.stack(state) if state else np.zeros((0, *x.shape[1:]), x.dtype)


def _recursion(a: Any, x: Any) -> Any:
    """y[n] = x[n] - a[1]·y[n-1] - ... along the first axis."""
    filtered = vars(sys.modules["scipy.signal"])["lfilter"]

    def there(a: Any, x: Any) -> Any:
        one = np.ones(1, a.dtype)
        return filtered(one, np.concatenate([one, a[1:]]), x, axis=0)

    dtype = np.result_type(x.dtype, a.dtype, np.float32)
    x = x if x.dtype == dtype else astype(x, dtype)
    flat = np.reshape(x, (x.shape[0], -1))
    if isinstance(a, Traced):
        return np.reshape(emit("recursion", a if a.dtype == dtype else astype(a, dtype), flat, filtered=there), x.shape)
    factors = Factors(lambda x: there(a, x), lambda bar: there(a, bar[::-1])[::-1])
    return np.reshape(emit("solve_constant", flat, factors=factors), x.shape)


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    x = np.moveaxis(array_of(x), axis, 0)
    begin = None if zi is None else np.moveaxis(array_of(zi), axis, 0)
    made, end = _filter(_coefficients(b), _coefficients(a), x, begin)
    made = np.moveaxis(made, 0, axis)
    return made if zi is None else (made, np.moveaxis(end, 0, axis))


def lfilter_zi(b: Any, a: Any) -> Any:
    """The state of a filter that has been given ones for ever."""
    b, a = _coefficients(b), _coefficients(a)
    b, a = b / a[0], a / a[0]
    n = max(b.shape[0], a.shape[0])
    b, a = (np.pad(x, (0, n - x.shape[0])) for x in (b, a))
    system = np.eye(n - 1) - np.eye(n - 1, k=1) + np.outer(a[1:], np.eye(1, n - 1)[0])
    return np.linalg.solve(system, b[1:] - a[1:] * b[0]) if n > 1 else np.zeros(0)


def _extended(x: Any, padtype: Any, padlen: Any, taps: int) -> tuple[int, Any]:
    """The signal with what is put before and after it along the first axis, and how much."""
    if padtype not in ("even", "odd", "constant", None):
        raise ValueError(f"Unknown value '{padtype}' given to padtype. padtype must be 'even', 'odd', 'constant', or "
                         "None.")  # fmt: skip
    edge = 0 if padtype is None else taps * 3 if padlen is None else padlen
    if x.shape[0] <= edge:
        raise ValueError(f"The length of the input vector x must be greater than padlen, which is {edge}.")
    if not edge:
        return 0, x
    before, after = x[edge:0:-1], x[-2 : -(edge + 2) : -1]
    if padtype == "constant":
        before, after = (np.repeat(end, edge, axis=0) for end in (x[:1], x[-1:]))
    elif padtype == "odd":
        before, after = 2.0 * x[:1] - before, 2.0 * x[-1:] - after
    return edge, np.concatenate([before, x, after])


def _states(zi: Any, ndim: int) -> Any:
    return np.reshape(zi, (-1,) + (1,) * (ndim - 1))


def filtfilt(b: Any, a: Any, x: Any, axis: int = -1, padtype: Any = "odd", padlen: Any = None, method: str = "pad",
             irlen: Any = None) -> Any:  # fmt: skip
    if method != "pad":
        raise UnsupportedError(f"scipy.signal.filtfilt of traced values with method={method!r}", where=here(),
                               fix="use method='pad'")  # fmt: skip
    b, a, x = _coefficients(b), _coefficients(a), np.moveaxis(array_of(x), axis, 0)
    edge, made = _extended(x, padtype, padlen, max(a.shape[0], b.shape[0]))
    zi = _states(lfilter_zi(b, a), x.ndim)
    for _ in range(2):  # there and back
        made = _filter(b, a, made, zi * made[:1])[0][::-1]
    return np.moveaxis(made[edge : made.shape[0] - edge], 0, axis)


# second-order sections ------------------------------------------------------------------------------------------


def _sections(sos: Any) -> Any:
    plainly = sos if any_traced(sos) else np.asarray(sos)
    if isinstance(plainly, np.ndarray):
        decides(plainly)
    sos = array_of(now(plainly)) if any_traced(sos) else plainly
    if sos.ndim != 2 or sos.shape[1] != 6:
        raise ValueError("sos array must be shape (n_sections, 6)")
    if known(sos) and not np.all(plain(sos)[:, 3] == 1):
        raise ValueError("sos[:, 3] should be all ones")
    return sos


def _cascade(sos: Any, x: Any, zi: Any) -> tuple[Any, list[Any]]:
    ends = []
    for k in range(sos.shape[0]):
        x, end = _filter(sos[k, :3], sos[k, 3:], x, None if zi is None else zi[k])
        ends.append(end)
    return x, ends


def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    x = array_of(x)
    axis %= x.ndim
    begin = None if zi is None else np.moveaxis(array_of(zi), axis + 1, 1)
    made, ends = _cascade(_sections(sos), np.moveaxis(x, axis, 0), begin)
    made = np.moveaxis(made, 0, axis)
    return made if zi is None else (made, np.moveaxis(np.stack(ends), 1, axis + 1))


def sosfilt_zi(sos: Any) -> Any:
    sos, scale, states = _sections(sos), 1.0, []
    for k in range(sos.shape[0]):
        states.append(scale * lfilter_zi(sos[k, :3], sos[k, 3:]))
        scale = scale * (np.sum(sos[k, :3]) / np.sum(sos[k, 3:]))
    return np.stack(states)


def sosfiltfilt(sos: Any, x: Any, axis: int = -1, padtype: Any = "odd", padlen: Any = None) -> Any:
    sos, x = _sections(sos), np.moveaxis(array_of(x), axis, 0)
    if padlen is None and not known(sos):
        raise UnsupportedError("scipy.signal.sosfiltfilt of traced sections without numbers", where=here(),
                               why="how much is put before and after the signal depends on which of them are zero",
                               fix="give padlen=")  # fmt: skip
    zeros = 0 if padlen is not None else min((plain(sos)[:, 2] == 0).sum(), (plain(sos)[:, 5] == 0).sum())
    edge, made = _extended(x, padtype, padlen, 2 * sos.shape[0] + 1 - int(zeros))
    zi = np.reshape(sosfilt_zi(sos), (sos.shape[0], 2) + (1,) * (x.ndim - 1))
    for _ in range(2):
        made = _cascade(sos, made, zi * made[:1])[0][::-1]
    return np.moveaxis(made[edge : made.shape[0] - edge], 0, axis)


def savgol_filter(x: Any, window_length: int, polyorder: int, deriv: int = 0, delta: float = 1.0, axis: int = -1,
                  mode: str = "interp", cval: float = 0.0) -> Any:  # fmt: skip
    """The polynomial fitted to each window, at its middle; near the ends that of the first and of the last window."""
    own = vars(sys.modules["scipy.signal"])
    weights = own["savgol_coeffs"](window_length, polyorder, deriv, delta)
    if mode != "interp":
        return ndimage.convolve1d(x, weights, axis, mode=mode, cval=cval)
    x = np.moveaxis(array_of(x), axis, 0)
    units = np.eye(window_length)
    near = own["savgol_filter"](units, window_length, polyorder, deriv, delta, axis=0)
    if x.shape[0] < window_length:
        return own["savgol_filter"](np.zeros(x.shape), window_length, polyorder, axis=0)  # which says so
    half = window_length // 2
    first, last = np.tensordot(near[:half], x[:window_length], 1), np.tensordot(near[half + 1 :], x[-window_length:], 1)
    count = x.shape[0] - window_length + 1
    middle: Any = 0.0
    for k, weight in enumerate(weights[::-1]):
        middle = middle + weight * x[k : k + count]
    return np.moveaxis(np.concatenate([first, middle, last]), 0, axis)


def freqz(b: Any, a: Any = 1, worN: Any = 512, whole: bool = False, plot: Any = None, fs: float = 2 * np.pi,
          include_nyquist: bool = False) -> Any:  # fmt: skip
    """Two polynomials in exp(−iω); SciPy says at which frequencies."""
    if plot is not None:
        raise UnsupportedError("scipy.signal.freqz of traced values with plot=", where=here(), fix="plot what it gives")
    places = vars(sys.modules["scipy.signal"])["freqz"]([1.0], 1, worN, whole, None, fs, include_nyquist)[0]
    turns = places * (2 * np.pi / fs)
    made: list[Any] = []
    for part in map(array_of, (b, a)):
        part = np.atleast_1d(part)
        if part.ndim != 1:
            raise UnsupportedError(
                "scipy.signal.freqz of several traced filters", where=here(), fix="give each by itself"
            )
        made.append(np.exp(-1j * np.multiply.outer(turns, np.arange(float(part.shape[0])))) @ part)
    return places, made[0] / made[1]


def medfilt(volume: Any, kernel_size: Any = None) -> Any:
    """Medians of windows; beyond the ends there are zeros."""
    x = array_of(volume)
    sizes = [3 if kernel_size is None else kernel_size] * x.ndim if np.ndim(kernel_size or 3) == 0 else [*kernel_size]
    if any(size % 2 != 1 for size in sizes):
        raise ValueError("Each element of kernel_size should be odd.")
    if any(size > n for size, n in zip(sizes, x.shape, strict=True)):
        warnings.warn("kernel_size exceeds volume extent: the volume will be zero-padded.", UserWarning, stacklevel=3)
    padded = np.pad(x, [(size // 2, size // 2) for size in sizes])
    windows = np.lib.stride_tricks.sliding_window_view(padded, sizes)
    return np.median(windows, axis=tuple(range(x.ndim, 2 * x.ndim)))


FUNCTIONS: dict[str, Any] = {
    f.__name__: f
    for f in (lfilter, lfilter_zi, filtfilt, sosfilt, sosfilt_zi, sosfiltfilt, savgol_filter, freqz, medfilt)
}
