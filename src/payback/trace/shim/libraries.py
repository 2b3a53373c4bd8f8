"""Libraries that look at no protocol of NumPy: what answers their functions; imports during a trace."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from payback.trace.array import Traced, plain
from payback.trace.complex import factorizations, fourier, linalg  # noqa: F401 (what it answers)
from payback.trace.numpy import series_algebra, series_values
from payback.trace.numpy import strides as numpy_strides
from payback.trace.numpy.creation import LINALG
from payback.trace.scipy import cosines as scipy_cosines
from payback.trace.scipy import distributions, grids, relations, samples, scattered, sparse_solves, spectra
from payback.trace.scipy import filters as scipy_filters
from payback.trace.scipy import integrate as scipy_integrate
from payback.trace.scipy import interpolate as scipy_interpolate
from payback.trace.scipy import ivp as scipy_ivp
from payback.trace.scipy import matrices as scipy_matrices
from payback.trace.scipy import ndimage as scipy_ndimage
from payback.trace.scipy import optimize as scipy_optimize
from payback.trace.scipy import resampling as scipy_resampling
from payback.trace.scipy import rotations as scipy_rotations
from payback.trace.scipy import signal as scipy_signal
from payback.trace.scipy import spatial as scipy_spatial
from payback.trace.scipy import special as scipy_special
from payback.trace.shim import python_cmath, python_statistics
from payback.trace.shim.wrappers import caller_wrapper, class_wrapper, library_wrapper
from payback.trace.tree import tree_map

# Compiled modules that crash on what np.ascontiguousarray gives if it is no array: they see the real one, which raises.
TRUSTING = frozenset({"scipy.spatial._qhull"})

# Modules whose own formulas are traced: by the names that they use themselves, what is answered and NumPy's asarray.
FORMULAS = frozenset({"scipy.stats._continuous_distns", "scipy.stats._discrete_distns"})


@functools.cache
def numpy_of_formulas() -> ModuleType:
    made = ModuleType("numpy")
    made.__dict__.update(np.__dict__)
    made.asarray = lambda x, *args, **kwargs: x if isinstance(x, Traced) else np.asarray(x, *args, **kwargs)
    return made


_TESTS = (
    "assert_", "assert_allclose", "assert_almost_equal", "assert_approx_equal", "assert_array_almost_equal",
    "assert_array_almost_equal_nulp", "assert_array_equal", "assert_array_less", "assert_array_max_ulp", "assert_equal",
)  # fmt: skip


def _looked_at(name: str) -> Callable[..., Any]:
    """A function of numpy.testing: it looks at the numbers, and makes nothing of them."""

    def assertion(*args: Any, **kwargs: Any) -> Any:
        function = getattr(sys.modules["numpy.testing._private.utils"], name)
        args, kwargs = tree_map(lambda x: plain(x), (args, kwargs))
        return function(*args, **kwargs)

    return assertion


LIBRARIES: dict[str, dict[str, Callable[..., Any]]] = {
    "numpy.linalg": LINALG,
    "numpy.testing": {name: _looked_at(name) for name in _TESTS},
    "scipy.linalg": scipy_matrices.FUNCTIONS,
    "scipy.sparse.linalg": sparse_solves.FUNCTIONS,
    "scipy.special": scipy_special.FUNCTIONS,
    "scipy.stats": {},  # see below; its distributions: `methods.py`
    "statistics": python_statistics.FUNCTIONS,
    "cmath": python_cmath.FUNCTIONS,
    **fourier.FUNCTIONS,
    **series_values.FUNCTIONS,
    **distributions.FUNCTIONS,
    "scipy.interpolate": scipy_interpolate.FUNCTIONS | grids.FUNCTIONS | scattered.FUNCTIONS,
    **scipy_ndimage.FUNCTIONS,
    **scipy_signal.FUNCTIONS,
    **scipy_spatial.FUNCTIONS,
    **scipy_rotations.FUNCTIONS,
    **{name: {} for name in TRUSTING},
}
# of those that call functions of the user's, or are to know arrays that may come to be traced: given the original first
CALLERS: dict[str, dict[str, Callable[..., Any]]] = {
    **numpy_strides.CALLERS,
    **scipy_optimize.CALLERS,
    "scipy.integrate": scipy_integrate.CALLERS | scipy_ivp.CALLERS,
}
for _name, _answers in series_algebra.FUNCTIONS.items():
    LIBRARIES[_name] = _answers | LIBRARIES.get(_name, {})
LIBRARIES["scipy.fft"] |= scipy_cosines.FUNCTIONS
LIBRARIES["scipy.ndimage"] |= scipy_resampling.FUNCTIONS
LIBRARIES["scipy.signal"] |= scipy_filters.FUNCTIONS | samples.FUNCTIONS["scipy.signal"] | spectra.FUNCTIONS
LIBRARIES["scipy.stats"] |= samples.FUNCTIONS["scipy.stats"] | relations.FUNCTIONS
LIBRARIES["scipy.optimize"] = scipy_optimize.FUNCTIONS
LIBRARIES["scipy.integrate"] |= scipy_integrate.FUNCTIONS
LIBRARIES |= {name: LIBRARIES.get(name, {}) | callers for name, callers in CALLERS.items()}


def wrapper_of(library: str, name: str, f: Any) -> Callable[[Any, Callable[..., Any]], Any]:
    """What makes the wrapper of a library's function or class."""
    if name in CALLERS.get(library, {}):
        return caller_wrapper
    return class_wrapper if isinstance(f, type) else library_wrapper


def complete(name: str) -> ModuleType | None:
    """The library, if it has been imported to the end."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if getattr(spec, "_initializing", False) or (name == "statistics" and not _of_python(spec)):
        return None
    return module


def _of_python(spec: ModuleSpec | None) -> bool:
    """Whether it is Python's own module, and not one that a program has under the same name."""
    return bool(spec and spec.origin and os.path.dirname(spec.origin) == os.path.dirname(os.__file__))


class Watch:
    """A finder that finds nothing itself: it tells when one of the libraries has been imported.

    A function that imports one where it needs it does so in its first trace: the names must be answered at once.
    """

    def __init__(self, imported: Callable[[str, ModuleType], None]):
        self.imported = imported

    def start(self) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in LIBRARIES:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and name == "statistics" and not _of_python(spec):
                return spec
            if spec is not None and spec.loader is not None:
                spec.loader.exec_module = self._telling(name, spec.loader.exec_module)
                return spec
        return None

    def _telling(self, name: str, execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.imported(name, module)

        return exec_module
