"""Discrete Fourier transforms as maps of columns of real numbers: real parts above imaginary ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ops.constant_systems import Factors

_fft, _ifft, _rfft, _irfft = np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft
ODD = (3, 5, 7, 11, 13)  # factors of a length that machine code knows, beside two


class Fourier(Factors):
    """The unnormalized transform of n numbers; the transposed map is the one in the other direction."""

    __slots__ = ("inverse", "n")

    def __init__(self, n: int, inverse: bool, of: Fourier | None = None):
        self.n, self.inverse = n, inverse
        self.solve = self._solve
        self.T = Fourier(n, not inverse, self) if of is None else of

    def _solve(self, columns: Any) -> Any:
        z = columns[: self.n] + columns.dtype.type(1) * 1j * columns[self.n :]
        made = _ifft(z, axis=0, norm="forward") if self.inverse else _fft(z, axis=0)
        return np.concatenate([made.real, made.imag])


class RealFourier(Factors):
    """The first n // 2 + 1 coefficients of n real numbers; inverse: the transpose, Σ Re(gₖ·exp(2πijk/n))."""

    __slots__ = ("inverse", "n")

    def __init__(self, n: int, inverse: bool = False, of: RealFourier | None = None):
        self.n, self.inverse = n, inverse
        self.solve = self._solve
        self.T = RealFourier(n, not inverse, self) if of is None else of

    def rows(self, n: int) -> int:
        return self.n if self.inverse else self.n // 2 * 2 + 2

    def _solve(self, columns: Any) -> Any:
        if not self.inverse:
            made = _rfft(columns, axis=0)
            return np.concatenate([made.real, made.imag])
        half = self.n // 2 + 1
        z = columns[:half] + columns.dtype.type(1) * 1j * columns[half:]
        z[1 : (self.n + 1) // 2] *= 0.5  # NumPy counts them twice
        return _irfft(z, self.n, axis=0, norm="forward")


def on_circle(k: Any, n: int) -> tuple[Any, Any]:
    """cos and sin of 2πk/n, of whole numbers k; exact at the quarters, where a rounded π gives no zeros.

    So the coefficients of real numbers that are real have an imaginary part of zero, and the angles that NumPy gives.
    """
    k = np.asarray(k) % n
    quarter = 4 * k // n
    cos, sin = np.cos(k * (2 * np.pi / n)), np.sin(k * (2 * np.pi / n))
    at = 4 * k % n == 0
    cos = np.where(at, np.take([1.0, 0.0, -1.0, 0.0], quarter), cos)
    return cos, np.where(at, np.take([0.0, 1.0, 0.0, -1.0], quarter), sin)


def radices(n: int) -> tuple[int, ...] | None:
    """The factors of n that are done at once, powers of two before others; None where one of them is too large.

    >>> radices(1024), radices(1000), radices(26), radices(34)
    ((8, 8, 4, 4), (8, 5, 5, 5), (2, 13), None)
    """
    twos = (n & -n).bit_length() - 1
    found, n = [], n >> twos
    eights = twos // 3 - (twos % 3 == 1 and twos > 3)
    found += [8] * eights + {0: [], 1: [2], 2: [4], 4: [4, 4]}[twos - 3 * eights]
    for factor in ODD:
        while n % factor == 0:
            found.append(factor)
            n //= factor
    return tuple(found) if n == 1 else None
