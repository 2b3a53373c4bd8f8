"""`numpy.polynomial`: series evaluated at traced points or with traced coefficients, by NumPy's own recurrences.

These are plain Python in NumPy, but for the first line, which makes bare arrays of the arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.trace.array import Traced
from payback.trace.numpy.arguments import array_of, traced_array

# One step of Clenshaw's scheme, from c1 = what has been gathered of the higher terms: what it leaves to c0 and to c1.
_Step = Callable[[Any, int, Any], tuple[Any, Any]]
_STEPS: dict[str, tuple[_Step, Callable[[Any], Any]]] = {
    "chebval": (lambda c1, n, x: (c1, c1 * (2 * x)), lambda x: x),
    "legval": (lambda c1, n, x: (c1 * ((n - 1) / n), c1 * x * ((2 * n - 1) / n)), lambda x: x),
    "hermval": (lambda c1, n, x: (c1 * (2 * (n - 1)), c1 * (2 * x)), lambda x: x * 2),
    "hermeval": (lambda c1, n, x: (c1 * (n - 1), c1 * x), lambda x: x),
    "lagval": (lambda c1, n, x: ((c1 * (n - 1)) / n, (c1 * ((2 * n - 1) - x)) / n), lambda x: 1 - x),
}


def _arguments(x: Any, c: Any, tensor: bool) -> tuple[Any, Any]:
    c = array_of(c)
    c = c.reshape((1,)) if not c.ndim else c
    c = c if c.dtype.kind == "f" else c.astype(float)
    x = np.asarray(x) if isinstance(x, (tuple, list)) else x
    return x, c.reshape(c.shape + (1,) * np.ndim(x)) if tensor and np.ndim(x) else c


def _clenshaw(name: str) -> Any:
    step, first = _STEPS[name]

    def evaluate(x: Any, c: Any, tensor: bool = True) -> Any:
        x, c = _arguments(x, c, tensor)
        count = c.shape[0]
        if count == 1:
            return c[0] + 0 * x
        c0, c1 = c[count - 2], c[count - 1]
        for k in range(count - 3, -1, -1):
            lower, higher = step(c1, k + 2, x)
            c0, c1 = c[k] - lower, c0 + higher
        return c0 + c1 * first(x)

    return evaluate


def polyval(x: Any, c: Any, tensor: bool = True) -> Any:
    """Horner's scheme, the lowest power first."""
    x, c = _arguments(x, c, tensor)
    made = c[c.shape[0] - 1] + x * 0
    for k in range(c.shape[0] - 2, -1, -1):
        made = c[k] + made * x
    return made


def polyvander(x: Any, deg: int) -> Any:
    if deg < 0:
        raise ValueError("deg must be non-negative")
    x = traced_array(x)
    x = x.reshape((1,)) if not x.ndim else x
    powers: list[Any] = [x * 0 + 1]
    for _ in range(deg):
        powers.append(powers[-1] * x)
    return np.stack(powers, axis=-1)


def mapdomain(x: Any, old: Any, new: Any) -> Any:
    """From one interval to another: `Polynomial(c)(x)` begins so."""
    old, new = (part if isinstance(part, Traced) else np.asarray(part) for part in (old, new))
    length = old[1] - old[0]
    return (old[1] * new[0] - old[0] * new[1]) / length + ((new[1] - new[0]) / length) * x


FUNCTIONS: dict[str, dict[str, Any]] = {
    "numpy.polynomial.polyutils": {"mapdomain": mapdomain},
    "numpy.polynomial.polynomial": {"polyval": polyval, "polyvander": polyvander},
    "numpy.polynomial.chebyshev": {"chebval": _clenshaw("chebval")},
    "numpy.polynomial.legendre": {"legval": _clenshaw("legval")},
    "numpy.polynomial.hermite": {"hermval": _clenshaw("hermval")},
    "numpy.polynomial.hermite_e": {"hermeval": _clenshaw("hermeval")},
    "numpy.polynomial.laguerre": {"lagval": _clenshaw("lagval")},
}
