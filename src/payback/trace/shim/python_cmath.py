"""Python's complex numbers of traced ones: `complex(re, im)` and `cmath`, which take bare numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.trace.array import Traced
from payback.trace.complex.numbers import Complex
from payback.trace.plain_arrays import now
from payback.trace.tree import is_complex


def _number(x: Any) -> Any:
    x = now(x)
    return x.item() if isinstance(x, (Traced, np.ndarray)) else x


def complex_number(real: Any, imag: Any = 0.0) -> Any:
    """`complex(real, imag)`: real + imag·i, either of which may be complex."""
    if is_complex(real) and imag == 0.0:
        return real
    if is_complex(real) or is_complex(imag):
        return real + 1j * imag
    real, imag = _number(real), _number(imag)
    return Complex(real + 0.0 * imag, imag + 0.0 * real)


def _by_numpy(function: Any) -> Callable[..., Any]:
    return lambda z, /: function(complex_number(z))


def log(z: Any, base: Any = None, /) -> Any:
    made = np.log(complex_number(z))
    return made if base is None else made / np.log(complex_number(base))


def polar(z: Any, /) -> tuple[Any, Any]:
    z = complex_number(z)
    return np.abs(z), np.angle(z)


def rect(r: Any, phi: Any, /) -> Any:
    r, phi = _number(r), _number(phi)
    return Complex(r * np.cos(phi), r * np.sin(phi))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _by_numpy(getattr(np, name)) for name in (
        "exp", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: _by_numpy(getattr(np, name.replace("a", "arc", 1))) for name in (
        "asin", "acos", "atan", "asinh", "acosh", "atanh")},
    "phase": _by_numpy(np.angle), "log": log, "polar": polar, "rect": rect,
    "isnan": _by_numpy(lambda z: np.isnan(z.real) | np.isnan(z.imag)),
}  # fmt: skip
