"""What a function that is proved plain may use, and what comes of it: arithmetic, reading, functions of NumPy's.

Each stands here with what may be given to it: how many of its arguments are arrays by which NumPy dispatches, and how
many more it takes by position before `out`.  What can be called in a way that writes is not here, nor what dispatches
by nothing and so needs the shim where something traced is given to it.
"""

from __future__ import annotations

import builtins
import functools
import math
import sys
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from payback.trace.scipy.special import FUNCTIONS as ANSWERED

# What something is.  Of arrays and numbers a set of bits: what it may be.
NUMBER, TRACED, ARRAY = 1, 2, 4
ANY = NUMBER | TRACED | ARRAY

# A kind: these bits, or a tuple that begins with a word.
Kind = Any
NONE, TEXT, SLICE, MIXED, RAISED = ("none",), ("text", None), ("slice",), ("mixed",), ("raised",)
TOLD = ("told",)  # a text in which something traced may be
DESCRIPTOR = ("descriptor",)  # of an object: to read or to store it runs code that nobody looked at
CALL, SET = "__call__", "__setattr__"
_MOST_KINDS = 16  # of a tuple whose parts are told apart
_CALLED = {"function", "numpy", "builtin", "bound", "partial", "either"}
_ARITHMETIC = {"+", "-", "*", "/", "**", "@"}


class Pure(NamedTuple):
    """A function that writes into nothing.

    arrays  how many of its first arguments may be traced; for "join" these may be lists of such
    most    how many arguments it takes by position
    way     "ufunc", "keeps" (what it makes of a traced value is traced), "several" (it answers with a tuple), "size",
            "join", "make" (nothing traced may be given to it), "formula" (a text comes first) or "any"
    """

    name: str
    arrays: int
    most: int
    way: str


def _table() -> dict[int, tuple[Any, Pure]]:
    found: dict[int, tuple[Any, Pure]] = {}

    def put(space: Any, way: str, arrays: int, most: int, names: str) -> None:
        for name in names.split():
            function = getattr(space, name, None)
            if function is not None:
                found[id(function)] = function, Pure(name, arrays, most, way)

    for arity, names in _UFUNCS.items():
        put(np, "ufunc", arity, arity, names)
    for arity, names in _TRUTHS.items():
        put(np, "any", arity, arity, names)
    put(np, "keeps", 1, 2, "sum mean")
    put(np, "any", 1, 2, "prod max min amax amin std var median ptp any all cumsum cumprod argmax argmin sort argsort "
        "count_nonzero squeeze expand_dims broadcast_to tril triu diag diff reshape transpose ravel flip")  # fmt: skip
    put(np, "any", 1, 1, "fliplr flipud atleast_1d atleast_2d atleast_3d nan_to_num")
    put(np, "any", 1, 2, "tile nansum nanmean nanmax nanmin nanvar nanstd vander round around")
    put(np, "any", 1, 1, "average")
    put(np, "any", 1, 3, "moveaxis swapaxes roll repeat rot90 quantile percentile")
    put(np, "any", 2, 3, "take take_along_axis append convolve searchsorted digitize")
    put(np, "any", 3, 3, "interp")
    put(np, "several", 1, 3, "split array_split")
    put(np, "several", 8, 8, "meshgrid")
    put(np, "any", 1, 4, "trace diagonal")
    put(np, "any", 2, 2, "dot vdot inner outer kron cross polyval isclose allclose array_equal")
    put(np, "any", 2, 3, "tensordot trapezoid")
    put(np, "any", 3, 3, "where clip")
    put(np, "formula", 8, 9, "einsum")
    put(np, "size", 1, 1, "shape size ndim")
    put(np, "join", 1, 2, "concatenate stack")
    put(np, "join", 1, 1, "hstack vstack dstack column_stack")
    put(np, "join", 2, 3, "select")
    put(np, "make", 0, 3, "zeros ones empty eye arange linspace full tri identity tril_indices triu_indices")
    put(np, "make", 0, 1, "array asarray zeros_like ones_like empty_like")
    put(np, "make", 0, 2, "full_like")
    put(np.linalg, "any", 1, 3, "norm")
    put(np.linalg, "any", 1, 1, "inv det cholesky eigvalsh pinv")
    put(np.linalg, "several", 1, 1, "slogdet eigh svd qr")
    put(np.linalg, "any", 2, 2, "solve")
    put(np.linalg, "any", 1, 2, "matrix_power")
    return found


# By the number of their arguments: those whose result on a traced value is traced, and those that answer with truths.
_UFUNCS = {
    1: "negative exp expm1 log log1p sqrt square reciprocal tanh sin cos tan arcsin arccos arctan sinh cosh arcsinh "
    "arccosh arctanh exp2 log2 log10 cbrt absolute fabs deg2rad radians rad2deg degrees",
    2: "add subtract multiply divide true_divide power float_power maximum minimum fmax fmin arctan2 hypot logaddexp "
    "logaddexp2 matmul",
}
_TRUTHS = {
    1: "isnan isinf isfinite logical_not sign floor ceil trunc rint signbit",
    2: "greater greater_equal less less_equal equal not_equal logical_and logical_or logical_xor heaviside copysign "
    "mod remainder floor_divide",
}
FUNCTIONS = _table()
MODULES: dict[int, Any] = {id(module): module for module in (np, np.linalg, math, functools)}
_BUILTINS = (
    "range len abs sum zip enumerate reversed list tuple isinstance min max float int bool round sorted map any all "
    "print dict str"
)
BUILTINS = {id(getattr(builtins, name)): name for name in _BUILTINS.split()}
# What may be asked with `isinstance`: classes that say nothing of their own to it.
_CLASSES = {complex, np.ndarray, np.generic, np.number, np.floating, np.integer, np.float64, np.errstate}
CLASSES = {id(cls): cls for cls in (*_CLASSES, np.float32, np.int64)}
EXCEPTIONS = {id(e): e for e in vars(builtins).values() if isinstance(e, type) and issubclass(e, Exception)}
EXCEPTIONS[id(np.linalg.LinAlgError)] = np.linalg.LinAlgError
# Keywords whose values are numbers, tuples of them or texts, and mean nothing that is written into.
KEYWORDS = {"axis", "keepdims", "axis1", "axis2", "offset", "k", "n", "ord", "ddof", "axes"}
MATHEMATICS = {id(f): f for name, f in vars(math).items() if callable(f) and not name.startswith("_")}
DTYPES = {
    ("dtype",),
    ("builtin", "float"),
    ("builtin", "int"),
    ("builtin", "bool"),
    ("class", id(np.float64)),
    ("class", id(np.int64)),
}
# name -> how many arguments may be given by position
METHODS = {
    "sum": 1, "mean": 1, "max": 1, "min": 1, "prod": 1, "std": 1, "var": 1, "any": 1, "all": 1, "argmax": 1,
    "argmin": 1, "cumsum": 1, "cumprod": 1, "reshape": 8, "transpose": 8, "ravel": 0, "flatten": 0, "copy": 0,
    "squeeze": 1, "swapaxes": 2, "trace": 3, "diagonal": 3, "dot": 1, "argsort": 1, "clip": 2, "repeat": 2, "astype": 1,
    "item": 8, "round": 1,
}  # fmt: skip


class Known(NamedTuple):
    """What is known of a function all of whose calls are known.

    plain  whether it surely writes into no array
    shown  whether it stores into arrays, or has NumPy do, by `np.f` or methods, what looks at no protocol
    asks   whether these are methods of arrays
    """

    plain: bool
    shown: bool = False
    asks: bool = False


class Unproved(Exception):  # noqa: N818 (not an error: no proof)
    """Something that is not known to be plain."""


class Asked(Unproved):
    """An attribute that has not been looked at: it will be in the next proof."""


# of classes and modules of the user's: the names by which proofs have asked for attributes, in that order
asked: dict[Any, dict[str, None]] = {}
_MOST_ASKED = 4000


def attribute(whose: Kind, name: str) -> Kind:
    """What an attribute of an object is, which may be MIXED.  Raises Asked where it has not been looked at."""
    _, owner, found = whose
    names = asked.get(owner)
    if names is None:
        if len(asked) >= _MOST_ASKED:
            raise Unproved
        names = asked[owner] = {}
    if name not in names:
        names[name] = None
    place = [*names].index(name)
    if place >= len(found):
        raise Asked
    return found[place]


def join(a: Kind, b: Kind) -> Kind:
    """What something may be that is either."""
    if a == b or b is None:
        return a
    if a is None:
        return b
    if type(a) is int and type(b) is int:
        return a | b
    if type(a) is int or type(b) is int:
        return MIXED
    if a[0] == b[0]:
        if a[0] in ("of", "iterator"):
            same = len(a) == len(b) == 3 and a[2] == b[2]  # the same list of the function's own
            return (a[0], join(a[1], b[1]), a[2]) if same else (a[0], join(a[1], b[1]))
        if a[0] == "tuple" and len(a[1]) == len(b[1]):  # of one class, or the class is forgotten
            return "tuple", tuple(map(join, a[1], b[1])), *(a[2:] if a[2:] == b[2:] else ())
        if a[0] == "table" and a[1] == b[1]:
            return "table", a[1], tuple(map(join, a[2], b[2]))
        if a[0] == "text":
            return TEXT
        if a[0] == "object" and a[1] is b[1] and len(a[2]) == len(b[2]):
            return "object", a[1], tuple(map(join, a[2], b[2]))
        if a[0] == "of class":
            return "of class", join(a[1], b[1])
    if {a[0], b[0]} == {"of", "tuple"}:
        return "of", join(parts(a), parts(b))
    if a[0] in _CALLED and b[0] in _CALLED:
        ways = dict.fromkeys([*(a[1] if a[0] == "either" else [a]), *(b[1] if b[0] == "either" else [b])])
        return ("either", tuple(ways)) if len(ways) <= _MOST_KINDS else MIXED
    return MIXED


def parts(kind: Kind) -> Kind:
    """What each part of a sequence may be; None of an empty one."""
    if type(kind) is int:
        return kind | NUMBER
    if kind[0] in ("of", "iterator"):
        return kind[1]
    if kind[0] == "tuple":
        found = None
        for part in kind[1]:
            found = join(found, part)
        return found
    if kind[0] == "table":
        return TEXT
    raise Unproved


def listed(kinds: list[Kind]) -> Kind:
    """The kind of a tuple or a list of such."""
    whole = ("tuple", tuple(kinds))
    return whole if len(kinds) <= _MOST_KINDS else ("of", parts(whole))


def of_constant(value: Any) -> Kind:
    kind = type(value)
    if kind in (int, float, bool):
        return NUMBER
    if value is None or value is Ellipsis:
        return NONE
    if kind is str:
        return "text", value
    if kind is slice:
        return SLICE
    if kind is tuple:
        return listed([of_constant(part) for part in value])
    if kind is CodeType:
        return "code", value
    raise Unproved


def of_numpy(value: Any) -> Kind:
    """The kind of a function of NumPy's, of a module of it, or of one of Python's own; None of anything else."""
    known = FUNCTIONS.get(id(value))
    if known is not None and known[0] is value:
        return "numpy", id(value)
    if id(value) in MODULES and MODULES[id(value)] is value:
        return "module", id(value)
    if id(value) in BUILTINS:
        return "builtin", BUILTINS[id(value)]
    if id(value) in EXCEPTIONS and EXCEPTIONS[id(value)] is value:
        return "raises", id(value)
    if id(value) in MATHEMATICS and MATHEMATICS[id(value)] is value:
        return "mathematics", id(value)
    if value is functools.reduce:
        return "builtin", "reduce"
    return ("class", id(value)) if id(value) in CLASSES else _of_scipy(value)


def _of_scipy(value: Any) -> Kind:
    """A ufunc of `scipy.special`, which dispatches as NumPy's do, and that module."""
    special = sys.modules.get("scipy.special")
    if type(value) is np.ufunc and getattr(special, name := value.__name__, None) is value and name not in ANSWERED:
        way = "any" if value.nout == 1 else "several"
        FUNCTIONS[id(value)] = value, Pure(name, value.nin, value.nin, way)
        return "numpy", id(value)
    if type(value) is ModuleType and (value is special or value is sys.modules.get("scipy")):
        MODULES[id(value)] = value
        return "module", id(value)
    return None


def usable(kind: Kind) -> Kind:
    if kind is None or kind is MIXED or kind == MIXED:
        raise Unproved
    return kind


def number(kind: Kind) -> int:
    if type(kind) is not int:
        raise Unproved
    return kind


def is_bare(kind: Kind) -> bool:
    """Whether it is a number, a tuple of them, or a text: an axis, a shape, an option."""
    if type(kind) is int:
        return kind == NUMBER
    if kind == NONE or kind[0] == "text":
        return True
    return kind[0] in ("of", "tuple") and parts(kind) in (None, NUMBER)


def bounds(kinds: list[Kind]) -> None:
    for kind in kinds:
        if kind != NONE and kind != NUMBER:
            raise Unproved


def compared(a: Kind, b: Kind) -> int:
    """The truth, or the truths, of a comparison."""
    if (is_bare(a) and is_bare(b)) or (a in DTYPES and b in DTYPES):
        return NUMBER
    return operation("?", a, b) | NUMBER


def is_within(a: Kind, b: Kind) -> int:
    """Of `a in b`: a number or a text in a container of such."""
    if type(b) is tuple and b[0] == "made" and is_bare(a):
        return NUMBER
    among = parts(b) if type(b) is tuple else None
    if not (among == NUMBER == a or (type(among) is type(a) is tuple and among[0] == a[0] == "text")):
        raise Unproved
    return NUMBER


def truth(kind: Kind) -> None:
    """Of what is asked whether it is true: objects of the user's say that themselves."""
    if type(usable(kind)) is tuple and kind[0] == "object":
        raise Unproved


def operation(sign: str, a: Kind, b: Kind) -> int:
    a, b = number(a), number(b)
    if sign.removesuffix("=") in _ARITHMETIC:
        if TRACED in (a, b):  # and so is what comes of it
            return TRACED
        return a | b
    return ANY if (a | b) & (TRACED | ARRAY) else NUMBER


def entry(of: Kind, index: Kind) -> Kind:
    if type(of) is tuple:
        if of[0] == "table":
            return _value(of, index)
        if of[0] not in ("of", "tuple"):
            raise Unproved
        return usable(("of", parts(of)) if index == SLICE else parts(of) if index == NUMBER else None)
    for part in index[1] if type(index) is tuple and index[0] == "tuple" else (index,):
        if type(part) is not int and part not in (NONE, SLICE):
            raise Unproved
    return of | NUMBER


def _value(table: Kind, key: Kind) -> Kind:
    """What a dictionary has under a key; under any if that is not known."""
    if type(key) is not tuple or key[0] != "text":
        raise Unproved
    _, names, values = table
    if key[1] in names:
        return usable(values[names.index(key[1])])
    return usable(parts(("tuple", values)))


def joined(kind: Kind, deep: bool = False) -> int:
    """What the entries may be of an array that is made of it: of a list of arrays and numbers, or of one.

    deep: whether lists may stand in the list; NumPy dispatches by nothing in those.
    """
    if type(kind) is int:
        return kind
    part = parts(kind)
    return NUMBER if part is None else joined(part, True) if deep else number(part)


def answer(pure: Pure, args: list[Kind]) -> Kind:
    """What one of NumPy's functions makes of such arguments."""
    if not args or len(args) > pure.most:
        raise Unproved
    if pure.way == "formula":
        if type(args[0]) is int or args[0][0] != "text" or any(type(kind) is not int for kind in args[1:]):
            raise Unproved
        return ANY
    if pure.name == "where" and len(args) < 3:  # it answers with a tuple
        raise Unproved
    for i, kind in enumerate(args):
        if pure.way == "make":
            if kind != NONE and joined(kind, True) & TRACED:
                raise Unproved
        elif i >= pure.arrays:
            if not is_bare(kind):
                raise Unproved
        elif pure.way == "join":
            joined(kind)
        elif type(kind) is not int and kind != NONE:
            raise Unproved
    if pure.way == "size":
        return ("of", NUMBER) if pure.name == "shape" else NUMBER
    if pure.way == "several":
        return "of", ANY
    if pure.way == "make":
        return ("of", ARRAY) if pure.name.endswith("_indices") else ARRAY | NUMBER
    if pure.way in ("ufunc", "keeps") and TRACED in args:
        return TRACED
    return NUMBER if pure.way == "ufunc" and all(kind == NUMBER for kind in args) else ANY


def of_lists(pure: Pure, args: list[Kind]) -> Kind:
    """What one of NumPy's functions makes of traced values in lists, or of those that it makes arrays of."""
    if not args or len(args) > pure.most or pure.way in ("formula", "ufunc", "size"):
        raise Unproved
    for i, kind in enumerate(args):
        if pure.way != "make" and i >= pure.arrays:
            if not is_bare(kind):
                raise Unproved
        elif kind != NONE:
            joined(kind, True)
    return ("of", ANY) if pure.way == "several" or pure.name.endswith("_indices") else ANY


def of_method(name: str, of: int, args: list[Kind]) -> Kind:
    if len(args) > METHODS[name]:
        raise Unproved
    for kind in args:
        if not (is_bare(kind) or (name == "dot" and type(kind) is int) or (name == "astype" and kind in DTYPES)):
            raise Unproved
    return TRACED if of == TRACED and name in ("sum", "mean", "reshape", "transpose", "ravel", "flatten") else ANY
