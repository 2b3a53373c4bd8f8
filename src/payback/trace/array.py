"""The traced array: a value under differentiation, with NumPy's operators, methods and functions.

It holds a node and nothing else.  With numbers (`x.value`) it behaves as the NumPy value would: it can be
compared, branched on and printed.  In a graph traced without numbers it has a shape and a dtype only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import _getframe
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.errors import MissingAttributeError, MutationError, ShapeError, TraceError, witness
from payback.ir.aval import WEAK_DTYPES
from payback.ir.node import NO_PARAMS, Node
from payback.ir.where import caller, position
from payback.ops.append import append, apply, const, freeze
from payback.ops.row import TABLE, VARIABLE
from payback.trace.assignment.outside import bare, by_percent, calling, storing
from payback.trace.labels import MET, by_place, labelled, one_thing, without_labels
from payback.trace.leaf import leaf_value
from payback.trace.operators import (
    ARRAYS,
    COMPLEX,
    HOOKS,
    METHODS,
    class_of,
    dispatched,
    know,
    operator_of,
    product_in_place,
    product_operators,
    unary,
    users_ask,
    where_of_caller,
)
from payback.trace.plain_arrays import Buffered, ReadOnly, now, outside, recording
from payback.trace.refusals.asked import by_name, not_known, unknown_text
from payback.trace.refusals.cures import BARE, BARE_NUMBER, BARE_NUMBERS, INSTEAD, NO_INDEX, of_library
from payback.trace.refusals.free import free, rounded, whole
from payback.trace.text.texts import shown
from payback.trace.tree import leaves, unflatten

STOPPED = TABLE["stop_gradient"]
become = object.__dict__["__class__"].__set__  # gives a traced value another class of ours; see `Traced.__class__`


class _NothingMore:
    __hash__ = None


class _Kind(type):
    """What abstract classes ask of the type of a traced value, after they have been told its `__class__`: nothing.

    So a traced number is not Iterable, and a traced array is not Hashable, as on plain values.
    """

    @property
    def __mro__(cls) -> tuple[type, ...]:
        return (_NothingMore,)


class Traced(metaclass=_Kind):
    """A value of which payback keeps the history.  Made by `pb.variable` and by the transforms, not directly."""

    __slots__ = ("__weakref__", "alias", "node")  # alias: set on arrays with views, see `written.py`
    __array_priority__ = 1000.0
    __hash__ = None

    def __init__(self, node: Node):
        self.node, self.alias = node, None

    # what it is

    @property
    def __class__(self) -> type:
        """What `isinstance` is told: the class of the plain value, so that a program takes its usual branch."""
        # of what has been written into this needs no node
        if type(self) in ARRAYS or getattr(self, "alias", None) is not None or (aval := self.node.aval).shape:
            return np.ndarray if not HOOKS["leaves_to_operand"](_getframe(1)) else type(self)
        return class_of(aval) if aval.dtype.kind == "f" or users_ask(_getframe(1)) else type(self)

    @property
    def value(self) -> Any:
        """The plain value: a Python number, NumPy scalar or read-only array.

        Raises TraceError in a graph that is traced without numbers.  A traced function that asks `hasattr(x, "value")`
        is told no, as of an array: programs ask that of the quantities and variables of other libraries.
        """
        if witness.get() is not None and by_name(_getframe(1)):  # hasattr, getattr: a program that knows other arrays
            raise AttributeError("arrays have no attribute 'value'")
        if self.node.value is None:
            raise not_known(None)
        return self.node.value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.node.aval.dtype

    @property
    def ndim(self) -> int:
        node = self.node
        value = node.value
        return value.ndim if type(value) is np.ndarray else len(node.shape)

    @property
    def size(self) -> int:
        return self.node.aval.size

    @property
    def grad(self) -> Any:
        """What the last `.backward()` that came by found, or None: no path, or no sweep has come by."""
        return self.node.grad

    def backward(self, seed: Any = None, *, accumulate: bool = False) -> None:
        """Sweep back from this value: afterwards every node on the way has its `.grad`.

        seed: what this value is owed to begin with; 1 for a scalar, and needed for anything else.
        accumulate: add to earlier gradients instead of replacing them.

        Raises DifferentiationError for a value that is not a scalar (without seed), not floating, or is followed by
        another derivative or `compile`; MutationError when a variable was changed after this value was computed.

        >>> import payback as pb
        >>> w = pb.variable(3.0)
        >>> (w * w).backward()
        >>> w.grad
        6.0
        """
        from payback.trace.backward import backward

        backward(self, seed, accumulate)

    def __repr__(self) -> str:
        value = self.node.value
        if value is None:
            return unknown_text(self.node.aval, _getframe(1))
        if witness.get() is None:
            return f"Traced({value!r})"
        return repr(value) if free(self) else shown(repr(value))  # as a program knows it

    def __format__(self, spec: str) -> str:
        text = format(self.value, spec)
        return text if free(self) else shown(text)

    def __str__(self) -> str:
        if self.node.value is None:
            return unknown_text(self.node.aval, _getframe(1))
        return str(self.node.value) if free(self) else shown(str(self.node.value))

    # plain Python's questions

    def __bool__(self) -> bool:
        value = self.node.value
        return bool(self.value if value is None else rounded(self))

    def __len__(self) -> int:
        if not self.node.shape:
            raise TypeError("len() of a traced scalar")
        return self.node.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.node.shape:
            raise TypeError("iteration over a traced scalar")
        return (self[i] for i in range(self.node.shape[0]))

    def __float__(self) -> float:
        if free(self):
            return float(self.value)
        if by_percent(_getframe(1)):
            shown("")
            return float(self.value)
        raise bare("float(x) would lose the derivative",
                   why="a Python float has no history, so what is computed from it would have no gradient",
                   fix=f"leave x as it is; {BARE_NUMBER}, for those of an array {BARE}")  # fmt: skip

    def as_integer_ratio(self) -> tuple[int, int]:
        """As of a Python float: of a value that has a derivative to lose TraceError is raised."""
        return float(self).as_integer_ratio()

    def is_integer(self) -> bool:
        """Whether it is a whole number, as of a Python float."""
        return float(self.value).is_integer()

    def __int__(self) -> int:
        if not free(self) and (problem := storing()) is not None:  # an integer array takes whole numbers
            raise problem
        return int(rounded(self))

    def __index__(self) -> int:
        if self.dtype.kind == "f":
            raise TypeError(NO_INDEX)
        return int(self.value)

    def item(self, *at: Any) -> Any:
        """The scalar as a Python float would be, still traced; of an array its entry, or the one at a place."""
        if self.node.op is STOPPED:
            return self.value.item(*at) if hasattr(self.value, "item") else self.value
        if len(at) == 1 and isinstance(at[0], tuple):
            (at,) = at
        if at:
            made = self.ravel()[at[0]] if len(at) == 1 else self[at]
        else:
            made = self if not self.node.shape else self.reshape(())
        return METHODS["as_number"](made) if isinstance(made, Traced) and made.dtype.kind == "f" else made

    def tolist(self) -> Any:
        """Python numbers, of a value that has no derivative to lose.  Raises TraceError for a floating one."""
        if self.dtype.kind != "f" or self.node.op is STOPPED:
            return np.asarray(self.value).tolist()
        return [row.tolist() for row in self] if self.node.shape else self.item()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        if self.node.shape and HOOKS["asked_by_product"](_getframe(1)):
            return np.array(None)  # no array
        if self.dtype.kind != "f" and self.node.value is not None:
            return np.asarray(rounded(self), *args, **kwargs)
        if self.node.value is not None and free(self):
            return np.array(self.value, *args)
        if self.dtype.kind != "f":
            raise TraceError("a plain array cannot be indexed by what is not known while a function is compiled",
                             where=_here(), why="NumPy wants the numbers of an index or of a mask",
                             fix="write np.array(table)[i], np.take(table, i, axis), or np.where(mask, table, 0)"
                             )  # fmt: skip
        raise bare("a traced value cannot become a plain array",
                   why="the plain array would have no history, so what is computed from it would have no gradient",
                   fix="compute with it as it is, and make a list of such values an array first, np.array([...]); "
                   f"{BARE_NUMBERS}")  # fmt: skip

    def stopped(self, where: Any) -> Traced:
        """The same value with no derivative."""
        return Traced(apply(TABLE["stop_gradient"], (self.node,), where))

    def __setitem__(self, key: Any, value: Any) -> None:
        HOOKS["setitem"](self, key, value, where_of_caller(2))

    def __getitem__(self, key: Any) -> Any:
        if MET:
            by_place(self, key, _getframe(1))
        recorder = recording.get()
        if recorder is not None and type(self) is Traced:
            number = recorder.read(self.node, key, _getframe(1))
            if number is not None:
                return number
        return METHODS["__getitem__"](self, key)

    @property
    def T(self) -> Any:  # noqa: N802 (NumPy's name)
        return HOOKS["view"]("transpose", self, {"axes": tuple(range(self.ndim - 1, -1, -1))}, where_of_caller(2))

    @property
    def mT(self) -> Any:  # noqa: N802 (NumPy's name)
        if self.ndim < 2:
            raise ShapeError("a matrix transposed has two axes", where=_here(), why=f"the shape is {self.shape}")
        return self.swapaxes(-1, -2)

    if TYPE_CHECKING:  # see `Method`

        def __getattr__(self, name: str) -> Any: ...

    # NumPy's protocols

    __array_ufunc__: Callable[..., Any]  # see dispatch.py

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return METHODS["__array_function__"](function, types, args, kwargs)

    # operators

    __add__, __radd__, __iadd__ = operator_of("add")
    __sub__, __rsub__, __isub__ = operator_of("sub")
    __mul__, __rmul__, __imul__ = operator_of("mul")
    __truediv__, __rtruediv__, __itruediv__ = operator_of("div")
    __pow__, __rpow__, __ipow__ = operator_of("power")
    __mod__, __rmod__, __imod__ = operator_of("mod")
    __floordiv__, __rfloordiv__, __ifloordiv__ = operator_of("floor_divide")
    __gt__, __lt__ = operator_of("gt")[0], operator_of("lt")[0]
    __ge__, __le__ = operator_of("ge")[0], operator_of("le")[0]
    __eq__, __ne__ = operator_of("eq")[0], operator_of("ne")[0]
    __neg__, __abs__ = unary("neg"), unary("abs")

    def __pos__(self) -> Any:
        return METHODS["copy"](self, "K") if self.node.shape else Traced(self.node)

    __and__, __rand__ = dispatched(np.bitwise_and)
    __or__, __ror__ = dispatched(np.bitwise_or)
    __matmul__, __rmatmul__ = product_operators()
    __imatmul__ = product_in_place
    __xor__, __rxor__ = dispatched(np.bitwise_xor)
    __lshift__, __rlshift__ = dispatched(np.left_shift)
    __rshift__, __rrshift__ = dispatched(np.right_shift)

    def __invert__(self) -> Any:
        return np.invert(self)


class Method:
    """What NumPy's arrays or Python's floats have under this name.

    One for each name, for a `__getattr__` would make every attribute of a traced value slow to find.
    """

    def __init__(self, name: str):
        self.name = name

    def __get__(self, x: Any, owner: Any = None) -> Any:
        return self if x is None else Method.find(x, self.name)

    @staticmethod
    def find(x: Traced, name: str) -> Any:
        """The method of a traced value.  Raises MissingAttributeError if payback has none."""
        method = METHODS.get(name)
        if method is None and free(x) and x.node.value is not None:
            return getattr(x.node.value, name)
        if method is None:
            fix = INSTEAD.get(name, f"write it with NumPy functions that have one; {BARE_NUMBERS}")
            what, why, fix = calling() or (f".{name} of a traced array has no derivative in payback", None, fix)
            raise MissingAttributeError(what, where=_here(), why=why, fix=fix)
        method = one_thing(name, method) if MET else method
        return lambda *args, **kwargs: method(x, *[now(arg) for arg in args], **kwargs)


for _name in {*dir(np.ndarray), *dir(float)} - {*dir(Traced)}:
    if not _name.startswith("__"):
        setattr(Traced, _name, Method(_name))


class Variable(Traced):
    """A leaf with a name, whose value may be replaced between sweeps: `w.value -= 0.1 * w.grad`."""

    __slots__ = ("name",)

    def __init__(self, value: Any, name: str | None = None):
        super().__init__(Node(VARIABLE, (), {"name": name, "replaced": None}, value, where_of_caller(3)))
        self.name = name

    @property
    def value(self) -> Any:
        """The present value; an array is read-only.  Setting it makes older results refuse a sweep."""
        value = self.node.value
        return value.view(ReadOnly) if type(value) is np.ndarray else value

    @value.setter
    def value(self, new: Any) -> None:
        old = self.node
        new = leaf_value(np.asarray(new) if isinstance(new, ReadOnly) else new, self.name or "the variable")
        if type(old.value) is float and isinstance(new, np.floating) and new.dtype == np.float64:
            new = float(new)
        before, after = np.shape(old.value), np.shape(new)
        if before != after:
            raise MutationError(f"the variable has the shape {before}, not {after}",
                                fix="make a new pb.variable for another shape")  # fmt: skip
        if type(old.value) is np.ndarray and new.dtype != old.value.dtype:
            new = freeze(new.astype(old.value.dtype))
        place = where_of_caller(2)
        self.node = Node(VARIABLE, (), {"name": self.name, "replaced": None}, new, old.where)
        self.node.grad = old.grad
        old.params["replaced"] = place or True

    def __repr__(self) -> str:
        return f"variable({self.node.value!r}{f', name={self.name!r}' if self.name else ''})"


NODE_TYPES = {Traced, Variable}  # and `Shared`, see shared.py


def _here() -> str | None:
    place = position(caller(2))
    return str(place) if place else None


def as_traced(operand: Any) -> Any:
    """A traced value as it is; a list or tuple with traced values in it, stacked; anything else as NumPy sees it."""
    if isinstance(operand, Traced):
        return operand.node
    if isinstance(operand, Buffered):
        return as_traced(operand.now())
    if isinstance(operand, (list, tuple)) and any(holds_traced(part) for part in operand):
        parts = [part if isinstance(part, Traced) else as_traced(part) for part in operand]
        return HOOKS["stack"]([Traced(part) if isinstance(part, Node) else part for part in parts]).node
    if type(operand) is np.ndarray:
        return outside(operand)
    if type(operand) in WEAK_DTYPES or isinstance(operand, (np.ndarray, np.generic)):
        return operand
    if type(operand).__module__.startswith("scipy.sparse") and (known := of_library("scipy.sparse")) is not None:
        raise TraceError(known[0], where=_here(), why=known[1], fix=known[2])
    return labelled(operand, without_labels(operand), outside)


def holds_traced(operand: Any) -> bool:
    if isinstance(operand, (list, tuple)):
        return any(holds_traced(part) for part in operand)
    if type(operand) in COMPLEX:
        return operand.traced
    return isinstance(operand, Traced) or (isinstance(operand, Buffered) and isinstance(operand.now(), Traced))


def stop_gradient(x: Any) -> Any:
    """The same value with no derivative: what is computed from it is constant in it.

    x: a traced value or a container of them (a list, a dict, a module); anything else is returned as it is.
    Code that takes bare numbers only takes it: float(pb.stop_gradient(x)), SciPy's compiled functions, struct, ...

    >>> import payback as pb
    >>> pb.grad(lambda x: x * pb.stop_gradient(x))(3.0)
    3.0
    """
    parts, found = leaves(x := now(x)), False
    for i, part in enumerate(map(now, parts)):  # in this frame: a number asks for the one that called
        if isinstance(part, Traced) or type(part) in COMPLEX:
            parts[i], found = part.stopped(where_of_caller(2)), True
    return unflatten(x, iter(parts)) if found else x


def plain(value: Any) -> Any:
    """The bare value of a traced one; anything else as it is."""
    value = now(value)
    if type(value) in COMPLEX:
        return value.plain()
    return whole(value) if isinstance(value, Traced) else value


def variable(value: Any, name: str | None = None) -> Variable:
    """A value to differentiate by, kept between sweeps.

    value: a number (kept as a Python float), or anything NumPy makes a floating array of; a snapshot is taken.
    name: what explanations call it.

    Returns a Variable: compute with it as with the number or array, call `.backward()` on a result, read `.grad`.
    Raises DifferentiationError for integer, boolean and complex arrays.

    >>> import payback as pb
    >>> a, b = pb.variable(2.0, name="a"), pb.variable(1.0, name="b")
    >>> c = a + b
    >>> y = c * (b + 1)
    >>> y.backward()
    >>> b.grad, c.grad
    (5.0, 2.0)
    """
    return Variable(leaf_value(value, name or "value"), name)


know(Traced, Variable, as_traced)
__all__ = ["NO_PARAMS", "Traced", "Variable", "append", "as_traced", "const", "plain", "variable"]
