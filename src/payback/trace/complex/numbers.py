"""Complex numbers: two real arrays, of which payback keeps the histories as of any others.

The graph knows real numbers only.  What a program computes with complex ones is written with the real and the
imaginary part when it is traced, so everything behind the graph (sweep, batches, machine code) is as it is elsewhere.
A cost is real and is differentiated by real numbers; between them there may be complex ones.

Python's `1j` has a real part that is exactly nothing: no products with it are made, so an infinity stays one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import MissingAttributeError, TraceError
from payback.trace import array, tree
from payback.trace.array import Traced, plain, stop_gradient
from payback.trace.assignment import buffer
from payback.trace.assignment.buffer import any_traced
from payback.trace.assignment.memory_order import same
from payback.trace.assignment.views import in_order, is_number, laid_as, laid_out, part_of
from payback.trace.dispatch import here
from payback.trace.operators import COMPLEX, HOOKS, LATER
from payback.trace.operators import METHODS as OF_ARRAYS
from payback.trace.plain_arrays import Buffered, now
from payback.trace.tree import is_complex

NOTHING = None  # the part that a real number does not have


class Complex:
    """An array of complex numbers, by parts of one shape."""

    __slots__ = ("im", "re")
    __array_priority__ = 3000.0
    __hash__ = None

    def __init__(self, re: Any, im: Any):
        self.re, self.im = re, im

    # what it is

    @property
    def __class__(self) -> type:
        """What `isinstance` is told: the class of the plain value, as of all traced values."""
        if isinstance(self.re, np.ndarray) or isinstance(self.im, np.ndarray):
            return np.ndarray
        return complex if is_weak(self.re) and is_weak(self.im) else self.dtype.type

    @property
    def real(self) -> Any:
        return part_of(self.re)

    @real.setter
    def real(self, value: Any) -> None:
        self.re[...] = value

    @property
    def imag(self) -> Any:
        return part_of(self.im)

    @imag.setter
    def imag(self, value: Any) -> None:
        self.im[...] = value

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.re)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def dtype(self) -> np.dtype[Any]:
        part = np.result_type(*(getattr(x, "dtype", float) for x in (self.re, self.im)))
        return np.dtype(np.complex64 if part.itemsize < 8 else np.complex128)

    @property
    def T(self) -> Any:  # noqa: N802 (NumPy's name)
        return np.transpose(self)

    @property
    def is_number(self) -> bool:
        """Whether it has no axes and is, in NumPy, no array."""
        return is_number(self.re) if isinstance(self.re, Traced) else not isinstance(self.re, np.ndarray)

    @property
    def traced(self) -> bool:
        return any(any_traced(part) or type(part) in LATER for part in (self.re, self.im))

    def now(self) -> Any:
        """The plain array of its numbers, if none of them is traced; else itself."""
        return self if self.traced else np.asarray(self.re) + 1j * np.asarray(self.im)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        if self.traced:
            raise TraceError("traced complex numbers cannot become a plain array", where=here(),
                             why="the plain array would have no history",
                             fix="compute with them as they are, or with their real and imaginary parts")  # fmt: skip
        return np.asarray(self.now(), *args, **kwargs)

    def __repr__(self) -> str:
        return f"Complex({self.re!r}, {self.im!r})"

    def __len__(self) -> int:
        return len(self.re)

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.re != 0) or bool(self.im != 0)

    def _no_number(self) -> Any:
        raise TypeError("a complex number is no float: take its real part, its absolute value, ...")

    __float__ = __int__ = _no_number

    # entries

    def __getitem__(self, key: Any) -> Any:
        return together(self.re[key], self.im[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.re[key], self.im[key] = (0.0 if part is NOTHING else part for part in parts(value))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(f"complex numbers have no attribute {name!r}")
        method = METHODS.get(name)
        if method is None:
            raise MissingAttributeError(f".{name} of traced complex numbers", where=here(),
                                        fix="write it with their real and imaginary parts")  # fmt: skip
        return lambda *args, **kwargs: method(self, *args, **kwargs)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return HOOKS["complex_ufunc"](ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return HOOKS["complex_function"](function, args, kwargs)

    def plain(self) -> Any:
        """The bare numbers."""
        return joined(plain(self.re), plain(self.im))

    def stopped(self, where: Any) -> Complex:
        """The same numbers with no derivative."""
        return Complex(stop_gradient(self.re), stop_gradient(self.im))

    def __copy__(self) -> Any:
        return +self if self.is_number else Complex(_own(self.re), _own(self.im))

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()


METHODS: dict[str, Callable[..., Any]] = {}  # filled by `functions.py`
_OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "pow": np.power,
    "matmul": np.matmul, "eq": np.equal, "ne": np.not_equal,
    "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
}  # fmt: skip


def _operator(name: str, ufunc: Any) -> None:
    def forward(self: Complex, other: Any) -> Any:
        return HOOKS["complex_ufunc"](ufunc, "__call__", (self, other), {})

    def reflected(self: Complex, other: Any) -> Any:
        return HOOKS["complex_ufunc"](ufunc, "__call__", (other, self), {})

    def in_place(self: Complex, other: Any) -> Any:
        made = forward(self, other)
        if self.is_number:
            return made  # it is not changed: its name is given to another
        self[...] = made
        return self

    for prefix, method in (("", forward), ("r", reflected), ("i", in_place)):
        setattr(Complex, f"__{prefix}{name}__", method)


for _name, _ufunc in _OPERATORS.items():
    _operator(_name, _ufunc)
Complex.__neg__ = lambda self: Complex(-self.re, -self.im)
Complex.__pos__ = lambda self: Complex(+self.re, +self.im)


def _length(z: Complex) -> Any:
    made = np.hypot(z.re, z.im)
    return OF_ARRAYS["as_number"](made) if z.__class__ is complex else made


Complex.__abs__ = _length


def holds_complex(x: Any) -> bool:
    """Whether it is complex, or a list or tuple with something complex in it."""
    if type(x) in (list, tuple):
        return any(map(holds_complex, x))
    return is_complex(x)


def parts(x: Any) -> tuple[Any, Any]:
    """The real part and the imaginary one; of what is real the latter is nothing."""
    x = now(x) if isinstance(x, Buffered) else x
    if type(x) is Complex:
        return x.re, x.im
    if isinstance(x, (list, tuple)):
        x = listed(x)
        return parts(x) if is_complex(x) else (x, NOTHING)
    if type(x) is complex:
        return x.real if x.real or not x.imag else NOTHING, x.imag or NOTHING
    if is_complex(x):
        return x.real, x.imag
    return x, NOTHING


def listed(x: Any) -> Any:
    """A list or tuple of numbers, some of them traced or complex, as an array."""
    if not holds_complex(x):
        return Traced(array.as_traced(x)) if array.holds_traced(x) else np.asarray(x)
    full = [pair(*parts(part)) for part in x]
    return Complex(np.stack([as_part(z.re) for z in full]), np.stack([as_part(z.im) for z in full]))


def as_part(x: Any) -> Any:
    return x if isinstance(x, (Traced, np.ndarray)) else np.asarray(x)


def pair(re: Any, im: Any, shape: tuple[int, ...] | None = None) -> Complex:
    """Complex numbers of these parts, in one shape."""
    if shape is None:
        shape = np.broadcast_shapes(np.shape(re), np.shape(im))
    re, im = in_dtype_of(im, re), in_dtype_of(re, im)
    re, im = _filled(re, im, shape), _filled(im, re, shape)
    if len(shape) > 1 and type(re) is type(im) is Traced:
        lie = laid_out(re), laid_out(im)
        if not same(*lie):  # of x + 1j·y: NumPy's lies as what it makes of arrays that lie so
            whole = np.not_equal(*lie)
            re, im = laid_as(re, whole), laid_as(im, whole)
    return Complex(re, im)


def by_rows(made: Any) -> Any:
    """What lies in memory by rows, whatever its parts were taken from."""
    if isinstance(made, tuple):
        return type(made)(*map(by_rows, made))
    return Complex(by_rows(made.re), by_rows(made.im)) if type(made) is Complex else in_order(made, "C")


def in_dtype_of(other: Any, part: Any) -> Any:
    """A part that is a Python number in the dtype of the other one, as NumPy has it for the whole number."""
    if part is NOTHING or not is_weak(part) or other is NOTHING or is_weak(other):
        return part
    return np.astype(part, other.dtype) if isinstance(part, Traced) else other.dtype.type(part)


def is_weak(part: Any) -> bool:
    return part.node.aval.weak if isinstance(part, Traced) else not hasattr(part, "dtype")


def _filled(part: Any, other: Any, shape: tuple[int, ...]) -> Any:
    """A part in the shape of the whole, as the other one lies in memory."""
    if part is not NOTHING and np.shape(part) == shape:
        return part
    dtype = None if is_weak(other) else other.dtype
    if part is NOTHING and not shape and not isinstance(other, np.ndarray):
        return 0.0 if dtype is None else dtype.type(0)
    lies = laid_out(other) if isinstance(other, Traced) else np.asarray(other)
    if np.shape(other) != shape:
        lies = np.empty(shape, np.bool_)
    if isinstance(part, Traced):
        return laid_as(Traced(np.broadcast_to(part, shape).node), lies)  # an array of its own
    made = np.empty_like(lies, (dtype or float) if part is NOTHING else np.asarray(part).dtype, subok=False)
    made[...] = 0.0 if part is NOTHING else part
    return buffer.buffer(made)


# arithmetic on parts, where nothing stays nothing ---------------------------------------------------------------


def plus(a: Any, b: Any) -> Any:
    if a is NOTHING or b is NOTHING:
        other = b if a is NOTHING else a
        return other if other is NOTHING else +other  # an array of its own
    return a + b


def minus(a: Any, b: Any) -> Any:
    if b is NOTHING:
        return plus(a, b)
    return -b if a is NOTHING else a - b


def times(a: Any, b: Any) -> Any:
    return NOTHING if a is NOTHING or b is NOTHING else a * b


def product(times: Callable[[Any, Any], Any], x: Any, y: Any, *, conjugate: bool = False) -> tuple[Any, Any]:
    """The parts of a bilinear function of two numbers; of the conjugate of the first one if wanted."""
    (a, b), (c, d) = parts(x), parts(y)
    made = [
        times(p, q) if p is not NOTHING and q is not NOTHING else NOTHING for p, q in ((a, c), (b, d), (a, d), (b, c))
    ]
    re, im = (plus, minus) if conjugate else (minus, plus)
    return re(made[0], made[1]), im(made[2], made[3])


def pair_of(z: Any) -> tuple[Any, Any]:
    """Both parts as arrays."""
    made = pair(*parts(z))
    return made.re, made.im


LATER.add(Complex)
COMPLEX.add(Complex)
tree.COMPLEX.add(Complex)
HOOKS["holds_complex"] = holds_complex


def joined(re: Any, im: Any) -> Any:
    """Complex numbers of two parts: plain ones of plain parts."""
    if type(re) is float and type(im) is float:
        return complex(re, im)
    kinds = (np.ndarray, np.floating, float)
    if not (isinstance(re, kinds) and isinstance(im, kinds)) or any(
        isinstance(x, (Traced, Buffered)) for x in (re, im)
    ):
        return Complex(re, im)
    made = np.empty(np.shape(re), np.result_type(re, im, np.complex64))
    made.real, made.imag = re, im
    return made if made.ndim else made[()]


tree.MADE.append(joined)


def writable(made: np.ndarray[Any, Any]) -> Complex:
    """A new array of complex numbers, that traced ones may be written into."""
    return Complex(buffer.buffer(made.real.copy()), buffer.buffer(made.imag.copy()))


def as_complex(x: Any, dtype: Any = None) -> Any:
    """np.array of numbers some of which are traced: of their own memory."""
    made = x if type(x) is Complex else listed(x) if isinstance(x, (list, tuple)) else pair(*parts(x))
    made = Complex(_own(made.re), _own(made.im)) if type(made) is Complex else pair(+made, NOTHING)
    return made if dtype is None else made.astype(dtype)


def _own(part: Any) -> Any:
    """A part of its own memory; where it has no axes, an array all the same."""
    if isinstance(part, Traced):
        return HOOKS["without_axes"](+part)
    return buffer.buffer(np.array(now(part)))


def together(re: Any, im: Any) -> Complex:
    """Two parts, of which one may be a plain number or array where the other is an array without axes."""
    if np.shape(re) or not (isinstance(re, np.ndarray) or isinstance(im, np.ndarray)):
        return Complex(re, im)
    return Complex(*(HOOKS["without_axes"](x) if isinstance(x, Traced) else
                     x if isinstance(x, Buffered) else buffer.buffer(np.array(x)) for x in (re, im)))  # fmt: skip


HOOKS["complex_buffer"] = writable
HOOKS["complex_array"] = as_complex
