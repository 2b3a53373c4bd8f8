"""`scipy.fft`: discrete cosine and sine transforms of types 1 to 4 on traced values, by Fourier transforms.

(J. Makhoul, A fast cosine transform in one and two dimensions, 1980, for types 2 and 3.)  A sine transform is a cosine
transform of what is turned around, or has its signs changed in turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.trace.complex import fourier
from payback.trace.complex.numbers import Complex, pair_of
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import array_of, axis_of
from payback.trace.numpy.map import astype
from payback.trace.tree import is_complex

# Unnormalized transforms along the last axis -------------------------------------------------------------------


def _turn(count: int, steps: float, dtype: Any) -> tuple[Any, Any]:
    """cos and sin of πk/steps."""
    angles = np.pi * np.arange(count) / steps
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def _cosine_1(x: Any) -> Any:
    """The real part of a transform of x and its mirror image."""
    n = x.shape[-1]
    if n < 2:
        raise ValueError("DCT-I is not defined for size < 2")  # SciPy's words
    return fourier.fft(np.concatenate([x, x[..., -2:0:-1]], axis=-1)).real[..., :n]


def _cosine_2(x: Any) -> Any:
    """2·Σ xₙ·cos(πk(2n + 1)/2N): even places, then odd ones backwards, and a twist."""
    n = x.shape[-1]
    z = fourier.fft(np.concatenate([x[..., ::2], x[..., 1::2][..., ::-1]], axis=-1))
    cosine, sine = _turn(n, 2 * n, x.dtype)
    return 2.0 * (z.real * cosine + z.imag * sine)


def _cosine_3(x: Any) -> Any:
    """x₀ + 2·Σ xₙ·cos(π(2k + 1)n/2N): 2N times the inverse of the second."""
    n = x.shape[-1]
    cosine, sine = _turn(n, 2 * n, x.dtype)
    other = np.concatenate([np.zeros((*x.shape[:-1], 1), x.dtype), x[..., :0:-1]], axis=-1)
    z = fourier.ifft(Complex(x * cosine + other * sine, x * sine - other * cosine), norm="forward").real
    half = (n + 1) // 2
    both = np.stack([z[..., : n - half], z[..., half:][..., ::-1]], axis=-1)  # odd places were turned around
    made = np.reshape(both, (*x.shape[:-1], 2 * (n - half)))
    return made if n % 2 == 0 else np.concatenate([made, z[..., half - 1 : half]], axis=-1)


def _cosine_4(x: Any) -> Any:
    """2·Σ xₙ·cos(π(2k + 1)(2n + 1)/4N)."""
    n = x.shape[-1]
    cosine, sine = _turn(n, 2 * n, x.dtype)
    z = fourier.fft(Complex(x * cosine, -(x * sine)), 2 * n)
    cosine, sine = _turn(2 * n + 1, 4 * n, x.dtype)
    return 2.0 * (z.real[..., :n] * cosine[1::2] + z.imag[..., :n] * sine[1::2])


def _sine_1(x: Any) -> Any:
    """The imaginary part of a transform of x and its negative mirror image."""
    n = x.shape[-1]
    none = np.zeros((*x.shape[:-1], 1), x.dtype)
    return -fourier.fft(np.concatenate([none, x, none, -x[..., ::-1]], axis=-1)).imag[..., 1 : n + 1]


def _in_turns(x: Any) -> Any:
    return x * np.where(np.arange(x.shape[-1]) % 2, -1, 1).astype(x.dtype)


_COSINES = {1: _cosine_1, 2: _cosine_2, 3: _cosine_3, 4: _cosine_4}
_SINES = {
    1: _sine_1,
    2: lambda x: _cosine_2(_in_turns(x))[..., ::-1],
    3: lambda x: _in_turns(_cosine_3(x[..., ::-1])),
    4: lambda x: _in_turns(_cosine_4(x[..., ::-1])),
}


# with norms, along any axes -------------------------------------------------------------------------------------


def _ends(x: Any, first: float, last: float) -> Any:
    factors = np.ones(x.shape[-1], x.dtype)
    factors[0] *= first
    factors[-1] *= last
    return x * factors


def _one(x: Any, sine: bool, inverse: bool, kind: int, n: Any, axis: int, norm: Any, orthogonal: Any) -> Any:
    if is_complex(x):
        return Complex(*(_one(p, sine, inverse, kind, n, axis, norm, orthogonal) for p in pair_of(x)))
    x = array_of(x)
    if x.dtype not in (np.float32, np.float64):
        x = astype(x, np.float64)
    axis = axis_of(axis, x.ndim)
    x = np.moveaxis(x, axis, -1)
    length = x.shape[-1]
    if n is not None and n != length:
        x = x[..., :n] if n < length else np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, n - length)])
    n = x.shape[-1]
    if kind not in _COSINES or norm not in (None, "backward", "ortho", "forward") or n < 1:
        raise InputError(f"a transform of type {kind!r} of {n} numbers with norm={norm!r}", where=here(),
                         why="types are 1 to 4, norms backward, ortho and forward",
                         fix="give one of them")  # fmt: skip
    kind = {2: 3, 3: 2}.get(kind, kind) if inverse else kind
    orthogonal = norm == "ortho" if orthogonal is None else orthogonal
    root = math.sqrt(2.0)
    last = root if sine else 1.0  # which of the ends is twice the others
    first = 1.0 if sine else root
    if orthogonal and (kind == 3 or (kind == 1 and not sine)):
        x = _ends(x, root, root) if kind == 1 else _ends(x, first, last)
    made = (_SINES if sine else _COSINES)[kind](x)
    if orthogonal and (kind == 2 or (kind == 1 and not sine)):
        made = _ends(made, 1 / root, 1 / root) if kind == 1 else _ends(made, 1 / first, 1 / last)
    count = 2.0 * (n + (0 if kind != 1 else 1 if sine else -1))
    scale = count**-0.5 if norm == "ortho" else 1.0 / count if inverse == (norm != "forward") else 1.0
    return np.moveaxis(made if scale == 1.0 else made * scale, -1, axis)


def _along_one(sine: bool, inverse: bool) -> Callable[..., Any]:
    def of(x: Any, type: Any = 2, n: Any = None, axis: int = -1, norm: Any = None, overwrite_x: Any = False,
           workers: Any = None, orthogonalize: Any = None) -> Any:  # fmt: skip
        return _one(x, sine, inverse, type, n, axis, norm, orthogonalize)

    return of


def _along_several(sine: bool, inverse: bool) -> Callable[..., Any]:
    def of(x: Any, type: Any = 2, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: Any = False,
           workers: Any = None, orthogonalize: Any = None) -> Any:  # fmt: skip
        axes = [axes] if isinstance(axes, int) else axes
        counts = [s] if isinstance(s, int) else s
        axes = list(range(-len(counts), 0) if counts is not None else range(np.ndim(x))) if axes is None else list(axes)
        for axis, n in zip(axes, counts if counts is not None else [None] * len(axes), strict=True):
            x = _one(x, sine, inverse, type, None if n == -1 else n, axis, norm, orthogonalize)
        return x

    return of


_MAKERS = {"": _along_one, "n": _along_several}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    f"{'i' * inverse}d{'s' if sine else 'c'}t{several}": make(sine, inverse)
    for sine in (False, True) for inverse in (False, True) for several, make in _MAKERS.items()
}  # fmt: skip
