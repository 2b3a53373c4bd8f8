"""Values of functions whose derivatives are further members of one family: sin(πx)/(πx) and the Bessel functions I."""

from __future__ import annotations

from typing import Any

import numpy as np


def sinc(x: Any, order: int) -> Any:
    """The derivative of that order of sin(πx)/(πx).

    Where |πx| is small the power series of sin(u)/u, differentiated term by term; elsewhere
    s⁽ᵏ⁾ = (sin(u + kπ/2) − k·s⁽ᵏ⁻¹⁾)/u, which does not magnify errors where |u| ≥ k.
    """
    if order == 0:
        return np.sinc(x)
    wide = np.asarray(x, np.result_type(x.dtype, np.float64))
    u = np.pi * wide
    near = np.abs(u) <= order + 1
    safe = np.where(near, 1.0, u)
    s = np.sin(np.pi * np.remainder(wide, 2.0)) / safe  # a whole number of turns is exact in x, not in u
    for k in range(1, order + 1):
        s = (_turned(wide, k) - k * s) / safe
    return np.where(near, _series(np.where(near, u, 0.0), order), s).astype(x.dtype)[()] * x.dtype.type(np.pi**order)


def _turned(x: Any, k: int) -> Any:
    """sin(πx + kπ/2)."""
    angle = np.pi * np.remainder(x, 2.0)
    value = np.sin(angle) if k % 2 == 0 else np.cos(angle)
    return value if k % 4 < 2 else -value


def _series(u: Any, order: int) -> Any:
    """Σ (−1)ʲ·u²ʲ⁻ᵏ / ((2j + 1)·(2j − k)!) over 2j ≥ k."""
    total, j = np.zeros_like(u), (order + 1) // 2
    power = 2 * j - order  # 0 or 1
    term = np.where(power, u, 1.0) * (-1.0) ** j
    for _ in range(2 * order + 24):
        total = total + term / (2 * j + 1)
        j += 1
        term = -term * u * u / ((2 * j - order - 1) * (2 * j - order))
    return total


def bessel_i(x: Any, order: int) -> Any:
    """The modified Bessel function of a whole order: NumPy's I₀ times the ratios Iₖ/Iₖ₋₁.

    The ratios come from their continued fraction rₖ = 1/(2k/x + rₖ₊₁), evaluated from far enough out
    (J. C. P. Miller's backward recurrence; Abramowitz & Stegun 9.12).
    """
    if order == 0:
        return np.i0(x)
    wide = np.asarray(x, np.result_type(x.dtype, np.float64))
    size = np.abs(wide)
    largest = float(np.max(size, initial=0.0, where=size < 1000.0))  # beyond 714 it is infinite, whatever the ratios
    made, ratio = np.i0(wide), np.zeros_like(wide)
    for k in range(order + 24 + int(8 * largest**0.5), 0, -1):
        ratio = size / (2 * k + size * ratio)
        if k <= order:
            made = made * ratio
    signed = np.where(wide < 0, -made, made) if order % 2 else made
    return signed.astype(x.dtype)[()]
