"""`scipy.stats.norm` of traced values: its densities and probabilities by functions of `scipy.special`.

SciPy's distributions are objects, whose methods look at no protocol.  While functions are traced the class of `norm`
has methods of its own, which answer for traced values and leave everything else to SciPy's.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from payback.trace.assignment.buffer import any_traced
from payback.trace.numpy.arguments import listed_or_now
from payback.trace.scipy.bodies import original

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def _logpdf(z: Any, scale: Any) -> Any:
    return -0.5 * z * z - _LOG_SQRT_2PI - np.log(scale)


def _special(name: str, sign: float = 1.0) -> Callable[[Any, Any], Any]:
    return lambda z, scale: getattr(sys.modules["scipy.special"], name)(sign * z)


# of z = (x - loc) / scale, and scale
_OF_NORM: dict[str, Callable[[Any, Any], Any]] = {
    "pdf": lambda z, scale: np.exp(-0.5 * z * z) / (math.sqrt(2 * math.pi) * scale),
    "logpdf": _logpdf,
    "cdf": _special("ndtr"), "logcdf": _special("log_ndtr"), "sf": _special("ndtr", -1.0),
    "logsf": _special("log_ndtr", -1.0),
}  # fmt: skip


def _quantile(name: str) -> Callable[..., Any]:
    sign = -1.0 if name == "isf" else 1.0
    return lambda q, loc, scale: loc + scale * sign * sys.modules["scipy.special"].ndtri(q)


def _answering(name: str, f: FunctionType) -> Callable[..., Any]:
    function = _OF_NORM.get(name)

    plainly = original(f)

    @functools.wraps(f)
    def answered(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not any_traced((x, args, kwargs)):
            return plainly(self, x, *args, **kwargs)
        names = dict(zip(("loc", "scale"), args, strict=False)) | kwargs
        if len(args) > 2 or len(names) != len(args) + len(kwargs) or not names.keys() <= {"loc", "scale"}:
            return plainly(self, x, *args, **kwargs)  # which says what is wrong
        x, loc, scale = map(listed_or_now, (x, names.get("loc", 0.0), names.get("scale", 1.0)))
        good = np.where(scale > 0, scale, np.nan)  # as SciPy, which answers NaN
        return _quantile(name)(x, loc, good) if function is None else function((x - loc) / good, good)

    return answered


def norm() -> Any:
    """The class of scipy.stats.norm, if that has been imported; or None."""
    of_scipy = sys.modules.get("scipy.stats._continuous_distns")
    return getattr(of_scipy, "norm_gen", None)


@functools.cache
def answers() -> dict[str, Any]:
    return {name: _answering(name, getattr(norm(), name)) for name in (*_OF_NORM, "ppf", "isf")}
