"""Spectra of pieces of a signal, of `scipy.signal`, and a signal at another rate, on traced values."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import array_of, axis_of
from payback.trace.numpy.order import in_pieces
from payback.trace.scipy.callbacks import Lost
from payback.trace.scipy.curves import doubles
from payback.trace.scipy.samples import detrend as _detrend
from payback.trace.tree import is_complex


def _own(name: str) -> Any:
    return vars(sys.modules["scipy.signal"])[name]


def _options(name: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """All arguments by their names; what SciPy tells of zeros in their place says what is wrong with them."""
    bound = inspect.signature(_own(name)).bind(*args, **kwargs)
    bound.apply_defaults()
    given = {which: array_of(x) if which in ("x", "y") else x for which, x in bound.arguments.items()}
    if any(is_complex(given.get(which)) for which in ("x", "y")) or given.get("return_onesided") is False:
        raise UnsupportedError(f"scipy.signal.{name} of traced values with two-sided spectra", where=here(),
                               why="those of real signals are known", fix="leave return_onesided= away")  # fmt: skip
    if callable(given.get("detrend")):
        raise UnsupportedError(f"scipy.signal.{name} of traced values with a function as detrend", where=here(),
                               fix="take the trend away before")  # fmt: skip
    return given


def _of_zeros(name: str, given: dict[str, Any]) -> Any:
    given = {which: np.zeros(np.shape(value)) if which in ("x", "y") else value for which, value in given.items()}
    with np.errstate(all="ignore"):
        return _own(name)(**given)


class _Pieces:
    """How a signal is cut into pieces, and what their spectra are worth."""

    def __init__(self, given: dict[str, Any], n: int, overlapping: Callable[[int], int] = lambda size: size // 2):
        window, size = given["window"], given["nperseg"]
        if isinstance(window, (str, tuple)):
            self.size = min(256 if size is None else int(size), n)
            name, *parameters = window if isinstance(window, tuple) else (window,)
            name = name.removesuffix("_periodic")
            self.window = _own("get_window")((name, *parameters) if parameters else name, self.size)
        else:
            self.window = np.asarray(window, float)
            self.size = len(self.window)
        overlap = given["noverlap"]
        self.overlap = overlapping(self.size) if overlap is None else int(overlap)
        self.count = self.size if given["nfft"] is None else int(given["nfft"])
        squares = given["fs"] * np.sum(self.window**2)
        self.scale = 1.0 / (squares if given["scaling"] in ("density", "psd") else np.sum(self.window) ** 2)
        self.detrend = given["detrend"]

    def spectra(self, x: Any) -> Any:
        """(..., pieces, frequencies) of what lies along the last axis."""
        starts = np.arange(0, x.shape[-1] - self.size + 1, self.size - self.overlap)
        pieces = x[..., starts[:, None] + np.arange(self.size)]
        if self.detrend is not False:
            pieces = _detrend(pieces, -1, self.detrend)
        return np.fft.rfft(pieces * self.window, self.count)

    def powers(self) -> Any:
        """What a squared spectrum is multiplied by: all but the ends are there for two frequencies."""
        made = np.full(self.count // 2 + 1, 2.0 * self.scale)
        made[0] = self.scale
        if self.count % 2 == 0:
            made[-1] = self.scale
        return made


def _last(x: Any, axis: int) -> Any:
    return np.moveaxis(doubles(x), axis, -1)


def _by_time(made: Any, axis: int) -> Any:
    """Frequencies where the signal's axis was, pieces behind everything."""
    return np.moveaxis(np.moveaxis(made, -2, -1), -2, axis_of(axis, np.ndim(made) - 1))


def stft(*args: Any, **kwargs: Any) -> Any:
    given = _options("stft", args, kwargs)
    f, t, _ = _of_zeros("stft", given)
    if given["boundary"] not in (None, "zeros"):
        raise UnsupportedError(f"scipy.signal.stft of traced values with boundary={given['boundary']!r}", where=here(),
                               fix="use boundary='zeros', or pad the signal before with np.pad")  # fmt: skip
    x = _last(given["x"], given["axis"])
    pieces = _Pieces(given, x.shape[-1])
    beside = pieces.size // 2 if given["boundary"] else 0
    after = beside
    if given["padded"]:
        length = x.shape[-1] + 2 * beside
        after += (-(length - pieces.size) % (pieces.size - pieces.overlap)) % pieces.size
    x = np.concatenate([np.zeros((*x.shape[:-1], beside)), x, np.zeros((*x.shape[:-1], after))], axis=-1)
    return f, t, _by_time(pieces.spectra(x) * np.sqrt(pieces.scale), given["axis"])


_MODES: dict[str, Callable[[Any], Any]] = {
    "complex": lambda z: z, "magnitude": np.abs, "angle": np.angle, "phase": lambda z: np.unwrap(np.angle(z), axis=-1),
}  # fmt: skip


def spectrogram(*args: Any, **kwargs: Any) -> Any:
    given = _options("spectrogram", args, kwargs)
    f, t, _ = _of_zeros("spectrogram", given)
    x = _last(given["x"], given["axis"])
    mode = given["mode"]
    pieces = _Pieces(given, x.shape[-1], lambda size: size // 8)
    z = pieces.spectra(x)
    if mode == "psd":
        return f, t, _by_time((z.real**2 + z.imag**2) * pieces.powers(), given["axis"])
    made = _by_time(z * np.sqrt(pieces.scale), given["axis"])
    return f, t, _MODES[mode](made)


def _crossed(given: dict[str, Any]) -> Any:
    """conj(X)·Y of each piece, and |X|², |Y|²."""
    x, y = (_last(given[which], given["axis"]) for which in ("x", "y"))
    if x.shape != y.shape:
        raise UnsupportedError("spectra of two signals of traced values that are not of one shape", where=here(),
                               fix="cut or pad the shorter one before")  # fmt: skip
    pieces = _Pieces(given, x.shape[-1])
    a, b = pieces.spectra(x), pieces.spectra(y)
    return pieces, np.conj(a) * b, a.real**2 + a.imag**2, b.real**2 + b.imag**2


def csd(*args: Any, **kwargs: Any) -> Any:
    given = _options("csd", args, kwargs)
    f, _ = _of_zeros("csd", given)
    if given["average"] != "mean":
        raise UnsupportedError("scipy.signal.csd of traced values with another average than the mean", where=here(),
                               fix="leave average= away")  # fmt: skip
    pieces, crossed, _, _ = _crossed(given)
    return f, np.moveaxis(np.mean(crossed, axis=-2) * pieces.powers(), -1, given["axis"])


def coherence(*args: Any, **kwargs: Any) -> Any:
    given = _options("coherence", args, kwargs) | {"scaling": "density"}
    f, _ = _of_zeros("coherence", {name: value for name, value in given.items() if name != "scaling"})
    _, crossed, first, second = _crossed(given)
    z = np.mean(crossed, axis=-2)
    made = (z.real**2 + z.imag**2) / (np.mean(first, axis=-2) * np.mean(second, axis=-2))
    return f, np.moveaxis(made, -1, given["axis"])


# other rates ----------------------------------------------------------------------------------------------------


def resample(x: Any, num: int, t: Any = None, axis: int = 0, window: Any = None, domain: str = "time") -> Any:
    """By its transform: frequencies that are too high are left out, or there are none so high."""
    if window is not None or domain != "time" or is_complex(x):
        raise UnsupportedError("scipy.signal.resample of traced values with window= or domain=", where=here(),
                               fix="leave window= and domain= away")  # fmt: skip
    x = _last(x, axis)
    n = x.shape[-1]
    found = _own("resample")(np.zeros(n), num, t)  # which says what is wrong
    least = min(n, num)
    weights = np.ones(least // 2 + 1)
    if least % 2 == 0 and n != num:
        weights[-1] = 2.0 if num < n else 0.5  # a frequency that stands for itself and its negative
    spectrum = np.fft.rfft(x)[..., : least // 2 + 1] * weights
    made = np.moveaxis(np.fft.irfft(spectrum, num) * (num / n), -1, axis)
    return made if t is None else (made, found[1])


def upfirdn(h: Any, x: Any, up: int = 1, down: int = 1, axis: int = -1, mode: str = "constant", cval: float = 0) -> Any:
    if mode not in ("constant", "zero") or cval:
        raise UnsupportedError(f"scipy.signal.upfirdn of traced values with mode={mode!r}, cval={cval}", where=here(),
                               fix="pad the signal before")  # fmt: skip
    h, x = doubles(h), _last(x, axis)
    n = x.shape[-1]
    between = np.zeros((*x.shape, up - 1))
    spread = np.reshape(np.concatenate([x[..., None], between], axis=-1), (*x.shape[:-1], n * up))
    spread = spread[..., : (n - 1) * up + 1]
    rows = np.reshape(spread, (-1, spread.shape[-1]))
    made = np.stack([np.convolve(row, h) for row in rows])[..., ::down]
    return np.moveaxis(np.reshape(made, (*x.shape[:-1], -1)), -1, axis)


def find_peaks(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Where they are is constant in pieces; of what else is told the heights are traced."""
    x = doubles(x)
    found, told = _own("find_peaks")(np.asarray(in_pieces(x)), *args, **kwargs)
    for name, value in told.items():
        if value.dtype.kind == "f":
            told[name] = x[found] if name == "peak_heights" else Lost(f"find_peaks's {name}")
    return found, told


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (stft, spectrogram, csd, coherence, resample, upfirdn, find_peaks)
}
