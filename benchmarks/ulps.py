"""How far a function of vector mathematics is from the truth: what the benchmark of accuracy and the tests measure.

The unit is that of the last place (ulp) of the true value's binade.  The truth is not rounded to the format: for
float32 it is NumPy's or SciPy's float64 function, for float64 the C library's function of 80-bit floats, or mpmath's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ops.special import scipy_special, trigamma

Array = np.ndarray[Any, Any]
TWO_OPERANDS = frozenset(
    [
        "arctan2",
        "copysign",
        "floor_divide",
        "fmod",
        "hypot",
        "logaddexp",
        "mod",
        "power",
        "rel_entr",
        "xlog1py",
        "xlogy",
    ]
)
OF_THE_SAME_BITS = frozenset(
    {"floor_divide", "fmod", "mod"}
)  # what they are is said by NumPy's steps, in the same format


def sigmoid(x: Array) -> Array:
    decay = np.exp(-np.abs(x))
    return np.where(x < 0, decay, np.ones_like(x)) / (1 + decay)


def softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def log_of_quotient(x: Array, y: Array, difference: Array) -> Array:
    ratio = x / y
    return np.where((ratio > 0.5) & (ratio < 2), np.log1p(difference / y), np.log(ratio))


def rel_entr(x: Array, y: Array) -> Array:
    made = np.where((x == 0) & (y >= 0), np.zeros_like(x), np.inf)
    made = np.where((x > 0) & (y > 0), x * log_of_quotient(x, y, x - y), made)
    return np.where(np.isnan(x) | np.isnan(y), np.nan, made)


def _scaled_erfc(mp: Any, x: Any) -> Any:
    if x < 1000:
        return mp.exp(x * x) * mp.erfc(x)
    return (1 - (1 - 3 / (2 * x * x)) / (2 * x * x)) / (x * mp.sqrt(mp.pi))


def _normal_quantile(mp: Any, p: Any) -> Any:
    if abs(p - 0.5) < 0.4:
        return mp.sqrt(2) * mp.erfinv(2 * p - 1)
    size = -mp.log(min(p, 1 - p))  # by the logarithm, as the probability itself is flat
    root = mp.findroot(lambda x: mp.log(mp.erfc(x / mp.sqrt(2)) / 2) + size, mp.sqrt(2 * size))
    return root if p > 0.5 else -root


def _log_normal(mp: Any, x: Any) -> Any:
    if x > 0:
        return mp.log1p(-mp.erfc(min(x, 1000) / mp.sqrt(2)) / 2)
    if x > -1000:
        return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)
    return -x * x / 2 - mp.log(-x * mp.sqrt(2 * mp.pi)) - 1 / (x * x)


def _from_scipy(name: str) -> Callable[..., Array]:
    return lambda *args: getattr(scipy_special(), name)(*args)


OURS: dict[str, Callable[..., Array]] = {
    "sigmoid": sigmoid,
    "expit": sigmoid,
    "softplus": softplus,
    "log_expit": lambda x: -softplus(-x),
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "erfc": np.vectorize(math.erfc, otypes=[np.float64]),
    "xlogy": lambda x, y: np.where((x == 0) & ~np.isnan(y), np.zeros_like(x), x * np.log(y)),
    "xlog1py": lambda x, y: np.where((x == 0) & ~np.isnan(y), np.zeros_like(x), x * np.log1p(y)),
    "entr": lambda x: np.where(x < 0, -np.inf, np.where(x == 0, np.zeros_like(x), -x * np.log(x))),
    "rel_entr": rel_entr,
    "logit": lambda x: log_of_quotient(x, 1 - x, 2 * x - 1),
    "erfcx": _from_scipy("erfcx"),
    "ndtr": _from_scipy("ndtr"),
    "log_ndtr": _from_scipy("log_ndtr"),
    "erfinv": _from_scipy("erfinv"),
    "ndtri": _from_scipy("ndtri"),
    "gammaln": _from_scipy("gammaln"),
    "digamma": _from_scipy("psi"),
    "trigamma": trigamma,
}
# functions that the C library does not have for 80-bit floats
IN_MPMATH: dict[str, Callable[[Any, Any], Any]] = {
    "erf": lambda mp, x: mp.erf(max(min(x, 1000), -1000)),
    "erfc": lambda mp, x: mp.erfc(max(min(x, 1000), -1000)),
    "erfcx": lambda mp, x: _scaled_erfc(mp, x),
    "ndtr": lambda mp, x: mp.erfc(-max(min(x, 1000), -1000) / mp.sqrt(2)) / 2,
    "log_ndtr": lambda mp, x: _log_normal(mp, x),
    "erfinv": lambda mp, x: mp.erfinv(x),
    "ndtri": lambda mp, x: _normal_quantile(mp, x),
    "gammaln": lambda mp, x: mp.re(mp.loggamma(x)),
    "digamma": lambda mp, x: mp.digamma(x),
    "trigamma": lambda mp, x: mp.psi(1, x) if x > 0 else (mp.pi / mp.sinpi(x)) ** 2 - mp.psi(1, 1 - x),
}


def truth(name: str) -> Callable[..., Array]:
    """The function in NumPy's arithmetic, for operands wider than what is measured (`IN_MPMATH`: float64 only)."""
    return OURS.get(name) or getattr(np, name)


def scale(name: str, inputs: list[Array]) -> Array | None:
    """What the ulp is measured at beside the true value, where two terms may cancel: the larger of them, about.

    Negative numbers are reflected: no term is more than the values at x and 1 − x (gammaln: x and −x, and 1) together.
    """
    with np.errstate(all="ignore"):
        if name == "logaddexp":
            size = np.maximum(*inputs)
        elif name in ("gammaln", "digamma", "trigamma"):
            x = inputs[0].astype(np.float64)
            other = np.abs(truth(name)(-x)) + 1 if name == "gammaln" else np.abs(truth(name)(1 - x))
            size = np.where(x < 0, np.abs(truth(name)(x)) + other, 0)
        else:
            return None
    return np.where(np.isfinite(size), size, 0)


def expected(name: str, *inputs: Array) -> Array:
    """The true values for inputs of float32 or float64, in a wider dtype."""
    wider = np.float64 if inputs[0].dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        if name in OF_THE_SAME_BITS:
            return truth(name)(*inputs).astype(wider)
        if name in IN_MPMATH and inputs[0].dtype == np.float64:
            return in_mpmath(name, *inputs)
        return truth(name)(*[x.astype(wider) for x in inputs]).astype(wider)


def in_mpmath(name: str, x: Array) -> Array:
    """The true values for float64, in a wider dtype; at 0, at infinity and at poles, SciPy's."""
    import mpmath

    usual = np.asarray(truth(name)(x))
    true = usual.astype(np.longdouble)
    with mpmath.workprec(160):
        there = np.isfinite(x) & (x != 0) & np.isfinite(usual)
        if name == "gammaln":  # SciPy's overflows for small numbers
            there = np.isfinite(x) & ((x > 0) | (x != np.rint(x)))
        for at in np.flatnonzero(there):
            value = IN_MPMATH[name](mpmath, mpmath.mpf(float(x[at])))
            high = float(value)
            true[at] = np.longdouble(high) + np.longdouble(float(value - high)) if np.isfinite(high) else high
    return true


def distance(found: Array, true: Array, size: Array | None = None) -> Array:
    """In ulp of `found`'s dtype, as float64; `true` has a wider dtype.  A wrong NaN or sign of zero is infinitely far.

    The ulp is that of the larger one of `true` and `size`.
    """
    info = np.finfo(found.dtype)
    with np.errstate(all="ignore"):
        limit = np.ldexp(true.dtype.type(1), int(info.maxexp))
        true, wide = np.clip(true, -limit, limit), found.astype(true.dtype)
        near = np.where(np.isinf(wide), np.copysign(limit, wide), wide)
        larger = np.abs(true) if size is None else np.maximum(np.abs(true), np.abs(size).astype(true.dtype))
        exponent = np.frexp(larger)[1] - 1 - info.nmant
        unit = np.ldexp(true.dtype.type(1), np.maximum(exponent, int(info.minexp) - info.nmant))
        far = np.where(near == true, 0, np.abs(near - true) / unit)
    lost = np.isnan(true)
    turned = np.signbit(found) != np.signbit(true)
    if size is not None:  # what cancels may be rounded to 0
        turned &= (true == 0) | (size == 0)
    wrong = (np.isnan(found) != lost) | (turned & ~lost)
    far[lost] = 0.0
    far[wrong] = np.inf
    return far.astype(np.float64)


def samples(count: int, rng: np.random.Generator, dtype: Any = np.float64) -> Array:
    """Numbers of all sizes, and difficult ones: near 0, 1, multiples of π/2, the ends of the range."""
    whole, info = {8: np.uint64, 4: np.uint32}[np.dtype(dtype).itemsize], np.finfo(dtype)
    n = max(count // 10, 1)
    sign = rng.choice([-1.0, 1.0], n)
    parts = [
        rng.integers(0, np.iinfo(whole).max, n, whole, endpoint=True).view(dtype),
        rng.uniform(-1, 1, n),
        rng.uniform(-2, 2, n),
        rng.uniform(-10, 10, n),
        rng.uniform(1.1 * info.minexp, 1.1 * info.maxexp, n) * np.log(2.0),
        sign * np.exp(rng.uniform(-40, 14, n)),
        1 + sign * np.exp(-rng.uniform(0, 37, n)),
        sign * np.ldexp(rng.uniform(0.5, 1, n), rng.integers(info.minexp - info.nmant - 1, info.minexp + 5, n)),
        rng.integers(-700_000, 700_000, n) * (np.pi / 2),
        rng.integers(-2000, 2000, n) * 0.5,
        np.ldexp(1.0, np.arange(info.minexp - info.nmant, info.maxexp)),
        [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, float(info.max), -float(info.max)],
        [6381956970095103.0 * 2.0**797 if dtype == np.float64 else 16367173 * 2.0**72],  # next to a multiple of π/2
    ]
    with np.errstate(all="ignore"):
        return np.concatenate([np.asarray(part).astype(dtype) for part in parts])


def operands_of(name: str, count: int, rng: np.random.Generator, dtype: Any) -> list[Array]:
    """Samples; for power, every other pair such that the result is in range."""
    if name not in TWO_OPERANDS:
        return [samples(count, rng, dtype)]
    x, y = (rng.permutation(samples(count, rng, dtype)) for _ in range(2))
    if name == "power":
        info = np.finfo(dtype)
        exponents = rng.uniform(info.minexp - info.nmant - 2, info.maxexp + 1, x[::2].size)
        with np.errstate(all="ignore"):
            y[::2] = exponents / np.log2(np.abs(x[::2]).astype(np.longdouble))
    return [x, y]
