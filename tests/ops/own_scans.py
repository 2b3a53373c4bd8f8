"""Uses of the rows of ops/scans.py: products, recurrences, convolution, sin(πx)/(πx)."""

from __future__ import annotations

import numpy as np
import scipy.signal

from ops.own import Own
from payback.trace.array import Traced
from payback.trace.dispatch import emit
from payback.trace.scipy import filters

G = np.random.default_rng(6)
V, M, T = G.normal(size=6), G.normal(size=(3, 4)), G.normal(size=(2, 3, 2))
ONE, TWO = np.array([1.5, 0.0, -2.0, 3.0]), np.array([0.0, 1.5, 0.0, 3.0])  # zeros among the factors


def recurrence(a, b, axis=0, backwards=False):
    if isinstance(a, Traced) or isinstance(b, Traced):
        return emit("recurrence", a, b, axis=axis, backwards=backwards)
    a, y = np.moveaxis(a, axis, 0), np.moveaxis(b.copy(), axis, 0)
    steps = range(y.shape[0] - 2, -1, -1) if backwards else range(1, y.shape[0])
    for i in steps:
        y[i] = a[i] * y[i + 1 if backwards else i - 1] + y[i]
    return np.moveaxis(y, 0, axis)


def fed_back(a, x):
    one = np.ones(1, x.dtype)
    lfilter = filters.lfilter if isinstance(a, Traced) or isinstance(x, Traced) else scipy.signal.lfilter
    return lfilter(one, np.concatenate([one, a]), x, axis=0)


def convolve(mode):
    return lambda a, v: np.convolve(a, v, mode)


CASES: dict[str, Own] = {
    "recurrence": Own(("recurrence",), recurrence, (V, V**2), half=True),
    "recurrence backwards": Own(("recurrence",), lambda a, b: recurrence(a, b, 1, True), (M, M + 1), half=True),
    "recurrence of an axis": Own(("recurrence",), lambda a, b: recurrence(a, b, 1), (T, T + 1), half=True),
    "recurrence of one": Own(("recurrence",), recurrence, (V[:1], V[1:2])),
    "recursion": Own(("recursion",), fed_back, (V[:2] / 4, M)),
    "cumprod": Own(("cumprod",), np.cumprod, (V,), half=True),
    "cumprod of an axis": Own(("cumprod",), lambda x: np.cumprod(x, axis=1), (T,), half=True),
    "cumprod backwards": Own(("cumprod",), lambda x: emit("cumprod", x, axis=0, backwards=True), (ONE,),
                             lambda x: np.cumprod(x[::-1])[::-1]),
    "cumprod with a zero": Own(("cumprod",), np.cumprod, (ONE,)),
    "cumprod with two": Own(("cumprod",), np.cumprod, (TWO,)),
    "cumprod of one": Own(("cumprod",), np.cumprod, (ONE[:1],)),
    "prod": Own(("prod",), np.prod, (V,), half=True),
    "prod of axes": Own(("prod",), lambda x: np.prod(x, axis=(0, 2)), (T,), half=True),
    "prod keepdims": Own(("prod",), lambda x: np.prod(x, axis=0, keepdims=True), (M,), half=True),
    "prod with a zero": Own(("prod",), np.prod, (ONE,)),
    "prod with two": Own(("prod",), lambda x: np.prod(x) + np.prod(x[:2]), (TWO,)),
    "prod of a scalar": Own(("prod",), np.prod, (np.float64(1.5),)),
    "convolve full": Own(("convolve",), convolve("full"), (V, V[:3]), ulps=4),
    "convolve valid": Own(("convolve",), convolve("valid"), (V, V[2:4]), ulps=4),
    "convolve alike": Own(("convolve",), convolve("valid"), (V, V[::-1].copy()), ulps=4),
    "bessel_i": Own(("bessel_i",), np.i0, (np.array([0.0, 0.3, -0.8, 5.0, -9.5]),)),
    "sinc": Own(("sinc",), np.sinc, (np.array([0.0, 1e-4, 0.3, -0.8, 1.0, 2.7]),)),
}  # fmt: skip
