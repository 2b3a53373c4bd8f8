"""The operators and ufuncs of complex numbers, by their parts: see `numbers.py`."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.trace.array import Traced, stop_gradient
from payback.trace.assignment.buffer import any_traced
from payback.trace.complex.numbers import (
    NOTHING,
    Complex,
    in_dtype_of,
    is_complex,
    is_weak,
    listed,
    pair,
    pair_of,
    parts,
    product,
)
from payback.trace.dispatch import emit, here
from payback.trace.operators import HOOKS
from payback.trace.operators import METHODS as OF_ARRAYS
from payback.trace.plain_arrays import Buffered

# functions of one number ----------------------------------------------------------------------------------------


def multiply(x: Any, y: Any) -> Complex:
    """The four products; one with a part that is nothing is a zero of its sign, which may say on which side of a cut
    the result lies.
    """
    (a, b), (c, d) = parts(x), parts(y)
    (of_a, of_b), (of_c, of_d) = _sides(x), _sides(y)
    re = _both(np.subtract, _product(a, of_a, c, of_c), _product(b, of_b, d, of_d))
    im = _both(np.add, _product(a, of_a, d, of_d), _product(b, of_b, c, of_c))
    return pair(re, im)


def _sides(x: Any) -> tuple[float, float]:
    """The signs of the zeros that are meant where a part is nothing: −1j has the real part −0."""
    return (math.copysign(1.0, x.real), math.copysign(1.0, x.imag)) if type(x) is complex else (1.0, 1.0)


def _product(p: Any, of_p: float, q: Any, of_q: float) -> tuple[Any, bool]:
    """p·q, and whether it is nothing but a zero of its sign."""
    if p is not NOTHING and q is not NOTHING:
        return p * q, False
    if p is NOTHING and q is NOTHING:
        return math.copysign(0.0, of_p * of_q), True
    return _zero_of(*((q, of_p) if p is NOTHING else (p, of_q))), True


def _zero_of(x: Any, side: float = 1.0) -> Any:
    """A zero of the sign of x or of −x: of a Python number a Python number."""
    made = np.copysign(0.0, x)
    if is_weak(x):
        made = OF_ARRAYS["as_number"](made) if isinstance(made, Traced) else float(made)
    return made if side > 0 else -made


def _both(operator: Any, first: tuple[Any, bool], second: tuple[Any, bool]) -> Any:
    """The sum or difference of two products; a zero is added only where it could be seen."""
    (p, p_is_zero), (q, q_is_zero) = first, second
    if p_is_zero and q_is_zero:
        q = q if operator is np.add else -q
        for known, zero in ((p, q), (q, p)):  # −0 changes no zero, and with 0 every zero is 0
            if type(known) is float:
                return zero if math.copysign(1.0, known) < 0 else known
    if q_is_zero and not p_is_zero and _has_no_zero(p):
        return p
    if p_is_zero and not q_is_zero and _has_no_zero(q):
        return q if operator is np.add else -q
    return p - q if operator is np.subtract else p + q


def _has_no_zero(x: Any) -> bool:
    value = x.node.value if isinstance(x, Traced) else x
    return value is not None and bool(np.all(value))


def _full(x: Any) -> tuple[Any, Any]:
    """Both parts; one that is nothing is a zero of its sign."""
    re, im = (
        math.copysign(0.0, side) if part is NOTHING else part for part, side in zip(parts(x), _sides(x), strict=True)
    )
    return re, im


def _add(x: Any, y: Any) -> Complex:
    return pair(*(p + q for p, q in zip(_full(x), _full(y), strict=True)))


def _subtract(x: Any, y: Any) -> Complex:
    return pair(*(p - q for p, q in zip(_full(x), _full(y), strict=True)))


def divide(x: Any, y: Any) -> Complex:
    """As Smith's method divides: by the larger part first.  A real or imaginary y has one part only."""
    (a, b), (c, d) = _full(x), parts(y)
    re_side, im_side = _sides(y)
    if d is NOTHING:
        return pair(_beside(a, b, c, im_side) / c, _beside(b, a, c, -im_side) / c)
    if c is NOTHING:
        return pair(_beside(b, a, d, re_side) / d, _beside(-a, b, d, re_side) / d)
    a, b = in_dtype_of(c, a), in_dtype_of(c, b)
    first = np.abs(stop_gradient(c)) >= np.abs(stop_gradient(d))
    larger, smaller = _chosen(first, c, d), _chosen(first, d, c)
    if _has_no_zero(larger):
        ratio = smaller / larger
    else:  # of x/0 the parts are divided by 0
        nothing = larger == 0
        ratio = smaller / _chosen(nothing, in_dtype_of(larger, 1.0), larger)
    length = larger + smaller * ratio
    re = _chosen(first, a, b) + _chosen(first, b, a) * ratio
    im = _chosen(first, b, -a) + _chosen(first, -a, b) * ratio
    return pair(re / length, im / length)


def _beside(p: Any, q: Any, divisor: Any, side: float) -> Any:
    """p + q·(0/divisor), or −0: the zero is one of that sign."""
    if _has_no_zero(p):
        return p
    if type(divisor) in (int, float):
        return p + _zero_of(q, side * math.copysign(1.0, divisor))
    return p + _zero_of(q, side) * np.copysign(1.0, divisor)


def _chosen(first: Any, p: Any, q: Any) -> Any:
    if isinstance(first, Traced):
        return emit("select", first, p, q)
    return np.where(first, p, q) if np.shape(first) else p if first else q


def _reciprocal(z: Any) -> Complex:
    a, b = pair_of(z)
    size = stop_gradient(np.maximum(np.abs(a), np.abs(b)))
    a, b = a / size, b / size
    length = (a * a + b * b) * size
    return Complex(a / length, -b / length)


def _exp(z: Any) -> Complex:
    a, b = pair_of(z)
    size = 1.0 if _is_sign(a) else np.exp(a)
    return pair(size * np.cos(b), size * np.sin(b))


def _is_sign(part: Any) -> bool:
    """Whether it is nothing but the sign of a zero, as the real part of 1j·x is."""
    if not isinstance(part, Traced) or part.node.op.name != "copysign":
        return False
    size = part.node.args[0].value
    return size is not None and not np.any(size)


def _log(z: Any) -> Complex:
    if type(z) in (int, float, complex):  # a Python number, whose logarithm is one
        return pair(*parts(cmath.log(z)))
    a, b = pair_of(z)
    return Complex(np.log(np.hypot(a, b)), np.arctan2(b, a))


def _scaled(z: Complex, factor: float) -> Complex:
    return Complex(z.re * factor, z.im * factor)


def _sqrt(z: Any) -> Complex:
    """From the part that is computed without cancellation the other one follows.

    No sign is differentiated: at 0 it has a side, and the roots beside have one slope.
    """
    a, b = pair_of(z)
    right, side = stop_gradient(a) >= 0, np.copysign(1.0, stop_gradient(b))
    larger = np.sqrt(0.5 * np.hypot(a, b) + 0.5 * np.where(right, a, -a))
    somewhere = stop_gradient(larger) > 0
    smaller = np.where(somewhere, 0.5 * b * side / np.where(somewhere, larger, 1.0), 0.0)
    return pair(np.where(right, larger, smaller), np.where(right, smaller, larger) * side)


def _power(x: Any, y: Any) -> Any:
    exponent = y if isinstance(y, (int, float, np.integer, np.floating)) else None
    if isinstance(y, (complex, np.complexfloating)) and not y.imag and y.real.is_integer():
        exponent = y.real
    if exponent == -1 and exponent is y:
        return _reciprocal(x)
    if exponent is not None and float(exponent).is_integer() and abs(exponent) < 100:  # as NumPy does
        return repeated(multiply, x, int(exponent), None if 0 <= exponent <= 3 else 1.0)
    if exponent == 0.5:
        return _sqrt(x)
    if type(x) in (int, float) and x == 0:
        return pair(*_power_of_nothing(y))
    if exponent is not None and exponent <= 1:
        return _exp(multiply(y, _log(x)))
    if type(x) in (int, float) and not _is_weak(y):
        x = in_dtype_of(pair_of(y)[0], x)
    re, im = pair_of(x)
    if _has_no_zero(re) or _has_no_zero(im):
        return _exp(multiply(y, _log(x)))
    nothing = (re == 0) & (im == 0)
    flat = (0.0, 0.0) if exponent is not None else _power_of_nothing(y)  # what the power is there; it has no slope
    made = _exp(multiply(y, _log(Complex(_chosen(nothing, in_dtype_of(re, 1.0), re), im))))
    return Complex(*(_chosen(nothing, _in_dtype(in_dtype_of(part, there), part.dtype), part)
                     for part, there in zip((made.re, made.im), flat, strict=True)))  # fmt: skip


def _power_of_nothing(y: Any) -> tuple[Any, Any]:
    a, b = pair_of(y)
    defined = (a > 0) | ((a == 0) & (b == 0))
    return np.where(defined, np.where(a == 0, 1.0, 0.0), np.nan), np.where(defined, 0.0, np.nan)


def repeated(times: Callable[[Any, Any], Any], x: Any, count: int, made: Any = None) -> Any:
    """x·x·…·x by squares, or one over it; the first factor is `made` if it is given."""
    if count < 0:
        return divide(1.0, repeated(times, x, -count, made))
    while count:
        if count & 1:
            made = x if made is None else times(made, x)
        count >>= 1
        x = times(x, x) if count else x
    return +made if made is not None else pair(np.ones_like(parts(x)[0]), NOTHING)


def _turned(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """sin and the like: f(z) = −i·g(i·z) of the hyperbolic g."""

    def of(z: Any) -> Any:
        a, b = pair_of(z)
        made = f(Complex(-b, a))
        return Complex(made.im, -made.re)

    return of


def _sinh(z: Any) -> Complex:
    a, b = pair_of(z)
    return Complex(np.sinh(a) * np.cos(b), np.cosh(a) * np.sin(b))


def _cosh(z: Any) -> Complex:
    a, b = pair_of(z)
    return Complex(np.cosh(a) * np.cos(b), np.sinh(a) * np.sin(b))


def _tanh(z: Any) -> Complex:
    """tanh(a + ib) = (t·(1 + u²) + i·u·(1 − t²)) / (1 + t²u²), t = tanh a, u = tan b: by sin and cos, so at any b."""
    a, b = pair_of(z)
    t, s, c = np.tanh(a), np.sin(b), np.cos(b)
    length = c * c + (t * s) ** 2
    return Complex(t / length, s * c * (1 - t) * (1 + t) / length)


def _expm1(z: Any) -> Complex:
    """By parts that keep their digits near 0: cos b − 1 is −2·sin²(b/2)."""
    a, b = pair_of(z)
    half = np.sin(b / 2)
    return Complex(np.expm1(a) * np.cos(b) - 2 * half * half, np.exp(a) * np.sin(b))


def _log1p(z: Any) -> Complex:
    """The logarithm of |1 + z|; near 0 that of its square is log1p(2a + a² + b²)."""
    a, b = pair_of(z)
    near = stop_gradient(np.maximum(np.abs(a), np.abs(b))) < 0.5
    squares = np.where(near, a * (2 + a) + b * b, 0.0)
    return Complex(np.where(near, np.log1p(squares) / 2, np.log(np.hypot(1 + a, b))), np.arctan2(b, 1 + a))


# The inverse functions on the cuts that NumPy has: Kahan, Branch Cuts for Complex Elementary Functions (1987).


def _roots(z: Any) -> tuple[Complex, Complex]:
    """√(1 − z) and √(1 + z)."""
    a, b = pair_of(z)
    return _sqrt(Complex(1 - a, -b)), _sqrt(Complex(1 + a, b))


def _arcsin(z: Any) -> Complex:
    below, above = _roots(z)
    return Complex(np.arctan2(pair_of(z)[0], below.re * above.re - below.im * above.im),
                   np.arcsinh(below.re * above.im - below.im * above.re))  # fmt: skip


def _arccos(z: Any) -> Complex:
    below, above = _roots(z)
    return Complex(2 * np.arctan2(below.re, above.re), np.arcsinh(above.re * below.im - above.im * below.re))


def _arccosh(z: Any) -> Complex:
    a, b = pair_of(z)
    below, above = _sqrt(Complex(a - 1, b)), _sqrt(Complex(a + 1, b))
    return Complex(np.arcsinh(below.re * above.re + below.im * above.im), 2 * np.arctan2(below.im, above.re))


def _arctanh(z: Any) -> Complex:
    a, b = pair_of(z)
    side = np.copysign(1.0, stop_gradient(a))
    far = a * side
    return Complex(side * np.log1p(4 * far / ((1 - far) * (1 - far) + b * b)) / 4,
                   np.arctan2(2 * b, (1 - a) * (1 + a) - b * b) / 2)  # fmt: skip


def _sign(z: Any) -> Any:
    """z/|z|, and 0 at 0."""
    a, b = pair_of(z)
    length = np.hypot(a, b)
    length = np.where(length == 0, 1.0, length)
    return Complex(a / length, b / length)


def _cos(z: Any) -> Complex:
    a, b = pair_of(z)
    return _cosh(Complex(-b, a))


def _parts_alike(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def of(x: Any, y: Any) -> Any:
        return f(pair_of(x), pair_of(y))

    return of


def _in_order(compare: Any) -> Callable[[Any, Any], Any]:
    """By the real parts, and where they are equal by the imaginary ones."""
    strictly = np.greater if compare in (np.greater, np.greater_equal) else np.less
    return _parts_alike(lambda x, y: strictly(x[0], y[0]) | ((x[0] == y[0]) & compare(x[1], y[1])))


_UFUNCS: dict[Any, Callable[..., Any]] = {
    **{compare: _in_order(compare) for compare in (np.greater, np.greater_equal, np.less, np.less_equal)},
    np.add: _add, np.subtract: _subtract,
    np.multiply: multiply, np.true_divide: divide, np.power: _power,
    np.matmul: lambda x, y: pair(*product(np.matmul, x, y)),
    np.square: lambda z: multiply(z, z), np.reciprocal: _reciprocal,
    np.negative: lambda z: -z, np.positive: lambda z: +z, np.conjugate: lambda z: Complex(+z.re, -z.im),
    np.absolute: lambda z: np.hypot(z.re, z.im),
    np.exp: _exp, np.log: _log, np.sqrt: _sqrt, np.sinh: _sinh, np.cosh: _cosh, np.tanh: _tanh,
    np.sin: _turned(_sinh), np.cos: _cos, np.tan: _turned(_tanh),
    np.log10: lambda z: _scaled(_log(z), 1 / math.log(10.0)), np.log2: lambda z: _scaled(_log(z), 1 / math.log(2.0)),
    np.expm1: _expm1, np.log1p: _log1p, np.exp2: lambda z: _exp(_scaled(z, math.log(2.0))), np.sign: _sign,
    np.arcsin: _arcsin, np.arccos: _arccos, np.arccosh: _arccosh, np.arctanh: _arctanh,
    np.arcsinh: _turned(_arcsin), np.arctan: _turned(_arctanh),
    np.equal: _parts_alike(lambda x, y: (x[0] == y[0]) & (x[1] == y[1])),
    np.not_equal: _parts_alike(lambda x, y: (x[0] != y[0]) | (x[1] != y[1])),
    np.isnan: lambda z: np.isnan(z.re) | np.isnan(z.im), np.isinf: lambda z: np.isinf(z.re) | np.isinf(z.im),
    np.isfinite: lambda z: np.isfinite(z.re) & np.isfinite(z.im),
}  # fmt: skip
if hasattr(np, "vecdot"):
    _UFUNCS[np.vecdot] = lambda x, y: pair(*product(np.vecdot, x, y, conjugate=True))


_PROMOTING = {np.add, np.subtract, np.multiply, np.true_divide, np.power, np.matmul}


def promoted(x: Any, y: Any) -> tuple[Any, Any]:
    """Both in the real dtype that the parts of their result have in NumPy: −x of a byte is none of them."""
    x, y = (int(z) if type(z) is bool else z for z in (x, y))
    told = np.result_type(*(0j if is_complex(z) and _is_weak(z) else 0.0 if _is_weak(z) else z.dtype for z in (x, y)))
    if told.kind != "c" or (_is_weak(x) and _is_weak(y)):
        return x, y
    dtype = np.dtype(f"f{told.itemsize // 2}")
    return _in_dtype(x, dtype), _in_dtype(y, dtype)


def _is_weak(z: Any) -> bool:
    return all(part is NOTHING or is_weak(part) for part in parts(z))


def _in_dtype(z: Any, dtype: np.dtype[Any]) -> Any:
    if type(z) is Complex:
        re, im = (_in_dtype(part, dtype) for part in (z.re, z.im))
        return z if re is z.re and im is z.im else Complex(re, im)
    if isinstance(z, Traced):
        return z if z.dtype == dtype and not is_weak(z) else np.astype(z, dtype)
    if not hasattr(z, "dtype") or z.dtype == dtype or z.dtype.kind == "c":
        return z
    return np.asarray(z).astype(dtype)[()]


def answer(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc of arguments of which one at least is complex, and one is traced or may be written into."""
    out = kwargs.pop("out", None)
    bare = [x.now() if isinstance(x, (Buffered, Complex)) else x for x in inputs]
    if not any_traced(bare) and not any(type(x) is Complex for x in bare):
        made = getattr(ufunc, method)(*bare, **kwargs)
    elif method == "reduce" and ufunc in (np.add, np.multiply):
        made = (np.sum if ufunc is np.add else np.prod)(*bare, **kwargs)
    elif method == "outer" and ufunc in (np.multiply, np.add, np.subtract):
        first = listed(bare[0]) if isinstance(bare[0], (list, tuple)) else bare[0]
        made = ufunc(np.reshape(first, np.shape(first) + (1,) * np.ndim(bare[1])), bare[1])
    elif method == "at" and ufunc in (np.add, np.subtract):
        for part, change in zip((inputs[0].real, inputs[0].imag), pair_of(bare[2]), strict=True):
            ufunc.at(part, bare[1], change)
        return None
    elif method == "__call__" and ufunc in _UFUNCS and not set(kwargs) - {"order", "subok", "casting"}:
        first, *others = (listed(x) if isinstance(x, (list, tuple)) else x for x in bare)
        if others and ufunc in _PROMOTING:
            first, *others = promoted(first, *others)
        made = _UFUNCS[ufunc](first if others or type(first) is Complex else pair(*parts(first)), *others)
    elif method == "__call__" and not kwargs and (special := HOOKS["special_of_complex"](ufunc)) is not None:
        made = special(*bare)
    else:
        raise unsupported(f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}", kwargs)
    return made if out is None or out[0] is None else written(out[0], made)


def written(out: Any, made: Any) -> Any:
    """An array given as `out=`, with the result in it."""
    if not isinstance(out, (Complex, Traced, Buffered)):
        raise TraceError("traced complex numbers cannot be written into a plain array", where=here(),
                         why="the array was made before, or of plain numbers", fix="write y = x + … in place of y += …"
                         )  # fmt: skip
    out[...] = made
    return out


def unsupported(name: str, options: Any = ()) -> UnsupportedError:
    told = f" with {', '.join(f'{key}=' for key in options)}" if options else ""
    return UnsupportedError(f"{name} of traced complex numbers{told}", where=here(),
                            why="it is not written with real and imaginary parts",
                            fix="compute with x.real and x.imag, which are differentiated as any others")  # fmt: skip


def operated(row: str, a: Any, b: Any) -> Any:
    """An operator of traced values, named by its row, one operand of which is complex and plain."""
    ufunc = _OF_ROWS.get(row)
    if ufunc is None:
        raise unsupported(f"np.{row}")
    return answer(ufunc, "__call__", (a, b), {})


_OF_ROWS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "power": np.power,
            "eq": np.equal, "ne": np.not_equal, "gt": np.greater, "ge": np.greater_equal, "lt": np.less,
            "le": np.less_equal}  # fmt: skip
HOOKS["operated"] = operated
HOOKS["complex_ufunc"] = answer
