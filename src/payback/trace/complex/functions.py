"""NumPy's functions of complex numbers, by their parts: see `numbers.py`."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.trace.assignment.buffer import any_traced
from payback.trace.complex.numbers import (
    METHODS,
    NOTHING,
    Complex,
    as_part,
    by_rows,
    pair,
    pair_of,
    parts,
    plus,
    product,
    together,
)
from payback.trace.complex.ufuncs import multiply, unsupported, written
from payback.trace.operators import HOOKS
from payback.trace.plain_arrays import Buffered
from payback.trace.tree import is_complex, tree_map

_RULES: dict[Any, Callable[..., Any]] = {}


def rule(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(f: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            _RULES[function] = f
        return f

    return register


def compute(function: Any, args: Any, kwargs: Any) -> Any:
    """A function of NumPy's of arguments some of which are complex: by numbers if none is traced."""
    if function in _VIEWING and args and type(args[0]) is Complex:  # also of numbers alone: it may be written into
        return _by_parts(function, *args, **kwargs)
    if not any(_traced(x) for x in (*args, *kwargs.values())):
        args, kwargs = tree_map(
            lambda x: x.now() if isinstance(x, (Buffered, Complex)) else x, (tuple(args), dict(kwargs))
        )
        return function(*args, **kwargs)
    args, kwargs = _named(function, args, kwargs)
    if kwargs.get("out") is not None:
        return written(kwargs.pop("out"), compute(function, args, kwargs))
    if function in _BY_PARTS:
        return _by_parts(function, *args, **kwargs)
    if function in _RULES:
        made = _RULES[function](*args, **kwargs)
        return by_rows(made) if function.__name__ in _OF_LAPACK else made
    module = (getattr(function, "__module__", "") or "numpy").replace("numpy", "np", 1)
    raise unsupported(f"{module}.{getattr(function, '__name__', function)}")


_OF_LAPACK = {"inv", "pinv", "solve", "qr", "cholesky", "eigvalsh", "svdvals", "svd"}


def _named(function: Any, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """Arguments of which those from the first one that a rule looks for are given by name."""
    names = _positional(function)[: len(args)]
    first = next((k for k, name in enumerate(names) if name in ("out", "dtype", *_BESIDE)), len(args))
    return args[:first], {**dict(zip(names[first:], args[first:], strict=True)), **kwargs}


# Functions in C, which tell their arguments from NumPy 2.4 on.
IN_C = {
    np.concatenate: ("arrays", "axis", "out"), np.dot: ("a", "b", "out"), np.inner: ("a", "b"), np.vdot: ("a", "b"),
    np.where: ("condition", "x", "y"), np.empty_like: ("prototype", "dtype", "order", "subok", "shape"),
}  # fmt: skip


@functools.lru_cache(maxsize=256)
def _positional(function: Any) -> Sequence[str]:
    if function in IN_C:
        return IN_C[function]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, one in inspect.signature(function).parameters.items() if one.kind in kinds]


def _traced(x: Any) -> bool:
    if isinstance(x, (tuple, list)):
        return any(map(_traced, x))
    return x.traced if type(x) is Complex else any_traced(x)


HOOKS["complex_function"] = compute

# What moves or adds entries does so with each part; the former by views.
_VIEWING = {
    np.reshape, np.ravel, np.transpose, np.moveaxis, np.swapaxes, np.rollaxis, np.squeeze, np.expand_dims, np.diagonal,
    np.broadcast_to, np.flip, np.fliplr, np.flipud, np.rot90, np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit,
    np.lib.stride_tricks.sliding_window_view,
}  # fmt: skip
_BY_PARTS = {
    *_VIEWING, np.roll, np.tile, np.repeat, np.sum, np.mean, np.cumsum, np.diff, np.trace, np.diag, np.diagflat,
    np.tril, np.triu, np.take, np.take_along_axis, np.delete, np.trapezoid, np.gradient, np.compress,
    np.fft.fftshift, np.fft.ifftshift, np.round,
}  # fmt: skip


_BESIDE = ("append", "prepend", "constant_values", "end_values", "initial")


def _by_parts(function: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
    """A linear function of its first argument, and of numbers that are put beside it."""
    if (dtype := kwargs.pop("dtype", None)) is not None:
        z = _astype(z, dtype)
    beside = {name: pair_of(kwargs.pop(name)) for name in _BESIDE if name in kwargs}
    if any(map(is_complex, (*args, *kwargs.values()))):
        raise unsupported(f"np.{function.__name__}")
    made = [
        function(part, *args, **kwargs, **{name: both[k] for name, both in beside.items()})
        for k, part in enumerate(pair_of(z))
    ]
    return _joined(*made)


@rule(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    if mode in ("maximum", "minimum", "median") or callable(mode):  # of the numbers, not of their parts
        raise unsupported(f"np.pad with mode={mode!r}")
    return _by_parts(np.pad, array, pad_width, mode, **kwargs)


def _joined(re: Any, im: Any) -> Any:
    if isinstance(re, (list, tuple)):
        return type(re)(map(_joined, re, im))
    return together(re, im)


def _of_each(function: Any) -> Callable[..., Any]:
    """np.atleast_1d and its kin."""

    def of(*arrays: Any) -> Any:
        made = tuple(Complex(*map(function, pair_of(x))) if is_complex(x) else function(x) for x in arrays)
        return made if len(made) != 1 else made[0]

    return of


for _function in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    _RULES[_function] = _of_each(_function)


def _of_sequence(function: Any) -> Callable[..., Any]:
    """np.stack and the like."""

    def of(arrays: Any, *args: Any, **kwargs: Any) -> Any:
        pairs = [pair_of(x) for x in arrays]
        return Complex(*(function([as_part(p[k]) for p in pairs], *args, **kwargs) for k in range(2)))

    return of


for _function in (np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack):
    _RULES[_function] = _of_sequence(_function)


_joined_arrays = _RULES[np.concatenate]


@rule(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    if axis is None:
        arr, values = np.ravel(arr), np.ravel(values)
    return _joined_arrays((arr, values), axis=0 if axis is None else axis)


@rule(np.block)
def block(arrays: Any) -> Any:
    return Complex(*(np.block(_of_nested(arrays, k)) for k in range(2)))


def _of_nested(arrays: Any, k: int) -> Any:
    return [_of_nested(x, k) for x in arrays] if isinstance(arrays, list) else as_part(pair_of(arrays)[k])


@rule(np.where)
def where(condition: Any, x: Any, y: Any) -> Any:
    return Complex(*(np.where(condition, p, q) for p, q in zip(pair_of(x), pair_of(y), strict=True)))


@rule(np.real)
def real(z: Any) -> Any:
    return z.real


@rule(np.imag)
def imag(z: Any) -> Any:
    return z.imag


@rule(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    made = np.arctan2(z.im, z.re)
    return np.degrees(made) if deg else made


@rule(np.shape)
def shape(z: Any) -> tuple[int, ...]:
    return np.shape(pair_of(z)[0])


@rule(np.ndim)
def ndim(z: Any) -> int:
    return len(shape(z))


@rule(np.size)
def size(z: Any, axis: Any = None) -> int:
    return math.prod(shape(z) if axis is None else (shape(z)[axis],))


_RULES[np.iscomplexobj] = lambda z: True
_RULES[np.isrealobj] = lambda z: False
_RULES[np.isreal] = lambda z: pair_of(z)[1] == 0
_RULES[np.iscomplex] = lambda z: pair_of(z)[1] != 0


@rule(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    (re, im), (others_re, others_im) = pair_of(a), pair_of(b)
    finite = np.isfinite(others_re) & np.isfinite(others_im)
    near = np.abs(a - b) <= atol + rtol * np.abs(b)
    near = near & finite | (re == others_re) & (im == others_im)
    if equal_nan:
        near = near | (np.isnan(re) | np.isnan(im)) & (np.isnan(others_re) | np.isnan(others_im))
    return near


@rule(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> bool:
    return bool(np.all(isclose(a, b, rtol, atol, equal_nan)))


@rule(np.real_if_close)
def real_if_close(a: Any, tol: Any = 100) -> Any:
    im = pair_of(a)[1]
    if tol > 1:
        tol = tol * np.finfo(a.dtype).eps
    return np.real(a) if np.all(np.abs(im) < tol) else a


_RULES[np.copy] = lambda z, order="K", subok=False: HOOKS["complex_array"](z)


@rule(np.zeros_like, np.empty_like)
def zeros_like(z: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    return buffered(np.zeros(z.shape if shape is None else shape, dtype or z.dtype))


@rule(np.ones_like)
def ones_like(z: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any) -> Any:
    return buffered(np.ones(z.shape if shape is None else shape, dtype or z.dtype))


def buffered(made: Any) -> Any:
    return HOOKS["complex_buffer"](made) if made.dtype.kind == "c" else HOOKS["buffer"](made)


# products -------------------------------------------------------------------------------------------------------


def _bilinear(function: Any) -> Callable[..., Any]:
    def of(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
        return pair(*product(lambda x, y: function(x, y, *args, **kwargs), a, b))

    return of


for _function in (np.dot, np.inner, np.outer, np.tensordot, np.kron, np.convolve, np.cross):
    _RULES[_function] = _bilinear(_function)
_RULES[np.vdot] = lambda a, b: pair(*product(np.dot, np.ravel(a), np.ravel(b), conjugate=True))
for _name in ("matmul", "outer", "tensordot", "cross"):
    if (_function := getattr(np.linalg, _name, None)) is not None:
        _RULES[_function] = _bilinear(_function)


@rule(np.linalg.multi_dot)
def multi_dot(arrays: Any) -> Any:
    return functools.reduce(np.dot, arrays)


@rule(np.einsum)
def einsum(formula: Any, *operands: Any, **options: Any) -> Any:
    """The sum over which operands give their imaginary part: i to the power of how many they are."""
    if not isinstance(formula, str):
        raise unsupported("np.einsum with lists of axes")
    if len(operands) == 1:  # which may be a view
        return Complex(*(np.einsum(formula, part, **options) for part in pair_of(operands[0])))
    sums: list[Any] = [NOTHING] * 4
    chosen: list[tuple[int, list[Any]]] = [(0, [])]
    for operand in operands:
        re, im = parts(operand)
        chosen = [
            (turns + k, [*before, as_part(part)])
            for turns, before in chosen
            for k, part in enumerate((re, im))
            if part is not NOTHING
        ]
    for turns, given in chosen:
        sums[turns % 4] = plus(sums[turns % 4], np.einsum(formula, *given, **options))
    return pair(
        *(a if b is NOTHING else -b if a is NOTHING else a - b for a, b in zip(sums[:2], sums[2:], strict=True))
    )


@rule(np.prod)
def prod(z: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None,
         where: Any = True) -> Any:  # fmt: skip
    """By halves, so that no long chain is made."""
    z = z if where is True else np.where(where, z, 1)
    z = z if dtype is None else _astype(z, dtype)
    if axis is not None and not isinstance(axis, (int, np.integer)):
        raise unsupported("np.prod over several axes")
    ndim = z.ndim
    z = np.ravel(z) if axis is None else np.moveaxis(z, axis, 0)
    if not len(z):
        made = pair(np.ones(z.shape[1:]), NOTHING)
    else:
        while len(z) > 1:
            half = len(z) // 2
            both = multiply(z[:half], z[half : 2 * half])
            z = np.concatenate([both, z[2 * half :]]) if len(z) % 2 else both
        made = z[0]
    if initial is not None and initial is not np._NoValue:
        made = made * initial
    if keepdims is True:
        return np.reshape(made, (1,) * ndim) if axis is None else np.expand_dims(made, axis)
    return made


@rule(np.cumprod)
def cumprod(z: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    z = z if dtype is None else _astype(z, dtype)
    z = np.ravel(z) if axis is None else np.moveaxis(z, axis, 0)
    made = [z[0]]
    for k in range(1, len(z)):
        made.append(multiply(made[-1], z[k]))
    whole = np.stack(made)
    return whole if axis is None else np.moveaxis(whole, 0, axis)


@rule(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    made: Any = 0.0
    for coefficient in p:
        made = made * x + coefficient
    return made


@rule(np.var)
def var(z: Any, axis: Any = None, dtype: Any = None, out: Any = None, *args: Any, **kwargs: Any) -> Any:
    if "mean" in kwargs:
        raise unsupported("np.var", ["mean"])
    z = z if dtype is None else _astype(z, dtype)
    return sum(np.var(part, axis, None, None, *args, **kwargs) for part in pair_of(z))


@rule(np.std)
def std(*args: Any, **kwargs: Any) -> Any:
    return np.sqrt(var(*args, **kwargs))


# methods --------------------------------------------------------------------------------------------------------


def _of_function(function: Any) -> Callable[..., Any]:
    return lambda z, *args, **kwargs: function(z, *args, **kwargs)


for _name in ("sum", "mean", "prod", "cumsum", "cumprod", "var", "std", "trace", "diagonal", "squeeze", "ravel",
              "swapaxes", "repeat", "take", "dot", "compress"):  # fmt: skip
    METHODS[_name] = _of_function(getattr(np, _name))


METHODS["reshape"] = lambda z, *shape, **how: np.reshape(z, shape[0] if len(shape) == 1 else shape, **how)
METHODS["transpose"] = lambda z, *axes: np.transpose(z, axes[0] if len(axes) == 1 else axes or None)
METHODS["conj"] = METHODS["conjugate"] = lambda z: np.conjugate(z)
METHODS["copy"] = lambda z, order="C": z.__copy__() if order == "K" else Complex(*(x.copy(order) for x in pair_of(z)))
METHODS["flatten"] = lambda z, order="C": np.ravel(z, order).__copy__()
METHODS["item"] = lambda z, *at: (
    z[np.unravel_index(at[0], z.shape) if len(at) == 1 else at] if at else np.reshape(z, ())
)
METHODS["tolist"] = lambda z: [part.tolist() if part.shape else part for part in z]


def _astype(z: Complex, dtype: Any, order: str = "K", *_: Any, copy: bool = True, **__: Any) -> Any:
    dtype = np.dtype(dtype)
    if not copy and dtype == z.dtype:
        return np.asarray(z, order=order)
    if dtype.kind != "c":
        raise unsupported(f".astype({dtype})")
    part = np.float32 if dtype.itemsize == 8 else np.float64
    return Complex(as_part(z.re).astype(part, order), as_part(z.im).astype(part, order))


def _fill(z: Complex, value: Any) -> None:
    if z.is_number:
        raise unsupported(".fill")
    z[...] = value


METHODS["astype"], METHODS["fill"] = _astype, _fill
