"""`x[mask]` where the mask has no numbers, as in compiled functions, batches and bodies of loops.

How many entries it has is not known, so it has no shape; but what most programs do with it needs none.  All entries
are kept, beside the mask: functions of each entry are computed on all of them, sums, means and extremes take those
where the mask holds, and `y[mask] = …` writes them back to where they came from.  All else raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.ir.node import Node
from payback.ir.where import position
from payback.trace.array import Traced, as_traced
from payback.trace.assignment.choice import Choice, same
from payback.trace.dispatch import here
from payback.trace.indexing import unknown as unknown_part
from payback.trace.numpy.arguments import axes_of, keep
from payback.trace.operators import HOOKS, LATER, METHODS


def read_where(x: Traced, parts: tuple[Any, ...], place: Any) -> Selected:
    """`x[…, mask, …]`."""
    choice = Choice.of(x.shape, parts)
    made = METHODS["__getitem__"](x, choice.around)
    mine = range(choice.at, choice.at + choice.mask.ndim)
    rest = [axis for axis in range(made.ndim) if axis not in mine]
    rest[choice.place : choice.place] = mine
    return Selected(made if rest == [*range(made.ndim)] else np.transpose(made, rest), choice.mask, choice.place)


class Selected:
    """The entries of `values` where the mask holds, its axes from `at` on made one.  See the head of this file."""

    __slots__ = ("at", "mask", "values")
    __array_priority__ = 2000.0
    __hash__ = None

    def __init__(self, values: Any, mask: Traced, at: int):
        self.values, self.mask, self.at = values, mask, at

    # what is known of it

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def ndim(self) -> int:
        return self.values.ndim - self.mask.ndim + 1

    @property
    def size(self) -> Any:
        """How many entries: a traced whole number."""
        rest = self.values.size // max(self.mask.size, 1)
        return np.sum(self.mask) * rest

    def unknown(self, what: str) -> TraceError:
        return TraceError(f"{what} needs to know how many entries a mask takes", where=here(),
                          why="that is not known while a function is compiled",
                          fix="keep all entries, np.where(mask, x, 0), or take np.sum, np.mean, np.max")  # fmt: skip

    @property
    def shape(self) -> NoReturn:
        raise self.unknown("the shape of x[mask]")

    @property
    def __array_struct__(self) -> NoReturn:  # NumPy looks here first
        raise self.unknown("an array of x[mask]")

    def __len__(self) -> int:
        raise self.unknown("len(x[mask])")

    def __iter__(self) -> Any:
        raise self.unknown("a loop over x[mask]")

    def __bool__(self) -> bool:
        raise self.unknown("the truth of x[mask]")

    def __float__(self) -> float:
        raise self.unknown("float(x[mask])")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(f"x[mask] has no attribute {name!r}")
        function = _METHOD_FUNCTIONS.get(name)
        if function is None:
            raise self.unknown(f".{name} of x[mask]")
        return lambda *args, **kwargs: self.__array_function__(function, (), (self, *args), kwargs)

    def __repr__(self) -> str:
        return f"Selected({self.values!r} where {self.mask!r})"

    # what is computed from it

    def __getitem__(self, key: Any) -> Any:
        if key is Ellipsis or (isinstance(key, slice) and key == slice(None)):
            return self
        if isinstance(key, Selected) and key.dtype.kind == "b" and key.ndim == 1 and self._goes_with(key):
            return Selected(self.values, np.logical_and(self.mask, key.values), self.at)
        if isinstance(key, tuple) and self.at == 0 and key and key[0] == slice(None):
            return Selected(self.values[(slice(None),) * self.mask.ndim + key[1:]], self.mask, 0)
        raise self.unknown("an index of x[mask]")

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, Selected):
            self.values = np.where(self._condition(key.values), self._operand(value), self.values)
        elif key is Ellipsis or (isinstance(key, slice) and key == slice(None)):
            self.values = np.where(True, self._operand(value), self.values)
        else:
            raise self.unknown("an assignment to x[mask]")

    def _goes_with(self, other: Selected) -> bool:
        return same(self.mask.node, other.mask.node)

    def _condition(self, mask: Any = None) -> Any:
        """A mask over the chosen axes, as it is broadcast to all values."""
        mask = self.mask if mask is None else mask
        rest = self.values.ndim - self.at - self.mask.ndim
        return np.reshape(mask, (*mask.shape, *(1,) * rest)) if rest else mask

    def _operand(self, other: Any) -> Any:
        """Another operand, as it goes with all values."""
        if isinstance(other, Selected):
            if not self._goes_with(other):
                raise TraceError("two masks that are not known to choose the same entries", where=here(),
                                 why="how many each takes is not known while a function is compiled",
                                 fix="name the mask once, m = x > 0, and use that name")  # fmt: skip
            if self.ndim - self.at != other.ndim - other.at:
                raise self.unknown("broadcasting x[mask]")
            return other.values
        node = as_traced(other)
        given = np.shape(node) if not isinstance(node, Node) else node.shape
        behind = self.ndim - 1 - self.at
        if len(given) <= behind:
            return Traced(node) if isinstance(node, Node) else node
        at = len(given) - 1 - behind
        if given[at] != 1:
            raise self.unknown("an operation of x[mask] and an array of known length")
        shape = (*given[:at], *(1,) * self.mask.ndim, *given[at + 1 :])
        return np.reshape(Traced(node) if isinstance(node, Node) else node, shape)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is not None:
            if method == "__call__" and out[0] is self and len(out) == 1:  # x[mask] += 1
                self.values = self.__array_ufunc__(ufunc, method, *inputs, **kwargs).values
                return self
            raise self.unknown("out=")
        if method == "reduce" and ufunc in _REDUCTIONS:
            return self.__array_function__(_REDUCTIONS[ufunc], (), inputs, {"axis": 0} | kwargs)
        if ufunc is np.matmul and method == "__call__":
            return _product(*inputs)
        if method != "__call__" or "where" in kwargs:
            raise self.unknown(f"np.{ufunc.__name__}.{method}")
        wide = max((x for x in inputs if isinstance(x, Selected)), key=lambda x: x.ndim)
        return wide._each(lambda *parts: ufunc(*parts, **kwargs), inputs)

    def _each(self, function: Callable[..., Any], inputs: Any) -> Any:
        """A function of each entry, on all of them."""
        with np.errstate(all="ignore"):
            made = function(*[x.values if x is self else self._operand(x) for x in inputs])
        parts = made if isinstance(made, tuple) else (made,)
        behind = self.values.ndim - self.at
        chosen = tuple(Selected(part, self.mask, part.ndim - behind) for part in parts)
        return chosen if isinstance(made, tuple) else chosen[0]

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _REDUCED and args and isinstance(args[0], Selected):
            return _reduced(function, *args, **kwargs)
        if function in _SINGLE:
            return _SINGLE[function](*args, **kwargs)
        if function in _ENTRYWISE:
            wide = max((x for x in args if isinstance(x, Selected)), key=lambda x: x.ndim, default=None)
            if wide is not None and not any(isinstance(x, Selected) for x in kwargs.values()):
                return wide._each(lambda *parts: function(*parts, **kwargs), args)
        raise self.unknown(f"np.{getattr(function, '__name__', function)} of x[mask]")

    def like(self, choice: Choice, place: Any) -> Any:
        """Its values as they stand where another index with the same mask reads."""
        if not same(self.mask.node, choice.mask.node):
            where = position(place)
            raise TraceError("x[mask] is written to where another mask holds", where=str(where) if where else None,
                             why="that they choose the same entries is not known while a function is compiled",
                             fix="name the mask once, m = x > 0, and use that name")  # fmt: skip
        lead, axes = self.at, [*range(self.values.ndim)]
        behind = len(self.values.shape) - lead
        if behind != len(choice.shape) - choice.place:
            raise self.unknown("broadcasting x[mask]")
        values = self.values
        if choice.at != choice.place:
            mine = axes[lead : lead + self.mask.ndim]
            rest = [axis for axis in axes if axis not in mine]
            shift = lead - choice.place
            rest[choice.at + shift : choice.at + shift] = mine
            values = np.transpose(values, rest)
        return values.node


def _operator(ufunc: np.ufunc, swapped: bool = False) -> Any:
    def method(self: Selected, other: Any) -> Any:
        return ufunc(other, self) if swapped else ufunc(self, other)

    return method


def _in_place(ufunc: np.ufunc) -> Any:
    def method(self: Selected, other: Any) -> Selected:
        self.values = np.where(True, ufunc(self, other).values, 0)
        return self

    return method


_OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "pow": np.power,
    "mod": np.remainder, "floordiv": np.floor_divide, "and": np.logical_and, "or": np.logical_or, "matmul": np.matmul,
}  # fmt: skip
for _name, _ufunc in _OPERATORS.items():
    setattr(Selected, f"__{_name}__", _operator(_ufunc))
    setattr(Selected, f"__r{_name}__", _operator(_ufunc, True))
    setattr(Selected, f"__i{_name}__", _operator(_ufunc))
for _name, _ufunc in {"gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal, "eq": np.equal,
                      "ne": np.not_equal}.items():  # fmt: skip
    setattr(Selected, f"__{_name}__", _operator(_ufunc))
for _name, _single in {"neg": np.negative, "abs": np.absolute, "invert": np.logical_not, "pos": np.positive}.items():
    setattr(Selected, f"__{_name}__", lambda self, _ufunc=_single: _ufunc(self))


# reductions -----------------------------------------------------------------------------------------------------


def _reduced(function: Any, x: Selected, axis: Any = None, dtype: Any = None, out: Any = None, *, keepdims: Any = False,
             **options: Any) -> Any:  # fmt: skip
    """Over the chosen entries, or over other axes, which leaves them to be chosen from."""
    if out is not None or any(option not in ("ddof", "correction", "initial") for option in options):
        raise x.unknown(f"np.{function.__name__} of x[mask] with {', '.join(['out', *options])}")
    if dtype is not None:
        options["dtype"] = dtype
    axes = axes_of(axis, x.ndim)
    count, largest = x.mask.ndim, _EXTREMES.get(function.__name__)
    inner = tuple(a + (count - 1) * (a > x.at) for a in axes if a != x.at)
    if x.at not in axes:
        made = function(x.values, axis=inner, keepdims=keep(keepdims), **options)
        before = 0 if keepdims else sum(a < x.at for a in axes)
        return Selected(made, x.mask, x.at - before)
    condition = np.broadcast_to(x._condition(), x.values.shape)
    every = tuple(sorted((*inner, *range(x.at, x.at + count))))
    if largest is not None and "initial" not in options:
        bounds = (-np.inf, np.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        options["initial"] = bounds[not largest]
        made = function(x.values, axis=every, keepdims=True, where=condition, **options)
        if x.dtype.kind == "f":  # of nothing there is no extreme
            made = np.where(np.any(condition, axis=every, keepdims=True), made, np.nan)
    else:
        made = function(x.values, axis=every, keepdims=True, where=condition, **options)
    if keepdims:
        ones = tuple(range(x.at + 1, x.at + count))
        return np.squeeze(made, ones) if ones else made
    return np.squeeze(made, every)


def _whole(x: Any) -> Any:
    """A row of chosen entries with 0 where nothing is chosen, as it adds nothing to a sum of products."""
    if not isinstance(x, Selected):
        raise UnsupportedError("a product of x[mask] and an array", where=here(),
                               why="how many entries the mask takes is not known while a function is compiled",
                               fix="take the same entries of both, x[mask] @ y[mask]")  # fmt: skip
    return np.where(x._condition(), x.values, 0)


def _product(a: Any, b: Any) -> Any:
    """Of two rows of chosen entries, or of chosen rows and a matrix or a vector."""
    if isinstance(a, Selected) and isinstance(b, Selected) and a.ndim == b.ndim == 1:
        b = Selected(a._operand(b), a.mask, a.at)
        return np.sum(_whole(a) * _whole(b))
    if isinstance(a, Selected) and not isinstance(b, Selected) and a.ndim == 2 and a.at == 0:
        return Selected(np.matmul(a.values, b), a.mask, 0)
    if isinstance(a, Selected) and isinstance(b, Selected) and a.at == a.ndim - 1 and b.at == 0 and a.ndim <= 2:
        b = Selected(b.values, a.mask, 0) if a._goes_with(b) else b
        if a._goes_with(b) and b.ndim <= 2:
            count = a.mask.ndim
            left, right = _whole(a), _whole(b)
            return np.tensordot(left, right, (range(left.ndim - count, left.ndim), range(count)))
    return _whole(None)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if not isinstance(x, Selected) or x.ndim != 1 or ord not in (None, 1, 2, np.inf) or keepdims:
        raise x.unknown("np.linalg.norm of x[mask]")
    return np.linalg.norm(np.ravel(_whole(x)), ord)


def _size(x: Any, axis: Any = None) -> Any:
    if axis is not None:
        raise x.unknown("np.size of x[mask]")
    return x.size


def _count(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return _reduced(np.sum, x != 0, axis, keepdims=keepdims)


_REDUCTIONS = {np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min, np.logical_and: np.all,
               np.logical_or: np.any}  # fmt: skip
_EXTREMES = {"max": True, "amax": True, "min": False, "amin": False}
_REDUCED = {np.sum, np.mean, np.max, np.min, np.amax, np.amin, np.prod, np.any, np.all, np.var, np.std}
_SINGLE: dict[Any, Callable[..., Any]] = {
    np.dot: _product, np.inner: _product, np.vdot: _product, np.linalg.norm: _norm, np.ndim: lambda x: x.ndim,
    np.size: _size, np.count_nonzero: _count, np.copy: lambda x, *_, **__: Selected(x.values, x.mask, x.at),
    np.average: lambda x, axis=None: _reduced(np.mean, x, axis),
    np.ptp: lambda x, axis=None: _reduced(np.max, x, axis) - _reduced(np.min, x, axis),
}  # fmt: skip
_ENTRYWISE = {np.where, np.clip, np.round, np.around, np.nan_to_num, np.real, np.isclose, np.sinc, np.i0, np.astype}
_METHOD_FUNCTIONS: dict[str, Any] = {
    "sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod, "any": np.any, "all": np.all,
    "var": np.var, "std": np.std, "ptp": np.ptp, "dot": np.dot, "clip": np.clip, "round": np.round, "copy": np.copy,
    "astype": np.astype,
}  # fmt: skip
LATER.add(Selected)
HOOKS.update(read_where=read_where, unknown=unknown_part)
