"""`numpy.polynomial`: arithmetic, derivatives, integrals, fits and roots of series with traced coefficients.

What is linear in the coefficients is a product with a matrix that NumPy's own function gives of unit vectors, products
likewise; roots are eigenvalues of the companion matrix.  The classes are NumPy's with these functions for their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.polynomial as of_numpy

from payback.errors import UnsupportedError
from payback.trace.array import Traced, plain
from payback.trace.complex.factorizations import eigenvalues
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import array_of
from payback.trace.numpy.polynomials import least_squares
from payback.trace.numpy.series_values import FUNCTIONS as VALUES
from payback.trace.numpy.series_values import polyvander

# what NumPy gives real roots where all of them are, though its eigenvalues are complex since NumPy 2.5
_REAL_ROOTS = ("poly", "herm", "lag")
# the name of a module, of its class, and what the names of its functions begin with
_FAMILIES = {
    "polynomial": ("Polynomial", "poly"), "chebyshev": ("Chebyshev", "cheb"), "legendre": ("Legendre", "leg"),
    "hermite": ("Hermite", "herm"), "hermite_e": ("HermiteE", "herme"), "laguerre": ("Laguerre", "lag"),
}  # fmt: skip


def _coefficients(c: Any) -> Any:
    c = array_of(c)
    c = np.reshape(c, (1,)) if not c.ndim else c
    return c if c.dtype.kind == "f" else c.astype(float)


def _padded(c: Any, size: int) -> Any:
    return np.concatenate([c, np.zeros((size - c.shape[0], *c.shape[1:]), c.dtype)]) if c.shape[0] < size else c


def _sum(sign: float) -> Callable[[Any, Any], Any]:
    def total(c1: Any, c2: Any) -> Any:
        c1, c2 = _coefficients(c1), _coefficients(c2)
        size = max(c1.shape[0], c2.shape[0])
        return _padded(c1, size) + sign * _padded(c2, size)

    return total


class _Family:
    """The functions of one module of NumPy's."""

    def __init__(self, module: str):
        self.kind, self.prefix = _FAMILIES[module]
        self.module = getattr(of_numpy, module)
        self.value = VALUES[f"numpy.polynomial.{module}"][f"{self.prefix}val"]

    def of_numpy(self, name: str) -> Any:
        return vars(self.module)[f"{self.prefix}{name}"]

    def multiply(self, c1: Any, c2: Any) -> Any:
        c1, c2 = _coefficients(c1), _coefficients(c2)
        if self.prefix == "poly":
            return np.convolve(c1, c2)
        return np.einsum("i,j,ijk->k", c1, c2, self._products(c1.shape[0], c2.shape[0]))

    @functools.lru_cache(maxsize=16)  # noqa: B019 (there are six families, kept for ever)
    def _products(self, m: int, n: int) -> Any:
        made = np.zeros((m, n, m + n - 1))
        for i in range(m):
            for j in range(n):
                one = self.of_numpy("mul")(np.eye(m)[i], np.eye(n)[j])
                made[i, j, : len(one)] = one
        return made

    def power(self, c: Any, pow: Any, maxpower: Any = None) -> Any:
        made = _coefficients(1.0)
        for _ in range(int(pow)):
            made = self.multiply(made, c)
        return made

    def divide(self, c1: Any, c2: Any) -> Any:
        c1, c2 = _coefficients(c1), _coefficients(c2)
        if c2.shape[0] == 1:
            return c1 / c2, np.zeros(1)
        if self.prefix != "poly":
            raise UnsupportedError(f"a quotient of {self.kind} series with traced coefficients", where=here(),
                                   why="the division is by NumPy's loop", fix="convert them to Polynomial")  # fmt: skip
        quotient, rest = np.polydiv(c1[::-1], c2[::-1])
        return quotient[::-1], rest[::-1]

    def derivative(self, c: Any, m: int = 1, scl: Any = 1, axis: int = 0) -> Any:
        return self._mapped("der", c, axis, m, scl)

    def integral(self, c: Any, m: int = 1, k: Any = (), lbnd: Any = 0, scl: Any = 1, axis: int = 0) -> Any:
        c = np.moveaxis(_coefficients(c), axis, 0)
        made = self._mapped("int", c, 0, m, [], lbnd, scl)
        constants = self.of_numpy("int")(np.zeros(c.shape[0]), m, list(np.atleast_1d(k)), lbnd, scl)
        return np.moveaxis(made + np.reshape(constants, (-1,) + (1,) * (made.ndim - 1)), 0, axis)

    def _mapped(self, name: str, c: Any, axis: int, *how: Any) -> Any:
        c = np.moveaxis(_coefficients(c), axis, 0)
        return np.moveaxis(np.tensordot(self.of_numpy(name)(np.eye(c.shape[0]), *how), c, 1), 0, axis)

    def vandermonde(self, x: Any, deg: int) -> Any:
        if not isinstance(x, Traced):
            return self.of_numpy("vander")(x, deg)
        if self.prefix == "poly":
            return polyvander(x, deg)
        return np.stack([self.value(x, row) for row in np.eye(deg + 1)], axis=-1)

    def fit(self, x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None) -> Any:
        """Least squares."""
        if np.ndim(deg) or full:
            raise UnsupportedError(f"{self.prefix}fit of traced values with full=True or several degrees", where=here(),
                                   fix="give one degree, and compute the residuals from the fit")  # fmt: skip
        x, y = array_of(x) + 0.0, array_of(y) + 0.0
        return least_squares(x, self.vandermonde(x, int(deg)), y, w, rcond)

    def companion(self, c: Any) -> Any:
        """NumPy's matrix, which is linear in the coefficients over the last one."""
        c, n = _coefficients(c), len(c) - 1
        last = np.eye(n + 1)[n]
        base = self.of_numpy("companion")(last)
        moved = np.stack([self.of_numpy("companion")(last + row) - base for row in np.eye(n + 1)[:n]])
        return base + np.tensordot(c[:n] / c[n], moved, 1)

    def roots(self, c: Any) -> Any:
        c = _coefficients(c)
        there = np.flatnonzero(plain(c))  # leading zeros are left away
        c = c[: there[-1] + 1] if there.size else c[:1]
        if c.shape[0] < 2:
            return np.array([])
        companion = self.companion(c)[::-1, ::-1]
        found = (eigenvalues if self.prefix in _REAL_ROOTS else np.linalg.eigvals)(companion)
        bare = np.asarray(plain(found.real)) + (0 if isinstance(found, Traced) else 1j * np.asarray(plain(found.imag)))
        return found[np.argsort(bare)]

    # of several variables, and from other forms ----------------------------------------------------------------

    def at_points(self, *places_and_c: Any) -> Any:
        """One point for each entry."""
        *places, c = places_and_c
        x, *others = (array_of(place) for place in places)
        if any(other.shape != x.shape for other in others):
            raise ValueError("x, y are incompatible" if len(others) == 1 else "x, y, z are incompatible")
        c = self.value(x, c)
        for other in others:
            c = self.value(other, c, False)
        return c

    def on_grid(self, *places_and_c: Any) -> Any:
        *places, c = places_and_c
        for place in places:
            c = self.value(array_of(place), c)
        return c

    def vandermonde_of_all(self, *places_and_degrees: Any) -> Any:
        *places, degrees = places_and_degrees
        count = len(places)
        made: Any = 1.0
        for k, (place, degree) in enumerate(zip(places, degrees, strict=True)):
            one = self.vandermonde(array_of(place), degree)
            made = made * np.reshape(one, (*one.shape[:-1], *((1,) * k), -1, *((1,) * (count - 1 - k))))
        return np.reshape(made, (*made.shape[:-count], -1))

    def from_roots(self, roots: Any) -> Any:
        """As NumPy multiplies: sorted, in pairs that lie half of them apart."""
        roots = np.sort(_coefficients(roots))
        line = self.of_numpy("line")
        factors = [line(0, 1) + root * (line(-1, 1) - line(0, 1)) for root in roots]
        while len(factors) > 1:
            half, odd = divmod(len(factors), 2)
            made = [self.multiply(factors[k], factors[k + half]) for k in range(half)]
            if odd:
                made[0] = self.multiply(made[0], factors[-1])
            factors = made
        return factors[0] if factors else np.ones(1)

    def converted(self, name: str) -> Callable[[Any], Any]:
        """Coefficients in another basis: a product with the matrix that NumPy's function makes of unit vectors."""

        def convert(c: Any) -> Any:
            c = _coefficients(c)
            rows = [_padded(vars(self.module)[name](row), c.shape[0]) for row in np.eye(c.shape[0])]
            return c @ np.stack(rows)

        return convert

    # the class --------------------------------------------------------------------------------------------------

    @functools.cached_property
    def series(self) -> Any:
        """NumPy's class, of traced coefficients."""
        original = getattr(of_numpy, self.kind)

        class Series(original):
            def __init__(self, coef: Any, domain: Any = None, window: Any = None, symbol: str = "x"):
                self.coef = np.reshape(_coefficients(coef), (-1,))
                self.domain = original.domain if domain is None else np.asarray(domain)
                self.window = original.window if window is None else np.asarray(window)
                self._symbol = symbol

            _add, _sub = staticmethod(_sum(1.0)), staticmethod(_sum(-1.0))
            _mul, _div, _pow = staticmethod(self.multiply), staticmethod(self.divide), staticmethod(self.power)
            _val, _der, _int = staticmethod(self.value), staticmethod(self.derivative), staticmethod(self.integral)
            _roots = staticmethod(self.roots)

            def _get_coefficients(self, other: Any) -> Any:
                """Of a series of numbers, too; one of another family or domain is refused as NumPy does."""
                if type(other) is type(self) or not isinstance(other, original):
                    return super()._get_coefficients(other)
                return super()._get_coefficients(type(self)(other.coef, other.domain, other.window, other.symbol))

            def __radd__(self, other: Any) -> Any:  # of NumPy's class, too, which would not take these coefficients
                return self + other

            def __rsub__(self, other: Any) -> Any:
                return -self + other

            def __rmul__(self, other: Any) -> Any:
                return self * other

        Series.__name__, Series.__qualname__, Series.__module__ = self.kind, self.kind, original.__module__
        return Series

    def fitted(self, x: Any, y: Any, deg: Any, domain: Any = None, rcond: Any = None, full: bool = False, w: Any = None,
               window: Any = None, symbol: str = "x") -> Any:  # fmt: skip
        original = getattr(of_numpy, self.kind)
        if domain is None:
            if isinstance(x, Traced):
                raise UnsupportedError(f"{self.kind}.fit at traced places without domain=", where=here(),
                                       why="the domain would be theirs, and moves with them",
                                       fix="give domain=[low, high]")  # fmt: skip
            domain = of_numpy.polyutils.getdomain(x)
        domain = original.domain if isinstance(domain, list) and not domain else domain
        window = original.window if window is None else window
        off, scale = of_numpy.polyutils.mapparms(domain, window)
        return self.series(self.fit(off + scale * array_of(x), y, deg, rcond, full, w), domain, window, symbol)


def _class(family: _Family) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        return family.series(*args, **kwargs)

    answer.class_methods = {"fit": family.fitted}
    return answer


FUNCTIONS: dict[str, dict[str, Any]] = {"numpy.polynomial": {}}
for _module, (_kind, _prefix) in _FAMILIES.items():
    _family = _Family(_module)
    _functions = {"add": _sum(1.0), "sub": _sum(-1.0), "mul": _family.multiply, "div": _family.divide,
                  "pow": _family.power, "der": _family.derivative, "int": _family.integral, "fit": _family.fit,
                  "vander": _family.vandermonde, "companion": _family.companion, "roots": _family.roots}  # fmt: skip
    FUNCTIONS[f"numpy.polynomial.{_module}"] = {_kind: _class(_family)} | {
        f"{_prefix}{name}": function for name, function in _functions.items()
    }
    for _count in ("2d", "3d"):
        FUNCTIONS[f"numpy.polynomial.{_module}"] |= {
            f"{_prefix}val{_count}": _family.at_points, f"{_prefix}grid{_count}": _family.on_grid,
            f"{_prefix}vander{_count}": _family.vandermonde_of_all,
        }  # fmt: skip
    FUNCTIONS[f"numpy.polynomial.{_module}"] |= {f"{_prefix}fromroots": _family.from_roots} | {
        name: _family.converted(name) for name in (f"{_prefix}2poly", f"poly2{_prefix}") if _prefix != "poly"
    }
    FUNCTIONS["numpy.polynomial"][_kind] = _class(_family)
